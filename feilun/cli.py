"""The command line: one verb a stage, each working alone on the user's own files."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from feilun.types import UserError

__all__ = ["main"]

Verb = Callable[[argparse.Namespace], int]
LAST_SECONDS = 30.0  # a server lets its answers end; nothing may outlive its parent for longer


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 1 refused, not whole or the system failed, 2 bad input (said on standard error), 130 interrupted."""
    # One other busy process makes spinning OpenMP threads fifteen times slower; must stand before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    options = build_parser().parse_args(arguments)
    options.home = Path(options.home or os.environ.get("FEILUN_HOME") or "feilun-data").absolute()
    if options.with_parent:
        threading.Thread(target=end_with_parent, daemon=True, name="parent").start()
    try:
        status = int(options.verb(options))
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"feilun: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nfeilun: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"feilun: the system says: {error.strerror or error}{where}; what was finished is kept", file=sys.stderr)
        return 1


def end_with_parent() -> None:
    """The parent holds our standard input open; however it ends, so do we."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)


def build_parser() -> argparse.ArgumentParser:
    about = "Own the model behind your product, from raw text to the next, better model."
    parser = argparse.ArgumentParser(prog="feilun", description=about)
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--home", help="where everything is kept (else FEILUN_HOME, else ./feilun-data)")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    add_demo(verbs)
    add_corpus(verbs)
    add_stages(verbs)
    add_exam(verbs)
    add_serve(verbs)
    add_feedback(verbs)
    add_wheel(verbs)
    add_store(verbs)
    return parser


def add(verbs: Any, name: str, verb: Verb, text: str | None, *, begins: bool = False) -> argparse.ArgumentParser:
    """A verb; without a text it is one that programs call, and help does not list it. begins: it makes a home where there is none."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text) if text else verbs.add_parser(name)
    parser.add_argument("--home", default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # after the verb as well as before it
    parser.set_defaults(verb=verb if begins else partial(run_at_home, verb))
    return parser


def run_at_home(verb: Verb, options: argparse.Namespace) -> int:
    if not options.home.is_dir():
        raise UserError(f"there is no home at {options.home}; `feilun demo` makes one, or begin with `feilun corpus build NAME PATH...`")
    return verb(options)


def add_group(verbs: Any, name: str, text: str) -> Any:
    return verbs.add_parser(name, help=text).add_subparsers(required=True, metavar="VERB")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", default="default", help="a built-in recipe or a .py file (default: default)")
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    text = "change one setting; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments", help=text)


# --- demo


def add_demo(verbs: Any) -> None:
    demo = add(verbs, "demo", run_demo, "the whole ring on this machine", begins=True)
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--text", nargs="+", type=Path, default=[], metavar="PATH", help="your own text beside the primer")
    demo.add_argument("--no-serve", action="store_true", help="stop when the ring has turned")
    demo.add_argument("--recipe", default="demo", help="a built-in recipe or a .py file (default: demo)")
    controls = ("none", "no_number", "shuffled", "inverted")
    demo.add_argument("--control", default="none", choices=controls, help="what the simulated users do instead")
    stage = add(verbs, "demo-stage", run_demo_stage, None)
    stage.add_argument("stage")


def run_demo(options: argparse.Namespace) -> int:
    from feilun.demo import run_demo

    chosen = {"seed": options.seed, "text": options.text, "recipe": options.recipe, "control": options.control}
    return run_demo(options.home, serve=not options.no_serve, **chosen)


def run_demo_stage(options: argparse.Namespace) -> int:
    from feilun.demo import run_demo_stage

    run_demo_stage(options.home, options.stage)
    return 0


# --- corpus, tokenizer


def add_corpus(verbs: Any) -> None:
    corpus = add_group(verbs, "corpus", "raw documents -> a clean corpus")
    build = add(corpus, "build", run_corpus_build, "clean text files into a corpus", begins=True)
    build.add_argument("name")
    build.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    add_set(build)
    report = add(corpus, "report", run_corpus_report, "what was kept, repaired and dropped, and why")
    report.add_argument("ref")
    tokenizer = add_group(verbs, "tokenizer", "a byte-level BPE of a corpus")
    train = add(tokenizer, "train", run_tokenizer_train, "train a tokenizer")
    train.add_argument("name")
    train.add_argument("--corpus", required=True, metavar="REF")
    add_set(train)


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


