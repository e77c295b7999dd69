"""How many events a second are acknowledged once they are on the disk: the store's API in one process, many threads.

    python -m benchmarks.durability [--events N] [--rounds N] [--home DIR]

An event counts when `record_feedback` has returned, which is after a commit with synchronous=FULL. Beside it, in turn and on the
same disk: "plain" is Python's own sqlite3 with the same columns, one event a commit under a lock and nothing checked; "fsync" is
8 KB appended to a file and flushed, the least that any of them pays for a commit. Seconds of the processor stand beside those of
the clock, because a machine with other work has fewer of the latter.

All rounds write to one home, which grows by some 13,000 events and 800 answers with each. What a write costs must not follow what was
written before: ratios.last_round_to_first is the speed of 32 writers in the last round over that in the first, ratios.last_round_cpu the
same of the processor's seconds an event (above 1: slower), which other work on the machine does not touch; both also of answers.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feilun.store import CompletionRecord, FeedbackRequest, Store, uuid7
from feilun.types import Decision

WRITERS = (1, 32, 128)
NUM_ANSWERS = 64
TEXT = "the number is 9.8, not 9.11"


class Measured(NamedTuple):
    events_per_second: float
    cpu_ms_per_event: float


def in_threads(num_threads: int, num_events: int, write: Callable[[int], None]) -> Measured:
    def work(thread: int) -> None:
        for number in range(thread, num_events, num_threads):
            write(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(num_threads)]
    clock, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - clock
    return Measured(num_events / seconds, 1e3 * (time.process_time() - cpu) / num_events)


def answer(store: Store, number: int) -> None:
    choices = [{"index": 0, "text": TEXT, "finish_reason": "stop", "num_tokens": 9}]
    record = CompletionRecord(
        id=f"c{number}", principal="key:k/u", model="m", thread_id=f"t{number}", choices=choices,
        messages=[{"role": "user", "content": f"question {number}"}], decision=Decision(engine="echo", model="m"),
    )  # fmt: skip
    store.record_completion(record)


def answers(home: Path, first: int, num_answers: int) -> Measured:
    """So many completions, each in a conversation of its own; `first` is the number of the first."""
    with Store.open(home) as store:
        return in_threads(32, num_answers, lambda number: answer(store, first + number))


def ours(home: Path, num_threads: int, num_events: int) -> Measured:
    """Thumbs and comments with a key each, about answers of which there are many."""
    with Store.open(home) as store:
        before = store.last_seq()

        def write(number: int) -> None:
            kind, value = ("thumb", number % 2 or -1) if number % 2 else ("comment", f"{TEXT} {number}")
            request = FeedbackRequest(
                principal="key:k/u", target_id=f"c{number % NUM_ANSWERS}", kind=kind, value=value, idempotency_key=uuid7()
            )
            store.record_feedback(request)

        found = in_threads(num_threads, num_events, write)
        assert len(store.events(after_seq=before)) == num_events
        return found


def plain(home: Path, num_events: int) -> Measured:
    database = sqlite3.connect(home / "plain.db", isolation_level=None, check_same_thread=False)
    database.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS log (id TEXT PRIMARY KEY, body TEXT)"
    )
    lock = threading.Lock()

    def write(number: int) -> None:
        with lock:
            database.execute("INSERT INTO log VALUES (?, ?)", (uuid7(), json.dumps({"value": TEXT, "number": number})))

    found = in_threads(32, num_events, write)
    database.close()
    return found


def fsync_ms(home: Path, count: int = 100) -> float:
    times = []
    with (home / "flushed").open("ab") as stream:
        for _ in range(count):
            start = time.perf_counter()
            stream.write(bytes(8192))
            stream.flush()
            os.fsync(stream.fileno())
            times.append(1e3 * (time.perf_counter() - start))
    return round(statistics.median(times), 3)


def file_system(path: Path) -> str:
    """Kind of the file system that holds `path`, where the system says so."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()] if Path("/proc/mounts").exists() else []
    holding = [(len(where), kind) for _, where, kind in mounts if path.is_relative_to(where)]
    return max(holding)[1] if holding else "unknown"


def figures(rounds: list[Measured]) -> dict[str, Any]:
    speeds = [found.events_per_second for found in rounds]
    return {
        "events_per_second": round(statistics.median(speeds)), "least": round(min(speeds)), "most": round(max(speeds)),
        "cpu_ms_per_event": round(statistics.median(found.cpu_ms_per_event for found in rounds), 3), "rounds": len(rounds),
        "first_round": round(speeds[0]), "last_round": round(speeds[-1]),
    }  # fmt: skip


def slope(rounds: Sequence[Measured]) -> Measured:
    """Of the last round over the first: speed, and the processor's seconds."""
    first, last = rounds[0], rounds[-1]
    return Measured(round(last.events_per_second / first.events_per_second, 2), round(last.cpu_ms_per_event / first.cpu_ms_per_event, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, help="a folder on the disk to be measured (default: the system's for temporary files)")
    options = parser.parse_args()
    found: dict[str, list[Measured]] = {}
    flushes = []
    with tempfile.TemporaryDirectory(dir=options.home) as root:
        home = Path(root)
        with Store.open(home) as store:
            for number in range(NUM_ANSWERS):
                answer(store, number)
        for number in range(options.rounds):
            flushes.append(fsync_ms(home))
            num_answers = options.events // 8
            found.setdefault("answers", []).append(answers(home, NUM_ANSWERS + number * num_answers, num_answers))
            for num_threads in WRITERS:
                count = options.events if num_threads > 1 else options.events // 16
                found.setdefault(f"{num_threads} writers", []).append(ours(home, num_threads, count))
            found.setdefault("plain, 32 writers", []).append(plain(home, options.events // 16))
        machine = {
            "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version, "file_system": file_system(home), "fsync_ms": flushes, "load": round(os.getloadavg()[0], 1),
        }  # fmt: skip
    events, told = slope(found["32 writers"]), slope(found["answers"])
    rows = {name: figures(rounds) for name, rounds in found.items()}
    for name, row in rows.items():
        speeds = (
            f"{row['events_per_second']:6} a second ({row['least']}-{row['most']}; first {row['first_round']}, last {row['last_round']})"
        )
        print(f"{name:18} {speeds}, {row['cpu_ms_per_event']:.3f} CPU ms each")
    peers = {"plain, 32 writers": rows.pop("plain, 32 writers")}
    ratio = round(rows["32 writers"]["events_per_second"] / peers["plain, 32 writers"]["events_per_second"], 1)
    ratios = {
        "32_writers_to_plain": ratio, "last_round_to_first": events.events_per_second, "last_round_cpu": events.cpu_ms_per_event,
        "answers_last_round_to_first": told.events_per_second, "answers_last_round_cpu": told.cpu_ms_per_event,
    }  # fmt: skip
    print(json.dumps({"benchmark": "durability", "machine": machine, "ours": rows, "peers": peers, "ratios": ratios}))


if __name__ == "__main__":
    main()
