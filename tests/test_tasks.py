"""The C tasks that ship: what each sends, how each ends, what each refuses."""

from __future__ import annotations

import errno
import inspect
import os
import pathlib
import random
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pygostop as gs
from pygostop import tasks
from pygostop.tasks import FileSum, file_sum
from programs import directory_open_to_all, run_program
from support import WAIT, eventually

BIG = 1 << 36  # bytes of a file with nothing in it, which takes long to read


def received(ch: gs.Chan[Any]) -> list[Any]:
    values: list[Any] = []
    with gs.timeout(WAIT):
        values.extend(ch)
    return values


def stopped(task: gs.Task) -> bool:
    task.cancel()
    return bool(task.wait(WAIT) and task.cancelled())


@pytest.mark.parametrize("name", ["count", "crc32", "hog", "primes", "repeat", "spin", "walk"])
def test_each_is_a_ctask_that_says_what_it_does(name: str) -> None:
    task = getattr(tasks, name)
    assert isinstance(task, gs.CTask)
    assert task.name == name
    assert (inspect.getdoc(task) or "").startswith(f"{name}(")
    assert name in tasks.__all__


# ---- repeat ----


@pytest.mark.parametrize(("type", "value"), [(int, -7), (str, "脑子进煎鱼了"), (str, "")])
def test_repeat_sends_the_value_again_and_again(type: type, value: object) -> None:
    ch: gs.Chan[Any] = gs.Chan(2, type)
    task = gs.go(tasks.repeat, ch, value, 0)
    assert [ch.recv(timeout=WAIT) for _ in range(10)] == [value] * 10
    assert stopped(task)


def test_repeat_waits_between_two_sends() -> None:
    ch = gs.Chan(0, int)
    task = gs.go(tasks.repeat, ch, 1, 0.05)
    begun = time.monotonic()
    for _ in range(4):
        ch.recv(timeout=WAIT)
    assert time.monotonic() - begun >= 0.15
    assert stopped(task)


def test_repeat_ends_well_when_its_channel_is_closed() -> None:
    ch = gs.Chan(0, int)
    task = gs.go(tasks.repeat, ch, 1, 0)
    ch.recv(timeout=WAIT)
    ch.close()
    assert task.result(timeout=WAIT) is None


@pytest.mark.parametrize("interval", [-1, float("nan"), -0.5])
def test_repeat_refuses_an_interval_that_is_no_time(interval: float) -> None:
    with pytest.raises(gs.TaskFailed, match=r"task 'repeat' .*argument 2 must be a number of seconds"):
        tasks.repeat(gs.Chan(0, int), 1, interval)


@pytest.mark.parametrize(
    ("type", "value", "words"),
    [
        (str, 1, "argument 0 must be a channel of int64, not Chan of str"),
        (int, "a", "argument 0 must be a channel of str, not Chan of int64"),
        (int, 1.5, "argument 1 must be an int, not float"),
    ],
)
def test_repeat_refuses_a_value_that_is_not_the_channels(type: type, value: object, words: str) -> None:
    with pytest.raises(gs.TaskFailed, match=words):
        tasks.repeat(gs.Chan(0, type), value, 0)


# ---- count ----

LOW, HIGH = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 5, 1),
        (5, 0, -2),
        (3, 3, 1),
        (0, -5, 3),
        (HIGH - 2, HIGH, 1),
        (HIGH - 5, HIGH, 4),
        (LOW + 5, LOW, -4),
        (LOW, HIGH, HIGH),
        (HIGH, LOW, LOW),
    ],
)
def test_count_sends_the_ints_of_range(arguments: tuple[int, int, int]) -> None:
    ch = gs.Chan(4, int)
    task = gs.go(tasks.count, ch, *arguments)
    assert received(ch) == list(range(*arguments))
    task.result()


def test_count_steps_by_one_where_nothing_is_said() -> None:
    ch = gs.Chan(0, int)
    gs.go(tasks.count, ch, 2, 5)
    assert received(ch) == [2, 3, 4]


