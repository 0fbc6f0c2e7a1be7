"""What the fuzz targets in Python share: reading values off the bytes of an input."""

from __future__ import annotations

import array
import decimal
import fractions
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

import pygostop as gs


class Input:
    """Reads on through the bytes; behind the end all is zero."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def below(self, n: int) -> int:
        return self.byte() % n

    def raw(self, most: int = 32) -> bytes:
        size = min(self.below(most + 1), len(self.data) - self.at)
        self.at += max(size, 0)
        return self.data[self.at - size : self.at] if size > 0 else b""

    def text(self, most: int = 32) -> str:
        """Any text, lone surrogates among it."""
        return self.raw(most).decode("utf-8", "surrogateescape")

    def of(self, choices: str, most: int = 12) -> str:
        """Mostly of these characters."""
        return "".join(
            choices[byte % len(choices)] if byte < 224 else chr(byte) for byte in self.raw(most)
        )

    def integer(self) -> int:
        near = (0, 2**7, 2**8, 2**15, 2**16, 2**31, 2**32, 2**63, 2**64, 10**40)[self.below(10)]
        return (near + self.byte() - 128) * (1 if self.below(2) else -1)

    def real(self) -> float:
        choice = self.below(6)
        if choice < 3:
            return (float("nan"), float("inf"), 3.5e38)[choice]
        return struct.unpack("<d", self.raw(8).ljust(8, b"\0"))[0]


def odd(answer: Any, method: str) -> Any:
    """A number, or whatever else, that is none: when asked, it gives the answer or raises it."""

    def give(self: Any, *args: Any) -> Any:
        if isinstance(answer, type):
            raise answer("odd")
        if method == "__getitem__" and args[0] > 2:
            raise IndexError("odd")
        return answer

    return type("Odd", (), {method: give})()


_ANSWERS: list[Any] = [1, -1.5, "1", None, 2**70, ZeroDivisionError, TypeError, OverflowError]
_METHODS = ["__index__", "__float__", "__int__", "__len__", "__getitem__", "__bool__", "__array__"]


def _numpy(source: Input) -> Any:
    """An array, a view of one with other strides, or a scalar."""
    name = ("<i4", ">i2", "f8", "f2", "?", "S3", "U2", "c8", "O", "M8[s]", "V3", "i4,f8")[
        source.below(12)
    ]
    shape = tuple(source.below(4) for _ in range(source.below(4)))
    made = np.zeros(shape, name)
    if made.dtype.kind in "iuf" and made.size:
        made.flat[0] = source.byte() % 100
    how = source.below(5)
    if how == 1:
        made = made.T
    elif how == 2 and made.ndim:
        made = made[::-1]
    elif how == 3 and made.ndim:
        made = made[::2]
    elif how == 4:
        made.flags.writeable = False
    return made[()] if not shape else made


def _buffer(source: Input) -> Any:
    data = bytearray(source.raw())
    how = source.below(6)
    if how == 0:
        return data
    view = memoryview(data)
    if how == 1:
        return view[::-1]
    if how == 2:
        return view[:: 1 + source.below(3)].toreadonly()
    if how == 3 and len(data) % 4 == 0:
        return view.cast("iIfL"[source.below(3)])
    if how == 4 and len(data) % 2 == 0:
        return view.cast("B", (2, len(data) // 2)) if data else view
    if how == 5:
        view.release()
        return view
    return array.array("bhiqfd"[source.below(6)], [source.byte() % 100] * source.below(4))


def value(source: Input, depth: int = 0) -> Any:
    """Anything that somebody might pass."""
    simple: list[Callable[[], Any]] = [
        source.integer,
        source.real,
        source.text,
        source.raw,
        lambda: _buffer(source),
        lambda: _numpy(source),
        lambda: (None, True, False, 1j, ..., object())[source.below(6)],
        lambda: odd(_ANSWERS[source.below(8)], _METHODS[source.below(7)]),
        lambda: (decimal.Decimal("1.5"), fractions.Fraction(3, 2))[source.below(2)],
        lambda: handle(source),
    ]
    if depth < 3 and source.below(4) == 0:
        items = [value(source, depth + 1) for _ in range(source.below(5))]
        return (items, tuple(items), dict.fromkeys(map(str, items), 1))[source.below(3)]
    return simple[source.below(len(simple))]()


def handle(source: Input) -> Any:
    """A channel, a half of one, or a context."""
    kind = (int, float, bool, str, bytes, object, "iq", np.dtype("f4"))[source.below(8)]
    ch: gs.Chan[Any] = gs.Chan(source.below(3), kind)
    ch.close()  # or who iterates over it would wait
    return (ch, ch.sender(), ch.receiver(), gs.background())[source.below(4)]
