"""A home whose owner talks, corrects and judges; its turns train nothing."""

import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from owner_child import do_step

from feilun.artifacts import draft, write_json
from feilun.config import PreferSettings, TurnSettings
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.turn import TurnResult, run_turn, watch
from feilun.turn.watch import Pace
from feilun.types import Consent, Decision, is_held_out

CHILD = Path(__file__).with_name("owner_child.py")
SETTINGS = TurnSettings(rise_task="taught", prefer=PreferSettings(replay="examples"))
NO_EXAMS = TurnSettings(rise_task="taught", exam_tasks=(), prefer=PreferSettings(replay_share=0.0))
SHARES = {"number_hard": 0.8, "number_near": 0.9, "copying": 0.95}
QUICK = Pace(look_seconds=0.02, beat_seconds=0.2, pause_seconds=0.02)
numbers = count()


def make_home(home: Path, answers: dict[str, str] | None = None) -> str:
    """A home with a champion that knows `answers`; its ref."""
    home.mkdir(exist_ok=True)
    with draft(home, "models", "first") as work:
        write_json(work.path / "model.json", {**SHARES, "answers": answers or {}})
        (work.path / "name.txt").write_text("first")  # by which serve_house speaks for it
    with Store.open(home) as store:
        store.set_champion(f"models/{work.artifact.ref}", "first generation")
    drill(home)
    return f"models/{work.artifact.ref}"


def drill(home: Path, **orders: object) -> None:
    write_json(home / "drill.json", orders)


def thread_named(held_out: bool) -> str:
    return next(name for number in numbers if is_held_out(name := f"thread-{number}") == held_out)


def answered(store: Store, question: str, *answers: str, thread: str = "", principal: str = "owner", earlier: Collection = ()) -> str:
    """Answers that the model gave; the completion's id."""
    record = CompletionRecord(
        id=f"chatcmpl-{next(numbers)}", principal=principal, model="m", thread_id=thread or thread_named(False), started=1.0, finished=2.0,
        messages=[*earlier, {"role": "user", "content": question}], decision=Decision(engine="echo", model="m"),
        choices=[{"index": i, "text": text, "finish_reason": "stop", "num_tokens": 1} for i, text in enumerate(answers or ("hm",))],
    )  # fmt: skip
    store.record_completion(record)
    return record.id


def say(store: Store, target: str, kind: str, value: object, principal: str = "owner", consent: Consent = Consent.IMPROVE) -> str:
    request = FeedbackRequest(principal=principal, target_id=target, kind=kind, value=value, consent=consent)
    return store.record_feedback(request).id


def correct(home: Path, question: str, wanted: str, **more: object) -> str:
    """The owner corrects an answer; the event's id."""
    with Store.open(home) as store:
        return say(store, answered(store, question, "hm", **more), "edit", wanted)


def judge(home: Path, question: str, *, liked: str = "", disliked: str = "", thread: str = "") -> None:
    """The owner's thumbs in a thread that may not teach."""
    with Store.open(home) as store:
        for text, value in ((liked, 1), (disliked, -1)):
            if text:
                say(store, answered(store, question, text, thread=thread or thread_named(True)), "thumb", value)


def run_here(home: Path, turn_id: str, step: str) -> list[str]:
    """Does the step in this process, which is quicker, and leaves the child nothing to do."""
    do_step(home, turn_id, step)
    return [sys.executable, "-I", "-S", "-c", ""]


@contextmanager
def watched(home: Path) -> Iterator[None]:
    """A watcher in a thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(home,), kwargs={"command": run_here, "stop": stop, "pace": QUICK})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def owner_turn(home: Path, settings: TurnSettings = SETTINGS, apart: Collection[str] = (), **more: object) -> TurnResult:
    """An owner's turn whose steps named in `apart` are real child processes."""

    def command(home: Path, turn_id: str, step: str) -> list[str]:
        if step in apart:
            return [sys.executable, str(CHILD), str(home), turn_id, step]
        return run_here(home, turn_id, step)

    return run_turn(home, settings, command=command, **more)
