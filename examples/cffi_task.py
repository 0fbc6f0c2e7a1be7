"""A function in a module that cffi makes of C source becomes a task."""

import importlib
import pathlib
import sys
import tempfile

import cffi

import pygostop as gs

ffi = cffi.FFI()
ffi.cdef("typedef struct gs_call gs_call; int primes(gs_call *call);")
source = pathlib.Path(__file__).with_name("primes.c").read_text()
ffi.set_source("cffi_primes", source, include_dirs=[gs.get_include()])
with tempfile.TemporaryDirectory() as place:
    ffi.compile(place)
    sys.path.insert(0, place)
    made = importlib.import_module("cffi_primes")
primes = gs.CTask(made.ffi.addressof(made.lib, "primes"), name="primes")

out = gs.Chan(4, int)
task = gs.go(primes, 10**15, out)
print([out.recv() for _ in range(10)])
task.cancel()
task.wait()
print("cancelled:", task.cancelled())
