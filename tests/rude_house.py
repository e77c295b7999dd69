"""An endpoint that says, byte for byte, whatever a test wants said: well-behaved, odd or broken."""

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

GIVE_UP_SECONDS = 20.0


@dataclass
class Call:
    """One request, and the connection that it came on."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: socket.socket

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def has_gone(self) -> bool:
        """Whether the client closes the connection, waited for as long as any test may take."""
        try:
            return self.connection.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


Script = Callable[[Call], None]


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(GIVE_UP_SECONDS)
        with contextlib.suppress(ConnectionError), self.request.makefile("rb") as stream:
            method, path, _ = stream.readline().decode().split(" ")
            headers = {}
            while line := stream.readline().decode().strip():
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            body = stream.read(int(headers.get("content-length", 0)))
            call = Call(method, path, headers, json.loads(body) if body else None, self.request)
            self.server.calls.append(call)
            self.server.script(call)


class RudeServer(socketserver.ThreadingTCPServer):
    """Set `script` to what shall answer; `calls` are the requests so far."""

    daemon_threads = True
    request_queue_size = 64
    # A script may be waiting for a client that has gone; the test is over all the same.
    block_on_close = False

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.calls = script, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextlib.contextmanager
def rude_house(script: Script) -> Iterator[RudeServer]:
    with RudeServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def head(status: int = 200, kind: str = "text/event-stream", **more: object) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(text: str | None = None, reason: str | None = None, **more: object) -> str:
    delta = {} if text is None else {"content": text}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})


def events(*chunks: str, end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {chunk}\n\n" for chunk in chunks) + end).encode()


def says(data: bytes) -> Script:
    """A script that says these bytes after a stream's head, and closes."""
    return lambda call: call.send(head() + data)


def refuses(status: int, said: Any = "", kind: str = "application/json", **headers: object) -> Script:
    text = said if isinstance(said, str) else json.dumps(said)
    return lambda call: call.send(head(status, kind, **headers) + text.encode())
