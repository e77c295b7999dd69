"""The article out of web pages: ours beside trafilatura and resiliparse on pages whose article a person marked.

    FEILUN_TEST_DATA=... python -m benchmarks.extraction [--rounds N]

F1 of a page: tokens are words in lower case, and single Han characters; the overlap of the two bags over their mean size.
The numbers of feilun/corpus/extract.py were chosen on the development half of the pages (an even hash of the id), and what
counts is the report half. Each program runs in this process, its warm-up not counted, the rounds alternating; MB is of HTML.
The interval is a bootstrap over pages of the difference in F1, ours minus the peer's on the same page.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from feilun.stats import bootstrap_interval

TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_]+")
Page = dict[str, str]
Extractor = Callable[[str], str]


def ours() -> Extractor:
    from feilun.corpus.extract import extract_article, parse_page

    return lambda html: extract_article(parse_page(html)[0]).text


def trafilatura(**options: bool) -> Callable[[], Extractor]:
    def make() -> Extractor:
        from trafilatura import extract

        return lambda html: extract(html, include_comments=False, **options) or ""

    return make


def resiliparse() -> Extractor:
    from resiliparse.extract.html2text import extract_plain_text

    return lambda html: extract_plain_text(html, main_content=True, preserve_formatting=False)


EXTRACTORS = {"ours": ours, "trafilatura": trafilatura(), "trafilatura_fast": trafilatura(fast=True), "resiliparse": resiliparse}
MODULES = {"trafilatura": "trafilatura", "trafilatura_fast": "trafilatura", "resiliparse": "resiliparse"}


def bag_f1(found: str, wanted: str) -> float:
    one, other = (Counter(TOKEN.findall(text.lower())) for text in (found, wanted))
    return 2 * (one & other).total() / max(1, one.total() + other.total())


def is_development(page: Page) -> bool:
    return hashlib.sha256(page["id"].encode()).digest()[0] % 2 == 0


def measure(extract: Extractor, pages: list[Page]) -> tuple[float, list[str]]:
    started = time.process_time()
    texts = [extract(page["html"]) for page in pages]
    return time.process_time() - started, texts


def interval(differences: list[float]) -> list[float]:
    bounds = bootstrap_interval(differences, num_draws=10_000)
    return [round(bounds.low, 4), round(bounds.high, 4)]


def compare(pages: list[Page], rounds: int) -> dict[str, object]:
    absent = sorted({module for module in MODULES.values() if importlib.util.find_spec(module) is None})
    extractors = {name: make() for name, make in EXTRACTORS.items() if MODULES.get(name) not in absent}
    halves = {"development": [p for p in pages if is_development(p)], "report": [p for p in pages if not is_development(p)]}
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in extractors}
    seconds: dict[str, list[float]] = {name: [] for name in extractors}
    for number in range(rounds):
        for name, extract in extractors.items():
            measure(extract, pages[:3])
            taken = 0.0
            for half, members in halves.items():
                cpu_seconds, texts = measure(extract, members)
                taken += cpu_seconds
                scores[name][half] = [bag_f1(text, page["text"]) for text, page in zip(texts, members, strict=True)]
            seconds[name].append(taken)
            print(f"round {number + 1} {name}: {taken:.2f} CPU-seconds", flush=True)
    return report(pages, scores, seconds, absent, rounds)


def report(
    pages: list[Page], scores: dict[str, dict[str, list[float]]], seconds: dict[str, list[float]], absent: list[str], rounds: int
) -> dict[str, object]:
    megabytes = sum(len(page["html"].encode()) for page in pages) / 1e6
    table: dict[str, dict[str, object]] = {}
    for name, halves in scores.items():
        table[name] = {f"f1_{half}": round(statistics.fmean(values), 4) for half, values in halves.items()}
        table[name]["mb_per_cpu_second"] = round(megabytes / statistics.median(seconds[name]), 2)
    ratios: dict[str, object] = {}
    for name in table.keys() - {"ours"}:
        for half in ("development", "report"):
            differences = [a - b for a, b in zip(scores["ours"][half], scores[name][half], strict=True)]
            ratios[f"f1_{half}_minus_{name}"] = round(statistics.fmean(differences), 4)
            ratios[f"f1_{half}_minus_{name}_interval95"] = interval(differences)
        ratios[f"speed_vs_{name}"] = round(statistics.median(seconds[name]) / statistics.median(seconds["ours"]), 2)
    return {
        "benchmark": "extraction", "machine": f"{platform.machine()}, {os.cpu_count()} cores", "rounds": rounds,
        "pages": {half: len(values) for half, values in scores["ours"].items()}, "megabytes": round(megabytes, 2),
        "ours": table.pop("ours"), "peers": table, "absent": absent, "ratios": dict(sorted(ratios.items())),
    }  # fmt: skip


def read_pages(folder: Path) -> list[Page]:
    import zstandard

    path = folder / "dirty" / "html_articles.jsonl.zst"
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()
    return [json.loads(line) for line in data.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    data = os.environ.get("FEILUN_TEST_DATA")
    if not data:
        raise SystemExit("FEILUN_TEST_DATA is not set; it must name the folder that holds dirty/html_articles.jsonl.zst")
    print(json.dumps(compare(read_pages(Path(data)), arguments.rounds)))


if __name__ == "__main__":
    main()
