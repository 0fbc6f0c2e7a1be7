"""Leaving well: at SIGTERM a pool of workers gets no more jobs, does those that it has, and the program leaves
with status 0. A second SIGTERM stops what still runs.

    python examples/graceful_exit.py [seconds that a job takes]
"""

import itertools
import signal
import sys

import pygostop as gs

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 0.05


def accept(jobs: gs.Chan[int], term: gs.Context) -> int:
    """Accepts jobs until then; gives how many they were."""
    with jobs:  # closed when this ends: the workers drain it, and end
        for job in itertools.count():
            if gs.select((jobs, job), term).index == 1:
                return job


def work(jobs: gs.Chan[int], did: list[int]) -> None:
    for job in jobs:
        gs.sleep(SECONDS)
        did.append(job)


def main() -> int:
    term, _ = gs.notify_signals(signal.SIGTERM)
    jobs: gs.Chan[int] = gs.Chan(4)
    did: list[int] = []
    with gs.Group() as group:
        accepting = group.go(accept, jobs, term)
        for _ in range(3):
            group.go(work, jobs, did)
        print("ready", flush=True)
        term.done.recv_ok()  # ends too where one of them fails
        again, _ = gs.notify_signals(signal.SIGTERM)
        gs.after_func(again, lambda: group.cancel(again.cause()))
        print(f"leaving: {term.cause()}", flush=True)
    if again.err():
        print("stopped by a second one")
        return 128 + signal.SIGTERM
    print("did", len(did), "of", accepting.result(), "jobs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
