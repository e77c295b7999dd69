"""Personal data and secrets out of lessons, on the way to the file; what is taken out is counted by kind."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from feilun.feedback.curation import Lesson, WeighedPair
from feilun.store import OWNER

__all__ = ["personal_data_in", "without_personal_data"]


class Found(NamedTuple):
    """A text with placeholders, and how many of each kind were put there."""

    text: str
    counts: Mapping[str, int]


def without_personal_data(lessons: list[Lesson], *, also_owner: bool) -> tuple[list[Lesson], Counter[str]]:
    """The lessons with placeholders in their questions, answers and pairs, and how many of each kind were put there.

    The owner's lessons stay as they are unless `also_owner`: a model of one's own may be taught one's own telephone number.
    """
    others = [lesson for lesson in lessons if also_owner or lesson.vote.principal != OWNER]
    found = personal_data_in(text for lesson in others for text in _texts(lesson))
    counts: Counter[str] = Counter()
    for text in (text for lesson in others for text in _texts(lesson) if text in found):
        counts.update(found[text].counts)
    return [lesson if lesson.vote.principal == OWNER and not also_owner else _cleaned(lesson, found) for lesson in lessons], counts


def _texts(lesson: Lesson) -> Iterable[str]:
    yield from (str(message["content"]) for message in lesson.vote.prompt)
    yield lesson.text
    yield from (text for pair in lesson.pairs for text in (pair.chosen, pair.rejected))


def _cleaned(lesson: Lesson, found: Mapping[str, Found]) -> Lesson:
    if not any(text in found for text in _texts(lesson)):
        return lesson

    def clean(text: str) -> str:
        return found[text].text if text in found else text

    prompt = tuple({**message, "content": clean(str(message["content"]))} for message in lesson.vote.prompt)
    pairs = tuple(WeighedPair(chosen=clean(pair.chosen), rejected=clean(pair.rejected), weight=pair.weight) for pair in lesson.pairs)
    return replace(lesson, votes=(lesson.vote._replace(prompt=prompt), *lesson.votes[1:]), text=clean(lesson.text), pairs=pairs)


def personal_data_in(texts: Iterable[str]) -> dict[str, Found]:
    """Of many texts those in which something is personal. They are looked at together, which costs a tenth of one by one."""
    import polars as pl

    from feilun.corpus.redact import redact, redact_texts

    different = list(dict.fromkeys(texts))
    touched = redact_texts(pl.Series(different, dtype=pl.String)).edits["row"].unique(maintain_order=True)
    found = ((different[row], redact(different[row])) for row in touched)
    return {text: Found(made.text, made.counts) for text, made in found}
