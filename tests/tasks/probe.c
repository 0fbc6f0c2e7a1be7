/* probe.c: C tasks that the tests start, each for one thing. A library of its own, built against
 * pygostop.h alone. */
#define _POSIX_C_SOURCE 200809L
#include <pygostop.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- arguments and results ---- */

GS_TASK(add)
{
    return gs_return_int(call, gs_arg_int(call, 0) + gs_arg_int(call, 1));
}

GS_TASK(half)
{
    return gs_return_float(call, gs_arg_float(call, 0) / 2);
}

GS_TASK(echo_str)
{
    size_t size;
    const char *s = gs_arg_str(call, 0, &size);
    return gs_return_str(call, s, size);
}

GS_TASK(echo_bytes)
{
    size_t size;
    const void *data = gs_arg_bytes(call, 0, &size);
    return gs_return_bytes(call, data, size);
}

GS_TASK(nothing)
{
    return gs_nargs(call) == 0 ? GS_OK : gs_fail(call, 2, "%d arguments", gs_nargs(call));
}

GS_TASK(return_bad_utf8)
{
    return gs_return_str(call, "\xff\xfe", 2);
}

/* Fills a writable buffer with a byte; how many there were. */
GS_TASK(fill)
{
    size_t size;
    void *data = gs_arg_buffer(call, 0, &size);
    memset(data, (int)gs_arg_int(call, 1), size);
    return gs_return_int(call, (int64_t)size);
}

GS_TASK(sum_doubles)
{
    size_t count;
    const double *x = (const double *)gs_arg_array(call, 0, GS_FLOAT64, &count);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    return gs_return_float(call, sum);
}

/* The sum of a matrix of doubles along its strides. */
GS_TASK(sum_strided)
{
    const gs_view *v = gs_arg_view(call, 0);
    double sum = 0;
    if (v->ndim != 2 || v->itemsize != sizeof(double))
        return gs_fail(call, 1, "ndim %d, itemsize %zu, format %s", v->ndim, v->itemsize, v->format);
    for (ptrdiff_t i = 0; i < v->shape[0]; i++)
        for (ptrdiff_t k = 0; k < v->shape[1]; k++)
            sum += *(const double *)((const char *)v->data + i * v->strides[0] + k * v->strides[1]);
    return gs_return_float(call, sum);
}

/* ---- failing ---- */

GS_TASK(fail_with)
{
    return gs_fail(call, (int)gs_arg_int(call, 0), "%s", gs_arg_str(call, 1, NULL));
}

GS_TASK(return_code)
{
    return (int)gs_arg_int(call, 0);
}

static void add_one(void *count)
{
    ++*(int *)count;
}

/* Reads a missing argument after a defer: the defer must have run. */
GS_TASK(missing_after_defer)
{
    size_t size;
    int *count = (int *)gs_arg_buffer(call, 0, &size);
    GS_TRY(gs_defer(call, add_one, count));
    return gs_return_int(call, gs_arg_int(call, 7));
}

/* ---- stopping ---- */

GS_TASK(sleep_long)
{
    return gs_sleep(call, GS_S(1000));
}

/* The same, and its defer adds one to the int in a buffer. */
GS_TASK(sleep_with_defer)
{
    size_t size;
    GS_TRY(gs_defer(call, add_one, gs_arg_buffer(call, 0, &size)));
    return gs_sleep(call, GS_S(1000));
}

GS_TASK(busy)
{
    for (;;)
        GS_CHECKPOINT(call);
}

/* Stops only when its int says so: a library that polls one. */
GS_TASK(poll_flag)
{
    const volatile int *stop = gs_stop_flag(call);
    while (!*stop)
        ;
    return GS_ECANCELED;
}

