"""What an owner's turn asks and tells: the owner's corrections, and the owner's opinions that may not teach."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact
from feilun.feedback.opinions import normalise
from feilun.feedback.owner import TAUGHT, corrections, held_out_opinions, learnt_events
from feilun.store import Store
from feilun.turn.taught import HELD_OUT

__all__ = ["OTHERWISE", "count_corrections", "nothing_new", "owner_tasks", "taught_rows"]

OTHERWISE = {TAUGHT: 0.0, HELD_OUT: 0.5}


def count_corrections(store: Store, home: Path, lessons: Artifact, champion: str) -> dict[str, int]:
    """The corrections among the lessons, and those of them that the champion has not learnt."""
    found, learnt = corrections(lessons), learnt_events(store, home, champion)
    return {"corrections": len(found), "new_corrections": sum(learnt.isdisjoint(correction.events) for correction in found)}


def nothing_new(curated: Mapping[str, Any]) -> str:
    """Why an owner's turn has nothing to do; empty when it has."""
    if curated["new_corrections"]:
        return ""
    if not curated["corrections"]:
        return "there is nothing to learn yet: no correction of yours stands that may teach; correct an answer first"
    return f"there is nothing new from you: all {curated['corrections']} corrections are known already; correct an answer first"


def owner_tasks(store: Store, lessons: Artifact, upto_seq: int) -> dict[str, list[dict[str, Any]]]:
    """What to ask, task by task: rows {"id", "messages", "liked", "disliked"}."""
    taught = [
        {"id": found.id, "messages": found.messages, "liked": [normalise(found.wanted)], "disliked": []} for found in corrections(lessons)
    ]
    held_out = [
        {"id": found.id, "messages": found.messages, "liked": list(found.liked), "disliked": list(found.disliked)}
        for found in held_out_opinions(store, upto_seq)
    ]
    return {TAUGHT: taught, HELD_OUT: held_out}


def taught_rows(lessons: Artifact, champion: Iterable[Mapping[str, Any]], candidate: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every correction that was asked: the question, what was wanted, what both models say, whether the candidate has it."""
    before, after = ({row["id"]: row for row in rows if row["task"] == TAUGHT} for rows in (champion, candidate))
    found = {f"{TAUGHT}/{correction.id}": correction for correction in corrections(lessons)}
    return [
        {
            "question": correction.question, "wanted": correction.wanted, "before": before[key]["reply"], "after": after[key]["reply"],
            "kept": after[key]["value"] == 1, "events": list(correction.events),
        }
        for key, correction in found.items()
        if key in before and key in after
    ]  # fmt: skip
