"""Channels and select against a model: calls that do not wait, and tasks parked in those that do."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import Any

import pygostop as gs
from machines import SETTINGS, Actor, Outcome
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

# ---- the model ----


class Waiter:
    """A parked call: its cases, of which one will happen."""

    def __init__(self, cases: list[tuple[str, Any, Any]]) -> None:
        self.cases = cases
        self.actor: Actor | None = None
        self.happened: tuple[set[int], Any] | None = None
        """Which cases it may be, and the value received or "closed"."""


class Channel:
    """A channel, one step after the other."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.put_back: deque[Any] = deque()
        self.buffer: deque[Any] = deque()
        self.closed = False
        self.waiting: list[Waiter] = []

    def parked(self, kind: str) -> Waiter | None:
        """The one that has waited longest to "recv" or to "send" here."""
        for waiter in self.waiting:
            if any(case[0] == kind and case[1] is self for case in waiter.cases):
                return waiter
        return None

    def wake(self, waiter: Waiter, kind: str, value: Any) -> Any:
        """Its call happens; what it sends, where it sends."""
        at = [i for i, c in enumerate(waiter.cases) if c[0] == kind and c[1] is self]
        waiter.happened = (set(at), value)
        for case in waiter.cases:
            if isinstance(case[1], Channel) and waiter in case[1].waiting:
                case[1].waiting.remove(waiter)
        return waiter.cases[at[0]][2]

    def can_send(self) -> bool:
        room = len(self.buffer) < self.capacity
        return self.closed or room or self.parked("recv") is not None

    def can_recv(self) -> bool:
        return bool(self.closed or self.put_back or self.buffer or self.parked("send"))

    def send(self, value: Any) -> None:
        receiver = self.parked("recv")
        if receiver:
            self.wake(receiver, "recv", value)
        else:
            self.buffer.append(value)

    def recv(self) -> Any:
        if self.put_back:
            return self.put_back.popleft()
        sender = self.parked("send")
        sent = [self.wake(sender, "send", None)] if sender else []
        self.buffer.extend(sent)
        return self.buffer.popleft() if self.buffer else "closed"

    def close(self) -> None:
        self.closed = True
        for waiter in list(self.waiting):
            kinds = {case[0] for case in waiter.cases if case[1] is self}
            at = {i for i, case in enumerate(waiter.cases) if case[1] is self}
            self.wake(waiter, kinds.pop(), "closed")
            waiter.happened = (at, "closed")


# ---- the types, with values that come out as they went in ----

