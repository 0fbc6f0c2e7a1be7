"""docs/guarantees.md: each promise names a test that is there, and its tables of calls are true."""

from __future__ import annotations

import array
import asyncio
import pathlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import calls
import pygostop as gs
from support import HERE, WAIT, eventually

GUIDE = (HERE.parent / "docs" / "guarantees.md").read_text()
SOURCE = HERE.parent / "csrc"


# ---- the promises ----


def tables() -> Iterator[tuple[str, list[str]]]:
    """The heading above each table, and its rows."""
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
        yield section.splitlines()[0], rows[2:]


PROMISES = [row for heading, rows in tables() if not heading.startswith("Calls") for row in rows]


def exists(name: str) -> bool:
    file, _, test = name.partition("::")
    if test:
        path = HERE / file
        return path.is_file() and re.search(rf"^(async )?def {test}\(", path.read_text(), re.M) is not None
    if name.endswith(".pml"):
        return (SOURCE / "core" / "models" / name).is_file()
    if name == "tests/histories":
        return (HERE / "histories" / "run").is_file()
    return name in c_tests()


def c_tests() -> set[str]:
    lists = [HERE / "c" / "test-list.h", *HERE.glob("*/CMakeLists.txt")]
    listed = "".join(path.read_text() for path in lists)
    return set(re.findall(r"(?:TEST_ENTRY\(|add_test\(NAME )(\w+)", listed))


def test_there_are_promises() -> None:
    assert len(PROMISES) > 70
    assert not exists("test_chan.py::test_that_nobody_wrote") and not exists("chan_that_nobody_wrote")


@pytest.mark.parametrize("row", PROMISES)
def test_each_promise_names_tests_that_are_there(row: str) -> None:
    promise, held_by = row.split(" | ")
    assert promise.strip().endswith(".")
    names = held_by.split()
    assert names and all(re.fullmatch(r"`[^`]+`", name) for name in names)
    assert [name for name in names if not exists(name.strip("`"))] == []


@pytest.mark.parametrize("guide", ["guarantees.md", "security.md"])
def test_the_tests_that_the_text_names_are_there(guide: str) -> None:
    text = (HERE.parent / "docs" / guide).read_text().replace("test_x.py::test_y", "")
    names = re.findall(r"`(\w+\.py::\w+)`", text)
    assert names and [name for name in names if not exists(name)] == []


def test_each_variable_of_the_environment_that_is_read_is_told() -> None:
    text = (HERE.parent / "docs" / "security.md").read_text()
    package = HERE.parent / "pygostop"
    python = "".join(path.read_text() for path in package.glob("*.py"))
    core = "".join(path.read_text() for path in SOURCE.rglob("*.c"))
    read = re.findall(r'environ(?:\.get\(|\[)"(\w+)"', python) + re.findall(r'getenv\("(\w+)"', core)
    assert read and [name for name in read if f"`{name}`" not in text] == []


# ---- the calls of the Python API ----


def table_of_calls(heading: str) -> dict[str, dict[str, str]]:
    rows = dict(tables())[heading]
    split = [[cell.strip() for cell in row.split(" | ")] for row in rows]
    assert len({call for call, *_ in split}) == len(split)
    return {
        call.strip("`"): {"waits": waits, "checkpoint": checkpoint, "besides": besides}
        for call, waits, checkpoint, besides in split
    }


PYTHON = table_of_calls("Calls of the Python API")
HEADER = table_of_calls("Calls of pygostop.h")
READY: dict[str, Callable[[], object]] = {
    **calls.READY,
    **{name: lambda make=make: asyncio.run(calls.awaited(make())) for name, make in calls.READY_ASYNC.items()},
}


@pytest.fixture
def tasks_end() -> Iterator[None]:
    yield
    for task in gs.all_tasks():
        task.cancel()


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)


def public_calls() -> Iterator[str]:
    told_elsewhere = {"Library", "Progress", "Selected", "SendChan", "RecvChan", "Watch"}
    made_by_others = {"Context", "Scope", "Task", "TaskFuture"}
    for name in gs.__all__:
        value = getattr(gs, name)
        if isinstance(value, type):
            if issubclass(value, BaseException) or name in told_elsewhere:
                continue
            if name not in made_by_others:
                yield name
            for method in vars(value):
                # Those of a future that an executor calls are refused: only the task ends it.
                if method.startswith(("_", "set_")):
                    continue
                if callable(getattr(value, method)):
                    yield f"{name}.{method}"
        elif callable(value):
            yield name


