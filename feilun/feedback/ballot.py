"""Where believed raters contradict each other, or themselves: summed trust decides, a voice once, and the loser is told why."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from feilun.feedback.opinions import Heard, Place, by_place, normalise
from feilun.feedback.trust import by_voice
from feilun.store import CurrentVote


class Ballot:
    """All that believed raters said, weighed once; then `objection` judges vote after vote."""

    def __init__(self, heard: Heard, weights: Mapping[str, float], voices: Mapping[str, str]) -> None:
        self._heard = heard
        self._net = {place: math.fsum(by_voice(said, weights, voices).values()) for place, said in by_place(heard.opinions).items()}
        self._own = {(opinion.rater, opinion.place): opinion for opinion in heard.opinions}
        # Of several edits of a question by one rater the last is what they mean; only those stand for election.
        edits = [vote for vote in heard.votes if vote.kind == "edit"]
        self._last_edit = {(vote.principal, heard.prompts[vote.id]): normalise(vote.value) for vote in edits}
        self._best_edits = _two_best(self._net, self._last_edit)
        self._preferred = _preferred(heard, weights, voices)

    def objection(self, vote: CurrentVote, text: str) -> str:
        """Why this vote may not teach `text`: revised (by its own rater), outvoted, conflict (a draw), or "" when it may."""
        place = Place(self._heard.prompts[vote.id], normalise(text))
        own = self._own.get((vote.principal, place))
        if own is not None and own.sign < 0:
            return "revised"
        if vote.kind == "choice":
            return self._against_choice(vote) or _verdict(self._net.get(place, 0.0), 0.0, draw_is_fine=True)
        if vote.kind == "edit":
            if self._last_edit[vote.principal, place.prompt] != place.text:
                return "revised"
            best, second = self._best_edits[place.prompt]
            return _verdict(self._net[place], second.net if best.text == place.text else best.net)
        return _verdict(self._net[place], 0.0)

    def _against_choice(self, vote: CurrentVote) -> str:
        duels = sorted(_comparisons(vote, self._heard))
        verdicts = [self._compare(Place(prompt, winner), Place(prompt, loser)) for _, prompt, winner, loser in duels]
        return next((verdict for verdict in verdicts if verdict), "")

    def _compare(self, winner: Place, loser: Place) -> str:
        return _verdict(self._preferred[winner, loser.text], self._preferred.get((loser, winner.text), 0.0))


class _Elected(NamedTuple):
    net: float
    text: str


def _two_best(net: Mapping[Place, float], last_edit: Mapping[tuple[str, str], str]) -> dict[str, tuple[_Elected, _Elected]]:
    """The two edits of each question that are believed most; an edit below nothing is no rival."""
    nobody = _Elected(0.0, "")
    best: dict[str, tuple[_Elected, _Elected]] = {}
    for prompt, text in sorted({(prompt, text) for (_, prompt), text in last_edit.items()}):
        mine, (first, second) = _Elected(net.get(Place(prompt, text), 0.0), text), best.get(prompt, (nobody, nobody))
        best[prompt] = (mine, first) if mine.net > first.net else (first, max(mine, second, key=lambda edit: edit.net))
    return best


def _preferred(heard: Heard, weights: Mapping[str, float], voices: Mapping[str, str]) -> dict[tuple[Place, str], float]:
    said: dict[tuple[Place, str], dict[str, list[float]]] = {}
    for rater, prompt, winner, loser in sorted({item for vote in heard.votes for item in _comparisons(vote, heard)}):
        said.setdefault((Place(prompt, winner), loser), {}).setdefault(voices.get(rater, rater), []).append(weights[rater])
    return {key: math.fsum(math.fsum(weights) / len(weights) for weights in by.values()) for key, by in said.items()}


def _comparisons(vote: CurrentVote, heard: Heard) -> set[tuple[str, str, str, str]]:
    """(rater, prompt, winner, loser) of a choice that somebody won."""
    if vote.kind != "choice" or vote.value["outcome"] != "win":
        return set()
    prompt, winner = heard.place(vote)
    losers = {normalise(sibling.text) for sibling in vote.over} - {winner}
    return {(vote.principal, prompt, winner, loser) for loser in losers}


def _verdict(mine: float, against: float, *, draw_is_fine: bool = False) -> str:
    if mine > against or (draw_is_fine and mine == against):
        return ""
    return "conflict" if mine == against else "outvoted"
