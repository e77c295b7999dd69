"""Whose words may be taught: an engine elsewhere has terms, and only its owner's word that they allow it lets its answers teach."""

from feilun.feedback.signals import Draft
from feilun.store import CurrentVote, Store, engine_of

__all__ = ["allows_teaching", "engine_terms", "teaching_engines", "within_terms"]


def teaching_engines(store: Store) -> frozenset[str]:
    """Engines elsewhere whose terms, as the owner says now, let a model be taught with their answers."""
    return frozenset(name for name, allowed in engine_terms(store).items() if allowed)


def engine_terms(store: Store) -> dict[str, bool]:
    """Every engine elsewhere, and whether its owner says now that its answers may teach."""
    return {engine.name: engine.teach for engine in store.engines()}


def within_terms(vote: CurrentVote, draft: Draft, teaching: frozenset[str]) -> Draft | None:
    """What the vote may still teach; None when its text comes from an engine that is not in `teaching`.

    An edit counts as the text of the answer that it edits. A better answer stays without the pairs whose rejected text is such an
    engine's: to be pushed away from a text is to be trained on it too.
    """
    if not allows_teaching(vote.model, teaching):
        return None
    if not draft.pairs or not vote.over:
        return draft
    allowed = {sibling.text for sibling in vote.over if allows_teaching(sibling.model, teaching)}
    withheld = {sibling.text for sibling in vote.over} - allowed
    return draft._replace(pairs=tuple(pair for pair in draft.pairs if pair.rejected not in withheld))


def allows_teaching(model: str, teaching: frozenset[str]) -> bool:
    """Whether what this model said may be taught; an own model's words always may."""
    engine = engine_of(model)
    return engine is None or engine in teaching
