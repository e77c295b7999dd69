"""`POST /v1/feedback`: one act of one rater, answered only after its commit. The store judges it; this is its door."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from feilun.serve.auth import Principal, requires
from feilun.serve.errors import ApiError
from feilun.serve.state import State, state_of
from feilun.serve.wire import read_json
from feilun.store import FeedbackRequest, StoreError

__all__ = ["router"]

router = APIRouter(prefix="/v1")

FIELDS = ("target", "kind", "value", "reason", "end_user", "supersedes")
MAX_KEY_CHARS = 255
IN_FLIGHT_SECONDS = 60.0
CODES = {403: "not_yours", 404: "not_found", 409: "idempotency_key_reused", 422: "invalid_feedback", 503: "store_unavailable"}


@router.post("/feedback")
async def create_feedback(request: Request, principal: Annotated[Principal, Depends(requires("feedback"))]) -> JSONResponse:
    state = state_of(request)
    key = idempotency_key(request)
    body = await read_json(request)
    if not isinstance(body, dict):
        raise ApiError(422, f"the body must be a JSON object, found {type(body).__name__}", code="invalid_feedback")
    rater = principal.speaking_for(body.get("end_user"), "end_user", invalid_status=422)
    feedback = parse_feedback(body, rater.name, key)
    state.feedback_rate.take(rater.name)
    await _wait_recorded(state, feedback)
    try:
        result = await asyncio.get_running_loop().run_in_executor(state.writers, state.store.record_feedback, feedback)
    except StoreError as error:
        code = CODES.get(error.http_status)
        raise ApiError(error.http_status, str(error), code=code, retry_after_seconds=1 if error.http_status == 503 else None) from None
    return JSONResponse({"id": result.id, "status": result.status})


def idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():
        message = (
            f"the header Idempotency-Key is needed: a fresh string of 1 to {MAX_KEY_CHARS} characters for each act, the same one on a retry"
        )
        raise ApiError(400, message, param="Idempotency-Key", code="missing_idempotency_key")
    return key


def parse_feedback(body: Mapping[str, Any], rater: str, key: str) -> FeedbackRequest:
    """The request in `body`, its shape checked; ApiError 422 names the field. Kinds, reasons and values are the store's to judge."""
    for name in body:
        if name not in FIELDS:
            raise _invalid(name, f"unknown field; allowed: {', '.join(FIELDS)}")
    target, kind, supersedes = body.get("target"), body.get("kind"), body.get("supersedes")
    if not isinstance(target, dict) or not isinstance(target.get("id"), str) or target.keys() - {"id", "index"}:
        raise _invalid("target", '{"id": "chatcmpl-...", "index": 0} is needed')
    index, reason = target.get("index", 0), body.get("reason")
    for field, number in (("target.index", index), *(("value.over.index", item.get("index", 0)) for item in _over(body.get("value")))):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 31:
            raise _invalid(field, "a whole number from 0 is needed")
    if not isinstance(kind, str):
        raise _invalid("kind", "a string is needed")
    if reason is not None and not (isinstance(reason, list) and all(isinstance(item, str) for item in reason)):
        raise _invalid("reason", "a list of strings is needed")
    if supersedes is not None and not isinstance(supersedes, str):
        raise _invalid("supersedes", "the id of an earlier event is needed")
    return FeedbackRequest(
        principal=rater, target_id=target["id"], target_index=index, kind=kind, value=body.get("value"), reason=tuple(reason or ()),
        idempotency_key=key, supersedes=supersedes,
    )  # fmt: skip


def _over(value: Any) -> list[dict[str, Any]]:
    """The other answers that a choice names, as far as they have that shape."""
    over = value.get("over") if isinstance(value, dict) else None
    return [item for item in over if isinstance(item, dict)] if isinstance(over, list) else []


def _invalid(field: str, message: str) -> ApiError:
    return ApiError(422, f"{field}: {message}", param=field, code="invalid_feedback")


async def _wait_recorded(state: State, feedback: FeedbackRequest) -> None:
    """Feedback may outrun its answer (a stream stopped by its reader): wait until the answer stands in the store."""
    ids = (feedback.target_id, *(item.get("id") for item in _over(feedback.value)))
    # Another's is not waited for: how long that takes would tell that it is there.
    mine = [(feedback.principal, i) for i in ids if isinstance(i, str)]
    pending = [state.in_flight[key] for key in mine if key in state.in_flight]
    try:
        async with asyncio.timeout(IN_FLIGHT_SECONDS):
            for event in pending:
                await event.wait()
    except TimeoutError:
        raise ApiError(503, "the answer is still being written; try again", code="not_yet_recorded", retry_after_seconds=5) from None
