"""A task as its rater sees it, and the judgement that comes back: one path for the owner's page and for a labelling desk."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import Request

from feilun.serve.auth import Principal
from feilun.serve.errors import ApiError
from feilun.serve.feedback import CODES, idempotency_key
from feilun.serve.render import render_blocks
from feilun.serve.state import state_of
from feilun.serve.wire import read_json
from feilun.store import FeedbackRequest, FeedbackResult, StoreError, Task

__all__ = ["Judged", "judge", "task_json"]

OUTCOMES = ("first", "second", "tie", "both_bad")
FIELDS = ("task", "outcome", "supersedes", "target")


class Judged(NamedTuple):
    """target: of the event, by which it can be taken back."""

    task: Task
    result: FeedbackResult
    target: str

    @property
    def models(self) -> list[str]:
        """In the order that was shown."""
        return list(self.task.models[::-1] if self.task.swapped else self.task.models)


def task_json(task: Task) -> dict[str, Any]:
    """{"id", "messages": [{"role", "blocks"}], "answers": [[blocks], [blocks]]}: nothing tells whose answer is whose, nor what is gold."""
    shown = (task.right, task.left) if task.swapped else (task.left, task.right)
    return {
        "id": task.id,
        "messages": [{"role": message["role"], "blocks": render_blocks(message["content"])} for message in task.messages],
        "answers": [render_blocks(text) for text in shown],
    }


async def judge(request: Request, principal: Principal) -> Judged:
    """{"task", "outcome"} as a choice event; "undo" with "supersedes" and "target" takes one back. ApiError as feedback gives it."""
    state, key = state_of(request), idempotency_key(request)
    body = _checked(await read_json(request))
    state.feedback_rate.take(principal.name)
    run = asyncio.get_running_loop().run_in_executor
    try:
        task = await asyncio.to_thread(state.store.desks.task, body["task"], principal.name)
        target, value = (body["target"], None) if body["outcome"] == "undo" else task.choice(task.side(body["outcome"]))
        wanted = FeedbackRequest(
            principal=principal.name, target_id=target, kind="choice", value=value, idempotency_key=key, supersedes=body.get("supersedes")
        )
        return Judged(task, await run(state.writers, state.store.record_feedback, wanted), target)
    except StoreError as error:
        raise ApiError(error.http_status, str(error), code=CODES.get(error.http_status)) from None


def _checked(body: Any) -> Mapping[str, str]:
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise _invalid("the body must be a JSON object of strings", "body")
    for name in body:
        if name not in FIELDS:
            raise _invalid(f"unknown field; allowed: {', '.join(FIELDS)}", name)
    is_undo = body.get("outcome") == "undo"
    if "task" not in body or not (is_undo or body.get("outcome") in OUTCOMES):
        raise _invalid(f"task and outcome are needed; outcome is one of {', '.join(OUTCOMES)}, or undo", "outcome")
    if is_undo != ("supersedes" in body) or is_undo != ("target" in body):
        raise _invalid("undo, and nothing else, names the event in supersedes and its target", "supersedes")
    return body


def _invalid(message: str, field: str) -> ApiError:
    return ApiError(422, f"{field}: {message}", param=field, code="invalid_feedback")
