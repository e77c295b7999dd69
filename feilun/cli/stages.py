"""The verbs pretrain, sft and prefer: one training run each."""

import argparse
from collections.abc import Callable
from typing import Any

from feilun.cli.parser import add, add_recipe


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
