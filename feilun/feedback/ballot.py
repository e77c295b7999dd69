"""Where believed raters contradict each other, or themselves: summed trust decides, and the loser is told why."""

from collections.abc import Iterable, Mapping

from feilun.feedback.opinions import Opinion, Place, normalise, opinions_of, prompt_of
from feilun.feedback.signals import Draft
from feilun.store import CurrentVote


class Ballot:
    """All that believed raters said, weighed once; then `objection` judges vote after vote."""

    def __init__(self, votes: Iterable[CurrentVote], weights: Mapping[str, float]) -> None:
        votes = sorted(votes, key=lambda vote: vote.seq)
        self._net: dict[Place, float] = {}
        self._own: dict[tuple[str, Place], Opinion] = {}
        self._edits: dict[str, set[str]] = {}
        self._preferred: dict[tuple[Place, str], float] = {}
        for opinion in opinions_of(votes):
            self._net[opinion.place] = self._net.get(opinion.place, 0.0) + opinion.sign * weights[opinion.rater]
            self._own[opinion.rater, opinion.place] = opinion
        # Of several edits of a question by one rater the last is what they mean; only those stand for election.
        self._last_edit = {(vote.principal, prompt_of(vote)): normalise(vote.value) for vote in votes if vote.kind == "edit"}
        for (_, prompt), text in self._last_edit.items():
            self._edits.setdefault(prompt, set()).add(text)
        for rater, prompt, winner, loser in sorted({item for vote in votes for item in _comparisons(vote)}):
            key = (Place(prompt, winner), loser)
            self._preferred[key] = self._preferred.get(key, 0.0) + weights[rater]

    def objection(self, vote: CurrentVote, draft: Draft) -> str:
        """Why this vote may not teach: revised (by its own rater), outvoted, conflict (a draw), or "" when it may."""
        prompt, text = prompt_of(vote), normalise(draft.text or "")
        place = Place(prompt, text)
        own = self._own.get((vote.principal, place))
        if own is not None and own.sign < 0:
            return "revised"
        if vote.kind == "choice":
            return self._against_choice(vote) or _verdict(self._net.get(place, 0.0), 0.0, draw_is_fine=True)
        if vote.kind == "edit":
            if self._last_edit[vote.principal, prompt] != text:
                return "revised"
            rivals = [self._net.get(Place(prompt, other), 0.0) for other in self._edits[prompt] if other != text]
            return _verdict(self._net[place], max([0.0, *rivals]))
        return _verdict(self._net[place], 0.0)

    def _against_choice(self, vote: CurrentVote) -> str:
        verdicts = [self._compare(Place(prompt, winner), Place(prompt, loser)) for _, prompt, winner, loser in sorted(_comparisons(vote))]
        return next((verdict for verdict in verdicts if verdict), "")

    def _compare(self, winner: Place, loser: Place) -> str:
        return _verdict(self._preferred[winner, loser.text], self._preferred.get((loser, winner.text), 0.0))


def _comparisons(vote: CurrentVote) -> set[tuple[str, str, str, str]]:
    """(rater, prompt, winner, loser) of a choice that somebody won."""
    if vote.kind != "choice" or vote.value["outcome"] != "win":
        return set()
    prompt, winner = prompt_of(vote), normalise(vote.answer)
    losers = {normalise(sibling.text) for sibling in vote.over} - {winner}
    return {(vote.principal, prompt, winner, loser) for loser in losers}


def _verdict(mine: float, against: float, *, draw_is_fine: bool = False) -> str:
    if mine > against or (draw_is_fine and mine == against):
        return ""
    return "conflict" if mine == against else "outvoted"
