"""What the benchmarks share: rows and their targets, running programs in turn, medians and spread.

A program prints lines of a key and a number: one sample each. A side is who does the work: ours, a peer,
the floor. Sides run one after the other, round after round, so that what else the machine does falls on
all of them. Whatever a side does wrong (it cannot be built, crashes, hangs, says nonsense) costs its own
cell, and its reason stands below the table.
"""

from __future__ import annotations

import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
BUILD = ROOT / "build" / "benchmarks"
BUILD_SECONDS = 600  # for what compiles or installs
HANGS = 2  # rows in which a side may hang before it is left out of the others
BUSY = 0.5  # load average from which others disturb the figures

OURS = "pygostop"
PER_UNIT = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "B": 1.0}  # nanoseconds, or bytes

Samples = dict[str, list[float]]  # by key


class CannotRun(Exception):
    """Why a program or a row cannot run, in words for the table."""


class Hangs(CannotRun):
    """It was given its time and did not end."""


# ---- rows and results ----


@dataclass(frozen=True)
class Target:
    """At most so many times what the fastest of some sides needs; of none: so many of the row's units."""

    at_most: float
    of: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str  # in the programs
    title: str
    unit: str = "ns"
    workers: int | None = None
    target: Target | None = None
    floor: str | None = None  # the side that is the least that the work can cost
    note: str = ""  # how the sides differ, for those who read the table


@dataclass
class Result:
    """The samples of one row by side, in the row's unit, and why a side has none."""

    suite: str
    row: Row
    samples: Samples = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        workers = f"/{self.row.workers}" if self.row.workers else ""
        return f"{self.suite}:{self.row.name}{workers}"

    def median(self, side: str) -> float | None:
        values = self.samples.get(side)
        return statistics.median(values) if values else None

    def spread(self, side: str) -> float | None:
        """Half the distance between the quartiles, in parts of the median."""
        values = self.samples.get(side, [])
        if len(values) < 4:
            return None
        low, middle, high = statistics.quantiles(values, n=4)
        return (high - low) / 2 / middle if middle else None

    def peers(self) -> list[tuple[str, float]]:
        """The others' medians, fastest first, without the floor."""
        medians = {side: self.median(side) for side in self.samples
                   if side not in (OURS, self.row.floor)}
        return sorted(((side, value) for side, value in medians.items() if value is not None),
                      key=lambda one: one[1])

    def rival(self) -> tuple[str, float] | None:
        """Who the row is compared with: the fastest that the target names; without a target, of all."""
        named = self.row.target.of if self.row.target else ()
        return next((one for one in self.peers() if not named or one[0] in named), None)

    def ratio(self) -> float | None:
        """Ours in parts of the rival's: below 1 is faster."""
        ours, rival = self.median(OURS), self.rival()
        return ours / rival[1] if ours is not None and rival and rival[1] else None

    def reached(self) -> bool | None:
        """None: there is no target, or nobody to compare with."""
        target, ours = self.row.target, self.median(OURS)
        if target is None or ours is None:
            return None
        if not target.of:
            return ours <= target.at_most
        ratio = self.ratio()
        return None if ratio is None else ratio <= target.at_most

    def to_json(self) -> dict:
        base = {name: getattr(self.row, name) for name in Row.__dataclass_fields__}
        base["target"] = asdict(self.row.target) if self.row.target else None
        return {"suite": self.suite, **base, "reasons": self.reasons,
                "samples": {side: [float(f"{value:.5g}") for value in values]
                            for side, values in self.samples.items()}}

    @classmethod
    def from_json(cls, found: Mapping) -> Result:
        base = {name: found[name] for name in Row.__dataclass_fields__}
        target = base.pop("target")
        if target:
            target = Target(target["at_most"], tuple(target["of"]))
        return cls(found["suite"], Row(**base, target=target), found["samples"], found["reasons"])