def run_tokenizer_train(options: argparse.Namespace) -> int:
    from feilun.config import TokenizerSettings, apply_settings
    from feilun.tokenizer import train_tokenizer

    settings, watched = apply_settings(TokenizerSettings(), options.assignments), sys.stderr.isatty()
    made = train_tokenizer(options.home, options.name, options.corpus, settings, show_progress=watched)
    counts = made.manifest["counts"]
    print(f"{counts['num_reserved']} of {counts['vocab_size']} tokens are reserved, all else is in use\ntokenizer/{made.ref}")
    return 0


# --- pretrain, sft, prefer


def add_stages(verbs: Any) -> None:
    texts = {
        "pretrain": "next token on a corpus -> a base model",
        "sft": "examples of answering -> a chat model",
        "prefer": "lessons from feedback -> a candidate",
    }
    for stage, text in texts.items():
        parser = add(verbs, stage, run_stage, text)
        parser.set_defaults(stage=stage)
        add_recipe(parser)
        parser.add_argument("--name", default="", help="name of the model (default: the stage)")
        parser.add_argument("--resume", action="store_true", help="go on with a run that was begun; an error if there is none")


def run_stage(options: argparse.Namespace) -> int:
    from feilun.config import apply_settings, load_recipe
    from feilun.progress import progress_bar
    from feilun.train import run

    settings = apply_settings(getattr(load_recipe(options.recipe), options.stage), options.assignments)
    stages: dict[str, Callable[..., Any]] = {"pretrain": run.train_pretrain, "sft": run.train_sft, "prefer": run.train_prefer}
    train = stages[options.stage]
    with progress_bar() as show:
        made = train(options.home, settings, options.name or options.stage, resume=options.resume, progress=show.update, say=show.say)
    print(f"models/{made.ref}")
    return 0


# --- exam


def add_exam(verbs: Any) -> None:
    exam = add_group(verbs, "exam", "questions with known answers")
    run = add(exam, "run", run_exam, "examine a model")
    run.add_argument("model", help="REF, or champion, or candidate")
    run.add_argument("--task", action="append", default=[], dest="tasks", help="one task only; may be repeated")
    run.add_argument("--split", default="gate", choices=("people", "gate", "final"))
    add_set(run)
    compare = add(exam, "compare", run_exam_compare, "two exams of the same questions, paired")
    compare.add_argument("first")
    compare.add_argument("second")


def run_exam(options: argparse.Namespace) -> int:
    from feilun.config import ExamSettings, apply_settings
    from feilun.exam.run import read_summary, run_exam

    settings = apply_settings(ExamSettings(), options.assignments)
    made = run_exam(options.home, model_ref(options.home, options.model), split=options.split, settings=settings, tasks=options.tasks)
    for task, row in read_summary(made).items():
        print(f"{task:16} {row['mean']:.3f}  [{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}  {row['reasons']}")
        for cell, part in row["cells"].items():
            print(f"  {cell:14} {part['mean']:.3f}  [{part['low']:.3f}, {part['high']:.3f}]  n={part['n']}")
    print(f"exams/{made.ref}")
    return 0


