"""What is no prose, and must not be repaired as prose: code, addresses, markup, formulas."""

import re
from bisect import bisect_right
from collections.abc import Callable

import polars as pl

__all__ = ["HAN", "TAG", "among", "prose_of"]

HAN = "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0003ffff"
TAG = r"<[!/a-zA-Z][^<>\n]{0,500}>"
NO_PROSE = re.compile(
    r"""
    \A---\n(?s:.*?)\n---(?=\n|\Z)                                        # front matter
    | ^[ \t]*(?P<fence>```|~~~)[^\n]*\n(?s:.*?)(?:^[ \t]*(?P=fence)|\Z)  # a fenced block; one without an end goes to the end
    | (?<!`)(?P<ticks>`{1,3})(?!`)[^`\n]{1,300}(?P=ticks)
    | <[!/a-zA-Z][^<>\n]{0,500}>
    | (?:https?|ftp)://[A-Za-z0-9/#?&=%._~:@!$'*+,;\[\]-]*[A-Za-z0-9/#&=%_~$*+-]      # without brackets, which often stand around it
    | [A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,64}(?:\.[A-Za-z0-9-]{1,64})+
    | \]\([^()\s]{0,500}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?(?:[ ]+"[^"\n]{0,200}")?\)
    | \]:[ ]
    | (?<!\\)\$(?![ ])[^$\n\u4e00-\u9fff]{1,300}\$
    | :[a-z0-9_+-]{2,30}:
    | [:;]-?[()](?![\u4e00-\u9fff])
    | ^(?:[ ]{4}|\t)[^\n]*$                                              # code, where little of it is Han
    """,
    re.MULTILINE | re.VERBOSE,
)
HAN_RUNS = re.compile(f"[{HAN}]+")
# Plain text indents its paragraphs with four spaces too.
MIN_PROSE_SHARE = 0.4


def among(texts: pl.Series, flagged: pl.Series, check: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Which of the flagged texts a dearer check flags too; the others are not looked at."""
    if not flagged.any() or flagged.all():
        return check(texts) if flagged.any() else flagged
    return flagged.clone().scatter(flagged.arg_true(), check(texts.filter(flagged)))


def prose_of(text: str) -> Callable[[int], bool]:
    """Whether the character at a place is prose."""
    starts, ends = [], []
    for found in NO_PROSE.finditer(text):
        if found[0][0] in " \t" and found["fence"] is None and _is_han(found[0]):
            continue
        starts.append(found.start())
        ends.append(found.end())
    if not starts:
        return lambda place: True

    def is_prose(place: int) -> bool:
        index = bisect_right(starts, place) - 1
        return index < 0 or place >= ends[index]

    return is_prose


def _is_han(line: str) -> bool:
    return sum(map(len, HAN_RUNS.findall(line))) >= MIN_PROSE_SHARE * len(line.strip())
