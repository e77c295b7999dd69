"""Current votes kept by sequence number: to read them again costs what is new, and little for what is old.

A segment is one row: the votes that the events up to `upto_seq` and after the segment before it left standing, folded, column by column,
and the earlier votes that those events put out. Segments are joined as digits are carried, so that n of them hold about 2^n times the
newest. Everything here is derived. An erasure empties the table in its own transaction; then, and where a moment of the past is asked
for, the log is read again. The result is always `votes.current` of the same moment, folded.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store import graves, votes
from feilun.store.completions import nodes
from feilun.store.folding import Folds, fold, in_order, merge, spread, without_seqs
from feilun.store.rows import CurrentVote, Echoes, Sibling
from feilun.store.schema import completions, events, kept_votes
from feilun.types import Consent

CONSENTS = {str(consent): consent for consent in Consent}
PLAIN = ("seq", "id", "at", "principal", "target_id", "target_index", "kind", "value", "thread_id", "model", "answer")
ECHOES = Echoes()


class Segment(NamedTuple):
    """upto_seq: its last event, standing or not. fallen: seqs of votes before this segment that stand no more. over: row -> siblings.

    columns: of votes with their folding keys, and how many echoes each has. echoes: their columns, of one vote after the other.
    """

    upto_seq: int
    columns: dict[str, list[Any]]
    prompts: list[list[dict[str, Any]]]
    over: dict[str, list[list[Any]]]
    echoes: list[list[Any]]
    fallen: list[int]

    @property
    def size(self) -> int:
        """In votes."""
        return len(self.columns["seq"]) + len(self.echoes[0]) + len(self.fallen)


class Read(NamedTuple):
    """votes: what stands, folded. fresh: the segment not kept yet, None where nothing is new; kept, epoch: what it was read behind."""

    votes: list[CurrentVote]
    fresh: Segment | None
    kept: list[Segment]
    epoch: int


def read(connection: sa.Connection, upto_seq: int) -> Read:
    """All votes that stood when `upto_seq` was the newest event, from one snapshot."""
    kept, epoch = _kept(connection), graves.epoch(connection)
    after = kept[-1].upto_seq if kept else 0
    if upto_seq < after:
        return Read(in_order(fold(votes.current(connection, upto_seq, None))), None, kept, epoch)
    fresh = _fresh(connection, after, upto_seq) if upto_seq > after else None
    found = in_order(_standing([*kept, fresh] if fresh else kept))
    private = _private_since(connection)
    if private and not all(private.isdisjoint(vote.target_ids) for vote in found):
        alone = (vote._replace(consent=Consent.SERVE) if vote.target_id in private else vote for vote in spread(found))
        found = in_order(fold(alone))
    return Read(found, fresh, kept, epoch)


def keep(connection: sa.Connection, found: Read) -> None:
    """Write the fresh segment; not where somebody erased something or kept something else since it was read."""
    known = connection.execute(sa.select(kept_votes.c.upto_seq).order_by(kept_votes.c.upto_seq)).scalars().all()
    if found.fresh is None or (found.epoch, [each.upto_seq for each in found.kept]) != (graves.epoch(connection), known):
        return
    kept, segment, joined = list(found.kept), found.fresh, []
    while kept and kept[-1].size < 2 * segment.size:
        joined.append(kept[-1].upto_seq)
        segment = _joined(kept.pop(), segment)
    connection.execute(kept_votes.delete().where(kept_votes.c.upto_seq.in_(joined)))
    body = {name: getattr(segment, name) for name in Segment._fields[1:]}
    connection.execute(kept_votes.insert().values(upto_seq=segment.upto_seq, body=body))


def drop(connection: sa.Connection) -> None:
    connection.execute(kept_votes.delete())


def _kept(connection: sa.Connection) -> list[Segment]:
    rows = connection.execute(kept_votes.select().order_by(kept_votes.c.upto_seq))
    return [Segment(row.upto_seq, **row.body) for row in rows]


def _fresh(connection: sa.Connection, after: int, upto_seq: int) -> Segment:
    found = votes.current(connection, upto_seq, None, after)
    return _packed(upto_seq, fold(found), _fallen(connection, after, upto_seq) if after else [])


def _fallen(connection: sa.Connection, after: int, upto_seq: int) -> list[int]:
    """Events up to `after` whose place was taken by one that came then."""
    later, earlier = events.alias("later"), events.alias("earlier")
    came = (later.c.seq > after) & (later.c.seq <= upto_seq) & (earlier.c.seq <= after)
    same_place = (earlier.c.principal == later.c.principal) & (earlier.c.slot == later.c.slot)
    found = [
        connection.execute(sa.select(earlier.c.seq).select_from(later.join(earlier, how)).where(came)).scalars()
        for how in (same_place, earlier.c.id == later.c.supersedes)
    ]
    return sorted({seq for seqs in found for seq in seqs})


def _private_since(connection: sa.Connection) -> frozenset[str]:
    """Answers that may improve a model by themselves, to questions that hang under one whose other answer was only to serve."""
    # Made one here: told to do it, SQLite reads the whole table in the order of another index.
    private = sa.select(completions.c.principal, completions.c.thread_id).where(votes.ONLY_TO_SERVE)
    threads = {tuple(row) for row in connection.execute(private)}
    named = sa.func.json_each(json.dumps(sorted(threads))).table_valued("value")
    principal, thread_id = (sa.func.json_extract(named.c.value, f"$[{place}]") for place in (0, 1))
    here = (completions.c.principal == principal) & (completions.c.thread_id == thread_id)
    beside = sa.select(completions.c.id, completions.c.parent).select_from(named.join(completions, here))
    rows = connection.execute(beside.where(completions.c.consent != str(Consent.SERVE), completions.c.erased == 0)).all()
    tree = nodes(connection, [row.parent for row in rows])
    asked = votes.asked_privately(connection, tree)
    return frozenset(row.id for row in rows if votes.said_privately(row.parent, tree, asked))


def _packed(upto_seq: int, folds: Folds, fallen: list[int]) -> Segment:
    found = list(folds.values())
    columns: dict[str, list[Any]] = {name: [getattr(vote, name) for vote in found] for name in PLAIN}
    columns["key"] = list(folds)
    columns["prompt"], listed = _interned(found)
    columns["consent"] = [str(vote.consent) for vote in found]
    columns["reason"] = [list(vote.reason) for vote in found]
    columns["echoes"] = [len(vote.echoes.seqs) for vote in found]
    echoes = [list(chain.from_iterable(column)) for column in zip(*(vote.echoes for vote in found), strict=True)]
    over = {str(row): [[one.id, one.index, one.text, one.model] for one in vote.over] for row, vote in enumerate(found) if vote.over}
    return Segment(upto_seq, columns, listed, over, echoes or [[] for _ in ECHOES], fallen)


def _interned(found: Iterable[CurrentVote]) -> tuple[list[int], list[list[dict[str, Any]]]]:
    """For each vote the place of its prompt in a list that holds each prompt once, and that list."""
    places: dict[str, int] = {}
    listed: list[list[dict[str, Any]]] = []
    rows = []
    for vote in found:
        place = places.setdefault(repr(vote.prompt), len(listed))
        if place == len(listed):
            listed.append([dict(message) for message in vote.prompt])
        rows.append(place)
    return rows, listed


def _standing(segments: Iterable[Segment]) -> Folds:
    standing: Folds = {}
    for segment in segments:
        if segment.fallen:
            standing = without_seqs(standing, frozenset(segment.fallen))
        later = zip(segment.columns["key"], _unpacked(segment), strict=True)
        standing = merge(standing, later) if standing else dict(later)
    return standing


def _unpacked(segment: Segment) -> Iterator[CurrentVote]:
    columns: Mapping[str, Iterable[Any]] = {
        **segment.columns,
        "prompt": map([tuple(prompt) for prompt in segment.prompts].__getitem__, segment.columns["prompt"]),
        "consent": map(CONSENTS.__getitem__, segment.columns["consent"]),
        "reason": map(tuple, segment.columns["reason"]),
        "over": _over(segment),
        "echoes": _echoes(segment),
    }
    return map(CurrentVote._make, zip(*(columns[name] for name in CurrentVote._fields), strict=True))


def _over(segment: Segment) -> list[tuple[Sibling, ...]]:
    over: list[tuple[Sibling, ...]] = [()] * len(segment.columns["seq"])
    for row, siblings in segment.over.items():
        over[int(row)] = tuple(Sibling(id=name, index=index, text=text, model=model) for name, index, text, model in siblings)
    return over


def _echoes(segment: Segment) -> Iterator[Echoes]:
    ends = accumulate(segment.columns["echoes"], initial=0)
    for start, end in pairwise(ends):
        yield Echoes(*(column[start:end] for column in segment.echoes)) if end > start else ECHOES


def _joined(earlier: Segment, later: Segment) -> Segment:
    """Two neighbours as one: what the later put out of the earlier goes, what it put out further back is still to be told."""
    seqs = {*earlier.columns["seq"], *earlier.echoes[0]}
    fallen = sorted([*earlier.fallen, *(seq for seq in later.fallen if seq not in seqs)])
    return _packed(later.upto_seq, _standing([earlier, later]), fallen)
