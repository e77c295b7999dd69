"""The owner's Turn: how many lessons wait, what the wheel is doing, what the last turn taught, and the way back.

This room asks and tells, it turns nothing: a request is a note in the store, and `feilun turn --watch` takes it. The notes it reads:
    "turn_watch"    {"pid", "at", "request"}: somebody watches, as long as "at" is fresh
    "turn_request"  {"id", "at", "by"}, and "answer" {"why", "at"} where no turn could begin
    "turn"          {"turn", "step", "done", "total", "eta_seconds"}: training as it goes
"""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from feilun.feedback.account import LANGUAGES, kept_account
from feilun.feedback.owner import TAUGHT, is_owner_turn, owner_lessons
from feilun.serve import wire
from feilun.serve.archive import artifact_of, json_of
from feilun.serve.auth import Principal, owner_only
from feilun.serve.errors import ApiError
from feilun.serve.language import language_of, said
from feilun.serve.product import PROGRESS_NOTE
from feilun.serve.state import State, state_of
from feilun.store import OWNER, Conflict, NotFound, Store, StoreUnavailable, TurnRow

__all__ = ["router", "turn_overview"]

router = APIRouter()

Owner = Annotated[Principal, Depends(owner_only)]
WATCH_NOTE, REQUEST_NOTE, TURN_NOTE = "turn_watch", "turn_request", "turn"
FRESH_SECONDS = 15.0  # a watcher shows itself every four
ALIVE_SECONDS = 30.0  # a step without a sign of life for so long is nobody's
MAX_REASON_CHARS = 500
CACHED = ("owner_lessons", "last_turn")


@router.get("/api/turn")
async def get_turn(request: Request, _owner: Owner) -> JSONResponse:
    overview = await asyncio.to_thread(turn_overview, state_of(request), request.app.state)
    if overview["last"]:
        overview["last"] = in_language(overview["last"], language_of(request))
    return JSONResponse(overview, headers={"Cache-Control": "no-store"})


@router.get("/api/turns/{name}/account")
async def get_account(name: str, request: Request, _owner: Owner, lang: str = "") -> PlainTextResponse:
    """A turn in plain words, as Markdown, by its id or its name."""
    state, language = state_of(request), lang or language_of(request)
    found = await asyncio.to_thread(lambda: [turn for turn in state.store.turns() if name in (turn.id, turn.plan.get("name"))])
    if not found:
        raise ApiError(404, f"there is no turn {name!r}", code="not_found")
    if language not in LANGUAGES:
        raise ApiError(400, f"lang={language!r} is not spoken here; allowed: {', '.join(LANGUAGES)}", param="lang", code="invalid_value")
    text = await asyncio.to_thread(kept_account, state.home, state.store, found[-1], language)
    return PlainTextResponse(text, media_type="text/markdown; charset=utf-8", headers={"Cache-Control": "no-store"})


@router.post("/api/turn")
async def ask_turn(request: Request, owner: Owner) -> JSONResponse:
    state = state_of(request)
    return JSONResponse({"request": await asyncio.to_thread(_ask, state.store, owner.name)}, 202)


@router.post("/api/rollback")
async def roll_back(request: Request, _owner: Owner) -> JSONResponse:
    reason = _reason(await wire.read_json(request))
    try:
        row = await asyncio.to_thread(state_of(request).store.rollback, reason)
    except NotFound as error:
        raise ApiError(409, str(error), code="nothing_before") from None
    except StoreUnavailable as error:
        raise ApiError(503, str(error), code="store_unavailable", retry_after_seconds=1) from None
    return JSONResponse({"epoch": row.epoch, "model": row.model})


def _reason(body: Any) -> str:
    reason = body.get("reason", "by the owner") if isinstance(body, dict) and body.keys() <= {"reason"} else None
    if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARS:
        raise ApiError(
            400, f'the body must be {{"reason": text of at most {MAX_REASON_CHARS} characters}}', param="reason", code="invalid_value"
        )
    return reason.strip() or "by the owner"


