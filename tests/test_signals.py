"""notify_signals: a context that a signal cancels."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pygostop as gs

SOON = 20.0


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    assert before == {n: signal.getsignal(n) for n in before}


def test_a_signal_cancels_the_context_and_is_its_cause() -> None:
    ctx, stop = gs.notify_signals(signal.SIGUSR1)
    assert ctx.err() is None
    os.kill(os.getpid(), signal.SIGUSR1)
    gs.select(ctx, timeout=SOON)
    assert isinstance(ctx.err(), gs.Cancelled)
    assert "SIGUSR1" in str(ctx.cause())
    stop()


def test_a_signal_ends_a_wait_in_the_contexts_scope() -> None:
    ctx, stop = gs.notify_signals(signal.SIGUSR1, signal.SIGTERM)
    threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGTERM]).start()
    with pytest.raises(gs.Cancelled), ctx:
        gs.Chan().recv(timeout=SOON)
    stop()


def test_ctrl_c_is_no_keyboard_interrupt_meanwhile() -> None:
    ctx, stop = gs.notify_signals(signal.SIGINT)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        gs.select(ctx, timeout=SOON)
    stop()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        gs.sleep(SOON)


def test_stop_cancels_and_puts_the_handlers_back_and_again_does_nothing() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: seen.append(signum))
    try:
        ctx, stop = gs.notify_signals(signal.SIGUSR1)
        stop()
        assert isinstance(ctx.err(), gs.Cancelled)
        stop()
        os.kill(os.getpid(), signal.SIGUSR1)
        gs.sleep(0.001)
        assert seen == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_several_share_a_signal_and_stop_in_any_order() -> None:
    first, stop_first = gs.notify_signals(signal.SIGUSR1)
    second, stop_second = gs.notify_signals(signal.SIGUSR1, signal.SIGUSR1)
    third, stop_third = gs.notify_signals(signal.SIGUSR1)
    stop_first()
    assert second.err() is None
    os.kill(os.getpid(), signal.SIGUSR1)
    gs.select(second, timeout=SOON)
    gs.select(third, timeout=SOON)
    stop_third()
    stop_second()


def test_a_handler_installed_meanwhile_stays() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    _, stop = gs.notify_signals(signal.SIGUSR1)

    def mine(signum: int, frame: Any) -> None:
        pass

    signal.signal(signal.SIGUSR1, mine)
    stop()
    assert signal.getsignal(signal.SIGUSR1) is mine
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("signums", [(), ("SIGINT",), (None,)])
def test_what_is_no_signal_is_refused(signums: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        gs.notify_signals(*signums)


def test_a_signal_that_cannot_be_caught_leaves_the_others_as_they_were() -> None:
    with pytest.raises((OSError, ValueError)):
        gs.notify_signals(signal.SIGUSR1, signal.SIGKILL)
    with pytest.raises(ValueError):
        gs.notify_signals(signal.SIGUSR1, 9999)


def test_elsewhere_than_on_the_main_thread_it_is_a_value_error() -> None:
    errors: list[str] = []
    _, stop = gs.notify_signals(signal.SIGUSR1)

    def run() -> None:
        for call in (lambda: gs.notify_signals(signal.SIGUSR1), stop):
            try:
                call()
            except ValueError as e:
                errors.append(str(e))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(errors) == 2 and all("main thread" in e for e in errors)
    stop()


class Came(Exception):
    """What the handler of a test raises."""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_comes_as_a_wait_begins_is_not_lost(signum: int) -> None:
    """It ends no sleep where the thread has given up the interpreter, and does not sleep yet."""
    rounds, caught = 500, 0
    ready: gs.Chan[None] = gs.Chan(1)
    never: gs.Chan[None] = gs.Chan()

    def come(*_: object) -> None:
        raise Came

    def send() -> None:
        for _ in range(rounds):
            ready.recv()
            os.kill(os.getpid(), signum)

    before = signal.signal(signum, come)
    sending = threading.Thread(target=send)
    sending.start()
    for _ in range(rounds):
        try:
            ready.send_nowait(None)
            never.recv(timeout=SOON)
        except Came:
            caught += 1
    sending.join()
    signal.signal(signum, before)
    assert caught == rounds
