"""Tasks, groups and the waits of Lock, Semaphore and WaitGroup against models, with tasks parked in them."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pygostop as gs
from machines import SETTINGS, Actor, Outcome
from support import WAIT, eventually
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

which = st.integers(0, 30)

# ---- semaphores and locks: a number of places, and who waits for one, oldest first ----


class Semaphores(RuleBasedStateMachine):
    @initialize(value=st.integers(1, 3), lock=st.booleans())
    def make(self, value: int, lock: bool) -> None:
        self.places = self.free = 1 if lock else value
        self.lock = lock
        self.real: Any = gs.Lock() if lock else gs.Semaphore(value)
        self.waiting: list[Actor] = []

    @rule(how=st.integers(0, 1))
    def acquire_now(self, how: int) -> None:
        calls = (self.real.acquire_nowait, lambda: self.real.acquire(timeout=0))
        outcome = Outcome(calls[how])
        if self.free:
            assert outcome.raised is None
            self.free -= 1
        else:
            assert isinstance(outcome.raised, (gs.WouldBlock, TimeoutError)[how])

    @rule()
    def acquire_parked(self) -> None:
        actor = Actor(self.real.acquire)
        if self.free:
            assert actor.ended().raised is None
            self.free -= 1
        else:
            self.waiting.append(actor)

    @rule()
    def release(self) -> None:
        if self.free == self.places:
            assert isinstance(Outcome(self.real.release).raised, RuntimeError)
            return
        self.real.release()
        if self.waiting:
            assert self.waiting.pop(0).ended().raised is None
        else:
            self.free += 1

    @rule(which=which)
    def cancel_one(self, which: int) -> None:
        if self.waiting:
            actor = self.waiting.pop(which % len(self.waiting))
            actor.task.cancel()
            assert isinstance(actor.ended().raised, gs.Cancelled)

    @invariant()
    def all_is_as_modelled(self) -> None:
        if hasattr(self, "real"):
            assert self.real.locked() == (self.free == 0)
            assert self.lock or self.real.value == self.free
            assert not any(actor.task.done() for actor in self.waiting)

    def teardown(self) -> None:
        for actor in getattr(self, "waiting", []):
            actor.task.cancel()
            actor.ended()


# ---- wait groups: a count, and who waits for none ----


class WaitGroups(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.count = 0
        self.real = gs.WaitGroup()
        self.waiting: list[Actor] = []

    @rule(n=st.integers(-2, 3))
    def add(self, n: int) -> None:
        outcome = Outcome(lambda: self.real.add(n))
        if self.count + n < 0:
            assert isinstance(outcome.raised, ValueError), outcome
            return
        assert outcome.raised is None
        self.count += n
        self.settle()

    @rule()
    def done(self) -> None:
        outcome = Outcome(self.real.done)
        if self.count == 0:
            assert isinstance(outcome.raised, ValueError), outcome
            return
        self.count -= 1
        self.settle()

    def settle(self) -> None:
        if self.count == 0:
            for actor in self.waiting:
                assert actor.ended().raised is None
            self.waiting.clear()

    @rule()
    def wait_now(self) -> None:
        outcome = Outcome(lambda: self.real.wait(timeout=0))
        assert isinstance(outcome.raised, TimeoutError) == (self.count > 0), outcome

    @rule()
    def wait_parked(self) -> None:
        self.waiting.append(Actor(self.real.wait))
        self.settle()

    @invariant()
    def all_is_as_modelled(self) -> None:
        if hasattr(self, "real"):
            assert self.real.count == self.count
            assert not any(actor.task.done() for actor in self.waiting)

    def teardown(self) -> None:
        for actor in getattr(self, "waiting", []):
            actor.task.cancel()
            actor.ended()


# ---- tasks: each waits until it is told what to do, or is cancelled ----


class Modelled:
    """A task as the model has it, and its channel for orders."""

    def __init__(self, ctx: gs.Context) -> None:
        self.orders: gs.Chan[Any] = gs.Chan()
        self.task = gs.go(self.run, ctx=ctx)
        self.future = self.task.future()
        self.ended: str | None = None
        self.called = 0
        self.due = 0
        assert eventually(lambda: self.task.state == "parked")

    def run(self) -> Any:
        order = self.orders.recv()
        if order == "raise":
            raise KeyError("asked to")
        return order


class Tasks(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.ctx, self.cancel_all = gs.with_cancel(gs.background())
        self.tasks: list[Modelled] = []

    def one(self, which: int) -> Modelled | None:
        return self.tasks[which % len(self.tasks)] if self.tasks else None

    @rule()
    def start(self) -> None:
        if self.ctx.err() is None and len(self.tasks) < 6:
            self.tasks.append(Modelled(self.ctx))

    @rule(which=which, order=st.sampled_from(["raise", None, 7]))
    def order(self, which: int, order: Any) -> None:
        one = self.one(which)
        if one and one.ended is None:
            one.orders.send(order)
            one.ended = "raised" if order == "raise" else "returned"
            assert one.task.wait(WAIT)
            assert order == "raise" or one.task.result() == order

    @rule(which=which, cause=st.sampled_from([None, "enough"]))
    def cancel(self, which: int, cause: str | None) -> None:
        one = self.one(which)
        if one:
            assert one.task.cancel(cause) == (one.ended is None)
            one.ended = one.ended or "cancelled"
            assert one.task.wait(WAIT)

    @rule(which=which)
    def cancel_future(self, which: int) -> None:
        """It asks the task to stop."""
        one = self.one(which)
        if one:
            one.future.cancel()
            one.ended = one.ended or "cancelled"
            assert one.task.wait(WAIT)

    @rule()
    def cancel_their_context(self) -> None:
        self.cancel_all("all")
        for one in self.tasks:
            one.ended = one.ended or "cancelled"
            assert one.task.wait(WAIT)

    @rule(which=which)
    def add_callback(self, which: int) -> None:
        one = self.one(which)
        if one:
            one.due += 1

            def called(task: gs.Task, one: Modelled = one) -> None:
                assert task == one.task
                one.called += 1

            one.task.add_done_callback(called)

    @rule(which=which)
    def ask(self, which: int) -> None:
        one = self.one(which)
        if not one:
            return
        outcome = Outcome(lambda: one.task.result(timeout=0))
        if one.ended is None:
            assert isinstance(outcome.raised, TimeoutError)
            assert isinstance(Outcome(lambda: one.task.exception(0)).raised, TimeoutError)
        elif one.ended == "returned":
            assert outcome.raised is None and one.task.exception() is None
        elif one.ended == "raised":
            assert isinstance(outcome.raised, KeyError) and one.task.exception() is outcome.raised
        else:
            assert isinstance(outcome.raised, concurrent.futures.CancelledError)
        if one.ended:
            assert eventually(one.future.done)
            assert one.future.cancelled() == (one.ended == "cancelled")

    @invariant()
    def all_is_as_modelled(self) -> None:
        for one in getattr(self, "tasks", []):
            assert one.task.done() == (one.ended is not None)
            assert one.task.cancelled() == (one.ended == "cancelled")
            assert eventually(lambda one=one: one.called == (one.due if one.ended else 0))

    def teardown(self) -> None:
        for one in getattr(self, "tasks", []):
            one.task.cancel()
            one.task.wait(WAIT)
            one.task.exception() if one.ended != "cancelled" and one.ended else None


# ---- groups: a first failure, a cancel from outside, a limit ----


class Groups(RuleBasedStateMachine):
    @initialize(limit=st.sampled_from([None, 1, 2]), outer=st.booleans())
    def make(self, limit: int | None, outer: bool) -> None:
        self.limit = limit
        self.scope = gs.cancel_scope()
        self.scope.__enter__()
        self.group = gs.Group(limit)
        self.group.__enter__()
        self.orders: list[gs.Chan[Any]] = []
        self.failed: list[Any] = []
        self.stopped = False

    @rule()
    def go(self) -> None:
        if self.stopped or (self.limit is not None and len(self.orders) >= self.limit):
            return
        orders: gs.Chan[Any] = gs.Chan()

        def run() -> None:
            order = orders.recv()
            if order is not None:
                raise order

        task = self.group.go(run)
        assert eventually(lambda: task.state == "parked")
        self.orders.append(orders)

    @rule(which=which, fails=st.booleans())
    def end_one(self, which: int, fails: bool) -> None:
        if self.stopped or not self.orders:
            return
        error = KeyError(which) if fails else None
        self.orders.pop(which % len(self.orders)).send(error)
        if error is not None:
            self.failed.append(error)
            self.stopped = True
            assert eventually(lambda: self.group.ctx.err() is not None)
            assert self.group.ctx.cause() is error

    @rule()
    def cancel(self) -> None:
        self.group.cancel("enough")
        self.stopped = True

    @rule()
    def cancel_from_outside(self) -> None:
        self.scope.cancel("outside")
        self.stopped = True

    @invariant()
    def all_is_as_modelled(self) -> None:
        if hasattr(self, "group"):
            assert (self.group.ctx.err() is not None) == self.stopped

    def teardown(self) -> None:
        """Leaving waits for all, and raises what failed, and nothing else."""
        if not hasattr(self, "group"):
            return
        self.group.cancel()
        outside = self.scope.cancelled
        outcome = Outcome(lambda: self.group.__exit__(None, None, None))
        self.scope.__exit__(None, None, None)
        late = Outcome(lambda: self.group.go(lambda: None))
        assert isinstance(late.raised, RuntimeError)
        if isinstance(outcome.raised, ExceptionGroup):
            assert list(outcome.raised.exceptions) == self.failed, outcome
        else:
            assert not self.failed or outside, outcome


for machine in (Semaphores, WaitGroups, Tasks, Groups):
    globals()[f"Test{machine.__name__}"] = machine.TestCase
    machine.TestCase.settings = SETTINGS
