"""Votes that say the very same, folded into the newest of them: people praise one answer to one question again and again.

A folded list is a function of the votes alone, in whatever portions they came; spread out it is those votes again.
"""

from collections.abc import Iterable, Set

from feilun.store.identity import OWNER, digest
from feilun.store.rows import CurrentVote, Echoes

FOLDED = ("thumb", "edit")  # of a choice the siblings' ids matter, of what people do the answer
Folds = dict[str, CurrentVote]


def key_of(vote: CurrentVote) -> str:
    """Equal where two votes differ in nothing but their names, moments and conversations. The owner's threads are held out one by one."""
    if vote.kind not in FOLDED:
        return vote.id
    thread = vote.thread_id if vote.principal == OWNER else ""
    about = (vote.target_index, vote.model, str(vote.consent), vote.prompt, vote.answer)
    return digest(vote.principal, thread, vote.kind, vote.value, vote.reason, *about)[:32]


def fold(votes: Iterable[CurrentVote]) -> Folds:
    """key -> vote with its echoes; `votes` in order of seq."""
    return merge({}, ((key_of(vote), vote) for vote in votes))


def merge(earlier: Folds, later: Iterable[tuple[str, CurrentVote]]) -> Folds:
    """`earlier` with what came after all of it; changes and returns it."""
    for key, vote in later:
        before = earlier.pop(key, None)
        earlier[key] = vote if before is None else _echoed(before, vote)
    return earlier


def _echoed(before: CurrentVote, vote: CurrentVote) -> CurrentVote:
    own = (before.seq, before.id, before.at, before.target_id, before.thread_id)
    columns = zip(before.echoes, own, vote.echoes, strict=True)
    return vote._replace(echoes=Echoes._make([*older, one, *newer] for older, one, newer in columns))


def in_order(folds: Folds) -> list[CurrentVote]:
    return sorted(folds.values(), key=lambda vote: vote.seq)


def spread(votes: Iterable[CurrentVote]) -> list[CurrentVote]:
    """Every vote by itself, in order of seq."""
    found = []
    for vote in votes:
        if vote.echoes.seqs:
            alone = vote._replace(echoes=Echoes())
            named = zip(*vote.echoes, strict=True)
            found += [alone._replace(seq=seq, id=id_, at=at, target_id=target, thread_id=thread) for seq, id_, at, target, thread in named]
            found.append(alone)
        else:
            found.append(vote)
    return sorted(found, key=lambda vote: vote.seq)


def without_seqs(folds: Folds, gone: Set[int]) -> Folds:
    """What is left when these votes stand no more."""
    return {key: left for key, vote in folds.items() if (left := _left(vote, vote.seq in gone, gone, vote.echoes.seqs))}


def without_ids(votes: Iterable[CurrentVote], gone: Set[str]) -> list[CurrentVote]:
    """The same by id, in order of seq."""
    left = (_left(vote, vote.id in gone, gone, vote.echoes.ids) for vote in votes)
    return sorted((vote for vote in left if vote), key=lambda vote: vote.seq)


def _left(vote: CurrentVote, is_gone: bool, gone: Set[int] | Set[str], named: Iterable[int] | Iterable[str]) -> CurrentVote | None:
    if not is_gone and gone.isdisjoint(named):
        return vote
    kept = [one for one in spread([vote]) if one.seq not in gone and one.id not in gone]
    return next(iter(merge({}, (("", one) for one in kept)).values()), None)
