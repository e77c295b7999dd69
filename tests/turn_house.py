"""A home whose turns train and examine nothing: `drill.json` says how good the candidate is (tests/turn_child.py)."""

import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from turn_child import do_step

from feilun.artifacts import draft, write_json
from feilun.config import PreferSettings, TurnSettings
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.turn import run_turn
from feilun.types import Decision

CHILD = Path(__file__).with_name("turn_child.py")
SETTINGS = TurnSettings(prefer=PreferSettings(replay="examples"))
FIRST = {"number_hard": 0.05, "number_near": 0.9, "copying": 0.95}
BETTER = {"number_hard": 0.8, "number_near": 0.92, "copying": 0.94}
FORGETFUL = {"number_hard": 0.9, "number_near": 0.92, "copying": 0.7}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with draft(tmp_path, "models", "first") as work:
        write_json(work.path / "model.json", FIRST)
    with Store.open(tmp_path) as store:
        store.set_champion(f"models/{work.artifact.ref}", "first generation")
        say(store, "event-1")
    drill(tmp_path)
    return tmp_path


def say(store: Store, key: str) -> None:
    answer = {"index": 0, "text": "9.11", "finish_reason": "stop", "num_tokens": 1}
    question = {"role": "user", "content": "9.11 and 9.8?"}
    record = CompletionRecord(
        id=f"chatcmpl-{key}", principal="owner", model="m", thread_id=key, messages=[question], choices=[answer],
        decision=Decision(engine="echo", model="m"), started=1.0, finished=2.0,
    )  # fmt: skip
    store.record_completion(record)
    store.record_feedback(FeedbackRequest(principal="owner", target_id=record.id, kind="thumb", value=-1, idempotency_key=key))


def drill(home: Path, **orders) -> None:
    write_json(home / "drill.json", {"candidate": BETTER, **orders})


def child(home: Path, turn_id: str, step: str) -> list[str]:
    return [sys.executable, str(CHILD), str(home), turn_id, step]


def turn_of(home: Path, settings: TurnSettings = SETTINGS, apart: Collection[str] = (), **more):
    """A turn whose steps named in `apart` are real child processes; the others are done here, which is quicker."""

    def command(home: Path, turn_id: str, step: str) -> list[str]:
        if step in apart:
            return child(home, turn_id, step)
        do_step(home, turn_id, step)
        return [sys.executable, "-I", "-S", "-c", ""]

    return run_turn(home, settings, command=command, **more)
