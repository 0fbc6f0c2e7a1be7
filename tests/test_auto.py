"""Automatic checkpoints: C that knows nothing of stopping, stopped wherever it is."""

from __future__ import annotations

import array
import ctypes
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

import pytest

import pygostop as gs
from pygostop._auto import ALLOCATOR, auto_flags
from pygostop._auto_as import mend
from support import HERE, WAIT, Probe, eventually

SOURCE = HERE / "tasks" / "endless.c"
Run = Callable[..., subprocess.CompletedProcess[str]]
Build = Callable[..., pathlib.Path]


def macros_of(cc: str) -> str:
    """What it defines by itself."""
    return subprocess.run(
        [cc, "-dM", "-E", "-x", "c", "/dev/null"], capture_output=True, text=True
    ).stdout


def build(
    cc: str, source: pathlib.Path, library: pathlib.Path, *flags: str, libraries: Sequence[str] = ()
) -> pathlib.Path:
    """Compiles a library with automatic checkpoints."""
    words = ["-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-w", *flags]
    command = [
        cc,
        *auto_flags(macros_of(cc), gs.get_include()),
        *words,
        str(source),
        "-o",
        str(library),
        *libraries,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture(scope="session", params=["gcc", "clang"])
def cc(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if not found:
        pytest.skip(f"there is no {request.param} here")
    macros = macros_of(found)
    name, least = ("__clang_major__", 13) if "__clang__" in macros else ("__GNUC__", 12)
    version = re.search(rf"#define {name} (\d+)", macros)
    assert version
    if int(version[1]) < least:
        pytest.skip(f"{found} is older than version {least}")
    return found


@pytest.fixture(scope="session", params=["-O0", "-O1", "-O2", "-O3"])
def each_level(
    request: pytest.FixtureRequest, cc: str, tmp_path_factory: pytest.TempPathFactory
) -> Probe:
    return Probe(build(cc, SOURCE, tmp_path_factory.mktemp("auto") / "endless.so", request.param))


@pytest.fixture(scope="session")
def endless(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return Probe(build(cc, SOURCE, tmp_path_factory.mktemp("auto") / "endless.so"))


def gauge() -> array.array[int]:
    return array.array("i", [0])


def stopped(task: gs.Task[object]) -> None:
    """Asks the task to stop, and checks that it did."""
    assert task.cancel()
    assert task.wait(WAIT), "it is still running"
    with pytest.raises(CancelledError):
        task.result()


def started(function: gs.CTask, *more: object) -> gs.Task[object]:
    """A task whose first argument says that its work has begun."""
    went = gauge()
    task = gs.go(function, went, *more)
    assert eventually(lambda: went[0])
    return task


LOOPS = re.findall(r"^ENDLESS\((\w+)\)", SOURCE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_of_any_kind_at_any_level_is_stopped(each_level: Probe, loop: str) -> None:
    stopped(started(getattr(each_level, f"run_{loop}")))


@pytest.mark.parametrize("loop", ["empty_for", "global_counter"])
def test_a_timeout_stops_it(endless: Probe, loop: str) -> None:
    with pytest.raises(gs.DeadlineExceeded), gs.timeout(0.05):
        getattr(endless, f"run_{loop}")(gauge())


def test_a_context_above_stops_all_below(endless: Probe) -> None:
    outer, cancel = gs.with_cancel(gs.background())
    inner, _ = gs.with_cancel(outer)
    with inner:
        tasks = [started(endless.run_global_counter), started(endless.run_empty_for)]
    cancel()
    for task in tasks:
        assert task.wait(WAIT)
        assert task.cancelled()


def test_ctrl_c_stops_it(endless: Probe, run_python: Run) -> None:
    program = f"""
        import array, ctypes, os, signal, threading, pygostop as gs
        library = ctypes.CDLL({endless.library._name!r})
        went = array.array("i", [0])
        def interrupt():
            while not went[0]:
                pass
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            gs.CTask(library.run_empty_for)(went)
        except KeyboardInterrupt:
            print("interrupted", gs.all_tasks())
    """
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted []\n", "")


def test_exit_stops_it(endless: Probe, run_python: Run) -> None:
    program = f"""
        import array, ctypes, pygostop as gs
        library = ctypes.CDLL({endless.library._name!r})
        went = array.array("i", [0])
        task = gs.go(gs.CTask(library.run_global_counter), went)
        while not went[0]:
            pass
        print("leaving")
    """
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_defers_run_once_each(endless: Probe) -> None:
    defers = gauge()
    stopped(started(endless.with_defers, defers))
    assert defers[0] == 2


@pytest.mark.parametrize("task", ["shielded", "with_exempt"])
def test_what_is_shielded_or_exempt_is_finished_first(endless: Probe, task: str) -> None:
    went, release = gauge(), gauge()
    running = gs.go(getattr(endless, task), went, release)
    assert eventually(lambda: went[0] == 1)
    assert running.cancel()
    assert not running.wait(0.05)
    assert went[0] == 1
    release[0] = 1
    assert running.wait(WAIT)
    assert running.cancelled()
    assert went[0] >= 2


class Mallinfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@pytest.fixture
def allocated() -> Callable[[], int]:
    """The number of bytes that glibc's malloc has given out."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("there is no mallinfo2 here")
    mallinfo.restype = Mallinfo

    def count() -> int:
        info = mallinfo()
        return int(info.uordblks + info.hblkhd)

    return count


def test_what_it_had_allocated_is_freed(endless: Probe, allocated: Callable[[], int]) -> None:
    stopped(started(endless.hold_memory))
    before = allocated()
    for _ in range(5):
        task = started(endless.hold_memory)
        had = allocated() - before
        stopped(task)
    if had < 1 << 20:
        pytest.skip("the allocator is another one, whose bytes mallinfo2 does not count")
    assert had > 4 << 20  # a compiler may leave out what is never looked at
    assert allocated() - before < 1 << 20


def test_a_task_that_returns_leaves_its_memory_to_others(endless: Probe) -> None:
    endless.leave_a_block()
    assert endless.take_the_block() == "still here"


def test_a_block_that_is_kept_is_not_freed(endless: Probe) -> None:
    stopped(started(endless.keep_a_block))
    assert endless.take_the_block() == "kept"


def test_its_own_threads_are_let_be(endless: Probe) -> None:
    went, release = gauge(), gauge()
    task = gs.go(endless.with_thread, went, release)
    assert eventually(lambda: went[0])
    assert task.cancel()
    assert not task.wait(0.05)
    release[0] = 1
    assert task.wait(WAIT)
    assert task.cancelled()


def test_python_threads_may_call_its_functions(endless: Probe, cc: str) -> None:
    """Neither in a task of it, nor of C: nobody is to leave, even while a task is asked to."""
    went, release = gauge(), gauge()
    task = gs.go(endless.shielded, went, release)
    assert eventually(lambda: went[0])
    endless.library.plain_turns.restype = ctypes.c_long
    task.cancel()
    assert endless.library.plain_turns(1000) == 1000
    assert gs.go(lambda: endless.library.plain_turns(1000)).result() == 1000
    release[0] = 1
    assert task.wait(WAIT)


def test_a_python_task_is_never_left(endless: Probe) -> None:
    """It may be asked to stop while it is in such code: that goes on to its end."""
    begun = threading.Event()

    def work() -> int:
        begun.set()
        while not gs.current_task().ctx.err():
            pass
        return int(endless.library.plain_turns(100_000))

    busy = started(endless.run_global_counter)
    task = gs.go(work)
    assert begun.wait(WAIT)
    task.cancel()
    assert task.result(WAIT) == 100_000
    stopped(busy)


def test_a_child_is_stopped_too(endless: Probe) -> None:
    assert endless.cancel_child(gauge()) == -1
    went = gauge()
    task = gs.go(endless.with_child, went)
    assert eventually(lambda: went[0])
    stopped(task)
    assert eventually(lambda: not gs.all_tasks())


def test_a_plain_function_may_be_a_task(endless: Probe) -> None:
    stopped(started(endless.plain_task))


def test_many_at_once_on_few_workers(endless: Probe) -> None:
    """None gives way by itself: each that waits for a worker gets one in the end."""
    tasks = [started(endless.run_global_counter) for _ in range(12)]
    for task in tasks:
        stopped(task)


def test_one_is_stopped_among_others(endless: Probe) -> None:
    ctx, cancel = gs.with_cancel(gs.background())
    with ctx:
        others = [started(endless.run_state_machine) for _ in range(2)]
    for _ in range(50):
        stopped(started(endless.run_global_counter))
    assert not any(task.done() for task in others)
    assert endless.turns(100) == 5050
    cancel()
    assert all(task.wait(WAIT) for task in others)


# ---- several libraries ----

OTHER = """
    #include <pygostop.h>
    #include <stdlib.h>
    extern void endless_begin(gs_call *), endless_spin(void);
    GS_TASK(call_the_other)
    {
        size_t count;
        int *went = gs_arg_array(call, 0, GS_INT32, &count);
        endless_begin(call);
        *malloc(1000) = *went = 1;
        endless_spin();
        return GS_OK;
    }
    GS_TASK(by_itself)
    {
        size_t count;
        *(int *)gs_arg_array(call, 0, GS_INT32, &count) = 1;
        for (;;) ;
    }
"""


def test_a_task_is_stopped_in_a_library_that_it_calls(cc: str, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "other.c"
    source.write_text(OTHER.replace("*malloc(1000) = ", "*(volatile char *)malloc(1000) = "))
    inner = build(cc, SOURCE, tmp_path / "libinner.so")
    other = Probe(build(cc, source, tmp_path / "other.so", libraries=[str(inner)]))
    stopped(started(other.call_the_other))
    both = [started(other.by_itself), started(Probe(inner).run_empty_for)]
    for task in both:
        stopped(task)


def test_link_time_optimisation_is_left_out(
    cc: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("CC", cc)
    monkeypatch.setenv("PYGOSTOP_CACHE", str(tmp_path / "cache"))
    source = """
        #include <pygostop.h>
        GS_TASK(spin) { for (;;) ; return 0; }
        GS_EXPORT(spin);
    """
    library = gs.compile(source, checkpoints="auto", flags=["-flto"])
    with pytest.raises(gs.DeadlineExceeded), gs.timeout(0.05):
        library.spin()


# ---- the source is as it was ----


@pytest.mark.parametrize(
    "flags",
    [
        ["-std=c89", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-Wno-error=pedantic"],
        ["-std=c99", "-D_FORTIFY_SOURCE=2", "-D_GNU_SOURCE", "-O2"],
        ["-fstack-protector-all", "-fcf-protection"],
        ["-fno-plt", "-Wl,-z,now", "-Wl,-z,defs"],
        ["-fno-builtin"],
    ],
)
def test_source_compiles_as_without(cc: str, tmp_path: pathlib.Path, flags: list[str]) -> None:
    """Feature macros, own names, strict modes: what is included before it disturbs none of them."""
    source = tmp_path / "odd.c"
    source.write_text(
        textwrap.dedent("""
        #define _GNU_SOURCE
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #if __STDC_VERSION__ < 202311L  /* a keyword since */
        typedef int bool;
        #endif
        struct allocator { void *(*malloc)(size_t); void (*free)(void *); };
        static const struct allocator the = {malloc, free};
        int odd(int n);
        __attribute__((visibility("default"))) int odd(int n)
        {
            bool yes = 1;
            char *text = the.malloc(10), *copy = strdup("x"), *line = NULL;
            size_t size = 0;
            FILE *f = fopen("/dev/null", "r");
            int printed;
            while (f && getline(&line, &size, f) > 0)
                n++;
            if (f) fclose(f);
            free(line);
            printed = asprintf(&line, "%d", n);
            free(line);
            the.free(text);
            free(copy);
            return printed + n + yes;
        }
        """)
    )
    library = ctypes.CDLL(str(build(cc, source, tmp_path / "odd.so", *flags)))
    assert library.odd(40) == 43


EARLY = """
    #include <pygostop.h>
    #include <stdlib.h>
    #if defined(__x86_64__) && !defined(__clang__)
    __attribute__((target_clones("avx2", "default")))  /* chosen while it is being loaded */
    #endif
    long sum(const int *p, long n) { long s = 0; for (long i = 0; i < n; i++) s += p[i]; return s; }
    extern long work(volatile long *turns, long n);
    static int *data;
    __attribute__((constructor)) static void begin(void)
    {
        data = calloc(10, sizeof *data);
        data[3] = 4;
    }
    __attribute__((destructor)) static void end(void) { free(data); }
    GS_TASK(run)
    {
        volatile long turns = 0;
        return gs_return_int(call, work(&turns, gs_arg_int(call, 0)) + sum(data, 10));
    }
"""
WORK = "long work(volatile long *turns, long n) { while (*turns != n) ++*turns; return *turns; }\n"


def test_several_sources_and_code_that_runs_early(cc: str, tmp_path: pathlib.Path) -> None:
    source, more = tmp_path / "early.c", tmp_path / "work.c"
    source.write_text(EARLY)
    more.write_text(WORK)
    library = Probe(build(cc, source, tmp_path / "early.so", str(more)))
    assert library.run(100) == 104
    task = gs.go(library.run, -1)
    assert eventually(lambda: task.state == "running")
    stopped(task)
    assert library.run(100) == 104


def test_a_program_may_use_the_library_without_pygostop(endless: Probe, run_python: Run) -> None:
    program = f"""
        import ctypes
        print(ctypes.CDLL({endless.library._name!r}).plain_turns(10))
    """
    assert run_python(program).stdout == "10\n"


def test_cplusplus_is_refused_with_the_reason(tmp_path: pathlib.Path) -> None:
    cxx = shutil.which("c++")
    if not cxx:
        pytest.skip("there is no C++ compiler here")
    header = pathlib.Path(gs.get_include(), "pygostop_auto.h")
    done = subprocess.run(
        [cxx, "-x", "c++", "-fsyntax-only", str(header)], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "runs no destructors" in done.stderr


# ---- the parts ----


def test_each_function_of_the_allocator_is_wrapped() -> None:
    header = pathlib.Path(gs.get_include(), "pygostop_auto.h").read_text()
    wrapped = {*re.findall(r"__wrap_([a-z_]+)\(.*;$", header, re.MULTILINE)}
    wrapped |= set(re.findall(r"^GS__AUTO_REAL\([^,]*, (\w+)", header, re.MULTILINE))
    assert wrapped == set(ALLOCATOR)


def test_a_compiler_of_another_kind_is_an_error() -> None:
    with pytest.raises(gs.CompileError, match="need gcc or clang"):
        auto_flags("#define __TINYC__ 9027\n", gs.get_include())


def test_a_comma_in_the_path_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/a,b/python")
    with pytest.raises(gs.CompileError, match="comma in the path '/opt/a,b/python'"):
        auto_flags("#define __GNUC__ 12\n", gs.get_include())


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (".L2:\n\tjmp\t.L2\n", 1),
        (".L2:\n\t.loc 1 2 3\n\tnop\n.LBB3:\n\tjmp\t.L2\n", 1),
        (".L2:\n\taddl\t$1, x(%rip)\n\tjmp\t.L2\n", 0),
        (".L2:\n\tjmp\t.L3\n.L3:\n\tjmp\t.L2\n", 2),
        (".L2:\n\tjmp\t.L3\n.L3:\n\tret\n", 0),
        (".L1:\n\tjmp\t.L2\n.L2:\n\tjmp\t.L2\n", 1),
        (".L2:\n\tb\t.L2\n", 1),
        ("f:\n\tjmp\tg\n\tjmp\t*%rax\n", 0),
    ],
)
def test_the_assembler_gets_a_checkpoint_in_each_empty_loop(text: str, calls: int) -> None:
    assert mend(text).count("__sanitizer_cov_trace_pc") == calls
    kept = [
        line for line in mend(text).split("\n") if "trace_pc" not in line and "$-16" not in line
    ]
    assert kept == text.split("\n")
