"""asyncio at both ends of a pipeline of tasks: a coroutine sends the paths of files, for ever, a C task reads the
files, a Python task says what it found, and a coroutine prints that. When the time is up all of it stops."""

import asyncio
import itertools
import os
import pathlib

import pygostop as gs
from pygostop import tasks

FILES = sorted(pathlib.Path(__file__).parent.glob("*.py"))


async def feed(paths: gs.Chan[bytes]) -> None:
    for path in itertools.cycle(FILES):
        await paths.send_async(os.fsencode(path))


def say(sums: gs.Chan[bytes], lines: gs.Chan[str]) -> None:
    try:
        for message in sums:
            found = tasks.file_sum(message)
            lines.send(f"{found.crc:08x} {pathlib.Path(os.fsdecode(found.path)).name}")
    finally:
        print("the Python task cleans up")


async def print_new(lines: gs.Chan[str]) -> None:
    seen = set()
    async for line in lines:
        if line not in seen:
            print(line)
        seen.add(line)


async def ended(task: gs.Task) -> None:
    await task  # cancelled, it asks the task to stop, and waits until it has


async def main() -> None:
    paths, sums, lines = gs.Chan(0, bytes), gs.Chan(4, bytes), gs.Chan(4, str)
    pipeline = gs.go(tasks.crc32, paths, sums), gs.go(say, sums, lines)
    try:
        async with asyncio.timeout(1), asyncio.TaskGroup() as group:
            group.create_task(feed(paths))
            group.create_task(print_new(lines))
            for task in pipeline:
                group.create_task(ended(task))
    except TimeoutError:
        print("the time is up:", *(f"{task.name} {task.state}" for task in pipeline))
    print("left:", gs.all_tasks())


asyncio.run(main())
