"""How turns ended, told to an address: JSON that is signed, tried again with growing pauses, beside the turn and never in its way.

What there is to tell is read from the store, so nothing is lost with a process: ends of turns, and champions that were taken back. A
note says what was told; where a process dies between the two, the same `id` is told twice. The receiver computes
HMAC-SHA256(secret, timestamp + "." + body) and compares it with the header Feilun-Signature. The secret is the file `webhook.secret` of
the home; neither it nor the address beyond its host is ever printed or kept in the store's notes of deliveries.
"""

import fcntl
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from feilun.artifacts import write_secret
from feilun.config import WatchSettings, resolved
from feilun.store import Store, TurnRow
from feilun.turn.beside import again_and_again
from feilun.turn.settings import WATCH_SETTINGS_NOTE, left_watch
from feilun.types import UserError

__all__ = ["SECRET_FILE", "TOLD_NOTE", "leave_watch", "news", "signature", "tell", "telling"]

TOLD_NOTE = "webhook"
SECRET_FILE, LOCK = "webhook.secret", "webhook.lock"
PAUSES_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0)  # after the first failure, the second, ...; after the last of them it is given up
TIMEOUT_SECONDS = 5.0
LOOK_SECONDS = 3.0
Post = Callable[[str, bytes, Mapping[str, str]], int]


class News(NamedTuple):
    """id: of the turn and the state it came to, or of the rollback; body: what is sent."""

    id: str
    body: dict[str, Any]


def leave_watch(home: Path, store: Store, settings: WatchSettings) -> None:
    """Keep them for every watcher of this home. A webhook is told what comes from now on; its secret is made where there is none."""
    before = left_watch(store).webhook
    if settings.webhook and settings.webhook != before:
        secret_of(home)
        store.note(TOLD_NOTE, {"told": [found.id for found in news(store)], "tries": {}})
    store.note(WATCH_SETTINGS_NOTE, resolved(settings))


def secret_of(home: Path) -> bytes:
    """The secret, made with the first call; readable by the owner of the file alone."""
    path = home / SECRET_FILE
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(32))
    found = path.read_text(encoding="utf-8").strip()
    if not found:
        raise UserError(f"{path} is empty; put a secret into it, or delete it and a new one is made")
    return found.encode()


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def news(store: Store) -> list[News]:
    """All there is to tell, oldest first: every state that a turn came to and every champion that was taken back."""
    ends = [(turn.finished or turn.started, of_turn(turn)) for turn in store.turns() if turn.state != "running"]
    backs = [
        (row.at, News(f"rollback:{row.epoch}", {"event": "model.rolled_back", "at": row.at, "model": row.model, "why": [row.reason]}))
        for row in store.history()
        if row.restores is not None
    ]
    return [found for _, found in sorted([*ends, *backs], key=lambda item: item[0])]


def of_turn(turn: TurnRow) -> News:
    candidate = turn.steps["train"].output.get("candidate") if "train" in turn.steps else None
    champion = turn.plan.get("champion", {}).get("model")
    body = {
        "event": f"turn.{turn.state}", "at": turn.finished, "turn": turn.id, "name": turn.plan.get("name", ""), "champion": champion,
        "candidate": candidate, "why": turn.why.splitlines(),
    }  # fmt: skip
    return News(f"{turn.id}:{turn.state}", body)


def tell(home: Path, store: Store, *, post: Post | None = None, now: float | None = None) -> int:
    """Send what is new and due, once each; how many were delivered. Another process at it: none."""
    settings, moment = left_watch(store), time.time() if now is None else now
    note = store.read_note(TOLD_NOTE)
    if not settings.webhook or note is None:
        return 0
    with (home / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        note = store.read_note(TOLD_NOTE) or {"told": [], "tries": {}}
        waiting = [found for found in news(store) if found.id not in set(note["told"])]
        due = [found for found in waiting if note["tries"].get(found.id, {}).get("next", 0.0) <= moment]
        return sum(_try(home, store, settings, found, post or send, moment) for found in due)


def _try(home: Path, store: Store, settings: WatchSettings, found: News, post: Post, now: float) -> bool:
    """One try of one delivery, and the note of how it went."""
    timestamp = str(int(now))
    body = json.dumps({"id": found.id, **found.body}, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json", "User-Agent": "feilun", "Feilun-Delivery": found.id, "Feilun-Timestamp": timestamp,
        "Feilun-Signature": signature(secret_of(home), timestamp, body),
    }  # fmt: skip
    error = _error_of(post, settings.webhook, body, headers)
    note = store.read_note(TOLD_NOTE) or {"told": [], "tries": {}}
    failed = note["tries"].pop(found.id, {"n": 0})["n"] + 1
    if not error or failed > len(PAUSES_SECONDS):
        note["told"].append(found.id)
    else:
        note["tries"][found.id] = {"n": failed, "next": now + PAUSES_SECONDS[failed - 1], "error": error}
    store.note(TOLD_NOTE, note)
    if error:
        after = f"given up after {failed} tries" if failed > len(PAUSES_SECONDS) else f"again in {PAUSES_SECONDS[failed - 1]:.0f} s"
        print(f"webhook: {urlsplit(settings.webhook).hostname}: {error}; {after}", file=sys.stderr, flush=True)
    return not error


def _error_of(post: Post, address: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Empty where it was taken: any status from 200 to 299. An error's own words may hold the address, so only its kind is told."""
    try:
        status = post(address, body, headers)
    except (OSError, ValueError, RuntimeError) as error:
        return type(error).__name__
    return "" if 200 <= status < 300 else f"status {status}"


def send(address: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer; a redirect is not followed. Raises OSError where there is none."""
    import httpx

    try:
        return httpx.post(address, content=body, headers=dict(headers), timeout=TIMEOUT_SECONDS, follow_redirects=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(type(error).__name__) from None


def telling(home: Path, store: Store, look_seconds: float = LOOK_SECONDS) -> AbstractContextManager[None]:
    """While the block runs, a thread tells what there is to tell; also while a turn trains."""
    return again_and_again("webhook", lambda: tell(home, store), look_seconds)
