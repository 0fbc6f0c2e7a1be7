"""examples/native-package becomes a wheel against the installed pygostop, and passes its own tests from there.

`.ci/run package` does the same with the wheel of pygostop, in environments that have nothing else.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from support import HERE, WAIT, compiler

PROJECT = HERE.parent / "examples" / "native-package"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    pytest.importorskip("scikit_build_core")
    pytest.importorskip("pip")
    compiler()
    if not shutil.which("cmake") or not shutil.which("ninja"):
        pytest.skip("there is no cmake and ninja here")
    where = tmp_path_factory.mktemp("wheel")
    project = shutil.copytree(PROJECT, where / "project")
    command = [sys.executable, "-P", "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*command, "-w", where, project], check=True)
    (built,) = where.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the package can be imported, with all that is installed besides."""
    where = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(where)
    return {**os.environ, "PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"}


def test_one_wheel_is_for_every_python(wheel: pathlib.Path) -> None:
    assert re.fullmatch(r"nearly-0\.1\.0-py3-none-\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if name.startswith("nearly/")}
    assert inside == {"nearly/__init__.py", "nearly/py.typed", "nearly/_tasks.so"}


def test_its_own_tests_pass(installed: dict[str, str]) -> None:
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", PROJECT / "pyproject.toml"]
    done = subprocess.run(
        [*command, PROJECT / "tests"], env=installed, capture_output=True, text=True, timeout=10 * WAIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout


def test_the_program_of_its_readme_runs(installed: dict[str, str], tmp_path: pathlib.Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program],
        env=installed, cwd=tmp_path, capture_output=True, text=True, timeout=3 * WAIT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *matches, last = done.stdout.splitlines()
    assert (first, last) == ("3", "stopped: []")
    assert "Match(end=9, errors=1)" in matches
