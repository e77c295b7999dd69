"""What repair mends, what it breaks, and how fast: ours beside ftfy, data-juicer and datatrove on the same texts.

    FEILUN_TEST_DATA=... [FEILUN_WASH_PEERS=.../bin/python] python -m benchmarks.wash [--texts 60] [--half report|develop] [--seed 0]

Three tables. Gold: five real texts with what a reader marked by hand, as counts and spot checks. Damage: clean text that is damaged
with the exact inverse known (`washing.corruptions`); precision, recall and F1 are over the characters that must change. Clean:
the share of the characters of clean text that is changed at all. A document belongs to a half by its hash; the rules were written
on "develop", "report" is what counts. Peers run in the interpreter FEILUN_WASH_PEERS, or in this one; an absent one is named.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.washing.changes import Score, changes
from benchmarks.washing.corruptions import CORRUPTIONS, Corruption, Pair, tidy
from benchmarks.washing.gold import gold_failures
from benchmarks.washing.peers import PEERS

MAX_CHARS = 2500
# The UTF-8 of a text read wrongly has hardly a character in common with it: shorter texts keep the comparing short.
MISREAD_CHARS = 500
HALVES = {"develop": 0, "report": 1}


class Clean(NamedTuple):
    file: str
    lang: str
    text: str


def documents(data: Path, half: str) -> list[Clean]:
    """The clean documents of one half."""
    import io

    import zstandard

    found = []
    for path in sorted((data / "corpus").glob("*.jsonl.zst")):
        file = path.name.split(".")[0]
        with path.open("rb") as packed:
            for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), encoding="utf-8"):
                row = json.loads(line)
                key = hashlib.blake2b(f"{file}:{row['id']}".encode(), digest_size=8).digest()
                if key[0] % 2 == HALVES[half]:
                    found.append(Clean(file, row["lang"], row["text"]))
    return found


def repaired(texts: list[str], langs: list[str]) -> list[str]:
    import polars as pl

    from feilun.config import CorpusSettings
    from feilun.corpus.repair import repair_texts

    return repair_texts(pl.Series(texts, dtype=pl.String), pl.Series(langs, dtype=pl.String), CorpusSettings()).texts.to_list()


def by_peer(name: str, texts: list[str]) -> tuple[list[str], float] | None:
    """(texts, CPU-seconds) of a peer, or None where it is not installed."""
    python = os.environ.get("FEILUN_WASH_PEERS", sys.executable)
    run = subprocess.run([python, "-m", "benchmarks.washing.peers", name], input=json.dumps(texts), capture_output=True, text=True)
    if run.returncode:
        print(f"{name} is absent: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else run.returncode}", file=sys.stderr)
        return None
    answer = json.loads(run.stdout)
    return answer["texts"], answer["cpu_seconds"]


def damaged(corruption: Corruption, cleans: list[Clean], num_texts: int, seed: int) -> Iterator[tuple[Pair, str]]:
    """Up to `num_texts` pairs, from documents in an order of their own for each rule."""
    limit = MISREAD_CHARS if corruption.rule.startswith("mojibake") else MAX_CHARS
    rng = random.Random(f"{seed} {corruption.rule}")
    chosen = [clean for clean in cleans if clean.lang in corruption.langs]
    rng.shuffle(chosen)
    num_found = 0
    for clean in chosen:
        found = corruption.corrupt(rng, tidy(clean.text[:limit].rpartition("\n")[0] or clean.text[:limit]))
        if found is not None:
            yield found, clean.lang
            num_found += 1
        if num_found == num_texts:
            return


def score_rules(cleans: list[Clean], num_texts: int, seed: int) -> dict[str, dict[str, Score]]:
    pairs = {c.rule: list(damaged(c, cleans, num_texts, seed)) for c in CORRUPTIONS}
    flat = [(rule, pair, lang) for rule, found in pairs.items() for pair, lang in found]
    dirty = [pair.dirty for _, pair, _ in flat]
    answers: dict[str, list[str] | None] = {"ours": repaired(dirty, [lang for _, _, lang in flat])}
    for name in PEERS:
        run = by_peer(name, dirty)
        answers[name] = run[0] if run else None
    where = {corruption.rule: corruption.where for corruption in CORRUPTIONS}
    table: dict[str, dict[str, Score]] = {}
    for name, texts in answers.items():
        for (rule, pair, _), text in zip(flat, texts or [], strict=False):
            table.setdefault(rule, {}).setdefault(name, Score()).add(pair.dirty, pair.clean, text, where[rule])
    return table


def over_repair(cleans: list[Clean], num_each: int, seed: int) -> dict[str, dict[str, Any]]:
    """Share of characters that each tool changes in clean zh, en and code, in ten thousandths; and MB per CPU-second."""
    found: dict[str, dict[str, Any]] = {}
    for group, langs in (("zh", ("zh",)), ("en", ("en",)), ("code", ("python",))):
        chosen = [clean for clean in cleans if clean.lang in langs]
        random.Random(seed).shuffle(chosen)
        texts = [tidy(clean.text) for clean in chosen]
        lang = [clean.lang for clean in chosen]
        repaired(texts[:50], lang[:50])
        began = time.process_time()
        ours = repaired(texts, lang)
        seconds = time.process_time() - began
        row = {"ours": _share(texts, ours) | {"mb_per_cpu_second": _mb(texts) / seconds}}
        few = texts[:num_each]
        for name in PEERS:
            if run := by_peer(name, few):
                row[name] = _share(few, run[0]) | {"mb_per_cpu_second": _mb(few) / max(run[1], 1e-9)}
        found[group] = row
    return found


def _mb(texts: list[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def _share(texts: list[str], others: list[str]) -> dict[str, Any]:
    changed = 0
    for text, other in zip(texts, others, strict=True):
        if text != other:
            found = changes(text, other)
            lost = sum(count for (_, order, _), count in found.items() if order < 0)
            changed += max(lost, found.total() - lost)
    return {"texts": len(texts), "characters": sum(map(len, texts)), "changed": changed, "share": changed / max(1, sum(map(len, texts)))}


def print_rules(table: dict[str, dict[str, Score]]) -> None:
    names = ["ours", *(name for name in PEERS if any(name in row for row in table.values()))]
    print(f"{'damage':20} {'texts':>5} {'needed':>7} {'precision':>9} {'recall':>7}  " + " ".join(f"{name + ' F1':>14}" for name in names))
    for rule, row in table.items():
        ours = row["ours"]
        cells = " ".join(f"{row[name].f1:14.4f}" if name in row else f"{'-':>14}" for name in names)
        print(f"{rule:20} {ours.num_texts:5} {ours.needed:7} {ours.precision:9.4f} {ours.recall:7.4f}  {cells}")


def print_clean(table: dict[str, dict[str, Any]]) -> None:
    for group, row in table.items():
        for name, cell in row.items():
            print(
                f"clean {group:5} {name:12} {cell['texts']:6} texts {cell['characters']:9} characters, {cell['changed']:6} changed "
                f"({cell['share'] * 100:.4f} %), {cell['mb_per_cpu_second']:7.1f} MB/CPU-s"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=60, help="damaged texts a rule")
    parser.add_argument("--half", choices=HALVES, default="report")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not (data := os.environ.get("FEILUN_TEST_DATA")):
        sys.exit("FEILUN_TEST_DATA names no folder of real text: nothing to measure")
    failures = gold_failures(Path(data) / "dirty" / "zh_interviews", repaired)
    print("\n".join(f"gold: {failure}" for failure in failures) or "gold: every mark of the five texts holds")
    cleans = documents(Path(data), options.half)
    rules = score_rules(cleans, options.texts, options.seed)
    print_rules(rules)
    clean = over_repair(cleans, 40, options.seed)
    print_clean(clean)
    present = {name for row in rules.values() for name in row}
    ours = {rule: round(row["ours"].f1, 4) for rule, row in rules.items()}
    ratios = {"char_f1_min": min(ours.values()), "over_repair": max(row["ours"]["share"] for row in clean.values())}
    peers = {name: {rule: round(row[name].f1, 4) for rule, row in rules.items()} for name in PEERS if name in present}
    answer = {
        "benchmark": "wash", "machine": f"{platform.machine()} {os.cpu_count()} cpus", "half": options.half, "gold_failures": failures,
        "ours": ours, "peers": peers, "absent": [name for name in PEERS if name not in present],
        "clean": {group: {name: round(cell["share"], 6) for name, cell in row.items()} for group, row in clean.items()},
        "mb_per_cpu_second": {group: round(row["ours"]["mb_per_cpu_second"], 1) for group, row in clean.items()},
        "ratios": {name: round(value, 6) for name, value in ratios.items()},
    }  # fmt: skip
    print(json.dumps(answer))
    sys.exit(bool(failures or ratios["char_f1_min"] < 0.98 or ratios["over_repair"] > 0.0005))


if __name__ == "__main__":
    main()
