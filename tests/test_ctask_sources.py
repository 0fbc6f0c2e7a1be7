"""CTask from what the tools make that C tasks come from, and the header under the compilers there are.

A tool that is not installed skips its tests; pygostop[test-native] installs all of them.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import time
import weakref
from types import ModuleType
from typing import Any

import pytest

import pygostop as gs
from support import HERE, VERSION, WAIT, Probe, compiler, eventually

PACKAGES = pathlib.Path(gs.__file__).resolve().parent.parent
HEADER = (pathlib.Path(gs.get_include()) / "pygostop.h").read_text()


def import_from(path: pathlib.Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python_module(source: pathlib.Path, where: pathlib.Path, name: str) -> ModuleType:
    """Compiles an extension module, and imports it."""
    path = where / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{gs.get_include()}", f"-I{sysconfig.get_path('include')}"]
    subprocess.run(
        [compiler(), "-shared", "-fPIC", "-w", *includes, "-o", path, source], check=True
    )
    return import_from(path, name)


# ---- ctypes ----


def test_ctypes_gives_functions_and_pointers(probe: Probe) -> None:
    function = probe.library.add
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    for source in (function, address, prototype(address), ctypes.cast(function, prototype)):
        assert gs.CTask(source, name="add")(2, 3) == 5


@pytest.mark.parametrize(
    "source", [ctypes.c_int(5), ctypes.c_void_p(5), ctypes.pointer(ctypes.c_int(5))]
)
def test_ctypes_data_is_no_function(source: object) -> None:
    with pytest.raises(TypeError, match=r"CTask\(\) takes an address, a ctypes"):
        gs.CTask(source)


def test_a_library_that_its_opener_closes_stays(
    tmp_path: pathlib.Path, probe_path: pathlib.Path
) -> None:
    copied = shutil.copy(probe_path, tmp_path / "closed.so")
    library = ctypes.CDLL(str(copied))
    task = gs.CTask(library.add)
    importlib.import_module("_ctypes").dlclose(library._handle)
    assert task(20, 22) == 42


# ---- cffi ----


@pytest.fixture(scope="module")
def cffi() -> Any:
    return pytest.importorskip("cffi")


def test_a_cffi_library_that_is_gone_leaves_its_tasks(
    cffi: Any, tmp_path: pathlib.Path, probe_path: pathlib.Path
) -> None:
    ffi = cffi.FFI()
    ffi.cdef("int add(void *call);")
    library = ffi.dlopen(str(shutil.copy(probe_path, tmp_path / "gone.so")))
    task = gs.CTask(library.add, name="add")
    ffi.dlclose(library)
    del library
    gc.collect()
    assert task(20, 22) == 42


def test_cffi_modules_give_tasks(cffi: Any, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("setuptools")
    compiler()
    ffi = cffi.FFI()
    ffi.cdef(
        "typedef struct gs_call gs_call; int answer(gs_call *); extern int (*pointer)(gs_call *);"
    )
    ffi.set_source(
        "made_by_cffi",
        "#include <pygostop.h>\nGS_TASK(answer) { return gs_return_int(call, 42); }\ngs_fn *pointer = answer;",
        include_dirs=[gs.get_include()],
    )
    made = import_from(pathlib.Path(ffi.compile(str(tmp_path))), "made_by_cffi")
    assert gs.CTask(made.ffi.addressof(made.lib, "answer"))() == 42
    assert gs.CTask(made.lib.pointer)() == 42
    with pytest.raises(TypeError, match="CTask.* takes .*not builtin_function_or_method"):
        gs.CTask(made.lib.answer)  # what calls it, not the function


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("int", 5),
        ("uintptr_t", 4096),
        ("double", 1.5),
        ("int *", 4096),
        ("char *", 4096),
        ("struct unknown *", 4096),
        ("int (**)(void *)", 4096),
        ("void **", 4096),
    ],
)
def test_cffi_data_is_no_function(cffi: Any, declared: str, value: float) -> None:
    ffi = cffi.FFI()
    ffi.cdef("struct unknown;")
    said = re.escape(ffi.getctype(declared))
    with pytest.raises(
        TypeError, match=f"cffi pointer to a function or a void .*not <ctype '{said}'"
    ):
        gs.CTask(ffi.cast(declared, value))


def test_cffi_arrays_and_structures_are_no_functions(cffi: Any) -> None:
    ffi = cffi.FFI()
    ffi.cdef("struct pair { int a, b; };")
    for source in (
        *(ffi.new("char[]", b"abc"), ffi.new("struct pair *")[0]),
        *(ffi.typeof("int"), ffi.typeof("int(*)(void *)")),
    ):
        with pytest.raises(TypeError, match="cffi pointer to a function or a void"):
            gs.CTask(source)
    with pytest.raises(ValueError, match="address 0"):
        gs.CTask(ffi.NULL)
    with pytest.raises(TypeError, match="not FFI$"):
        gs.CTask(ffi)


# ---- Numba ----


@pytest.fixture(scope="module")
def numba() -> Any:
    return pytest.importorskip("numba")


@pytest.fixture(scope="module")
def compiled(numba: Any, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Tasks that Numba compiles: a module, as it reads their source."""
    path = tmp_path_factory.mktemp("numba") / "compiled.py"
    path.write_text(
        textwrap.dedent(
            """
            import numba
            import numpy as np
            from pygostop.numba import *

            task = numba.cfunc("int32(voidptr)")

            @task
            def total(call):
                x = gs_arg_array(call, 0, np.float64)
                s = 0.0
                for i in range(len(x)):
                    code = gs_checkpoint(call)
                    if code != GS_OK:
                        return code
                    s += x[i]
                gs_progress(call, len(x), 2 * len(x))
                return gs_return_float(call, s * gs_arg_float(call, 1))

            @task
            def spin(call):
                while not gs_cancelled(call):
                    pass
                return GS_ECANCELED

            @task
            def halve(call):
                source = gs_arg_chan(call, 0, np.int64)
                to = gs_arg_chan(call, 1, np.float64)
                while True:
                    code, n = gs_recv_int(call, source)
                    if code == GS_ECLOSED:
                        return gs_close(call, to)
                    if code == GS_OK:
                        code = gs_send_float(call, to, n / 2)
                    if code != GS_OK:
                        return code

            @task
            def batches(call):
                source = gs_arg_chan(call, 0, np.float32)
                to = gs_arg_chan(call, 1, np.float32)
                items = np.empty(8, np.float32)
                while True:
                    n = gs_recv_many(call, source, items)
                    if n > 0:
                        n = gs_send_many(call, to, items[:n] * np.float32(2))
                    if n < 0:
                        gs_close(call, to)
                        return GS_OK if n == GS_ECLOSED else np.int32(n)

            @task
            def waits(call):
                ch = gs_chan_new(call, np.int64, 2)
                gs_send_int(call, ch, np.int16(40))
                code, n = gs_recv_int(call, ch)
                gs_block_begin(call)
                gs_block_end(call)
                gs_shield_begin(call)
                gs_shield_end(call)
                if gs_yield(call) != GS_OK or gs_sleep(call, 1000) != GS_OK:
                    return 1
                if gs_ctx_done(call, gs_ctx_current(call)):
                    return 2
                return gs_return_int(call, n + gs_nargs(call) + gs_arg_kind(call, 0))
            """
        )
    )
    return import_from(path, "compiled")


