"""gevent."""

from __future__ import annotations

import gevent
import gevent.event
import gevent.queue
import measure
from measure import CAPACITY, SOURCES, batches, expect, now, resident


def nothing():
    pass


def spawn(n):
    start = now()
    for batch in batches(n):
        gevent.joinall([gevent.spawn(nothing) for _ in range(batch)])
    return now() - start


def give_way(n):
    def work():
        for _ in range(n // 2):
            gevent.sleep(0)

    start = now()
    gevent.joinall([gevent.spawn(work), gevent.spawn(work)])
    return now() - start


def round_trip(n):
    there, back = gevent.queue.Channel(), gevent.queue.Channel()

    def echo():
        for _ in range(n):
            back.put(there.get())

    echoes = gevent.spawn(echo)
    start = now()
    for i in range(n):
        there.put(i)
        back.get()
    took = now() - start
    echoes.get()
    return took


def through(queue, n):
    def produce():
        for i in range(n):
            queue.put(i)

    producer = gevent.spawn(produce)
    start = now()
    for _ in range(n):
        last = queue.get()
    took = now() - start
    expect(last, n - 1)
    producer.get()
    return took


def buffered(n):
    return through(gevent.queue.Queue(CAPACITY), n)


def unlimited(n):
    return through(gevent.queue.SimpleQueue(), n)


def select(n):
    sources = [gevent.queue.Queue(1) for _ in range(SOURCES)]

    def produce():
        for i in range(n):
            sources[i % SOURCES].put(i)

    producer = gevent.spawn(produce)
    received = 0
    start = now()
    getting = {gevent.spawn(source.get): source for source in sources}
    while received < n:
        done = gevent.wait(list(getting), count=1)
        for task in done:
            task.get()
            source = getting.pop(task)
            getting[gevent.spawn(source.get)] = source
        received += len(done)
    took = now() - start
    gevent.killall(list(getting))
    producer.get()
    return took


def cancel(n):
    never, cleaned = gevent.event.Event(), []

    def wait():
        try:
            never.wait()
        finally:
            cleaned.append(None)

    tasks = [gevent.spawn(wait) for _ in range(n)]
    gevent.sleep(0)
    start = now()
    gevent.killall(tasks)
    took = now() - start
    expect(len(cleaned), n)
    return took


def memory(n):
    end = gevent.event.Event()
    parked = [0]

    def wait():
        parked[0] += 1
        end.wait()

    def start(count):
        tasks = [gevent.spawn(wait) for _ in range(count)]
        gevent.sleep(0)
        return tasks

    tasks = start(1)
    before = resident()
    tasks += start(n)
    expect(parked[0], n + 1)
    grown = resident() - before
    end.set()
    gevent.joinall(tasks)
    return grown


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "cancel": cancel, "memory": memory},
        lambda row, n: row(n))
