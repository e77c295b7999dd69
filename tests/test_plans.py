"""What a request, a look or a write costs does not follow what was said before: asked of SQLite's own plans."""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from test_store import add_completion

from benchmarks.crowd import open_rollout
from benchmarks.requests import CALLS, open_house
from feilun.store import FeedbackRequest, Store, database, schema

# As many rows as there were turns, rollouts, champions, logins, or as answers are being written.
SMALL = {
    "champions", "desks", "drafts", "kept_votes", "keys", "makings", "mirror_drops", "notes", "quarantined", "rollouts", "schema_version",
    "steps", "turns",
}  # fmt: skip
JUDGED = ("desk: task", "desk: task, of one with many labels", "desk: task, judgement, undo")
OF_VIEWS = {"e": "events", "later": "events"}
ONE_OF_MANY = ("principal", "desk", "rollout_id", "phase", "step", "kind", "erased", "consent")

# Rows of this index alone were asked only to be served.
FEW = "completions_private"

WEIGHED = "what a turn is worth follows from all that was said: kept, and weighed anew a twentieth of the time at most"
NEWEST = "the newest first, as many as it takes"
WAITS = "the oldest first, up to one that waits"
OWNER = "kept until the owner says something"
OWN = "all that one person said is what is asked for"
DESK = "a desk has as many tasks as its owner put there"
ROLLOUT = "what belongs to one rollout; a look takes a twentieth of the time at most"
COUNTED = "counted where it lies, for one who asks by hand"
TAKEN = "what rollouts took away, until it is released"

# (call, table, how): why it may be so.
ALLOWED = {
    **{(f"conversations{who}", "completions", "principal"): NEWEST for who in ("", ", team")},
    ("answer, in a conversation", "completions", "principal"): NEWEST,
    ("turn, news", "events", "principal"): OWNER,
    **{("export of a person", table, "principal"): OWN for table in ("completions", "events")},
    **{(name, "mirrors", "rollout_id"): WAITS for name in ("blind pair", "blind pair, judgement, undo", "growth, news")},
    **{("teach: worth, news", *how): WEIGHED for how in (("completions", "principal"), ("tasks", "whole"), ("withheld", "whole"))},
    **{("look: is a turn due, news", *how): WEIGHED for how in (("completions", "principal"), ("tasks", "whole"), ("withheld", "whole"))},
    ("look: is a turn due, news", "events", "principal"): WEIGHED,
    ("desk: progress, news", "tasks", "whole"): WEIGHED,
    **{(name, "tasks", "desk"): DESK for name in ("teach, news", "desk: progress, news", *JUDGED)},
    **{(name, "mirrors", "rollout_id"): ROLLOUT for name in ("rollout", "look: rollout, shadow", "feilun status")},
    **{("look: rollout, canary", "exposures", how): ROLLOUT for how in ("rollout_id+phase", "rollout_id+phase+step")},
    ("feilun status", "events", "whole"): COUNTED,
    ("feilun status", "withheld", "whole"): TAKEN,
    ("rollout", "withheld", "rollout_id"): TAKEN,
}


class Plans:
    """How each call reads the tables that grow, by the plans of its statements."""

    def __init__(self) -> None:
        self.call = ""
        self.found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.statements: dict[tuple[str, str, str], str] = {}

    def make(self, made: Callable[[Path, float], sa.Engine], path: Path, busy_seconds: float) -> sa.Engine:
        engine = made(path, busy_seconds)
        sa.event.listen(engine, "before_cursor_execute", self._explain)
        return engine

    def _explain(self, _about: object, cursor: sqlite3.Cursor, statement: str, parameters: object, _context: object, many: bool) -> None:
        if self.call and statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if many else parameters)  # type: ignore[index]
            for how in wide_reads(statement, [row[3] for row in cursor.fetchall()]):
                self.found[self.call].add(how)
                self.statements[self.call, *how] = statement


def wide_reads(statement: str, plan: list[str]) -> Iterator[tuple[str, str]]:
    """(table, "whole" or the columns that are alike in many rows) of each line of a plan that may read many rows of a growing table."""
    tables = {table.name for table in schema.metadata.tables.values()} - SMALL | {"passages"}
    names = {**{name: name for name in tables}, **OF_VIEWS}
    names |= {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement) if table in tables}
    for line in plan:
        kind, _, rest = line.partition(" ")
        name = rest.partition(" ")[0]
        columns = re.findall(r"(\w+)[=<>]", line.partition("(")[2])
        if names.get(name) is None or ":M" in line or FEW in line:
            continue
        if kind == "SCAN" or "AUTOMATIC" in line:
            yield names[name], "whole"
        elif columns and set(columns) <= set(ONE_OF_MANY):
            yield names[name], "+".join(columns)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    watched, made = Plans(), database.make_engine
    monkeypatch.setattr(database, "make_engine", lambda path, busy_seconds: watched.make(made, path, busy_seconds))
    return watched


def test_no_write_reads_a_whole_table(tmp_path: Path, plans: Plans) -> None:
    """For every kind of event."""
    with Store.open(tmp_path) as store:
        plans.call = "write"
        for name in ("c1", "c2"):
            add_completion(store, name)
        over = {"over": [{"id": "c2", "index": 0}], "outcome": "win"}
        kinds = [
            ("thumb", 1),
            ("comment", "why"),
            ("edit", "9.8"),
            ("report", "bad"),
            ("choice", over),
            ("implicit", {"name": "copy", "n": 1}),
        ]
        for number, (kind, value) in enumerate(kinds):
            about = {"principal": "p", "target_id": "c1", "kind": kind}
            given = store.record_feedback(FeedbackRequest(**about, value=value, idempotency_key=f"k{number}"))
            store.record_feedback(FeedbackRequest(**about, value=None, supersedes=given.id))
    assert plans.statements == {}


def test_no_request_and_no_look_follows_history(tmp_path: Path, plans: Plans) -> None:
    with open_house(tmp_path, 300) as house:
        for name, call in CALLS.items():
            open_rollout(house.home, "canary" if name.endswith("canary") else "shadow")
            plans.call = name
            call(house)
            plans.call = ""
    found = {(name, *how) for name, wide in plans.found.items() for how in wide}
    assert {key: plans.statements[key] for key in found - ALLOWED.keys()} == {}
    assert ALLOWED.keys() - found == set()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT id FROM events WHERE (principal, idempotency_key) IN ((1, 2), (3, 4))", [("events", "whole")]),
        ("SELECT e2.id FROM events AS e2 WHERE e2.principal = 1 AND e2.target_id IN (1, 2, 3)", [("events", "principal")]),
        ("SELECT id FROM current_votes", [("events", "whole")]),
        ("SELECT id FROM events WHERE principal || '' = 1 AND target_id IN (1, 2, 3)", []),
        ("SELECT address FROM passages", [("passages", "whole")]),
        ("SELECT address FROM passages WHERE passages MATCH 'a'", []),
        ("SELECT model FROM champions", []),
    ],
)
def test_a_statement_that_reads_many_rows_is_seen(tmp_path: Path, statement: str, found: list[tuple[str, str]]) -> None:
    Store.open(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "feilun.db")
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")]
    raw.close()
    assert list(wide_reads(statement, plan)) == found
