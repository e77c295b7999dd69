"""Which votes teach, and what: held-out people and the unwilling aside, raters judged, repeats joined, nobody louder than their share."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from feilun.feedback.agreement import Agreement, agreement
from feilun.feedback.ballot import Ballot
from feilun.feedback.claims import claim_of, same_claims
from feilun.feedback.duplicates import near_groups, skeleton
from feilun.feedback.opinions import Heard, hear, normalise
from feilun.feedback.raters import Raters, judge_raters
from feilun.feedback.signals import SIGNALS, Draft
from feilun.feedback.terms import within_terms
from feilun.store import OWNER, CurrentVote, Served, Talk
from feilun.types import Consent, is_held_out

__all__ = ["LESSON_CONSENT", "Curated", "Lesson", "LessonRules", "WeighedPair", "curate", "may_teach"]

LESSON_CONSENT = (Consent.IMPROVE, Consent.PUBLISH)
MANY = 2  # times as many voices as would fill all lessons with their shares
SCOPES = {Consent.IMPROVE: LESSON_CONSENT, Consent.PUBLISH: (Consent.PUBLISH,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonRules:
    """min_trust: raters below it teach nothing. max_rater_share: of the rows, for one voice; never below min_rater_cap rows.

    max_same_answer: rows of one voice that give the same answer to questions of any kind, while nobody else says so.
    max_claim: what is taught of one thing, in however many wordings, weighs as so many lessons at most, and so does what one voice says.
    stuffing_alpha and voice_alpha: the share of honest raters (of independent pairs) expected among those found; 0 does not look.
    The owner is under none of these. scope: the least consent that a row needs.
    """

    min_trust: float = 0.5
    max_rater_share: float = 0.10
    min_rater_cap: int = 20
    max_same_answer: int = 8
    max_claim: int = 1
    stuffing_alpha: float = 0.01
    voice_alpha: float = 0.01
    scope: Consent = Consent.IMPROVE


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedPair:
    chosen: str
    rejected: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What raters teach about one question. votes: one of each rater, the heaviest first; shares: what each of them weighs alone.

    weight in [0, 1]: as if each voice were right by chance of its weight, and one is enough. events: all votes that say the same.
    """

    votes: tuple[CurrentVote, ...]
    shares: tuple[float, ...]
    text: str
    weight: float
    pairs: tuple[WeighedPair, ...]
    events: tuple[str, ...]

    @property
    def vote(self) -> CurrentVote:
        return self.votes[0]


class Shared(NamedTuple):
    """Claims that were made in several wordings, the lessons they are, and the weight that was taken from these."""

    claims: int = 0
    lessons: int = 0
    weight: float = 0.0


class Curated(NamedTuple):
    """lessons in order of seq; used, signals, dropped: votes by kind, by name, by reason; raters: all that may teach.

    shared: claims in several wordings share one lesson's weight, and none of the wordings is dropped.
    num_pairs_withheld: pairs that votes lost to the terms of another engine. agreement: of all who may teach, believed or not.
    """

    lessons: list[Lesson]
    used: Counter[str]
    signals: Counter[str]
    dropped: Counter[str]
    raters: Raters
    num_pairs_withheld: int
    agreement: Agreement
    shared: Shared


@dataclass(slots=True)
class _Said:
    """What one rater teaches about one question, before anybody else is asked."""

    vote: CurrentVote
    prompt: str
    text: str
    weight: float
    pairs: dict[tuple[str, str], float]
    events: list[str]


@dataclass(slots=True)
class _Group:
    """One lesson: what each of its raters said, the heaviest first. left: the part of its weight that is not shared with other wordings."""

    said: list[_Said]
    left: float = 1.0

    @property
    def first(self) -> _Said:
        return self.said[0]


def may_teach(said: CurrentVote | Served | Talk, owner_edited: frozenset[str]) -> bool:
    """The held-out rule: by principal; for the one owner by thread, where a thread that ever held an owner's edit teaches."""
    if said.principal != OWNER:
        return not is_held_out(said.principal)
    return said.thread_id in owner_edited or not is_held_out(said.thread_id)


