"""What the peers' programs share, those of ../../programs too: they are run as

    python with_asyncio.py ROW OPERATIONS SAMPLES SECONDS IDLE|BUSY

and print one line `value X` a sample, what one operation cost. A row is a function that does so many
operations and gives what all of them cost, in seconds or in bytes, without what went before and after. With
OPERATIONS 0 there are as many as take about SECONDS. BUSY: a second thread runs Python meanwhile.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter as now

BATCH = 1000  # tasks at once, of the row that starts and ends them
CAPACITY = 128  # of the buffered channel
SOURCES = 4  # that one select waits for
CHILDREN = 10  # of a node of the tree of tasks
JOBS = 4  # that read files
PIECE = 1 << 16  # bytes read at once

__all__ = ["BATCH", "CAPACITY", "CHILDREN", "JOBS", "SOURCES", "batches", "expect", "file_sum", "files_under",
           "is_sum", "main", "now", "nth_prime", "resident"]


def batches(tasks: int):
    """So many tasks, in parts that are started together."""
    for first in range(0, tasks, BATCH):
        yield min(BATCH, tasks - first)


def expect(found, wanted) -> None:
    """A benchmark of what does not work measures nothing."""
    if found != wanted:
        raise SystemExit(f"expected {wanted}, found {found}")


def is_sum(found: int, leaves: int) -> None:
    expect(found, leaves * (leaves - 1) // 2)


def nth_prime(n: int) -> int:
    candidate = 1
    while n > 0:
        candidate += 1
        n -= all(candidate % divisor for divisor in range(2, int(candidate**0.5) + 1))
    return candidate


def files_under(tree: str) -> Iterator[str]:
    for folder, _, names in os.walk(tree):
        for name in names:
            yield os.path.join(folder, name)


def file_sum(path: str) -> int:
    crc = 0
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            crc = zlib.crc32(piece, crc)
    return crc


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/smaps_rollup has no line Rss")


@contextmanager
def busy_thread():
    stop = False

    def work():
        count = 0
        while not stop:
            count += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop = True
        thread.join()


def operations_for(cost: Callable[[int], float], seconds: float) -> int:
    operations = 4
    while True:
        took = cost(operations)
        if took >= seconds / 8:
            return max(4, int(operations * seconds / took))
        operations *= 4


def measure(cost: Callable[[int], float], operations: int, samples: int, seconds: float) -> None:
    operations = operations or operations_for(cost, seconds)
    for _ in range(samples):
        gc.collect()
        print("value", cost(operations) / operations)


def main(rows: dict[str, Callable], drive: Callable[[Callable, int], float]) -> None:
    """`drive` calls a row with a number of operations, in what the peer needs around it."""
    name, operations, samples, seconds, how = sys.argv[1:]
    if name not in rows:
        raise SystemExit(f"has no row {name}")
    arguments = int(operations), int(samples), float(seconds)
    cost = lambda n: drive(rows[name], n)  # noqa: E731
    if how == "BUSY":
        with busy_thread():
            measure(cost, *arguments)
    else:
        measure(cost, *arguments)
