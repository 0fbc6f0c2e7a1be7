"""The third way: a context. The loop looks at it every 500 ms and says on a channel that it has ended."""

import pygostop as gs


def work(ctx: gs.Context, ended: gs.Chan[None]) -> None:
    while gs.select(ctx.done, nowait=True).index != 0:
        print("煎鱼还没进锅里...")
        gs.sleep(0.5)
    ended.send(None)


def cancel_later(cancel: gs.Cancel) -> None:
    gs.sleep(3)
    cancel()


ended = gs.Chan()

ctx, cancel = gs.with_cancel(gs.background())
gs.go(work, ctx, ended)
gs.go(cancel_later, cancel)
ended.recv()
print("结束", repr(ctx.err()))

ctx, cancel = gs.with_timeout(gs.background(), 3)  # the same, without the timer
gs.go(work, ctx, ended)
ended.recv()
print("结束", repr(ctx.err()))
