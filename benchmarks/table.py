"""Results as words: the cells that the terminal's table and the README's share."""

from __future__ import annotations

from collections.abc import Sequence

from common import OURS, Result, Target

NONE = "–"


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return NONE
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def ratio(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def measured(result: Result, side: str) -> str:
    """The median, and the spread where it is known."""
    text = number(result.median(side), result.row.unit)
    spread = result.spread(side)
    return text if spread is None else f"{text} ±{spread:.0%}"


def wanted(target: Target | None, unit: str) -> str:
    if target is None:
        return NONE
    if not target.of:
        return f"≤ {number(target.at_most, unit)}"
    return f"≤ {target.at_most:.2g} × {', '.join(target.of)}"


def verdict(result: Result) -> str:
    if result.median(OURS) is None:
        return "cannot run"
    return {None: NONE, True: "reached", False: "missed"}[result.reached()]


def others(result: Result) -> str:
    """Each other's median, and ours in parts of it."""
    ours = result.median(OURS)
    return "; ".join(
        f"{side} {measured(result, side)}" + (f" ({ratio(ours / value)})" if ours and value else "")
        for side, value in result.peers()) or NONE


HEAD = ("row", "workers", "pygostop", "floor", "target", "verdict", "ratio", "others (pygostop in parts of each)")


def cells(result: Result) -> tuple[str, ...]:
    row = result.row
    return (row.title, str(row.workers or NONE), measured(result, OURS),
            number(result.median(row.floor), row.unit) if row.floor else NONE,
            wanted(row.target, row.unit), verdict(result), ratio(result.ratio()), others(result))


def print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for i, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
        if i == 0:
            print("|-" + "-|-".join("-" * width for width in widths) + "-|")


def print_reasons(results: Sequence[Result]) -> None:
    """Each reason once, with the rows that it keeps from running."""
    rows: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for side, reason in result.reasons.items():
            rows.setdefault((side, reason), []).append(result.name)
    for (side, reason), names in rows.items():
        print(f"{side} could not run {', '.join(names)}: {reason}")
