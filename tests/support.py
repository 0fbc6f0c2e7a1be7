"""What tests use: waiting for what is bound to come, and the C tasks of tests/tasks."""

from __future__ import annotations

import ctypes
import pathlib
import shutil
import sysconfig
import time
from collections.abc import Callable

import pytest

import pygostop as gs

HERE = pathlib.Path(__file__).parent
VERSION = int(
    (pathlib.Path(gs.get_include()) / "pygostop.h")
    .read_text()
    .partition("#define GS_VERSION ")[2]
    .split()[0]
)
# For programs that tests start. On a busy machine any task may be held up for long: a BlockingWarning is
# no fault of theirs.
WARNINGS = ("-W", "error", "-W", "ignore:task:RuntimeWarning")
WAIT = 20.0  # seconds: how long a test waits for what is bound to come, on a busy machine


def eventually(condition: Callable[[], object], seconds: float = WAIT) -> bool:
    """Whether the condition comes true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def compiler() -> str:
    """The C compiler; the test is skipped where there is none."""
    cc = (sysconfig.get_config_var("CC") or "cc").split()[0]
    found = shutil.which(cc) or shutil.which("cc")
    if not found:
        pytest.skip("there is no C compiler here")
    return found


class Probe:
    """CTasks of a library, by the name of their function."""

    def __init__(self, path: pathlib.Path) -> None:
        self.library = ctypes.CDLL(str(path))

    def __getattr__(self, name: str) -> gs.CTask:
        return gs.CTask(getattr(self.library, name))
