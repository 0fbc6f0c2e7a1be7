"""load(): shared libraries of C tasks, what they say of themselves, how long they stay."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import io
import os
import pathlib
import pickle
import re
import subprocess
import textwrap
import threading
from collections.abc import Callable

import pytest

import pygostop as gs
from support import VERSION, WAIT, compiler, eventually

Build = Callable[..., pathlib.Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

ANSWER = """
    #include <pygostop.h>
    static int64_t calls;
    GS_TASK(answer) { return gs_return_int(call, %d); }
    GS_TASK(add) { return gs_return_int(call, gs_arg_int(call, 0) + gs_arg_int(call, 1)); }
    GS_TASK(count_calls) { return gs_return_int(call, ++calls); }
    GS_TASK(answer_when_closed)
    {
        gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
        int64_t n;
        int code = gs_recv(call, ch, &n);
        return code == GS_ECLOSED ? gs_return_int(call, answer(call) == GS_OK ? %d : -1) : code;
    }
    GS_EXPORT(answer, GS_SIG(add, "a: int, b: int"), count_calls,
              GS_SIG(answer_when_closed, "ch: RecvChan[int]"));
"""


def answer(n: int) -> str:
    return ANSWER % (n, n)


@pytest.fixture
def build(tmp_path: pathlib.Path) -> Build:
    """Builds a shared library from C text: its path."""

    def make(source: str, *flags: str, name: str = "tasks.so") -> pathlib.Path:
        text = tmp_path / "source.c"
        text.write_text(textwrap.dedent(source))
        path = tmp_path / name
        words = ["-shared", "-fPIC", f"-I{gs.get_include()}", "-o", str(path), str(text), *flags]
        subprocess.run([compiler(), *words], check=True)
        return path

    return make


# ---- what a library has ----


def test_tasks_are_attributes_and_items(build: Build) -> None:
    library = gs.load(build(answer(42)))
    assert library.answer() == 42
    assert library["answer"] is library.answer
    assert isinstance(library.add, gs.CTask)
    assert gs.go(library.add, 2, 3).result(WAIT) == 5


def test_it_has_a_length_and_names(build: Build) -> None:
    library = gs.load(build(answer(1)))
    names = ["answer", "add", "count_calls", "answer_when_closed"]
    assert list(library) == names
    assert len(library) == 4
    assert "add" in library and "sub" not in library and 3 not in library
    assert set(names) <= set(dir(library)) and "path" in dir(library)


def test_it_says_where_it_came_from(build: Build) -> None:
    path = build(answer(1))
    library = gs.load(path)
    assert library.path == str(path)
    assert repr(library) == f"<Library {str(path)!r}: answer, add, count_calls, answer_when_closed>"


def test_a_task_that_it_has_not_is_named_with_those_that_it_has(build: Build) -> None:
    library = gs.load(build(answer(1)))
    with pytest.raises(AttributeError, match=r"no task 'primes'; it has answer, add"):
        library.primes
    with pytest.raises(KeyError, match=r"no task 'primes'; it has answer, add"):
        library["primes"]
    assert not hasattr(library, "primes")


def test_a_name_that_a_library_has_itself_is_an_item(build: Build) -> None:
    source = (
        "#include <pygostop.h>\nGS_TASK(path) { return gs_return_int(call, 7); }\nGS_EXPORT(path);"
    )
    library = gs.load(build(source))
    assert library.path.endswith("tasks.so")
    assert library["path"]() == 7


def test_signatures_are_checked_and_shown(build: Build) -> None:
    library = gs.load(build(answer(1)))
    assert str(inspect.signature(library.add)) == "(a: 'int', b: 'int', /)"
    with pytest.raises(TypeError, match=r"task 'add' takes 2 arguments \(1 given\)"):
        library.add(1)
    with pytest.raises(TypeError, match=r"task 'add': argument 1 \('b'\) must be an int, not str"):
        library.add(1, "2")
    with pytest.raises(TypeError, match=r"must be RecvChan\[int\], not <Chan"):
        gs.go(library.answer_when_closed, gs.Chan(0, float))
    assert library.answer.__doc__ != library.add.__doc__


def test_a_task_may_be_made_anew_with_another_stack(build: Build) -> None:
    deep = """
        #include <pygostop.h>
        static int64_t dive(int64_t n)
        {
            volatile char frame[1024];
            frame[0] = (char)n;
            return n ? dive(n - 1) + frame[0] * 0 + 1 : 0;
        }
        GS_TASK(deep) { return gs_return_int(call, dive(gs_arg_int(call, 0))); }
        GS_EXPORT(GS_SIG(deep, "n: int"));
    """
    library = gs.load(build(deep))
    larger = gs.CTask(library.deep, stack_size=16 << 20)
    assert larger(10_000) == 10_000
    assert (larger.name, larger.address) == ("deep", library.deep.address)
    assert larger.__doc__ == "deep(n: int)"
    with pytest.raises(TypeError, match="takes 1 argument"):
        larger()


def help_of(thing: object) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        help(thing)
    return said.getvalue()


def test_help_shows_signatures(build: Build) -> None:
    library = gs.load(build(answer(1)))
    assert "add(a: int, b: int)\n" in help_of(library.add)
    shown = help_of(library)
    assert "add(a: int, b: int)\n" in shown
    assert "answer_when_closed(ch: RecvChan[int])" in shown
    assert library.path in shown


def test_it_cannot_be_pickled_and_says_what_to_do(build: Build) -> None:
    with pytest.raises(TypeError, match="load it again in the other process"):
        pickle.dumps(gs.load(build(answer(1))))


@pytest.mark.parametrize("form", [str, os.fsencode, pathlib.Path])
def test_a_path_in_any_form_is_taken(build: Build, form: Callable[[pathlib.Path], str]) -> None:
    assert gs.load(form(build(answer(3)))).answer() == 3


def test_a_relative_path_is_from_the_current_directory(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(answer(4))
    monkeypatch.chdir(path.parent)
    assert gs.load("tasks.so").answer() == 4


def test_a_name_that_is_not_utf_8_is_taken(build: Build) -> None:
    path = build(answer(5))
    odd = os.fsencode(path.parent) + b"/\xff odd.so"
    os.rename(path, odd)
    library = gs.load(odd)
    assert library.answer() == 5
    assert os.fsencode(library.path) == odd


# ---- how long it stays, and what replaces it ----


def test_the_same_file_is_loaded_once(build: Build) -> None:
    path = build(answer(1))
    assert gs.load(path).count_calls() == 1
    assert gs.load(str(path)).count_calls() == 2


def replace_by_rename(path: pathlib.Path, new: pathlib.Path) -> None:
    os.replace(new, path)


def overwrite(path: pathlib.Path, new: pathlib.Path) -> None:
    path.write_bytes(new.read_bytes())


@pytest.mark.parametrize("change", [replace_by_rename, overwrite])
def test_a_changed_file_gives_the_new_tasks_while_the_old_ones_run(
    build: Build, change: Callable[[pathlib.Path, pathlib.Path], None]
) -> None:
    path = build(answer(1))
    old = gs.load(path)
    ch = gs.Chan(0, int)
    running = gs.go(old.answer_when_closed, ch)
    assert eventually(lambda: running.state == "parked")
    change(path, build(answer(2), name="new.so"))
    new = gs.load(path)
    assert (new.answer(), old.answer()) == (2, 1)
    ch.close()
    assert running.result(WAIT) == 1


def test_a_file_that_is_gone_takes_no_task_with_it(build: Build) -> None:
    path = build(answer(6))
    library = gs.load(path)
    path.write_bytes(b"")
    path.unlink()
    assert library.answer() == 6


def test_a_running_task_outlives_its_library_object(build: Build) -> None:
    ch = gs.Chan(0, int)
    running = gs.go(gs.load(build(answer(7))).answer_when_closed, ch)
    ch.close()
    assert running.result(WAIT) == 7


def with_neighbour(build: Build, n: int, name: str) -> pathlib.Path:
    """A library that finds another one beside itself."""
    build("int neighbour(void);\nint neighbour(void) { return 100; }", name="libneighbour.so")
    source = f"""
        #include <pygostop.h>
        int neighbour(void);
        GS_TASK(answer) {{ return gs_return_int(call, neighbour() + {n}); }}
        GS_EXPORT(answer);
    """
    where = build("int unused;", name="unused.so").parent
    return build(source, f"-L{where}", "-lneighbour", "-Wl,-rpath,$ORIGIN", name=name)


def test_a_library_finds_those_beside_it(build: Build) -> None:
    path = with_neighbour(build, 1, "tasks.so")
    first = gs.load(path)
    assert first.answer() == 101
    os.replace(with_neighbour(build, 2, "new.so"), path)
    assert (gs.load(path).answer(), first.answer()) == (102, 101)


def test_a_library_in_its_place_that_was_written_over_says_what_to_do(build: Build) -> None:
    path = with_neighbour(build, 1, "tasks.so")
    gs.load(path)
    with path.open("ab") as file:  # as little as does not break what is loaded
        file.write(b"\0")
    with pytest.raises(gs.Error, match=r"tasks.so' was written over while it was loaded.* rename"):
        gs.load(path)


def test_threads_may_load_at_once(build: Build) -> None:
    path = build(answer(1))
    loaded: list[gs.Library] = []
    threads = [threading.Thread(target=lambda: loaded.append(gs.load(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(library.count_calls() for library in loaded) == list(range(1, 9))


def test_a_python_task_may_load(build: Build) -> None:
    path = build(answer(8))
    assert gs.go(lambda: gs.load(path).answer()).result(WAIT) == 8


def test_the_process_may_leave_while_tasks_run(build: Build, run_python: Run) -> None:
    path = build(
        """
        #include <pygostop.h>
        static char here[1 << 20];
        GS_TASK(spin) { for (volatile uint32_t n = 0;; n++) here[n % sizeof here] = (char)n; }
        GS_TASK(sleep_long) { return gs_sleep(call, GS_S(1000)); }
        GS_EXPORT(spin, sleep_long);
        """
    )
    done = run_python(f"""
        import time, pygostop as gs
        gs.configure(grace=0.1)
        library = gs.load({str(path)!r})
        tasks = [gs.go(library.spin), gs.go(library.sleep_long)]
        while tasks[0].state != "running":
            time.sleep(0.01)
    """)
    assert done.returncode == 0, done.stderr
    assert "spin" in done.stderr  # named, as one that did not stop


def test_its_copies_are_gone_after_the_process(
    build: Build, run_python: Run, tmp_path: pathlib.Path
) -> None:
    first, second = build(answer(1)), build(answer(2), name="second.so")
    place = tmp_path / "temporary"
    place.mkdir()
    done = run_python(f"""
        import os, sys, tempfile, pygostop as gs
        tempfile.tempdir = {str(place)!r}
        assert gs.load({str(first)!r}).answer() == 1
        (own,) = os.listdir({str(place)!r})
        with open("/proc/self/maps") as maps:  # what debuggers go by
            copies = {{line.split()[-1] for line in maps if own in line}}
        assert [os.path.basename(copy) for copy in copies] == ["tasks.so"]
        if os.fork() == 0:
            assert gs.load({str(second)!r}).answer() == 2
            assert len(os.listdir({str(place)!r})) == 2  # a place of its own
            sys.exit()
        if os.fork() == 0:
            sys.exit()
        assert [os.wait()[1] for _ in range(2)] == [0, 0]
        assert os.listdir({str(place)!r}) == [own]
        assert all(map(os.path.exists, copies))
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(place.iterdir())


