"""Python tasks beside asyncio, gevent, trio, threads, and greenlet's bare switch.

python benchmarks/python/run.py [--quick] [--json FILE] [--rows ROW ...]

Makes an environment under build/ with the interpreter that runs it: this checkout, built as it ships, and
the current releases of the others from the package index. Runs all of them in turn, each row of each a
process of its own, and prints the medians, how many times pygostop's each other's is, the spread, and
whether the target is met. The exit status is 1 where a row of pygostop could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import (BUILD, ROOT, CannotRun, Result, Samples, in_turn, invoke, machine, number,
                    percent, print_load, print_reasons, print_table, say_progress)

PEERS = HERE / "peers"
PYGOSTOP, ASYNCIO, GEVENT, TRIO, THREADS, GREENLET = SIDES = (
    "pygostop", "asyncio", "gevent", "trio", "threads", "greenlet")
# What pip is asked for: the others are the interpreter's own.
PACKAGES = {PYGOSTOP: str(ROOT), GEVENT: "gevent", TRIO: "trio", GREENLET: "greenlet"}

WITHOUT_FLOOR = SIDES[:-1]
WITH_CANCEL = (PYGOSTOP, ASYNCIO, GEVENT, TRIO)
LOOPS = (ASYNCIO, GEVENT)  # that the targets name
PARKED = 10_000
PARKED_THREADS = 1_000  # more of them would hold up everything else on the machine for minutes
NS, MS, BYTES = 1e9, 1e3, 1.0  # of a unit in one second, or in one byte
UNITS = {NS: "ns", MS: "ms", BYTES: "B"}


@dataclass(frozen=True)
class Row:
    title: str
    name: str
    program_row: str = ""  # where the programs name it otherwise
    sides: tuple[str, ...] = SIDES
    times: float | None = None  # the target: at least so many times faster than the best of `rivals`
    rivals: tuple[str, ...] = LOOPS
    operations: int = 0  # 0: as many as fill the time of a sample
    whole: bool = False  # the cost of all operations, not of one
    samples: int | None = None
    seconds: float = 0.05  # of a sample
    busy: bool = False  # a second thread runs Python
    scale: float = NS
    note: str = ""  # how peers differ, for those who read the table


ROWS = [
    Row("spawn and finish, by the thousand", "spawn", times=10,
        note="greenlet starts and ends them one at a time"),
    Row("yield, one way", "yield", times=10,
        note="a thread's is sleep(0), which lets the GIL go and need not switch; greenlet's a switch"),
    Row("unbuffered round trip", "round_trip", times=10,
        note="asyncio has no unbuffered channel: two Queue(1); threads have none either: two "
             "SimpleQueues, which have no limit; greenlet: two switches that carry a value"),
    Row("buffered(128), per element", "buffered", sides=WITHOUT_FLOOR, times=3,
        rivals=(ASYNCIO, GEVENT, TRIO, THREADS)),
    Row("without a limit, per element", "unlimited", sides=WITHOUT_FLOOR,
        note="pygostop's channels have a limit: one that is not reached; gevent's and threads' are "
             "SimpleQueues"),
    Row("select over 4, per value", "select", sides=WITHOUT_FLOOR,
        note="only pygostop waits for queues themselves; asyncio.wait and gevent.wait wait for one task "
             "a queue, trio and threads forward all into one"),
    Row(f"cancel {PARKED:,} parked", "cancel", sides=WITH_CANCEL, operations=PARKED, whole=True,
        samples=2, scale=MS,
        note="until all their finally blocks have run; asyncio cancels one by one, the others all by one "
             "call; threads cannot be cancelled"),
    Row(f"parked task, of {PARKED:,}", "memory", operations=PARKED, samples=1, scale=BYTES,
        note=f"growth of the resident memory; threads: of {PARKED_THREADS:,}, without what the kernel "
             "has for them; asyncio's and trio's tasks have no stack: each further coroutine that they await adds to it"),
    Row("spawn and finish, beside a busy thread", "spawn_busy", "spawn", seconds=0.2, busy=True),
    Row("yield, beside a busy thread", "yield_busy", "yield", seconds=0.2, busy=True),
    Row("round trip, beside a busy thread", "round_trip_busy", "round_trip", seconds=0.2, busy=True),
]


# ---- the environment ----


def run_pip(python: pathlib.Path, *arguments: str) -> None:
    done = subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", *arguments],
                          capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise CannotRun(f"pip {' '.join(arguments[:1])} failed: {words[-1] if words else ''}")


class Environment:
    """Made at the first run, and brought up to date at each."""

    def __init__(self) -> None:
        major, minor = sys.version_info[:2]
        self.path = BUILD / f"python-{major}.{minor}"
        self.python = self.path / "bin" / "python"
        self.missing: dict[str, str] = {}  # by side: why it is not installed
        if not self.python.exists():
            say_progress("making an environment")
            done = subprocess.run([sys.executable, "-m", "venv", str(self.path)],
                                  capture_output=True, text=True)
            if done.returncode:
                raise CannotRun(f"no environment could be made: {done.stderr or done.stdout}")
        for side, package in PACKAGES.items():
            say_progress(f"installing {side}")
            again = ["--force-reinstall", "--no-deps"] if side == PYGOSTOP else []
            try:
                run_pip(self.python, "install", "--upgrade", *again, package)
            except CannotRun as reason:
                self.missing[side] = str(reason)

    def versions(self) -> dict[str, str]:
        code = ("import importlib.metadata as m, sys\n"
                "for name in sys.argv[1:]: print(name, m.version(name))")
        names = [side for side in PACKAGES if side not in self.missing]
        done = subprocess.run([str(self.python), "-c", code, *names], capture_output=True, text=True)
        return dict(line.split() for line in done.stdout.splitlines())


# ---- measuring ----


class Bench:
    def __init__(self, environment: Environment, quick: bool) -> None:
        self.environment = environment
        self.rounds, self.samples, self.part = (2, 2, 5) if quick else (7, 3, 1)

    def once(self, side: str, row: Row) -> Samples:
        if side in self.environment.missing:
            raise CannotRun(self.environment.missing[side])
        operations = row.operations // self.part
        if side == THREADS:
            operations = min(operations, PARKED_THREADS)
        arguments = [row.program_row or row.name, operations, row.samples or self.samples,
                     row.seconds / self.part, "BUSY" if row.busy else "IDLE"]
        samples = invoke([str(self.environment.python), str(PEERS / f"with_{side}.py"),
                          *map(str, arguments)], {})
        scale = row.scale * (row.operations if row.whole else 1)
        return {"value": [value * scale for value in samples["value"]]}

    def measure(self, row: Row) -> Result:
        samples, reasons = in_turn(self.rounds, row.sides, lambda side: self.once(side, row))
        return Result({side: keys["value"] for side, keys in samples.items()}, reasons)


# ---- the table ----


def cell(side: str, row: Row, result: Result) -> str:
    """The median, its spread, and how many times ours it is."""
    value, ours = result.median(side), result.median(PYGOSTOP)
    if value is None:
        return "–"
    spread = result.spread(side)
    text = number(value, UNITS[row.scale]) + (f" ±{percent(spread)}" if spread is not None else "")
    return text if side == PYGOSTOP or not ours else f"{text}, {number(value / ours)}×"


def verdict(row: Row, result: Result) -> str:
    ours = result.median(PYGOSTOP)
    rivals = [value for side in row.rivals if (value := result.median(side)) is not None]
    if ours is None:
        return "cannot run"
    if row.times is None:
        return "–"
    if not rivals:
        return f"≥ {row.times:g}×"
    return f"≥ {row.times:g}×: {'met' if ours * row.times <= min(rivals) else 'missed'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="a fifth of the work and fewer rounds: for a first look")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path,
                        help="write every sample there as well")
    parser.add_argument("--rows", metavar="ROW", nargs="+", choices=[row.name for row in ROWS],
                        help="only these: " + ", ".join(row.name for row in ROWS))
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]

    try:
        environment = Environment()
    except CannotRun as reason:
        print(reason, file=sys.stderr)
        return 1
    bench = Bench(environment, options.quick)
    here = {**machine(), "python": platform.python_version(), **environment.versions()}
    print(f"{here['processor']}, {here['cores']} cores, {here['system']}; Python {here['python']}, "
          + ", ".join(f"{side} {here[side]}" for side in PACKAGES if side in here)
          + f"; {bench.rounds} rounds of {bench.samples} samples, medians")
    print_load()
    results: list[Result] = []
    for row in rows:
        say_progress(row.title)
        results.append(bench.measure(row))
    say_progress("")
    print_table([("row", *SIDES, "target")] +
                [(row.title, *(cell(side, row, result) for side in SIDES), verdict(row, result))
                 for row, result in zip(rows, results)])
    print_reasons((row.name, result) for row, result in zip(rows, results))
    for row in rows:
        if row.note:
            print(f"{row.name}: {row.note}")
    print(f"load at the end: {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.write_text(json.dumps(
            {"machine": here, "quick": options.quick,
             "rows": [{"title": row.title, "row": row.name, "unit": UNITS[row.scale],
                       "at_least_times_faster": row.times, "than": row.rivals if row.times else [],
                       "samples": result.samples, "reasons": result.reasons}
                      for row, result in zip(rows, results)]},
            indent=1, ensure_ascii=False) + "\n")
    return 1 if any(PYGOSTOP in result.reasons for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
