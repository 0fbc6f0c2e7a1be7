"""What Python keeps for each thread is each task's own: nothing of one shows in another, parked or ended."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import ctypes.util
import decimal
import functools
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import pygostop as gs
from support import WAIT


def side_by_side(*bodies: Callable[[], Any]) -> list[Any]:
    """Runs them as tasks of one worker."""

    def start() -> list[Any]:
        tasks = [gs.go(body) for body in bodies]
        return [task.result() for task in tasks]

    return gs.go(start).result(WAIT)  # type: ignore[no-any-return]


def test_a_fresh_task_has_no_frame_of_another_above_it() -> None:
    def frames() -> list[str]:
        return [entry.name for entry in traceback.extract_stack()]

    def deep(n: int) -> list[str]:
        return deep(n - 1) if n else gs.go(frames).result()  # type: ignore[no-any-return]

    assert gs.go(deep, 50).result(WAIT) == ["frames"]


def test_a_fresh_task_handles_no_exception() -> None:
    def look() -> Any:
        return sys.exc_info()[1]

    def handling() -> Any:
        try:
            raise ValueError("mine")
        except ValueError:
            inner = gs.go(look).result()
            return inner, sys.exc_info()[1]

    inner, outer = gs.go(handling).result(WAIT)
    assert inner is None
    assert isinstance(outer, ValueError)


def test_the_exception_being_handled_is_the_tasks_own_across_parks() -> None:
    def handle(n: int) -> list[str]:
        seen = []
        try:
            raise ValueError(n)
        except ValueError:
            for _ in range(20):
                gs.checkpoint()
                seen.append(str(sys.exc_info()[1]))
            try:
                raise KeyError(n)
            except KeyError as error:
                gs.checkpoint()
                seen.append(str(error.__context__))
        gs.checkpoint()
        assert sys.exc_info()[1] is None
        return seen

    results = side_by_side(*(functools.partial(handle, n) for n in range(10)))
    assert results == [[str(n)] * 21 for n in range(10)]


def test_a_fresh_task_has_the_whole_recursion_limit() -> None:
    def depth(n: int = 0) -> int:
        try:
            return depth(n + 1)
        except RecursionError:
            return n

    def at_depth(n: int) -> int:
        return at_depth(n - 1) if n else gs.go(depth).result()  # type: ignore[no-any-return]

    shallow = gs.go(depth).result(WAIT)
    assert shallow > sys.getrecursionlimit() - 50
    assert abs(gs.go(at_depth, 300).result(WAIT) - shallow) < 10


def test_the_recursion_limit_may_change_while_tasks_are_parked() -> None:
    gate: gs.Chan[None] = gs.Chan()

    def depth(n: int = 0) -> int:
        try:
            return depth(n + 1)
        except RecursionError:
            return n

    def wait() -> int:
        gate.recv()
        return depth()

    task = gs.go(wait)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 100)
    try:
        gate.send(None)
        assert before < task.result(WAIT) <= before + 100
    finally:
        sys.setrecursionlimit(before)


def test_thread_locals_are_the_tasks_own() -> None:
    local = threading.local()

    def use(n: int) -> list[int]:
        assert not hasattr(local, "n")
        local.n = n
        seen = []
        for _ in range(10):
            gs.checkpoint()
            seen.append(local.n)
        return seen

    assert side_by_side(*(functools.partial(use, n) for n in range(10))) == [[n] * 10 for n in range(10)]


def test_a_later_task_finds_no_thread_locals_of_an_ended_one() -> None:
    local = threading.local()
    ended = []

    class Value:
        def __del__(self) -> None:
            ended.append(1)

    def use() -> bool:
        clean = not hasattr(local, "value")
        local.value = Value()
        return clean

    def one_after_another() -> list[bool]:
        return [gs.go(use).result() for _ in range(10)]

    assert gs.go(one_after_another).result(WAIT) == [True] * 10
    assert len(ended) == 10


def test_context_variables_are_the_tasks_own_across_parks() -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var")

    def use(n: int) -> list[int]:
        var.set(n)
        seen = []
        for _ in range(20):
            gs.checkpoint()
            seen.append(var.get())
        return seen

    assert side_by_side(*(functools.partial(use, n) for n in range(10))) == [[n] * 20 for n in range(10)]


def test_the_decimal_context_is_the_tasks_own() -> None:
    def divide(digits: int) -> str:
        with decimal.localcontext() as context:
            context.prec = digits
            gs.checkpoint()
            return str(decimal.Decimal(1) / 3)

    assert side_by_side(lambda: divide(3), lambda: divide(5)) == ["0.333", "0.33333"]


def test_generators_keep_their_place_across_parks() -> None:
    def numbers(n: int) -> Any:
        for k in range(20):
            try:
                raise ValueError
            except ValueError:
                gs.checkpoint()
                yield n + k

    def add(n: int) -> int:
        return sum(numbers(n))

    assert side_by_side(*(functools.partial(add, n) for n in range(5))) == [20 * n + 190 for n in range(5)]


def test_frames_outgrow_the_first_piece_of_the_data_stack() -> None:
    def deep(n: int) -> int:
        a, b, c, d, e, f, g, h = range(n, n + 8)
        if n == 0:
            gs.checkpoint()
            return 0
        inner = deep(n - 1)
        gs.checkpoint()
        return inner + a + b + c + d + e + f + g + h - 8 * n - 27

    results = side_by_side(*(functools.partial(deep, 600) for _ in range(4)))
    assert results == [600] * 4


# ---- tracing ----


def test_threading_settrace_and_setprofile_see_into_tasks() -> None:
    traced: list[str] = []
    profiled: list[str] = []

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "call":
            traced.append(frame.f_code.co_name)
        return None

    def profile(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "call":
            profiled.append(frame.f_code.co_name)

    def body_to_be_seen() -> None:
        gs.checkpoint()

    before = threading.gettrace(), threading.getprofile()
    for hooks in ((trace, None), (None, profile), (trace, profile)):
        gs.go(body_to_be_seen).result(WAIT)  # nothing is to be remembered of it
        assert not traced and not profiled
        threading.settrace(hooks[0])  # type: ignore[arg-type]
        threading.setprofile(hooks[1])
        try:
            gs.go(body_to_be_seen).result(WAIT)
        finally:
            threading.settrace(before[0])  # type: ignore[arg-type]
            threading.setprofile(before[1])
        assert ("body_to_be_seen" in traced) == (hooks[0] is not None)
        assert ("body_to_be_seen" in profiled) == (hooks[1] is not None)
        traced.clear()
        profiled.clear()


def test_a_trace_function_is_the_tasks_own_and_ends_with_it() -> None:
    def traced() -> list[str]:
        seen: list[str] = []

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            seen.append(frame.f_code.co_name)
            return None

        def mine() -> None:
            pass

        sys.settrace(trace)
        gs.checkpoint()
        mine()
        return seen

    def untraced() -> Any:
        before = sys.gettrace()
        for _ in range(5):
            gs.checkpoint()
        return before, sys.gettrace()

    def one_after_another() -> Any:
        first = gs.go(traced), gs.go(untraced)
        results = [task.result() for task in first]
        results.append(gs.go(untraced).result())
        return results

    seen, beside, after = gs.go(one_after_another).result(WAIT)
    assert "mine" in seen
    assert "untraced" not in seen
    assert beside == (None, None) == after


def test_asynchronous_generator_hooks_are_the_tasks_own() -> None:
    def set_hooks() -> Any:
        sys.set_asyncgen_hooks(firstiter=print)
        gs.checkpoint()
        return sys.get_asyncgen_hooks().firstiter

    def look() -> Any:
        gs.checkpoint()
        return sys.get_asyncgen_hooks().firstiter

    assert side_by_side(set_hooks, look, look) == [print, None, None]


def test_asyncio_runs_inside_a_task() -> None:
    async def main(n: int) -> int:
        await asyncio.sleep(0.01)
        return n

    def run(n: int) -> int:
        return asyncio.run(main(n))

    assert side_by_side(*(functools.partial(run, n) for n in range(3))) == [0, 1, 2]


# ---- callbacks from C ----


def test_a_callback_of_ctypes_runs_and_parks_in_a_task() -> None:
    libc = ctypes.CDLL(None)
    compare_type = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )

    def sort(values: list[int]) -> list[int]:
        def compare(a: Any, b: Any) -> int:
            gs.checkpoint()
            return int(a[0]) - int(b[0])

        array = (ctypes.c_int * len(values))(*values)
        libc.qsort(array, len(values), ctypes.sizeof(ctypes.c_int), compare_type(compare))
        return list(array)

    results = side_by_side(*(functools.partial(sort, [5, 3, n, 1, 4]) for n in range(10)))
    assert results == [sorted([5, 3, n, 1, 4]) for n in range(10)]


def test_faulthandler_shows_the_running_tasks_frames(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import faulthandler, sys
        import pygostop as gs

        def frame_of_a_task():
            gs.checkpoint()
            faulthandler.dump_traceback(sys.stderr, all_threads=True)

        gs.go(frame_of_a_task).result(10)
    """)
    assert done.returncode == 0, done.stderr
    assert "in frame_of_a_task" in done.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
