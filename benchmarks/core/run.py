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
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "benchmarks"
INVOCATION_SECONDS = 120  # after which one that hangs is ended
BUSY = 0.5  # load average from which others disturb the figures

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


class CannotRun(Exception):
    """Why a program or a row cannot run, in words for the table."""


@dataclass
class Result:
    samples: dict[str, list[float]] = field(default_factory=dict)  # by side, in the row's unit
    reasons: dict[str, str] = field(default_factory=dict)  # by side: why it has none

    def median(self, side: str) -> float | None:
        values = self.samples.get(side)
        return statistics.median(values) if values else None

    def spread(self, side: str) -> float | None:
        """Half the distance between the quartiles, in parts of the median."""
        values = self.samples.get(side, [])
        if len(values) < 4:
            return None
        low, middle, high = statistics.quantiles(values, n=4)
        return (high - low) / 2 / middle


# ---- the programs ----


def run_quietly(command: list[str], **options) -> None:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise CannotRun(f"{' '.join(command)} failed with status {done.returncode}")


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


def invoke(command: list[str], environment: dict[str, str]) -> dict[str, list[float]]:
    """One run of a program: its numbers by key."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INVOCATION_SECONDS,
                              env={**os.environ, **environment})
    except subprocess.TimeoutExpired:
        raise CannotRun(f"did not end within {INVOCATION_SECONDS} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        raise CannotRun(words[-1])
    numbers: dict[str, list[float]] = {}
    for line in done.stdout.splitlines():
        key, value = line.split()
        numbers.setdefault(key, []).append(float(value))
    return numbers


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

    def once(self, side: str, row: Row) -> dict[str, list[float]]:
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
        results = [Result() for _ in rows]
        sides = [PYGOSTOP] + [GO] * first.go + [FLOOR] * (first.floor is not None)
        if first.workers > (os.cpu_count() or 1):
            return [Result(reasons=dict.fromkeys(sides, f"needs {first.workers} cores"))
                    for _ in rows]
        for _ in range(self.rounds):
            for side in sides:
                if side in results[0].reasons:
                    continue
                try:
                    numbers = self.once(side, first)
                except CannotRun as reason:
                    for result in results:
                        result.samples.pop(side, None)
                        result.reasons[side] = str(reason)
                    continue
                for row, result in zip(rows, results):
                    values = [value / PER_UNIT[row.unit] for value in numbers[row.key]]
                    result.samples.setdefault(side, []).extend(values)
        return results


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


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


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


def print_table(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for i, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
        if i == 0:
            print("|-" + "-|-".join("-" * width for width in widths) + "-|")


def print_reasons(rows: list[Row], results: list[Result]) -> None:
    """Each reason once, with the rows that it keeps from running."""
    titles: dict[tuple[str, str], list[str]] = {}
    for row, result in zip(rows, results):
        for side, reason in result.reasons.items():
            titles.setdefault((side, reason), []).append(f"{row.name}/{row.workers}")
    for (side, reason), names in titles.items():
        where = "no row" if len(names) == len(rows) else ", ".join(names)
        verb = "ran" if where == "no row" else "could not run"
        print(f"{side}: {where} {verb}: {reason}")


def processor() -> str:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


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
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform(),
               "go": go_version()}
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
          f"{machine['go'] or 'no Go'}; {bench.rounds} rounds of {bench.samples} samples, medians")
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"something else keeps this machine busy (load {load:.1f}): the figures are rough")
    results: list[Result] = []
    for group in groups(rows):
        if sys.stderr.isatty():
            print(f"\r\033[K{group[0].title} ...", end="", file=sys.stderr, flush=True)
        results += bench.measure(group)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    print_table([HEAD] + [cells(row, result) for row, result in zip(rows, results)])
    print_reasons(rows, results)
    if options.json:
        options.json.write_text(json.dumps(
            {"machine": machine, "quick": options.quick,
             "rows": [{"title": row.title, "row": row.name, "workers": row.workers,
                       "key": row.key, "unit": row.unit, "at_most_times_go": row.at_most,
                       "limit": row.limit, "samples": result.samples, "reasons": result.reasons}
                      for row, result in zip(rows, results)]},
            indent=1, ensure_ascii=False) + "\n")
    return 1 if any(PYGOSTOP in result.reasons for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
