"""Charts as SVG, made here: a line with its 95 % band over the generations, and a loss curve over steps.

The page puts the markup into itself rather than showing a picture: a picture sees neither the page's colours nor the reader's
choice of light or dark, and its words cannot be selected. So colours are classes that growth.css knows. As a file of its own a
chart carries the same rules and follows the system. Every text is escaped, and numbers are formatted here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Curve", "Point", "curve_chart", "measure_chart", "with_style"]

STYLE = (
    "svg{font:12px/1.4 system-ui,sans-serif;color-scheme:light dark;background:light-dark(#fff,#211e1b)}"
    ".t{font-size:13px;font-weight:600}text{fill:light-dark(#221f1b,#ece6dc)}.x,.y{fill:light-dark(#6b645b,#a89f92);font-size:11px}"
    ".grid{stroke:light-dark(#e4ded4,#38332d)}.band{fill:light-dark(#b4371f,#f28b75);opacity:.16}"
    ".line,.whisker{fill:none;stroke:light-dark(#b4371f,#f28b75);stroke-width:2}.whisker{stroke-width:1.5;opacity:.6}"
    ".dot{fill:light-dark(#b4371f,#f28b75)}.refused{fill:light-dark(#fff,#211e1b);stroke:light-dark(#b4371f,#f28b75);stroke-width:1.5}"
    ".v{font-size:11px;text-anchor:middle}.x{text-anchor:middle}.y,.x.end{text-anchor:end}.tick{stroke:light-dark(#6b645b,#a89f92)}"
)
WIDTH, HEIGHT = 300, 176
LEFT, RIGHT, TOP, BOTTOM = 42, 16, 34, 26
WIDE, TALL = 480, 220
MAX_LABELS = 8
LOW_LABEL_FROM = 0.85
MAX_CURVE_POINTS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One generation's share with its bounds; one that was refused stands beside the line."""

    label: str
    mean: float
    low: float
    high: float
    kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """(step, value) in order; num_steps: where the run ends; marks: steps at which something was written."""

    values: Sequence[tuple[float, float]]
    num_steps: int
    marks: Sequence[int] = ()


def measure_chart(title: str, description: str, points: Sequence[Point]) -> str:
    """Shares from 0 to 100 % by generation. Without points it is an empty frame."""
    places = [place(index, len(points)) for index in range(len(points))]
    kept = [(x, point) for x, point in zip(places, points, strict=True) if point.kept]
    parts = [grid(value, f"{value:.0%}") for value in (0.0, 0.5, 1.0)]
    if len(kept) > 1:
        parts.append(f'<polygon class="band" points="{band(kept)}"/>')
        parts.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{height(p.mean):.1f}" for x, p in kept)}"/>')
    shown = every(len(points))
    for index, (x, point) in enumerate(zip(places, points, strict=True)):
        if not point.kept or len(kept) == 1:
            parts.append(f'<path class="whisker" d="M{x:.1f} {height(point.low):.1f}V{height(point.high):.1f}"/>')
        parts.append(dot(x, point))
        if index % shown == 0 or index == len(points) - 1:
            parts.append(f'<text class="v" x="{x:.1f}" y="{label_height(point):.1f}">{point.mean:.0%}</text>')
            parts.append(f'<text class="x" x="{x:.1f}" y="{HEIGHT - 8}">{escape(point.label)}</text>')
    return svg(WIDTH, HEIGHT, title, description, parts)


def place(index: int, count: int) -> float:
    room = WIDTH - LEFT - RIGHT - 24
    return LEFT + 12 + (room / 2 if count == 1 else room * index / (count - 1))


def height(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(1.0, max(0.0, share)))


def label_height(point: Point) -> float:
    """Above the dot, or below it where there is little room to the upper edge."""
    return height(point.mean) + (17 if point.mean > LOW_LABEL_FROM else -8)


def every(count: int) -> int:
    return max(1, math.ceil(count / MAX_LABELS))


def band(kept: Sequence[tuple[float, Point]]) -> str:
    corners = [(x, p.high) for x, p in kept] + [(x, p.low) for x, p in reversed(kept)]
    return " ".join(f"{x:.1f},{height(value):.1f}" for x, value in corners)


def dot(x: float, point: Point) -> str:
    told = escape(f"{point.label}: {point.mean:.1%} ({point.low:.1%} – {point.high:.1%})")
    place_ = f'cx="{x:.1f}" cy="{height(point.mean):.1f}" r="3.5"'
    return f'<circle class="{"dot" if point.kept else "refused"}" {place_}><title>{told}</title></circle>'


def grid(share: float, label: str) -> str:
    y = height(share)
    line = f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT + 8}"/>'
    return f'{line}<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{label}</text>'


def curve_chart(title: str, description: str, curve: Curve) -> str:
    """A value over steps, from 0 on; the frame is as wide as the whole run, so that a running one grows into it."""
    values = thinned([(s, v) for s, v in curve.values if math.isfinite(v)])
    top = nice(max((value for _, value in values), default=1.0))
    last = max(curve.num_steps, *(int(step) for step, _ in values), 1)
    frame = Frame(last, top)
    parts = [frame.across(top * part) for part in (0.0, 0.5, 1.0)]
    parts += [f'<path class="tick" d="M{frame.x(step):.1f} {TALL - BOTTOM}v5"/>' for step in curve.marks]
    ends = ((0, "x"), (last // 2, "x"), (last, "x end"))
    parts += [f'<text class="{name}" x="{frame.x(step):.1f}" y="{TALL - 6}">{step:,}</text>' for step, name in ends]
    if values:
        parts.append(f'<polyline class="line" points="{" ".join(f"{frame.x(s):.1f},{frame.y(v):.1f}" for s, v in values)}"/>')
        step, value = values[-1]
        parts.append(f'<circle class="dot" cx="{frame.x(step):.1f}" cy="{frame.y(value):.1f}" r="3.5"/>')
        parts.append(f'<text class="v" x="{min(frame.x(step), WIDE - 30):.1f}" y="{frame.y(value) - 8:.1f}">{value:.2f}</text>')
    return svg(WIDE, TALL, title, description, parts)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where steps and values stand in a curve's frame."""

    last: int
    top: float

    def x(self, step: float) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * step / self.last

    def y(self, value: float) -> float:
        return TOP + (TALL - TOP - BOTTOM) * (1 - min(1.0, max(0.0, value / self.top)))

    def across(self, value: float) -> str:
        line = f'<path class="grid" d="M{LEFT} {self.y(value):.1f}H{WIDE - RIGHT}"/>'
        return f'{line}<text class="y" x="{LEFT - 6}" y="{self.y(value) + 4:.1f}">{value:g}</text>'


def thinned(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_CURVE_POINTS of the values, the last among them."""
    stride = math.ceil(len(values) / MAX_CURVE_POINTS)
    return values if stride <= 1 else [*values[:-1:stride], values[-1]]


def nice(value: float) -> float:
    """The next of 1, 2, 4, 6, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def svg(width: int, height_: int, title: str, description: str, parts: Sequence[str]) -> str:
    head = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    name = f'<text class="t" x="8" y="18">{escape(title)}</text>'
    label = escape(f"{title}. {description}", quote=True)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height_}" role="img" aria-label="{label}">'
    return f"{opening}{head}{name}{''.join(parts)}</svg>"


def with_style(chart: str) -> str:
    """The chart as a file of its own."""
    head, _, rest = chart.partition(">")
    return f"{head}><style>{STYLE}</style>{rest}"
