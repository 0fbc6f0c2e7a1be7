"""Time: sleep, checkpoint, after, Ticker."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
import sys
import threading
import time
import weakref
from typing import Any

import pytest

import pygostop as gs

SOON = 20.0  # an upper bound for what happens at once


def test_sleep_waits_and_not_less() -> None:
    for seconds in (0, 0.0001, 0.01, 0.05):
        start = time.monotonic()
        gs.sleep(seconds)
        assert seconds <= time.monotonic() - start < SOON


def test_sleep_for_ever_ends_by_its_scope() -> None:
    for never in (None, math.inf):
        with gs.move_on_after(0.02) as scope:
            gs.sleep(never)
        assert scope.cancelled


@pytest.mark.parametrize("wait", [gs.sleep, gs.after])
@pytest.mark.parametrize("seconds", [-1, math.nan, -math.inf])
def test_a_negative_time_or_nan_is_a_value_error(wait: Any, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        wait(seconds)


@pytest.mark.parametrize("wait", [gs.sleep, gs.after, gs.Ticker])
@pytest.mark.parametrize("seconds", ["1", b"", [], object(), 1j])
def test_a_time_that_is_no_number_is_a_type_error(wait: Any, seconds: Any) -> None:
    with pytest.raises(TypeError, match="seconds"):
        wait(seconds)


def test_arguments_are_checked_before_the_scope() -> None:
    with gs.cancel_scope() as scope:
        scope.cancel()
        with pytest.raises(ValueError):
            gs.sleep(-1)


def test_sleep_lets_other_threads_run() -> None:
    ran = threading.Event()
    threading.Timer(0.01, ran.set).start()
    gs.sleep(0.2)
    assert ran.is_set()


def test_after_sends_the_time_once() -> None:
    start = time.monotonic()
    ch = gs.after(0.02)
    assert isinstance(ch, gs.RecvChan) and ch.type is float and ch.capacity == 1
    at = ch.recv(timeout=SOON)
    assert start + 0.02 <= at <= time.monotonic()
    with pytest.raises(TimeoutError):
        ch.recv(timeout=0.02)


def test_after_zero_is_soon_and_after_none_is_never() -> None:
    gs.after(0).recv(timeout=SOON)
    with pytest.raises(TimeoutError):
        gs.after(None).recv(timeout=0.01)


def test_after_is_a_case_of_select() -> None:
    ch: gs.Chan[int] = gs.Chan()
    selected = gs.select(ch, gs.after(0.01), timeout=SOON)
    assert selected.index == 1 and isinstance(selected.value, float)


def test_after_works_in_asyncio() -> None:
    async def main() -> float:
        return await gs.after(0.01).recv_async()

    assert asyncio.run(main()) > 0


def test_a_dropped_after_leaves_nothing() -> None:
    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(10_000):
        gs.after(3600)
    memory, blocks = peak(), sys.getallocatedblocks()
    for _ in range(200_000):
        gs.after(3600)
    assert sys.getallocatedblocks() - blocks < 1000
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # which keeps what was freed for a while
        assert peak() - memory < 8 << 10  # KiB; kept, they would be some 100 MiB


def test_many_timers_need_no_threads_of_their_own() -> None:
    channels = [gs.after(0.01 + n / 100_000) for n in range(1000)]
    with open("/proc/self/status") as f:
        threads = next(int(line.split()[1]) for line in f if line.startswith("Threads:"))
    assert threads < 200
    for ch in channels:
        ch.recv(timeout=SOON)


def test_a_ticker_ticks_on_its_grid() -> None:
    start = time.monotonic()
    with gs.Ticker(0.01) as ticker:
        ticks = [ticker.chan.recv(timeout=SOON) for _ in range(5)]
    for n, tick in enumerate(ticks):
        assert tick >= start + 0.01 * (n + 1) - 1e-6
    assert ticks == sorted(ticks)


def test_a_ticker_drops_what_nobody_takes() -> None:
    with gs.Ticker(0.001) as ticker:
        time.sleep(0.05)
        assert len(ticker.chan) == 1 and ticker.chan.capacity == 1


def test_a_ticker_is_iterated_until_it_is_stopped() -> None:
    ticker = gs.Ticker(0.002)
    ticks = []
    for tick in ticker:
        ticks.append(tick)
        if len(ticks) == 3:
            ticker.stop()
    assert 3 <= len(ticks) <= 4
    ticker.stop()
    assert list(ticker) == []


def test_a_stopped_ticker_is_quiet_and_its_channel_closed() -> None:
    with gs.Ticker(0.001) as ticker:
        chan = ticker.chan
    for _ in chan:
        pass
    time.sleep(0.01)
    assert chan.closed and len(chan) == 0 and "stopped" in repr(ticker)


def test_iterating_a_ticker_is_a_checkpoint() -> None:
    with gs.move_on_after(0.03) as scope, gs.Ticker(0.005) as ticker:
        for _ in ticker:
            pass
    assert scope.cancelled


def test_a_channel_keeps_its_ticker_and_a_dropped_one_is_gone() -> None:
    ticker = gs.Ticker(0.005)
    gone = weakref.ref(ticker)
    chan = ticker.chan
    del ticker
    gc.collect()
    chan.recv(timeout=SOON)
    chan.recv(timeout=SOON)
    del chan
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("seconds", [0, 0.0, -1, math.nan])
def test_a_ticker_needs_a_time_above_zero(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        gs.Ticker(seconds)


def test_a_ticker_of_a_time_that_never_comes_does_not_tick() -> None:
    for never in (math.inf, 10**30, 9.2e9, 1e300):
        with gs.Ticker(never) as ticker, pytest.raises(TimeoutError):
            ticker.chan.recv(timeout=0.005)


def test_tickers_stopped_from_many_threads_at_once_end_cleanly() -> None:
    for _ in range(100):
        ticker = gs.Ticker(0.00001)
        threads = [threading.Thread(target=ticker.stop) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ticker.chan.closed


def test_tasks_of_one_worker_wait_for_times_and_ticks_side_by_side() -> None:
    def ticks() -> int:
        with gs.Ticker(0.01) as ticker:
            return sum(1 for _ in zip(range(3), ticker, strict=False))

    def never() -> None:
        with gs.Ticker(3600) as ticker:
            ticker.chan.recv()

    with gs.Group() as group:
        waiting = [group.go(never) for _ in range(100)]
        ticking = [group.go(ticks) for _ in range(100)]
        timed = [group.go(gs.after(0.05).recv) for _ in range(100)]
        assert all(task.result(SOON) == 3 for task in ticking)
        assert all(task.result(SOON) > 0 for task in timed)
        assert not any(task.done() for task in waiting)
        group.cancel()
    assert all(task.cancelled() for task in waiting)


def test_a_wrong_number_of_arguments_is_a_type_error() -> None:
    for call in (gs.Ticker, gs.sleep, gs.after, gs.timeout, gs.move_on_after):
        with pytest.raises(TypeError):
            call()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            call(1, 2)  # type: ignore[call-arg]
