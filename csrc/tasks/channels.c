/* channels.c: tasks that fill a channel: repeat, count, primes. */
#include "tasks.h"

int64_t gs_tasks_seconds(gs_call *call, int i)
{
    double seconds = gs_arg_float(call, i);
    if (!(seconds >= 0))
        return gs_fail(call, GS_EINVAL,
                       "argument %d must be a number of seconds, 0 or more, not %g", i, seconds);
    return seconds >= 9e9 ? GS_FOREVER : (int64_t)(seconds * 1e9);
}

/* The end of a task that fills `ch`, whose last send gave `code`. */
static int end_with(gs_call *call, gs_chan *ch, int code)
{
    gs_close(call, ch);
    return code == GS_ECLOSED ? GS_OK : code;
}

/* ---- repeat(ch, value, interval) ---- */

static int repeat_item(gs_call *call, gs_chan *ch, const void *item, int64_t interval)
{
    for (;;) {
        GS_TRY(gs_send(call, ch, item));
        GS_TRY(gs_sleep(call, interval));
    }
}

static int repeat_str(gs_call *call, gs_chan *ch, const char *text, size_t size, int64_t interval)
{
    for (;;) {
        GS_TRY(gs_send_str(call, ch, text, size));
        GS_TRY(gs_sleep(call, interval));
    }
}

GS_TASKS_DEFINE(repeat)
{
    if (gs_arg_kind(call, 1) == GS_VALUE_STR) {
        size_t size;
        const char *text = gs_arg_str(call, 1, &size);
        gs_chan *ch = gs_arg_chan(call, 0, GS_STR);
        int64_t interval = gs_tasks_seconds(call, 2);
        return end_with(call, ch,
                        interval < 0 ? (int)interval : repeat_str(call, ch, text, size, interval));
    }
    int64_t value = gs_arg_int(call, 1);
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t interval = gs_tasks_seconds(call, 2);
    return end_with(call, ch,
                    interval < 0 ? (int)interval : repeat_item(call, ch, &value, interval));
}

/* ---- count(ch, start, stop, step=1) ---- */

static int count_up(gs_call *call, gs_chan *ch, int64_t n, int64_t stop, int64_t step)
{
    if (step == 0)
        return gs_fail(call, GS_EINVAL, "argument 3, the step, must not be 0");
    while (step > 0 ? n < stop : n > stop) {
        GS_TRY(gs_send(call, ch, &n));
        /* The next one may be beyond what an int64_t holds, and then beyond stop. */
        uint64_t left = step > 0 ? (uint64_t)stop - (uint64_t)n : (uint64_t)n - (uint64_t)stop;
        uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
        if (left <= stride)
            break;
        n += step;
    }
    return GS_OK;
}

GS_TASKS_DEFINE(count)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t start = gs_arg_int(call, 1), stop = gs_arg_int(call, 2);
    int64_t step = gs_nargs(call) > 3 ? gs_arg_int(call, 3) : 1;
    return end_with(call, ch, count_up(call, ch, start, stop, step));
}

/* ---- primes(ch, limit) ---- */

/* Trial division by the odd numbers up to the root: slow on purpose, as something to stop. */
static int is_prime(gs_call *call, int64_t n, bool *prime)
{
    *prime = n == 2 || n % 2;
    for (int64_t d = 3; *prime && d <= n / d; d += 2) {
        GS_CHECKPOINT(call);
        *prime = n % d != 0;
    }
    return GS_OK;
}

static int send_primes(gs_call *call, gs_chan *ch, int64_t limit)
{
    for (int64_t n = 2; n <= limit; n++) {
        bool prime;
        GS_CHECKPOINT(call);
        GS_TRY(is_prime(call, n, &prime));
        if (prime)
            GS_TRY(gs_send(call, ch, &n));
        if (n == INT64_MAX)
            break;
    }
    return GS_OK;
}

GS_TASKS_DEFINE(primes)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t limit = gs_arg_int(call, 1);
    return end_with(call, ch, send_primes(call, ch, limit));
}
