"""Finds what nearly matches. The work is done in C, without the GIL, and stops when it is asked to.

    distance(b"kitten", b"sitting")               # 3
    with find(b"needle", haystack, 1) as search:  # at most one byte put in, left out or changed
        for match in search: ...
"""

from __future__ import annotations

import pathlib
import weakref
from typing import TYPE_CHECKING, NamedTuple

import pygostop as gs

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

__all__ = ["Match", "Search", "distance", "find"]

# In an editable install the library is not beside this file, but in another place of the package.
_tasks = gs.load(next(path for place in __path__ if (path := pathlib.Path(place, "_tasks.so")).is_file()))


class Match(NamedTuple):
    """Where the pattern nearly stands: the index behind it in the text, and how many errors it has."""

    end: int
    errors: int


def distance(a: Buffer, b: Buffer) -> int:
    """How many bytes must be put in, left out or changed to make ``b`` of ``a``.

    Ctrl-C, a timeout or a cancelled scope of pygostop stop it.
    """
    return int(_tasks.distance(a, b))


class Search:
    """The matches, in the order of their ends, as they are found; for ``for`` and ``async for``.

    It searches while nobody looks, up to 64 matches ahead. Leaving its ``with`` block stops it.
    """

    def __init__(self, pattern: Buffer, text: Buffer, errors: int) -> None:
        found = gs.Chan(64, "qq")
        self._found = found.receiver()
        self._task = gs.go(_tasks.find, pattern, text, errors, found)
        # However it ends, and though it may never begin.
        self._task.add_done_callback(lambda _: found.close())
        weakref.finalize(self, self._task.cancel).atexit = False

    @property
    def progress(self) -> float:
        """The part of the text that has been searched: from 0 to 1."""
        said = self._task.progress
        return said.done / said.total if said else 0.0

    def close(self) -> None:
        """Stop, and wait until the text is not read any more. A search that is over stays as it is."""
        self._task.cancel("the search was closed")
        with gs.shield():
            self._task.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Match:
        try:
            return Match(*self._found.recv())
        except gs.ChannelClosed:
            self._task.result()
            raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Match:
        try:
            return Match(*await self._found.recv_async())
        except gs.ChannelClosed:
            await self._task
            raise StopAsyncIteration from None


def find(pattern: Buffer, text: Buffer, errors: int = 0) -> Search:
    """Search ``text`` for what differs from ``pattern`` by at most ``errors`` bytes.

    The text is not copied, and must not change while the search goes on. TypeError for arguments of
    another kind; ``pygostop.TaskFailed`` from the iteration for a negative ``errors``.
    """
    return Search(pattern, text, errors)