GS_TASK(poll_fd)
{
    struct pollfd p = {gs_stop_fd(call), POLLIN, 0};
    if (p.fd < 0 || p.fd != gs_stop_fd(call))
        return gs_fail(call, 1, "stop fd %d", p.fd);
    gs_block_begin(call);
    poll(&p, 1, -1);
    gs_block_end(call);
    return p.revents & POLLIN ? GS_ECANCELED : gs_fail(call, 1, "revents %d", p.revents);
}

static void set_flag(void *flag)
{
    __atomic_store_n((int *)flag, 1, __ATOMIC_SEQ_CST);
}

GS_TASK(poll_hook)
{
    int flag = 0;
    GS_TRY(gs_on_cancel(call, set_flag, &flag));
    while (!__atomic_load_n(&flag, __ATOMIC_SEQ_CST))
        ;
    return GS_ECANCELED;
}

/* Asked to stop, it gives this int instead: that counts. */
GS_TASK(finish_anyway)
{
    int code = gs_sleep(call, GS_S(1000));
    return code == GS_ECANCELED ? gs_return_int(call, 42) : code;
}

GS_TASK(wait_for_ctx)
{
    gs_case done = GS_CASE_DONE(gs_arg_ctx(call, 0));
    int code = gs_select(call, &done, 1, GS_FOREVER);
    return code < 0 ? code : gs_return_int(call, 1);
}

/* Says when it begins, cleans up under a shield, and says when that is done: chan, milliseconds. */
GS_TASK(clean_up_slowly)
{
    gs_chan *out = gs_arg_chan(call, 0, GS_INT64);
    int64_t n = 1, ms = gs_arg_int(call, 1);
    GS_TRY(gs_send(call, out, &n));
    int code = gs_sleep(call, GS_S(1000));
    gs_shield_begin(call);
    if (gs_cancelled(call) || gs_sleep(call, GS_MS(ms)) != GS_OK)
        code = gs_fail(call, 3, "the shield let the cancel through");
    n = 2;
    gs_send(call, out, &n);
    gs_shield_end(call);
    return gs_cancelled(call) ? code : gs_fail(call, 4, "the cancel is gone");
}

GS_TASK(leave_shield_open)
{
    gs_shield_begin(call);
    return GS_OK;
}

/* ---- channels, tasks ---- */

GS_TASK(double_ints)
{
    gs_chan *in = gs_arg_chan(call, 0, GS_INT64), *out = gs_arg_chan(call, 1, GS_INT64);
    int64_t n;
    int code;
    while ((code = gs_recv(call, in, &n)) == GS_OK) {
        n *= 2;
        GS_TRY(gs_send(call, out, &n));
    }
    gs_close(call, out);
    return code == GS_ECLOSED ? GS_OK : code;
}

GS_TASK(recv_one)
{
    int64_t n;
    GS_TRY(gs_recv(call, gs_arg_chan(call, 0, GS_INT64), &n));
    return gs_return_int(call, n);
}

GS_TASK(pass_objects)
{
    gs_chan *in = gs_arg_chan(call, 0, GS_OBJECT), *out = gs_arg_chan(call, 1, GS_OBJECT);
    void *object;
    int code;
    while ((code = gs_recv(call, in, &object)) == GS_OK)
        GS_TRY(gs_send(call, out, &object));
    return code == GS_ECLOSED ? GS_OK : code;
}

/* Receives a string and keeps it: it is released with the task. */
GS_TASK(keep_str)
{
    gs_str s;
    GS_TRY(gs_recv(call, gs_arg_chan(call, 0, GS_STR), &s));
    return gs_return_int(call, (int64_t)s.size);
}

