/* record.c: random operations on channels and contexts, from tasks and threads at once, written down with
 * when each was called and when it returned, for check.go to find an order that explains them all.
 *
 *   gostop-histories NUMBER SEED
 *
 * A history has two channels, of capacity 0, 1 or 2, and three contexts, each below the one before. A line
 * is an operation: client, called, returned, name, and numbers; a history begins with "history" and the
 * two capacities. The clock is one counter, stepped before each call and after it, so that what
 * returned before another was called has the lower number. */
#include "sched.h"
#include "select.h"
#include "task.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TASKS = 3,
    THREADS = 2,
    CLIENTS = TASKS + THREADS,
    OPS = 7,
    CHANNELS = 2,
    CONTEXTS = 3,
    CASES = 4
};

typedef struct op {
    long called, returned;
    const char *name;
    char cases[32]; /* the name of a select */
    long a, b, code, value;
} op;

typedef struct client {
    struct history *history;
    int index;
    unsigned seed;
    op ops[OPS];
    pthread_t thread;
} client;

typedef struct history {
    gs_chan *channels[CHANNELS];
    gs_ctx *contexts[CONTEXTS];
    atomic_long clock, next_value;
    atomic_bool go;
    client clients[CLIENTS];
} history;

static unsigned random_of(client *c, unsigned n)
{
    c->seed = c->seed * 1103515245u + 12345u;
    return (c->seed >> 16) % n;
}

static void drop_cause(void *number)
{
    (void)number;
}

/* What a cancel was given: its number is the pointer. */
static long cause_of(gs_ctx *ctx)
{
    gs__cause *cause = gs__ctx_cause(ctx);
    return cause ? (long)(intptr_t)cause->object : 0;
}

