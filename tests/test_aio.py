"""The asyncio forms: one channel between coroutines, loops and threads; a cancel loses nothing."""

import asyncio
import gc
import os
import random
import sys
import threading
import time
import weakref

import pygostop as gs
import pytest

SOON = 10.0


def run(main):
    """asyncio.run with a limit, so that a hang is a failure."""
    return asyncio.run(asyncio.wait_for(main, SOON))


async def blocked(awaitable):
    """A task that waits in `awaitable`."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- the calls ----


def test_coroutines_meet_on_an_unbuffered_channel():
    async def main():
        ch = gs.Chan()
        receiver = await blocked(ch.recv_async())
        await ch.send_async("x")
        assert await receiver == "x"
        sender = await blocked(ch.send_async("y"))
        assert await ch.recv_async() == "y"
        assert await sender is None

    run(main())


def test_a_coroutine_and_a_thread_meet():
    async def main():
        ch, back = gs.Chan(), gs.Chan()

        def echo():
            for value in ch:
                back.send(value + 1)

        thread = threading.Thread(target=echo)
        thread.start()
        for i in range(200):
            await ch.send_async(i)
            assert await back.recv_async() == i + 1
        ch.close()
        thread.join()

    run(main())


def test_what_is_ready_does_not_go_through_the_loop():
    async def main():
        ch = gs.Chan(2)
        coroutine = ch.send_async("x")
        with pytest.raises(StopIteration):
            coroutine.send(None)
        with pytest.raises(StopIteration) as stop:
            ch.recv_async().send(None)
        assert stop.value.value == "x"

    run(main())


def test_async_for_ends_when_closed_and_drained():
    async def main():
        ch = gs.Chan(2, int)

        async def produce():
            with ch:
                for i in range(100):
                    await ch.send_async(i)

        producer = asyncio.ensure_future(produce())
        assert [value async for value in ch] == list(range(100))
        assert [value async for value in ch.receiver()] == []
        await producer

    run(main())


def test_a_closed_channel_raises():
    async def main():
        ch = gs.Chan(name="jobs")
        receiver, sender = gs.Chan(), gs.Chan()
        receiving = await blocked(receiver.recv_async())
        sending = await blocked(sender.sender().send_async(1))
        for each in (ch, receiver, sender):
            each.close()
        for waiting in (receiving, sending, ch.recv_async(), ch.send_async(1)):
            with pytest.raises(gs.ChannelClosed, match="closed"):
                await waiting

    run(main())


def test_a_misfit_raises_before_anything_happens():
    async def main():
        ch = gs.Chan(1, int)
        with pytest.raises(TypeError):
            await ch.send_async("x")
        with pytest.raises(OverflowError):
            await gs.select_async((ch, 1), (ch, 2**63))
        assert len(ch) == 0

    run(main())


def test_select_async_is_select():
    async def main():
        a, b = gs.Chan(), gs.Chan(1)
        assert await gs.select_async(a, b, nowait=True) == (-1, None, True)
        assert await gs.select_async(a, (b, "x")) == (1, None, True)
        assert await gs.select_async(a, b) == (1, "x", True)
        waiting = await blocked(gs.select_async(a, b, None))
        b.send("y")
        assert await waiting == (1, "y", True)
        with pytest.raises(TimeoutError):
            await gs.select_async(a, b, timeout=0)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await gs.select_async(a, b, timeout=0.03)
        assert time.monotonic() - began >= 0.03
        ctx, cancel = gs.with_cancel(gs.background())
        waiting = await blocked(gs.select_async(a, ctx))
        cancel()
        selected = await waiting
        assert selected.index == 1 and isinstance(selected.value, gs.Cancelled)

    run(main())


@pytest.mark.parametrize(
    "cases, arguments, error",
    [
        ((1,), {}, TypeError),
        ((), {"timeout": -1}, ValueError),
        ((), {"timeout": "1"}, TypeError),
        ((), {"timeout": 1, "nowait": True}, ValueError),
    ],
)
def test_wrong_arguments_of_select_async_are_refused(cases, arguments, error):
    async def main():
        with pytest.raises(error):
            await gs.select_async(*cases, **arguments)

    run(main())


def test_receivers_are_served_in_the_order_they_came():
    async def main():
        ch = gs.Chan()
        waiting = [await blocked(ch.recv_async()) for _ in range(5)]
        for i in range(5):
            await ch.send_async(i)
        assert await asyncio.gather(*waiting) == [0, 1, 2, 3, 4]

    run(main())


def test_without_a_running_loop_a_wait_is_a_runtime_error():
    with pytest.raises(RuntimeError, match="loop"):
        gs.Chan().recv_async().send(None)


def test_a_coroutine_talks_to_a_c_task(probe):
    async def main():
        source, to = gs.Chan(type=int), gs.Chan(type=int)
        task = gs.go(probe.double_ints, source, to)
        for i in range(300):
            await source.send_async(i)
            assert await to.recv_async() == 2 * i
        running = await blocked(gs.select_async(gs.Chan(), task))
        source.close()
        assert await running == (1, task, True)

    run(main())


# ---- scopes ----


def test_a_done_scope_raises_before_what_is_ready():
    async def main():
        ctx, cancel = gs.with_cancel(gs.background())
        cancel(ValueError("enough"))
        ch = gs.Chan(2)
        ch.send_nowait(1)
        with ctx:
            for call in (ch.recv_async, lambda: ch.send_async(2), lambda: gs.select_async(ch)):
                with pytest.raises(gs.Cancelled) as caught:
                    await call()
                assert isinstance(caught.value.__cause__, ValueError)
            assert await gs.select_async(ch, nowait=True) == (0, 1, True)
        assert len(ch) == 0

    run(main())


def test_a_scope_that_is_cancelled_meanwhile_ends_the_wait():
    async def main():
        ctx, cancel = gs.with_cancel(gs.background())
        ch = gs.Chan()

        async def wait():
            with ctx:
                await ch.recv_async()

        waiting = await blocked(wait())
        threading.Timer(0.02, cancel).start()
        with pytest.raises(gs.Cancelled):
            await waiting
        with pytest.raises(gs.WouldBlock):
            ch.send_nowait(1)

    run(main())


# ---- cancelled by the loop ----


def test_a_cancelled_receive_takes_nothing():
    async def main():
        ch = gs.Chan()
        await cancelled(await blocked(ch.recv_async()))
        with pytest.raises(gs.WouldBlock):
            ch.send_nowait(1)

    run(main())


def test_a_cancelled_send_leaves_nothing():
    thing = object()
    before = sys.getrefcount(thing)

    async def main():
        ch = gs.Chan()
        await cancelled(await blocked(ch.send_async(thing)))
        with pytest.raises(gs.WouldBlock):
            ch.recv_nowait()

    run(main())
    gc.collect()  # the loop's last exception holds frames
    assert sys.getrefcount(thing) == before


@pytest.mark.parametrize("capacity", [0, 3])
def test_a_receive_cancelled_after_the_hand_over_puts_the_value_back_in_front(capacity):
    async def main():
        ch = gs.Chan(capacity)
        task = await blocked(ch.recv_async())
        ch.send_nowait("first")  # to the waiting coroutine, which has not run yet
        for i in range(capacity):
            ch.send_nowait(i)
        await cancelled(task)
        assert len(ch) == capacity + 1
        assert ch.recv_many(9) == ["first", *range(capacity)]

    run(main())


def test_a_value_put_back_goes_to_the_next_who_waits():
    async def main():
        ch = gs.Chan()
        first, second = await blocked(ch.recv_async()), await blocked(ch.recv_async())
        ch.send_nowait("x")
        await cancelled(first)
        assert await second == "x"

    run(main())


def test_a_value_is_put_back_on_a_closed_channel_too():
    async def main():
        ch = gs.Chan()
        task = await blocked(ch.recv_async())
        ch.send_nowait("x")
        ch.close()
        await cancelled(task)
        assert list(ch) == ["x"]

    run(main())


def test_an_unbuffered_send_cancelled_after_it_was_taken_returns():
    async def main():
        ch = gs.Chan()
        task = await blocked(ch.send_async("x"))
        assert ch.recv_nowait() == "x"
        task.cancel()
        assert await task is None

    run(main())


def test_a_cancel_that_came_too_late_for_a_send_reaches_the_next_await():
    async def main():
        ch = gs.Chan()
        sent = []

        async def feed():
            for n in range(10):
                await ch.send_async(n)
                sent.append(n)

        task = await blocked(feed())
        assert ch.recv_nowait() == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sent == [0]
        assert task.cancelling() == 1

    run(main())


def test_a_cancel_that_came_too_late_for_a_send_ends_a_task_group():
    async def main():
        ch = gs.Chan()

        async def feed():
            while True:
                await ch.send_async(1)

        async def fail():
            for _ in range(3):
                await asyncio.sleep(0)
            ch.recv_nowait()
            raise ValueError("enough")

        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            async with asyncio.TaskGroup() as group:
                group.create_task(feed())
                group.create_task(fail())

    run(main())


def test_a_timeout_that_came_too_late_for_a_send_cancels_nothing_after_its_block():
    async def main():
        ch = gs.Chan()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SOON) as scope:
            loop.call_soon(scope.reschedule, loop.time() - 1)
            loop.call_soon(ch.recv_nowait)
            await ch.send_async(1)
        task = asyncio.current_task()
        assert task.cancelling() == 0
        for _ in range(3):
            await asyncio.sleep(0)

    run(main())


def test_a_select_cancelled_after_the_hand_over_puts_back_what_it_received():
    async def main():
        a, b = gs.Chan(), gs.Chan()
        task = await blocked(gs.select_async(a, b, (gs.Chan(), 1)))
        b.send_nowait("x")
        await cancelled(task)
        waiting = await blocked(a.recv_async())
        assert await b.recv_async() == "x"
        await cancelled(waiting)

    run(main())


def test_wait_for_that_runs_out_takes_nothing():
    async def main():
        ch = gs.Chan()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ch.recv_async(), 0.02)
        with pytest.raises(gs.WouldBlock):
            ch.send_nowait(1)

    run(main())


def test_a_coroutine_that_is_dropped_takes_nothing():
    async def main():
        ch = gs.Chan()
        coroutine = ch.recv_async()
        coroutine.send(None)
        coroutine.close()
        with pytest.raises(gs.WouldBlock):
            ch.send_nowait(1)
        coroutine = ch.recv_async()
        coroutine.send(None)
        ch.send_nowait("x")
        del coroutine
        assert ch.recv_nowait() == "x"

    run(main())


def test_nothing_is_lost_or_doubled_under_cancels():
    async def main():
        ch, rng = gs.Chan(2, int), random.Random(1)
        n, got, sent = 6000, [], []

        async def receive():
            while True:
                task = asyncio.ensure_future(ch.recv_async())
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
                if rng.random() < 0.5:
                    task.cancel()
                try:
                    got.append(await task)
                except asyncio.CancelledError:
                    pass
                except gs.ChannelClosed:
                    return

        async def send(values):
            for value in values:
                while True:
                    task = asyncio.ensure_future(ch.send_async(value))
                    await asyncio.sleep(0)
                    if rng.random() < 0.3:
                        task.cancel()
                    try:
                        await task
                        break
                    except asyncio.CancelledError:
                        pass
                sent.append(value)

        def send_from_a_thread(values):
            for value in values:
                ch.send(value)

        thirds = [range(i * n // 3, (i + 1) * n // 3) for i in range(3)]
        thread = threading.Thread(target=send_from_a_thread, args=(thirds[2],))
        receivers = [asyncio.ensure_future(receive()) for _ in range(3)]
        thread.start()
        await asyncio.gather(send(thirds[0]), send(thirds[1]))
        await asyncio.to_thread(thread.join)
        ch.close()
        await asyncio.gather(*receivers)
        assert sorted(got) == list(range(n))

    asyncio.run(asyncio.wait_for(main(), 30))


# ---- loops ----


def test_loops_in_several_threads_share_channels():
    ch, back = gs.Chan(), gs.Chan(5, int)

    async def work():
        async for value in ch:
            await back.send_async(value * 2)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()

    async def main():
        async def feed():
            for i in range(1000):
                await ch.send_async(i)

        feeder = asyncio.ensure_future(feed())
        results = [await back.recv_async() for _ in range(1000)]
        await feeder
        return results

    results = run(main())
    ch.close()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert sorted(results) == list(range(0, 2000, 2))


def count_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_a_loop_takes_one_descriptor_and_no_thread_and_gives_it_back():
    async def main():
        before = count_descriptors(), threading.active_count()
        channels = [gs.Chan() for _ in range(50)]
        waiting = [await blocked(ch.recv_async()) for ch in channels]
        assert count_descriptors() <= before[0] + 1
        assert threading.active_count() == before[1]
        for ch in channels:
            ch.close()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(main())
    gc.collect()
    before = count_descriptors()
    for _ in range(10):
        run(main())
    gc.collect()
    assert count_descriptors() <= before


def test_a_loop_that_closes_with_a_wait_under_way_eats_no_value():
    ch = gs.Chan()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
    task = loop.create_task(ch.recv_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    gc.collect()
    with pytest.raises(gs.WouldBlock):
        ch.send_nowait("x")
    del task


def test_a_loop_that_closes_gives_back_what_arrived_last():
    ch = gs.Chan()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(ch.recv_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    ch.send_nowait("x")  # the loop never gets to it
    loop.close()
    gc.collect()
    assert ch.recv_nowait() == "x"
    del task


def test_nothing_keeps_a_loop_alive():
    references = []

    async def main():
        references.append(weakref.ref(asyncio.get_running_loop()))
        ch = gs.Chan()
        waiting = await blocked(ch.recv_async())
        ch.send_nowait(1)
        await waiting

    asyncio.run(main())
    gc.collect()
    assert references[0]() is None


def test_a_task_that_nobody_else_holds_is_not_collected_while_it_waits():
    async def main():
        ch, got = gs.Chan(), []

        async def receive():
            got.append(await ch.recv_async())

        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: loop.create_task(receive()))
        await asyncio.sleep(0.01)
        gc.collect()
        ch.send_nowait("x")
        await asyncio.sleep(0.01)
        assert got == ["x"]

    run(main())


def test_a_waiting_coroutine_costs_no_time():
    async def main():
        waiting = await blocked(gs.Chan().recv_async())
        began = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - began < 0.1
        await cancelled(waiting)

    run(main())


def test_other_loops_than_asyncios_own_work():
    uvloop = pytest.importorskip("uvloop")
    ch, back = gs.Chan(), gs.Chan()

    async def main():
        threading.Thread(target=lambda: [back.send(value) for value in ch]).start()
        for i in range(100):
            await ch.send_async(i)
            assert await back.recv_async() == i
        ch.close()
        await cancelled(await blocked(back.recv_async()))

    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.wait_for(main(), SOON))
    loop.close()


def test_anyio_cancels_without_losing_values():
    anyio = pytest.importorskip("anyio")

    async def main():
        ch = gs.Chan()
        with anyio.move_on_after(0.02) as scope:
            await ch.recv_async()
        assert scope.cancelled_caught
        with pytest.raises(gs.WouldBlock):
            ch.send_nowait(1)
        async with anyio.create_task_group() as group:
            group.start_soon(ch.send_async, "x")
            assert await ch.recv_async() == "x"

    anyio.run(main)