def test_numba_functions_are_tasks(compiled: ModuleType) -> None:
    numpy = pytest.importorskip("numpy")
    task = gs.CTask(compiled.total)
    assert task.name == "total"
    started = gs.go(task, numpy.arange(100.0), 2)
    assert started.result(WAIT) == 9900.0
    assert started.progress == (100, 200)


def test_numba_tasks_hold_no_gil_and_stop(compiled: ModuleType) -> None:
    task = gs.go(gs.CTask(compiled.spin))
    assert eventually(lambda: task.state == "running")
    for _ in range(1000):
        time.sleep(0)
    task.cancel()
    assert task.wait(WAIT)
    assert task.cancelled()


def test_numba_tasks_use_channels(compiled: ModuleType) -> None:
    numpy = pytest.importorskip("numpy")
    ints, floats = gs.Chan(0, int), gs.Chan(3, float)
    gs.go(gs.CTask(compiled.halve), ints, floats)
    ints.send(7)
    assert floats.recv() == 3.5
    ints.close()
    assert list(floats) == []
    source, to = gs.Chan(20, numpy.dtype("float32")), gs.Chan(20, numpy.dtype("float32"))
    source.send_many(numpy.arange(20, dtype="float32"))
    source.close()
    gs.go(gs.CTask(compiled.batches), source, to)
    assert list(to) == [2.0 * n for n in range(20)]


