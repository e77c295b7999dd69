"""A home in which many have spoken, written straight into the tables: what a request costs must not follow how many they were."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.artifacts import draft
from feilun.config import RolloutSettings, TokenizerSettings
from feilun.store import OWNER, TEACH, FeedbackRequest, Store
from feilun.store.database import make_engine
from feilun.store.feedback import body_hash, slot
from feilun.store.identity import DESK, address_of, digest, parts_of, root_address, subject_of, uuid7
from feilun.store.schema import (
    assignments,
    choices,
    completions,
    erasures,
    events,
    exposures,
    judgements,
    messages,
    mirrors,
    receipts,
    rollouts,
    steps,
    tasks,
    turns,
    withheld,
)
from feilun.store.search import Passage, add
from feilun.store.store import BUSY_SECONDS, FILE_NAME
from feilun.tokenizer import Tokenizer
from feilun.turn.rollout import plan_rollout
from feilun.types import Decision

__all__ = ["COMMON", "fill", "make_model", "open_rollout", "person"]

TEAM = "key:team"  # one credential for a whole product: every fifth conversation is its own
COMMON = "苹果手机"  # in every question
DESK_NAME, ROLLOUT = "desk", "rollout-1"
RATERS = ("key:rater-0", "key:rater-1", "key:rater-2")
EVENTS_A_THREAD, ANSWERS_A_THREAD, THREADS_A_PERSON = 6, 3, 4
OWN_THREADS, OPEN_TASKS = 20, 40
STEPS = ("collect", "curate", "train", "exam", "gate", "promote")
AT_ONCE = 500

Row = dict[str, Any]
Rows = Iterable[tuple[sa.Table, list[Row]]]


class Thread(NamedTuple):
    """Two questions, the second answered twice; the figures by which everything in it is made."""

    number: int
    principal: str
    consent: str
    model: str
    at: float

    @property
    def id(self) -> str:
        return f"thread-{self.number}"

    def completion(self, place: int) -> str:
        return f"chatcmpl-{self.number:09}-{place}"


def make_model(home: Path, name: str) -> str:
    """A model that an echo can answer for; its ref."""
    tokenizer = Tokenizer.train(["a"], TokenizerSettings(vocab_size=320, num_reserved=8))
    with draft(home, "models", name, recipe={"name": name}) as work:
        tokenizer.save(work.path)
    assert work.artifact is not None
    return f"models/{work.artifact.ref}"


def person(number: int) -> str:
    return f"key:bench/user-{number}"


def fill(home: Path, num_events: int, champion: str, candidate: str) -> None:
    """About `num_events` events, half as many answers, a twentieth as many people; desks, turns and a rollout in proportion.

    The owner's conversations are the same few whatever the number; those of TEAM and of the crowd grow with it.
    """
    Store.open(home).close()
    num_threads = max(OWN_THREADS + 5, num_events // EVENTS_A_THREAD)
    num_people = max(1, num_threads // THREADS_A_PERSON)
    began = time.time() - num_threads
    threads = [_thread(number, num_people, champion, began) for number in range(num_threads)]
    engine = make_engine(home / FILE_NAME, BUSY_SECONDS)
    try:
        rest = iter(threads)
        while some := list(islice(rest, AT_ONCE)):
            with engine.execution_options(feilun_write=True).begin() as connection:
                _write(connection, merged(map(spoken, some)))
                for thread in some:
                    add(connection, thread.principal, passages(thread))
        with engine.execution_options(feilun_write=True).begin() as connection:
            _write(connection, judged(threads, DESK_NAME, RATERS, num_events // 100 + OPEN_TASKS))
            _write(connection, judged(threads, TEACH, (OWNER,), num_events // 500 + OPEN_TASKS))
            _write(connection, turned(max(1, num_events // 1000), champion))
            _write(connection, rolled_out(threads, champion, candidate))
            _write(connection, [(erasures, [_erasure(number) for number in range(num_events // 200)])])
    finally:
        engine.dispose()
    with Store.open(home) as store:
        store.note("swept", {"epoch": store.erasure_epoch()})


def open_rollout(home: Path, stage: str) -> None:
    """Put the rollout to the shadow or to the last step of the canary."""
    engine = make_engine(home / FILE_NAME, BUSY_SECONDS)
    with engine.execution_options(feilun_write=True).begin() as connection:
        connection.execute(rollouts.update().values(stage=stage, step=3 if stage == "canary" else 0))
    engine.dispose()


def _thread(number: int, num_people: int, champion: str, began: float) -> Thread:
    who = OWNER if number < OWN_THREADS else TEAM if number % 5 == 0 else person(number % num_people)
    return Thread(number, who, "serve" if number % 50 == 7 else "improve", champion, began + number)


def _write(connection: sa.Connection, rows: Rows) -> None:
    for table, some in rows:
        if some:
            connection.execute(table.insert(), some)


def merged(parts: Iterable[Rows]) -> Rows:
    found: dict[sa.Table, list[Row]] = {}
    for part in parts:
        for table, rows in part:
            found.setdefault(table, []).extend(rows)
    return list(found.items())


# --- conversations


def texts(thread: Thread) -> list[str]:
    """Question, answer, question, its two answers."""
    n = thread.number
    return [f"{COMMON}第{n}号多少钱? word{n}", f"第{n}号三十元", f"再说一次 {n}", f"三十元 {n}", f"一共三十元 {n}"]


def spoken(thread: Thread) -> Rows:
    root = root_address(thread.principal, thread.id)
    said = texts(thread)
    first, reply = _message(thread, root, "user", said[0]), None
    reply = _message(thread, first["address"], "assistant", said[1])
    second = _message(thread, reply["address"], "user", said[2])
    other, better = (_message(thread, second["address"], "assistant", text) for text in said[3:])
    answers = ((first, reply), (second, other), (second, better))
    return [
        (messages, [first, reply, second, other, better]),
        (completions, [_completion(thread, place, asked["address"]) for place, (asked, _) in enumerate(answers)]),
        (choices, [_choice(thread.completion(place), answer["address"]) for place, (_, answer) in enumerate(answers)]),
        (events, [_event(request, thread.at + place) for place, request in enumerate(feedback(thread))]),
    ]


def _message(thread: Thread, parent: str, role: str, text: str) -> Row:
    parts = parts_of(text)
    address = address_of(parent, role, parts)
    return {"address": address, "parent": parent, "principal": thread.principal, "role": role, "content": parts}


def _completion(thread: Thread, place: int, parent: str) -> Row:
    return completion_row(
        thread.completion(place), thread.principal, thread.id, parent, thread.model, thread.at + place / 4, thread.consent
    )


def completion_row(name: str, principal: str, thread_id: str, parent: str, model: str, at: float, consent: str = "improve") -> Row:
    return {
        "id": name, "principal": principal, "end_user": None, "model": model, "thread_id": thread_id, "parent": parent, "params": {},
        "decision": dataclasses.asdict(Decision(engine="echo", model=model)), "prompt_tokens": 9, "completion_tokens": 9,
        "consent": consent, "started": at, "finished": at + 0.1, "erased": 0,
    }  # fmt: skip


def _choice(completion: str, address: str) -> Row:
    return {"completion_id": completion, "choice_index": 0, "address": address, "finish_reason": "stop", "num_tokens": 9}


def feedback(thread: Thread) -> Iterator[FeedbackRequest]:
    """EVENTS_A_THREAD events; every seventh thumb is a complaint."""
    said = texts(thread)
    over = {"over": [{"id": thread.completion(1), "index": 0}], "outcome": "win"}
    for place, kind, value in (
        (0, "thumb", 1 if thread.number % 7 else -1), (0, "edit", f"{said[1]}整"), (1, "implicit", {"name": "regenerate", "n": 1}),
        (2, "choice", over), (2, "comment", "好"), (2, "thumb", 1),
    ):  # fmt: skip
        yield FeedbackRequest(
            principal=thread.principal,
            target_id=thread.completion(place),
            kind=kind,
            value=value,
            idempotency_key=f"{thread.number}-{place}-{kind}",
        )


def _event(request: FeedbackRequest, at: float) -> Row:
    same = ("principal", "target_id", "target_index", "kind", "value", "idempotency_key")
    name = uuid7()
    return {
        **{field: getattr(request, field) for field in same}, "id": name, "at": at, "reason": [], "consent": str(request.consent),
        "slot": slot(request, name), "retracts": 0, "body_hash": body_hash(request), "erased": 0,
    }  # fmt: skip


def passages(thread: Thread) -> Iterator[Passage]:
    address = root_address(thread.principal, thread.id)
    for place, text in enumerate(texts(thread)[:4]):
        address = address_of(address, "assistant" if place % 2 else "user", parts_of(text))
        yield Passage(address, thread.id, text, thread.at)


# --- what others judge


def judged(threads: list[Thread], desk: str, raters: tuple[str, ...], num: int) -> Rows:
    """Tasks of a desk, made of the newest questions; all raters have judged all of them but the last OPEN_TASKS."""
    return merged(_task(thread, desk, raters if place >= OPEN_TASKS else ()) for place, thread in enumerate(threads[: -num - 1 : -1]))


def _task(thread: Thread, desk: str, raters: tuple[str, ...]) -> Rows:
    name = uuid7()
    asked = thread._replace(principal=DESK)
    question = _message(asked, root_address(DESK, name), "user", texts(thread)[0])
    sides = [_message(asked, question["address"], "assistant", f"{side} {name}") for side in ("left", "right")]
    ids = [f"chatcmpl-{name}-{side}" for side in (0, 1)]
    over = {"over": [{"id": ids[1], "index": 0}], "outcome": "win"}
    said = [FeedbackRequest(principal=rater, target_id=ids[0], kind="choice", value=over, idempotency_key=name) for rater in raters]
    return [
        (messages, [question, *sides]),
        (completions, [completion_row(each, DESK, name, question["address"], thread.model, thread.at) for each in ids]),
        (choices, [_choice(each, side["address"]) for each, side in zip(ids, sides, strict=True)]),
        (tasks, [{
            "id": name, "desk": desk, "source": thread.completion(0), "prompt": digest(name)[:16], "left_id": ids[0], "right_id": ids[1],
            "why": {"uncertainty": 0.5}, "gold": None, "at": thread.at,
        }]),
        (assignments, [{"task": name, "principal": rater, "swapped": 0, "at": thread.at} for rater in raters]),
        (events, [_event(request, thread.at) for request in said]),
    ]  # fmt: skip


# --- turns and a rollout


def turned(num: int, champion: str) -> Rows:
    return merged(_turn(f"turn-{number}", number, champion) for number in range(num))


def _turn(name: str, number: int, champion: str) -> Rows:
    plan = {"name": name, "request": f"request-{number}", "steps": list(STEPS), "settings": {}, "champion": {"model": champion, "epoch": 1}}
    done = {"status": "done", "owner": "x", "heartbeat": 1.0, "input_hash": "x", "output": {"cpu_seconds": 60.0}, "error": ""}
    return [
        (turns, [{"id": name, "state": "refused", "plan": plan, "why": "it fell", "started": float(number), "finished": number + 0.5}]),
        (steps, [{"turn_id": name, "step": step, "position": place, **done} for place, step in enumerate(STEPS)]),
        (receipts, [
            {"turn_id": name, "gate": gate, "body": {"figures": {}}, "previous": "", "hash": f"{name}-{gate}", "at": float(number)}
            for gate in ("plan", "g0", "g1")
        ]),
    ]  # fmt: skip


def rolled_out(threads: list[Thread], champion: str, candidate: str) -> Rows:
    """One rollout, of which half of the answers were part; a hundredth of them were mirrored, all but the newest judged by hand."""
    plan = plan_rollout(RolloutSettings(), 9.0, "salt")
    row = {
        "id": ROLLOUT, "turn_id": "turn-0", "candidate": candidate, "champion": champion, "epoch": 1, "plan": plan, "stage": "shadow",
        "step": 0, "held": 1, "version": 1, "started": 0.0, "since": time.time(), "finished": None, "why": "", "slow_seconds": 9.0,
    }  # fmt: skip
    half = threads[len(threads) // 2 :]
    seen = merged(_mirror(thread, is_judged=place > 0) for place, thread in enumerate(half[:: -ANSWERS_A_THREAD * 10]))
    taken = [{"event_id": f"withheld-{number}", "rollout_id": ROLLOUT, "at": 1.0, "released": None} for number in range(len(threads) // 16)]
    exposed = [_exposure(thread, place) for thread in half for place in range(ANSWERS_A_THREAD)]
    return [(rollouts, [row]), *seen, (exposures, exposed), (withheld, taken)]


def _exposure(thread: Thread, place: int) -> Row:
    """As if everybody came at the last step of the canary, which draws a third of those who had the champion before."""
    who = digest(thread.principal)[:16]
    arm = "champion" if int(who, 16) % 3 else "candidate"
    return {
        "completion_id": thread.completion(place), "rollout_id": ROLLOUT, "who": who, "phase": "canary", "step": 3, "lot": 1 / 3,
        "arm": arm, "seconds": 0.1, "fault": "", "at": thread.at + place / 4,
    }  # fmt: skip


def _mirror(thread: Thread, is_judged: bool) -> Rows:
    side: Mapping[str, Any] = {"seconds": 0.1, "chars": 9, "finish_reason": "stop", "fault": ""}
    name = thread.completion(0)
    row = {"completion_id": name, "rollout_id": ROLLOUT, "who": digest(thread.principal)[:16], "text": "三十元", "at": thread.at}
    said = [{"completion_id": name, "slot": order, "rater": subject_of(OWNER), "outcome": "tie", "at": thread.at} for order in (0, 1)]
    return [(mirrors, [{**row, "champion": side, "candidate": side}]), (judgements, said if is_judged else [])]


def _erasure(number: int) -> Row:
    return {
        "id": uuid7(), "subject_hash": subject_of(f"gone-{number}"), "thread_hash": "", "event_ids": [uuid7() for _ in range(20)],
        "completion_ids": [uuid7() for _ in range(10)], "at": 1.0,
    }  # fmt: skip
