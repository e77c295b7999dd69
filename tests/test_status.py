"""What a home says of itself."""

import json

import pytest

from feilun.artifacts import draft, write_json
from feilun.status import describe_artifact, describe_home
from feilun.store import CompletionRecord, EngineRow, FeedbackRequest, Store
from feilun.types import Decision

RATER = "key:demo/ann"


@pytest.fixture
def lived_in(home):
    """A home with one event, lessons of it and of nobody, and a model of each."""
    with Store.open(home) as store:
        decision = Decision(engine="echo", model="m")
        choice = {"index": 0, "text": "yes\u2028no", "finish_reason": "stop", "num_tokens": 1}
        asked = [{"role": "user", "content": "?"}]
        store.record_completion(
            CompletionRecord(id="c", principal=RATER, model="m", thread_id="t", messages=asked, choices=[choice], decision=decision)
        )
        event = store.record_feedback(FeedbackRequest(principal=RATER, target_id="c", kind="thumb", value=1))
    for name, events in (("hers", [event.id]), ("imported", None)):
        with draft(home, "lessons", name) as lessons:
            row = {"messages": [{"role": "user", "content": "a\u2028b"}], **({"events": events} if events else {})}
            lessons.counts["events"] = events or []
            (lessons.path / "sft.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        with draft(home, "models", f"of-{name}", parents=[f"lessons/{lessons.artifact.ref}"]) as model:
            write_json(model.path / "weights.json", name)
            model.counts["steps"] = 7
    with Store.open(home) as store:
        store.set_champion(f"models/{model.artifact.ref}", "test")
        store.add_engine(EngineRow(name="qwen", url="http://127.0.0.1:8000/v1", model="Qwen/Qwen3-8B"))
        store.start_turn({"name": "turn-1"})
    return home


def test_an_empty_home_says_what_to_do(home):
    assert "feilun demo" in describe_home(home)[1]


def test_a_home_names_what_it_holds(lived_in):
    said = "\n".join(describe_home(lived_in))
    assert "lessons       2  newest imported@" in said
    assert "champion   models/of-imported@" in said
    assert "(epoch 1)" in said
    assert "1 current votes of 1 events" in said
    assert "qwen: Qwen/Qwen3-8B at http://127.0.0.1:8000/v1; does not teach" in said
    assert "turn turn-1: running" in said


def test_the_report_is_shown(lived_in):
    figure = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    row = {"name": "first", "verdict": "first", "acceptance": figure, "exams": {"copying": figure, "number_near:longer": figure}}
    write_json(lived_in / "report.json", {"generations": [row]})
    assert describe_home(lived_in)[-1].split() == ["first", "first", "0.500", "0.500"]
    assert "number_near:longer" not in describe_home(lived_in)[-2]


def test_an_artifact_names_what_made_it(lived_in):
    from feilun.artifacts import find

    lines = describe_artifact(lived_in, find(lived_in, "of-hers"))
    assert lines[0].startswith("models/of-hers@")
    assert "  steps: 7" in lines
    assert lines[-2].startswith("  lessons/hers@")
    assert lines[-1] == "    1 events"
