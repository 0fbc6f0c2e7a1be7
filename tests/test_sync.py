"""Lock, Semaphore and WaitGroup: waits that park a task, block a thread, or suspend a coroutine."""

from __future__ import annotations

import asyncio
import gc
import pickle
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, eventually

MAKERS = [gs.Lock, lambda **kwargs: gs.Semaphore(1, **kwargs)]
both = pytest.mark.parametrize("make", MAKERS, ids=["Lock", "Semaphore"])
Make = Callable[..., Any]


def parked(n: int) -> bool:
    return eventually(lambda: sum(task.state == "parked" for task in gs.all_tasks()) == n)


# ---- Lock, Semaphore ----


@both
def test_one_at_a_time_is_inside(make: Make) -> None:
    lock, inside, most = make(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with lock:
                inside += 1
                most = max(most, inside)
                gs.checkpoint()
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    with gs.Group() as group:
        for _ in range(20):
            group.go(work)
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and not lock.locked()


def test_a_semaphore_lets_as_many_in_as_it_has_places() -> None:
    semaphore, inside, most = gs.Semaphore(3), 0, 0

    def work() -> None:
        nonlocal inside, most
        with semaphore:
            inside += 1
            most = max(most, inside)
            gs.sleep(0.001)
            inside -= 1

    with gs.Group() as group:
        for _ in range(30):
            group.go(work)
    assert most == 3 and semaphore.value == 3


@both
def test_who_waits_longest_is_next(make: Make) -> None:
    lock, order = make(), []

    def work(n: int) -> None:
        with lock:
            order.append(n)

    with gs.Group() as group:
        with lock:
            for n in range(10):
                group.go(work, n)
                parked(n + 1)
        assert lock.locked()  # handed on, not freed: nobody comes between
    assert order == list(range(10))


@both
def test_a_holder_that_gives_back_and_takes_again_goes_behind(make: Make) -> None:
    lock, order = make(), []

    def work(name: str) -> None:
        for _ in range(3):
            with lock:
                order.append(name)
                gs.sleep(0.005)

    with gs.Group() as group:
        group.go(work, "a")
        group.go(work, "b")
    assert order in (list("ababab"), list("bababa"))


@both
def test_acquire_with_a_timeout_takes_nothing_when_it_runs_out(make: Make) -> None:
    lock = make()
    with lock:
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match="acquire: the time ran out"):
                lock.acquire(timeout)
    lock.acquire(0)
    lock.release()


@both
def test_acquire_nowait_raises_would_block(make: Make) -> None:
    lock = make()
    lock.acquire_nowait()
    with pytest.raises(gs.WouldBlock, match="acquire_nowait"):
        lock.acquire_nowait()
    lock.release()


@both
def test_acquire_is_a_checkpoint_even_where_it_is_free(make: Make) -> None:
    lock = make()
    with gs.cancel_scope() as scope:
        scope.cancel()
        with pytest.raises(gs.Cancelled):
            lock.acquire()
        lock.acquire_nowait()  # no checkpoint
        lock.release()  # nor this
    assert not lock.locked()


@both
def test_a_cancelled_wait_takes_nothing(make: Make) -> None:
    lock = make()
    with lock:
        task = gs.go(lock.acquire)
        parked(1)
        task.cancel()
        assert task.wait(WAIT) and task.cancelled()
    assert not lock.locked()


@both
def test_release_without_acquire_is_refused(make: Make) -> None:
    lock = make()
    with pytest.raises(RuntimeError, match="was not acquired"):
        lock.release()
    with lock:
        pass
    with pytest.raises(RuntimeError, match="was not acquired"):
        lock.release()


@both
def test_another_task_may_release(make: Make) -> None:
    lock = make()
    lock.acquire()
    gs.go(lock.release).result(WAIT)
    assert not lock.locked()


@both
def test_the_block_gives_back_however_it_ends(make: Make) -> None:
    lock = make()
    with pytest.raises(KeyError), lock:
        raise KeyError
    with gs.move_on_after(0.01), lock:
        gs.sleep(None)
    assert not lock.locked()


@both
def test_a_random_storm_of_cancels_leaves_it_free(make: Make) -> None:
    lock, rng, inside, most = make(), random.Random(3), 0, 0

    def work(wait: float) -> None:
        nonlocal inside, most
        for _ in range(20):
            try:
                with gs.move_on_after(wait), lock:
                    inside += 1
                    most = max(most, inside)
                    try:
                        gs.sleep(0.0001)
                    finally:
                        inside -= 1
            except gs.Cancelled:
                raise

    with gs.Group() as group:
        tasks = [group.go(work, rng.choice([0.0001, 0.001, 0.01])) for _ in range(50)]
        for task in rng.sample(tasks, 20):
            gs.sleep(0.0005)
            task.cancel()
    assert (most, inside, lock.locked()) == (1, 0, False)


@both
def test_asyncio_waits_without_holding_up_the_loop(make: Make) -> None:
    async def main() -> list[int]:
        lock, order = make(), []

        async def work(n: int) -> None:
            async with lock as got:
                assert got is lock
                order.append(n)
                await asyncio.sleep(0.001)

        lock.acquire()
        works = [asyncio.ensure_future(work(n)) for n in range(5)]
        await asyncio.sleep(0.01)
        assert order == []
        lock.release()
        await asyncio.gather(*works)
        assert not lock.locked()
        return order

    assert asyncio.run(main()) == list(range(5))


@both
def test_an_await_cancelled_after_the_hand_over_gives_the_place_back(make: Make) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()
        waiter = asyncio.ensure_future(lock.acquire_async())
        await asyncio.sleep(0.01)
        lock.release()  # handed to the waiter, which has not run yet
        assert lock.locked()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not lock.locked()

    asyncio.run(main())


