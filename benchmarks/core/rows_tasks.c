/* rows_tasks.c: rows of tasks: switching, starting, ending, memory, the checkpoint. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

/* ---- switch: two tasks give way to one another ---- */

static int yielder(gs_call *call)
{
    int64_t n = gs_arg_int(call, 0);
    for (int64_t i = 0; i < n; i++)
        GS_TRY(gs_yield(call));
    return GS_OK;
}

static void switch_body(void *arg, long n)
{
    gs_call *call = arg;
    gs_value half = GS_ARG_INT(n / 2);
    gs_task *a = bench_go(call, yielder, &half, 1);
    gs_task *b = bench_go(call, yielder, &half, 1);
    bench_join(call, a);
    bench_join(call, b);
}

static int row_switch(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, bench_times(run, 2000000), switch_body, call);
    return GS_OK;
}

/* ---- spawn_batch: a thousand at a time, then wait for all ---- */

enum { BATCH = 1000 };

static int nothing(gs_call *call)
{
    return GS_OK;
}

static void spawn_batch_body(void *arg, long n)
{
    gs_call *call = arg;
    gs_task *tasks[BATCH];
    for (long done = 0; done < n; done += BATCH) {
        for (int i = 0; i < BATCH; i++)
            tasks[i] = bench_go(call, nothing, NULL, 0);
        for (int i = 0; i < BATCH; i++)
            bench_join(call, tasks[i]);
    }
}

static int row_spawn_batch(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, (bench_times(run, 500000) + BATCH - 1) / BATCH * BATCH, spawn_batch_body, call);
    return GS_OK;
}

/* ---- spawn_join: one, wait for it, the next ---- */

static void spawn_join_body(void *arg, long n)
{
    gs_call *call = arg;
    for (long i = 0; i < n; i++)
        bench_join(call, bench_go(call, nothing, NULL, 0));
}

static int row_spawn_join(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, bench_times(run, 500000), spawn_join_body, call);
    return GS_OK;
}

/* ---- skynet: a tree of 1,111,111 tasks, ten children to each, that adds up its leaves ---- */

enum { CHILDREN = 10 };

static int skynet(gs_call *call)
{
    gs_chan *out = gs_arg_chan(call, 0, GS_INT64);
    int64_t first = gs_arg_int(call, 1), size = gs_arg_int(call, 2);
    if (size == 1)
        return gs_send(call, out, &first);
    gs_chan *sums = gs_chan_new(call, GS_INT64, CHILDREN);
    if (!sums)
        return GS_ENOMEM;
    for (int i = 0; i < CHILDREN; i++) {
        gs_value args[] = {GS_ARG_CHAN(sums), GS_ARG_INT(first + i * (size / CHILDREN)),
                           GS_ARG_INT(size / CHILDREN)};
        if (!gs_go(call, skynet, args, 3))
            return GS_ENOMEM;
    }
    int64_t sum = 0;
    for (int i = 0; i < CHILDREN; i++) {
        int64_t part;
        GS_TRY(gs_recv(call, sums, &part));
        sum += part;
    }
    return gs_send(call, out, &sum);
}

static double skynet_body(void *arg, const bench_run *run)
{
    gs_call *call = arg;
    int64_t leaves = 1, tasks = 1, sum;
    for (long most = bench_times(run, 1000000); leaves * CHILDREN <= most; tasks += leaves)
        leaves *= CHILDREN;
    gs_chan *sums = bench_chan(call, 1);
    gs_value args[] = {GS_ARG_CHAN(sums), GS_ARG_INT(0), GS_ARG_INT(leaves)};
    int64_t start = bench_now();
    gs_task *root = bench_go(call, skynet, args, 3);
    bench_expect(gs_recv(call, sums, &sum) == GS_OK, "the sum of the leaves");
    int64_t elapsed = bench_now() - start;
    bench_expect(sum == leaves * (leaves - 1) / 2, "the sum of the leaves to be right");
    bench_join(call, root);
    return (double)elapsed / (double)tasks;
}

static int row_skynet(gs_call *call)
{
    bench_timed(gs_arg_ptr(call, 0), skynet_body, call);
    return GS_OK;
}

/* ---- parked_memory: resident memory of one parked task out of a million ---- */

static long resident(void)
{
    long size, pages = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &size, &pages) != 2)
            pages = -1;
        fclose(file);
    }
    bench_expect(pages >= 0, "/proc/self/statm, which tells the resident memory");
    return pages * sysconf(_SC_PAGESIZE);
}

static int sleeper(gs_call *call)
{
    gs_chan *stop = gs_arg_chan(call, 0, GS_INT64);
    atomic_long *parked = gs_arg_ptr(call, 1);
    atomic_fetch_add(parked, 1);
    int64_t none;
    return gs_recv(call, stop, &none) == GS_ECLOSED ? GS_OK : GS_EINVAL;
}

static int row_parked_memory(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    long n = bench_times(run, 1000000), before = resident();
    static atomic_long parked;
    gs_chan *stop = bench_chan(call, 0);
    gs_value args[] = {GS_ARG_CHAN(stop), GS_ARG_PTR(&parked)};
    for (long i = 0; i < n; i++)
        gs_detach(call, bench_go(call, sleeper, args, 2));
    bench_await_parked(call, &parked, n);
    bench_say("value", (double)(resident() - before) / (double)n);
    return gs_close(call, stop);
}

/* ---- checkpoint: a loop that does nothing else, the loop included ---- */

static int checkpoint_loop(gs_call *call, long n)
{
    for (long i = 0; i < n; i++) {
        GS_CHECKPOINT(call);
        __asm__ volatile("" : "+r"(i));
    }
    return GS_OK;
}

static void checkpoint_body(void *arg, long n)
{
    bench_expect(checkpoint_loop(arg, n) == GS_OK, "checkpoints that do not stop the task");
}

static int row_checkpoint(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, bench_times(run, 100000000), checkpoint_body, call);
    return GS_OK;
}

const bench_row bench_task_rows[] = {
    {"switch", row_switch, NULL},
    {"spawn_batch", row_spawn_batch, NULL},
    {"spawn_join", row_spawn_join, NULL},
    {"skynet", row_skynet, NULL},
    {"parked_memory", row_parked_memory, NULL},
    {"checkpoint", row_checkpoint, NULL},
    {NULL, NULL, NULL},
};
