"""There is no fourth way. A task is never killed from outside: nobody could say what becomes of its
locks, its memory, its half-written file. It is asked to stop, and it unwinds by itself."""

import time

import pygostop as gs
from pygostop import tasks

print("a Task has a kill:", hasattr(gs.Task, "kill"))

for fn in tasks.spin, gs.sleep:  # in C and in Python: both look whether they are to stop
    task = gs.go(fn, 60)
    gs.sleep(0.1)
    print("asked to stop:", task.cancel(), "- stopped:", task.wait(10), "-", task)

for fn in tasks.hog, time.sleep:  # neither looks
    task = gs.go(fn, 2)
    gs.sleep(0.1)
    print("asked to stop:", task.cancel(), "- stopped within half a second:", task.wait(0.5), "-", task)
    task.wait()
    print("it ended when it was through:", task)