def test_count_refuses_a_step_of_zero() -> None:
    with pytest.raises(gs.TaskFailed, match="argument 3, the step, must not be 0"):
        tasks.count(gs.Chan(0, int), 0, 5, 0)


# ---- primes ----


def test_primes_sends_the_primes_up_to_the_limit() -> None:
    ch = gs.Chan(16, int)
    gs.go(tasks.primes, ch, 2003)
    assert received(ch) == [n for n in range(2, 2004) if all(n % d for d in range(2, n))]


@pytest.mark.parametrize("limit", [1, 0, -5, LOW])
def test_primes_below_two_are_none(limit: int) -> None:
    ch = gs.Chan(0, int)
    gs.go(tasks.primes, ch, limit)
    assert received(ch) == []


# ---- all that fill a channel ----

PRODUCERS = [
    (tasks.repeat, int, (1, 0)),
    (tasks.count, int, (0, HIGH, 1)),
    (tasks.primes, int, (HIGH,)),
]


@pytest.mark.parametrize(("task", "type", "arguments"), PRODUCERS)
def test_a_producer_that_was_stopped_has_closed_its_channel(
    task: gs.CTask, type: type, arguments: tuple[object, ...]
) -> None:
    ch: gs.Chan[Any] = gs.Chan(3, type)
    started = gs.go(task, ch, *arguments)
    assert eventually(lambda: len(ch) == 3 and started.state == "parked")
    assert stopped(started)
    assert len(received(ch)) == 3
    assert ch.closed


@pytest.mark.parametrize(("task", "type", "arguments"), PRODUCERS)
def test_a_producer_ends_well_when_its_channel_is_closed(
    task: gs.CTask, type: type, arguments: tuple[object, ...]
) -> None:
    ch: gs.Chan[Any] = gs.Chan(0, type)
    started = gs.go(task, ch, *arguments)
    ch.recv(timeout=WAIT)
    ch.close()
    assert started.result(timeout=WAIT) is None


@pytest.mark.parametrize(("task", "type", "arguments"), PRODUCERS[1:])
def test_a_channel_of_another_type_is_refused_before_the_start(
    task: gs.CTask, type: type, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(TypeError, match=r"argument 0 \('ch'\) must be SendChan\[int\]"):
        gs.go(task, gs.Chan(0, str), *arguments)


# ---- walk ----


def walked(root: str | bytes, capacity: int = 8) -> tuple[list[bytes], list[FileSum]]:
    """The paths that walk sends, and what it tells of directories."""
    paths, errors = gs.Chan(capacity, bytes), gs.Chan(1000, bytes)
    task = gs.go(tasks.walk, root, paths, errors)
    found = received(paths)
    task.result(timeout=WAIT)
    errors.close()
    return found, [file_sum(message) for message in errors]


def expected(root: bytes) -> set[bytes]:
    found = set()
    for directory, _, files in os.walk(root):
        for file in files:
            path = os.path.join(directory, file)
            if os.path.isfile(path) and not os.path.islink(path):
                found.add(path)
    return found


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    for directory in "a", "a/b/c", "empty", "z":
        (tmp_path / directory).mkdir(parents=True)
    for file in "1", "a/2", "a/b/3", "a/b/c/4", "z/5", "z/ü":
        (tmp_path / file).write_text(file)
    with open(os.fsencode(tmp_path) + b"/z/\xff\xfe", "wb"):
        pass
    (tmp_path / "to-file").symlink_to("1")
    (tmp_path / "to-directory").symlink_to("a")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "z/fifo")
    return tmp_path


def test_walk_sends_every_regular_file_and_follows_no_link(tree: pathlib.Path) -> None:
    found, errors = walked(str(tree))
    assert sorted(found) == sorted(expected(os.fsencode(tree)))
    assert len(found) == 7
    assert errors == []


def test_walk_is_depth_first(tree: pathlib.Path) -> None:
    found, _ = walked(str(tree))
    under_a = [path.startswith(os.fsencode(tree) + b"/a/") for path in found]
    first = under_a.index(True)
    assert under_a[first : first + 3] == [True] * 3 and sum(under_a) == 3
    assert found[0] == os.fsencode(tree) + b"/1"


