"""Personal data and secrets out of lessons, on the way to the file; what is taken out is counted by kind."""

from collections import Counter
from dataclasses import replace

from feilun.feedback.curation import Lesson, WeighedPair
from feilun.store import OWNER

__all__ = ["without_personal_data"]


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
    return replace(lesson, votes=(replace(lesson.vote, prompt=prompt), *lesson.votes[1:]), text=text, pairs=pairs)


def _clean(text: str, counts: Counter[str]) -> str:
    from feilun.corpus.redact import redact

    found = redact(text)
    counts.update(found.counts)
    return found.text
