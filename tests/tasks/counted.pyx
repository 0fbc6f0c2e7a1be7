# cython: language_level=3
"""C tasks in Cython: by address and by capsule, with child tasks, select and a record."""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t

cimport pygostop
from pygostop cimport *

import pygostop as gs


ctypedef struct point:
    double x
    double y


cdef int count(gs_call *call) noexcept nogil:
    cdef int64_t n, limit = gs_arg_int(call, 0)
    cdef gs_chan *out = gs_arg_chan(call, 1, GS_INT64)
    cdef int code
    for n in range(limit):
        code = gs_checkpoint(call)
        if code == GS_OK:
            code = gs_send(call, out, &n)
        if code != GS_OK:
            return code
    return gs_close(call, out)


cdef int add_up(gs_call *call) noexcept nogil:
    cdef gs_chan *ch = gs_chan_new(call, GS_INT64, 3)
    cdef gs_value[2] args = [GS_ARG_INT(gs_arg_int(call, 0)), GS_ARG_CHAN(ch)]
    cdef gs_task *child = gs_go_named(call, count, "child", args, 2)
    cdef int64_t n = 0, total = 0
    cdef gs_case[2] cases = [GS_CASE_RECV(ch, &n), GS_CASE_NONE]
    cdef int code = 0
    while True:
        code = gs_select(call, cases, 2, GS_FOREVER)
        if code < 0:
            return code
        if not cases[0].ok:
            break
        total += n
    code = gs_join(call, child, NULL)
    return gs_return_int(call, total) if code == GS_OK else code


cdef int distance(gs_call *call) noexcept nogil:
    cdef gs_chan *ch = gs_arg_chan(call, 0, GS_TYPE(GS_KIND_RECORD, sizeof(point)))
    cdef point p
    cdef int code = gs_recv(call, ch, &p)
    if code != GS_OK:
        return gs_fail(call, 7, "no point: %d", code)
    return gs_return_float(call, (p.x * p.x + p.y * p.y) ** 0.5)


cdef gs_def count_definition = gs_def(GS_VERSION, 0, count, "count", "limit: int, out: SendChan[int]")

capsule = PyCapsule_New(&count_definition, pygostop.GS_CAPSULE_NAME, NULL)
add_up_task = gs.CTask(<size_t>&add_up, name="add_up")
distance_task = gs.CTask(<size_t>&distance, name="distance")
