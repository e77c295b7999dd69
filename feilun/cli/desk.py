"""The verbs teach and desk: what people are asked to judge."""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from feilun.cli.parser import add
from feilun.types import UserError

if TYPE_CHECKING:
    from feilun.feedback.teaching import Speaker
    from feilun.store import Store

MAX_SHOWN_CHARS = 60


def add_desk(verbs: Any) -> None:
    teach = add(verbs, "teach", run_teach, "the questions whose answers would teach most, made ready for the page")
    add_counts(teach)


def add_counts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--look", type=int, default=60, metavar="N", help="so many of the newest questions are answered (default: 60)")
    parser.add_argument("--tasks", type=int, default=20, metavar="N", help="so many of them are put before people (default: 20)")


def run_teach(options: argparse.Namespace) -> int:
    from feilun.feedback.worth import worth_now
    from feilun.store import TEACH, Store

    with Store.open(options.home) as store:
        prepare(options, store, TEACH)
        for task in store.waiting_tasks(TEACH):
            asked = " ".join(task.question.split())
            shown = asked if len(asked) <= MAX_SHOWN_CHARS else f"{asked[: MAX_SHOWN_CHARS - 1]}…"
            differ = "generations differ" if task.why["generations_differ"] else "one generation"
            print(f"{task.why['uncertainty']:.2f}  {differ:18}  {shown}")
        print(told_worth(worth_now(options.home, store)))
    return 0


def told_worth(worth: Any) -> str:
    if worth.more is None:
        return f"a turn would change {worth.change:.1%} of the taught answers; choices like the last ones will not make it worth training"
    if worth.more == 0:
        return f"a turn would change {worth.change:.1%} of the taught answers: the next lesson is worth training"
    return f"{worth.more} more choices until the next lesson is worth training (now {worth.change:.1%} of the taught answers)"


def prepare(options: argparse.Namespace, store: "Store", desk: str) -> None:
    """Look at the newest open questions and keep the best as tasks of a desk; says what became of them."""
    from feilun.feedback.teaching import Asking, prepare_tasks

    asking = Asking(num_looked=options.look, num_tasks=options.tasks)
    with speakers(options, store) as (champion, earlier):
        made = prepare_tasks(store, desk, champion, earlier, asking)
    skipped = "".join(f", {num} {reason.replace('_', ' ')}" for reason, num in sorted(made.skipped.items()))
    print(f"{made.num_open} open questions, {made.looked} looked at, {made.added} new tasks{skipped}")


@contextmanager
def speakers(options: argparse.Namespace, store: "Store") -> Iterator[tuple["Speaker", "Speaker | None"]]:
    """The champion and the generation before it, on the own engine."""
    from feilun.artifacts import find
    from feilun.engine import TextChat
    from feilun.engine.native import NativeEngine
    from feilun.feedback.teaching import Speaker

    def load(ref: str) -> TextChat:
        return TextChat.over(NativeEngine.load(find(options.home, ref, "models").path, model=ref))

    row, back = store.champion(), store.rollback_target()
    if row is None:
        raise UserError("there is no champion to ask; promote a model first: feilun promote REF")
    with closing(load(row.model)) as champion:
        if back is None:
            yield Speaker(row.model, champion), None
            return
        with closing(load(back.model)) as earlier:
            yield Speaker(row.model, champion), Speaker(back.model, earlier)
