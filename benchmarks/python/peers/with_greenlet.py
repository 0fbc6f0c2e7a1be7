"""greenlet: bare switches, without a scheduler, a queue, a wait or a cancel. The floor for gevent's way."""

from __future__ import annotations

import measure
from greenlet import getcurrent, greenlet
from measure import now, resident


def nothing():
    pass


def spawn(n):
    start = now()
    for _ in range(n):
        greenlet(nothing).switch()
    return now() - start


def give_way(n):
    """Each switch is one: from here there, or back."""
    here = getcurrent()

    def work():
        while True:
            here.switch()

    switch = greenlet(work).switch
    start = now()
    for _ in range(n // 2):
        switch()
    return now() - start


def round_trip(n):
    here = getcurrent()

    def echo(value):
        while True:
            value = here.switch(value)

    switch = greenlet(echo).switch
    start = now()
    for i in range(n):
        switch(i)
    return now() - start


def memory(n):
    here = getcurrent()

    def start(count):
        parked = [greenlet(here.switch) for _ in range(count)]
        for one in parked:
            one.switch()
        return parked

    parked = start(1)
    before = resident()
    parked += start(n)
    return resident() - before


if __name__ == "__main__":
    measure.main({"spawn": spawn, "yield": give_way, "round_trip": round_trip, "memory": memory},
                 lambda row, n: row(n))
