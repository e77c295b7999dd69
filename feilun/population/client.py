"""The wire: OpenAI's chat completions and POST /v1/feedback, tried again while the server loads or is full."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import httpx

__all__ = ["Answer", "Client", "Refused"]

AGAIN = frozenset({429, 502, 503, 504})
MAX_FAULTS = 3  # a server that breaks on one question breaks again: waiting would only hide it
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 5.0


class Refused(Exception):
    """The server answered, and trying again would not help; `status` is its HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"the server answered {status}: {detail}")
        self.status = status


class Answer(NamedTuple):
    id: str
    text: str


class Client:
    """Asks and tells for many users over one pool. `patience_seconds` bounds the tries for one request."""

    def __init__(self, http: httpx.AsyncClient, secret: str, *, model: str, max_tokens: int, patience_seconds: float) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._model = model
        self._max_tokens = max_tokens
        self._patience_seconds = patience_seconds

    async def ask(
        self,
        prompt: str,
        *,
        before: Sequence[str] = (),
        user: str | None = None,
        thread_id: str | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        stream: bool = False,
    ) -> Answer:
        """One question, one answer; `thread_id` makes a repeated question a sibling. before: what was said in turn, the user first."""
        said = zip(cycle(("user", "assistant")), (*before, prompt))
        body: dict[str, Any] = {
            "model": self._model, "messages": [{"role": role, "content": text} for role, text in said],
            "temperature": temperature, "max_tokens": self._max_tokens,
        }  # fmt: skip
        optional = {"user": user, "metadata": {"thread_id": thread_id} if thread_id else None, "seed": seed, "stream": stream or None}
        body |= {name: value for name, value in optional.items() if value is not None}
        response = await self._post("/v1/chat/completions", body, {})
        if stream:
            return _read_stream(response.text)
        row = response.json()
        return Answer(row["id"], row["choices"][0]["message"]["content"] or "")

    async def tell(self, body: Mapping[str, Any], key: str) -> str:
        """Give feedback; returns the server's status: recorded, duplicate or superseded."""
        response = await self._post("/v1/feedback", body, {"Idempotency-Key": key})
        return str(response.json()["status"])

    async def _post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        deadline, wait, faults = time.monotonic() + self._patience_seconds, FIRST_WAIT_SECONDS, 0
        while True:
            trouble, pause = "", wait
            try:
                response = await self._http.post(path, json=body, headers={**self._headers, **headers})
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                faults += response.status_code == 500
                again = response.status_code in AGAIN or _broke_off(response) or (response.status_code == 500 and faults < MAX_FAULTS)
                if not again:
                    if response.status_code >= 400:
                        raise Refused(response.status_code, response.text[:500])
                    return response
                trouble, pause = f"{response.status_code}: {response.text[:200]}", _asked_wait(response, wait)
            if time.monotonic() + pause > deadline:
                raise Refused(503, f"no answer within {self._patience_seconds:g} seconds; the last trouble: {trouble}")
            await asyncio.sleep(pause)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)


def _asked_wait(response: httpx.Response, wait: float) -> float:
    asked = response.headers.get("retry-after", "")
    return min(float(asked), LONGEST_WAIT_SECONDS) if asked.isdecimal() and int(asked) > 0 else wait


def _broke_off(response: httpx.Response) -> bool:
    """A stream that ended without its last line: an answer we cannot know."""
    streamed = response.headers.get("content-type", "").startswith("text/event-stream")
    return streamed and "data: [DONE]" not in response.text


def _read_stream(text: str) -> Answer:
    name, parts = "", []
    for line in text.split("\n"):  # an answer may hold U+2028, which splitlines takes for a line end
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        row = json.loads(data)
        if "error" in row:
            raise Refused(500, json.dumps(row["error"])[:500])
        name = row.get("id", name)
        parts += [choice["delta"].get("content") or "" for choice in row.get("choices", [])]
    return Answer(name, "".join(parts))
