"""Objects of Python in the hands of C threads: none is lost, none is released too early or twice."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from support import WAIT, Probe, eventually

import pygostop as gs


class Thing:
    """Something that takes weak references."""


def test_what_only_a_c_task_still_held_is_released_when_it_ends(probe: Probe) -> None:
    source, to = gs.Chan(4), gs.Chan(4)
    task = gs.go(probe.pass_objects, source, to)
    things = [Thing() for _ in range(3)]
    gone = [weakref.ref(thing) for thing in things]
    source.send_many(things)
    assert eventually(lambda: len(to) == 3)
    del things, to
    gc.collect()
    assert all(reference() for reference in gone)
    source.close()
    task.result(WAIT)
    del task
    # Released by the next call that enters the module, at the latest.
    assert eventually(lambda: gs.Chan() and not any(reference() for reference in gone))


def test_what_a_c_task_ended_with_is_released_without_entering_the_module(probe: Probe) -> None:
    source, to = gs.Chan(1), gs.Chan(1)
    ctx, cancel = gs.with_cancel(gs.background())
    with ctx:
        task = gs.go(probe.pass_objects, source, to)
    thing = Thing()
    gone = weakref.ref(thing)
    source.send(thing)
    assert eventually(lambda: len(to) == 1)
    del thing, to
    cancel()
    task.wait(WAIT)
    del task
    assert eventually(lambda: gone() is None)


def test_collecting_garbage_while_c_tasks_pass_objects_loses_none(probe: Probe) -> None:
    first, second, last = gs.Chan(7), gs.Chan(), gs.Chan(9)
    tasks = [gs.go(probe.pass_objects, first, second), gs.go(probe.pass_objects, second, last)]
    n = 5000

    def produce() -> None:
        for i in range(n):
            first.send([[i]])
        first.close()

    producer = threading.Thread(target=produce)
    producer.start()
    for i in range(n):
        assert last.recv(WAIT) == [[i]]
        if i % 250 == 0:
            gc.collect()
    producer.join(WAIT)
    second.close()
    for task in tasks:
        task.result(WAIT)


def test_a_channel_in_a_cycle_that_a_c_task_uses_is_not_cleared(probe: Probe) -> None:
    source, to = gs.Chan(4), gs.Chan(4)
    task = gs.go(probe.pass_objects, source, to)
    view = to.receiver()
    source.send([to, source])  # a cycle through both, once the task has passed it on
    assert eventually(lambda: len(to) == 1)
    del to
    gc.collect()
    things = view.recv(WAIT)
    assert things[1] is source
    source.close()
    task.result(WAIT)


@pytest.mark.parametrize("capacity", [0, 5])
def test_objects_survive_the_way_through_c_unchanged_in_number(probe: Probe, capacity: int) -> None:
    source, to = gs.Chan(capacity), gs.Chan(capacity)
    task = gs.go(probe.pass_objects, source, to)
    thing = Thing()
    references = len(gc.get_referrers(thing))
    for _ in range(200):
        source.send(thing)
        assert to.recv(WAIT) is thing
    source.close()
    task.result(WAIT)
    gone = weakref.ref(thing)
    assert len(gc.get_referrers(thing)) == references
    del thing
    assert gone() is None