TYPES: dict[Any, st.SearchStrategy[Any]] = {
    object: st.none() | st.integers() | st.text(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    "<hq": st.tuples(st.integers(-(2**15), 2**15 - 1), st.integers(-(2**63), 2**63 - 1)),
    "4s?": st.tuples(st.binary(min_size=4, max_size=4), st.booleans()),
}
CODES = {int: "q", float: "d", bool: "?", "<hq": "<hq", "4s?": "4s?"}
WRONG = {int: ("x", 2**63), float: ("x", 10**400), bool: (1, None), str: (b"x", "\ud800")}
WRONG.update({bytes: ("x", 3), "<hq": ((1,), (2**15, 1)), "4s?": ((b"12345", True), 3)})

CHANNELS = 3
index = st.integers(0, CHANNELS - 1)


class Channels(RuleBasedStateMachine):
    @initialize(
        kind=st.sampled_from(list(TYPES)),
        capacities=st.lists(st.integers(0, 3), min_size=CHANNELS, max_size=CHANNELS),
    )
    def make(self, kind: Any, capacities: list[int]) -> None:
        self.kind = kind
        self.models = [Channel(capacity) for capacity in capacities]
        self.chans: list[gs.Chan[Any]] = [gs.Chan(capacity, kind) for capacity in capacities]
        self.parked: list[Waiter] = []
        self.ctx, self.cancel = gs.with_cancel(gs.background())
        self.done = False

    def value(self, data: st.DataObject) -> Any:
        return data.draw(TYPES[self.kind])

    def settle(self) -> None:
        """Those whose call has happened end with what the model says; the others wait on."""
        for waiter in list(self.parked):
            if waiter.happened is None:
                continue
            self.parked.remove(waiter)
            assert waiter.actor is not None
            self.check(waiter, waiter.actor.ended())

    def check(self, waiter: Waiter, outcome: Outcome) -> None:
        assert waiter.happened is not None
        indices, value = waiter.happened
        kind = waiter.cases[min(indices)][0]
        if value == "closed" and outcome.raised is not None:
            assert isinstance(outcome.raised, gs.ChannelClosed), outcome
            assert any(waiter.cases[i][0] == "send" for i in indices) or len(waiter.cases) == 1
            return
        assert outcome.raised is None, outcome
        if isinstance(outcome.value, gs.Selected):
            assert outcome.value.index in indices, (outcome, indices)
            kind = waiter.cases[outcome.value.index][0]
            closed = kind == "recv" and value == "closed"
            assert outcome.value.ok == (not closed)
            if kind == "recv" and not closed:
                assert outcome.value.value == value
        elif kind == "recv":
            assert outcome.value == value

    # ---- calls that do not wait ----

    @rule(i=index, data=st.data(), how=st.integers(0, 3))
    def send_now(self, i: int, data: st.DataObject, how: int) -> None:
        model, ch, value = self.models[i], self.chans[i], self.value(data)
        calls = (
            lambda: ch.send_nowait(value),
            lambda: ch.sender().send_nowait(value),
            lambda: ch.send(value, timeout=0),
            lambda: ch.sender().send(value, 0),
        )
        outcome = Outcome(calls[how])
        if not model.can_send():
            assert isinstance(outcome.raised, gs.WouldBlock if how < 2 else TimeoutError)
        elif model.closed:
            assert isinstance(outcome.raised, gs.ChannelClosed)
        else:
            assert outcome.raised is None
            model.send(value)
        self.settle()

    @rule(i=index, how=st.integers(0, 3))
    def recv_now(self, i: int, how: int) -> None:
        model, ch = self.models[i], self.chans[i]
        calls = (
            ch.recv_nowait,
            ch.receiver().recv_nowait,
            lambda: ch.recv(timeout=0),
            lambda: ch.recv_ok(0),
        )
        outcome = Outcome(calls[how])
        if not model.can_recv():
            assert isinstance(outcome.raised, gs.WouldBlock if how < 2 else TimeoutError)
            return
        expected = model.recv()
        if expected == "closed" and how == 3:
            assert outcome.value == (None, False)
        elif expected == "closed":
            assert isinstance(outcome.raised, gs.ChannelClosed)
        else:
            assert outcome.value == ((expected, True) if how == 3 else expected)
        self.settle()

    @rule(i=index, data=st.data(), n=st.integers(0, 5))
    def send_many(self, i: int, data: st.DataObject, n: int) -> None:
        model, ch = self.models[i], self.chans[i]
        values = [self.value(data) for _ in range(n)]
        outcome = Outcome(lambda: ch.send_many(values, timeout=0))
        sent = 0
        while sent < n and not model.closed and model.can_send():
            model.send(values[sent])
            sent += 1
        if sent == n:
            assert outcome.value == n, outcome
        else:
            expected = gs.ChannelClosed if model.closed else TimeoutError
            assert isinstance(outcome.raised, expected), outcome
            assert outcome.raised.sent == sent  # type: ignore[attr-defined]
        self.settle()

    @rule(i=index, n=st.integers(1, 5), into=st.booleans())
    def recv_many(self, i: int, n: int, into: bool) -> None:
        model, ch = self.models[i], self.chans[i]
        room: Any = None
        code = CODES.get(self.kind)
        if into and code in ("q", "d", "?"):
            room = memoryview(bytearray(struct.calcsize(code) * n)).cast(code)
        outcome = Outcome(lambda: ch.recv_many(n, into=room, timeout=0))
        if not model.can_recv():
            assert isinstance(outcome.raised, TimeoutError), outcome
            return
        expected = []
        while len(expected) < n and model.can_recv():
            value = model.recv()
            if value == "closed":
                break
            expected.append(value)
        if not expected:
            assert isinstance(outcome.raised, gs.ChannelClosed)
        elif room is None:
            assert outcome.value == expected, outcome
        else:
            assert outcome.value == len(expected) and room.tolist()[: len(expected)] == expected
        self.settle()

    @rule(i=index, which=st.integers(0, 1))
    def send_wrong(self, i: int, which: int) -> None:
        if self.kind in WRONG:
            outcome = Outcome(lambda: self.chans[i].send_nowait(WRONG[self.kind][which]))
            assert isinstance(outcome.raised, (TypeError, OverflowError)), outcome

    @rule(i=index, view=st.booleans())
    def close(self, i: int, view: bool) -> None:
        (self.chans[i].sender() if view else self.chans[i]).close()
        self.models[i].close()
        self.settle()

    # ---- select ----

    def cases(self, data: st.DataObject) -> tuple[list[tuple[str, Any, Any]], list[Any]]:
        """The model's cases, and the same for select."""
        modelled: list[tuple[str, Any, Any]] = []
        given: list[Any] = []
        for _ in range(data.draw(st.integers(1, 5))):
            kind = data.draw(st.sampled_from(["recv", "recv", "send", "send", "ctx", "none"]))
            i = data.draw(index)
            if kind == "recv":
                modelled.append(("recv", self.models[i], None))
                given.append(data.draw(st.sampled_from([self.chans[i], self.chans[i].receiver()])))
            elif kind == "send":
                value = self.value(data)
                modelled.append(("send", self.models[i], value))
                given.append((self.chans[i], value))
            elif kind == "ctx":
                modelled.append(("ctx", None, None))
                given.append(self.ctx)
            else:
                modelled.append(("none", None, None))
                given.append(None)
        return modelled, given

    def ready(self, cases: list[tuple[str, Any, Any]]) -> set[int]:
        found = set()
        for i, (kind, model, _) in enumerate(cases):
            if kind == "recv" and model.can_recv() or kind == "send" and model.can_send():
                found.add(i)
            elif kind == "ctx" and self.done:
                found.add(i)
        return found

    def check_select(self, cases: list[tuple[str, Any, Any]], ready: set[int], got: Outcome) -> None:
        """One of those that were ready has happened; the model follows."""
        if got.raised is not None:
            assert isinstance(got.raised, gs.ChannelClosed), got
            assert any(cases[i][0] == "send" and cases[i][1].closed for i in ready)
            return
        assert got.value.index in ready, (got, ready)
        kind, model, value = cases[got.value.index]
        if kind == "send":
            assert not model.closed
            model.send(value)
        elif kind == "recv":
            expected = model.recv()
            assert got.value.ok == (expected != "closed")
            assert got.value.value == (None if expected == "closed" else expected)
        else:
            assert isinstance(got.value.value, gs.Cancelled)

    @rule(data=st.data())
    def select_now(self, data: st.DataObject) -> None:
        cases, given = self.cases(data)
        ready = self.ready(cases)
        got = Outcome(lambda: gs.select(*given, nowait=True))
        if not ready:
            assert got.value == gs.Selected(-1, None, True), got
        else:
            self.check_select(cases, ready, got)
        self.settle()

    # ---- tasks that wait ----

    def park(self, cases: list[tuple[str, Any, Any]], call: Any) -> None:
        ready = self.ready(cases)
        waiter = Waiter(cases)
        waiter.actor = Actor(call)
        if ready:
            got = waiter.actor.ended()
            if isinstance(got.value, gs.Selected) or len(cases) > 1:
                self.check_select(cases, ready, got)
            else:
                self.do_one(cases[0], got)
            self.settle()
            return
        self.parked.append(waiter)
        for _, model, _ in cases:
            if model is not None and waiter not in model.waiting:
                model.waiting.append(waiter)

    def do_one(self, case: tuple[str, Any, Any], got: Outcome) -> None:
        kind, model, value = case
        expected = "closed" if kind == "send" and model.closed else None
        if kind == "recv":
            expected = model.recv()
        elif not model.closed:
            model.send(value)
        if expected == "closed":
            assert isinstance(got.raised, gs.ChannelClosed), got
        else:
            assert got.raised is None and got.value == expected, got

    @rule(i=index, data=st.data())
    def park_send(self, i: int, data: st.DataObject) -> None:
        value, ch = self.value(data), self.chans[i]
        self.park([("send", self.models[i], value)], lambda: ch.send(value))

    @rule(i=index)
    def park_recv(self, i: int) -> None:
        self.park([("recv", self.models[i], None)], self.chans[i].recv)

    @rule(data=st.data())
    def park_select(self, data: st.DataObject) -> None:
        cases, given = self.cases(data)
        self.park(cases, lambda: gs.select(*given))

    # What select chose is not Hypothesis's to know: no draw may depend on who is parked.
    @rule(which=st.integers(0, 20))
    def cancel_one(self, which: int) -> None:
        """It ends, and has neither sent nor received anything."""
        if not self.parked:
            return
        waiter = self.parked[which % len(self.parked)]
        assert waiter.actor is not None and waiter.actor.task.cancel("enough")
        self.parked.remove(waiter)
        for model in self.models:
            if waiter in model.waiting:
                model.waiting.remove(waiter)
        assert isinstance(waiter.actor.ended().raised, gs.Cancelled)

    @rule()
    def cancel_context(self) -> None:
        self.cancel("done")
        self.done = True
        for waiter in self.parked:
            at = {i for i, case in enumerate(waiter.cases) if case[0] == "ctx"}
            if at:
                waiter.happened = (at, None)
                for model in self.models:
                    if waiter in model.waiting:
                        model.waiting.remove(waiter)
        self.settle()

    # ---- asyncio ----

    @rule(i=index, data=st.data())
    def cancel_after_the_hand_over(self, i: int, data: st.DataObject) -> None:
        """A value that an await no longer wants is put back at its place in front."""
        model, ch, value = self.models[i], self.chans[i], self.value(data)
        if model.can_recv() or model.waiting:
            return

        async def hand_over() -> Outcome:
            awaiting = asyncio.ensure_future(ch.recv_async())
            await asyncio.sleep(0)
            ch.send_nowait(value)
            awaiting.cancel()
            try:
                return Outcome(lambda got=await awaiting: got)
            except asyncio.CancelledError:
                model.put_back.append(value)
                return Outcome(lambda: value)

        assert asyncio.run(hand_over()).value == value

    # ---- always ----

    @invariant()
    def snapshots_are_as_modelled(self) -> None:
        for model, ch in zip(getattr(self, "models", []), getattr(self, "chans", [])):
            assert len(ch) == len(model.put_back) + len(model.buffer)
            assert ch.closed == model.closed and ch.capacity == model.capacity
            assert bool(ch) and ch.type == self.kind

    @invariant()
    def who_waits_is_parked(self) -> None:
        for waiter in getattr(self, "parked", []):
            assert not waiter.actor.task.done(), (waiter.actor.task, waiter.actor.outcome)

    def teardown(self) -> None:
        for waiter in getattr(self, "parked", []):
            waiter.actor.task.cancel()
        for waiter in getattr(self, "parked", []):
            waiter.actor.ended()


TestChannels = Channels.TestCase
TestChannels.settings = SETTINGS
