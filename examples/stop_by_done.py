"""The second way: poll a done channel. After 3 s it is closed; the producer sees it and closes its own."""

import pygostop as gs


def produce(ch: gs.Chan[str], done: gs.Chan[None]) -> None:
    while gs.select((ch, "脑子进煎鱼了"), done).index == 0:
        gs.sleep(0.1)
    ch.close()


def close_later(done: gs.Chan[None]) -> None:
    gs.sleep(3)
    done.close()


ch, done = gs.Chan(6, str), gs.Chan()
gs.go(produce, ch, done)
gs.go(close_later, done)

for v in ch:
    print("接收到的值:", v)
print("结束")
