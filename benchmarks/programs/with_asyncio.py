"""asyncio, with its own event loop."""

from __future__ import annotations

import asyncio
import os
import queue
import threading

import measure
from measure import CAPACITY, CHILDREN, JOBS, expect, file_sum, files_under, is_sum, now, nth_prime


async def skynet(n):
    running = set()

    def spawn(coroutine):
        task = asyncio.create_task(coroutine)
        running.add(task)
        task.add_done_callback(running.discard)

    async def node(out, first, size):
        if size == 1:
            await out.put(first)
            return
        sums, part = asyncio.Queue(CHILDREN), size // CHILDREN
        for i in range(CHILDREN):
            spawn(node(sums, first + i * part, part))
        total = 0
        for _ in range(CHILDREN):
            total += await sums.get()
        await out.put(total)

    sums = asyncio.Queue(1)
    start = now()
    spawn(node(sums, 0, n))
    found = await sums.get()
    took = now() - start
    is_sum(found, n)
    return took


async def sieve(n):
    async def source(out):
        number = 2
        while True:
            await out.put(number)
            number += 1

    async def filtered(into, out, prime):
        while True:
            if (number := await into.get()) % prime:
                await out.put(number)

    start = now()
    channel = asyncio.Queue(1)
    tasks = [asyncio.create_task(source(channel))]
    for _ in range(n):
        prime = await channel.get()
        out = asyncio.Queue(1)
        tasks.append(asyncio.create_task(filtered(channel, out, prime)))
        channel = out
    took = now() - start
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    expect(prime, nth_prime(n))
    return took


async def four_by_four(n):
    channel, received = asyncio.Queue(CAPACITY), []

    async def produce():
        for i in range(n // 4):
            await channel.put(i)

    async def consume():
        count = 0
        while await channel.get() is not None:
            count += 1
        received.append(count)

    start = now()
    consumers = [asyncio.create_task(consume()) for _ in range(4)]
    await asyncio.gather(*(produce() for _ in range(4)))
    for _ in consumers:
        await channel.put(None)
    await asyncio.gather(*consumers)
    took = now() - start
    expect(sum(received), n // 4 * 4)
    return took


async def digest(n):
    start = now()
    places = asyncio.Semaphore(JOBS)

    async def one(path):
        async with places:
            return await asyncio.to_thread(file_sum, path)

    sums = await asyncio.gather(*map(one, files_under(os.environ["BENCH_TREE"])))
    took = now() - start
    expect(len(sums), n)
    return took


async def ping_pong(n):
    """A thread stands where the C task is: a queue there, a callback of the loop back."""
    loop, there, back = asyncio.get_running_loop(), queue.SimpleQueue(), asyncio.Queue()

    def echo():
        while (value := there.get()) is not None:
            loop.call_soon_threadsafe(back.put_nowait, value)

    thread = threading.Thread(target=echo)
    thread.start()
    start = now()
    for i in range(n):
        there.put(i)
        expect(await back.get(), i)
    took = now() - start
    there.put(None)
    thread.join()
    return took


if __name__ == "__main__":
    measure.main({"skynet": skynet, "sieve": sieve, "four_by_four": four_by_four, "digest": digest,
                  "ping_pong": ping_pong}, lambda row, n: asyncio.run(row(n)))
