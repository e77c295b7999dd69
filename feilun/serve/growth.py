"""The growth of a home: generations, one sentence of truth, curves, probes, receipts, and how the first generation was made.

Everything is read in threads and kept by what it was read from, so asking again costs little: `archive`.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from feilun.serve.archive import artifact_of, exams_of, json_of, rows_of
from feilun.serve.auth import Principal, owner_only
from feilun.serve.birth import Run, birth
from feilun.serve.charts import Curve, Point, curve_chart, measure_chart, with_style
from feilun.serve.errors import ApiError
from feilun.serve.language import language_of
from feilun.serve.product import PROGRESS_NOTE
from feilun.serve.rollout import is_judging, rollout_sentences
from feilun.serve.state import state_of
from feilun.serve.timeline import Entry, lessons_of, timeline
from feilun.serve.truth import own_choices, truths
from feilun.serve.words import LANGUAGES, all_words
from feilun.store import OWNER, CurrentVote, Store

__all__ = ["growth", "router"]

router = APIRouter()

Owner = Annotated[Principal, Depends(owner_only)]
TABLE_ROWS = 24
Words = Mapping[str, str]


@router.get("/api/growth")
async def get_growth(request: Request, _owner: Owner, lang: str = "") -> Response:
    """All of the view in one answer, 304 where the reader has it already (If-None-Match)."""
    state, language = state_of(request), checked_language(request, lang)
    body = await asyncio.to_thread(lambda: json.dumps(growth(state.home, state.store, language), ensure_ascii=False).encode())
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:20]}"', "Cache-Control": "no-cache", "Vary": "Accept-Language, Cookie"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/api/charts/{name}.svg")
async def get_chart(name: str, request: Request, _owner: Owner, lang: str = "") -> Response:
    """One chart as a file of its own."""
    state, language = state_of(request), checked_language(request, lang)
    found = await asyncio.to_thread(growth, state.home, state.store, language)
    chart = next((row for row in found["charts"] if row["name"] == name), None)
    if chart is None:
        names = ", ".join(row["name"] for row in found["charts"]) or "none yet"
        raise ApiError(404, f"there is no chart {name!r}; there are: {names}", code="not_found")
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(with_style(chart["svg"]), media_type="image/svg+xml", headers=headers)


@router.get("/api/receipts/{ref}")
async def get_receipt(ref: str, request: Request, _owner: Owner) -> JSONResponse:
    """What a gate saw and decided: {"ref", "at", "receipt"}."""
    found = await asyncio.to_thread(artifact_of, state_of(request).home, ref, "runs")
    receipt = None if found is None else await asyncio.to_thread(json_of, found.path / "receipt.json")
    if found is None or receipt is None:
        raise ApiError(404, f"there is no receipt {ref!r}", code="not_found")
    return JSONResponse({"ref": f"runs/{found.ref}", "at": found.manifest["made"]["time"], "receipt": receipt})


def checked_language(request: Request, lang: str) -> str:
    if lang and lang not in LANGUAGES:
        raise ApiError(400, f"lang={lang!r} is not spoken here; allowed: {', '.join(LANGUAGES)}", param="lang", code="invalid_value")
    return lang or language_of(request)


def growth(home: Path, store: Store, language: str) -> dict[str, Any]:
    """What the view shows; the words of charts are in `language`, sentences in every one."""
    note = store.read_note(PROGRESS_NOTE) or {}
    entries = timeline(home, store, note.get("table", ()))
    current = next((entry for entry in reversed(entries) if entry.current), None)
    own = None
    if current is not None and current.challenged:
        own = own_choices(owner_votes(store, store.last_seq(OWNER)), current.model, current.challenged)
    first = birth(home, note, current.model if current is not None else "")
    words = all_words()[language]
    charts = [*measures(entries, words), *(loss_chart(run, first["samples"], words) for run in first["runs"] if run["curve"])]
    return {
        "truth": [*truths(entries, own, first["making"]), *rollout_sentences(store, entries)],
        "judging": is_judging(store),
        "generations": [told_entry(entry) | {"own": own if entry is current else None} for entry in entries],
        "probes": probes(home, entries), "charts": charts, "birth": first | {"runs": [told_run(run) for run in first["runs"]]},
        "downloads": downloads(home, current),
    }  # fmt: skip


@lru_cache(maxsize=2)
def owner_votes(store: Store, _last_seq: int) -> list[CurrentVote]:
    return store.current_votes(principal=OWNER)


def told_entry(entry: Entry) -> dict[str, Any]:
    """With the figures of its exams alone; their cells and reasons are in the exam."""
    figures = {task: {key: share[key] for key in ("mean", "low", "high", "n")} for task, share in entry.exams.items()}
    return asdict(entry) | {"exams": figures}


def told_run(run: Run) -> Run:
    """Without its curve, which is a chart."""
    step, loss = run["curve"][-1] if run["curve"] else (0, None)
    return {key: run[key] for key in ("stage", "name", "num_steps", "seconds")} | {"step": step, "loss": loss}


def measures(entries: Sequence[Entry], words: Words) -> list[dict[str, Any]]:
    """A chart of the acceptance and one of each exam task, over the models that were measured."""
    made = list({entry.model: entry for entry in entries if entry.number is not None and entry.verdict != "rollback"}.values())
    tasks = list(dict.fromkeys(task for entry in reversed(made) for task in entry.exams))
    series = {"acceptance": [(entry, entry.acceptance) for entry in made if entry.acceptance]}
    series |= {f"exam-{task}": [(entry, entry.exams[task]) for entry in made if task in entry.exams] for task in tasks}
    return [measure(name, rows, words) for name, rows in series.items() if rows]


def measure(name: str, rows: Sequence[tuple[Entry, Mapping[str, Any]]], words: Words) -> dict[str, Any]:
    task = name.removeprefix("exam-")
    title = words["acceptance"] if name == "acceptance" else words.get(f"task_{task}", task)
    points = [
        Point(label=str(entry.number), mean=share["mean"], low=share["low"], high=share["high"], kept=entry.answered)
        for entry, share in rows
    ]  # fmt: skip
    told = "; ".join(
        words["chart_point"].format(number=p.label, mean=f"{p.mean:.0%}", low=f"{p.low:.0%}", high=f"{p.high:.0%}") for p in points
    )
    columns = [words[key] for key in ("generation", "chart_share", "chart_low", "chart_high", "chart_n")]
    table = [[e.number, *(f"{s[key]:.1%}" for key in ("mean", "low", "high")), s["n"]] for e, s in rows]
    return {"name": name, "title": title, "svg": measure_chart(title, told, points), "columns": columns, "rows": table}


def loss_chart(run: Run, samples: Sequence[Mapping[str, Any]], words: Words) -> dict[str, Any]:
    curve, title = run["curve"], words[f"chart_loss_{run['stage']}"]
    told = words["chart_loss_told"].format(first=f"{curve[0][1]:.2f}", last=f"{curve[-1][1]:.2f}", step=curve[-1][0])
    marks = sorted({row["step"] for row in samples}) if run["stage"] == "pretrain" else []
    stride = max(1, len(curve) // TABLE_ROWS)
    rows = [[step, f"{value:.3f}"] for step, value in [*curve[:-1:stride], curve[-1]]]
    svg = curve_chart(title, told, Curve(values=curve, num_steps=run["num_steps"], marks=marks))
    return {"name": f"loss-{run['stage']}", "title": title, "svg": svg, "columns": [words["chart_step"], words["chart_loss"]], "rows": rows}


def probes(home: Path, entries: Sequence[Entry]) -> dict[str, Any]:
    """{"questions": [...], "rows": [{"number", "name", "verdict", "against", "replies": [text or null]}]} of all models that were asked."""
    taken, said = exams_of(home), {}
    for entry in entries:
        exam = next((exam for exam in taken.get(entry.model, {}).values() if "probes.jsonl" in exam.manifest["files"]), None)
        if exam is not None and entry.number is not None and entry.verdict != "rollback":
            said[entry.number] = (entry, {row["prompt"]: row["reply"] for row in rows_of(exam.path / "probes.jsonl")})
    questions = list(dict.fromkeys(question for _, replies in reversed(said.values()) for question in replies))
    rows = [
        {
            "number": number, "name": entry.name, "verdict": entry.verdict, "against": entry.against,
            "replies": [replies.get(question) for question in questions],
        }
        for number, (entry, replies) in said.items()
    ]  # fmt: skip
    return {"questions": questions, "rows": rows}


def downloads(home: Path, current: Entry | None) -> dict[str, Any]:
    """What can be taken away now; null where there is none."""
    model = None if current is None else artifact_of(home, current.model, "models")
    lessons = None if model is None else lessons_of(home, f"models/{model.ref}")
    return {"champion": model and model.ref, "lessons": lessons and lessons.ref, "report": True}
