"""report.json, report.png and report.html of a home: what each generation was worth, with intervals."""

import base64
import html
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, write_json
from feilun.config import Recipe
from feilun.demo.state import DemoState
from feilun.exam.compare import compare
from feilun.exam.run import read_summary

__all__ = ["REPORTS", "acknowledged", "champion_row", "machine", "report_row", "table_lines", "write_report"]

REPORTS = ("report.json", "report.png", "report.html")
Row = dict[str, Any]
# What held-out people find in the ads of a generation; "accepted" asks for both.
AD_FIGURES = ("constraints", "taste")
AD_HEADS = ("ads: constraints", "ads: taste")
# With equal whole parts every hard pair is "the shorter is larger", so this rule alone scores 1.00 there.
LENGTH_RULE = {"longer": 0.0, "shorter": 1.0, "equal": 0.5}


def report_row(
    name: str, model: str, verdict: str, why: str, exam: Artifact, measured: Mapping[str, Any], blind: Mapping[str, Any] | None
) -> Row:
    """One generation; each exam key also holds its cells and the reasons of its answers; blind: against the champion it challenged.

    copywriting: {"constraints", "taste", "accepted"} of ads as held-out people judge them; None where no brief was measured.
    """
    return {
        "name": name, "model": model, "verdict": verdict, "why": why, "acceptance": measured["acceptance"],
        "acceptance_without_number_order": measured["without_number_order"], "exams": read_summary(exam), "blind": blind,
        "copywriting": measured.get("copywriting"),
    }  # fmt: skip


def champion_row(rows: Sequence[Row]) -> Row:
    """The last generation that was promoted, or the first."""
    return next((row for row in reversed(rows) if row["verdict"] in ("promoted", "first")), rows[0])


def write_report(state: DemoState, recipe: Recipe, rows: Sequence[Row]) -> None:
    from feilun.demo.stages import exam_of

    champion = champion_row(rows)
    exams = [exam_of(state.home, row["model"], recipe.exam) for row in (rows[0], champion)]
    assert exams[0] is not None
    assert exams[1] is not None
    report = {
        "cpu_seconds": round(sum(state.cpu.values()), 1), "seconds": round(state.seconds, 1), "machine": machine(),
        "seed": state.told["seed"], "control": state.told["control"], "events": num_events(state),
        "generations": list(rows), "champion": champion["name"],
        "change": {key: interval._asdict() for key, interval in compare(exams[0], exams[1]).items()},
        "length_rule": {"number_hard": 1.0, **{f"number_near:{cell}": value for cell, value in LENGTH_RULE.items()}},
        "cpu_seconds_by_step": state.cpu, "starts": state.starts,
    }  # fmt: skip
    write_json(state.home / REPORTS[0], report)
    draw(state.home / REPORTS[1], rows)
    (state.home / REPORTS[2]).write_text(page(report, (state.home / REPORTS[1]).read_bytes()), encoding="utf-8")


def num_events(state: DemoState) -> int:
    """Events that the users of all turns had acknowledged."""
    return sum(acknowledged(made) for step, made in state.refs.items() if step.startswith("events-"))


def acknowledged(visit: Mapping[str, Any]) -> int:
    """Events of one turn's users that the server keeps."""
    return sum(count for status, count in visit["statuses"].items() if status in ("recorded", "duplicate"))


