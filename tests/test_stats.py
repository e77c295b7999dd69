import math

import numpy as np
import pytest
from scipy import stats as reference

from feilun.stats import bootstrap_interval, log_e_mcnemar, mcnemar_exact, mean_interval, paired_difference, wilson
from feilun.types import UserError


def test_wilson_is_scipys():
    for k, n in [(0, 10), (3, 10), (81, 263), (400, 400)]:
        theirs = reference.binomtest(k, n).proportion_ci(0.95, method="wilson")
        ours = wilson(k, n)
        assert ours.low == pytest.approx(theirs.low, abs=1e-12)
        assert ours.high == pytest.approx(theirs.high, abs=1e-12)
        assert (ours.mean, ours.n) == (k / n, n)


def test_mean_interval_is_students_t_for_numbers_and_wilson_for_shares():
    x = [0.1, 0.4, 0.35, 0.8]
    theirs = reference.ttest_1samp(x, 0).confidence_interval(0.95)
    assert mean_interval(x)[1:3] == pytest.approx((theirs.low, theirs.high))
    assert mean_interval([1, 1, 0, 1]) == wilson(3, 4)


def test_certainty_is_never_claimed():
    assert mean_interval([1.0] * 20, clusters=[i // 4 for i in range(20)]).low < 0.7
    assert paired_difference([0.0] * 3, [1.0] * 3).low < 0
    assert paired_difference([0.0] * 400, [0.0] * 400).low < 0 < paired_difference([0.0] * 400, [0.0] * 400).high


def test_bonett_price_known_value():
    # 53 pairs both right, 1 only in a, 16 only in b, 9 neither: (f+1)/(n+2) by hand
    a = [1] * 54 + [0] * 25
    b = [1] * 53 + [0] * 1 + [1] * 16 + [0] * 9
    won, lost, n = 17 / 81, 2 / 81, 81
    half = 1.959963985 * math.sqrt((won + lost - (won - lost) ** 2) / n)
    found = paired_difference(a, b)
    assert found.mean == pytest.approx(15 / 79)
    assert (found.low, found.high) == pytest.approx((won - lost - half, won - lost + half))


def test_paired_difference_turns_with_its_arguments():
    a, b = [0.0, 1.0, 1.0, 0.0, 0.5], [1.0, 1.0, 0.0, 1.0, 1.0]
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))


def _clustered_shares(rng: np.random.Generator, num_clusters: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    shares = rng.beta(3, 3, num_clusters)
    return (rng.random((num_clusters, size)) < shares[:, None]).astype(float).ravel(), np.repeat(np.arange(num_clusters), size)


def test_clustered_mean_covers_and_the_naive_one_does_not():
    rng = np.random.default_rng(0)
    held = {"clustered": 0, "naive": 0, "bootstrap": 0}
    for _ in range(400):
        x, clusters = _clustered_shares(rng, 20, 30)
        for name, found in (
            ("clustered", mean_interval(x, clusters)),
            ("naive", mean_interval(x)),
            ("bootstrap", bootstrap_interval(x, clusters, num_draws=200)),
        ):
            held[name] += found.low <= 0.5 <= found.high
    assert 0.925 <= held["clustered"] / 400 <= 0.985
    assert 0.89 <= held["bootstrap"] / 400 <= 0.985
    assert held["naive"] / 400 < 0.75


def test_paired_difference_covers():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        u = rng.random(400)
        a, b = (u < 0.6).astype(float), (u < 0.57).astype(float)
        flips = rng.random(400) < 0.05
        b = np.where(flips, 1 - b, b)
        truth = 0.57 * 0.95 + 0.43 * 0.05 - 0.6
        found = paired_difference(a, b)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 1000 <= 0.975


def test_clustered_paired_difference_is_wider_than_the_plain_one():
    rng = np.random.default_rng(2)
    lean = np.repeat(rng.random(12) < 0.5, 40).astype(float)
    a, b, clusters = np.zeros(480), lean, np.repeat(np.arange(12), 40)
    plain, clustered = paired_difference(a, b), paired_difference(a, b, clusters)
    assert clustered.high - clustered.low > 3 * (plain.high - plain.low)


def test_bootstrap_is_seeded_and_near_the_formula():
    x = list(np.random.default_rng(3).random(300))
    assert bootstrap_interval(x, seed=5) == bootstrap_interval(x, seed=5)
    assert bootstrap_interval(x)[1:3] == pytest.approx(mean_interval(x)[1:3], abs=0.01)


def test_mcnemar_known_values():
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(0, 6) == pytest.approx(2 * 0.5**6)
    assert mcnemar_exact(8, 2, "greater") == pytest.approx((45 + 10 + 1) / 1024)
    for wins, losses in [(0, 3), (7, 7), (31, 12), (5, 40)]:
        assert mcnemar_exact(wins, losses) == pytest.approx(reference.binomtest(wins, wins + losses).pvalue)
        assert mcnemar_exact(wins, losses, "greater") == pytest.approx(
            reference.binomtest(wins, wins + losses, alternative="greater").pvalue
        )


def test_e_value_is_one_at_the_start_and_a_martingale():
    assert log_e_mcnemar(0, 0) == pytest.approx(0)
    for wins, losses in [(0, 0), (3, 1), (20, 25)]:
        after = 0.5 * math.exp(log_e_mcnemar(wins + 1, losses)) + 0.5 * math.exp(log_e_mcnemar(wins, losses + 1))
        assert after == pytest.approx(math.exp(log_e_mcnemar(wins, losses)))


def test_peeking_at_the_e_value_is_safe_and_it_finds_an_edge():
    rng = np.random.default_rng(4)
    for share, low, high in ((0.5, 0.0, 0.05), (0.62, 0.9, 1.0)):
        wins = (rng.random((500, 600)) < share).cumsum(axis=1)
        seen = np.arange(1, 601)
        looks = range(19, 600, 20)
        log_e = np.array([[log_e_mcnemar(int(w[t]), int(seen[t] - w[t])) for t in looks] for w in wins[:200]])
        assert low <= (log_e.max(axis=1) > math.log(20)).mean() <= high


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_interval([]),
        lambda: mean_interval([0.2]),
        lambda: mean_interval([1.0, math.nan]),
        lambda: mean_interval([1.0, 0.0], clusters=["a"]),
        lambda: mean_interval([1.0, 0.0], clusters=["a", "a"]),
        lambda: paired_difference([0.0], [0.0, 1.0]),
        lambda: paired_difference([0.0], [2.0]),
        lambda: wilson(3, 2),
        lambda: wilson(1, 2, confidence=95),
        lambda: mcnemar_exact(-1, 2),
    ],
)
def test_bad_input_is_named(call):
    with pytest.raises(UserError):
        call()
