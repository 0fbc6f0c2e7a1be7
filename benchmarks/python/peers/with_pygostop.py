"""pygostop: Python tasks."""

from __future__ import annotations

import measure
import pygostop as gs
from measure import CAPACITY, SOURCES, batches, expect, now, resident


def nothing():
    pass


def spawn(n):
    start = now()
    for batch in batches(n):
        tasks = [gs.go(nothing) for _ in range(batch)]
        for task in tasks:
            task.result()
    return now() - start


def give_way(n):
    def work():
        for _ in range(n // 2):
            gs.checkpoint()

    start = now()
    for task in [gs.go(work), gs.go(work)]:
        task.result()
    return now() - start


def round_trip(n):
    there, back = gs.Chan(), gs.Chan()

    def echo():
        for value in there:
            back.send(value)

    echoes = gs.go(echo)
    start = now()
    for i in range(n):
        there.send(i)
        back.recv()
    took = now() - start
    there.close()
    echoes.result()
    return took


def through(channel, n):
    def produce():
        for i in range(n):
            channel.send(i)

    producer = gs.go(produce)
    start = now()
    for _ in range(n):
        last = channel.recv()
    took = now() - start
    expect(last, n - 1)
    producer.result()
    return took


def buffered(n):
    return through(gs.Chan(CAPACITY), n)


def unlimited(n):
    return through(gs.Chan(n), n)


def select(n):
    sources = [gs.Chan(1) for _ in range(SOURCES)]

    def produce():
        for i in range(n):
            sources[i % SOURCES].send(i)

    producer = gs.go(produce)
    start = now()
    for _ in range(n):
        gs.select(*sources)
    took = now() - start
    producer.result()
    return took


def cancel(n):
    never, cleaned = gs.Chan(), []
    parked = [0]

    def wait():
        parked[0] += 1
        try:
            never.recv()
        finally:
            cleaned.append(None)

    ctx, cancel = gs.with_cancel(gs.background())
    tasks = [gs.go(wait, ctx=ctx) for _ in range(n)]
    while parked[0] < n:
        gs.checkpoint()
    start = now()
    cancel()
    for task in tasks:
        task.wait()
    took = now() - start
    expect(len(cleaned), n)
    return took


def memory(n):
    never = gs.Chan()
    parked = [0]

    def wait():
        parked[0] += 1
        for _ in never:
            pass

    def start(count):
        wanted = parked[0] + count
        tasks = [gs.go(wait) for _ in range(count)]
        while parked[0] < wanted:
            gs.checkpoint()
        return tasks

    tasks = start(1)
    before = resident()
    tasks += start(n)
    grown = resident() - before
    never.close()
    for task in tasks:
        task.result()
    return grown


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "cancel": cancel, "memory": memory},
        lambda row, n: gs.go(row, n).result())
