"""A cdef function of Cython becomes a task: cython_primes.pyx."""

import pathlib
import sys
import tempfile

import pyximport

import pygostop as gs

sys.path.insert(0, str(pathlib.Path(__file__).parent))
with tempfile.TemporaryDirectory() as place:
    pyximport.install(
        build_dir=place, setup_args={"include_dirs": [gs.get_include()]}, language_level=3
    )
    from cython_primes import primes

out = gs.Chan(4, int)
task = gs.go(primes, 10**15, out)
print([out.recv() for _ in range(10)])
task.cancel()
task.wait()
print("cancelled:", task.cancelled())
