"""Forgetting a person, everywhere: the store, what was made of their words, and by `retrain` the models that learned from them."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from feilun.artifacts import entomb, find, lineage
from feilun.config import TurnSettings, rebuild
from feilun.feedback import artifacts_to_rebuild
from feilun.feedback.owner import turns_behind
from feilun.store import EXPIRED, Store, TurnRow
from feilun.turn.rolling import abort, under_way
from feilun.turn.sweep import LEARNED, Swept, prune_imported, ref_of, sweep
from feilun.turn.wheel import Command, Progress, TurnResult, abandon, run_turn
from feilun.types import UserError

__all__ = ["Forgotten", "Proof", "Retrained", "forget", "principals_of", "proof_of", "retrain"]

USER = "user:"


class Forgotten(NamedTuple):
    """replaced: imported lessons, old ref -> new ref. swept.models is what `retrain` would make again."""

    principals: tuple[str, ...]
    num_events: int
    num_completions: int
    replaced: dict[str, str]
    swept: Swept


class Proof(NamedTuple):
    """What the manifests behind a model say. erased: events among them that were erased; graves: artifacts whose content was."""

    model: str
    num_lessons: int
    num_events: int
    erased: tuple[str, ...]
    graves: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        return not self.erased and not self.graves


class Retrained(NamedTuple):
    """turn: None where no model had to be made. entombed: models that are gone. owed: those that no turn made."""

    turn: TurnResult | None
    champion: str
    entombed: tuple[str, ...]
    owed: tuple[str, ...]


def principals_of(store: Store, who: str) -> tuple[str, ...]:
    """Whom a word names: a principal as it is stored, or "user:ID", which is this end user of every key."""
    if not who.startswith(USER):
        return (who,)
    end_user = who.removeprefix(USER)
    if not end_user:
        raise UserError(f"{who!r} names nobody; write user:ID, owner, key:NAME or key:NAME/USER")
    return tuple(name for name in store.principals() if name.partition("/")[2] == end_user)


def forget(home: Path, who: str) -> Forgotten:
    """Erase what a person said and what was made of it. May be asked again at any time, and then goes on where it was.

    Models that learned from it are not made again here; but none of them can be promoted any more, nor come back by a rollback.
    """
    with Store.open(home) as store:
        principals = principals_of(store, who)
        words = {text for principal in principals for text in store.words_of(principal)}
        # What names no event can be found by its words alone, so it goes before them.
        names = {who.removeprefix(USER), *(principal.partition("/")[2] for principal in principals)} - {""}
        replaced = prune_imported(home, words, names)
        erased = [store.forget(principal) for principal in principals]
        swept = sweep(home, store)
        counts = (sum(len(e.event_ids) for e in erased), sum(len(e.completion_ids) for e in erased))
        return Forgotten(principals, *counts, replaced, swept)


def asked_to_forget(store: Store) -> frozenset[str]:
    """Every event that somebody asked to have erased."""
    return frozenset(event_id for erasure in store.erasures() if erasure.subject != EXPIRED for event_id in erasure.event_ids)


def proof_of(home: Path, store: Store, model: str) -> Proof:
    """What can be known from manifests alone; every file that a manifest names is held by its hash."""
    erased = asked_to_forget(store)
    line = lineage(home, find(home, model, "models", erased_too=True))
    lessons = [artifact for artifact in line if artifact.kind == "lessons"]
    events = {event for artifact in lessons for event in artifact.manifest["counts"].get("events", ())}
    graves = tuple(ref_of(a) for a in line if a.is_tombstone and not a.manifest["tombstone"].get("expired"))
    return Proof(ref_of(line[0]), len(lessons), len(events), tuple(sorted(events & erased)), graves)


def retrain(home: Path, *, progress: Progress | None = None, command: Command | None = None) -> Retrained:
    """Make the champion again without what was erased: from the last model that never saw it, by the settings of its own turn.

    The gate decides as ever, against that earlier model. Where it refuses, the earlier model answers. Then every model that
    learned from what was erased is entombed. Killed anywhere, it goes on when asked again.
    """
    with Store.open(home) as store:
        learned = set(sweep(home, store).models)
        champion = store.champion()
        begun = store.unfinished_turn()
        if champion is None or (champion.model not in learned and not (begun and begun.plan.get("rebuilds"))):
            return Retrained(None, champion.model if champion else "", *_entomb(home, store))
        turn = None if begun is None or not begun.plan.get("rebuilds") else begun
        start, settings = _plan_of(home, store, turn, champion.model, learned)
        if under_way(store) is not None:
            abort(home, store, "something was erased; the champion is made again without it first")
    if begun is not None and turn is None:
        abandon(home, "something was erased; the champion is made again without it first")
    result = run_turn(home, settings, progress=progress, command=command, start=start, rebuilds=tuple(sorted(learned)))
    with Store.open(home) as store:
        now = store.champion()
        assert now is not None
        if result.verdict != "promoted" and now.model in set(sweep(home, store).models):
            store.set_champion(start, f"what {now.model} learned from was erased, and the model made without it was {result.verdict}")
        now = store.champion()
        assert now is not None
        return Retrained(result, now.model, *_entomb(home, store))


def _plan_of(home: Path, store: Store, begun: TurnRow | None, champion: str, learned: Collection[str]) -> tuple[str, TurnSettings]:
    """The model to start from, and the settings of the turn that made the champion."""
    if begun is not None:
        return str(begun.plan["champion"]["model"]), rebuild(TurnSettings, begun.plan["settings"])
    made = list(turns_behind(store, champion))
    start = next((str(turn.plan["champion"]["model"]) for turn in made if turn.plan["champion"]["model"] not in learned), None)
    if start is None:
        first = find(home, made[-1].plan["champion"]["model"] if made else champion, "models")
        stage = first.manifest["recipe"].get("stage", "another program")
        raise UserError(
            f"{ref_of(first)} itself learned from what was erased, and no turn made it but {stage}: "
            f"make it again with the lessons as they are now (feilun {stage}), and promote that"
        )
    # Nobody is to wait for the steps of a rollout while a model answers that is to be unlearnt.
    return start, _followed(home, replace(rebuild(TurnSettings, made[0].plan["settings"]), rollout="direct"))


def _followed(home: Path, settings: TurnSettings) -> TurnSettings:
    """With what stands in the place of examples that were erased."""
    if not settings.prefer.replay:
        return settings
    grave = find(home, settings.prefer.replay, "lessons", erased_too=True).manifest.get("tombstone", {})
    return replace(settings, prefer=replace(settings.prefer, replay=grave.get("successor", settings.prefer.replay)))


def _entomb(home: Path, store: Store) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(models that were entombed, models that must stay because one of them answers)."""
    learned, champion = sweep(home, store).models, store.champion()
    if champion is not None and champion.model in learned:
        return (), learned
    erased = asked_to_forget(store)
    for artifact in artifacts_to_rebuild(home, erased):
        if artifact.kind in ("models", "exams"):
            # What such a model said in an exam may be what it was taught; the figures of the exam are in the receipts.
            entomb(artifact, {"why": LEARNED})
    return learned, ()


