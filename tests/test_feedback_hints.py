"""Agreement, trust against a reference implementation, and hints that must earn their weight."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from vote_house import HELD_OUT, RATERS, vote

from feilun.feedback import LessonRules, build_lessons, curate, rater_trust
from feilun.feedback.agreement import agreement
from feilun.feedback.hints import COMPLAINT, LEAST_ANSWERS, MOST_MOVED, Hint, hints_of, measure_hints, moved_by_hints
from feilun.feedback.opinions import by_place, hear
from feilun.feedback.signals import HINTS
from feilun.feedback.trust import log_odds
from feilun.stats import alpha
from feilun.store import CompletionRecord, CurrentVote, FeedbackRequest, Reply, Store
from feilun.types import Consent, Decision

# What crowd-kit 1.4.2 (DawidSkene, 100 iterations) and krippendorff 0.9.0 make of `panel()`: the label of each of the 60 answers in
# order, those of which its posterior is not beyond 2 and 98 %, and alpha.
THEIR_LABELS = "+++++-+-+-------+++-++-+----++++++-+++-+-+++++------++-+++++"
THEIR_UNSURE = {22, 28, 38}
THEIR_ALPHA = 0.28820153909986923


def panel() -> list[CurrentVote]:
    """24 raters, good, middling and inverted; seven of them judge each of 60 answers."""
    rng = random.Random(7)
    votes: list[CurrentVote] = []
    right = [0.93] * 14 + [0.75] * 6 + [0.15] * 4
    for task in range(60):
        truth = rng.random() < 0.6
        for rater in rng.sample(range(24), 7):
            up = truth == (rng.random() < right[rater])
            votes.append(vote(len(votes) + 1, RATERS[rater], "thumb", 1 if up else -1, prompt=f"t{task:02d}?"))
    return votes


def test_believed_raters_decide_as_dawid_and_skene_do() -> None:
    """Ours reads every rater four ways and shrinks; on a panel of one kind of question it must come to the same answers."""
    heard = hear(panel())
    trust = rater_trust(heard)
    belief = {rater: log_odds(known.weight) for rater, known in trust.items()}
    net = {place.prompt[-3:]: sum(o.sign * belief[o.rater] for o in said) for place, said in by_place(heard.opinions).items()}
    ours = "".join("+" if net[f"t{task:02d}"] >= 0 else "-" for task in range(60))
    differing = [task for task in range(60) if ours[task] != THEIR_LABELS[task] and task not in THEIR_UNSURE]
    assert len(differing) <= 1
    assert max(trust[rater].weight for rater in RATERS[20:24]) < min(trust[rater].weight for rater in RATERS[:14])


def test_alpha_is_that_of_the_reference() -> None:
    found = agreement(hear(panel()))
    assert found.alpha == pytest.approx(THEIR_ALPHA, abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert found.low < THEIR_ALPHA < found.high
    assert (found.units, found.questions, found.raters) == (60, 60, 24)


def test_alpha_at_its_ends() -> None:
    assert alpha([["+", "+"], ["-", "-", "-"]]) == 1
    assert alpha([["+", "-"], ["-", "+"]]) == pytest.approx(-0.5)
    assert alpha([["+", "+"], ["+"]]) is None
    assert agreement(hear([])).alpha is None


# hints


def reply(number: int, rater: str, said: str, siblings: int = 1, consent: Consent = Consent.IMPROVE) -> Reply:
    return Reply(f"c{number}", 0, rater, consent, siblings, said)


def copied(seq: int, rater: str, **more: Any) -> CurrentVote:
    return vote(seq, rater, "implicit", {"name": "copy", "n": 1}, **more)


@pytest.mark.parametrize(
    ("text", "complains"),
    [
        ("不对,应该是9.8", True), ("错了", True), ("  No, that's wrong.", True), ("That’s wrong", False), ("try again please", True),
        ("谢谢!", False), ("And in winter?", False), ("Norway?", False), ("", False),
    ],
)  # fmt: skip
def test_a_complaint_begins_with_the_objection(text: str, complains: bool) -> None:
    assert bool(COMPLAINT.match(text)) == complains


def test_hints_come_from_events_and_from_the_tree() -> None:
    ann, out = RATERS[0], HELD_OUT[0]
    replies = [
        reply(1, ann, "不对"), reply(2, ann, "thanks", siblings=2), reply(3, ann, "thanks"),
        reply(5, ann, "wrong", consent=Consent.SERVE), reply(6, out, "wrong"),
    ]  # fmt: skip
    assert hints_of([copied(9, ann), copied(8, out), copied(7, ann, consent=Consent.SERVE)], replies) == [
        Hint("complaint", ann, ("c1", 0)), Hint("copy", ann, ("c9", 0)), Hint("kept", ann, ("c2", 0)),
    ]  # fmt: skip


def history(agree: float, raters: int, answers: int) -> tuple[list[Hint], list[CurrentVote]]:
    """Half of all answers are praised; a copied one is so with probability `agree`."""
    rng, hints, votes = random.Random(3), [], []
    for seq in range(1, answers + 1):
        rater, copies = RATERS[seq % raters], seq % 2 == 0
        up = rng.random() < (agree if copies else 1 - agree)
        votes.append(vote(seq, rater, "thumb", 1 if up else -1, prompt=f"q{seq}?", answer=f"a{seq}"))
        hints += [Hint("copy", rater, (f"c{seq}", 0))] if copies else []
    return hints, votes


@pytest.mark.parametrize(
    ("agree", "raters", "answers", "earned"),
    [(0.95, 30, 600, True), (0.7, 30, 600, False), (0.95, 5, 600, False), (0.95, 30, LEAST_ANSWERS, False), (0.5, 30, 600, False)],
)
def test_a_hint_earns_weight_only_by_shown_agreement(agree: float, raters: int, answers: int, earned: bool) -> None:
    measured = measure_hints(*history(agree, raters, answers))
    assert (measured["copy"].weight > 0) == earned
    assert 0 <= measured["copy"].weight <= HINTS["copy"].trust
    assert measured["kept"].weight == 0


def test_copying_what_everybody_praises_shows_nothing() -> None:
    votes = [vote(seq, RATERS[seq % 40], "thumb", 1, prompt=f"q{seq}?", answer=f"a{seq}") for seq in range(1, 801)]
    hints = [Hint("copy", RATERS[seq % 40], (f"c{seq}", 0)) for seq in range(1, 801)]
    assert measure_hints(hints, votes)["copy"].weight == 0


def test_a_hint_moves_a_lesson_a_little_and_never_makes_one() -> None:
    hints, votes = history(0.95, 30, 600)
    made = curate(votes, None, LessonRules())
    measured = measure_hints(hints, votes)
    alone = Hint("copy", RATERS[0], ("c99999", 0))
    moved = moved_by_hints(made, [*hints, alone], measured)
    assert [lesson.events for lesson in moved.lessons] == [lesson.events for lesson in made.lessons]
    ratios = {round(after.weight / before.weight, 4) for before, after in zip(made.lessons, moved.lessons, strict=True)}
    assert len(ratios) == 2
    assert all(1 - MOST_MOVED <= ratio <= 1 + MOST_MOVED for ratio in ratios)
    unbelieved = moved_by_hints(made, hints, measured, min_trust=1.0)
    assert unbelieved.lessons == made.lessons, "whoever is not believed moves nothing"


def test_hints_are_read_from_the_store_and_reported(tmp_path: Path) -> None:
    ann = RATERS[0]
    asked = [{"role": "user", "content": "Which?"}]
    with Store.open(tmp_path) as store:

        def say(name: str, messages: list[dict[str, str]], text: str) -> None:
            answer = {"index": 0, "text": text, "finish_reason": "stop", "num_tokens": 1}
            decision = Decision(engine="e", model="m")
            store.record_completion(
                CompletionRecord(id=name, principal=ann, model="m", thread_id="t", messages=messages, choices=[answer], decision=decision)
            )

        say("c1", asked, "red")
        say("c2", asked, "blue")
        say("c3", [*asked, {"role": "assistant", "content": "blue"}, {"role": "user", "content": "and why?"}], "so")
        say("c4", [*asked, {"role": "assistant", "content": "red"}, {"role": "user", "content": "不对"}], "well")
        store.record_feedback(FeedbackRequest(principal=ann, target_id="c2", kind="implicit", value={"name": "copy", "n": 1}))
        store.record_feedback(FeedbackRequest(principal=ann, target_id="c2", kind="thumb", value=1))
        hints = hints_of(store.current_votes(), store.newest_replies(100))
        made = build_lessons(store, tmp_path, "x", gold=None)
    assert [(hint.name, hint.target[0]) for hint in hints] == [("complaint", "c1"), ("copy", "c2"), ("kept", "c2")]
    report = json.loads((made.path / "report.json").read_text(encoding="utf-8"))
    assert (report["hints"]["kept"]["judged"], report["hints"]["copy"]["weight"]) == (1, 0.0)
    assert report["agreement"]["alpha"] is None
