"""select: one decision over channels and contexts."""

import collections
import inspect
import sys
import threading
import time

import pygostop as gs
import pytest

SOON = 10.0


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


def full(capacity=1):
    ch = gs.Chan(capacity)
    for i in range(capacity):
        ch.send(i)
    return ch


# ---- one of what is ready ----


def test_a_receive_that_is_ready_happens():
    a, b = gs.Chan(1), gs.Chan(1)
    b.send("x")
    assert gs.select(a, b) == (1, "x", True)
    assert len(b) == 0


def test_a_send_that_is_ready_happens():
    a, b = gs.Chan(1), gs.Chan(1)
    a.send("full")
    assert gs.select((a, 1), (b, "x")) == (1, None, True)
    assert (len(a), b.recv()) == (1, "x")


def test_it_waits_for_the_first_that_becomes_ready():
    a, b, c = gs.Chan(), full(), gs.Chan()
    receiving = Peer(gs.select, a, c)
    assert receiving.is_waiting()
    c.send("x")
    assert receiving.result() == (1, "x", True)
    sending = Peer(gs.select, a, (b, "y"))
    assert sending.is_waiting()
    assert b.recv() == 0
    assert sending.result() == (1, None, True)
    assert b.recv() == "y"


def test_what_did_not_happen_leaves_nothing_behind():
    a, b = gs.Chan(), gs.Chan()
    waiting = Peer(gs.select, a, b, (gs.Chan(), 1))
    assert waiting.is_waiting()
    a.send(1)
    waiting.result()
    with pytest.raises(gs.WouldBlock):
        b.send_nowait(1)


def test_a_closed_channel_is_ready_and_not_ok():
    ch = gs.Chan(1)
    ch.send("left")
    ch.close()
    assert gs.select(ch) == (0, "left", True)
    assert gs.select(ch) == (0, None, False)
    open_one = gs.Chan()
    waiting = Peer(gs.select, open_one)
    assert waiting.is_waiting()
    open_one.close()
    assert waiting.result() == (0, None, False)


def test_a_send_on_a_closed_channel_is_ready_and_raises():
    ch = gs.Chan(1, name="jobs")
    waiting = Peer(gs.select, (full(), 1), (gs.Chan(), 2))
    assert waiting.is_waiting()
    ch.close()
    with pytest.raises(gs.ChannelClosed, match="'jobs'"):
        gs.select(gs.Chan(), (ch, 1))
    with pytest.raises(gs.ChannelClosed):
        gs.select((ch, 1), nowait=True)


def test_a_blocked_send_that_is_closed_raises():
    ch = full()
    waiting = Peer(gs.select, (ch, 1), gs.Chan())
    assert waiting.is_waiting()
    ch.close()
    with pytest.raises(gs.ChannelClosed):
        waiting.result()


def test_of_several_that_are_ready_each_is_chosen_about_as_often():
    channels = [full(4000) for _ in range(4)]
    n = 4000
    chosen = collections.Counter(gs.select(*channels).index for _ in range(n))
    # Ten standard deviations of a fair choice are 274.
    assert all(abs(chosen[i] - n / 4) < 300 for i in range(4)), chosen


def test_the_same_channel_may_stand_in_several_cases():
    ch = gs.Chan(1)
    assert gs.select((ch, "a"), (ch, "b")).index in (0, 1)
    assert ch.recv() in ("a", "b")
    ch.send("x")
    assert gs.select(ch, ch, ch).value == "x"
    waiting = Peer(gs.select, ch, ch)
    assert waiting.is_waiting()
    ch.send("y")
    assert waiting.result().value == "y"


def test_both_ends_of_one_unbuffered_channel_do_not_pair_with_each_other():
    ch = gs.Chan()
    assert gs.select(ch, (ch, 1), nowait=True).index == -1
    with pytest.raises(TimeoutError):
        gs.select(ch, (ch, 1), timeout=0.02)


def test_two_selects_pair_with_each_other():
    ch = gs.Chan()
    one = Peer(gs.select, ch, gs.Chan())
    two = Peer(gs.select, (gs.Chan(), 1), (ch, "x"))
    assert one.result() == (0, "x", True)
    assert two.result() == (1, None, True)


