"""What a home holds, as lines for a person."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feilun.artifacts import KINDS, Artifact, lineage, list_artifacts
from feilun.store import RolloutRow, Store
from feilun.turn.forget import proof_line, proof_of
from feilun.turn.rolling import seen_by
from feilun.turn.rollout import decide_rollout, people_to_turn
from feilun.turn.watch import WATCH_NOTE

__all__ = ["describe_artifact", "describe_home", "nobody_looks", "rollout_lines"]

MAX_INPUTS = 20
UNSEEN_SECONDS = 15.0  # a watcher shows itself every four
MAX_LISTED = 12


def describe_home(home: Path) -> list[str]:
    """Artifacts by kind, champion, turns, votes."""
    lines = [f"home {home}"]
    for kind in KINDS:
        made = list_artifacts(home, kind)
        if made:
            lines.append(f"{kind:10} {len(made):4}  newest {made[-1].ref}  {moment(made[-1].manifest['made']['time'])}")
    if (home / "feilun.db").exists():
        with Store.open(home) as store:
            lines += store_lines(store)
    if len(lines) == 1:
        lines.append("nothing is made yet; begin with `feilun demo`, or `feilun corpus build NAME PATH...`")
    report = home / "report.json"
    if report.exists():
        lines += ["", *generation_lines(json.loads(report.read_text(encoding="utf-8")))]
    return lines


def store_lines(store: Store) -> list[str]:
    champion, turns = store.champion(), store.turns()
    lines = [f"champion   {champion.model} (epoch {champion.epoch})" if champion else "champion   none yet"]
    lines.append(f"feedback   {store.count_votes()} current votes of {store.last_seq()} events")
    lines += [f"engine     {row.name}: {row.model} at {row.url}; {'teaches' if row.teach else 'does not teach'}" for row in store.engines()]
    lines += [f"turn {turn.plan.get('name', turn.id)}: {turn.state.replace('_', ' ')}" for turn in turns]
    lines += rollout_lines(store) if store.rollouts() else []
    lines += [f"set aside  {model}: {why}" for model, why in store.quarantined().items()]
    return lines


def rollout_lines(store: Store) -> list[str]:
    """The rollout that is under way, or how the last one ended; and what may not teach since."""
    rows, withheld = store.rollouts(), store.withheld_events()
    if not rows:
        return ["rollout    none so far; a turn with --set rollout=staged begins one"]
    row = rows[-1]
    lines = [f"rollout    {row.candidate}: {row.why}" if row.finished is not None else f"rollout    {told_stage(row)}"]
    if row.finished is None:
        seen = seen_by(store, row)
        found = decide_rollout(row, seen, time.time())
        lines.append(f"  waits    {found.why or 'for the next look'}")
        lines += [f"  {arm:9}{crowd.users} people, {crowd.answers} answers" for arm, crowd in seen.crowds.items()]
        for signal, more in people_to_turn(row, seen).items():
            log_e = found.figures["log_e"][signal]
            lines.append(f"  {signal:10} log e {log_e:+.2f} of {found.figures['level']:.2f}; {more} more people would take it back")
        lines += [f"  not mirrored: {num} ({reason})" for reason, num in store.shadow.drops(row.id).items()]
        lines += [f"  {line}" for line in nobody_looks(store)]
    if withheld:
        lines.append(f"withheld   {len(withheld)} events teach nothing since a rollout was taken back; feilun rollout release lets them")
    return lines


def nobody_looks(store: Store) -> list[str]:
    """A line where a rollout is under way and nobody moves it on or takes it back."""
    unseen = time.time() - (store.read_note(WATCH_NOTE) or {}).get("at", 0.0) > UNSEEN_SECONDS
    hint = "run feilun turn --watch, or feilun serve without --no-watch"
    return [f"nobody looks at it, so nothing is taken back: {hint}"] if unseen and store.rollout() is not None else []


def told_stage(row: RolloutRow) -> str:
    share = f"; it answers {row.share:.0%} of the people" if row.stage != "shadow" else "; nobody sees its answers yet"
    return f"{row.candidate}: {row.stage}{share}{', held by hand' if row.held else ''}"


def generation_lines(report: dict[str, object]) -> list[str]:
    """The demo's table: one row a generation, accuracy by exam key."""
    generations = report["generations"]
    assert isinstance(generations, list)
    keys = list(dict.fromkeys(key for row in generations for key in row["exams"] if ":" not in key))
    lines = ["generation    verdict    acceptance  " + "  ".join(f"{key:>13}" for key in keys)]
    for row in generations:
        cells = "  ".join(f"{row['exams'][key]['mean']:13.3f}" for key in keys)
        lines.append(f"{row['name']:12}  {row['verdict']:9}  {row['acceptance']['mean']:10.3f}  {cells}")
    return lines


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def describe_artifact(home: Path, artifact: Artifact) -> list[str]:
    """The artifact with its counts, then everything that it was made from, down to the files that came from outside."""
    manifest = artifact.manifest
    made = manifest["made"]
    lines = [
        f"{artifact.kind}/{artifact.ref}",
        f"  made {moment(made['time'])}, source {made['git'] or 'no checkout'}",
        *_fate(home, artifact),
    ]
    lines += [f"  {key}: {_short(value)}" for key, value in manifest["counts"].items()]
    lines += [f"  recipe {json.dumps(manifest['recipe'], ensure_ascii=False)}", "made from"]
    for parent in lineage(home, artifact)[1:]:
        lines += [f"  {parent.kind}/{parent.ref}", *(f"    {line}" for line in origin_lines(parent))]
    return lines