/* fibonacci(n), or fibonacci(n, out) as it starts itself: a tree of tasks. */
GS_TASK(fibonacci)
{
    int64_t n = gs_arg_int(call, 0), sum = n;
    if (n >= 2) {
        gs_chan *parts = gs_chan_new(call, GS_INT64, 2);
        sum = 0;
        for (int k = 1; k <= 2; k++) {
            gs_value args[] = {GS_ARG_INT(n - k), GS_ARG_CHAN(parts)};
            if (!parts || !gs_go(call, fibonacci, args, 2))
                return gs_fail(call, GS_ENOMEM, "no memory for fibonacci(%d)", (int)(n - k));
        }
        for (int k = 0; k < 2; k++) {
            int64_t part;
            GS_TRY(gs_recv(call, parts, &part));
            sum += part;
        }
    }
    if (gs_nargs(call) == 1)
        return gs_return_int(call, sum);
    return gs_send(call, gs_arg_chan(call, 1, GS_INT64), &sum);
}

GS_TASK(join_itself)
{
    return gs_join(call, (gs_task *)call, NULL);
}

GS_TASK(start_sleeper)
{
    gs_task *child = gs_go(call, sleep_long, NULL, 0);
    if (!child)
        return gs_fail(call, 1, "no memory");
    gs_detach(call, child);
    return GS_OK;
}

GS_TASK(say_progress)
{
    gs_chan *go_on = gs_arg_chan(call, 0, GS_INT64);
    int64_t n;
    gs_progress(call, 3, 10);
    GS_TRY(gs_recv(call, go_on, &n));
    gs_progress(call, 10, 10);
    gs_log(call, "said %d of %d", 10, 10);
    return GS_OK;
}

static int burn(gs_call *call, int depth)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    return gs_nargs(call) < depth ? burn(call, depth + 1) + frame[0] : 0;
}

GS_TASK(overflow)
{
    return burn(call, 1);
}

GS_EXPORT(add, GS_SIG(half, "x: float"), echo_str);

/* ---- progress ---- */

/* Says each number that it receives, of a hundred. */
GS_TASK(say_each)
{
    gs_chan *numbers = gs_arg_chan(call, 0, GS_INT64);
    int64_t n;
    int code;
    while ((code = gs_recv(call, numbers, &n)) == GS_OK)
        gs_progress(call, n, 100);
    return code == GS_ECLOSED ? GS_OK : code;
}

/* Says each number up to n as fast as it can; then fails, where it is to. */
GS_TASK(count_up)
{
    int64_t n = gs_arg_int(call, 0);
    int fails = gs_nargs(call) > 1;
    for (int64_t i = 1; i <= n; i++) {
        gs_progress(call, i, n);
        GS_CHECKPOINT(call);
    }
    return fails ? gs_fail(call, 7, "counted in vain") : GS_OK;
}

/* Sends its second argument on its first. */
GS_TASK(send_one)
{
    gs_chan *out = gs_arg_chan(call, 0, GS_INT64);
    int64_t n = gs_arg_int(call, 1);
    return gs_send(call, out, &n);
}

/* ---- buffers ---- */

/* Where its argument lies. */
GS_TASK(address_of)
{
    size_t size;
    return gs_return_int(call, (int64_t)(intptr_t)gs_arg_bytes(call, 0, &size));
}

/* Adds one to each byte of its first argument, each time it receives something. */
GS_TASK(bump_when_told)
{
    size_t size;
    unsigned char *data = (unsigned char *)gs_arg_buffer(call, 0, &size);
    gs_chan *told = gs_arg_chan(call, 1, GS_INT64), *done = gs_arg_chan(call, 2, GS_INT64);
    int64_t n;
    int code;
    while ((code = gs_recv(call, told, &n)) == GS_OK) {
        for (size_t i = 0; i < size; i++)
            data[i]++;
        GS_TRY(gs_send(call, done, &n));
    }
    return code == GS_ECLOSED ? GS_OK : code;
}

typedef struct pair {
    int64_t n;
    double x;
} pair;

GS_TASK(sum_pairs)
{
    size_t count;
    const pair *pairs = (const pair *)gs_arg_array(call, 0, GS_RECORD(pair), &count);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)pairs[i].n * pairs[i].x;
    return gs_return_float(call, sum);
}
