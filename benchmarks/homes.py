"""Copies of demo homes, for benchmarks that go on from there: the home that is copied stays as it is."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["copy_before_people", "copy_first_generation", "copy_home"]

LINKED = ("corpus", "tokens")
FIRST_GENERATION = ("tokenizer", "models", "runs", "lessons")
LEFT_OUT = (*LINKED, "*.lock", "checkpoint.pt")
Ignore = Callable[[str, list[str]], Iterable[str]]


def copy_home(source: Path, target: Path) -> None:
    """All that a finished demo holds: what is large and never changes is linked, everything else is copied."""
    copy(source, target, [Path()], shutil.ignore_patterns(*LEFT_OUT))


def copy_before_people(source: Path, target: Path) -> None:
    """All that a finished demo made, and an empty store: nobody has spoken and nothing has turned, but every exam is there."""
    copy(source, target, [Path()], shutil.ignore_patterns(*LEFT_OUT, "feilun.db*"))


def copy_first_generation(source: Path, target: Path) -> None:
    """Everything up to sft, which is found again by its address; what people said there is not taken along."""
    copy(source, target, [Path(kind) for kind in FIRST_GENERATION], shutil.ignore_patterns(*LEFT_OUT, "turn-*", "prefer-*"))


def copy(source: Path, target: Path, folders: Iterable[Path], ignore: Ignore) -> None:
    """These folders of the home, and the links: whole or not at all."""
    if target.exists():
        raise FileExistsError(f"{target} is there already; remove it, or name another folder")
    begun = target.with_name(f".{target.name}")
    shutil.rmtree(begun, ignore_errors=True)
    for folder in folders:
        shutil.copytree(source / folder, begun / folder, ignore=ignore)
    for kind in LINKED:
        (begun / kind).symlink_to((source / kind).absolute())
    begun.rename(target)
