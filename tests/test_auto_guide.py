"""The program of docs/auto-checkpoints.md prints what it says, and its lists are the code's."""

from __future__ import annotations

import re
import subprocess
import sys

from pygostop._auto import ALLOCATOR
from support import HERE, WAIT, compiler

GUIDE = (HERE.parent / "docs" / "auto-checkpoints.md").read_text()


def test_the_program_prints_what_the_guide_says() -> None:
    compiler()
    programs = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL
    )
    assert len(programs) == 1
    program, output = programs[0]
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=3 * WAIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_the_functions_of_the_allocator_are_all_named() -> None:
    known = GUIDE.split("These of the allocator are known")[1].split("\n\n")[0]
    assert {
        name for name in ALLOCATOR if not name.startswith("__") and f"`{name}`" not in known
    } == set()
