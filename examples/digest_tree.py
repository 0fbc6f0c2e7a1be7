"""A bounded pipeline of C tasks over a directory tree: walk -> crc32 x N -> results.

Ctrl-C, --timeout or, with --strict, the first file that cannot be read end it early. However it ends, no
task is left behind. `python -m pygostop digest` is this as a command.
"""

import argparse
import os

import pygostop as gs
from pygostop import tasks

parser = argparse.ArgumentParser()
parser.add_argument("dir")
parser.add_argument("--timeout", type=float)
parser.add_argument("--strict", action="store_true")
options = parser.parse_args()

paths, results = gs.Chan(64, bytes), gs.Chan(type=bytes)
running: list[gs.Task] = []
try:
    with gs.timeout(options.timeout), gs.cancel_scope() as scope:
        try:
            running.append(gs.go(tasks.walk, options.dir, paths, results))
            running += [gs.go(tasks.crc32, paths, results) for _ in range(4)]
            while running:
                case, value, _ = gs.select(results, *running)
                if case > 0:
                    running.remove(value)
                    value.result()
                    continue
                path, crc, size, error = tasks.file_sum(value)
                print(f"{crc:08x}" if not error else error.strerror, os.fsdecode(path), flush=True)
                if error and options.strict:
                    break
        finally:
            scope.cancel()
            with gs.shield():
                for task in running:
                    task.wait()
except gs.DeadlineExceeded:
    print("timed out")
except KeyboardInterrupt:
    print("interrupted")
except gs.TaskFailed as failure:
    print(failure)
print("tasks left:", gs.all_tasks())
