"""The store: the only package that speaks SQL. One SQLite file in the home; portable SQL, so that another database can come.

database.py opens the file and groups commits; schema.py and migrations.py are its shape; one module a noun holds the queries.
"""

from feilun.store.engines import EngineRow, engine_of
from feilun.store.identity import principal_of, thread_of, uuid7
from feilun.store.keys import new_secret
from feilun.store.rows import (
    ChampionRow,
    CompletionRecord,
    Conflict,
    CurrentVote,
    Erasure,
    EventRow,
    FeedbackRequest,
    FeedbackResult,
    InvalidFeedback,
    KeyConflict,
    KeyRow,
    NewKey,
    NotFound,
    NotYours,
    Sibling,
    StepRow,
    StoreError,
    StoreUnavailable,
    TurnRow,
)
from feilun.store.store import Store

__all__ = [
    "ChampionRow",
    "CompletionRecord",
    "Conflict",
    "CurrentVote",
    "EngineRow",
    "Erasure",
    "EventRow",
    "FeedbackRequest",
    "FeedbackResult",
    "InvalidFeedback",
    "KeyConflict",
    "KeyRow",
    "NewKey",
    "NotFound",
    "NotYours",
    "Sibling",
    "StepRow",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "TurnRow",
    "engine_of",
    "new_secret",
    "principal_of",
    "thread_of",
    "uuid7",
]
