"""What each rule makes of one stream: ours with and without defences, and the published rules of TensorZero and FastChat.

TensorZero (crates/tensorzero-core): a data set is the outputs whose latest boolean metric is true (`DISTINCT ON (target_id)`,
inference_queries.rs) and every demonstration; its bandit counts every row (db/postgres/feedback.rs) and names a winner when the
GLR (gap + epsilon)^2 / (2 (v1/n1 + v2/n2)) exceeds ln((1 + ln N) / delta), delta .05, epsilon 0, at least 10 each (check_stopping.rs).
FastChat (serve/monitor/elo_analysis.py): the first 100 votes of a user a day are kept (`limit_user_votes`; off by default, here on),
`outlier_detect` multiplies 1 / (2p) over a user's votes, both ways, and drops the user beyond 1 / .05; what is left is rated.
Both are written anew from those formulas; neither product was run.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.attack_streams import BETTER, DAY_SECONDS, WORSE, Stream
from feilun.feedback import LessonRules, Raters, RaterTrust, curate
from feilun.stats import mean_interval
from feilun.store import CurrentVote

__all__ = ["RULES", "Outcome", "Row"]

OFF = LessonRules(min_trust=0.0, max_rater_share=1.0, max_same_answer=1 << 30, max_claim=1 << 30, stuffing_alpha=0.0, voice_alpha=0.0)
DELTA = 0.05
MIN_SAMPLES = 10
ALPHA = 0.05
DAILY_VOTES = 100
CHECKED_VOTES = 100
MIN_CHECKED = 5


class Row(NamedTuple):
    prompt: str
    text: str
    weight: float
    raters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """rows: what is taught; flagged: raters who were found; winner: the model that is declared better, "" for neither."""

    rows: list[Row]
    flagged: frozenset[str]
    winner: str


def ours_on(stream: Stream) -> Outcome:
    """Everything as `feilun feedback build` does it. Found: stuffers, those below min_trust, and those of one voice."""
    made = curate(stream.votes, stream.gold, LessonRules())
    known = made.raters
    low = {rater for rater, trust in known.trust.items() if trust.weight < LessonRules().min_trust}
    silent = known.stuffers | low
    return Outcome(
        rows=[Row(str(lesson.vote.prompt[0]["content"]), lesson.text, lesson.weight, _names(lesson.votes)) for lesson in made.lessons],
        flagged=frozenset(silent | set(known.voices)),
        winner=_winner((vote for vote in stream.votes if vote.principal not in silent), known),
    )


def ours_off(stream: Stream) -> Outcome:
    """The same compiler, everybody believed alike, nobody looked for and nobody capped."""
    trust = {rater: RaterTrust(weight=1.0, agree=0.0, disagree=0.0) for rater in stream.raters}
    nobody = Raters(trust=trust, voices={}, stuffers=frozenset(), log_e={})
    made = curate(stream.votes, None, OFF, raters=nobody)
    rows = [Row(str(lesson.vote.prompt[0]["content"]), lesson.text, lesson.weight, _names(lesson.votes)) for lesson in made.lessons]
    return Outcome(rows=rows, flagged=frozenset(), winner=_winner(stream.votes, nobody))


def _names(votes: Iterable[CurrentVote]) -> tuple[str, ...]:
    return tuple(vote.principal for vote in votes)


def _winner(votes: Iterable[CurrentVote], known: Raters) -> str:
    """Of the choices, each voice weighing once: a model whose share is above one half with 95 % confidence, clustered by voice."""
    by_voice: dict[str, list[float]] = {}
    for vote in votes:
        if (won := _won(vote)) is not None:
            by_voice.setdefault(known.voice(vote.principal), []).append(won)
    if len(by_voice) < 2:
        return ""
    share = mean_interval([sum(won) / len(won) for won in by_voice.values()])
    return BETTER if share.low > 0.5 else WORSE if share.high < 0.5 else ""


def _won(vote: CurrentVote) -> float | None:
    """1 where the better model was chosen, 0 where the worse one; None for anything else."""
    return float(vote.model == BETTER) if vote.kind == "choice" else None


def tensorzero(stream: Stream) -> Outcome:
    rows = []
    for vote in stream.votes:
        if vote.kind == "edit" or (vote.kind == "thumb" and vote.value > 0):
            rows.append(Row(str(vote.prompt[0]["content"]), vote.value if vote.kind == "edit" else vote.answer, 1.0, (vote.principal,)))
    return Outcome(rows=rows, flagged=frozenset(), winner=_bandit(stream))


def _bandit(stream: Stream) -> str:
    """Looked at after every row, as it is every few minutes."""
    yes: Counter[str] = Counter()
    n: Counter[str] = Counter()
    for vote in sorted(stream.votes, key=lambda vote: vote.at):
        if vote.kind != "thumb":
            continue
        n[vote.model] += 1
        yes[vote.model] += vote.value > 0
        if min(n[BETTER], n[WORSE]) < MIN_SAMPLES:
            continue
        means = {model: yes[model] / n[model] for model in (BETTER, WORSE)}
        variance = sum(max(mean * (1 - mean), 1e-6) / n[model] for model, mean in means.items())
        if (means[BETTER] - means[WORSE]) ** 2 / (2 * variance) > math.log((1 + math.log(n.total())) / DELTA):
            return max(means, key=lambda model: means[model])
    return ""


def fastchat(stream: Stream) -> Outcome:
    """Only its side-by-side votes exist for it; what is taught are their winners."""
    votes = _daily(vote for vote in stream.votes if vote.kind == "choice")
    wins = sum(vote.model == BETTER for vote in votes)
    by_user: dict[str, list[CurrentVote]] = {}
    for vote in votes:
        by_user.setdefault(vote.principal, []).append(vote)
    flagged = frozenset(user for user, cast in by_user.items() if len(cast) >= MIN_CHECKED and _is_outlier(cast, wins, len(votes) - wins))
    kept = [vote for vote in votes if vote.principal not in flagged]
    share = mean_interval([float(vote.model == BETTER) for vote in kept])
    rows = [Row(str(vote.prompt[0]["content"]), vote.answer, 1.0, (vote.principal,)) for vote in kept]
    return Outcome(rows=rows, flagged=flagged, winner=BETTER if share.low > 0.5 else WORSE if share.high < 0.5 else "")


def _daily(votes: Iterable[CurrentVote]) -> list[CurrentVote]:
    taken: Counter[tuple[str, int]] = Counter()
    kept = []
    for vote in sorted(votes, key=lambda vote: vote.at):
        day = (vote.principal, int(vote.at // DAY_SECONDS))
        taken[day] += 1
        if taken[day] <= DAILY_VOTES:
            kept.append(vote)
    return kept


def _is_outlier(cast: list[CurrentVote], wins: int, losses: int) -> bool:
    upper = lower = 1.0
    for vote in cast[:CHECKED_VOTES]:
        won = vote.model == BETTER
        upper *= 1 / (2 * (1.0 if won else losses / (wins + losses)))
        lower *= 1 / (2 * (wins / (wins + losses) if won else 1.0))
        if max(upper, lower) > 1 / ALPHA:
            return True
    return False


RULES: dict[str, Callable[[Stream], Outcome]] = {
    "ours": ours_on, "defences_off": ours_off, "tensorzero": tensorzero, "fastchat": fastchat,
}  # fmt: skip
