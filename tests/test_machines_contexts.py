"""Contexts and scopes against a model: who is done, why, and whose the cancel is."""

from __future__ import annotations

import math
from typing import Any

import pygostop as gs
from machines import SETTINGS, Outcome
from support import eventually
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

# ---- contexts ----


class Node:
    """A context as the model has it."""

    def __init__(self, ctx: gs.Context, parents: list[Node], cancel: Any = None) -> None:
        self.ctx = ctx
        self.parents = parents
        self.cancel = cancel
        self.detached = False
        """Cancelling stops here: its parents give values only."""
        self.pair: tuple[str, int] | None = None
        self.deadline = math.inf
        self.error: type[BaseException] | None = None
        self.causes: list[Any] = []
        """Any of these; more than one where several parents were done when it was made."""
        self.funcs: list[Func] = []

    def inherit(self) -> None:
        done = [p for p in self.parents if p.error and not self.detached]
        if done:
            self.error = done[0].error
            self.causes = [cause for p in done for cause in p.causes]

    def value(self, key: str) -> Any:
        if self.pair and self.pair[0] == key:
            return self.pair[1]
        return self.parents[0].value(key) if self.parents else "default"

    def least_deadline(self) -> float:
        above = [] if self.detached else [p.least_deadline() for p in self.parents]
        return min([self.deadline, *above])


class Func:
    """Something that is to run after a context."""

    def __init__(self) -> None:
        self.runs = 0
        self.stopped = False
        self.stop: Any = None

    def __call__(self) -> None:
        self.runs += 1


which = st.integers(0, 30)


