/* bench.c: the program: finds the row, starts the runtime, runs the row.
 *
 * Usage: corebench ROW SCALE SAMPLES WORKERS [SIZE], or corebench floor:ROW SCALE SAMPLES 0. */
#include "bench.h"

#include "sched.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *row_name;

long bench_size(const bench_run *run, long n)
{
    return run->size ? run->size : n;
}

long bench_times(const bench_run *run, long n)
{
    long times = bench_size(run, n) / run->scale;
    return times > 0 ? times : 1;
}

int64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return GS_S(t.tv_sec) + t.tv_nsec;
}

void bench_say(const char *key, double value)
{
    printf("%s %.6g\n", key, value);
}

void bench_expect(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "corebench: %s: expected %s\n", row_name, what);
    exit(1);
}

void bench_each(const bench_run *run, long n, void (*body)(void *arg, long n), void *arg)
{
    body(arg, n);
    for (int i = 0; i < run->samples; i++) {
        int64_t start = bench_now();
        body(arg, n);
        bench_say("value", (double)(bench_now() - start) / (double)n);
    }
}

void bench_timed(const bench_run *run, double (*body)(void *arg, const bench_run *run), void *arg)
{
    body(arg, run);
    for (int i = 0; i < run->samples; i++)
        bench_say("value", body(arg, run));
}

gs_task *bench_go(gs_call *call, gs_fn *fn, const gs_value *args, int nargs)
{
    gs_task *task = gs_go_named(call, fn, "bench", args, nargs);
    bench_expect(task != NULL, "memory for one more task");
    return task;
}

void bench_join(gs_call *call, gs_task *task)
{
    int code;
    bench_expect(gs_join(call, task, &code) == GS_OK, "to be able to wait for a task");
    bench_expect(code == GS_OK, "a task to end well");
}

gs_chan *bench_chan(gs_call *call, size_t capacity)
{
    gs_chan *ch = gs_chan_new(call, GS_INT64, capacity);
    bench_expect(ch != NULL, "memory for one more channel");
    return ch;
}

void bench_await_parked(gs_call *call, atomic_long *counter, long count)
{
    while (atomic_load(counter) < count)
        bench_expect(gs_yield(call) == GS_OK, "to be able to give way");
    bench_expect(gs_sleep(call, GS_MS(2)) == GS_OK, "to be able to sleep");
}

static const bench_row *find(const bench_row *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static const bench_row *find_any(const char *name)
{
    static const bench_row *const tables[] = {bench_task_rows, bench_chan_rows, bench_cancel_rows,
                                              bench_growth_rows};
    if (strncmp(name, "floor:", 6) == 0)
        return find(bench_floor_rows, name + 6);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const bench_row *row = find(tables[i], name);
        if (row)
            return row;
    }
    return NULL;
}

/* A number of at least `least`, or the end of the program. */
static long number(const char *text, long least)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < least) {
        fprintf(stderr, "corebench: \"%s\" is no number of %ld or more\n", text, least);
        exit(2);
    }
    return n;
}

/* The row's task, run to its end. */
static void run_task(const bench_row *row, const bench_run *run)
{
    gs_value arg = GS_ARG_PTR((void *)run);
    int error = GS_OK;
    gs_task *task = gs__task_spawn(&(gs__spawn){.fn = row->task,
                                                .name = row->name,
                                                .parent = gs__ctx_background(),
                                                .args = &arg,
                                                .nargs = 1,
                                                .flags = GS__TASK_STATIC_NAME},
                                   &error);
    bench_expect(task != NULL, "to be able to start a task");
    bench_expect(gs__task_wait(task, NULL, GS_FOREVER) == GS_OK, "the row's task to end");
    bench_expect(task->code == GS_OK, "the row's task to end well");
    gs__task_unref(task);
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: corebench ROW SCALE SAMPLES WORKERS [SIZE]\n");
        return 2;
    }
    const bench_row *row = find_any(argv[1]);
    if (!row) {
        fprintf(stderr, "corebench: there is no row \"%s\"\n", argv[1]);
        return 2;
    }
    row_name = argv[1];
    bench_run run = {.scale = number(argv[2], 1),
                     .samples = (int)number(argv[3], 1),
                     .size = argc == 6 ? number(argv[5], 1) : 0};
    int workers = (int)number(argv[4], 0);
    if (workers > 0) {
        bench_expect(gs__configure(workers, 0) == GS_OK, "a number of workers that is possible");
        bench_expect(gs__runtime_start() == GS_OK, "to be able to start the runtime");
    }
    if (row->task)
        run_task(row, &run);
    else
        row->outside(&run);
    if (workers > 0)
        bench_expect(gs__runtime_stop(gs__deadline(GS_S(60))) == 0, "no task left at the end");
    return 0;
}