@pytest.mark.parametrize("tail", ["", "/", "///"])
def test_walk_takes_bytes_and_slashes_behind(tree: pathlib.Path, tail: str) -> None:
    assert set(walked(os.fsencode(tree) + tail.encode())[0]) == expected(os.fsencode(tree))


def test_walk_follows_a_link_that_is_the_root(tree: pathlib.Path) -> None:
    root = os.fsencode(tree) + b"/to-directory"
    assert set(walked(root)[0]) == {root + b"/2", root + b"/b/3", root + b"/b/c/4"}


def test_walk_of_a_relative_root(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert set(walked("a")[0]) == {b"a/2", b"a/b/3", b"a/b/c/4"}


@pytest.mark.parametrize("root", ["no-such", "1"])
def test_walk_fails_with_the_errno_of_its_root(tree: pathlib.Path, root: str) -> None:
    paths = gs.Chan(0, bytes)
    task = gs.go(tasks.walk, str(tree / root), paths)
    assert received(paths) == []
    with pytest.raises(gs.TaskFailed, match="cannot read the directory .*" + root) as raised:
        task.result(timeout=WAIT)
    assert raised.value.code in (errno.ENOENT, errno.ENOTDIR)


@pytest.mark.parametrize("root", ["", "a\0b", b""])
def test_walk_refuses_a_root_that_no_path_can_be(root: str | bytes) -> None:
    with pytest.raises(gs.TaskFailed, match="argument 0 must be the path of a directory"):
        tasks.walk(root, gs.Chan(0, bytes))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture
def deep(tmp_path: pathlib.Path) -> Iterator[int]:
    """A path far longer than the kernel takes, with a file and a second directory at every level."""
    levels, name = 1500, "directory"
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        os.mkdir("side", dir_fd=at)
        for file in "file", "side/file":
            fd = os.open(file, os.O_CREAT | os.O_WRONLY, dir_fd=at)
            os.write(fd, b"deep")
            os.close(fd)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    yield levels
    subprocess.run(["rm", "-rf", str(tmp_path / name)], check=True)


@needs_proc
def test_walk_goes_to_any_depth_with_few_descriptors(tmp_path: pathlib.Path, deep: int) -> None:
    before = descriptors()
    paths = gs.Chan(0, bytes)
    task = gs.go(tasks.walk, str(tmp_path), paths)
    found, most = [], 0
    for path in paths:
        found.append(path)
        most = max(most, descriptors())
    task.result(timeout=WAIT)
    assert len(set(found)) == len(found) == 2 * deep
    assert max(map(len, found)) > 10_000
    assert most - before < 60
    assert eventually(lambda: descriptors() <= before)


def test_crc32_reads_what_walk_found_at_any_depth(tmp_path: pathlib.Path, deep: int) -> None:
    paths, results = gs.Chan(8, bytes), gs.Chan(8, bytes)
    gs.go(tasks.walk, str(tmp_path), paths)
    task = gs.go(tasks.crc32, paths, results)
    task.add_done_callback(lambda _: results.close())
    sums = [file_sum(message) for message in results]
    assert {(one.crc, one.size, one.error) for one in sums} == {(zlib.crc32(b"deep"), 4, None)}
    assert len(sums) == 2 * deep


@needs_proc
def test_a_stopped_walk_leaves_no_descriptor(tmp_path: pathlib.Path) -> None:
    for n in range(50):
        (tmp_path / f"{n}" / "in").mkdir(parents=True)
        (tmp_path / f"{n}" / "in" / "file").touch()
    before = descriptors()
    paths = gs.Chan(0, bytes)
    task = gs.go(tasks.walk, str(tmp_path), paths)
    paths.recv(timeout=WAIT)
    assert descriptors() > before
    assert stopped(task)
    assert paths.closed
    assert descriptors() <= before


def test_walk_passes_over_what_vanishes(tmp_path: pathlib.Path) -> None:
    for n in range(20):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}" / "file").touch()
    paths, errors = gs.Chan(0, bytes), gs.Chan(100, bytes)
    task = gs.go(tasks.walk, str(tmp_path), paths, errors)
    first = pathlib.Path(os.fsdecode(paths.recv(timeout=WAIT)))
    for directory in tmp_path.iterdir():
        if directory != first.parent:
            (directory / "file").unlink()
            directory.rmdir()
    assert len(received(paths)) <= 1  # one may have been read before
    task.result(timeout=WAIT)
    assert len(errors) == 0


