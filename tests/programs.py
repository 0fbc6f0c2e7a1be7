"""What tests use that run a Python of their own."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator

from support import WAIT, WARNINGS

# As root nothing is unreadable: then the program goes on as another user, who may not be able to import
# anything any more.
AS_ANOTHER_USER = """\
import argparse, logging, os, sys
import pygostop as gs
from pygostop import digest, tasks
from pygostop.__main__ import main
argparse.ArgumentParser().format_help()  # it imports late
if os.geteuid() == 0:
    os.seteuid(65534)
"""


def python(program: str, *arguments: str) -> list[str]:
    """The command that runs a program away from the source tree."""
    return [sys.executable, "-P", *WARNINGS, "-c", program, *arguments]


def run_program(program: str, *arguments: str, as_another_user: bool = False) -> str:
    """Runs a program; what it says on stdout."""
    program = AS_ANOTHER_USER * as_another_user + textwrap.dedent(program)
    command = python(program, *arguments)
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=3 * WAIT, check=True)
    return ended.stdout


@contextlib.contextmanager
def directory_open_to_all() -> Iterator[pathlib.Path]:
    """A directory that another user may read too, which those of pytest are not."""
    path = pathlib.Path(tempfile.mkdtemp())
    path.chmod(0o755)
    try:
        yield path
    finally:
        for inside in path.rglob("*"):
            if not inside.is_symlink():
                inside.chmod(0o755)
        shutil.rmtree(path)