def test_monitoring_sees_into_tasks() -> None:
    seen: list[str] = []
    monitoring = sys.monitoring
    tool = 4

    def watched() -> None:
        gs.checkpoint()

    monitoring.use_tool_id(tool, "test")
    monitoring.register_callback(tool, monitoring.events.PY_START, lambda code, _: seen.append(code.co_name))
    monitoring.set_events(tool, monitoring.events.PY_START)
    try:
        gs.go(watched).result(WAIT)
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.PY_START, None)
        monitoring.free_tool_id(tool)
    assert "watched" in seen


def test_each_task_has_a_running_loop_of_its_own() -> None:
    """Two tasks of one worker, each in asyncio.run, whose coroutines park the task."""
    import asyncio

    inside: gs.Chan[None] = gs.Chan()

    async def main(n: int) -> tuple[int, bool]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        for _ in range(10):
            gs.checkpoint()  # the other one goes on, in its loop
            await asyncio.sleep(0)
        if n == 0:
            inside.send(None)  # and one begins while this one is inside
        return n, (loop, task) == (asyncio.get_running_loop(), asyncio.current_task())

    def run(n: int) -> tuple[int, bool]:
        return asyncio.run(main(n))

    first, second = gs.go(run, 0), gs.go(run, 1)
    assert second.result(WAIT) == (1, True)
    third = gs.go(run, 2)
    assert third.result(WAIT) == (2, True)
    inside.recv(WAIT)
    assert first.result(WAIT) == (0, True)

    def has_none() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        return False

    assert gs.go(has_none).result(WAIT)