def run_exam_compare(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.exam.compare import compare

    for task, row in compare(find(options.home, options.first, "exams"), find(options.home, options.second, "exams")).items():
        print(f"{task:16} {row.mean:+.3f}  [{row.low:+.3f}, {row.high:+.3f}]  n={row.n}")
    return 0


# --- serve, chat


def add_serve(verbs: Any) -> None:
    serve = add(verbs, "serve", run_serve, "the API and the page", begins=True)
    add_set(serve)
    serve.add_argument("--port", type=int, default=None)
    serve.add_argument("--quiet", action="store_true", help="print the address without the owner's one-time token")
    chat = add(verbs, "chat", run_chat, "talk to a model in the terminal")
    chat.add_argument("model", nargs="?", default="champion")
    chat.add_argument("--max-tokens", type=int, default=128)
    chat.add_argument("--temperature", type=float, default=0.0)


def run_serve(options: argparse.Namespace) -> int:
    from feilun.config import ServeSettings, apply_settings
    from feilun.serve.app import run

    chosen = options.assignments + ([f"port={options.port}"] if options.port is not None else [])
    settings = apply_settings(ServeSettings(), chosen)
    run(options.home, settings, on_start=lambda address: print(address.url if options.quiet else address.owner_url, flush=True))
    return 0


def run_chat(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.engine import ChatParams, TextChat
    from feilun.engine.native import NativeEngine
    from feilun.types import Conversation

    model = find(options.home, model_ref(options.home, options.model), "models")
    chat = TextChat.over(NativeEngine.load(model.path, threads=2, max_batch=1))
    params = ChatParams(temperature=options.temperature, max_tokens=options.max_tokens)
    conversation = Conversation(())
    print(f"models/{model.ref}; an empty line ends the chat", file=sys.stderr)
    for line in iter(lambda: ask("> "), ""):
        conversation = conversation.then("user", line)
        while len(conversation.messages) > 1 and len(chat.chat_format.prompt(conversation)) + params.max_tokens > chat.info.context_tokens:
            conversation = Conversation(conversation.messages[2:])
            print("(the earliest question and answer no longer fit, and are forgotten)", file=sys.stderr)
        reply = chat.complete([conversation], params)[0]
        conversation = conversation.then("assistant", reply.text)
        print(reply.text, flush=True)
    return 0


def ask(prompt: str) -> str:
    try:
        return input(prompt if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"the input is not UTF-8 ({error.reason} near byte {error.start}); convert it first, as with iconv") from None


# --- feedback


def add_feedback(verbs: Any) -> None:
    feedback = add_group(verbs, "feedback", "events -> lessons")
    build = add(feedback, "build", run_feedback_build, "lessons from all events so far")
    build.add_argument("name")
    take = add(feedback, "import", run_feedback_import, "lessons from a file of dialogues ({messages} a line)", begins=True)
    take.add_argument("name")
    take.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    give = add(feedback, "export", run_feedback_export, "every event as JSON lines")
    give.add_argument("path", type=Path, metavar="FILE")


def run_feedback_build(options: argparse.Namespace) -> int:
    from feilun.config import TurnSettings
    from feilun.feedback import build_lessons
    from feilun.store import Store
    from feilun.turn.steps import GOLD, read_gold

    with Store.open(options.home) as store:
        made = build_lessons(store, options.home, options.name, gold=read_gold(options.home / GOLD), settings=TurnSettings())
    print((made.path / "report.json").read_text(encoding="utf-8"))
    print(f"lessons/{made.ref}")
    return 0


def run_feedback_import(options: argparse.Namespace) -> int:
    from feilun.feedback import import_lessons

    made = import_lessons(options.home, options.name, options.paths)
    print(f"{made.manifest['counts']}\nlessons/{made.ref}")
    return 0


def run_feedback_export(options: argparse.Namespace) -> int:
    from feilun.feedback import export_events
    from feilun.store import Store

    with Store.open(options.home) as store:
        print(f"{export_events(store, options.path)} events -> {options.path}")
    return 0


# --- the wheel


def add_wheel(verbs: Any) -> None:
    turn = add(verbs, "turn", run_turn, "lessons -> candidate -> gate -> promoted or refused")
    turn.add_argument("--dry-run", action="store_true", help="say what would be done")
    turn.add_argument("--abandon", metavar="REASON", help="end an unfinished turn as failed")
    add_recipe(turn)
    step = add(verbs, "turn-step", run_turn_step, None)
    step.add_argument("turn")
    step.add_argument("step")
    promote = add(verbs, "promote", run_promote, "make a model the champion")
    promote.add_argument("ref")
    back = add(verbs, "rollback", run_rollback, "make the champion before this one the champion again")
    back.add_argument("--reason", default="by hand")


def run_turn(options: argparse.Namespace) -> int:
    from feilun.config import apply_settings, load_recipe
    from feilun.progress import progress_bar
    from feilun.turn import abandon, run_turn

    if options.abandon:
        result = abandon(options.home, options.abandon)
    else:
        settings = apply_settings(load_recipe(options.recipe).turn, options.assignments)
        with progress_bar() as show:
            result = run_turn(options.home, settings, dry_run=options.dry_run, progress=show.update)
    print(f"{result.verdict}: {result.candidate or result.champion}")
    for reason in result.why:
        print(f"  {reason}")
    return 0 if result.verdict in ("promoted", "planned") or options.abandon else 1


def run_turn_step(options: argparse.Namespace) -> int:
    from feilun.turn import run_step

    run_step(options.home, options.turn, options.step)
    return 0


def run_promote(options: argparse.Namespace) -> int:
    from feilun.turn import promote

    row = promote(options.home, options.ref)
    print(f"champion, epoch {row.epoch}: {row.model}")
    return 0


def run_rollback(options: argparse.Namespace) -> int:
    from feilun.turn import rollback

    row = rollback(options.home, options.reason)
    print(f"champion, epoch {row.epoch}: {row.model}")
    return 0


# --- looking, keys, erasure


def add_store(verbs: Any) -> None:
    add(verbs, "status", run_status, "what is in the home")
    show = add(verbs, "show", run_show, "an artifact and everything that made it")
    show.add_argument("ref")
    verify = add(verbs, "verify", run_verify, "compare artifacts with their manifests")
    verify.add_argument("ref", nargs="?", default=None)
    forget = add(verbs, "forget", run_forget, "erase what a principal gave; list what to rebuild")
    forget.add_argument("principal", help="owner, key:NAME or key:NAME/USER")
    key = add_group(verbs, "key", "API keys")
    create = add(key, "create", run_key_create, "make a key and print its secret once", begins=True)
    create.add_argument("name")
    scopes = "chat, feedback, assert_end_user, exam; may be repeated (default: chat and feedback)"
    create.add_argument("--scope", action="append", default=[], dest="scopes", help=scopes)
    revoke = add(key, "revoke", run_key_revoke, "make a key worthless")
    revoke.add_argument("name")
    add(key, "list", run_key_list, "names and scopes of the keys")


def run_status(options: argparse.Namespace) -> int:
    from feilun.status import describe_home

    print("\n".join(describe_home(options.home)))
    return 0


def run_show(options: argparse.Namespace) -> int:
    from feilun.artifacts import find
    from feilun.status import describe_artifact

    ref = model_ref(options.home, options.ref)
    print("\n".join(describe_artifact(options.home, find(options.home, ref))))
    return 0


def run_verify(options: argparse.Namespace) -> int:
    from feilun.artifacts import KINDS, find, list_artifacts, verify

    chosen = [find(options.home, options.ref)] if options.ref else [a for kind in KINDS for a in list_artifacts(options.home, kind)]
    faults = [f"{a.kind}/{a.ref}: {fault}" for a in chosen for fault in verify(a)]
    print("\n".join(faults) or f"{len(chosen)} artifacts are whole")
    return 1 if faults else 0


def run_forget(options: argparse.Namespace) -> int:
    from feilun.status import forget

    print("\n".join(forget(options.home, options.principal)))
    return 0


def run_key_create(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        print(store.create_key(options.name, frozenset(options.scopes or ("chat", "feedback"))).secret)
    return 0


def run_key_revoke(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        store.revoke_key(options.name)
    return 0


def run_key_list(options: argparse.Namespace) -> int:
    from feilun.store import Store

    with Store.open(options.home) as store:
        for row in store.list_keys():
            print(f"{row.name:20} {' '.join(sorted(row.scopes))}")
    return 0


def model_ref(home: Path, ref: str) -> str:
    """ "champion" and "candidate" are rows in the store; anything else stands for itself."""
    from feilun.store import Store

    if ref not in ("champion", "candidate"):
        return ref
    with Store.open(home) as store:
        row = store.champion()
        found = (row.model if row else None) if ref == "champion" else store.candidate()
    if found is None:
        raise UserError(f"there is no {ref} yet; promote a model (feilun promote REF) or run a turn")
    return found


if __name__ == "__main__":
    sys.exit(main())
