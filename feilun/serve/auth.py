"""Who is speaking: the owner's browser session or an API key, and for whom.

The owner's door is a one-time token in a URL. It is exchanged for a session cookie (HttpOnly, SameSite=Strict, named by port,
because cookies are shared by all ports of a host). Only hashes of tokens and sessions stand in the store. Whoever can write
the home may mint a token: `issue_owner_token`.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from feilun.serve.chat_request import check_name
from feilun.serve.errors import ApiError
from feilun.serve.state import State, state_of
from feilun.store import Store, principal_of

__all__ = ["SCOPES", "Principal", "authenticate", "check_host", "issue_owner_token", "owner_only", "requires", "until_refused"]

SCOPES = frozenset({"chat", "feedback", "assert_end_user", "exam", "desk"})
OWNER_SCOPES = frozenset({"chat", "feedback", "exam", "desk"})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN_SECONDS = 7 * 24 * 3600.0
SESSION_SECONDS = 30 * 24 * 3600.0
LOOK_SECONDS = 0.5
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who speaks: the owner (no key name) or an API key, for itself or for an end user. `name` is the rater as the store knows it."""

    key_name: str | None
    scopes: frozenset[str]
    end_user: str | None = None

    @property
    def is_owner(self) -> bool:
        return self.key_name is None

    @property
    def name(self) -> str:
        return principal_of(self.key_name, self.end_user)

    def speaking_for(self, end_user: str | None, field: str, *, invalid_status: int = 400) -> "Principal":
        """This credential on behalf of `end_user`, the value of `field` in the body; ApiError 403 without the scope."""
        if end_user is None:
            return self
        check_name(field, end_user, invalid_status)
        if "assert_end_user" in self.scopes:
            return replace(self, end_user=end_user)
        if end_user in (self.name, self.key_name):
            return self
        message = f"{field}={end_user!r} names somebody else; this credential is {self.name!r} and lacks the scope assert_end_user"
        raise ApiError(403, message, param=field, code="end_user_not_allowed")


async def check_host(request: Request) -> None:
    """Refuse foreign Host headers on a loopback server, so that no web page can reach it by rebinding a name."""
    if state_of(request).settings.host in LOOPBACK and hostname(request) not in LOOPBACK:
        message = f"Host {request.headers.get('host')!r} is not this server; allowed: {', '.join(sorted(LOOPBACK))}"
        raise ApiError(403, message, code="host_not_allowed")


async def authenticate(request: Request) -> Principal:
    """The principal of a request by its Bearer key, else by its session cookie; ApiError 401 without either."""
    state = state_of(request)
    header = request.headers.get("authorization")
    if header is not None:
        return _key_principal(state, header)
    if session_of(request) is None:
        raise ApiError(401, "no credential: send 'Authorization: Bearer fl-...' or open the owner's link", code="missing_api_key")
    _check_same_origin(request)
    return Principal(key_name=None, scopes=OWNER_SCOPES)


async def until_refused(request: Request) -> None:
    """Wait until the credential of a request would be refused: a stream outlives the look at its door."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await authenticate(request)
        except ApiError:
            return


def _key_principal(state: State, header: str) -> Principal:
    scheme, _, secret = header.partition(" ")
    key = state.store.find_key(secret.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise ApiError(401, "the API key is unknown or revoked", code="invalid_api_key")
    return Principal(key_name=key.name, scopes=key.scopes)


def requires(scope: str) -> Callable[[Principal], Awaitable[Principal]]:
    """A route dependency: the principal, if its credential holds `scope`."""
    assert scope in SCOPES

    async def check(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if scope not in principal.scopes:
            raise ApiError(403, f"{principal.name!r} lacks the scope {scope!r}", code="missing_scope")
        return principal

    return check


async def owner_only(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
    """A route dependency: the owner's own session; ApiError 403 for every key."""
    if not principal.is_owner:
        raise ApiError(403, "only the owner's session may do this; a key may not", code="owner_only")
    return principal


def issue_owner_token(store: Store) -> str:
    """A token that opens one owner's session, once, within TOKEN_SECONDS."""
    token = secrets.token_urlsafe(24)
    store.note(f"owner_token/{_digest(token)}", {"expires": time.time() + TOKEN_SECONDS})
    return token


def redeem(store: Store, token: str) -> str | None:
    """A new session's secret for an unused token; None for any other."""
    key = f"owner_token/{_digest(token)}"
    if not _alive(store, key):
        return None
    store.note(key, {"expires": 0.0})
    session = secrets.token_urlsafe(32)
    store.note(f"owner_session/{_digest(session)}", {"expires": time.time() + SESSION_SECONDS})
    return session


def end_session(request: Request) -> None:
    """The session that this request bears opens nothing any more. Writes to the store: not for the event loop."""
    session = request.cookies.get(cookie_name(request))
    if session:
        state_of(request).store.note(f"owner_session/{_digest(session)}", {"expires": 0.0})


def session_of(request: Request) -> str | None:
    """The secret of the owner's session that this request bears, if it is a live one on a host that may bear it."""
    state = state_of(request)
    session = request.cookies.get(cookie_name(request))
    if not session or hostname(request) not in LOOPBACK | {state.settings.host}:
        return None
    return session if _alive(state.store, f"owner_session/{_digest(session)}") else None


def _alive(store: Store, key: str) -> bool:
    row = store.read_note(key)
    return row is not None and row["expires"] > time.time()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def hostname(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def cookie_name(request: Request) -> str:
    host = request.headers.get("host", "")
    port = host.rpartition(":")[2]
    return f"feilun_session_{port if port.isdecimal() else 'default'}"


def _check_same_origin(request: Request) -> None:
    """A cookie counts only in requests of our own pages: SameSite does not tell two ports of one host apart."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    safe = request.method in SAFE_METHODS
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (origin is None and not safe):
        raise ApiError(403, "the owner's session may only be used by this server's own page", code="origin_not_allowed")
    if origin is not None and urlsplit(origin).netloc != host:
        raise ApiError(403, f"Origin {origin!r} is not this server's own page", code="origin_not_allowed")
