"""What is particular to the file behind the store: migrations, many writers, a killed writer, a full disk, a held lock."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from feilun.store import (
    CompletionRecord,
    Conflict,
    FeedbackRequest,
    InvalidFeedback,
    Store,
    StoreError,
    StoreUnavailable,
    migrations,
    schema,
    uuid7,
)
from feilun.store.identity import principal_of, thread_of
from feilun.types import Decision

ROOT = Path(__file__).resolve().parent.parent


def add_completion(store: Store, completion_id: str = "c1", text: str = "9.11", principal: str = "p") -> None:
    choices = [{"index": 0, "text": text, "finish_reason": "stop", "num_tokens": 3}]
    messages = [{"role": "user", "content": "which?"}]
    decision = Decision(engine="echo", model="m")
    store.record_completion(
        CompletionRecord(
            id=completion_id, principal=principal, model="m", thread_id="t", messages=messages, choices=choices, decision=decision
        )
    )


def comment(text: str, key: str | None = None) -> FeedbackRequest:
    return FeedbackRequest(principal="p", target_id="c1", kind="comment", value=text, idempotency_key=key)


def shape(connection: sa.Connection) -> dict[str, object]:
    """Columns, keys, uniqueness and indexes of every table, but for those that full-text search keeps for itself."""
    found: dict[str, object] = {}
    inspector = sa.inspect(connection)
    for table in (name for name in inspector.get_table_names() if not name.startswith("passages")):
        columns = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)]
        unique = sorted(tuple(u["column_names"]) for u in inspector.get_unique_constraints(table))
        indexes = sorted((i["name"], tuple(i["column_names"]), _some(i)) for i in inspector.get_indexes(table))
        found[table] = (columns, inspector.get_pk_constraint(table)["constrained_columns"], unique, indexes)
    return found


def _some(index: object) -> str:
    """Of which rows an index is; empty for all."""
    return str(index.get("dialect_options", {}).get("sqlite_where", ""))  # type: ignore[attr-defined]


def test_a_migrated_file_has_the_shape_of_the_schema() -> None:
    migrated, fresh = sa.create_engine("sqlite://"), sa.create_engine("sqlite://")
    with migrated.begin() as one, fresh.begin() as other:
        migrations.migrate(one)
        schema.metadata.create_all(other)
        assert shape(one) == shape(other)
        assert sa.inspect(one).get_view_names() == ["current_votes", "vote_spans"]
    migrated.dispose()
    fresh.dispose()


def test_an_older_file_is_brought_forward_and_keeps_its_rows(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'feilun.db'}")
    with engine.begin() as connection:
        migrations.migrate(connection, upto=1)
        connection.exec_driver_sql("INSERT INTO notes VALUES ('old', '{\"kept\":true}', 1.0)")
    engine.dispose()
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.read_note("old") == {"kept": True}
            assert store.current_votes() == []


@pytest.mark.parametrize("key", ["", "k" * 256, "a\0b"])
def test_a_key_that_could_not_be_found_again_is_refused(tmp_path: Path, key: str) -> None:
    with Store.open(tmp_path) as store:
        add_completion(store)
        with pytest.raises(InvalidFeedback, match="Idempotency-Key must"):
            store.record_feedback(comment("why", key))
        assert store.events() == []


@pytest.mark.parametrize("key", ["k" * 255, "键 \x01 \"'\\ 😀", "1", "1.0", "null"])
def test_a_key_of_any_characters_is_found_again(tmp_path: Path, key: str) -> None:
    with Store.open(tmp_path) as store:
        add_completion(store)
        first = store.record_feedback(comment("why", key))
        assert store.record_feedback(comment("why", key)) == (first.id, "duplicate")


def test_what_an_older_file_holds_can_be_searched(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        add_completion(store, text="九点八 is more")
        store.record_feedback(FeedbackRequest(principal="p", target_id="c1", kind="edit", value="九点十一"))
    with sqlite3.connect(tmp_path / "feilun.db") as raw:
        rollout = ("rollouts", "exposures", "mirrors", "mirror_drops", "judgements", "withheld")
        for table in ("passages", "drafts", "receipts", "kept_votes", "makings", "desks", "tasks", "assignments", *rollout):
            raw.execute(f"DROP TABLE {table}")
        for index in ("messages_parent", "completions_thread", "completions_finished", "completions_private", "events_target"):
            raw.execute(f"DROP INDEX {index}")
        raw.execute("ALTER TABLE erasures DROP COLUMN thread_hash")
        raw.execute("DROP TABLE quarantined")
        raw.execute("UPDATE schema_version SET version = 2")
    raw.close()
    with Store.open(tmp_path) as store:
        assert {query: [hit.text for hit in store.search("p", query, 9)] for query in ("which", "点八", "十一", "moon")} == {
            "which": ["which?"], "点八": ["九点八 is more"], "十一": ["九点十一"], "moon": [],
        }  # fmt: skip


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "feilun.db") as raw:
        raw.execute("UPDATE schema_version SET version = 99")
    raw.close()
    with pytest.raises(StoreError, match="newer feilun"):
        Store.open(tmp_path)


def test_the_sql_view_is_the_python_view(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        add_completion(store)
        add_completion(store, "c2")
        for target, value in (("c1", 1), ("c1", -1), ("c2", 1), ("c2", 0)):
            store.record_feedback(FeedbackRequest(principal="p", target_id=target, kind="thumb", value=value))
        standing = [vote.id for vote in store.current_votes()]
    with sqlite3.connect(tmp_path / "feilun.db") as raw:
        assert [row[0] for row in raw.execute("SELECT id FROM current_votes ORDER BY seq")] == standing
    raw.close()
    assert len(standing) == 1


def test_writers_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    num_threads, num_each = 16, 12
    with Store.open(tmp_path) as store:
        add_completion(store)
        commits: list[int] = []
        sa.event.listen(store._database._readers, "commit", lambda _connection: commits.append(1))
        barrier = threading.Barrier(num_threads)
        acknowledged: list[str] = []

        def work(thread: int) -> None:
            barrier.wait()
            for i in range(num_each):
                result = store.record_feedback(comment(f"{thread}/{i}", key=f"{thread}/{i}"))
                assert any(event.id == result.id for event in store.events())
                acknowledged.append(result.id)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(num_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(acknowledged) == sorted(event.id for event in store.events())
        assert len(acknowledged) == num_threads * num_each
        assert len(commits) < len(acknowledged)


def test_a_bad_write_spoils_no_other_of_its_group(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        add_completion(store)
        outcomes: list[str] = []

        def work(target: str) -> None:
            try:
                outcomes.append(store.record_feedback(FeedbackRequest(principal="p", target_id=target, kind="thumb", value=1)).status)
            except StoreError as error:
                outcomes.append(type(error).__name__)

        store._database._commit_lock.acquire()
        threads = [threading.Thread(target=work, args=(target,)) for target in ["c1", "nothing"] * 4]
        for thread in threads:
            thread.start()
        while len(store._database._queue) < len(threads):
            pass
        store._database._commit_lock.release()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["NotFound"] * 4 + ["recorded"] * 4
        assert len(store.events()) == 4


def test_a_full_disk_is_said_and_nothing_is_half_stored(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        add_completion(store)

        def limit(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute("PRAGMA max_page_count = 128")

        store._database._readers.dispose()
        sa.event.listen(store._database._readers, "connect", limit)
        acknowledged = []

        def fill() -> None:
            for _ in range(1000):
                acknowledged.append(store.record_feedback(comment("long " * 1000)).id)

        with pytest.raises(StoreUnavailable, match="disk is full"):
            fill()
        assert [event.id for event in store.events()] == acknowledged
        assert acknowledged


def test_a_held_lock_is_said(tmp_path: Path) -> None:
    with Store.open(tmp_path, busy_seconds=0.05) as store:
        add_completion(store)
        other = sqlite3.connect(tmp_path / "feilun.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"locked.*another process"):
            store.record_feedback(comment("x"))
        assert store.events() == []
        other.execute("ROLLBACK")
        other.close()
        assert store.record_feedback(comment("x")).status == "recorded"


def test_a_home_that_is_no_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "feilun.db").write_text("not a database, but long enough to be read as one " * 40)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Store.open(tmp_path)


def test_forgotten_text_is_in_no_file(tmp_path: Path) -> None:
    secret = "the moon is made of green cheese"
    with Store.open(tmp_path) as store:
        add_completion(store, text=secret, principal="p")
        store.record_feedback(comment(secret))
        assert any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
        store.forget("p")
        assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_secrets_are_in_no_file(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        made = store.create_key("app", frozenset({"chat"}))
        assert not any(made.secret[3:].encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_many_openers_of_a_new_home_agree(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from feilun.store import Store; Store.open(Path(sys.argv[1])).note(sys.argv[2], {})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    openers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)], env=environment) for i in range(4)]
    assert [opener.wait() for opener in openers] == [0] * 4
    with Store.open(tmp_path) as store:
        assert [store.read_note(str(i)) for i in range(4)] == [{}] * 4


def test_ids_rise_and_are_version_7() -> None:
    ids = [uuid7() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(uuid.UUID(i).version, uuid.UUID(i).variant) for i in ids} == {(7, uuid.RFC_4122)}


def test_principals_and_threads_are_stable() -> None:
    assert [principal_of(), principal_of("k"), principal_of("k", "u")] == ["owner", "key:k", "key:k/u"]
    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    longer = [*talk, {"role": "assistant", "content": "a"}, {"role": "user", "content": "q2"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
    assert thread_of("p", talk) == thread_of("p", longer) == thread_of("p", parts)
    assert thread_of("p", talk) != thread_of("o", talk)
    assert thread_of("p", talk, "given") == "given"


def test_sql_stays_in_the_store() -> None:
    speakers = {
        path.relative_to(ROOT / "feilun").parts[0]
        for path in (ROOT / "feilun").rglob("*.py")
        if re.search(r"^\s*(import|from) (sqlalchemy|sqlite3)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert speakers == {"store"}


def test_a_request_for_a_turn_is_taken_once(home):
    with Store.open(home) as store:
        assert store.asked_turn() is None
        asked = store.ask_turn("owner")
        assert (store.asked_turn()["id"], store.asked_turn()["by"]) == (asked, "owner")
        with pytest.raises(Conflict, match="asked for already"):
            store.ask_turn("owner")
        turn = store.start_turn({"request": asked})
        assert store.asked_turn() is None
        with pytest.raises(Conflict, match="one turn runs at a time"):
            store.ask_turn("owner")
        store.finish_turn(turn, "refused", "")
        with pytest.raises(Conflict, match="has had its turn"):
            store.start_turn({"request": asked})
        again = store.ask_turn("owner")
        store.answer_request(again, "there is no champion")
        assert store.asked_turn() is None
        assert store.read_note("turn_request")["answer"]["why"] == "there is no champion"
        with pytest.raises(Conflict, match="waits for no answer"):
            store.answer_request(again, "twice")


def test_where_a_rollback_would_go(home):
    with Store.open(home) as store:
        assert store.rollback_target() is None
        for model in ("models/a@1", "models/b@1", "models/b@1", "models/c@1"):
            store.set_champion(model, "")
        assert store.rollback_target().model == "models/b@1"
        assert store.rollback("").model == "models/b@1"
        assert store.rollback_target().model == "models/a@1"
        store.rollback("")
        assert store.rollback_target() is None
