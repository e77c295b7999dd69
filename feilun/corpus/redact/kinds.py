"""What a kind of personal data is: its placeholder, a look that runs in Polars, and the search in a text that the look flagged.

Boundaries are ASCII. A Han character is a letter to `\\b`: in `邮箱hr@x.cn` it sees no boundary before the address.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Kind", "Span", "digits_of", "is_in_address", "label_before", "spans_of"]

CONTEXT_CHARS = 24
ADDRESS_CHARS = 200
# Full-width ASCII to ASCII, one character for one, so that places stay where they are.
FOLD = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
FULL_WIDTH = re.compile("[０-９Ａ-Ｚａ-ｚ＠]")
SENTENCE_END = re.compile(r"[\n。；;！!？?]")
ADDRESS_HEAD = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)[\x21-\x7e]*\Z", re.IGNORECASE)
CALLS_SOMEBODY = re.compile(r"(?:tel:|phone=|mobile=|tel=|wa\.me/)\+?\Z", re.IGNORECASE)


class Span(NamedTuple):
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """flags: regular expressions of Polars (no look-around); every text with such data matches one of them.

    find(text, start, end): the places between, in order; it may look at what stands before. hint: expressions of which every
    line with such data holds one, quick to look for; none where the data may take several lines.

    The placeholder is the same in every language: ASCII words in square brackets, which neither the chat format, HTML,
    a template nor a tokenizer takes for its own.
    """

    name: str
    placeholder: str
    flags: tuple[str, ...]
    hint: tuple[str, ...]
    find: Callable[[str, int, int], Iterator[Span]]


def spans_of(kind: Kind, text: str) -> Iterator[Span]:
    """Where this kind stands in the text. Full-width ASCII is looked at as ASCII, which is equally long."""
    seen = text.translate(FOLD) if FULL_WIDTH.search(text) else text
    lines = sorted({line for hint in kind.hint for line in _lines(hint, seen)}) if kind.hint else [(0, len(seen))]
    for start, end in lines:
        yield from kind.find(seen, start, end)


def _lines(hint: str, text: str) -> Iterator[tuple[int, int]]:
    """The lines in which a hint stands; none goes over a line end."""
    pattern, end = re.compile(hint), 0
    while match := pattern.search(text, end):
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        end = len(text) if end < 0 else end
        yield start, end


def digits_of(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def label_before(text: str, start: int, words: re.Pattern[str], others: re.Pattern[str]) -> int:
    """1 when the last word in this sentence before `start` is of `words`, -1 when it is of `others`, 0 when there is neither."""
    head = SENTENCE_END.split(text[max(0, start - CONTEXT_CHARS) : start])[-1]
    last, other = (max((m.end() for m in pattern.finditer(head)), default=-1) for pattern in (words, others))
    return (last > other) - (last < other)


def is_in_address(text: str, start: int) -> bool:
    """Whether `start` lies in a web address that is not one for calling somebody."""
    head = text[max(0, start - ADDRESS_CHARS) : start]
    return bool(ADDRESS_HEAD.search(head)) and not CALLS_SOMEBODY.search(head)
