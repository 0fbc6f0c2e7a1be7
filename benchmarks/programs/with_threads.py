"""Threads and the queues of the standard library."""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import measure
from measure import CAPACITY, JOBS, expect, file_sum, files_under, now, nth_prime


def started(target, *arguments):
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def sieve(n):
    """Its threads end when the process does: nothing cancels them."""

    def source(out):
        number = 2
        while True:
            out.put(number)
            number += 1

    def filtered(into, out, prime):
        while True:
            if (number := into.get()) % prime:
                out.put(number)

    start = now()
    channel = queue.Queue(1)
    started(source, channel)
    for _ in range(n):
        prime = channel.get()
        out = queue.Queue(1)
        started(filtered, channel, out, prime)
        channel = out
    took = now() - start
    expect(prime, nth_prime(n))
    return took


def four_by_four(n):
    channel, received = queue.Queue(CAPACITY), []

    def produce():
        for i in range(n // 4):
            channel.put(i)

    def consume():
        received.append(sum(1 for _ in iter(channel.get, None)))

    start = now()
    producers = [started(produce) for _ in range(4)]
    consumers = [started(consume) for _ in range(4)]
    for thread in producers:
        thread.join()
    for _ in consumers:
        channel.put(None)
    for thread in consumers:
        thread.join()
    took = now() - start
    expect(sum(received), n // 4 * 4)
    return took


def digest(n):
    start = now()
    with ThreadPoolExecutor(JOBS) as pool:
        sums = list(pool.map(file_sum, files_under(os.environ["BENCH_TREE"])))
    took = now() - start
    expect(len(sums), n)
    return took


if __name__ == "__main__":
    measure.main({"sieve": sieve, "four_by_four": four_by_four, "digest": digest}, lambda row, n: row(n))