# ---- what cannot be loaded ----


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "nowhere.so"
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))) as error:
        gs.load(path)
    assert error.value.filename == str(path)


def test_a_directory_is_no_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        gs.load(tmp_path)


def test_a_pipe_that_nobody_writes_does_not_hang(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        gs.load(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "file too short"),
        (b"not ELF" * 100, "invalid ELF header"),
        (b"\x7fELF" + bytes(400), "ELF"),
    ],
)
def test_what_is_no_library_is_refused_in_the_loaders_words(
    tmp_path: pathlib.Path, contents: bytes, words: str
) -> None:
    path = tmp_path / "tasks.so"
    path.write_bytes(contents)
    with pytest.raises(gs.Error, match=f"^'{re.escape(str(path))}' cannot be loaded: .*{words}"):
        gs.load(path)


@pytest.mark.parametrize("size", [63, 64, 100, 2000, 8192])
def test_a_part_of_a_library_is_refused(build: Build, size: int) -> None:
    path = build(answer(1))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(gs.Error, match=f"^'{re.escape(str(path))}' cannot be loaded"):
        gs.load(path)


def test_a_library_without_an_export_says_what_to_add(build: Build) -> None:
    path = build("#include <pygostop.h>\nGS_TASK(one) { return GS_OK; }")
    with pytest.raises(
        gs.Error, match=rf"^'{re.escape(str(path))}' has no GS_EXPORT: .*GS_EXPORT\(first"
    ):
        gs.load(path)
    with pytest.raises(gs.Error, match="no GS_EXPORT"):  # and again
        gs.load(path)


