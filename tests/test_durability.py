"""What was acknowledged is there, once, however the writers end; and what stands is what a replay of the log says."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_store import add_completion

from benchmarks.durability import Measured, slope
from feilun.store import CompletionRecord, EventRow, FeedbackRequest, Store, StoreError
from feilun.types import Decision

CHILD = Path(__file__).with_name("durability_child.py")
ROOT = CHILD.parents[1]


class Crew:
    """Some writers in a process of their own, and what it was told."""

    def __init__(self, home: Path, names: Iterable[str], count: int):
        self.home, self.count = home, count
        self.next = dict.fromkeys(names, 0)
        self.told: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(CHILD), str(self.home), json.dumps(self.next), str(self.count)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.ear = threading.Thread(target=self.hear)
        self.ear.start()

    def hear(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    writer, number, event_id = line.split()
                    self.told[f"{writer}/{number}"] = event_id
                    self.next[writer] = int(number) + 1

    @property
    def has_work(self) -> bool:
        return min(self.next.values()) < self.count

    def end(self) -> int:
        """Wait for the end and hear all that was said before it."""
        status = self.process.wait()
        self.ear.join()
        return status

    def kill(self) -> bool:
        """False where it had ended before."""
        self.process.send_signal(signal.SIGKILL)
        return self.end() == -signal.SIGKILL


def kill_one(crews: list[Crew], rng: random.Random) -> bool:
    """Kill one that has something left to write, and start it again; False where nobody has. One that ended meanwhile is none."""
    while busy := [crew for crew in crews if crew.has_work]:
        crew = rng.choice(busy)
        was_killed = crew.kill()
        crew.start()
        if was_killed:
            return True
    return False


def drill(home: Path, *, num_crews: int, num_each: int, count: int, num_kills: int, seed: int) -> int:
    """Kill crews at random moments and start them again, until each writer has had all its events acknowledged; the kills."""
    rng, kills = random.Random(seed), 0
    with Store.open(home) as store:
        add_completion(store)
    crews = [Crew(home, [f"{k}-{i}" for i in range(num_each)], count) for k in range(num_crews)]
    total = num_crews * num_each * count
    for moment in sorted(rng.sample(range(total * 9 // 10), num_kills)):
        while sum(len(crew.told) for crew in crews) < moment and any(crew.process.poll() is None for crew in crews):
            rng.choice(crews).ear.join(rng.random() * 0.01)
        kills += kill_one(crews, rng)
    assert [crew.end() for crew in crews] == [0] * num_crews
    told = {key: event_id for crew in crews for key, event_id in crew.told.items()}
    with Store.open(home) as store:
        stored = [(event.value, event.id) for event in store.events()]
    assert len(told) == total
    assert dict(stored) == told
    assert len(stored) == total
    with sqlite3.connect(home / "feilun.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
    return kills


def test_what_killed_writers_were_told_is_there_once(home):
    assert drill(home, num_crews=2, num_each=4, count=30, num_kills=3, seed=1) == 3


@pytest.mark.slow
def test_ten_thousand_events_and_fifty_kills(home):
    assert drill(home, num_crews=4, num_each=8, count=320, num_kills=50, seed=2) == 50


# the view of current votes, and a replay of the log by other means

RATERS, ANSWERS = ("key:k/ann", "key:k/bob"), ("0", "1", "2")
acts = st.lists(
    st.tuples(
        st.sampled_from(RATERS), st.sampled_from(ANSWERS), st.sampled_from(["thumb", "edit", "choice", "comment", "take back", "replace"]),
        st.integers(0, 5),
    ),
    max_size=14,
)  # fmt: skip


def act(store: Store, rater: str, answer: str, kind: str, number: int) -> None:
    """One act; one that the store refuses leaves nothing."""
    values = {"thumb": number % 3 - 1, "edit": f"better {number % 2}", "comment": "hm"}
    mine = [event for event in store.events() if event.principal == rater]
    target = f"{rater}/{answer}"
    if kind == "choice":
        others = [f"{rater}/{name}" for name in ANSWERS if name != answer][: 1 + number % 2]
        outcome = ("win", "tie", "both_bad")[number % 3]
        given = {"kind": "choice", "value": {"over": [{"id": other, "index": 0} for other in others], "outcome": outcome}}
    elif kind == "take back":
        earlier = mine[-1 - number % len(mine)] if mine else None
        target = earlier.target_id if earlier else target
        given = {"kind": earlier.kind if earlier else "thumb", "value": None, "supersedes": earlier.id if earlier else "none"}
    elif kind == "replace":
        given = {"kind": "edit", "value": "another", "supersedes": mine[-1 - number % len(mine)].id if mine else None}
    else:
        given = {"kind": kind, "value": values[kind]}
    try:
        store.record_feedback(FeedbackRequest(principal=rater, target_id=target, **given))
    except StoreError:
        return


def replay(log: Iterable[EventRow]) -> Iterator[list[str]]:
    """Ids that stand after each event, in order of seq: kept by walking the log once, with a place for what can be replaced."""
    standing: dict[str, EventRow] = {}
    for event in log:
        place = place_of(event)
        if place is not None:
            standing = {key: other for key, other in standing.items() if place_of(other) != place}
        standing.pop(event.supersedes or "", None)
        is_retraction = event.value is None or (event.kind == "thumb" and event.value == 0)
        if not is_retraction and not event.erased:
            standing[event.id] = event
        yield list(standing)


def place_of(event: EventRow) -> tuple[object, ...] | None:
    if event.value is None or event.kind not in ("thumb", "edit", "choice"):
        return None
    targets = {event.target_id, *(item["id"] for item in event.value["over"])} if event.kind == "choice" else {event.target_id}
    return (event.principal, event.kind, frozenset(targets))


@given(acts)
@settings(max_examples=20, deadline=None)
def test_what_stands_is_a_replay_of_the_log(given_acts):
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        for rater in RATERS:
            for name in ANSWERS:
                choices = [{"index": 0, "text": name, "finish_reason": "stop", "num_tokens": 1}]
                store.record_completion(
                    CompletionRecord(
                        id=f"{rater}/{name}", principal=rater, model="m", thread_id="t", messages=[{"role": "user", "content": "?"}],
                        choices=choices, decision=Decision(engine="echo", model="m"),
                    )
                )  # fmt: skip
        for given_act in given_acts:
            act(store, *given_act)
        log = store.events()
        replayed = [[], *replay(log)]
        assert [vote.id for vote in store.current_votes()] == replayed[-1]
        half = len(log) // 2
        assert [vote.id for vote in store.current_votes(log[half - 1].seq if half else 0)] == replayed[half]
        # Erasure takes away what one of them said, and nothing of what the other's log says.
        store.forget(RATERS[0])
        of_bob = [event for event in log if event.principal == RATERS[1]]
        assert [vote.id for vote in store.current_votes()] == [[], *replay(of_bob)][-1]


def test_several_requests_of_one_commit_know_of_each_other(home):
    """A group is recorded together: a key that comes twice in it is one event, and an event may supersede one of its own group."""
    from feilun.store import feedback

    def ask(kind, value, **more):
        return FeedbackRequest(principal="p", target_id="c1", kind=kind, value=value, **more)

    with Store.open(home) as store:
        add_completion(store)
        twice = [ask("comment", "a", idempotency_key="k"), ask("comment", "a", idempotency_key="k"), ask("edit", "b")]
        first, again, _ = store._database.write(lambda c: feedback.record(c, twice))
        assert (first.status, again.status, again.id) == ("recorded", "duplicate", first.id)
        with pytest.raises(StoreError, match="another body"):
            store._database.write(
                lambda c: feedback.record(c, [ask("comment", "x", idempotency_key="j"), ask("edit", "y", idempotency_key="j")])
            )
        assert len(store.events()) == 2
        superseded = store._database.write(lambda c: feedback.record(c, [ask("thumb", 1), ask("thumb", -1, supersedes=first.id)]))
        assert [result.status for result in superseded] == ["recorded", "superseded"]


def test_the_benchmark_tells_how_much_slower_its_last_round_was() -> None:
    rounds = [Measured(4400.0, 0.2), Measured(5000.0, 0.3), Measured(1100.0, 0.9)]
    assert slope(rounds) == (0.25, 4.5)
