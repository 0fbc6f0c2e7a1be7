"""There is no fourth way. A task is never killed from outside: nobody could say what becomes of its
locks, its memory, its half-written file. It is asked to stop, and it unwinds by itself."""

import pygostop as gs
from pygostop import tasks

print("a Task has a kill:", hasattr(gs.Task, "kill"))

spin = gs.go(tasks.spin, 60)  # looks at every round whether it is to stop
gs.sleep(0.1)
print("asked to stop:", spin.cancel(), "- stopped within a second:", spin.wait(1), "-", spin)

hog = gs.go(tasks.hog, 1.5)  # never looks
gs.sleep(0.1)
print("asked to stop:", hog.cancel(), "- stopped within half a second:", hog.wait(0.5), "-", hog)
hog.wait()
print("it ended when it was through:", hog)
