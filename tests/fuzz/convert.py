"""Fuzz target: Python values to arguments of C tasks and items of channels, signatures, formats, dtypes.

What is checked: only the documented exceptions come; a C task reads exactly what was passed; what is
received is what was sent.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pygostop as gs
from fuzz.inputs import Input, value
from pygostop import _items
from support import compiler

MISFIT = (TypeError, OverflowError)


def _build_reader() -> gs.CTask:
    with tempfile.TemporaryDirectory() as place:
        library = os.path.join(place, "reader.so")
        source = Path(__file__).with_name("reader.c")
        include = f"-I{gs.get_include()}"
        words = [compiler(), "-O1", "-shared", "-fPIC", include, "-o", library, str(source)]
        subprocess.run(words, check=True)
        return gs.load(library).read_all


read_all = _build_reader()

# ---- signatures ----

_WORDS = ("int", "float", "str", "bytes", "buffer", "Context", "Chan", "SendChan", "RecvChan")
_BITS = (*_WORDS, "Chan[int]", "RecvChan[[x]]", "Chan[", "]", ":", ",", "=", "None", " ", "a", "b")


def _signature(source: Input) -> str:
    return "".join(
        source.text(6) if source.below(12) == 0 else _BITS[source.below(len(_BITS))] + " "
        for _ in range(source.below(24))
    )


def _task(text: str | None) -> gs.CTask | None:
    try:
        return gs.CTask(read_all.address, name="read_all", signature=text)
    except ValueError:
        return None


def parse(source: Input) -> None:
    task = _task(_signature(source))
    if task is None:
        return
    said = task.__signature__
    again = ", ".join(
        f"{p.name}: {p.annotation}" + (" = None" if p.default is None else "")
        for p in said.parameters.values()
    )
    repeated = _task(again)
    assert repeated is not None and repeated.__signature__ == said, (again, said)
    assert all(p.name.isidentifier() for p in said.parameters.values())
    assert inspect.signature(task) == said


# ---- arguments ----


def _sum_bytes(total: int, data: bytes) -> int:
    for byte in data:
        total = (total * 31 + byte) % 2**64
    return total


def _sum(total: int, arg: Any) -> int:
    """As reader.c has it; the kinds are GS_VALUE_..."""
    if isinstance(arg, (gs.Chan, gs.SendChan, gs.RecvChan, gs.Context)):
        kinds = {gs.Chan: 6, gs.SendChan: 7, gs.RecvChan: 8, gs.Context: 9}
        return total * 31 + kinds[type(arg)]
    if isinstance(arg, str):
        return _sum_bytes(total * 31 + 3, arg.encode() + b"\0")
    if isinstance(arg, bytes):
        return _sum_bytes(total * 31 + 4, arg)
    if not isinstance(arg, (np.number, np.bool_)) and _is_buffer(arg):
        view = memoryview(arg)
        return _sum_bytes(_sum_bytes(total * 31 + 5, view.format.encode()), view.tobytes())
    if hasattr(arg, "__index__") or isinstance(arg, np.bool_):
        return _sum_bytes(total * 31 + 1, struct.pack("<q", int(arg)))
    return _sum_bytes(total * 31 + 2, struct.pack("<d", float(arg)))


def _is_buffer(arg: Any) -> bool:
    try:
        memoryview(arg).release()
    except (TypeError, BufferError, ValueError):
        return False
    return True


def pass_arguments(source: Input) -> None:
    task = _task(_signature(source)) if source.below(2) else read_all
    args = [value(source) for _ in range(source.below(5))]
    try:
        got = (task or read_all)(*args)
    except (*MISFIT, ValueError, ZeroDivisionError):
        return
    except gs.TaskFailed as failed:  # None for an argument that may be left out, in the middle
        assert task is not None, failed
        return
    if task is not None and args and args[-1] is None:
        args.pop()
    expected = 0
    for arg in args:
        expected = _sum(expected, arg) % 2**64
    assert got % 2**64 == expected, (args, got, expected)


# ---- items ----


def _send(ch: gs.Chan[Any], given: Any) -> Any:
    """What comes out; None where it was refused, as is documented."""
    before = len(ch)
    try:
        ch.send_nowait(given)
    except (*MISFIT, ZeroDivisionError) as error:  # the last is what odd ones raise themselves
        assert not isinstance(error, (UnicodeError, struct.error))
        assert len(ch) == before
        return None
    return ch.recv_nowait()


def _same(sent: Any, got: Any, code: str) -> bool:
    if code[-1] in "sp":
        return got.rstrip(b"\0") == bytes(sent).rstrip(b"\0")
    if isinstance(got, float):
        sent = float(sent)
        return math.isnan(got) == math.isnan(sent) and math.isinf(got) == math.isinf(sent)
    if isinstance(got, bool):
        return got == bool(sent)
    if code == "c":
        return got == sent
    return got == sent.__index__()


def send_record(source: Input) -> None:
    format = source.of("@=<>! bBhHiIlLqQnNefds?pPcx0123456789")
    try:
        size = struct.calcsize(format)
    except (struct.error, ValueError, UnicodeError):
        size = -1
    try:
        ch: gs.Chan[Any] = gs.Chan(1, format)
    except (TypeError, ValueError):
        assert size <= 0 or not struct.unpack(format, bytes(size)), format
        return
    except OverflowError:
        assert size > 2**32
        return
    except MemoryError:
        assert size > 2**26
        return
    if size > 2**16:
        return
    codes = list(_items.Record(format)._codes())
    given = tuple(value(source) for _ in codes) if source.below(4) else value(source)
    got = _send(ch, given)
    if got is not None:
        assert len(got) == len(codes)
        for sent, received, code in zip(given, got, codes):
            assert _same(sent, received, code), (format, sent, received)
        _receive_into(source, ch, got, struct.pack(format, *got))


def _receive_into(source: Input, ch: gs.Chan[Any], item: Any, expected: bytes) -> None:
    """The bytes in a buffer are the item's, where the buffer is one for it."""
    room = value(source)
    if room is None or source.below(2):
        room = np.zeros(2, np.dtype((np.void, len(expected))))
    ch.send_nowait(item)
    try:
        n = ch.recv_many(1, into=room)
    except (TypeError, ValueError, BufferError, ZeroDivisionError):
        assert len(ch) == 1
        return
    assert n == 1 and memoryview(room).tobytes()[: len(expected)] == expected, (item, room, expected)


