"""Executor: a concurrent.futures.Executor whose calls are tasks, each of which can be stopped."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs
from pygostop import tasks
from support import WAIT, Probe, eventually

Run = Callable[[str], subprocess.CompletedProcess[str]]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


@pytest.fixture(params=[True, False], ids=["threads", "tasks"])
def thread(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def fails() -> None:
    raise ValueError("broken")


# ---- submit ----


def test_it_runs_callables_and_c_tasks(probe: Probe, thread: bool) -> None:
    with gs.Executor(thread=thread) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        assert executor.submit(pow, 2, 5).result(WAIT) == 32
        assert executor.submit(int, "ff", base=16).result(WAIT) == 255
        assert executor.submit(probe.add, 1, 2).result(WAIT) == 3
        with pytest.raises(ValueError, match="broken"):
            executor.submit(fails).result(WAIT)
        with pytest.raises(gs.TaskFailed):
            executor.submit(probe.fail_with, 3, "no disk").result(WAIT)


def test_c_tasks_take_no_keywords(probe: Probe) -> None:
    with gs.Executor() as executor:
        with pytest.raises(TypeError, match="no keyword arguments.*b"):
            executor.submit(probe.add, 1, b=2)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="callable or a CTask, not int"):
            executor.submit(3)  # type: ignore[call-overload]


@pytest.mark.parametrize("limit", [None, 1])
def test_arguments_that_do_not_fit_are_the_futures_failure(probe: Probe, limit: int | None) -> None:
    with gs.Executor(limit) as executor:
        futures: list[gs.TaskFuture[Any]] = [executor.submit(probe.add, object(), 2) for _ in range(2000)]
        futures.append(executor.submit(len, 1, 2))  # type: ignore[call-overload]
        assert executor.submit(probe.add, 1, 2).result(WAIT) == 3
        for future in futures:
            assert isinstance(future.exception(WAIT), TypeError)
            assert future.done() and not future.cancelled()
            assert future.cancel() is False


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"limit": 0}, ValueError),
        ({"limit": -1}, ValueError),
        ({"limit": "2"}, TypeError),
        ({"limit": 1.5}, TypeError),
        ({"name": 3}, TypeError),
    ],
)
def test_settings_are_checked(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="Executor"):
        gs.Executor(**arguments)


def test_its_tasks_are_named(probe: Probe) -> None:
    with gs.Executor(name="pool") as executor, gs.Executor() as nameless:
        for started, name in (
            (executor.submit(len, "a"), "pool/len"),
            (executor.submit(probe.add, 1, 2), "pool/add"),
            (executor.submit(int, "1", base=8), "pool/int"),
            (nameless.submit(len, "a"), "len"),
            (nameless.submit(int, "1", base=8), "int"),
        ):
            started.result(WAIT)
            assert started.task is not None and started.task.name == name
    assert repr(executor) == "<Executor 'pool' 0 running, 0 held back, shut down>"


def test_a_call_sees_the_callers_variables_and_scope(thread: bool) -> None:
    """Also one that the limit held back, which another thread starts."""
    gate: gs.Chan[None] = gs.Chan()
    with gs.Executor(1, thread=thread) as executor:
        first = executor.submit(gate.recv)
        token = variable.set("set")
        with gs.cancel_scope() as scope:
            held = executor.submit(variable.get)
            below = executor.submit(gs.sleep, 100)
        variable.reset(token)
        gate.send(None)
        assert held.result(WAIT) == "set"
        assert first.result(WAIT) is None
        scope.cancel("enough")
        with pytest.raises(concurrent.futures.CancelledError):
            below.result(WAIT)


def test_a_callable_that_blocks_its_thread_holds_up_no_other() -> None:
    """What was written for a ThreadPoolExecutor waits with locks of its own held."""
    lock = threading.Lock()
    with gs.Executor() as executor:

        def outer() -> int:
            with lock:
                return executor.submit(inner).result(WAIT)

        def inner() -> int:
            assert lock.locked()
            time.sleep(0.01)
            return 3

        def contend() -> bool:
            return lock.acquire(timeout=WAIT) and (lock.release() or True)  # type: ignore[func-returns-value]

        waiting = executor.submit(outer)
        contending = [executor.submit(contend) for _ in range(2)]
        assert waiting.result(WAIT) == 3
        assert all(future.result(WAIT) for future in contending)


def test_thousands_run_at_once_as_tasks() -> None:
    gate: gs.Chan[None] = gs.Chan()
    threads = threading.active_count()
    with gs.Executor(thread=False) as executor:
        futures = [executor.submit(gate.recv_ok) for _ in range(3000)]
        assert threading.active_count() <= threads + 20
        gate.close()
        assert {future.result(WAIT) for future in futures} == {(None, False)}


# ---- the limit ----


def test_as_many_run_at_once_as_the_limit_says(probe: Probe, thread: bool) -> None:
    lock, running, most = threading.Lock(), 0, 0
    gate: gs.Chan[None] = gs.Chan()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.recv_ok()
        gs.sleep(0.001)
        with lock:
            running -= 1

    with gs.Executor(3, thread=thread) as executor:
        for _ in range(60):
            executor.submit(work)
        assert eventually(lambda: running == 3)
        gate.close()
    assert most == 3


def test_without_a_limit_threads_are_as_many_as_a_thread_pool_has() -> None:
    gate: gs.Chan[None] = gs.Chan()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        most = pool._max_workers
    with gs.Executor() as executor:
        futures = [executor.submit(gate.recv_ok) for _ in range(most + 5)]
        assert sum(future.running() for future in futures) == most
        assert repr(executor) == f"<Executor {most} running, 5 held back>"
        gate.close()


def test_held_back_calls_run_in_the_order_they_came(thread: bool) -> None:
    order: list[int] = []
    with gs.Executor(1, thread=thread) as executor:
        for n in range(100):
            executor.submit(order.append, n)
    assert order == list(range(100))


def test_a_held_back_call_is_cancelled_at_once_and_never_runs() -> None:
    gate: gs.Chan[None] = gs.Chan()
    ran: list[int] = []
    called: list[object] = []
    with gs.Executor(1) as executor:
        first = executor.submit(gate.recv)
        held = [executor.submit(ran.append, n) for n in range(10)]
        assert not held[3].running() and not held[3].done() and held[3].task is None
        assert repr(held[3]) == "<TaskFuture held back>"
        with pytest.raises(TimeoutError):
            held[3].result(0.01)
        held[3].add_done_callback(called.append)
        waiter = concurrent.futures.ThreadPoolExecutor(1)
        waits = waiter.submit(concurrent.futures.wait, [held[3]], WAIT)
        assert held[3].cancel() is True
        assert called == [held[3]] and held[3].cancelled() and held[3].done()
        assert waits.result(WAIT).done == {held[3]}
        with pytest.raises(concurrent.futures.CancelledError):
            held[3].result()
        assert held[3].cancel() is True
        waiter.shutdown()
        gate.send(None)
        first.result(WAIT)
    assert ran == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_cancel_while_a_call_is_being_started_reaches_its_task(thread: bool) -> None:
    gate: gs.Chan[None] = gs.Chan()

    class Sleep:
        @property
        def __name__(self) -> str:  # read as the task is started
            asked.append(held.cancel())
            return "sleep"

        def __call__(self) -> None:
            gs.sleep(100)

    asked: list[bool] = []
    with gs.Executor(1, thread=thread) as executor:
        executor.submit(gate.recv)
        held = executor.submit(Sleep())
        gate.send(None)
        with pytest.raises(concurrent.futures.CancelledError):
            held.result(WAIT)
        assert asked == [True] and held.task is not None


def test_calls_from_everywhere_keep_to_the_limit_and_are_all_run(
    thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    counts, failures = [0] * 4, []
    with gs.Executor(2, thread=thread) as executor:

        def count(n: int) -> None:
            counts[n] += 1

        def submit(n: int) -> None:
            try:
                for i in range(150):
                    future = executor.submit(count, n)
                    if i % 3 == 0 and future.cancel():
                        try:
                            future.result(WAIT)
                        except concurrent.futures.CancelledError:
                            counts[n] += 1
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=submit, args=(n,)) for n in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        # Each gave its place back, once.
        gate: gs.Chan[None] = gs.Chan()
        after = [executor.submit(gate.recv_ok) for _ in range(3)]
        assert eventually(lambda: [future.running() for future in after] == [True, True, False])
        gate.close()
    assert failures == []
    assert counts == [150] * 4
    assert caplog.text == ""  # concurrent.futures logs what its callbacks raise


# ---- map ----


def test_map_gives_results_in_order(probe: Probe, thread: bool) -> None:
    with gs.Executor(2, thread=thread) as executor:
        assert list(executor.map(pow, range(20), range(20))) == [n**n for n in range(20)]
        assert list(executor.map(probe.add, range(5), [1] * 5, chunksize=3)) == [1, 2, 3, 4, 5]


def test_map_that_runs_out_of_time_stops_the_rest(probe: Probe, thread: bool) -> None:
    with gs.Executor(2, thread=thread) as executor:
        results = executor.map(gs.sleep, [0, 100, 100, 100], timeout=0.05)
        assert next(results) is None
        with pytest.raises(TimeoutError):
            next(results)
    # Leaving the block waited for them: they were stopped.


def test_map_stops_the_rest_at_a_failure_and_when_it_is_dropped(thread: bool) -> None:
    def work(seconds: float) -> None:
        if seconds == 0:
            raise ValueError("broken")
        gs.sleep(seconds)

    with gs.Executor(2, thread=thread) as executor:
        with pytest.raises(ValueError):
            list(executor.map(work, [0, 100, 100]))
        results = executor.map(work, [0.001, 100, 100])
        next(results)
        del results
        gc.collect()


# ---- stopping ----


def test_cancel_stops_a_running_call(probe: Probe, thread: bool) -> None:
    with gs.Executor(thread=thread) as executor:
        futures = [executor.submit(gs.sleep, 100), executor.submit(tasks.spin, 100.0)]
        for future in futures:
            assert eventually(future.running)
            assert future.cancel() is True
        for future in futures:
            with pytest.raises(concurrent.futures.CancelledError):
                future.result(WAIT)


def test_shutdown_waits_and_takes_no_more(thread: bool) -> None:
    executor = gs.Executor(2, thread=thread)
    done: list[int] = []

    def work(n: int) -> None:
        gs.sleep(0.01)
        done.append(n)

    for n in range(6):
        executor.submit(work, n)
    executor.shutdown()
    assert sorted(done) == list(range(6))
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(work, 7)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.map(work, [8])
    executor.shutdown()
    executor.shutdown(wait=False, cancel_futures=True)


def test_shutdown_without_waiting_lets_them_go_on(thread: bool) -> None:
    executor = gs.Executor(1, thread=thread)
    gate: gs.Chan[int] = gs.Chan()
    futures = [executor.submit(gate.recv) for _ in range(3)]
    executor.shutdown(wait=False)
    for n in range(3):
        gate.send(n)
    assert [future.result(WAIT) for future in futures] == [0, 1, 2]


def test_shutdown_with_cancel_futures_stops_running_calls_too(probe: Probe, thread: bool) -> None:
    executor = gs.Executor(2, thread=thread)
    futures = [executor.submit(gs.sleep, 100), executor.submit(tasks.spin, 100.0)]
    futures += [executor.submit(gs.sleep, 100) for _ in range(10)]
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    with pytest.raises(concurrent.futures.CancelledError) as caught:
        futures[1].result()
    assert str(caught.value.__cause__) == "its executor was shut down"


def test_a_block_left_by_an_error_waits_as_that_of_other_executors() -> None:
    done: list[int] = []

    def slow() -> None:
        gs.sleep(0.02)
        done.append(1)

    with pytest.raises(ValueError):
        with gs.Executor() as executor:
            executor.submit(slow)
            raise ValueError
    assert done == [1]


def test_a_block_that_is_to_stop_stops_its_calls_and_waits_for_them() -> None:
    ended: list[str] = []

    def work() -> None:
        try:
            gs.sleep(100)
        finally:
            with gs.shield():
                gs.sleep(0.01)
            ended.append("cleaned up")

    outside = gs.with_cancel(gs.background())[0]
    with gs.move_on_after(0.05) as scope:
        with gs.Executor() as executor:
            with outside:
                executor.submit(work)
            assert eventually(lambda: len(gs.all_tasks()) == 1)
            gs.sleep(100)
    assert scope.cancelled and ended == ["cleaned up"]
    with gs.move_on_after(0.05) as scope:  # in the wait at the block's end
        with gs.shield(), gs.Executor() as executor:
            executor.submit(gs.sleep, 0)
        executor = gs.Executor()
        with gs.shield():
            future = executor.submit(work)
            assert eventually(lambda: future.task is not None and future.task.waiting_on)
        executor.shutdown()
    assert scope.cancelled and future.cancelled() and len(ended) == 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_block_left_by_what_ends_the_program_stops_its_calls(stop: type[BaseException]) -> None:
    with pytest.raises(stop):
        with gs.Executor() as executor:
            future = executor.submit(gs.sleep, 100)
            raise stop
    assert future.cancelled()


def test_ctrl_c_at_the_end_of_the_block_stops_the_calls(run_python: Run) -> None:
    done = run_python(
        """
        import os, pygostop as gs, signal, threading
        from pygostop import tasks
        begun, ended = gs.Chan(3), []
        def work():
            try:
                begun.send(1)
                gs.sleep(100)
            finally:
                ended.append(1)
        try:
            with gs.Executor(4) as executor:
                futures = [executor.submit(work), executor.submit(tasks.spin, 100.0)]
                futures += [executor.submit(work) for _ in range(10)]
                for _ in range(3):
                    begun.recv()
                threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        except KeyboardInterrupt as error:
            print("interrupted", len(ended), futures[1].cancelled(), gs.all_tasks())
        """
    )
    assert (done.stdout, done.stderr) == ("interrupted 3 True []\n", "")


def test_shutdown_in_a_task_of_its_own_is_refused(thread: bool) -> None:
    with gs.Executor(thread=thread) as executor:
        with pytest.raises(RuntimeError, match="one of its own"):
            executor.submit(executor.shutdown).result(WAIT)


def test_a_task_that_shuts_one_down_parks() -> None:
    """Were its worker's thread blocked, the calls could not run on it."""

    def nest(depth: int) -> int:
        if depth == 0:
            gs.sleep(0.01)
            return 0
        with gs.Executor(thread=False) as executor:
            future = executor.submit(nest, depth - 1)
        return 1 + future.result()

    assert gs.go(nest, 100).result(WAIT) == 100


