"""`python -m benchmarks.corpus_large --gigabytes 10`: one build of much text; how much memory its processes have together.

    FEILUN_TEST_DATA=... python -m benchmarks.corpus_large [--gigabytes N] [--workers N] [--folder DIR]

The input is made of the sentences of FEILUN_TEST_DATA, drawn anew for each document, so that documents are of real text and no two are
alike. It is written to a temporary folder (below --folder) first, which takes as much room, and the build about as much again.
Memory is that of the build's process and its children, pages that they share counted once (PSS), looked at every half second.
"""

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.corpus import rows_of
from feilun.artifacts import read_json
from feilun.demo.report import machine

SENTENCE_END = re.compile(r"(?<=[。！？!?.])\s*|\n+")
LEAST_CHARS = 8
SENTENCES_PER_LINE, LINES = (2, 6), (4, 24)
FILE_BYTES = 200_000_000
LOOK_SECONDS = 0.5
MOST_MEGABYTES = 4096.0
CHINESE_SHARE = 0.75  # of the documents
GIGA = 1_000_000_000


def sentences(data: Path) -> dict[str, list[str]]:
    """By language of their file, each once, in the order of the files."""
    found: dict[str, dict[str, None]] = {"zh": {}, "en": {}}
    for row in rows_of(data, 0):
        lang = "zh" if re.search("[\u4e00-\u9fff]", row["text"][:200]) else "en"
        found[lang].update(dict.fromkeys(part for part in SENTENCE_END.split(row["text"]) if len(part) >= LEAST_CHARS))
    return {lang: list(pool) for lang, pool in found.items()}


def documents(pools: dict[str, list[str]], rng: random.Random) -> Iterator[str]:
    while True:
        lang = "zh" if rng.random() < CHINESE_SHARE else "en"
        space = "" if lang == "zh" else " "
        lines = (space.join(rng.choices(pools[lang], k=rng.randint(*SENTENCES_PER_LINE))) for _ in range(rng.randint(*LINES)))
        yield "\n".join(lines)


def write_input(folder: Path, data: Path, num_bytes: int) -> dict[str, int]:
    """JSON Lines files of about FILE_BYTES."""
    made, rng = documents(sentences(data), random.Random(0)), random.Random(1)
    written = num_documents = 0
    while written < num_bytes:
        with (folder / f"part-{written // FILE_BYTES:04}.jsonl").open("w", encoding="utf-8") as stream:
            size = 0
            while size < FILE_BYTES and written + size < num_bytes:
                line = json.dumps({"id": f"{rng.getrandbits(64):016x}", "text": next(made)}, ensure_ascii=False)
                size += len(line.encode()) + 1
                num_documents += 1
                stream.write(line + "\n")
        written += size
    return {"bytes": written, "documents": num_documents}


def family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in tasks.read_text().split():
                yield from family(int(child))
        except OSError:
            continue  # ended meanwhile


def megabytes_of(pid: int) -> float:
    total = 0
    for member in family(pid):
        try:
            found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{member}/smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1024


def build(folder: Path, home: Path, workers: int) -> dict[str, Any]:
    options = ["--home", str(home), "corpus", "build", "large", str(folder), "--set", f"workers={workers}"]
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "feilun.cli", *options], stdout=subprocess.DEVNULL)
    most = said = 0.0
    while child.poll() is None:
        most = max(most, megabytes_of(child.pid))
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{said - began:.0f} s, at most {most:.0f} MB", file=sys.stderr, flush=True)
        time.sleep(LOOK_SECONDS)
    if child.returncode:
        raise SystemExit(f"the build ended with {child.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": time.monotonic() - began, "cpu_seconds": used.ru_utime + used.ru_stime, "most_megabytes": most}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where there is room")
    options = parser.parse_args()
    data = os.environ.get("FEILUN_TEST_DATA")
    if not data:
        raise SystemExit("FEILUN_TEST_DATA is not set; it must name the folder that holds corpus/*.jsonl.zst")
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        source, home = Path(work) / "input", Path(work) / "home"
        source.mkdir()
        given = write_input(source, Path(data), round(options.gigabytes * GIGA))
        measured = build(source, home, options.workers)
        manifest = read_json(next((home / "corpus").glob("large@*/manifest.json")))
    row = given | {name: round(value, 1) for name, value in measured.items()} | {"counts": manifest["counts"]}
    row["mb_per_cpu_second"] = round(given["bytes"] / 1e6 / measured["cpu_seconds"], 2)
    print(json.dumps({
        "benchmark": "corpus_large", "machine": machine(), "ours": row, "peers": {},
        "ratios": {"most_megabytes": row["most_megabytes"]}, "absent": [],
    }, ensure_ascii=False))  # fmt: skip
    return 0 if measured["most_megabytes"] < MOST_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
