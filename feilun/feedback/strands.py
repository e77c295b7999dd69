"""One conversation's tree cut into strands: which messages may be learnt as text, and which of several answers stands."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from feilun.feedback.terms import allows_teaching
from feilun.store import CurrentVote, ShownMessage, Thread
from feilun.types import Consent, FinishReason

__all__ = ["Opinion", "Strand", "Strands", "Words", "consents_of", "strands"]

Standing = tuple[bool, int, bool, float]
Words = tuple[str, str]  # the last words before an answer, and the answer


@dataclass(slots=True)
class Opinion:
    """What people say of an answer. rewritten: the newest edit of it that is believed."""

    events: list[str] = field(default_factory=list)
    rewritten: CurrentVote | None = None
    num_doubted_edits: int = 0
    num_against: int = 0
    num_for: int = 0

    def hear(self, vote: CurrentVote, is_believed: bool) -> None:
        self.events.append(vote.id)
        if vote.kind == "edit":
            self.num_doubted_edits += not is_believed
            if is_believed and (self.rewritten is None or vote.seq > self.rewritten.seq):
                self.rewritten = vote
        elif vote.kind == "thumb":
            self.num_for += vote.value > 0
            self.num_against += vote.value < 0
        elif vote.kind == "choice":
            self.num_for += vote.value["outcome"] == "win"
            self.num_against += vote.value["outcome"] == "both_bad"
        else:
            self.num_against += vote.kind == "report"

    def hear_beside(self, vote: CurrentVote) -> None:
        """A choice that was made over this answer."""
        self.events.append(vote.id)
        self.num_against += vote.value["outcome"] != "tie"

    def join(self, other: "Opinion") -> None:
        self.events += other.events
        if other.rewritten is not None and (self.rewritten is None or other.rewritten.seq > self.rewritten.seq):
            self.rewritten = other.rewritten
        self.num_doubted_edits += other.num_doubted_edits
        self.num_against += other.num_against
        self.num_for += other.num_for

    def objection(self) -> str:
        if self.rewritten is not None:
            return ""
        return "doubted_edit" if self.num_doubted_edits else "refused" if self.num_against else ""


NOBODY = Opinion()


class Strand(NamedTuple):
    """Messages one after the other, the last an answer; their texts with the edits in their places."""

    messages: tuple[ShownMessage, ...]
    texts: tuple[str, ...]
    edits: tuple[CurrentVote, ...]


class Strands(NamedTuple):
    """left_out counts messages by reason, and with those of `strands` makes up all."""

    strands: tuple[Strand, ...]
    left_out: Counter[str]


def consents_of(message: ShownMessage, asked: Mapping[str, Consent]) -> set[Consent]:
    """Every consent that it was asked or answered with."""
    given = {asked[address] for address in message.stored if address in asked}
    return given | ({Consent(message.answer.consent)} if message.answer else set())


def strands(
    thread: Thread, consents: Mapping[str, Consent], scope: Set[Consent], teaching: frozenset[str], said: Mapping[Words, Opinion]
) -> Strands:
    """What of a thread may be text of a corpus. consents: question -> the narrowest consent it was asked with.

    Left out are: consent (asked with less than `scope`), terms (an engine elsewhere whose owner does not allow it), doubted_edit (its
    edit is of somebody who is not believed), refused (a thumb down, a report, a lost choice), unfinished (broken off, or empty),
    another_stands (beside the edited, else the praised, else the continued, else the newest answer), below_left_out (said after one
    of these), system (an operator's words) and unanswered.
    """
    return _Walk(thread, consents, scope, teaching, said).walked()


@dataclass(slots=True)
class _Walk:
    thread: Thread
    consents: Mapping[str, Consent]
    scope: Set[Consent]
    teaching: frozenset[str]
    said: Mapping[Words, Opinion]
    below: dict[str, list[ShownMessage]] = field(default_factory=lambda: defaultdict(list))
    left_out: Counter[str] = field(default_factory=Counter)

    def walked(self) -> Strands:
        for message in self.thread.messages:
            self.below[message.parent].append(message)
        found: list[Strand] = []
        waiting = self._following(self.thread.id, "")[::-1]
        while waiting:
            messages: list[ShownMessage] = []
            following = [waiting.pop()]
            while following:
                messages.append(following[0])
                waiting += following[:0:-1]
                following = self._following(messages[-1].address, messages[-1].text)
            found += self._strand(messages)
        self.left_out["below_left_out"] = len(self.thread.messages) - self.left_out.total() - sum(len(s.messages) for s in found)
        return Strands(tuple(found), +self.left_out)

    def _following(self, address: str, words: str) -> list[ShownMessage]:
        """What goes on after a message: the answer that stands, then questions; the first goes on in the same strand."""
        told: list[ShownMessage] = []
        answers: list[tuple[Standing, ShownMessage]] = []
        below = [(message, words) for message in self.below[address][::-1]]
        while below:
            message, words = below.pop()
            opinion = self.said.get((words, message.text), NOBODY)
            if reason := self._objection(message, opinion):
                self.left_out[reason] += 1
            elif message.role == "system":
                self.left_out["system"] += 1
                below += [(under, message.text) for under in self.below[message.address][::-1]]
            elif message.role == "assistant":
                answers.append((self._standing(message, opinion), message))
            else:
                told.append(message)
        answers.sort(key=lambda answer: answer[0])
        self.left_out["another_stands"] += max(0, len(answers) - 1)
        return [*(answer for _, answer in answers[-1:]), *told]

    def _objection(self, message: ShownMessage, opinion: Opinion) -> str:
        if not consents_of(message, self.consents) <= self.scope:
            return "consent"
        if message.role != "assistant":
            return ""
        answer = message.answer
        if answer is not None and not allows_teaching(answer.model, self.teaching):
            return "terms"
        if not message.text.strip() or (answer is not None and answer.finish_reason == FinishReason.ABORT and not opinion.rewritten):
            return "unfinished"
        return opinion.objection()

    def _standing(self, answer: ShownMessage, opinion: Opinion) -> Standing:
        return (opinion.rewritten is not None, opinion.num_for, bool(self.below[answer.address]), answer.at)

    def _strand(self, messages: list[ShownMessage]) -> list[Strand]:
        # An answer that nobody generated may be the words of one who only asked to be served: what was asked after it decides.
        while messages and messages[-1].answer is None:
            messages.pop()
            self.left_out["unanswered"] += 1
        if not messages:
            return []
        words = ("", *(message.text for message in messages))
        opinions = [self.said.get((before, m.text), NOBODY) for before, m in zip(words, messages, strict=False)]
        edits = [opinion.rewritten if m.role == "assistant" else None for opinion, m in zip(opinions, messages, strict=True)]
        texts = tuple(str(edit.value) if edit else m.text for edit, m in zip(edits, messages, strict=True))
        return [Strand(tuple(messages), texts, tuple(edit for edit in edits if edit))]
