"""The README's programs run, and print what it says."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pygostop as gs
from support import HERE, WAIT, compiler

README = (HERE.parent / "README.md").read_text()
IMPORTS = "import ctypes\nimport pygostop as gs\nfrom pygostop import tasks\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(program: str, cwd: pathlib.Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_first_program_prints_primes_and_stops_the_task(tmp_path: pathlib.Path) -> None:
    lines = run(blocks("python")[0], tmp_path)
    assert lines[:5] == ["2", "3", "5", "7", "11"]
    assert lines[-1] == "<Task 'primes' #1 cancelled>"


def test_each_way_to_stop_does_what_it_says(tmp_path: pathlib.Path) -> None:
    assert run(IMPORTS + "".join(blocks("python")[1:4]), tmp_path) == [
        "('hello', True) (None, False)",
        "['again', 'again', 'again', 'again', 'again', 'again']",
        "True closing time",
    ]


def test_the_task_of_ones_own_compiles_and_runs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "count_down.c").write_text(blocks("c")[0])
    subprocess.run(
        [
            compiler(),
            *("-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", f"-I{gs.get_include()}"),
            *("-o", "count_down.so", "count_down.c"),
        ],
        cwd=tmp_path,
        check=True,
    )
    own = IMPORTS + "ch = gs.Chan(6, int)\n" + blocks("python")[4]
    counted = run(own + "print(sorted(ch.recv() for _ in range(6)))", tmp_path)
    assert counted == ["[1, 1, 2, 2, 3, 3]"]  # of two tasks side by side


def test_the_groups_program_prints_the_squares(tmp_path: pathlib.Path) -> None:
    assert run(IMPORTS + blocks("python")[5], tmp_path) == ["[0, 1, 4, 9, 16]"]
