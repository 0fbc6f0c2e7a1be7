"""The core beside Go, libdill, neco and the floor: C tasks, by themselves."""

from __future__ import annotations

import functools
import os
import pathlib
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from common import (BENCHMARKS, BUILD, OURS, PER_UNIT, ROOT, CannotRun, Row, Samples, Suite, Target,
                    invoke, last_words, run, run_quietly)

GO, LIBDILL, NECO, FLOOR = "Go", "libdill", "neco", "floor"
SOURCES = BENCHMARKS / "core"


def go(ratio: float) -> Target:
    return Target(ratio, (GO,))


@dataclass(frozen=True, kw_only=True)
class CoreRow(Row):
    floor_row: str | None = None
    key: str = "value"


def row(title: str, name: str, target: Target | None = None, workers: int = 1,
        floor: str | None = None, unit: str = "ns", key: str = "value") -> CoreRow:
    return CoreRow(name=name, title=title, unit=unit, workers=workers, target=target,
                   floor=FLOOR if floor else None, floor_row=floor, key=key)


ROWS = [
    row("switch, one way", "switch", go(0.4), floor="switch"),
    row("spawn and finish, by the thousand", "spawn_batch", go(0.5), floor="spawn"),
    row("spawn and join, one at a time", "spawn_join", go(0.5), floor="spawn"),
    row("unbuffered round trip", "round_trip", go(0.5), floor="round_trip"),
    row("unbuffered round trip", "round_trip", go(1), workers=2),
    row("buffered(128), per element", "buffered", go(1), floor="buffered"),
    row("buffered(128), per element", "buffered", go(1), workers=2),
    row("4 × 4 producers, consumers", "four_by_four", go(1), floor="four_by_four"),
    row("4 × 4 producers, consumers", "four_by_four", go(1), workers=2),
    row("ready select over 2", "select2", go(0.5)),
    row("ready select over 4", "select4", go(0.5)),
    row("ready select over 16", "select16", go(0.5)),
    row("cancel 10,000 parked on one context", "cancel_parked", go(0.5), floor="cancel_parked",
        unit="ms"),
    row("cancel 10,000 parked on one context", "cancel_parked", go(0.5), workers=2, unit="ms"),
    row("cancel 10,000 child contexts, a task in each", "cancel_tasks", go(0.5), unit="ms"),
    row("cancel 10,000 child contexts, a task in each", "cancel_tasks", go(0.5), workers=2, unit="ms"),
    row("cancel 10,000 child contexts, the call alone", "cancel_children", go(0.5), unit="ms"),
    row("prime sieve, first 2,000", "sieve", go(0.7), floor="sieve", unit="ms"),
    row("prime sieve, first 2,000", "sieve", go(0.7), workers=2, unit="ms"),
    row("tree of a million tasks, per task", "skynet"),
    row("tree of a million tasks, per task", "skynet", workers=2),
    row("memory of a parked task, of 1,000,000", "parked_memory", Target(4.6 * 1024), unit="B"),
    row("checkpoint in a loop", "checkpoint", Target(1)),
    row("cancel to the task's return, median", "cancel_latency", workers=2, unit="µs", key="p50"),
    row("cancel to the task's return, p99", "cancel_latency", Target(1000), workers=2, unit="µs",
        key="p99"),
]

# What the other libraries have no counterpart for; both run on one thread.
LACKS = {
    LIBDILL: {"buffered": "its channels have no buffer", "four_by_four": "its channels have no buffer",
              "cancel_tasks": "its one way to cancel is in cancel_parked",
              "cancel_children": "has no contexts", "checkpoint": "has no flag to poll",
              "cancel_latency": "a coroutine that does not wait cannot be cancelled"},
    NECO: {"cancel_tasks": "has no contexts", "cancel_children": "has no contexts",
           "checkpoint": "has no flag to poll",
           "cancel_latency": "a coroutine that does not wait cannot be cancelled"},
}


@functools.cache
def build_core() -> pathlib.Path:
    """corebench."""
    if not shutil.which("cmake"):
        raise CannotRun("CMake is not installed (pip install cmake ninja)")
    configure = ["cmake", "-S", str(ROOT), "-B", str(BUILD), "-DCMAKE_BUILD_TYPE=Release",
                 "-DGS_BENCHMARKS=ON", "-DGS_LTO=ON", "-DGS_TESTS=OFF", "-DGS_PYTHON=OFF"]
    if not (BUILD / "CMakeCache.txt").exists() and shutil.which("ninja"):
        configure += ["-G", "Ninja"]
    run_quietly(configure)
    run_quietly(["cmake", "--build", str(BUILD), "--target", "corebench", "-j2"])
    return BUILD / "benchmarks" / "core" / "corebench"


