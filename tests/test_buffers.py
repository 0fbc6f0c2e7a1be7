"""Buffers as arguments of C tasks: shared, never copied; held as long as the task runs; checked."""

from __future__ import annotations

import array
import ctypes
import gc
import mmap
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, Probe, eventually


def test_buffer_is_where_it_was_however_large(probe: Probe) -> None:
    small = bytearray(1000)
    assert probe.address_of(small) == ctypes.addressof(ctypes.c_char.from_buffer(small))
    large = mmap.mmap(-1, 1 << 32)  # more than there is memory to copy, perhaps
    exported = ctypes.c_char.from_buffer(large)
    assert probe.address_of(large) == ctypes.addressof(exported)
    del exported
    gc.collect()
    assert eventually(lambda: closes(large))
    text = b"some bytes"
    assert ctypes.string_at(probe.address_of(text), len(text)) == text


def closes(mapped: mmap.mmap) -> bool:
    try:
        mapped.close()
    except BufferError:
        return False
    return True


def test_numpy_array_is_shared_both_ways_while_the_task_runs(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    data = numpy.zeros((3, 4), numpy.uint8)
    told, done = gs.Chan(0, int), gs.Chan(0, int)
    task = gs.go(probe.bump_when_told, data, told, done)
    for n in range(1, 5):
        data[1, 2] += 10
        told.send(0)
        done.recv()
        assert data[0, 0] == n and data[1, 2] == 11 * n
    told.close()
    task.result(WAIT)


@pytest.mark.parametrize(
    "make, change",
    [
        (lambda: bytearray(100), lambda data: data.append(1)),
        (lambda: bytearray(100), lambda data: data.clear()),
        (lambda: array.array("B", [0] * 100), lambda data: data.append(1)),
        (lambda: mmap.mmap(-1, 100), lambda data: data.close()),
    ],
    ids=["bytearray grows", "bytearray is cleared", "array grows", "mmap is closed"],
)
def test_buffer_is_held_as_long_as_the_task_runs(probe: Probe, make: Any, change: Any) -> None:
    data = make()
    told, done = gs.Chan(0, int), gs.Chan(0, int)
    task = gs.go(probe.bump_when_told, data, told, done)
    for _ in range(2):
        with pytest.raises(BufferError):
            change(data)
        told.send(0)
        done.recv()
    assert bytes(data[:3]) == b"\2\2\2"
    task.cancel()
    task.wait(WAIT)
    change(data)  # free by the time that wait() has returned


def test_buffer_outlives_its_last_name(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    told, done = gs.Chan(0, int), gs.Chan(0, int)
    task = gs.go(probe.bump_when_told, numpy.zeros(1 << 20, numpy.uint8), told, done)
    gc.collect()
    for _ in range(3):
        told.send(0)
        done.recv()
    told.close()
    task.result(WAIT)


def test_view_that_its_owner_released_is_still_the_tasks(probe: Probe) -> None:
    data = bytearray(10)
    told, done = gs.Chan(0, int), gs.Chan(0, int)
    view = memoryview(data)
    task = gs.go(probe.bump_when_told, view[2:5], told, done)
    view.release()
    told.send(0)
    done.recv()
    assert data == bytes([0, 0, 1, 1, 1, 0, 0, 0, 0, 0])
    told.close()
    task.result(WAIT)


def test_read_only_buffer_can_be_read_and_not_written(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    fixed = numpy.zeros(5, numpy.uint8)
    fixed.flags.writeable = False
    for data in (b"12345", memoryview(bytearray(5)).toreadonly(), fixed):
        assert probe.address_of(data) > 0
        with pytest.raises(gs.TaskFailed, match="'fill': argument 0 must be .*writable"):
            probe.fill(data, 1)
    with pytest.raises(gs.TaskFailed, match="'sum_doubles': argument 0 .*read-only"):
        fixed = numpy.zeros(5)
        fixed.flags.writeable = False
        probe.sum_doubles(fixed)


def test_buffer_that_is_not_contiguous_is_refused_but_as_a_view(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    whole = numpy.arange(24, dtype=numpy.float64).reshape(4, 6)
    for part in (whole[:, ::2], whole[::-1], whole.T, whole[:, :3], numpy.asfortranarray(whole)):
        with pytest.raises(gs.TaskFailed, match="argument 0 must be a contiguous .*, not one that is not C-contiguous"):
            probe.sum_doubles(part)
        with pytest.raises(gs.TaskFailed, match="not C-contiguous"):
            probe.address_of(part)
        assert probe.sum_strided(part) == part.sum()
    for part in (whole, whole[1:3], whole[1], whole[:0], whole[2:3, :], whole.reshape(24)[4:9]):
        assert probe.sum_doubles(part) == part.sum()
    assert probe.sum_doubles(numpy.array(2.5)) == 2.5


def test_a_buffer_of_rows_that_lie_apart_is_refused(probe: Probe) -> None:
    testbuffer = pytest.importorskip("_testbuffer")
    apart = testbuffer.ndarray([float(n) for n in range(12)], shape=[3, 4], format="d", flags=testbuffer.ND_PIL)
    assert memoryview(apart).suboffsets
    with pytest.raises(TypeError, match="argument 0 must be .* without suboffsets, not "):
        probe.sum_strided(apart)


def test_items_of_another_type_are_named(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    for dtype, format_ in (("f4", "f"), ("i8", "l"), (">f8", ">d"), ("c16", "Zd"), ("u1", "B")):
        with pytest.raises(
            gs.TaskFailed,
            match=f"argument 0 must be a contiguous writable buffer of float64, not one of format '{format_}'",
        ):
            probe.sum_doubles(numpy.zeros(4, dtype))
    pairs = numpy.array([(2, 1.5), (3, 2.0)], [("n", "i8"), ("x", "f8")])
    assert probe.sum_pairs(pairs) == 9
    with pytest.raises(gs.TaskFailed, match="record of 16 bytes, not one of format 'd' and 8 bytes"):
        probe.sum_pairs(numpy.zeros(4))


def test_what_gives_no_buffer_says_why(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    released = memoryview(b"abc")
    released.release()
    for data in (numpy.zeros(3, "M8[s]"), released):
        with pytest.raises(TypeError, match="'fill': argument 0, of type .*, gives no buffer: "):
            gs.go(probe.fill, data, 1)
    assert probe.fill(numpy.zeros(3, "M8[s]").view("i8"), 0) == 24
