"""Acceptance: the share of greedy answers on a fixed list that held-out people accept; ads for briefs are a figure of their own."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from feilun.population.briefs import constraint_faults, fits_taste
from feilun.population.client import Client
from feilun.population.people import Person, Prompt, judge, number_share
from feilun.types import UserError

__all__ = ["acceptance", "bootstrap", "measure"]

MAX_NUMBER_SHARE = 0.4
NUM_DRAWS = 2000


async def measure(
    client: Client,
    people: Sequence[Person],
    prompts: Sequence[Prompt],
    *,
    seed: int,
    per_user: int,
    briefs_per_user: int = 25,
    concurrency: int = 16,
) -> dict[str, Any]:
    """{"acceptance", "without_number_order", "rows"}: each held-out person judges a sample of the list of their own.

    Who judges what depends on the seed alone, so that every model is asked the same. Each prompt is asked once, greedily.
    Where the list holds briefs: {"copywriting": {"constraints", "taste", "accepted"}, "copywriting_rows"} as well, outside acceptance.
    """
    briefs, prompts = [p for p in prompts if p.brief is not None], [p for p in prompts if p.brief is None]
    if number_share(prompts) > MAX_NUMBER_SHARE:
        raise UserError(f"{number_share(prompts):.0%} of the list is about number order; allowed: at most {MAX_NUMBER_SHARE:.0%}")
    judges = [p for p in people if p.held_out]
    samples = [(person, _sample(prompts, person, seed, per_user)) for person in judges]
    drafts = [(person, _sample_briefs(briefs, person, seed, briefs_per_user)) for person in judges]
    wanted = {prompt.id: prompt for _, sample in (*samples, *drafts) for prompt in sample}
    replies = await _replies(client, list(wanted.values()), concurrency)
    rows = [_row(person, prompt, replies[prompt.id]) for person, sample in samples for prompt in sample]
    others = [row for row in rows if not row["about_numbers"]]
    found = {"acceptance": acceptance(rows, seed), "without_number_order": acceptance(others, seed), "rows": rows}
    ads = [_ad_row(person, prompt, replies[prompt.id]) for person, sample in drafts for prompt in sample]
    return found | ({"copywriting": _ad_figures(ads, seed), "copywriting_rows": ads} if ads else {})


def _sample(prompts: Sequence[Prompt], person: Person, seed: int, per_user: int) -> list[Prompt]:
    """`per_user` prompts, with the list's own share about number order (rounded down)."""
    rng = random.Random(f"measure/{seed}/{person.name}")
    numbers = [p for p in prompts if p.about_numbers]
    others = [p for p in prompts if not p.about_numbers]
    size = min(per_user, len(prompts))
    num_numbers = min(len(numbers), int(size * number_share(prompts)))
    return rng.sample(numbers, num_numbers) + rng.sample(others, min(len(others), size - num_numbers))


def _sample_briefs(briefs: Sequence[Prompt], person: Person, seed: int, per_user: int) -> list[Prompt]:
    return random.Random(f"measure/briefs/{seed}/{person.name}").sample(briefs, min(per_user, len(briefs)))


def _ad_row(person: Person, prompt: Prompt, reply: str) -> dict[str, Any]:
    """constraints: every rule holds. taste: this person likes the style, whatever the rules say. accepted: both."""
    assert prompt.brief is not None
    holds, fits = not constraint_faults(prompt.brief, reply), fits_taste(person.taste, prompt.brief, reply)
    faults = list(judge(person, prompt, reply).faults)
    return {
        "user": person.name, "id": prompt.id, "task": prompt.task, "reply": reply, "constraints": holds, "taste": fits,
        "accepted": holds and fits, "faults": faults,
    }  # fmt: skip


def _ad_figures(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    return {name: acceptance([row | {"accepted": row[name]} for row in rows], seed) for name in ("constraints", "taste", "accepted")}


async def _replies(client: Client, prompts: Sequence[Prompt], concurrency: int) -> dict[str, str]:
    replies: dict[str, str] = {}
    waiting = iter(prompts)

    async def worker() -> None:
        for prompt in waiting:
            replies[prompt.id] = (await client.ask(prompt.text)).text

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    return replies


def _row(person: Person, prompt: Prompt, reply: str) -> dict[str, Any]:
    thought = judge(person, prompt, reply)
    return {
        "user": person.name, "id": prompt.id, "task": prompt.task, "about_numbers": prompt.about_numbers,
        "reply": reply, "accepted": thought.pleases, "faults": list(thought.faults),
    }  # fmt: skip


def acceptance(rows: Sequence[dict[str, Any]], seed: int, confidence: float = 0.95) -> dict[str, Any]:
    """Mean and percentile bootstrap over whole users: one person's judgements share one taste."""
    users: dict[str, list[bool]] = {}
    for row in rows:
        users.setdefault(row["user"], []).append(row["accepted"])
    return bootstrap([(sum(values), len(values)) for values in users.values()], seed, confidence)


def bootstrap(sums: Sequence[tuple[int, int]], seed: int, confidence: float = 0.95) -> dict[str, Any]:
    """The share k / n of users who gave (k, n) each; users are drawn whole. All None where nobody gave anything."""
    total = sum(n for _, n in sums)
    if not total:
        return {"mean": None, "low": None, "high": None, "n": 0}
    rng = random.Random(f"bootstrap/{seed}")
    means: list[float] = []
    while len(means) < NUM_DRAWS:
        drawn = rng.choices(sums, k=len(sums))
        if size := sum(n for _, n in drawn):
            means.append(sum(k for k, _ in drawn) / size)
    means.sort()
    tail = round((1 - confidence) / 2 * NUM_DRAWS)
    return {"mean": sum(k for k, _ in sums) / total, "low": means[tail], "high": means[-tail - 1], "n": total}