def test_numba_tasks_wait_and_look(compiled: ModuleType) -> None:
    assert gs.CTask(compiled.waits)("a string") == 40 + 1 + 3


def test_a_wrong_argument_of_a_numba_task_is_named(compiled: ModuleType) -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(gs.TaskFailed, match="task 'total': argument 0 must be a .* of float64"):
        gs.CTask(compiled.total)(numpy.zeros(3, "float32"), 1)
    with pytest.raises(gs.TaskFailed, match="task 'halve': argument 1 must be .*float"):
        gs.CTask(compiled.halve)(gs.Chan(0, int), gs.Chan(0, int))


def test_a_numba_function_lives_as_long_as_its_task(numba: Any, compiled: ModuleType) -> None:
    function = numba.cfunc("int32(voidptr)")(lambda call: numba.int32(7))
    gone = weakref.ref(function)
    task = gs.CTask(function, name="seven")
    del function
    gc.collect()
    with pytest.raises(gs.TaskFailed, match="task 'seven' failed with code 7"):
        task()
    del task
    assert eventually(lambda: gc.collect() is not None and gone() is None)


def test_numba_finds_the_functions_where_the_header_has_them(numba: Any) -> None:
    from pygostop import numba as calls

    table = HEADER[HEADER.index("struct gs_api {") :].partition("};")[0]
    assert re.search(
        r"^    uint32_t version;\n    uint32_t size;.*\n\n    int \(\*nargs\)", table, re.MULTILINE
    )
    places = {name: i for i, name in enumerate(re.findall(r"\(\*(\w+)\)\(gs_call", table))}
    assert {name: entry[0] for name, entry in calls._TABLE.items()}.items() <= places.items()
    codes = {name: int(value) for name, value in re.findall(r"X\((GS_E\w+), (-\d+),", HEADER)}
    assert {
        name: getattr(calls, name) for name in calls.__all__ if name.startswith("GS_E")
    } == codes
    for name in calls.__all__:
        if name.startswith("gs_"):
            in_c = re.sub(r"(send|recv)_(int|float)$", r"\1", name)
            assert re.search(rf"\b{in_c}\((const )?gs_call \*call", HEADER), name


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("gs_return_int(call)", "gs_return_int.. takes 2 arguments .1 given"),
        ("gs_arg_array(call, 0, np.complex128)", "items must be of a plain type of NumPy"),
    ],
)
def test_a_wrong_call_in_numba_is_a_typing_error(
    numba: Any, tmp_path: pathlib.Path, line: str, says: str
) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        "import numba\nimport numpy as np\nfrom pygostop.numba import *\n"
        f"@numba.cfunc('int32(voidptr)')\ndef wrong(call):\n    {line}\n    return 0\n"
    )
    with pytest.raises(numba.TypingError, match=says):
        import_from(path, "wrong")


# ---- Cython ----