def curate(
    votes: Iterable[CurrentVote],
    gold: Mapping[str, tuple[str, ...]] | None,
    rules: LessonRules,
    owner_edited: frozenset[str] = frozenset(),
    teaching: frozenset[str] = frozenset(),
    raters: Raters | None = None,
) -> Curated:
    """Which votes teach, and what. Nothing that a held-out or unwilling person said has any effect, not even on trust.

    votes: by themselves, or folded; the lessons are the same.
    teaching: the engines elsewhere whose terms let a model be taught with their answers. raters: what is known of them already.
    """
    dropped: Counter[str] = Counter()
    heard = hear(vote for vote in votes if not _told_off(_no_part(vote, rules, owner_edited), vote, dropped))
    known = judge_raters(heard, gold, rules) if raters is None else raters
    silenced = {rater: reason for rater in {vote.principal for vote in heard.votes} if (reason := _unbelieved(rater, rules, known))}
    for vote in heard.votes:
        if vote.principal in silenced:
            dropped[silenced[vote.principal]] += vote.times
    agreed = agreement(heard)
    heard = heard.without(silenced)
    said, signals, num_withheld = _teach(heard, known, teaching, dropped)
    kept = _capped(_joined(_once_each(said, dropped), dropped), rules, known, dropped)
    shared = _share(kept, rules, known)
    lessons = [_lesson(group, known) for group in kept]
    used = Counter(vote.kind for lesson in lessons for vote in lesson.votes)
    return Curated(lessons, used, signals, +dropped, known, num_withheld, agreed, shared)


def _no_part(vote: CurrentVote, rules: LessonRules, owner_edited: frozenset[str]) -> str:
    if not may_teach(vote, owner_edited):
        return "held_out"
    return "" if vote.consent in SCOPES[rules.scope] else "consent"


def _unbelieved(rater: str, rules: LessonRules, known: Raters) -> str:
    if rater in known.stuffers:
        return "stuffing"
    return "low_trust" if known.weight(rater) < rules.min_trust else ""


def _told_off(reason: str, vote: CurrentVote, dropped: Counter[str]) -> bool:
    if reason:
        dropped[reason] += vote.times
    return bool(reason)


def _teach(heard: Heard, known: Raters, teaching: frozenset[str], dropped: Counter[str]) -> tuple[list[_Said], Counter[str], int]:
    weights = {rater: known.weight(rater) for rater in {vote.principal for vote in heard.votes}}
    ballot = Ballot(heard, weights, known.voices)
    said: list[_Said] = []
    signals: Counter[str] = Counter()
    num_withheld = 0
    for vote in heard.votes:
        made = SIGNALS[vote.kind].lessons(vote)
        if made.text is None:
            signals[made.counted] += vote.times
        elif (kept := within_terms(vote, made, teaching)) is None:
            dropped["terms"] += vote.times
        elif verdict := ballot.objection(vote, made.text):
            dropped[verdict] += vote.times
        else:
            num_withheld += vote.times * (len(made.pairs) - len(kept.pairs))
            said.append(_say(vote, heard.prompts[vote.id], kept, weights[vote.principal]))
    return said, signals, num_withheld


def _say(vote: CurrentVote, prompt: str, draft: Draft, trust: float) -> _Said:
    assert draft.text is not None
    weight = trust * draft.share
    pairs = {(pair.chosen, pair.rejected): weight for pair in draft.pairs}
    return _Said(vote, prompt, draft.text, weight * SIGNALS[vote.kind].trust, pairs, vote.ids)


def _once_each(said: Iterable[_Said], dropped: Counter[str]) -> list[_Said]:
    """One lesson for what one rater said again and again: the heaviest, with the pairs and events of all."""
    kept: dict[tuple[str, str, str], _Said] = {}
    for item in said:
        dropped["repeated"] += item.vote.times - 1
        key = (item.vote.principal, item.prompt, normalise(item.text))
        kept[key] = _heavier(kept[key], item, dropped) if key in kept else item
    return sorted(kept.values(), key=lambda item: item.vote.seq)


def _heavier(earlier: _Said, later: _Said, dropped: Counter[str]) -> _Said:
    dropped["repeated"] += 1
    heavy, light = (later, earlier) if later.weight >= earlier.weight else (earlier, later)
    heavy.events += light.events
    heavy.pairs = {**light.pairs, **heavy.pairs}
    return heavy


def _joined(said: Sequence[_Said], dropped: Counter[str]) -> list[_Group]:
    """One lesson for what several raters, or one in nearly the same words, said. The owner's lessons stay the owner's alone."""
    groups = near_groups(said, lambda item: item.prompt, lambda item: (skeleton(item.text), item.vote.principal == OWNER))
    joined = []
    for group in groups:
        of_rater: dict[str, _Said] = {}
        for item in group:
            rater = item.vote.principal
            of_rater[rater] = _heavier(of_rater[rater], item, dropped) if rater in of_rater else item
        joined.append(_Group(sorted(of_rater.values(), key=lambda item: (-item.weight, -item.vote.seq))))
    return sorted(joined, key=lambda group: group.first.vote.seq)


