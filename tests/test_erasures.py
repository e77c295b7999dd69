"""A home in which much was erased, by hand and by age, is as whole as a new one."""

from pathlib import Path

import sqlalchemy as sa
from owner_house import answered

from feilun.store import Store, search

ANN, BOB = "key:app/ann", "key:app/bob"


def levels(store: Store) -> int:
    return store._database.read(search._num_levels)


def test_the_index_bears_any_number_of_erasures(tmp_path: Path) -> None:
    """SQLite 3.40.1 found it malformed after the 1,001st: no answer could be kept any more, and nothing be erased."""

    def erase(connection: sa.Connection) -> None:
        search.add(connection, BOB, [search.Passage(f"b{number}", "kept", f"other{number} 巴黎", 1.0) for number in range(400)])
        for number in range(1100):
            search.add(connection, ANN, [search.Passage(f"a{number}", f"t{number}", f"word{number} 里昂", 1.0)])
            search.forget(connection, [(ANN, f"t{number - 5}")])

    with Store.open(tmp_path) as store:
        store._database.write(erase)
        assert 0 < levels(store) <= search.MOST_LEVELS + 2
        store._database.write(lambda c: c.execute(sa.text("INSERT INTO passages (passages) VALUES ('integrity-check')")))
        left = store._database.read(lambda c: [search.find(c, ANN, f"word{number}", 9) for number in (1000, 1094, 1095, 1099)])
        assert [[found.thread_id for found in hits] for hits in left] == [[], [], ["t1095"], ["t1099"]]


def test_what_is_past_its_days_is_taken_out_of_the_index_at_once(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for number in range(12):
            answered(store, f"oldword{number}?", principal=f"key:app/u{number % 3}", thread=f"t{number}")
        before = levels(store)
        old = [thread for thread in store.old_threads(1e12) if thread.thread_id != "t11"]
        assert len(old) == 11
        store.expire(old, [])
        assert levels(store) <= before + 2, "written anew once, not once a conversation"
        assert [len(store.search(f"key:app/u{number % 3}", f"oldword{number}", 9)) for number in range(12)] == [0] * 11 + [1]
