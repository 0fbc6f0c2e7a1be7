"""The programs of docs/event-loops.md run, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support import HERE, WAIT, WARNINGS

GUIDE = (HERE.parent / "docs" / "event-loops.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == GUIDE.count("```python") == 4


@pytest.mark.parametrize("program, output", PROGRAMS, ids=["asyncio", "to_thread", "futures", "trio"])
def test_the_program_prints_what_the_guide_says(program: str, output: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", *WARNINGS, "-c", program],
        capture_output=True,
        text=True,
        timeout=3 * WAIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")
