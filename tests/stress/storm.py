"""Everything at once: Python tasks, C tasks, threads and coroutines send and receive, while their scopes
are cancelled, their time runs out and their channels are closed. No value is lost or comes twice.

    python tests/stress/storm.py --seconds 60 [--seed N]

A value counts as sent where the send returned, and as received where the receive did; what lies in a
channel at the end is received then. Each round has its own seed, which is printed where it fails.
Memory and descriptors are measured at each round's end.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
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

    # ---- the round ----

    def end(self) -> None:
        self.over.set()
        for ch in self.channels:
            ch.close()

    def loop(self, seed: int) -> None:
        async def main() -> None:
            sides: list[Any] = [self.send_async(self.values(), seed + n) for n in range(3)]
            sides += [self.receive_async(seed + 10 + n) for n in range(3)]
            await asyncio.gather(*sides)

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
        for _ in range(4):
            out = gs.Chan(self.rng.choice([0, 16]), int)
            # Neither is a victim by itself: a task that never began closes nothing.
            group.go(gs.tasks.count, out, 0, 1000)
            group.go(self.counted_in_order, out)
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


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    rounds = values = 0
    marks: list[tuple[int, int]] = []
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
        marks.append((resident(), len(os.listdir("/proc/self/fd"))))
    left = gs.all_tasks()
    warm = marks[len(marks) // 3]
    print(
        f"storm: {rounds} rounds, {values} values, all accounted for; since a third of the way memory grew "
        f"by {(marks[-1][0] - warm[0]) / 1024:.0f} KiB, descriptors by {marks[-1][1] - warm[1]}; "
        f"{len(left)} tasks left"
    )
    return 1 if left or marks[-1][1] > warm[1] + 2 else 0


if __name__ == "__main__":
    sys.exit(main())
