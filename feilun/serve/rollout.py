"""The rollout as the owner sees it: one sentence, its figures, and pairs of answers to judge without knowing whose they are."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from feilun.serve.auth import Principal, owner_only
from feilun.serve.errors import ApiError
from feilun.serve.render import render_blocks
from feilun.serve.state import state_of
from feilun.serve.timeline import Entry
from feilun.serve.truth import sentence
from feilun.serve.wire import read_json
from feilun.store import Conflict, NotFound, RolloutRow, Store, StoreError

__all__ = ["is_judging", "rollout_sentences", "router"]

router = APIRouter()

Owner = Annotated[Principal, Depends(owner_only)]
NO_STORE = {"Cache-Control": "no-store"}
JUDGED = (0, 1, "tie", "both_bad", "undo")


@router.get("/api/rollout")
async def get_rollout(request: Request, _owner: Owner) -> JSONResponse:
    """{"rollout": null or {...}}: the newest one."""
    return JSONResponse({"rollout": await asyncio.to_thread(told_rollout, state_of(request).store)}, headers=NO_STORE)


@router.get("/api/rollout/pair")
async def get_pair(request: Request, _owner: Owner) -> JSONResponse:
    """{"pair": null or {"id", "slot", "messages", "answers": [text, text], "blocks"}}: what waits; nothing in it tells whose is which."""
    return JSONResponse({"pair": await asyncio.to_thread(next_pair, state_of(request).store)}, headers=NO_STORE)


@router.post("/api/rollout/judgement")
async def judge(request: Request, owner: Owner) -> JSONResponse:
    pair, slot, chosen = parse_judgement(await read_json(request))
    try:
        store = state_of(request).store
        await asyncio.to_thread(store.shadow.judge, pair, slot, owner.name, chosen)
    except (NotFound, Conflict) as error:
        code = "not_found" if error.http_status == 404 else "judged_already"
        raise ApiError(error.http_status, str(error), param="pair", code=code) from None
    except StoreError as error:
        raise ApiError(error.http_status, str(error), code="store_unavailable", retry_after_seconds=1) from None
    return JSONResponse({"status": "recorded"})


def parse_judgement(body: Any) -> tuple[str, int, int | str]:
    """ApiError 400 names the field at fault."""
    given = body if isinstance(body, dict) else {}
    pair, slot, chosen = given.get("pair"), given.get("slot"), given.get("chosen")
    if given.keys() - {"pair", "slot", "chosen"} or not isinstance(pair, str):
        raise ApiError(400, 'the body must be {"pair": id, "slot": 0 or 1, "chosen": 0, 1, "tie", "both_bad" or "undo"}', param="pair")
    if isinstance(slot, bool) or slot not in (0, 1):
        raise ApiError(400, f"slot={slot!r}: allowed are 0 and 1", param="slot", code="invalid_value")
    if isinstance(chosen, bool) or not isinstance(chosen, int | str) or chosen not in JUDGED:
        raise ApiError(400, f"chosen={chosen!r}: allowed are 0, 1, tie, both_bad and undo", param="chosen", code="invalid_value")
    return pair, int(slot), chosen


def next_pair(store: Store) -> dict[str, Any] | None:
    row = store.rollout()
    pair = store.shadow.next_pair(row.id) if row is not None and row.stage == "shadow" else None
    if pair is None:
        return None
    messages = [{**message, "blocks": render_blocks(str(message["content"]))} for message in pair.messages]
    told = {"id": pair.completion_id, "slot": pair.slot, "messages": messages, "answers": list(pair.answers)}
    return told | {"blocks": [render_blocks(answer) for answer in pair.answers]}


def is_judging(store: Store) -> bool:
    """Whether a pair of the shadow waits for the owner."""
    row = store.rollout()
    return row is not None and row.stage == "shadow" and store.shadow.next_pair(row.id) is not None


def told_rollout(store: Store) -> dict[str, Any] | None:
    rows = store.rollouts()
    if not rows:
        return None
    row = rows[-1]
    about = {
        name: getattr(row, name) for name in ("id", "candidate", "champion", "stage", "step", "share", "held", "since", "finished", "why")
    }
    crowds = {} if row.stage == "shadow" or row.finished is not None else store.crowds(row.id, row.stage, row.step)
    withheld = len(store.withheld_events(row.id))
    return about | {
        "crowds": {arm: {"people": crowd.users, "answers": crowd.answers} for arm, crowd in crowds.items()},
        "mirrored": num_mirrored(store, row), "dropped": store.shadow.drops(row.id), "withheld": withheld,
    }  # fmt: skip


def num_mirrored(store: Store, row: RolloutRow) -> int:
    return store.shadow.count(row.id) if row.stage == "shadow" else 0


def rollout_sentences(store: Store, entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    """One sentence about the rollout that is under way, or about one that was taken back and whose lessons are still withheld."""
    rows = store.rollouts()
    if not rows:
        return []
    row = rows[-1]
    numbers = {entry.model: entry.number for entry in entries if entry.number is not None}
    values: dict[str, Any] = {
        "a": numbers.get(row.candidate, row.candidate), "b": numbers.get(row.champion, row.champion),
        "mean": f"{100 * row.share:.3g}", "low": f"{100 * (1 - row.share):.3g}",
    }  # fmt: skip
    if row.finished is None:
        values |= {"n": num_mirrored(store, row), "users": int(row.plan["shadow"]["pairs"])}
        return [sentence(row.stage, "", values)]
    withheld = len(store.withheld_events(row.id))
    return [sentence("taken_back", "", values | {"n": withheld})] if row.stage == "rolled_back" and withheld else []
