"""A leak, made visible, and stopped: a C task sends for ever into a channel that nobody reads."""

import pygostop as gs
from pygostop import tasks

ch = gs.Chan(6, str)
producer = gs.go(tasks.repeat, ch, "脑子进煎鱼了", 0.05)
gs.sleep(0.6)
print("leaked: ", producer)  # it has filled the channel, and is parked in a send that never ends
print("channel:", ch)

producer.cancel()
producer.wait()
print("stopped:", producer)
print("left:   ", gs.all_tasks())
print(list(ch))  # what it had sent is still there; as it ended it closed the channel
