"""What the owner takes away: the champion as a Hugging Face directory, its lessons, and the report."""

import asyncio
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from feilun.artifacts import Artifact
from feilun.serve.archive import artifact_of
from feilun.serve.auth import Principal, owner_only
from feilun.serve.errors import ApiError
from feilun.serve.growth import growth
from feilun.serve.language import language_of
from feilun.serve.state import State, state_of
from feilun.serve.timeline import lessons_of

__all__ = ["router", "tar_bytes", "tar_pieces"]

router = APIRouter()

REPORT = "report.html"
MANIFEST = "manifest.json"
Owner = Annotated[Principal, Depends(owner_only)]
CHUNK_BYTES = 1 << 20
BLOCK_BYTES = tarfile.BLOCKSIZE


@router.get("/api/download/champion")
async def get_champion(request: Request, _owner: Owner) -> Response:
    """The model that answers, as a .tar, read from the disk as it goes out."""
    found = await asyncio.to_thread(champion_of, state_of(request))
    headers = attachment(f"{found.ref}.tar") | {"Content-Length": str(tar_bytes(found))}
    return StreamingResponse(tar_pieces(found), media_type="application/x-tar", headers=headers)


@router.get("/api/download/lessons")
async def get_lessons(request: Request, _owner: Owner, part: Literal["sft", "pairs"] = "sft") -> Response:
    """What the champion learnt from last: its answers (sft) or its choices (pairs), JSON Lines."""
    state = state_of(request)
    model = await asyncio.to_thread(champion_of, state)
    found = await asyncio.to_thread(lessons_of, state.home, f"models/{model.ref}")
    if found is None or f"{part}.jsonl" not in found.manifest["files"]:
        raise ApiError(404, f"{model.ref} has no lessons of this kind here: it came from elsewhere, or they were erased", code="not_found")
    return FileResponse(found.path / f"{part}.jsonl", media_type="application/jsonl", headers=attachment(f"{found.ref}-{part}.jsonl"))


@router.get("/api/download/report")
async def get_report(request: Request, _owner: Owner) -> Response:
    """The demo's report where there is one, else what Growth shows, as JSON."""
    state = state_of(request)
    if (state.home / REPORT).is_file():
        return FileResponse(state.home / REPORT, media_type="text/html", headers=attachment("feilun-report.html"))
    found = await asyncio.to_thread(growth, state.home, state.store, language_of(request))
    body = json.dumps({key: value for key, value in found.items() if key != "charts"}, ensure_ascii=False, indent=1)
    return Response(body, media_type="application/json", headers=attachment("feilun-report.json"))


def attachment(name: str) -> dict[str, str]:
    """Saved, never shown in our origin. Names are refs: no quote and no path stands in one."""
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


def champion_of(state: State) -> Artifact:
    row = state.store.champion()
    found = None if row is None else artifact_of(state.home, row.model, "models")
    if found is None:
        raise ApiError(404, "there is no model to download yet", code="not_found")
    return found


def members(model: Artifact) -> Iterator[tuple[Path, tarfile.TarInfo]]:
    """The files that the manifest names, and the manifest, without owner or clock: the same model is the same archive."""
    files: Mapping[str, str] = model.manifest["files"]
    for name in (*sorted(files), MANIFEST):
        info = tarfile.TarInfo(f"{model.ref}/{name}")
        info.size, info.mode, info.mtime = (model.path / name).stat().st_size, 0o644, int(model.manifest["made"]["time"])
        yield model.path / name, info


def tar_pieces(model: Artifact) -> Iterator[bytes]:
    """The archive, a piece at a time."""
    for path, info in members(model):
        yield info.tobuf(tarfile.PAX_FORMAT)
        left = info.size
        with path.open("rb") as stream:
            while left and (piece := stream.read(min(CHUNK_BYTES, left))):
                left -= len(piece)
                yield piece
        assert not left, f"{path} became shorter while it was sent"
        yield bytes(-info.size % BLOCK_BYTES)
    yield bytes(2 * BLOCK_BYTES)


def tar_bytes(model: Artifact) -> int:
    sizes = [len(info.tobuf(tarfile.PAX_FORMAT)) + info.size + -info.size % BLOCK_BYTES for _, info in members(model)]
    return sum(sizes) + 2 * BLOCK_BYTES
