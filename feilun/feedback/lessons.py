"""Events become lessons: rows to imitate and pairs to prefer, each with the events it came from, every drop with its reason."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from feilun.artifacts import Artifact, write_json, write_rows
from feilun.artifacts import Draft as ArtifactDraft
from feilun.artifacts import draft as draft_artifact
from feilun.feedback.ballot import Ballot
from feilun.feedback.opinions import normalise, prompt_of
from feilun.feedback.signals import SIGNALS, Draft
from feilun.feedback.terms import within_terms
from feilun.feedback.trust import RaterTrust, rater_trust
from feilun.store import OWNER, CurrentVote, Store
from feilun.types import Consent, is_held_out

LESSON_CONSENT = (Consent.IMPROVE, Consent.PUBLISH)


class HasMinTrust(Protocol):
    """Settings of a turn, or anything else that names the least trust that teaches."""

    @property
    def min_trust(self) -> float: ...


Protect = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonRules:
    """min_trust: raters below it teach nothing. max_rater_share: of the rows; never below min_rater_cap rows, never for the owner."""

    min_trust: float = 0.5
    max_rater_share: float = 0.10
    min_rater_cap: int = 20


@dataclass(slots=True, kw_only=True)
class Lesson:
    """What one rater teaches about one question."""

    vote: CurrentVote
    draft: Draft
    weight: float
    events: tuple[str, ...]


class Curated(NamedTuple):
    """lessons in order of seq; dropped and signals: events by reason; trust: of every rater that may teach.

    num_pairs_withheld: pairs that these lessons lost to the terms of another engine.
    """

    lessons: list[Lesson]
    dropped: Counter[str]
    signals: Counter[str]
    trust: dict[str, RaterTrust]
    num_pairs_withheld: int


def build_lessons(
    store: Store,
    home: Path,
    name: str,
    *,
    upto_seq: int | None = None,
    gold: Mapping[str, tuple[str, ...]] | None,
    settings: HasMinTrust | None = None,
    rules: LessonRules | None = None,
    protect: Protect | None = None,
) -> Artifact:
    """The lessons of all events up to `upto_seq` (None: all there are), published as `home/lessons/name@hash`.

    sft.jsonl: {"messages", "weight", "kind", "events", "rater"}. pairs.jsonl:
    {"prompt", "chosen", "rejected", "weight", "events", "rater"}.
    Rows stand in an order of content: which of two users' requests came first by a hair must not change what is trained.
    report.json: how many events were used, counted only, or dropped, and why; the trust of every rater, by hash.
    gold: question -> accepted answers, for trust alone. settings: its min_trust takes the place of the one in `rules`.
    Answers of an engine elsewhere teach only while the owner's word stands that its terms allow it; the recipe says whose it was.
    protect: names the reason why a text must not be learnt (an exam asks it, say), or None; such lessons are counted drops.
    """
    newest = store.last_seq() if upto_seq is None else upto_seq
    rules = rules or LessonRules()
    least = rules.min_trust if settings is None else settings.min_trust
    votes = store.current_votes(newest)
    terms = {engine.name: engine.teach for engine in store.engines()}
    teaching = frozenset(name for name, allowed in terms.items() if allowed)
    curated = curate(votes, gold, LessonRules(**{**asdict(rules), "min_trust": least}), store.edited_threads(OWNER, newest), teaching)
    if protect is not None:
        curated = curated._replace(lessons=_unprotected(curated.lessons, protect, curated.dropped))
    curated.dropped.update(_gone(store, newest, votes))
    recipe = {"upto_seq": newest, "rules": {**asdict(rules), "min_trust": least}, "gold": _digest(gold or {}), "terms": terms}
    with draft_artifact(home, "lessons", name, recipe=recipe) as work:
        _write(work, curated)
    assert work.artifact is not None
    return work.artifact


def _write(work: ArtifactDraft, curated: Curated) -> None:
    in_order = sorted(curated.lessons, key=_content)
    write_rows(work.path / "sft.jsonl", sft_rows(in_order))
    write_rows(work.path / "pairs.jsonl", pair_rows(in_order))
    report = _report(curated)
    write_json(work.path / "report.json", report)
    work.counts = {key: report[key] for key in ("num_events", "used", "signals", "dropped", "num_rows", "num_pairs")}
    work.counts["events"] = sorted(event for lesson in curated.lessons for event in lesson.events)


def _unprotected(lessons: Iterable[Lesson], protect: Protect, dropped: Counter[str]) -> list[Lesson]:
    """Lessons whose question, answers and rejected answers hold nothing protected."""
    kept = []
    for lesson in lessons:
        texts = [str(message["content"]) for message in lesson.vote.prompt]
        answers = [lesson.draft.text or "", *(text for pair in lesson.draft.pairs for text in pair)]
        if reason := protect("\n".join([*texts, *answers])):
            dropped[reason] += 1
        else:
            kept.append(lesson)
    return kept


def _gone(store: Store, newest: int, votes: Sequence[CurrentVote]) -> Counter[str]:
    """Events that do not stand any more, by what became of them."""
    standing = {vote.id for vote in votes}
    gone: Counter[str] = Counter()
    for event in store.events():
        if event.seq <= newest and event.id not in standing:
            retraction = event.value is None or (event.kind == "thumb" and event.value == 0)
            gone["erased" if event.erased else "retracted" if retraction else "superseded"] += 1
    return gone


def may_teach(vote: CurrentVote, owner_edited: frozenset[str]) -> bool:
    """The held-out rule: by principal; for the one owner by thread, where a thread that ever held an owner's edit teaches."""
    if vote.principal != OWNER:
        return not is_held_out(vote.principal)
    return vote.thread_id in owner_edited or not is_held_out(vote.thread_id)


