"""Item types of channels that are described, not built in: struct formats and NumPy dtypes.

The extension module asks ``describe`` once for each channel and then the description for each item.
A description has ``type`` (what ``Chan.type`` gives), ``kind`` and ``size`` (what C sees),
``to_bytes(value)``, ``from_bytes(data)`` and ``matches(buffer)``. A value that does not fit is
TypeError or OverflowError, whatever struct or NumPy say. NumPy is never imported from here: who
passes a dtype has imported it.
"""

from __future__ import annotations

import itertools
import math
import numbers
import operator
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_KINDS = {
    **dict.fromkeys("bhilqn", "int"),
    **dict.fromkeys("BHILQN", "uint"),
    **dict.fromkeys("efd", "float"),
    "?": "bool",
    "P": "pointer",
    "c": "char",
    "s": "bytes",
    "p": "pascal",
}
_NATIVE_ORDER = "<" if sys.byteorder == "little" else ">"
_FIELD = re.compile(r"\s*(\d*)([a-zA-Z?])")
_TOKEN = re.compile(
    r"(?P<skip>\s+|T\{|\}|:[^:]*:)"
    r"|(?P<order>[@=<>!^])"
    r"|(?:\((?P<shape>[\d,]+)\))?(?P<count>\d*)(?P<code>[a-zA-Z?])"
)


def describe(type: Any) -> Record | Dtype:
    """The description of a channel's ``type`` argument that is none of the built-in ones."""
    if isinstance(type, str):
        return Record(type)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(type, numpy.dtype):
            return Dtype(numpy, type)
        if _is_scalar_class(numpy, type):
            return Dtype(numpy, numpy.dtype(type))
    raise TypeError(
        "Chan() type must be object, str, bytes, int, float, bool, a struct format or a NumPy "
        f"dtype, not {type!r}"
    )


def _is_scalar_class(numpy: Any, candidate: Any) -> bool:
    # Abstract ones such as numpy.integer name no size.
    return (
        isinstance(candidate, type)
        and issubclass(candidate, numpy.generic)
        and candidate in numpy.sctypeDict.values()
    )


def _layout(format: str) -> tuple[tuple[int, str, int, str], ...] | None:
    """Offset, kind, size and byte order of each value in a struct format or in a buffer's
    (PEP 3118); None for what no struct format can say."""
    values = []
    offset, place, order = 0, 0, "@"
    while place < len(format):
        token = _TOKEN.match(format, place)
        if token is None:
            return None
        place = token.end()
        if token["order"]:
            order = token["order"]
        elif token["code"]:
            code = token["code"]
            count = int(token["count"] or 1)
            for length in (token["shape"] or "1").split(","):
                count *= int(length)
            if code == "x":
                offset += count
                continue
            if code not in _KINDS:
                return None
            try:
                size = struct.calcsize(("@" if order in "@^" else "=") + code)
            except struct.error:
                return None
            if code in "sp":
                size, count = count, 1
            elif order == "@":
                alignment = struct.calcsize("@b" + code) - size
                offset += -offset % alignment
            for _ in range(count):
                one_order = _NATIVE_ORDER if order in "@=^" else ">" if order in ">!" else "<"
                ordered = size > 1 and code not in "sp"
                values.append((offset, _KINDS[code], size, one_order if ordered else ""))
                offset += size
    return tuple(values)


