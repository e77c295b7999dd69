"""Exports of other programs, in the shapes that their sources and documents give them, written here by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.artifacts import read_json, read_rows
from feilun.cli import main
from feilun.feedback.foreign import FORMATS, import_feedback, read_feedback
from feilun.feedback.foreign.intake import Intake
from feilun.types import UserError, is_held_out


def teacher(source: str, number: int) -> str:
    """The number-th user of a program whose words may teach."""
    return [name for name in (f"u{i}" for i in range(99)) if not is_held_out(f"import:{source}/{name}")][number]


def write(path: Path, rows: Any) -> Path:
    parts = [rows] if path.suffix == ".json" else rows
    path.write_text("\n".join(json.dumps(part, ensure_ascii=False) for part in parts), encoding="utf-8")
    return path


def webui(number: int, rating: Any, user: str, **more: Any) -> dict[str, Any]:
    history = {
        "q": {"id": "q", "parentId": None, "childrenIds": ["a", "b"], "role": "user", "content": f"问题{number}是什么?"},
        "a": {"id": "a", "parentId": "q", "childrenIds": [], "role": "assistant", "content": f"答案{number}", "model": "m1"},
        "b": {"id": "b", "parentId": "q", "childrenIds": [], "role": "assistant", "content": "另一个", "model": "m2"},
    }
    return {
        "id": f"f{number}", "user_id": user, "version": 0, "type": "rating", "created_at": 1_700_000_000 + number, "updated_at": 0,
        "data": {"rating": rating, "model_id": "m1", "sibling_model_ids": ["m2"], "reason": "accurate", "comment": "", "tags": []},
        "meta": {"arena": False, "chat_id": "c1", "message_id": "a", "message_index": 1, "brand_new": 1},
        "snapshot": {"chat": {"id": "c1", "chat": {"history": {"messages": history}}}}, **more,
    }  # fmt: skip


def libre(feedback: Any, user: str = "u") -> dict[str, Any]:
    root = "00000000-0000-0000-0000-000000000000"
    asked = {"messageId": "1", "parentMessageId": root, "isCreatedByUser": True, "text": "Which way?", "user": user}
    said = {
        "messageId": "2", "parentMessageId": "1", "isCreatedByUser": False, "text": "", "user": user, "model": "m", "feedback": feedback,
        "content": [{"type": "think", "think": "hm"}, {"type": "text", "text": "Left."}], "createdAt": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    return {"conversationId": "c", "title": "t", "recursive": True, "messages": [{**asked, "children": [said]}], "theme": "dark"}


def fuse(user: str) -> list[dict[str, Any]]:
    generation = {
        "id": "g1", "trace_id": "t1", "type": "GENERATION", "input": json.dumps({"messages": [{"role": "user", "content": "Why?"}]}),
        "output": {"role": "assistant", "content": "Because."}, "user_id": user, "provided_model_name": "gpt",
    }  # fmt: skip
    score = {
        "trace_id": "t1",
        "observation_id": None,
        "source": "ANNOTATION",
        "timestamp": "2026-01-02 03:04:05.000000",
        "string_value": None,
    }
    return [
        generation,
        {**score, "id": "s1", "name": "correct", "data_type": "CORRECTION", "string_value": "So that.", "author_user_id": user},
        {**score, "id": "s2", "name": "helpful", "data_type": "BOOLEAN", "value": 1, "author_user_id": user, "observation_id": "g1"},
        {**score, "id": "s3", "name": "quality", "data_type": "NUMERIC", "value": 0.4},
        {**score, "id": "s4", "name": "helpful", "data_type": "BOOLEAN", "value": 1, "source": "EVAL"},
        {**score, "id": "s5", "name": "helpful", "data_type": "BOOLEAN", "value": 1, "observation_id": "gone"},
    ]


def zero(user: str) -> list[dict[str, Any]]:
    given = {"system": "Be short.", "messages": [{"role": "user", "content": [{"type": "text", "text": "Write a haiku."}]}]}
    return [
        {"id": "f1", "inference_id": "i1", "value": json.dumps([{"type": "text", "text": "A better one."}]), "tags": {}},
        {
            "id": "i1", "function_name": "write", "variant_name": "v1", "episode_id": "e1", "input": json.dumps(given),
            "output": json.dumps([{"type": "text", "text": "A haiku."}]), "tags": {"user_id": user},
        },
        {"id": "f2", "target_id": "i1", "metric_name": "liked", "value": True, "tags": {}},
        {"id": "f3", "target_id": "i1", "metric_name": "stars", "value": 4.5, "tags": {}},
        {"id": "f4", "target_id": "i1", "target_type": "inference", "value": "nice", "tags": {}},
        {"id": "f5", "target_id": "e1", "metric_name": "liked", "value": False, "tags": {}},
    ]  # fmt: skip


def argil(user: str) -> list[dict[str, Any]]:
    row = {
        "fields": {"question": "Who?", "reply": "Me."},
        "metadata": {},
        "suggestions": {"fixed": {"value": "x", "agent": "m"}},
        "vectors": {},
    }
    good, poor = ({"value": label, "user_id": user} for label in ("good", "bad"))
    return [
        {**row, "id": "r1", "responses": {"fixed": [{"value": "You.", "user_id": user, "status": "submitted"}], "quality": [good]}},
        {**row, "id": "r2", "responses": {"quality": [{**poor, "status": "draft"}]}},
        {**row, "id": "r3", "fields": {"question": "Who?"}, "responses": {"quality": [poor]}},
    ]


MAP = {"prompt": "question", "answer": "reply", "edit": "fixed", "thumb": "quality:good"}


def said(intake: Intake) -> list[tuple[str, str, Any, str]]:
    return [(vote.id, vote.kind, vote.value, vote.answer) for vote in intake.votes]


def test_open_webui(tmp_path: Path) -> None:
    torn = webui(3, 1, "u")
    del torn["snapshot"]
    rows = [webui(1, 1, "u"), webui(2, "-1", "u"), torn, webui(4, None, "u"), {"id": "x"}]
    intake = read_feedback("openwebui", [write(tmp_path / "f.json", rows)])
    assert said(intake) == [("openwebui:f1", "thumb", 1, "答案1"), ("openwebui:f2", "thumb", -1, "答案2")]
    assert intake.votes[0].prompt == ({"role": "user", "content": "问题1是什么?"},)
    assert (intake.votes[0].at, intake.votes[0].model, intake.votes[0].principal) == (1_700_000_001, "openwebui/m1", "import:openwebui/u")
    assert [bad["at"] for bad in intake.bad] == ["f.json, record 3", "f.json, record 5"]
    assert intake.skipped == {"no_rating": 1}
    assert intake.unknown["meta.brand_new"] == 4


def test_librechat(tmp_path: Path) -> None:
    down = {"rating": "thumbsDown", "tag": {"key": "inaccurate"}, "text": "no"}
    intake = read_feedback("librechat", [write(tmp_path / "c.json", libre(down))])
    assert said(intake) == [("librechat:2", "thumb", -1, "Left.")]
    assert (intake.votes[0].reason, intake.unknown, intake.skipped) == (("wrong",), {"theme": 1}, {"no_feedback": 1})
    flat = libre({"rating": "thumbsUp"})["messages"]
    messages = [{k: v for k, v in flat[0].items() if k != "children"}, *flat[0]["children"]]
    assert said(read_feedback("librechat", [write(tmp_path / "m.jsonl", messages)])) == [("librechat:2", "thumb", 1, "Left.")]
    assert read_feedback("librechat", [write(tmp_path / "o.jsonl", messages[1:])]).bad[0]["why"].startswith("message '1'")


def test_langfuse(tmp_path: Path) -> None:
    intake = read_feedback("langfuse", [write(tmp_path / "x.jsonl", fuse("u"))], good=["helpful"])
    assert said(intake) == [("langfuse:s1", "edit", "So that.", "Because."), ("langfuse:s2", "thumb", 1, "Because.")]
    assert intake.skipped == {"score_without_direction:quality": 1, "said_by_a_machine": 1}
    assert [bad["at"] for bad in intake.bad] == ["x.jsonl, line 6"]
    unnamed = read_feedback("langfuse", [tmp_path / "x.jsonl"])
    assert unnamed.skipped["score_without_direction:helpful"] == 1
    trace = {"id": "t1", "userId": "u", "observations": [{"id": "g1", "type": "GENERATION", "input": "Why?", "output": "Because."}]}
    trace["scores"] = [{"id": "s1", "name": "c", "dataType": "CORRECTION", "stringValue": "So.", "traceId": "t1", "source": "API"}]
    camel = read_feedback("langfuse", [write(tmp_path / "trace.json", trace)])
    assert (said(camel), camel.votes[0].principal) == ([("langfuse:s1", "edit", "So.", "Because.")], "import:langfuse/u")


def test_tensorzero(tmp_path: Path) -> None:
    intake = read_feedback("tensorzero", [write(tmp_path / "x.jsonl", zero("u"))], good=["liked"])
    assert said(intake) == [("tensorzero:f1", "edit", "A better one.", "A haiku."), ("tensorzero:f2", "thumb", 1, "A haiku.")]
    assert [message["role"] for message in intake.votes[0].prompt] == ["system", "user"]
    assert intake.skipped == {"without_direction:stars": 1, "without_direction:comment": 1}
    assert [bad["at"] for bad in intake.bad] == ["x.jsonl, line 6"]


def test_argilla(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", argil("u"))
    intake = read_feedback("argilla", [path], names=MAP)
    assert said(intake) == [("argilla:r1/u/edit", "edit", "You.", "Me."), ("argilla:r1/u/thumb", "thumb", 1, "Me.")]
    assert intake.skipped == {"suggestion": 3, "draft": 1, "no_response": 1}
    assert [bad["at"] for bad in intake.bad] == ["x.json, record 3"]
    with pytest.raises(UserError, match="names its own fields"):
        read_feedback("argilla", [path])


def test_imported_people_are_raters_like_ours(tmp_path: Path) -> None:
    """Held out, capped, named by hash, their events in the rows; personal data goes."""
    ann, out = teacher("openwebui", 0), next(f"u{i}" for i in range(99) if is_held_out(f"import:openwebui/u{i}"))
    rows = [webui(1, 1, ann), webui(2, 1, out), webui(3, -1, ann)]
    rows[0]["snapshot"]["chat"]["chat"]["history"]["messages"]["a"]["content"] = "ask anna.smith@bluemail.de"
    made = import_feedback(tmp_path, "theirs", "openwebui", [write(tmp_path / "f.json", rows)])
    (row,) = read_rows(made.path / "sft.jsonl")
    assert (row["messages"][-1]["content"], row["events"], row["kind"]) == ("ask [EMAIL]", ["openwebui:f1"], "thumb")
    report = read_json(made.path / "report.json")
    assert (report["dropped"], report["signals"], report["imported"]["votes"]) == ({"held_out": 1}, {"thumb_down": 1}, 3)
    assert ann not in json.dumps([row, report]).replace("blue", "")


def test_the_verb_takes_them_and_names_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.json", argil(teacher("argilla", 0)))
    words = ["--home", str(tmp_path / "home"), "feedback", "import", "theirs", str(path), "--from", "argilla", "--map"]
    assert main([*words, *(f"{role}={name}" for role, name in MAP.items())]) == 0
    assert "lessons/theirs@" in capsys.readouterr().out
    assert main([*words, "prompt=question"]) != 0
    assert "names its own fields" in capsys.readouterr().err


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("body", ["", "[]", "nonsense", "[1]", '{"a": 1}', '{"messages": [{}]}', "\x00\x01"])
def test_what_is_no_export_is_an_error_that_names_the_file(source: str, body: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(body)
    with pytest.raises(UserError, match=r"x\.json"):
        import_feedback(tmp_path, "x", source, [path], names=MAP)


FIELDS = """
id data meta snapshot type messages messageId feedback rating fields responses value name data_type observations scores function_name
input output inference_id tags content role message_id
"""
NAMES = st.sampled_from(FIELDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(NAMES, JSON, max_size=8), max_size=3))
def test_whatever_stands_in_a_file_is_read_to_its_end(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write(tmp_path_factory.mktemp("x") / "x.json", rows)
    for source in FORMATS:
        intake = read_feedback(source, [path], names=MAP, good=["a"])
        assert all(bad["at"] and bad["why"] for bad in intake.bad)
