"""Served conversations as documents of a corpus: what was said with consent, with what people put in an answer's place.

A message is in one document at most. Where a conversation branches at an answer, one answer stands; where it branches at a
question, each further branch begins a document of its own. Messages are parted by an empty line.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun.feedback.curation import SCOPES, LessonRules, curate, may_teach
from feilun.feedback.lessons import NARROWEST_FIRST, rater_hash
from feilun.feedback.strands import Opinion, Strand, Words, consents_of, strands
from feilun.feedback.terms import engine_terms, teaching_engines
from feilun.store import OWNER, CurrentVote, Store, Talk, root_address, without_ids
from feilun.types import Consent, Document

__all__ = ["SOURCE", "ServedChats"]

SOURCE = "feedback:"
VERSION = 1  # of the rules in code

Opinions = Mapping[Words, Opinion]


@dataclass(slots=True, kw_only=True)
class ServedChats:
    """The documents of a store, made while iterated; `origins` is complete when that has ended.

    rules.scope: the least consent of a message; gold: question -> accepted answers, for trust alone. A document's licence is
    LicenseRef-consent-improve or -publish, the narrowest of its messages; its id leads to the thread only for who has the store.
    origins: "completions" and "events" by id, so that forgetting a person leads to the corpus; "chats" counts messages, those left
    out by reason (see `strands`; held_out is of people and threads that only measure), and what each thread and rater gave, by hash.
    """

    store: Store
    rules: LessonRules = field(default_factory=LessonRules)
    gold: Mapping[str, tuple[str, ...]] | None = None
    origins: dict[str, Any] = field(default_factory=dict)
    _num_messages: int = 0
    _left_out: Counter[str] = field(default_factory=Counter)
    _gave: dict[str, dict[str, Counter[str]]] = field(default_factory=lambda: {"threads": {}, "raters": {}})

    @property
    def generator(self) -> dict[str, Any]:
        """For the recipe: whose word it was that an engine's answers may teach, as in lessons."""
        scope, least, terms = str(self.rules.scope), self.rules.min_trust, engine_terms(self.store)
        return {"name": SOURCE, "version": VERSION, "scope": scope, "min_trust": least, "terms": terms}

    def __iter__(self) -> Iterator[Document]:
        talks, owner_edited, teaching = self.store.talks(), self.store.edited_threads(OWNER), teaching_engines(self.store)
        opinions = self._opinions(owner_edited, teaching)
        completions: list[str] = []
        events: list[str] = []
        for talk in talks:
            thread = self.store.thread(talk.principal, talk.thread_id)
            if thread is None:
                continue  # erased since the list was made
            self._num_messages += len(thread.messages)
            if not may_teach(talk, owner_edited):
                self._left_out["held_out"] += len(thread.messages)
                continue
            said = _about(talk, opinions)
            found = strands(thread, talk.consents, set(SCOPES[self.rules.scope]), teaching, said)
            self._left_out.update(found.left_out)
            for strand in found.strands:
                yield self._document(talk, strand)
            if found.strands:
                completions += talk.completion_ids
                events += (event for opinion in said.values() for event in opinion.events)
        self.origins |= {"completions": completions, "events": sorted(set(events)), "chats": self._counts()}

    def _opinions(self, owner_edited: frozenset[str], teaching: frozenset[str]) -> dict[str, dict[Words, Opinion]]:
        """Completion -> answers to its question -> what was said of them by people who may teach. An edit counts if lessons take it.

        What is withheld since a rollout was taken back is heard of nobody; an edit among it leaves neither text.
        """
        votes, withheld = self.store.current_votes(), self.store.withheld_events().keys()
        lessons = curate(without_ids(votes, withheld), self.gold, self.rules, owner_edited, teaching).lessons
        believed = {event for lesson in lessons for event in lesson.events}
        found: dict[str, dict[Words, Opinion]] = defaultdict(lambda: defaultdict(Opinion))
        for vote in (vote for vote in votes if vote.kind == "edit" or vote.id not in withheld):
            if may_teach(vote, owner_edited) and vote.consent in SCOPES[self.rules.scope]:
                words = _question(vote)
                found[vote.target_id][words, vote.answer].hear(vote, vote.id in believed)
                for other in vote.over:
                    found[vote.target_id][words, other.text].hear_beside(vote)
        return found

    def _document(self, talk: Talk, strand: Strand) -> Document:
        root = root_address(talk.principal, talk.thread_id)
        text = "\n\n".join(strand.texts)
        num_bytes = len(text.encode("utf-8", errors="surrogatepass"))
        for kind, name in (("threads", root[:16]), ("raters", rater_hash(talk.principal))):
            self._gave[kind].setdefault(name, Counter()).update(documents=1, messages=len(strand.texts), bytes=num_bytes)
        for edit in strand.edits:
            self._gave["raters"].setdefault(rater_hash(edit.principal), Counter()).update(edits=1)
        place = hashlib.sha256(f"{root}/{strand.messages[0].address}".encode()).hexdigest()
        consents = set[Consent]().union(*(consents_of(message, talk.consents) for message in strand.messages))
        consent = min(consents, key=NARROWEST_FIRST.index)
        return Document(id=f"{SOURCE}{place[:24]}", text=text, source=SOURCE, license=f"LicenseRef-consent-{consent}")

    def _counts(self) -> dict[str, Any]:
        kept = sum(gave["messages"] for gave in self._gave["threads"].values())
        assert kept + self._left_out.total() == self._num_messages
        gave = {kind: {name: dict(counts) for name, counts in sorted(named.items())} for kind, named in self._gave.items()}
        return {"messages": self._num_messages, "kept": kept, "left_out": dict(sorted(self._left_out.items())), **gave}


def _question(vote: CurrentVote) -> str:
    return str(vote.prompt[-1]["content"]) if vote.prompt else ""


def _about(talk: Talk, opinions: Mapping[str, Opinions]) -> dict[Words, Opinion]:
    """What was said of answers of this conversation, equal answers to equal questions together."""
    said: dict[Words, Opinion] = defaultdict(Opinion)
    for completion_id in talk.completion_ids:
        for words, opinion in opinions.get(completion_id, {}).items():
            said[words].join(opinion)
    return said
