"""Threads and the queues of the standard library. A thread cannot be cancelled, so that row is missing."""

from __future__ import annotations

import queue
import threading
import time

import measure
from measure import CAPACITY, SOURCES, batches, expect, now, resident


def nothing():
    pass


def started(target, *arguments):
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def spawn(n):
    start = now()
    for batch in batches(n):
        for thread in [started(nothing) for _ in range(batch)]:
            thread.join()
    return now() - start


def give_way(n):
    def work():
        for _ in range(n // 2):
            time.sleep(0)

    start = now()
    for thread in [started(work), started(work)]:
        thread.join()
    return now() - start


def round_trip(n):
    there, back = queue.SimpleQueue(), queue.SimpleQueue()

    def echo():
        for _ in range(n):
            back.put(there.get())

    echoes = started(echo)
    start = now()
    for i in range(n):
        there.put(i)
        back.get()
    took = now() - start
    echoes.join()
    return took


def through(channel, n):
    def produce():
        for i in range(n):
            channel.put(i)

    producer = started(produce)
    start = now()
    for _ in range(n):
        last = channel.get()
    took = now() - start
    expect(last, n - 1)
    producer.join()
    return took


def buffered(n):
    return through(queue.Queue(CAPACITY), n)


def unlimited(n):
    return through(queue.SimpleQueue(), n)


def select(n):
    sources = [queue.Queue(1) for _ in range(SOURCES)]
    merged = queue.SimpleQueue()

    def produce():
        for i in range(n):
            sources[i % SOURCES].put(i)
        for source in sources:
            source.put(None)

    def forward(source):
        while (value := source.get()) is not None:
            merged.put((source, value))

    threads = [started(produce)] + [started(forward, source) for source in sources]
    start = now()
    for _ in range(n):
        merged.get()
    took = now() - start
    for thread in threads:
        thread.join()
    return took


def memory(n):
    end = threading.Event()
    parked = threading.Semaphore(0)

    def wait():
        parked.release()
        end.wait()

    def start(count):
        threads = [started(wait) for _ in range(count)]
        for _ in threads:
            parked.acquire()
        return threads

    threads = start(1)
    before = resident()
    threads += start(n)
    grown = resident() - before
    end.set()
    for thread in threads:
        thread.join()
    return grown


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "memory": memory},
        lambda row, n: row(n))
