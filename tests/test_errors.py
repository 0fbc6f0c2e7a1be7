"""The exceptions: what they are, what they carry, and what the calls say with them."""

import concurrent.futures
import pickle

import pygostop as gs
import pytest


@pytest.mark.parametrize(
    "error, bases",
    [
        (gs.Error, (Exception,)),
        (gs.ChannelClosed, (gs.Error,)),
        (gs.WouldBlock, (gs.Error,)),
        (gs.CompileError, (gs.Error,)),
        (gs.TaskFailed, (gs.Error,)),
        (gs.DeadlineExceeded, (gs.Error, TimeoutError)),
        (gs.Cancelled, (BaseException,)),
    ],
)
def test_an_exception_is_what_the_hierarchy_says(error, bases):
    assert error.__bases__ == bases
    assert error.__module__ == "pygostop"
    assert error.__doc__


def test_except_exception_does_not_swallow_a_cancel():
    assert not issubclass(gs.Cancelled, Exception)
    assert not issubclass(gs.Cancelled, concurrent.futures.CancelledError)


def test_task_failed_carries_code_message_and_task():
    error = gs.TaskFailed(7, "disk on fire", "walk")
    assert (error.code, error.message, error.task) == (7, "disk on fire", "walk")
    for part in ("7", "disk on fire", "walk"):
        assert part in str(error)


def test_compile_error_carries_what_the_compiler_said():
    error = gs.CompileError("no ; here", "a.c:1: no ; here\n", ("cc", "a.c"))
    assert str(error) == "no ; here"
    assert error.stderr == "a.c:1: no ; here\n"
    assert error.command == ["cc", "a.c"]


@pytest.mark.parametrize(
    "error",
    [
        gs.Error("x"),
        gs.ChannelClosed("x"),
        gs.TaskFailed(7, "m", "t"),
        gs.CompileError("m", "s", ("cc",)),
        gs.DeadlineExceeded("late"),
    ],
)
def test_an_exception_survives_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args


def test_each_error_of_a_channel_names_the_channel_and_the_call():
    ch = gs.Chan(1, int, name="jobs")
    ch.send(1)
    calls = [
        (gs.WouldBlock, "send_nowait", lambda: ch.send_nowait(2)),
        (TimeoutError, "send", lambda: ch.send(2, timeout=0)),
        (TypeError, "int", lambda: ch.send("two")),
    ]
    for kind, word, call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert "'jobs'" in str(caught.value)
        assert word in str(caught.value)
    ch.close()
    with pytest.raises(gs.ChannelClosed, match="'jobs'.*closed"):
        ch.send(2)


def test_a_cancel_raised_by_a_call_has_the_cause_as_its_cause():
    why = ValueError("enough")
    ctx, cancel = gs.with_cancel(gs.background())
    cancel(why)
    with ctx, pytest.raises(gs.Cancelled) as caught:
        gs.Chan().recv()
    assert caught.value.__cause__ is why


def test_a_cause_given_as_text_becomes_an_error_with_that_text():
    ctx, cancel = gs.with_cancel(gs.background())
    cancel("enough")
    with ctx, pytest.raises(gs.Cancelled) as caught:
        gs.Chan().recv()
    assert type(caught.value.__cause__) is gs.Error
    assert str(caught.value.__cause__) == "enough"


def test_a_deadline_that_passed_is_the_cause_of_the_cancel():
    ctx, _ = gs.with_timeout(gs.background(), 0)
    with ctx, pytest.raises(gs.Cancelled) as caught:
        gs.Chan().recv()
    assert isinstance(caught.value.__cause__, gs.DeadlineExceeded)


@pytest.mark.parametrize("cause", [7, ValueError, b"bytes", object()])
def test_a_cause_that_is_neither_an_exception_nor_text_is_refused(cause):
    ctx, cancel = gs.with_cancel(gs.background())
    with pytest.raises(TypeError, match="cause"):
        cancel(cause)
    assert ctx.err() is None
