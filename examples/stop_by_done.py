"""The second way: poll a done channel. After 3 s it is closed; the producer sees it and closes its own."""

import threading

import pygostop as gs


def produce(ch: gs.Chan[str], done: gs.Chan[None]) -> None:
    while gs.select((ch, "脑子进煎鱼了"), done).index == 0:
        gs.sleep(0.1)
    ch.close()


ch, done = gs.Chan(6, str), gs.Chan()
threading.Thread(target=produce, args=(ch, done)).start()
threading.Timer(3, done.close).start()

for v in ch:
    print("接收到的值:", v)
print("结束")