class Record:
    """A struct format. Takes a sequence of its fields, gives a tuple."""

    __slots__ = ("type", "kind", "size", "from_bytes", "_struct", "_order", "_runs", "_count", "_limited")

    def __init__(self, format: str) -> None:
        try:
            self._struct = struct.Struct(format)
        except (struct.error, ValueError) as error:
            raise ValueError(f"Chan() type {format!r} is no struct format: {error}") from None
        self.type = format
        self.kind = "record"
        self.size = self._struct.size
        self.from_bytes = self._struct.unpack
        self._order = format[0] if format[:1] in tuple("@=<>!") else "@"
        # How many fields of a code follow each other, of those that take a value; a string's code with
        # its length. Not one by one: a format may have a thousand million of them in a few letters.
        self._runs: list[tuple[int, str]] = []
        for count, code in _FIELD.findall(format):
            if code in "sp":
                self._runs.append((1, count + code))
            elif code != "x":
                self._runs.append((int(count or 1), code))
        self._count = sum(count for count, _ in self._runs)
        if not self._count:
            raise ValueError(f"Chan() type {format!r} is a struct format without fields")
        if not self.size:  # "0s": a field, and nothing in it
            raise ValueError(f"Chan() type {format!r} is a struct format of no bytes")
        self._limited = any(code[-1] in self._unchecked() or code in "fde" for _, code in self._runs)

    def _codes(self) -> Iterator[str]:
        """The code of each field."""
        return itertools.chain.from_iterable(itertools.repeat(code, n) for n, code in self._runs)

    def to_bytes(self, value: Any) -> bytes:
        if type(value) is not tuple:
            if isinstance(value, Mapping) or not hasattr(type(value), "__getitem__"):
                raise TypeError(
                    f"takes a sequence of the {self._count} fields of {self.type!r}, "
                    f"not {type(value).__name__}"
                )
            try:
                value = tuple(value)
            except (NotImplementedError, ValueError) as error:  # a memoryview's
                raise TypeError(f"takes a sequence of fields, not this one: {error}") from None
        if len(value) != self._count:
            raise TypeError(
                f"takes the {self._count} fields of {self.type!r}, not {len(value)} of them"
            )
        if self._limited:
            self._check_limits(value)
        try:
            return self._struct.pack(*value)
        except (struct.error, OverflowError, ValueError) as error:
            raise self._misfit(value, error) from None

    def _unchecked(self) -> str:
        """The codes whose limits struct itself passes over: it cuts, or makes an infinity."""
        return "spPf" if self._order == "@" else "sp"

    def _check_limits(self, value: tuple[Any, ...]) -> None:
        unchecked = self._unchecked()
        for place, (code, field) in enumerate(zip(self._codes(), value)):
            if code in ("f", "d", "e") and _is_complex(field):
                raise self._misfit_of(place, field, TypeError("a float would be half of it"))
            if code == "f" and code in unchecked:
                try:
                    struct.pack("=f", field)
                except (struct.error, OverflowError, ValueError) as error:
                    raise self._misfit_of(place, field, error) from None
            elif code == "P" and isinstance(field, int) and field < 0:
                raise self._misfit_of(place, field, OverflowError("it is negative"))
            elif code[-1] in "sp" and isinstance(field, (bytes, bytearray)):
                room = int(code[:-1] or 1)
                if code[-1] == "p":
                    room = max(min(room, 256) - 1, 0)
                if len(field) > room:
                    raise OverflowError(
                        f"takes at most {room} bytes in field {place} of {self.type!r}, "
                        f"not bytes of length {len(field)}"
                    )

    def _misfit(self, value: tuple[Any, ...], error: Exception) -> Exception:
        """What to raise for what struct refused: it does not say which field it was."""
        for place, (code, field) in enumerate(zip(self._codes(), value)):
            try:
                struct.pack(self._order + code, field)
            except (struct.error, OverflowError, ValueError) as reason:
                return self._misfit_of(place, field, reason)
        return TypeError(f"{self.type!r} does not take it: {error}")

    def _misfit_of(self, place: int, field: Any, reason: Exception) -> Exception:
        code = next(itertools.islice(self._codes(), place, None))
        what = f"field {place} ({code!r}) of {self.type!r} does not take "
        what += f"{type(field).__name__}: {reason}"
        # An integer that a number's field refuses is out of range, whatever struct calls it.
        number = _KINDS[code[-1]] in ("int", "uint", "pointer", "float")
        if isinstance(reason, OverflowError) or (number and _is_integer(field)):
            return OverflowError(what)
        return TypeError(what)

    def matches(self, buffer: Any) -> bool:
        with memoryview(buffer) as view:
            return view.itemsize == self.size and _layout(view.format) == _layout(self.type)


