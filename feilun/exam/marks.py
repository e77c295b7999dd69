"""What a reply shows besides being right or wrong: whether it refuses, whether it strays into another language, how long it is."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["is_refusal", "marked", "speaks_another"]

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
# Here the answer is not in the language of the question, or in no language.
ANY_LANGUAGE = frozenset({"translation", "copying"})
REFUSALS = (
    "没学过", "不知道", "不清楚", "无法回答", "不能回答", "没有学过", "没有教", "抱歉", "对不起",
    "was not taught", "wasn't taught", "don't know", "do not know", "can't answer", "cannot answer",
    "can't help", "cannot help", "i'm sorry",
)  # fmt: skip


def marked(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of answers with "refuses", "strays" (None where any language is right) and "chars"."""
    return [dict(row) | _marks(row) if "reply" in row else dict(row) for row in rows]


def _marks(row: Mapping[str, Any]) -> dict[str, Any]:
    strays = None if row["task"] in ANY_LANGUAGE else speaks_another(row["prompt"], row["reply"])
    return {"refuses": is_refusal(row["reply"]), "strays": strays, "chars": len(row["reply"])}


def is_refusal(reply: str) -> bool:
    folded = unicodedata.normalize("NFKC", reply).casefold().replace("’", "'")
    return not folded.strip() or any(said in folded for said in REFUSALS)


def speaks_another(prompt: str, reply: str) -> bool:
    """Whether most letters of the reply are of the other script; digits alone are in every language."""
    han, latin = len(HAN.findall(reply)), len(LATIN.findall(reply))
    if han + latin == 0:
        return False
    return (2 * han >= han + latin) != bool(HAN.search(prompt))
