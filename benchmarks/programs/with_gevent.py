"""gevent."""

from __future__ import annotations

import os

import gevent
import gevent.queue
import gevent.threadpool
import measure
from measure import CAPACITY, CHILDREN, JOBS, expect, file_sum, files_under, is_sum, now, nth_prime


def skynet(n):
    def node(out, first, size):
        if size == 1:
            out.put(first)
            return
        sums, part = gevent.queue.SimpleQueue(CHILDREN), size // CHILDREN
        for i in range(CHILDREN):
            gevent.spawn(node, sums, first + i * part, part)
        out.put(sum(sums.get() for _ in range(CHILDREN)))

    sums = gevent.queue.SimpleQueue(1)
    start = now()
    gevent.spawn(node, sums, 0, n)
    found = sums.get()
    took = now() - start
    is_sum(found, n)
    return took


def sieve(n):
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
    channel = gevent.queue.Channel()
    tasks = [gevent.spawn(source, channel)]
    for _ in range(n):
        prime = channel.get()
        out = gevent.queue.Channel()
        tasks.append(gevent.spawn(filtered, channel, out, prime))
        channel = out
    took = now() - start
    gevent.killall(tasks)
    expect(prime, nth_prime(n))
    return took


def four_by_four(n):
    channel = gevent.queue.Queue(CAPACITY)

    def produce():
        for i in range(n // 4):
            channel.put(i)

    def consume():
        return sum(1 for _ in iter(channel.get, None))

    start = now()
    producers = [gevent.spawn(produce) for _ in range(4)]
    consumers = [gevent.spawn(consume) for _ in range(4)]
    gevent.joinall(producers)
    for _ in consumers:
        channel.put(None)
    received = sum(task.get() for task in consumers)
    took = now() - start
    expect(received, n // 4 * 4)
    return took


def digest(n):
    pool = gevent.threadpool.ThreadPool(JOBS)
    start = now()
    sums = pool.map(file_sum, files_under(os.environ["BENCH_TREE"]))
    took = now() - start
    expect(len(sums), n)
    return took


if __name__ == "__main__":
    measure.main({"skynet": skynet, "sieve": sieve, "four_by_four": four_by_four, "digest": digest},
                 lambda row, n: row(n))
