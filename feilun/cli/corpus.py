"""The verbs corpus and tokenizer."""

import argparse
import sys
from pathlib import Path
from typing import Any

from feilun.cli.parser import add, add_group, add_set


def add_corpus(verbs: Any) -> None:
    corpus = add_group(verbs, "corpus", "raw documents -> a clean corpus")
    build = add(corpus, "build", run_corpus_build, "clean text files into a corpus", begins=True)
    build.add_argument("name")
    build.add_argument("paths", nargs="+", type=path_or_address, metavar="PATH")
    add_set(build)
    report = add(corpus, "report", run_corpus_report, "what was kept, repaired and dropped, and why")
    report.add_argument("ref")
    undo = add(corpus, "undo", run_corpus_undo, "the raw documents of a corpus again")
    undo.add_argument("ref")
    chosen = undo.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--document", metavar="ID", help="its bytes into the file OUT")
    chosen.add_argument("--all", action="store_true", help="all documents below the folder OUT")
    undo.add_argument("out", type=Path, metavar="OUT")
    tokenizer = add_group(verbs, "tokenizer", "a byte-level BPE of a corpus")
    train = add(tokenizer, "train", run_tokenizer_train, "train a tokenizer")
    train.add_argument("name")
    train.add_argument("--corpus", required=True, metavar="REF")
    add_set(train)


def path_or_address(text: str) -> Path | str:
    return text if "://" in text else Path(text)


def run_corpus_build(options: argparse.Namespace) -> int:
    from feilun.config import CorpusSettings, apply_settings
    from feilun.corpus import build_corpus, report
    from feilun.progress import bytes_bar

    with bytes_bar("corpus") as show:
        made = build_corpus(options.home, options.name, options.paths, apply_settings(CorpusSettings(), options.assignments), progress=show)
    print(report(made))
    print(f"corpus/{made.ref}")
    return 0


def run_corpus_report(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.corpus import report

    print(report(find(options.home, options.ref, "corpus")))
    return 0


def run_corpus_undo(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.corpus import undo_corpus

    counts = undo_corpus(find(options.home, options.ref, "corpus"), options.out, options.document)
    print(f"{options.out}: {counts['files']:,} text files in their own bytes, {counts['texts']:,} texts as rows and pages held them")
    if counts["withheld"]:
        print(f"{counts['withheld']:,} redacted places stay: what stood there is not kept")
    return 0


def run_tokenizer_train(options: argparse.Namespace) -> int:
    from feilun.config import TokenizerSettings, apply_settings
    from feilun.tokenizer import train_tokenizer

    settings, watched = apply_settings(TokenizerSettings(), options.assignments), sys.stderr.isatty()
    made = train_tokenizer(options.home, options.name, options.corpus, settings, show_progress=watched)
    counts = made.manifest["counts"]
    print(f"{counts['num_reserved']} of {counts['vocab_size']} tokens are reserved, all else is in use\ntokenizer/{made.ref}")
    return 0
