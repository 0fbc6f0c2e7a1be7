"""runloom: its fibers on one hub, which is all that an interpreter with a GIL runs."""

from __future__ import annotations

import measure
import runloom
import runloom.context
from measure import CAPACITY, SOURCES, batches, expect, now, resident


def started(count, function, *arguments):
    """As many fibers; what waits for their end."""
    group = runloom.WaitGroup()
    group.add(count)

    def run():
        try:
            function(*arguments)
        finally:
            group.done()

    for _ in range(count):
        runloom.fiber(run)
    return group


def nothing():
    pass


def spawn(n):
    start = now()
    for batch in batches(n):
        started(batch, nothing).wait()
    return now() - start


def give_way(n):
    def work():
        for _ in range(n // 2):
            runloom.yield_now()

    start = now()
    started(2, work).wait()
    return now() - start


def round_trip(n):
    there, back = runloom.Chan(0), runloom.Chan(0)

    def echo():
        for _ in range(n):
            back.send(there.recv()[0])

    echoes = started(1, echo)
    start = now()
    for i in range(n):
        there.send(i)
        back.recv()
    took = now() - start
    echoes.wait()
    return took


def through(channel, n):
    def produce():
        for i in range(n):
            channel.send(i)

    producer = started(1, produce)
    start = now()
    for _ in range(n):
        last, _ = channel.recv()
    took = now() - start
    expect(last, n - 1)
    producer.wait()
    return took


def buffered(n):
    return through(runloom.Chan(CAPACITY), n)


def unlimited(n):
    return through(runloom.Chan(n), n)


def select(n):
    sources = [runloom.Chan(1) for _ in range(SOURCES)]

    def produce():
        for i in range(n):
            sources[i % SOURCES].send(i)

    producer = started(1, produce)
    start = now()
    for _ in range(n):
        runloom.select([("recv", source) for source in sources])
    took = now() - start
    producer.wait()
    return took


def cancel(n):
    cleaned, parked = [], [0]
    ctx, cancel = runloom.context.WithCancel(runloom.context.Background())

    def wait():
        parked[0] += 1
        try:
            ctx.done.recv()
        finally:
            cleaned.append(None)

    group = started(n, wait)
    while parked[0] < n:
        runloom.yield_now()
    start = now()
    cancel()
    group.wait()
    took = now() - start
    expect(len(cleaned), n)
    return took


def memory(n):
    never, parked = runloom.Chan(0), [0]

    def wait():
        parked[0] += 1
        never.recv()

    def start(count):
        wanted = parked[0] + count
        group = started(count, wait)
        while parked[0] < wanted:
            runloom.yield_now()
        return group

    groups = [start(1)]
    before = resident()
    groups.append(start(n))
    grown = resident() - before
    never.close()
    for group in groups:
        group.wait()
    return grown


def drive(row, n):
    cost = []
    runloom.run(1, lambda: cost.append(row(n)))
    return cost[0]


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "cancel": cancel, "memory": memory}, drive)
