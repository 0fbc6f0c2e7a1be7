"""What select gives."""

from __future__ import annotations

from typing import Any, NamedTuple


class Selected(NamedTuple):
    """The case that happened: its index among the cases, its value, and whether there is one.

    ``index`` is -1 where ``nowait=True`` found nothing ready. ``value`` is what was received; a
    done Context gives its ``err()``, an ended Task itself, a send None. ``ok`` is False for a
    receive from a closed channel, else True.
    """

    index: int  # type: ignore[assignment]  # in the place of tuple.index, on purpose
    value: Any
    ok: bool


Selected.__module__ = "pygostop"
