"""Shared libraries of C tasks: ``load``, and the ``Library`` that it gives.

What always holds, guarded by ``_lock``: what was loaded stays loaded until the process ends
(csrc/py/library.c says why), so what was loaded once is not loaded again: ``_loaded`` has it by the
file's path and contents. A file that is loaded from where it lies is in ``_in_place``; all others
are loaded from a copy, so that nothing that becomes of the file touches the tasks that run. Nobody
parks while holding the lock, which belongs to a thread and not to a task: no CTask is made under
it, as that gives way to other tasks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator
from typing import NoReturn, final

from pygostop import _cache, _core
from pygostop._core import CTask
from pygostop._errors import Error

_Capsules = list[tuple[str, object]]
_lock = threading.Lock()
_loaded: dict[tuple[str, bytes], _Capsules] = {}
# The device and inode of each file that was at the path.
_in_place: dict[str, list[tuple[int, int]]] = {}


@final
class Library:
    """The C tasks of a shared library, as ``load`` and ``compile`` give them.

    Each is a ``CTask``, as an attribute and as an item: ``library.primes``, ``library["primes"]``.
    Iterating gives their names, ``len`` their number; ``help(library)`` shows their arguments. The
    library stays loaded until the process ends. ``CTask(library.primes, stack_size=2**20)`` makes a
    task of it that has a larger stack.
    """

    def __init__(self, path: str, tasks: dict[str, CTask]) -> None:
        self._path = path
        self._tasks = tasks
        self.__doc__ = "\n\n".join(
            [
                f"The C tasks of {path}:",
                *(task.__doc__ or f"{name}(...)" for name, task in tasks.items()),
            ]
        )

    @property
    def path(self) -> str:
        """The file of the library, as it was given."""
        return self._path

    def __getitem__(self, name: str) -> CTask:
        try:
            return self._tasks[name]
        except KeyError:
            raise KeyError(self._lacks(name)) from None

    def __getattr__(self, name: str) -> CTask:
        tasks: dict[str, CTask] = self.__dict__.get("_tasks", {})
        if name in tasks:
            return tasks[name]
        raise AttributeError(self._lacks(name), name=name, obj=self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._tasks})

    def __repr__(self) -> str:
        return f"<Library {self._path!r}: {', '.join(self._tasks)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {self!r}: load it again in the other process, from its path"
        )

    def _lacks(self, name: object) -> str:
        return f"the library {self._path!r} has no task {name!r}; it has {', '.join(self._tasks)}"


Library.__module__ = "pygostop"


def open_library(path: str, shown: str) -> _Capsules:
    """Loads the file for good: what it tells of each task. Error, which calls it ``shown``."""
    try:
        return _core._open_library(os.fsencode(path))
    except Error as error:
        raise Error(f"{shown!r} {str(error).replace(path, shown)}") from None


def make_tasks(capsules: _Capsules, shown: str) -> dict[str, CTask]:
    """The tasks by name. Error where GS_EXPORT has one twice, or a signature that is none."""
    tasks: dict[str, CTask] = {}
    for name, capsule in capsules:
        if name in tasks:
            raise Error(f"{shown!r} lists the task {name!r} twice in GS_EXPORT")
        try:
            tasks[name] = CTask(capsule)
        except ValueError as error:
            raise Error(f"{shown!r} has a task {name!r} whose GS_SIG is wrong: {error}") from None
    return tasks


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """All of a regular file. OSError for what is none, such as a pipe that nobody writes."""
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no regular file", path)
        return file.read(), found


def _is_torn(data: bytes) -> bool:
    """Whether the end of an ELF file is missing: the loader would touch what is not there."""
    if len(data) < 64 or data[:5] != b"\x7fELF\x02":
        return False  # that is for the loader to say
    order = "<" if data[5] == 1 else ">"
    (start,) = struct.unpack_from(order + "Q", data, 32)
    size, count = struct.unpack_from(order + "HH", data, 54)
    if start + size * count > len(data) or size < 56:
        return True
    for at in range(start, start + size * count, size):
        kind, _, offset, _, _, length = struct.unpack_from(order + "IIQQQQ", data, at)
        if kind == 1 and offset + length > len(data):  # PT_LOAD
            return True
    return False


def _copy(path: str, data: bytes) -> str | None:
    """The path of a new copy, under its own name for debuggers; None: there is no place for it."""
    try:
        directory = tempfile.mkdtemp(prefix="load-", dir=_cache.process_directory())
        copied = os.path.join(directory, os.path.basename(path))
        with open(copied, "wb") as file:
            file.write(data)
    except OSError:
        return None
    return copied


def _load_in_place(path: str, found: os.stat_result, shown: str) -> _Capsules:
    """The loader knows what it has by the spelling of the path, and by the inode."""
    before = _in_place.setdefault(path, [])
    inode = found.st_dev, found.st_ino
    if inode in before:
        raise Error(
            f"{shown!r} was written over while it was loaded, and cannot be loaded anew from the "
            "same file: write another file and rename that, or start the process again"
        )
    directory, name = os.path.split(path)
    capsules = open_library(os.path.join(directory, *["."] * len(before), name), shown)
    before.append(inode)
    return capsules


def _load(path: str, shown: str) -> _Capsules:
    data, found = read_file(path)
    if _is_torn(data):
        raise Error(f"{shown!r} cannot be loaded: its end is missing; is it still being written?")
    key = path, hashlib.blake2b(data).digest()
    if key not in _loaded:
        # What it says of its own place, to find libraries beside it, would not hold for a copy.
        tied = b"$ORIGIN" in data or b"${ORIGIN}" in data
        copied = None if tied else _copy(path, data)
        if copied:
            _loaded[key] = open_library(copied, shown)
        else:
            _loaded[key] = _load_in_place(path, found, shown)
    return _loaded[key]


def load(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Library:
    """Load a shared library of C tasks, which it lists with GS_EXPORT.

    The library is loaded as it is now, from a private copy: the file may be written over, replaced
    or removed while tasks of it run, and loading the path again gives the new tasks beside the old
    ones. A library that finds others relative to its own place (``$ORIGIN``) is loaded where it
    lies, and is to be replaced by a rename. The same contents at the same path are loaded once, and
    share their static data. What is loaded stays so until the process ends.

    OSError, which names the file, where it cannot be read. Error where it is no shared library,
    lacks a symbol or another library (in the loader's words), has no GS_EXPORT, or was built for a
    newer pygostop.h. From any thread; no checkpoint.
    """
    shown = os.fsdecode(path)
    with _lock:
        capsules = _load(os.path.realpath(shown), shown)
    return Library(shown, make_tasks(capsules, shown))


load.__module__ = "pygostop"


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
