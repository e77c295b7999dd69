"""Washing text, MB per CPU-second of one process: ours beside datatrove's Chinese configuration and data-juicer, in one run.

    FEILUN_TEST_DATA=... python -m benchmarks.corpus [--rounds N] [--files N] [--peer-megabytes N]
        [--datatrove PYTHON] [--data-juicer PYTHON]

Each round runs each in a process of its own, one after the other. Ours is `corpus build` as it stands: reading, repair, doubled lines,
personal data, filters, signatures, clusters, writing. datatrove: ftfy, PII, its three filters with the thresholds of FineWeb-2
cmn_Hani, MinHash signatures (its clustering is not counted). data-juicer: its mappers and filters of like work, MinHash. The
peers are given a part of the input, because they are slow, and each may stand in a Python of its own. Interpreter start and imports are
not counted. Near copies with a known likeness are planted into the input: recall and false merges are of these and of all that was dropped.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PLANTED_SHARE = 0.08
MIN_PLANTED_CHARS = 300
CHANGE_SHARES = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
PAIRS = "pairs.json"
# FineWeb-2, configs/cmn_Hani.yml.
TOP_N_GRAMS = ((2, 0.256), (3, 0.201), (4, 0.171))
DUP_N_GRAMS = ((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127))
STOP_WORDS = list("的是在了和有不我他這这个個们中来上大为為也就")


def run_ours(folder: Path, out: Path, workers: int = 1) -> Callable[[], None]:
    from feilun.config import CorpusSettings
    from feilun.corpus import build_corpus

    return lambda: build_corpus(out, "bench", [folder], CorpusSettings(workers=workers)) and None


def run_datatrove(folder: Path, out: Path) -> Callable[[], None]:
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
    from datatrove.pipeline.readers import JsonlReader

    repetition = GopherRepetitionFilter(
        dup_line_frac=0.287, dup_para_frac=None, dup_line_char_frac=None, dup_para_char_frac=None,
        top_n_grams=TOP_N_GRAMS, dup_n_grams=DUP_N_GRAMS, language="zho",
    )  # fmt: skip
    quality = GopherQualityFilter(
        min_avg_word_length=1, max_avg_word_length=5, max_non_alpha_words_ratio=0.735, stop_words=STOP_WORDS, language="zho"
    )
    fineweb = FineWebQualityFilter(
        line_punct_thr=0.106, short_line_thr=999, char_duplicates_ratio=0.1, new_line_ratio=0.178, language="zho"
    )
    steps = [
        JsonlReader(str(folder), glob_pattern="*.jsonl"), FTFYFormatter(), PIIFormatter(), repetition, quality, fineweb,
        MinhashDedupSignature(str(out / "signatures"), language="zho"),
    ]  # fmt: skip

    def work() -> None:
        data: Any = None
        for step in steps:
            data = step(data, 0, 1)
            if data is None:
                break
        if data is not None:
            for _ in data:
                pass

    return work


def run_data_juicer(folder: Path, out: Path) -> Callable[[], None]:
    from data_juicer.ops.deduplicator import DocumentMinhashDeduplicator
    from data_juicer.ops.filter import AlphanumericFilter, CharacterRepetitionFilter, SpecialCharactersFilter
    from data_juicer.ops.mapper import CleanEmailMapper, CleanIpMapper, FixUnicodeMapper, WhitespaceNormalizationMapper
    from data_juicer.utils.constant import Fields

    mappers = [FixUnicodeMapper(), WhitespaceNormalizationMapper(), CleanEmailMapper(), CleanIpMapper()]
    filters = [AlphanumericFilter(), CharacterRepetitionFilter(), SpecialCharactersFilter()]
    minhash = DocumentMinhashDeduplicator(tokenization="character", window_size=5)

    def work() -> None:
        texts = [json.loads(line)["text"] for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
        batch: dict[str, Any] = {"text": texts}
        for mapper in mappers:
            batch = mapper.process_batched(batch)
        batch[Fields.stats] = [{} for _ in texts]
        for keep in filters:
            batch = keep.compute_stats_batched(batch)
            list(keep.process_batched(batch))
        for text in batch["text"]:
            minhash.compute_hash({"text": text})

    return work


RUNNERS: dict[str, Callable[[Path, Path], Callable[[], None]]] = {
    "ours": run_ours,
    "ours_two_workers": lambda folder, out: run_ours(folder, out, workers=2),
    "datatrove": run_datatrove,
    "data_juicer": run_data_juicer,
}


def measure(name: str, folder: Path, out: Path) -> dict[str, float]:
    """CPU-seconds and seconds of one run, with its children and without, and the most memory that one process had."""
    import resource

    work = RUNNERS[name](folder, out)
    started, cpu = time.monotonic(), os.times()
    work()
    seconds, after = time.monotonic() - started, os.times()
    own, children = (sum(after[place : place + 2]) - sum(cpu[place : place + 2]) for place in (0, 2))
    usages = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"seconds": seconds, "cpu_seconds": own + children, "own_cpu_seconds": own, "max_rss_mb": max(usages) / 1024}


def begin(name: str, python: str, folder: Path, out: Path) -> subprocess.Popen:
    out.mkdir(parents=True)
    threads = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    command = [python, "-m", "benchmarks.corpus", "--one", name, "--input", str(folder), "--out", str(out)]
    return subprocess.Popen(command, env=os.environ | threads, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen) -> dict[str, float] | str:
    said, fault = child.communicate()
    return fault[-2000:] if child.returncode else json.loads(said.splitlines()[-1])


def rows_of(folder: Path, num_files: int) -> Iterator[dict[str, str]]:
    import zstandard

    files = sorted((folder / "corpus").glob("*.jsonl.zst"))
    for file in files[:num_files] if num_files else files:
        yield from map(
            json.loads, zstandard.ZstdDecompressor().stream_reader(file.read_bytes(), read_across_frames=True).read().splitlines()
        )


def shingles(text: str) -> set[str]:
    letters = "".join(c.lower() for c in text if c.isalnum())
    return {letters[i : i + 5] for i in range(len(letters) - 4)}


def jaccard(one: str, other: str) -> float:
    left, right = shingles(one), shingles(other)
    return len(left & right) / max(len(left | right), 1)


def write_input(data: Path, folder: Path, num_files: int) -> float:
    """The corpus with planted near copies, as .jsonl files of some MB; its megabytes of text."""
    rng = random.Random(0)
    rows = list(rows_of(data, num_files))
    pairs = []
    for place in rng.sample(range(len(rows)), int(PLANTED_SHARE * len(rows))):
        text = rows[place]["text"]
        if len(text) >= MIN_PLANTED_CHARS:
            copy = changed(rng, text, rng.choice(CHANGE_SHARES))
            pairs.append([rows[place]["id"], f"planted-{place}", jaccard(text, copy)])
            rows.append(rows[place] | {"id": f"planted-{place}", "text": copy})
    rng.shuffle(rows)
    for number in range(0, len(rows), 1000):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[number : number + 1000])
        (folder / f"{number:06d}.jsonl").write_text(lines, encoding="utf-8")
    (folder.parent / PAIRS).write_text(json.dumps(pairs))
    return sum(len(row["text"].encode()) for row in rows) / 1e6


def changed(rng: random.Random, text: str, share: float) -> str:
    characters = list(text)
    for place in rng.sample(range(len(text)), max(int(share * len(text)), 1)):
        characters[place] = rng.choice("的一是不了在人有我他这为之大来以个中上们abcdefgh")
    return "".join(characters)


def write_part(folder: Path, part: Path, megabytes: float) -> float:
    """The first Chinese rows, for the peers; their megabytes of text."""
    lines, num_bytes = [], 0
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if num_bytes < megabytes * 1e6 and line and json.loads(line)["lang"] == "zh":
                lines.append(line + "\n")
                num_bytes += len(json.loads(line)["text"].encode())
    part.mkdir()
    (part / "part.jsonl").write_text("".join(lines), encoding="utf-8")
    return num_bytes / 1e6


def recall(home: Path, folder: Path) -> dict[str, float]:
    """Of planted pairs that no filter dropped, the share of which one is gone; of what is gone, the share that is like nothing kept."""
    import numpy as np
    import polars as pl

    from feilun.corpus.minhash import signatures, similarity
    from feilun.corpus.shingles import code_points, folded_letters

    made = next((home / "corpus").glob("bench@*"))
    kept = pl.concat([pl.read_parquet(path, columns=["id", "text"]) for path in sorted(made.glob("[tv]*.parquet"))])
    dropped = dict(pl.concat([pl.read_parquet(path) for path in made.glob("dropped-*.parquet")]).select("id", "reason").iter_rows())
    copies = {key for key, reason in dropped.items() if reason.endswith("_duplicate")}
    judged = (None, "near_duplicate", "exact_duplicate")
    planted = json.loads((folder.parent / PAIRS).read_text())
    pairs = [pair for pair in planted if dropped.get(pair[0]) in judged and dropped.get(pair[1]) in judged]
    bands = {"recall_j90": [p for p in pairs if p[2] >= 0.9], "recall_j80": [p for p in pairs if 0.8 <= p[2] < 0.9]}
    found = {name: round(sum(bool({a, b} & copies) for a, b, _ in band) / max(len(band), 1), 4) for name, band in bands.items()}
    raw = {
        row["id"]: row["text"]
        for file in sorted(folder.glob("*.jsonl"))
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines())
    }
    near = [key for key, reason in dropped.items() if reason == "near_duplicate"]
    texts = (kept["text"], pl.Series([raw[key] for key in near], dtype=pl.String))
    sketches, gone = (signatures(folded_letters(code_points(column.to_list()))).sketch for column in texts)
    ids = kept["id"].to_list()
    best = [int(np.argmax(similarity(sketches, row[None]))) for row in gone]
    false = [key for key, place in zip(near, best, strict=True) if jaccard(raw[key], raw.get(ids[place], "")) < 0.65]
    return found | {
        "pairs_j90": len(bands["recall_j90"]), "pairs_j80": len(bands["recall_j80"]), "near_dropped": len(near),
        "false_merges": round(len(false) / max(len(near), 1), 4),
    }  # fmt: skip


def two_at_once(folder: Path, work: Path, number: int) -> float:
    """Seconds until two independent copies are done, side by side."""
    children = [begin("ours", sys.executable, folder, work / f"copy-{number}-{place}") for place in range(2)]
    results = [ended(child) for child in children]
    return max(result["seconds"] for result in results if not isinstance(result, str))


def compare(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    pythons = {
        "ours": sys.executable,
        "ours_two_workers": sys.executable,
        "datatrove": options.datatrove,
        "data_juicer": options.data_juicer,
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in RUNNERS}
    absent: dict[str, str] = {}
    together = []
    with tempfile.TemporaryDirectory() as temporary:
        work, folder = Path(temporary), Path(temporary) / "in"
        folder.mkdir()
        megabytes = write_input(data, folder, options.files)
        part_megabytes = write_part(folder, work / "part", options.peer_megabytes)
        for number in range(options.rounds):
            for name, python in pythons.items():
                if name in absent:
                    continue
                result = ended(begin(name, python, folder if name.startswith("ours") else work / "part", work / f"{name}-{number}"))
                print(f"round {number + 1} {name}: {result}", flush=True)
                if isinstance(result, str):
                    absent[name] = result.strip().splitlines()[-1]
                else:
                    runs[name].append(result)
            together.append(two_at_once(folder, work, number))
        quality = recall(work / "ours-0", folder)
    table = {name: summary(megabytes if name.startswith("ours") else part_megabytes, found) for name, found in runs.items() if found}
    return report(table, absent, quality, statistics.median(together), megabytes, options.rounds)


def report(
    table: dict[str, dict[str, float]], absent: dict[str, str], quality: dict[str, float], together: float, megabytes: float, rounds: int
) -> dict[str, Any]:
    ours, two = table.pop("ours"), table.pop("ours_two_workers")
    ratios = {f"vs_{name}": ours["mb_per_cpu_second"] / peer["mb_per_cpu_second"] for name, peer in table.items()}
    ratios |= {"mb_per_cpu_second": ours["mb_per_cpu_second"], "two_process_efficiency": together / (2 * two["seconds"])}
    # What the clock says is noise where others work too; by CPU-seconds: half of a lone run, over what the busier of the two takes.
    busier = max(two["own_cpu_seconds"], two["cpu_seconds"] - two["own_cpu_seconds"])
    ratios["two_process_efficiency_by_cpu"] = ours["cpu_seconds"] / 2 / busier
    ratios |= {name: quality[name] for name in ("recall_j90", "recall_j80", "false_merges")}
    return {
        "benchmark": "corpus", "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}",
        "megabytes": round(megabytes, 2), "rounds": rounds, "ours": ours | {"two_workers": two, "copies": quality}, "peers": table,
        "absent": absent, "ratios": {key: round(value, 3) for key, value in ratios.items()},
    }  # fmt: skip


def summary(megabytes: float, results: list[dict[str, float]]) -> dict[str, float]:
    middle = {key: statistics.median(r[key] for r in results) for key in results[0]}
    return {"megabytes": round(megabytes, 2), "mb_per_cpu_second": round(megabytes / middle["cpu_seconds"], 3)} | {
        key: round(value, 2) for key, value in middle.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=0, help="only the first N corpus files; 0 is all")
    parser.add_argument("--peer-megabytes", type=float, default=4.0)
    parser.add_argument("--datatrove", default=sys.executable, metavar="PYTHON", help="a Python that has it")
    parser.add_argument("--data-juicer", default=sys.executable, metavar="PYTHON", help="a Python that has it")
    for hidden in ("--one", "--input", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, Path(options.input), Path(options.out))))
        return
    data = os.environ.get("FEILUN_TEST_DATA")
    if not data:
        raise SystemExit("FEILUN_TEST_DATA is not set; it must name the folder that holds corpus/*.jsonl.zst")
    print(json.dumps(compare(Path(data), options), ensure_ascii=False))


if __name__ == "__main__":
    main()
