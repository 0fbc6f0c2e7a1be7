"""Python tasks beside asyncio, gevent, trio, threads, pygolang, runloom, and greenlet's bare switch.

It makes an environment under build/ with the interpreter that runs it: this checkout, built as it ships, and
the current releases of the others from the package index.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from common import (BENCHMARKS, BUILD, OURS, ROOT, CannotRun, Row, Samples, Suite, Target, invoke,
                    last_words, run, say_progress)

PEERS = BENCHMARKS / "python" / "peers"
ASYNCIO, GEVENT, TRIO, THREADS, PYGOLANG, RUNLOOM, GREENLET, MEMCPY = (
    "asyncio", "gevent", "trio", "threads", "pygolang", "runloom", "greenlet", "memcpy")
SIDES = (OURS, ASYNCIO, GEVENT, TRIO, THREADS, PYGOLANG, RUNLOOM, GREENLET)
WITHOUT_FLOOR = SIDES[:-1]
WITH_CANCEL = (OURS, ASYNCIO, GEVENT, TRIO, RUNLOOM)
BATCHES = (OURS, MEMCPY)
# What pip is asked for: the others are the interpreter's own. pygolang's sources need an older Cython.
PACKAGES = {OURS: str(ROOT), GEVENT: "gevent", TRIO: "trio", GREENLET: "greenlet", MEMCPY: "numpy",
            PYGOLANG: "pygolang", RUNLOOM: "runloom"}
CONSTRAINTS = {PYGOLANG: ("cython<3", "setuptools<70")}
INSTALL_SECONDS = 300

PARKED = 10_000
PARKED_THREADS = 1_000  # more of them would hold up everything else on the machine for minutes
SCALE = {"ns": 1e9, "µs": 1e6, "ms": 1e3, "B": 1.0}  # of a unit in one second, or in one byte


@dataclass(frozen=True, kw_only=True)
class PythonRow(Row):
    program_row: str = ""  # where the programs name it otherwise
    program: str = "with_{side}"
    among: tuple[str, ...] = SIDES
    operations: int = 0  # 0: as many as fill the time of a sample
    whole: bool = False  # the cost of all operations, not of one
    once: bool = False  # one sample a process
    busy: bool = False  # a second thread runs Python


def faster(times: float, *than: str) -> Target:
    return Target(1 / times, than)


def row(name: str, title: str, **options) -> PythonRow:
    options.setdefault("floor", GREENLET if GREENLET in options.get("among", SIDES) else None)
    return PythonRow(name=name, title=f"Python: {title}", **options)


def batch(name: str, title: str, unit: str = "ns", target: Target | None = None,
          among: tuple[str, ...] = (OURS,)) -> PythonRow:
    return PythonRow(name=name, title=f"Python: {title}", unit=unit, target=target, among=among,
                     floor=MEMCPY if MEMCPY in among else None, program="batches")


TEN_TIMES = faster(10, ASYNCIO, GEVENT)
BATCH_TARGET = Target(20)  # 50 million elements a second
ROWS = [
    row("spawn", "spawn and finish, by the thousand", target=TEN_TIMES,
        note="greenlet starts and ends them one at a time"),
    row("yield", "yield, one way", target=TEN_TIMES,
        note="a thread's is sleep(0), which lets the GIL go and need not switch (pygolang's tasks are "
             "threads); greenlet's a switch"),
    row("round_trip", "unbuffered round trip", target=TEN_TIMES,
        note="asyncio has no unbuffered channel: two Queue(1); threads have none either: two "
             "SimpleQueues, which have no limit; greenlet: two switches that carry a value"),
    row("buffered", "buffered(128), per element", among=WITHOUT_FLOOR,
        target=faster(3, ASYNCIO, GEVENT, TRIO, THREADS)),
    row("unlimited", "without a limit, per element", among=WITHOUT_FLOOR,
        note="pygostop's, pygolang's and runloom's channels have a limit: one that is not reached; gevent's "
             "and threads' are SimpleQueues"),
    row("select", "select over 4, per value", among=WITHOUT_FLOOR,
        note="asyncio.wait and gevent.wait wait for one task a queue, trio and threads forward all into one"),
    row("cancel", f"cancel {PARKED:,} parked", among=WITH_CANCEL, operations=PARKED, whole=True, unit="ms",
        note="until all their finally blocks have run; asyncio cancels one by one, the others all by one "
             "call; runloom's tasks wait for a context; threads cannot be cancelled"),
    row("memory", f"memory of a parked task, of {PARKED:,}", operations=PARKED, once=True, unit="B",
        note=f"growth of the resident memory; threads and pygolang: of {PARKED_THREADS:,}, without what the "
             "kernel has for them; asyncio's and trio's tasks have no stack: each further coroutine that "
             "they await adds to it"),
    row("spawn_busy", "spawn and finish, beside a busy thread", program_row="spawn", busy=True),
    row("yield_busy", "yield, beside a busy thread", program_row="yield", busy=True),
    row("round_trip_busy", "round trip, beside a busy thread", program_row="round_trip", busy=True),
    batch("into_array", "typed batch from C into NumPy, per element", target=BATCH_TARGET, among=BATCHES),
    batch("from_array", "typed batch from NumPy to C, per element", target=BATCH_TARGET, among=BATCHES),
    batch("call_1k", "call with a buffer of 1 KiB", unit="µs"),
    batch("call_1g", "call with a buffer of 1 GiB", unit="µs"),
]


class Environment:
    """Made at the first run, and brought up to date at each, once."""

    def __init__(self) -> None:
        self.current = False
        major, minor = sys.version_info[:2]
        self.path = BUILD / f"python-{major}.{minor}"
        self.python = self.path / "bin" / "python"
        self.missing: dict[str, str] = {}  # by side: why it is not installed

    def install(self, sides: Sequence[str] = tuple(PACKAGES)) -> None:
        if self.current:
            return
        BUILD.mkdir(parents=True, exist_ok=True)
        if not self.python.exists():
            say_progress("making an environment")
            done = run([sys.executable, "-m", "venv", str(self.path)], INSTALL_SECONDS)
            if done.returncode:
                raise CannotRun(f"no environment could be made: {last_words(done)}")
        for side in sides:
            say_progress(f"installing {side}")
            again = ["--force-reinstall", "--no-deps"] if side == OURS else []
            try:
                self.pip("install", "--upgrade", *again, PACKAGES[side], constraints=CONSTRAINTS.get(side, ()))
            except CannotRun as reason:
                self.missing[side] = str(reason)
        self.current = True

    def pip(self, *arguments: str, constraints: Sequence[str] = ()) -> None:
        """`constraints`: of the tools that build it. Older releases of pip know them by another name."""
        file = self.path / "constraints.txt"
        file.write_text("".join(f"{line}\n" for line in constraints))
        environment = {**os.environ, "PIP_BUILD_CONSTRAINT": str(file), "PIP_CONSTRAINT": str(file)}
        done = run([str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments],
                   INSTALL_SECONDS, env=environment)
        if done.returncode:
            raise CannotRun(f"cannot be installed for {sys.version_info[0]}.{sys.version_info[1]}: "
                            + first_error(done.stderr + done.stdout))

    def versions(self) -> dict[str, str]:
        code = ("import importlib.metadata as m, sys\n"
                "for name in sys.argv[1:]: print(name, m.version(name))")
        names = [side for side in PACKAGES if side not in self.missing and side != MEMCPY]
        done = run([str(self.python), "-c", code, *names], 20)
        return dict(line.split() for line in done.stdout.splitlines())


@functools.cache
def environment() -> Environment:
    return Environment()


def first_error(text: str) -> str:
    """The compiler's words where there are some, else pip's last."""
    lines = [line.strip() for line in text.splitlines()]
    errors = [line for line in lines if ": error: " in line or "Error: " in line]
    others = [line for line in lines if line]
    return (errors + others[-1:] + ["pip said nothing"])[0][:200]


class PythonSuite(Suite):
    name = "python"
    rows = ROWS

    def __init__(self, quick: bool) -> None:
        super().__init__(quick)
        self.environment = environment()

    def prepare(self) -> None:
        try:
            self.environment.install()
            self.missing = self.environment.missing
        except CannotRun as reason:
            self.missing = dict.fromkeys((*SIDES, MEMCPY), str(reason))

    def versions(self) -> dict[str, str]:
        return self.environment.versions() if OURS not in self.missing else {}

    def sides(self, row: Row) -> Sequence[str]:
        return row.among

    def once(self, side: str, row: Row) -> Samples:
        part = 5 if self.quick else 1
        operations = row.operations // part
        if side in (THREADS, PYGOLANG):
            operations = min(operations, PARKED_THREADS)
        samples = 1 if row.once else 2
        seconds = (0.2 if row.busy else 0.05) / part
        name = row.program_row or row.name
        if side == MEMCPY:
            name = "memcpy"
        arguments = [name, operations, samples, seconds, "BUSY" if row.busy else "IDLE"]
        program = PEERS / f"{row.program.format(side=side)}.py"
        found = invoke([str(self.environment.python), str(program), *map(str, arguments)], self.seconds)
        scale = SCALE[row.unit] * (row.operations if row.whole else 1)
        return {key: [value * scale for value in values] for key, values in found.items()}
