"""Starting a task: its name, memory that runs out, and what no argument's conversion may lose."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, Probe

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", ["a\0b", "\0", "end\0"])
def test_name_with_a_nul_is_refused(probe: Probe, name: str) -> None:
    for fn in (probe.nothing, lambda: None):
        with pytest.raises(ValueError, match="NUL"):
            gs.go(fn, name=name)
    with pytest.raises(ValueError, match="NUL"):
        gs.CTask(probe.nothing.address, name=name)
    with pytest.raises(TypeError, match="str"):
        gs.CTask(probe.nothing.address, name=b"bytes")  # type: ignore[arg-type]


def without_memory(prepare: Callable[[], Callable[[], object]]) -> Iterator[BaseException | None]:
    """Makes the call that was prepared, with each of its first allocations failing in turn: what it raised.
    A call of C, as one of Python may need memory for its frame."""
    testcapi = pytest.importorskip("_testcapi")
    for n in range(30):
        raised: BaseException | None = None
        call = prepare()
        testcapi.set_nomemory(n, n + 1)
        try:
            call()
        except BaseException as error:
            raised = error
        finally:
            testcapi.remove_mem_hooks()
        yield raised


def test_memory_that_runs_out_leaves_no_scope_open() -> None:
    scopes: list[gs.Scope] = []

    def leaving() -> Callable[[], object]:
        return functools.partial(scopes[-1].__exit__, None, None, None)

    def enter() -> None:
        scopes.append(gs.cancel_scope())
        scopes[-1].__enter__()

    with gs.cancel_scope() as outer:
        enter()
        for raised in without_memory(leaving):
            assert raised is None
            scopes[-1].cancel()
            gs.checkpoint()  # it is not in force any more
            enter()
        leaving()()
    assert not outer.cancelled


def test_memory_that_runs_out_leaves_no_task_of_a_group_behind() -> None:
    groups: list[gs.Group] = []
    failure = ValueError("the body's")

    def enter() -> gs.Task:
        groups.append(gs.Group())
        groups[-1].__enter__()
        return groups[-1].go(gs.tasks.spin, 1e9)

    def leaving() -> Callable[[], object]:
        return functools.partial(groups[-1].__exit__, ValueError, failure, None)

    task = enter()
    for raised in without_memory(leaving):
        assert isinstance(raised, (ExceptionGroup, MemoryError))
        assert task.done()
        gs.checkpoint()
        task = enter()
    with pytest.raises(ExceptionGroup):
        leaving()()


@pytest.mark.parametrize("kind", ["c", "python"])
def test_memory_that_runs_out_starts_nothing(probe: Probe, kind: str) -> None:
    testcapi = pytest.importorskip("_testcapi")
    ran = gs.Chan(1000, int)
    fn: Any = probe.send_one if kind == "c" else lambda ch, n: ch.send_nowait(n)
    gs.go(fn, ran, 0).result(WAIT)
    held = [gs.go(int) for _ in range(2000)]  # so that no handle's memory is there to be used again
    started, refused = [], 0
    for n in range(60):
        task = None
        testcapi.set_nomemory(n, n + 1)
        try:
            task = gs.go(fn, ran, n)
        except MemoryError:
            refused += 1
        finally:
            testcapi.remove_mem_hooks()
        if task is not None:
            task.wait(WAIT)
            started.append(task)
    assert refused > 0
    assert len(ran) == 1 + sum(task.exception() is None for task in started)
    assert [task.result(WAIT) for task in held] == [0] * 2000


def test_another_interpreter_of_the_process_is_refused(run_python: Run) -> None:
    done = run_python("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import pygostop as gs
        try:
            other = interpreters.create("legacy")  # else the interpreter itself refuses, from 3.12 on
        except (TypeError, ValueError):
            other = interpreters.create()
        code = [
            "try:",
            "    import pygostop._core",
            "except ImportError as error:",
            "    print('refused', flush=True)",
        ]
        interpreters.run_string(other, chr(10).join(code))
        interpreters.destroy(other)
        print(gs.go(len, "four").result(20))
    """)
    assert (done.stdout, done.stderr) == ("refused\n4\n", "")


def test_complex_number_is_no_float(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    types: list[Any] = [float, "d", "<fd", "e", numpy.float32, numpy.float64, numpy.float16, numpy.int64, bool]
    for type_ in [*types, numpy.bool_]:
        ch = gs.Chan(4, type_)
        for value in (1 + 2j, numpy.complex128(1 + 2j), numpy.complex64(1)):
            with pytest.raises(TypeError):
                ch.send((value, value) if type_ == "<fd" else (value,) if isinstance(type_, str) else value)
            with pytest.raises(TypeError):
                ch.send_many(numpy.array([value]))
            assert len(ch) == 0
    for value in (1 + 2j, numpy.complex128(1 + 2j), numpy.complex64(1)):
        with pytest.raises(TypeError, match="argument 0 must be an int.* float"):
            gs.go(probe.half, value)
    ch = gs.Chan(4, numpy.complex64)
    ch.send(1 + 2j)
    assert ch.recv() == 1 + 2j
    assert gs.go(probe.half, numpy.float32(3)).result(WAIT) == 1.5
