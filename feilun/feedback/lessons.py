"""Events become lessons: rows to imitate and pairs to prefer, each with the events it came from, every drop with its reason."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from feilun.artifacts import Artifact, list_artifacts, write_json, write_rows
from feilun.artifacts import Draft as ArtifactDraft
from feilun.artifacts import draft as draft_artifact
from feilun.feedback.collector import paused_collector
from feilun.feedback.curation import Curated, Lesson, LessonRules, curate
from feilun.feedback.hints import Measured, hints_of, hints_report, measure_hints, moved_by_hints
from feilun.feedback.opinions import prompt_of
from feilun.feedback.privacy import without_personal_data
from feilun.feedback.protect import ExamQuestions
from feilun.feedback.terms import engine_terms
from feilun.store import OWNER, CurrentVote, Store, without_ids
from feilun.types import Consent

__all__ = ["HasMinTrust", "Protect", "build_lessons", "lessons_report", "pair_rows", "rater_hash", "sft_rows", "write_lessons"]

NARROWEST_FIRST = (Consent.SERVE, Consent.IMPROVE, Consent.PUBLISH)
NEWEST_REPLIES = 20_000
RATERS = 100_000
VERSION = 5  # of the rules in code: other rules, another artifact


class HasMinTrust(Protocol):
    """Settings of a turn, or anything else that names the least trust that teaches."""

    @property
    def min_trust(self) -> float: ...


Protect = Callable[[str], str | None]


@paused_collector()
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
    """The lessons of all events up to `upto_seq` (None: all there are) that are not withheld, published as `home/lessons/name@hash`.

    sft.jsonl: {"messages", "weight", "kind", "events", "rater", "raters", "consent"}; rater: whose words they are. pairs.jsonl:
    {"prompt", "chosen", "rejected", "weight"} and the same four.
    Rows stand in an order of content: which of two users' requests came first by a hair must not change what is trained.
    report.json: how many events were used, counted only, or dropped, and why; what claims share; trust, voice and share of every rater.
    gold: question -> accepted answers, for trust alone. settings: its min_trust takes the place of the one in `rules`.
    Answers of an engine elsewhere teach only while the owner's word stands that its terms allow it; the recipe says whose it was.
    protect: names the reason why a text must not be learnt (an exam asks it, say), or None; such lessons are counted drops.
    Where it is an ExamQuestions, the report also names the questions that earlier lessons of this home hold already.
    Personal data and secrets give way to placeholders, counted in the report; the owner's own stay, unless they are to be published.
    """
    newest = store.last_seq() if upto_seq is None else upto_seq
    rules = _with_trust(rules or LessonRules(), settings)
    standing, withheld = store.folded_votes(newest), store.withheld_events()
    votes = without_ids(standing, withheld.keys()) if withheld else standing
    terms = engine_terms(store)
    teaching = frozenset(name for name, allowed in terms.items() if allowed)
    curated = curate(votes, gold, rules, store.edited_threads(OWNER, newest), teaching)
    curated, measured = _with_hints(store, votes, curated, rules)
    curated = curated if protect is None else _unprotected(curated, protect)
    curated.dropped.update(_gone(store, newest, _num_votes(standing), _num_votes(votes)))
    cleaned, redacted = without_personal_data(curated.lessons, also_owner=rules.scope == Consent.PUBLISH)
    report = lessons_report(curated) | {"redacted": redacted, "hints": hints_report(measured), **_exam_questions(home, protect)}
    rest = {"rules": asdict(rules), "gold": _digest(gold or {}), "terms": terms, **_apart(withheld)}
    with draft_artifact(home, "lessons", name, recipe={"version": VERSION, "upto_seq": newest, **rest}) as work:
        write_lessons(work, cleaned, report)
    assert work.artifact is not None
    return work.artifact


def _with_hints(store: Store, votes: Sequence[CurrentVote], curated: Curated, rules: LessonRules) -> tuple[Curated, dict[str, Measured]]:
    hints = hints_of(votes, store.newest_replies(NEWEST_REPLIES))
    measured = measure_hints(hints, votes)
    return moved_by_hints(curated, hints, measured, rules.min_trust), measured


def _with_trust(rules: LessonRules, settings: HasMinTrust | None) -> LessonRules:
    return rules if settings is None else replace(rules, min_trust=settings.min_trust)


def _apart(withheld: Iterable[str]) -> dict[str, str]:
    return {"withheld": _digest(sorted(withheld))} if withheld else {}


def _exam_questions(home: Path, protect: Protect | None) -> dict[str, Any]:
    if not isinstance(protect, ExamQuestions):
        return {}
    return {"exam_questions": {"protected": len(protect), "in_earlier_lessons": protect.seen_in(list_artifacts(home, "lessons"))}}


def write_lessons(work: ArtifactDraft, lessons: Sequence[Lesson], report: Mapping[str, Any]) -> None:
    """Rows, report and counts into a draft; the draft's manifest names every event and every rater's share."""
    in_order = sorted(lessons, key=_content)
    write_rows(work.path / "sft.jsonl", sft_rows(in_order))
    write_rows(work.path / "pairs.jsonl", pair_rows(in_order))
    write_json(work.path / "report.json", report)
    told = ("num_events", "used", "signals", "dropped", "shared", "redacted", "num_rows", "num_pairs")
    work.counts = {key: report[key] for key in told}
    work.counts["shares"] = {rater: known["share"] for rater, known in report["raters"].items() if known["share"]}
    work.counts["events"] = sorted(event for lesson in lessons for event in lesson.events)


def _unprotected(curated: Curated, protect: Protect) -> Curated:
    """Without the lessons whose question, answers or rejected answers hold something protected."""
    kept, dropped, used = [], curated.dropped.copy(), curated.used.copy()
    for lesson in curated.lessons:
        texts = [str(message["content"]) for vote in lesson.votes for message in vote.prompt]
        answers = [lesson.text, *(text for pair in lesson.pairs for text in (pair.chosen, pair.rejected))]
        if reason := protect("\n".join([*texts, *answers])):
            dropped[reason] += len(lesson.votes)
            used.subtract(vote.kind for vote in lesson.votes)
        else:
            kept.append(lesson)
    return curated._replace(lessons=kept, dropped=dropped, used=+used)


def _num_votes(folded: Iterable[CurrentVote]) -> int:
    return sum(vote.times for vote in folded)


def _gone(store: Store, newest: int, num_standing: int, num_left: int) -> Counter[str]:
    """Events that do not stand any more, or are withheld, by what became of them."""
    told = store.event_counts(newest)
    superseded = told.all - told.erased - told.retracting - num_standing
    return +Counter(erased=told.erased, retracted=told.retracting, superseded=superseded, withheld=num_standing - num_left)


@lru_cache(maxsize=RATERS)
def rater_hash(principal: str) -> str:
    return hashlib.blake2b(f"rater/{principal}".encode(), digest_size=8).hexdigest()


def sft_rows(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    return [
        {
            "messages": [*_messages(lesson), {"role": "assistant", "content": lesson.text}],
            "weight": round(lesson.weight, 6), "kind": lesson.vote.kind, **_origin(lesson),
        }
        for lesson in lessons
    ]  # fmt: skip


def pair_rows(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    return [
        {
            "prompt": _messages(lesson), "chosen": pair.chosen, "rejected": pair.rejected,
            "weight": round(pair.weight, 6), **_origin(lesson),
        }
        for lesson in lessons
        for pair in lesson.pairs
    ]  # fmt: skip


def _origin(lesson: Lesson) -> dict[str, Any]:
    raters = sorted(rater_hash(vote.principal) for vote in lesson.votes)
    consent = min((vote.consent for vote in lesson.votes), key=NARROWEST_FIRST.index)
    return {"events": list(lesson.events), "rater": rater_hash(lesson.vote.principal), "raters": raters, "consent": str(consent)}


def _content(lesson: Lesson) -> tuple[str, str, str, str, float]:
    """What a lesson says, without when it was said."""
    vote = lesson.vote
    return (prompt_of(vote), lesson.text, vote.kind, rater_hash(vote.principal), lesson.weight)


def _messages(lesson: Lesson) -> list[dict[str, Any]]:
    return [dict(message) for message in lesson.vote.prompt]


def lessons_report(curated: Curated) -> dict[str, Any]:
    """What became of every event, and what is known of every rater, by hash."""
    counts = (curated.used, curated.signals, curated.dropped)
    return {
        "num_events": sum(sum(count.values()) for count in counts),
        "used": dict(sorted(curated.used.items())),
        "signals": dict(sorted(curated.signals.items())),
        "dropped": dict(sorted(curated.dropped.items())),
        "shared": curated.shared._asdict(),
        "num_rows": len(curated.lessons),
        "num_pairs": sum(len(lesson.pairs) for lesson in curated.lessons),
        "num_pairs_withheld": curated.num_pairs_withheld,
        "agreement": curated.agreement._asdict(),
        "raters": _raters(curated),
    }


def _raters(curated: Curated) -> dict[str, dict[str, Any]]:
    """share: of all the weight that teaches, a row's weight divided among its raters as they weigh alone."""
    weights: dict[str, float] = {}
    for lesson in curated.lessons:
        for vote, share in zip(lesson.votes, lesson.shares, strict=True):
            weights[vote.principal] = weights.get(vote.principal, 0.0) + lesson.weight * share / sum(lesson.shares)
    total, known = sum(weights.values()), curated.raters
    rows = {
        rater_hash(rater): {
            "trust": round(trust.weight, 4), "agree": round(trust.agree, 3), "disagree": round(trust.disagree, 3),
            "share": round(weights.get(rater, 0.0) / total, 6) if total else 0,
            **({"voice": rater_hash(known.voices[rater])} if rater in known.voices else {}),
        }
        for rater, trust in known.trust.items()
    }  # fmt: skip
    rows |= {rater_hash(rater): {"trust": 0, "stuffing": True, "share": 0} for rater in known.stuffers}
    return dict(sorted(rows.items()))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
