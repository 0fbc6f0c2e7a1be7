# cython: language_level=3
"""A C task in Cython, for cython_task.py."""

from libc.stdint cimport int64_t

from pygostop cimport GS_INT64, GS_OK, gs_arg_chan, gs_arg_int, gs_call, gs_chan, gs_checkpoint, gs_close, gs_send

import pygostop


cdef int primes_task(gs_call *call) noexcept nogil:
    cdef int64_t limit = gs_arg_int(call, 0)
    cdef gs_chan *out = gs_arg_chan(call, 1, GS_INT64)
    cdef int64_t n, divisor
    cdef int code = GS_OK
    for n in range(2, limit + 1):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            code = gs_checkpoint(call)
            if code != GS_OK:
                return code
            divisor += 1
        if divisor * divisor > n:
            code = gs_send(call, out, &n)
            if code != GS_OK:
                return code
    return gs_close(call, out)


primes = pygostop.CTask(<size_t>&primes_task, name="primes", signature="limit: int, out: SendChan[int]")
