"""How soon a busy C task stops, and what its checkpoints cost: by hand, and automatic.

    python benchmarks/stopping.py [--quick] [--callgrind] [--json FILE]

The first table is 1,000 cancels of a busy loop: from the cancel until whoever asked knows that the task has
ended, which is later than its return. The second is one turn of a loop that does nothing else, the median of the
samples, less that of the loop without checkpoints; with --callgrind (valgrind) its instructions too. Needs
pygostop installed, and gcc or clang.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import pygostop as gs
from pygostop._auto import auto_flags
from pygostop._compiler import find_compiler

SOURCE = pathlib.Path(__file__).with_name("stopping.c")
PLAIN, BY_HAND = 0, 1  # of stopping.c
NAMES = ("by hand", "automatic")


def from_task(library: gs.Library, kind: int, n: int) -> list[float]:
    """Nanoseconds from the cancel by another task to the end of its join."""
    took = array.array("q", [0] * n)
    library.cancel_many(kind, took)
    return list(took)


def from_thread(library: gs.Library, kind: int, n: int) -> list[float]:
    """Nanoseconds from Task.cancel() to the end of Task.wait(), on Python's main thread."""
    took = []
    for _ in range(n):
        begun = array.array("i", [0])
        task = gs.go(library.busy, kind, begun)
        while not begun[0]:
            time.sleep(0)
        asked = time.perf_counter_ns()
        task.cancel()
        task.wait()
        took.append(time.perf_counter_ns() - asked)
    return took


def per_turn(library: gs.Library, plain: gs.Library, kind: int, turns: int, samples: int) -> list[float]:
    """Nanoseconds more than the plain loop takes; the two run in turn."""

    def once(library: gs.Library, kind: int) -> float:
        return library.measure(kind, turns) / turns

    once(library, kind), once(plain, PLAIN)  # warm up
    return [once(library, kind) - once(plain, PLAIN) for _ in range(samples)]


def instructions(flags: list[str], kind: int, directory: str) -> float:
    """Of one turn, as callgrind counts them."""
    program = os.path.join(directory, "stopping")
    words = find_compiler().words
    subprocess.run([*words, "-O2", "-DALONE", f"-I{gs.get_include()}", *flags, str(SOURCE), "-o", program], check=True)

    def count(turns: int) -> int:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, str(kind), str(turns)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if not found:
            raise RuntimeError(f"valgrind said no count: {done.stderr}")
        return int(found[1])

    return (count(20_000) - count(10_000)) / 10_000


def count_instructions() -> dict[str, float]:
    macros = subprocess.run(
        [*find_compiler().words, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True, check=True
    ).stdout
    auto = auto_flags(macros, gs.get_include())
    with tempfile.TemporaryDirectory() as directory:
        plain = instructions([], PLAIN, directory)
        return {
            "by hand": instructions([], BY_HAND, directory) - plain,
            "automatic": instructions(auto, PLAIN, directory) - plain,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the cancels and of the turns")
    parser.add_argument("--callgrind", action="store_true", help="count instructions too")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write every sample there as well")
    asked = parser.parse_args()
    cancels, turns, samples = (100, 10**7, 5) if asked.quick else (1000, 10**8, 15)
    plain = gs.compile(SOURCE)
    loops = {"by hand": (plain, BY_HAND), "automatic": (gs.compile(SOURCE, checkpoints="auto"), PLAIN)}

    rows: list[dict[str, object]] = []
    print("| cancel to the task's end, µs | p50 | p99 | most |\n|---|---|---|---|")
    askers = {"another task asks, and joins": from_task, "a Python thread asks, and waits": from_thread}
    for asker, measure in askers.items():
        for name in NAMES:
            took = sorted(ns / 1000 for ns in measure(*loops[name], cancels))
            p50, p99 = statistics.median(took), took[len(took) * 99 // 100]
            print(f"| {name}; {asker} | {p50:.1f} | {p99:.1f} | {took[-1]:.1f} |", flush=True)
            rows.append({"row": "cancel", "checkpoints": name, "asker": asker, "unit": "µs", "samples": took})

    counts = count_instructions() if asked.callgrind else {}
    print("\n| a checkpoint in a loop | ns | instructions |\n|---|---|---|")
    for name in NAMES:
        took = per_turn(loops[name][0], plain, loops[name][1], turns, samples)
        count = f"{counts[name]:.1f}" if counts else "–"
        print(f"| {name} | {statistics.median(took):.2f} | {count} |", flush=True)
        rows.append({"row": "checkpoint", "checkpoints": name, "unit": "ns", "samples": took,
                     "instructions": counts.get(name)})
    if asked.json:
        asked.json.write_text(json.dumps({"quick": asked.quick, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
