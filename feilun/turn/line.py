"""The line of models that a champion comes of: what each of them could, the next ones may not lose little by little."""

from feilun.feedback.owner import TAUGHT
from feilun.store import Store

__all__ = ["line_of"]


def line_of(store: Store, model: str) -> list[str]:
    """`model` and those before it that it comes of by turns that learned from all, newest first.

    A model that was promoted by hand, or by a turn of its owner's, begins a line: it is what its owner wanted.
    """
    before = {
        turn.steps["train"].output["candidate"]: turn.plan["champion"]["model"]
        for turn in store.turns()
        if turn.state in ("promoted", "rolling_out") and turn.plan["settings"]["rise_task"] != TAUGHT
    }
    line = [model]
    while (earlier := before.get(line[-1])) is not None and earlier not in line:
        line.append(earlier)
    return line
