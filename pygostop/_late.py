"""The warning for a Python task that keeps its worker's thread while others wait for it."""

from __future__ import annotations

import warnings
from types import FrameType

from pygostop._core import Task
from pygostop._errors import BlockingWarning


def warn(frame: FrameType, task: Task) -> None:
    """Names the line of the caller's code that ``frame``, the innermost one of the task, is at."""
    line = frame.f_lineno  # None between the lines of the source
    while frame.f_globals.get("__name__", "").partition(".")[0] == "pygostop" and frame.f_back:
        frame = frame.f_back
        line = frame.f_lineno
    warnings.warn_explicit(
        f"task {task.name!r} keeps its thread while other tasks wait for it: use gs.sleep, gs.blocking() or "
        "thread=True for what blocks, and gs.checkpoint() in what computes",
        BlockingWarning,
        frame.f_code.co_filename,
        line or frame.f_code.co_firstlineno,
        module=frame.f_globals.get("__name__"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
