"""The generations of a home in the order of their making: what was asked of each, what it showed, and what became of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from feilun.artifacts import Artifact
from feilun.serve.archive import artifact_of, exams_of, json_of
from feilun.store import ChampionRow, Store, TurnRow

__all__ = ["Entry", "exams_by_model", "timeline"]

Verdict = Literal["first", "by_hand", "promoted", "refused", "failed", "rollback", "rolling_out"]
VERDICTS: Mapping[str, Verdict] = {"promoted": "promoted", "refused": "refused", "failed": "failed", "rolling_out": "rolling_out"}
Figures = Mapping[str, Any]
Exams = dict[str, dict[str, Artifact]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened to the model. number: counts the models that were made, from 1; None where none came of it.

    turn: the id under which its account is found. against: the number of the champion it challenged.
    acceptance, blind: figures of the demo's people, where they judged it. exams: {task: {"mean", "low", "high", "n", ...}}.
    """

    verdict: Verdict
    at: float
    model: str = ""
    name: str = ""
    number: int | None = None
    against: int | None = None
    challenged: str = ""
    why: tuple[str, ...] = ()
    receipt: str = ""
    turn: str = ""
    lessons: Mapping[str, Any] | None = None
    acceptance: Figures | None = None
    blind: Figures | None = None
    exams: Figures = field(default_factory=dict)
    current: bool = False

    @property
    def answered(self) -> bool:
        return self.verdict in ("first", "by_hand", "promoted")


def timeline(home: Path, store: Store, table: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Every entry, oldest first; table: the rows of the demo's progress note."""
    turns, history = store.turns(), store.history()
    by_rollout = {(row.epoch + 1, row.candidate) for row in store.rollouts()}
    entries = sorted([*from_turns(turns), *from_history(history, turns, by_rollout)], key=lambda entry: entry.at)
    numbers = {model: number for number, model in enumerate(dict.fromkeys(e.model for e in entries if e.model), 1)}
    # A turn that made nothing repeats its champion's figures under the same model: the row of its own comes first.
    measured = {row.get("model"): row for row in reversed(table)}
    taken = exams_by_model(home, [entry.model for entry in entries])
    current = history[-1].model if history else ""
    return [
        replace(
            entry,
            number=numbers.get(entry.model), against=numbers.get(entry.challenged), current=entry.model == current and entry.answered,
            acceptance=figure(measured.get(entry.model, {}).get("acceptance")), exams=taken.get(entry.model, {}),
            blind=measured.get(entry.model, {}).get("blind") if entry.challenged else None,
        )
        for entry in entries
    ]  # fmt: skip


def from_turns(turns: Sequence[TurnRow]) -> Iterator[Entry]:
    """A turn that ended. Where there was nothing to learn from, there is no candidate."""
    for turn in turns:
        if turn.state in VERDICTS:
            outputs = {step: row.output for step, row in turn.steps.items()}
            model, curated = str(outputs.get("train", {}).get("candidate", "")), outputs.get("curate", {})
            lessons = {"ref": curated["lessons"], "rows": curated.get("rows", 0)} if "lessons" in curated else None
            yield Entry(
                verdict=VERDICTS[turn.state], at=turn.finished or turn.started, model=model if turn.state != "failed" else "",
                name=str(turn.plan.get("name", "")), challenged=str(turn.plan.get("champion", {}).get("model", "")) if model else "",
                why=tuple(line for line in turn.why.splitlines() if line), receipt=str(outputs.get("gate", {}).get("receipt", "")),
                turn=turn.id, lessons=lessons and lessons | {"events": outputs.get("collect", {}).get("new_events", 0)},
            )  # fmt: skip


def from_history(history: Sequence[ChampionRow], turns: Sequence[TurnRow], by_rollout: Collection[tuple[int, str]]) -> Iterator[Entry]:
    """Champions that no turn and no rollout promoted: the first, those set by hand, and those that came back."""
    by_turn = {turn.steps["promote"].output.get("epoch") for turn in turns if "promote" in turn.steps}
    before = ""
    for row in history:
        name = row.model.removeprefix("models/").partition("@")[0]
        if row.restores is not None:
            yield Entry(verdict="rollback", at=row.at, model=row.model, name=name, why=(row.reason,))
        elif row.epoch not in by_turn and (row.epoch, row.model) not in by_rollout:
            verdict: Verdict = "first" if not before else "by_hand"
            yield Entry(verdict=verdict, at=row.at, model=row.model, name=name, challenged=before, why=(row.reason,) if before else ())
        before = row.model


def figure(found: Any) -> Figures | None:
    return found if isinstance(found, dict) and found.get("mean") is not None else None


def exams_by_model(home: Path, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{model: its exams by task}, all of one split: that which most of these models sat, "final" where two are equal.

    Exams of different splits ask different questions, so one curve never mixes them.
    """
    taken: Exams = exams_of(home)
    splits = {split for model in models for split in taken.get(model, {})}
    if not splits:
        return {}
    split = max(sorted(splits), key=lambda name: (sum(name in taken.get(model, {}) for model in set(models)), name == "final"))
    found = {model: taken[model][split] for model in models if split in taken.get(model, {})}
    return {model: json_of(exam.path / "summary.json") or {} for model, exam in found.items()}


def lessons_of(home: Path, model: str) -> Artifact | None:
    """What a model learnt from in the turn that made it, by its manifest; the examples for a first generation."""
    found = artifact_of(home, model, "models")
    refs = [] if found is None else [ref for ref in found.parents if ref.startswith("lessons/")]
    return artifact_of(home, refs[0], "lessons") if refs else None
