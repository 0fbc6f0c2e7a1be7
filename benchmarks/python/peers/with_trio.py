"""trio."""

from __future__ import annotations

import math

import measure
import trio
import trio.testing
from measure import CAPACITY, SOURCES, batches, expect, now, resident


async def nothing():
    pass


async def spawn(n):
    start = now()
    for batch in batches(n):
        async with trio.open_nursery() as nursery:
            for _ in range(batch):
                nursery.start_soon(nothing)
    return now() - start


async def give_way(n):
    async def work():
        for _ in range(n // 2):
            await trio.lowlevel.checkpoint()

    start = now()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        nursery.start_soon(work)
    return now() - start


async def round_trip(n):
    send_there, receive_there = trio.open_memory_channel(0)
    send_back, receive_back = trio.open_memory_channel(0)

    async def echo():
        for _ in range(n):
            await send_back.send(await receive_there.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        start = now()
        for i in range(n):
            await send_there.send(i)
            await receive_back.receive()
        return now() - start


async def through(capacity, n):
    send, receive = trio.open_memory_channel(capacity)

    async def produce():
        for i in range(n):
            await send.send(i)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        start = now()
        for _ in range(n):
            last = await receive.receive()
        took = now() - start
    expect(last, n - 1)
    return took


async def buffered(n):
    return await through(CAPACITY, n)


async def unlimited(n):
    return await through(math.inf, n)


async def select(n):
    sources = [trio.open_memory_channel(1) for _ in range(SOURCES)]
    send_any, receive_any = trio.open_memory_channel(0)

    async def produce():
        for i in range(n):
            await sources[i % SOURCES][0].send(i)

    async def forward(receive):
        async for value in receive:
            await send_any.send((receive, value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        for _, receive in sources:
            nursery.start_soon(forward, receive)
        start = now()
        for _ in range(n):
            await receive_any.receive()
        took = now() - start
        nursery.cancel_scope.cancel()
    return took


async def cancel(n):
    never, cleaned = trio.Event(), []

    async def wait():
        try:
            await never.wait()
        finally:
            cleaned.append(None)

    async with trio.open_nursery() as nursery:
        for _ in range(n):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        start = now()
        nursery.cancel_scope.cancel()
    took = now() - start
    expect(len(cleaned), n)
    return took


async def memory(n):
    end = trio.Event()
    parked = [0]

    async def wait():
        parked[0] += 1
        await end.wait()

    async with trio.open_nursery() as nursery:
        async def start(count):
            for _ in range(count):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()

        await start(1)
        before = resident()
        await start(n)
        expect(parked[0], n + 1)
        grown = resident() - before
        end.set()
    return grown


if __name__ == "__main__":
    measure.main(
        {"spawn": spawn, "yield": give_way, "round_trip": round_trip, "buffered": buffered,
         "unlimited": unlimited, "select": select, "cancel": cancel, "memory": memory},
        lambda row, n: trio.run(row, n))
