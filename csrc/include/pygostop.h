/* pygostop.h: what a C task may call.
 *
 * A task is one function, `int f(gs_call *call)`. Everything it needs comes through `call`: its
 * arguments, its result, its context and `call->api`, a table of functions that the wrappers below
 * call. Nothing is linked. C99, C11 and C++.
 *
 * Every call here may be made from the task's own stack only, and none from a hook or from
 * another thread, unless its comment says so. "Checkpoint" means: returns GS_ECANCELED, with
 * nothing done, where the task has been asked to stop. "Parks" means: while it waits, the worker
 * runs other tasks, and the task may go on on another thread; so do not keep the address of a
 * thread-local, errno's included, across it.
 *
 * Results are GS_OK or a negative code; a task's own failure codes are positive. GS_EINVAL, from
 * any call, is for what no comment allows: a NULL, a negative time, the half of a channel that the
 * task was not given; where the task ends with it, its failure says what was wrong. Times are
 * nanoseconds on the monotonic clock. */
#ifndef PYGOSTOP_H
#define PYGOSTOP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define GS__EXTERN_C extern "C"
#define GS__EXTERN extern "C"
extern "C" {
#else
#define GS__EXTERN_C
#define GS__EXTERN extern
#endif

/* The version of the table of functions. It grows at its end only: a task built against version N
 * runs on N and on every later one. */
#define GS_VERSION 1

#if defined(__GNUC__) || defined(__clang__)
#define GS__VISIBLE __attribute__((visibility("default")))
#define GS__UNLIKELY(x) __builtin_expect(!!(x), 0)
#define GS__LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define GS__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GS__VISIBLE
#define GS__UNLIKELY(x) (x)
#define GS__LOAD(p) (*(p))
#define GS__PRINTF(fmt, args)
#endif

/* ---- codes ---- */

#define GS__CODES(X)                                        \
    X(GS_ECANCELED, -1, "the task was asked to stop")       \
    X(GS_ECLOSED, -2, "the channel is closed")              \
    X(GS_EAGAIN, -3, "it would have to wait")               \
    X(GS_ETIMEDOUT, -4, "the time ran out")                 \
    X(GS_EINVAL, -5, "a value is not valid here")           \
    X(GS_ENOMEM, -6, "memory, threads or mappings ran out") \
    X(GS_EDEADLK, -7, "the task would wait for itself")

/* What calls give; GS__CODES has the words of each. */
enum {
    GS_OK = 0,
#define GS__ENUMERATE(name, code, text) name = code,
    GS__CODES(GS__ENUMERATE)
#undef GS__ENUMERATE
};

/* ---- time ---- */

/* Nanoseconds of so many whole microseconds, milliseconds, seconds; GS_FOREVER never ends. */
#define GS_US(n) ((int64_t)(n) * 1000)
#define GS_MS(n) ((int64_t)(n) * 1000000)
#define GS_S(n) ((int64_t)(n) * 1000000000)
#define GS_FOREVER INT64_MAX

/* ---- types of channel items and of array items ---- */

/* A kind in the low byte, the size of one item above it. */
typedef uint64_t gs_type;

/* In memory: one byte of 0 or 1; two's complement; IEEE 754; gs_str; gs_str; a pointer; bytes. */
enum {
    GS_KIND_BOOL = 1,
    GS_KIND_INT,
    GS_KIND_UINT,
    GS_KIND_FLOAT,
    GS_KIND_STR,
    GS_KIND_BYTES,
    GS_KIND_OBJECT,
    GS_KIND_RECORD
};

/* What a type is made of, and what it says. A size is in bytes. */
#define GS_TYPE(kind, size) ((gs_type)(kind) | (gs_type)(size) << 8)
#define GS_TYPE_KIND(type) ((int)((type) & 0xff))
#define GS_TYPE_SIZE(type) ((size_t)((type) >> 8))

/* The types: those of Python's bool, int (GS_INT64), float (GS_FLOAT64), str and bytes, of a struct
 * format or NumPy dtype of one plain item, and of records. */
#define GS_BOOL GS_TYPE(GS_KIND_BOOL, 1)
#define GS_INT8 GS_TYPE(GS_KIND_INT, 1)
#define GS_INT16 GS_TYPE(GS_KIND_INT, 2)
#define GS_INT32 GS_TYPE(GS_KIND_INT, 4)
#define GS_INT64 GS_TYPE(GS_KIND_INT, 8)
#define GS_UINT8 GS_TYPE(GS_KIND_UINT, 1)
#define GS_UINT16 GS_TYPE(GS_KIND_UINT, 2)
#define GS_UINT32 GS_TYPE(GS_KIND_UINT, 4)
#define GS_UINT64 GS_TYPE(GS_KIND_UINT, 8)
#define GS_FLOAT32 GS_TYPE(GS_KIND_FLOAT, 4)
#define GS_FLOAT64 GS_TYPE(GS_KIND_FLOAT, 8)
#define GS_STR GS_TYPE(GS_KIND_STR, sizeof(gs_str)) /* UTF-8 */
#define GS_BYTES GS_TYPE(GS_KIND_BYTES, sizeof(gs_str))
#define GS_OBJECT \
    GS_TYPE(GS_KIND_OBJECT, sizeof(void *)) /* a Python object: passed on, not looked into */
#define GS_RECORD(T) GS_TYPE(GS_KIND_RECORD, sizeof(T)) /* checked by its size */

/* The item of GS_STR and GS_BYTES. `data` ends in a NUL that `size` does not count. */
typedef struct gs_str {
    const char *data;
    size_t size;
} gs_str;

/* A buffer argument as its exporter describes it. */
typedef struct gs_view {
    void *data;
    size_t size;        /* in bytes */
    size_t itemsize;    /* in bytes */
    const char *format; /* as in Python's struct module; "B" where the exporter gives none */
    int ndim;
    const ptrdiff_t *shape;   /* ndim counts */
    const ptrdiff_t *strides; /* ndim distances in bytes */
    bool readonly;
} gs_view;

/* ---- the objects ---- */

/* The table of functions; a channel; a context, which is asked to stop; a task, as its starter
 * holds it. */
typedef struct gs_api gs_api;
typedef struct gs_chan gs_chan;
typedef struct gs_ctx gs_ctx;
typedef struct gs_task gs_task;
struct gs_auto; /* pygostop_auto.h */

/* What a task gets. */
typedef struct gs_call {
    const gs_api *api;
    uint32_t signal; /* not zero: stop, or give way; only GS_CHECKPOINT and gs_cancelled read it */
    uint32_t reserved;
} gs_call;

#define GS__SIGNAL_STOP 1u

/* A task's function: GS_OK, a positive code of its own, or a negative one that a call here gave. */
typedef int gs_fn(gs_call *call);

/* A value given to gs_go. Build it with GS_ARG_…. */
typedef struct gs_value {
    int kind;
    union {
        int64_t i;
        double f;
        gs_str s;
        gs_chan *chan;
        gs_ctx *ctx;
        const gs_view *view;
        void *ptr;
    } as;
} gs_value;

/* The kinds of values, as gs_arg_kind gives them. */
enum {
    GS_VALUE_INT = 1,
    GS_VALUE_FLOAT,
    GS_VALUE_STR,
    GS_VALUE_BYTES,
    GS_VALUE_VIEW,
    GS_VALUE_CHAN,
    GS_VALUE_SEND_CHAN, /* the sending half only */
    GS_VALUE_RECV_CHAN, /* the receiving half only */
    GS_VALUE_CTX,
    GS_VALUE_PTR
};

static inline gs_value gs__value(int kind)
{
    gs_value v;
    v.kind = kind;
    v.as.s.data = NULL;
    v.as.s.size = 0;
    return v;
}
/* For gs_arg_int, and gs_arg_float. */
static inline gs_value GS_ARG_INT(int64_t n)
{
    gs_value v = gs__value(GS_VALUE_INT);
    v.as.i = n;
    return v;
}
/* For gs_arg_float. */
static inline gs_value GS_ARG_FLOAT(double x)
{
    gs_value v = gs__value(GS_VALUE_FLOAT);
    v.as.f = x;
    return v;
}
/* `s` ends in NUL and is copied. */
static inline gs_value GS_ARG_STR(const char *s)
{
    gs_value v = gs__value(GS_VALUE_STR);
    const char *end = s;
    while (*end)
        end++;
    v.as.s.data = s;
    v.as.s.size = (size_t)(end - s);
    return v;
}
/* The new task holds the channel until it ends. */
static inline gs_value GS_ARG_CHAN(gs_chan *ch)
{
    gs_value v = gs__value(GS_VALUE_CHAN);
    v.as.chan = ch;
    return v;
}
/* The new task holds the context until it ends. */
static inline gs_value GS_ARG_CTX(gs_ctx *ctx)
{
    gs_value v = gs__value(GS_VALUE_CTX);
    v.as.ctx = ctx;
    return v;
}
/* Passed as it is: the caller keeps what it points at alive. */
static inline gs_value GS_ARG_PTR(void *p)
{
    gs_value v = gs__value(GS_VALUE_PTR);
    v.as.ptr = p;
    return v;
}

/* One case of gs_select. Build it with GS_CASE_…. */
typedef struct gs_case {
    int kind;
    gs_chan *chan;
    gs_ctx *ctx;
    void *item;
    bool ok; /* set by gs_select: false for a receive from a closed channel */
} gs_case;

/* What GS_CASE_… make; not to be used otherwise. */
enum { GS_CASE_KIND_NONE, GS_CASE_KIND_RECV, GS_CASE_KIND_SEND, GS_CASE_KIND_DONE };

static inline gs_case gs__case(int kind, gs_chan *ch, gs_ctx *ctx, void *item)
{
    gs_case c;
    c.kind = kind;
    c.chan = ch;
    c.ctx = ctx;
    c.item = item;
    c.ok = true;
    return c;
}
/* Receives into `to`, which has room for one item. */
static inline gs_case GS_CASE_RECV(gs_chan *ch, void *to)
{
    return gs__case(GS_CASE_KIND_RECV, ch, NULL, to);
}
/* Sends the item at `from`. */
static inline gs_case GS_CASE_SEND(gs_chan *ch, const void *from)
{
    return gs__case(GS_CASE_KIND_SEND, ch, NULL, (void *)from);
}
/* Happens once the context is done. */
static inline gs_case GS_CASE_DONE(gs_ctx *ctx)
{
    return gs__case(GS_CASE_KIND_DONE, NULL, ctx, NULL);
}
/* Never happens. */
#define GS_CASE_NONE gs__case(GS_CASE_KIND_NONE, NULL, NULL, NULL)

/* ---- the table ---- */

struct gs_api {
    uint32_t version;
    uint32_t size; /* of this table, in bytes */

    int (*nargs)(gs_call *);
    int (*arg_kind)(gs_call *, int);
    int64_t (*arg_int)(gs_call *, int);
    double (*arg_float)(gs_call *, int);
    const char *(*arg_str)(gs_call *, int, size_t *);
    const void *(*arg_bytes)(gs_call *, int, size_t *);
    void *(*arg_buffer)(gs_call *, int, size_t *);
    void *(*arg_array)(gs_call *, int, gs_type, size_t *);
    const gs_view *(*arg_view)(gs_call *, int);
    gs_chan *(*arg_chan)(gs_call *, int, gs_type);
    gs_ctx *(*arg_ctx)(gs_call *, int);
    void *(*arg_ptr)(gs_call *, int);

    int (*return_int)(gs_call *, int64_t);
    int (*return_float)(gs_call *, double);
    int (*return_str)(gs_call *, const char *, size_t);
    int (*return_bytes)(gs_call *, const void *, size_t);
    int (*vfail)(gs_call *, int, const char *, va_list);

    int (*checkpoint)(gs_call *);
    const volatile int *(*stop_flag)(gs_call *);
    int (*stop_fd)(gs_call *);
    int (*on_cancel)(gs_call *, void (*)(void *), void *);
    void (*off_cancel)(gs_call *, int);
    int (*defer)(gs_call *, void (*)(void *), void *);
    void (*shield_begin)(gs_call *);
    void (*shield_end)(gs_call *);

    int (*yield)(gs_call *);
    int (*sleep)(gs_call *, int64_t);
    int (*send)(gs_call *, gs_chan *, const void *);
    int (*recv)(gs_call *, gs_chan *, void *);
    int (*try_send)(gs_call *, gs_chan *, const void *);
    int (*try_recv)(gs_call *, gs_chan *, void *);
    int64_t (*send_many)(gs_call *, gs_chan *, const void *, size_t);
    int64_t (*recv_many)(gs_call *, gs_chan *, void *, size_t);
    int (*send_copy)(gs_call *, gs_chan *, int kind, const void *, size_t);
    int (*close)(gs_call *, gs_chan *);
    gs_chan *(*chan_new)(gs_call *, gs_type, size_t);
    void (*str_free)(gs_call *, gs_str *);
    int (*select)(gs_call *, gs_case *, int, int64_t);
    int (*wait_fd)(gs_call *, int, int, int64_t);
    void (*block_begin)(gs_call *);
    void (*block_end)(gs_call *);

    gs_task *(*go)(gs_call *, gs_fn *, const char *name, const gs_value *, int);
    int (*join)(gs_call *, gs_task *, int *);
    void (*task_cancel)(gs_call *, gs_task *);
    void (*detach)(gs_call *, gs_task *);
    gs_ctx *(*ctx_current)(gs_call *);
    gs_ctx *(*ctx_with_cancel)(gs_call *, gs_ctx *);
    gs_ctx *(*ctx_with_timeout)(gs_call *, gs_ctx *, int64_t);
    void (*ctx_cancel)(gs_call *, gs_ctx *, const char *);
    bool (*ctx_done)(gs_call *, gs_ctx *);

    void (*progress)(gs_call *, int64_t, int64_t);
    void (*vlog)(gs_call *, const char *, va_list);

    void (*auto_begin)(gs_call *, struct gs_auto *);
    void *(*keep)(gs_call *, void *);
};

/* ---- arguments ----
 * Of a wrong kind or missing, the task fails here: its defers run and the call does not return. So
 * read the arguments before anything else is held. What they give stays valid until the task ends. */

/* How many there are. */
static inline int gs_nargs(gs_call *call)
{
    return call->api->nargs(call);
}
/* What it is, a GS_VALUE_…, for a task that takes more than one kind; 0 where it is missing. */
static inline int gs_arg_kind(gs_call *call, int i)
{
    return call->api->arg_kind(call, i);
}
/* Of Python's int, within 64 bits. */
static inline int64_t gs_arg_int(gs_call *call, int i)
{
    return call->api->arg_int(call, i);
}
/* An int is taken too. */
static inline double gs_arg_float(gs_call *call, int i)
{
    return call->api->arg_float(call, i);
}
/* UTF-8 that ends in NUL; `size`, in bytes without it, may be NULL. */
static inline const char *gs_arg_str(gs_call *call, int i, size_t *size)
{
    return call->api->arg_str(call, i, size);
}
/* Any contiguous buffer, to read; `size` in bytes. */
static inline const void *gs_arg_bytes(gs_call *call, int i, size_t *size)
{
    return call->api->arg_bytes(call, i, size);
}
/* Any contiguous writable buffer, shared without a copy; `size` in bytes. */
static inline void *gs_arg_buffer(gs_call *call, int i, size_t *size)
{
    return call->api->arg_buffer(call, i, size);
}
/* The same, its items checked to be `item`; `count` in items. */
static inline void *gs_arg_array(gs_call *call, int i, gs_type item, size_t *count)
{
    return call->api->arg_array(call, i, item, count);
}
/* Any buffer, as its exporter describes it. */
static inline const gs_view *gs_arg_view(gs_call *call, int i)
{
    return call->api->arg_view(call, i);
}
/* A channel of `item`, in both halves or the one that the task was given. */
static inline gs_chan *gs_arg_chan(gs_call *call, int i, gs_type item)
{
    return call->api->arg_chan(call, i, item);
}
/* A Context. */
static inline gs_ctx *gs_arg_ctx(gs_call *call, int i)
{
    return call->api->arg_ctx(call, i);
}
/* What GS_ARG_PTR gave; Python cannot pass one. */
static inline void *gs_arg_ptr(gs_call *call, int i)
{
    return call->api->arg_ptr(call, i);
}

/* ---- result ----
 * The last one counts. GS_OK, so: return gs_return_int(call, n); GS_ENOMEM where a copy failed. */

/* GS_OK. */
static inline int gs_return_int(gs_call *call, int64_t n)
{
    return call->api->return_int(call, n);
}
/* GS_OK. */
static inline int gs_return_float(gs_call *call, double x)
{
    return call->api->return_float(call, x);
}
/* Copies; `size` in bytes. What is not UTF-8 fails the task: GS_EINVAL. */
static inline int gs_return_str(gs_call *call, const char *s, size_t size)
{
    return call->api->return_str(call, s, size);
}
/* Copies; `size` in bytes. */
static inline int gs_return_bytes(gs_call *call, const void *data, size_t size)
{
    return call->api->return_bytes(call, data, size);
}
/* Sets the message of a failure and gives back `code`, so: return gs_fail(call, 1, "…", …); */
GS__PRINTF(3, 4) static inline int gs_fail(gs_call *call, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    code = call->api->vfail(call, code, fmt, args);
    va_end(args);
    return code;
}

/* ---- stopping ---- */

/* Whether the task was asked to stop. One load. From the task's thread or from a library's callback
 * on any thread while the task runs. */
static inline bool gs_cancelled(const gs_call *call)
{
    return (GS__LOAD(&call->signal) & GS__SIGNAL_STOP) != 0;
}
/* Checkpoint; gives way to other tasks where the time slice is used up (may park). */
static inline int gs_checkpoint(gs_call *call)
{
    return GS__UNLIKELY(GS__LOAD(&call->signal)) ? call->api->checkpoint(call) : GS_OK;
}
/* Returns its code from the function that it stands in. One load and a branch. */
#define GS_CHECKPOINT(call)                               \
    do {                                                  \
        if (GS__UNLIKELY(GS__LOAD(&(call)->signal))) {    \
            int gs__code = (call)->api->checkpoint(call); \
            if (gs__code != GS_OK)                        \
                return gs__code;                          \
        }                                                 \
    } while (0)
/* Returns from the function that it stands in where `expression` gave a negative code. */
#define GS_TRY(expression)               \
    do {                                 \
        int64_t gs__code = (expression); \
        if (gs__code < 0)                \
            return (int)gs__code;        \
    } while (0)
/* Not zero once asked to stop. To be read from any thread until the task ends. */
static inline const volatile int *gs_stop_flag(gs_call *call)
{
    return call->api->stop_flag(call);
}
/* A descriptor, readable once asked to stop: the same each time, closed when the task ends. To poll,
 * not to read. GS_ENOMEM where there are none left. */
static inline int gs_stop_fd(gs_call *call)
{
    return call->api->stop_fd(call);
}
/* Runs fn(arg) once when the task is asked to stop, on the thread that asks: short, without waiting.
 * Where it has been asked already, runs it here. Gives an id > 0, or GS_ENOMEM. */
static inline int gs_on_cancel(gs_call *call, void (*fn)(void *), void *arg)
{
    return call->api->on_cancel(call, fn, arg);
}
/* Afterwards the hook is not running and will not run. An id that is gone is no error. */
static inline void gs_off_cancel(gs_call *call, int id)
{
    call->api->off_cancel(call, id);
}
/* Runs fn(arg) when the task ends, however it ends: last first, on the task's stack; it may park. Where
 * the task's function returned, its frame is gone then: arg must not point into it. GS_ENOMEM where it
 * could not be noted; it has not run then. */
static inline int gs_defer(gs_call *call, void (*fn)(void *), void *arg)
{
    return call->api->defer(call, fn, arg);
}
/* Hides the cancel from all that is asked through `call`, but a descriptor or a hook that has
 * fired, until the matching gs_shield_end. Nests. */
static inline void gs_shield_begin(gs_call *call)
{
    call->api->shield_begin(call);
}
/* Ends the innermost: hooks and the descriptor that it held back see the stop now. Nothing where
 * none is open; one that is left open when the task ends is its failure. */
static inline void gs_shield_end(gs_call *call)
{
    call->api->shield_end(call);
}

/* ---- stopping code that has no checkpoints ----
 * Code that is compiled with pygostop_auto.h has one on each of its edges, and a task that is asked
 * to stop is left there for good: docs/auto-checkpoints.md. Without it these do nothing. */

/* From here on the task may be left on any edge of such code, and so may the tasks that it starts.
 * GS_TASK begins with it; a task that is defined otherwise, or elsewhere, calls it in a function of
 * each library that it may be left in. */
static inline void gs_auto_begin(gs_call *call)
{
#ifdef GS__AUTO
    call->api->auto_begin(call, &gs__auto_library);
#else
    (void)call;
#endif
}
/* The block, which malloc or its like gave, is not to be freed when a task is left. Gives it
 * back. */
static inline void *gs_keep(gs_call *call, void *block)
{
    return call->api->keep(call, block);
}
/* Before a function that such code has: none of its own edges is a checkpoint. */
#ifndef GS_NO_CHECKPOINT
#define GS_NO_CHECKPOINT
#endif

/* ---- waiting: channels, time, descriptors ---- */

/* Lets others run. Checkpoint, parks. */
static inline int gs_yield(gs_call *call)
{
    return call->api->yield(call);
}
/* Checkpoint, parks. A negative `ns` is GS_EINVAL. */
static inline int gs_sleep(gs_call *call, int64_t ns)
{
    return call->api->sleep(call, ns);
}
/* Checkpoint, parks. GS_ECLOSED on a closed channel. */
static inline int gs_send(gs_call *call, gs_chan *ch, const void *item)
{
    return call->api->send(call, ch, item);
}
/* Checkpoint, parks. GS_ECLOSED when closed and drained. A string received is the task's own: free
 * it with gs_str_free, or send it on. */
static inline int gs_recv(gs_call *call, gs_chan *ch, void *item)
{
    return call->api->recv(call, ch, item);
}
/* GS_EAGAIN where it would wait, GS_ECLOSED. No checkpoint, never parks to wait. */
static inline int gs_try_send(gs_call *call, gs_chan *ch, const void *item)
{
    return call->api->try_send(call, ch, item);
}
/* GS_EAGAIN where it would wait, GS_ECLOSED when closed and drained. No checkpoint, never parks to
 * wait. */
static inline int gs_try_recv(gs_call *call, gs_chan *ch, void *item)
{
    return call->api->try_recv(call, ch, item);
}
/* As write(2): sends all `n`, gives how many went before it was stopped, a code when none did.
 * Checkpoint, parks. */
static inline int64_t gs_send_many(gs_call *call, gs_chan *ch, const void *items, size_t n)
{
    return call->api->send_many(call, ch, items, n);
}
/* As read(2): waits for the first, then takes what is there, up to `n`. Checkpoint, parks. */
static inline int64_t gs_recv_many(gs_call *call, gs_chan *ch, void *items, size_t n)
{
    return call->api->recv_many(call, ch, items, n);
}
/* Sends a copy on a channel of GS_STR; not UTF-8 is GS_EINVAL. Checkpoint, parks. */
static inline int gs_send_str(gs_call *call, gs_chan *ch, const char *s, size_t size)
{
    return call->api->send_copy(call, ch, GS_KIND_STR, s, size);
}
/* The same on a channel of GS_BYTES. */
static inline int gs_send_bytes(gs_call *call, gs_chan *ch, const void *data, size_t size)
{
    return call->api->send_copy(call, ch, GS_KIND_BYTES, data, size);
}
/* Receivers drain it and see the end, senders fail. GS_OK, the second time as well. Never parks. */
static inline int gs_close(gs_call *call, gs_chan *ch)
{
    return call->api->close(call, ch);
}
/* A channel of the task's own, released when the task ends. NULL when memory ran out or the type is
 * none. */
static inline gs_chan *gs_chan_new(gs_call *call, gs_type item, size_t capacity)
{
    return call->api->chan_new(call, item, capacity);
}
/* A string that was received, and sets it to NULL; what was sent on is not the task's any more. */
static inline void gs_str_free(gs_call *call, gs_str *s)
{
    call->api->str_free(call, s);
}
/* The index of the case that happened; with a timeout of 0 GS_EAGAIN where none could, else
 * GS_ETIMEDOUT. Checkpoint (but with timeout 0), parks. A send case on a closed channel is chosen as
 * ready and gives GS_ECLOSED. */
static inline int gs_select(gs_call *call, gs_case *cases, int n, int64_t timeout)
{
    return call->api->select(call, cases, n, timeout);
}
/* Waits at most `timeout` nanoseconds for poll(2)'s `events` on a descriptor and gives those that came;
 * an error or an end of the file comes unasked, as with poll. GS_ETIMEDOUT, with a timeout of 0
 * GS_EAGAIN; GS_EINVAL for what is no open descriptor or no event; GS_ENOMEM. Checkpoint, parks. A wait
 * does not keep the descriptor: who closes it while a task waits wakes nobody, so cancel the task or
 * shut the connection down (shutdown(2)) first. */
static inline int gs_wait_fd(gs_call *call, int fd, int events, int64_t timeout)
{
    return call->api->wait_fd(call, fd, events, timeout);
}
/* Before a system call that blocks the thread: other tasks run on another thread meanwhile. */
static inline void gs_block_begin(gs_call *call)
{
    call->api->block_begin(call);
}
/* After it. */
static inline void gs_block_end(gs_call *call)
{
    call->api->block_end(call);
}

/* ---- tasks and contexts ---- */

/* Starts a task in a child of this task's context. NULL when memory ran out. The handle is this
 * task's: give it up with gs_join or gs_detach, or leave it to the task's end. */
static inline gs_task *gs_go_named(gs_call *call, gs_fn *fn, const char *name, const gs_value *args,
                                   int nargs)
{
    return call->api->go(call, fn, name, args, nargs);
}
/* The same; its name is the function's. */
#define gs_go(call, fn, args, nargs) gs_go_named(call, fn, #fn, args, nargs)
/* Waits for its end and gives the handle up; its return code in `code`, which may be NULL. GS_EDEADLK
 * for the task itself. Checkpoint, parks. */
static inline int gs_join(gs_call *call, gs_task *task, int *code)
{
    return call->api->join(call, task, code);
}
/* Asks a task that this one started, and has not given up, to stop. Never parks. */
static inline void gs_task_cancel(gs_call *call, gs_task *task)
{
    call->api->task_cancel(call, task);
}
/* Gives the handle up; the task goes on. */
static inline void gs_detach(gs_call *call, gs_task *task)
{
    call->api->detach(call, task);
}
/* The task's own context: done once it is asked to stop, under a shield as well. */
static inline gs_ctx *gs_ctx_current(gs_call *call)
{
    return call->api->ctx_current(call);
}
/* A context of the task's own, released when it ends; done when it is cancelled or `parent` is.
 * NULL when memory ran out. */
static inline gs_ctx *gs_ctx_with_cancel(gs_call *call, gs_ctx *parent)
{
    return call->api->ctx_with_cancel(call, parent);
}
/* The same, done as well `ns` from now. */
static inline gs_ctx *gs_ctx_with_timeout(gs_call *call, gs_ctx *parent, int64_t ns)
{
    return call->api->ctx_with_timeout(call, parent, ns);
}
/* Cancels it and all below it, and wakes who waits there; once is enough. `cause` is copied and may
 * be NULL. Never parks. */
static inline void gs_ctx_cancel(gs_call *call, gs_ctx *ctx, const char *cause)
{
    call->api->ctx_cancel(call, ctx, cause);
}
/* Whether it is done, by a cancel or its time. */
static inline bool gs_ctx_done(gs_call *call, gs_ctx *ctx)
{
    return call->api->ctx_done(call, ctx);
}

/* ---- saying something ---- */

/* Read from Python as task.progress. Two stores; `total` may be 0 where it is not known. */
static inline void gs_progress(gs_call *call, int64_t done, int64_t total)
{
    call->api->progress(call, done, total);
}
/* A line for Python's logger "pygostop.task", as printf makes it, behind the task's name. Never
 * waits. */
GS__PRINTF(2, 3) static inline void gs_log(gs_call *call, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    call->api->vlog(call, fmt, args);
    va_end(args);
}

/* ---- making tasks known ---- */

/* What a library or a capsule tells of one task. */
typedef struct gs_def {
    uint32_t version; /* GS_VERSION at its build */
    uint32_t reserved;
    gs_fn *fn;
    const char *name;
    const char *signature; /* NULL, or as in GS_SIG */
} gs_def;

/* What GS_EXPORT tells of a library. */
typedef struct gs_library {
    uint32_t version; /* GS_VERSION at its build */
    uint32_t count;
    const gs_def *tasks;
} gs_library;

/* A capsule of this name holds a `const gs_def *`. */
#define GS_CAPSULE_NAME "pygostop.task"

/* Defines `int f(gs_call *call)` with C linkage, visible by that name. */
#ifdef GS__AUTO
#define GS_TASK(f)                                                                        \
    __attribute__((visibility("hidden"))) int GS__CAT(gs__auto_task_, f)(gs_call * call); \
    GS__EXTERN_C GS__VISIBLE int f(gs_call *call);                                        \
    GS__EXTERN_C GS__VISIBLE int f(gs_call *call)                                         \
    {                                                                                     \
        gs_auto_begin(call);                                                              \
        return GS__CAT(gs__auto_task_, f)(call);                                          \
    }                                                                                     \
    int GS__CAT(gs__auto_task_, f)(gs_call * call)
#else
#define GS_TASK(f)                                 \
    GS__EXTERN_C GS__VISIBLE int f(gs_call *call); \
    GS__EXTERN_C GS__VISIBLE int f(gs_call *call)
#endif

/* In GS_EXPORT in the place of a name: names and kinds of the arguments as well, as in
 * GS_SIG(primes, "limit: int, out: Chan[int]"). */
#define GS_SIG(f, signature) (f, signature)

#define GS__CAT(a, b) GS__CAT_(a, b)
#define GS__CAT_(a, b) a##b
#define GS__SECOND(...) GS__SECOND_(__VA_ARGS__)
#define GS__SECOND_(a, b, ...) b
#define GS__PROBE(...) ~, 1
#define GS__IS_SIG(x) GS__SECOND(GS__PROBE x, 0, ~)
#define GS__DEF(x) GS__CAT(GS__DEF_, GS__IS_SIG(x))(x)
#define GS__DEF_0(f) {GS_VERSION, 0, f, #f, NULL},
#define GS__DEF_1(x) GS__DEF_2 x
#define GS__DEF_2(f, signature) {GS_VERSION, 0, f, #f, signature},

#define GS__EACH_1(x) GS__DEF(x)
#define GS__EACH_2(x, ...) GS__DEF(x) GS__EACH_1(__VA_ARGS__)
#define GS__EACH_3(x, ...) GS__DEF(x) GS__EACH_2(__VA_ARGS__)
#define GS__EACH_4(x, ...) GS__DEF(x) GS__EACH_3(__VA_ARGS__)
#define GS__EACH_5(x, ...) GS__DEF(x) GS__EACH_4(__VA_ARGS__)
#define GS__EACH_6(x, ...) GS__DEF(x) GS__EACH_5(__VA_ARGS__)
#define GS__EACH_7(x, ...) GS__DEF(x) GS__EACH_6(__VA_ARGS__)
#define GS__EACH_8(x, ...) GS__DEF(x) GS__EACH_7(__VA_ARGS__)
#define GS__EACH_9(x, ...) GS__DEF(x) GS__EACH_8(__VA_ARGS__)
#define GS__EACH_10(x, ...) GS__DEF(x) GS__EACH_9(__VA_ARGS__)
#define GS__EACH_11(x, ...) GS__DEF(x) GS__EACH_10(__VA_ARGS__)
#define GS__EACH_12(x, ...) GS__DEF(x) GS__EACH_11(__VA_ARGS__)
#define GS__EACH_13(x, ...) GS__DEF(x) GS__EACH_12(__VA_ARGS__)
#define GS__EACH_14(x, ...) GS__DEF(x) GS__EACH_13(__VA_ARGS__)
#define GS__EACH_15(x, ...) GS__DEF(x) GS__EACH_14(__VA_ARGS__)
#define GS__EACH_16(x, ...) GS__DEF(x) GS__EACH_15(__VA_ARGS__)
#define GS__EACH_17(x, ...) GS__DEF(x) GS__EACH_16(__VA_ARGS__)
#define GS__EACH_18(x, ...) GS__DEF(x) GS__EACH_17(__VA_ARGS__)
#define GS__EACH_19(x, ...) GS__DEF(x) GS__EACH_18(__VA_ARGS__)
#define GS__EACH_20(x, ...) GS__DEF(x) GS__EACH_19(__VA_ARGS__)
#define GS__EACH_21(x, ...) GS__DEF(x) GS__EACH_20(__VA_ARGS__)
#define GS__EACH_22(x, ...) GS__DEF(x) GS__EACH_21(__VA_ARGS__)
#define GS__EACH_23(x, ...) GS__DEF(x) GS__EACH_22(__VA_ARGS__)
#define GS__EACH_24(x, ...) GS__DEF(x) GS__EACH_23(__VA_ARGS__)
#define GS__EACH_25(x, ...) GS__DEF(x) GS__EACH_24(__VA_ARGS__)
#define GS__EACH_26(x, ...) GS__DEF(x) GS__EACH_25(__VA_ARGS__)
#define GS__EACH_27(x, ...) GS__DEF(x) GS__EACH_26(__VA_ARGS__)
#define GS__EACH_28(x, ...) GS__DEF(x) GS__EACH_27(__VA_ARGS__)
#define GS__EACH_29(x, ...) GS__DEF(x) GS__EACH_28(__VA_ARGS__)
#define GS__EACH_30(x, ...) GS__DEF(x) GS__EACH_29(__VA_ARGS__)
#define GS__EACH_31(x, ...) GS__DEF(x) GS__EACH_30(__VA_ARGS__)
#define GS__EACH_32(x, ...) GS__DEF(x) GS__EACH_31(__VA_ARGS__)
#define GS__COUNT(...)                                                                          \
    GS__COUNT_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, \
               15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define GS__COUNT_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17,   \
                   a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, n, \
                   ...)                                                                          \
    n

/* Lists a library's tasks, once a library, at most 32: GS_EXPORT(primes, GS_SIG(walk, "root: str")); */
#define GS_EXPORT(...)                                                                          \
    static const gs_def gs__defs[] = {GS__CAT(GS__EACH_, GS__COUNT(__VA_ARGS__))(__VA_ARGS__)}; \
    GS__EXTERN GS__VISIBLE const gs_library gs_library_exports;                                 \
    const gs_library gs_library_exports = {                                                     \
        GS_VERSION, (uint32_t)(sizeof gs__defs / sizeof gs__defs[0]), gs__defs}

#ifdef __cplusplus
}
#endif
#endif
