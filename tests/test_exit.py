"""Settings, the end of the process, forked children."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pygostop as gs

Run = Callable[[str], "subprocess.CompletedProcess[str]"]

HOG = "from pygostop import _tasks; hog = gs.CTask(_tasks.hog); spin = gs.CTask(_tasks.spin)"


# ---- configure ----


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"workers": -1},
        {"workers": 10**6},
        {"workers": 10**30},
        {"stack_size": 0},
        {"stack_size": -1},
        {"stack_size": 10**30},
        {"stack_size": 2**62},
        {"grace": -1},
        {"grace": float("nan")},
    ],
)
def test_settings_out_of_range_are_value_errors(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        gs.configure(**settings)


@pytest.mark.parametrize("name", ["workers", "stack_size", "grace"])
def test_settings_of_a_wrong_type_are_type_errors(name: str) -> None:
    for value in ("1", [], object()):
        with pytest.raises(TypeError, match=name):
            gs.configure(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        gs.configure(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        gs.configure(threads=1)  # type: ignore[call-arg]


def test_settings_take_effect_before_the_runtime_runs_and_are_refused_after(run_python: Run) -> None:
    done = run_python(
        """
        import threading, pygostop as gs
        def workers():
            with open("/proc/self/status") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("Threads:"))
        gs.configure(workers=3)
        gs.configure(stack_size=1 << 20)
        gs.configure()
        before = workers()
        gs.after(0).recv()
        print(workers() - before >= 3)
        for settings in ({"workers": 2}, {"stack_size": 1 << 18}):
            try:
                gs.configure(**settings)
            except RuntimeError as e:
                print("runs already" in str(e))
        gs.configure(grace=0.5)
        """
    )
    assert (done.stdout.split(), done.stderr) == (["True"] * 3, "")


# ---- exit ----


def test_a_program_that_leaves_stops_its_tasks_in_silence(run_python: Run) -> None:
    done = run_python(
        f"""
        import pygostop as gs
        {HOG}
        tasks = [gs.go(spin, 100.0) for _ in range(20)]
        gs.sleep(0.05)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tasks_that_do_not_stop_are_named_and_the_process_ends(run_python: Run) -> None:
    start = time.monotonic()
    done = run_python(
        f"""
        import pygostop as gs
        {HOG}
        gs.configure(grace=0.2)
        task = gs.go(hog, 100.0, name="greedy")
        gs.sleep(0.05)
        """
    )
    assert time.monotonic() - start < 30
    assert done.returncode == 0
    assert done.stderr == "pygostop: 1 task did not stop within 0.2 s: 'greedy' (running)\n"


def test_the_exit_status_stays_with_tasks_left(run_python: Run) -> None:
    done = run_python(
        f"""
        import pygostop as gs, sys
        {HOG}
        gs.configure(grace=0)
        tasks = [gs.go(hog, 100.0) for _ in range(2)]
        gs.sleep(0.05)
        sys.exit(7)
        """
    )
    assert done.returncode == 7
    assert done.stderr.startswith("pygostop: 2 tasks did not stop within 0 s: 'hog' (")


def test_ctrl_c_ends_the_wait_at_exit(tmp_path: Path) -> None:
    # Said by what the root's end starts: a signal before that would be Python's own business.
    program = f"""
import pygostop as gs
{HOG}
gs.configure(grace=1000)
gs.after_func(gs.background(), lambda: print("leaving", flush=True))
task = gs.go(hog, 100.0)
gs.sleep(0.05)
"""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "leaving\n"
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
    assert stderr == "pygostop: 1 task did not stop until it was interrupted: 'hog' (running)\n"


def test_callbacks_run_while_the_process_leaves_and_see_the_root_done(run_python: Run) -> None:
    done = run_python(
        """
        import pygostop as gs
        def f():
            print("called", gs.background().err() is not None)
            try:
                gs.sleep(1000)
            except gs.Cancelled as e:
                print(e.__cause__)
        ctx, cancel = gs.with_cancel(gs.background())
        gs.after_func(ctx, f)
        """
    )
    assert done.stdout.splitlines() == ["called True", "the process is leaving"]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_callback_that_does_not_end_does_not_hold_up_the_end(run_python: Run) -> None:
    done = run_python(
        """
        import time, pygostop as gs
        ctx, cancel = gs.with_cancel(gs.background())
        gs.after_func(ctx, lambda: time.sleep(1000))
        cancel()
        time.sleep(0.05)
        """
    )
    assert done.returncode == 0
    assert "did not end within 1 s" in done.stderr


