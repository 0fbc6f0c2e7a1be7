"""The main job: ``python -m pygostop digest`` and examples/digest_tree.py, over real trees."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

import pytest

import pygostop as gs
from programs import AS_ANOTHER_USER, directory_open_to_all, python
from pygostop import tasks
from pygostop.digest import file_sums
from support import WAIT

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "digest_tree.py"
BIG = 1 << 38  # bytes of a file with nothing in it, which takes minutes to read
CLOSING = r"pygostop digest: (\d+) files, (\d+) bytes, \d+\.\d{3} seconds"

# The command, and then a look whether it left a task behind.
COMMAND = """\
import sys
import pygostop as gs
from pygostop.__main__ import main
status = main(sys.argv[1:])
assert not gs.all_tasks(), gs.all_tasks()
sys.exit(status)
"""


def start(*arguments: str, program: str = COMMAND) -> subprocess.Popen[bytes]:
    command = python(program, *arguments)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*arguments: str, program: str = COMMAND) -> tuple[int, bytes, str]:
    """Its exit status, and what it said."""
    process = start(*arguments, program=program)
    out, err = process.communicate(timeout=3 * WAIT)
    return process.returncode, out, err.decode()


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A part of the standard library, and what file systems have besides."""
    root = tmp_path / "tree"
    for package in asyncio, json:
        source = pathlib.Path(package.__path__[0])
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, root / package.__name__, ignore=ignored)
    with open(os.fsencode(root) + b"/not text \xff\xfe", "wb") as file:
        file.write(b"bytes")
    (root / "empty").touch()
    (root / "名字").write_text("fisch")
    (root / "link").symlink_to("empty")
    (root / "loop").symlink_to(".")
    return root


@pytest.fixture
def endless(tmp_path: pathlib.Path) -> str:
    """A tree with one file that is done at once, and one that is not done before the test has ended."""
    root = tmp_path / "endless"
    (root / "below").mkdir(parents=True)
    (root / "small").write_text("fisch")
    with open(root / "below" / "big", "wb") as big:
        big.truncate(BIG)
    return str(root)


def lines_of(root: pathlib.Path) -> dict[bytes, int]:
    """What digest has to print, as Python finds it; and the files' sizes."""
    lines = {}
    for directory, _, files in os.walk(os.fsencode(root)):
        for file in files:
            path = os.path.join(directory, file)
            if not os.path.islink(path):
                with open(path, "rb") as opened:
                    data = opened.read()
                lines[b"%08x  %s" % (zlib.crc32(data), path)] = len(data)
    return lines


@pytest.mark.parametrize("jobs", ["1", "2", "16"])
def test_digest_prints_what_zlib_gives_for_every_file(tree: pathlib.Path, jobs: str) -> None:
    status, out, err = run("digest", str(tree), "--jobs", jobs)
    expected = lines_of(tree)
    assert sorted(out.splitlines()) == sorted(expected)
    closing = re.fullmatch(CLOSING + "\n", err)
    assert closing, err
    assert [int(n) for n in closing.groups()] == [len(expected), sum(expected.values())]
    assert status == 0


def test_digest_runs_as_a_module(tree: pathlib.Path) -> None:
    command = [sys.executable, "-P", "-m", "pygostop", "digest", str(tree)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=3 * WAIT)
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == len(lines_of(tree))


def test_an_empty_directory_has_no_lines(tmp_path: pathlib.Path) -> None:
    status, out, err = run("digest", str(tmp_path))
    assert (status, out) == (0, b"")
    assert err.startswith("pygostop digest: 0 files, 0 bytes, ")


def test_lines_come_as_the_files_are_done_and_ctrl_c_ends_it(endless: str) -> None:
    process = start("digest", endless)
    assert process.stdout is not None
    line = process.stdout.readline()  # while the other file is being read
    assert line == b"%08x  %s\n" % (zlib.crc32(b"fisch"), os.fsencode(endless) + b"/small")
    interrupted = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT)
    assert time.monotonic() - interrupted < 10
    assert process.returncode == 130
    assert re.fullmatch(CLOSING + ", interrupted\n", err.decode()), err


def test_the_timeout_ends_it(endless: str) -> None:
    status, out, err = run("digest", endless, "--timeout", "0.5")
    assert status == 124
    assert len(out.splitlines()) == 1
    assert re.fullmatch(CLOSING + ", timed out after 0.5 s\n", err), err


def test_a_timeout_of_nothing_reads_nothing(endless: str) -> None:
    status, out, err = run("digest", endless, "--timeout", "0")
    assert (status, out) == (124, b"")
    assert "timed out" in err


