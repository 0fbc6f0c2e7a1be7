"""pygostop: C tasks that Python starts."""

from __future__ import annotations

import asyncio
import os

import measure
import pygostop as gs
from measure import JOBS, expect, now
from pygostop.digest import file_sums

ECHO = """
#include <pygostop.h>

GS_TASK(echo)
{
    gs_chan *there = gs_arg_chan(call, 0, GS_INT64), *back = gs_arg_chan(call, 1, GS_INT64);
    int64_t v;
    int code;
    while ((code = gs_recv(call, there, &v)) == GS_OK)
        GS_TRY(gs_send(call, back, &v));
    return code == GS_ECLOSED ? GS_OK : code;
}

GS_EXPORT(echo);
"""


def digest(n):
    start, files = now(), 0
    with file_sums(os.environ["BENCH_TREE"], JOBS) as found:
        for some in found:
            files += len(some)
    took = now() - start
    expect(files, n)
    return took


def ping_pong(n):
    async def main():
        there, back = gs.Chan(0, int), gs.Chan(0, int)
        task = gs.go(gs.compile(ECHO).echo, there, back)
        start = now()
        for i in range(n):
            await there.send_async(i)
            expect(await back.recv_async(), i)
        took = now() - start
        there.close()
        await task
        return took

    return asyncio.run(main())


if __name__ == "__main__":
    measure.main({"digest": digest, "ping_pong": ping_pong}, lambda row, n: row(n))
