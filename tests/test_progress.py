"""Task.watch and progress_bar: what a task says of its progress, in Python."""

from __future__ import annotations

import asyncio
import io
import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from subprocess import CompletedProcess
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, Probe, eventually

END = 10**12  # more than any test counts to


def test_watch_gives_each_progress_and_ends_with_the_task(probe: Probe) -> None:
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)
    watch = task.watch(interval=0)
    for n in range(1, 50):
        numbers.send(n)
        assert next(watch) == gs.Progress(n, 100)
    numbers.close()
    assert list(watch) == []
    assert list(watch) == []  # still
    assert task.result(WAIT) is None


def test_watch_of_a_task_that_says_nothing_only_ends(probe: Probe) -> None:
    assert list(gs.go(probe.nothing).watch()) == []
    assert list(gs.go(lambda: 1).watch()) == []


def test_watch_after_the_end_gives_what_was_said_last(probe: Probe) -> None:
    task = gs.go(probe.count_up, 5)
    assert task.wait(WAIT)
    assert list(task.watch(interval=math.inf)) == [gs.Progress(5, 5)]


def test_watch_only_goes_forward_and_sees_the_last(probe: Probe) -> None:
    for _ in range(20):
        seen = list(gs.go(probe.count_up, 200_000).watch(interval=0))
        assert all(a.done < b.done for a, b in zip(seen, seen[1:]))
        assert seen[-1] == gs.Progress(200_000, 200_000)


def test_watch_keeps_its_interval_but_for_the_last(probe: Probe) -> None:
    task = gs.go(probe.count_up, END)
    watch, times = task.watch(interval=0.05), []
    for _ in range(5):
        next(watch)
        times.append(time.monotonic())
    assert all(b - a >= 0.05 for a, b in zip(times, times[1:]))
    watch = task.watch(interval=1e6)
    first = next(watch)
    threading.Timer(0.05, task.cancel).start()
    (last,) = watch  # at once when it ends
    assert last.done > first.done
    assert task.progress == last


def test_watch_does_not_raise_the_failure(probe: Probe) -> None:
    task = gs.go(probe.count_up, 3, 1)
    assert list(task.watch())[-1] == (3, 3)
    with pytest.raises(gs.TaskFailed, match="counted in vain"):
        task.result()
    task = gs.go(probe.count_up, END)
    task.cancel()
    list(task.watch())
    assert task.cancelled()


def test_watch_is_a_checkpoint(probe: Probe) -> None:
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)
    with gs.move_on_after(0.02) as limit:
        for _ in task.watch():
            raise AssertionError("nothing was said")
    assert limit.cancelled
    numbers.send(1)
    with gs.cancel_scope() as scope:
        scope.cancel()
        for _ in task.watch():
            raise AssertionError("the scope comes first")
    numbers.close()
    task.result(WAIT)


def test_watch_from_several_places_at_once(probe: Probe) -> None:
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)
    seen: list[list[gs.Progress]] = [[], []]
    watching = [gs.Chan(0, int) for _ in seen]

    def watch(i: int) -> None:
        for progress in task.watch(interval=0):
            seen[i].append(progress)
            watching[i].send(progress.done)

    thread = threading.Thread(target=watch, args=(0,))
    thread.start()
    other = gs.go(watch, 1)
    for n in range(1, 10):
        numbers.send(n)
        assert [ch.recv(WAIT) for ch in watching] == [n, n]
    numbers.close()
    thread.join(WAIT)
    other.result(WAIT)
    assert seen[0] == seen[1] == [(n, 100) for n in range(1, 10)]


def test_watch_in_asyncio(probe: Probe) -> None:
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)

    async def feed() -> None:
        for n in range(1, 20):
            await numbers.send_async(n)
            await asyncio.sleep(0.001)
        numbers.close()

    async def watch() -> list[gs.Progress]:
        return [progress async for progress in task.watch(interval=0)]

    async def main() -> None:
        feeding = asyncio.create_task(feed())
        one, two = await asyncio.wait_for(asyncio.gather(watch(), watch()), WAIT)
        assert one[-1] == two[-1] == (19, 100)
        assert len(one) > 1
        await feeding

    asyncio.run(main())