def test_a_reader_that_has_gone_ends_it(tmp_path: pathlib.Path) -> None:
    for n in range(3000):
        (tmp_path / f"{n}{'x' * 100}").touch()
    process = start("digest", str(tmp_path))
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(WAIT) == 141
    assert re.fullmatch(CLOSING + ", nobody reads the output any more\n", err), err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_said(tree: pathlib.Path) -> None:
    with open("/dev/full", "wb") as full:
        command = python(COMMAND, "digest", str(tree))
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=3 * WAIT)
    assert ended.returncode == 2
    assert ended.stderr.decode().endswith(f", cannot write: {os.strerror(errno.ENOSPC)}\n")


def test_closed_output_is_said(tree: pathlib.Path) -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", *python(COMMAND, "digest", str(tree))]
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=3 * WAIT)
    assert ended.returncode == 2
    assert ended.stderr.decode() == "pygostop digest: standard output is closed\n"


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full"])
def test_messages_that_cannot_be_written_change_nothing(tree: pathlib.Path, closing: str) -> None:
    command = ["sh", "-c", f'"$@" {closing}', "sh", *python(COMMAND, "digest", str(tree))]
    ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=3 * WAIT)
    assert ended.returncode == 0
    assert sorted(ended.stdout.splitlines()) == sorted(lines_of(tree))


@pytest.fixture
def more_than_a_pipe_holds(tmp_path: pathlib.Path) -> str:
    root = tmp_path / "many"
    root.mkdir()
    for n in range(2000):
        (root / f"{n}{'x' * 200}").touch()
    return str(root)


def test_the_timeout_ends_it_while_nobody_reads(more_than_a_pipe_holds: str) -> None:
    process = start("digest", more_than_a_pipe_holds, "--timeout", "1")
    assert process.wait(WAIT) == 124
    out, _ = process.communicate()
    assert set(out.splitlines(keepends=True)) <= {
        line + b"\n" for line in lines_of(pathlib.Path(more_than_a_pipe_holds))
    }


def test_ctrl_c_ends_it_while_nobody_reads(more_than_a_pipe_holds: str) -> None:
    process = start("digest", more_than_a_pipe_holds)
    assert process.stdout is not None
    process.stdout.peek()  # type: ignore[attr-defined]
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT) == 130
    process.communicate()


# ---- what cannot be read ----


@pytest.fixture
def partly_shut() -> Iterator[pathlib.Path]:
    with directory_open_to_all() as root:
        (root / "open").write_text("fisch")
        (root / "shut").write_text("fisch")
        (root / "shut").chmod(0)
        (root / "shut directory").mkdir()
        (root / "shut directory" / "inside").touch()
        (root / "shut directory").chmod(0)
        yield root


def test_what_cannot_be_read_is_named_and_the_rest_is_done(partly_shut: pathlib.Path) -> None:
    status, out, err = run("digest", str(partly_shut), program=AS_ANOTHER_USER + COMMAND)
    assert status == 1
    assert out == b"%08x  %s\n" % (zlib.crc32(b"fisch"), os.fsencode(partly_shut / "open"))
    *named, closing = err.splitlines()
    why = os.strerror(errno.EACCES)
    assert sorted(named) == [
        f"pygostop digest: {partly_shut}/shut directory: {why}",
        f"pygostop digest: {partly_shut}/shut: {why}",
    ]
    assert re.fullmatch(CLOSING + ", 2 unreadable", closing), err


def test_strict_ends_at_the_first_that_cannot_be_read(partly_shut: pathlib.Path) -> None:
    with open(partly_shut / "big", "wb") as big:
        big.truncate(BIG)
    (partly_shut / "big").chmod(0o644)
    status, _, err = run(
        "digest", str(partly_shut), "--strict", "--jobs", "3", program=AS_ANOTHER_USER + COMMAND
    )
    assert status == 1
    named, closing = err.splitlines()
    assert named.endswith(os.strerror(errno.EACCES))
    assert re.fullmatch(CLOSING + ", 1 unreadable, ended at the first unreadable one", closing), err