static void cancel(op *o, gs_ctx *ctx, long number)
{
    gs__cause *cause = gs__cause_object((void *)(intptr_t)number, drop_cause);
    if (!cause)
        abort();
    o->code = gs__ctx_cancel(ctx, GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
}

/* A select over some of the channels, sending and receiving, the same one more than once too, and a context.
 * Its name tells its cases, as "select:r0s1c2". One number is sent by whichever case sends. */
static void choose(client *c, op *o, int64_t deadline)
{
    history *h = c->history;
    int64_t received = 0, to_send = o->b;
    gs__select_case cases[CASES];
    int n = 1 + (int)random_of(c, CASES);
    char *name = o->cases + sprintf(o->cases, "select:");
    for (int i = 0; i < n; i++) {
        unsigned kind = random_of(c, 5), on = random_of(c, kind == 4 ? CONTEXTS : CHANNELS);
        name += sprintf(name, "%c%u", kind == 4 ? 'c' : kind < 2 ? 'r' : 's', on);
        if (kind == 4)
            cases[i] = (gs__select_case){.kind = GS__CASE_CTX, .on.ctx = h->contexts[on]};
        else
            cases[i] = (gs__select_case){.kind = kind < 2 ? GS__CASE_RECV : GS__CASE_SEND,
                                         .on.chan = h->channels[on],
                                         .item = kind < 2 ? &received : &to_send};
    }
    o->name = o->cases;
    o->called = atomic_fetch_add(&h->clock, 1);
    o->code = gs__select(cases, n, NULL, deadline);
    o->value = -1;
    if (o->code >= 0 && cases[o->code].kind == GS__CASE_RECV && cases[o->code].ok)
        o->value = received;
    else if (o->code >= 0 && cases[o->code].kind == GS__CASE_SEND && !cases[o->code].ok)
        o->code = GS_ECLOSED;
}

static void operate(client *c, op *o)
{
    history *h = c->history;
    int64_t deadline = gs__deadline((int64_t)(1 + random_of(c, 300)) * 1000), item = 0;
    int ch = (int)random_of(c, CHANNELS), node = (int)random_of(c, CONTEXTS);
    gs_ctx *scope = random_of(c, 2) ? h->contexts[node] : NULL;
    o->a = ch;
    o->b = item = atomic_fetch_add(&h->next_value, 1);
    o->value = scope ? node : -1;
    unsigned what = random_of(c, 20);
    o->called = atomic_fetch_add(&h->clock, 1);
    if (what < 5) {
        o->name = "send";
        o->code = gs__chan_send(h->channels[ch], &item, scope, deadline);
    } else if (what < 10) {
        o->name = "recv";
        o->b = scope ? node : -1;
        o->code = gs__chan_recv(h->channels[ch], &item, scope, deadline);
        o->value = item;
    } else if (what < 12) {
        o->name = "try_send";
        o->code = gs__chan_try_send(h->channels[ch], &item);
    } else if (what < 14) {
        o->name = "try_recv";
        o->code = gs__chan_try_recv(h->channels[ch], &item);
        o->value = item;
    } else if (what < 17) {
        choose(c, o, what == 14 ? 0 : deadline);
    } else if (what == 17) {
        o->name = "close";
        gs__chan_close(h->channels[ch]);
    } else if (what == 18) {
        o->name = "cancel";
        o->a = node;
        cancel(o, h->contexts[node], o->b);
    } else {
        o->name = "err";
        o->a = node;
        o->code = gs__ctx_error(h->contexts[node]);
        o->value = o->code ? cause_of(h->contexts[node]) : 0; /* one look, not two */
    }
    o->returned = atomic_fetch_add(&h->clock, 1);
}

static void run(client *c)
{
    while (!atomic_load(&c->history->go))
        gs__pause();
    for (int i = 0; i < OPS; i++)
        operate(c, &c->ops[i]);
}

static int as_task(gs_call *call)
{
    run(gs_arg_ptr(call, 0));
    return GS_OK;
}

static void *as_thread(void *c)
{
    run(c);
    return NULL;
}

static void write_down(history *h)
{
    printf("history %zu %zu\n", h->channels[0]->capacity, h->channels[1]->capacity);
    for (int i = 0; i < CLIENTS; i++)
        for (op *o = h->clients[i].ops, *end = o + OPS; o < end; o++)
            printf("%d %ld %ld %s %ld %ld %ld %ld\n", i, o->called, o->returned, o->name, o->a,
                   o->b, o->code, o->value);
}

static void make(history *h, unsigned seed)
{
    gs_ctx *parent = gs__ctx_background();
    for (int i = 0; i < CHANNELS; i++)
        if (!(h->channels[i] = gs__chan_new(gs__elem_of(GS_INT64), (seed >> (2 * i)) % 3)))
            abort();
    for (int i = 0; i < CONTEXTS; i++)
        if (!(parent = h->contexts[i] = gs__ctx_with_cancel(parent)))
            abort();
    atomic_init(&h->clock, 0);
    atomic_init(&h->next_value, 1);
    atomic_init(&h->go, false);
}

static void one(unsigned seed)
{
    static history h;
    gs_task *tasks[TASKS];
    make(&h, seed);
    for (int i = 0; i < CLIENTS; i++) {
        client *c = &h.clients[i];
        c->history = &h;
        c->seed = seed * 31 + (unsigned)i;
        gs_value arg = GS_ARG_PTR(c);
        int error = 0;
        if (i < TASKS)
            tasks[i] = gs__task_spawn(&(gs__spawn){.fn = as_task,
                                                   .name = "client",
                                                   .parent = gs__ctx_background(),
                                                   .args = &arg,
                                                   .nargs = 1,
                                                   .flags = GS__TASK_STATIC_NAME},
                                      &error);
        else
            error = pthread_create(&c->thread, NULL, as_thread, c);
        if (error)
            abort();
    }
    atomic_store(&h.go, true);
    for (int i = 0; i < TASKS; i++) {
        gs__task_wait(tasks[i], NULL, GS_FOREVER);
        gs__task_unref(tasks[i]);
    }
    for (int i = TASKS; i < CLIENTS; i++)
        pthread_join(h.clients[i].thread, NULL);
    write_down(&h);
    for (int i = 0; i < CHANNELS; i++)
        gs__chan_unref(h.channels[i]);
    for (int i = CONTEXTS; i-- > 0;)
        gs__ctx_unref(h.contexts[i]);
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 1000;
    unsigned seed = argc > 2 ? (unsigned)atol(argv[2]) : 1;
    gs__core_init();
    if (n < 1 || gs__runtime_start() != GS_OK) {
        fprintf(stderr, "gostop-histories: not a number, or the runtime did not start\n");
        return 2;
    }
    for (long i = 0; i < n; i++)
        one(seed + (unsigned)i * 7919u);
    return gs__runtime_stop(gs__deadline(GS_S(10))) ? 1 : 0;
}
