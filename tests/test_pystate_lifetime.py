"""What lives on a task's stack: waiters, references, values in flight, destructors that run there."""

from __future__ import annotations

import gc
import random
import sys
import weakref
from typing import Any

import pygostop as gs
from support import WAIT, eventually


def test_a_storm_of_cancels_and_timeouts_loses_no_value() -> None:
    """Each value is received, or its send raised: waiters are gone from a stack before it unwinds."""
    rounds, sides = 300, 30
    ch: gs.Chan[int] = gs.Chan()
    sent: list[int] = []
    received: list[int] = []

    def send(side: int) -> None:
        chance = random.Random(side)
        for n in range(rounds):
            value = side * rounds + n
            try:
                with gs.move_on_after(chance.choice([0, 0.0001, 0.001, 1])):
                    ch.send(value)
                    sent.append(value)
            except gs.Cancelled:
                with gs.shield():
                    gs.checkpoint()
                raise

    def receive(side: int) -> None:
        chance = random.Random(-side)
        while True:
            try:
                value = ch.recv(timeout=chance.choice([0, 0.0001, 0.001, 1]))
            except TimeoutError:
                continue
            except gs.ChannelClosed:
                return
            received.append(value)
            gs.checkpoint()

    receivers = [gs.go(receive, n) for n in range(sides)]
    senders = [gs.go(send, n) for n in range(sides)]
    for task in senders[::7]:
        task.cancel()
    for task in senders:
        assert task.wait(WAIT)
    # Neither is cancelled between the hand-over and its note of it: no call stands between the two.
    ch.close()
    for task in receivers:
        task.result(WAIT)
    assert sorted(received) == sorted(sent)


def test_a_destructor_that_waits_parks_its_task_alone() -> None:
    ch: gs.Chan[int] = gs.Chan()

    class Waits:
        def __del__(self) -> None:
            ch.send(1)

    def drop() -> str:
        thing = Waits()
        del thing
        return "dropped"

    tasks = [gs.go(drop) for _ in range(20)]
    others = [gs.go(int, "3") for _ in range(20)]
    assert [t.result(WAIT) for t in others] == [3] * 20
    assert [ch.recv(timeout=WAIT) for _ in range(20)] == [1] * 20
    assert [t.result(WAIT) for t in tasks] == ["dropped"] * 20


def test_a_destructor_that_waits_at_a_tasks_end_is_waited_for() -> None:
    """Of its arguments and of its thread-local data."""
    import threading

    ch: gs.Chan[str] = gs.Chan()
    local = threading.local()

    class Waits:
        def __init__(self, name: str) -> None:
            self.name = name

        def __del__(self) -> None:
            gs.checkpoint()
            ch.send(self.name)

    def body(argument: Waits) -> None:
        local.value = Waits("local")

    task = gs.go(body, Waits("argument"))
    assert {ch.recv(timeout=WAIT), ch.recv(timeout=WAIT)} == {"argument", "local"}
    task.result(WAIT)


def test_objects_dropped_by_an_ended_task_run_their_destructors() -> None:
    """A Task whose last reference the runtime held, with what it left."""
    ended: list[int] = []

    class Value:
        def __del__(self) -> None:
            ended.append(1)

    def give() -> Value:
        return Value()

    def spawn() -> None:
        for _ in range(100):
            gs.go(give)
        gs.checkpoint()

    gs.go(spawn).result(WAIT)
    assert eventually(lambda: gs.checkpoint() or len(ended) == 100)


def test_a_cycle_through_a_task_and_its_failure_is_collected() -> None:
    class Marker:
        pass

    refs: list[weakref.ref[Any]] = []

    def fail() -> None:
        marker = Marker()
        refs.append(weakref.ref(marker))
        task = gs.current_task()
        assert task is not None
        raise ValueError("x")

    task = gs.go(fail)
    assert isinstance(task.exception(WAIT), ValueError)
    del task
    assert eventually(lambda: gc.collect() is None or refs[0]() is None)


def test_many_tasks_leak_neither_objects_nor_memory() -> None:
    gate: gs.Chan[None] = gs.Chan()

    def parks() -> None:
        gate.recv_ok()

    def fails() -> None:
        raise ValueError

    def one_round() -> None:
        tasks = [gs.go(int) for _ in range(300)] + [gs.go(fails) for _ in range(300)]
        tasks += [gs.go(gs.sleep, None) for _ in range(300)]
        for task in tasks[600:]:
            task.cancel()
        for task in tasks:
            task.wait(WAIT)
            if not task.cancelled():
                task.exception()

    def objects() -> int:
        gs.checkpoint()
        gc.collect()
        return sys.getallocatedblocks()

    for _ in range(3):
        one_round()
    before = objects()
    for _ in range(10):
        one_round()
    assert eventually(lambda: objects() - before < 2000)
    assert parks is not None


def test_the_collector_runs_in_tasks() -> None:
    class Node:
        pass

    def churn() -> int:
        refs = []
        for _ in range(50):
            node = Node()
            node.self = node  # type: ignore[attr-defined]
            refs.append(weakref.ref(node))
            del node
            gs.checkpoint()
        gc.collect()
        return sum(ref() is not None for ref in refs)

    tasks = [gs.go(churn) for _ in range(20)]
    assert [t.result(WAIT) for t in tasks] == [0] * 20
