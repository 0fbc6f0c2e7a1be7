/* rows_cancel.c: rows of contexts and of stopping. */
#include "bench.h"

#include "task.h"

#include <stdlib.h>
#include <time.h>

enum { MANY = 10000 };

static atomic_long waiting;

/* ---- cancel_parked: from the cancel of one context until the 10,000 tasks that wait for it have
 * ended ---- */

static int done_waiter(gs_call *call)
{
    gs_case done = GS_CASE_DONE(gs_arg_ctx(call, 0));
    atomic_fetch_add(&waiting, 1);
    return gs_select(call, &done, 1, GS_FOREVER) == 0 ? GS_OK : GS_EINVAL;
}

static double cancel_parked_body(void *arg, const bench_run *run)
{
    gs_call *call = arg;
    long n = bench_size(run, MANY);
    static gs_task *tasks[MANY];
    bench_expect(n <= MANY, "a size of 10,000 at most");
    gs_ctx *ctx = gs_ctx_with_cancel(call, gs_ctx_current(call));
    bench_expect(ctx != NULL, "memory for a context");
    gs_value of = GS_ARG_CTX(ctx);
    atomic_store(&waiting, 0);
    for (long i = 0; i < n; i++)
        tasks[i] = bench_go(call, done_waiter, &of, 1);
    bench_await_parked(call, &waiting, n);
    int64_t start = bench_now();
    gs_ctx_cancel(call, ctx, NULL);
    for (long i = 0; i < n; i++)
        bench_join(call, tasks[i]);
    return (double)(bench_now() - start);
}

static int row_cancel_parked(gs_call *call)
{
    bench_timed(gs_arg_ptr(call, 0), cancel_parked_body, call);
    return GS_OK;
}

/* ---- cancel_children: the cancel of a context with 10,000 children that nobody waits for: the
 * call alone ---- */

/* A task of its own, so that its contexts are released when it ends. */
static int cancel_children_once(gs_call *call)
{
    double *elapsed = gs_arg_ptr(call, 0);
    gs_ctx *parent = gs_ctx_with_cancel(call, gs_ctx_current(call));
    if (!parent)
        return GS_ENOMEM;
    for (int64_t i = 0; i < MANY; i++)
        if (!gs_ctx_with_cancel(call, parent))
            return GS_ENOMEM;
    int64_t start = bench_now();
    gs_ctx_cancel(call, parent, NULL);
    *elapsed = (double)(bench_now() - start);
    return GS_OK;
}

static double cancel_children_body(void *arg, const bench_run *run)
{
    gs_call *call = arg;
    double elapsed;
    gs_value to = GS_ARG_PTR(&elapsed);
    bench_join(call, bench_go(call, cancel_children_once, &to, 1));
    return elapsed;
}

static int row_cancel_children(gs_call *call)
{
    bench_timed(gs_arg_ptr(call, 0), cancel_children_body, call);
    return GS_OK;
}

/* ---- cancel_tasks: the cancel of a context with 10,000 children, in each of which a task waits,
 * until all have ended; the children are the tasks' own contexts ---- */

static int parked_for_ever(gs_call *call)
{
    gs_chan *never = gs_arg_chan(call, 0, GS_INT64);
    int64_t none;
    atomic_fetch_add(&waiting, 1);
    return gs_recv(call, never, &none) == GS_ECANCELED ? GS_OK : GS_EINVAL;
}

/* The parent: it ends when its children have. */
static int nursery(gs_call *call)
{
    static gs_task *tasks[MANY];
    gs_chan *never = bench_chan(call, 0);
    gs_value arg = GS_ARG_CHAN(never);
    for (int64_t i = 0; i < MANY; i++)
        tasks[i] = bench_go(call, parked_for_ever, &arg, 1);
    gs_shield_begin(call);
    for (int64_t i = 0; i < MANY; i++)
        bench_join(call, tasks[i]);
    gs_shield_end(call);
    return GS_OK;
}

static double cancel_tasks_body(void *arg, const bench_run *run)
{
    gs_call *call = arg;
    atomic_store(&waiting, 0);
    gs_task *parent = bench_go(call, nursery, NULL, 0);
    bench_await_parked(call, &waiting, MANY);
    int64_t start = bench_now();
    gs_task_cancel(call, parent);
    bench_join(call, parent);
    return (double)(bench_now() - start);
}

static int row_cancel_tasks(gs_call *call)
{
    bench_timed(gs_arg_ptr(call, 0), cancel_tasks_body, call);
    return GS_OK;
}

/* ---- cancel_latency: from the cancel of a busy task, by a foreign thread, to its return ---- */

enum { LATENCIES = 1000 };

typedef struct busy_times {
    atomic_bool began;
    int64_t returned; /* written by the task, read once it has ended */
} busy_times;

static int busy_loop(gs_call *call)
{
    for (;;)
        GS_CHECKPOINT(call);
}

static int busy(gs_call *call)
{
    busy_times *times = gs_arg_ptr(call, 0);
    atomic_store(&times->began, true);
    int code = busy_loop(call);
    times->returned = bench_now();
    return code;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void row_cancel_latency(const bench_run *run)
{
    long n = bench_times(run, LATENCIES);
    static double latencies[LATENCIES];
    for (long i = 0; i < n; i++) {
        busy_times times = {0};
        gs_value arg = GS_ARG_PTR(&times);
        int error;
        gs_task *task = gs__task_spawn(&(gs__spawn){.fn = busy,
                                                    .name = "busy",
                                                    .parent = gs__ctx_background(),
                                                    .args = &arg,
                                                    .nargs = 1,
                                                    .flags = GS__TASK_STATIC_NAME},
                                       &error);
        bench_expect(task != NULL, "to be able to start a task");
        while (!atomic_load(&times.began))
            ;
        nanosleep(&(struct timespec){0, GS_US(200)}, NULL);
        int64_t start = bench_now();
        gs__task_cancel(task, NULL);
        bench_expect(gs__task_wait(task, NULL, GS_FOREVER) == GS_OK, "the busy task to end");
        latencies[i] = (double)(times.returned - start);
        gs__task_unref(task);
    }
    qsort(latencies, (size_t)n, sizeof *latencies, by_size);
    bench_say("p50", latencies[n / 2]);
    bench_say("p99", latencies[n * 99 / 100]);
}

const bench_row bench_cancel_rows[] = {
    {"cancel_parked", row_cancel_parked, NULL},
    {"cancel_children", row_cancel_children, NULL},
    {"cancel_tasks", row_cancel_tasks, NULL},
    {"cancel_latency", NULL, row_cancel_latency},
    {NULL, NULL, NULL},
};
