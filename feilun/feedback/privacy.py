"""Personal data and secrets out of lessons, on the way to the file; what is taken out is counted by kind."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from feilun.feedback.curation import Lesson, WeighedPair
from feilun.store import OWNER

__all__ = ["personal_data_in", "without_personal_data"]

REMEMBERED = 20_000


def without_personal_data(lessons: list[Lesson], *, also_owner: bool) -> tuple[list[Lesson], Counter[str]]:
    """The lessons with placeholders in their questions, answers and pairs, and how many of each kind were put there.

    The owner's lessons stay as they are unless `also_owner`: a model of one's own may be taught one's own telephone number.
    """
    counts: Counter[str] = Counter()
    return [lesson if lesson.vote.principal == OWNER and not also_owner else _cleaned(lesson, counts) for lesson in lessons], counts


def _cleaned(lesson: Lesson, counts: Counter[str]) -> Lesson:
    prompt = tuple({**message, "content": _clean(str(message["content"]), counts)} for message in lesson.vote.prompt)
    pairs = tuple(
        WeighedPair(chosen=_clean(pair.chosen, counts), rejected=_clean(pair.rejected, counts), weight=pair.weight) for pair in lesson.pairs
    )
    text = _clean(lesson.text, counts)
    return replace(lesson, votes=(lesson.vote._replace(prompt=prompt), *lesson.votes[1:]), text=text, pairs=pairs)


def _clean(text: str, counts: Counter[str]) -> str:
    found = personal_data_in(text)
    counts.update(dict(found.counts))
    return found.text


class Found(NamedTuple):
    """A text with placeholders, and how many of each kind were put there."""

    text: str
    counts: tuple[tuple[str, int], ...]


@lru_cache(maxsize=REMEMBERED)
def personal_data_in(text: str) -> Found:
    """What is personal in a text; of texts that come again it is remembered."""
    from feilun.corpus.redact import redact

    found = redact(text)
    return Found(found.text, tuple(found.counts.items()))
