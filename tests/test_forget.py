"""Forgetting: no byte of what somebody said stays in the home, what was made of it is named, and the model is made again without it."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from owner_house import NO_EXAMS, answered, correct, drill, make_home, owner_turn, run_here, say
from page_client import post
from serve_house import open_house, until

from feilun.artifacts import draft, entomb, find, list_artifacts, read_json, read_rows, redact, verify, write_json, write_rows
from feilun.cli import main
from feilun.config import RolloutSettings
from feilun.feedback import import_lessons, rater_hash
from feilun.store import CompletionRecord, Conflict, FeedbackRequest, NotFound, Store
from feilun.store.schema import messages
from feilun.turn import promote, rolling
from feilun.turn.forget import forget, principals_of, proof_of, retrain
from feilun.turn.sweep import sweep
from feilun.types import Decision, UserError

ANN, BOB = "key:app/ann", "key:app/bob"
SPREAD = replace(NO_EXAMS, spread=True)
PLACES = (
    "title", "system", "asked", "said", "parameter", "edit", "comment", "report", "draft", "drafted", "wording", "sample", "checkpoint",
    "unfinished", "imported",
)  # fmt: skip


def needle(place: str, who: str) -> str:
    """A word that nothing else holds; its end is unique as well, where an index keeps the beginnings of words apart."""
    seed = sum((i + 1) * ord(c) for i, c in enumerate(f"{place}/{who}"))
    return "".join(chr(97 + (seed * (k + 3) ** 3 + k * len(place)) % 26) for k in range(9)) + f"{seed}q"


def sentence(place: str, who: str) -> str:
    return f"the word {needle(place, who)} stands here, 它在这里"


def found_in(home: Path, words: list[str]) -> set[str]:
    files = {path: path.read_bytes().lower() for path in home.rglob("*") if path.is_file()}
    return {f"{path.relative_to(home)}: {word}" for path, data in files.items() for word in words if word.encode() in data}


def talk(store: Store, who: str, principal: str) -> str:
    """A conversation with a word of its own in every place; the completion's id."""
    messages = [{"role": "system", "content": sentence("system", who)}, {"role": "user", "content": sentence("title", who)}]
    messages += [{"role": "assistant", "content": "so?"}, {"role": "user", "content": sentence("asked", who)}]
    choice = {"index": 0, "text": sentence("said", who), "finish_reason": "stop", "num_tokens": 1}
    record = CompletionRecord(
        id=f"talk-{who}", principal=principal, model="m", thread_id=f"talk-{who}", messages=messages, choices=[choice], started=1.0,
        finished=2.0, params={"metadata": {"note": needle("parameter", who)}}, decision=Decision(engine="echo", model="m"),
    )  # fmt: skip
    store.record_completion(record)
    for kind in ("edit", "comment", "report"):
        store.record_feedback(FeedbackRequest(principal=principal, target_id=record.id, kind=kind, value=sentence(kind, who)))
    asked = [{"role": "user", "content": sentence("draft", who)}]
    written = [{**choice, "text": sentence("drafted", who)}]
    store.drafts.save(replace(record, id=f"draft-{who}", thread_id=f"draft-{who}", messages=asked, choices=written, params={}))
    return record.id


