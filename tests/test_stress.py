"""The short forms of the programs in tests/stress, and what many tasks leave behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pygostop import _core
from support import HERE


def test_a_storm_accounts_for_every_value() -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "stress" / "storm.py"), "--seconds", "3"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "all accounted for" in done.stdout


@pytest.fixture
def freed_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """AddressSanitizer keeps up to 256 MB of what was freed back, which is not to count as growth."""
    options = os.environ.get("ASAN_OPTIONS", "")
    small = "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:{small}")


@pytest.mark.usefixtures("freed_is_given_back")
def test_a_soak_is_flat() -> None:
    """The short form: long enough to see descriptors and threads grow, and leaks by the value."""
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "stress" / "storm.py"), *("--soak", "--seconds", "10", "--memory", "16")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(_core, "_fail"), reason="needs a build with GS_FAULTS")
def test_every_allocation_that_fails_is_a_memory_error_and_no_more() -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "stress" / "faults.py")],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", ["signal", "fork", "exit"])
def test_it_holds_at_any_moment(what: str) -> None:
    """Fifty random instants: the process ends, as it should and with nothing else to say."""
    if what == "fork" and "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("a fork while threads allocate stops AddressSanitizer")
    program = HERE / "stress" / "moments.py"
    done = subprocess.run(
        [sys.executable, "-P", str(program), "--what", what, "--rounds", "50"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"moments: 50 of {what}, 0 failed\n"


@pytest.mark.usefixtures("freed_is_given_back")
def test_memory_is_flat_over_a_hundred_thousand_tasks(run_python) -> None:
    """Objects and resident pages, of tasks that end, fail, are cancelled, and are members of groups."""
    done = run_python("""
        import gc, os, sys
        import pygostop as gs

        def resident():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        def fails():
            raise ValueError

        def ten_thousand():
            for _ in range(10):
                with gs.Group() as group:
                    for task in [group.go(int) for _ in range(400)]:
                        task.result()
                    for task in [group.go(gs.sleep, None) for _ in range(400)]:
                        task.cancel()
                try:
                    with gs.Group() as group:
                        for _ in range(100):
                            group.go(fails)
                except* ValueError:
                    pass
                tasks = [gs.go(fails) for _ in range(100)]
                assert all(isinstance(task.exception(), ValueError) for task in tasks)
            del tasks, task, group
            gc.collect()
            gs.checkpoint()
            return sys.getallocatedblocks(), resident()

        for _ in range(3):
            before = ten_thousand()
        for _ in range(10):
            after = ten_thousand()
        # 48 bytes a task would be more; one more worker, which a busy machine brings about, is less.
        print(after[0] - before[0] < 500, after[1] - before[1] < 4 << 20, after, before)
    """)
    assert done.stdout.startswith("True True"), done
