"""Numbered steps from an empty file to schema.py. A released step is frozen: change the shape by adding the next number.

SQL is written out, so that a step means tomorrow what it means today. {serial}, {json} and {double} are the words that
differ between databases.
"""

from collections.abc import Callable

import sqlalchemy as sa

from feilun.store import search
from feilun.store.rows import StoreError

WORDS = {
    "sqlite": {"serial": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "json": "JSON", "double": "DOUBLE"},
    "postgresql": {"serial": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "json": "JSON", "double": "DOUBLE PRECISION"},
}

TABLES = """
CREATE TABLE keys (
    name TEXT NOT NULL PRIMARY KEY, secret_hash TEXT NOT NULL UNIQUE, scopes {json} NOT NULL,
    created {double} NOT NULL, revoked {double});
CREATE TABLE messages (
    address TEXT NOT NULL PRIMARY KEY, parent TEXT NOT NULL, principal TEXT NOT NULL, role TEXT NOT NULL, content {json} NOT NULL);
CREATE INDEX messages_principal ON messages (principal);
CREATE TABLE completions (
    id TEXT NOT NULL PRIMARY KEY, principal TEXT NOT NULL, end_user TEXT, model TEXT NOT NULL, decision {json} NOT NULL,
    thread_id TEXT NOT NULL, parent TEXT NOT NULL, params {json} NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, consent TEXT NOT NULL, started {double} NOT NULL,
    finished {double} NOT NULL, erased INTEGER NOT NULL);
CREATE INDEX completions_principal ON completions (principal);
CREATE TABLE choices (
    completion_id TEXT NOT NULL, choice_index INTEGER NOT NULL, address TEXT NOT NULL, finish_reason TEXT NOT NULL,
    num_tokens INTEGER NOT NULL, PRIMARY KEY (completion_id, choice_index));
CREATE TABLE events (
    seq {serial}, id TEXT NOT NULL UNIQUE, at {double} NOT NULL, principal TEXT NOT NULL, target_id TEXT NOT NULL,
    target_index INTEGER NOT NULL, kind TEXT NOT NULL, value {json} NOT NULL, reason {json} NOT NULL, consent TEXT NOT NULL,
    slot TEXT NOT NULL, retracts INTEGER NOT NULL, supersedes TEXT, idempotency_key TEXT, body_hash TEXT NOT NULL,
    erased INTEGER NOT NULL, UNIQUE (principal, idempotency_key));
CREATE INDEX events_slot ON events (principal, slot, seq);
CREATE INDEX events_supersedes ON events (supersedes);
CREATE TABLE champions (
    epoch INTEGER NOT NULL PRIMARY KEY, model TEXT NOT NULL, reason TEXT NOT NULL, at {double} NOT NULL, restores INTEGER);
CREATE TABLE turns (
    id TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, plan {json} NOT NULL, why TEXT NOT NULL,
    started {double} NOT NULL, finished {double});
CREATE TABLE steps (
    turn_id TEXT NOT NULL, step TEXT NOT NULL, position INTEGER NOT NULL, status TEXT NOT NULL, owner TEXT NOT NULL,
    heartbeat {double} NOT NULL, input_hash TEXT NOT NULL, output {json} NOT NULL, error TEXT NOT NULL,
    PRIMARY KEY (turn_id, step));
CREATE TABLE notes (key TEXT NOT NULL PRIMARY KEY, value {json} NOT NULL, at {double} NOT NULL);
CREATE TABLE erasures (
    id TEXT NOT NULL PRIMARY KEY, subject_hash TEXT NOT NULL, event_ids {json} NOT NULL, completion_ids {json} NOT NULL,
    at {double} NOT NULL);
CREATE INDEX erasures_subject ON erasures (subject_hash)
"""

