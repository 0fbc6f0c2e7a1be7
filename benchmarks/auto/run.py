"""What automatic checkpoints cost, and how soon they stop a task: prints two tables.

    python benchmarks/auto/run.py [--quick] [--callgrind] [--no-cost] [compiler ...]

Needs pygostop installed, Debian's libstb-dev, and gcc or clang; with --callgrind valgrind, which
counts instructions. Each compiler builds benchmarks/auto/images.c twice, alike but for the checkpoints.
"""

from __future__ import annotations

import argparse
import array
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pygostop as gs
from pygostop._auto import auto_flags

HERE = pathlib.Path(__file__).parent
KINDS = ("PNG write", "PNG read", "JPEG write", "JPEG read", "resize", "malloc, free")
PLAIN = ("-O2", "-w", "-fPIC", "-fvisibility=hidden")


class Libraries:
    """images.c as one compiler makes it, with automatic checkpoints and without."""

    def __init__(self, cc: str, directory: str) -> None:
        self.cc = cc
        self.directory = directory
        ask = [cc, "-dM", "-E", "-x", "c", os.devnull]
        self.macros = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        self.plain, self.auto = (ctypes.CDLL(self.build(auto, "-shared")) for auto in (False, True))

    def build(self, auto: bool, *how: str) -> str:
        output = os.path.join(
            self.directory, f"{os.path.basename(self.cc)}-{'auto' if auto else 'plain'}{len(how)}"
        )
        flags = auto_flags(self.macros, gs.get_include()) if auto else ["-I", gs.get_include()]
        command = [self.cc, *PLAIN, *flags, *how, str(HERE / "images.c"), "-o", output, "-lm"]
        subprocess.run(command, check=True)
        return output


def per_turn(library: ctypes.CDLL, kind: int, seconds: float) -> float:
    """Microseconds, the least of five."""
    measure = gs.CTask(library.measure)
    one = measure(kind, 3) / 3
    turns = max(1, int(seconds * 1e9 / one / 5))
    return min(measure(kind, turns) / turns for _ in range(5)) / 1000


def per_edge(library: ctypes.CDLL, turns: int) -> float:
    """Nanoseconds, the least of five."""
    edges = gs.CTask(library.edges)
    return min(edges(turns) / turns for _ in range(5))


def instructions(program: str, kind: int) -> int:
    """What one turn takes."""

    def count(turns: int) -> int:
        command = [
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            program,
            str(kind),
            str(turns),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if not found:
            raise RuntimeError(f"valgrind said no count: {done.stderr}")
        return int(found[1])

    return count(3) - count(2)


def show_cost(libraries: Libraries, seconds: float, callgrind: bool) -> None:
    name = os.path.basename(libraries.cc)
    for kind, work in enumerate(KINDS):
        plain, auto = (
            per_turn(library, kind, seconds) for library in (libraries.plain, libraries.auto)
        )
        line = f"| {name} | {work} | {plain:.0f} | {auto:.0f} | {auto / plain:.2f} |"
        if callgrind:
            before, after = (
                instructions(libraries.build(auto, "-DALONE", "-g"), kind) for auto in (False, True)
            )
            line += f" {before:,} | {after:,} | {after / before:.2f} |"
        print(line, flush=True)
    turns = int(seconds * 1e8)
    plain, auto = (per_edge(library, turns) for library in (libraries.plain, libraries.auto))
    print(
        f"| {name} | one turn of an empty loop, ns | {plain:.2f} | {auto:.2f} | +{auto - plain:.2f} ns |"
    )


def show_costs(built: list[Libraries], seconds: float, callgrind: bool) -> None:
    counts = (" instructions | with | ratio |", "---|---|---|") if callgrind else ("", "")
    print(
        f"| compiler | work | µs | with checkpoints | ratio |{counts[0]}\n|---|---|---|---|---|{counts[1]}"
    )
    for libraries in built:
        show_cost(libraries, seconds, callgrind)
    print()


def quantiles(samples: list[int]) -> str:
    ordered = sorted(samples)
    p50, p99 = (ordered[int(len(ordered) * q)] / 1000 for q in (0.5, 0.99))
    return f"{p50:.1f} | {p99:.1f} | {ordered[-1] / 1000:.1f}"


def from_python(library: ctypes.CDLL, n: int) -> list[int]:
    """Nanoseconds from Task.cancel() to the end, seen by the thread that asked."""
    gs.CTask(library.measure)(
        0, 1
    )  # returns, so that what it prepares is not freed with a task that is left
    forever = gs.CTask(library.forever)
    took = []
    for i in range(n):
        begun = array.array("i", [0])
        task = gs.go(forever, i % len(KINDS), begun)
        while not begun[0]:
            time.sleep(0)
        asked = time.perf_counter_ns()
        task.cancel()
        task.wait()
        took.append(time.perf_counter_ns() - asked)
    return took


def show_latency(libraries: Libraries, n: int) -> None:
    took = array.array("q", [0] * n)
    gs.CTask(libraries.auto.cancel_many)(took)
    name = os.path.basename(libraries.cc)
    print(f"| {name} | a task asks, and joins | {quantiles(took.tolist())} |")
    print(
        f"| {name} | Python asks, and waits; stb at work | {quantiles(from_python(libraries.auto, n))} |",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "compilers", nargs="*", default=["gcc", "clang"], help="gcc and clang, where they are"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--no-cost", action="store_true", help="only how soon they stop a task")
    parser.add_argument("--callgrind", action="store_true", help="count instructions too")
    asked = parser.parse_args()
    compilers = [found for name in asked.compilers if (found := shutil.which(name))]
    has_stb = any(
        pathlib.Path(p, "stb/stb_image.h").exists() for p in ("/usr/include", "/usr/local/include")
    )
    if not compilers or not has_stb:
        print("needs gcc or clang, and libstb-dev", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory:
        built = [Libraries(cc, directory) for cc in compilers]
        print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores\n")
        if not asked.no_cost:
            show_costs(built, 0.1 if asked.quick else 1.0, asked.callgrind)
        print(
            "| compiler | cancel to the task's end, µs | p50 | p99 | most |\n|---|---|---|---|---|"
        )
        for libraries in built:
            show_latency(libraries, 100 if asked.quick else 1000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