def test_each_public_call_has_a_row() -> None:
    assert [name for name in public_calls() if name not in PYTHON] == []


def test_each_row_has_its_calls() -> None:
    assert set(PYTHON) == set(READY)
    waiting = {name for name, row in PYTHON.items() if row["waits"] == "yes"}
    assert waiting == set(calls.WAITS) | set(calls.WAITS_ASYNC)


@pytest.mark.parametrize("name", READY)
@pytest.mark.usefixtures("tasks_end")
def test_each_call_can_be_made_from_everywhere(name: str) -> None:
    READY[name]()
    failed: list[BaseException] = []

    def on_a_thread() -> None:
        try:
            READY[name]()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=on_a_thread)
    thread.start()
    thread.join()
    for alone in (False, True):
        failure = gs.go(READY[name], thread=alone).exception(WAIT)
        failed += [failure] if failure else []
    if name == "notify_signals":
        assert [type(error) for error in failed] == [ValueError] * 3
    else:
        assert failed == []


@pytest.mark.parametrize("name", READY)
@pytest.mark.usefixtures("tasks_end")
def test_each_call_is_a_checkpoint_or_none(name: str) -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    with ctx:
        if PYTHON[name]["checkpoint"] == "yes":
            with pytest.raises(gs.Cancelled):
                READY[name]()
        else:
            READY[name]()


@pytest.mark.parametrize("name", calls.WAITS)
@pytest.mark.usefixtures("tasks_end")
def test_each_call_that_waits_is_ended_by_its_scope(name: str) -> None:
    with gs.move_on_after(0.05) as scope:
        calls.WAITS[name]()
    assert scope.cancelled

    def in_a_task() -> None:
        with gs.move_on_after(0.05) as scope:
            calls.WAITS[name]()
        assert scope.cancelled

    gs.go(in_a_task).result(WAIT)


@pytest.mark.parametrize("name", calls.WAITS_ASYNC)
@pytest.mark.usefixtures("tasks_end")
def test_each_await_is_ended_by_its_scope(name: str) -> None:
    async def main() -> None:
        with gs.move_on_after(0.05) as scope:
            await calls.WAITS_ASYNC[name]()
        assert scope.cancelled

    asyncio.run(main())


# ---- the calls of the header ----


@pytest.fixture(scope="module")
def make_a_call(tmp_path_factory: pytest.TempPathFactory) -> gs.CTask:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYGOSTOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        return gs.compile(HERE / "tasks" / "calls.c", flags=["-std=c99", "-D_POSIX_C_SOURCE=200809L"]).make_a_call


MADE = [name for name in HEADER if name != "gs_arg_ptr"]  # Python cannot pass one


def start(make_a_call: gs.CTask, name: str, when: str) -> gs.Task:
    items = array.array("q", [1, 2])
    others: tuple[Any, ...] = (7, 2.5, b"x", bytearray(8), items, gs.Chan(1, int), gs.background())
    return gs.go(make_a_call, name, when, *others)


def test_each_call_of_the_header_has_a_row() -> None:
    header = (pathlib.Path(gs.get_include()) / "pygostop.h").read_text()
    named = re.findall(r"static inline [\w *]*?\b(gs_[a-z_]+)\((?:const )?gs_call \*", header)
    assert set(named) == set(HEADER)


@pytest.mark.parametrize("name", MADE)
def test_each_call_of_the_header_is_a_checkpoint_or_none(make_a_call: gs.CTask, name: str) -> None:
    canceled = -1
    assert 0 <= start(make_a_call, name, "ready").result(WAIT) < 1000
    task = start(make_a_call, name, "stopped")
    assert eventually(lambda: task.state == "running")
    task.cancel()
    code = task.result(WAIT)
    if HEADER[name]["checkpoint"] == "yes":
        assert code == canceled
    else:
        assert 0 <= code < 1000


@pytest.mark.parametrize("name", [name for name in MADE if HEADER[name]["waits"] == "yes"])
def test_each_call_of_the_header_that_waits_is_ended_by_a_stop(make_a_call: gs.CTask, name: str) -> None:
    task = start(make_a_call, name, "waits")
    assert eventually(lambda: task.state == "parked")
    task.cancel()
    assert task.result(WAIT) == -1