# until_seq: the event that took this one's place. The newest vote of a rater in a slot counts; a retraction takes a place and fills none.
# vote_spans answers "what stood at seq n", current_votes is its part that stands now: one rule for both.
VIEWS = """
CREATE VIEW vote_spans AS
    SELECT e.seq, e.id, e.at, e.principal, e.target_id, e.target_index, e.kind, e.value, e.reason, e.consent, e.slot,
        (SELECT MIN(later.seq) FROM events AS later
            WHERE later.seq > e.seq AND later.principal = e.principal AND later.slot = e.slot) AS replaced_seq,
        (SELECT MIN(later.seq) FROM events AS later WHERE later.supersedes = e.id) AS superseded_seq
    FROM events AS e WHERE e.erased = 0 AND e.retracts = 0;
CREATE VIEW current_votes AS
    SELECT seq, id, at, principal, target_id, target_index, kind, value, reason, consent, slot
    FROM vote_spans WHERE replaced_seq IS NULL AND superseded_seq IS NULL
"""

# `passages` holds tokens made by search.py, so that a database without full-text search of its own kind needs only this one table.
CHATS = """
CREATE TABLE drafts (
    id TEXT NOT NULL PRIMARY KEY, principal TEXT NOT NULL, end_user TEXT, model TEXT NOT NULL, thread_id TEXT NOT NULL,
    request {json} NOT NULL, texts {json} NOT NULL, updated {double} NOT NULL);
CREATE INDEX drafts_principal ON drafts (principal);
CREATE INDEX messages_parent ON messages (parent);
CREATE INDEX completions_thread ON completions (principal, thread_id, started, finished);
CREATE INDEX events_target ON events (target_id);
CREATE VIRTUAL TABLE passages USING fts5 (
    words, who, address UNINDEXED, thread_id UNINDEXED, event_id UNINDEXED, at UNINDEXED, tokenize = 'ascii')
"""

# thread_hash: "" where everything of a principal was erased, as all erasures before this step were taken to be.
GRAVES = """
ALTER TABLE erasures ADD COLUMN thread_hash TEXT NOT NULL DEFAULT '';
CREATE TABLE quarantined (ref TEXT NOT NULL PRIMARY KEY, why TEXT NOT NULL, at {double} NOT NULL)
"""

RECEIPTS = """
CREATE TABLE receipts (
    seq {serial}, turn_id TEXT NOT NULL, gate TEXT NOT NULL, body {json} NOT NULL, previous TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE, at {double} NOT NULL);
CREATE INDEX receipts_turn ON receipts (turn_id)
"""

KEPT = """
CREATE TABLE kept_votes (upto_seq INTEGER NOT NULL PRIMARY KEY, body {json} NOT NULL);
CREATE INDEX completions_finished ON completions (finished)
"""

ROLLOUTS = """
CREATE TABLE rollouts (
    id TEXT NOT NULL PRIMARY KEY, turn_id TEXT NOT NULL UNIQUE, candidate TEXT NOT NULL, champion TEXT NOT NULL, epoch INTEGER NOT NULL,
    plan {json} NOT NULL, stage TEXT NOT NULL, step INTEGER NOT NULL, held INTEGER NOT NULL, version INTEGER NOT NULL,
    started {double} NOT NULL, since {double} NOT NULL, finished {double}, why TEXT NOT NULL, slow_seconds {double});
CREATE TABLE exposures (
    completion_id TEXT NOT NULL PRIMARY KEY, rollout_id TEXT NOT NULL, who TEXT NOT NULL, phase TEXT NOT NULL, step INTEGER NOT NULL,
    lot {double} NOT NULL, arm TEXT NOT NULL, seconds {double} NOT NULL, fault TEXT NOT NULL, at {double} NOT NULL);
CREATE INDEX exposures_rollout ON exposures (rollout_id, phase, step);
CREATE TABLE mirrors (
    completion_id TEXT NOT NULL PRIMARY KEY, rollout_id TEXT NOT NULL, who TEXT NOT NULL, text TEXT NOT NULL, champion {json} NOT NULL,
    candidate {json} NOT NULL, at {double} NOT NULL);
CREATE INDEX mirrors_rollout ON mirrors (rollout_id);
CREATE TABLE mirror_drops (rollout_id TEXT NOT NULL, reason TEXT NOT NULL, num INTEGER NOT NULL, PRIMARY KEY (rollout_id, reason));
CREATE TABLE judgements (
    completion_id TEXT NOT NULL, slot INTEGER NOT NULL, rater TEXT NOT NULL, outcome TEXT NOT NULL, at {double} NOT NULL,
    PRIMARY KEY (completion_id, slot));
CREATE TABLE withheld (event_id TEXT NOT NULL PRIMARY KEY, rollout_id TEXT NOT NULL, at {double} NOT NULL, released {double});
CREATE INDEX withheld_rollout ON withheld (rollout_id)
"""

