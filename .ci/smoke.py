"""What a fresh install must do, run by the interpreter of a clean environment away from the checkout.

python -I smoke.py ROOT    ROOT: the checkout, for the header and the project that builds against it
"""

import ctypes
import importlib.metadata
import pathlib
import subprocess
import sys
import tempfile
import zlib

import pygostop as gs

root = pathlib.Path(sys.argv[1])
package = pathlib.Path(gs.__file__).resolve().parent
assert root.resolve() not in package.parents, f"{package} is the checkout's, not the installed one"
assert (package / "py.typed").is_file()

# Channels, select and contexts.
ch = gs.Chan(2, int)
ch.send(1)
ch.send(2)
ch.close()
assert list(ch) == [1, 2]
ctx, cancel = gs.with_cancel(gs.background())
cancel()
assert gs.select(gs.Chan(), ctx).index == 1

# A shipped C task, and a stop.
numbers = gs.Chan(0, int)
task = gs.go(gs.tasks.count, numbers, 0, 10**12, 1)
assert [numbers.recv() for _ in range(5)] == [0, 1, 2, 3, 4]
task.cancel()
task.wait()
assert task.cancelled()

# The header and the CMake package serve a project of somebody else's.
include = pathlib.Path(gs.get_include())
header = include / "pygostop.h"
assert header.read_bytes() == (root / "csrc/include/pygostop.h").read_bytes(), header
cmakedir = subprocess.run(
    [sys.executable, "-I", "-m", "pygostop", "--cmakedir"], check=True, capture_output=True, text=True
).stdout.strip()
with tempfile.TemporaryDirectory() as build:
    for command in (
        ["cmake", "-S", str(root / "tests/consumer"), "-B", build, f"-Dpygostop_DIR={cmakedir}"],
        ["cmake", "--build", build],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    library = ctypes.CDLL(str(pathlib.Path(build) / "consumer.so"))
    twice = gs.CTask(library.twice, signature="input: Chan[int], output: Chan[int]")
    into, out = gs.Chan(0, int), gs.Chan(4, int)
    task = gs.go(twice, into, out)
    for n in range(3):
        into.send(n)
    into.close()
    assert list(out) == [0, 2, 4]
    task.result()

    # The command, over some files of its own.
    tree = pathlib.Path(build) / "tree"
    tree.mkdir()
    for n in range(20):
        (tree / f"{n}.txt").write_bytes(b"fisch" * n)
    run = subprocess.run(
        [sys.executable, "-I", "-m", "pygostop", "digest", str(tree)],
        check=True,
        capture_output=True,
        text=True,
    )
    for n in range(20):
        assert f"{zlib.crc32(b'fisch' * n):08x}" in run.stdout, run.stdout

print("pygostop", importlib.metadata.version("pygostop"), "works from", package)