def machine() -> str:
    """Processor, cores and system, without a host name."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = [line.partition(":")[2].strip() for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = found[0] if found else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def table_lines(rows: Sequence[Row]) -> list[str]:
    keys = list(rows[0]["exams"])
    lines = ["", "generation  verdict   accept  blind  " + "  ".join(f"{key:>13}" for key in keys)]
    for row in rows:
        cells = "  ".join(f"{row['exams'][key]['mean']:13.3f}" for key in keys)
        lines.append(f"{row['name']:10}  {row['verdict']:8}  {row['acceptance']['mean']:6.3f}  {blind_share(row):>5}  {cells}")
    lines += [f"{row['name']} {line}" for row in rows for line in (blind_line(row), ads_line(row)) if line]
    cells_line = champion_row(rows)["exams"]
    for key in ("number_hard", "number_near"):
        parts = ", ".join(f"{cell} {part['mean']:.2f}" for cell, part in cells_line[key]["cells"].items())
        rule = "1.00 everywhere" if key == "number_hard" else ", ".join(f"{c} {v:.2f}" for c, v in LENGTH_RULE.items())
        lines.append(f"{key} of the champion by cell: {parts}   (a rule by length alone: {rule})")
    return lines


def blind_share(row: Row) -> str:
    blind = row.get("blind")
    return "-" if not blind or not blind["share"]["n"] else f"{blind['share']['mean']:.2f}"


def blind_line(row: Row) -> str:
    """Of whom the share is, and what stands beside it: choices that were not decided."""
    blind = row.get("blind")
    if not blind:
        return ""
    share, undecided = blind["share"], f"{blind['ties']} ties, {blind['both_bad']} both bad"
    if not share["n"]:
        return f"against {blind['against']}: no choice was decided ({undecided})"
    bounds = f"{share['low']:.2f} to {share['high']:.2f}"
    return f"wins {share['mean']:.2f} of the blind choices against {blind['against']} ({bounds}, n = {share['n']}; {undecided})"


def ads_line(row: Row) -> str:
    """Ads by rule and by taste, where they were measured."""
    ads = row.get("copywriting")
    if not ads:
        return ""
    parts = (f"{name} {ads[name]['mean']:.2f} ({ads[name]['low']:.2f} to {ads[name]['high']:.2f})" for name in AD_FIGURES)
    return f"ads: {', '.join(parts)}, n = {ads['taste']['n']}"


def draw(target: Path, rows: Sequence[Row]) -> None:
    """Accuracy of every key and acceptance over the generations, with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['name']}\n{row['verdict']}" for row in rows]
    series = {"acceptance": [row["acceptance"] for row in rows]} | {key: [row["exams"][key] for row in rows] for key in rows[0]["exams"]}
    if all(row.get("copywriting") for row in rows):
        series["taste in ads"] = [row["copywriting"]["taste"] for row in rows]
    for number, (key, points) in enumerate(series.items()):
        means = [p["mean"] for p in points]
        errors = [[max(0.0, p["mean"] - p["low"]) for p in points], [max(0.0, p["high"] - p["mean"]) for p in points]]
        places = [i + 0.02 * number for i in range(len(points))]
        bold = key in ("acceptance", "number_hard")
        width, alpha = (2.5, 1.0) if bold else (1.0, 0.6)
        axes.errorbar(places, means, yerr=errors, label=key, marker="o", linewidth=width, alpha=alpha, capsize=2)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("share right, share accepted")
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, fontsize=8, loc="lower right")
    figure.savefig(target, dpi=120)


def page(report: Mapping[str, Any], picture: bytes) -> str:
    """One file that needs no other: the picture stands in it."""
    rows: Sequence[Row] = report["generations"]
    keys = list(rows[0]["exams"])
    head = "".join(f"<th>{html.escape(key)}</th>" for key in ("generation", "verdict", "acceptance", "blind choices", *keys, *AD_HEADS))
    body = "".join(table_row(row, keys) for row in rows)
    facts = {k: report[k] for k in ("seed", "events", "cpu_seconds", "seconds", "machine", "champion")}
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Feilun: one ring</title>"
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color-scheme:light dark}"
        "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
        "td,th{padding:.3rem .6rem;border-bottom:1px solid #8884;text-align:right}"
        "td:first-child,th:first-child{text-align:left}small{opacity:.7}img{max-width:100%;background:#fff}</style>"
        "<h1>One ring: from text to the next, better model</h1>"
        f"<p>{html.escape(json.dumps(facts, ensure_ascii=False))}</p><table><tr>{head}</tr>{body}</table>"
        "<p><small>Shares with 95 % intervals; exams on split final, acceptance and blind choices by held-out users, clustered by user."
        " A blind choice is between the answers of two generations to one question; the share is wins of wins and losses."
        " Ads: held-out users look at the rules of the brief, and whether they like the style.</small></p>"
        f"<img src='data:image/png;base64,{base64.b64encode(picture).decode()}' alt='accuracy and acceptance by generation'></html>\n"
    )


def table_row(row: Row, keys: Sequence[str]) -> str:
    blind = row.get("blind")
    ads = row.get("copywriting") or {}
    shares = [row["acceptance"], blind["share"] if blind else None, *(row["exams"][key] for key in keys), *map(ads.get, AD_FIGURES)]
    figures = "".join(f"<td>{figure_cell(share)}</td>" for share in shares)
    name, why, verdict = (html.escape(row[key]) for key in ("name", "why", "verdict"))
    told = f"<br><small>{html.escape(blind_line(row))}</small>" if blind else ""
    return f"<tr><td>{name}<br><small>{why}</small>{told}</td><td>{verdict}</td>{figures}</tr>"


def figure_cell(share: Mapping[str, Any] | None) -> str:
    if not share or share["mean"] is None:
        return "-"
    return f"{share['mean']:.3f}<br><small>{share['low']:.2f} to {share['high']:.2f}</small>"
