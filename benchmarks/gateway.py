"""What our server adds to an answer: authentication, checks, the queue, and a durable record of every completion, logging ON.

    python -m benchmarks.gateway [--requests N] [--rounds N]

An echo engine answers at once, so all the time is ours. Beside it, in turn, "bare": the same web framework answering a
constant with no key, no check and no record, which is the floor that HTTP in Python sets on this machine; and "bare+fsync": the
same, after one durable commit of a row of SQLite, one request after the other. Each server is a process of its own; the
callers keep their connections. Times are milliseconds of wall time from the request's first byte to the answer's last.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CONCURRENCIES = (1, 16)
ANSWER = "the echo of a short question"
BODY = {"model": "feilun", "messages": [{"role": "user", "content": ANSWER}], "user": "someone"}


class Target(NamedTuple):
    name: str
    port: int
    headers: dict[str, str]
    body: dict[str, Any]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    """Milliseconds of one request on a connection that is kept."""
    start = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    if b"chunked" in head.lower():
        await reader.readuntil(b"0\r\n\r\n")
    else:
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
    return (time.perf_counter() - start) * 1e3


async def load(target: Target, concurrency: int, num_requests: int) -> list[float]:
    body = json.dumps(target.body).encode()
    headers = {"Host": f"127.0.0.1:{target.port}", "Content-Type": "application/json", "Content-Length": str(len(body)), **target.headers}
    request = b"POST /v1/chat/completions HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode() + b"\r\n" + body

    async def caller() -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        times = [await ask(reader, writer, request) for _ in range(num_requests // concurrency)]
        writer.close()
        return times

    return [t for times in await asyncio.gather(*(caller() for _ in range(concurrency))) for t in times]


def serve_ours(home: Path) -> None:
    from feilun.artifacts import draft
    from feilun.config import ServeSettings, TokenizerSettings
    from feilun.engine.chat import TextChat
    from feilun.engine.echo import EchoEngine
    from feilun.serve.app import Address, run
    from feilun.store import Store
    from feilun.tokenizer import Tokenizer

    tokenizer = Tokenizer.train([ANSWER] * 9, TokenizerSettings(vocab_size=448, num_reserved=8))
    with draft(home, "models", "echo") as work:
        tokenizer.save(work.path)
    with Store.open(home) as store:
        assert work.artifact is not None
        store.set_champion(f"models/{work.artifact.ref}", "benchmark")
        key = store.create_key("bench", frozenset({"chat", "assert_end_user"})).secret

    def tell(address: Address) -> None:
        print(json.dumps({"port": int(address.url.rpartition(":")[2]), "key": key}), flush=True)

    settings = ServeSettings(port=0, answers_per_minute=0)
    run(home, settings, engine_factory=lambda path, ref, _: TextChat.over(EchoEngine.load(path, model=ref)), on_start=tell)


def serve_bare(home: Path, durable: bool) -> None:
    import socket

    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response

    app = FastAPI()
    database = sqlite3.connect(home / "bare.db", isolation_level=None, check_same_thread=False)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS log (body TEXT)")

    @app.post("/v1/chat/completions")
    async def answer(request: Request) -> Response:
        body = await request.json()
        if durable:
            database.execute("INSERT INTO log VALUES (?)", (json.dumps(body),))
        return JSONResponse({"choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]})

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1], "key": "none"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run([listener])


@contextmanager
def server(kind: str, home: Path) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.gateway", "--serve", kind, str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def figures(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median_ms": round(statistics.median(ordered), 3),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 3),
        "n": len(ordered),
    }


def measure(num_requests: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by target and load; the targets take turns in every round."""
    with tempfile.TemporaryDirectory() as root:
        homes = {kind: Path(root) / kind for kind in ("ours", "bare", "bare+fsync")}
        for home in homes.values():
            home.mkdir()
        with (
            server("ours", homes["ours"]) as ours,
            server("bare", homes["bare"]) as bare,
            server("bare+fsync", homes["bare+fsync"]) as durable,
        ):
            key = {"Authorization": f"Bearer {ours['key']}"}
            targets = [
                Target("ours", ours["port"], key, BODY),
                Target("ours, streamed", ours["port"], key, {**BODY, "stream": True}),
                Target("bare", bare["port"], {}, BODY),
                Target("bare+fsync", durable["port"], {}, BODY),
            ]
            time.sleep(2.0)
            times: dict[tuple[str, int], list[float]] = {}
            for target in targets:
                asyncio.run(load(target, 4, 80))
            for _ in range(rounds):
                for concurrency in CONCURRENCIES:
                    for target in targets:
                        times.setdefault((target.name, concurrency), []).extend(asyncio.run(load(target, concurrency, num_requests)))
    return {target.name: {f"{c} at once": figures(times[target.name, c]) for c in CONCURRENCIES} for target in targets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "HOME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        kind, home = options.serve
        serve_ours(Path(home)) if kind == "ours" else serve_bare(Path(home), kind == "bare+fsync")
        return
    measured = measure(options.requests, options.rounds)
    for name, loads in measured.items():
        for how, row in loads.items():
            print(f"{name:16} {how:10} median {row['median_ms']:8.2f} ms   p99 {row['p99_ms']:8.2f} ms   n {row['n']}")
    loads = [f"{c} at once" for c in CONCURRENCIES]
    ratios = {how: round(measured["ours"][how]["median_ms"] / measured["bare"][how]["median_ms"], 2) for how in loads}
    peers = {name: measured[name] for name in ("bare", "bare+fsync")}
    absent = {"litellm": "not in the dependencies of this house: two poisoned releases in 2026-03"}
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    ours = {name: measured[name] for name in ("ours", "ours, streamed")}
    print(json.dumps({"benchmark": "gateway", "machine": machine, "ours": ours, "peers": peers, "ratios": ratios, "absent": absent}))


if __name__ == "__main__":
    main()
