"""A corpus as one HTML page: no script, no file beside it, nothing from elsewhere. What it shows comes from the artifact alone."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from feilun.artifacts import Artifact, read_json
from feilun.corpus.shards import DROPPED, EDITS, PARTS, scan

__all__ = ["html_page"]

MAX_SAMPLES = 4
SAMPLE_CHARS = 120
BAR_WIDTH, BAR_HEIGHT, MAX_BAR = 640, 180, 90
STYLE = """
:root{color-scheme:light dark;--ink:#1d2330;--soft:#667085;--line:#d9dee7;--fill:#3b6fd4;--paper:#fff;--gone:#b42318;--come:#067647}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#344054;--fill:#84a9f5;--paper:#12151c;--gone:#fda29b;--come:#75e0a7}}
body{font:16px/1.55 system-ui,"Noto Sans CJK SC",sans-serif;color:var(--ink);background:var(--paper)}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.4rem 0 .6rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}
p.lead{color:var(--soft);margin:.3rem 0 0}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid var(--line)}th:first-child,td:first-child{text-align:left}
th{color:var(--soft);font-weight:500}details{margin:.5rem 0}summary{cursor:pointer}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;padding:.5rem .7rem}
pre{border:1px solid var(--line);border-radius:6px;font-size:.9rem}
del{color:var(--gone);text-decoration-thickness:1px}ins{color:var(--come);text-decoration:none}small{color:var(--soft)}
svg{width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}svg rect{fill:var(--fill)}
"""


def html_page(artifact: Artifact) -> str:
    """Counts, drops and changes with samples, lengths, languages, licences, duplicates of a corpus."""
    stats = read_json(artifact.path / "stats.json")
    documents = stats["documents"]
    head = f"{documents['read']:,} documents read, {documents['kept']:,} kept, {documents['dropped']:,} dropped"
    kept = pl.concat(
        scan(artifact, part).select("lang", "cluster_size", chars=pl.col("text").str.len_chars()).collect() for part in PARTS
    )  # fmt: skip
    sections = [
        ("Parts", _table(("part", "documents", "MB", "characters"), _parts(stats))),
        ("Dropped, and why", _table(("reason", "documents"), _counts(stats["dropped"])) + _dropped(artifact)),
        ("Changed, and how", _table(("rule", "documents"), _counts(stats["repaired"])) + _changed(artifact)),
        ("Length of a document", _bars(_lengths(kept["chars"]), "characters")),
        ("Languages", _bars([(name or "(none)", g["bytes"] / 1e6) for name, g in _largest(stats["languages"])], "MB")),
        ("Licences", _table(("licence", "documents", "MB"), _groups(stats["licenses"]))),
        ("Duplicates", _duplicates(stats, kept)),
        ("Inputs", _table(("file", "bytes", "rows"), _inputs(stats)) + _skipped(stats["skipped"])),
    ]
    body = "".join(f"<section><h2>{escape(title)}</h2>{content}</section>" for title, content in sections)
    title = escape(f"corpus/{artifact.ref}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1><p class=lead>{escape(head)}</p>{body}</body></html>\n"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    if not lines:
        return "<p>none</p>"
    return "<table><thead><tr>" + "".join(f"<th>{escape(c)}</th>" for c in columns) + f"</tr></thead><tbody>{lines}</tbody></table>"


def _largest(groups: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Mapping[str, int]]]:
    return sorted(groups.items(), key=lambda item: (-item[1]["bytes"], item[0]))


def _groups(groups: Mapping[str, Mapping[str, int]]) -> Iterable[Sequence[str]]:
    return [(name or "(none)", f"{g['documents']:,}", f"{g['bytes'] / 1e6:,.2f}") for name, g in _largest(groups)]


def _parts(stats: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    return [
        (part, f"{stats['documents'][part]:,}", f"{stats['bytes'][part] / 1e6:,.2f}", f"{stats['characters'][part]:,}") for part in PARTS
    ]


def _counts(counts: Mapping[str, int]) -> Iterable[Sequence[str]]:
    return [(name, f"{count:,}") for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count]


def _inputs(stats: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    return [(i["name"], f"{i.get('bytes', 0):,}", f"{i.get('rows', 0):,}") for i in stats["inputs"][:200]]


def _skipped(skipped: Sequence[Mapping[str, str]]) -> str:
    rows = [(skip["name"], skip["reason"]) for skip in skipped[:200]]
    return f"<details><summary>{len(skipped):,} files passed over</summary>{_table(('file', 'reason'), rows)}</details>" if rows else ""


def _dropped(artifact: Artifact) -> str:
    heads = scan(artifact, DROPPED).filter(pl.col("head") != "").group_by("reason", maintain_order=True).head(MAX_SAMPLES).collect()
    return "".join(
        _samples(
            str(reason), [f"{escape(_short(row['head']))} <small>{escape(row['origin'])}</small>" for row in rows.iter_rows(named=True)]
        )
        for (reason,), rows in heads.sort("reason", maintain_order=True).group_by(["reason"], maintain_order=True)
    )


def _changed(artifact: Artifact) -> str:
    changes = scan(artifact, EDITS).unique(["rule", "before", "after"], keep="first", maintain_order=True)
    edits = changes.group_by("rule", maintain_order=True).head(MAX_SAMPLES).collect()
    return "".join(
        _samples(str(rule), [_change(row) for row in rows.iter_rows(named=True)])
        for (rule,), rows in edits.sort("rule", maintain_order=True).group_by(["rule"], maintain_order=True)
    )


def _change(row: Mapping[str, Any]) -> str:
    before = f"<del>{escape(_visible(row['before']))}</del>" if row["before"] is not None else "<small>(not kept)</small>"
    return f"{before} → <ins>{escape(_visible(row['after']))}</ins> <small>{escape(row['id'])}, character {row['offset']:,}</small>"


def _samples(name: str, samples: Sequence[str]) -> str:
    return f"<details><summary>{escape(name)}</summary>{''.join(f'<pre>{sample}</pre>' for sample in samples)}</details>"


def _short(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARS else text[:SAMPLE_CHARS] + "…"


def _visible(text: str) -> str:
    """What would not be seen, by name."""
    shown = "".join(c if c.isprintable() else "⏎" if c == "\n" else f"\\u{ord(c):04x}" for c in text)
    return _short(shown.replace(" ", "␣") if not shown.strip() else shown) or "∅"


def _lengths(chars: pl.Series) -> list[tuple[str, float]]:
    """Documents by length in steps of two."""
    if chars.is_empty():
        return []
    steps = chars.clip(1).cast(pl.Float64).log(2.0).floor().cast(pl.Int64).to_list()
    return [(_round(2**step), float(steps.count(step))) for step in range(min(steps), max(steps) + 1)]


def _round(number: int) -> str:
    return f"{number >> 20}M" if number >= 1 << 20 else f"{number >> 10}k" if number >= 1 << 10 else str(number)


def _bars(bars: Sequence[tuple[str, float]], unit: str) -> str:
    if not bars:
        return "<p>none</p>"
    most = max(height for _, height in bars) or 1.0
    step = BAR_WIDTH / len(bars)
    drawn = []
    for place, (name, value) in enumerate(bars):
        height, left = value / most * (BAR_HEIGHT - 50), place * step
        figure = f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.2f}"
        middle, top = left + min(step, MAX_BAR) / 2, BAR_HEIGHT - 20 - height
        drawn.append(
            f'<rect x="{left + 2:.1f}" y="{top:.1f}" width="{max(min(step, MAX_BAR) - 4, 1):.1f}" height="{height:.1f}"></rect>'
            f'<text x="{middle:.1f}" y="{BAR_HEIGHT - 5}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{middle:.1f}" y="{top - 5:.1f}" text-anchor="middle">{figure}</text>'
        )
    size = f'viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" role="img" aria-label="{escape(unit)}"'
    return f"<svg {size}>{''.join(drawn)}</svg><small>{escape(unit)}</small>"


def _duplicates(stats: Mapping[str, Any], kept: pl.DataFrame) -> str:
    dropped = stats["dropped"]
    told = f"<p>{dropped.get('exact_duplicate', 0):,} exact and {dropped.get('near_duplicate', 0):,} near copies were dropped.</p>"
    sizes = kept.filter(pl.col("cluster_size") > 1)["cluster_size"].value_counts().sort("cluster_size")
    rows = [(f"{size:,}", f"{count:,}") for size, count in sizes.tail(20).iter_rows()]
    return told + _table(("a document that stands for so many", "documents"), rows)
