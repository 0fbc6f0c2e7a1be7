"""The main job: the CRC-32 of every file under a directory, by C tasks in a bounded pipeline.

``walk`` sends paths, as many ``crc32`` as there are jobs read the files, and what they found comes out
of one channel. However the block around it is left, by its end, Ctrl-C, a timeout or an error, all
tasks have ended when it has been left.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO, TextIO

import pygostop as gs
from pygostop import tasks
from pygostop.tasks import FileSum, file_sum

__all__ = ["digest", "file_sums"]

_WAITING = 256  # paths, and results, on the way at once
_REDRAWN = 0.1  # seconds between two states of the progress line

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

            def close_after_the_last(_: gs.Task) -> None:
                if next(ended) == len(workers):
                    results.close()

            for worker in workers:
                worker.add_done_callback(close_after_the_last)
            yield _received(results, workers)
        finally:
            scope.cancel()
            with gs.shield():
                for worker in workers:
                    worker.wait()


def _received(results: gs.Chan[bytes], workers: list[gs.Task]) -> Iterator[list[FileSum]]:
    with contextlib.suppress(gs.ChannelClosed):
        while True:
            yield [file_sum(message) for message in results.recv_many(_WAITING)]
    for worker in workers:
        worker.result()


class _Progress:
    """A line on a terminal that counts; nothing elsewhere. Other output goes out between clear and show."""

    def __init__(self, err: TextIO) -> None:
        self.err = err
        self.on = err.isatty()
        self.shown = False
        self.next = 0.0

    def clear(self) -> None:
        if self.shown:
            self.err.write("\r\x1b[K")
            self.err.flush()
            self.shown = False

    def show(self, text: str) -> None:
        if self.on and time.monotonic() >= self.next:
            self.next = time.monotonic() + _REDRAWN
            self.err.write(f"\r\x1b[K{text}")
            self.err.flush()
            self.shown = True


class _Report:
    """Writes what comes: a line a file on ``out``, what could not be read on ``err``; and counts."""

    def __init__(self, out: BinaryIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self.files = self.size = self.unreadable = 0
        self.begun = time.monotonic()
        self.progress = _Progress(err)

    def write(self, sums: list[FileSum], strict: bool) -> bool:
        """False where it is to end here: something could not be read, and all has to be."""
        lines: list[bytes] = []
        error = None
        for one in sums:
            if one.error:
                self.unreadable += 1
                error = one.error
                self.say(f"{_shown(one.path)}: {error.strerror}")
                if strict:
                    break
            else:
                self.files += 1
                self.size += one.size
                lines.append(b"%08x  %s\n" % (one.crc, one.path))
        if lines:
            self.progress.clear()
            self.out.write(b"".join(lines))
            self.out.flush()
        self.progress.show(f"{self.files:,} files, {self.size / 1e6:,.1f} MB")
        return not (strict and error)

    def close(self, how: str) -> None:
        seconds = time.monotonic() - self.begun
        parts = [f"{self.files} files", f"{self.size} bytes", f"{seconds:.3f} seconds"]
        if self.unreadable:
            parts.append(f"{self.unreadable} unreadable")
        if how:
            parts.append(how)
        self.say(", ".join(parts))

    def say(self, text: str) -> None:
        self.progress.clear()
        self.err.write(f"pygostop digest: {text}\n")
        self.err.flush()


def _shown(path: bytes) -> str:
    """A path as text that any terminal and any encoding can show."""
    return path.decode(errors="backslashreplace")


def digest(
    root: str | bytes | os.PathLike[str],
    *,
    jobs: int,
    timeout: float | None = None,
    strict: bool = False,
    out: BinaryIO | None = None,
    err: TextIO | None = None,
) -> int:
    """The command ``python -m pygostop digest``: prints, and returns its exit status.

    ``0``; ``1``: some files or directories could not be read, and are named on ``err``; ``2``: ``root``
    is no directory that can be read, or ``out`` could not be written; ``124``: the time ran out;
    ``130``: Ctrl-C; ``141``: nobody reads ``out`` any more. ``strict`` ends it at the first that cannot
    be read.
    """
    report = _Report(out or sys.stdout.buffer, err or sys.stderr)
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
        report.say(failure.message)
        return EXIT_TROUBLE
    report.close(how)
    return status