class Suite:
    """Rows that the same programs have. A subclass says what they are and how a side does one."""

    name: str
    rows: Sequence[Row]

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.seconds = 60  # that one run of a program may take
        self.row_seconds = 2.5 if quick else 10  # after which a row is given no further round
        self.hung: dict[str, int] = {}  # by side: rows
        self.missing: dict[str, str] = {}  # by side: why it has no program

    def prepare(self) -> None:
        """Builds and installs. What is missing is noted, not raised."""

    def versions(self) -> dict[str, str]:
        return {}

    def groups(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Rows that one run of the programs serves."""
        return [[row] for row in rows]

    def sides(self, row: Row) -> Sequence[str]:
        raise NotImplementedError

    def once(self, side: str, row: Row) -> Samples:
        """One run: the samples by key, in the row's unit; CannotRun."""
        raise NotImplementedError

    def rounds(self, row: Row) -> int:
        """At most."""
        return 2 if self.quick else 7

    def key(self, row: Row) -> str:
        """Of the programs' lines, the ones that the row is about."""
        return "value"

    def attempt(self, side: str, row: Row) -> Samples:
        if side in self.missing:
            raise CannotRun(self.missing[side])
        if self.hung.get(side, 0) >= HANGS:
            raise CannotRun(f"left out: it hung in {HANGS} rows")
        try:
            return self.once(side, row)
        except Hangs:
            self.hung[side] = self.hung.get(side, 0) + 1
            raise

    def measure(self, group: Sequence[Row]) -> list[Result]:
        first = group[0]
        sides = self.sides(first)
        if (first.workers or 1) > (os.cpu_count() or 1):
            reasons = dict.fromkeys(sides, f"needs {first.workers} cores")
            return [Result(self.name, row, {}, reasons) for row in group]
        samples, reasons = in_turn(self.rounds(first), self.row_seconds, sides,
                                   lambda side: self.attempt(side, first))
        return [Result(self.name, row, {side: found[self.key(row)] for side, found in samples.items()},
                       dict(reasons)) for row in group]


# ---- the programs ----


def run(command: Sequence[str], seconds: float, **options) -> subprocess.CompletedProcess[str]:
    """Runs it, and ends it and all that it started where it takes longer."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace",
                                   process_group=0, **options)
    except OSError as error:
        raise CannotRun(f"{command[0]} could not be started: {error.strerror}") from None
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            pass  # one that left the group holds the pipe open
        if isinstance(error, subprocess.TimeoutExpired):
            raise Hangs(f"did not end within {seconds:g} s") from None
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Why it failed, in one line: its last, or how it ended."""
    if done.returncode < 0:
        try:
            return f"was ended by {signal.Signals(-done.returncode).name}"
        except ValueError:
            return f"was ended by signal {-done.returncode}"
    words = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return words[-1].strip()[:200] if words else f"ended with status {done.returncode}"


def run_quietly(command: Sequence[str], **options) -> str:
    """What it printed; all of it goes to stderr where it fails."""
    done = run(command, BUILD_SECONDS, **options)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise CannotRun(f"{' '.join(command[:3])} … failed: {last_words(done)}")
    return done.stdout


def invoke(command: Sequence[str], seconds: float, environment: Mapping[str, str] = {}) -> Samples:
    """One run of a program."""
    done = run(command, seconds, env={**os.environ, **environment})
    if done.returncode:
        raise CannotRun(last_words(done))
    samples: Samples = {}
    for line in done.stdout.splitlines():
        try:
            key, value = line.split()
            samples.setdefault(key, []).append(float(value))
        except ValueError:
            raise CannotRun(f"printed {line[:80]!r} where a key and a number belong") from None
    if not samples:
        raise CannotRun("printed no sample")
    return samples


def in_turn(rounds: int, seconds: float, sides: Sequence[str], once: Callable[[str], Samples]
            ) -> tuple[dict[str, Samples], dict[str, str]]:
    """The samples of each side, and why a side has none: one that failed is not asked again.

    Whole rounds: at least one, and none that begins after so many seconds.
    """
    samples: dict[str, Samples] = {}
    reasons: dict[str, str] = {}
    begun = time.monotonic()
    for done in range(rounds):
        if done and time.monotonic() - begun > seconds:
            break
        for side in sides:
            if side in reasons:
                continue
            try:
                for key, values in once(side).items():
                    samples.setdefault(side, {}).setdefault(key, []).extend(values)
            except CannotRun as reason:
                samples.pop(side, None)
                reasons[side] = str(reason)
    return samples, reasons


# ---- the machine ----


def machine() -> dict:
    return {"processor": processor(), "cores": os.cpu_count(), "kernel": platform.release(),
            "architecture": platform.machine(), "libc": "-".join(platform.libc_ver()),
            "compiler": compiler(), "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()), "load": load()}


def load() -> float:
    return round(os.getloadavg()[0], 2)


def compiler() -> str:
    try:
        return run([os.environ.get("CC", "cc"), "--version"], 20).stdout.splitlines()[0]
    except (CannotRun, IndexError):
        return "none"


def processor() -> str:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def say_progress(text: str) -> None:
    """On a terminal, in place of what stood there; nothing clears it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text} ..." if text else "\r\033[K", end="", file=sys.stderr, flush=True)
