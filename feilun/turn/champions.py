"""The pointer that every server follows: promote by hand, go back."""

from pathlib import Path

from feilun.artifacts import find, verify
from feilun.store import ChampionRow, Store
from feilun.types import UserError

__all__ = ["promote", "rollback"]


def promote(home: Path, ref: str, reason: str = "by hand, without a gate") -> ChampionRow:
    """Make a whole model of this home the champion; `ref` may be the word candidate."""
    with Store.open(home) as store:
        wanted = store.candidate() if ref == "candidate" else ref
        if wanted is None:
            raise UserError("there is no candidate; a turn trains one, or name a model as name@hash")
        model = find(home, wanted, "models")
        if model.kind != "models":
            raise UserError(f"{wanted!r} is of the kind {model.kind}; only a model can be promoted")
        if faults := verify(model):
            raise UserError(f"{model.ref} is not whole: {'; '.join(faults[:3])}; make it again or promote another")
        if model.manifest["recipe"].get("stage") == "pretrain":
            raise UserError(f"{model.ref} is a base model, which has not learnt to answer; run sft on it and promote what that makes")
        return store.set_champion(f"models/{model.ref}", reason)


def rollback(home: Path, reason: str) -> ChampionRow:
    """Back to the different model before this one. A turn under way then refuses to promote: its champion is gone."""
    with Store.open(home) as store:
        return store.rollback(reason)
