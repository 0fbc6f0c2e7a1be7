/* rows_growth.c: rows that growth.py runs at many sizes: one of `size` things, so that what costs the same
 * however many there are gives the same number.
 *
 * Each body runs as a task of its own, so that what it made is released, and counted, with it. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdlib.h>
#include <time.h>

/* Things that one sample does, where the size is smaller; of a select, where each does SELECTS. */
enum { LEAST = 20000, SELECTS = 100, LEAST_CASES = LEAST / SELECTS };

static atomic_long waiting;

static int nothing(gs_call *call)
{
    return GS_OK;
}

/* Of all threads: what else runs on the machine does not count. */
static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A number below n; the same sequence in each run. */
static uint64_t scattered(uint64_t *state, uint64_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % n;
}

/* Memory for `count` of something, until the program's end: samples take it again. */
static void *room(size_t count, size_t size)
{
    static void *memory;
    static size_t held;
    if (count * size > held) {
        free(memory);
        memory = malloc(held = count * size);
        bench_expect(memory != NULL, "memory for a table");
    }
    return memory;
}

/* ---- the harness: body(call, size) as a task, as often as makes LEAST things ---- */

typedef double grow_body(gs_call *call, long size);

typedef struct grow {
    grow_body *body;
    long size, least;
    double elapsed; /* nanoseconds of the processor's time, as the body counts them */
} grow;

static int grow_once(gs_call *call)
{
    grow *one = gs_arg_ptr(call, 0);
    one->elapsed = one->body(call, one->size);
    return GS_OK;
}

static double grow_sample(void *arg, const bench_run *run)
{
    gs_call *call = ((void **)arg)[0];
    grow *one = ((void **)arg)[1];
    gs_value to = GS_ARG_PTR(one);
    long times = one->least / run->scale / one->size + 1;
    double elapsed = 0;
    for (long i = 0; i < times; i++) {
        bench_join(call, bench_go(call, grow_once, &to, 1));
        elapsed += one->elapsed;
    }
    return elapsed / (double)times / (double)one->size;
}

static int grow_row(gs_call *call, grow_body *body, long least)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    grow one = {.body = body, .size = bench_size(run, 1000), .least = least};
    bench_timed(run, grow_sample, (void *[]){call, &one});
    return GS_OK;
}

/* ---- tasks ---- */

static double spawn_body(gs_call *call, long size)
{
    gs_task **tasks = room((size_t)size, sizeof *tasks);
    double start = cpu_now();
    for (long i = 0; i < size; i++)
        tasks[i] = bench_go(call, nothing, NULL, 0);
    for (long i = 0; i < size; i++)
        bench_join(call, tasks[i]);
    return cpu_now() - start;
}

/* Each of `size` tasks gives way to the next. */
enum { TURNS = 10 };

static int takes_turns(gs_call *call)
{
    atomic_fetch_add(&waiting, 1);
    for (int i = 0; i < TURNS; i++)
        GS_TRY(gs_yield(call));
    return GS_OK;
}

static double ring_body(gs_call *call, long size)
{
    gs_task **tasks = room((size_t)size, sizeof *tasks);
    double start = cpu_now();
    for (long i = 0; i < size; i++)
        tasks[i] = bench_go(call, takes_turns, NULL, 0);
    for (long i = 0; i < size; i++)
        bench_join(call, tasks[i]);
    return (cpu_now() - start) / TURNS;
}

/* ---- channels, and who waits for one ---- */

static double channels_body(gs_call *call, long size)
{
    gs_chan **ch = room((size_t)size, sizeof(gs_chan *));
    double start = cpu_now();
    int64_t v;
    for (long i = 0; i < size; i++)
        ch[i] = bench_chan(call, 1);
    for (long i = 0; i < size; i++)
        bench_expect(gs_send(call, ch[i], &(int64_t){i}) == GS_OK, "room for a value");
    for (long i = 0; i < size; i++)
        bench_expect(gs_recv(call, ch[i], &v) == GS_OK && v == i, "the value that was sent");
    return cpu_now() - start;
}

static int waits(gs_call *call)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t v;
    atomic_fetch_add(&waiting, 1);
    gs_recv(call, ch, &v);
    return GS_OK;
}

