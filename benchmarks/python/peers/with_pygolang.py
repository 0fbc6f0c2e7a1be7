"""pygolang: its go, chan and select, whose tasks are threads unless gpython runs them.

A task has no handle: wait groups tell when it ended. It cannot be cancelled while it waits."""

from __future__ import annotations

import time

import measure
from golang import chan, go
from golang import select as choose
from golang import sync
from measure import CAPACITY, SOURCES, batches, expect, now, resident


def started(count, function, *arguments):
    """As many tasks; what waits for their end."""
    group = sync.WaitGroup()
    group.add(count)

    def run():
        try:
            function(*arguments)
        finally:
            group.done()

    for _ in range(count):
        go(run)
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
            time.sleep(0)

    start = now()
    started(2, work).wait()
    return now() - start


def round_trip(n):
    there, back = chan(), chan()

    def echo():
        for _ in range(n):
            back.send(there.recv())

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
        last = channel.recv()
    took = now() - start
    expect(last, n - 1)
    producer.wait()
    return took


def buffered(n):
    return through(chan(CAPACITY), n)


def unlimited(n):
    return through(chan(n), n)


def select(n):
    sources = [chan(1) for _ in range(SOURCES)]

    def produce():
        for i in range(n):
            sources[i % SOURCES].send(i)

    producer = started(1, produce)
    start = now()
    for _ in range(n):
        choose(*(source.recv for source in sources))
    took = now() - start
    producer.wait()
    return took


def memory(n):
    never, began = chan(), chan(n + 1)

    def wait():
        began.send(None)
        never.recv()

    def start(count):
        group = started(count, wait)
        for _ in range(count):
            began.recv()
        return group

    groups = [start(1)]
    before = resident()
    groups.append(start(n))
    grown = resident() - before
    never.close()
    for group in groups:
        group.wait()
    return grown


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "memory": memory},
        lambda row, n: row(n))
