"""The first way: close the channel. It ends the comma-ok loop, the for loop, and a C task that sends."""

import pygostop as gs
from pygostop import tasks


def comma_ok(ch: gs.Chan[str]) -> None:
    while True:
        v, ok = ch.recv_ok()
        if not ok:
            print("结束")
            return
        print(v)


def ranging(ch: gs.Chan[str]) -> None:
    for v in ch:
        print(v)
    print("结束")


for reader in comma_ok, ranging:
    ch = gs.Chan(6, str)
    reading = gs.go(reader, ch)  # a Python task
    ch.send("煎鱼还没进锅里...")
    ch.send("煎鱼进脑子里了！")
    ch.close()
    reading.result()

numbers = gs.Chan(type=int)
primes = gs.go(tasks.primes, numbers, 10**15)  # a C task
print([numbers.recv() for _ in range(6)])
numbers.close()  # the C task's send fails, and it returns
primes.result()
print("结束", primes)
