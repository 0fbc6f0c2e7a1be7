"""The system's C compiler: which it is, and running it.

It runs in a process group of its own, so that what it started is stopped with it. Whoever waits for
it is a task or thread that parks: another thread sits in the system call.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import NamedTuple

from pygostop import _core
from pygostop._blocking import in_a_thread
from pygostop._errors import CompileError

_USUAL = ("cc", "gcc", "clang")
_DYING = 5.0  # seconds that a killed compiler may take to disappear


def stamp(path: str) -> tuple[str, int, int, int]:
    """Differs where a file does. Whoever sets its time of change by hand cannot set both of them."""
    found = os.stat(path)
    return os.path.realpath(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Compiler:
    """A C compiler: the words that start it, and what tells it from others."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.identity = stamp(words[0])


def _search_path() -> str:
    """PATH without what is relative, the current directory foremost: that may be anybody's."""
    path = os.environ.get("PATH", os.defpath)
    return os.pathsep.join(place for place in path.split(os.pathsep) if os.path.isabs(place))


def _find_program(name: str) -> str | None:
    """The absolute path of a program: from PATH, or where a name that is a path says."""
    found = shutil.which(name, path=_search_path())
    return os.path.abspath(found) if found else None


def find_compiler() -> Compiler:
    """As the environment's CC has it, which may have options too, else cc, gcc or clang.

    CompileError where there is none.
    """
    asked = os.environ.get("CC", "").strip()
    if asked:
        try:
            words = shlex.split(asked)
        except ValueError as error:
            raise CompileError(f"the environment variable CC is {asked!r}: {error}") from None
        path = _find_program(words[0])
        if not path:
            why = ""
            if shutil.which(words[0]):
                why = " but in a relative entry of PATH, which is not looked into"
            raise CompileError(
                f"the environment variable CC is {asked!r}, and there is no program "
                f"{words[0]!r}{why}"
            )
        return Compiler([path, *words[1:]])
    for name in _USUAL:
        path = _find_program(name)
        if path:
            return Compiler([path])
    raise CompileError(
        "there is no C compiler here: none of cc, gcc and clang is on PATH. Install one (Debian, "
        "Ubuntu: apt install gcc libc6-dev; Fedora: dnf install gcc; Alpine: apk add gcc musl-dev; "
        "macOS: xcode-select --install), or name one in the environment variable CC"
    )


def _kill(process: subprocess.Popen[bytes], ended: _core.Chan[None]) -> None:
    """Ends the process group of a compiler that nobody wants any more, and waits for that."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
    with _core.shield():
        try:
            ended.recv_ok(_DYING)
        except TimeoutError:
            pass


def _wait(process: subprocess.Popen[bytes], timeout: float | None) -> int | None:
    """Its status; None once the time is over. Whatever ends the wait ends the process too."""
    ended: _core.Chan[None] = _core.Chan()

    def wait(release: Callable[[], None]) -> None:
        try:
            threading.current_thread().name = "pygostop-compiler"
            process.wait()
        except MemoryError:
            pass  # the caller waits by itself
        finally:
            ended.close()
        release()

    try:
        in_a_thread(wait)
    except BaseException:  # there is none, and nobody who waits for the process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    try:
        ended.recv_ok(timeout)
    except BaseException as error:
        _kill(process, ended)
        if isinstance(error, TimeoutError):
            return None
        raise
    return process.wait()


class Ended(NamedTuple):
    """What became of a compiler."""

    status: int | None
    """Negative: the signal that ended it. None: it was stopped, as its time was over."""
    output: bytes
    said: str
    """On stderr."""


def run(command: list[str], workspace: str, timeout: float | None) -> Ended:
    """Runs a compiler, with its temporary files in the workspace. A checkpoint; parks.

    Stopped by a cancel or by Ctrl-C, it is killed with all that it started.
    """
    out_path, err_path = os.path.join(workspace, "out"), os.path.join(workspace, "err")
    with open(out_path, "wb") as out, open(err_path, "wb") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "PATH": _search_path(), "TMPDIR": workspace},
            process_group=0,
        )
        status = _wait(process, timeout)
    with open(out_path, "rb") as output, open(err_path, encoding="utf-8", errors="replace") as said:
        return Ended(status, output.read(), said.read())