def curate(
    votes: Iterable[CurrentVote],
    gold: Mapping[str, tuple[str, ...]] | None,
    rules: LessonRules,
    owner_edited: frozenset[str] = frozenset(),
    teaching: frozenset[str] = frozenset(),
) -> Curated:
    """Which votes teach, and what. Nothing that a held-out or unwilling person said has any effect, not even on trust.

    teaching: the engines elsewhere whose terms let a model be taught with their answers.
    """
    dropped: Counter[str] = Counter()
    eligible = []
    for vote in sorted(votes, key=lambda vote: vote.seq):
        reason = "" if may_teach(vote, owner_edited) else "held_out"
        if not reason and vote.consent not in LESSON_CONSENT:
            reason = "consent"
        dropped[reason] += 1
        if not reason:
            eligible.append(vote)
    del dropped[""]
    trust = rater_trust(eligible, gold)
    believed = [vote for vote in eligible if trust[vote.principal].weight >= rules.min_trust]
    dropped["low_trust"] += len(eligible) - len(believed)
    lessons, signals = _teach(believed, trust, teaching, dropped)
    lessons = _cap(_collapse(lessons, dropped), rules, dropped)
    return Curated(lessons, +dropped, +signals, trust, sum(map(_num_withheld, lessons)))


def _num_withheld(lesson: Lesson) -> int:
    return len(SIGNALS[lesson.vote.kind].lessons(lesson.vote).pairs) - len(lesson.draft.pairs)


def _teach(
    votes: Sequence[CurrentVote], trust: Mapping[str, RaterTrust], teaching: frozenset[str], dropped: Counter[str]
) -> tuple[list[Lesson], Counter[str]]:
    weights = {rater: known.weight for rater, known in trust.items()}
    ballot = Ballot(votes, weights)
    lessons: list[Lesson] = []
    signals: Counter[str] = Counter()
    for vote in votes:
        signal = SIGNALS[vote.kind]
        made = signal.lessons(vote)
        if made.text is None:
            signals[made.counted] += 1
        elif (kept := within_terms(vote, made, teaching)) is None:
            dropped["terms"] += 1
        elif verdict := ballot.objection(vote, made):
            dropped[verdict] += 1
        else:
            weight = weights[vote.principal] * signal.trust * made.share
            lessons.append(Lesson(vote=vote, draft=kept, weight=weight, events=(vote.id,)))
    return lessons, signals


