"""What nearly finds, and that it stops."""

import asyncio
import gc
import inspect
import mmap
import pathlib
import random
import time
from concurrent.futures import CancelledError

import pygostop as gs
import pytest

import nearly

ENDLESS = bytes(1 << 20)  # a distance of two of these takes an hour


@pytest.fixture(autouse=True)
def nothing_left_running():
    yield
    end = time.monotonic() + 20
    while gs.all_tasks() and time.monotonic() < end:
        time.sleep(0.01)
    assert gs.all_tasks() == []


def plain_distance(a: bytes, b: bytes) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left = [i]
        for j, y in enumerate(b, 1):
            left.append(min(row[j - 1] + (x != y), row[j] + 1, left[-1] + 1))
        row = left
    return row[-1]


@pytest.mark.parametrize("a, b, steps", [
    (b"", b"", 0), (b"", b"abc", 3), (b"abc", b"", 3), (b"kitten", b"sitting", 3), (b"same", b"same", 0),
])
def test_distance(a: bytes, b: bytes, steps: int) -> None:
    assert nearly.distance(a, b) == steps


def test_distance_is_that_of_a_plain_program() -> None:
    chance = random.Random(1)
    for _ in range(200):
        a, b = (bytes(chance.choices(b"ab", k=chance.randrange(12))) for _ in range(2))
        assert nearly.distance(a, b) == plain_distance(a, b), (a, b)


def test_find_gives_ends_and_errors() -> None:
    assert list(nearly.find(b"needle", b"a needle, a nedle", 0)) == [nearly.Match(8, 0)]
    assert nearly.Match(17, 1) in list(nearly.find(b"needle", b"a needle, a nedle", 1))
    assert list(nearly.find(b"needle", b"")) == []


def test_find_in_any_buffer(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hay"
    path.write_bytes(b"hay " * 1000 + b"needle")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        assert [match.end for match in nearly.find(b"needle", text)] == [4006]
    assert [match.end for match in nearly.find(b"b", bytearray(b"abc"))] == [2]


def test_find_of_more_than_it_looks_ahead() -> None:
    search = nearly.find(b"a", b"a" * 1000)
    assert [match.end for match in search] == list(range(1, 1001))
    assert search.progress == 1


def test_find_in_asyncio() -> None:
    async def ends() -> list[int]:
        return [match.end async for match in nearly.find(b"a", b"a" * 1000)]

    assert asyncio.run(ends()) == list(range(1, 1001))


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match=r"task 'distance': argument 1 \('b'\) must be a bytes-like object"):
        nearly.distance(b"", "text")
    with pytest.raises(TypeError, match=r"task 'find': argument 2 \('errors'\) must be an int"):
        nearly.find(b"", b"", 1.5)
    with pytest.raises(gs.TaskFailed, match="errors must be 0 or more, not -1"):
        list(nearly.find(b"", b"", -1))


def test_distance_is_stopped_by_a_timeout() -> None:
    with pytest.raises(gs.DeadlineExceeded), gs.timeout(0.1):
        nearly.distance(ENDLESS, ENDLESS)


def test_search_is_stopped_by_leaving_its_block() -> None:
    with nearly.find(ENDLESS, ENDLESS) as search:
        assert search.progress < 1
    with pytest.raises(CancelledError):
        next(search)


def test_search_that_waits_for_its_reader_is_stopped() -> None:
    with nearly.find(b"a", b"a" * 1000) as search:
        assert next(search) == (1, 0)


def test_search_that_nobody_wants_is_stopped() -> None:
    nearly.find(ENDLESS, ENDLESS)
    gc.collect()  # and no task is left


def test_search_of_a_cancelled_scope_ends() -> None:
    with gs.cancel_scope() as scope:
        scope.cancel()
        search = nearly.find(b"a", b"aaa")  # it may never begin
    with pytest.raises(CancelledError):
        next(search)


def test_calls_are_typed_and_described() -> None:
    for call in (nearly.distance, nearly.find):
        assert call.__doc__
        assert "" not in inspect.get_annotations(call).values()
    assert (pathlib.Path(nearly.__file__).parent / "py.typed").is_file()
