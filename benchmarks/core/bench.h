/* bench.h: what the rows of the core's benchmark share.
 *
 * A row is a task, or a function on the main thread, which is a foreign thread to the runtime. It
 * prints lines of a key and a number: one sample each. Tasks use pygostop.h alone, as users do; only
 * the main thread and the floors look into the core. Whatever goes wrong in a row ends the program. */
#ifndef BENCH_H
#define BENCH_H

#include <pygostop.h>

#include <stdatomic.h>

/* One invocation. */
typedef struct bench_run {
    long scale; /* divides the number of repetitions */
    int samples;
    long size; /* of a row that can be of several; 0: its own */
} bench_run;

typedef struct bench_row {
    const char *name;
    gs_fn *task;                        /* runs as a task whose argument 0 is the bench_run */
    void (*outside)(const bench_run *); /* or, where task is NULL, on the main thread */
} bench_row;

/* Tables of rows, each ended by one without a name. */
extern const bench_row bench_task_rows[], bench_chan_rows[], bench_cancel_rows[];
/* Rows whose cost may grow with their size. */
extern const bench_row bench_growth_rows[];
/* The same work without a runtime: the least that it can cost. */
extern const bench_row bench_floor_rows[];

/* The size asked for, else n. */
long bench_size(const bench_run *run, long n);
/* The same divided by the scale, at least 1. */
long bench_times(const bench_run *run, long n);
int64_t bench_now(void);
void bench_say(const char *key, double value);
/* Where `ok` is false, ends the program: `what` was expected of this row. */
void bench_expect(bool ok, const char *what);

/* Runs body(arg, n) once unrecorded, to warm up, then once a sample, and prints the nanoseconds of
 * one of its n things. */
void bench_each(const bench_run *run, long n, void (*body)(void *arg, long n), void *arg);
/* The same for a body that gives its own time. */
void bench_timed(const bench_run *run, double (*body)(void *arg, const bench_run *run), void *arg);

/* gs_go that cannot fail. */
gs_task *bench_go(gs_call *call, gs_fn *fn, const gs_value *args, int nargs);
/* gs_join that expects the task to have returned GS_OK. */
void bench_join(gs_call *call, gs_task *task);
gs_chan *bench_chan(gs_call *call, size_t capacity);
/* Gives way until `count` tasks have counted themselves, and then long enough for them to park. */
void bench_await_parked(gs_call *call, atomic_long *counter, long count);

#endif
