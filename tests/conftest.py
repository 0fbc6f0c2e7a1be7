"""The fixtures of all tests, and the check that a test leaves nothing running."""

from __future__ import annotations

import math
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest

import pygostop as gs
from support import HERE, WARNINGS, Probe, compiler, eventually

# The programs that tests start are to import the pygostop that is installed, not the sources that
# the tests may have been started beside.
os.environ["PYTHONSAFEPATH"] = "1"

# A shell starts what runs in the background with Ctrl-C ignored, which programs inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# On a busy machine any task may be held up for long. The tests of the warning turn it on.
gs.configure(blocking_warning=math.inf)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Every test ends its tasks and its threads."""
    threads = set(threading.enumerate())

    def left() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t not in threads and not t.daemon]

    yield
    assert eventually(lambda: not gs.all_tasks()), f"tasks left running: {gs.all_tasks()}"
    assert eventually(lambda: not left()), f"threads left running: {left()}"


@pytest.fixture(scope="session")
def probe_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The shared library of the C tasks in tests/tasks/probe.c; with the sanitizers where Python runs with theirs."""
    sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitized else []
    library = tmp_path_factory.mktemp("tasks") / "probe.so"
    subprocess.run(
        [
            compiler(),
            *("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC"),
            *sanitize,
            f"-I{gs.get_include()}",
            *("-o", str(library), str(HERE / "tasks" / "probe.c")),
        ],
        check=True,
    )
    return library


@pytest.fixture(scope="session")
def probe(probe_path: pathlib.Path) -> Probe:
    return Probe(probe_path)


@pytest.fixture
def run_python(tmp_path: pathlib.Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a Python of its own, away from the source tree."""

    def run(program: str) -> subprocess.CompletedProcess[str]:
        # A child that is forked while the runtime runs is what the tests of fork are about.
        warnings = (*WARNINGS, "-W", "ignore:This process:DeprecationWarning")
        return subprocess.run(
            [sys.executable, "-P", *warnings, "-c", textwrap.dedent(program)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