def test_walk_tells_of_what_it_does_not_find_again(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    path = root
    for n in range(60):  # so that the upper ones are closed meanwhile
        path = path / f"{n}"
        for side in range(20):  # one of which, at least, is still to be entered on the way back
            (path / f"side {side}").mkdir(parents=True)
    for last in "last", "very last":
        (path / last).touch()
    paths, errors = gs.Chan(0, bytes), gs.Chan(100, bytes)
    task = gs.go(tasks.walk, str(root), paths, errors)
    paths.recv(timeout=WAIT)
    os.rename(root / "0/1/2/3/4", tmp_path / "moved")  # its ".." is another directory now
    assert len(received(paths)) == 1
    task.result(timeout=WAIT)
    errors.close()
    told = [file_sum(message) for message in errors]
    above = [os.fsencode(root) + below for below in (b"", b"/0", b"/0/1", b"/0/1/2", b"/0/1/2/3")]
    assert told and all(one.path in above for one in told)
    assert all(one.error and one.error.errno == errno.ENOENT for one in told)


def test_walk_names_an_unreadable_directory_and_passes_it_over() -> None:
    program = """
        paths, errors = gs.Chan(9, bytes), gs.Chan(9, bytes)
        gs.go(tasks.walk, sys.argv[1], paths, errors).result()
        print([os.path.basename(path) for path in paths])
        told = tasks.file_sum(errors.recv())
        print(os.path.basename(told.path), told.crc, told.size, told.error)
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
        gs.go(tasks.walk, sys.argv[1], gs.Chan(9, bytes)).result()
        gs.sleep(0.2)
    """
    with directory_open_to_all() as root:
        (root / "shut").mkdir()
        (root / "shut" / "inside").touch()
        (root / "file").touch()
        (root / "shut").chmod(0)
        said = run_program(program, str(root), as_another_user=True)
    why, shut = os.strerror(errno.EACCES), str(root / "shut")
    assert said.splitlines() == [
        "[b'file']",
        f"b'shut' 0 0 [Errno {errno.EACCES}] {why}: {shut!r}",
        f"pygostop.task walk: cannot read {shut}: {why}",
    ]


# ---- crc32 ----


@pytest.fixture
def summed() -> Iterator[Callable[[bytes], FileSum]]:
    """A crc32 task that is asked for one path at a time."""
    paths, results = gs.Chan(0, bytes), gs.Chan(0, bytes)
    task = gs.go(tasks.crc32, paths, results)

    def ask(path: bytes) -> FileSum:
        paths.send(path, timeout=WAIT)
        return file_sum(results.recv(timeout=WAIT))

    yield ask
    paths.close()
    assert task.result(timeout=WAIT) is None


PIECE = 128 << 10
SIZES = [*range(0, 300), PIECE - 1, PIECE, PIECE + 1, PIECE + 17, 3 * PIECE + 5, 1_234_567]


def test_crc32_is_zlibs(tmp_path: pathlib.Path, summed: Callable[[bytes], FileSum]) -> None:
    data = random.Random(1).randbytes(max(SIZES))
    for size in SIZES:
        path = tmp_path / f"{size}"
        path.write_bytes(data[:size])
        name = os.fsencode(path)
        assert summed(name) == FileSum(name, zlib.crc32(data[:size]), size, None)


def test_crc32_says_why_it_could_not_read(
    tree: pathlib.Path, summed: Callable[[bytes], FileSum]
) -> None:
    root = os.fsencode(tree)
    for name, code in [
        (b"/none", errno.ENOENT),
        (b"/a", errno.EISDIR),
        (b"/z/fifo", errno.EINVAL),
        (b"/1/2", errno.ENOTDIR),
        (b"/" + b"n" * 300, errno.ENAMETOOLONG),
        (b"/1\0", errno.EINVAL),
        (b"/" + b"n" * 5000, errno.ENAMETOOLONG),
    ]:
        told = summed(root + name)
        assert (told.path, told.crc, told.size) == (root + name, 0, 0)
        assert told.error is not None
        assert (told.error.errno, told.error.filename) == (code, os.fsdecode(root + name))
    assert summed(b"").error is not None
    assert summed(root + b"/to-file").crc == zlib.crc32(b"1")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs /proc")
def test_crc32_says_what_failed_in_the_middle(summed: Callable[[bytes], FileSum]) -> None:
    told = summed(b"/proc/self/mem")
    assert told.error is not None and told.error.errno == errno.EIO


def test_crc32_closes_nothing_as_several_share_its_channels(tree: pathlib.Path) -> None:
    paths, results = gs.Chan(100, bytes), gs.Chan(100, bytes)
    workers = [gs.go(tasks.crc32, paths, results) for _ in range(5)]
    for _ in range(20):
        paths.send(os.fsencode(tree / "1"))
    paths.close()
    for worker in workers:
        worker.result(timeout=WAIT)
    assert not results.closed
    assert len(results) == 20


def test_crc32_ends_well_when_nobody_wants_results(tree: pathlib.Path) -> None:
    paths, results = gs.Chan(1, bytes), gs.Chan(0, bytes)
    task = gs.go(tasks.crc32, paths, results)
    results.close()
    paths.send(os.fsencode(tree / "1"))
    assert task.result(timeout=WAIT) is None


@needs_proc
def test_crc32_stops_in_the_middle_of_a_file(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "big", "wb") as big:
        big.truncate(BIG)
    before = descriptors()
    paths = gs.Chan(1, bytes)
    paths.send(os.fsencode(tmp_path / "big"))
    task = gs.go(tasks.crc32, paths, gs.Chan(0, bytes))
    assert eventually(lambda: descriptors() > before)
    begun = time.monotonic()
    assert stopped(task)
    assert time.monotonic() - begun < 5  # to read it all takes longer
    assert descriptors() <= before


@pytest.mark.parametrize("message", [b"", b"short", b"x" * 15])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=f"at least 16 bytes, not {len(message)}"):
        file_sum(message)