def test_a_directory_that_is_none_is_status_2(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    for name, code in ("none", errno.ENOENT), ("file", errno.ENOTDIR):
        path = tmp_path / name
        assert run("digest", str(path)) == (
            2,
            b"",
            f"pygostop digest: cannot read the directory {path}: {os.strerror(code)}\n",
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--jobs", "0"], "argument --jobs: must be an int from 1 to 1000, not '0'"),
        (["--jobs", "x"], "argument --jobs: must be an int from 1 to 1000, not 'x'"),
        (["--jobs", "9" * 30], "argument --jobs: must be an int from 1 to 1000"),
        (["--timeout", "-1"], "argument --timeout: must be a number of seconds, 0 or more, not '-1'"),
        (["--timeout", "nan"], "argument --timeout: must be a number of seconds, 0 or more, not 'nan'"),
        (["--timeout", "soon"], "argument --timeout: must be a number of seconds"),
    ],
)
def test_bad_options_are_status_2(tmp_path: pathlib.Path, arguments: list[str], words: str) -> None:
    status, out, err = run("digest", str(tmp_path), *arguments)
    assert (status, out) == (2, b"")
    assert words in err


def test_no_command_shows_what_there_is() -> None:
    status, out, err = run()
    assert (status, out) == (2, b"")
    assert "digest" in err and "demo" in err


def test_include_prints_where_the_header_is() -> None:
    status, out, _ = run("--include")
    assert status == 0
    assert (pathlib.Path(out.decode().rstrip("\n")) / "pygostop.h").is_file()


# ---- the terminal ----


def test_progress_is_for_a_terminal_only(endless: str) -> None:
    ours, theirs = pty.openpty()
    command = python(COMMAND, "digest", endless, "--timeout", "0.5")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 3 * WAIT)[0]:
        try:
            some = os.read(ours, 4096)
        except OSError:  # how Linux tells that the other end was closed
            break
        if not some:
            break
        said += some
    os.close(ours)
    process.communicate(timeout=WAIT)
    assert b"\r\x1b[K1 files, 0.0 MB\r\x1b[Kpygostop digest: 1 files" in said
    assert b"\x1b" not in run("digest", endless, "--timeout", "0.5")[2].encode()


# ---- from Python ----


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_block_that_is_left_early_leaves_no_task(endless: str, jobs: int) -> None:
    with file_sums(endless, jobs) as received:
        assert len(gs.all_tasks()) > 0
        assert [one.path for one in next(received)] == [os.fsencode(endless) + b"/small"]
    assert not gs.all_tasks()


def test_an_error_in_the_block_leaves_no_task(endless: str) -> None:
    with pytest.raises(ZeroDivisionError), file_sums(endless, 2):
        1 / 0
    assert not gs.all_tasks()


def test_a_scope_around_the_block_ends_it(endless: str) -> None:
    with gs.move_on_after(0.2) as scope, file_sums(endless, 2) as received:
        for _ in received:
            pass
    assert scope.cancelled
    assert not gs.all_tasks()


def test_a_failure_of_all_that_read_ends_the_block(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1000):  # more than walk can send without them
        (tmp_path / str(n)).touch()
    monkeypatch.setattr(tasks, "crc32", tasks.walk)  # its first argument is no path: it fails
    with file_sums(tmp_path, 2) as received, gs.timeout(WAIT), pytest.raises(gs.TaskFailed):
        list(received)
    assert not gs.all_tasks()


# ---- examples/digest_tree.py ----

SHOWN = EXAMPLE.read_text(encoding="utf-8")
# For names that are not text.
ANY_NAME = "import sys; sys.stdout.reconfigure(errors='surrogateescape')\n"


def test_the_example_prints_every_file(tree: pathlib.Path) -> None:
    status, out, err = run(str(tree), program=ANY_NAME + SHOWN)
    *lines, last = out.splitlines()
    assert sorted(lines) == sorted(line.replace(b"  ", b" ", 1) for line in lines_of(tree))
    assert (status, last, err) == (0, b"tasks left: []", "")


def test_the_example_ends_by_a_timeout(endless: str) -> None:
    _, out, err = run(endless, "--timeout", "0.5", program=SHOWN)
    assert out.splitlines()[1:] == [b"timed out", b"tasks left: []"]
    assert err == ""


def test_the_example_ends_by_ctrl_c(endless: str) -> None:
    process = start(endless, program=SHOWN)
    assert process.stdout is not None
    assert process.stdout.readline().endswith(b"/small\n")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT)
    assert out.splitlines() == [b"interrupted", b"tasks left: []"]
    assert err == b""


def test_the_example_ends_by_the_first_that_cannot_be_read(partly_shut: pathlib.Path) -> None:
    with open(partly_shut / "big", "wb") as big:
        big.truncate(BIG)
    (partly_shut / "big").chmod(0o644)
    _, out, err = run(str(partly_shut), "--strict", program=AS_ANOTHER_USER + SHOWN)
    lines = out.decode().splitlines()
    assert [line.startswith(os.strerror(errno.EACCES)) for line in lines].count(True) == 1
    assert lines[-1] == "tasks left: []"
    assert err == ""