def test_watch_in_asyncio_can_be_cancelled_and_holds_up_nobody(probe: Probe) -> None:
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)

    async def watch() -> None:
        async for _ in task.watch():
            pass

    async def main() -> None:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0.01)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        assert not task.done()

    asyncio.run(asyncio.wait_for(main(), WAIT))
    numbers.close()
    task.result(WAIT)


@pytest.mark.parametrize("interval, error", [(-1, ValueError), (math.nan, ValueError), ("1", TypeError)])
def test_watch_refuses_an_interval_that_is_none(
    probe: Probe, interval: Any, error: type[Exception]
) -> None:
    task = gs.go(probe.nothing)
    with pytest.raises(error, match="interval"):
        task.watch(interval=interval)
    with pytest.raises(TypeError):
        task.watch(0.1)  # type: ignore[misc]
    task.result(WAIT)


def test_watch_uses_no_time_while_nothing_is_said(probe: Probe) -> None:
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)
    used = []

    def watch() -> None:
        before = time.thread_time()
        for _ in task.watch():
            pass
        used.append(time.thread_time() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.5)
    numbers.close()
    thread.join(WAIT)
    assert used[0] < 0.1


# ---- the bar ----


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_runs_to_the_end_and_gives_the_result(probe: Probe) -> None:
    pytest.importorskip("tqdm")
    out = Terminal()
    task = gs.go(probe.count_up, 100_000, name="count")
    assert gs.progress_bar(task, file=out, ncols=80) is None
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("count: 100%") and "100000/100000" in last


def test_bar_of_a_stopped_task_stays_where_it_was(probe: Probe) -> None:
    pytest.importorskip("tqdm")
    out = Terminal()
    numbers = gs.Chan(0, int)
    task = gs.go(probe.say_each, numbers)

    def feed() -> None:
        numbers.send(40)
        eventually(lambda: "40/100" in out.getvalue())
        task.cancel()

    thread = threading.Thread(target=feed)
    thread.start()
    with pytest.raises(CancelledError):
        gs.progress_bar(task, "half", file=out, ncols=80, unit="row")
    thread.join(WAIT)
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("half:  40%") and "row/s" in last


def test_bar_of_a_task_without_a_total(probe: Probe) -> None:
    pytest.importorskip("tqdm")
    out = Terminal()
    assert gs.progress_bar(gs.go(lambda: 5, name="five"), file=out) == 5
    assert out.getvalue().split("\r")[-1].startswith("five: 0it")
    assert gs.progress_bar(gs.go(probe.count_up, 10), disable=True) is None


def test_bar_in_a_notebook(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    pytest.importorskip("ipywidgets")
    import tqdm.auto
    import tqdm.notebook

    bars = []

    class Kept(tqdm.notebook.tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs, display=False)
            bars.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Kept)
    assert gs.progress_bar(gs.go(probe.count_up, 1000)) is None
    (bar,) = bars
    _, widget, _ = bar.container.children
    assert (widget.value, widget.max, widget.bar_style) == (1000, 1000, "success")


def test_bar_without_tqdm_names_the_extra(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    task = gs.go(probe.nothing)
    with pytest.raises(ImportError, match=r"pip install 'pygostop\[progress\]'"):
        gs.progress_bar(task)
    task.result(WAIT)


def test_bar_that_is_interrupted_leaves_the_task(
    run_python: Callable[[str], CompletedProcess[str]], probe_path: Any
) -> None:
    pytest.importorskip("tqdm")
    done = run_python(
        f"""
        import ctypes, signal, threading
        import pygostop as gs

        task = gs.go(gs.CTask(ctypes.CDLL({str(probe_path)!r}).count_up), {END})
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            gs.progress_bar(task)
        except KeyboardInterrupt:
            print("interrupted", task.done())
        task.cancel()
        """
    )
    assert done.stdout == "interrupted False\n", done.stderr
