"""One turn of events: people ask, look at what comes back, and say what they think."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from feilun.population.acts import Act, Control, Event, choose, react
from feilun.population.client import Answer, Client, Refused
from feilun.population.journal import Journal

__all__ = ["visit"]

COMPARE_TEMPERATURE = 0.8
ALREADY_THERE = 409


async def visit(
    client: Client,
    events: Sequence[Event],
    journal: Journal,
    *,
    control: Control = "none",
    concurrency: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Counter[str]:
    """Every event not yet acknowledged, `concurrency` at a time; returns how many ended with which status over all runs.

    One person does one thing after another: whoever judges an answer twice means the later judgement, however busy the server is.
    "silent": the person looked and said nothing (a control). The first refusal by the server ends the visit.
    """
    waiting = iter([e for e in events if e.index not in journal.statuses])
    turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # a lock goes to those who wait in the order of their coming

    async def worker() -> None:
        for event in waiting:
            async with turns[event.person.name]:
                journal.done(event.index, await _event(client, event, journal, control))
            if progress is not None:
                progress(len(journal.statuses), len(events))

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    return Counter(journal.statuses.values())


async def _event(client: Client, event: Event, journal: Journal, control: Control) -> str:
    if event.index not in journal.bodies:
        body = await _look(client, event, control)
        if body is None:
            return "silent"
        journal.ready(event.index, body)
    try:
        return await client.tell(journal.bodies[event.index], event.key)
    except Refused as refusal:
        if refusal.status == ALREADY_THERE:
            return "duplicate"
        raise


async def _look(client: Client, event: Event, control: Control) -> dict[str, Any] | None:
    """Ask, judge, and phrase the feedback; None when the person stays silent."""
    if event.num_answers > 1:
        # Different seeds: two greedy answers would be one answer twice.
        seeds = (event.num_answers * event.index + place for place in range(event.num_answers))
        answers = tuple([await _ask(client, event, temperature=COMPARE_TEMPERATURE, seed=seed) for seed in seeds])
        return _body(event, choose(event, [answer.text for answer in answers], control), answers)
    answer = await _ask(client, event)
    return _body(event, react(event, answer.text, control), (answer,))


async def _ask(client: Client, event: Event, temperature: float = 0.0, seed: int | None = None) -> Answer:
    return await client.ask(
        event.prompt.text, user=event.person.name, thread_id=event.thread_id, temperature=temperature, seed=seed, stream=event.streams
    )


def _body(event: Event, act: Act | None, answers: tuple[Answer, ...]) -> dict[str, Any] | None:
    if act is None:
        return None
    value = act.value
    if act.kind == "choice":
        others = [answer for place, answer in enumerate(answers) if place != act.winner]
        value = {"over": [_address(answer) for answer in others], **act.value}
    body = {"target": _address(answers[act.winner]), "kind": act.kind, "value": value, "end_user": event.person.name}
    return body | ({"reason": list(act.reason)} if act.reason else {})


def _address(answer: Answer) -> dict[str, Any]:
    return {"id": answer.id, "index": 0}
