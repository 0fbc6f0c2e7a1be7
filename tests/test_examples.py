"""The programs of examples/, each run as it stands. Some take seconds: all run at once."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

import pytest

from support import WAIT, WARNINGS, compiler

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
PROGRAMS = ["leak", "stop_by_close", "stop_by_done", "stop_by_context", "no_kill"]
# A way each to make a C task, and the modules that it needs.
NATIVE = {
    "compile_task": [],
    "ctypes_task": [],
    "cffi_task": ["cffi", "setuptools"],
    "numba_task": ["numba"],
    "cython_task": ["Cython", "setuptools"],
}
BESIDE = ["asyncio_bridge"]  # not in the demo
FISH, NOT_YET, IN_HEAD, END = "脑子进煎鱼了", "煎鱼还没进锅里...", "煎鱼进脑子里了！", "结束"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "utf8", *WARNINGS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    started = {program: start(str(EXAMPLES / f"{program}.py")) for program in PROGRAMS + BESIDE}
    started["demo"] = start("-m", "pygostop", "demo")
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def said(running: dict[str, subprocess.Popen[str]], program: str) -> list[str]:
    """The lines that a program printed; it ended well and said nothing else."""
    out, err = running[program].communicate(timeout=3 * WAIT)
    assert (running[program].returncode, err) == (0, "")
    return out.splitlines()


def check_leak(lines: list[str]) -> None:
    assert re.fullmatch(r"leaked:  <Task 'repeat' #\d+ parked, in send on chan \d+>", lines[0])
    assert re.fullmatch(r"leaked:  <Task 'consumer' #\d+ parked, in recv on chan \d+>", lines[1])
    assert re.fullmatch(r"channel: <Chan #\d+ str 6/6 open>", lines[2])
    assert re.fullmatch(r"stopped: <Task 'repeat' #\d+ cancelled>", lines[3])
    assert re.fullmatch(r"stopped: <Task 'consumer' #\d+ cancelled>", lines[4])
    assert lines[5:] == ["left:    []", str([FISH] * 6)]


def check_stop_by_close(lines: list[str]) -> None:
    assert lines[:6] == [NOT_YET, IN_HEAD, END] * 2
    assert lines[6] == "[2, 3, 5, 7, 11, 13]"
    assert re.fullmatch(END + r" <Task 'primes' #\d+ done>", lines[7])
    assert len(lines) == 8


def check_stop_by_done(lines: list[str]) -> None:
    *values, end = lines
    assert set(values) == {f"接收到的值: {FISH}"}
    # Every 100 ms for 3 s, fewer on a busy machine; then, with both cases ready, an even chance to end.
    assert 2 <= len(values) <= 100
    assert end == END


def check_stop_by_context(lines: list[str]) -> None:
    ends = [i for i, line in enumerate(lines) if line.startswith(END)]
    assert [lines[i] for i in ends] == [
        f"{END} Cancelled('the context was cancelled')",
        f"{END} DeadlineExceeded('the deadline of the context has passed')",
    ]
    first, second = lines[: ends[0]], lines[ends[0] + 1 : ends[1]]
    assert set(first) == set(second) == {NOT_YET}
    assert len(first) <= 20 and len(second) <= 20  # every 500 ms for 3 s
    assert ends[1] == len(lines) - 1


def check_no_kill(lines: list[str]) -> None:
    assert lines[0] == "a Task has a kill: False"
    asked = "asked to stop: True - stopped"
    for line, name in zip(lines[1:3], ["spin", "sleep"], strict=True):
        assert re.fullmatch(rf"{asked}: True - <Task '{name}' #\d+ cancelled>", line)
    for pair, name in zip([lines[3:5], lines[5:]], ["hog", "sleep"], strict=True):
        assert re.fullmatch(rf"{asked} within half a second: False - <Task '{name}' #\d+ running>", pair[0])
        assert re.fullmatch(rf"it ended when it was through: <Task '{name}' #\d+ done>", pair[1])
        assert len(pair) == 2


def check_asyncio_bridge(lines: list[str]) -> None:
    sums = {f"{zlib.crc32(path.read_bytes()):08x} {path.name}" for path in EXAMPLES.glob("*.py")}
    assert set(lines[:-3]) == sums and len(lines) == len(sums) + 3
    assert lines[-3:] == [
        "the Python task cleans up",
        "the time is up: crc32 cancelled say cancelled",
        "left: []",
    ]


CHECKS = {
    "asyncio_bridge": check_asyncio_bridge,
    "leak": check_leak,
    "stop_by_close": check_stop_by_close,
    "stop_by_done": check_stop_by_done,
    "stop_by_context": check_stop_by_context,
    "no_kill": check_no_kill,
}


@pytest.mark.parametrize("program", PROGRAMS + BESIDE)
def test_the_program_shows_what_it_says(
    running: dict[str, subprocess.Popen[str]], program: str
) -> None:
    CHECKS[program](said(running, program))


def test_demo_runs_them_all_in_order(running: dict[str, subprocess.Popen[str]]) -> None:
    parts = re.split(r"^== (\w+)\.py\n", "\n".join(said(running, "demo")) + "\n", flags=re.M)
    assert parts[1::2] == PROGRAMS
    for program, text in zip(parts[1::2], parts[2::2], strict=True):
        CHECKS[program](text.rstrip("\n").splitlines())


def check_compile_task(lines: list[str]) -> None:
    assert lines[:2] == ["steps from 27: 111", "longest below 10,000: 6171"]
    assert lines[2] == "below 10**15 it takes too long: []"
    assert re.match(r"broken\.c:1:\d+: error: .*y", lines[3])
    assert len(lines) == 4


def check_numba_task(lines: list[str]) -> None:
    assert lines == ["changed by 0.040 in the array itself: True", "stopped: []"]


def check_primes(lines: list[str]) -> None:
    assert lines == ["[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]", "cancelled: True"]


@pytest.mark.parametrize("program", NATIVE)
def test_the_program_makes_a_task(
    program: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler()
    for module in NATIVE[program]:
        if not importlib.util.find_spec(module):
            pytest.skip(f"there is no {module} here")
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    process = start(str(EXAMPLES / f"{program}.py"))
    check = {"compile_task": check_compile_task, "numba_task": check_numba_task}.get(
        program, check_primes
    )
    check(said({program: process}, program))


# ---- pipeline ----


@pytest.fixture
def pipeline(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    compiler()
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "cache"))
    return str(EXAMPLES / "pipeline.py")


def test_the_pipeline_adds_up_the_squares(pipeline: str) -> None:
    assert said({"pipeline": start(pipeline)}, "pipeline") == [
        f"the sum of the squares: {sum(n * n for n in range(1000))}"
    ]


def test_a_stage_that_fails_ends_the_pipeline(pipeline: str) -> None:
    process = start(pipeline, "--fail")
    out, err = process.communicate(timeout=3 * WAIT)
    assert (process.returncode, err) == (1, "")
    assert out == "no square of 500 today; count: cancelled; left: []\n"


# ---- graceful_exit ----


def leaving(*arguments: str) -> subprocess.Popen[str]:
    """The program, some time after a SIGTERM reached it while it worked."""
    process = start(str(EXAMPLES / "graceful_exit.py"), *arguments)
    assert process.stdout and process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.terminate()
    assert process.stdout.readline() == "leaving: received SIGTERM\n"
    return process


def test_at_sigterm_it_does_the_jobs_that_it_has_and_leaves_with_status_0() -> None:
    process = leaving()
    out, err = process.communicate(timeout=3 * WAIT)
    assert (process.returncode, err) == (0, "")
    found = re.fullmatch(r"did (\d+) of (\d+) jobs\n", out)
    # Four wait in the channel when it comes, unless the machine is so busy that none was accepted.
    assert found and found[1] == found[2] != "0"


def test_a_second_sigterm_stops_the_jobs() -> None:
    process = leaving("1000")
    process.terminate()
    out, err = process.communicate(timeout=3 * WAIT)
    assert (process.returncode, out, err) == (128 + signal.SIGTERM, "stopped by a second one\n", "")


def test_each_program_is_a_few_lines() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 120, path
    elsewhere = {"pipeline", "graceful_exit"}  # above
    elsewhere |= {"digest_tree", "mandelbrot"}  # in files of their own
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        *PROGRAMS,
        *NATIVE,
        *BESIDE,
        *elsewhere,
    }
