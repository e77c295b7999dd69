"""The page, and what it reads: progress while the ring turns, a chat, a thumb under each answer.

The note "progress" in the store is written by whoever turns the ring, and shown as it is:
    {"stage": one of STAGES or "done", "fraction": 0..1 of the stage, "eta_seconds": number or null (of the stage),
     "detail": one short line or "", "starters": [up to 6 questions that the page offers],
     "corpus": "corpus/NAME@HASH" once there is one, "run": the folder under runs/ of the last training,
     "table": [{"name", "model", "verdict": "first|promoted|refused", "why", "acceptance": INTERVAL or null,
                "exams": {KEY: INTERVAL}, "blind": null or
                {"against", "wins", "losses", "ties", "both_bad", "users", "share": INTERVAL}}]}
with INTERVAL = {"mean", "low", "high", "n"}, null and n = 0 where nothing was counted; every field but "stage" may be
left out. The note "champion_failure" is written by `champion.Models`: {"model", "epoch", "error", "at"}, empty once it or
another champion answers.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from feilun.serve.auth import SESSION_SECONDS, Principal, cookie_name, end_session, owner_only, redeem, session_of
from feilun.serve.birth import growth_version
from feilun.serve.champion import FAILURE_NOTE
from feilun.serve.errors import ApiError
from feilun.serve.language import language_of, said
from feilun.serve.state import State, state_of
from feilun.serve.words import LANGUAGES, all_words, words_of

__all__ = ["PROGRESS_NOTE", "STAGES", "router", "status", "template"]

router = APIRouter()

PROGRESS_NOTE = "progress"
STAGES = ("corpus", "tokenizer", "pretrain", "sft", "exam", "serve", "feedback", "turn")
HERE = Path(__file__).parent
STATIC = HERE / "static"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
VIEWS = ("chat", "learn", "copy", "growth")
PARTS = ("turn",)
# The words that the page needs at first; those of other views come with them.
FIRST_WORDS = ("shell", "chat", *PARTS)
THEMES = ("light", "dark")
WORDS = {f"words-{language}.json": language for language in LANGUAGES}


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    current = state_of(request).models.current
    return JSONResponse({"status": "starting" if current is None else "ok", "model": None if current is None else current.ref})


@router.get("/")
async def page(request: Request, token: str | None = None) -> Response:
    state = state_of(request)
    if token is not None:
        return _enter(request, state, token)
    language = language_of(request)
    owner = session_of(request) is not None
    theme = request.cookies.get("feilun_theme")
    html = template("index.html").render(
        language=language, words=words_of(language, FIRST_WORDS), stages=STAGES, owner=owner, theme=theme if theme in THEMES else None,
        views=_present(VIEWS, ".js"), has_engines=bool(_present(["engines"], ".js")),
        parts=_present(PARTS, ".js"), styles=_present((*VIEWS, *PARTS), ".css"),
    )  # fmt: skip
    return HTMLResponse(
        html, 200 if owner else 401, {"Cache-Control": "no-store", "Vary": "Accept-Language, Cookie", "Content-Language": language}
    )


def _enter(request: Request, state: State, token: str) -> Response:
    response = RedirectResponse("/", 303)
    session = redeem(state.store, token)
    if session is not None:
        response.set_cookie(cookie_name(request), session, max_age=int(SESSION_SECONDS), httponly=True, samesite="strict", path="/")
    return response


@router.delete("/api/session")
async def sign_out(request: Request, _owner: Annotated[Principal, Depends(owner_only)]) -> Response:
    """End this browser's session for good; others of the owner's go on."""
    await asyncio.to_thread(end_session, request)
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(request), httponly=True, samesite="strict", path="/")
    return response


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file of the page, by its name in the folder, 304 where the reader has it already; words-LANGUAGE.json is made of the words."""
    headers = {"Cache-Control": "no-cache"}
    if name in WORDS:
        return JSONResponse(all_words()[WORDS[name]], headers=headers)
    if name not in {path.name for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES}:
        raise ApiError(404, f"there is no file {name!r}", code="not_found")
    found = (STATIC / name).stat()
    headers["ETag"] = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(STATIC / name, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)


def _present(names: Sequence[str], suffix: str) -> list[str]:
    """Those of `names` that have such a file."""
    return [name for name in names if (STATIC / f"{name}{suffix}").is_file()]


@router.get("/api/status")
async def get_status(request: Request, _owner: Annotated[Principal, Depends(owner_only)]) -> JSONResponse:
    return JSONResponse(status(state_of(request), language_of(request)), headers={"Cache-Control": "no-store"})


def status(state: State, language: str) -> dict[str, Any]:
    """What the page shows: {"state", "champion", "failure", "progress", "history", "growth_version"}: a word that changes with Growth."""
    current, row, note = state.models.current, state.store.champion(), state.store.read_note(PROGRESS_NOTE)
    failure = state.store.read_note(FAILURE_NOTE) or None
    history = [{"epoch": r.epoch, "model": r.model, "reason": r.reason, "at": r.at} for r in state.store.history()]
    return {
        "state": "starting" if current is None else "ready",
        "champion": None if current is None else {"model": current.ref, "epoch": state.models.epoch},
        "arriving": row.model if row is not None and row.epoch != state.models.epoch else None,
        "failure": failure and {**failure, "error": said(failure["error"], language)},
        "progress": _checked_progress(note),
        "history": history,
        "growth_version": growth_version(state.home, state.store, note),
        "now": time.time(),
    }


def _checked_progress(note: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not note or "stage" not in note:
        return None
    blank: dict[str, Any] = {"fraction": 0.0, "eta_seconds": None, "detail": "", "starters": [], "table": []}
    return {**blank, **note}


@cache
def template(name: str) -> Any:
    environment = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment.get_template(name)
