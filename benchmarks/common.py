"""What the benchmarks share: running programs in turn, medians and spread, the table.

A program prints lines of a key and a number: one sample each. A side is a column of the table: ours, a
peer, the floor. Sides run one after the other, round after round, so that what else the machine does
falls on all of them.
"""

from __future__ import annotations

import os
import pathlib
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "benchmarks"
INVOCATION_SECONDS = 120  # after which a program that hangs is ended
BUSY = 0.5  # load average from which others disturb the figures

Samples = dict[str, list[float]]  # by key


class CannotRun(Exception):
    """Why a program or a row cannot run, in words for the table."""


@dataclass
class Result:
    samples: Samples = field(default_factory=dict)  # by side, in the row's unit
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


def run_quietly(command: list[str], **options) -> str:
    """What it printed; all of it goes to stderr where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise CannotRun(f"{' '.join(command)} failed with status {done.returncode}")
    return done.stdout


def invoke(command: list[str], environment: dict[str, str]) -> Samples:
    """One run of a program."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INVOCATION_SECONDS,
                              env={**os.environ, **environment})
    except subprocess.TimeoutExpired:
        raise CannotRun(f"did not end within {INVOCATION_SECONDS} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        raise CannotRun(words[-1])
    samples: Samples = {}
    for line in done.stdout.splitlines():
        key, value = line.split()
        samples.setdefault(key, []).append(float(value))
    return samples


def in_turn(rounds: int, sides: Sequence[str], once: Callable[[str], Samples]
            ) -> tuple[dict[str, Samples], dict[str, str]]:
    """The samples of each side, and why a side has none: one that failed is not asked again."""
    samples: dict[str, Samples] = {}
    reasons: dict[str, str] = {}
    for _ in range(rounds):
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


# ---- what is printed ----


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def print_table(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for i, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
        if i == 0:
            print("|-" + "-|-".join("-" * width for width in widths) + "-|")


def print_reasons(results: Iterable[tuple[str, Result]]) -> None:
    """Each reason once, with the rows, named, that it keeps from running."""
    results = list(results)
    rows: dict[tuple[str, str], list[str]] = {}
    for name, result in results:
        for side, reason in result.reasons.items():
            rows.setdefault((side, reason), []).append(name)
    for (side, reason), names in rows.items():
        where = "no row" if len(names) == len(results) else ", ".join(names)
        verb = "ran" if where == "no row" else "could not run"
        print(f"{side}: {where} {verb}: {reason}")


def machine() -> dict[str, str | int | None]:
    return {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}


def processor() -> str:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def print_load() -> None:
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"something else keeps this machine busy (load {load:.1f}): the figures are rough")


def say_progress(text: str) -> None:
    """On a terminal, in place of what stood there; nothing clears it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text} ..." if text else "\r\033[K", end="", file=sys.stderr, flush=True)
