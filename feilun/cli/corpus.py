"""The verbs corpus and tokenizer."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.cli.parser import add, add_group, add_set
from feilun.types import Consent, UserError

if TYPE_CHECKING:
    from feilun.config import CorpusSettings
    from feilun.corpus.decontaminate import Decontaminator


FEEDBACK = "feedback:"
PATHS = "files, folders, addresses; or feedback: alone, the chats served here (feedback:publish: only those that may be published)"


def add_corpus(verbs: Any) -> None:
    corpus = add_group(verbs, "corpus", "raw documents -> a clean corpus")
    add_build(corpus)
    mix = add(corpus, "mix", run_corpus_mix, "one corpus from several, by weights, caps and epochs")
    mix.add_argument("name")
    mix.add_argument(
        "--from", action="append", default=[], dest="sources", metavar="REF[=WEIGHT]", help="a source; without a weight its size counts"
    )
    mix.add_argument(
        "--cap", action="append", default=[], dest="caps", metavar="REF=SHARE", help="the largest share of the mix it may have"
    )
    mix.add_argument("--epochs", action="append", default=[], metavar="REF=N", help="how often its documents may be used (default: once)")
    add_set(mix)
    report = add(corpus, "report", run_corpus_report, "what was kept, repaired and dropped, and why")
    report.add_argument("ref")
    report.add_argument("--html", type=Path, metavar="PATH", help="write one page with samples and plots instead")
    undo = add(corpus, "undo", run_corpus_undo, "the raw documents of a corpus again")
    undo.add_argument("ref")
    chosen = undo.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--document", metavar="ID", help="its bytes into the file OUT")
    chosen.add_argument("--all", action="store_true", help="all documents below the folder OUT")
    undo.add_argument("out", type=Path, metavar="OUT")
    scorer = add(corpus, "scorer", run_corpus_scorer, "learn from labels which texts are good", begins=True)
    scorer.add_argument("name")
    scorer.add_argument("labels", type=Path, metavar="LABELS", help='JSON lines: {"text": "...", "label": 0 or 1}')
    tokenizer = add_group(verbs, "tokenizer", "a byte-level BPE of a corpus")
    train = add(tokenizer, "train", run_tokenizer_train, "train a tokenizer")
    train.add_argument("name")
    train.add_argument("--corpus", required=True, metavar="REF")
    add_set(train)


def add_build(corpus: Any) -> None:
    build = add(corpus, "build", run_corpus_build, "clean text files into a corpus", begins=True)
    build.add_argument("name")
    build.add_argument("paths", nargs="+", type=path_or_address, metavar="PATH", help=PATHS)
    build.add_argument("--sources", type=Path, metavar="FILE", help="where the files come from (default: sources.toml in each folder)")
    build.add_argument("--licence-policy", choices=("open", "nc", "any"), help="what is not known to be so is dropped (default: any)")
    build.add_argument(
        "--protect", action="append", default=[], type=Path, metavar="FILE", help="texts that must not be in it; may be repeated"
    )
    build.add_argument("--protect-by", choices=("drop", "cut"), default="drop", help="drop a document that holds one, or cut the lines")
    build.add_argument("--blocklist", type=Path, metavar="FILE", help="drop texts with words of this file, one a line")
    build.add_argument("--engine", choices=("local", "ray"), help="local, or the same work on a Ray cluster")
    add_set(build)


def path_or_address(text: str) -> Path | str:
    return text if "://" in text or text.startswith(FEEDBACK) else Path(text)


def run_corpus_build(options: argparse.Namespace) -> int:
    from feilun.config import CorpusSettings, apply_settings
    from feilun.corpus import build_corpus, report
    from feilun.corpus.registry import find_registry, load_registry
    from feilun.progress import bytes_bar

    settings = apply_settings(CorpusSettings(), options.assignments)
    if options.blocklist is not None:
        settings = replace(settings, blocklist=words_of(options.blocklist))
    if options.engine:
        settings = replace(settings, engine=options.engine)
    if options.licence_policy:
        settings = replace(settings, licence_policy=options.licence_policy)
    decontaminator = _decontaminator(options)
    if any(isinstance(path, str) and path.startswith(FEEDBACK) for path in options.paths):
        return _build_from_chats(options, settings, decontaminator)
    registry = load_registry(options.sources) if options.sources else find_registry(options.paths)
    with bytes_bar("corpus") as show:
        made = build_corpus(
            options.home, options.name, options.paths, settings, registry=registry, decontaminator=decontaminator, progress=show
        )  # fmt: skip
    print(report(made))
    print(f"corpus/{made.ref}")
    return 0


def _build_from_chats(options: argparse.Namespace, settings: "CorpusSettings", decontaminator: "Decontaminator | None") -> int:
    from feilun.config import TurnSettings
    from feilun.corpus import build_from_documents, report
    from feilun.feedback import LessonRules, ServedChats
    from feilun.feedback.gold import gold_of
    from feilun.progress import bytes_bar
    from feilun.store import Store

    rules = replace(LessonRules(), scope=_scope(options), min_trust=TurnSettings().min_trust)
    with Store.open(options.home) as store, bytes_bar("corpus") as show:
        chats = ServedChats(store=store, rules=rules, gold=gold_of(options.home, store))
        made = build_from_documents(
            options.home, options.name, chats, settings, generator=chats.generator, origins=chats.origins,
            decontaminator=decontaminator, progress=show,
        )  # fmt: skip
    print(report(made))
    counts = chats.origins["chats"]
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in counts["left_out"].items()) or "none"
    print(f"served chats: {counts['messages']:,} messages, {counts['kept']:,} in documents; left out: {left_out}")
    print(f"corpus/{made.ref}")
    return 0


def _scope(options: argparse.Namespace) -> Consent:
    """The least consent that "feedback:" or "feedback:publish" asks for."""
    if len(options.paths) > 1 or options.sources:
        raise UserError(
            "feedback: stands alone, without other paths and without --sources; build a corpus of each and join them: feilun corpus mix"
        )
    word = options.paths[0].removeprefix(FEEDBACK) or Consent.IMPROVE
    if word not in (Consent.IMPROVE, Consent.PUBLISH):
        raise UserError(f"{options.paths[0]!r}: allowed are feedback:, the same as feedback:improve, and feedback:publish")
    if not (options.home / "feilun.db").exists():
        raise UserError(f"nothing was served at {options.home}: it has no feilun.db; name the home that `feilun serve` uses with --home")
    return Consent(word)


def _decontaminator(options: argparse.Namespace) -> "Decontaminator | None":
    from feilun.corpus.decontaminate import DecontaminationSettings, Decontaminator, protected_texts

    protected = {path.name.partition(".")[0]: protected_texts(path) for path in options.protect}
    if len(protected) < len(options.protect):
        raise UserError("two files of --protect bear one name before the dot, which names their set; rename one")
    return Decontaminator(protected, DecontaminationSettings(action=options.protect_by)) if protected else None


def run_corpus_mix(options: argparse.Namespace) -> int:
    from feilun.config import apply_settings
    from feilun.corpus.mix import MixPart, MixSettings, describe_mix, mix_corpora

    weights = dict(_wish(text, "--from", needs_number=False) for text in options.sources)
    if len(weights) < len(options.sources):
        raise UserError("--from names a corpus twice; give it one weight, and --epochs if it shall be repeated")
    caps, epochs = (dict(_wish(text, flag) for text in texts) for flag, texts in (("--cap", options.caps), ("--epochs", options.epochs)))
    if stray := next((ref for ref in (*caps, *epochs) if ref not in weights), None):
        raise UserError(f"--cap or --epochs names {stray!r}, which no --from names; named are: {', '.join(weights) or 'none'}")
    parts = [MixPart(ref=ref, weight=weight, cap=caps.get(ref, 1.0), epochs=epochs.get(ref, 1.0)) for ref, weight in weights.items()]
    made = mix_corpora(options.home, options.name, parts, apply_settings(MixSettings(), options.assignments))
    print(describe_mix(made))
    print(f"corpus/{made.ref}")
    return 0


def _wish(text: str, flag: str, *, needs_number: bool = True) -> tuple[str, float]:
    ref, _, number = text.partition("=")
    if not number and not needs_number:
        return ref, 0.0
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise UserError(f"{flag} {text!r} needs a number above 0 behind the name, as {flag} {ref or 'REF'}=0.5")
    return ref, value


def words_of(path: Path) -> tuple[str, ...]:
    """The words of a file, one a line; they go into the recipe, so that a corpus says what was kept out of it."""
    try:
        words = tuple(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the blocklist {path}: {error}; it is a UTF-8 file with one word a line") from None
    if not words:
        raise UserError(f"the blocklist {path} is empty; write one word a line, or leave --blocklist out")
    return words


def run_corpus_report(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.corpus import html_page, report

    artifact = find(options.home, options.ref, "corpus")
    if options.html is None:
        print(report(artifact))
        return 0
    try:
        options.html.write_text(html_page(artifact), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {options.html}: {error.strerror}; name a file in a folder that is there") from None
    print(f"{options.html}: open it in a browser")
    return 0


def run_corpus_scorer(options: argparse.Namespace) -> int:
    from feilun.corpus import train_scorer

    made = train_scorer(options.home, options.name, options.labels)
    told = made.manifest["counts"]
    print(f"learnt from {told['trained_on']:,} labels; of {told['tested_on']:,} others, {told['good_share']:.1%} of them good:")
    print(f"  area under the curve {told['auc']:.3f} (95 %: {told['auc_95'][0]:.3f} to {told['auc_95'][1]:.3f}); .5 is a guess")
    print(f"  right {told['accuracy']:.1%}; always the commoner label {told['accuracy_of_the_commoner_label']:.1%}")
    print(f"scorers/{made.ref}")
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