def test_the_export_of_a_library_that_it_needs_is_not_its_own(build: Build) -> None:
    where = build(answer(1), name="libother.so").parent
    source = "int add(void *);\nint other(void);\nint other(void) { return add(0); }"
    path = build(source, f"-L{where}", "-lother", f"-Wl,-rpath,{where}")
    with pytest.raises(gs.Error, match="has no GS_EXPORT"):
        gs.load(path)


def test_a_missing_symbol_is_named(build: Build) -> None:
    path = build("""
        #include <pygostop.h>
        int not_anywhere(void);
        GS_TASK(one) { return not_anywhere(); }
        GS_EXPORT(one);
    """)
    with pytest.raises(
        gs.Error, match=rf"^'{re.escape(str(path))}' .*undefined symbol: not_anywhere"
    ):
        gs.load(path)


def test_a_missing_library_is_named(build: Build) -> None:
    where = build(answer(1), name="libgone.so").parent
    path = build(answer(1), f"-L{where}", "-Wl,--no-as-needed", "-lgone")
    (where / "libgone.so").unlink()
    with pytest.raises(gs.Error, match="libgone.so: cannot open"):
        gs.load(path)


@pytest.mark.parametrize("version", [0, VERSION + 1, 77])
def test_a_table_of_another_version_is_refused(build: Build, version: int) -> None:
    path = build(f"""
        #include <pygostop.h>
        #undef GS_VERSION
        #define GS_VERSION {version}
        GS_TASK(one) {{ return GS_OK; }}
        GS_EXPORT(one);
    """)
    with pytest.raises(
        gs.Error,
        match=rf"built against version {version} of pygostop.h.* has version {VERSION}: update",
    ):
        gs.load(path)


