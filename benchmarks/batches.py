"""Batches between Python and C, and buffers as arguments.

    python benchmarks/batches.py [--quick]

Elements are float64, in NumPy arrays, through a channel between Python and a C task, in batches of
16,384. A row is the median of its samples; its spread is half the distance between the quartiles, in parts
of the median. Needs NumPy and a C compiler.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy

import pygostop as gs

HERE = pathlib.Path(__file__).parent
BATCH = 16384


def tasks(folder: str) -> Iterator[gs.CTask]:
    library = pathlib.Path(folder) / "batches.so"
    compiler = os.environ.get("CC", "cc")
    flags = ["-O2", "-shared", "-fPIC", f"-I{gs.get_include()}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(HERE / "batches.c")], check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("produce", "consume", "touch"):
        yield gs.CTask(getattr(loaded, name))


def receive(produce: gs.CTask, capacity: int, count: int) -> float:
    """Seconds from the first batch to the last, from C into one array."""
    ch = gs.Chan(capacity, float)
    into = numpy.empty(BATCH)
    received = 0
    begin = time.perf_counter()
    task = gs.go(produce, ch, count)
    while received < count:
        received += ch.recv_many(BATCH, into)
    seconds = time.perf_counter() - begin
    task.result()
    return seconds


def send(consume: gs.CTask, capacity: int, count: int) -> float:
    """Seconds to send `count` elements from an array, and for C to have received them."""
    ch = gs.Chan(capacity, float)
    array = numpy.zeros(BATCH)
    begin = time.perf_counter()
    task = gs.go(consume, ch)
    for _ in range(count // BATCH):
        ch.send_many(array)
    ch.close()
    assert task.result() == count
    return time.perf_counter() - begin


def start(touch: gs.CTask, buffer: bytearray, count: int) -> float:
    """Seconds for one call with the buffer."""
    begin = time.perf_counter()
    for _ in range(count):
        touch(buffer)
    return (time.perf_counter() - begin) / count


def row(name: str, samples: int, sample: Callable[[], float], text: Callable[[float], str]) -> None:
    sample()  # warms up
    values = [sample() for _ in range(samples)]
    median = statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4)
    print(f"{name:<42} {text(median):>24}   spread {(high - low) / 2 / median:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer samples of fewer elements")
    quick = parser.parse_args().quick
    samples, count = (5, 100 * BATCH) if quick else (15, 1000 * BATCH)

    def rate(seconds: float) -> str:
        return f"{count / seconds / 1e6:,.0f} million elements/s"

    with tempfile.TemporaryDirectory() as folder:
        produce, consume, touch = tasks(folder)
        for capacity in (1024, BATCH, 4 * BATCH):
            row(f"recv_many(into=array), capacity {capacity}", samples, lambda: receive(produce, capacity, count), rate)
        for capacity in (1024, BATCH, 4 * BATCH):
            row(f"send_many(array), capacity {capacity}", samples, lambda: send(consume, capacity, count), rate)
        for size in (1 << 10, 1 << 30):
            buffer = bytearray(size)
            row(
                f"call with a buffer of {size:,} bytes",
                samples,
                lambda: start(touch, buffer, 2000),
                lambda seconds: f"{seconds * 1e6:.1f} µs",
            )


if __name__ == "__main__":
    main()
