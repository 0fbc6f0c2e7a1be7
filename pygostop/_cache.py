"""Directories for shared libraries that this process makes: the user's cache, and one of its own.

What always holds: a directory that is used here belongs to the user, is no symbolic link, cannot be
written by anybody else (root aside), and lies where nobody else can put another in its place: each
directory that leads there belongs to the user or to root, and others cannot write to it, or it is
sticky. It is used by its real path, so that no symbolic link is followed once that was seen. A file
in the cache appears by a rename, whole, and ends in a digest of itself: what was torn by a crash is
not found. So any number of processes and threads may use the cache at once, and anybody may empty
it; and what was looked at is what is loaded, as nobody else can change it in between.
"""

from __future__ import annotations

import atexit
import contextlib
import grp
import hashlib
import logging
import os
import pwd
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator

from pygostop._errors import Error

log = logging.getLogger("pygostop.cache")

_DIGEST = 32  # bytes, at the end of each file
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


# ---- a directory that only the user can write ----


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"


def _is_unknown(uid: int) -> bool:
    """Whether that stands for any user whom the namespace of this process does not know.

    Who made the namespace answers for what it shows of them, such as root's directories.
    """
    try:
        with open("/proc/self/uid_map") as known, open("/proc/sys/kernel/overflowuid") as unknown:
            return known.read().split() != ["0", "0", "4294967295"] and uid == int(unknown.read())
    except OSError:
        return False


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid()) or _is_unknown(uid)


def _is_for_owner(path: str, found: os.stat_result) -> bool:
    """Whether the group that may write there is the owner's own, and nobody else is in it."""
    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
        # The mode does not tell the group from those that an access list names.
        listed = hasattr(os, "listxattr") and "system.posix_acl_access" in os.listxattr(path)
    except (KeyError, OSError):
        return False
    return (
        not listed
        and found.st_gid == owner.pw_gid
        and group.gr_name == owner.pw_name
        and set(group.gr_mem) <= {owner.pw_name}
    )


def _place_fault(place: str) -> str | None:
    """Why others could put something else in the place of what is in a directory, or of itself."""
    for found in (os.lstat(place), os.stat(place)):  # where it is a symbolic link, they differ
        if not _is_trusted(found.st_uid):
            return f"lies in {place!r}, which belongs to user {found.st_uid}"
    if found.st_mode & stat.S_ISVTX:
        return None
    if found.st_mode & stat.S_IWOTH:
        return f"lies in {place!r}, which everybody can write to ({_mode(found)})"
    if found.st_mode & stat.S_IWGRP and not _is_for_owner(place, found):
        return f"lies in {place!r}, which group {found.st_gid} can write to ({_mode(found)})"
    return None


def _way(path: str) -> list[str]:
    """The directories that lead to an absolute path, from the root: when one is looked at, those
    before it hold."""
    way: list[str] = []
    while path != (path := os.path.dirname(path)):
        way.insert(0, path)
    return way


def _fault(path: str) -> str | None:
    """Why the directory at path, a real and absolute one, cannot be used, in words; None: it can."""
    for place in _way(path):
        fault = _place_fault(place)
        if fault:
            return fault
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link; it must be a directory itself"
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, and this process is of user {os.geteuid()}"
    if found.st_mode & _OTHERS:
        return f"can be written by others ({_mode(found)}); do: chmod 700 {path}"
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"cannot be written ({_mode(found)})"
    flags = os.statvfs(path).f_flag
    if flags & os.ST_RDONLY:
        return "lies on a file system that is mounted read-only"
    if flags & getattr(os, "ST_NOEXEC", 0):
        return "lies on a file system that is mounted noexec: no code can be loaded from there"
    return None


# ---- where the cache is to be ----


def _chosen() -> tuple[str, bool]:
    """Its path, and whether the user asked for that very place."""
    asked = os.environ.get("PYGOSTOP_CACHE")
    if asked:
        return os.path.abspath(asked), True
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the XDG specification has it, for what is relative too
        home = os.path.expanduser("~") if os.environ.get("HOME") != "" else ""
        base = os.path.join(home, ".cache")
    return os.path.normpath(os.path.join(base, "pygostop")), False


