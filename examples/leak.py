"""Leaks, made visible, and stopped: a C task sends for ever into a channel that nobody reads, and a Python
task reads one that nobody closes."""

import pygostop as gs
from pygostop import tasks

ch = gs.Chan(6, str)
producer = gs.go(tasks.repeat, ch, "脑子进煎鱼了", 0.01)
consumer = gs.go(list, gs.Chan(), name="consumer")
gs.sleep(1)
print("leaked: ", producer)  # it has filled the channel, and is parked in a send that never ends
print("leaked: ", consumer)
print("channel:", ch)

for task in (producer, consumer):
    task.cancel()
    task.wait()
    print("stopped:", task)
print("left:   ", gs.all_tasks())
print(list(ch))  # what it had sent is still there; as it ended it closed the channel
