"""The leaderboard over real choices: what becomes a duel, what is left out, who is better once style is taken out."""

import random

import pytest
from test_teach import ANN, BOB, CARL, HELD_OUT, asked

from feilun.cli import main
from feilun.feedback.opinions import hear
from feilun.feedback.ranking import duels_of, ranked, rated_rates
from feilun.feedback.raters import Raters
from feilun.stats import Duel
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.types import Consent, Decision

NOBODY = Raters(trust={}, voices={}, stuffers=frozenset(), log_e={})


def choose(store: Store, who: str, number: int, a: tuple[str, str], b: tuple[str, str], outcome: str = "win", **more) -> None:
    """One question, answered by two models; the first is chosen. a, b: (model, text)."""
    ids = []
    for model, text in (a, b):
        ids.append(f"{who}-{number}-{len(ids)}")
        choice = {"index": 0, "text": text, "finish_reason": "stop", "num_tokens": 1}
        store.record_completion(
            CompletionRecord(
                id=ids[-1], principal=who, model=model, thread_id=f"{who}-{number}", messages=[{"role": "user", "content": f"q{number}"}],
                choices=[choice], decision=Decision(engine="native", model=model), started=1.0, finished=2.0, **more,
            )
        )  # fmt: skip
    value = {"over": [{"id": ids[1], "index": 0}], "outcome": outcome}
    store.record_feedback(FeedbackRequest(principal=who, target_id=ids[0], kind="choice", value=value))


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        yield store


def test_choices_between_models_become_duels_and_the_others_are_counted(store):
    choose(store, ANN, 1, ("m2", "yes"), ("m1", "- no\n- **no**"))
    choose(store, ANN, 2, ("m2", "x"), ("m1", "y"), "both_bad")
    choose(store, ANN, 3, ("m2", "x"), ("m2", "y"))
    choose(store, BOB, 4, ("m1", "x"), ("m2", "y"), consent=Consent.SERVE)
    choose(store, CARL, 5, ("m1", "x"), ("m2", "y"))
    choose(store, HELD_OUT, 6, ("m1", "x"), ("engine:far/m", "y"))
    known = Raters(trust={}, voices={ANN: "voice"}, stuffers=frozenset({CARL}), log_e={})
    duels, left_out = duels_of(store.current_votes(), known)
    assert [(duel.a, duel.b, duel.outcome, duel.user) for duel in duels] == [
        ("m2", "m1", "a", "voice"), ("m2", "m1", "tie", "voice"), ("m1", "engine:far/m", "a", HELD_OUT),
    ]  # fmt: skip
    assert duels[0].style == {"length": (3, 13), "lists": (0, 2), "bold": (0, 1)}
    assert left_out == {"same_model": 1, "consent": 1, "stuffing": 1}
    duels, left_out = duels_of(store.current_votes(), NOBODY, held_out_only=True)
    assert ([duel.user for duel in duels], left_out["not_held_out"]) == ([HELD_OUT], 4)


def test_models_never_compared_stand_apart(store):
    duels = [Duel(a=a, b=b, outcome="a", user=user) for user in "xy" for a, b in (("m1", "m2"), ("m3", "m4"), ("m2", "m5"))]
    parts = ranked([*duels, Duel(a="m6", b="m7", outcome="b", user="x")])
    assert [(part.models, part.duels, part.board is None) for part in parts] == [
        (("m1", "m2", "m5"), 4, False), (("m3", "m4"), 2, False), (("m6", "m7"), 1, True),
    ]  # fmt: skip


def test_what_length_alone_earns_is_taken_out():
    """People here choose the longer answer nine times of ten, whoever gave it; one model is only more often the longer one."""
    rng = random.Random(5)
    duels = []
    for number in range(3000):
        lengths = (200.0, 40.0) if rng.random() < 0.85 else (40.0, 200.0)
        a_wins = (lengths[0] > lengths[1]) == (rng.random() < 0.9)
        duels.append(Duel(a="long", b="short", outcome="a" if a_wins else "b", user=str(number % 60), style={"length": lengths}))
    (part,) = ranked(duels)
    (naive,) = ranked([Duel(a=duel.a, b=duel.b, outcome=duel.outcome, user=duel.user) for duel in duels])
    assert naive.board.models["short"].rank == 2
    assert {row.rank for row in part.board.models.values()} == {1}
    assert part.board.style["length"].low > 0


def test_rates_count_the_losers_of_choices_as_judged(store):
    choose(store, ANN, 1, ("m2", "yes"), ("m1", "no"))
    for n in range(3):
        asked(store, BOB, f"unjudged {n}")
    rates = rated_rates(store, store.current_votes()).rates
    assert {model: rate.mean for model, rate in rates.items()} == {"m1": 1.0, "m2": 1.0, "models/now@1": 0.0}


def test_the_verb_ranks_a_home(tmp_path, capsys):
    assert main(["--home", str(tmp_path), "leaderboard"]) == 0
    assert "nobody has chosen" in capsys.readouterr().out
    rng = random.Random(1)
    with Store.open(tmp_path) as store:
        for number, who in enumerate([ANN, BOB, CARL, "key:app/dora"] * 6):
            sides = [("models/b@2", f"good answer {number}"), ("models/a@1", f"poor answer {number}")]
            choose(store, who, number, *(sides if number % 6 else sides[::-1]), outcome="win" if rng.random() < 0.9 else "tie")
        assert not hear(store.current_votes()).opinions
    assert main(["--home", str(tmp_path), "leaderboard"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "24 choices of 4 people"
    assert [line.split()[1] for line in lines[2:4]] == ["models/b@2", "models/a@1"]
