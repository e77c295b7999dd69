"""The store as one object: reads see a snapshot, every write returns only after its commit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from feilun.store import (
    champion,
    completions,
    engines,
    erasure,
    exposures,
    feedback,
    graves,
    kept,
    keys,
    notes,
    quarantine,
    receipts,
    replies,
    rollouts,
    threads,
    turns,
    votes,
)
from feilun.store.database import Database
from feilun.store.desks import Desks
from feilun.store.drafts import Drafts
from feilun.store.engines import EngineRow
from feilun.store.exposures import Crowd, Harm
from feilun.store.makings import Makings
from feilun.store.mirrors import Shadow
from feilun.store.replies import Given, Reply
from feilun.store.rollouts import RolloutMove, RolloutRow
from feilun.store.rows import (
    Arm,
    ChampionRow,
    CompletionRecord,
    CurrentVote,
    Erasure,
    EventCounts,
    EventRow,
    FeedbackRequest,
    FeedbackResult,
    Giver,
    Hit,
    KeyRow,
    NewKey,
    OldEvent,
    OldThread,
    ReceiptRow,
    Talk,
    Thread,
    ThreadRow,
    TurnRow,
    TurnState,
)

FILE_NAME = "feilun.db"
BUSY_SECONDS = 30.0


class Store:
    """Opens `home/feilun.db`. Safe from many threads of a process and many processes at once; not across a fork."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, home: Path, *, busy_seconds: float = BUSY_SECONDS) -> "Store":
        """The store of a home, made or migrated as needed. busy_seconds: how long a write waits for another process."""
        home.mkdir(parents=True, exist_ok=True)
        return cls(Database.open(home / FILE_NAME, busy_seconds=busy_seconds))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # keys
    def create_key(self, name: str, scopes: frozenset[str], secret: str | None = None) -> NewKey:
        """A new API key. name: letters, digits, '.', '_', '-'; taken for ever, even when revoked. Raises Conflict.

        secret: one of `new_secret()` that the caller has put in a safe place already; made here when it is None.
        """
        return self._database.write(lambda c: keys.create(c, name, scopes, secret))

    def find_key(self, secret: str) -> KeyRow | None:
        """The key that bears this secret; None when unknown or revoked."""
        return self._database.read(lambda c: keys.by_secret(c, secret))

    def revoke_key(self, name: str) -> None:
        """Raises NotFound. Revoking twice keeps the first time."""
        self._database.write(lambda c: keys.revoke(c, name))

    def list_keys(self) -> list[KeyRow]:
        return self._database.read(keys.listed)

    # completions
    def record_completion(self, record: CompletionRecord) -> None:
        """Store one answered request; committed when it returns. Raises Conflict when the id is taken."""
        self._database.write(lambda c: completions.record(c, record))

    def completion(self, completion_id: str) -> CompletionRecord | None:
        """None when unknown or erased."""
        return self._database.read(lambda c: completions.by_id(c, completion_id))

    def completions_of(self, principal: str) -> list[CompletionRecord]:
        """Every answer of a principal, oldest first."""
        return self._database.read(lambda c: completions.of_principal(c, principal))

    @property
    def drafts(self) -> Drafts:
        """Answers being written."""
        return Drafts(self._database)

    # conversations
    def threads(self, principal: str, limit: int, before: float | None = None) -> list[ThreadRow]:
        """The newest first; before: only those whose last answer ended earlier."""
        return self._database.read(lambda c: threads.listed(c, principal, limit, before))

    def thread(self, principal: str, thread_id: str) -> Thread | None:
        """None unless this principal has had an answer in it."""
        return self._database.read(lambda c: threads.whole(c, principal, thread_id))

    def talks(self) -> list[Talk]:
        """Every conversation of every principal, erased answers left out."""
        return self._database.read(threads.talks)

    def messages_to(self, address: str) -> list[dict[str, Any]]:
        """{"role", "content"} of every message on the way from a thread's first to the one stored at `address`."""
        return self._database.read(lambda c: completions.chain(completions.nodes(c, [address]), address))

    def search(self, principal: str, query: str, limit: int) -> list[Hit]:
        """Messages and standing edits of this principal that hold the query, newest first."""
        return self._database.read(lambda c: threads.search_hits(c, principal, query, limit))

    def forget_thread(self, principal: str, thread_id: str) -> None:
        """Empty one conversation as `forget` empties everything. Raises NotFound."""
        self._database.write(lambda c: erasure.forget_thread(c, principal, thread_id))
        self._database.shed_old_pages()

    # feedback
    def record_feedback(self, request: FeedbackRequest) -> FeedbackResult:
        """Append one event; committed when it returns. Raises InvalidFeedback, NotFound, NotYours, KeyConflict."""
        feedback.check(request)
        return self._database.write_among(feedback.record, request)

    def events(self, after_seq: int = 0, limit: int | None = None, principal: str | None = None) -> list[EventRow]:
        """The log in order of seq, superseded and erased events included. principal: what this rater said alone."""
        return self._database.read(lambda c: feedback.events(c, after_seq, limit, principal))

    def last_seq(self, principal: str | None = None) -> int:
        """seq of the newest event, 0 before the first. principal: of this rater."""
        return self._database.read(lambda c: feedback.last_seq(c, principal))

    def current_votes(self, upto_seq: int | None = None, principal: str | None = None) -> list[CurrentVote]:
        """What stands now, or stood when `upto_seq` was the newest event; erased events never. In order of seq.

        principal: of this rater alone.
        """
        return self._database.read(lambda c: votes.current(c, upto_seq, principal))

    def count_votes(self) -> int:
        """How many `current_votes` there are."""
        return self._database.read(votes.count)

    def folded_votes(self, upto_seq: int) -> list[CurrentVote]:
        """`current_votes` of everybody then, each with its earlier echoes (`spread` parts them); what was read is kept for later."""
        found = self._database.read(lambda c: kept.read(c, upto_seq))
        if found.fresh is not None:
            self._database.write(lambda c: kept.keep(c, found))
        return found.votes

    @property
    def makings(self) -> Makings:
        """What this program made and is known to make again."""
        return Makings(self._database)

    def givers(self, upto_seq: int) -> list[Giver]:
        """All events up to this one by who gave them and how, without their content."""
        return self._database.read(lambda c: feedback.givers(c, upto_seq))

    def event_counts(self, upto_seq: int) -> EventCounts:
        """How many events there are up to this one, and what became of some."""
        return self._database.read(lambda c: feedback.counts(c, upto_seq))

    def newest_replies(self, limit: int) -> list[Reply]:
        """The newest answers, with what followed each."""
        return self._database.read(lambda c: replies.newest(c, limit))

    def answers(self) -> list[Given]:
        """Every answer to people, without its words."""
        return self._database.read(replies.given)

    def edited_threads(self, principal: str, upto_seq: int | None = None) -> frozenset[str]:
        """Threads in which this principal ever gave an edit, standing or not."""
        return self._database.read(lambda c: votes.edited_threads(c, principal, upto_seq))

    # what others judge
    @property
    def desks(self) -> Desks:
        """Questions of the traffic, and who judges them where."""
        return Desks(self._database)

    # champion
    def champion(self) -> ChampionRow | None:
        return self._database.read(champion.current)

    def set_champion(self, model: str, reason: str, expected_epoch: int | None = None) -> ChampionRow:
        """Promote. expected_epoch: the epoch the caller decided on (0 = no champion yet); another one raises Conflict."""
        return self._database.write(lambda c: champion.promote(c, model, reason, expected_epoch))

    def history(self) -> list[ChampionRow]:
        """Every promotion and rollback, oldest first."""
        return self._database.read(champion.history)

    def rollback(self, reason: str) -> ChampionRow:
        """Back to the different model before this one; twice goes back two. Raises NotFound when there is none."""
        return self._database.write(lambda c: champion.rollback(c, reason))

    def rollback_target(self) -> ChampionRow | None:
        """The row that a rollback would go back to; None when there is none."""
        return self._database.read(champion.earlier)

    def candidate(self) -> str | None:
        return self._database.read(champion.candidate)

    def set_candidate(self, model: str | None) -> None:
        self._database.write(lambda c: champion.set_candidate(c, model))

    # turns
    def start_turn(self, plan: Mapping[str, Any]) -> str:
        """The new turn's id. A list under "steps" makes these rows pending at once; the plan's hash is its first receipt.

        Raises Conflict while a turn runs, and when the request that the plan names has had its turn.
        """
        return self._database.write(lambda c: turns.start(c, plan))

    def turn(self, turn_id: str) -> TurnRow:
        """Raises NotFound."""
        return self._database.read(lambda c: turns.by_id(c, turn_id))

    def turns(self) -> list[TurnRow]:
        """Oldest first."""
        return self._database.read(turns.listed)

    def unfinished_turn(self) -> TurnRow | None:
        return self._database.read(turns.unfinished)

    def ask_turn(self, by: str) -> str:
        """Ask for one turn; the request's id. Raises Conflict while one is asked for or not finished."""
        return self._database.write(lambda c: turns.ask(c, by))

    def asked_turn(self) -> dict[str, Any] | None:
        """The request {"id", "at", "by"} that waits: no turn's plan names it, and it has no answer."""
        return self._database.read(turns.asked)

    def answer_request(self, request_id: str, why: str) -> None:
        """Say why no turn began. It stands under "answer" of the note "turn_request". Raises Conflict when it does not wait."""
        self._database.write(lambda c: turns.answer(c, request_id, why))

    def claim_step(self, turn_id: str, step: str, owner: str, input_hash: str, stale_seconds: float) -> bool:
        """Take the lease of a step. False while another owner's lease is fresh, and when it is done with the same input_hash.

        A failed step, a step done with another input_hash and a lease without a heartbeat for stale_seconds are taken.
        """
        return self._database.write(lambda c: turns.claim(c, turn_id, step, owner, input_hash, stale_seconds))

    def heartbeat(self, turn_id: str, step: str, owner: str) -> bool:
        """Keep the lease fresh; False when it is lost."""
        return self._database.write(lambda c: turns.heartbeat(c, turn_id, step, owner))

    def finish_step(self, turn_id: str, step: str, owner: str, output: Mapping[str, Any]) -> None:
        """Raises Conflict when the lease is lost: the other owner's result counts."""
        self._database.write(lambda c: turns.end_step(c, turn_id, step, owner, "done", dict(output), ""))

    def fail_step(self, turn_id: str, step: str, owner: str, error: str) -> None:
        """Raises Conflict when the lease is lost."""
        self._database.write(lambda c: turns.end_step(c, turn_id, step, owner, "failed", {}, error))

    def finish_turn(self, turn_id: str, state: TurnState, why: str) -> None:
        """state: promoted, refused or failed. The same state again is accepted, another one raises Conflict."""
        self._database.write(lambda c: turns.finish(c, turn_id, state, why))

    # rollouts
    def start_rollout(self, turn_id: str, candidate: str, epoch: int, plan: Mapping[str, Any]) -> RolloutRow:
        """Begin; of a turn that has one already, that. Raises Conflict at another epoch, and where another one is not finished."""
        return self._database.write(lambda c: rollouts.start(c, turn_id, candidate, epoch, plan))

    def rollout(self) -> RolloutRow | None:
        """The one that is not finished."""
        return self._database.read(rollouts.current)

    def rollouts(self) -> list[RolloutRow]:
        """Oldest first."""
        return self._database.read(rollouts.listed)

    def move_rollout(self, row: RolloutRow, to: RolloutMove) -> RolloutRow:
        """One step, its receipt and all that follows from it, or nothing. Raises Conflict where the row has moved on since it was read."""
        return self._database.write(lambda c: rollouts.move(c, row, to))

    def hold_rollout(self, rollout_id: str, held: bool) -> RolloutRow:
        """A held one is watched and does not go on by itself."""
        return self._database.write(lambda c: rollouts.hold(c, rollout_id, held))

    def crowds(self, rollout_id: str, phase: str, step: int) -> dict[Arm, Crowd]:
        """Who came at a step, by arm."""
        return self._database.read(lambda c: exposures.crowds(c, rollout_id, phase, step))

    def first_harms(self, rollout_id: str, phase: str, slow_seconds: float | None) -> list[Harm]:
        """Each person's first harm by each signal at the step that drew their lot. slow_seconds None: nothing counts as slow."""
        return self._database.read(lambda c: exposures.first_harms(c, rollout_id, phase, slow_seconds))

    def seconds_of(self, model: str, limit: int) -> list[float]:
        """How long the newest answers of a model took."""
        return self._database.read(lambda c: exposures.seconds_of(c, model, limit))

    @property
    def shadow(self) -> Shadow:
        """What candidates would have said, beside what was said."""
        return Shadow(self._database)

    def withheld_events(self, rollout_id: str | None = None) -> dict[str, str]:
        """Events that may not teach until the owner releases them -> the rollout (or this one) that took them away."""
        return self._database.read(lambda c: rollouts.withheld_events(c, rollout_id))

    def released_after(self, moment: float) -> frozenset[str]:
        """Events that a rollout took away and the owner let teach again later than that."""
        return self._database.read(lambda c: rollouts.released_after(c, moment))

    def last_withheld(self) -> tuple[float, float]:
        """When a rollout last took events away, and when the owner last let some teach again; 0.0: never."""
        return self._database.read(rollouts.last_withheld)

    def release_events(self, rollout_id: str) -> int:
        """Let what a rollout took away teach again; how many events. Raises NotFound."""
        return self._database.write(lambda c: rollouts.release(c, rollout_id))

    # receipts
    def add_receipt(self, turn_id: str, gate: str, body: Mapping[str, Any]) -> ReceiptRow:
        """Append what a gate saw and said to the chain; the same body for the same gate again is the receipt that is there."""
        return self._database.write(lambda c: receipts.append(c, turn_id, gate, body))

    def receipts(self, turn_id: str | None = None) -> list[ReceiptRow]:
        """The chain, oldest first; of one turn, if it is named."""
        return self._database.read(lambda c: receipts.listed(c, turn_id))

    # notes
    def note(self, key: str, value: Mapping[str, Any]) -> None:
        """Write a small status row (demo progress, a failed champion load); the last one wins."""
        self._database.write(lambda c: notes.write(c, key, dict(value)))

    def read_note(self, key: str) -> dict[str, Any] | None:
        return self._database.read(lambda c: notes.read(c, key))

    # engines elsewhere
    def add_engine(self, row: EngineRow) -> EngineRow:
        """Raises Conflict while an engine has that name, and for ever when it spoke from another URL. The row as it stands then."""
        return self._database.write(lambda c: engines.add(c, row))

    def engine(self, name: str) -> EngineRow:
        """Raises NotFound, for a removed one too."""
        return self._database.read(lambda c: engines.by_name(c, name))

    def engines(self) -> list[EngineRow]:
        """Oldest first, removed ones left out."""
        return self._database.read(engines.listed)

    def change_engine(self, name: str, *, teach: bool | None = None, model: str | None = None) -> EngineRow:
        """None leaves a field as it is. Raises NotFound."""
        return self._database.write(lambda c: engines.change(c, name, teach=teach, model=model))

    def remove_engine(self, name: str) -> None:
        """Its answers stay, and teach no more. Raises NotFound."""
        self._database.write(lambda c: engines.remove(c, name))

    # erasure
    def forget(self, principal: str) -> Erasure:
        """Empty everything this principal said or asked; ids stay. Again: the same ids (and any since)."""
        erased = self._database.write(lambda c: erasure.forget(c, principal))
        self._database.shed_old_pages()
        return erased

    def old_threads(self, before: float) -> list[OldThread]:
        """Conversations in which nothing was said since then."""
        return self._database.read(lambda c: erasure.old_threads(c, before))

    def old_events(self, before: float) -> list[OldEvent]:
        """Events from before then that still say something."""
        return self._database.read(lambda c: erasure.old_events(c, before))

    def expire(self, threads: Sequence[OldThread], event_ids: Sequence[str]) -> None:
        """Empty these as `forget` does, because their time is over."""
        if threads or event_ids:
            self._database.write(lambda c: erasure.expire(c, threads, event_ids))
            self._database.shed_old_pages()

    def erasures(self) -> Sequence[Erasure]:
        """Every erasure, oldest first."""
        return self._database.read(graves.listed)

    def erasure_epoch(self) -> int:
        """Another number whenever something was erased since."""
        return self._database.read(graves.epoch)

    def principals(self) -> list[str]:
        """Everybody of whom something is stored."""
        return self._database.read(erasure.principals)

    def words_of(self, principal: str) -> set[str]:
        """Every text that stands under a principal."""
        return self._database.read(lambda c: erasure.words_of(c, principal))

    def quarantine(self, models: Sequence[str], why: str) -> None:
        """Models that may not answer any more: `set_champion` refuses them, `rollback` goes past them. The first reason stays."""
        if not set(models) <= self.quarantined().keys():
            self._database.write(lambda c: quarantine.add(c, models, why))

    def quarantined(self) -> dict[str, str]:
        """model -> why."""
        return self._database.read(quarantine.listed)
