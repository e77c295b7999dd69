"""Texts that mix the two Chinese scripts, to simplified; one wholly in traditional script stays as it is."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import polars as pl

from feilun.corpus.edits import Edit, trimmed

__all__ = ["has_any_traditional", "has_traditional", "is_mixed", "mixed_scripts", "simplified", "to_simplified"]

# The commonest characters that only traditional script has: texts without any of them are not looked at further.
COMMON_TRADITIONAL = "這個來們說國時會對與學為過發經現開關動實於後"
# Characters of both scripts that traditional text nearly always writes otherwise (麼 後 願 薦): a converter left them. 于 and 并
# are not among them, because the classics write them.
LEFT_OVER = frozenset("么后愿荐")
# In 1,000 paragraphs of traditional Wikipedia (DRCD) there are .0003 such characters for each one that is traditional only.
MIN_LEFT_OVER = 3
MIN_LEFT_OVER_SHARE = 0.003
# In a simplified text a few traditional characters are names or quotations.
MIN_STRAY = 5
MIN_STRAY_SHARE = 0.02


@cache
def _converter(config: str) -> Any:
    from opencc import OpenCC

    return OpenCC(config)


def simplified(text: str) -> str:
    return str(_converter("t2s").convert(text))


@cache
def _alphabets() -> tuple[frozenset[str], frozenset[str]]:
    """(characters of traditional script only, of simplified script only)."""
    han = [chr(code) for start, end in ((0x3400, 0x4DC0), (0x4E00, 0xA000)) for code in range(start, end)]
    line = "\n".join(han)
    to_simple, to_full = (_converter(config).convert(line).split("\n") for config in ("t2s", "s2t"))
    traditional = frozenset(one for one, other in zip(han, to_simple, strict=True) if one != other)
    simple = {one for one, other in zip(han, to_full, strict=True) if one != other and not _is_elsewhere(one)}
    return traditional, frozenset(simple - traditional)


def _is_elsewhere(character: str) -> bool:
    """Whether Taiwan or Japan have it too: such a form (却 脚 恒) stands in traditional text as a variant."""
    for encoding in ("big5", "shift_jis"):
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            continue
        return True
    return False


def has_traditional(texts: pl.Series) -> pl.Series:
    return texts.str.contains(f"[{COMMON_TRADITIONAL}]")


def has_any_traditional(texts: pl.Series) -> pl.Series:
    traditional, _ = _alphabets()
    return texts.str.contains(f"[{''.join(sorted(traditional))}]")


def is_mixed(text: str) -> bool:
    traditional, simple = _alphabets()
    counts = Counter(text)
    num_traditional = sum(count for character, count in counts.items() if character in traditional)
    num_simple = sum(count for character, count in counts.items() if character in simple)
    if num_traditional < num_simple:
        return num_traditional >= max(MIN_STRAY, MIN_STRAY_SHARE * num_simple)
    left_over = num_simple + _num_left_over(text)
    return left_over >= max(MIN_LEFT_OVER, MIN_LEFT_OVER_SHARE * num_traditional)


def _num_left_over(text: str) -> int:
    """Left-over characters that are not in a word which traditional script writes with them (皇后)."""
    if LEFT_OVER.isdisjoint(text):
        return 0
    full = str(_converter("s2t").convert(text))
    if len(full) != len(text):
        return 0
    return sum(1 for one, other in zip(text, full, strict=True) if one != other and one in LEFT_OVER)


def mixed_scripts(text: str) -> Iterator[Edit]:
    return to_simplified(text) if is_mixed(text) else iter(())


def to_simplified(text: str) -> Iterator[Edit]:
    traditional, _ = _alphabets()
    start = 0
    for line in text.splitlines(keepends=True):
        if not traditional.isdisjoint(line):
            yield from _line(start, line)
        start += len(line)


def _line(start: int, line: str) -> Iterator[Edit]:
    other = simplified(line)
    if len(other) != len(line):
        yield trimmed(start, line, other)
        return
    runs = re.finditer("1+", "".join("1" if one != two else "0" for one, two in zip(line, other, strict=True)))
    for run in runs:
        yield Edit(start + run.start(), line[run.start() : run.end()], other[run.start() : run.end()])
