"""The verb feedback."""

import argparse
from pathlib import Path
from typing import Any

from feilun.cli.parser import add, add_group
from feilun.types import UserError


def add_feedback(verbs: Any) -> None:
    feedback = add_group(verbs, "feedback", "events -> lessons")
    build = add(feedback, "build", run_feedback_build, "lessons from all events so far")
    build.add_argument("name")
    build.add_argument("--scope", choices=("improve", "publish"), default="improve", help="the least consent of a row (default: improve)")
    protect = "exam questions, {question, id} a line: no lesson may hold one, and those that earlier lessons hold are named"
    build.add_argument("--protect", nargs="+", type=Path, default=[], metavar="FILE", help=protect)
    text = "lessons from files of dialogues ({messages} a line), or from another program's feedback"
    take = add(feedback, "import", run_feedback_import, text, begins=True)
    take.add_argument("name")
    take.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    formats = ("dialogues", "openwebui", "librechat", "langfuse", "tensorzero", "argilla")
    take.add_argument("--from", choices=formats, default="dialogues", dest="source", help="whose export it is (default: dialogues)")
    take.add_argument("--good", nargs="+", default=[], metavar="NAME", help="langfuse, tensorzero: boolean scores whose truth is praise")
    names = "argilla: prompt, answer, edit and thumb (QUESTION:LABEL) as the data set calls them"
    take.add_argument("--map", nargs="+", default=[], metavar="ROLE=NAME", dest="names", help=names)
    give = add(feedback, "export", run_feedback_export, "every event as JSON lines, or all that is kept about one person")
    give.add_argument("--user", metavar="WHO", help="everything about user:ID, owner, key:NAME or key:NAME/USER")
    give.add_argument("path", type=Path, metavar="FILE")


def run_feedback_build(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from feilun.config import TurnSettings
    from feilun.feedback import ExamQuestions, LessonRules, build_lessons, read_questions
    from feilun.feedback.gold import gold_of
    from feilun.store import Store
    from feilun.types import Consent

    rules = replace(LessonRules(), scope=Consent(options.scope), min_trust=TurnSettings().min_trust)
    protect = ExamQuestions(read_questions(options.protect)) if options.protect else None
    with Store.open(options.home) as store:
        made = build_lessons(store, options.home, options.name, gold=gold_of(options.home, store), rules=rules, protect=protect)
    print((made.path / "report.json").read_text(encoding="utf-8"))
    print(f"lessons/{made.ref}")
    return 0


def run_feedback_import(options: argparse.Namespace) -> int:
    from feilun.feedback import import_feedback, import_lessons

    if options.source == "dialogues":
        if options.good or options.names:
            raise UserError("--good and --map are for another program's feedback; say whose with --from")
        made = import_lessons(options.home, options.name, options.paths)
    else:
        names = dict(_role(given) for given in options.names)
        made = import_feedback(options.home, options.name, options.source, options.paths, good=options.good, names=names)
    print(f"{made.manifest['counts']}\nlessons/{made.ref}")
    return 0


def _role(given: str) -> tuple[str, str]:
    role, found, name = given.partition("=")
    if not found or not name:
        raise UserError(f"--map {given!r}: allowed is ROLE=NAME, as in prompt=question")
    return role, name


def run_feedback_export(options: argparse.Namespace) -> int:
    from feilun.feedback import export_events
    from feilun.store import Store

    if options.user:
        from feilun.feedback.person import export_person
        from feilun.turn.forget import principals_of

        with Store.open(options.home) as store:
            counts = export_person(store, options.home, principals_of(store, options.user), options.path)
        drafts = f"{counts['draft']} unfinished ones, " if counts["draft"] else ""
        print(f"{counts['completion']} answers, {drafts}{counts['event']} events, {counts['artifact']} artifacts -> {options.path}")
        return 0
    with Store.open(options.home) as store:
        print(f"{export_events(store, options.path)} events -> {options.path}")
    return 0
