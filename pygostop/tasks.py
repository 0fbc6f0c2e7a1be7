"""The C tasks that ship, to start with ``go`` or to call.

A task that fills a channel closes it when it ends, however it ends, so that a ``for`` over it ends too;
``crc32`` closes nothing, as several share its channels. A task whose channel is closed by another ends
well. All but ``hog`` stop within a millisecond of being asked, on an idle machine.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from pygostop import _tasks
from pygostop._core import CTask

__all__ = ["FileSum", "count", "crc32", "file_sum", "hog", "primes", "repeat", "spin", "walk"]

repeat = CTask(
    _tasks.repeat,
    doc="""repeat(ch, value, interval)

Sends value for ever, with interval seconds between two sends: an int on a Chan of int, a str on a Chan
of str. It sees that ch was closed when it sends next.""",
)

count = CTask(
    _tasks.count,
    doc="""count(ch, start, stop, step=1)

Sends the ints of range(start, stop, step) on a Chan of int.""",
)

primes = CTask(
    _tasks.primes,
    doc="""primes(ch, limit)

Sends the prime numbers up to limit on a Chan of int, in order. It divides by all odd numbers, which is
slow: something to stop.""",
)

walk = CTask(
    _tasks.walk,
    doc="""walk(root, paths, errors=None)

Sends the path of every regular file under the directory root on paths, a Chan of bytes, as os.fsencode
has it, for a file name need not be text. root is a str or bytes, and each path begins with it. Depth
first, the files of a directory before its subdirectories; symbolic links are not followed, but root may
be one.

A directory that cannot be read is passed over and told: on errors, a Chan of bytes, as a message for
file_sum, or else in the log "pygostop.task". If it is root, the task fails, its code the errno.""",
)

crc32 = CTask(
    _tasks.crc32,
    doc="""crc32(paths, results)

For each path that comes on paths, a Chan of bytes, reads the file in pieces and sends a message for
file_sum on results, a Chan of bytes: the path, and the CRC-32, equal to zlib.crc32 of the whole, or why
it could not be read. What is no regular file is EISDIR or EINVAL.""",
)

spin = CTask(
    _tasks.spin,
    doc="""spin(seconds)

Keeps its worker busy for so long, with a checkpoint in every round: it gives way and can be stopped.""",
)

hog = CTask(
    _tasks.hog,
    doc="""hog(seconds)

The same without a checkpoint: it cannot be stopped. What not to do, to see what comes of it.""",
)

# csrc/tasks/result.h
_HEAD = struct.Struct("=Iiq")


class FileSum(NamedTuple):
    """What ``crc32`` found of a file, or ``walk`` of a directory that it could not read."""

    path: bytes
    """As ``walk`` sent it; ``os.fsdecode`` makes text of it."""
    crc: int
    """As ``zlib.crc32`` gives it; 0 where there was an error."""
    size: int
    """How many bytes were read."""
    error: OSError | None
    """Why it could not be read, with its ``errno`` and ``filename``; None: it could."""


def file_sum(message: bytes) -> FileSum:
    """A message of ``crc32`` or ``walk``. ValueError for what is none."""
    if len(message) < _HEAD.size:
        raise ValueError(f"a message of crc32 has at least {_HEAD.size} bytes, not {len(message)}")
    crc, code, size = _HEAD.unpack_from(message)
    path = message[_HEAD.size :]
    error = OSError(code, os.strerror(code), os.fsdecode(path)) if code else None
    return FileSum(path, crc, size, error)