def test_daemon_threads_that_wait_end_in_silence(run_python: Run) -> None:
    for _ in range(5):
        done = run_python(
            """
            import threading, pygostop as gs
            ch = gs.Chan()
            for _ in range(10):
                threading.Thread(target=ch.recv, daemon=True).start()
            gs.sleep(0.05)
            """
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_objects_that_are_left_to_the_interpreters_end_do_no_harm(run_python: Run) -> None:
    done = run_python(
        """
        import pygostop as gs
        ctx, cancel = gs.with_timeout(gs.background(), 1000)
        stop = gs.after_func(ctx, print)
        ticker = gs.Ticker(0.001)
        chan = gs.after(0.001)
        scope = gs.cancel_scope()
        scope.__enter__()
        values = gs.with_value(ctx, object(), object())
        done = ctx.done
        class Late:
            def __del__(self):
                for call in (cancel, stop, ticker.stop, values.err, scope.cancel):
                    call()
        late = Late()
        import sys
        sys.late = late
        cancel = cancel
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_leaving_again_and_again_under_load_never_crashes(run_python: Run) -> None:
    for _ in range(5):
        done = run_python(
            f"""
            import pygostop as gs, threading
            {HOG}
            def churn():
                while True:
                    ctx, cancel = gs.with_timeout(gs.background(), 0.0001)
                    try:
                        gs.after_func(ctx, int)
                    except RuntimeError:
                        return  # the process leaves; a thread that prints then may end it itself
                    gs.after(0.0001)
                    gs.go(spin, 0.001)
            for _ in range(3):
                threading.Thread(target=churn, daemon=True).start()
            tickers = [gs.Ticker(0.0001) for _ in range(5)]
            import time
            time.sleep(0.05)
            """
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wait", ["go(f).wait()", "go(f, thread=True).result()", "with Group() as g: g.go(f)"])
def test_a_finalizer_that_starts_a_task_when_all_is_over_is_refused_and_does_not_hang(
    run_python: Run, wait: str
) -> None:
    done = run_python(f"""
        import os, sys
        import pygostop as gs

        class Late:
            def __del__(self, go=gs.go, Group=gs.Group, f=os.getpid, write=os.write):
                try:
                    {wait}
                except BaseException as error:
                    write(1, f"{{type(error).__name__}}: {{error}}".encode())

        sys.late = Late()
        gs.go(int).result()
    """)
    expected = "RuntimeError: task 'getpid' was not started: the process is leaving"
    if "Group" in wait:  # its block looks before it starts one
        expected = "Cancelled: the scope of this call is done"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_what_runs_at_exit_behind_pygostop_gets_a_clear_error(run_python: Run) -> None:
    done = run_python("""
        import atexit

        @atexit.register  # before pygostop is imported, so it runs after
        def late():
            for call in (lambda: gs.go(int), lambda: gs.tasks.spin(1), lambda: gs.sleep(1)):
                try:
                    call()
                except BaseException as error:
                    print(error)

        import pygostop as gs
        gs.go(int).result()
    """)
    assert done.stdout.splitlines() == [
        "task 'int' was not started: the process is leaving",
        "the scope of this call is done",
        "the scope of this call is done",
    ]
    assert (done.returncode, done.stderr) == (0, "")


# ---- Ctrl-C ----

INTERRUPTED = f"""
import os, pygostop as gs, signal, sys, threading, time
{HOG}
def interrupt_after(seconds):
    threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT]).start()
"""


def test_a_block_that_ctrl_c_leaves_stops_its_tasks_first(run_python: Run) -> None:
    done = run_python(
        INTERRUPTED
        + """
interrupt_after(0.1)
outside = gs.go(spin, 0.3)
try:
    with gs.timeout(100) as scope:
        tasks = [gs.go(spin, 100.0) for _ in range(50)]
        with gs.with_value(gs.background(), "k", 1):
            tasks.append(gs.go(spin, 100.0))
        tasks[0].result()
except KeyboardInterrupt as e:
    print([task.cancelled() for task in tasks] == [True] * 51, scope.cancelled)
    print(scope.ctx.cause() is e, outside.cancelled())
