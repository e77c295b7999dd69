"""Where an engine elsewhere listens, and how what went wrong there is told.

No redirect is followed, no proxy or password is taken from the environment, and no message ever holds the key.
"""

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from feilun.engine.protocol import EngineFault
from feilun.types import UserError

__all__ = ["Endpoint", "Patience", "Refusal", "bases", "check_url", "detail_of", "error_text"]

MAX_URL_CHARS = 2000
MAX_DETAIL_CHARS = 300
LONGEST_RETRY_SECONDS = 3600
ROUTES = ("/chat/completions", "/completions", "/models")
VERSIONED = re.compile(r"/v\d+\w*$")
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
BUSY = frozenset({429, 503, 529})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an endpoint may take: to connect, for its first byte, between bytes, between two events, for an answer.

    tail_seconds: what may still come after the answer's end, its usage above all, is waited for so long.
    """

    connect_seconds: float = 10.0
    first_byte_seconds: float = 60.0
    byte_seconds: float = 60.0
    text_seconds: float = 600.0
    answer_seconds: float = 3600.0
    tail_seconds: float = 3.0


class Refusal(NamedTuple):
    """An HTTP answer other than 200, or an error in the stream; status 0 for the latter."""

    status: int
    detail: str
    param: str | None = None
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """name: what the owner calls it. url: of its API, as `check_url` gives it."""

    name: str
    url: str
    key: str = field(default="", repr=False)

    def client(self, patience: Patience) -> httpx.AsyncClient:
        """One call's own client: leaving it closes its connection, so that a cancelled answer costs nothing more."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "feilun", "Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        timeout = httpx.Timeout(patience.byte_seconds, connect=patience.connect_seconds)
        return httpx.AsyncClient(headers=headers, timeout=timeout, follow_redirects=False, trust_env=False, verify=_trusted())

    def fault(self, what: str, *, http_status: int = 502, retry_after_seconds: int | None = None) -> EngineFault:
        """What to raise: the engine is named, and the key, should the endpoint have said it back, is not shown."""
        shown = what.replace(self.key, "[key]") if self.key else what
        return EngineFault(f"engine {self.name}: {shown}", http_status=http_status, retry_after_seconds=retry_after_seconds)

    def refused(self, refusal: Refusal) -> EngineFault:
        said = f": {refusal.detail}" if refusal.detail else ""
        if refusal.status == 0:
            return self.fault(f"it broke off with an error{said}")
        if 300 <= refusal.status < 400:
            return self.fault(f"{self.url} sends elsewhere ({refusal.status}{said}); register the URL that it names, if you trust it")
        words = {401: "it does not accept the key", 403: "the key may not do this", 404: "it knows no such model or address"}
        unknown = "it failed" if refusal.status >= 500 else "it refused the request"
        what = words.get(refusal.status, "it is busy" if refusal.status in BUSY else unknown)
        transient = refusal.status in TRANSIENT
        after = refusal.retry_after_seconds if transient else None
        wait = f"; try again in {after} seconds" if after else "; try again shortly" if transient else ""
        return self.fault(f"{what} ({refusal.status}{said}){wait}", http_status=503 if transient else 502, retry_after_seconds=after)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Every failure of the wire leaves as an EngineFault."""
        try:
            yield
        except httpx.ConnectTimeout:
            raise self.fault(f"no connection to {self.url} in time", http_status=503) from None
        except (httpx.TimeoutException, TimeoutError):
            raise self.fault(f"{self.url} stayed silent for too long", http_status=503) from None
        except httpx.ConnectError as error:
            raise self.fault(f"{_why_unreachable(error)} at {self.url}", http_status=503) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self.fault(f"the connection to {self.url} broke ({error or type(error).__name__})") from None


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that come with the program, and those that this system trusts besides."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def check_url(url: str) -> str:
    """The URL of an API without what stands after it; UserError unless it is http(s), with a host and without secrets."""
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise UserError(f"{text[:80]!r} is not a URL ({error}); give one such as http://127.0.0.1:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        raise UserError("the URL holds a name or password, and URLs are shown and logged; give the key by itself")
    if parts.scheme not in ("http", "https") or not host or port == 0 or not text.isprintable() or " " in text:
        raise UserError(f"{text[:80]!r} is not the URL of an API; give http:// or https:// and a host, such as http://127.0.0.1:8000/v1")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise UserError("the URL has something after ? or #, which is not kept secret; leave it out and give the key by itself")
    if len(text) > MAX_URL_CHARS:
        raise UserError(f"the URL has {len(text)} characters; at most {MAX_URL_CHARS} are allowed")
    path = parts.path.rstrip("/")
    for route in ROUTES:
        path = path.removesuffix(route)
    return f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}"


def bases(url: str) -> tuple[str, ...]:
    """Where the API of `url` may begin, the likeliest first: people give it with and without its /v1."""
    path = urlsplit(url).path
    if VERSIONED.search(path):
        return (url,)
    return (url, f"{url}/v1") if path else (f"{url}/v1", url)


def detail_of(response: httpx.Response, body: bytes) -> Refusal:
    """What a refusing answer says, in one short line."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    detail, param = error_text(said) if isinstance(said, Mapping) else (_line(body.decode(errors="replace")), None)
    if 300 <= response.status_code < 400:
        detail = _line(response.headers.get("location", ""))
    elif "html" in response.headers.get("content-type", ""):
        detail = "a web page, not an API"
    return Refusal(response.status_code, detail, param, _seconds(response.headers.get("retry-after", "")))


def error_text(said: Mapping[str, Any]) -> tuple[str, str | None]:
    """Message and parameter of an error object, in any of the shapes that endpoints use."""
    error = said.get("error", said)
    if not isinstance(error, Mapping):
        return _line(str(error)), None
    message = next((error[key] for key in ("message", "detail", "msg", "code") if error.get(key)), "")
    param = error.get("param")
    return _line(message if isinstance(message, str) else json.dumps(message)), param if isinstance(param, str) else None


def _line(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_DETAIL_CHARS])
    short = " ".join(plain.split())
    return short if len(short) <= MAX_DETAIL_CHARS else short[: MAX_DETAIL_CHARS - 1] + "…"


def _seconds(header: str) -> int | None:
    return min(int(header), LONGEST_RETRY_SECONDS) if header.isdecimal() and header.isascii() else None


def _why_unreachable(error: BaseException) -> str:
    """The system's own reason, which the client's library wraps more than once."""
    queue: list[BaseException | None] = [error]
    while queue:
        found = queue.pop()
        if isinstance(found, ConnectionRefusedError):
            return "connection refused"
        if isinstance(found, socket.gaierror):
            return "no such host"
        if isinstance(found, ssl.SSLError):
            return f"no secure connection ({found.reason or found})"
        if found is not None:
            inner = found.exceptions if isinstance(found, BaseExceptionGroup) else ()
            queue += [found.__context__, found.__cause__, *inner]
    return f"no connection ({error})" if str(error) else "no connection"
