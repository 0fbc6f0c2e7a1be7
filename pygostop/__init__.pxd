# pygostop.h for Cython: `cimport pygostop`, or `from pygostop cimport gs_call, gs_arg_int`. Compile
# with include_dirs=[pygostop.get_include()]; what a call does is said in the header.
#
# A task is a cdef function of C data alone, `cdef int f(gs_call *call) noexcept nogil`, and
# pygostop.CTask(<size_t>&f, name="f") makes it known to Python. In place of the macros that return
# from the function that they stand in: `code = gs_checkpoint(call)`, `if code != GS_OK: return
# code`. In place of GS_RECORD(T): GS_TYPE(GS_KIND_RECORD, sizeof(T)).
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "pygostop.h" nogil:
    const int GS_VERSION

    # codes
    const int GS_OK
    const int GS_ECANCELED
    const int GS_ECLOSED
    const int GS_EAGAIN
    const int GS_ETIMEDOUT
    const int GS_EINVAL
    const int GS_ENOMEM
    const int GS_EDEADLK

    # time, in nanoseconds
    int64_t GS_US(int64_t n)
    int64_t GS_MS(int64_t n)
    int64_t GS_S(int64_t n)
    const int64_t GS_FOREVER

    # types of items
    ctypedef uint64_t gs_type
    const int GS_KIND_BOOL
    const int GS_KIND_INT
    const int GS_KIND_UINT
    const int GS_KIND_FLOAT
    const int GS_KIND_STR
    const int GS_KIND_BYTES
    const int GS_KIND_OBJECT
    const int GS_KIND_RECORD
    gs_type GS_TYPE(int kind, size_t size)
    int GS_TYPE_KIND(gs_type type)
    size_t GS_TYPE_SIZE(gs_type type)
    const gs_type GS_BOOL
    const gs_type GS_INT8
    const gs_type GS_INT16
    const gs_type GS_INT32
    const gs_type GS_INT64
    const gs_type GS_UINT8
    const gs_type GS_UINT16
    const gs_type GS_UINT32
    const gs_type GS_UINT64
    const gs_type GS_FLOAT32
    const gs_type GS_FLOAT64
    const gs_type GS_STR
    const gs_type GS_BYTES
    const gs_type GS_OBJECT

    ctypedef struct gs_str:
        const char *data
        size_t size

    ctypedef struct gs_view:
        void *data
        size_t size
        size_t itemsize
        const char *format
        int ndim
        const Py_ssize_t *shape
        const Py_ssize_t *strides
        bint readonly

    # the objects
    ctypedef struct gs_api
    ctypedef struct gs_chan
    ctypedef struct gs_ctx
    ctypedef struct gs_task
    ctypedef struct gs_call:
        const gs_api *api
    ctypedef int gs_fn(gs_call *call) noexcept

    ctypedef struct gs_value:
        int kind
    const int GS_VALUE_INT
    const int GS_VALUE_FLOAT
    const int GS_VALUE_STR
    const int GS_VALUE_BYTES
    const int GS_VALUE_VIEW
    const int GS_VALUE_CHAN
    const int GS_VALUE_SEND_CHAN
    const int GS_VALUE_RECV_CHAN
    const int GS_VALUE_CTX
    const int GS_VALUE_PTR
    gs_value GS_ARG_INT(int64_t n)
    gs_value GS_ARG_FLOAT(double x)
    gs_value GS_ARG_STR(const char *s)
    gs_value GS_ARG_CHAN(gs_chan *ch)
    gs_value GS_ARG_CTX(gs_ctx *ctx)
    gs_value GS_ARG_PTR(void *p)

    ctypedef struct gs_case:
        bint ok
    gs_case GS_CASE_RECV(gs_chan *ch, void *to)
    gs_case GS_CASE_SEND(gs_chan *ch, const void *item)
    gs_case GS_CASE_DONE(gs_ctx *ctx)
    gs_case GS_CASE_NONE

    # arguments
    int gs_nargs(gs_call *call)
    int gs_arg_kind(gs_call *call, int i)
    int64_t gs_arg_int(gs_call *call, int i)
    double gs_arg_float(gs_call *call, int i)
    const char *gs_arg_str(gs_call *call, int i, size_t *size)
    const void *gs_arg_bytes(gs_call *call, int i, size_t *size)
    void *gs_arg_buffer(gs_call *call, int i, size_t *size)
    void *gs_arg_array(gs_call *call, int i, gs_type item, size_t *count)
    const gs_view *gs_arg_view(gs_call *call, int i)
    gs_chan *gs_arg_chan(gs_call *call, int i, gs_type item)
    gs_ctx *gs_arg_ctx(gs_call *call, int i)
    void *gs_arg_ptr(gs_call *call, int i)

    # result
    int gs_return_int(gs_call *call, int64_t n)
    int gs_return_float(gs_call *call, double x)
    int gs_return_str(gs_call *call, const char *s, size_t size)
    int gs_return_bytes(gs_call *call, const void *data, size_t size)
    int gs_fail(gs_call *call, int code, const char *fmt, ...)

    # stopping
    bint gs_cancelled(const gs_call *call)
    int gs_checkpoint(gs_call *call)
    const volatile int *gs_stop_flag(gs_call *call)
    int gs_stop_fd(gs_call *call)
    int gs_on_cancel(gs_call *call, void (*fn)(void *) noexcept nogil, void *arg)
    void gs_off_cancel(gs_call *call, int id)
    int gs_defer(gs_call *call, void (*fn)(void *) noexcept nogil, void *arg)
    void gs_shield_begin(gs_call *call)
    void gs_shield_end(gs_call *call)

    # waiting
    int gs_yield(gs_call *call)
    int gs_sleep(gs_call *call, int64_t ns)
    int gs_send(gs_call *call, gs_chan *ch, const void *item)
    int gs_recv(gs_call *call, gs_chan *ch, void *item)
    int gs_try_send(gs_call *call, gs_chan *ch, const void *item)
    int gs_try_recv(gs_call *call, gs_chan *ch, void *item)
    int64_t gs_send_many(gs_call *call, gs_chan *ch, const void *items, size_t n)
    int64_t gs_recv_many(gs_call *call, gs_chan *ch, void *items, size_t n)
    int gs_send_str(gs_call *call, gs_chan *ch, const char *s, size_t size)
    int gs_send_bytes(gs_call *call, gs_chan *ch, const void *data, size_t size)
    int gs_close(gs_call *call, gs_chan *ch)
    gs_chan *gs_chan_new(gs_call *call, gs_type item, size_t capacity)
    void gs_str_free(gs_call *call, gs_str *s)
    int gs_select(gs_call *call, gs_case *cases, int n, int64_t timeout)
    int gs_wait_fd(gs_call *call, int fd, int events, int64_t timeout)
    void gs_block_begin(gs_call *call)
    void gs_block_end(gs_call *call)

    # tasks and contexts
    gs_task *gs_go_named(gs_call *call, gs_fn *fn, const char *name, const gs_value *args,
                         int nargs)
    int gs_join(gs_call *call, gs_task *task, int *code)
    void gs_task_cancel(gs_call *call, gs_task *task)
    void gs_detach(gs_call *call, gs_task *task)
    gs_ctx *gs_ctx_current(gs_call *call)
    gs_ctx *gs_ctx_with_cancel(gs_call *call, gs_ctx *parent)
    gs_ctx *gs_ctx_with_timeout(gs_call *call, gs_ctx *parent, int64_t ns)
    void gs_ctx_cancel(gs_call *call, gs_ctx *ctx, const char *cause)
    bint gs_ctx_done(gs_call *call, gs_ctx *ctx)

    # saying something
    void gs_auto_begin(gs_call *call)
    void *gs_keep(gs_call *call, void *block)
    void gs_progress(gs_call *call, int64_t done, int64_t total)
    void gs_log(gs_call *call, const char *fmt, ...)

    # making tasks known: a capsule named GS_CAPSULE_NAME holds a gs_def
    ctypedef struct gs_def:
        uint32_t version
        uint32_t reserved
        gs_fn *fn
        const char *name
        const char *signature
    const char *GS_CAPSULE_NAME
