"""The charts, as SVG written by hand: ratios for the README, and how cost grows.

They are readable on a light and on a dark page, and follow the reader's preference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import table
from common import Result

STYLE = """<style>
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
.head { font-weight: 600 } .small { font-size: 11px; fill: #57606a } .end { text-anchor: end }
.middle { text-anchor: middle } .grid { stroke: #8c959f; stroke-opacity: .3 } .one { stroke: #57606a }
.faster { fill: #2f81f7 } .slower { fill: #d9822b } .target { stroke: #1a7f37; stroke-width: 2.5 }
.line { fill: none; stroke-width: 1.8 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .one { stroke: #9198a1 } .target { stroke: #3fb950 }
}
</style>"""
# Told apart on white and on black.
COLOURS = ("#2f81f7", "#d9822b", "#2da44e", "#bf4b8a", "#8250df", "#0e9aa7", "#c93c37")


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def drawing(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(title)}</title>", STYLE, *parts, "</svg>"]) + "\n"


# ---- ratios ----

LABELS, PLOT, MARGIN, STEP = 390, 390, 60, 22  # pixels


def chart(results: Sequence[Result]) -> str:
    """A bar a row: pygostop's time in parts of its rival's, on a logarithmic scale, and the target."""
    shown = [result for result in results
             if result.row.target and result.row.target.of and result.ratio() is not None]
    ratios = [result.ratio() or 1 for result in shown] or [1]
    low = math.floor(math.log10(min(*ratios, 0.1)))
    high = math.log10(max(*ratios, 1) * 1.6)

    def x(value: float) -> float:
        return LABELS + PLOT * (math.log10(value) - low) / (high - low)

    sections: dict[tuple[str, ...], list[Result]] = {}
    for result in shown:
        assert result.row.target
        sections.setdefault((result.suite, *result.row.target.of), []).append(result)
    bars: list[str] = []
    y = 34.0
    for (_, *rivals), rows in sections.items():
        best = "the fastest of " if len(rivals) > 1 else ""
        bars.append(text(8, y + 15, f"beside {best}{', '.join(rivals)}", "head"))
        y += STEP
        for result in rows:
            bars += bar(result, x, y)
            y += STEP
        y += 6
    grid = []
    for exponent in range(low, 1):
        for step in (1, 2, 5):
            value = step * 10.0**exponent
            if value <= 10**high:
                grid.append(line(x(value), 30, x(value), y, "one" if value == 1 else "grid"))
                grid.append(text(x(value), 24, f"{value:g}", "small middle"))
    foot = [text(LABELS, y + 18, "pygostop's time in parts of the other's: left of 1 is faster", "small"),
            line(LABELS - 14, y + 9, LABELS - 14, y + 21, "target"),
            text(LABELS - 22, y + 18, "target", "small end")]
    return drawing(LABELS + PLOT + MARGIN, y + 30, "pygostop's speed beside others'", [*grid, *bars, *foot])


def bar(result: Result, x, y: float) -> list[str]:
    row, ratio = result.row, result.ratio() or 1
    workers = f", {row.workers} workers" if row.workers and row.workers > 1 else ""
    left, right = sorted((x(ratio), x(1)))
    parts = [text(LABELS - 10, y + 15, row.title.removeprefix("Python: ") + workers, "end"),
             f'<rect x="{left:.1f}" y="{y + 4:.1f}" width="{max(right - left, 1):.1f}" height="14" rx="2" '
             f'class="{"faster" if ratio <= 1 else "slower"}"/>']
    if row.target:
        parts.append(line(x(row.target.at_most), y + 1, x(row.target.at_most), y + 21, "target"))
    parts.append(text(x(1) + 8 if ratio <= 1 else right + 6, y + 15, table.ratio(ratio)))
    return parts


# ---- growth ----

CELL, GAP, COLUMNS = 250, 46, 3


def growth_chart(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> str:
    """A panel each: the cost of one of n things against n, both logarithmic. Level is linear in all."""
    parts: list[str] = []
    for i, (title, lines) in enumerate(panels.items()):
        parts += panel(GAP + (i % COLUMNS) * (CELL + GAP), 30 + (i // COLUMNS) * (CELL * 0.7 + 70), title, lines)
    rows = -(-len(panels) // COLUMNS)
    return drawing(GAP + COLUMNS * (CELL + GAP), rows * (CELL * 0.7 + 70) + 10, "How cost grows with size", parts)


def panel(left: float, top: float, title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    points = [point for one in lines.values() for point in one if point[1] > 0]
    if not points:
        return [text(left, top, f"{title}: nothing measured", "head")]
    height = CELL * 0.7
    spans = []
    for values in ([p[0] for p in points], [p[1] for p in points]):
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        spans.append((low, max(high, low + 1)))
    (x0, x1), (y0, y1) = spans

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return (left + CELL * (math.log10(point[0]) - x0) / (x1 - x0),
                top + height * (1 - (math.log10(point[1]) - y0) / (y1 - y0)))

    parts = [text(left, top - 8, title, "head")]
    for exponent in range(x0, x1 + 1):
        x = at((10.0**exponent, 10.0**y0))[0]
        parts += [line(x, top, x, top + height, "grid"), text(x, top + height + 14, power(exponent), "small middle")]
    for exponent in range(y0, y1 + 1):
        y = at((10.0**x0, 10.0**exponent))[1]
        parts += [line(left, y, left + CELL, y, "grid"), text(left - 5, y + 4, power(exponent), "small end")]
    for i, (name, one) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, one))
        parts.append(f'<polyline points="{path}" class="line" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in map(at, one)]
        parts.append(f'<circle cx="{left + 4 + i * 120:.1f}" cy="{top + height + 27:.1f}" r="4" fill="{colour}"/>')
        parts.append(text(left + 12 + i * 120, top + height + 31, name, "small"))
    return parts


def power(exponent: int) -> str:
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}" if abs(exponent) > 3 else f"{10**exponent:,}"
