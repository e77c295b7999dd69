"""G0, the gate before training: are these lessons whose people allow it, of enough people, and apart from what the exams ask?

It trusts nothing that the making of the lessons promised: every event is looked up again in the store.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from feilun.artifacts import Artifact, read_rows
from feilun.config import TurnSettings
from feilun.feedback import rater_hash
from feilun.feedback.collector import paused_collector
from feilun.feedback.curation import LESSON_CONSENT
from feilun.feedback.owner import TAUGHT
from feilun.feedback.privacy import personal_data_in
from feilun.stats import log_e_sample_ratio
from feilun.store import OWNER, Giver, Store
from feilun.types import is_held_out

__all__ = ["Checked", "check_lessons"]

MAX_SHOWN_SHARE = 0.05
HELD_OUT_SHARE = 0.2
ERASED, WITHHELD = "were erased", "are withheld since a rollout was taken back"
Row = Mapping[str, Any]


class Checked(NamedTuple):
    """why: what refuses the turn, nothing where it may go on. shown: ids of exam questions that the lessons show; they do not count."""

    why: tuple[str, ...]
    shown: tuple[str, ...]
    figures: dict[str, Any]


@paused_collector()
def check_lessons(store: Store, lessons: Artifact, settings: TurnSettings, upto_seq: int) -> Checked:
    """The checks of one lessons artifact against the store as it is now and the questions of the exams."""
    from feilun.exam.overlap import shown_questions

    rows = [row for name in ("sft.jsonl", "pairs.jsonl") for row in read_rows(lessons.path / name)]
    givers = store.givers(upto_seq)
    faults = event_faults(rows, givers, store.withheld_events())
    raters, is_owners, personal = raters_of(rows), settings.rise_task == TAUGHT, personal_data(rows)
    asked = kept_questions(store, settings.exam_tasks, max(settings.exam.num_samples, settings.num_in_doubt))
    shown = shown_questions((question_of(row) for row in rows), {key: text for texts in asked.values() for key, text in texts.items()})
    first = {task: list(islice(texts, settings.exam.num_samples)) for task, texts in asked.items()}
    shares = {task: sum(key in shown for key in keys) / len(keys) for task, keys in first.items()}
    why = [f"{count} events behind the lessons {fault}" for fault, count in sorted(faults.items())]
    why += [f"{count} times personal data ({kind}) stands in the lessons of others than the owner" for kind, count in personal.items()]
    if not is_owners:
        why += crowd_faults(raters, settings)
        why += [
            f"{share:.0%} of the questions of {name} stand in the lessons (at most {MAX_SHOWN_SHARE:.0%} may): it examines nobody now"
            for name, share in shares.items()
            if share > MAX_SHOWN_SHARE
        ]  # fmt: skip
    figures = {
        "rows": len(rows), "events": len({event for row in rows for event in row["events"]}),
        "faults": dict(faults), "personal": dict(personal),
        "raters": len(raters), "largest_share": largest_share(raters), "questions_shown": {k: v for k, v in shares.items() if v},
        "questions_asked": sum(len(texts) for texts in asked.values()), **missing_figures(givers),
    }  # fmt: skip
    return Checked(tuple(why), tuple(sorted(shown)), figures)


def kept_questions(store: Store, names: Sequence[str], num_samples: int) -> dict[str, dict[str, str]]:
    """What the exams ask, made once: they are the same until the code that makes them changes, and take seconds to make."""
    from feilun.exam.questions import asked_questions, questions_maker

    name, maker = f"exam questions {num_samples} {','.join(names)}", questions_maker()
    found: dict[str, dict[str, str]] | None = store.makings.found(name, maker)
    if found is None:
        found = asked_questions(names, num_samples)
        store.makings.keep(name, maker, found)
    return found


def event_faults(rows: Iterable[Row], givers: Iterable[Giver], withheld: Collection[str]) -> Counter[str]:
    """Why events may not stand behind the lessons that name them, and how many times each. One look a person, not one an event."""
    sound: set[str] = set()
    why: dict[str, str] = {}
    for giver in givers:
        if fault := giver_fault(giver):
            why.update(dict.fromkeys(giver.event_ids, fault))
        else:
            sound.update(giver.event_ids)
    why |= {event: WITHHELD for event in withheld if event in sound or why.get(event, ERASED) != ERASED}
    sound.difference_update(withheld)
    faulty = (event for row in rows if not sound.issuperset(row["events"]) for event in row["events"] if event not in sound)
    return Counter(why.get(event, "are not in the store") for event in faulty)


def giver_fault(giver: Giver) -> str:
    """Why these events may not stand behind a lesson; empty when they may."""
    if giver.erased:
        return ERASED
    if giver.consent not in LESSON_CONSENT:
        return "have no consent to improve the model"
    return "are of held-out users" if giver.principal != OWNER and is_held_out(giver.principal) else ""


def raters_of(rows: Iterable[Row]) -> Counter[str]:
    """How much each rater teaches; where several say the same, each a part of it."""
    found: Counter[str] = Counter()
    for row in rows:
        named = row.get("raters") or [row["rater"]]
        for rater in named:
            found[rater] += row["weight"] / len(named)
    return found


def personal_data(rows: Iterable[Row]) -> Counter[str]:
    """Personal data and secrets by kind, in what others than the owner said; the making of lessons has taken them out already."""
    texts = [text for row in rows if row["rater"] != rater_hash(OWNER) for text in texts_of(row)]
    found, counts = personal_data_in(texts), Counter[str]()
    for text in (text for text in texts if text in found):
        counts.update(found[text].counts)
    return counts


def texts_of(row: Row) -> Iterable[str]:
    yield from (str(message["content"]) for message in row.get("messages") or row["prompt"])
    yield from (str(row[key]) for key in ("chosen", "rejected") if key in row)


def crowd_faults(raters: Mapping[str, float], settings: TurnSettings) -> list[str]:
    why = []
    if raters and len(raters) < settings.min_raters:
        why.append(f"{len(raters)} raters stand behind the lessons, at least {settings.min_raters} must")
    share = largest_share(raters)
    if len(raters) >= 2 / settings.max_rater_share and share > settings.max_rater_share:
        why.append(f"one rater teaches {share:.0%} of the lessons by weight, at most {settings.max_rater_share:.0%} may")
    return why


def largest_share(raters: Mapping[str, float]) -> float:
    """Of any rater but the owner."""
    total = sum(raters.values())
    return max((weight / total for rater, weight in raters.items() if rater != rater_hash(OWNER)), default=0.0) if total else 0.0


def question_of(row: Row) -> str:
    messages: Sequence[Row] = row.get("messages") or row["prompt"]
    return str(next(message["content"] for message in reversed(messages) if message["role"] == "user"))


def missing_figures(givers: Iterable[Giver]) -> dict[str, Any]:
    """Who votes: one name in five is held out by hash, so far fewer or more among the voters means that names are not left to chance."""
    voters = {giver.principal for giver in givers if giver.principal and giver.principal != OWNER}
    held_out = sum(map(is_held_out, voters))
    log_e = log_e_sample_ratio((held_out, len(voters) - held_out), (HELD_OUT_SHARE, 1 - HELD_OUT_SHARE))
    return {"voters": len(voters), "voters_held_out": held_out, "log_e_names": round(log_e, 3)}
