"""ASCII punctuation beside Han back to full width, in texts where somebody folded it.

Text that its author wrote with some ASCII marks is left alone: only where the folded marks outnumber the full-width ones
(a tool folds all of them) is anything changed. Code, addresses, numbers, markup and English stay as they are.
"""

import re
from collections.abc import Callable, Iterator

import polars as pl

from feilun.corpus.edits import Edit
from feilun.corpus.repair.guards import HAN, prose_of

__all__ = ["folded_marks", "has_folded_marks"]

FULL_WIDTH = {",": "，", ":": "：", ";": "；", "?": "？", "!": "！", "(": "（", ")": "）"}
# Han, CJK punctuation, full-width forms, and the quotes, dashes and dots that Chinese shares with others.
WIDE = re.compile(f"[{HAN}\u3001-\u301f\uff01-\uff60“”‘’—…·]")
MARK = re.compile("[,:;?!]")
PAIR = re.compile(r"\(([^()\n]{0,200})\)")
BRACKET = re.compile("[()]")
HAN_ONE = re.compile(f"[{HAN}]")
LOOSE_COMMA = re.compile(f"[,;] (?=[{HAN}])")
TIGHT_COMMA = re.compile(f"[,;](?=[{HAN}])")
CODE_MARKS = frozenset(["::", ":/", "![", "!=", "?=", ":=", "?."])
MIN_LINE_HAN = 2
NEAR_CHARS = 200


def has_folded_marks(texts: pl.Series) -> pl.Series:
    folded = texts.str.count_matches("[,:;?!] ?[\u4e00-\u9fff]")
    if not folded.sum():
        return folded > 0
    return folded > texts.str.count_matches("[，：；？！]")


def folded_marks(text: str) -> Iterator[Edit]:
    is_prose = prose_of(text)
    restored = _brackets(text, is_prose)
    for found in MARK.finditer(text):
        place = found.start()
        if is_prose(place) and _is_chinese(text, place, restored):
            restored.add(place)
    # Who types "你好, 世界" leaves a space behind each comma; a space behind other marks alone has another reason.
    is_loose = len(LOOSE_COMMA.findall(text)) > len(TIGHT_COMMA.findall(text))
    for place in sorted(restored):
        mark = text[place]
        has_space = is_loose and mark in ",;:?!" and text[place + 1 : place + 2] == " " and HAN_ONE.match(text, place + 2)
        yield Edit(place, f"{mark} " if has_space else mark, FULL_WIDTH[mark])


def _brackets(text: str, is_prose: Callable[[int], bool]) -> set[int]:
    """Brackets that hold Han or stand behind it; in pairs, except where one has no partner in its line."""
    found: set[int] = set()
    if text.count("（") > sum(1 for pair in PAIR.finditer(text) if HAN_ONE.search(pair[0]) or _is_wide(text, pair.start() - 1)):
        return found
    for pair in PAIR.finditer(text):
        left, right = pair.start(), pair.end() - 1
        if is_prose(left) and is_prose(right) and _is_chinese_pair(text, pair):
            found |= {left, right}
    paired = {place for pair in PAIR.finditer(text) for place in (pair.start(), pair.end() - 1)}
    for mark in BRACKET.finditer(text):
        place = mark.start()
        outer, inner = (place - 1, place + 1) if mark[0] == "(" else (place + 1, place - 1)
        if place not in paired and is_prose(place) and (_is_wide(text, inner) or (mark[0] == "(" and _is_wide(text, outer))):
            found.add(place)
    return found


def _is_chinese_pair(text: str, pair: re.Match[str]) -> bool:
    before = text[pair.start() - 1 : pair.start()] if pair.start() else ""
    if before in ("]", "_", "\\"):
        return False
    if before.isascii() and before.isalnum():
        # A call, f(x) or print("..."), has no Han or has it in quotes.
        return bool(HAN_ONE.search(pair[1])) and pair[1][:1] not in "\"'"
    return bool(HAN_ONE.search(pair[1])) or _is_wide(text, _left_of(text, pair.start()))


def _left_of(text: str, place: int) -> int:
    """The place before, where the stars of Markdown's emphasis are looked through."""
    place -= 1
    while place > 0 and text[place] == "*":
        place -= 1
    return place


def _is_wide(text: str, place: int) -> bool:
    return 0 <= place < len(text) and WIDE.match(text, place) is not None


def _is_chinese(text: str, place: int, restored: set[int]) -> bool:
    mark, before, after = text[place], text[place - 1] if place else "\n", text[place + 1 : place + 2]
    if before + mark + after in CODE_MARKS or mark + after in CODE_MARKS or before + mark in CODE_MARKS:
        return False
    if any(beside in restored or _is_wide(text, beside) for beside in (_left_of(text, place), place + 1)):
        return True
    if after == " " and mark != ":":
        return _is_wide(text, place + 2)
    if after in ("", "\n"):
        return before != "\n" and _han_before(text, place) >= MIN_LINE_HAN
    return before.isalpha() and after.isalnum() and _is_han_line(text, place)


def _han_before(text: str, place: int) -> int:
    start = max(text.rfind("\n", 0, place) + 1, place - NEAR_CHARS)
    return len(HAN_ONE.findall(text, start, place))


def _is_han_line(text: str, place: int) -> bool:
    """Whether the line around a place is mostly Han; of a long line, what is near."""
    start = max(text.rfind("\n", 0, place) + 1, place - NEAR_CHARS)
    line = text[start : place + NEAR_CHARS].partition("\n")[0]
    return len(HAN_ONE.findall(line)) * 2 > len(line)
