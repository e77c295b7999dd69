"""The tables as they are now. How a file gets here is in migrations.py; a test holds the two together."""

import sqlalchemy as sa

metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, nullable=False))

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("secret_hash", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("revoked", sa.Double),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("parent", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Index("messages_principal", "principal"),
    sa.Index("messages_parent", "parent"),
)

PRIVATE = sa.text("consent = 'serve' AND erased = 0")

completions = sa.Table(
    "completions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("end_user", sa.Text),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("decision", sa.JSON, nullable=False),
    sa.Column("thread_id", sa.Text, nullable=False),
    sa.Column("parent", sa.Text, nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("prompt_tokens", sa.Integer, nullable=False),
    sa.Column("completion_tokens", sa.Integer, nullable=False),
    sa.Column("consent", sa.Text, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double, nullable=False),
    sa.Column("erased", sa.Integer, nullable=False),
    sa.Index("completions_principal", "principal", "finished"),
    sa.Index("completions_finished", "finished"),
    sa.Index("completions_thread", "principal", "thread_id", "started", "finished"),
    sa.Index("completions_private", "parent", sqlite_where=PRIVATE, postgresql_where=PRIVATE),
)

choices = sa.Table(
    "choices",
    metadata,
    sa.Column("completion_id", sa.Text, primary_key=True),
    sa.Column("choice_index", sa.Integer, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("finish_reason", sa.Text, nullable=False),
    sa.Column("num_tokens", sa.Integer, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("target_id", sa.Text, nullable=False),
    sa.Column("target_index", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("reason", sa.JSON, nullable=False),
    sa.Column("consent", sa.Text, nullable=False),
    sa.Column("slot", sa.Text, nullable=False),
    sa.Column("retracts", sa.Integer, nullable=False),
    sa.Column("supersedes", sa.Text),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("body_hash", sa.Text, nullable=False),
    sa.Column("erased", sa.Integer, nullable=False),
    sa.UniqueConstraint("principal", "idempotency_key"),
    sa.Index("events_slot", "principal", "slot", "seq"),
    sa.Index("events_supersedes", "supersedes"),
    sa.Index("events_target", "target_id"),
    sqlite_autoincrement=True,
)

# Answers that are being written: what a killed server leaves of them.
drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("end_user", sa.Text),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("thread_id", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("texts", sa.JSON, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Index("drafts_principal", "principal"),
)

champions = sa.Table(
    "champions",
    metadata,
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("restores", sa.Integer),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double),
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("turn_id", sa.Text, primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("heartbeat", sa.Double, nullable=False),
    sa.Column("input_hash", sa.Text, nullable=False),
    sa.Column("output", sa.JSON, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
)

receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("turn_id", sa.Text, nullable=False),
    sa.Column("gate", sa.Text, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("receipts_turn", "turn_id"),
    sqlite_autoincrement=True,
)

notes = sa.Table(
    "notes",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("subject_hash", sa.Text, nullable=False),
    sa.Column("event_ids", sa.JSON, nullable=False),
    sa.Column("completion_ids", sa.JSON, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("thread_hash", sa.Text, nullable=False),
    sa.Index("erasures_subject", "subject_hash"),
)

quarantined = sa.Table(
    "quarantined",
    metadata,
    sa.Column("ref", sa.Text, primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

# What kept.py derives from the log; always safe to empty.
kept_votes = sa.Table(
    "kept_votes",
    metadata,
    sa.Column("upto_seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.JSON, nullable=False),
)

# What works of this program are known to make, so that they are not made again; see makings.py.
makings = sa.Table(
    "makings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("maker", sa.Text, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("turn_id", sa.Text, nullable=False, unique=True),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("champion", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("finished", sa.Double),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("slow_seconds", sa.Double),
)

# One row an answer of which a rollout decided who gives it. It holds no word and no name.
exposures = sa.Table(
    "exposures",
    metadata,
    sa.Column("completion_id", sa.Text, primary_key=True),
    sa.Column("rollout_id", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("lot", sa.Double, nullable=False),
    sa.Column("arm", sa.Text, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("fault", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("exposures_rollout", "rollout_id", "phase", "step"),
)

# What a candidate would have said, unseen by who asked. Its text goes with the answer that it stands beside.
mirrors = sa.Table(
    "mirrors",
    metadata,
    sa.Column("completion_id", sa.Text, primary_key=True),
    sa.Column("rollout_id", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("champion", sa.JSON, nullable=False),
    sa.Column("candidate", sa.JSON, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("mirrors_rollout", "rollout_id", "at"),
)

mirror_drops = sa.Table(
    "mirror_drops",
    metadata,
    sa.Column("rollout_id", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("num", sa.Integer, nullable=False),
)

judgements = sa.Table(
    "judgements",
    metadata,
    sa.Column("completion_id", sa.Text, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True),
    sa.Column("rater", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

withheld = sa.Table(
    "withheld",
    metadata,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("rollout_id", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("released", sa.Double),
    sa.Index("withheld_rollout", "rollout_id"),
)

# A labelling desk, its tasks, and who was shown which. Words stand in `messages` alone; `source` is the answer whose question it is.
desks = sa.Table(
    "desks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("opened", sa.Double, nullable=False),
    sa.Column("closed", sa.Double),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("desk", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("left_id", sa.Text, nullable=False),
    sa.Column("right_id", sa.Text, nullable=False),
    sa.Column("why", sa.JSON, nullable=False),
    sa.Column("gold", sa.Text),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("tasks_desk", "desk"),
    sa.Index("tasks_source", "source"),
)

assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("swapped", sa.Integer, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index("assignments_principal", "principal"),
)

# The full-text table that migrations.py makes; search.py says what stands in it. No `metadata`: it is not made by a common CREATE TABLE.
passages = sa.table("passages", *(sa.column(name) for name in ("rowid", "words", "who", "address", "thread_id", "event_id", "at")))

# The view that migrations.py makes. It stands outside `metadata`, which holds tables only.
vote_spans = sa.table(
    "vote_spans",
    *(sa.column(name) for name in ("seq", "id", "at", "principal", "target_id", "target_index", "kind", "consent", "slot")),
    sa.column("value", sa.JSON),
    sa.column("reason", sa.JSON),
    sa.column("replaced_seq", sa.Integer),
    sa.column("superseded_seq", sa.Integer),
)
