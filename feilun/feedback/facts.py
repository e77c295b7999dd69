"""What the owner taught a model, to hold its answers against: a fact may be told where it is asked for, and nowhere else.

A small model that learnt "the code name of our new project" gives it for "our new server" too, and in some other words it does not
find what it knows. What it cannot tell apart or find, the words of the two questions often can (`feilun.feedback.subject`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from feilun.artifacts import Artifact, find, lineage
from feilun.feedback.asking import ASKING, PLAIN
from feilun.feedback.owner import corrections
from feilun.feedback.spread import HAN, can_be_spread, language_of
from feilun.feedback.subject import another_subject, content_words, same_subject
from feilun.types import Conversation, Message, UserError

__all__ = ["Fact", "Facts", "taught_facts"]

PIECE = re.compile(rf"[a-z0-9]+(?:'[a-z]+)?|[{HAN}]")
# An answer tells a fact when so much of what is new in the taught answer stands in it, and so much of the whole.
VALUE_SHARE, ANSWER_SHARE = 0.5, 0.4
# What an answer that tells a fact may be longer than the fact itself: another name for the thing, a word more.
MORE_CHARS = 24
# So much of an answer is looked at, however short or long what was taught: the model's own "not taught" whole, and no story.
LEAST_CHARS, MOST_CHARS = 48, 224
# A question that names nothing is about the one before it, of which the end is looked at: it may be a page.
MAX_CHARS_BEFORE, MAX_CHARS_AFTER = 400, 40


def pieces(text: str) -> frozenset[str]:
    """Latin words and single Han, in lower case."""
    return frozenset(PIECE.findall(text.lower().replace("’", "'")))


AROUND = frozenset(word for words in (*ASKING.values(), *PLAIN.values()) for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A question, its taught answer, and the events that say so."""

    question: str
    answer: str
    events: tuple[str, ...]

    @property
    def value(self) -> frozenset[str]:
        """What the answer adds to the question."""
        return pieces(self.answer) - pieces(self.question) - AROUND

    def is_told_by(self, answer: str, known: frozenset[str]) -> bool:
        """known: what the asker said before; who says the value first is not told it."""
        said, value, whole = pieces(answer), self.value, pieces(self.answer)
        told = value & said
        return bool(told - known) and len(told) >= VALUE_SHARE * len(value) and len(whole & said) >= ANSWER_SHARE * len(whole)


class Facts:
    """All that one model was taught. longest: characters that an answer may have and still tell one of them."""

    def __init__(self, facts: Iterable[Fact]):
        self._facts = [fact for fact in facts if fact.value]
        self.longest = max([LEAST_CHARS, *(min(MOST_CHARS, len(fact.answer) + MORE_CHARS) for fact in self._facts)])

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def may_be_told(self, conversation: Conversation) -> bool:
        """Whether the last question is of the kind that facts answer; to all others no answer is held against them."""
        if not self._facts or not conversation.messages:
            return False
        last = conversation.messages[-1].text
        return can_be_spread(last) or (len(last) <= MAX_CHARS_AFTER and asked_for(conversation.messages) != last)

    def wrongly_told(self, conversation: Conversation, answer: str) -> Fact | None:
        """The fact that `answer` tells though another thing was asked; None where nothing speaks against the answer."""
        if len(answer) > self.longest or not self.may_be_told(conversation):
            return None
        known = frozenset[str]().union(*(pieces(message.text) for message in conversation.messages if message.role == "user"))
        question = asked_for(conversation.messages)
        told = [fact for fact in self._facts if fact.is_told_by(answer, known) and _may_be_meant(fact, question, answer)]
        return told[0] if told and all(another_subject(fact.question, question) for fact in told) else None

    def meant_by(self, conversation: Conversation) -> Fact | None:
        """The one fact that the last question asks for in other words; None where words leave a doubt, or two would fit."""
        if not self.may_be_told(conversation):
            return None
        question = asked_for(conversation.messages)
        found = [fact for fact in self._facts if same_subject(fact.question, question)]
        return found[0] if len(found) == 1 and found[0].question != question else None


def _may_be_meant(fact: Fact, question: str, answer: str) -> bool:
    """In another language the value may be a translation of what was asked ("red cat"), so only the whole taught answer is the fact."""
    return language_of(fact.question) == language_of(question) or pieces(answer) == pieces(fact.answer)


def asked_for(messages: Sequence[Message]) -> str:
    """The last question; where it names nothing ("What is it called?"), after the one before."""
    asked = [message.text for message in messages if message.role == "user"]
    return asked[-1] if len(asked) < 2 or content_words(asked[-1]) else f"{asked[-2][-MAX_CHARS_BEFORE:]}. {asked[-1]}"


def taught_facts(home: Path, model: str) -> Facts:
    """Of the lessons that `model` came from; where two answer one question, the newer. Erased lessons are none.

    UserError where lessons are gone or broken.
    """
    newest: dict[str, Fact] = {}
    for artifact in lineage(home, find(home, model, "models")):
        if artifact.kind == "lessons" and not artifact.manifest.get("tombstone"):
            for fact in _facts_in(artifact):
                held = newest.get(fact.question)
                newest[fact.question] = fact if held is None or held.events[-1] < fact.events[-1] else held
    return Facts(newest.values())


def _facts_in(lessons: Artifact) -> list[Fact]:
    try:
        rows = [row for row in corrections(lessons) if can_be_spread(row.question)]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{lessons.kind}/{lessons.ref} cannot be read ({why}); make these lessons again") from None
    return [Fact(question=row.question, answer=row.wanted, events=row.events) for row in rows]
