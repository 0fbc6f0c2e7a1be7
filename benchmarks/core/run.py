"""The core's benchmark: the rows of DESIGN.md section 8, beside Go's where Go is installed.

python benchmarks/core/run.py [--quick] [--json FILE] [ROW ...]

Builds both programs, runs them in turn (one, the other, one, …) so that what else the machine does
falls on both, and prints the medians, their ratio, what the same work costs without a runtime (the
floor), and whether the target is met. The exit status is 1 where a row of the core could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import (BUILD, ROOT, CannotRun, Result, Samples, in_turn, invoke, machine, number,
                    percent, print_load, print_reasons, print_table, run_quietly, say_progress)

PYGOSTOP, GO, FLOOR = "pygostop", "go", "floor"


@dataclass(frozen=True)
class Row:
    title: str
    name: str  # of the row in both programs
    workers: int = 1
    at_most: float | None = None  # times Go
    limit: float | None = None  # in the row's own unit
    floor: str | None = None
    go: bool = True  # Go has a counterpart
    unit: str = "ns"
    key: str = "value"  # of the program's lines that this row is about


MS, BYTES = "ms", "B"
PER_UNIT = {"ns": 1.0, MS: 1e6, "µs": 1e3, BYTES: 1.0}

ROWS = [
    Row("switch, one way", "switch", at_most=0.4, floor="switch"),
    Row("spawn and finish, by the thousand", "spawn_batch", at_most=0.5, floor="spawn"),
    Row("spawn and join, one at a time", "spawn_join", at_most=0.5, floor="spawn"),
    Row("unbuffered round trip", "round_trip", at_most=0.5, floor="round_trip"),
    Row("unbuffered round trip", "round_trip", workers=2, at_most=1.0),
    Row("buffered(128), per element", "buffered", at_most=1.0, floor="buffered"),
    Row("buffered(128), per element", "buffered", workers=2, at_most=1.0),
    Row("4 x 4 producers, consumers", "four_by_four", at_most=1.0, floor="four_by_four"),
    Row("4 x 4 producers, consumers", "four_by_four", workers=2, at_most=1.0),
    Row("ready select over 2", "select2", at_most=0.5),
    Row("ready select over 4", "select4", at_most=0.5),
    Row("ready select over 16", "select16", at_most=0.5),
    Row("cancel 10,000 parked on one context", "cancel_parked", at_most=0.5,
        floor="cancel_parked", unit=MS),
    Row("cancel 10,000 parked on one context", "cancel_parked", workers=2, at_most=0.5, unit=MS),
    Row("cancel 10,000 child contexts, a task in each", "cancel_tasks", at_most=0.5, unit=MS),
    Row("cancel 10,000 child contexts, a task in each", "cancel_tasks", workers=2, at_most=0.5,
        unit=MS),
    Row("cancel 10,000 child contexts, the call alone", "cancel_children", at_most=0.5, unit=MS),
    Row("prime sieve, first 2,000", "sieve", at_most=0.7, floor="sieve", unit=MS),
    Row("prime sieve, first 2,000", "sieve", workers=2, at_most=0.7, unit=MS),
    Row("tree of a million tasks, per task", "skynet"),
    Row("tree of a million tasks, per task", "skynet", workers=2),
    Row("parked task, of 1,000,000", "parked_memory", limit=4.6 * 1024, unit=BYTES),
    Row("checkpoint in a loop", "checkpoint", limit=1.0),
    Row("cancel to the task's return, median", "cancel_latency", workers=2, unit="µs", key="p50"),
    Row("cancel to the task's return, p99", "cancel_latency", workers=2, limit=1000.0, unit="µs",
        key="p99"),
]


# ---- the programs ----


def build_core() -> pathlib.Path:
    if not shutil.which("cmake"):
        raise CannotRun("CMake is not installed (pip install cmake ninja)")
    configure = ["cmake", "-S", str(ROOT), "-B", str(BUILD), "-DCMAKE_BUILD_TYPE=Release",
                 "-DGS_BENCHMARKS=ON", "-DGS_TESTS=OFF", "-DGS_PYTHON=OFF"]
    if not (BUILD / "CMakeCache.txt").exists() and shutil.which("ninja"):
        configure += ["-G", "Ninja"]
    run_quietly(configure)
    run_quietly(["cmake", "--build", str(BUILD), "--target", "corebench", "-j2"])
    return BUILD / "benchmarks" / "core" / "corebench"


def build_go() -> pathlib.Path:
    if not shutil.which("go"):
        raise CannotRun("Go is not installed")
    program = BUILD / "gobench"
    offline = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    run_quietly(["go", "build", "-o", str(program), "."], cwd=HERE / "go",
                env={**os.environ, **offline})
    return program


def go_version() -> str | None:
    if not shutil.which("go"):
        return None
    done = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True,
                          env={**os.environ, "GOTOOLCHAIN": "local"})
    return done.stdout.strip() or None


# ---- measuring ----


class Bench:
    def __init__(self, quick: bool) -> None:
        self.rounds, self.samples, self.scale = (2, 2, 10) if quick else (5, 3, 1)
        self.programs: dict[str, pathlib.Path] = {}
        self.missing: dict[str, str] = {}  # by side: why there is no program
        for side, build in ((PYGOSTOP, build_core), (GO, build_go)):
            try:
                self.programs[side] = build()
            except CannotRun as reason:
                self.missing[side] = str(reason)

    def once(self, side: str, row: Row) -> Samples:
        measure = [str(self.scale), str(self.samples)]
        program = PYGOSTOP if side == FLOOR else side
        if program in self.missing:
            raise CannotRun(self.missing[program])
        if side == GO:
            return invoke([str(self.programs[GO]), row.name, *measure],
                          {"GOMAXPROCS": str(row.workers)})
        name, workers = (f"floor:{row.floor}", 0) if side == FLOOR else (row.name, row.workers)
        return invoke([str(self.programs[PYGOSTOP]), name, *measure, str(workers)], {})

    def measure(self, rows: list[Row]) -> list[Result]:
        """The rows of one program's row: they share its runs."""
        first = rows[0]
        sides = [PYGOSTOP] + [GO] * first.go + [FLOOR] * (first.floor is not None)
        if first.workers > (os.cpu_count() or 1):
            return [Result(reasons=dict.fromkeys(sides, f"needs {first.workers} cores"))
                    for _ in rows]
        samples, reasons = in_turn(self.rounds, sides, lambda side: self.once(side, first))
        return [Result({side: [value / PER_UNIT[row.unit] for value in numbers[row.key]]
                        for side, numbers in samples.items()}, reasons) for row in rows]


