"""The settings of an owner's turn in a home: those that were left there, or what the champion's own making tells."""

import dataclasses
from pathlib import Path
from typing import Any

from feilun.artifacts import find, lineage
from feilun.config import TurnSettings, WatchSettings, load_recipe, rebuild, resolved
from feilun.store import Store

__all__ = ["SETTINGS_NOTE", "WATCH_SETTINGS_NOTE", "leave_settings", "left_settings", "left_watch", "owner_settings"]

SETTINGS_NOTE, WATCH_SETTINGS_NOTE = "turn_settings", "watch_settings"


def leave_settings(store: Store, settings: TurnSettings) -> None:
    store.note(SETTINGS_NOTE, resolved(settings))


def left_settings(store: Store) -> TurnSettings | None:
    note = store.read_note(SETTINGS_NOTE)
    return rebuild(TurnSettings, note) if note else None


def left_watch(store: Store) -> WatchSettings:
    """When the wheel of this home turns by itself, and whom it tells; the defaults where nothing was left."""
    note = store.read_note(WATCH_SETTINGS_NOTE)
    return rebuild(WatchSettings, note) if note else WatchSettings()


def owner_settings(home: Path, store: Store) -> TurnSettings:
    """Those that were left, else the default recipe's for a model of which no exam is known.

    It repeats the examples that taught the champion to answer, in rows of the same size; a model that came from elsewhere
    has none, and learns from the lessons alone.
    """
    left = left_settings(store)
    if left is not None:
        return left
    settings = dataclasses.replace(load_recipe("default").owner_turn, exam_tasks=())
    examples = first_examples(home, store)
    prefer = dataclasses.replace(settings.prefer, **examples) if examples else dataclasses.replace(settings.prefer, replay_share=0.0)
    return dataclasses.replace(settings, prefer=prefer)


def first_examples(home: Path, store: Store) -> dict[str, Any]:
    """What the sft run behind the champion was told: its lessons as replay, and the size of its rows; empty where there is none."""
    champion = store.champion()
    if champion is None:
        return {}
    for artifact in lineage(home, find(home, champion.model, "models")):
        recipe = artifact.manifest["recipe"]
        if recipe.get("stage") == "sft":
            told = recipe["settings"]
            return {"replay": told["lessons"], "rows": told["rows"], "row_tokens": told["row_tokens"]}
    return {}
