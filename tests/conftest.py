"""What all tests share: the C tasks of tests/tasks, and the check that a test leaves nothing running."""

from __future__ import annotations

import ctypes
import pathlib
import shutil
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import pygostop as gs

HERE = pathlib.Path(__file__).parent
WAIT = 20.0  # seconds: how long a test waits for what is bound to come, on a busy machine


def eventually(condition: Callable[[], object], seconds: float = WAIT) -> bool:
    """Whether the condition comes true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Every test ends its tasks and its threads."""
    threads = set(threading.enumerate())
    yield
    left = lambda: [t for t in threading.enumerate() if t not in threads and not t.daemon]  # noqa: E731
    assert eventually(lambda: not gs.tasks()), f"tasks left running: {gs.tasks()}"
    assert eventually(lambda: not left()), f"threads left running: {left()}"


def compiler() -> str:
    cc = (sysconfig.get_config_var("CC") or "cc").split()[0]
    found = shutil.which(cc) or shutil.which("cc")
    if not found:
        pytest.skip("there is no C compiler here")
    return found


@pytest.fixture(scope="session")
def probe_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The shared library of the C tasks in tests/tasks/probe.c."""
    library = tmp_path_factory.mktemp("tasks") / "probe.so"
    subprocess.run(
        [
            compiler(),
            *("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC"),
            f"-I{gs.get_include()}",
            *("-o", str(library), str(HERE / "tasks" / "probe.c")),
        ],
        check=True,
    )
    return library


class Probe:
    """CTasks of the library, by the name of their function."""

    def __init__(self, path: pathlib.Path) -> None:
        self.library = ctypes.CDLL(str(path))

    def __getattr__(self, name: str) -> gs.CTask:
        return gs.CTask(getattr(self.library, name))


@pytest.fixture(scope="session")
def probe(probe_path: pathlib.Path) -> Probe:
    return Probe(probe_path)
