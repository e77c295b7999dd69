"""Personal data out of texts: recall, precision and speed of ours beside datatrove's and data-juicer's on the same made set.

    python -m benchmarks.redact [--items N] [--seed N] [--peer-python PATH] [--misses]

Every item is a sentence in simplified or traditional Chinese, English or code with one value, glued to Han or not, or with one
number that only looks like one. Values and checksums are made here, by other code than that which looks for them. An item is
found when its value is gone and what stands around it is whole; a false alarm is an item whose surroundings, or whose
harmless number, changed. With FEILUN_TEST_DATA set, the alarms per MB of the real corpus follow, and the speed there.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.redact_set import KINDS, Item, make_items

PEERS = ("datatrove", "data_juicer")


def redact_ours(texts: list[str]) -> list[str]:
    import polars as pl

    from feilun.corpus.redact import redact_texts

    return redact_texts(pl.Series(texts, dtype=pl.String)).texts.to_list()


def redact_datatrove(texts: list[str]) -> list[str]:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter(remove_ips=True, only_remove_public_ips=False)
    return [formatter.format(text) for text in texts]


def redact_data_juicer(texts: list[str]) -> list[str]:
    from data_juicer.ops.mapper.clean_email_mapper import CleanEmailMapper
    from data_juicer.ops.mapper.clean_ip_mapper import CleanIpMapper

    batch = {"text": list(texts)}
    for mapper in (CleanEmailMapper(repl="[EMAIL]"), CleanIpMapper(repl="[IP]")):
        batch = mapper.process_batched(batch)
    return list(batch["text"])


REDACTORS = {"ours": redact_ours, "datatrove": redact_datatrove, "data_juicer": redact_data_juicer}


# What each puts in the place of what it found; datatrove's own default replacements.
PLACEHOLDERS = {
    "ours": re.compile(r"\[[A-Z_]+\]"),
    "data_juicer": re.compile(r"\[[A-Z_]+\]"),
    "datatrove": re.compile(r"email@example\.com|firstname\.lastname@example\.org|(?:[0-9]{1,3}\.){3}[0-9]{1,3}"),
}


def marks(name: str, items: list[Item], outputs: list[str]) -> list[str]:
    """ "found", "missed", "kept" or "harmed" for each item."""
    found = []
    for item, output in zip(items, outputs, strict=True):
        is_whole = output.startswith(item.before) and output.endswith(item.after) and len(output) >= len(item.before) + len(item.after)
        if not item.kind or not is_whole:
            found.append("kept" if output == item.text else "harmed")
            continue
        rest = output[len(item.before) : len(output) - len(item.after)]
        found.append("found" if rest != item.value and PLACEHOLDERS[name].fullmatch(rest) else "missed")
    return found


def tabulate(items: list[Item], verdicts: list[str]) -> dict[str, object]:
    by_kind = {kind: Counter(v for item, v in zip(items, verdicts, strict=True) if item.kind == kind) for kind in (*KINDS, "")}
    recall = {kind: round(by_kind[kind]["found"] / max(1, by_kind[kind].total()), 4) for kind in KINDS}
    num_found = sum(by_kind[kind]["found"] for kind in KINDS)
    num_harmed = sum(counts["harmed"] for counts in by_kind.values())
    alarms = Counter(item.form for item, v in zip(items, verdicts, strict=True) if not item.kind and v == "harmed")
    return {
        "recall": round(num_found / sum(by_kind[kind].total() for kind in KINDS), 4),
        "precision": round(num_found / max(1, num_found + num_harmed), 4),
        "recall_by_kind": recall,
        "look_alikes": by_kind[""].total(),
        "look_alikes_harmed": dict(alarms),
    }


def speed(redactor: Callable[[list[str]], list[str]], texts: list[str]) -> float:
    """MB of UTF-8 per CPU-second of this process."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    started = time.process_time()
    redactor(texts)
    return round(megabytes / (time.process_time() - started), 1)


def real_texts(folder: Path) -> list[str]:
    import zstandard

    unpacked = (
        zstandard.ZstdDecompressor().stream_reader(f.read_bytes(), read_across_frames=True).read()
        for f in sorted((folder / "corpus").glob("*.zst"))
    )
    return [json.loads(line)["text"] for data in unpacked for line in data.splitlines()]


def real_corpus(folder: Path) -> dict[str, object]:
    """What is taken out of real text, and how fast: of all of it, and of the texts that hold nothing."""
    import polars as pl

    from feilun.corpus.redact import redact_texts

    texts = real_texts(folder)
    edits = redact_texts(pl.Series(texts)).edits
    touched = set(edits["row"])
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    clean = [text for row, text in enumerate(texts) if row not in touched]
    return {
        "megabytes": round(megabytes, 1),
        "documents": len(texts),
        "documents_touched": len(touched),
        "per_megabyte": {rule: round(count / megabytes, 3) for rule, count in edits["rule"].value_counts(sort=True).iter_rows()},
        "mb_per_cpu_second": speed(redact_ours, texts),
        "mb_per_cpu_second_clean": speed(redact_ours, clean),
    }


def measure(name: str, seed: int, per_kind: int) -> dict[str, object]:
    items = make_items(seed, per_kind)
    texts = [item.text for item in items]
    outputs = REDACTORS[name](texts)
    return tabulate(items, marks(name, items, outputs)) | {"mb_per_cpu_second_made_set": speed(REDACTORS[name], texts)}


def measure_peer(python: str, name: str, seed: int, per_kind: int) -> dict[str, object] | None:
    command = [python, "-m", "benchmarks.redact", "--one", name, "--seed", str(seed), "--items", str(per_kind)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def print_misses(seed: int, per_kind: int) -> None:
    items = make_items(seed, per_kind)
    verdicts = marks("ours", items, redact_ours([item.text for item in items]))
    for item, verdict in zip(items, verdicts, strict=True):
        if verdict in ("missed", "harmed"):
            print(f"{verdict} {item.kind or 'look-alike'} {item.form}: {item.text!r}")


def print_table(results: dict[str, dict[str, object]]) -> None:
    print(f"{'':14}{'recall':>8}{'precision':>11}  recall by kind")
    for name, result in results.items():
        kinds = result["recall_by_kind"]
        assert isinstance(kinds, dict)
        print(
            f"{name:14}{result['recall']:>8}{result['precision']:>11}  " + " ".join(f"{kind} {share:.3f}" for kind, share in kinds.items())
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000, help="items of each kind; a sixth of it of each look-alike")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has the peers installed")
    parser.add_argument("--misses", action="store_true", help="only print what ours misses and harms")
    parser.add_argument("--one", choices=REDACTORS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.misses:
        print_misses(arguments.seed, arguments.items)
        return
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.seed, arguments.items)))
        return
    ours = measure("ours", arguments.seed, arguments.items)
    tried = {name: measure_peer(arguments.peer_python, name, arguments.seed, arguments.items) for name in PEERS}
    peers = {name: result for name, result in tried.items() if result is not None}
    print_table({"ours": ours} | peers)
    ratios = {"recall": ours["recall"], "precision": ours["precision"]}
    if data := os.environ.get("FEILUN_TEST_DATA"):
        ours["real_corpus"] = real = real_corpus(Path(data))
        ratios["mb_per_cpu_second"] = real["mb_per_cpu_second_clean"]
    print(
        json.dumps(
            {
                "benchmark": "redact",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "seed": arguments.seed,
                "items_per_kind": arguments.items,
                "ours": ours,
                "peers": peers,
                "absent": [name for name in PEERS if name not in peers],
                "ratios": ratios,
            }
        )
    )


if __name__ == "__main__":
    main()
