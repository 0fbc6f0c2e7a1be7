"""How cost grows: rows of the core at sizes from 10² to 10⁶, and of Python tasks.

python benchmarks/growth.py [--quick] [--json FILE] [--chart FILE.svg] [--rows ROW ...]

The time is the processor's, of all threads, so that what else runs on the machine does not count. The slope is
that of the whole cost against the size, both logarithmic: 1 is linear. What fits no cache any more costs more each,
so that up to 1.25 is called linear, and what rises at one size, and no further, a step; the cost of the heap of
timers is taken beside its logarithm. What goes on rising is named. The exit status is 1 where a row could not run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from chart import growth_chart
from common import BENCHMARKS, BUILD, OURS, CannotRun, invoke, machine, say_progress
from suite_core import build_core
from suite_python import environment
from table import NONE, number, print_table

LINEAR = 1.25
SECONDS = 120  # of one run
ROW_SECONDS = 40.0  # after which a row is given no larger size
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
PYTHON_SIZES = (100, 1_000, 10_000, 100_000, 300_000)  # of what parks: 6 KB each


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    thing: str  # what there are so many of
    sizes: tuple[int, ...] = SIZES
    heap: bool = False  # one costs the logarithm of how many there are

    @property
    def unit(self) -> str:
        return "B" if self.name.endswith("_memory") else "ns"

    @property
    def in_python(self) -> bool:
        return self.name.startswith("python_")


ROWS = [
    Row("grow_spawn", "start all, join all", "tasks"),
    Row("grow_ring", "one turn of a ring", "tasks"),
    Row("parked_memory", "memory of parked tasks", "tasks"),
    Row("grow_channels", "make, send, receive", "channels"),
    Row("grow_waiters_served", "a value to each", "waiters on one channel"),
    Row("grow_waiters_closed", "close", "waiters on one channel"),
    Row("grow_waiters_left", "cancel each, in no order", "waiters on one channel"),
    Row("grow_select_ready", "select, all ready", "channels", (1, 3, 10, 30, 100, 300, 1_000)),
    Row("grow_select_parked", "select that parks", "channels", (1, 3, 10, 30, 100, 300, 1_000)),
    Row("grow_ctx_depth", "make a chain, cancel its root", "contexts"),
    Row("grow_ctx_width", "make children, cancel their parent", "contexts"),
    Row("grow_ctx_each", "make children, cancel each", "contexts"),
    Row("grow_timers", "make with deadlines, cancel each", "timers", SIZES[1:], heap=True),
    Row("grow_sleepers", "start, sleep, join", "timers, and their tasks", SIZES[1:], heap=True),
    Row("python_spawn", "Python: start all, join all", "tasks"),
    Row("python_memory", "Python: memory of parked tasks", "tasks", PYTHON_SIZES),
    Row("python_grouped", "Python: start all in a Group", "tasks"),
    Row("python_served", "Python: a value to each", "waiters on one channel", PYTHON_SIZES),
    Row("python_closed", "Python: close", "waiters on one channel", PYTHON_SIZES),
    Row("python_cancelled", "Python: cancel all", "waiters below one context", PYTHON_SIZES),
    Row("python_buffered", "Python: fill, drain", "elements of one channel"),
    Row("python_selected", "Python: select, one ready", "channels", (1, 3, 10, 30, 100, 300, 1_000)),
    Row("python_timed", "Python: make with timeouts, cancel each", "timers", SIZES[1:], heap=True),
]

Curve = list[tuple[float, float]]  # of size, and cost of one


def slope(curve: Curve, row: Row) -> float | None:
    """Of the whole cost, by least squares over the logarithms."""
    points = [(math.log(size), math.log(size * cost / (math.log2(size) if row.heap else 1)))
              for size, cost in curve if cost > 0]
    return statistics.linear_regression(*zip(*points)).slope if len(points) > 1 else None


def verdict(curve: Curve, row: Row) -> str:
    if len(curve) < 3 or (found := slope(curve, row)) is None:
        return NONE
    if found <= LINEAR:
        return "linear"
    return "SUPERLINEAR" if (slope(curve[-2:], row) or 0) > LINEAR else "linear, but for a step"


def command(row: Row, workers: int, size: int) -> list[str]:
    samples = "1" if row.unit == "B" else "3"
    if row.in_python:
        installed = environment()
        installed.install([OURS])
        if OURS in installed.missing:
            raise CannotRun(installed.missing[OURS])
        program = BENCHMARKS / "python" / "growth.py"
        return [str(installed.python), str(program), row.name, samples, str(size)]
    return [str(build_core()), row.name, "1", samples, str(workers), str(size)]


def measure(row: Row, workers: int, most: int) -> tuple[Curve, str]:
    """The curve as far as it could be had, and why not further."""
    curve: Curve = []
    spent = 0.0
    for size in row.sizes:
        if size > most or spent > ROW_SECONDS:
            return curve, ""
        say_progress(f"{row.title}: {size:,} {row.thing}, {workers} workers")
        try:
            words = command(row, workers, size)
            begun = os.times().elapsed
            found = invoke(words, SECONDS)
        except CannotRun as reason:
            return curve, f"{size:,} {row.thing}: {reason}"
        spent += os.times().elapsed - begun
        curve.append((float(size), statistics.median(found["value"])))
    return curve, ""


def cells(row: Row, workers: int, curve: Curve) -> tuple[str, ...]:
    found = slope(curve, row)
    costs = dict(curve)
    shown = [number(costs[size], row.unit) if size in costs else NONE for size in row.sizes]
    return (row.title, row.thing, str(workers), f"{row.sizes[0]:,} … {int(curve[-1][0]):,}" if curve else NONE,
            "  ".join(shown), NONE if found is None else f"{found:.2f}", verdict(curve, row))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no size above 10,000, one worker")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write the curves there")
    parser.add_argument("--chart", metavar="FILE.svg", type=pathlib.Path, help="draw them there")
    parser.add_argument("--rows", metavar="ROW", nargs="+", choices=[row.name for row in ROWS],
                        help="only these: " + ", ".join(row.name for row in ROWS))
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    BUILD.mkdir(parents=True, exist_ok=True)
    workers = [count for count in ((1,) if options.quick else (1, 2)) if count <= (os.cpu_count() or 1)]
    lines: list[tuple[str, ...]] = [("work", "many", "workers", "sizes", "one costs", "slope", "")]
    found, reasons = [], []
    panels: dict[str, dict[str, Sequence[tuple[float, float]]]] = {}
    for row in rows:
        for count in workers[:1] if row.in_python else workers:  # one thread at a time runs Python
            curve, reason = measure(row, count, 10_000 if options.quick else SIZES[-1])
            lines.append(cells(row, count, curve))
            found.append({"row": row.name, "title": row.title, "thing": row.thing, "unit": row.unit,
                          "workers": count, "curve": curve, "slope": slope(curve, row), "reason": reason})
            if reason:
                reasons.append(f"{row.title}: {reason}")
            panels.setdefault(f"{row.title} ({row.unit} each)", {})[f"{count} worker{'s' * (count > 1)}"] = curve
    say_progress("")
    print_table(lines)
    for reason in reasons:
        print(reason)
    if options.json:
        text = json.dumps({"machine": machine(), "rows": found}, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.chart:
        options.chart.write_text(growth_chart(panels), encoding="utf-8")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
