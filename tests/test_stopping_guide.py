"""The programs of docs/stopping-tasks.md run, and print what it says, on stderr too."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from support import HERE, WAIT, WARNINGS

GUIDE = (HERE.parent / "docs" / "stopping-tasks.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
TITLES = [
    "three ways",
    "cancelled",
    "after_func",
    "limits",
    "group",
    "ctrl_c",
    "exit",
    "blocking_warning",
    "blocking",
    "all_tasks",
    "collector",
]


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == GUIDE.count("```python") == len(TITLES)


@pytest.mark.parametrize("program, output", PROGRAMS, ids=TITLES)
def test_the_program_prints_what_the_guide_says(program: str, output: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "program.py").write_text(program)
    warnings = () if "BlockingWarning" in output else WARNINGS
    done = subprocess.run(
        [sys.executable, "-P", *warnings, "program.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3 * WAIT,
    )
    said = done.stdout.replace(f"{tmp_path}/", "")
    assert (done.returncode, said) == (0, output)
