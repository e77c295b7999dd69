"""The benchmark of long histories writes them as the store does."""

from dataclasses import replace

from benchmarks.history import said_by, say, write_history
from benchmarks.turn import at_100x
from feilun.store import Store

SAID = [said_by(f"key:bench/user-{n % 3}", n, {"prompt": f"哪个大 {n % 5}?", "answers": ["9.8"]}) for n in range(20)]


def told(store: Store) -> tuple[list, list, list]:
    """All that a turn reads, without the ids and the times of events, which are new in every store."""
    votes = [vote._replace(id="", at=0.0) for vote in store.current_votes()]
    events = [replace(event, id="", at=0.0) for event in store.events()]
    return votes, events, [store.completion(event.target_id) for event in events]


def test_what_is_written_straight_into_the_tables_is_what_the_store_would_have_written(tmp_path):
    for name in ("api", "tables"):
        (tmp_path / name).mkdir()
        Store.open(tmp_path / name).close()
    write_history(tmp_path / "tables", SAID)
    with Store.open(tmp_path / "api") as api, Store.open(tmp_path / "tables") as tables:
        for each in SAID:
            say(api, *each)
        assert told(tables) == told(api)
        assert len(told(api)[0]) == len(SAID)
        say(tables, *said_by("key:bench/user-0", 20, {"prompt": "?", "answers": ["9.8"]}))
        assert tables.last_seq() == len(SAID) + 1


def test_the_ratio_is_of_a_hundred_times_the_events():
    rows = [{"all": 2.0}, {"all": 2.5}, {"all": 3.0}]
    assert at_100x([1, 10, 100], rows) == 1.5
    assert at_100x([1, 10], rows[:2]) is None
    assert at_100x([1, 10, 100], []) is None
