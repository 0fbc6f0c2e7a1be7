"""How the cost of Python tasks grows, for ../growth.py:

    python growth.py ROW SAMPLES SIZE

prints one line `value X` a sample: what one of SIZE cost, in ns of the processor's time, of all threads, or in
bytes.
"""

from __future__ import annotations

import gc
import pathlib
import sys
from collections.abc import Callable
from time import process_time_ns as spent

sys.path.insert(0, str(pathlib.Path(__file__).parent / "peers"))

import pygostop as gs
from measure import expect
from with_pygostop import memory


def nothing() -> None:
    pass


def parked(n: int, wait: Callable[[], object], ctx: gs.Context | None = None) -> list[gs.Task]:
    """So many tasks that wait."""
    began = [0]

    def begin() -> object:
        began[0] += 1
        return wait()

    tasks = [gs.go(begin, ctx=ctx) for _ in range(n)]
    while began[0] < n:
        gs.checkpoint()
    return tasks


def spawn(n: int) -> int:
    begun = spent()
    for task in [gs.go(nothing) for _ in range(n)]:
        task.result()
    return spent() - begun


def served(n: int) -> int:
    ch: gs.Chan[int] = gs.Chan()
    tasks = parked(n, ch.recv)
    begun = spent()
    for i in range(n):
        ch.send(i)
    expect(sum(task.result() for task in tasks), n * (n - 1) // 2)
    return spent() - begun


def closed(n: int) -> int:
    ch: gs.Chan[int] = gs.Chan()
    tasks = parked(n, lambda: list(ch))
    begun = spent()
    ch.close()
    for task in tasks:
        task.result()
    return spent() - begun


def cancelled(n: int) -> int:
    never: gs.Chan[None] = gs.Chan()
    ctx, cancel = gs.with_cancel(gs.background())
    tasks = parked(n, never.recv, ctx)
    begun = spent()
    cancel()
    for task in tasks:
        task.wait()
    return spent() - begun


def grouped(n: int) -> int:
    begun = spent()
    with gs.Group() as group:
        for _ in range(n):
            group.go(nothing)
    return spent() - begun


def buffered(n: int) -> int:
    ch: gs.Chan[int] = gs.Chan(n)
    begun = spent()
    for i in range(n):
        ch.send(i)
    for _ in range(n):
        ch.recv()
    return spent() - begun


def selected(n: int) -> int:
    """Of n channels the first that is ready may be any."""
    channels: list[gs.Chan[int]] = [gs.Chan(1) for _ in range(n)]
    begun = spent()
    for i in range(100):
        channels[i * 7919 % n].send(i)
        expect(gs.select(*channels).value, i)
    return (spent() - begun) // 100


def timed(n: int) -> int:
    begun = spent()
    cancels = [gs.with_timeout(gs.background(), 1000 + i % 97)[1] for i in range(n)]
    for cancel in cancels:
        cancel()
    return spent() - begun


ROWS: dict[str, Callable[[int], float]] = {
    "python_spawn": spawn, "python_memory": memory, "python_served": served, "python_closed": closed,
    "python_cancelled": cancelled, "python_grouped": grouped, "python_buffered": buffered,
    "python_selected": selected, "python_timed": timed}


def main() -> None:
    name, samples, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for _ in range(samples):
        gc.collect()
        print("value", gs.go(ROWS[name], size).result() / size)


if __name__ == "__main__":
    main()