def groups(rows: list[Row]) -> list[list[Row]]:
    """Neighbours that one run of the programs serves."""
    found: list[list[Row]] = []
    for row in rows:
        if found and (found[-1][0].name, found[-1][0].workers) == (row.name, row.workers):
            found[-1].append(row)
        else:
            found.append([row])
    return found


# ---- the table ----


def verdict(row: Row, result: Result) -> str:
    ours, go = result.median(PYGOSTOP), result.median(GO)
    if ours is None:
        return "cannot run"
    if row.at_most is not None:
        if go is None:
            return f"≤ {row.at_most:g} × Go"
        return f"≤ {row.at_most:g} × Go: {'met' if ours <= row.at_most * go else 'missed'}"
    if row.limit is not None:
        return f"≤ {number(row.limit, row.unit)}: {'met' if ours <= row.limit else 'missed'}"
    return "–"


HEAD = ("row", "workers", "Go", "pygostop", "ratio", "floor", "target", "spread Go", "pygostop")


def cells(row: Row, result: Result) -> tuple[str, ...]:
    ours, go = result.median(PYGOSTOP), result.median(GO)
    return (row.title, str(row.workers), number(go, row.unit), number(ours, row.unit),
            number(ours / go) if ours is not None and go else "–",
            number(result.median(FLOOR), row.unit), verdict(row, result),
            percent(result.spread(GO)), percent(result.spread(PYGOSTOP)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="a tenth of the work and fewer rounds: for a first look")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path,
                        help="write every sample there as well")
    parser.add_argument("rows", metavar="ROW", nargs="*",
                        help="only these: " + ", ".join(dict.fromkeys(row.name for row in ROWS)))
    options = parser.parse_args()
    unknown = set(options.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]

    BUILD.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.quick)
    here = {**machine(), "go": go_version()}
    print(f"{here['processor']}, {here['cores']} cores, {here['system']}, "
          f"{here['go'] or 'no Go'}; {bench.rounds} rounds of {bench.samples} samples, medians")
    print_load()
    results: list[Result] = []
    for group in groups(rows):
        say_progress(group[0].title)
        results += bench.measure(group)
    say_progress("")
    print_table([HEAD] + [cells(row, result) for row, result in zip(rows, results)])
    print_reasons((f"{row.name}/{row.workers}", result) for row, result in zip(rows, results))
    if options.json:
        options.json.write_text(json.dumps(
            {"machine": here, "quick": options.quick,
             "rows": [{"title": row.title, "row": row.name, "workers": row.workers,
                       "key": row.key, "unit": row.unit, "at_most_times_go": row.at_most,
                       "limit": row.limit, "samples": result.samples, "reasons": result.reasons}
                      for row, result in zip(rows, results)]},
            indent=1, ensure_ascii=False) + "\n")
    return 1 if any(PYGOSTOP in result.reasons for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
