"""The store: the only package that speaks SQL. One SQLite file in the home; portable SQL, so that another database can come.

database.py opens the file and groups commits; schema.py and migrations.py are its shape; one module a noun holds the queries.
"""

from feilun.store.engines import ENGINE_NAME, EngineRow, engine_of
from feilun.store.identity import OWNER, address_of, parts_of, principal_of, root_address, thread_of, uuid7
from feilun.store.keys import new_secret
from feilun.store.replies import Reply
from feilun.store.rows import (
    Answered,
    ChampionRow,
    CompletionRecord,
    Conflict,
    CurrentVote,
    Erasure,
    EventRow,
    FeedbackRequest,
    FeedbackResult,
    Hit,
    InvalidFeedback,
    KeyConflict,
    KeyRow,
    NewKey,
    NotFound,
    NotYours,
    ShownMessage,
    Sibling,
    Standing,
    StepRow,
    StoreError,
    StoreUnavailable,
    Thread,
    ThreadRow,
    TurnRow,
)
from feilun.store.store import Store

__all__ = [
    "ENGINE_NAME",
    "OWNER",
    "Answered",
    "ChampionRow",
    "CompletionRecord",
    "Conflict",
    "CurrentVote",
    "EngineRow",
    "Erasure",
    "EventRow",
    "FeedbackRequest",
    "FeedbackResult",
    "Hit",
    "InvalidFeedback",
    "KeyConflict",
    "KeyRow",
    "NewKey",
    "NotFound",
    "NotYours",
    "Reply",
    "ShownMessage",
    "Sibling",
    "Standing",
    "StepRow",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "Thread",
    "ThreadRow",
    "TurnRow",
    "address_of",
    "engine_of",
    "new_secret",
    "parts_of",
    "principal_of",
    "root_address",
    "thread_of",
    "uuid7",
]
