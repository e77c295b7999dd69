"""Statistics that may be looked at after every vote, several claims at once, rankings and how few people turn a verdict."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special
from scipy import stats as reference

from feilun.stats import (
    Duel,
    bonferroni,
    confidence_sequence,
    e_bh,
    e_bonferroni,
    leaderboard,
    log_e_mcnemar,
    log_e_paired,
    log_e_sample_ratio,
    rating_rates,
    voters_to_add,
    voters_to_turn,
    wilson,
)
from feilun.types import UserError

ALPHA = 0.01
ACT = math.log(1 / ALPHA)


def test_single_pairs_are_the_one_sided_mcnemar_mixture():
    """Oracle: half Beta(10, 10) cut to more wins than losses, half uniform there, integrated by somebody else's code."""
    for wins, losses in [(1, 0), (12, 4), (40, 60), (70, 30)]:
        after = log_e_paired([1.0] * wins + [-1.0] * losses)[-1]
        prior = reference.beta(10, 10)

        def won(p, wins=wins, losses=losses, prior=prior):
            return (prior.pdf(p) + 1) * (2 * p) ** wins * (2 * (1 - p)) ** losses

        assert after == pytest.approx(math.log(integrate.quad(won, 0.5, 1)[0]), abs=1e-6)
        assert after == pytest.approx(log_e_paired([0.0, *([-1.0] * losses), *([1.0] * wins), 0.0])[-1])


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), max_size=12), st.sampled_from([0.0, -0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_a_bet_is_a_martingale_at_the_edge_of_the_claim(before, at_most):
    """However it stands, the next fair voter changes the wealth by nothing in the mean."""
    share = (1 + at_most) / 2  # of wins among +1 and -1, so that the mean is at_most
    log_e = [log_e_paired([*before, last], at_most=at_most)[-1] for last in (1.0, -1.0)]
    now = log_e_paired(before, at_most=at_most)[-1] if before else 0.0
    assert share * math.exp(log_e[0]) + (1 - share) * math.exp(log_e[1]) == pytest.approx(math.exp(now))


def test_looking_after_every_pair_keeps_alpha_and_the_naive_test_does_not():
    rng = np.random.default_rng(0)
    num_runs, num_pairs = 200, 600
    null = np.where(rng.random((num_runs, num_pairs)) < 0.5, 1.0, -1.0)
    acted = sum(log_e_paired(run).max() >= ACT for run in null)
    seen = np.arange(1, num_pairs + 1)
    naive = ((null.cumsum(axis=1) / np.sqrt(seen))[:, 20:].max(axis=1) > special.ndtri(1 - ALPHA)).sum()
    assert acted / num_runs <= 0.025
    assert naive / num_runs > 0.05
    edge = np.where(rng.random((40, 1000)) < 0.57, 1.0, -1.0)
    assert sum(log_e_paired(run).max() >= ACT for run in edge) >= 28


def _crowd(rng: np.random.Generator, num_users: int, votes: int, mean: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Votes of users who each lean their own way; `mean` is the share of wins over all users."""
    lean = rng.beta(2 * mean, 2 * (1 - mean), num_users)
    wins = rng.random((num_users, votes)) < lean[:, None]
    return np.where(wins, 1.0, -1.0).ravel(), np.repeat(np.arange(num_users), votes)


def test_clustered_raters_are_not_counted_over_and_over():
    rng = np.random.default_rng(1)
    acted = {"clustered": 0, "naive": 0}
    for _ in range(80):
        votes, users = _crowd(rng, 40, 25)
        acted["clustered"] += log_e_paired(votes, users).max() >= ACT
        acted["naive"] += log_e_paired(votes).max() >= ACT
    assert acted["clustered"] <= 3
    assert acted["naive"] > 24
    found = [log_e_paired(*_crowd(rng, 120, 25, 0.7)).max() >= ACT for _ in range(20)]
    assert sum(found) >= 17


def test_confidence_sequence_holds_at_every_moment_and_agrees_with_the_bet():
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(60):
        d = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.55, 0.3], size=300)
        bounds = [confidence_sequence(d[:n]) for n in (5, 20, 60, 300)]
        missed += any(not b.low <= 0.15 <= b.high for b in bounds)
    assert missed <= 4
    assert bounds[-1].high - bounds[-1].low < 0.35
    for share in (0.5, 0.6, 0.7):
        d = np.where(rng.random(200) < share, 1.0, -1.0)
        found = confidence_sequence(d, confidence=0.9)
        assert (found.low > 0) == (log_e_paired(d)[-1] >= math.log(20))
        turned = confidence_sequence(-d, confidence=0.9)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_confidence_sequence_counts_people_not_votes():
    votes, users = _crowd(np.random.default_rng(3), 30, 50)
    many, few = confidence_sequence(votes, users), confidence_sequence(votes)
    assert many.high - many.low > 3 * (few.high - few.low)
    assert confidence_sequence([0.2]).low < 0 < confidence_sequence([0.2]).high


def test_several_claims_at_once():
    log_es = {"a": math.log(500), "b": math.log(260), "c": math.log(90), "d": 0.0, "e": -3.0}
    assert e_bonferroni(log_es, ALPHA) == ("a",)
    assert e_bh(log_es, ALPHA) == ("a", "b")
    assert e_bh({}, ALPHA) == ()
    assert e_bh({"a": math.log(45)}, 0.1) == ("a",)
    assert e_bh({"a": math.log(45)}, 0.1, num_all=100) == ()
    assert bonferroni({"x": 0.004, "y": 0.003}, {"x": 0.5, "y": 0.25}, ALPHA) == ("x",)
    with pytest.raises(UserError, match="sum to at most 1"):
        bonferroni({"x": 0.1}, {"x": 0.6, "y": 0.6}, ALPHA)


@given(st.lists(st.floats(-2, 9), min_size=1, max_size=7))
@settings(max_examples=60, deadline=None)
def test_e_bh_is_the_largest_set_that_its_rule_allows(values):
    log_es = {str(i): value for i, value in enumerate(values)}
    allowed = [
        chosen for k in range(len(values) + 1) for chosen in itertools.combinations(log_es, k)
        if all(math.exp(log_es[name]) >= len(values) / (0.05 * k) for name in chosen)
    ]  # fmt: skip
    assert len(e_bh(log_es, 0.05)) == max(map(len, allowed))
    assert set(e_bonferroni(log_es, 0.05)) <= set(e_bh(log_es, 0.05))


def test_e_bh_keeps_its_false_share_among_guardrails():
    rng = np.random.default_rng(4)
    false_shares = []
    for _ in range(60):
        edges = [0.5] * 6 + [0.75] * 2
        log_es = {str(i): log_e_paired(np.where(rng.random(120) < edge, 1.0, -1.0)).max() for i, edge in enumerate(edges)}
        found = e_bh(log_es, 0.05)
        false_shares.append(sum(int(name) < 6 for name in found) / max(1, len(found)))
    assert np.mean(false_shares) <= 0.05


def test_a_sample_ratio_that_is_off_is_found_and_a_fair_one_is_not():
    for counts in [(0, 0), (3, 1), (50, 70)]:
        now = math.exp(log_e_sample_ratio(counts, (0.8, 0.2)))
        after = [math.exp(log_e_sample_ratio(c, (0.8, 0.2))) for c in ((counts[0] + 1, counts[1]), (counts[0], counts[1] + 1))]
        assert 0.8 * after[0] + 0.2 * after[1] == pytest.approx(now)
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(200):
        first = (rng.random(400) < 0.5).cumsum()
        alarms += any(log_e_sample_ratio((int(first[n]), n + 1 - int(first[n])), (0.5, 0.5)) >= ACT for n in range(0, 400, 10))
    assert alarms <= 5
    assert log_e_sample_ratio((600, 400), (0.5, 0.5)) > ACT
    for counts, shares in [((1, 2), (1.0,)), ((1, 2), (0.5, 0.6)), ((-1, 2), (0.5, 0.5)), ((1, 2), (0.0, 1.0))]:
        with pytest.raises(UserError):
            log_e_sample_ratio(counts, shares)


def test_rating_rates_tell_that_one_arm_is_rated_more():
    rng = np.random.default_rng(6)
    users = np.repeat(np.arange(400), 3)
    arms = np.where(users % 2 == 0, "new", "old")
    keen = rng.random(400) < np.where(np.arange(400) % 2 == 0, 0.5, 0.2)
    found = rating_rates(list(arms), list(keen[users]), list(users), {"new": 0.5, "old": 0.5})
    assert found.log_e_rating > ACT
    assert found.log_e_arms < 0
    assert found.rates["new"].low <= 0.5 <= found.rates["new"].high
    even = rating_rates(list(arms), list((rng.random(400) < 0.3)[users]), list(users))
    assert even.log_e_rating < ACT
    assert even.log_e_arms is None
    alone = rating_rates(["new"] * 4, [True, False, True, True], ["me"] * 4)
    assert alone.rates["new"] == wilson(3, 4)
    assert alone.to_json()["log_e_rating"] == 0.0


# rankings


def duels_of(rng: np.random.Generator, strengths: dict, num_users: int, votes: int, *, lean: float = 0.0, bias: float = 0.0) -> list[Duel]:
    """Each user compares random models; `lean`: how far a user's own taste moves one model; `bias`: what length earns."""
    names, made = list(strengths), []
    for user in range(num_users):
        own = {name: strengths[name] + lean * rng.normal() for name in names}
        for _ in range(votes):
            a, b = rng.choice(names, 2, replace=False)
            long_a, long_b = rng.integers(20, 200, 2)
            style = (long_a - long_b) / (long_a + long_b)
            won = rng.random() < special.expit(own[a] - own[b] + bias * style)
            outcome = "tie" if rng.random() < 0.1 else "a" if won else "b"
            made.append(Duel(a=str(a), b=str(b), outcome=outcome, user=str(user), style={"chars": (float(long_a), float(long_b))}))
    return made


def test_strengths_are_those_of_maximum_likelihood():
    duels = [
        Duel(a=d.a, b=d.b, outcome=d.outcome, user=d.user)
        for d in duels_of(np.random.default_rng(7), {"x": 0.8, "y": 0.0, "z": -0.6}, 60, 20)
    ]
    found = leaderboard(duels).models
    names = ["x", "y", "z"]

    def loss(beta):
        signs = np.array([beta[names.index(d.a)] - beta[names.index(d.b)] for d in duels])
        y = np.array([{"a": 1.0, "tie": 0.5, "b": 0.0}[d.outcome] for d in duels])
        return -(y * special.log_expit(signs) + (1 - y) * special.log_expit(-signs)).sum()

    theirs = optimize.minimize(loss, np.zeros(3)).x
    assert [found[name].strength.mean for name in names] == pytest.approx(theirs - theirs.mean(), abs=2e-3)
    assert list(found) == names
    assert [found[name].rank for name in names] == [1, 2, 3]


def test_style_is_taken_out():
    """Two equal models, one of which writes long: without the covariate it seems better."""
    rng = np.random.default_rng(8)
    duels = []
    for n in range(1500):
        long, short = float(rng.integers(150, 200)), float(rng.integers(50, 160))
        won = rng.random() < special.expit(2.0 * (long - short) / (long + short))
        duels.append(Duel(a="long", b="short", outcome="a" if won else "b", user=str(n % 100), style={"chars": (long, short)}))
    plain = leaderboard([Duel(a=d.a, b=d.b, outcome=d.outcome, user=d.user) for d in duels])
    fair = leaderboard(duels)
    assert plain.models["long"].strength.low > 0.2
    assert fair.models["long"].strength.low <= 0 <= fair.models["long"].strength.high
    assert fair.style["chars"].low > 0


def test_intervals_clustered_by_user_cover():
    rng = np.random.default_rng(9)
    truth = {"x": 0.5, "y": -0.5}
    # Tastes vary and a tie is half a win, so what is aimed at is nearer to 0 than the mean taste: a crowd tells where.
    target = leaderboard(duels_of(rng, truth, 3000, 2, lean=1.2)).models["x"].strength.mean
    held = {"users": 0, "votes": 0}
    for _ in range(50):
        duels = duels_of(rng, truth, 30, 12, lean=1.2)
        clustered = leaderboard(duels).models["x"].strength
        each = leaderboard([Duel(a=d.a, b=d.b, outcome=d.outcome, user=str(n)) for n, d in enumerate(duels)]).models["x"].strength
        held["users"] += clustered.low <= target <= clustered.high
        held["votes"] += each.low <= target <= each.high
    assert held["users"] >= 43
    assert held["votes"] <= held["users"] - 8


def test_a_leaderboard_names_what_it_cannot_do():
    duel = Duel(a="x", b="y", outcome="a", user="u")
    for duels, said in [
        ([], "two models"),
        ([Duel(a="x", b="x", outcome="a", user="u")], "none with itself"),
        ([duel, Duel(a="p", b="q", outcome="b", user="v")], "never compared"),
        ([duel], "two users"),
    ]:
        with pytest.raises(UserError, match=said):
            leaderboard(duels)
    always = leaderboard([duel, Duel(a="x", b="y", outcome="a", user="v")] * 5)
    assert math.isfinite(always.models["x"].strength.mean)


# verdicts that few people turn


def test_the_fewest_voters_who_turn_a_verdict():
    rng = np.random.default_rng(10)

    def holds(means):
        return log_e_paired(means)[-1] >= math.log(20)

    for _ in range(5):
        means = np.where(rng.random(12) < 0.95, rng.choice([0.5, 1.0], 12), -0.5)
        found = voters_to_turn(means, holds)
        fewest = next(
            (
                k for k in range(13) for turned in itertools.combinations(range(12), k)
                if not holds(np.array([-1.0 if i in turned else means[i] for i in range(12)]))
            ),
            None,
        )  # fmt: skip
        assert found == fewest
    assert voters_to_turn([1.0] * 3, lambda _: True) is None
    assert voters_to_turn([-1.0] * 3, holds) == 0


def test_the_fewest_new_voters_who_make_a_verdict():
    def holds(means):
        return len(means) > 0 and log_e_paired(means)[-1] >= ACT

    alone = voters_to_add([], holds)
    assert not holds(np.ones(alone - 1))
    assert holds(np.ones(alone))
    assert voters_to_add([-0.5] * 10, holds) > alone
    assert voters_to_add([1.0] * 40, holds) == 0
    assert voters_to_add([0.0], lambda _: False, most=50) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_e_paired([]),
        lambda: log_e_paired([1.2]),
        lambda: log_e_paired([0.5], ["u", "v"]),
        lambda: log_e_paired([0.5], at_most=-1.0),
        lambda: confidence_sequence([0.5], confidence=95),
        lambda: log_e_mcnemar(-1, 0),
    ],
)
def test_bad_input_is_named(call):
    with pytest.raises(UserError):
        call()