def test_a_task_whose_name_is_taken_in_the_process_is_refused(build: Build) -> None:
    # The loader would take the C library's, which would sleep for as long as the address says.
    source = "#include <pygostop.h>\nGS_TASK(sleep) { return gs_return_int(call, 1); }\nGS_EXPORT(sleep);"
    with pytest.raises(
        gs.Error, match=r"task 'sleep', and .*: rename the task, or link with -Wl,-Bsymbolic"
    ):
        gs.load(build(source))
    assert gs.load(build(source, "-Wl,-Bsymbolic")).sleep() == 1


def test_a_task_of_a_library_that_it_needs_may_be_listed(build: Build) -> None:
    where = build(answer(9), name="libnine.so").parent
    source = "#include <pygostop.h>\nextern gs_fn answer;\nGS_EXPORT(answer);"
    assert gs.load(build(source, f"-L{where}", "-lnine", f"-Wl,-rpath,{where}")).answer() == 9


def test_a_signature_that_is_none_is_named(build: Build) -> None:
    path = build("""
        #include <pygostop.h>
        GS_TASK(one) { return GS_OK; }
        GS_EXPORT(GS_SIG(one, "x: complex"));
    """)
    with pytest.raises(
        gs.Error, match=r"has a task 'one' whose GS_SIG is wrong: signature 'x: complex': expected"
    ):
        gs.load(path)


def test_a_task_that_is_listed_twice_is_refused(build: Build) -> None:
    path = build("#include <pygostop.h>\nGS_TASK(one) { return GS_OK; }\nGS_EXPORT(one, one);")
    with pytest.raises(gs.Error, match="lists the task 'one' twice"):
        gs.load(path)


def test_a_list_with_holes_is_refused(build: Build) -> None:
    path = build("""
        #include <pygostop.h>
        GS__VISIBLE extern const gs_library gs_library_exports;
        static const gs_def defs[] = {{GS_VERSION, 0, NULL, "none", NULL}};
        const gs_library gs_library_exports = {GS_VERSION, 1, defs};
    """)
    with pytest.raises(gs.Error, match="without a name or a function"):
        gs.load(path)


@pytest.mark.parametrize("path", [None, 3, 1.5, [], object()])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(path).__name__}"):
        gs.load(path)  # type: ignore[arg-type]


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        gs.load("a\0b")


# ---- where it is loaded from ----


def test_without_a_place_for_a_copy_it_is_loaded_where_it_lies(
    build: Build, run_python: Run
) -> None:
    path = build(answer(1))
    done = run_python(f"""
        import tempfile, pygostop as gs
        tempfile.tempdir = "/nonexistent"
        assert gs.load({str(path)!r}).answer() == 1
        with open("/proc/self/maps") as maps:
            assert {str(path)!r} in maps.read()
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_library_that_was_opened_elsewhere_is_another(build: Build) -> None:
    path = build(answer(1))
    assert gs.CTask(ctypes.CDLL(str(path)).count_calls)() == 1
    assert gs.load(path).count_calls() == 1


def test_a_symlink_is_followed(build: Build) -> None:
    path = build(answer(1))
    link = path.with_name("link.so")
    link.symlink_to(path)
    library = gs.load(link)
    assert library.answer() == 1
    assert library.path == str(link)
    assert gs.load(path).count_calls() + library.count_calls() == 3


def test_ctrl_c_stops_a_task_of_a_library(build: Build, run_python: Run) -> None:
    path = build("""
        #include <pygostop.h>
        GS_TASK(spin) { for (;;) GS_CHECKPOINT(call); }
        GS_EXPORT(spin);
    """)
    done = run_python(f"""
        import os, signal, threading, pygostop as gs
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            gs.load({str(path)!r}).spin()
        except KeyboardInterrupt:
            print("stopped", gs.all_tasks())
    """)
    assert (done.stdout, done.stderr) == ("stopped []\n", "")
