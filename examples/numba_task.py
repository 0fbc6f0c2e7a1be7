"""A function of Python that Numba compiles becomes a C task: it holds no GIL and can be stopped."""

import numba
import numpy as np

import pygostop as gs
from pygostop.numba import GS_OK, gs_arg_array, gs_arg_int, gs_checkpoint, gs_return_float


@numba.cfunc("int32(voidptr)")
def smooth(call):
    """Averages neighbours, so many times over."""
    x = gs_arg_array(call, 0, np.float64)
    change = 0.0
    for _ in range(gs_arg_int(call, 1)):
        change = 0.0
        for i in range(1, len(x) - 1):
            code = gs_checkpoint(call)
            if code != GS_OK:
                return code
            mean = (x[i - 1] + x[i] + x[i + 1]) / 3
            change += abs(mean - x[i])
            x[i] = mean
    return gs_return_float(call, change)


task = gs.CTask(smooth, signature="x: buffer, times: int")
x = np.zeros(1000)
x[0] = 1.0
print("changed by %.3f" % task(x, 100), "in the array itself:", x[1] > 0.5)
with gs.move_on_after(0.2):
    task(x, 10**12)
print("stopped:", gs.all_tasks())
