"""Whole programs: C tasks and Python tasks beside Go, asyncio, gevent and threads."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from common import BENCHMARKS, BUILD, OURS, CannotRun, Row, Samples, Suite, invoke
from suite_core import GO, build_core, build_go
from suite_python import ASYNCIO, GEVENT, PEERS, THREADS, environment

PROGRAMS = BENCHMARKS / "programs"
TASKS = "pygostop's Python tasks"
FILES = {TASKS: "with_tasks.py", OURS: "with_pygostop.py"}
FILE_BYTES = 1 << 16
ALL = (OURS, GO, TASKS, ASYNCIO, GEVENT, THREADS)


@dataclass(frozen=True, kw_only=True)
class ProgramRow(Row):
    size: int
    program: str = ""  # where the programs name it otherwise
    among: tuple[str, ...] = ALL
    core: str = ""  # corebench's and gobench's row that is this program
    go: str = ""  # gobench's alone
    each: bool = True  # those rows give the cost of one
    parts: float = 1  # of which the size has so many
    unit: str = "ms"


ROWS = [
    ProgramRow(name="skynet", title="Program: tree of 1,111,111 tasks", size=1_000_000, core="skynet",
               parts=1_111_111 / 1_000_000, among=(OURS, GO, TASKS)),
    ProgramRow(name="skynet_tenth", program="skynet", title="Program: tree of 111,111 tasks", size=100_000, core="skynet",
               parts=111_111 / 100_000, among=ALL[:-1],
               note="each leaf sends its number to its parent; threads are too heavy for it"),
    ProgramRow(name="sieve", title="Program: prime sieve, first 300", size=300, core="sieve", each=False),
    ProgramRow(name="four_by_four", title="Program: 4 producers, 4 consumers, 200,000 values", size=200_000,
               core="four_by_four"),
    ProgramRow(name="digest", title="Program: CRC-32 of 1,000 files of 64 KiB, by 4", size=1_000, go="digest",
               each=False, note="pygostop: tasks.walk and tasks.crc32 in C; Python's others sum in threads"),
    ProgramRow(name="ping_pong", title="Program: 10,000 round trips of asyncio and a C task", size=10_000,
               among=(OURS, ASYNCIO), note="asyncio: with a thread in the C task's place"),
]


class ProgramsSuite(Suite):
    name = "programs"
    rows = ROWS

    def __init__(self, quick: bool) -> None:
        super().__init__(quick)
        self.environment = environment()
        self.tree = BUILD / "tree"

    def prepare(self) -> None:
        BUILD.mkdir(parents=True, exist_ok=True)
        self.programs: dict[str, pathlib.Path] = {}
        for side, build in ((OURS, build_core), (GO, build_go)):
            try:
                self.programs[side] = build()
            except CannotRun as reason:
                self.missing[side] = str(reason)
        try:
            self.environment.install()
        except CannotRun as reason:
            self.missing |= dict.fromkeys((TASKS, ASYNCIO, GEVENT, THREADS), str(reason))
        self.missing |= self.environment.missing
        if OURS in self.environment.missing:
            self.missing[TASKS] = self.environment.missing[OURS]

    def sides(self, row: Row) -> Sequence[str]:
        return row.among

    def grow_tree(self, files: int) -> None:
        """As many files, a hundred to a folder; made once. They are read before each run, so as to be in memory."""
        for i in range(files):
            file = self.tree / str(files) / str(i // 100) / str(i)
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(i.to_bytes(8, "little") * (FILE_BYTES // 8))
            file.read_bytes()

    def once(self, side: str, row: Row) -> Samples:
        size = row.size // (10 if self.quick else 1)
        environment = {}
        if row.name == "digest":
            self.grow_tree(size)
            environment["BENCH_TREE"] = str(self.tree / str(size))
        native = (row.core or row.go) if side == GO else row.core if side == OURS else ""
        if native:
            workers = [str(os.cpu_count())] if side == OURS else []
            command = [str(self.programs[side]), native, "1", "2", *workers, str(size)]
            scale = (size * row.parts if row.each else 1) / 1e6
        else:
            environment["PYTHONPATH"] = str(PEERS)
            program = PROGRAMS / FILES.get(side, f"with_{side}.py")
            command = [str(self.environment.python), str(program), row.program or row.name, str(size), "1", "0", "IDLE"]
            scale = size * 1e3
        found = invoke(command, self.seconds, environment)
        return {key: [value * scale for value in values] for key, values in found.items()}
