"""The main job: the CRC-32 of every file under a directory, by C tasks in a bounded pipeline.

``walk`` sends paths, as many ``crc32`` as there are jobs read the files, and what they found comes out
of one channel. However the block around it is left, by its end, Ctrl-C, a timeout or an error, all
tasks have ended when it has been left.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import sys
import time
from collections.abc import Iterator

import pygostop as gs
from pygostop import tasks
from pygostop.tasks import FileSum, file_sum

__all__ = ["digest", "file_sums"]

_WAITING = 256  # paths, and results, on the way at once
_REDRAWN = 0.1  # seconds between two states of the progress line
_LOOKED = 0.05  # seconds between two looks at the scope, while nobody reads the output

EXIT_OK, EXIT_UNREADABLE, EXIT_TROUBLE = 0, 1, 2
EXIT_TIMED_OUT, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 124, 130, 141


@contextlib.contextmanager
def file_sums(root: str | bytes | os.PathLike[str], jobs: int) -> Iterator[Iterator[list[FileSum]]]:
    """A block in which ``jobs`` tasks read the files under ``root``; it gives what they found, as it comes.

    What is there is given together, a list at a time. ``TaskFailed`` from the iterator, its code the
    errno, where ``root`` is no directory that can be read.
    """
    paths: gs.Chan[bytes] = gs.Chan(_WAITING, bytes, name="paths")
    results: gs.Chan[bytes] = gs.Chan(_WAITING, bytes, name="results")
    with gs.cancel_scope() as scope:
        workers: list[gs.Task] = []
        try:
            workers.append(gs.go(tasks.walk, os.fsencode(root), paths, results))
            workers.extend(gs.go(tasks.crc32, paths, results) for _ in range(jobs))
            ended = itertools.count(1)

            # The first to end is walk, which has closed paths, or a crc32 that failed: then walk, which
            # may have nobody left to send to, and the others are to end too.
            def close_behind(_: gs.Task) -> None:
                paths.close()
                if next(ended) == len(workers):
                    results.close()

            for worker in workers:
                worker.add_done_callback(close_behind)
            yield _received(results, workers)
        finally:
            scope.cancel()
            with gs.shield():
                for worker in workers:
                    worker.wait()
                    if not worker.cancelled():
                        worker.exception()  # looked at: one failure is raised, and enough


def _received(results: gs.Chan[bytes], workers: list[gs.Task]) -> Iterator[list[FileSum]]:
    with contextlib.suppress(gs.ChannelClosed):
        while True:
            yield [file_sum(message) for message in results.recv_many(_WAITING)]
    for worker in workers:
        worker.result()


class _Output:
    """Where the lines go. A reader that is slow, or does not read at all, keeps no timeout from ending it.

    They are written past Python's buffer, in which what could not be written would be left, for the
    interpreter to fail with when it exits; and whole, for a pipe takes PIPE_BUF bytes or none.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, lines: bytes) -> None:
        done = 0
        while done < len(lines):
            if select.select((), (self.fd,), (), _LOOKED)[1]:
                most = done + select.PIPE_BUF
                end = len(lines) if most >= len(lines) else lines.rfind(b"\n", done, most) + 1
                done += os.write(self.fd, lines[done : end or most])
            else:
                gs.checkpoint()


class _Messages:
    """Standard error, with a line at its end that counts where it is a terminal.

    What cannot be written there is lost: there is no place left to say so.
    """

    def __init__(self) -> None:
        self.fd = sys.stderr.fileno() if sys.stderr else -1  # None: it was closed from the start
        self.encoding = sys.stderr.encoding if sys.stderr else "ascii"
        self.counting = self.fd >= 0 and os.isatty(self.fd)
        self.shown = False
        self.next = 0.0

    def say(self, text: str) -> None:
        self.clear()
        self._write(f"pygostop digest: {text}\n")

    def clear(self) -> None:
        if self.shown:
            self._write("\r\x1b[K")
            self.shown = False

    def count(self, text: str) -> None:
        if self.counting and time.monotonic() >= self.next:
            self.next = time.monotonic() + _REDRAWN
            self._write(f"\r\x1b[K{text}")
            self.shown = True

    def _write(self, text: str) -> None:
        left = text.encode(self.encoding, "backslashreplace")
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self.fd, left) :]


class _Report:
    """Writes what comes: a line a file as output, what could not be read as a message; and counts."""

    def __init__(self, output: _Output, messages: _Messages) -> None:
        self.output = output
        self.messages = messages
        self.files = self.size = self.unreadable = 0
        self.begun = time.monotonic()

    def write(self, sums: list[FileSum], strict: bool) -> bool:
        """False where it is to end here: something could not be read, and all has to be."""
        lines: list[bytes] = []
        error = None
        for one in sums:
            if one.error:
                self.unreadable += 1
                error = one.error
                self.messages.say(f"{_shown(one.path)}: {error.strerror}")
                if strict:
                    break
            else:
                self.files += 1
                self.size += one.size
                lines.append(b"%08x  %s\n" % (one.crc, one.path))
        if lines:
            self.messages.clear()
            self.output.write(b"".join(lines))
        self.messages.count(f"{self.files:,} files, {self.size / 1e6:,.1f} MB")
        return not (strict and error)

    def close(self, how: str) -> None:
        seconds = time.monotonic() - self.begun
        parts = [f"{self.files} files", f"{self.size} bytes", f"{seconds:.3f} seconds"]
        if self.unreadable:
            parts.append(f"{self.unreadable} unreadable")
        if how:
            parts.append(how)
        self.messages.say(", ".join(parts))


def _shown(path: bytes) -> str:
    """A path as text that any terminal and any encoding can show."""
    return path.decode(errors="backslashreplace")


def digest(
    root: str | bytes | os.PathLike[str],
    *,
    jobs: int,
    timeout: float | None = None,
    strict: bool = False,
) -> int:
    """The command ``python -m pygostop digest``: prints, and returns its exit status.

    ``0``; ``1``: some files or directories could not be read, and are named on stderr; ``2``: ``root``
    is no directory that can be read, or stdout could not be written; ``124``: the time ran out;
    ``130``: Ctrl-C; ``141``: nobody reads stdout any more. ``strict`` ends it at the first that cannot
    be read.
    """
    messages = _Messages()
    if not sys.stdout:
        messages.say("standard output is closed")
        return EXIT_TROUBLE
    report = _Report(_Output(sys.stdout.fileno()), messages)
    how = ""
    try:
        with gs.timeout(timeout), file_sums(root, jobs) as received:
            for sums in received:
                if not report.write(sums, strict):
                    how = "ended at the first unreadable one"
                    break
        status = EXIT_UNREADABLE if report.unreadable else EXIT_OK
    except gs.DeadlineExceeded:
        how, status = f"timed out after {timeout:g} s", EXIT_TIMED_OUT
    except KeyboardInterrupt:
        how, status = "interrupted", EXIT_INTERRUPTED
    except BrokenPipeError:
        how, status = "nobody reads the output any more", EXIT_BROKEN_PIPE
    except OSError as error:
        how, status = f"cannot write: {error.strerror}", EXIT_TROUBLE
    except gs.TaskFailed as failure:
        messages.say(failure.message)
        return EXIT_TROUBLE
    report.close(how)
    return status