@both
def test_ctrl_c_while_waiting_takes_nothing(run_python: Callable[..., Any], make: Make) -> None:
    name = "Lock()" if make is gs.Lock else "Semaphore(1)"
    done = run_python(f"""
        import os, signal, threading, time
        import pygostop as gs
        lock = gs.{name}
        lock.acquire()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            with lock:
                print("inside")
        except KeyboardInterrupt:
            print("interrupted")
        lock.release()
        print(lock.locked())
    """)
    assert (done.stdout, done.stderr) == ("interrupted\nFalse\n", "")


@pytest.mark.parametrize("bad, error", [(0, ValueError), (-1, ValueError), ("3", TypeError), (1.5, TypeError)])
def test_a_semaphore_of_no_places_is_refused(bad: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="Semaphore.. value"):
        gs.Semaphore(bad)  # type: ignore[arg-type]


def test_names_and_reprs() -> None:
    lock, semaphore = gs.Lock(name="db"), gs.Semaphore(3, name="pool")
    assert (lock.name, semaphore.name, gs.Lock().name) == ("db", "pool", None)
    assert repr(lock) == "<Lock 'db' unlocked>"
    with lock, semaphore:
        assert repr(lock) == "<Lock 'db' locked>"
        assert repr(semaphore) == "<Semaphore 'pool', 2 of 3 free>"
    with pytest.raises(TypeError, match="name must be a str"):
        gs.Lock(name=3)  # type: ignore[arg-type]


# ---- WaitGroup ----


def test_wait_waits_until_all_are_done() -> None:
    group, ended = gs.WaitGroup(), []
    for n in range(10):
        group.go(lambda n=n: (gs.sleep(0.001 * n), ended.append(n)))
    group.wait()
    assert sorted(ended) == list(range(10)) and group.count == 0


def test_the_count_is_taken_down_however_a_task_ends() -> None:
    def fail() -> None:
        raise ValueError

    group = gs.WaitGroup()
    tasks = [group.go(fail), group.go(gs.sleep, None), group.go(gs.tasks.spin, 60.0), group.go(int)]
    for task in tasks[1:3]:
        task.cancel()
    group.wait(WAIT)
    assert isinstance(tasks[0].exception(), ValueError)


def test_all_who_wait_are_released_at_once() -> None:
    group = gs.WaitGroup()
    group.add(2)
    with gs.Group() as waiting:
        tasks = [waiting.go(group.wait) for _ in range(20)]
        parked(20)
        group.done()
        assert not any(task.done() for task in tasks)
        group.done()


def test_it_is_used_again_and_again() -> None:
    group = gs.WaitGroup()
    for _ in range(100):
        group.add(3)
        with pytest.raises(TimeoutError):
            group.wait(0)
        group.add(-3)
        group.wait(0)


def test_a_count_below_zero_is_refused_and_changes_nothing() -> None:
    group = gs.WaitGroup()
    with pytest.raises(ValueError, match="cannot be changed by -1"):
        group.done()
    group.add(2)
    with pytest.raises(ValueError, match="cannot be changed by -3"):
        group.add(-3)
    assert group.count == 2 and repr(group) == "<WaitGroup of 2>"
    group.add(0)
    for bad in (1.5, "1", None):
        with pytest.raises(TypeError, match="add.. n must be an int"):
            group.add(bad)  # type: ignore[arg-type]
    for huge in (2**62, 2**63 - 1):
        with pytest.raises(ValueError):
            group.add(-huge)
    with pytest.raises(OverflowError):
        group.add(2**80)
    assert group.count == 2


def test_wait_is_a_checkpoint_and_can_be_stopped() -> None:
    group = gs.WaitGroup()
    with gs.cancel_scope() as scope:
        scope.cancel()
        with pytest.raises(gs.Cancelled):
            group.wait()
    group.add()
    with pytest.raises(TimeoutError, match="wait: the time ran out"):
        group.wait(0.01)
    with gs.move_on_after(0.01) as scope:
        group.wait()
    assert scope.cancelled
    group.done()


def test_a_go_that_failed_counts_nothing() -> None:
    group = gs.WaitGroup()
    with pytest.raises(TypeError, match="needs a callable"):
        group.go(3)  # type: ignore[arg-type]
    assert group.count == 0


def test_coroutines_wait_too() -> None:
    async def main() -> None:
        group = gs.WaitGroup()
        await group.wait_async()
        group.go(gs.sleep, 0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await group.wait_async()
        await asyncio.gather(*(group.wait_async() for _ in range(5)))
        assert group.count == 0

    asyncio.run(main())


# ---- all three ----

ALL = [gs.Lock, lambda: gs.Semaphore(2), gs.WaitGroup]
each = pytest.mark.parametrize("make", ALL, ids=["Lock", "Semaphore", "WaitGroup"])


@each
def test_it_cannot_be_pickled(make: Make) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(make())


@each
def test_it_is_freed(make: Make) -> None:
    thing = make()
    ref = weakref.ref(thing)
    del thing
    gc.collect()
    assert ref() is None


def test_in_a_forked_child_they_are_refused(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import os
        import pygostop as gs
        calls = [gs.Lock().acquire, gs.Semaphore(1).release, gs.WaitGroup().wait]
        gs.go(int).result()
        pid = os.fork()
        if pid == 0:
            code = 0
            for call in calls:
                try:
                    call()
                    code = 1
                except RuntimeError as error:
                    code |= 2 * ("fork" not in str(error))
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert (done.stdout, done.stderr) == ("0\n", "")