/* `size` tasks that wait for one channel. */
static gs_task **waiters(gs_call *call, gs_chan *ch, long size)
{
    gs_task **tasks = room((size_t)size, sizeof *tasks);
    gs_value arg = GS_ARG_CHAN(ch);
    atomic_store(&waiting, 0);
    for (long i = 0; i < size; i++)
        tasks[i] = bench_go(call, waits, &arg, 1);
    bench_await_parked(call, &waiting, size);
    return tasks;
}

static double join_all(gs_call *call, gs_task **tasks, long size, double start)
{
    for (long i = 0; i < size; i++)
        bench_join(call, tasks[i]);
    return cpu_now() - start;
}

static double waiters_served_body(gs_call *call, long size)
{
    gs_chan *ch = bench_chan(call, 0);
    gs_task **tasks = waiters(call, ch, size);
    double start = cpu_now();
    for (int64_t i = 0; i < size; i++)
        bench_expect(gs_send(call, ch, &i) == GS_OK, "someone who waits");
    return join_all(call, tasks, size, start);
}

static double waiters_closed_body(gs_call *call, long size)
{
    gs_chan *ch = bench_chan(call, 0);
    gs_task **tasks = waiters(call, ch, size);
    double start = cpu_now();
    gs_close(call, ch);
    return join_all(call, tasks, size, start);
}

/* One by one, from anywhere in the queue. */
static double waiters_left_body(gs_call *call, long size)
{
    gs_chan *ch = bench_chan(call, 0);
    gs_task **tasks = waiters(call, ch, size);
    uint64_t state = 1;
    for (long i = size - 1; i > 0; i--) {
        long other = (long)scattered(&state, (uint64_t)i + 1);
        gs_task *task = tasks[i];
        tasks[i] = tasks[other];
        tasks[other] = task;
    }
    double start = cpu_now();
    for (long i = 0; i < size; i++)
        gs_task_cancel(call, tasks[i]);
    return join_all(call, tasks, size, start);
}

/* ---- select among `size` channels: the whole call, in parts of a case ---- */

typedef struct wide {
    gs_chan **ch;
    gs_case *cases;
    int64_t item;
} wide;

static wide widened(gs_call *call, long size, size_t capacity)
{
    wide w = {.ch = room((size_t)size, sizeof(gs_chan *) + sizeof(gs_case))};
    static int64_t item;
    w.cases = (gs_case *)(void *)(w.ch + size);
    for (long i = 0; i < size; i++) {
        w.ch[i] = bench_chan(call, capacity);
        w.cases[i] = GS_CASE_RECV(w.ch[i], &item);
    }
    return w;
}

static double select_ready_body(gs_call *call, long size)
{
    wide w = widened(call, size, SELECTS);
    for (int64_t i = 0; i < size; i++)
        while (gs_try_send(call, w.ch[i], &i) == GS_OK)
            ;
    double start = cpu_now();
    for (int i = 0; i < SELECTS; i++)
        if (gs_select(call, w.cases, (int)size, GS_FOREVER) < 0)
            bench_expect(false, "a case that is ready");
    return (cpu_now() - start) / SELECTS;
}

static int feeds(gs_call *call)
{
    gs_chan *last = gs_arg_chan(call, 0, GS_INT64);
    for (int64_t i = 0; i < SELECTS; i++)
        GS_TRY(gs_send(call, last, &i));
    return GS_OK;
}

/* None is ready: it parks among all of them, and a send on the last wakes it. */
static double select_parked_body(gs_call *call, long size)
{
    wide w = widened(call, size, 0);
    gs_value arg = GS_ARG_CHAN(w.ch[size - 1]);
    double start = cpu_now();
    gs_task *other = bench_go(call, feeds, &arg, 1);
    for (int i = 0; i < SELECTS; i++)
        if (gs_select(call, w.cases, (int)size, GS_FOREVER) != size - 1)
            bench_expect(false, "the case that was fed");
    bench_join(call, other);
    return (cpu_now() - start) / SELECTS;
}

/* ---- contexts and timers ---- */

static gs_ctx *child(gs_call *call, gs_ctx *parent)
{
    gs_ctx *ctx = gs_ctx_with_cancel(call, parent);
    bench_expect(ctx != NULL, "memory for one more context");
    return ctx;
}

/* A chain, cancelled at its root. */
static double ctx_depth_body(gs_call *call, long size)
{
    double start = cpu_now();
    gs_ctx *root = child(call, gs_ctx_current(call)), *last = root;
    for (long i = 1; i < size; i++)
        last = child(call, last);
    gs_ctx_cancel(call, root, NULL);
    bench_expect(gs_ctx_done(call, last), "the deepest to be done");
    return cpu_now() - start;
}

