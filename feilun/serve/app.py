"""The server: one app over one home; it starts before any model exists and takes each champion as it comes."""

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import Depends, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feilun.config import ServeSettings
from feilun.engine.chat import TextChat
from feilun.serve import chat_api, copywriting, desk, downloads, engines, feedback, growth, openai, product, rollout, teach, turns
from feilun.serve.auth import LOOPBACK, check_host, issue_owner_token
from feilun.serve.champion import EngineFactory, Models
from feilun.serve.erasures import watch_erasures
from feilun.serve.errors import install_handlers
from feilun.serve.live import Lives, watch_drafts
from feilun.serve.mirror import Mirrors
from feilun.serve.rate import Rate
from feilun.serve.state import State
from feilun.serve.traffic import Traffic
from feilun.store import Store, uuid7
from feilun.types import UserError

__all__ = ["Address", "create_app", "run", "serving"]

# One line a room of the server.
ROUTERS = (
    openai.router,
    feedback.router,
    product.router,
    growth.router,
    downloads.router,
    chat_api.router,
    copywriting.router,
    engines.router,
    turns.router,
    teach.router,
    rollout.router,
    desk.router,
)

SERVER_NOTE = "server"
NUM_WRITERS = 32
PORTS_TO_TRY = 20
SHUTDOWN_SECONDS = 10
START_SECONDS = 30.0

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Address(NamedTuple):
    """Where a server listens. `owner_url` opens the owner's session once."""

    url: str
    owner_url: str


def create_app(home: Path, settings: ServeSettings, *, engine_factory: EngineFactory | None = None) -> FastAPI:
    """The app over `home`. engine_factory: how a model directory becomes a chat; the native engine unless told."""
    app = FastAPI(
        title="Feilun",
        version=_version(),
        lifespan=_lifespan,
        dependencies=[Depends(check_host)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.opening = (home, settings, engine_factory or native_factory)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Headers)
    install_handlers(app)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    home, settings, factory = app.state.opening
    store = await asyncio.to_thread(Store.open, home)
    models = Models(home, settings, store, factory)
    writers = ThreadPoolExecutor(NUM_WRITERS, "feilun-writer")
    traffic = Traffic(store, models)
    state = app.state.feilun = State(
        home=home, settings=settings, store=store, models=models, writers=writers, lives=Lives(),
        traffic=traffic, mirrors=Mirrors(store, traffic),
        feedback_rate=Rate(settings.feedback_per_minute), answer_rate=Rate(settings.answers_per_minute), preparing=teach.Preparing(),
    )  # fmt: skip
    watches = (models.watch(), traffic.watch(), state.mirrors.watch(state), watch_drafts(state), watch_erasures(state, app.state))
    watchers = [asyncio.create_task(watch) for watch in watches]
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await _end_generations(state)
        await state.preparing.ended()
        await traffic.close()
        await models.close()
        await asyncio.to_thread(writers.shutdown)
        store.close()


async def _end_generations(state: State) -> None:
    for generation in tuple(state.generations):
        generation.cancel()
    while state.in_flight:
        await next(iter(state.in_flight.values())).wait()


class Headers:
    """Security headers and a request id on every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = f"req_{uuid7()}"
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def native_factory(path: Path, ref: str, settings: ServeSettings) -> TextChat:
    """The own engine on a model directory; torch is imported here and not before."""
    from feilun.engine.native import NativeEngine

    return TextChat.over(NativeEngine.load(path, model=ref, threads=settings.threads, max_batch=settings.max_batch))


def run(
    home: Path,
    settings: ServeSettings,
    *,
    engine_factory: EngineFactory | None = None,
    on_start: Callable[[Address], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then let the running answers end. on_start: told the address once it accepts requests."""
    with _listen(settings) as listener:
        address = _announce(home, settings, listener)
        server = _Server(_uvicorn_config(home, settings, engine_factory), on_start and (lambda: on_start(address)))
        server.run([listener])


@contextlib.contextmanager
def serving(home: Path, settings: ServeSettings, *, engine_factory: EngineFactory | None = None) -> Iterator[Address]:
    """The same server in a thread of this process, for tests and benchmarks; stopped when the block ends."""
    with _listen(settings) as listener:
        address = _announce(home, settings, listener)
        server = _Server(_uvicorn_config(home, settings, engine_factory), None)
        thread = threading.Thread(target=server.run, args=([listener],), name="feilun-server", daemon=True)
        thread.start()
        try:
            if not server.ready.wait(START_SECONDS):
                raise RuntimeError(f"the server did not start within {START_SECONDS:g} seconds")
            yield address
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    """uvicorn's server, which also says when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None] | None):
        super().__init__(config)
        self.ready = threading.Event()
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
        if self._on_ready is not None and self.started:
            self._on_ready()


def _uvicorn_config(home: Path, settings: ServeSettings, factory: EngineFactory | None) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(home, settings, engine_factory=factory),
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _listen(settings: ServeSettings) -> socket.socket:
    """A listening socket on the port of the settings, or on the next free one; port 0 takes any."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port in range(settings.port, settings.port + (PORTS_TO_TRY if settings.port else 1)):
        # asyncio turns Nagle's delay off only where the protocol is named; with it every answer would wait 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise UserError(f"cannot listen on {settings.host}:{port}: {error.strerror}; give another host or port") from None
        else:
            return listener
    raise UserError(f"ports {settings.port} to {settings.port + PORTS_TO_TRY - 1} of {settings.host} are all taken; give another port")


def _announce(home: Path, settings: ServeSettings, listener: socket.socket) -> Address:
    """Refuse an open host without keys, mint the owner's token, and leave the address in the store."""
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    with Store.open(home) as store:
        if settings.host not in LOOPBACK and not any(key.revoked is None for key in store.list_keys()):
            raise UserError(
                f"host {settings.host!r} is open to the network and no API key exists; run feilun key create, or serve on 127.0.0.1"
            )
        store.note(SERVER_NOTE, {"url": url, "pid": os.getpid(), "started": time.time()})
        return Address(url, f"{url}/?token={issue_owner_token(store)}")


def _version() -> str:
    try:
        return version("feilun")
    except PackageNotFoundError:
        return "0"
