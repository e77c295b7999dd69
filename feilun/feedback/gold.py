"""Questions whose answer is known: those of the home's file, and those that an owner marked at a labelling desk."""

from pathlib import Path

from feilun.artifacts import read_rows
from feilun.store import Store
from feilun.types import UserError

__all__ = ["GOLD", "gold_of", "read_gold"]

GOLD = "gold.jsonl"


def gold_of(home: Path, store: Store) -> dict[str, tuple[str, ...]] | None:
    """Gold questions of the home's file, and those marked at a labelling desk, against which the file's word stands; None without any."""
    return {**store.desks.gold_answers(), **(read_gold(home / GOLD) or {})} or None


def read_gold(path: Path) -> dict[str, tuple[str, ...]] | None:
    """Gold questions, prompt -> accepted answers; None where the home has none."""
    if not path.exists():
        return None
    try:
        return {str(row["prompt"]): tuple(str(a) for a in row["answers"]) for row in read_rows(path)}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{path}: {type(error).__name__}: {error}; each line must be {{"prompt": "...", "answers": ["..."]}}') from error