def test_views_stand_for_the_half_that_they_have():
    ch = gs.Chan(1)
    sender, receiver = ch.sender(), ch.receiver()
    assert gs.select((sender, "x")).index == 0
    assert gs.select(receiver).value == "x"
    with pytest.raises(TypeError, match="SendChan"):
        gs.select(sender)
    with pytest.raises(TypeError, match="RecvChan"):
        gs.select((receiver, 1))


# ---- contexts ----


def test_a_done_context_is_ready_and_gives_its_error():
    ctx, cancel = gs.with_cancel(gs.background())
    assert gs.select(ctx, nowait=True).index == -1
    waiting = Peer(gs.select, gs.Chan(), ctx)
    assert waiting.is_waiting()
    cancel()
    for selected in (waiting.result(), gs.select(gs.Chan(), ctx)):
        assert selected.index == 1 and selected.ok is True
        assert isinstance(selected.value, gs.Cancelled)


def test_a_context_past_its_deadline_gives_deadline_exceeded():
    ctx, _ = gs.with_timeout(gs.background(), 0.02)
    assert isinstance(gs.select(gs.Chan(), ctx).value, gs.DeadlineExceeded)


def test_the_done_channel_of_a_context_is_closed_when_it_is_done():
    ctx, cancel = gs.with_cancel(gs.background())
    done = ctx.done
    assert isinstance(done, gs.RecvChan)
    assert gs.select(done, nowait=True).index == -1
    waiting = Peer(gs.select, done)
    assert waiting.is_waiting()
    cancel()
    assert waiting.result() == (0, None, False)
    assert list(done) == []


def test_a_done_scope_raises_before_anything_that_is_ready():
    ctx, cancel = gs.with_cancel(gs.background())
    ch = full()
    cancel()
    with ctx, pytest.raises(gs.Cancelled):
        gs.select(ch)
    assert len(ch) == 1


def test_a_cancelled_scope_ends_the_wait():
    ctx, cancel = gs.with_cancel(gs.background())

    def wait():
        with ctx:
            gs.select(gs.Chan(), (gs.Chan(), 1))

    waiting = Peer(wait)
    assert waiting.is_waiting()
    cancel()
    with pytest.raises(gs.Cancelled):
        waiting.result()


# ---- tasks ----


def test_an_ended_task_is_ready_and_is_its_own_value(probe):
    task = gs.go(probe.add, 1, 2)
    for _ in range(2):
        selected = gs.select(gs.Chan(), task, timeout=SOON)
        assert selected == (1, task, True)
        assert selected.value is task
    assert task.result() == 3


def test_a_task_that_runs_is_waited_for(probe):
    task = gs.go(probe.sleep_long)
    assert gs.select(task, nowait=True).index == -1
    with pytest.raises(TimeoutError):
        gs.select(task, timeout=0.01)
    waiting = Peer(gs.select, gs.Chan(), task)
    assert waiting.is_waiting()
    task.cancel()
    assert waiting.result().value is task


def test_c_tasks_and_selects_pair_on_unbuffered_channels(probe):
    source, to = gs.Chan(type=int), gs.Chan(type=int)
    task = gs.go(probe.double_ints, source, to)
    sent, got = 0, []
    while len(got) < 500:
        selected = gs.select((source, sent) if sent < 500 else None, to, timeout=SOON)
        if selected.index == 0:
            sent += 1
        else:
            got.append(selected.value)
    source.close()
    task.result(SOON)
    assert got == [2 * i for i in range(500)]


# ---- time ----


def test_nowait_gives_minus_one_when_nothing_is_ready():
    assert gs.select(gs.Chan(), (full(), 1), nowait=True) == (-1, None, True)
    assert gs.select(nowait=True).index == -1
    assert gs.select(None, None, nowait=True).index == -1


def test_a_timeout_raises_and_nothing_has_happened():
    a, b = gs.Chan(1), full()
    for timeout in (0, 0.02):
        with pytest.raises(TimeoutError):
            gs.select(a, (b, 1), timeout=timeout)
    assert (len(a), len(b)) == (0, 1)


@pytest.mark.parametrize("cases", [(), (None,), (None, None)])
def test_without_a_case_that_can_happen_it_waits(cases):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        gs.select(*cases, timeout=0.05)
    assert time.monotonic() - began >= 0.05


def test_none_is_never_ready_among_others():
    ch = full()
    assert gs.select(None, ch, None) == (1, 0, True)


