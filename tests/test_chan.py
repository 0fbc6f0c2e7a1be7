"""Channels between threads: order, blocking, closing, stopping, and the handles themselves."""

import copy
import gc
import inspect
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref

import pygostop as gs
import pytest

SOON = 10.0  # what must happen, happens far sooner; only a hang takes so long


class Peer(threading.Thread):
    """A thread whose result, or exception, the test gets."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self._call, self._args, self._outcome = call, args, None
        self.start()

    def run(self):
        try:
            self._outcome = (self._call(*self._args), None)
        except BaseException as error:
            self._outcome = (None, error)

    def result(self):
        self.join(SOON)
        assert self._outcome is not None, "the peer hangs"
        value, error = self._outcome
        if error is not None:
            raise error
        return value

    def is_waiting(self):
        time.sleep(0.02)
        return self._outcome is None


# ---- one value ----


def test_an_unbuffered_send_waits_for_its_receive():
    ch = gs.Chan()
    sender = Peer(ch.send, "x")
    assert sender.is_waiting()
    assert ch.recv() == "x"
    assert sender.result() is None


def test_an_unbuffered_receive_waits_for_its_send():
    ch = gs.Chan()
    receiver = Peer(ch.recv)
    assert receiver.is_waiting()
    ch.send("x")
    assert receiver.result() == "x"


def test_a_buffered_send_waits_only_when_full():
    ch = gs.Chan(2)
    ch.send(1)
    ch.send(2)
    third = Peer(ch.send, 3)
    assert third.is_waiting()
    assert [ch.recv(), ch.recv(), ch.recv()] == [1, 2, 3]
    third.result()


@pytest.mark.parametrize("capacity", [0, 1, 7, 1000])
def test_values_arrive_in_the_order_they_were_sent(capacity):
    ch = gs.Chan(capacity, int)
    n = 3000

    def produce():
        with ch:
            for i in range(n):
                ch.send(i)

    producer = Peer(produce)
    assert list(ch) == list(range(n))
    producer.result()


def test_receivers_are_served_in_the_order_they_came():
    ch = gs.Chan()
    receivers = []
    for _ in range(5):
        receivers.append(Peer(ch.recv))
        assert receivers[-1].is_waiting()
    for i in range(5):
        ch.send(i)
    assert [receiver.result() for receiver in receivers] == [0, 1, 2, 3, 4]


def test_senders_are_served_in_the_order_they_came():
    ch = gs.Chan()
    senders = []
    for i in range(5):
        senders.append(Peer(ch.send, i))
        assert senders[-1].is_waiting()
    assert [ch.recv() for _ in range(5)] == [0, 1, 2, 3, 4]
    for sender in senders:
        sender.result()


def test_the_same_object_comes_out():
    ch = gs.Chan(1)
    for thing in (object(), None, [1], ch):
        ch.send(thing)
        assert ch.recv() is thing


def test_nowait_calls_raise_instead_of_waiting():
    ch = gs.Chan(1)
    with pytest.raises(gs.WouldBlock):
        ch.recv_nowait()
    ch.send_nowait(1)
    with pytest.raises(gs.WouldBlock):
        ch.send_nowait(2)
    assert ch.recv_nowait() == 1
    assert len(ch) == 0


def test_a_nowait_send_reaches_a_waiting_receiver():
    ch = gs.Chan()
    receiver = Peer(ch.recv)
    assert receiver.is_waiting()
    ch.send_nowait(1)
    assert receiver.result() == 1


# ---- close ----


def test_what_is_buffered_is_drained_before_closed_is_seen():
    ch = gs.Chan(3)
    ch.send(1)
    ch.send(2)
    ch.close()
    assert ch.recv() == 1
    assert ch.recv_ok() == (2, True)
    assert ch.recv_ok() == (None, False)
    for call in (ch.recv, ch.recv_nowait, lambda: ch.recv_many(5)):
        with pytest.raises(gs.ChannelClosed):
            call()
    assert list(ch) == []


def test_a_send_on_a_closed_channel_raises():
    ch = gs.Chan(1)
    ch.close()
    for call in (ch.send, ch.send_nowait, lambda value: ch.send_many([value])):
        with pytest.raises(gs.ChannelClosed):
            call(1)
    assert len(ch) == 0


def test_close_wakes_all_who_wait():
    receiving, sending = gs.Chan(), gs.Chan()
    receivers = [Peer(receiving.recv_ok) for _ in range(3)]
    senders = [Peer(sending.send, 1) for _ in range(3)]
    assert all(peer.is_waiting() for peer in receivers + senders)
    receiving.close()
    sending.close()
    assert [peer.result() for peer in receivers] == [(None, False)] * 3
    for peer in senders:
        with pytest.raises(gs.ChannelClosed):
            peer.result()


def test_closing_twice_is_harmless():
    ch = gs.Chan()
    assert not ch.closed
    ch.close()
    ch.close()
    assert ch.closed


def test_leaving_a_with_block_closes_also_by_an_exception():
    with pytest.raises(KeyError), gs.Chan() as ch:
        raise KeyError
    assert ch.closed


# ---- time ----


def test_a_timeout_leaves_the_channel_as_it_was():
    ch = gs.Chan(1)
    for call in (lambda: ch.recv(timeout=0.01), lambda: ch.recv(0.01), lambda: ch.recv_ok(0.01)):
        with pytest.raises(TimeoutError):
            call()
    ch.send(1)
    with pytest.raises(TimeoutError):
        ch.send(2, timeout=0.01)
    assert ch.recv() == 1
    assert len(ch) == 0


@pytest.mark.parametrize("seconds", [0.03, 0.05])
def test_a_wait_does_not_end_early(seconds):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        gs.Chan().recv(timeout=seconds)
    assert time.monotonic() - began >= seconds


def test_a_timeout_of_zero_does_what_can_be_done_now():
    ch = gs.Chan(1)
    with pytest.raises(TimeoutError):
        ch.recv(timeout=0)
    ch.send(1, timeout=0)
    with pytest.raises(TimeoutError):
        ch.send(2, timeout=0)
    assert ch.recv(timeout=0) == 1


@pytest.mark.parametrize("forever", [None, math.inf, 1e300, 10**40])
def test_a_timeout_beyond_all_time_waits_for_the_value(forever):
    ch = gs.Chan()
    receiver = Peer(lambda: ch.recv(timeout=forever))
    assert receiver.is_waiting()
    ch.send(1)
    assert receiver.result() == 1


@pytest.mark.parametrize(
    "timeout, error",
    [
        (-1, ValueError),
        (-0.001, ValueError),
        (-(10**40), ValueError),
        (math.nan, ValueError),
        (-math.inf, ValueError),
        ("1", TypeError),
        (1j, TypeError),
        (b"", TypeError),
        ([], TypeError),
    ],
)
def test_a_timeout_that_is_no_time_is_refused_and_nothing_happens(timeout, error):
    ch = gs.Chan(2)
    ch.send(1)
    for call in (
        lambda: ch.recv(timeout=timeout),
        lambda: ch.recv_ok(timeout=timeout),
        lambda: ch.send(2, timeout=timeout),
        lambda: ch.recv_many(1, timeout=timeout),
        lambda: ch.send_many([2], timeout=timeout),
    ):
        with pytest.raises(error, match="timeout"):
            call()
    assert len(ch) == 1


# ---- stopping ----


def test_a_blocked_call_ends_when_its_scope_is_cancelled():
    ctx, cancel = gs.with_cancel(gs.background())
    ch = gs.Chan()

    def wait():
        with ctx:
            ch.recv()

    receiver = Peer(wait)
    assert receiver.is_waiting()
    cancel()
    with pytest.raises(gs.Cancelled):
        receiver.result()
    with pytest.raises(gs.WouldBlock):
        ch.send_nowait(1)  # nobody waits any more


def test_a_done_scope_stops_even_what_could_have_gone_on():
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    ch = gs.Chan(4, int)
    ch.send_many([1, 2])
    calls = [
        ch.recv,
        ch.recv_ok,
        lambda: next(ch),
        lambda: ch.send(3),
        lambda: ch.send_many([3]),
        lambda: ch.recv_many(2),
        lambda: gs.select(ch),
    ]
    with ctx:
        for call in calls * 2:
            with pytest.raises(gs.Cancelled):
                call()
    assert ch.recv_many(9) == [1, 2]


def test_a_misfit_comes_before_the_scope():
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    with ctx, pytest.raises(TypeError):
        gs.Chan(1, int).send("x")


def test_calls_that_do_not_wait_are_no_checkpoints():
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    ch = gs.Chan(1)
    with ctx:
        ch.send_nowait(1)
        assert ch.recv_nowait() == 1
        assert gs.select(ch, nowait=True).index == -1
        assert (len(ch), ch.capacity, ch.closed) == (0, 1, False)
        ch.close()


def test_nothing_is_lost_or_doubled_when_receives_are_cancelled():
    ch = gs.Chan(3, int)
    n = 4000
    got = [[] for _ in range(4)]

    def consume(values):
        while True:
            ctx, cancel = gs.with_timeout(gs.background(), 0.0004)
            try:
                with ctx:
                    values.append(ch.recv())
            except gs.Cancelled:
                pass
            except gs.ChannelClosed:
                return
            finally:
                cancel()

    consumers = [Peer(consume, values) for values in got]
    sent = 0
    for i in range(n):
        while True:
            try:
                ch.send(i, timeout=0.0005)
                break
            except TimeoutError:
                pass
        sent += 1
        if i % 50 == 0:
            time.sleep(0.001)
    ch.close()
    for consumer in consumers:
        consumer.result()
    assert sorted(sum(got, [])) == list(range(n))
    assert all(values == sorted(values) for values in got)


def test_a_signal_without_an_exception_leaves_the_wait_going_on():
    ch, seen = gs.Chan(), []
    previous = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ch.recv(timeout=0.15)
        assert time.monotonic() - began >= 0.15
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert seen


@pytest.mark.parametrize("call", ["recv", "send", "send_many", "recv_many", "select", "next"])
def test_an_exception_of_a_signal_handler_leaves_the_wait_with_nothing_done(call):
    class Alarm(Exception):
        pass

    def handler(*_):
        raise Alarm

    ch = gs.Chan()
    calls = {
        "recv": ch.recv,
        "send": lambda: ch.send(1),
        "send_many": lambda: ch.send_many([1, 2]),
        "recv_many": lambda: ch.recv_many(3),
        "select": lambda: gs.select(ch, (gs.Chan(), 1)),
        "next": lambda: next(ch),
    }
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            calls[call]()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    with pytest.raises(gs.WouldBlock):
        ch.recv_nowait()
    with pytest.raises(gs.WouldBlock):
        ch.send_nowait(1)


def test_ctrl_c_ends_a_blocked_receive():
    program = (
        "import pygostop as gs\n"
        "print('waiting', flush=True)\n"
        "try:\n"
        "    gs.Chan().recv()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SOON)
    assert out == "interrupted\n"
    assert process.returncode == 0


# ---- the handles ----


@pytest.mark.parametrize(
    "capacity, error",
    [
        (-1, ValueError),
        (-(10**30), ValueError),
        (10**30, OverflowError),
        (sys.maxsize, (OverflowError, MemoryError)),
        (1 << 50, (OverflowError, MemoryError)),
        (1.0, TypeError),
        ("3", TypeError),
        (None, TypeError),
    ],
)
def test_a_capacity_that_is_none_is_refused(capacity, error):
    with pytest.raises(error, match="capacity"):
        gs.Chan(capacity)


def test_a_capacity_may_be_any_index():
    class Three:
        def __index__(self):
            return 3

    assert gs.Chan(Three()).capacity == 3


@pytest.mark.parametrize(
    "args, kwargs",
    [((0, object, "x"), {}), ((), {"name": 3}), ((), {"size": 3}), ((1, 2, 3, 4), {})],
)
def test_wrong_arguments_are_type_errors(args, kwargs):
    with pytest.raises(TypeError):
        gs.Chan(*args, **kwargs)


@pytest.mark.parametrize(
    "call",
    [
        lambda ch: ch.send(),
        lambda ch: ch.send(1, 2, 3),
        lambda ch: ch.send(1, when=2),
        lambda ch: ch.send(1, value=2),
        lambda ch: ch.recv(1, 2),
        lambda ch: ch.recv(timeout=1, **{"timeout ": 2}),
        lambda ch: ch.recv_nowait(1),
        lambda ch: ch.send_nowait(),
        lambda ch: ch.recv_many(),
        lambda ch: ch.recv_many("3"),
        lambda ch: ch.recv_many(1.0),
        lambda ch: ch.send_many(3),
        lambda ch: ch.send_many(),
        lambda ch: ch.close(1),
    ],
)
def test_a_wrong_call_is_a_type_error(call):
    ch = gs.Chan(3)
    ch.send(1)
    with pytest.raises(TypeError):
        call(ch)
    assert len(ch) == 1


def test_getters_tell_what_was_given():
    ch = gs.Chan(3, int, name="jobs")
    assert (ch.capacity, ch.type, ch.name, ch.closed, len(ch)) == (3, int, "jobs", False, 0)
    assert gs.Chan().type is object
    assert gs.Chan().name is None
    for name in ("capacity", "type", "name", "closed"):
        with pytest.raises(AttributeError):
            setattr(ch, name, 1)


def test_a_channel_is_always_true():
    assert gs.Chan()
    assert gs.Chan().sender()
    assert gs.Chan().receiver()


def test_a_repr_shows_name_type_fill_and_state():
    ch = gs.Chan(64, int, name="jobs")
    ch.send_many([1, 2, 3])
    assert repr(ch) == "<Chan 'jobs' int 3/64 open>"
    assert repr(ch.sender()) == "<SendChan 'jobs' int 3/64 open>"
    ch.close()
    assert repr(ch) == "<Chan 'jobs' int 3/64 closed>"
    assert repr(ch.receiver()) == "<RecvChan 'jobs' int 3/64 closed>"
    assert repr(gs.Chan(1, "<ih")).startswith("<Chan #")
    assert repr(gs.Chan(1, "<ih")).endswith(" '<ih' 0/1 open>")


@pytest.mark.parametrize(
    "make", [gs.Chan, lambda: gs.Chan().sender(), lambda: gs.Chan().receiver()]
)
@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_handle_cannot_be_copied_and_says_what_to_do(make, copier):
    with pytest.raises(TypeError, match="hand the .* itself to threads"):
        copier(make())


def test_views_have_the_half_that_they_name():
    ch = gs.Chan(2, int, name="jobs")
    sender, receiver = ch.sender(), ch.receiver()
    sender.send(1)
    sender.send_nowait(2)
    assert (len(sender), len(receiver)) == (2, 2)
    assert (receiver.capacity, receiver.type, receiver.name) == (2, int, "jobs")
    assert receiver.recv() == 1
    sender.close()
    assert receiver.closed
    assert list(receiver) == [2]
    for name in ("recv", "recv_ok", "recv_nowait", "recv_many", "recv_async", "__iter__"):
        assert not hasattr(sender, name)
    for name in ("send", "send_nowait", "send_many", "send_async", "close", "__enter__"):
        assert not hasattr(receiver, name)


def test_views_come_from_a_channel_only():
    for view in (gs.SendChan, gs.RecvChan):
        with pytest.raises(TypeError):
            view()


def test_a_view_keeps_the_channel_and_dropping_either_closes_nothing():
    ch = gs.Chan(1)
    sender, receiver = ch.sender(), ch.receiver()
    del ch
    gc.collect()
    sender.send("x")
    del sender
    assert not receiver.closed
    assert receiver.recv() == "x"


def test_annotations_take_the_type_of_the_items():
    assert gs.Chan[int].__origin__ is gs.Chan
    assert gs.SendChan[int].__args__ == (int,)
    assert gs.RecvChan[str].__args__ == (str,)


@pytest.mark.parametrize("kind", [gs.Chan, gs.SendChan, gs.RecvChan])
def test_every_public_call_has_a_docstring_and_a_signature(kind):
    assert kind.__doc__
    for name in dir(kind):
        if name.startswith("_") or not callable(getattr(kind, name)):
            continue
        method = getattr(kind, name)
        assert method.__doc__, name
        assert inspect.signature(method) is not None, name


def test_the_signature_of_chan_names_its_parameters():
    assert list(inspect.signature(gs.Chan).parameters) == ["capacity", "type", "name"]


# ---- memory ----


class Thing:
    pass


def test_dropping_a_channel_drops_what_it_holds():
    ch = gs.Chan(4)
    things = [Thing() for _ in range(4)]
    references = [weakref.ref(thing) for thing in things]
    ch.send_many(things)
    del things
    assert all(reference() for reference in references)
    del ch
    assert not any(reference() for reference in references)


def test_a_channel_that_holds_itself_is_collected():
    class Sentinel:
        pass

    sentinel = Sentinel()
    gone = weakref.ref(sentinel)
    ch = gs.Chan(3)
    ch.send(sentinel)
    ch.send([ch])
    ch.send(ch.receiver())
    del ch, sentinel
    gc.collect()
    assert gone() is None


def test_collecting_garbage_spares_what_a_live_channel_holds():
    ch = gs.Chan(5000)
    for wrap in range(2):  # so that the ring wraps round
        for i in range(5000):
            ch.send([i])
        gc.collect()
        half = [ch.recv()[0] for _ in range(2500)]
        assert half == list(range(2500))
        for i in range(2500):
            ch.send([-i])
        gc.collect()
        assert [ch.recv()[0] for _ in range(5000)] == [
            *range(2500, 5000),
            *(-i for i in range(2500)),
        ]


def test_collecting_garbage_while_threads_pass_objects_loses_none():
    ch = gs.Chan(8)
    n = 20000

    def produce():
        with ch:
            for i in range(n):
                ch.send([i])

    producer = Peer(produce)
    total = 0
    for i, value in enumerate(ch):
        total += value[0]
        if i % 500 == 0:
            gc.collect()
    producer.result()
    assert total == n * (n - 1) // 2


def test_a_handle_takes_weak_references():
    ch = gs.Chan()
    reference = weakref.ref(ch)
    assert reference() is ch
    del ch
    assert reference() is None


@pytest.mark.parametrize("refuse", ["closed", "full", "timeout", "misfit", "cancelled"])
def test_a_send_that_raised_keeps_no_reference(refuse):
    thing = Thing()
    before = sys.getrefcount(thing)
    ch = gs.Chan(1, int if refuse == "misfit" else object)
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    if refuse == "closed":
        ch.close()
    elif refuse != "misfit":
        ch.send(None)
    for _ in range(10):
        try:
            if refuse == "full":
                ch.send_nowait(thing)
            elif refuse == "timeout":
                ch.send(thing, timeout=0.001)
            elif refuse == "cancelled":
                with ctx:
                    ch.send(thing)
            else:
                ch.send_many([thing])
        except (gs.ChannelClosed, gs.WouldBlock, TimeoutError, TypeError, gs.Cancelled):
            pass
        else:
            raise AssertionError("it was sent")
    assert sys.getrefcount(thing) == before


# ---- fork ----


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12+: fork beside threads
def test_handles_of_the_parent_are_refused_in_a_forked_child():
    ch = gs.Chan(2, name="jobs")
    ch.send(Thing())
    sender = ch.sender()
    calls = [
        lambda: ch.send(1),
        lambda: ch.recv(timeout=0),
        ch.recv_nowait,
        ch.close,
        lambda: len(ch),
        lambda: ch.closed,
        lambda: next(ch),
        lambda: sender.send_nowait(1),
        lambda: gs.select(ch, nowait=True),
        ch.receiver,
    ]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for call in calls:
                with pytest.raises(RuntimeError, match="fork"):
                    call()
            repr(ch)
            fresh = gs.Chan(1)
            fresh.send(1)
            assert fresh.recv() == 1
            del sender, calls, fresh
            ch = None
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(ch) == 1