class Contexts(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.nodes = [Node(gs.background(), [])]

    def node(self, which: int) -> Node:
        return self.nodes[which % len(self.nodes)]

    def add(self, node: Node) -> None:
        node.inherit()
        self.nodes.append(node)

    @rule(parent=which)
    def with_cancel(self, parent: int) -> None:
        at = self.node(parent)
        self.add(Node(*_swapped(gs.with_cancel(at.ctx), at)))

    @rule(parent=which, seconds=st.sampled_from([1000, 2000.5, None, math.inf, 0]))
    def with_timeout(self, parent: int, seconds: float | None) -> None:
        at = self.node(parent)
        node = Node(*_swapped(gs.with_timeout(at.ctx, seconds), at))
        node.deadline = math.inf if seconds is None else node.ctx.deadline or math.inf
        self.add(node)
        if seconds == 0 and node.error is None:
            self.mark(node, gs.DeadlineExceeded, None)
            assert eventually(lambda: node.ctx.err() is not None)

    @rule(parent=which, key=st.sampled_from("ab"), value=st.integers())
    def with_value(self, parent: int, key: str, value: int) -> None:
        at = self.node(parent)
        node = Node(gs.with_value(at.ctx, key, value), [at])
        node.pair = (key, value)
        self.add(node)

    @rule(parent=which)
    def without_cancel(self, parent: int) -> None:
        at = self.node(parent)
        node = Node(gs.without_cancel(at.ctx), [at])
        node.detached = True
        self.add(node)

    @rule(parents=st.lists(which, min_size=1, max_size=3))
    def merge(self, parents: list[int]) -> None:
        at = [self.node(parent) for parent in parents]
        ctx, cancel = gs.merge(*(node.ctx for node in at))
        self.add(Node(ctx, at, cancel))

    @rule(of=which)
    def after_func(self, of: int) -> None:
        node, func = self.node(of), Func()
        func.stop = gs.after_func(node.ctx, func)
        node.funcs.append(func)

    @rule(of=which, which=which)
    def stop(self, of: int, which: int) -> None:
        node = self.node(of)
        if node.funcs:
            func = node.funcs[which % len(node.funcs)]
            prevented = func.stop()
            # Where it is due it may not have begun: then it is still prevented.
            assert prevented == (not func.stopped) if node.error is None else not prevented or (
                not func.stopped and func.runs == 0
            )
            func.stopped |= prevented

    @rule(which=which, cause=st.none() | st.text(min_size=1) | st.just(KeyError("why")))
    def cancel(self, which: int, cause: Any) -> None:
        node = self.node(which)
        if node.cancel:
            node.cancel(cause)
            self.mark(node, gs.Cancelled, cause)

    def mark(self, node: Node, error: type[BaseException], cause: Any) -> None:
        """It and all below it are done now, with this cause, but for those that were already."""
        if node.error is not None:
            return
        node.error, node.causes = error, [cause]
        for other in self.nodes:
            if node in other.parents and not other.detached:
                self.mark(other, error, cause)

    @rule()
    def funcs_run_once(self) -> None:
        for node in self.nodes:
            for func in node.funcs:
                due = node.error is not None and not func.stopped
                assert eventually(lambda func=func, due=due: func.runs == due)

    @invariant()
    def all_is_as_modelled(self) -> None:
        for node in getattr(self, "nodes", []):
            error, ctx = node.ctx.err(), node.ctx
            assert (type(error) if error else None) is node.error, (node.error, error)
            assert ctx.done.closed == (node.error is not None)
            assert (gs.select(ctx, nowait=True).index == 0) == (node.error is not None)
            for key in "ab":
                assert ctx.value(key, "default") == node.value(key)
            least = node.least_deadline()
            assert (ctx.deadline or math.inf) == least, (ctx.deadline, least)
            if node.error is None:
                assert ctx.cause() is None
                ctx.check()
                continue
            assert any(_is_cause(ctx.cause(), cause, node.error) for cause in node.causes)
            assert isinstance(Outcome(ctx.check).raised, gs.Cancelled)

    def teardown(self) -> None:
        for node in getattr(self, "nodes", []):
            if node.cancel:
                node.cancel()


def _swapped(made: tuple[gs.Context, gs.Cancel], parent: Node) -> tuple[gs.Context, list[Node], Any]:
    return made[0], [parent], made[1]


def _is_cause(got: BaseException | None, given: Any, error: type[BaseException]) -> bool:
    if given is None:
        return type(got) is error
    if isinstance(given, str):
        return type(got) is gs.Error and str(got) == given
    return got is given


# ---- scopes ----


class Block:
    """A scope as the model has it."""

    def __init__(self, kind: str, scope: Any) -> None:
        self.kind = kind
        self.scope = scope
        self.ended = kind.endswith("0")


class Scopes(RuleBasedStateMachine):
    """Blocks entered and left by hand; where one is done, a checkpoint leaves up to it."""

    @initialize()
    def make(self) -> None:
        self.blocks: list[Block] = []

    @rule(kind=st.sampled_from(["timeout", "timeout0", "move_on", "move_on0", "cancel", "shield"]))
    def enter(self, kind: str) -> None:
        if len(self.blocks) >= 8:
            return
        seconds = 0 if kind.endswith("0") else 1000
        makers: dict[str, Any] = {
            "timeout": lambda: gs.timeout(seconds),
            "move_on": lambda: gs.move_on_after(seconds),
            "cancel": gs.cancel_scope,
            "shield": gs.shield,
        }
        scope = makers[kind.rstrip("0")]()
        scope.__enter__()
        self.blocks.append(Block(kind, scope))
        if seconds == 0:
            assert eventually(lambda: scope.ctx.err() is not None)

    @rule(which=which)
    def cancel(self, which: int) -> None:
        named = [b for b in self.blocks if b.kind == "cancel"]
        if named:
            block = named[which % len(named)]
            block.scope.cancel("enough")
            block.ended = True

    def in_force(self) -> list[Block]:
        """Those that a checkpoint observes: none outside the innermost shield."""
        shields = [i for i, block in enumerate(self.blocks) if block.kind == "shield"]
        return self.blocks[shields[-1] + 1 :] if shields else self.blocks

    @rule(how=st.integers(0, 2))
    def checkpoint(self, how: int) -> None:
        """Raises where one in force is done, and leaves the blocks up to the outermost such one."""
        calls = (gs.checkpoint, lambda: gs.sleep(0), lambda: gs.Chan(1).send(1))
        outcome = Outcome(calls[how])
        done = [block for block in self.in_force() if block.ended]
        assert (outcome.raised is not None) == bool(done), (outcome, done)
        if outcome.raised is None:
            return
        assert isinstance(outcome.raised, gs.Cancelled)
        passing: BaseException | None = outcome.raised
        while passing is not None:
            block = self.blocks.pop()
            outer = any(b.ended for b in self.in_force())
            try:
                if block.scope.__exit__(type(passing), passing, passing.__traceback__):
                    passing = None
            except gs.DeadlineExceeded as error:
                assert block.kind.startswith("timeout") and block.ended and not outer
                assert error.__cause__ is None or isinstance(error.__cause__, BaseException)
                return
            if passing is None:
                assert block.ended and block.kind in ("move_on0", "cancel") and not outer
            else:
                assert not block.ended or outer, block.kind

    @rule()
    def leave(self) -> None:
        """What did not notice ends as it would have."""
        if self.blocks:
            block = self.blocks.pop()
            assert not block.scope.__exit__(None, None, None)

    @invariant()
    def all_is_as_modelled(self) -> None:
        done = False
        for block in getattr(self, "blocks", []):
            done = (done and block.kind != "shield") or block.ended
            assert (block.scope.ctx.err() is not None) == done, block.kind

    def teardown(self) -> None:
        while getattr(self, "blocks", []):
            self.blocks.pop().scope.__exit__(None, None, None)


TestContexts = Contexts.TestCase
TestContexts.settings = SETTINGS
TestScopes = Scopes.TestCase
TestScopes.settings = SETTINGS
