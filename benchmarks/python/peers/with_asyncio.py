"""asyncio, with its own event loop."""

from __future__ import annotations

import asyncio

import measure
from measure import CAPACITY, SOURCES, batches, expect, now, resident


async def nothing():
    pass


async def spawn(n):
    start = now()
    for batch in batches(n):
        tasks = [asyncio.create_task(nothing()) for _ in range(batch)]
        for task in tasks:
            await task
    return now() - start


async def give_way(n):
    async def work():
        for _ in range(n // 2):
            await asyncio.sleep(0)

    start = now()
    await asyncio.gather(work(), work())
    return now() - start


async def round_trip(n):
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def echo():
        for _ in range(n):
            await back.put(await there.get())

    echoes = asyncio.create_task(echo())
    start = now()
    for i in range(n):
        await there.put(i)
        await back.get()
    took = now() - start
    await echoes
    return took


async def through(queue, n):
    async def produce():
        for i in range(n):
            await queue.put(i)

    producer = asyncio.create_task(produce())
    start = now()
    for _ in range(n):
        last = await queue.get()
    took = now() - start
    expect(last, n - 1)
    await producer
    return took


async def buffered(n):
    return await through(asyncio.Queue(CAPACITY), n)


async def unlimited(n):
    return await through(asyncio.Queue(), n)


async def select(n):
    sources = [asyncio.Queue(1) for _ in range(SOURCES)]

    async def produce():
        for i in range(n):
            await sources[i % SOURCES].put(i)

    producer = asyncio.create_task(produce())
    received = 0
    start = now()
    getting = {asyncio.create_task(source.get()): source for source in sources}
    while received < n:
        done, _ = await asyncio.wait(getting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
            source = getting.pop(task)
            getting[asyncio.create_task(source.get())] = source
        received += len(done)
    took = now() - start
    for task in getting:
        task.cancel()
    await asyncio.wait(getting)
    await producer
    return took


async def cancel(n):
    never, cleaned = asyncio.Event(), []

    async def wait():
        try:
            await never.wait()
        finally:
            cleaned.append(None)

    tasks = [asyncio.create_task(wait()) for _ in range(n)]
    await asyncio.sleep(0)
    start = now()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    took = now() - start
    expect(len(cleaned), n)
    return took


async def memory(n):
    end = asyncio.Event()
    parked = [0]

    async def wait():
        parked[0] += 1
        await end.wait()

    async def start(count):
        tasks = [asyncio.create_task(wait()) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    tasks = await start(1)
    before = resident()
    tasks += await start(n)
    expect(parked[0], n + 1)
    grown = resident() - before
    end.set()
    await asyncio.wait(tasks)
    return grown


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "cancel": cancel, "memory": memory},
        lambda row, n: asyncio.run(row(n)))
