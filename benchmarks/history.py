"""What a turn costs as the history before it grows: its first steps alone, and the whole of it in a demo's home."""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from benchmarks.homes import copy_before_people, copy_home
from feilun.config import PreferSettings, TurnSettings, load_recipe
from feilun.demo.stages import turn_settings
from feilun.demo.state import DemoState, read_state
from feilun.feedback import build_lessons
from feilun.feedback.privacy import personal_data_in
from feilun.primer.dialogues import prompts
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.store.completions import SAME
from feilun.store.database import make_engine
from feilun.store.feedback import body_hash, slot
from feilun.store.identity import address_of, parts_of, root_address, uuid7
from feilun.store.schema import choices, completions, events, messages
from feilun.store.store import BUSY_SECONDS, FILE_NAME
from feilun.turn import abandon, promote, run_turn
from feilun.turn.checks import check_lessons
from feilun.turn.wheel import child_command
from feilun.types import Decision, UserError

__all__ = ["preparing_history", "whole_history"]

SETTINGS = TurnSettings(prefer=PreferSettings(replay="none"), vetoes=())
NUM_ASKED, NUMBER_SHARE = 2000, 0.6
NUM_PEOPLE = 60  # behind the events of one turn
WRITERS = 32
AT_ONCE = 5000
SEEN = ("collect", "curate")
T = TypeVar("T")
Said = tuple[CompletionRecord, FeedbackRequest]


def said_by(who: str, number: int, row: Mapping[str, Any]) -> Said:
    """One answer and one event about it: most are correct, some praise."""
    name = f"chatcmpl-{number}"
    choice = {"index": 0, "text": row["answers"][0] if number % 3 else "?", "finish_reason": "stop", "num_tokens": 4}
    asked = [{"role": "user", "content": row["prompt"]}]
    about = {"id": name, "principal": who, "model": "m", "thread_id": name, "messages": asked, "choices": [choice]}
    about |= {"started": float(number), "finished": float(number)}
    kind, value = ("thumb", 1) if number % 3 else ("edit", row["answers"][0])
    return (
        CompletionRecord(**about, decision=Decision(engine="bench", model="m")),
        FeedbackRequest(principal=who, target_id=name, kind=kind, value=value, idempotency_key=name),
    )


def say(store: Store, record: CompletionRecord, request: FeedbackRequest) -> None:
    store.record_completion(record)
    store.record_feedback(request)


def apart(work: Callable[..., T], *given: Any) -> T:
    """In a process of its own, as the steps of turns are."""
    with ProcessPoolExecutor(1, get_context("spawn")) as child:
        return child.submit(work, *given).result()


def grow(home: Path, size: int, num_events: int, see: Callable[[], object]) -> None:
    """Fill the store with `size` times `num_events` events, of which the last `num_events` come after `see`.

    The new ones are the same whatever the size. Every `num_events` are of NUM_PEOPLE of their own, one in five of whom is held out;
    nobody asks a thing twice, but the questions come again, as people's do. Older events are written straight into the tables (through
    the store's API 99,000 take 230 CPU-seconds), without the index of the search, which no turn reads.
    """
    asked = prompts(0, NUM_ASKED, NUMBER_SHARE)

    def said(number: int) -> Said:
        return said_by(f"key:bench/user-{number // num_events}-{number % NUM_PEOPLE}", number, asked[number % len(asked)])

    write_history(home, map(said, range(num_events, size * num_events)))
    see()
    with Store.open(home) as store, ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda number: say(store, *said(number)), range(num_events)))


# the first steps alone


def preparing_history(sizes: Sequence[int], num_events: int) -> list[dict[str, Any]]:
    """CPU-seconds of collect, curate and G0 over the newest `num_events`, as the history before them grows, which a turn has seen."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            Store.open(home).close()
            grow(home, size, num_events, partial(apart, timed_curate, home, "turn-1", num_events))
            rows.append({"events": size * num_events, **apart(timed_curate, home, "turn-2", num_events)})
        print(f"{size:4}x: {rows[-1]}", flush=True)
    return rows


def timed_curate(home: Path, name: str, num_events: int) -> dict[str, float]:
    """One turn's first two steps, what it loads aside."""
    personal_data_in(["so that what it needs is there"])
    with Store.open(home) as store:
        began = time.process_time()
        cut = store.last_seq()
        store.events(after_seq=cut - num_events)
        collected = time.process_time()
        lessons = build_lessons(store, home, name, upto_seq=cut, gold=None, settings=SETTINGS)
        curated = time.process_time()
        check_lessons(store, lessons, SETTINGS, cut)
        checked = time.process_time()
    parts = {"collect": collected - began, "curate": curated - collected, "g0": checked - curated, "all": checked - began}
    return {part: round(seconds, 3) for part, seconds in parts.items()}


# whole turns


