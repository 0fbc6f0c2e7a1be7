"""Tools that look into running code see into tasks: coverage, pdb. For sys.settrace, profilers, sys.monitoring and
faulthandler see test_pystate_isolation.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import WAIT

COVERED = """\
import pygostop as gs

def in_a_task(n):
    if n > 1:
        gs.checkpoint()
        n += 1
    else:
        n = "not reached"
    return n

def in_a_thread():
    gs.checkpoint()
    return 1

def in_blocking():
    return 1

def never():
    return "not reached"

with gs.Group() as group:
    for _ in range(3):
        group.go(in_a_task, 2)
    group.go(in_a_thread, thread=True)
    group.go(gs.blocking, in_blocking)
"""

DEBUGGED = """\
import pygostop as gs

def to_look_at(n):
    here = n + 1
    breakpoint()
    gs.checkpoint()
    return here + 1

ticks = gs.go(gs.sleep, 0.01)
print(gs.go(to_look_at, 4).result(), ticks.wait())
"""


@pytest.mark.parametrize("options", [[], ["--branch"]], ids=["lines", "branches"])
def test_coverage_sees_what_ran_in_tasks_and_no_more(tmp_path: Path, options: list[str]) -> None:
    pytest.importorskip("coverage")
    (tmp_path / "covered.py").write_text(COVERED)
    for arguments in (["run", "--include=covered.py", *options, "covered.py"], ["json", "-q"]):
        command = [sys.executable, "-P", "-m", "coverage", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3 * WAIT)
        assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "coverage.json").read_text())["files"]["covered.py"]
    lines = COVERED.splitlines()
    assert [lines[n - 1] for n in found["missing_lines"]] == [
        '        n = "not reached"',
        '    return "not reached"',
    ]


def test_pdb_stops_in_a_task_and_goes_through_it(tmp_path: Path) -> None:
    (tmp_path / "debugged.py").write_text(DEBUGGED)
    done = subprocess.run(
        [sys.executable, "-P", "debugged.py"],
        cwd=tmp_path,
        input="p here\nwhere\nnext\nnext\ncontinue\n",
        capture_output=True,
        text=True,
        timeout=3 * WAIT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "(Pdb) 5\n" in done.stdout
    assert "-> gs.checkpoint()" in done.stdout and "-> return here + 1" in done.stdout
    assert done.stdout.endswith("(Pdb) 6 True\n")