def _ask(store: Store, by: str) -> str:
    """The id of a new request; ApiError 409 where a turn is asked for, under way or not the owner's to ask, 503 where nobody watches."""
    hindrance = hindrance_of(store)
    if hindrance == "demo_running":
        message = "the demo's own turns run first, and your lessons take part in them; ask again when the ring has turned"
        raise ApiError(409, message, code=hindrance)
    if hindrance == "no_watcher":
        message = "nobody watches for requests: run `feilun turn --watch`, or serve without --no-watch"
        raise ApiError(503, message, code=hindrance, retry_after_seconds=5)
    if hindrance == "rolling_out":
        raise ApiError(
            409, "the model of the last turn is still being tried by people; one rollout ends before the next turn", code=hindrance
        )
    if hindrance == "no_model":
        raise ApiError(409, "there is no champion yet that could learn; promote a model first", code=hindrance)
    try:
        return store.ask_turn(by)
    except Conflict as error:
        raise ApiError(409, str(error), code="turn_running") from None
    except StoreUnavailable as error:
        raise ApiError(503, str(error), code="store_unavailable", retry_after_seconds=1) from None


def hindrance_of(store: Store) -> str | None:
    """Why no turn can be asked for now; None when one can."""
    unfinished = store.unfinished_turn()
    if is_watched(store):
        if unfinished is not None or store.asked_turn() is not None:
            return "turn_running"
        if (rollout := store.rollout()) is not None and rollout.stage != "holdback":
            return "rolling_out"
        return None if store.champion() is not None else "no_model"
    progress = store.read_note(PROGRESS_NOTE) or {}
    if progress.get("stage", "done") != "done":
        return "demo_running"
    return "turn_running" if unfinished is not None or store.asked_turn() is not None else "no_watcher"


def is_watched(store: Store) -> bool:
    note = store.read_note(WATCH_NOTE) or {}
    return bool(abs(time.time() - note.get("at", 0.0)) < FRESH_SECONDS)


def turn_overview(state: State, cache: Any) -> dict[str, Any]:
    """What the page shows. `hindrance`: why the button cannot be pressed; `back`: where a rollback would go.

    cache: keeps what costs a walk over events and files until something new has happened.
    """
    store = state.store
    turns, champion = store.turns(), store.champion()
    running = next((turn for turn in turns if turn.state == "running"), None)
    asked = None if running else store.asked_turn()
    ended, epoch = sum(turn.state != "running" for turn in turns), store.erasure_epoch()
    key = (store.last_seq(OWNER), champion.epoch if champion else 0, ended, epoch)
    lessons = _kept(cache, "owner_lessons", key, lambda: owner_lessons(store, state.home))
    back = store.rollback_target()
    return {
        "watching": is_watched(store),
        "lessons": {"new": lessons.new, "total": lessons.total},
        "state": "running" if running else "asked" if asked else "idle",
        "turn": running_turn(running, store.read_note(TURN_NOTE) or {}) if running else None,
        "last": _last(state, turns, cache, epoch),
        "hindrance": hindrance_of(store),
        "back": None if back is None else {"epoch": back.epoch, "model": back.model},
    }


def _kept(cache: Any, name: str, key: Any, make: Callable[[], Any]) -> Any:
    known = getattr(cache, name, None)
    if known is None or known[0] != key:
        known = (key, make())
        setattr(cache, name, known)
    return known[1]


def running_turn(turn: TurnRow, note: dict[str, Any]) -> dict[str, Any]:
    """The turn under way; `alive` is false where it was left unfinished and nobody works on it."""
    working = next((row.step for row in turn.steps.values() if row.status != "done"), None)
    # Between two steps a process starts; the page shows the one that comes as the one that runs.
    steps = [{"step": row.step, "status": "running" if row.step == working else row.status} for row in turn.steps.values()]
    told = note if (note.get("turn"), note.get("step")) == (turn.id, working) else {}
    sign = max([turn.started, *(row.heartbeat for row in turn.steps.values())])
    return {
        "id": turn.id, "name": turn.plan.get("name", ""), "owner": is_owner_turn(turn), "steps": steps, "started": turn.started,
        "done": told.get("done", 0), "total": told.get("total", 0), "eta_seconds": told.get("eta_seconds"),
        "alive": time.time() - sign < ALIVE_SECONDS,
    }  # fmt: skip


