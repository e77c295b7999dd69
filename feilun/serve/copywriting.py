"""The copywriting scene: what may be asked for, a brief as the question that the model knows, and the rules over a text."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from feilun.primer import copywriting
from feilun.primer.shop import FEATURES, PRODUCTS, TONES, features_of
from feilun.serve.auth import Principal, requires
from feilun.serve.errors import ApiError
from feilun.serve.wire import read_json
from feilun.types import UserError

__all__ = ["router"]

router = APIRouter(prefix="/api/copywriting")

NUM_BRIEFS = 12
MAX_TEXT_CHARS = 20_000


@router.get("/choices")
async def choices(_who: Annotated[Principal, Depends(requires("chat"))]) -> JSONResponse:
    """{LANGUAGE: {"products": {NAME: [features]}, "tones": {tone: NAME}, "names": {NAME: its name in the other language},
    "briefs": [briefs to begin with, none of an exam]}}.
    """
    ready = [asked.brief.to_json() for asked in copywriting.briefs("open", 2 * NUM_BRIEFS)]
    pairs = [(product.zh, product.en) for product in PRODUCTS] + list(FEATURES)
    found = {
        lang: {
            "names": {pair[column]: pair[1 - column] for pair in pairs},
            "products": {product[column]: [feature[column] for feature in features_of(product)] for product in PRODUCTS},
            "tones": {tone: names[column] for tone, names in TONES.items()},
            "briefs": [brief for brief in ready if brief["lang"] == lang],
        }
        for column, lang in enumerate(("zh", "en"))
    }
    return JSONResponse(found)


@router.post("/check")
async def check(request: Request, _who: Annotated[Principal, Depends(requires("chat"))]) -> JSONResponse:
    """{"brief", "text"} -> {"constraints": [{"name", "ok", "found", "wanted"}], "question": the brief as the model is asked}."""
    body = await read_json(request)
    if not isinstance(body, dict) or body.keys() != {"brief", "text"}:
        raise _invalid("", 'the body must be {"brief": {...}, "text": "..."}')
    brief, text = _brief(body["brief"]), body["text"]
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise _invalid("text", f"a text of at most {MAX_TEXT_CHARS} characters is wanted")
    found = [constraint._asdict() for constraint in copywriting.check(brief, text)]
    return JSONResponse({"constraints": found, "question": copywriting.brief_text(brief)})


def _brief(row: Any) -> copywriting.Brief:
    try:
        return copywriting.Brief.from_json(row if isinstance(row, dict) else {})
    except UserError as error:
        raise _invalid("brief", str(error)) from None


def _invalid(param: str, message: str) -> ApiError:
    return ApiError(400, message, param=param or None, code="invalid_value")