def test_a_call_that_comes_with_the_shutdown_is_refused_or_run() -> None:
    for _ in range(30):
        executor, refused = gs.Executor(thread=False), 0
        futures: list[gs.TaskFuture[int]] = []
        begin = threading.Barrier(2)

        def submit() -> None:
            nonlocal refused
            begin.wait(WAIT)
            for _ in range(50):
                try:
                    futures.append(executor.submit(int))
                except RuntimeError:
                    refused += 1

        submitter = threading.Thread(target=submit)
        submitter.start()
        begin.wait(WAIT)
        executor.shutdown()
        ended = [future.done() for future in list(futures)]
        submitter.join()
        assert all(ended)
        assert len(futures) + refused == 50
        concurrent.futures.wait(futures, WAIT)


def test_an_executor_that_is_dropped_goes_when_its_calls_have_ended() -> None:
    gate: gs.Chan[int] = gs.Chan()
    executor = gs.Executor(1)
    reference = weakref.ref(executor)
    futures = [executor.submit(gate.recv) for _ in range(3)]
    del executor
    for n in range(3):
        gate.send(n)
    assert [future.result(WAIT) for future in futures] == [0, 1, 2]
    del futures
    assert eventually(lambda: gc.collect() >= 0 and reference() is None)


def test_the_end_of_the_process_stops_its_calls_and_does_not_hang(run_python: Run) -> None:
    begun = time.monotonic()
    done = run_python(
        """
        import pygostop as gs, time
        from pygostop import tasks
        executors = gs.Executor(2), gs.Executor(2, thread=False), gs.Executor(2)
        for executor in executors[:2]:
            for _ in range(1000):
                executor.submit(gs.sleep, 100)
        for _ in range(1000):
            executors[2].submit(tasks.spin, 100.0)
        gs.sleep(0.1)  # so that none of them is about to start a thread, which Python refuses at its end
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - begun < WAIT


def test_the_end_of_the_process_names_a_call_that_does_not_stop(run_python: Run) -> None:
    done = run_python(
        """
        import pygostop as gs, time
        gs.configure(grace=0.2)
        executor = gs.Executor(1, name="pool")
        for _ in range(10):
            executor.submit(time.sleep, 100)
        gs.sleep(0.05)
        """
    )
    assert done.returncode == 0
    assert "1 task did not stop within 0.2 s: 'pool/sleep'" in done.stderr


# ---- asyncio ----


def test_it_is_an_executor_of_asyncio(probe: Probe) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with gs.Executor() as executor:
            assert await loop.run_in_executor(executor, pow, 2, 5) == 32
            assert await loop.run_in_executor(executor, probe.add, 1, 2) == 3
            with pytest.raises(ValueError):
                await loop.run_in_executor(executor, fails)
            results = [loop.run_in_executor(executor, pow, n, 2) for n in range(100)]
            assert await asyncio.gather(*results) == [n * n for n in range(100)]

    asyncio.run(main())


def test_a_cancelled_await_stops_the_running_call(probe: Probe, thread: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with gs.Executor(thread=thread) as executor:
            for call in (tasks.spin, gs.sleep):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await loop.run_in_executor(executor, call, 100.0)
            # Leaving the block waits for them: they were stopped.

    asyncio.run(main())


def test_a_call_through_a_context_of_its_own_stops_too(thread: bool) -> None:
    """asyncio.to_thread makes one, with the variables of the coroutine."""

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(gs.Executor(thread=thread))
        variable.set("set")
        assert await asyncio.to_thread(variable.get) == "set"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.to_thread(gs.sleep, 100)

    asyncio.run(main())  # it waits for its default executor
    context = contextvars.copy_context()
    with gs.Executor(thread=thread) as executor:
        executor.submit(context.run, variable.set, "left behind").result(WAIT)
        assert context[variable] == "left behind"
        assert executor.submit(context.run, gs.current_task).result(WAIT) is not None
        with pytest.raises(TypeError):
            executor.submit(context.run).result(WAIT)  # type: ignore[call-overload]


def test_it_is_a_default_executor_of_asyncio() -> None:
    executor = gs.Executor(name="default")
    seen: list[gs.Task | None] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        await asyncio.to_thread(lambda: seen.append(gs.current_task()))
        assert await loop.getaddrinfo("127.0.0.1", 80)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError):
            await asyncio.to_thread(int)

    asyncio.run(main())
    assert seen[0] is not None and seen[0].name.startswith("default/")
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(int)


def test_ctrl_c_in_asyncio_run_stops_what_runs_in_the_default_executor(run_python: Run) -> None:
    done = run_python(
        """
        import asyncio, os, pygostop as gs, signal, threading
        from pygostop import tasks
        async def main():
            asyncio.get_running_loop().set_default_executor(gs.Executor())
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
            await asyncio.gather(asyncio.to_thread(gs.sleep, 100), asyncio.to_thread(tasks.spin, 100.0))
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", gs.all_tasks())
        """
    )
    assert (done.stdout, done.stderr) == ("interrupted []\n", "")


# ---- faults ----


def test_it_says_fork_in_a_child(run_python: Run) -> None:
    done = run_python(
        """
        import os, pygostop as gs
        executor = gs.Executor()
        future = executor.submit(gs.sleep, 100)
        gs.sleep(0.2)  # a fork while threads allocate stops a sanitizer
        if (child := os.fork()) == 0:
            try:
                executor.submit(len, "abc")
            except RuntimeError as error:
                assert "fork" in str(error), error
                with gs.Executor() as own:
                    assert own.submit(len, "abc").result(10) == 3
                os._exit(0)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), future.cancel())
        """
    )
    assert (done.stdout, done.stderr) == ("0 True\n", "")


def test_a_callback_may_submit_and_cancel() -> None:
    with gs.Executor(1) as executor:
        results: list[int] = []
        futures = [executor.submit(gs.sleep, 100)]

        def again(future: concurrent.futures.Future[Any]) -> None:
            if len(futures) < 50:
                futures.append(executor.submit(gs.sleep, 100))
                futures[-1].add_done_callback(again)
                futures[-1].cancel()
                results.append(len(futures))

        futures[0].add_done_callback(again)
        futures[0].cancel()
        assert eventually(lambda: len(results) == 49)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_it_leaves_no_threads_behind() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/task"))

    with gs.Executor(4) as executor:
        list(executor.map(time.sleep, [0.001] * 20))
    before = count()
    for _ in range(5):
        with gs.Executor(4) as executor:
            list(executor.map(time.sleep, [0.001] * 20))
    assert eventually(lambda: count() <= before + 1)


def test_a_call_that_there_was_no_memory_to_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise MemoryError

    with gs.Executor() as executor:
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(gs.TaskFuture, "add_done_callback", fail)
            executor.submit(int)
        assert executor.submit(int).result(WAIT) == 0