DESKS = """
CREATE TABLE desks (name TEXT NOT NULL PRIMARY KEY, settings {json} NOT NULL, opened {double} NOT NULL, closed {double});
CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY, desk TEXT NOT NULL, source TEXT NOT NULL, prompt TEXT NOT NULL, left_id TEXT NOT NULL,
    right_id TEXT NOT NULL, why {json} NOT NULL, gold TEXT, at {double} NOT NULL);
CREATE INDEX tasks_desk ON tasks (desk);
CREATE INDEX tasks_source ON tasks (source);
CREATE TABLE assignments (
    task TEXT NOT NULL, principal TEXT NOT NULL, swapped INTEGER NOT NULL, at {double} NOT NULL, PRIMARY KEY (task, principal));
CREATE INDEX assignments_principal ON assignments (principal)
"""

MAKINGS = """
DELETE FROM kept_votes;
CREATE TABLE makings (name TEXT NOT NULL PRIMARY KEY, maker TEXT NOT NULL, body {json} NOT NULL)
"""

# completions_principal gives a person's newest answers first, mirrors_rollout the oldest pairs; completions_private holds few rows, and
# costs no other write anything.
READS = """
DROP INDEX mirrors_rollout;
CREATE INDEX mirrors_rollout ON mirrors (rollout_id, at);
DROP INDEX completions_principal;
CREATE INDEX completions_principal ON completions (principal, finished);
CREATE INDEX completions_private ON completions (parent) WHERE consent = 'serve' AND erased = 0
"""


def run_script(connection: sa.Connection, script: str) -> None:
    words = WORDS[connection.dialect.name]
    for statement in script.split(";"):
        connection.exec_driver_sql(statement.strip().format(**words))


def tables(connection: sa.Connection) -> None:
    run_script(connection, TABLES)


def views(connection: sa.Connection) -> None:
    run_script(connection, VIEWS)


def chats(connection: sa.Connection) -> None:
    """The index is derived from what stands: a later step that changes its shape fills it again, and this one no more."""
    run_script(connection, CHATS)
    search.rebuild(connection)


def graves(connection: sa.Connection) -> None:
    run_script(connection, GRAVES)


def receipts(connection: sa.Connection) -> None:
    run_script(connection, RECEIPTS)


def kept(connection: sa.Connection) -> None:
    run_script(connection, KEPT)


def rollouts(connection: sa.Connection) -> None:
    run_script(connection, ROLLOUTS)


def desks(connection: sa.Connection) -> None:
    run_script(connection, DESKS)


def makings(connection: sa.Connection) -> None:
    """What was kept of votes had another shape, and is made again."""
    run_script(connection, MAKINGS)


def reads(connection: sa.Connection) -> None:
    run_script(connection, READS)


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (
    tables, views, chats, graves, receipts, kept, rollouts, desks, makings, reads,
)  # fmt: skip


def migrate(connection: sa.Connection, upto: int = len(MIGRATIONS)) -> int:
    """Bring the file to version `upto` inside the caller's transaction; the version it had before."""
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    found = connection.exec_driver_sql("SELECT version FROM schema_version").scalar()
    if found is None:
        connection.exec_driver_sql("INSERT INTO schema_version (version) VALUES (0)")
    have = found or 0
    if have > len(MIGRATIONS):
        raise StoreError(f"the store has schema version {have}, this program knows {len(MIGRATIONS)}; use a newer feilun for this home")
    for step in MIGRATIONS[have:upto]:
        step(connection)
    connection.exec_driver_sql(f"UPDATE schema_version SET version = {max(have, upto)}")
    return have
