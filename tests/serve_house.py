"""A home with models that echo, at a pace that a test decides."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from feilun.artifacts import draft
from feilun.chat import ChatFormat
from feilun.config import ServeSettings, TokenizerSettings
from feilun.engine.chat import TextChat
from feilun.engine.echo import EchoEngine
from feilun.serve.app import serving
from feilun.store import Store
from feilun.tokenizer import Tokenizer
from feilun.types import GenerationRequest, TokenEvent

# One token a byte: there is nothing to merge.
TOKENIZER = Tokenizer.train(["a"], TokenizerSettings(vocab_size=320, num_reserved=8))


def make_model(home: Path, name: str) -> str:
    """A whole artifact of kind models; its ref."""
    with draft(home, "models", name, recipe={"name": name}) as work:
        (work.path / "name.txt").write_text(name)
    assert work.artifact is not None
    return f"models/{work.artifact.ref}"


class Script:
    """What the models say and how fast: `answers[question]` one after the other, the last of them from then on; else an echo.

    While `go` is not set, they hold their breath after `hold` tokens of one byte.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.go, self.hold, self.context_tokens = threading.Event(), 3, 512
        self.go.set()

    def answer(self, name: str, text: str) -> str:
        answers = self.answers.get(text, [])
        return (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else f"{name}: {text}"


class PacedEngine(EchoEngine):
    """An echo that answers "<name>: <message>", or what its script says."""

    def __init__(self, name: str, ref: str, script: Script) -> None:
        super().__init__(TOKENIZER, ref=ref, answer=lambda text: script.answer(name, text), context_tokens=script.context_tokens)
        self.script, self.broken, self.closed, self.requests = script, False, False, []

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
        self.requests.append(request)
        events = super().stream(request)
        try:
            number = 0
            async for event in events:
                number += 1
                while number > self.script.hold and not self.script.go.is_set():
                    await asyncio.sleep(0.005)
                if self.broken:
                    raise RuntimeError("the engine broke")
                yield event
        finally:
            await events.aclose()

    def close(self, *, drain: bool = False) -> None:
        assert self.num_requests == 0, "a model was closed while it spoke"
        self.closed = True
        super().close(drain=drain)


class House:
    """A home, its server, and every engine that the server loaded."""

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, Store.open(home)
        self.script = Script()
        self.go = self.script.go
        self.engines: list[PacedEngine] = []
        self.url = self.owner_url = self.first = ""

    def load(self, path: Path, ref: str, settings: ServeSettings) -> TextChat:
        self.engines.append(PacedEngine((path / "name.txt").read_text(), ref, self.script))
        return TextChat(self.engines[-1], ChatFormat(TOKENIZER))

    def key(self, name: str, *scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.store.create_key(name, frozenset(scopes)).secret}"}

    def promote(self, name: str) -> str:
        ref = make_model(self.home, name)
        self.store.set_champion(ref, "test")
        return ref

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)


@contextmanager
def open_house(
    home: Path, kind: type[House] = House, *, first: str = "", context_tokens: int = 512, **settings: int | str
) -> Iterator[House]:
    """A house whose server runs. first: the name of a model that answers from the beginning."""
    house = kind(home)
    house.script.context_tokens = context_tokens
    house.first = house.promote(first) if first else ""
    with serving(home, ServeSettings(port=0, **settings), engine_factory=house.load) as address:
        house.url, house.owner_url = address
        try:
            if first:
                wait_for(house, house.first)
            yield house
        finally:
            house.go.set()
    house.store.close()


def ask(text: str, **fields: object) -> dict[str, object]:
    return {"model": "feilun", "messages": [{"role": "user", "content": text}], **fields}


def thumb(completion_id: str, value: object = 1, index: int = 0, **fields: object) -> dict[str, object]:
    return {"target": {"id": completion_id, "index": index}, "kind": "thumb", "value": value, **fields}


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def wait_for(house: House, ref: str) -> None:
    with house.client() as client:
        until(lambda: client.get("/health").json()["model"] == ref)


def error_of(response: httpx.Response, status: int) -> dict[str, str | None]:
    """The error object of a refusal, whole and of that status."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    return error
