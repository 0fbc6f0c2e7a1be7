"""A program that does everything, for moments.py to interrupt, to have forked and to have left at any moment.

    python tests/stress/busy.py WHAT SEED SPAN

WHAT is signal, fork or exit; what happens of its own doing happens within SPAN seconds. It says "ready"
when the moment may come, with how it will leave, and "accounted" where every value was, after the moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pygostop as gs
from storm import Round

HANGS = 100.0  # seconds: long after anything has ended; every stack is printed on SIGUSR2


def ready(how: str = "") -> None:
    faulthandler.register(signal.SIGUSR2)
    print("ready", how, flush=True)


def accounted() -> None:
    print("accounted", flush=True)


# ---- a signal ----


def be_interrupted(one: Round) -> None:
    """Ctrl-C comes from outside. Where it ends the work, the values are counted all the same."""
    ready()
    try:
        one.work()
    except KeyboardInterrupt:
        one.end()
        if not one.threads or not all(thread.ident for thread in one.threads):
            raise  # before all had begun
        left = [task for task in one.tasks if not task.done()]
        if left:
            raise AssertionError(f"Ctrl-C left {left}") from None
    one.settle()
    accounted()


# ---- fork ----


def use_afresh(*, loop: bool) -> None:
    """A bit of everything, in a forked child."""
    out: gs.Chan[int] = gs.Chan(2, int)
    back: gs.Chan[Any] = gs.Chan()
    with gs.Group() as group:
        group.go(gs.tasks.count, out, 0, 100)
        group.go(lambda: [back.send(value) for value in out])
        assert [back.recv() for _ in range(100)] == list(range(100))
        stuck = group.go(back.recv)
        stuck.cancel("no more")
    assert stuck.cancelled()
    with gs.move_on_after(0.001) as scope:
        gs.select(back, scope.ctx.done)
    told: gs.Chan[int] = gs.Chan(1)
    gs.after_func(scope.ctx, lambda: told.send(1))
    assert told.recv(timeout=HANGS) == 1
    with gs.Ticker(0.0001) as ticker:
        ticker.chan.recv(timeout=HANGS)
    if loop:
        asyncio.run(told.send_async(2))
        assert told.recv() == 2
    assert not gs.all_tasks()


def fork_and_use(leave: Callable[[int], Any], *, loop: bool = False) -> None:
    """The child leaves by `leave`, which does not return there; the parent sees to its end."""
    child = os.fork()
    if child == 0:
        try:
            use_afresh(loop=loop)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
        leave(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise AssertionError(f"the child ended with {status}")


def fork_in_a_task() -> None:
    """Nothing but what it is for: a child of it goes on as another program, or ends."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def fork_somewhere(one: Round, rng: random.Random, span: float) -> None:
    delay = rng.uniform(0, span)
    ready()
    how = rng.choice(["handler", "handler", "thread", "task", "main"])
    if how == "handler":
        # In the midst of whatever the main thread does.
        signal.signal(signal.SIGALRM, lambda *_: fork_and_use(os._exit))
        signal.setitimer(signal.ITIMER_REAL, max(delay, 1e-6))
        one.run()
        time.sleep(delay)  # it interrupts this at the latest
    elif how == "main":
        working = threading.Thread(target=one.guarded, args=(one.run,))
        working.start()
        gs.sleep(delay)
        fork_and_use(sys.exit, loop=True)
        working.join()
    else:

        def fork() -> None:
            gs.sleep(delay)
            if how == "task":
                fork_in_a_task()
            else:
                fork_and_use(os._exit)

        if how == "task":
            task = gs.go(fork)
            one.run()
            task.result()
        else:
            forking = threading.Thread(target=one.guarded, args=(fork,))
            forking.start()
            one.run()
            forking.join()
    if one.surprises:
        raise BaseExceptionGroup("the fork", one.surprises)
    accounted()


# ---- exit ----


class Leaving(Exception):
    """How it leaves by an exception."""


@contextlib.contextmanager
def in_blocks(rng: random.Random, one: Round) -> Iterator[None]:
    """Something, or nothing, to leave on the way out."""
    which = rng.randrange(4)
    if which == 1:
        with gs.timeout(1000):
            yield
    elif which == 2:
        with gs.Group() as group:
            one.victims(group)
            yield
            group.cancel("the end")  # nobody else ends them
    elif which == 3:
        with gs.cancel_scope(), gs.Ticker(0.001):
            yield
    else:
        yield


def leave(how: str) -> None:
    if how == "sys.exit":
        sys.exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "exception":
        raise Leaving("on purpose")


def leave_somewhere(one: Round, rng: random.Random, span: float) -> None:
    """The work goes on in daemon threads, in tasks and here; nobody ends it."""
    delay = rng.uniform(0, span)
    how = rng.choice(["sys.exit", "kill", "end", "exception"])
    gs.configure(grace=HANGS)
    ready(how)
    seed = rng.randrange(1 << 30)
    for work in (
        lambda: one.send(range(1 << 40), seed),
        lambda: one.receive(seed + 1),
        lambda: one.loop(seed + 2),
    ):
        threading.Thread(target=one.guarded, args=(work,), daemon=True).start()
    tasks = [gs.go(one.send, range(n << 41, 1 << 50), seed + n) for n in range(1, 6)]
    tasks += [gs.go(one.receive, seed + n) for n in range(6, 10)]
    counted: gs.Chan[int] = gs.Chan(8, int)
    tasks += [gs.go(gs.tasks.spin, 1000.0), gs.go(gs.tasks.count, counted, 0, 1 << 40)]
    tasks += [gs.go(one.counted_in_order, counted)]
    gs.after_func(gs.background(), lambda: None)
    end = time.monotonic() + delay
    if rng.random() < 0.5:  # in the midst of whatever the main thread does
        signal.signal(signal.SIGALRM, lambda *_: leave(how) if how != "end" else None)
        signal.setitimer(signal.ITIMER_REAL, max(delay, 1e-6))
        end += HANGS * (how != "end")
    with in_blocks(rng, one):
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                gs.select(*one.channels, timeout=rng.choice([0.0001, 0.001, 0.01]))
    leave(how)


def main() -> None:
    what, seed, span = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    rng = random.Random(seed)
    one = Round(seed)
    if what == "signal":
        be_interrupted(one)
    elif what == "fork":
        fork_somewhere(one, rng, span)
    else:
        leave_somewhere(one, rng, span)


if __name__ == "__main__":
    main()