/* Many children of one, cancelled with it. */
static double ctx_width_body(gs_call *call, long size)
{
    double start = cpu_now();
    gs_ctx *root = child(call, gs_ctx_current(call)), *last = root;
    for (long i = 1; i < size; i++)
        last = child(call, root);
    gs_ctx_cancel(call, root, NULL);
    bench_expect(gs_ctx_done(call, last), "the last to be done");
    return cpu_now() - start;
}

/* Many children of one, each cancelled by itself, from anywhere among its siblings. */
static double ctx_each_body(gs_call *call, long size)
{
    gs_ctx **ctx = room((size_t)size, sizeof *ctx), *root = child(call, gs_ctx_current(call));
    uint64_t state = 1;
    double start = cpu_now();
    for (long i = 0; i < size; i++)
        ctx[i] = child(call, root);
    for (long i = size - 1; i >= 0; i--) {
        long other = (long)scattered(&state, (uint64_t)i + 1);
        gs_ctx_cancel(call, ctx[other], NULL);
        ctx[other] = ctx[i];
    }
    return cpu_now() - start;
}

/* Deadlines in no order, hours away, each given up before it comes. */
static double timers_body(gs_call *call, long size)
{
    gs_ctx **ctx = room((size_t)size, sizeof *ctx), *root = gs_ctx_current(call);
    uint64_t state = 1;
    double start = cpu_now();
    for (long i = 0; i < size; i++) {
        int64_t away = GS_S(3600) + (int64_t)scattered(&state, 1u << 30) * 1000;
        ctx[i] = gs_ctx_with_timeout(call, root, away);
        bench_expect(ctx[i] != NULL, "memory for one more context");
    }
    for (long i = size - 1; i >= 0; i--) {
        long other = (long)scattered(&state, (uint64_t)i + 1);
        gs_ctx_cancel(call, ctx[other], NULL);
        ctx[other] = ctx[i];
    }
    return cpu_now() - start;
}

static int sleeps(gs_call *call)
{
    return gs_sleep(call, gs_arg_int(call, 0));
}

/* Tasks that sleep for 10 to 20 ms, in no order. */
static double sleepers_body(gs_call *call, long size)
{
    gs_task **tasks = room((size_t)size, sizeof *tasks);
    uint64_t state = 1;
    double start = cpu_now();
    for (long i = 0; i < size; i++) {
        gs_value away = GS_ARG_INT(GS_MS(10) + (int64_t)scattered(&state, (uint64_t)GS_MS(10)));
        tasks[i] = bench_go(call, sleeps, &away, 1);
    }
    for (long i = 0; i < size; i++)
        bench_join(call, tasks[i]);
    return cpu_now() - start;
}

#define ROW(name, least)                           \
    static int row_##name(gs_call *call)           \
    {                                              \
        return grow_row(call, name##_body, least); \
    }
ROW(spawn, LEAST)
ROW(ring, LEAST)
ROW(channels, LEAST)
ROW(waiters_served, LEAST)
ROW(waiters_closed, LEAST)
ROW(waiters_left, LEAST)
ROW(select_ready, LEAST_CASES)
ROW(select_parked, LEAST_CASES)
ROW(ctx_depth, LEAST)
ROW(ctx_width, LEAST)
ROW(ctx_each, LEAST)
ROW(timers, LEAST)
ROW(sleepers, LEAST)

const bench_row bench_growth_rows[] = {
    {"grow_spawn", row_spawn, NULL},
    {"grow_ring", row_ring, NULL},
    {"grow_channels", row_channels, NULL},
    {"grow_waiters_served", row_waiters_served, NULL},
    {"grow_waiters_closed", row_waiters_closed, NULL},
    {"grow_waiters_left", row_waiters_left, NULL},
    {"grow_select_ready", row_select_ready, NULL},
    {"grow_select_parked", row_select_parked, NULL},
    {"grow_ctx_depth", row_ctx_depth, NULL},
    {"grow_ctx_width", row_ctx_width, NULL},
    {"grow_ctx_each", row_ctx_each, NULL},
    {"grow_timers", row_timers, NULL},
    {"grow_sleepers", row_sleepers, NULL},
    {NULL, NULL, NULL},
};