def _lesson(group: _Group, known: Raters) -> Lesson:
    pairs: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for item in group.said:
        for texts, weight in item.pairs.items():
            pairs.setdefault(texts, []).append((known.voice(item.vote.principal), weight))
    return Lesson(
        votes=tuple(item.vote for item in group.said), shares=tuple(item.weight for item in group.said), text=group.first.text,
        weight=group.left * _weight(group, known),
        pairs=tuple(WeighedPair(chosen=good, rejected=poor, weight=group.left * _any_of(by)) for (good, poor), by in sorted(pairs.items())),
        events=tuple(sorted({event for item in group.said for event in item.events})),
    )  # fmt: skip


def _weight(group: _Group, known: Raters) -> float:
    return _any_of((known.voice(item.vote.principal), item.weight) for item in group.said)


def _any_of(weights: Iterable[tuple[str, float]]) -> float:
    """The chance that at least one voice is right, each by its heaviest rater."""
    loudest: dict[str, float] = {}
    for voice, weight in weights:
        loudest[voice] = max(weight, loudest.get(voice, 0.0))
    if len(loudest) == 1:
        return max(loudest.values())
    return 1 - math.prod(1 - weight for _, weight in sorted(loudest.items()))


def _capped(groups: Sequence[_Group], rules: LessonRules, known: Raters, dropped: Counter[str]) -> list[_Group]:
    """No voice but the owner's fills more than its share with what nobody else says; what goes is the lightest, then the oldest.

    Nor do a few who vouch for each other, where there are many: a lesson of several voices takes a part of the share of each, and is
    kept while one of them has room. Where there are few, whoever agrees with another is most of what can be known.
    """
    limit = max(rules.min_rater_cap, math.ceil(rules.max_rater_share * len(groups)))
    taken: Counter[str] = Counter()
    vouched: Counter[str] = Counter()
    repeated: Counter[tuple[str, str]] = Counter()
    kept = []
    company = {known.voice(item.vote.principal) for group in groups for item in group.said}
    are_many = len(company) * rules.max_rater_share >= MANY
    for group in sorted(groups, key=lambda group: (-_weight(group, known), -group.first.vote.seq)):
        voices = {known.voice(item.vote.principal) for item in group.said}
        if len(voices) > 1 and are_many and OWNER not in voices and all(vouched[voice] >= limit for voice in voices):
            dropped["rater_cap"] += len(group.said)
            continue
        if len(voices) > 1 or OWNER in voices:
            vouched.update(dict.fromkeys(voices, 1 / len(voices)))
            kept.append(group)
            continue
        (voice,) = voices
        answer = (voice, skeleton(group.first.text))
        if taken[voice] >= limit or repeated[answer] >= rules.max_same_answer:
            dropped["rater_cap" if taken[voice] >= limit else "same_answer"] += len(group.said)
            continue
        taken[voice] += 1
        repeated[answer] += 1
        kept.append(group)
    return sorted(kept, key=lambda group: group.first.vote.seq)


def _share(groups: Sequence[_Group], rules: LessonRules, known: Raters) -> Shared:
    """Divide the weight of claims that are made in several wordings, in `groups`; the owner's are as many lessons as they are wordings."""
    others = [group for group in groups if group.first.vote.principal != OWNER]
    if len(others) <= rules.max_claim:
        return Shared()
    found = same_claims([claim_of(group.first.vote.prompt, group.first.text) for group in others])
    claims = [[others[place] for place in places] for places in found if len(places) > rules.max_claim]
    taken = math.fsum(_divide(claim, rules.max_claim, known) for claim in claims)
    return Shared(len(claims), sum(map(len, claims)), round(taken, 6))


def _divide(claim: Sequence[_Group], most: int, known: Raters) -> float:
    """First what each voice says in several wordings, then the wordings; what is taken from them in all."""
    before = math.fsum(_weight(group, known) for group in claim)
    voices: dict[str, dict[int, float]] = {}
    for place, group in enumerate(claim):
        for item in group.said:
            weights = voices.setdefault(known.voice(item.vote.principal), {})
            weights[place] = max(item.weight, weights.get(place, 0.0))
    loudest = [(voice, max(weights.values())) for voice, weights in voices.items()]
    parts = {voice: _part(most * weight, voices[voice].values()) for voice, weight in loudest}
    for item in (item for group in claim for item in group.said):
        part = parts[known.voice(item.vote.principal)]
        item.weight *= part
        item.pairs = {texts: weight * part for texts, weight in item.pairs.items()}
    divided = [_weight(group, known) for group in claim]
    left = _part(most * _any_of(loudest), divided)
    for group in claim:
        group.left = left
    return before - left * math.fsum(divided)


def _part(most: float, weights: Iterable[float]) -> float:
    """What the weights are multiplied by to come to no more than `most`."""
    total = math.fsum(weights)
    return most / total if total > most else 1.0
