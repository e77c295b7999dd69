"""What is known of everybody who teaches: who acts as one, who votes whatever the answer is, and how far each is believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from feilun.feedback.opinions import Heard
from feilun.feedback.stuffing import log_e_values
from feilun.feedback.trust import RaterTrust, rater_trust
from feilun.feedback.voices import find_voices
from feilun.stats import e_bh
from feilun.store import OWNER

__all__ = ["HasDefences", "Raters", "judge_raters"]


class HasDefences(Protocol):
    """alpha of the two searches; 0 leaves one out."""

    @property
    def stuffing_alpha(self) -> float: ...
    @property
    def voice_alpha(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Raters:
    """trust: of every rater. voices: rater -> voice, for those who share one. stuffers: raters whose votes do not look at the answer.

    log_e: evidence of stuffing by rater or voice, in nats.
    """

    trust: Mapping[str, RaterTrust]
    voices: Mapping[str, str]
    stuffers: frozenset[str]
    log_e: Mapping[str, float]

    def voice(self, rater: str) -> str:
        return self.voices.get(rater, rater)

    def weight(self, rater: str) -> float:
        """How far the rater is believed; a stuffer not at all."""
        return self.trust[rater].weight if rater in self.trust else 0.0

    def members(self) -> dict[str, list[str]]:
        """Each shared voice with its raters."""
        found: dict[str, list[str]] = {}
        for rater, voice in sorted(self.voices.items()):
            found.setdefault(voice, []).append(rater)
        return found


def judge_raters(heard: Heard, gold: Mapping[str, tuple[str, ...]] | None, defences: HasDefences) -> Raters:
    """All that is known of the raters. The owner is never a stuffer, nor part of a voice: this is whose model it is.

    Stuffers are found among raters and voices alike; their votes have no part in anybody's trust.
    """
    voices = find_voices(heard, defences.voice_alpha, apart=frozenset({OWNER})) if defences.voice_alpha else {}
    log_e = log_e_values(heard, gold, voices) if defences.stuffing_alpha else {}
    log_e.pop(OWNER, None)
    guilty = frozenset(e_bh(log_e, defences.stuffing_alpha))
    stuffers = frozenset(vote.principal for vote in heard.votes if guilty & {vote.principal, voices.get(vote.principal, vote.principal)})
    return Raters(trust=rater_trust(heard.without(stuffers), gold, voices), voices=voices, stuffers=stuffers, log_e=log_e)