def _last(state: State, turns: list[TurnRow], cache: Any, epoch: int) -> dict[str, Any] | None:
    """How the last owner's turn ended, or why the last request had none."""
    ended = [turn for turn in turns if turn.finished is not None and is_owner_turn(turn)]
    request = state.store.read_note(REQUEST_NOTE) or {}
    answer = request.get("answer")
    if answer and (not ended or answer["at"] > (ended[-1].finished or 0.0)):
        return blank_ending() | {"verdict": "failed", "why": [answer["why"]], "reasons": [in_words(answer["why"])], "at": answer["at"]}
    if not ended:
        return None
    ending: dict[str, Any] = _kept(cache, "last_turn", (ended[-1].id, epoch), lambda: ending_of(state, ended[-1]))
    return ending


def blank_ending() -> dict[str, Any]:
    return {"turn": None, "name": "", "taught": [], "exams": [], "receipt": None, "champion": None, "candidate": None}


def in_words(text: str) -> dict[str, str]:
    return {"code": "said", "text": text}


def in_language(ending: dict[str, Any], language: str) -> dict[str, Any]:
    """The same, and the sentences among its reasons in this language."""
    reasons = [{**reason, "text": said(reason["text"], language)} if "text" in reason else reason for reason in ending["reasons"]]
    return {**ending, "reasons": reasons}


def ending_of(state: State, turn: TurnRow) -> dict[str, Any]:
    """A finished turn with its receipt. why: sentences; reasons: the same as codes with numbers, for every language.

    What somebody taught who was forgotten since then is not shown, though the receipt may not be rebuilt yet.
    """
    receipt = turn.steps["gate"].output.get("receipt") if "gate" in turn.steps else None
    found = read_receipt(state, receipt) if receipt else {}
    forgotten = frozenset(event_id for erasure in state.store.erasures() for event_id in erasure.event_ids)
    why = turn.why.splitlines()
    taught = [row for row in found.get(TAUGHT, []) if forgotten.isdisjoint(row["events"])]
    return {
        "turn": turn.id, "name": turn.plan.get("name", ""), "verdict": turn.state, "why": why,
        "reasons": reasons_of(turn, found, why),
        "taught": [{key: row[key] for key in ("question", "wanted", "before", "after", "kept")} for row in taught],
        "exams": [exam_row(name, task) for name, task in found.get("tasks", {}).items() if name != TAUGHT],
        "receipt": receipt, "champion": turn.plan["champion"]["model"], "candidate": found.get("candidate"), "at": turn.finished,
    }  # fmt: skip


def read_receipt(state: State, ref: str) -> dict[str, Any]:
    """Empty where it was deleted or torn: the verdict and its reasons stand in the store all the same."""
    found = artifact_of(state.home, ref, "runs")
    return {} if found is None else dict(json_of(found.path / "receipt.json") or {})


def reasons_of(turn: TurnRow, receipt: dict[str, Any], why: list[str]) -> list[dict[str, Any]]:
    curated = turn.steps["curate"].output if "curate" in turn.steps else {}
    if turn.state == "refused" and curated.get("new_corrections") == 0:
        return [{"code": "nothing_new" if curated["corrections"] else "nothing_taught", "total": curated["corrections"]}]
    if turn.state == receipt.get("verdict") and receipt.get("reasons"):
        return list(receipt["reasons"])
    return [in_words(line) for line in why]


def exam_row(name: str, task: dict[str, Any]) -> dict[str, Any]:
    difference = task["difference"] or {"low": None, "high": None}
    return {
        "task": name, "champion": task["champion"], "candidate": task["candidate"], "n": task["n"], "passed": task["passed"],
        "low": difference["low"], "high": difference["high"],
    }  # fmt: skip