class Dtype:
    """A NumPy dtype. Takes what ``dtype.type(v)`` takes without loss of range, gives its scalar."""

    __slots__ = ("type", "kind", "size", "scalar", "_numpy")

    def __init__(self, numpy: Any, dtype: Any) -> None:
        if dtype.hasobject:
            raise TypeError(f"Chan() type {dtype!r} holds Python objects: use type=object")
        if dtype.subdtype is not None:
            raise TypeError(f"Chan() type {dtype!r} is an array: use a dtype with one named field")
        if dtype.itemsize == 0:
            raise ValueError(f"Chan() type {dtype!r} has no size: say one, as in 'S8'")
        self.type = dtype
        self.size = dtype.itemsize
        self.scalar = dtype.type
        self._numpy = numpy
        kind = {"b": "bool", "i": "int", "u": "uint", "f": "float"}.get(dtype.kind)
        plain = dtype.isnative and (kind != "float" or self.size in (4, 8))
        self.kind = kind if kind is not None and plain else "record"

    def to_bytes(self, value: Any) -> bytes:
        # Not errstate's business: what NumPy would warn of, we raise.
        with self._numpy.errstate(all="ignore"):
            try:
                return bytes(self._item(self.type, value).tobytes())
            except OverflowError as error:
                raise OverflowError(
                    f"takes {self.type}, whose range {type(value).__name__} leaves: {error}"
                ) from None
            except (TypeError, ValueError, IndexError) as error:
                raise TypeError(
                    f"takes {self.type}, not this {type(value).__name__}: {error}"
                ) from None

    def from_bytes(self, data: bytes) -> Any:
        return self._numpy.frombuffer(bytearray(data), self.type)[0]

    def matches(self, buffer: Any) -> bool:
        return bool(self._numpy.asarray(buffer).dtype == self.type)

    def _item(self, dtype: Any, value: Any) -> Any:
        """An array of no dimensions (of dtype's own, for a subarray) that holds the value."""
        numpy = self._numpy
        if dtype.subdtype is not None:
            base, shape = dtype.subdtype
            return self._subarray(base, shape, value)
        item = numpy.zeros((), dtype)
        if dtype.names is None:
            item[()] = self._scalar(dtype, value)
            return item
        if isinstance(value, (str, bytes, Mapping)) or not hasattr(type(value), "__getitem__"):
            raise TypeError(f"a sequence of its {len(dtype.names)} fields is wanted")
        if len(value) != len(dtype.names):
            raise TypeError(f"it has {len(dtype.names)} fields, not {len(value)}")
        for place, name in enumerate(dtype.names):
            item[name] = self._item(dtype[name], value[place])
        return item

    def _subarray(self, base: Any, shape: tuple[int, ...], value: Any) -> Any:
        numpy = self._numpy
        if base.names is not None:
            items = numpy.array(value, base)
        else:
            given = numpy.asarray(value)
            items = numpy.zeros(given.shape, base)
            for place in numpy.ndindex(given.shape):
                items[place] = self._scalar(base, given[place])
        if items.shape != shape:
            raise TypeError(f"an array of shape {shape} is wanted, not of {items.shape}")
        return items

    def _scalar(self, dtype: Any, value: Any) -> Any:
        numpy = self._numpy
        kind = dtype.kind
        if kind in "biuf" and _is_complex(value):
            raise TypeError("it would be half of it")
        if kind in "Mm":
            return numpy.array(value, dtype)[()]
        if kind == "V":
            return self._void(dtype, value)
        if kind == "S":  # NumPy would iterate over what is none, a channel too, or make so many NULs
            value = bytes(memoryview(value))
        if kind in "iu" and not isinstance(value, (str, bytes)):
            # Before NumPy sees it: depending on its version it wraps, warns or raises.
            limits = numpy.iinfo(dtype)
            if math.isnan(value):
                raise TypeError("NaN is no integer")
            if not limits.min <= value <= limits.max and not limits.min <= int(value) <= limits.max:
                raise OverflowError(f"from {limits.min} to {limits.max}")
        scalar = dtype.type(value)
        if not isinstance(scalar, numpy.generic):
            raise TypeError("one value is wanted, not an array")
        if kind in "iu" and int(scalar) != int(value):
            raise OverflowError("it came out as another number")
        if kind in "fc" and numpy.isinf(scalar) and not _is_infinite(numpy, value):
            raise OverflowError(f"at most {numpy.finfo(dtype).max}")
        if kind in "SU" and len(scalar) * (4 if kind == "U" else 1) > dtype.itemsize:
            raise OverflowError(f"a length of {len(scalar)} does not fit")
        return scalar

    def _void(self, dtype: Any, value: Any) -> Any:
        data = bytes(memoryview(value))
        if len(data) > dtype.itemsize:
            raise OverflowError(f"{len(data)} bytes do not fit {dtype.itemsize}")
        return self._numpy.void(data.ljust(dtype.itemsize, b"\0"))


def _is_integer(value: Any) -> bool:
    """What has __index__ need not be one: an array has it too."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _is_complex(value: Any) -> bool:
    """Also NumPy's, which convert themselves to a float where struct or NumPy asks for one."""
    if getattr(getattr(value, "dtype", None), "kind", None) == "c":  # an array is no Complex
        return True
    return isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)


def _is_infinite(numpy: Any, value: Any) -> bool:
    if isinstance(value, numpy.generic):
        return bool(numpy.isinf(value))
    try:
        value = complex(value)
    except OverflowError:  # an int beyond every float is finite
        return False
    return math.isinf(value.real) or math.isinf(value.imag)
