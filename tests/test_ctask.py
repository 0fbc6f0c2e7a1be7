"""CTask: where a C function comes from, its arguments and results, and calling it."""

from __future__ import annotations

import array
import ctypes
import gc
import inspect
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable

import pytest

import pygostop as gs
from support import VERSION, WAIT, Probe, eventually

Run = Callable[..., subprocess.CompletedProcess[str]]

# ---- where it comes from ----


def test_an_address_is_a_task(probe: Probe) -> None:
    address = ctypes.cast(probe.library.add, ctypes.c_void_p).value
    task = gs.CTask(address, name="plus")
    assert task.address == address
    assert task.name == "plus"
    assert task(2, 3) == 5


def test_a_ctypes_function_is_a_task_with_its_name(probe: Probe) -> None:
    task = gs.CTask(probe.library.add)
    assert task.name == "add"
    assert task(-1, 1) == 0


def test_an_object_with_an_address_is_a_task(probe: Probe) -> None:
    class Compiled:
        address = ctypes.cast(probe.library.add, ctypes.c_void_p).value
        __name__ = "compiled"

    assert gs.CTask(Compiled()).name == "compiled"
    assert gs.CTask(Compiled())(1, 1) == 2


def test_a_capsule_is_a_task(make_capsule: Callable[..., object]) -> None:
    assert gs.CTask(make_capsule("nothing"))() is None
    assert gs.CTask(make_capsule("nothing")).name == "nothing"


def test_a_cffi_pointer_is_a_task(probe: Probe) -> None:
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    pointer = ffi.cast("void *", ctypes.cast(probe.library.add, ctypes.c_void_p).value)
    assert gs.CTask(pointer, name="add")(20, 22) == 42


class Def(ctypes.Structure):
    """gs_def of pygostop.h."""

    _fields_ = [
        ("version", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("fn", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("signature", ctypes.c_char_p),
    ]


@pytest.fixture
def make_capsule(probe: Probe) -> Callable[..., object]:
    keep: list[object] = []

    def make(function: str, version: int = 1, name: bytes = b"pygostop.task") -> object:
        address = ctypes.cast(getattr(probe.library, function), ctypes.c_void_p).value
        definition = Def(version, 0, address, function.encode(), None)
        keep.append((definition, name))
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(definition), name, None)

    return make


@pytest.mark.parametrize("version", [0, VERSION + 1, 1000])
def test_a_capsule_of_another_version_is_refused(make_capsule: Callable[..., object], version: int) -> None:
    with pytest.raises(gs.Error, match=f"version {version} .*version {VERSION}"):
        gs.CTask(make_capsule("nothing", version=version))


def test_a_capsule_of_another_name_is_refused(make_capsule: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="'pygostop.task', not 'other.thing'"):
        gs.CTask(make_capsule("nothing", name=b"other.thing"))


def test_address_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="address 0"):
        gs.CTask(0)


@pytest.mark.parametrize("source", [None, "add", 1.5, True, object(), [], lambda: None])
def test_what_is_no_function_is_refused(source: object) -> None:
    with pytest.raises(TypeError, match="address"):
        gs.CTask(source)


@pytest.mark.parametrize("source", [-1, 2**64])
def test_what_is_no_address_is_refused(source: int) -> None:
    with pytest.raises(OverflowError, match=f"{source}, which is no address"):
        gs.CTask(source)


def test_an_object_whose_address_is_a_bool_is_refused() -> None:
    class Claims:
        address = True

    with pytest.raises(TypeError, match="int .address.*not Claims"):
        gs.CTask(Claims())


def test_it_keeps_alive_what_it_was_made_from(probe: Probe) -> None:
    class Compiled:
        def __init__(self) -> None:
            self.address = ctypes.cast(probe.library.add, ctypes.c_void_p).value

    source = Compiled()
    gone = weakref.ref(source)
    task = gs.CTask(source)
    del source
    gc.collect()
    assert gone() is not None
    assert task(1, 2) == 3
    del task
    assert eventually(lambda: gone() is None)


def test_options_are_checked(probe: Probe) -> None:
    function = probe.library.add
    with pytest.raises(ValueError, match="stack_size"):
        gs.CTask(function, stack_size=0)
    with pytest.raises(ValueError, match="stack_size"):
        gs.CTask(function, stack_size=2**40)
    with pytest.raises(ValueError, match="stack_size"):
        gs.CTask(function, stack_size=2**100)
    with pytest.raises(TypeError, match="stack_size must be an int or None, not str"):
        gs.CTask(function, stack_size="big")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name must have no NUL"):
        gs.CTask(function, name="a\0b")
    with pytest.raises(TypeError, match="name"):
        gs.CTask(function, name=3)  # type: ignore[arg-type]
    assert gs.CTask(function, stack_size=1 << 20)(1, 2) == 3
    assert gs.CTask(function, pinned=True)(1, 2) == 3


