"""The verb exam."""

import argparse
from typing import Any

from feilun.cli.parser import add, add_group, add_set, model_ref


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
