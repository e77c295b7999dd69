"""Whose words may be taught: an engine elsewhere has terms, and only its owner's word that they allow it lets its answers teach."""

from dataclasses import replace

from feilun.feedback.signals import Draft
from feilun.store import CurrentVote, engine_of

__all__ = ["within_terms"]


def within_terms(vote: CurrentVote, draft: Draft, teaching: frozenset[str]) -> Draft | None:
    """What the vote may still teach; None when its text comes from an engine that is not in `teaching`.

    An edit counts as the text of the answer that it edits. A better answer stays without the pairs whose rejected text is such an
    engine's: to be pushed away from a text is to be trained on it too.
    """
    if not _may_teach(vote.model, teaching):
        return None
    allowed = {sibling.text for sibling in vote.over if _may_teach(sibling.model, teaching)}
    withheld = {sibling.text for sibling in vote.over} - allowed
    return replace(draft, pairs=tuple(pair for pair in draft.pairs if pair.rejected not in withheld))


def _may_teach(model: str, teaching: frozenset[str]) -> bool:
    engine = engine_of(model)
    return engine is None or engine in teaching
