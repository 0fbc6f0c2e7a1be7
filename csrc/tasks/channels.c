/* channels.c: tasks that fill a channel. Each ends well when the channel is closed, and otherwise when it
 * is asked to stop. */
#include "tasks.h"

int64_t gs_tasks_seconds(gs_call *call, int i)
{
    double seconds = gs_arg_float(call, i);
    if (!(seconds >= 0))
        return gs_fail(call, GS_EINVAL, "argument %d must be a number of seconds, 0 or more", i);
    return seconds >= 9e9 ? GS_FOREVER : (int64_t)(seconds * 1e9);
}

/* What a send on `ch` ended with, as the task's own end. */
static int ended(int code)
{
    return code == GS_ECLOSED ? GS_OK : code;
}

/* ---- repeat(ch, value, interval) ---- */

static int repeat_int(gs_call *call, int64_t interval)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t value = gs_arg_int(call, 1);
    for (;;) {
        GS_TRY(gs_send(call, ch, &value));
        GS_TRY(gs_sleep(call, interval));
    }
}

static int repeat_str(gs_call *call, int64_t interval)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_STR);
    size_t size;
    const char *value = gs_arg_str(call, 1, &size);
    for (;;) {
        GS_TRY(gs_send_str(call, ch, value, size));
        GS_TRY(gs_sleep(call, interval));
    }
}

GS_TASKS_DEFINE(repeat)
{
    int64_t interval = gs_tasks_seconds(call, 2);
    GS_TRY(interval);
    return ended(gs_arg_kind(call, 1) == GS_VALUE_STR ? repeat_str(call, interval)
                                                      : repeat_int(call, interval));
}

/* ---- count(ch, start, stop, step) ---- */

static bool before(int64_t n, int64_t stop, int64_t step)
{
    return step > 0 ? n < stop : n > stop;
}

GS_TASKS_DEFINE(count)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t start = gs_arg_int(call, 1), stop = gs_arg_int(call, 2), step = gs_arg_int(call, 3);
    if (step == 0)
        return gs_fail(call, GS_EINVAL, "argument 3, the step, must not be 0");
    for (int64_t n = start; before(n, stop, step);) {
        int code = gs_send(call, ch, &n);
        if (code != GS_OK)
            return ended(code);
        /* The next one may be beyond what an int64_t holds, and then beyond stop. */
        uint64_t left = step > 0 ? (uint64_t)stop - (uint64_t)n : (uint64_t)n - (uint64_t)stop;
        uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
        if (left <= stride)
            break;
        n += step;
    }
    return GS_OK;
}

/* ---- primes(ch, limit) ---- */

/* Trial division by the odd numbers up to the root: slow on purpose, as something to stop. */
static int is_prime(gs_call *call, int64_t n, bool *prime)
{
    *prime = n == 2 || n % 2;
    for (int64_t d = 3; d <= n / d && *prime; d += 2) {
        GS_CHECKPOINT(call);
        *prime = n % d != 0;
    }
    return GS_OK;
}

GS_TASKS_DEFINE(primes)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t limit = gs_arg_int(call, 1);
    for (int64_t n = 2; n <= limit; n++) {
        bool prime;
        GS_CHECKPOINT(call);
        GS_TRY(is_prime(call, n, &prime));
        int code = prime ? gs_send(call, ch, &n) : GS_OK;
        if (code != GS_OK)
            return ended(code);
        if (n == INT64_MAX)
            break;
    }
    return GS_OK;
}
