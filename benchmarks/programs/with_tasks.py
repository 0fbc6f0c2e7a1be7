"""pygostop: Python tasks."""

from __future__ import annotations

import os

import measure
import pygostop as gs
from measure import CAPACITY, CHILDREN, JOBS, expect, file_sum, files_under, is_sum, now, nth_prime


def skynet(n):
    def node(out, first, size):
        if size == 1:
            out.send(first)
            return
        sums, part = gs.Chan(CHILDREN), size // CHILDREN
        for i in range(CHILDREN):
            gs.go(node, sums, first + i * part, part)
        out.send(sum(sums.recv() for _ in range(CHILDREN)))

    sums = gs.Chan(1)
    start = now()
    gs.go(node, sums, 0, n)
    found = sums.recv()
    took = now() - start
    is_sum(found, n)
    return took


def sieve(n):
    def source(out):
        number = 2
        while True:
            out.send(number)
            number += 1

    def filtered(into, out, prime):
        for number in into:
            if number % prime:
                out.send(number)

    ctx, cancel = gs.with_cancel(gs.background())
    start = now()
    channel = gs.Chan()
    tasks = [gs.go(source, channel, ctx=ctx)]
    for _ in range(n):
        prime = channel.recv()
        out = gs.Chan()
        tasks.append(gs.go(filtered, channel, out, prime, ctx=ctx))
        channel = out
    took = now() - start
    cancel()
    for task in tasks:
        task.wait()
    expect(prime, nth_prime(n))
    return took


def four_by_four(n):
    channel = gs.Chan(CAPACITY)

    def produce():
        for i in range(n // 4):
            channel.send(i)

    def consume():
        return sum(1 for _ in channel)

    start = now()
    producers = [gs.go(produce) for _ in range(4)]
    consumers = [gs.go(consume) for _ in range(4)]
    for task in producers:
        task.result()
    channel.close()
    received = sum(task.result() for task in consumers)
    took = now() - start
    expect(received, n // 4 * 4)
    return took


def digest(n):
    """The reading and summing is in threads, where Python lets go of its lock."""
    start = now()
    with gs.Group(limit=JOBS) as group:
        tasks = [group.go(gs.blocking, file_sum, path) for path in files_under(os.environ["BENCH_TREE"])]
    for task in tasks:
        task.result()
    took = now() - start
    expect(len(tasks), n)
    return took


if __name__ == "__main__":
    measure.main({"skynet": skynet, "sieve": sieve, "four_by_four": four_by_four, "digest": digest},
                 lambda row, n: gs.go(row, n).result())
