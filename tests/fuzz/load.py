"""Fuzz target: what ``load`` and the cache of ``compile`` find on disk, and what a library tells.

What is checked: a file that is torn or no library is Error, never more; a list of tasks with whatever
in it is Error; the cache finds an entry only whole, and the user's own; a directory that others can
write to is not used.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator

import pygostop as gs
from fuzz.convert import read_all
from fuzz.inputs import Input
from pygostop import _cache, _native

_place = tempfile.mkdtemp(prefix="pygostop-fuzz-")


def _path(name: str) -> str:
    """A path in the target's directory with nothing there."""
    path = os.path.join(_place, name)
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path)
        else:
            os.unlink(path)
    return path


# ---- files ----


def _elf(source: Input) -> bytes:
    """A header and program headers, damaged; they lead nowhere."""
    order = "<>"[source.below(2)]
    head = bytearray(struct.pack("16s", b"\x7fELF\x02" + bytes([1 + (order == ">")]) + b"\x01"))
    head += struct.pack(order + "HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    for _ in range(2):
        head += struct.pack(order + "IIQQQQQQ", 1, 5, source.byte(), 0, 0, source.byte(), 0, 0)
    for _ in range(source.below(6)):
        at = source.below(len(head))
        change = source.raw(8)
        head[at : at + len(change)] = change
    return bytes(head[: len(head) - source.below(200)]) + source.raw()


def load_file(source: Input) -> None:
    data = _elf(source) if source.below(4) else source.raw(64)
    torn = _native._is_torn(data)
    # Whether a whole ELF file is a good one is for the loader, which trusts it.
    if data[:4] == b"\x7fELF" and not torn:
        return
    path = _path("library.so")
    with open(path, "wb") as file:
        file.write(data)
    try:
        gs.load(path)
    except gs.Error as error:
        assert path in str(error)
        return
    raise AssertionError("a file that is no library was loaded")


# ---- lists of tasks ----


class _Def(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("fn", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("signature", ctypes.c_char_p),
    ]


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def list_tasks(source: Input) -> None:
    defs, capsules = [], []
    for _ in range(source.below(4)):
        made = _Def(
            1 if source.below(8) else source.byte(),
            source.byte(),
            read_all.address if source.below(8) else None,
            source.raw(8) if source.below(8) else None,
            (b"a: int", source.raw(), None)[source.below(3)],
        )
        defs.append(made)
        name = b"pygostop.task" if source.below(16) else b"other"
        capsules.append((source.text(4), _new_capsule(ctypes.addressof(made), name, None)))
    try:
        tasks = _native.make_tasks(capsules, "the library")
    except (gs.Error, TypeError) as error:
        assert str(error)
        return
    library = gs.Library("the library", tasks)
    assert list(library) == [name for name, _ in capsules]
    assert len(library) == len(capsules) and all(name in dir(library) for name in library)
    assert repr(library) and library.__doc__ and all(repr(task) for task in tasks.values())


# ---- the cache ----


def find_entry(source: Input) -> None:
    path, built = _path("entry.so"), _path("built")
    data = source.raw()
    with open(built, "wb") as file:
        file.write(data)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(built + ".sealed")
    _cache.store(path, built)
    with open(path, "rb") as file:
        whole = file.read()
    found = bytearray(whole)
    for _ in range(source.below(4)):
        how, at = source.below(3), source.below(len(found) + 1)
        if how == 0:
            del found[at:]
        elif how == 1:
            found[at:at] = source.raw(8)
        elif at < len(found):
            found[at] ^= source.byte()
    with open(path, "wb") as file:
        file.write(found)
    fits = bytes(found) == whole
    how = source.below(8)
    if how == 0:
        os.chmod(path, 0o777)
        fits = False
    elif how == 1:
        os.rename(path, built)
        os.symlink(built, path)
        fits = False
    elif how == 2:
        os.unlink(path)
        (os.mkdir, os.mkfifo)[source.below(2)](path)
        fits = False
    elif how == 3:
        os.unlink(path)
        fits = False
    assert _cache.find(path) == fits, (data, bytes(found), how)


def choose_directory(source: Input) -> None:
    path = _path("cache")
    asked = path
    how = source.below(6)
    if how == 1:
        os.mkdir(path)
        os.chmod(path, source.byte() | source.byte() << 8 & 0o7400)
    elif how == 2:
        os.symlink(_place, path)
    elif how == 3:
        os.mkfifo(path)
    elif how == 4:
        os.mkdir(path)
        os.chmod(path, 0o777)
        asked = os.path.join(path, "inside")
    elif how == 5:
        asked = os.path.join(path, source.text(8).replace("\0", "").replace("/", "") or "a")
    before = os.environ.get("PYGOSTOP_CACHE")
    os.environ["PYGOSTOP_CACHE"] = asked
    try:
        got = _cache.directory()
    except gs.Error as error:
        assert "PYGOSTOP_CACHE" in str(error)
        return
    finally:
        if before is None:
            del os.environ["PYGOSTOP_CACHE"]
        else:
            os.environ["PYGOSTOP_CACHE"] = before
    found = os.lstat(got)
    assert how not in (2, 3, 4)
    assert stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    assert not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


_WHAT = (load_file, list_tasks, find_entry, choose_directory)


def one(data: bytes) -> None:
    source = Input(data)
    _WHAT[source.below(len(_WHAT))](source)


@contextlib.contextmanager
def broken() -> Iterator[None]:
    """A cache that takes any file of the user's for an entry."""
    find = _cache.find
    _cache.find = lambda path: _cache._read_own(path) is not None
    try:
        yield
    finally:
        _cache.find = find
