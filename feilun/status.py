"""What a home holds, as lines for a person."""

import json
from datetime import UTC, datetime
from pathlib import Path

from feilun.artifacts import KINDS, Artifact, lineage, list_artifacts
from feilun.store import Store

__all__ = ["describe_artifact", "describe_home"]


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
    lines.append(f"feedback   {len(store.current_votes())} current votes of {store.last_seq()} events")
    lines += [f"engine     {row.name}: {row.model} at {row.url}; {'teaches' if row.teach else 'does not teach'}" for row in store.engines()]
    lines += [f"turn {turn.plan.get('name', turn.id)}: {turn.state}" for turn in turns]
    return lines


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
    """The artifact with its counts, then everything that it was made from."""
    manifest = artifact.manifest
    made = manifest["made"]
    lines = [f"{artifact.kind}/{artifact.ref}", f"  made {moment(made['time'])}, source {made['git'] or 'no checkout'}"]
    lines += [f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in manifest["counts"].items()]
    lines += [f"  recipe {json.dumps(manifest['recipe'], ensure_ascii=False)}", "made from"]
    return lines + [f"  {a.kind}/{a.ref}" for a in lineage(home, artifact)[1:]]