@pytest.fixture(scope="module")
def cythonized(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    pytest.importorskip("Cython")
    where = tmp_path_factory.mktemp("cython")
    made = where / "counted.c"
    command = [sys.executable, "-m", "cython", "-I", str(PACKAGES), "-Werror", "-o", str(made)]
    subprocess.run([*command, str(HERE / "tasks" / "counted.pyx")], check=True)
    return python_module(made, where, "counted")


def test_cython_functions_are_tasks(cythonized: ModuleType) -> None:
    assert cythonized.add_up_task(10) == 45
    ch = gs.Chan(1, "dd")
    ch.send((3.0, 4.0))
    assert cythonized.distance_task(ch) == 5.0
    ch.close()
    with pytest.raises(gs.TaskFailed, match="no point: -2"):
        cythonized.distance_task(ch)


def test_a_cython_module_may_give_a_capsule(cythonized: ModuleType) -> None:
    count = gs.CTask(cythonized.capsule)
    assert count.__doc__ == "count(limit: int, out: SendChan[int])"
    ch = gs.Chan(0, int)
    task = gs.go(count, 10**9, ch)
    assert [ch.recv() for _ in range(3)] == [0, 1, 2]
    task.cancel()
    assert task.wait(WAIT) and task.cancelled()


def test_the_declarations_for_cython_are_the_whole_header() -> None:
    declared = (PACKAGES / "pygostop" / "__init__.pxd").read_text()
    names: set[str] = set()
    for pattern in (
        r"^(?:GS__PRINTF\(.*?\) )?static inline .*?\b((?:gs_[a-z]|GS_)\w+)\(",
        r"^#define (GS_[A-Z]\w+)",
        r"X\((GS_E\w+)",
        r"^    (GS_(?:KIND|VALUE)_\w+)",
        r"^} (gs_\w+);",
        r"^typedef (?:struct \w+|\w+) (gs_\w+)",
    ):
        found = set(re.findall(pattern, HEADER, re.MULTILINE))
        assert found, pattern
        names |= found
    assert len(names) > 120
    # They define or return, which a declaration cannot.
    names -= {
        "GS_NO_CHECKPOINT",
        "GS_TASK",
        "GS_EXPORT",
        "GS_SIG",
        "GS_TRY",
        "GS_CHECKPOINT",
        "GS_RECORD",
        "gs_library",
    }
    assert {name for name in names if not re.search(rf"\b{name}\b", declared)} == set()


# The table of version 1: it may grow at its end, with a new GS_VERSION, and never change otherwise.
TABLE = """
    nargs arg_kind arg_int arg_float arg_str arg_bytes arg_buffer arg_array arg_view arg_chan arg_ctx arg_ptr
    return_int return_float return_str return_bytes vfail
    checkpoint stop_flag stop_fd on_cancel off_cancel defer shield_begin shield_end
    yield sleep send recv try_send try_recv send_many recv_many send_copy close chan_new str_free select wait_fd
    block_begin block_end go join task_cancel detach ctx_current ctx_with_cancel ctx_with_timeout ctx_cancel ctx_done
    progress vlog auto_begin keep
""".split()


def test_the_table_only_grows_at_its_end() -> None:
    table = HEADER[HEADER.index("struct gs_api {") :].partition("};")[0]
    assert re.match(r"struct gs_api \{\n    uint32_t version;\n    uint32_t size;", table)
    names = re.findall(r"\(\*(\w+)\)\(gs_call", table)
    assert names[: len(TABLE)] == TABLE
    assert (len(names) > len(TABLE)) == (VERSION > 1)


def test_every_declaration_of_the_header_is_documented() -> None:
    undocumented = []
    lines = HEADER.splitlines()
    declared = re.compile(
        r"(?:GS__PRINTF\(.*?\) )?static inline .*\b(?:gs_[a-z]|GS_[A-Z])\w*\(|#define GS_[A-Z]|#define gs_[a-z]"
        r"|typedef|enum \{"
    )
    for before, line in zip(lines, lines[1:], strict=False):
        # A run of definitions has its comment in front, or each its own behind it.
        if declared.match(line) and not re.search(r"\*/$|^#|^    |^typedef .*;$", before):
            undocumented.append(line)
    assert [line for line in undocumented if "PYGOSTOP_H" not in line] == []


# ---- another extension module ----


def test_the_capsule_of_an_extension_module_is_a_task(tmp_path: pathlib.Path) -> None:
    module = python_module(HERE / "tasks" / "capsule.c", tmp_path, "capsule")
    square = gs.CTask(module.square)
    assert (square.name, square(12), square.__doc__) == ("square", 144, "square(n: int)")
    with pytest.raises(TypeError, match="task 'square' takes 1 argument"):
        square()


# ---- compilers of C and C++ ----

STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]


