"""Washing raw text, MB per CPU-second of one process: ours beside datatrove and data-juicer on the same files, in turn.

    FEILUN_TEST_DATA=... python -m benchmarks.corpus [--rounds N] [--files N]

Work of each: read .jsonl.zst, repair Unicode to NFC and control characters, drop short texts and exact duplicates, write
Parquet. Ours also normalises line ends, names languages, splits off validation and keeps the dropped. The peers run their
own Unicode fixer (ftfy in both), one process, no scheduler; interpreter start and imports are not counted.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MIN_CHARS = 20
PEERS = {"datatrove": "datatrove", "data_juicer": "data_juicer"}


def run_ours(files: list[Path], out: Path, workers: int = 1) -> Callable[[], None]:
    from feilun.config import CorpusSettings
    from feilun.corpus import build_corpus

    settings = CorpusSettings(min_chars=MIN_CHARS, workers=workers)
    return lambda: build_corpus(out, "bench", files, settings) and None


def run_datatrove(files: list[Path], out: Path) -> Callable[[], None]:
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.formatters import FTFYFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter

    listing = out / "files.txt"
    listing.write_text("\n".join(file.name for file in files))
    seen: set[bytes] = set()
    steps = [
        JsonlReader(str(files[0].parent), paths_file=str(listing), compression="zstd"),
        FTFYFormatter(normalization="NFC"),
        LambdaFilter(lambda document: keeps(document.text, seen)),
        ParquetWriter(str(out / "parquet"), compression="zstd"),
    ]

    def work() -> None:
        data = None
        for step in steps:
            data = step(data, 0, 1)
        assert data is not None
        assert sum(1 for _ in data)

    return work


def run_data_juicer(files: list[Path], out: Path) -> Callable[[], None]:
    import polars as pl
    import zstandard
    from data_juicer.ops.mapper import FixUnicodeMapper, WhitespaceNormalizationMapper

    mappers = [FixUnicodeMapper(normalization="NFC"), WhitespaceNormalizationMapper()]

    def work() -> None:
        seen: set[bytes] = set()
        for file in files:
            lines = zstandard.ZstdDecompressor().stream_reader(file.read_bytes(), read_across_frames=True).read().splitlines()
            batch = {"text": [json.loads(line)["text"] for line in lines]}
            for mapper in mappers:
                batch = mapper.process_batched(batch)
            kept = [text for text in batch["text"] if keeps(text, seen)]
            pl.DataFrame({"text": kept}).write_parquet(out / f"{file.name}.parquet", compression="zstd")

    return work


def keeps(text: str, seen: set[bytes]) -> bool:
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    if digest in seen or len(text) < MIN_CHARS:
        return False
    seen.add(digest)
    return True


RUNNERS = {
    "ours": run_ours,
    "ours_two_workers": lambda files, out: run_ours(files, out, workers=2),
    "datatrove": run_datatrove,
    "data_juicer": run_data_juicer,
}


def measure(name: str, files: list[Path]) -> dict[str, float]:
    """CPU-seconds and seconds of one run, in this process and its children."""
    with tempfile.TemporaryDirectory() as out:
        work = RUNNERS[name](files, Path(out))
        started, cpu = time.monotonic(), os.times()
        work()
        seconds, after = time.monotonic() - started, os.times()
    return {"seconds": seconds, "cpu_seconds": sum(after[:4]) - sum(cpu[:4])}


def measure_apart(name: str, folder: Path, num_files: int) -> dict[str, float]:
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.corpus", "--one", name, "--files", str(num_files)]
    done = subprocess.run(command, env=environment | {"FEILUN_TEST_DATA": str(folder)}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def corpus_files(folder: Path, num_files: int) -> list[Path]:
    files = sorted((folder / "corpus").glob("*.jsonl.zst"))
    return files[:num_files] if num_files else files


def text_megabytes(files: list[Path]) -> float:
    import zstandard

    unpacked = (zstandard.ZstdDecompressor().stream_reader(f.read_bytes(), read_across_frames=True).read() for f in files)
    return sum(len(json.loads(line)["text"].encode()) for data in unpacked for line in data.splitlines()) / 1e6


def compare(folder: Path, rounds: int, num_files: int) -> dict[str, object]:
    files = corpus_files(folder, num_files)
    megabytes = text_megabytes(files)
    absent = [name for name, module in PEERS.items() if importlib.util.find_spec(module) is None]
    names = [name for name in RUNNERS if name not in absent]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            runs[name].append(measure_apart(name, folder, num_files))
            print(f"round {number + 1} {name}: {runs[name][-1]}", flush=True)
    table = {name: summary(megabytes, results) for name, results in runs.items()}
    ours, peers = table["ours"], {name: table[name] for name in PEERS if name in table}
    ratios = {f"vs_{name}": ours["mb_per_cpu_second"] / peer["mb_per_cpu_second"] for name, peer in peers.items()}
    ratios["mb_per_cpu_second"] = ours["mb_per_cpu_second"]
    ratios["two_worker_speedup"] = ours["seconds"] / table["ours_two_workers"]["seconds"]
    return {
        "benchmark": "corpus", "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "megabytes": round(megabytes, 2), "rounds": rounds,
        "ours": ours | {"two_workers": table["ours_two_workers"]}, "peers": peers, "absent": absent,
        "ratios": {key: round(value, 3) for key, value in ratios.items()},
    }  # fmt: skip


def summary(megabytes: float, results: list[dict[str, float]]) -> dict[str, float]:
    cpu_seconds = statistics.median(r["cpu_seconds"] for r in results)
    seconds = statistics.median(r["seconds"] for r in results)
    return {"mb_per_cpu_second": round(megabytes / cpu_seconds, 2), "cpu_seconds": round(cpu_seconds, 2), "seconds": round(seconds, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=0, help="only the first N corpus files; 0 is all")
    parser.add_argument("--one", choices=RUNNERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = os.environ.get("FEILUN_TEST_DATA")
    if not data:
        raise SystemExit("FEILUN_TEST_DATA is not set; it must name the folder that holds corpus/*.jsonl.zst")
    if arguments.one:
        print(json.dumps(measure(arguments.one, corpus_files(Path(data), arguments.files))))
        return
    print(json.dumps(compare(Path(data), arguments.rounds, arguments.files)))


if __name__ == "__main__":
    main()
