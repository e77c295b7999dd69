"""The demo's parts: what a home was told, what its children say, the report, and a text of one's own."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
from ring_house import turn_ring

from feilun.artifacts import find, read_json
from feilun.config import load_recipe
from feilun.demo.children import Server, cpu_of_process, run_child, spent_cpu_seconds
from feilun.demo.report import REPORTS, champion_row, page, table_lines
from feilun.demo.ring import is_done, leave_owner_turn, parse_progress, with_turns
from feilun.demo.stages import MAX_PIECE_CHARS, cut_place, open_keys, pieces, run_demo_stage, split_text, turn_settings
from feilun.demo.state import DemoState, held, open_state, read_state
from feilun.primer.numbers import holds_reserved_pair
from feilun.store import Store
from feilun.turn import left_settings
from feilun.types import Document, UserError

TOLD = {"seed": 0, "text": [], "recipe": "demo", "control": "none"}


# what a home was told


def test_a_home_remembers(home):
    state = open_state(home, **TOLD)
    state.refs["corpus"] = "corpus/demo@1"
    state.save()
    assert open_state(home, **TOLD).refs == {"corpus": "corpus/demo@1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 3}, "seed: 0 there, 3 asked"),
        ({"control": "shuffled"}, '"none" there, "shuffled" asked'),
        ({"recipe": "tiny"}, '"tiny" asked'),
    ],
)
def test_a_home_made_otherwise_is_an_error_that_names_both(change, said, home):
    open_state(home, **TOLD)
    with pytest.raises(UserError, match=said):
        open_state(home, **{**TOLD, **change})


def test_another_text_is_another_home(home, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    open_state(home, **{**TOLD, "text": [tmp_path / "a.txt"]})
    open_state(home, **{**TOLD, "text": [tmp_path / "a.txt"]})
    with pytest.raises(UserError, match=r"a\.txt \(3 bytes, \w+\) there, no text asked"):
        open_state(home, **TOLD)
    (tmp_path / "a.txt").write_text("longer")
    with pytest.raises(UserError, match=r"\(3 bytes, \w+\) there, .*\(6 bytes"):
        open_state(home, **{**TOLD, "text": [tmp_path / "a.txt"]})
    with pytest.raises(UserError, match="no such file"):
        open_state(home, **{**TOLD, "text": [tmp_path / "b.txt"]})


def test_a_recipe_of_ones_own_is_the_same_from_everywhere(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_state(home, **{**TOLD, "recipe": "mine.py"})
    assert read_state(home).told["recipe"] == str(tmp_path / "mine.py")
    open_state(home, **{**TOLD, "recipe": str(tmp_path / "mine.py")})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"told": {}}'])
def test_a_torn_state_is_named(text, home):
    (home / "demo.json").write_text(text)
    with pytest.raises(UserError, match=r"demo\.json cannot be read"):
        open_state(home, **TOLD)


def test_stages_need_a_demo_and_a_name(home):
    with pytest.raises(UserError, match="holds no demo"):
        run_demo_stage(home, "corpus")
    with pytest.raises(UserError, match="allowed: corpus, tokenizer"):
        run_demo_stage(home, "polish")


def test_a_finished_demo_goes_on_when_more_turns_are_asked(home):
    state, recipe = open_state(home, **TOLD), load_recipe("demo")
    assert recipe.demo.turns == 3
    state.refs |= dict.fromkeys(("events-1", "turn-1", "final-turn-1", "turn-2", "turn-3", "report"), "made")
    for name in REPORTS:
        (home / name).write_text(json.dumps({"generations": [{}] * 4}))
    done = {asked: is_done(state, with_turns(recipe, state, asked)) for asked in (None, 1, 3, 4)}
    assert done == {None: True, 1: True, 3: True, 4: False}
    assert with_turns(recipe, state, 5).demo.turns == 5
    state.refs["turn-4"] = "made"  # killed before the report: the command without a number finishes what has turned
    assert not is_done(state, with_turns(recipe, state, None))
    assert with_turns(recipe, state, 1).demo.turns == 4
    with pytest.raises(UserError, match="--turns 0: a ring turns at least once"):
        with_turns(recipe, state, 0)


def test_one_demo_a_home(home):
    code = (
        "import sys, time; from pathlib import Path; from feilun.demo.state import held\n"
        "with held(Path(sys.argv[1])): print(1, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(UserError, match=rf"another demo is at work in .* \(process {other.pid}\)"), held(home):
            pass
        other.kill()
    with held(home):
        pass


# children


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('@{"done": 3, "total": 9}', {"done": 3, "total": 9}), ('{"done": 25, "events": 60}', {"done": 25, "events": 60}), ("@{", None),
        ('{"events": 60, "statuses": {}}', None), ("models/first@1", None), ("[1]", None), ("", None), ("width = 128", None),
    ],
)  # fmt: skip
def test_progress_of_a_child(line, row):
    assert parse_progress(line) == row


def test_a_child_is_heard_and_its_failure_told():
    heard = []
    assert run_child([sys.executable, "-c", "print(1); print('二')"], label="it", on_line=heard.append) == "二"
    assert heard == ["1", "二"]
    with pytest.raises(UserError, match=r"it ended with status 3 \(oh\); run the same command again"):
        run_child([sys.executable, "-c", "print('oh'); raise SystemExit(3)"], label="it")
    with pytest.raises(UserError, match="was killed by signal 9"):
        run_child([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], label="it")
    assert "\ufffd" in run_child([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'\\xff')"], label="it")


def test_a_child_does_not_outlive_the_one_who_listens():
    pids = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", code], label="it", on_line=interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_server_that_does_not_start_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the server did not start"):
        Server(tmp_path / "file")


def test_a_server_that_ends_is_noticed(home):
    server = Server(home, "port=0")
    server.check()
    assert server.url.startswith("http://127.0.0.1:")
    assert server.cpu_since_last() > 0
    os.kill(server.child.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="the server has ended"):
        server.wait()
    assert server.cpu_since_last() == 0
    server.stop()


def test_cpu_seconds():
    assert cpu_of_process(os.getpid()) > 0
    assert cpu_of_process(2**22 + 1) == 0
    assert spent_cpu_seconds() > 0


def test_keys_are_made_once_and_kept_from_others(home):
    first = {name: path.read_text() for name, path in open_keys(home).items()}
    assert {name: path.read_text() for name, path in open_keys(home).items()} == first
    assert (home / "keys" / "demo.key").stat().st_mode & 0o077 == 0
    with Store.open(home) as store:
        assert store.find_key(first["demo"].strip()).scopes == {"chat", "feedback", "assert_end_user"}


# text of one's own


def test_pieces_end_at_the_cap():
    books = [Document(id="a", text="字" * (MAX_PIECE_CHARS + 5)), Document(id="b", text="x" * 100)]
    assert [(p.id, len(p.text)) for p in pieces(books, 10**6)] == [("a-0", MAX_PIECE_CHARS), ("a-1", 5), ("b-0", 100)]
    assert [p.id for p in pieces(books, 3 * MAX_PIECE_CHARS)] == ["a-0"]
    assert list(pieces(books, 10)) == []


def test_a_reserved_pair_costs_a_paragraph_and_nothing_is_lost_or_cut_in_a_number():
    text = "".join(f"{a}.{b} 是第{a}行的数。\n" for a in range(20) for b in range(10, 30))
    parts = list(split_text(text))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= MAX_PIECE_CHARS
    assert all(part.endswith("。\n") for part in parts)
    assert sum(len(part) for part in parts if not holds_reserved_pair(part)) > len(text) / 4
    assert list(split_text("")) == [""]
    assert cut_place("字" * 10, 6) == 6
    assert cut_place("ab cd ef gh", 8) == 6


def test_own_text_is_read_counted_and_told(home, tmp_path, capsys):
    recipe = load_recipe("tiny")
    source = tmp_path / "mine.py"
    source.write_text(
        "import dataclasses\nfrom feilun.config import load_recipe\n"
        "def recipe():\n    tiny = load_recipe('tiny')\n"
        "    return dataclasses.replace(tiny, demo=dataclasses.replace(tiny.demo, num_documents=50, max_text_bytes=3000))\n"
    )
    (tmp_path / "text").mkdir()
    for number in range(4):
        (tmp_path / "text" / f"{number}.md").write_text("".join(f"第{number}章第{n}句,山高水长。" for n in range(60)), encoding="utf-8")
    found = sum(path.stat().st_size for path in (tmp_path / "text").iterdir())
    open_state(home, seed=0, text=[tmp_path / "text"], recipe=str(source), control="none")
    run_demo_stage(home, "corpus")
    said = capsys.readouterr().out
    assert f"your text: {found:,} bytes found" in said
    assert "(the cap is 3,000)" in said
    assert "% of the corpus" in said
    assert [a.partition("@")[0] for a in find(home, "demo", "corpus").parents] == ["corpus/text"]
    run_demo_stage(home, "corpus")  # found again, nothing is said twice
    assert capsys.readouterr().out.count("\n") == 1
    assert recipe.demo.max_text_bytes > 10**6


# turns, report


def test_each_turn_has_settings_of_its_own(home):
    state = DemoState(home, {**TOLD, "seed": 2}, {"examples": "lessons/e@1", "tokens": "tokens/t@1"}, {}, 0.0)
    first, second = (turn_settings(state, load_recipe("demo"), number) for number in (1, 2))
    assert first != second
    assert dataclasses.replace(second, prefer=dataclasses.replace(second.prefer, seed=first.prefer.seed)) == first
    assert (first.prefer.replay, first.prefer.text) == ("lessons/e@1", "tokens/t@1")


def test_the_owners_turn_is_left_in_the_home(home):
    state = DemoState(home, {**TOLD, "seed": 2}, {"examples": "lessons/e@1", "tokens": "tokens/t@1"}, {}, 0.0)
    recipe = load_recipe("demo")
    leave_owner_turn(state, recipe)
    with Store.open(home) as store:
        left = left_settings(store)
    assert left.rise_task == "taught"
    assert left.protect == recipe.turn.protect
    assert (left.prefer.replay, left.prefer.text) == ("lessons/e@1", "tokens/t@1")
    assert left.prefer.seed not in {turn_settings(state, recipe, number).prefer.seed for number in range(1, 100)}


FIGURE = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 400, "reasons": {}, "cells": {"1-2": {"mean": 0.25}}}


BLIND = {
    "against": "first",
    "wins": 6,
    "losses": 4,
    "ties": 3,
    "both_bad": 1,
    "users": 5,
    "share": {"mean": 0.6, "low": 0.5, "high": 0.7, "n": 10},
}


def generation(name: str, verdict: str, why: str = "", blind: dict | None = None) -> dict:
    exams = dict.fromkeys(("number_hard", "number_near", "copying"), FIGURE)
    about = {"acceptance": FIGURE, "exams": exams, "blind": blind}
    return {"name": name, "model": f"models/{name}@1", "verdict": verdict, "why": why, **about}


def test_the_champion_is_the_last_that_was_promoted():
    rows = [generation("first", "first"), generation("turn 1", "promoted"), generation("turn 2", "refused")]
    assert champion_row(rows)["name"] == "turn 1"
    assert champion_row([rows[0], rows[2]])["name"] == "first"
    lines = table_lines(rows)
    assert [line.split()[0] for line in lines[2:5]] == ["first", "turn", "turn"]
    assert "1-2 0.25" in lines[5]


def test_blind_choices_are_told_with_what_was_not_decided():
    rows = [generation("first", "first"), generation("turn 1", "promoted", blind=BLIND)]
    said = "turn 1 wins 0.60 of the blind choices against first (0.50 to 0.70, n = 10; 3 ties, 1 both bad)"
    assert said in table_lines(rows)
    assert said.removeprefix("turn 1 ") in page(report_of(rows), b"")
    none = {**BLIND, "wins": 0, "losses": 0, "share": {"mean": None, "low": None, "high": None, "n": 0}}
    rows[1]["blind"] = none
    assert "turn 1 against first: no choice was decided (3 ties, 1 both bad)" in table_lines(rows)
    assert "None" not in page(report_of(rows), b"")
    del rows[1]["blind"]  # a report from before there were any
    assert "no choice" not in "".join(table_lines(rows)) + page(report_of(rows), b"")


def report_of(rows: list[dict]) -> dict:
    return {"generations": rows, **dict.fromkeys(("seed", "events", "cpu_seconds", "seconds", "champion"), 0), "machine": "<i>"}


def test_the_page_says_what_it_is_given_and_nothing_else():
    row = generation("<b>first</b>", "first", "a < b & <script>alert(1)</script>")
    written = page(report_of([row]), b"png")
    assert "<script>" not in written
    assert "<b>" not in written
    assert "<i>" not in written
    assert "a &lt; b &amp; &lt;script&gt;" in written
    assert "0.500" in written
    assert "src='data:image/png;base64,cG5n'" in written


# minutes long


@pytest.mark.slow
def test_the_ring_turns_on_three_megabytes_of_ones_own_text(tmp_path):
    folder, home = tmp_path / "文", tmp_path / "home"
    folder.mkdir()
    words = "山高水长春去秋来花开叶落风起云涌月明星稀人来人往"
    for book in range(12):
        lines = (f"{book} {n} " + "".join(words[(n * 7 + k * (book + 3)) % len(words)] for k in range(90)) for n in range(950))
        (folder / f"{book}.txt").write_text("\n".join(lines), encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 3_000_000
    said = turn_ring(home, "--text", str(folder))
    assert f"your text: {size:,} bytes found" in said
    report = read_json(home / "report.json")
    assert report["generations"][-1]["verdict"] == "refused"
    stats = json.loads((find(home, "demo", "corpus").path / "stats.json").read_text(encoding="utf-8"))
    assert sum(stats["bytes"].values()) > 2_500_000