def _collapse(lessons: Iterable[Lesson], dropped: Counter[str]) -> list[Lesson]:
    """One lesson for what one rater said again and again: the heaviest, with the events of all."""
    kept: dict[tuple[str, str, str], Lesson] = {}
    for lesson in lessons:
        key = (lesson.vote.principal, prompt_of(lesson.vote), normalise(lesson.draft.text or ""))
        earlier = kept.get(key)
        if earlier is not None:
            dropped["repeated"] += 1
            heavier = lesson if lesson.weight >= earlier.weight else earlier
            heavier.events = tuple(sorted({*earlier.events, *lesson.events}))
            lesson = heavier
        kept[key] = lesson
    return sorted(kept.values(), key=lambda lesson: lesson.vote.seq)


def _cap(lessons: Sequence[Lesson], rules: LessonRules, dropped: Counter[str]) -> list[Lesson]:
    """No rater but the owner speaks louder than their share; what goes is the lightest, then the oldest."""
    limit = max(rules.min_rater_cap, math.ceil(rules.max_rater_share * len(lessons)))
    taken: Counter[str] = Counter()
    kept = []
    for lesson in sorted(lessons, key=lambda lesson: (-lesson.weight, -lesson.vote.seq)):
        rater = lesson.vote.principal
        if rater != OWNER and taken[rater] >= limit:
            dropped["rater_cap"] += 1
            continue
        taken[rater] += 1
        kept.append(lesson)
    return sorted(kept, key=lambda lesson: lesson.vote.seq)


def rater_hash(principal: str) -> str:
    return hashlib.blake2b(f"rater/{principal}".encode(), digest_size=8).hexdigest()


def sft_rows(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    return [
        {
            "messages": [*_messages(lesson), {"role": "assistant", "content": lesson.draft.text}],
            "weight": round(lesson.weight, 6), "kind": lesson.vote.kind, "events": list(lesson.events),
            "rater": rater_hash(lesson.vote.principal),
        }
        for lesson in lessons
    ]  # fmt: skip


def pair_rows(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    return [
        {
            "prompt": _messages(lesson), "chosen": pair.chosen, "rejected": pair.rejected,
            "weight": round(lesson.weight / SIGNALS[lesson.vote.kind].trust, 6), "events": list(lesson.events),
            "rater": rater_hash(lesson.vote.principal),
        }
        for lesson in lessons
        for pair in lesson.draft.pairs
    ]  # fmt: skip


def _content(lesson: Lesson) -> tuple[str, str, str, str, float]:
    """What a lesson says, without when it was said."""
    vote = lesson.vote
    return (prompt_of(vote), lesson.draft.text or "", vote.kind, rater_hash(vote.principal), lesson.weight)


def _messages(lesson: Lesson) -> list[dict[str, Any]]:
    return [dict(message) for message in lesson.vote.prompt]


def _report(curated: Curated) -> dict[str, Any]:
    used = Counter(lesson.vote.kind for lesson in curated.lessons)
    counts = (used, curated.signals, curated.dropped)
    raters = {
        rater_hash(rater): {"trust": round(known.weight, 4), "agree": round(known.agree, 3), "disagree": round(known.disagree, 3)}
        for rater, known in curated.trust.items()
    }
    return {
        "num_events": sum(sum(count.values()) for count in counts),
        "used": dict(sorted(used.items())),
        "signals": dict(sorted(curated.signals.items())),
        "dropped": dict(sorted(curated.dropped.items())),
        "num_rows": len(curated.lessons),
        "num_pairs": sum(len(lesson.draft.pairs) for lesson in curated.lessons),
        "num_pairs_withheld": curated.num_pairs_withheld,
        "raters": dict(sorted(raters.items())),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
