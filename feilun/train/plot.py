"""The loss curve of a run as a PNG."""

import json
from pathlib import Path

__all__ = ["plot_loss"]


def plot_loss(metrics: Path, target: Path) -> None:
    """Every number of `metrics.jsonl` but step and seconds against the step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()] if metrics.exists() else []
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in sorted({key for row in rows for key in row} - {"step", "seconds"}):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if rows:
        axes.legend()
    figure.savefig(target, dpi=110)
