"""A function in a shared library, found by ctypes, becomes a task."""

import ctypes
import pathlib
import subprocess
import tempfile

import pygostop as gs

source = pathlib.Path(__file__).with_name("primes.c")
with tempfile.TemporaryDirectory() as place:
    library = f"{place}/primes.so"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", f"-I{gs.get_include()}", "-o", library, str(source)],
        check=True,
    )
    primes = gs.CTask(ctypes.CDLL(library).primes, signature="limit: int, out: SendChan[int]")

out = gs.Chan(4, int)
task = gs.go(primes, 10**15, out)
print([out.recv() for _ in range(10)])
task.cancel()
task.wait()
print("cancelled:", task.cancelled())
