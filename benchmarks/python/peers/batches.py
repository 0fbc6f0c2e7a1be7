"""pygostop and NumPy: float64 in batches between arrays and C tasks, and buffers as arguments."""

from __future__ import annotations

import pathlib

import measure
import numpy
import pygostop as gs
from measure import expect, now

BATCH = 16384  # as batches.c has it
tasks = gs.compile((pathlib.Path(__file__).parent / "batches.c").read_text())


def whole_batches(n):
    return -(-n // BATCH) * BATCH


def into_array(n):
    """From C into one array, by recv_many."""
    count = whole_batches(n)
    channel, into, received = gs.Chan(BATCH, float), numpy.empty(BATCH), 0
    start = now()
    task = gs.go(tasks.produce, channel, count)
    while received < count:
        received += channel.recv_many(BATCH, into)
    took = now() - start
    task.result()
    return took * n / count


def from_array(n):
    """From one array by send_many, until C has received all."""
    count = whole_batches(n)
    channel, array = gs.Chan(BATCH, float), numpy.zeros(BATCH)
    start = now()
    task = gs.go(tasks.consume, channel)
    for _ in range(count // BATCH):
        channel.send_many(array)
    channel.close()
    expect(task.result(), count)
    return (now() - start) * n / count


def memcpy(n):
    """The least: one array copied into another, as often."""
    count = whole_batches(n)
    array, into = numpy.zeros(BATCH), numpy.empty(BATCH)
    start = now()
    for _ in range(count // BATCH):
        numpy.copyto(into, array)
    return (now() - start) * n / count


def call_with(size):
    buffer = bytearray(size)

    def call(n):
        start = now()
        for _ in range(n):
            tasks.touch(buffer)
        return now() - start

    return call


if __name__ == "__main__":
    measure.main(
        {"into_array": into_array, "from_array": from_array, "memcpy": memcpy,
         "call_1k": lambda n: call_with(1 << 10)(n), "call_1g": lambda n: call_with(1 << 30)(n)},
        lambda row, n: row(n))
