"""The guard against regressions: instructions an operation takes, counted by valgrind, beside recorded ones.

    python benchmarks/guard.py             compares; the status is 1 where an operation takes more
    python benchmarks/guard.py --record    writes what it counts to guard.json

Time is no measure on a machine that others use; instructions are the same in each run. Those of pygostop's
own code count, not those of libc or of the interpreter, which are others' to build. Each row runs twice, on one
worker, the second time with more operations: the difference is what the operations took, without start and end.

A count may be 5 % above the record: that is more than what a time slice or the monitor's look, which go by
time, add in between, and less than a lock, a call or a branch too many adds to an operation. A compiler of
another major version, or another machine, makes other code; so each has a record of its own, and where there is none
the counts are printed and compared with nothing.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from common import BENCHMARKS, BUILD, OURS, CannotRun, last_words, run, say_progress
from suite_core import build_core
from suite_python import PEERS, environment
from table import print_table

RECORD = BENCHMARKS / "guard.json"
TOLERANCE = 0.05
LEAST_EXCESS = 1.0  # instruction: a part of one is what the loop around it came to
SECONDS = 120  # of one run

PROGRAM = PEERS / "with_pygostop.py"


@dataclass(frozen=True)
class Count:
    name: str
    row: str
    operations: tuple[int, int]  # of the two runs


CORE = [
    Count("switch", "switch", (1000, 5000)),
    Count("spawn and finish", "spawn_batch", (2000, 6000)),
    Count("spawn and join", "spawn_join", (1000, 5000)),
    Count("round trip", "round_trip", (500, 2500)),
    Count("buffered, an element", "buffered", (2000, 10000)),
    Count("select2", "select2", (2, 10)),
    Count("checkpoint", "checkpoint", (20000, 120000)),
    Count("cancel, a parked task", "cancel_parked", (1000, 4000)),
]
PYTHON = [
    Count("spawn and finish", "spawn", (500, 2500)),
    Count("yield", "yield", (500, 2500)),
    Count("round trip", "round_trip", (300, 1500)),
    Count("buffered, an element", "buffered", (1000, 5000)),
]


# ---- counting ----


def own_instructions(profile: str, own: re.Pattern[str]) -> int:
    """What callgrind's profile says of the objects whose name matches: of their functions themselves, not
    of what these call."""
    names: dict[str, str] = {}
    total, counts, called = 0, False, False
    for line in profile.splitlines():
        if line.startswith("ob="):
            found = re.match(r"ob=\((\d+)\)(?: (.*))?", line)
            if found is None:
                raise CannotRun(f"callgrind's profile has an unknown line: {line[:80]}")
            if found[2]:
                names[found[1]] = found[2]
            counts = bool(own.search(names.get(found[1], "")))
        elif line.startswith("cob="):
            found = re.match(r"cob=\((\d+)\) (.*)", line)
            if found:
                names[found[1]] = found[2]
        elif line.startswith("calls="):
            called = True
        elif line[:1] in "0123456789+-*" and line:
            if not called and counts:
                total += int(line.split()[1])
            called = False
    return total


def count(command: list[str], own: re.Pattern[str], folder: str) -> int:
    file = pathlib.Path(folder) / "callgrind.out"
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYGOSTOP_WORKERS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", *command], SECONDS, env=environment)
    if done.returncode:
        raise CannotRun(f"{' '.join(command)} under valgrind: {last_words(done)}")
    total = own_instructions(file.read_text(encoding="utf-8"), own)
    if not total:
        raise CannotRun(f"valgrind counted nothing of pygostop's in {' '.join(command)}")
    return total


def count_core(program: pathlib.Path, one: Count, folder: str) -> float:
    """A row does what it has to do twice: once to warm up."""
    counts = [count([str(program), one.row, "1", "1", "1", str(size)], re.compile(r"corebench$"), folder)
              for size in one.operations]
    few, many = (operations_of(one.row, size) for size in one.operations)
    return (counts[1] - counts[0]) / (2 * (many - few))


def operations_of(row: str, size: int) -> int:
    return size * 256 if row == "select2" else size


def count_python(python: str, one: Count, folder: str) -> float:
    counts = [count([python, str(PROGRAM), one.row, str(operations), "1", "0", "IDLE"],
                    re.compile(r"/pygostop/_core\.[^/]*so$"), folder) for operations in one.operations]
    return (counts[1] - counts[0]) / (one.operations[1] - one.operations[0])


def wanted(rows: list[Count], names: list[str] | None) -> list[Count]:
    return [one for one in rows if not names or one.row in names]


def installed() -> str:
    """The interpreter of an environment with this checkout in it."""
    python = environment()
    python.install([OURS])
    if OURS in python.missing:
        raise CannotRun(f"pygostop {python.missing[OURS]}")
    return str(python.python)


# ---- the record ----


def compiler() -> str:
    """Its family and major version: what the code depends on."""
    cc = os.environ.get("CC", "cc")
    macros = subprocess.run([cc, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True).stdout
    for family, macro in (("clang", "__clang_major__"), ("gcc", "__GNUC__")):
        if found := re.search(rf"#define {macro} (\d+)", macros):
            return f"{family}-{found[1]} {platform.machine()}"
    raise CannotRun(f"{cc} does not say which compiler it is")


def judge(now: float, recorded: float | None) -> tuple[str, bool]:
    if recorded is None:
        return "no record", True
    if now > recorded * (1 + TOLERANCE) and now > recorded + LEAST_EXCESS:
        return "more", False
    if now < recorded * (1 - TOLERANCE) and now < recorded - LEAST_EXCESS:
        return "fewer: record again", True
    return "as recorded", True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write what it counts to guard.json")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these of "
                        + ", ".join(dict.fromkeys(one.row for one in CORE + PYTHON)))
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: valgrind, which counts instructions, is not installed")
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    counted: dict[str, dict[str, float]] = {}
    lines: list[tuple[str, ...]] = [("compiler", "of", "operation", "instructions", "recorded", "")]
    well = True
    try:
        cc = compiler()
        core, python = wanted(CORE, options.rows), wanted(PYTHON, options.rows)
        sides: list[tuple[str, list[Count], Callable[[Count, str], float]]] = []
        if core:
            sides.append(("core", core, functools.partial(count_core, build_core())))
        if python:
            version = "Python {}.{}".format(*sys.version_info)
            sides.append((version, python, functools.partial(count_python, installed())))
        with tempfile.TemporaryDirectory() as folder:
            for side, rows, counting in sides:
                for one in rows:
                    say_progress(f"{side}: {one.name}")
                    instructions = round(counting(one, folder), 1)
                    counted.setdefault(side, {})[one.row] = instructions
                    before = record.get(cc, {}).get(side, {}).get(one.row)
                    words, fine = judge(instructions, before)
                    well &= fine
                    lines.append((cc, side, one.name, f"{instructions:,.1f}",
                                  "–" if before is None else f"{before:,.1f}", words))
    except CannotRun as reason:
        print(reason, file=sys.stderr)
        return 1
    say_progress("")
    print_table(lines)
    if options.record:
        for side, found in counted.items():
            record.setdefault(cc, {}).setdefault(side, {}).update(found)
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"recorded in {RECORD.name}")
        return 0
    if not well:
        print(f"an operation takes over {TOLERANCE:.0%} more instructions than recorded; where that is meant, "
              "record again: python benchmarks/guard.py --record")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