def whole_history(source: Path, sizes: Sequence[int], num_events: int) -> list[dict[str, Any]]:
    """CPU-seconds of every step of a whole turn over the same `num_events` new events, as the history of other people before it grows.

    Each turn is the demo's own, in a fresh copy of `source` (a finished demo, which is not changed) in which nobody has spoken: its
    champion is the first generation, examined already, as a champion that was a candidate is. An abandoned turn has collected and
    curated the older events before the new ones come.
    """
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # as in the demo: what is compiled counts where it is used
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        settings = first_generation(source, first)
        for size in sizes:
            home = Path(folder) / f"x{size}"
            copy_home(first, home)
            rows.append({"size": size, **whole_turn(home, settings, size, num_events)})
            print(f"{size:4}x: {rows[-1]}", flush=True)
    return rows


def first_generation(source: Path, target: Path) -> TurnSettings:
    """A home whose champion is the first generation of the demo `source`, and the settings of its turns."""
    copy_before_people(source, target)
    state = read_state(target)
    settings = turn_settings(state, load_recipe(state.told["recipe"]), 1)
    promote(target, state.refs["sft"])
    apart(examine_and_compile, state, settings)
    return settings


def examine_and_compile(state: DemoState, settings: TurnSettings) -> None:
    """What the first of several turns would pay alone: the champion's exams, found where the demo took them, and the compiler's cache."""
    from feilun.exam.run import run_exam
    from feilun.exam.vetoes import run_veto_exam
    from feilun.train.run import train_prefer

    champion = state.refs["sft"]
    run_exam(state.home, champion, split="gate", settings=settings.exam)
    run_veto_exam(state.home, champion, settings=settings.exam)
    train_prefer(state.home, dataclasses.replace(settings.prefer, base=champion, lessons=state.refs["examples"], num_steps=1), "warm")


def whole_turn(home: Path, settings: TurnSettings, size: int, num_events: int) -> dict[str, Any]:
    grow(home, size, num_events, partial(see, home, settings))
    result = run_turn(home, settings)
    cpu = {step: output["cpu_seconds"] for step, output in result.outputs.items()}
    return {
        "events": size * num_events, "new_events": result.outputs["collect"]["new_events"], "rows": result.outputs["curate"]["rows"],
        "held_out": result.outputs.get("exam", {}).get("held_out"), "verdict": result.verdict, "cpu": cpu, "all": result.cpu_seconds,
    }  # fmt: skip


def see(home: Path, settings: TurnSettings) -> None:
    """Let a turn collect and curate what is there; it comes no further."""

    def command(home: Path, turn: str, step: str) -> list[str]:
        return child_command(home, turn, step) if step in SEEN else ["false"]

    try:
        run_turn(home, settings, command=command)
    except UserError as stopped:
        abandon(home, f"it was to see the history and no more: {stopped}")


def write_history(home: Path, said: Iterable[Said]) -> None:
    """Straight into the tables, as the store would have written it, but for its search index."""
    engine = make_engine(home / FILE_NAME, BUSY_SECONDS)
    try:
        rest = iter(said)
        while some := list(islice(rest, AT_ONCE)):
            with engine.execution_options(feilun_write=True).begin() as connection:
                for table, rows in table_rows(some):
                    connection.execute(table.insert(), rows)
    finally:
        engine.dispose()


def table_rows(said: Sequence[Said]) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
    placed = [(record, *placed_messages(record)) for record, _ in said]
    yield messages, [message for _, *both in placed for message in both]
    yield completions, [
        {name: getattr(record, name) for name in SAME}
        | {"decision": dataclasses.asdict(record.decision), "parent": question["address"], "consent": str(record.consent), "erased": 0}
        for record, question, _ in placed
    ]  # fmt: skip
    yield choices, [
        {"completion_id": record.id, "choice_index": 0, "address": answer["address"]}
        | {name: record.choices[0][name] for name in ("finish_reason", "num_tokens")}
        for record, _, answer in placed
    ]  # fmt: skip
    yield events, [event_row(record, request) for record, request in said]


def placed_messages(record: CompletionRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """The question and the answer at their places in the tree."""
    parent, rows = root_address(record.principal, record.thread_id), []
    for role, content in (("user", record.messages[0]["content"]), ("assistant", record.choices[0]["text"])):
        parts = parts_of(content)
        rows.append({"parent": parent, "principal": record.principal, "role": role, "content": parts})
        parent = rows[-1]["address"] = address_of(parent, role, parts)
    return rows[0], rows[1]


def event_row(record: CompletionRecord, request: FeedbackRequest) -> dict[str, Any]:
    same = ("principal", "target_id", "target_index", "kind", "value", "idempotency_key")
    event_id = uuid7()
    return {
        **{name: getattr(request, name) for name in same}, "id": event_id, "at": record.finished, "reason": list(request.reason),
        "consent": str(request.consent), "slot": slot(request, event_id), "retracts": 0, "body_hash": body_hash(request), "erased": 0,
    }  # fmt: skip