def build_go() -> pathlib.Path:
    """gobench; nothing is downloaded."""
    if not shutil.which("go"):
        raise CannotRun("not installed")
    program = BUILD / "gobench"
    offline = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    run_quietly(["go", "build", "-o", str(program), "."], cwd=SOURCES / "go",
                env={**os.environ, **offline})
    return program


def go_version() -> str:
    if not shutil.which("go"):
        return ""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    return run(["go", "env", "GOVERSION"], 20, env=environment).stdout.strip().removeprefix("go")


def build_library(name: str, header: str) -> pathlib.Path:
    """The program against a library as the system has it: pkg-config, CPPFLAGS and LDFLAGS say where."""
    flags, libraries = os.environ.get("CPPFLAGS", ""), f"-l{header.removesuffix('.h').removeprefix('lib')}"
    if shutil.which("pkg-config") and run(["pkg-config", "--exists", name], 20).returncode == 0:
        flags += " " + run(["pkg-config", "--cflags", name], 20).stdout
        libraries = run(["pkg-config", "--libs", name], 20).stdout
    compile_command = [*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11", "-O2", *shlex.split(flags)]
    source = SOURCES / "peers" / f"{name}.c"
    found = run(["/bin/sh", "-c", 'echo "#include <$0>" | "$@" -E - >/dev/null', header, *compile_command,
                 "-x", "c"], 60)
    if found.returncode:
        raise CannotRun(f"not installed: no {header} is found (CPPFLAGS and LDFLAGS say where to look)")
    program = BUILD / f"{name}bench"
    done = run([*compile_command, "-o", str(program), str(source),
                *shlex.split(os.environ.get("LDFLAGS", "")), *shlex.split(libraries)], 120)
    if done.returncode:
        raise CannotRun(f"does not build here: {last_words(done)}")
    return program


def library_version(name: str) -> str:
    """As pkg-config knows it, if it does."""
    if not shutil.which("pkg-config"):
        return ""
    return run(["pkg-config", "--silence-errors", "--modversion", name], 20).stdout.strip()


class CoreSuite(Suite):
    name = "core"
    rows = ROWS

    def prepare(self) -> None:
        self.programs: dict[str, pathlib.Path] = {}
        BUILD.mkdir(parents=True, exist_ok=True)
        builds = {OURS: build_core, GO: build_go,
                  LIBDILL: lambda: build_library(LIBDILL, "libdill.h"),
                  NECO: lambda: build_library(NECO, "neco.h")}
        for side, build in builds.items():
            try:
                self.programs[side] = build()
            except CannotRun as reason:
                self.missing[side] = str(reason)
        if OURS in self.missing:
            self.missing[FLOOR] = self.missing[OURS]

    def versions(self) -> dict[str, str]:
        found = {GO: go_version(), LIBDILL: library_version(LIBDILL), NECO: library_version(NECO)}
        return {side: version for side, version in found.items() if version and side in self.programs}

    def groups(self, rows: Sequence[Row]) -> list[list[Row]]:
        found: dict[tuple, list[Row]] = {}
        for row in rows:
            found.setdefault((row.name, row.workers), []).append(row)
        return list(found.values())

    def sides(self, row: Row) -> Sequence[str]:
        libraries = [LIBDILL, NECO] if row.workers == 1 else []
        return [OURS, GO, *libraries, *[FLOOR] * (row.floor is not None)]

    def key(self, row: Row) -> str:
        return row.key

    def once(self, side: str, row: Row) -> Samples:
        if lack := LACKS.get(side, {}).get(row.name):
            raise CannotRun(lack)
        name, workers, environment = row.name, [], {}
        if side == GO:
            environment = {"GOMAXPROCS": str(row.workers)}
        elif side == FLOOR:
            name, workers = f"floor:{row.floor_row}", ["0"]
        elif side == OURS:
            workers = [str(row.workers)]
        program = self.programs[OURS if side == FLOOR else side]
        scale, samples = (10, 2) if self.quick else (1, 3)
        found = invoke([str(program), name, str(scale), str(samples), *workers], self.seconds, environment)
        return {key: [value / PER_UNIT[row.unit] for value in values] for key, values in found.items()}
