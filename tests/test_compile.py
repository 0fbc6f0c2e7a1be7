"""compile(): C text to tasks, the cache between, and compilers that do not do as they should."""

from __future__ import annotations

import logging
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import pygostop as gs
from support import WAIT, WARNINGS, compiler, eventually

Run = Callable[..., subprocess.CompletedProcess[str]]
Script = Callable[..., pathlib.Path]

DOUBLE = """#include <pygostop.h>
GS_TASK(twice)
{
    return gs_return_int(call, 2 * gs_arg_int(call, 0));
}
GS_EXPORT(GS_SIG(twice, "n: int"));
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A cache of the test's own, and the system's compiler."""
    compiler()
    path = tmp_path / "cache"
    monkeypatch.setenv("PYGOSTOP_CACHE", str(path))
    monkeypatch.delenv("CC", raising=False)
    return path


@pytest.fixture
def fake_compiler(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Makes a shell script the compiler."""

    def make(script: str) -> pathlib.Path:
        path = tmp_path / "fake-cc"
        path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
        path.chmod(0o755)
        monkeypatch.setenv("CC", str(path))
        return path

    return make


@pytest.fixture
def counted(fake_compiler: Script, tmp_path: pathlib.Path) -> Callable[[], int]:
    """The compiler, through a script that notes each real compilation: how many there were."""
    runs = tmp_path / "runs"
    runs.touch()
    fake_compiler(f"""
        case " $* " in *" -E "*) ;; *) echo >>'{runs}' ;; esac
        exec '{compiler()}' "$@"
    """)
    return lambda: len(runs.read_text().splitlines())


def libraries(cache: pathlib.Path) -> list[pathlib.Path]:
    return sorted(cache.glob("*.so"))


# ---- C text to tasks ----


@pytest.mark.parametrize("cc", ["gcc", "clang", "gcc -std=c99 -m64"])
def test_c_text_becomes_tasks(cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which(cc.split()[0]):
        pytest.skip(f"there is no {cc} here")
    monkeypatch.setenv("CC", cc)
    library = gs.compile(DOUBLE)
    assert library.twice(21) == 42
    with pytest.raises(TypeError, match="argument 0"):
        library.twice("21")


def test_a_path_becomes_tasks_with_what_lies_beside_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "beside.h").write_text("#define FACTOR 3\n")
    path = tmp_path / "triple.c"
    path.write_text('#include "beside.h"\n' + DOUBLE.replace("2 *", "FACTOR *"))
    assert gs.compile(path).twice(5) == 15


def test_text_finds_what_is_in_the_current_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.h").write_text("#define FACTOR 4\n")
    monkeypatch.chdir(tmp_path)
    assert gs.compile('#include "beside.h"\n' + DOUBLE.replace("2 *", "FACTOR *")).twice(5) == 20


def test_flags_and_libraries_reach_the_compiler(tmp_path: pathlib.Path) -> None:
    source = """#include <pygostop.h>
    #include <math.h>
    GS_TASK(root) { return gs_return_float(call, SCALE * sqrt(gs_arg_float(call, 0))); }
    GS_EXPORT(root);
    """
    root = gs.compile(source, flags=["-DSCALE=10.0", "-fno-builtin"], libraries=["m"]).root
    assert root(9) == 30.0


def test_a_task_may_have_the_name_of_a_function_of_the_c_library() -> None:
    source = "#include <pygostop.h>\nGS_TASK(sleep) { return gs_return_int(call, 5); }\nGS_EXPORT(sleep);"
    assert gs.compile(source).sleep() == 5


def test_file_and_line_are_as_the_user_calls_them(tmp_path: pathlib.Path) -> None:
    source = """#include <pygostop.h>
    GS_TASK(where) { return gs_fail(call, __LINE__, "%s", __FILE__); }
    GS_EXPORT(where);
    """
    path = tmp_path / "place.c"
    path.write_text(source)
    for library, name in [
        (gs.compile(source), "<source>"),
        (gs.compile(source, name="cells/3"), "cells/3"),
        (gs.compile(path), str(path)),
    ]:
        with pytest.raises(gs.TaskFailed) as failure:
            library.where()
        assert (failure.value.code, failure.value.message) == (2, name)


def test_the_library_lies_in_the_cache(cache: pathlib.Path) -> None:
    library = gs.compile(DOUBLE, name="my tasks")
    assert library.path == str(libraries(cache)[0])
    assert pathlib.Path(library.path).name.startswith("my_tasks-")
    assert [path.name for path in cache.iterdir()] == [
        pathlib.Path(library.path).name
    ]  # nothing else is left


@pytest.mark.parametrize(
    "name",
    ["..", "a/", "/", 'a "quoted" name', "back\\slash", "=", '="\\\\', "%s", "-o", "é" * 300],
)
def test_any_name_is_one_of_a_source(name: str, counted: Callable[[], int]) -> None:
    source = """#include <pygostop.h>
    GS_TASK(where) { return gs_return_str(call, __FILE__, sizeof __FILE__ - 1); }
    GS_EXPORT(where);
    """
    assert gs.compile(source, name=name).where() == gs.compile(source, name=name).where() == name
    assert counted() == 1
    with pytest.raises(gs.CompileError, match=rf"^{re.escape(name)}:1:\d+: error"):
        gs.compile("int x = ;\n", name=name)


def test_warnings_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    source = DOUBLE.replace("return", "int unused; return", 1)
    with caplog.at_level(logging.WARNING, "pygostop.compile"):
        assert gs.compile(source, flags=["-Wall"]).twice(1) == 2
    assert re.search(r"<source>:4:\d+: warning: unused variable", caplog.text)


def test_a_python_task_that_compiles_parks(fake_compiler: Script, tmp_path: pathlib.Path) -> None:
    started = tmp_path / "started"
    fake_compiler(
        f"echo >'{started}'; while [ -e '{started}' ]; do sleep 0.01; done; exec '{compiler()}' \"$@\""
    )
    compiling = gs.go(gs.compile, DOUBLE)
    assert eventually(started.exists)
    assert gs.go(lambda: 5).result(WAIT) == 5  # on the same worker
    assert compiling.state == "parked"
    started.unlink()
    assert eventually(started.exists)  # the second run
    started.unlink()
    assert compiling.result(WAIT).twice(4) == 8


# ---- what the compiler refuses ----


def test_errors_are_the_compilers_with_the_users_lines() -> None:
    with pytest.raises(gs.CompileError) as error:
        gs.compile(DOUBLE.replace("2 *", "two *"))
    said = str(error.value)
    assert re.search(r"^<source>:4:\d+: error: .*two", said, re.MULTILINE)
    assert "gs_return_int(call, two * gs_arg_int(call, 0))" in said  # the line itself
    assert error.value.stderr.strip() == said
    assert error.value.command[0] == shutil.which("cc")
    assert tempfile.gettempdir() not in said and "build-" not in said


def test_errors_have_the_name_that_was_given(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "broken.c"
    path.write_text("int x = ;\n")
    with pytest.raises(gs.CompileError, match=rf"^{re.escape(str(path))}:1:\d+: error"):
        gs.compile(path)
    with pytest.raises(gs.CompileError, match=r"^In \[3\]:1:\d+: error"):
        gs.compile("int x = ;\n", name="In [3]")


def test_a_missing_header_is_named() -> None:
    with pytest.raises(gs.CompileError, match=r"<source>:2:\d+: .*nowhere\.h"):
        gs.compile("\n#include <nowhere.h>\n")


def test_a_function_that_is_nowhere_is_named_with_its_line() -> None:
    source = DOUBLE.replace("GS_TASK", "int nowhere(void);\nGS_TASK").replace("2 *", "nowhere() *")
    with pytest.raises(gs.CompileError, match=r"<source>:5:.* undefined reference to .nowhere"):
        gs.compile(source)


def test_a_library_that_is_nowhere_is_named() -> None:
    with pytest.raises(gs.CompileError, match="nowhere_at_all"):
        gs.compile(DOUBLE, libraries=["nowhere_at_all"])


def test_an_unknown_flag_is_named() -> None:
    with pytest.raises(gs.CompileError, match="--no-such-flag"):
        gs.compile(DOUBLE, flags=["--no-such-flag"])


@pytest.mark.parametrize(
    "source", ["", "int x;", "#include <pygostop.h>\nGS_TASK(one) { return GS_OK; }\n"]
)
def test_a_source_without_an_export_says_what_to_add(source: str) -> None:
    with pytest.raises(gs.Error, match=r"^'<source>' has no GS_EXPORT: .*GS_EXPORT\(first"):
        gs.compile(source)


# ---- what is no source ----


@pytest.mark.parametrize("source", [None, 3, b"int x;", ["int x;"], object()])
def test_what_is_neither_text_nor_path_is_refused(source: object) -> None:
    with pytest.raises(TypeError, match=f"str of C or a path object, not {type(source).__name__}"):
        gs.compile(source)  # type: ignore[arg-type]


def test_the_name_of_a_file_is_no_text() -> None:
    with pytest.raises(ValueError, match=r"pathlib.Path\('primes.c'\)"):
        gs.compile("primes.c")


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.c"):
        gs.compile(tmp_path / "nowhere.c")
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        gs.compile(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"flags": "-O3"}, TypeError, r"flags=\['-O3'\]"),
        ({"libraries": "m"}, TypeError, r"libraries=\['m'\]"),
        ({"flags": [3]}, TypeError, "flags must be str, not int"),
        ({"flags": 3}, TypeError, "iterable"),
        ({"flags": ["a\0b"]}, ValueError, "NUL"),
        ({"libraries": ["-lm"]}, ValueError, "'m' for -lm"),
        ({"name": 3}, TypeError, "name must be a str or None, not int"),
        ({"name": ""}, ValueError, "one line"),
        ({"name": "a\nb"}, ValueError, "one line"),
        ({"checkpoints": "always"}, ValueError, "checkpoints must be None or 'auto', not 'always'"),
        ({"checkpoints": True}, ValueError, "checkpoints must be None or 'auto', not True"),
        ({"timeout": -1}, ValueError, "0 or more, not -1"),
        ({"timeout": float("nan")}, ValueError, "0 or more, not nan"),
        ({"timeout": "60"}, TypeError, "seconds or None, not str"),
    ],
)
def test_arguments_that_are_none_are_refused(
    arguments: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        gs.compile(DOUBLE, **arguments)  # type: ignore[arg-type]


# ---- compilers that are not there, crash or hang ----


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(gs.CompileError, match="no C compiler.* apt install gcc .*variable CC"):
        gs.compile(DOUBLE)


@pytest.mark.parametrize(
    ("cc", "says"), [("no-such-cc -O2", "no program 'no-such-cc'"), ("'cc", "quot")]
)
def test_a_compiler_that_is_not_there_is_named(
    cc: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", cc)
    with pytest.raises(gs.CompileError, match=f"variable CC is .*{says}"):
        gs.compile(DOUBLE)


def test_a_compiler_that_is_no_program_is_named(fake_compiler: Script) -> None:
    path = fake_compiler("")
    path.write_bytes(b"\x7fELF nothing")
    with pytest.raises(gs.CompileError, match="cannot be run: .*fake-cc"):
        gs.compile(DOUBLE)


def test_a_compiler_that_crashes_is_named(fake_compiler: Script) -> None:
    path = fake_compiler("echo half a word >&2; kill -KILL $$")
    with pytest.raises(gs.CompileError, match="was ended by SIGKILL\nhalf a word$") as error:
        gs.compile(DOUBLE)
    assert str(path) in str(error.value)
    assert error.value.stderr == "half a word\n"


def test_a_compiler_that_is_ended_by_an_odd_signal_is_named(fake_compiler: Script) -> None:
    fake_compiler("kill -40 $$")
    with pytest.raises(gs.CompileError, match="was ended by signal 40$"):
        gs.compile(DOUBLE)


def test_a_compiler_that_fails_silently_is_named(fake_compiler: Script) -> None:
    fake_compiler("exit 3")
    with pytest.raises(gs.CompileError, match="fake-cc failed with status 3 and said nothing"):
        gs.compile(DOUBLE)


def test_a_compiler_that_writes_nothing_is_named(fake_compiler: Script) -> None:
    fake_compiler("exit 0")
    with pytest.raises(gs.CompileError, match="fake-cc wrote no library"):
        gs.compile(DOUBLE)


def test_a_compiler_that_writes_nonsense_leaves_no_crash(fake_compiler: Script) -> None:
    fake_compiler('while [ $# -gt 0 ]; do [ "$1" = -o ] && echo nonsense >"$2"; shift; done')
    with pytest.raises(gs.Error, match="cannot be loaded"):
        gs.compile(DOUBLE)


# The script's child must not outlive it, or the file that it says it in.
HANGS = "echo thinking >&2; echo $$ >'{0}'; sleep 1000 & echo $! >>'{0}'; wait"


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def hanging(fake_compiler: Script, tmp_path: pathlib.Path) -> Iterator[Callable[[], bool]]:
    """A compiler that hangs, with a child; whether both run."""
    pids = tmp_path / "pids"
    fake_compiler(HANGS.format(pids))

    def running() -> list[int]:
        return (
            [pid for pid in map(int, pids.read_text().split()) if is_running(pid)]
            if pids.exists()
            else []
        )

    yield lambda: len(running()) == 2
    assert eventually(lambda: not running()), "the compiler was left running"


def test_a_compiler_that_hangs_is_stopped(hanging: Callable[[], bool], cache: pathlib.Path) -> None:
    with pytest.raises(
        gs.CompileError, match="did not end within 0.5 seconds .* timeout=\nthinking"
    ) as error:
        gs.compile(DOUBLE, timeout=0.5)
    assert error.value.stderr == "thinking\n"
    assert not list(cache.iterdir())


def test_a_cancelled_scope_stops_the_compiler(
    hanging: Callable[[], bool], cache: pathlib.Path
) -> None:
    with pytest.raises(gs.DeadlineExceeded):
        with gs.timeout(0.5):
            gs.compile(DOUBLE)
    assert not list(cache.iterdir())


def test_a_cancelled_task_stops_its_compiler(hanging: Callable[[], bool]) -> None:
    task = gs.go(gs.compile, DOUBLE)
    assert eventually(hanging)
    task.cancel()
    assert task.wait(WAIT)
    assert task.cancelled()


def test_in_a_done_scope_no_compiler_starts(cache: pathlib.Path) -> None:
    with gs.cancel_scope() as scope:
        scope.cancel()
        gs.compile(DOUBLE)
    assert scope.cancelled
    assert not cache.exists()


def test_the_compilers_temporary_files_go_with_the_build(
    fake_compiler: Script, cache: pathlib.Path
) -> None:
    fake_compiler('echo >"$TMPDIR/left"; echo "in $TMPDIR" >&2; exit 1')
    with pytest.raises(gs.CompileError, match=rf"^in {re.escape(str(cache))}/build-"):
        gs.compile(DOUBLE)
    assert not list(cache.iterdir())


def test_ctrl_c_stops_the_compiler(hanging: Callable[[], bool], run_python: Run) -> None:
    done = run_python(f"""
        import os, signal, threading, time, pygostop as gs
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            gs.compile({DOUBLE!r})
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