@pytest.mark.parametrize(
    ("program", "standard"),
    [(program, f"c{year}") for program in ("gcc", "clang") for year in ("99", "11", "17")]
    + [(program, f"c++{year}") for program in ("g++", "clang++") for year in ("11", "17", "20")],
)
@pytest.mark.parametrize("optimized", ["-O0", "-O2"])
def test_the_header_is_for_every_compiler(
    program: str, standard: str, optimized: str, tmp_path: pathlib.Path
) -> None:
    if not shutil.which(program):
        pytest.skip(f"there is no {program} here")
    source = HERE / "c" / ("header.cc" if program.endswith("++") else "header.c")
    path = tmp_path / "header.so"
    options = [f"-std={standard}", optimized, *STRICT, f"-I{gs.get_include()}"]
    subprocess.run([program, *options, "-o", path, source], check=True)
    library = gs.load(path)
    assert list(library) == ["one", "two"]
    assert library.two.__doc__ == "two(limit: int, out: Chan[int])"
    with pytest.raises(gs.TaskFailed, match="no more after 0"):  # its own context ends after 5 ms
        library.one(gs.Chan(0, "dd"), gs.Chan(0, float))


CXX = r"""
#include <pygostop.h>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

static std::atomic<int> alive{0};
namespace {
struct Held {
    Held() { alive++; }
    ~Held() { alive--; }
};
struct PerThread {
    std::string name = "a string that has memory of its own to free";
};
thread_local PerThread on_this_thread;
}

GS_TASK(guarded)
{
    auto held = std::unique_ptr<Held>(new Held);
    if (on_this_thread.name.empty())
        return 1;
    try {
        if (gs_arg_int(call, 0) > 3)
            throw std::runtime_error("more than " + std::to_string(3));
    } catch (const std::exception &error) {
        return gs_fail(call, 7, "%s", error.what());
    }
    for (;;)
        GS_CHECKPOINT(call);
}

GS_TASK(count_alive) { return gs_return_int(call, alive); }

GS_EXPORT(GS_SIG(guarded, "n: int"), count_alive);
"""


@pytest.mark.parametrize("program", ["g++", "clang++"])
def test_tasks_in_cxx_unwind(program: str, tmp_path: pathlib.Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"there is no {program} here")
    (tmp_path / "guarded.cc").write_text(CXX)
    path = tmp_path / "guarded.so"
    options = ["-std=c++11", "-O1", *STRICT, f"-I{gs.get_include()}"]
    subprocess.run([program, *options, "-o", path, tmp_path / "guarded.cc"], check=True)
    library = gs.load(path)
    with pytest.raises(gs.TaskFailed, match="more than 3"):
        library.guarded(4)
    before = library.count_alive()
    tasks = [gs.go(library.guarded, 1) for _ in range(3)]
    assert eventually(lambda: library.count_alive() > before)
    for task in tasks:
        task.cancel()
        assert task.wait(WAIT) and task.cancelled()
    assert library.count_alive() == before


# ---- build systems ----


def test_cmake_finds_the_package(tmp_path: pathlib.Path) -> None:
    if not shutil.which("cmake"):
        pytest.skip("there is no cmake here")
    said = subprocess.run(
        [sys.executable, "-m", "pygostop", "--cmakedir"], capture_output=True, text=True, check=True
    )
    where = f"-Dpygostop_DIR={said.stdout.strip()}"
    for command in (
        ["cmake", "-S", str(HERE / "consumer"), "-B", str(tmp_path), where],
        ["cmake", "--build", str(tmp_path)],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    library = gs.load(tmp_path / "consumer.so")
    assert library.twice.__doc__ == "twice(input: Chan[int], output: Chan[int])"


def test_scikit_build_core_finds_the_package(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("scikit_build_core")
    pytest.importorskip("pip")
    if not shutil.which("cmake") or not shutil.which("ninja"):
        pytest.skip("there is no cmake and ninja here")
    project = tmp_path / "project"
    shutil.copytree(HERE / "consumer", project)
    with (project / "CMakeLists.txt").open("a") as file:
        file.write("install(TARGETS consumer DESTINATION consumer)\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["scikit-build-core", "pygostop"]\n'
        'build-backend = "scikit_build_core.build"\n[project]\nname = "consumer"\nversion = "0.1"\n'
    )
    options = [
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-q",
        "--target",
        str(tmp_path / "target"),
    ]
    subprocess.run(
        [sys.executable, "-P", "-m", "pip", "install", *options, str(project)], check=True
    )
    assert list(gs.load(tmp_path / "target" / "consumer" / "consumer.so")) == ["twice"]
