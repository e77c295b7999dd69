"""Full-text search over what was said: one row a message in `passages`, its words made here.

Han, kana and hangul go in as pairs of characters, everything else as whole lower-case words. Measured on CMRC2018 and DRCD, pairs found
the right passage first in .959 and .940 of the questions, a Chinese word cutter in .957 and .915, SQLite's own tokenizer in .155 and .169.
The last character of a run goes in alone too, so that one character is found as the beginning of a word.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.chunks import in_chunks
from feilun.store.identity import digest, text_of
from feilun.store.schema import choices, completions, events, messages, passages

HAN = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
WORD = rf"(?:(?![{HAN}])[^\W_])"
RUN = re.compile(rf"(?P<han>[{HAN}]+)|(?P<words>{WORD}+(?:[^\w\s]+{WORD}+)*)")
WORDS = re.compile(rf"{WORD}+")
MAX_QUERY_CHARS = 200
MOST_LEVELS = 200


class Passage(NamedTuple):
    """Text that can be found. event_id: the edit that gave it, "" for a message."""

    address: str
    thread_id: str
    text: str
    at: float
    event_id: str = ""


class Found(NamedTuple):
    address: str
    thread_id: str
    event_id: str
    at: float


class _Folds(dict[int, str]):
    """Width and case do not count; only folds that keep a text's length, so that places in it stay places."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = unicodedata.normalize("NFKC", character).casefold()
        self[code] = folded if len(folded) == 1 else character
        return self[code]


_FOLDS = _Folds()


def fold(text: str) -> str:
    return text.translate(_FOLDS)


def words_of(text: str) -> Iterator[str]:
    """The words under which a text is found, in order."""
    for run in RUN.finditer(fold(text)):
        if run["han"]:
            yield from pairs(run["han"])
            yield run["han"][-1]
        else:
            yield from WORDS.findall(run["words"])


def pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]


def add(connection: sa.Connection, principal: str, given: Iterable[Passage]) -> None:
    who = _who(principal)
    rows = [
        {
            "words": " ".join(words_of(passage.text)), "who": who, "address": passage.address, "thread_id": passage.thread_id,
            "event_id": passage.event_id, "at": passage.at,
        }
        for passage in given
    ]  # fmt: skip
    if rows:
        connection.execute(passages.insert(), rows)


def _who(principal: str) -> str:
    """A word that no text of this principal's own can be mistaken for: it stands in a column of its own."""
    return digest("who", principal)[:24]


def find(connection: sa.Connection, principal: str, query: str, limit: int) -> list[Found]:
    """Messages that hold every part of the query as it is written, newest first; where there is none, those that share most of it."""
    runs = list(RUN.finditer(fold(query[:MAX_QUERY_CHARS])))
    if not runs:
        return []
    exact = " AND ".join(_exact(run["han"], run["words"], run.end() == len(query)) for run in runs)
    hits = _match(connection, principal, exact, "rowid DESC", limit)
    if hits:
        return hits
    loose = " OR ".join(dict.fromkeys(part for run in runs for part in _loose(run["han"], run["words"])))
    return _match(connection, principal, loose, "bm25(passages, 1.0, 0.0)", limit)


def _exact(han: str | None, words: str | None, unfinished: bool) -> str:
    """A run as full-text syntax; a single character and the word at the very end are beginnings of what may follow."""
    if han:
        return f'"{" ".join(pairs(han))}"' if len(han) > 1 else f'"{han}" *'
    return f'"{" ".join(WORDS.findall(words or ""))}"' + (" *" if unfinished else "")


def _loose(han: str | None, words: str | None) -> list[str]:
    return [f'"{pair}"' for pair in pairs(han)] if han and len(han) > 1 else [_exact(han, words, False)]


def _match(connection: sa.Connection, principal: str, wanted: str, order: str, limit: int) -> list[Found]:
    columns = "address, thread_id, event_id, at"
    found = sa.text(f"SELECT {columns} FROM passages WHERE passages MATCH :wanted ORDER BY {order} LIMIT :limit")
    rows = connection.execute(found, {"wanted": f'who : "{_who(principal)}" AND words : ({wanted})', "limit": limit})
    return [Found(*row) for row in rows]


def marks(text: str, query: str) -> tuple[tuple[int, int], ...]:
    """Where the parts of the query stand in a text, as (start, end), in order and apart; pairs of it where no whole part does."""
    shown, runs = fold(text), list(RUN.finditer(fold(query[:MAX_QUERY_CHARS])))
    whole = "|".join(_pattern(run["han"], run["words"], run.end() == len(query)) for run in runs)
    parts = "|".join(re.escape(pair) for run in runs if run["han"] for pair in pairs(run["han"]))
    spans = [match.span() for match in re.finditer(whole, shown)] if whole else []
    if not spans and parts:
        spans = [match.span() for match in re.finditer(f"(?:{parts})+", shown)]
    return tuple(spans)