# ---- the cache: found again ----


def test_what_was_compiled_is_found_again(counted: Callable[[], int]) -> None:
    assert gs.compile(DOUBLE).twice(1) == 2
    assert gs.compile(DOUBLE).twice(2) == 4
    assert counted() == 1


def test_other_processes_find_it(counted: Callable[[], int], run_python: Run) -> None:
    for _ in range(2):
        done = run_python(f"import pygostop as gs; print(gs.compile({DOUBLE!r}).twice(3))")
        assert (done.stdout, done.stderr) == ("6\n", "")
    assert counted() == 1


def test_it_is_found_from_another_directory(
    counted: Callable[[], int], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs.compile(DOUBLE)
    monkeypatch.chdir(tmp_path)
    gs.compile(DOUBLE)
    assert counted() == 1


def test_all_that_it_is_made_from_makes_another(
    counted: Callable[[], int],
    tmp_path: pathlib.Path,
    cache: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = tmp_path / "factor.h"
    source = '#include "factor.h"\n' + DOUBLE.replace("2 *", "FACTOR *")
    header.write_text("#define FACTOR 2\n")
    flags = [f"-I{tmp_path}"]
    assert gs.compile(source, flags=flags).twice(1) == 2
    header.write_text("#define FACTOR 3\n")
    assert gs.compile(source, flags=flags).twice(1) == 3
    gs.compile(source, flags=[*flags, "-O3"])
    gs.compile(source, flags=flags, libraries=["m"])
    gs.compile(source, flags=flags, name="an other")
    gs.compile(source, flags=flags, name="an-other")
    gs.compile(source.replace("n: int", "m: int"), flags=flags)
    monkeypatch.setenv("C_INCLUDE_PATH", str(tmp_path))
    (tmp_path / "stdarg.h").write_text("#include_next <stdarg.h>\n#define NEW 1\n")
    gs.compile(source, flags=flags)
    assert counted() == len(libraries(cache)) == 8


def test_a_library_that_is_linked_in_makes_another_when_it_changes(
    counted: Callable[[], int], tmp_path: pathlib.Path
) -> None:
    source = DOUBLE.replace("GS_TASK", "int factor(void);\nGS_TASK").replace("2 *", "factor() *")

    def archive(n: int) -> None:
        (tmp_path / "factor.c").write_text(f"int factor(void) {{ return {n}; }}")
        subprocess.run([compiler(), "-c", "-fPIC", "factor.c"], cwd=tmp_path, check=True)
        (tmp_path / "libfactor.a").unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", "libfactor.a", "factor.o"], cwd=tmp_path, check=True)

    archive(5)
    for _ in range(2):
        assert gs.compile(source, flags=[f"-L{tmp_path}"], libraries=["factor"]).twice(1) == 5
    assert gs.compile(source, flags=[str(tmp_path / "factor.o")]).twice(1) == 5
    archive(66)
    assert gs.compile(source, flags=[f"-L{tmp_path}"], libraries=["factor"]).twice(1) == 66
    assert gs.compile(source, flags=[str(tmp_path / "factor.o")]).twice(1) == 66
    assert counted() == 4


def test_another_compiler_makes_another(
    counted: Callable[[], int], cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    gs.compile(DOUBLE)
    os.utime(tmp_path / "fake-cc", (1, 1))
    gs.compile(DOUBLE)
    assert len(libraries(cache)) == 2


def test_an_emptied_cache_is_filled_again(counted: Callable[[], int], cache: pathlib.Path) -> None:
    library = gs.compile(DOUBLE)
    shutil.rmtree(cache)
    assert library.twice(4) == 8
    assert gs.compile(DOUBLE).twice(5) == 10
    assert counted() == 2


@pytest.mark.parametrize("damage", ["torn", "empty", "changed", "link", "open", "directory"])
def test_what_is_damaged_in_the_cache_is_not_loaded(
    damage: str,
    counted: Callable[[], int],
    cache: pathlib.Path,
    run_python: Run,
    tmp_path: pathlib.Path,
) -> None:
    program = f"import pygostop as gs; print(gs.compile({DOUBLE!r}).twice(3))"
    assert run_python(program).stdout == "6\n"
    (path,) = libraries(cache)
    data = path.read_bytes()
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "changed":
        path.write_bytes(data[:5000] + b"\xff" * 100 + data[5100:])
    elif damage == "link":
        path.rename(tmp_path / "elsewhere.so")
        path.symlink_to(tmp_path / "elsewhere.so")
    elif damage == "open":
        path.chmod(0o666)
    elif damage == "directory":
        path.unlink()
        path.mkdir()
        assert "IsADirectoryError" in run_python(program).stderr
        return
    done = run_python(program)
    assert (done.stdout, done.stderr) == ("6\n", "")
    assert counted() == 2
    assert stat.S_ISREG(path.lstat().st_mode) and not path.stat().st_mode & 0o022


def test_threads_and_processes_may_compile_at_once(cache: pathlib.Path) -> None:
    program = f"""
        import threading, pygostop as gs
        source = {DOUBLE!r}
        failed = []
        def work():
            for n in range(3):
                if gs.compile(source.replace("2 *", f"{{n}} *")).twice(7) != 7 * n:
                    failed.append(n)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads: t.start()
        for t in threads: t.join()
        tasks = [gs.go(work) for _ in range(3)]
        for t in tasks: t.result()
        print("failed", failed)
    """
    command = [sys.executable, "-P", *WARNINGS, "-c", textwrap.dedent(program)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.communicate(timeout=3 * WAIT)[0] == "failed []\n"
    assert len(libraries(cache)) == 3
    assert len(list(cache.iterdir())) == 3


# ---- the cache: where it is, and where it must not be ----


def test_the_cache_is_made_for_the_user_alone(cache: pathlib.Path) -> None:
    gs.compile(DOUBLE)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    for path in cache.iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_without_a_setting_it_is_where_caches_are(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYGOSTOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert gs.compile(DOUBLE).path.startswith(str(tmp_path / "xdg" / "pygostop" / "source-"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert gs.compile(DOUBLE).path.startswith(
        str(tmp_path / "home" / ".cache" / "pygostop" / "source-")
    )


def test_without_a_home_a_directory_of_the_process_stands_in(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_python: Run
) -> None:
    (tmp_path / "home").write_text("no directory")
    monkeypatch.delenv("PYGOSTOP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = run_python(
        f"import pygostop as gs; lib = gs.compile({DOUBLE!r}); print(lib.path, lib.twice(2))"
    )
    path, result = done.stdout.split()
    assert (result, done.stderr) == ("4", "")
    assert path.startswith(tempfile.gettempdir()) and not os.path.exists(os.path.dirname(path))


def refused(says: str) -> None:
    with pytest.raises(gs.Error, match=f"^PYGOSTOP_CACHE: .*{says}"):
        gs.compile(DOUBLE)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_cache_that_others_can_write_is_refused(cache: pathlib.Path, mode: int) -> None:
    cache.mkdir()
    cache.chmod(mode)
    refused(rf"can be written by others \(mode {mode:04o}\); do: chmod 700 {re.escape(str(cache))}")


def test_a_cache_that_is_a_link_is_refused(cache: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.symlink_to(tmp_path / "elsewhere")
    refused("is a symbolic link")


def test_a_cache_that_is_a_file_is_refused(cache: pathlib.Path) -> None:
    cache.write_text("")
    refused("")


def test_a_cache_whose_place_others_can_write_is_refused(
    cache: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "open" / "cache"))
    refused("lies in .*open', which everybody can write to")
    (tmp_path / "open").chmod(0o1777)
    assert gs.compile(DOUBLE).twice(1) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_a_cache_of_another_user_is_refused(cache: pathlib.Path) -> None:
    cache.mkdir(mode=0o700)
    os.chown(cache, 12345, 12345)
    refused("belongs to user 12345, and this process is of user 0")


def test_a_cache_that_cannot_be_written_is_refused(run_python: Run) -> None:
    from programs import directory_open_to_all, run_program

    with directory_open_to_all() as place:
        cache = place / "cache"
        cache.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(cache, 65534, 65534)
        cache.chmod(0o500)
        said = run_program(
            f"""
            os.environ["PYGOSTOP_CACHE"] = {str(cache)!r}
            try:
                gs.compile({DOUBLE!r})
            except gs.Error as error:
                print(error)
            """,
            as_another_user=True,
        )
        assert said == f"PYGOSTOP_CACHE: {str(cache)!r} cannot be written (mode 0500)\n"


# ---- automatic checkpoints ----

ENDLESS = """#include <pygostop.h>
#include <stdlib.h>
GS_TASK(spin) { for (;;); }
GS_TASK(fill)
{
    for (;;) {
        volatile char *block = malloc(1000);
        block[0] = 1;
        if (!gs_nargs(call))
            return gs_return_int(call, block[0]);
    }
}
GS_EXPORT(spin, fill);
"""


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_with_automatic_checkpoints_any_loop_can_be_stopped(
    cc: str, monkeypatch: pytest.MonkeyPatch, cache: pathlib.Path
) -> None:
    if not shutil.which(cc):
        pytest.skip(f"there is no {cc} here")
    monkeypatch.setenv("CC", cc)
    try:
        library = gs.compile(ENDLESS, checkpoints="auto")
    except gs.CompileError as error:
        if "or a later one" in str(error):
            pytest.skip(str(error))
        raise
    for task in (gs.go(library.spin), gs.go(library.fill, 1)):
        assert is_running_now(task)
        task.cancel()
        assert task.wait(WAIT) and task.cancelled()
    with pytest.raises(gs.DeadlineExceeded):
        with gs.timeout(0.1):
            library.spin()
    assert library.fill() == 1
    gs.compile(ENDLESS, checkpoints="auto")
    assert len(libraries(cache)) == 1
    gs.compile(ENDLESS)
    assert len(libraries(cache)) == 2


def is_running_now(task: gs.Task) -> bool:
    return eventually(lambda: task.state == "running")


def test_automatic_checkpoints_leave_lines_and_errors_as_they_are() -> None:
    with pytest.raises(gs.CompileError, match=r"^<source>:1:\d+: error: .*two"):
        gs.compile("int x = two;\n", checkpoints="auto")


def test_automatic_checkpoints_need_a_compiler_that_makes_them(fake_compiler: Script) -> None:
    fake_compiler("echo '#define __TINYC__ 1'")
    with pytest.raises(gs.CompileError, match="need gcc or clang"):
        gs.compile(DOUBLE, checkpoints="auto")


def test_a_hanging_compiler_is_stopped_for_automatic_checkpoints_too(
    hanging: Callable[[], bool],
) -> None:
    with pytest.raises(gs.CompileError, match="did not end within 0.5 seconds"):
        gs.compile(DOUBLE, checkpoints="auto", timeout=0.5)


# ---- sanitizers ----


def test_tasks_may_be_compiled_with_a_sanitizer(
    run_python: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asan = subprocess.run(
        [compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("this compiler has no AddressSanitizer")
    if asan not in os.environ.get("LD_PRELOAD", ""):
        monkeypatch.setenv("LD_PRELOAD", asan)
    monkeypatch.setenv(
        "ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1"
    )
    source = """#include <pygostop.h>
    #include <stdlib.h>
    GS_TASK(fill)
    {
        size_t n = (size_t)gs_arg_int(call, 0);
        volatile char *data = malloc(100);
        gs_defer(call, free, (void *)data);
        for (size_t i = 0; i < n; i++) {
            GS_TRY(gs_yield(call));
            data[i] = 1;
        }
        return gs_return_int(call, data[n - 1]);
    }
    GS_EXPORT(fill);
    """
    program = f"""
        import pygostop as gs
        fill = gs.compile({source!r}, name="fill.c", flags=["-fsanitize=address"]).fill
        print([gs.go(fill, 100).result() for _ in range(20)], flush=True)
        fill(101)
    """
    done = run_python(program)
    assert done.stdout == f"{[1] * 20}\n", done.stderr
    assert "heap-buffer-overflow" in done.stderr
    assert re.search(r"#0 0x\w+ in fill .*fill\.c:10", done.stderr), done.stderr