def test_it_cannot_be_pickled(probe: Probe) -> None:
    with pytest.raises(TypeError, match="make the CTask where it is used"):
        pickle.dumps(probe.add)


def test_repr_names_it(probe: Probe) -> None:
    assert repr(probe.add).startswith("<CTask 'add' at 0x")


# ---- arguments and results ----


def test_results_of_each_kind(probe: Probe) -> None:
    assert probe.add(2**62, 2**62 - 1) == 2**63 - 1
    assert probe.half(3) == 1.5
    assert probe.half(0.5) == 0.25
    assert probe.echo_str("héllo\0wörld ✓") == "héllo\0wörld ✓"
    assert probe.echo_str("") == ""
    assert probe.echo_bytes(b"\0\xff") == b"\0\xff"
    assert probe.echo_bytes(bytearray(b"abc")) == b"abc"
    assert probe.echo_bytes(memoryview(b"abcd")[1:3]) == b"bc"
    assert probe.nothing() is None


def test_a_bool_is_an_int(probe: Probe) -> None:
    assert probe.add(True, 1) == 2


def test_numbers_of_other_libraries(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    assert probe.add(numpy.int32(2), numpy.uint8(3)) == 5
    assert probe.half(numpy.float32(3)) == 1.5
    assert probe.add(numpy.bool_(True), numpy.bool_(False)) == 1


@pytest.mark.parametrize("n", [2**63, -(2**63) - 1, 10**30])
def test_an_int_beyond_64_bits_is_refused_before_the_start(probe: Probe, n: int) -> None:
    with pytest.raises(OverflowError, match="'add': argument 1.*64 bits"):
        gs.go(probe.add, 0, n)


@pytest.mark.parametrize("arg", [None, [1], {}, object(), 1j, len])
def test_what_no_c_task_takes_is_refused_before_the_start(probe: Probe, arg: object) -> None:
    with pytest.raises(TypeError, match=f"'add': argument 1 must be .*not {type(arg).__name__}"):
        gs.go(probe.add, 1, arg)


def test_a_str_with_a_lone_surrogate_is_refused(probe: Probe) -> None:
    with pytest.raises(TypeError, match="surrogate"):
        gs.go(probe.echo_str, "\udc80")


def test_a_wrong_kind_fails_the_task_and_names_both(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed, match="'add': argument 1 must be an int, not str"):
        probe.add(1, "2")
    with pytest.raises(gs.TaskFailed, match="'echo_str': argument 0 must be a str, not float"):
        probe.echo_str(1.0)


def test_a_channel_of_another_type_fails_the_task(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed, match="argument 0 must be a channel of int64, not Chan of float64"):
        probe.recv_one(gs.Chan(1, float))


def test_a_missing_argument_fails_the_task_after_its_defers(probe: Probe) -> None:
    count = array.array("i", [0])
    with pytest.raises(gs.TaskFailed, match="argument 7, which must be an int, is missing: it was given 1"):
        probe.missing_after_defer(count)
    assert count[0] == 1


def test_a_result_that_is_no_utf8_fails_the_task(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed, match="must be UTF-8"):
        probe.return_bad_utf8()


def test_a_buffer_is_shared_not_copied(probe: Probe) -> None:
    data = bytearray(1000)
    assert probe.fill(data, 7) == 1000
    assert data == b"\x07" * 1000


def test_a_read_only_buffer_is_not_written(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed, match="writable buffer, not one that is read-only"):
        probe.fill(memoryview(b"abc"), 7)


def test_arrays_are_checked_by_item(probe: Probe) -> None:
    assert probe.sum_doubles(array.array("d", [1, 2, 3.5])) == 6.5
    assert probe.sum_doubles(array.array("d")) == 0
    with pytest.raises(gs.TaskFailed, match="buffer of float64, not one of format 'f'"):
        probe.sum_doubles(array.array("f", [1]))


def test_a_buffer_of_python_objects_is_refused(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    fields = numpy.zeros(2, [("n", "i4"), ("O", "i4")])
    for objects in (numpy.array([None]), numpy.zeros(2, [("n", "i4"), ("o", "O")]), (ctypes.py_object * 2)()):
        with pytest.raises(TypeError, match="'fill': argument 0 must be a buffer of plain data"):
            gs.go(probe.fill, objects, 7)
    assert probe.fill(fields, 0) == 16  # a field may be called O


def test_strides_are_seen(probe: Probe) -> None:
    numpy = pytest.importorskip("numpy")
    matrix = numpy.arange(12.0).reshape(3, 4)
    assert probe.sum_strided(matrix.T) == matrix.sum()
    assert probe.sum_strided(matrix[::2, ::-1]) == matrix[::2].sum()
    with pytest.raises(gs.TaskFailed, match="not one that is not C-contiguous"):
        probe.sum_doubles(matrix.T)


def test_an_exporter_is_held_until_the_task_has_ended(probe: Probe) -> None:
    go_on = gs.Chan(0, int)
    data = bytearray(8)
    task = gs.go(probe.recv_one, go_on, data)
    with pytest.raises(BufferError):
        data.append(1)
    go_on.send(5)
    assert task.result(WAIT) == 5
    data.append(1)


def test_arguments_are_let_go_of_when_it_ends(probe: Probe) -> None:
    ch = gs.Chan(1, int)
    gone = weakref.ref(ch)
    ch.send(3)
    assert probe.recv_one(ch) == 3
    del ch
    gc.collect()
    assert eventually(lambda: gone() is None)


def test_a_one_way_view_gives_that_half_only(probe: Probe) -> None:
    ch = gs.Chan(1, int)
    ch.send(9)
    says = r"^task 'recv_one' failed with code -5: gs_recv: the task was given only the sending half of chan \d+$"
    with pytest.raises(gs.TaskFailed, match=says):
        probe.recv_one(ch.sender())
    assert probe.recv_one(ch.receiver()) == 9


# ---- signatures ----


def test_a_signature_is_checked_before_the_start(probe: Probe) -> None:
    task = gs.CTask(probe.library.double_ints, signature="source: RecvChan[int], to: SendChan[int]")
    ints, floats = gs.Chan(1, int), gs.Chan(1, float)
    with pytest.raises(TypeError, match=r"takes 2 arguments \(1 given\)"):
        gs.go(task, ints)
    with pytest.raises(TypeError, match=r"argument 1 \('to'\) must be SendChan\[int\], not <Chan"):
        gs.go(task, ints, floats)
    with pytest.raises(TypeError, match=r"argument 1 \('to'\) must be SendChan\[int\]"):
        gs.go(task, ints, ints.receiver())
    with pytest.raises(TypeError, match=r"argument 0 \('source'\) must be RecvChan\[int\], not int"):
        gs.go(task, 3, ints)


def test_a_signature_is_shown_by_inspect(probe: Probe) -> None:
    task = gs.CTask(probe.library.half, signature="x: float, scale: int = None", doc="Half of it.")
    assert str(inspect.signature(task)) == "(x: 'float', scale: 'int' = None, /)"
    assert task.__doc__ == "Half of it."
    assert task(3) == 1.5
    with pytest.raises(TypeError, match=r"takes 1 to 2 arguments \(3 given\)"):
        task(1, 2, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", "':' at position 1"),
        ("x: complex", "int, float, str.* at position 3"),
        ("x: Chan[int", "']' at position 11"),
        ("x: int y: int", "',' at position 7"),
        ("x: int = 3", "None.* at position 9"),
        ("x: int = None, y: int", "'= None'"),
        ("3x: int", "name of an argument at position 0"),
        ("x: int, y: int, x: str", "the name 'x' stands twice"),
        ("x: int\0, y", "no NUL"),
    ],
)
def test_a_signature_that_is_none_is_refused(probe: Probe, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        gs.CTask(probe.library.add, signature=text)


# ---- failures ----


def test_a_failure_has_code_message_and_name(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed) as failure:
        gs.go(probe.fail_with, 7, "too hot: 90%", name="oven").result(WAIT)
    assert (failure.value.code, failure.value.message) == (7, "too hot: 90%")
    assert failure.value.task == "oven"
    assert str(failure.value) == "task 'oven' failed with code 7: too hot: 90%"


@pytest.mark.parametrize("code", [1, 255, -3, -999])
def test_any_code_but_zero_is_a_failure(probe: Probe, code: int) -> None:
    with pytest.raises(gs.TaskFailed) as failure:
        probe.return_code(code)
    assert failure.value.code == code


def test_a_code_that_is_unknown_says_which_there_are(probe: Probe) -> None:
    says = "task 'return_code' failed with code -999: .*pygostop.h has not: a task's own codes are positive"
    with pytest.raises(gs.TaskFailed, match=says):
        probe.return_code(-999)


def test_canceled_without_having_been_asked_is_a_failure(probe: Probe) -> None:
    task = gs.go(probe.return_code, -1)
    with pytest.raises(gs.TaskFailed, match="nobody had asked it to stop"):
        task.result(WAIT)
    assert not task.cancelled()


def test_a_shield_left_open_is_a_failure(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed, match="task 'leave_shield_open' failed .*shield open: each gs_shield_begin needs"):
        probe.leave_shield_open()


def test_a_task_cannot_join_itself(probe: Probe) -> None:
    with pytest.raises(gs.TaskFailed, match="task 'join_itself' failed .*wait for itself: join the tasks that it started"):
        probe.join_itself()


def test_a_stack_that_overflows_ends_the_process_with_a_message(probe_path: pathlib.Path) -> None:
    program = f"""
        import ctypes, resource, pygostop as gs
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        gs.CTask(ctypes.CDLL({str(probe_path)!r}).overflow, name="deep")()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGSEGV
    said = "the task 'deep' has overflowed its stack of 256 KiB: give it a larger one (stack_size), or recurse less"
    assert said in done.stderr


# ---- calling: a C function that can be stopped ----


@pytest.mark.parametrize("name", ["busy", "sleep_long", "poll_flag", "poll_fd", "poll_hook"])
def test_a_timeout_stops_a_call(probe: Probe, name: str) -> None:
    with pytest.raises(gs.DeadlineExceeded):
        with gs.timeout(0.05):
            getattr(probe, name)()


@pytest.mark.parametrize("name", ["busy", "sleep_long", "poll_flag", "poll_fd", "poll_hook"])
def test_a_cancelled_scope_stops_a_call(probe: Probe, name: str) -> None:
    with gs.cancel_scope() as scope:
        timer = threading.Timer(0.05, scope.cancel, ("enough",))
        timer.start()
        getattr(probe, name)()
    timer.join()
    assert scope.cancelled


def test_a_call_in_a_done_scope_does_not_start(probe: Probe) -> None:
    ch = gs.Chan(1, int)
    ch.send(1)
    with gs.cancel_scope() as scope:
        scope.cancel()
        probe.recv_one(ch)
    assert len(ch) == 1


def test_a_call_that_finishes_anyway_gives_its_value(probe: Probe) -> None:
    with gs.move_on_after(0.05):
        assert probe.finish_anyway() == 42


def test_ctrl_c_stops_a_call(probe_path: pathlib.Path) -> None:
    program = f"""
        import ctypes, pygostop as gs
        busy = gs.CTask(ctypes.CDLL({str(probe_path)!r}).busy)
        print("go", flush=True)
        try:
            busy()
        except KeyboardInterrupt:
            print("interrupted", len(gs.all_tasks()), flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted 0\n"
        assert child.wait(WAIT) == 0


UNWINDING = '''
    import ctypes, os, pygostop as gs, signal, sys, threading, time
    gs.configure(grace=0)
    clean_up = gs.CTask(ctypes.CDLL({path!r}).clean_up_slowly)
    interrupts = [threading.Timer(s, os.kill, [os.getpid(), signal.SIGINT]) for s in {seconds}]
    ch = gs.Chan(2, int)
    with gs.cancel_scope() as scope:
        try:
            threading.Timer(0.1, lambda: (scope.cancel(), [i.start() for i in interrupts])).start()
            clean_up(ch, {milliseconds})
        except KeyboardInterrupt:
            print("interrupted", len(gs.all_tasks()), len(ch), flush=True)
            os._exit(0)
'''


def test_ctrl_c_while_a_call_is_being_started_is_not_missed(probe_path: pathlib.Path, run_python: Run) -> None:
    """The signal comes in C code, between two bytecodes, before there is a wait that it could interrupt."""
    program = f"""
        import ctypes, functools, signal, pygostop as gs
        signal.signal(signal.SIGINT, signal.default_int_handler)
        class Interrupts:
            __index__ = staticmethod(functools.partial(getattr(ctypes.PyDLL(None), "raise"), signal.SIGINT))
        try:
            gs.CTask(ctypes.CDLL({str(probe_path)!r}).sleep_long)(Interrupts())
        except KeyboardInterrupt:
            print("interrupted", gs.all_tasks())
    """
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted []\n", "")


def test_ctrl_c_while_a_stopped_call_unwinds_is_raised_after_that(
    probe_path: pathlib.Path, run_python: Run
) -> None:
    done = run_python(UNWINDING.format(path=str(probe_path), seconds=[0.1], milliseconds=1000))
    assert (done.stdout, done.stderr) == ("interrupted 0 2\n", "")


def test_a_second_ctrl_c_leaves_a_call_that_unwinds_and_names_it(
    probe_path: pathlib.Path, run_python: Run
) -> None:
    done = run_python(UNWINDING.format(path=str(probe_path), seconds=[0.1, 0.5], milliseconds=50_000))
    assert done.stdout == "interrupted 1 1\n", done.stderr
    assert "interrupted again while task 'clean_up_slowly' (parked) has not stopped" in done.stderr


def test_calls_take_no_keywords(probe: Probe) -> None:
    with pytest.raises(TypeError, match="no keyword"):
        probe.add(1, b=2)  # type: ignore[call-arg]