_DTYPES = ("i1", "u2", "<i4", ">i4", "u8", "f2", "f4", ">f8", "c8", "?", "S2", "U2", "V3", "M8[s]")


def _dtype(source: Input, depth: int = 0) -> Any:
    if depth < 2 and source.below(4) == 0:
        fields = [(f"f{i}", _dtype(source, depth + 1)) for i in range(1 + source.below(3))]
        if source.below(3) == 0:
            fields[0] = (*fields[0], (source.below(3),))
        return np.dtype(fields, align=bool(source.below(2)))
    return np.dtype(_DTYPES[source.below(len(_DTYPES))])


def send_scalar(source: Input) -> None:
    dtype = _dtype(source)
    try:
        ch: gs.Chan[Any] = gs.Chan(1, dtype)
    except ValueError:
        assert dtype.itemsize == 0
        return
    given = value(source)
    got = _send(ch, given)
    if got is None:
        return
    if dtype.kind in "iu":
        assert int(got) == int(given), (dtype, given, got)
    again = _send(ch, got)
    assert again is not None and again.tobytes() == got.tobytes(), (dtype, given, got)
    _receive_into(source, ch, got, got.tobytes())


def send_builtin(source: Input) -> None:
    kind = (int, float, bool, str, bytes, object)[source.below(6)]
    ch: gs.Chan[Any] = gs.Chan(1, kind)
    given = value(source)
    got = _send(ch, given)
    if got is None:
        return
    assert kind is object or type(got) is kind
    if kind is object:
        assert got is given
    elif kind is str or type(given) in (bytes, bytearray):
        assert got == kind(given), (given, got)
    elif kind is bytes:
        assert len(got) == (memoryview(given).nbytes if _is_buffer(given) else given.nbytes)
    elif kind is int:
        assert got == given.__index__()
    else:
        assert got == kind(given) or math.isnan(got)
    if kind in (int, float, bool):
        _receive_into(source, ch, got, struct.pack({int: "q", float: "d", bool: "?"}[kind], got))


_WHAT = (parse, pass_arguments, send_record, send_scalar, send_builtin)


def one(data: bytes) -> None:
    source = Input(data)
    _WHAT[source.below(len(_WHAT))](source)


@contextlib.contextmanager
def broken() -> Iterator[None]:
    """Formats whose limits nobody checks: struct cuts what is too long."""
    check = _items.Record._check_limits
    _items.Record._check_limits = lambda self, value: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        _items.Record._check_limits = check  # type: ignore[method-assign]