def told(store: Store, found: Forgotten) -> Iterator[str]:
    """What happened, line by line, for a person."""
    names = ", ".join(found.principals) or "nobody"
    yield f"{found.num_events} events and {found.num_completions} answers of {names} are empty now"
    yield from (f"entombed: {ref} (its hash and lineage stay)" for ref in found.swept.entombed)
    yield from (f"blanked: {ref} (its figures stay)" for ref in found.swept.blanked)
    yield from (f"replaced: {old} -> {new}" for old, new in found.replaced.items())
    champion = store.champion()
    for ref in found.swept.models:
        answers = champion is not None and champion.model == ref
        fate = "the champion: it answers until it is made again" if answers else "set aside: it cannot be promoted"
        yield f"learned from it: {ref} ({fate})"
    if champion and champion.model in found.swept.models:
        yield "make it again without that: feilun forget --retrain"


def told_retrained(home: Path, store: Store, made: Retrained) -> Iterator[str]:
    if made.turn is not None:
        yield f"{made.turn.verdict}: {made.turn.candidate or made.turn.champion}"
        yield from (f"  {reason}" for reason in made.turn.why)
    yield from (f"entombed: {ref}" for ref in made.entombed)
    yield from (f"still there, for the champion is one of them: {ref}" for ref in made.owed)
    if made.champion:
        yield proof_line(proof_of(home, store, made.champion))


def proof_line(proof: Proof) -> str:
    told = f"proof: {proof.model} comes from {proof.num_lessons} lessons naming {proof.num_events} events"
    if proof.is_clean:
        return f"{told}; none of them was erased, and nothing entombed is behind it"
    return f"{told}; {len(proof.erased)} of them were erased since, and {len(proof.graves)} of what is behind it is entombed"