def _make_directory(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _make_cache(path: str) -> tuple[str, str | None]:
    """Makes the directory, with mode 0700, where there is none, and those that lead to it.

    Its real path, and why it cannot be used, or None. Nothing is made below a directory that is
    somebody else's.
    """
    if not os.path.isabs(path):
        return path, "is not an absolute path: this user has no home directory"
    try:
        for place in _way(path):
            _make_directory(place)
            fault = _place_fault(place)
            if fault:
                return path, fault
        directory, name = os.path.split(path)
        path = os.path.join(os.path.realpath(directory), name)
        _make_directory(path)
        return path, _fault(path)
    except OSError as error:
        return path, f"cannot be used: {error}"


# ---- a directory of this process ----

_lock = threading.Lock()  # guards _own
_own: tuple[int, str] | None = None  # of which process, and where


def _is_good(own: tuple[int, str]) -> bool:
    """Not that of a parent that forked, and there still: old temporary files may be cleared away,
    and anybody may make others of the same names then."""
    try:
        return own[0] == os.getpid() and _fault(own[1]) is None
    except OSError:
        return False


def _remove_own() -> None:
    if _own and _is_good(_own):
        shutil.rmtree(_own[1], ignore_errors=True)


def _make_own() -> str:
    cache, fault = _make_cache(_chosen()[0])
    places = [tempfile.gettempdir()]
    if fault is None:
        places.append(cache)  # where the directory for temporary files is noexec
    for place in places:
        path = tempfile.mkdtemp(prefix="pygostop-", dir=os.path.realpath(place))
        fault = _fault(path)
        if fault is None:
            return path
        os.rmdir(path)
    raise OSError(f"{path!r} {fault}; set TMPDIR or PYGOSTOP_CACHE to another directory")


def process_directory() -> str:
    """A directory for this process alone, the same as long as it is there; removed at its exit.

    OSError where there is no place for one.
    """
    global _own
    with _lock:
        if _own is None:
            atexit.register(_remove_own)
        if _own is None or not _is_good(_own):
            _own = os.getpid(), _make_own()
        return _own[1]


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)

# ---- the user's cache ----


def directory() -> str:
    """The directory of the cache, made where it was not there.

    PYGOSTOP_CACHE names it; Error where that cannot be used. Otherwise it is pygostop in
    XDG_CACHE_HOME, or in ~/.cache; where that cannot be used, for a home that is read-only or
    somebody else's, a directory of this process stands in for it.
    """
    path, asked = _chosen()
    cache, fault = _make_cache(path)
    if fault is None:
        return cache
    if asked:
        raise Error(f"PYGOSTOP_CACHE: {path!r} {fault}")
    log.info("%r is not used as a cache: it %s", path, fault)
    return process_directory()


@contextlib.contextmanager
def workspace(cache: str) -> Iterator[str]:
    """A directory inside the cache for one build, removed after it."""
    path = tempfile.mkdtemp(prefix="build-", dir=cache)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _open_own(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _read_own(path: str) -> bytes | None:
    """What is in a regular file that nobody else could have written; None: there is none."""
    try:
        with open(path, "rb", opener=_open_own) as file:
            found = os.fstat(file.fileno())
            if (
                not stat.S_ISREG(found.st_mode)
                or found.st_uid != os.geteuid()
                or found.st_mode & _OTHERS
                or found.st_nlink != 1  # it has another name, in a directory of who knows whom
            ):
                return None
            return file.read()
    except OSError:
        return None


def find(path: str) -> bool:
    """Whether the file is in the cache, whole and the user's own."""
    data = _read_own(path)
    return data is not None and _sealed(data[:-_DIGEST]) == data


def store(path: str, built: str) -> None:
    """Puts the file built, in a workspace of the cache, at path, whatever was there."""
    with open(built, "rb") as file:
        data = file.read()
    fresh = built + ".sealed"
    with open(fresh, "xb", opener=lambda path, flags: os.open(path, flags, 0o700)) as file:
        file.write(_sealed(data))
    os.replace(fresh, path)


def _sealed(data: bytes) -> bytes:
    """With its digest behind it, where the loader and debuggers do not look."""
    return data + hashlib.blake2b(data, digest_size=_DIGEST).digest()