def _fate(home: Path, artifact: Artifact) -> Iterator[str]:
    """What was erased of an artifact, and for a model what its manifests prove of that."""
    for word in ("tombstone", "redacted"):
        if found := artifact.manifest.get(word):
            yield f"  {word}: {found['why']} ({moment(found['at'])})" + (f"; see {found['successor']}" if "successor" in found else "")
    if artifact.kind == "models" and (home / "feilun.db").exists():
        with Store.open(home) as store:
            yield f"  {proof_line(proof_of(home, store, artifact.ref))}"
            if why := store.quarantined().get(f"models/{artifact.ref}"):
                yield f"  set aside: {why}"


def origin_lines(artifact: Artifact) -> Iterator[str]:
    """What an artifact was made from that is no artifact: files with their hashes, events."""
    counts, recipe = artifact.manifest["counts"], artifact.manifest["recipe"]
    if found := artifact.manifest.get("tombstone"):
        yield f"erased {moment(found['at'])}: {found['why']}"
    inputs = counts.get("inputs", recipe.get("inputs", ()))
    for given in inputs[:MAX_INPUTS]:
        size = f", {given['bytes']} bytes" if "bytes" in given else ""
        yield f"{given['name']}  sha256 {given['sha256']}{size}"
    if len(inputs) > MAX_INPUTS:
        yield f"and {len(inputs) - MAX_INPUTS} more files, in {artifact.path / 'manifest.json'}"
    yield from (f"imported from {name}" for name in recipe.get("imported", ()))
    if events := counts.get("events"):
        used = ", ".join(f"{n} {kind}" for kind, n in counts.get("used", {}).items())
        rows = f" in {counts['num_rows']} rows" if "num_rows" in counts else ""
        upto = f", up to event {recipe['upto_seq']}" if "upto_seq" in recipe else ""
        yield f"{len(events)} events" + (f" ({used})" if used else "") + rows + upto


def _short(value: Any) -> str:
    """A list of ids is counted; its items stand in the manifest."""
    if isinstance(value, list) and len(value) > MAX_LISTED:
        return f"{len(value)} in the manifest"
    return json.dumps(value, ensure_ascii=False)