def leave_traces(home: Path, lessons: str, who: str) -> None:
    """What runs and files hold beside the store: other wordings, samples of a run, a run that was killed, lessons from a file."""
    with draft(home, "lessons", f"worded-{who}", parents=[lessons]) as work:
        write_rows(work.path / "sft.jsonl", [{"messages": [{"role": "user", "content": sentence("wording", who)}]}])
    told = {"settings": {"spread": work.artifact.ref}}
    for name, files in (("run", ("sample", "checkpoint")), ("killed", ("unfinished",))):
        folder = home / "runs" / f"prefer-{name}-{who}"
        folder.mkdir(parents=True)
        write_json(folder / "resolved.json", told)
        for place in files:
            (folder / {"sample": "samples.jsonl"}.get(place, "checkpoint.pt")).write_text(sentence(place, who))
    write_json(home / "runs" / f"prefer-run-{who}" / "done.json", {})
    dialogues = home.parent / f"{who}.jsonl"
    rows = [[sentence("asked", who), "yes"], [sentence("imported", who), "no"], ["what else is there to ask?", "nothing"]]
    write_rows(dialogues, [{"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]} for a, b in rows])
    import_lessons(home, f"from-a-file-{who}", [dialogues])


@pytest.fixture
def lived_in(home):
    """The owner and Ann talked, corrected, and were learnt from in one turn."""
    make_home(home)
    with Store.open(home) as store:
        for who, principal in (("ann", ANN), ("owner", "owner"), ("bob", BOB)):
            talk(store, who, principal)
    result = owner_turn(home, SPREAD)
    assert result.verdict == "promoted"
    for who in ("ann", "owner"):
        leave_traces(home, result.outputs["curate"]["lessons"], who)
    return home


def test_no_byte_of_it_stays(lived_in):
    """Every place in which a word can land, raw, for somebody with a key and for the owner, whose words are in exams and receipts too."""
    words = {who: [needle(place, who) for place in PLACES] for who in ("ann", "owner")}
    there = found_in(lived_in, words["ann"] + words["owner"])
    for who in ("ann", "owner"):
        places = {entry.rpartition(": ")[2] for entry in there if entry.endswith(tuple(words[who]))}
        assert places == set(words[who])
    assert any(entry.startswith("exams/") for entry in there)
    assert any("receipt.json" in entry for entry in there)
    kept = found_in(lived_in, [needle("asked", "bob"), needle("edit", "bob")])
    for who, name in (("ann", "user:ann"), ("owner", "owner")):
        forgotten = forget(lived_in, name)
        assert forgotten.num_events == 3
        # The weights are another matter, two tests on. A file does not say whose words it holds: those that were said here too are found.
        left = {entry for entry in found_in(lived_in, words[who]) if not entry.startswith("models/")}
        assert {entry.rpartition(": ")[2] for entry in left} == {needle("imported", who)}
        assert {entry.partition("@")[0] for entry in left} == {f"lessons/from-a-file-{who}"}
    assert {entry for entry in found_in(lived_in, [needle("asked", "bob"), needle("edit", "bob")]) if "feilun.db" in entry} == {
        entry for entry in kept if "feilun.db:" in entry
    }
    assert [fault for kind in ("lessons", "exams", "runs", "models") for a in list_artifacts(lived_in, kind) for fault in verify(a)] == []


def test_what_is_left_of_it_is_hash_and_lineage(lived_in):
    before = {f"{a.kind}/{a.ref}": a for kind in ("lessons", "exams", "runs", "models") for a in list_artifacts(lived_in, kind)}
    swept = forget(lived_in, "owner").swept
    assert {ref.partition("@")[0] for ref in swept.entombed} >= {"lessons/turn-1", "lessons/turn-1-spread", "exams/turn-1-lessons"}
    assert [ref.partition("@")[0] for ref in swept.blanked] == ["runs/turn-1-gate"]
    assert [ref.partition("@")[0] for ref in swept.models] == ["models/turn-1"]
    for ref in swept.entombed:
        grave = find(lived_in, ref, erased_too=True)
        assert (grave.parents, grave.manifest["files"]) == (before[ref].parents, before[ref].manifest["files"])
        assert [path.name for path in grave.path.iterdir()] == ["manifest.json"]
        with pytest.raises(UserError, match="was erased"):
            find(lived_in, ref)
    receipt = read_json(find(lived_in, swept.blanked[0]).path / "receipt.json")
    assert receipt["verdict"] == "promoted"
    assert [(row["question"], row["kept"], row["erased"]) for row in receipt["taught"]] == [("", True, True)]
    with Store.open(lived_in) as store:
        assert sweep(lived_in, store)[:2] == ((), ())


def test_the_champion_is_made_again_without_it(lived_in, capsys):
    with Store.open(lived_in) as store:
        first, tainted = (row.model for row in store.history())
        assert not proof_of(lived_in, store, tainted).erased
    forget(lived_in, "user:ann")
    with Store.open(lived_in) as store:
        assert store.champion().model == tainted
        assert len(proof_of(lived_in, store, tainted).erased) == 1
    # Killed in the middle of the training, and asked again.
    drill(lived_in, **{"raise": ["train", "before"]})
    with pytest.raises(OSError, match="no space"):
        retrain(lived_in, command=run_here)
    made = retrain(lived_in, command=run_here)
    assert made.turn.verdict == "promoted"
    assert made.entombed == (tainted,)
    answers = read_json(find(lived_in, made.champion).path / "model.json")["answers"]
    assert needle("edit", "owner") in str(answers)
    assert needle("edit", "ann") not in str(answers)
    with Store.open(lived_in) as store:
        proof = proof_of(lived_in, store, made.champion)
        assert (proof.is_clean, proof.num_events) == (True, 2)
        assert store.turns()[-1].plan["rebuilds"] == [tainted]
        # Nothing leads back to what had learnt from it.
        assert store.rollback("again").model == first
        with pytest.raises(UserError, match="was erased"):
            promote(lived_in, tainted)
        with pytest.raises(Conflict, match="set aside"):
            store.set_champion(tainted, "by hand")
    assert found_in(lived_in, [needle(place, "ann") for place in PLACES if place != "imported"]) == set()
    assert retrain(lived_in, command=run_here).turn is None
    assert main(["--home", str(lived_in), "forget"]) == 2
    assert main(["--home", str(lived_in), "forget", "--retrain"]) == 0
    assert "proof: models/first@" in capsys.readouterr().out


def test_a_rollout_gives_way_to_a_champion_that_is_made_again(lived_in):
    with Store.open(lived_in) as store:
        champion, turn = store.champion(), store.turns()[-1]
        plan = {**turn.plan, "name": "turn-2", "champion": {"model": champion.model, "epoch": champion.epoch}}
        turn_id = store.start_turn(plan)
        candidate = next(row.model for row in store.history())
        row = rolling.begin(store, store.turn(turn_id), candidate, RolloutSettings())
        store.finish_turn(turn_id, "rolling_out", "it rose")
        assert rolling.look(lived_in, store).stage == "shadow"
    forget(lived_in, "user:ann")
    made = retrain(lived_in, command=run_here)
    assert made.turn.verdict == "promoted"
    with Store.open(lived_in) as store:
        ended, left = store.rollouts()[-1], store.turn(turn_id)
        assert (ended.id, ended.stage, left.state) == (row.id, "aborted", "refused")
        assert "made again without it first" in left.why
        assert [receipt.gate for receipt in store.receipts() if receipt.turn_id == turn_id][-1] == "account"
        assert store.champion().model == made.champion != champion.model
        assert proof_of(lived_in, store, made.champion).is_clean


def test_where_nothing_is_left_to_learn_the_earlier_model_answers(lived_in):
    with Store.open(lived_in) as store:
        first, tainted = (row.model for row in store.history())
    forget(lived_in, "owner")
    made = retrain(lived_in, command=run_here)
    assert (made.turn.verdict, made.champion, made.entombed) == ("refused", first, (tainted,))


def test_a_model_that_no_turn_made_is_owed(home):
    make_home(home)
    correct(home, "what is it?", "a secret that is long enough")
    with Store.open(home) as store:
        event = store.events()[0].id
    with draft(home, "lessons", "by-hand") as lessons:
        lessons.counts["events"] = [event]
    with draft(home, "models", "by-hand", parents=[f"lessons/{lessons.artifact.ref}"], recipe={"stage": "sft"}) as model:
        (model.path / "weights").write_text("w")
    with Store.open(home) as store:
        store.set_champion(f"models/{model.artifact.ref}", "by hand")
    assert forget(home, "owner").swept.models == (f"models/{model.artifact.ref}",)
    with pytest.raises(UserError, match="feilun sft"):
        retrain(home, command=run_here)
    with Store.open(home) as store:
        assert store.rollback("away from it").model.startswith("models/first@")
    assert retrain(home, command=run_here).entombed == (f"models/{model.artifact.ref}",)


def test_who_is_meant(home):
    with Store.open(home) as store:
        for number, principal in enumerate((ANN, "key:other/ann", BOB, "key:ann", "key:app/x/ann")):
            answered(store, f"question {number}", principal=principal)
        assert principals_of(store, "user:ann") == (ANN, "key:other/ann")
        assert principals_of(store, "user:x/ann") == ("key:app/x/ann",)
        assert principals_of(store, "user:nobody") == ()
        assert principals_of(store, "key:ann") == ("key:ann",)
        with pytest.raises(UserError, match="names nobody"):
            principals_of(store, "user:")


def test_an_answer_that_comes_after_its_question_was_erased_is_not_kept(home):
    with Store.open(home) as store:
        answered(store, "q", principal=ANN, thread="t")
        late = CompletionRecord(
            id="late", principal=ANN, model="m", thread_id="t", messages=[{"role": "user", "content": "q"}],
            choices=[{"index": 0, "text": "a", "finish_reason": "stop", "num_tokens": 1}], decision=Decision(engine="e", model="m"),
            started=5.0,
        )  # fmt: skip
        store.forget_thread(ANN, "t")
        for write in (store.record_completion, store.drafts.save):
            with pytest.raises(Conflict, match="erased while"):
                write(late)
        store.record_completion(replace(late, thread_id="another"))
        store.forget(ANN)
        with pytest.raises(Conflict, match="erased while"):
            store.record_completion(replace(late, id="later", thread_id="a third"))
        store.record_completion(replace(late, id="since", started=9e12))
        with pytest.raises(NotFound):
            say(store, "late", "thumb", 1, principal=ANN)


def test_pages_that_were_joined_keep_nothing(home):
    """secure_delete alone leaves 23 copies here: what a page held before it was joined with another stays in its free space."""
    rng = random.Random(3)
    rows = []
    for number in range(3000):
        principal, word = (ANN, "qxneedle") if rng.random() < 0.5 else (BOB, "plainword")
        content = [{"type": "text", "text": f"{word}{number} " * rng.randrange(1, 90)}]
        rows.append({"address": f"{rng.getrandbits(128):032x}", "parent": "", "principal": principal, "role": "user", "content": content})
    with Store.open(home) as store:
        store._database.write(lambda c: c.execute(messages.insert(), rows))
        assert found_in(home, ["qxneedle"])
        store.forget(ANN)
        assert found_in(home, ["qxneedle"]) == set()
        assert found_in(home, ["plainword"]) == {"feilun.db: plainword"}


def test_a_running_server_drops_what_another_process_erased(tmp_path):
    with open_house(tmp_path / "home") as house:
        house.promote("first")
        headers = house.key("app", "chat", "feedback")
        with house.client(headers) as client:
            until(lambda: client.get("/health").json()["model"])
            house.script.hold = 1
            made = post(client, "tell me of the green moon")
            assert status_of(client, made.id) == 200
            assert forget(house.home, "key:app").principals == ("key:app",)
            until(lambda: status_of(client, made.id) == 404)
            house.go.set()
            until(lambda: client.get("/api/threads").json()["threads"] == [])
        assert found_in(house.home, ["green moon"]) == set()


def status_of(client, generation_id: str) -> int:
    with client.stream("GET", f"/api/generations/{generation_id}") as response:
        return response.status_code


def test_graves_and_redactions_are_whole(home):
    with draft(home, "runs", "r") as work:
        (work.path / "folder").mkdir()
        for name in ("a.json", "folder/b.json"):
            (work.path / name).write_text("{}")
    artifact = work.artifact
    redact(artifact, {"a.json": b'{"blank": 1}'}, {"why": "so"})
    artifact = find(home, "r")
    assert verify(artifact) == []
    (artifact.path / "a.json").write_text("{}")
    assert verify(artifact) == ["a.json: content differs"]
    entomb(artifact, {"why": "so"})
    grave = find(home, "r", erased_too=True)
    assert verify(grave) == []
    (grave.path / "left.json").write_text("by one who was killed")
    entomb(grave, {"why": "again"})
    assert [path.name for path in grave.path.iterdir()] == ["manifest.json"]
    assert read_json(grave.path / "manifest.json")["tombstone"]["why"] == "so"
    shutil.rmtree(grave.path)


def test_lessons_from_a_file_are_told_what_takes_their_place(home):
    make_home(home)
    with Store.open(home) as store:
        answered(store, "what is my old address?", "Long Street 7", principal=ANN)
    dialogues = home.parent / "d.jsonl"
    rows = [("what is my old address?", "I do not know"), ("what is 2 + 2, my friend?", "4")]
    write_rows(dialogues, [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in rows])
    old = import_lessons(home, "talks", [dialogues])
    replaced = forget(home, "user:ann").replaced
    (new,) = replaced.values()
    assert [row["messages"][0]["content"] for row in read_rows(find(home, new).path / "sft.jsonl")] == ["what is 2 + 2, my friend?"]
    assert find(home, new).manifest["counts"]["erased"] == 1
    with pytest.raises(UserError, match=f"use {new}"):
        find(home, old.ref)
    assert f"lessons/{find(home, 'talks').ref}" == new
    assert json.loads((old.path / "manifest.json").read_text())["tombstone"]["successor"] == new


def test_lessons_from_another_program_are_found_by_its_name_for_somebody(home):
    make_home(home)
    for name in ("ann", "bob"):
        with draft(home, "lessons", f"talks-{name}", recipe={"imported": ["a.json"], "from": "openwebui"}) as work:
            rows = [{"messages": [{"role": "user", "content": f"{name} asks"}], "rater": rater_hash(f"import:openwebui/{name}")}]
            write_rows(work.path / "sft.jsonl", rows)
    replaced = forget(home, "user:ann").replaced
    assert [ref.partition("@")[0] for ref in replaced] == ["lessons/talks-ann"]
    assert found_in(home, ["ann asks"]) == set()
