"""A training stage that dies: `python tests/train_child.py HOME STAGE STEP CHECKPOINT_STEPS` kills itself when it reports STEP."""

import os
import signal
import sys
from pathlib import Path

import torch
from train_house import settings_of

from feilun.train import run
from feilun.train.loop import Progress

STAGES = {"pretrain": run.train_pretrain, "sft": run.train_sft, "prefer": run.train_prefer}


def main(home: str, stage: str, step: str, checkpoint_steps: str) -> None:
    def die(progress: Progress) -> None:
        if progress.step >= int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_interop_threads(1)
    STAGES[stage](Path(home), settings_of(stage, checkpoint_steps=int(checkpoint_steps)), "made", progress=die)


if __name__ == "__main__":
    main(*sys.argv[1:])
