"""The account of a turn beside its receipts: written when the turn ends, in every language, and named in the chain."""

from pathlib import Path

from feilun.artifacts import Artifact, draft
from feilun.feedback.account import ACCOUNT, LANGUAGES, account_of, file_of
from feilun.store import Store, TurnRow
from feilun.turn.receipts import leave

__all__ = ["leave_account"]


def leave_account(home: Path, store: Store, turn: TurnRow) -> Artifact:
    """Write down what `turn`, with the state and the reasons it ends with, comes to; again: the same artifact and the same receipt."""
    outputs = {step: row.output for step, row in turn.steps.items()}
    named = [outputs.get("curate", {}).get("lessons"), outputs.get("gate", {}).get("receipt")]
    name = f"{turn.plan.get('name', turn.id)}-account"
    with draft(home, "runs", name, parents=[str(ref) for ref in named if ref], recipe={"account_of": turn.id}) as work:
        for language in LANGUAGES:
            (work.path / file_of(language)).write_text(account_of(home, turn, language), encoding="utf-8")
        work.counts["verdict"] = turn.state
    assert work.artifact is not None
    leave(store, turn, ACCOUNT, {"account": f"runs/{work.artifact.ref}"}, {}, turn.state)
    return work.artifact