def test_a_timeout_of_zero_takes_what_is_ready():
    assert gs.select(full(), timeout=0).value == 0


# ---- bad input ----


@pytest.mark.parametrize(
    "case",
    [
        1,
        "ch",
        object(),
        [gs.Chan(), 1],
        (),
        (gs.Chan(),),
        (gs.Chan(), 1, 2),
        (1, 2),
        (None, 1),
        gs.Chan,
    ],
)
def test_what_is_no_case_is_a_type_error_that_names_the_place(case):
    ready = full()
    with pytest.raises(TypeError, match="case 1"):
        gs.select(ready, case)
    assert len(ready) == 1


def test_a_misfit_raises_before_anything_happens():
    ready, typed = full(), gs.Chan(1, int)
    ctx, cancel = gs.with_cancel(gs.background())
    cancel()
    for value, error in (("x", TypeError), (2**63, OverflowError)):
        with pytest.raises(error):
            gs.select(ready, (typed, 1), (typed, value))
        with ctx, pytest.raises(error):
            gs.select(ready, (typed, value))
    assert (len(ready), len(typed)) == (1, 0)


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": 1, "nowait": True}, ValueError),
        ({"wait": 1}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(arguments, error):
    ready = full()
    with pytest.raises(error):
        gs.select(ready, **arguments)
    assert len(ready) == 1


def test_more_cases_than_fit_are_a_value_error():
    ch = full()
    with pytest.raises(ValueError, match="cases"):
        gs.select(*[ch] * 70_000)
    assert len(ch) == 1


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20, 1000])
def test_any_number_of_cases_works(n):
    channels = [gs.Chan(1, "4q") for _ in range(n)]
    channels[n // 2].send((1, 2, 3, 4))
    assert gs.select(*channels) == (n // 2, (1, 2, 3, 4), True)
    assert gs.select(*((ch, (1, 2, 3, 4)) for ch in channels)).ok
    assert sum(len(ch) for ch in channels) == 1


# ---- the result, memory, stress ----


def test_the_result_is_a_named_tuple():
    selected = gs.select(full())
    assert isinstance(selected, gs.Selected) and isinstance(selected, tuple)
    assert (selected.index, selected.value, selected.ok) == (0, 0, True)
    index, value, ok = selected
    assert (index, value, ok) == (0, 0, True)
    assert repr(selected) == "Selected(index=0, value=0, ok=True)"
    assert selected._fields == ("index", "value", "ok")


def test_select_has_a_docstring_and_a_signature():
    assert gs.select.__doc__
    assert str(inspect.signature(gs.select)) == "(*cases, timeout=None, nowait=False)"


def test_values_that_were_not_sent_are_released():
    thing = object()
    before = sys.getrefcount(thing)
    blocked, typed = full(), gs.Chan(1, int)
    for _ in range(5):
        gs.select((blocked, thing), (blocked, thing), nowait=True)
        with pytest.raises(TimeoutError):
            gs.select((blocked, thing), timeout=0.001)
        with pytest.raises(TypeError):
            gs.select((blocked, thing), (typed, "x"))
        with pytest.raises(TypeError):
            gs.select((blocked, thing), 3)
        gs.select((blocked, thing), full())
    assert sys.getrefcount(thing) == before


def test_selects_from_many_threads_lose_and_double_nothing():
    channels = [gs.Chan(capacity, int) for capacity in (0, 1, 5)]
    n, producers_n = 3000, 3
    got = [[] for _ in range(3)]
    finished = gs.Chan()

    def produce(which):
        for i in range(n):
            value = which * n + i
            while True:
                try:
                    gs.select(*((ch, value) for ch in channels), timeout=0.002)
                    break
                except TimeoutError:
                    pass

    def consume(values):
        while True:
            try:
                index, value, ok = gs.select(*channels, finished, timeout=0.001)
            except TimeoutError:
                continue
            if index == len(channels):
                return
            values.append(value)

    consumers = [Peer(consume, values) for values in got]
    producers = [Peer(produce, which) for which in range(producers_n)]
    for producer in producers:
        producer.result()
    while any(len(ch) for ch in channels):
        time.sleep(0.001)
    finished.close()
    for consumer in consumers:
        consumer.result()
    assert sorted(sum(got, [])) == list(range(n * producers_n))