# ---- spin, hog ----


@pytest.mark.parametrize("task", [tasks.spin, tasks.hog])
def test_load_lasts_as_long_as_it_was_asked_to(task: gs.CTask) -> None:
    begun = time.monotonic()
    assert task(0.05) is None
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize("task", [tasks.spin, tasks.hog])
@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_load_refuses_what_is_no_time(task: gs.CTask, seconds: float) -> None:
    with pytest.raises(gs.TaskFailed, match="argument 0 must be a number of seconds"):
        task(seconds)


@pytest.mark.parametrize("seconds", [60, 1e300, float("inf")])
def test_spin_stops_when_asked(seconds: float) -> None:
    task = gs.go(tasks.spin, seconds)
    assert eventually(lambda: task.state == "running")
    assert stopped(task)


def test_hog_does_not_stop_before_its_end() -> None:
    task = gs.go(tasks.hog, 0.5)
    assert eventually(lambda: task.state == "running")
    assert task.cancel()
    assert not task.wait(0.1)
    assert task.result(timeout=WAIT) is None  # it was asked, and did not


def test_others_run_while_a_hog_holds_the_only_worker() -> None:
    program = """
        import pygostop as gs
        gs.configure(workers=1)
        hog = gs.go(gs.tasks.hog, 5)
        ch = gs.Chan(0, int)
        gs.go(gs.tasks.count, ch, 0, 1000)
        print(sum(ch), hog.done())
        gs.configure(grace=0)
    """
    assert run_program(program) == "499500 False\n"
