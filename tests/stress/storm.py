"""Everything at once: Python tasks, C tasks, threads and coroutines send and receive, while their scopes
are cancelled, their time runs out and their channels are closed. No value is lost or comes twice.

    python tests/stress/storm.py --seconds 60 [--seed N]
    python tests/stress/storm.py --soak

A value counts as sent where the send returned, and as received where the receive did; what lies in a
channel at the end is received then. Each round has its own seed, which is printed where it fails.
With --soak memory, threads and descriptors, measured at each round's end, must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pygostop as gs

SENDS = 300  # of one sender in one round
STOPPED = (TimeoutError, gs.WouldBlock, gs.DeadlineExceeded)


class Tally:
    """How many values passed, and a sum and a mix of them: the same for the same set of values."""

    def __init__(self) -> None:
        self.count = self.sum = self.mix = 0

    def add(self, value: int) -> None:
        self.count += 1
        self.sum += value
        self.mix ^= hash((value, 0x9E3779B9))

    def merge(self, other: Tally) -> None:
        self.count += other.count
        self.sum += other.sum
        self.mix ^= other.mix

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"{self.count} values (sum {self.sum:#x}, mix {self.mix:#x})"


class Round:
    """One storm, from the making of its channels to the count of its values."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.channels: list[gs.Chan[Any]] = [
            gs.Chan(self.rng.choice([0, 0, 1, 8, 64]), self.rng.choice([object, int]))
            for _ in range(4)
        ]
        self.sent, self.received = Tally(), Tally()
        self.lock = threading.Lock()
        self.next = 0
        self.over = threading.Event()
        self.surprises: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self.tasks: list[gs.Task] = []  # of the round's group, not those that tasks and threads start

    # ---- who takes part ----

    def values(self) -> range:
        first = self.next
        self.next += SENDS
        return range(first, self.next)

    def account(self, tally: Tally, total: Tally) -> None:
        with self.lock:  # held for three additions, and across no call that parks
            total.merge(tally)

    def pause(self, rng: random.Random) -> float:
        return rng.choice([0, 0.0001, 0.001, 0.01])

    def send(self, values: range, seed: int) -> None:
        rng, tally = random.Random(seed), Tally()
        try:
            for value in values:
                ch = rng.choice(self.channels)
                try:
                    with gs.move_on_after(rng.choice([None, self.pause(rng)])):
                        how = rng.randrange(4)
                        if how == 0:
                            ch.send(value)
                        elif how == 1:
                            ch.send(value, timeout=self.pause(rng))
                        elif how == 2:
                            ch.send_nowait(value)
                        else:
                            gs.select((ch, value), timeout=self.pause(rng))
                        tally.add(value)
                except STOPPED:
                    continue
        except gs.ChannelClosed:
            pass
        finally:
            self.account(tally, self.sent)

    def receive(self, seed: int) -> None:
        rng, tally = random.Random(seed), Tally()
        try:
            while not self.over.is_set():
                try:
                    with gs.move_on_after(rng.choice([None, self.pause(rng)])):
                        how = rng.randrange(4)
                        if how == 0:
                            tally.add(rng.choice(self.channels).recv(timeout=0.01))
                        elif how == 1:
                            tally.add(rng.choice(self.channels).recv_nowait())
                        elif how == 2:
                            for value in rng.choice(self.channels).recv_many(8, timeout=0.01):
                                tally.add(value)
                        else:
                            chosen = gs.select(*rng.sample(self.channels, 3), timeout=0.01)
                            if chosen.ok:
                                tally.add(chosen.value)
                            else:
                                return
                except STOPPED:
                    gs.checkpoint()
        except gs.ChannelClosed:
            pass
        finally:
            self.account(tally, self.received)

    async def send_async(self, values: range, seed: int) -> None:
        rng, tally = random.Random(seed), Tally()
        try:
            for value in values:
                try:
                    async with asyncio.timeout(rng.choice([None, self.pause(rng)])):
                        await rng.choice(self.channels).send_async(value)
                        tally.add(value)
                except TimeoutError:
                    continue
        except gs.ChannelClosed:
            pass
        finally:
            self.account(tally, self.sent)

    async def receive_async(self, seed: int) -> None:
        rng, tally = random.Random(seed), Tally()
        try:
            while not self.over.is_set():
                try:
                    if rng.random() < 0.5:
                        async with asyncio.timeout(self.pause(rng)):
                            tally.add(await rng.choice(self.channels).recv_async())
                    else:
                        chosen = await gs.select_async(*self.channels, timeout=0.01)
                        if chosen.ok:
                            tally.add(chosen.value)
                        else:
                            return
                except TimeoutError:
                    await asyncio.sleep(0)
        except gs.ChannelClosed:
            pass
        finally:
            self.account(tally, self.received)

    def chores(self, seed: int) -> None:
        """What needs no channel of the round: contexts, callbacks, tickers, locks, groups that fail."""
        rng = random.Random(seed)
        inside = 0
        lock, places, told = gs.Lock(), gs.Semaphore(2), gs.WaitGroup()

        def guarded_by_lock() -> None:
            nonlocal inside
            with places, lock:
                inside += 1
                try:
                    gs.sleep(self.pause(rng) / 10)
                finally:
                    inside -= 1
                    if inside:
                        raise AssertionError(f"{inside} more hold the lock")

        def fail() -> None:
            raise KeyError(seed)

        for _ in range(5):
            ctx, cancel = gs.with_timeout(gs.background(), 0.001)
            told.add(1)
            gs.after_func(ctx, told.done)
            if rng.random() < 0.5:
                cancel()
            with gs.Group(limit=3) as group:
                for _ in range(4):
                    group.go(guarded_by_lock)
            try:
                # Shielded: a cancel from outside passes over failures, which are then nobody's.
                with gs.shield(), gs.Group() as group:
                    group.go(gs.sleep, None)
                    group.go(fail)
            except* KeyError:
                pass
            with gs.Ticker(0.001) as ticker:
                ticker.chan.recv()
            if gs.blocking(lambda: threading.get_ident()) == threading.get_ident():
                raise AssertionError("blocking() blocked its own thread")
            told.wait()

    async def group_async(self, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(5):
            async with gs.Group() as group:
                sleeper = group.go(gs.sleep, None)
                if await group.go(rng.random) >= 1:
                    raise AssertionError("random() gave 1")
                sleeper.cancel()

    # ---- the round ----

    def end(self) -> None:
        self.over.set()
        for ch in self.channels:
            ch.close()

    def loop(self, seed: int) -> None:
        async def main() -> None:
            sides: list[Any] = [self.send_async(self.values(), seed + n) for n in range(3)]
            sides += [self.receive_async(seed + 10 + n) for n in range(3)]
            await asyncio.gather(self.group_async(seed), *sides)

        asyncio.run(main())

    def guarded(self, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except BaseException as error:
            self.surprises.append(error)

    def counted_in_order(self, out: gs.Chan[int]) -> None:
        for expected, value in enumerate(out):
            if value != expected:
                raise AssertionError(f"the C task counted {value} after {expected - 1}")

    def victims(self, group: gs.Group) -> list[gs.Task]:
        seed = self.rng.randrange(1 << 30)
        tasks = [group.go(self.send, self.values(), seed + n) for n in range(8)]
        tasks += [group.go(self.receive, seed + 100 + n) for n in range(8)]
        tasks += [group.go(self.send, self.values(), seed + 200, thread=True)]
        tasks += [group.go(self.chores, seed + 300 + n) for n in range(2)]
        for _ in range(4):
            out = gs.Chan(self.rng.choice([0, 16]), int)
            # Neither is a victim by itself: a task that never began closes nothing.
            self.tasks += [group.go(gs.tasks.count, out, 0, 1000), group.go(self.counted_in_order, out)]
        self.tasks += tasks
        return tasks

    def work(self) -> None:
        """Until all have had their turn; what raises here leaves the threads to settle()."""
        seed = self.rng.randrange(1 << 30)
        self.threads = [
            threading.Thread(target=self.guarded, args=(self.send, self.values(), seed)),
            threading.Thread(target=self.guarded, args=(self.receive, seed + 1)),
            threading.Thread(target=self.guarded, args=(self.loop, seed + 2)),
        ]
        for thread in self.threads:
            thread.start()
        with gs.Group() as group:
            victims = self.victims(group)
            for _ in range(self.rng.randrange(20)):
                gs.sleep(self.pause(self.rng))
                self.rng.choice(victims).cancel()
            gs.sleep(0.05)
            if self.rng.random() < 0.3:
                self.rng.choice(self.channels).close()
            if self.rng.random() < 0.3:
                group.cancel("the storm is over")
            self.end()

    def settle(self) -> None:
        """Ends it, and compares what was sent with what was received."""
        self.end()
        for thread in self.threads:
            thread.join()
        for ch in self.channels:
            for value in ch:
                self.received.add(value)
        if self.surprises:
            raise BaseExceptionGroup("threads", self.surprises)
        if self.sent != self.received:
            raise AssertionError(f"sent {self.sent}, received {self.received}")

    def run(self) -> None:
        try:
            self.work()
        finally:
            self.settle()


# ---- what it leaves behind ----

# How much may be added, by a straight line through the second half of all marks. In ten minutes a leak of
# ten bytes a value adds more, and of a thread or a descriptor every few hundred rounds. One worker more,
# which a busy machine makes the runtime start, is less.
MAY_GROW = {"memory": 2 << 20, "threads": 1.5, "descriptors": 0.5}


def marks_now() -> tuple[float, ...]:
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return (
        time.monotonic(),
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir("/proc/self/task")),
        len(os.listdir("/proc/self/fd")),
    )


def growth(marks: list[tuple[float, ...]]) -> dict[str, float]:
    """Of each, over the second half of the marks, by the line of least squares."""
    half = marks[len(marks) // 2 :]
    times = [mark[0] for mark in half]
    if len(half) < 3:
        raise ValueError("a soak needs more rounds than that")
    return {
        name: statistics.linear_regression(times, [mark[n] for mark in half]).slope
        * (times[-1] - times[0])
        for n, name in enumerate(MAY_GROW, start=1)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, help="60; 600 with --soak")
    parser.add_argument("--soak", action="store_true", help="fail where memory, threads or descriptors grow")
    parser.add_argument("--memory", type=float, default=2, help="MiB that --soak lets memory grow by")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    MAY_GROW["memory"] = int(args.memory * (1 << 20))
    end = time.monotonic() + (args.seconds or (600 if args.soak else 60))
    rounds = values = 0
    marks: list[tuple[float, ...]] = []
    while time.monotonic() < end:
        seed = args.seed + rounds
        one = Round(seed)
        try:
            one.run()
        except BaseException:
            print(f"storm: failed with --seed {seed}", file=sys.stderr)
            raise
        rounds += 1
        values += one.received.count
        del one
        gc.collect()
        marks.append(marks_now())
    left = gs.all_tasks()
    print(f"storm: {rounds} rounds, {values} values, all accounted for; {len(left)} tasks left")
    if not args.soak:
        return 1 if left else 0
    grown = growth(marks)
    for name, added in grown.items():
        print(f"storm: {name} {added:+.6g} over the second half, may be {MAY_GROW[name]:+.6g}")
    return 1 if left or any(added > MAY_GROW[name] for name, added in grown.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
