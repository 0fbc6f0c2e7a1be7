"""The programs of docs/native.md run and print what it says, its C files compile, and what it quotes is so.

Each C file begins with its name, and is there for the programs.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

import pygostop as gs
from support import HERE, VERSION, WAIT, compiler

GUIDE = (HERE.parent / "docs" / "native.md").read_text()
PACKAGE = HERE.parent / "examples" / "native-package"
HEADER = (pathlib.Path(gs.get_include()) / "pygostop.h").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


FILES = {text[3:].split(" ", 1)[0]: text for text in blocks("c")}
PROGRAMS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def is_quoted(program: str) -> bool:
    """It is a line of the package, and no program."""
    return program.startswith("_tasks = gs.load(")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with the C files, the library that the shell makes, and the extension module."""
    place = tmp_path_factory.mktemp("guide")
    for name, text in FILES.items():
        (place / name).write_text(text)
    (command,) = blocks("sh")
    bin_first = f'PATH="{pathlib.Path(sys.executable).parent}:$PATH"\n'
    subprocess.run(["sh", "-ec", bin_first + command], cwd=place, check=True)
    flags = ["-shared", "-fPIC", f"-I{gs.get_include()}", f"-I{sysconfig.get_path('include')}"]
    subprocess.run([compiler(), *flags, "-o", "squares.so", "squares.c"], cwd=place, check=True)
    return place


@pytest.mark.parametrize("standard", ["c99", "c11"])
@pytest.mark.parametrize("name", FILES)
def test_the_file_compiles_without_a_warning(name: str, standard: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    flags = [f"-std={standard}", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC"]
    includes = [f"-I{gs.get_include()}", "-isystem", sysconfig.get_path("include")]
    subprocess.run([compiler(), *flags, *includes, "-o", "tasks.so", name], cwd=tmp_path, check=True)
    if "GS_EXPORT" in FILES[name]:
        assert len(gs.load(tmp_path / "tasks.so")) >= 1


@pytest.mark.parametrize("name", [name for name in FILES if "GS_EXPORT" in FILES[name]])
def test_the_file_is_cplusplus_as_well(name: str, tmp_path: pathlib.Path) -> None:
    if not shutil.which("c++"):
        pytest.skip("there is no C++ compiler here")
    (tmp_path / name).write_text(FILES[name])
    flags = ["-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{gs.get_include()}"]
    subprocess.run(["c++", *flags, "-o", "tasks.so", name], cwd=tmp_path, check=True)


def test_every_program_says_what_it_prints() -> None:
    quoted = [text for text in blocks("python") if is_quoted(text)]
    assert len(PROGRAMS) + len(quoted) == len(blocks("python"))
    assert len(PROGRAMS) > 10


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_the_program_prints_what_the_guide_says(
    program: str, output: str, place: pathlib.Path
) -> None:
    if "import cffi" in program:
        pytest.importorskip("cffi")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program],
        cwd=place,
        env={
            **os.environ,
            "PYTHONPATH": str(place),
            "PYGOSTOP_CACHE": str(place / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=3 * WAIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_what_it_quotes_of_the_package_stands_there() -> None:
    files = {
        "python": "src/nearly/__init__.py",
        "toml": "pyproject.toml",
        "cmake": "CMakeLists.txt",
    }
    for language, name in files.items():
        text = (PACKAGE / name).read_text()
        quoted = [block for block in blocks(language) if language != "python" or is_quoted(block)]
        assert quoted, language
        for block in quoted:
            assert block in text, block


def test_every_call_of_the_header_is_named() -> None:
    calls = re.findall(r"static inline .*?\b(gs_[a-z]\w*)\(", HEADER)
    calls += re.findall(r"^#define (gs_[a-z]\w*)\(", HEADER, re.MULTILINE)
    assert len(calls) > 50
    assert [name for name in calls if f"`{name}`" not in GUIDE] == []


def test_its_links_lead_somewhere() -> None:
    headings = re.findall(r"^## (.*)$", GUIDE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert (HERE.parent / "docs" / link).exists(), link


def test_the_refusal_of_a_newer_table_is_as_it_says(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "newer.c").write_text(
        f"#include <pygostop.h>\n#undef GS_VERSION\n#define GS_VERSION {VERSION + 1}\n"
        "GS_TASK(one) { return GS_OK; }\nGS_EXPORT(one);\n"
    )
    with pytest.raises(gs.Error) as refused:
        gs.compile(tmp_path / "newer.c")
    quoted = re.findall(r'"(was built against version [^"]*)"', " ".join(GUIDE.split()))
    assert len(quoted) == 1
    assert quoted[0] in str(refused.value)
