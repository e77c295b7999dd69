"""Turns on request: real processes, killed at bad moments; no request is lost, none is served twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from owner_house import NO_EXAMS, QUICK, correct, drill, make_home, watched
from serve_house import until

from feilun.artifacts import write_json
from feilun.cli import main
from feilun.config import WatchSettings
from feilun.feedback.worth import Worth
from feilun.store import Store, TurnRow
from feilun.store.schema import withheld
from feilun.turn import due_now, leave_settings, leave_watch, left_watch, watch, watcher_beside
from feilun.turn.beside import again_and_again
from feilun.turn.itself import ask_if_due
from feilun.turn.lease import is_dead
from feilun.turn.wheel import _only_turn

CHILD = Path(__file__).with_name("watch_child.py")


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """A home whose owner has corrected an answer and may turn the wheel."""
    make_home(home)
    correct(home, "cat?", "Mimi")
    with Store.open(home) as store:
        leave_settings(store, NO_EXAMS)
        yield store


@pytest.fixture
def watching(home: Path, store: Store) -> Iterator[None]:
    with watched(home):
        yield


def ended(store: Store, number: int) -> TurnRow:
    """The turn of this number, once no turn runs and no request waits."""
    until(lambda: len(store.turns()) >= number and store.unfinished_turn() is None and store.asked_turn() is None, 30.0)
    assert len(store.turns()) == number
    return store.turns()[-1]


def test_one_turn_for_every_request(home, store, watching):
    until(lambda: (store.read_note("turn_watch") or {}).get("pid") == os.getpid())
    assert store.turns() == []
    asked = store.ask_turn("owner")
    turn = ended(store, 1)
    assert (turn.state, turn.plan["request"]) == ("promoted", asked)
    store.ask_turn("owner")
    turn = ended(store, 2)
    assert turn.state == "refused"
    assert "correct an answer first" in turn.why
    correct(home, "dog?", "Rex")
    store.ask_turn("owner")
    assert ended(store, 3).state == "promoted"


def test_whoever_stops_says_so(home, store):
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(home,), kwargs={"stop": stop, "pace": QUICK})
    thread.start()
    until(lambda: (store.read_note("turn_watch") or {}).get("at", 0) > 0)
    stop.set()
    thread.join()
    assert store.read_note("turn_watch")["at"] == 0.0


def test_where_no_turn_can_begin_the_request_has_an_answer(tmp_path):
    with Store.open(tmp_path) as store:
        asked = store.ask_turn("owner")
        stop = threading.Event()
        thread = threading.Thread(target=watch, args=(tmp_path,), kwargs={"stop": stop, "pace": QUICK})
        thread.start()
        until(lambda: store.asked_turn() is None)
        stop.set()
        thread.join()
        note = store.read_note("turn_request")
        assert note["id"] == asked
        assert "there is no champion to start from" in note["answer"]["why"]
        assert store.turns() == []


def test_a_step_that_always_fails_ends_the_turn_with_a_reason_and_the_next_request_is_served(home, store, watching, capfd):
    write_json(home / "drill.json", {"raise": ["train", "before"]})
    keep_falling = threading.Event()

    def fall_again() -> None:
        while not keep_falling.wait(0.005):
            (home / "drilled").unlink(missing_ok=True)

    thread = threading.Thread(target=fall_again)
    thread.start()
    store.ask_turn("owner")
    turn = ended(store, 1)
    keep_falling.set()
    thread.join()
    assert turn.state == "failed"
    assert turn.why.startswith("abandoned: given up after 3 tries: OSError: no space left on device")
    assert "no space left" in capfd.readouterr().err
    drill(home)
    store.ask_turn("owner")
    assert ended(store, 2).state == "promoted"


def test_a_turn_of_somebody_else_is_waited_for_and_left_alone(home, store, watching):
    with _only_turn(home, store):
        store.ask_turn("owner")
        threading.Event().wait(0.2)
        assert store.turns() == []
    assert ended(store, 1).state == "promoted"
    by_hand = store.start_turn({"steps": ["collect"], "settings": {}, "name": "by hand"})
    threading.Event().wait(0.2)
    assert store.unfinished_turn().id == by_hand


# real processes


def start(home: Path, *apart: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(CHILD), str(home), *apart], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    child.wait()


def ran(home: Path) -> Counter:
    return Counter((home / "ran.log").read_text().split("\n")[:-1])


def test_a_killed_step_is_done_again_by_the_watcher_itself(home, store):
    drill(home, kill=["train", "after"])
    child = start(home, "train")
    asked = store.ask_turn("owner")
    turn = ended(store, 1)
    stop(child)
    assert (turn.state, turn.plan["request"]) == ("promoted", asked)
    assert ran(home)["curate after"] == 1
    assert ran(home)["train after"] == 2
    assert [row.reason.split()[0] for row in store.history()] == ["first", "turn"]


def test_a_killed_watcher_takes_its_step_along_and_the_next_one_goes_on(home, store):
    drill(home, hang=["train", "before"])
    first = start(home, "train")
    store.ask_turn("owner")
    until(lambda: (home / "drilled").exists(), 30.0)
    second = start(home, "train")  # waits for the first to end
    owner = store.unfinished_turn().steps["train"].owner
    first.kill()
    first.wait()
    until(lambda: is_dead(owner))
    turn = ended(store, 1)
    assert store.read_note("turn_watch")["pid"] == second.pid
    stop(second)
    assert turn.state == "promoted"
    assert ran(home)["curate after"] == 1
    assert len(store.history()) == 2


def test_serving_has_a_watcher_beside_it_which_is_started_again_and_ends_with_it(home, store):
    with watcher_beside(home, restart_seconds=0.01):
        until(lambda: store.read_note("turn_watch"), 30.0)
        first = store.read_note("turn_watch")["pid"]
        os.kill(first, signal.SIGKILL)
        until(lambda: store.read_note("turn_watch")["pid"] != first, 30.0)
        second = store.read_note("turn_watch")["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


# by itself


def test_the_wheel_turns_by_itself_when_enough_would_change_and_once(home, store, watching):
    eager = WatchSettings(by_itself=True, least_weight=0.1, look_seconds=0.05)
    leave_watch(home, store, replace(eager, least_weight=1.5))
    due = due_now(home, store, left_watch(store))
    assert (due.now, len(due.why)) == (False, 1)
    assert "more choices like the last ones would do" in due.why[0]
    correct(home, "dog?", "Rex")
    correct(home, "cow?", "Ada")
    turn = ended(store, 1)
    assert (turn.state, turn.plan["request"]) == ("promoted", store.read_note("turn_request")["id"])
    assert store.read_note("turn_request")["by"] == "itself"
    leave_watch(home, store, eager)
    with pytest.raises(AssertionError):
        until(lambda: len(store.turns()) > 1, 0.6)
    assert not due_now(home, store, eager).now
    correct(home, "hen?", "Eve")
    assert ended(store, 2).state == "promoted"
    leave_watch(home, store, WatchSettings())
    assert "would change 0.0%" in due_now(home, store, eager).why[0]
    release(store, store.events()[0].id)
    assert "would change 0.0%" not in due_now(home, store, eager).why[0]


def test_what_was_said_is_not_weighed_where_something_else_stands_in_the_way(home, store, monkeypatch):
    hour = time.localtime().tm_hour
    eager = WatchSettings(by_itself=True, least_weight=0.1)
    weighed = []
    monkeypatch.setattr("feilun.turn.itself.worth_now", lambda *_: weighed.append(1) or Worth(1.0, 0))
    assert not ask_if_due(home, store, replace(eager, hours=f"{(hour + 2) % 24}-{(hour + 3) % 24}"))
    assert weighed == []
    assert ask_if_due(home, store, eager)
    assert weighed == [1]
    assert not ask_if_due(home, store, eager)
    assert weighed == [1], "a turn is asked for already"


def test_after_a_look_that_took_long_nobody_looks_for_longer():
    begun = []

    def look() -> None:
        begun.append(time.monotonic())
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    with again_and_again("looks", look, 0.001, rest=10.0):
        until(lambda: len(begun) > 3)
    assert min(later - earlier for earlier, later in pairwise(begun)) >= 0.2


def test_a_dry_run_of_watching_tells_all_that_hinders_and_begins_nothing(home, store, capsys):
    hour = time.localtime().tm_hour
    outside = f"{(hour + 2) % 24}-{(hour + 3) % 24}"
    watching = ["--home", str(home), "turn", "--watch", "--dry-run"]
    assert main([*watching, "--set", "by_itself=true", "--set", "least_weight=0.1"]) == 0
    assert capsys.readouterr().out.startswith("a turn would begin now:\n  a turn would change 100.0% of the taught answers")
    assert main([*watching, "--set", f"hours={outside}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("no turn would begin now:\n  it does not turn by itself")
    assert f"allowed {outside} only" in said
    assert (store.turns(), store.asked_turn(), left_watch(store)) == ([], None, WatchSettings())


def test_what_failed_is_not_tried_again_by_itself_before_something_new_was_said(home, store):
    leave_settings(store, replace(NO_EXAMS, prefer=replace(NO_EXAMS.prefer, replay="no such lessons")))
    eager = WatchSettings(by_itself=True, least_weight=0.1)
    assert ask_if_due(home, store, eager)
    assert not ask_if_due(home, store, eager)
    store.answer_request(store.asked_turn()["id"], "there are no such lessons")
    assert not ask_if_due(home, store, eager)
    assert "nothing new was said since" in " ".join(due_now(home, store, eager).why)
    correct(home, "dog?", "Rex")
    assert ask_if_due(home, store, eager)
    store.answer_request(store.asked_turn()["id"], "there are no such lessons")
    assert not ask_if_due(home, store, eager)
    release(store, store.events()[-1].id)
    assert ask_if_due(home, store, eager)


def release(store: Store, event_id: str) -> None:
    """As if a rollout had taken this event away, and the owner let it teach again."""
    row = {"event_id": event_id, "rollout_id": "r", "at": 1.0, "released": time.time()}
    store._database.write(lambda c: c.execute(withheld.insert().values(row)))