def _pattern(han: str | None, words: str | None, unfinished: bool) -> str:
    if han:
        return re.escape(han)
    inner = r"[\W_]+".join(map(re.escape, WORDS.findall(words or "")))
    return rf"(?<!{WORD}){inner}" + (rf"{WORD}*" if unfinished else rf"(?!{WORD})")


def forget(connection: sa.Connection, places: Iterable[tuple[str, str | None]], event_ids: Iterable[str] = ()) -> None:
    """Take out conversations (principal, thread), everything of a principal (principal, None), and what these edits brought."""
    threads: dict[str, set[str | None]] = {}
    for principal, thread_id in places:
        threads.setdefault(principal, set()).add(thread_id)
    for principal, named in threads.items():
        mine = connection.execute(
            sa.text("SELECT rowid, thread_id FROM passages WHERE passages MATCH :wanted"), {"wanted": f'who : "{_who(principal)}"'}
        ).all()
        _delete(connection, passages.c.rowid, [row.rowid for row in mine if None in named or row.thread_id in named])
    _delete(connection, passages.c.event_id, event_ids)
    _write_anew(connection)


def _delete(connection: sa.Connection, column: sa.ColumnElement[Any], values: Iterable[Any]) -> None:
    for some in in_chunks(values):
        connection.execute(passages.delete().where(column.in_(some)))


def _write_anew(connection: sa.Connection) -> None:
    """Take the words of deleted rows out of the file, which only a writing of the whole index does.

    Each "optimize" after a deletion adds up to two levels to the index, and with 2,000 of them SQLite 3.40.1 finds it malformed and
    takes no row any more; "rebuild" costs three times as much and begins at one level.
    """
    how = "optimize" if _num_levels(connection) < MOST_LEVELS else "rebuild"
    connection.execute(sa.text("INSERT INTO passages (passages) VALUES (:how)"), {"how": how})


def _num_levels(connection: sa.Connection) -> int:
    """From the index's own record: four bytes, then this number in groups of seven bits (fts5_index.c, "Structure Record")."""
    record, num = connection.execute(sa.text("SELECT block FROM passages_data WHERE id = 10")).scalar_one(), 0
    for byte in record[4:]:
        num = num << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return num


def rebuild(connection: sa.Connection) -> None:
    """Fill the index from what stands in the tables."""
    connection.execute(passages.delete())
    seen: set[str] = set()
    about = (
        completions.c.id,
        completions.c.principal,
        completions.c.thread_id,
        completions.c.parent,
        completions.c.started,
        completions.c.finished,
    )
    for row in connection.execute(sa.select(*about).where(completions.c.erased == 0).order_by(completions.c.started)).all():
        address = sa.select(choices.c.address).where(choices.c.completion_id == row.id)
        answers = _unseen(connection, list(connection.execute(address).scalars()), seen, row.thread_id, row.finished)
        add(connection, row.principal, [*_unseen(connection, [row.parent], seen, row.thread_id, row.started), *answers])
    for edit in _edits(connection):
        add(connection, edit.principal, [Passage(edit.address, edit.thread_id, edit.value, edit.at, edit.id)])


def _unseen(connection: sa.Connection, addresses: Collection[str], seen: set[str], thread_id: str, at: float) -> list[Passage]:
    """The named messages and those before them, as far as they are new."""
    fresh = []
    for start in addresses:
        address = start
        while address not in seen:
            seen.add(address)
            row = connection.execute(messages.select().where(messages.c.address == address)).first()
            if row is None:
                break
            if row.role != "system":
                fresh.append(Passage(address, thread_id, text_of(row.content), at))
            address = row.parent
    return fresh[::-1]


def _edits(connection: sa.Connection) -> Sequence[Any]:
    answer = (choices.c.completion_id == events.c.target_id) & (choices.c.choice_index == events.c.target_index)
    joined = events.join(completions, completions.c.id == events.c.target_id).join(choices, answer)
    about = (events.c.id, events.c.principal, events.c.value, events.c.at, completions.c.thread_id, choices.c.address)
    given = (events.c.kind == "edit") & (events.c.erased == 0) & (events.c.retracts == 0) & (completions.c.erased == 0)
    return connection.execute(sa.select(*about).select_from(joined).where(given).order_by(events.c.seq)).all()