outside.result()
"""
    )
    assert done.stdout.splitlines() == ["True False", "True False"], done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_ctrl_c_names_the_tasks_that_still_run_and_raises_at_once(run_python: Run) -> None:
    start = time.monotonic()
    done = run_python(
        INTERRUPTED
        + """
gs.configure(grace=0)
interrupt_after(0.1)
try:
    with gs.cancel_scope():
        tasks = [gs.go(spin, 100.0), gs.go(hog, 100.0)]
        interrupt_after(0.4)
        gs.sleep(100)
except KeyboardInterrupt as e:
    print("interrupted", type(e.__context__).__name__, tasks[0].cancelled())
"""
    )
    assert time.monotonic() - start < 30
    assert done.stdout == "interrupted KeyboardInterrupt True\n", done.stderr
    assert done.stderr.splitlines() == [
        "pygostop: interrupted while 1 task still ran: 'hog' (running)",
        "pygostop: 1 task did not stop within 0 s: 'hog' (running)",
    ]


# ---- fork ----


def test_a_forked_child_starts_afresh(run_python: Run) -> None:
    done = run_python(
        f"""
        import os, pygostop as gs
        {HOG}
        outer, cancel = gs.with_cancel(gs.background())
        gs.after_func(outer, int)
        gs.go(spin, 0.01).result()
        with outer, gs.timeout(1000) as scope:
            pid = os.fork()
            if pid == 0:
                gs.checkpoint()
                with gs.move_on_after(0.02) as inner:
                    gs.sleep(1000)
                assert inner.cancelled
                ctx, cancel = gs.with_cancel(gs.background())
                ran = gs.Chan(1)
                gs.after_func(ctx, lambda: ran.send(1))
                cancel()
                assert ran.recv(timeout=20) == 1
                assert gs.after(0.001).recv(timeout=20) > 0
                with gs.Ticker(0.001) as ticker:
                    ticker.chan.recv(timeout=20)
                gs.go(spin, 0.01).result()
        print("left", "child" if pid == 0 else os.waitpid(pid, 0)[1], flush=True)
        """
    )
    assert done.stdout.splitlines() == ["left child", "left 0"], done.stderr
    assert done.stderr == ""


def test_handles_of_the_parent_raise_runtime_error_in_a_forked_child(run_python: Run) -> None:
    done = run_python(
        """
        import os, pygostop as gs
        root = gs.background()
        ctx, cancel = gs.with_timeout(root, 1000)
        stop = gs.after_func(ctx, int)
        ticker = gs.Ticker(1000)
        scope = gs.cancel_scope()
        used = gs.cancel_scope()
        after = gs.after(1000)
        calls = [
            root.err, ctx.err, ctx.cause, ctx.check, ctx.remaining, ctx.__enter__, cancel, stop,
            lambda: ctx.done, lambda: ctx.deadline, lambda: ctx.value("k"), lambda: gs.with_cancel(ctx),
            lambda: gs.merge(gs.background(), ctx), lambda: gs.after_func(ctx, int),
            lambda: gs.select(ctx, nowait=True), ticker.stop, lambda: ticker.chan, scope.cancel,
            scope.__enter__, lambda: scope.deadline, after.recv,
        ]
        pid = os.fork()
        if pid == 0:
            for n, call in enumerate(calls):
                try:
                    call()
                    print("no error", n)
                except RuntimeError as e:
                    if "fork" not in str(e):
                        print(n, e)
            for handle in (root, ctx, cancel, stop, ticker, scope, after):
                assert "fork" in repr(handle), repr(handle)
            assert gs.background() is not root
            print("end", flush=True)
        else:
            print(os.waitpid(pid, 0)[1])
            ctx.check()
        """
    )
    assert done.stdout.splitlines() == ["end", "0"], done.stdout + done.stderr
    assert done.stderr == ""


def test_a_child_forked_while_others_work_comes_up(run_python: Run) -> None:
    done = run_python(
        """
        import os, threading, pygostop as gs
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                ctx, cancel = gs.with_timeout(gs.background(), 0.0001)
                gs.after_func(ctx, int)
                with gs.move_on_after(0.0001):
                    gs.sleep(1)
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                with gs.move_on_after(0.001) as scope:
                    gs.sleep(1000)
                ran = gs.Chan(1)
                gs.after_func(scope.ctx, lambda: ran.send(1))
                ran.recv(timeout=20)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        print("end")
        """
    )
    assert done.stdout == "end\n", done.stderr
