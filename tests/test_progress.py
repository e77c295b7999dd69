"""What the bars say where the output is no terminal, and where it is one."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from feilun.progress import Bar, progress_bar


def test_no_terminal_means_plain_lines_and_each_end_once(capsys):
    with progress_bar() as bar:
        for done in (1, 5, 10, 10, 10):
            bar.show("sft, loss 1.000", done, 10, 3.0)
        bar.show("exam", 2, 2)
        bar.show("sft", 4, 4)
        bar.say("said [as] it is")
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "sft, loss 1.000: 10 of 10, about 3 s left", "exam: 2 of 2", "sft: 4 of 4", "said [as] it is",
    ]  # fmt: skip


def test_what_has_no_end_is_named(capsys):
    Bar(None).show("corpus", 0, 0)
    assert capsys.readouterr().out in ("", "corpus\n")


def test_training_and_turns_report(capsys):
    bar = Bar(None)
    bar.update(SimpleNamespace(stage="pretrain", loss=2.5, step=7, num_steps=7, eta_seconds=0.0))
    bar.update(SimpleNamespace(step="train", state="running", done=3, total=3, eta_seconds=0.0))
    bar.update(SimpleNamespace(step="gate", state="done", done=0, total=0, eta_seconds=None))
    assert capsys.readouterr().out == "pretrain, loss 2.500: 7 of 7\nturn: train: 3 of 3\nturn: gate done\n"


@pytest.fixture
def bars() -> Progress:
    return Progress(console=Console(file=io.StringIO(), force_terminal=True))


def test_a_new_stage_ends_the_bar_before_it(bars):
    bar = Bar(bars)
    bar.show("sft, loss 3.0", 1, 10)
    bar.show("sft, loss 2.0", 4, 10)
    bar.show("exam", 1, 2)
    bar.say("[bold] is no markup")
    first, second = bars.tasks
    assert (first.completed, first.total, first.description) == (10, 10, "sft, loss 2.0")
    assert (second.completed, second.total) == (1, 2)
    assert "[bold] is no markup" in bars.console.file.getvalue()
