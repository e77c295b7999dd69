"""The verbs teach and desk: what people are asked to judge."""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.cli.parser import add, add_group
from feilun.types import UserError

if TYPE_CHECKING:
    from feilun.feedback.desk import DeskReport
    from feilun.feedback.teaching import Speaker
    from feilun.feedback.worth import Worth
    from feilun.store import Store

MAX_SHOWN_CHARS = 60


def add_desk(verbs: Any) -> None:
    teach = add(verbs, "teach", run_teach, "the questions whose answers would teach most, made ready for the page")
    add_counts(teach)
    desk = add_group(verbs, "desk", "a labelling desk: questions of the traffic, judged by several people each")
    opened = add(desk, "open", run_open, "make tasks and let keys with the scope desk judge them")
    opened.add_argument("name")
    opened.add_argument("--guidelines", type=Path, metavar="FILE", help="what raters are told, in Markdown")
    opened.add_argument("--overlap", type=int, default=3, help="so many raters judge each task (default: 3)")
    opened.add_argument("--gold-share", type=float, default=0.1, help="of a rater's tasks, once the owner has marked gold (default: .1)")
    opened.add_argument("--price", type=float, default=0.0, help="of one label")
    opened.add_argument("--currency", default="")
    add_counts(opened)
    add(desk, "status", run_status, "how far it has come: labels, agreement, gold, cost, rater by rater")
    add(desk, "close", run_close, "nobody is asked any more; what was said stays")


def add_counts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--look", type=int, default=60, metavar="N", help="so many of the newest questions are answered (default: 60)")
    parser.add_argument("--tasks", type=int, default=20, metavar="N", help="so many of them are put before people (default: 20)")


def run_teach(options: argparse.Namespace) -> int:
    from feilun.feedback.worth import worth_now
    from feilun.store import TEACH, Store

    with Store.open(options.home) as store:
        prepare(options, store, TEACH)
        for task in store.desks.waiting(TEACH):
            asked = " ".join(task.question.split())
            shown = asked if len(asked) <= MAX_SHOWN_CHARS else f"{asked[: MAX_SHOWN_CHARS - 1]}…"
            differ = "generations differ" if task.why["generations_differ"] else "one generation"
            print(f"{task.why['uncertainty']:.2f}  {differ:18}  {shown}")
        print(told_worth(worth_now(options.home, store)))
    return 0


def run_open(options: argparse.Namespace) -> int:
    from feilun.feedback.desk import DeskRules
    from feilun.store import Store

    text = read_guidelines(options.guidelines) if options.guidelines else ""
    rules = DeskRules(
        guidelines=text, overlap=options.overlap, gold_share=options.gold_share, price=options.price, currency=options.currency
    )
    with Store.open(options.home) as store:
        if store.champion() is None:
            raise UserError("there is no champion to ask; promote a model first: feilun promote REF")
        store.desks.open(options.name, asdict(rules))
        prepare(options, store, options.name)
        server = store.read_note("server")
    where = f"{server['url']}/desk" if server else "/desk of the server"
    print(f"desk {options.name} is open at {where}, for keys of `feilun key create NAME --scope desk`; there you mark gold too")
    return 0


def read_guidelines(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; the guidelines must be a text in UTF-8") from None


def run_close(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        closed = store.desks.close()
    print(f"desk {closed.name} is closed")
    return run_status(options)


def run_status(options: argparse.Namespace) -> int:
    from feilun.feedback.desk import desk_report
    from feilun.store import Store

    with Store.open(options.home) as store:
        desks = store.desks.listed()
        if not desks:
            print("there has been no desk yet; open one: feilun desk open NAME")
            return 0
        print("\n".join(report_lines(desk_report(options.home, store, desks[-1]))))
    return 0


def report_lines(found: "DeskReport") -> list[str]:
    bounds = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
    alpha = "unknown" if found.agreement is None else f"{found.agreement:.2f}{bounds}"
    each = "-" if found.cost_a_task is None else f"{found.cost_a_task:.2f}"
    lines = [
        f"desk {found.name}, {'open' if found.is_open else 'closed'}: {found.settled} of {found.tasks} tasks settled, {found.gold} gold",
        f"labels {found.labels}, {found.hours:.2f} hours, cost {found.cost:.2f} {found.currency} ({each} a settled task)",
        f"agreement alpha {alpha}, on {found.shared} tasks that several judged",
    ]
    if found.raters:
        lines.append(f"{'rater':24}  labels   gold  agrees  trust  seconds     cost")
    for rater in found.raters:
        gold = f"{rater.gold_right}/{rater.gold_asked}" if rater.gold_asked else "-"
        agrees = "-" if rater.agrees is None else f"{rater.agrees:.2f}"
        trust = "-" if rater.trust is None else f"{rater.trust:.2f}"
        lines.append(f"{rater.rater:24}  {rater.labels:6}  {gold:>5}  {agrees:>6}  {trust:>5}  {rater.seconds:7.0f}  {rater.cost:7.2f}")
    return lines


def told_worth(worth: "Worth") -> str:
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
