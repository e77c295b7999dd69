"""The one home of statistics: no torch, no files, nothing but numbers in and numbers out.

intervals.py   means, shares and paired differences at a fixed number of values
evalues.py     what may be looked at after every vote: e-values, several of them at once, the ratio of samples
sequences.py   a confidence sequence on the paired difference, by betting
alpha.py       agreement of several raters beyond chance
rating.py      Bradley-Terry with covariates of style, and a leaderboard with intervals clustered by user
flips.py       how few people would turn a verdict
harm.py        whether one arm of people who were parted by lot is harmed sooner
missing.py     who rated and who did not
"""

from feilun.stats.alpha import alpha, alpha_bounds
from feilun.stats.evalues import (
    bonferroni,
    e_bh,
    e_bonferroni,
    log_e_mcnemar,
    log_e_paired,
    log_e_sample_ratio,
    log_e_voters,
    mcnemar_exact,
)
from feilun.stats.flips import voters_to_add, voters_to_turn
from feilun.stats.harm import harm_seen, harms_to_fire, log_e_first_harms
from feilun.stats.intervals import Interval, bootstrap_interval, mean_interval, paired_difference, wilson
from feilun.stats.missing import RatingRates, rating_rates
from feilun.stats.rating import Duel, Leaderboard, Rank, leaderboard
from feilun.stats.sequences import confidence_sequence
from feilun.stats.values import Floats, voter_means, without_top

__all__ = [
    "Duel",
    "Floats",
    "Interval",
    "Leaderboard",
    "Rank",
    "RatingRates",
    "alpha",
    "alpha_bounds",
    "bonferroni",
    "bootstrap_interval",
    "confidence_sequence",
    "e_bh",
    "e_bonferroni",
    "harm_seen",
    "harms_to_fire",
    "leaderboard",
    "log_e_first_harms",
    "log_e_mcnemar",
    "log_e_paired",
    "log_e_sample_ratio",
    "log_e_voters",
    "mcnemar_exact",
    "mean_interval",
    "paired_difference",
    "rating_rates",
    "voter_means",
    "voters_to_add",
    "voters_to_turn",
    "wilson",
    "without_top",
]
