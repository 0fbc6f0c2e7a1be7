/* floor.c: the same work by hand, without a runtime: bare switches between coroutines, a ring that
 * one thread has for itself. Nothing here locks, can be cancelled, or runs on a second worker: so
 * it is the least that a row can cost on this machine, not a goal. */
#include "bench.h"

#include "coro.h"

#include <stdlib.h>

enum { FLOOR_STACK = 256 << 10, RING = 128 };

static gs__coro main_coro;

static gs__stack take_stack(void)
{
    gs__stack stack;
    int class = gs__stack_class(FLOOR_STACK);
    bench_expect(gs__stack_reserve(NULL, class) == GS_OK, "room for one more stack");
    bench_expect(gs__stack_get(NULL, class, &stack) == GS_OK, "one more stack");
    return stack;
}

static void give_back(gs__coro *coro)
{
    gs__stack_put(NULL, gs__stack_class(FLOOR_STACK), gs__coro_fini(coro));
}

static void to(gs__coro *from, gs__coro *next)
{
    gs__coro_switch(from, next, false);
}

/* ---- switch ---- */

typedef struct pair {
    gs__coro other;
    int64_t slot;
} pair;

static void pair_back(void *arg)
{
    pair *p = arg;
    gs__coro_began();
    for (;;)
        to(&p->other, &main_coro);
}

static void switch_body(void *arg, long n)
{
    pair *p = arg;
    for (long i = 0; i < n / 2; i++)
        to(&main_coro, &p->other);
}

static void floor_switch(const bench_run *run)
{
    pair p;
    gs__coro_init_thread(&main_coro);
    gs__coro_init(&p.other, take_stack(), pair_back, &p);
    bench_each(run, bench_times(run, 20000000), switch_body, &p);
    give_back(&p.other);
}

/* ---- spawn: a coroutine made on a stack that is at hand, run to its end ---- */

static void ends_at_once(void *arg)
{
    gs__coro_began();
    gs__coro_switch(arg, &main_coro, true);
}

static void spawn_body(void *arg, long n)
{
    gs__stack *stack = arg;
    for (long i = 0; i < n; i++) {
        gs__coro coro;
        gs__coro_init(&coro, *stack, ends_at_once, &coro);
        to(&main_coro, &coro);
        gs__coro_fini(&coro);
    }
}

static void floor_spawn(const bench_run *run)
{
    gs__stack stack = take_stack();
    gs__coro_init_thread(&main_coro);
    bench_each(run, bench_times(run, 5000000), spawn_body, &stack);
    gs__stack_put(NULL, gs__stack_class(FLOOR_STACK), stack);
}

/* ---- round_trip: a slot that two coroutines hand to one another ---- */

static void echo_back(void *arg)
{
    pair *p = arg;
    gs__coro_began();
    for (;;) {
        p->slot++;
        to(&p->other, &main_coro);
    }
}

static void round_trip_body(void *arg, long n)
{
    pair *p = arg;
    for (long i = 0; i < n; i++) {
        p->slot = i;
        to(&main_coro, &p->other);
        if (p->slot != i + 1)
            bench_expect(false, "a value there and back");
    }
}

static void floor_round_trip(const bench_run *run)
{
    pair p;
    gs__coro_init_thread(&main_coro);
    gs__coro_init(&p.other, take_stack(), echo_back, &p);
    bench_each(run, bench_times(run, 10000000), round_trip_body, &p);
    give_back(&p.other);
}

/* ---- buffered, four_by_four: producers fill a ring and consumers empty it, in turns ---- */

enum { MOST = 4 };

typedef struct ring {
    int64_t item[RING];
    unsigned head, count;
    int sides;                /* producers, and as many consumers */
    int turn;                 /* whose on either side */
    gs__coro producers[MOST]; /* the consumers are the main coroutine and the ones below */
    gs__coro consumers[MOST];
    int64_t received;
} ring;

static gs__coro *ring_consumer(ring *r, int i)
{
    return i == 0 ? &main_coro : &r->consumers[i];
}

static void ring_produce(void *arg)
{
    ring *r = arg;
    gs__coro_began();
    for (int64_t v = 0;; v++) {
        if (r->count == RING)
            to(&r->producers[r->turn], ring_consumer(r, r->turn));
        r->item[(r->head + r->count++) % RING] = v;
    }
}

static void ring_wait(ring *r)
{
    int me = r->turn;
    r->turn = (r->turn + 1) % r->sides;
    to(ring_consumer(r, me), &r->producers[r->turn]);
}

static void ring_take(ring *r)
{
    if (r->count == 0)
        ring_wait(r);
    int64_t v = r->item[r->head];
    r->head = (r->head + 1) % RING;
    r->count--;
    r->received += v >= 0;
}

static void ring_consume(void *arg)
{
    ring *r = arg;
    gs__coro_began();
    for (;;)
        ring_take(r);
}

static void ring_body(void *arg, long n)
{
    ring *r = arg;
    r->received = 0;
    while (r->received < n)
        ring_take(r);
}

static void ring_row(const bench_run *run, int sides)
{
    static ring r;
    r.sides = sides;
    gs__coro_init_thread(&main_coro);
    for (int i = 0; i < sides; i++) {
        gs__coro_init(&r.producers[i], take_stack(), ring_produce, &r);
        if (i > 0)
            gs__coro_init(&r.consumers[i], take_stack(), ring_consume, &r);
    }
    bench_each(run, bench_times(run, 20000000), ring_body, &r);
    for (int i = 0; i < sides; i++) {
        give_back(&r.producers[i]);
        if (i > 0)
            give_back(&r.consumers[i]);
    }
}

static void floor_buffered(const bench_run *run)
{
    ring_row(run, 1);
}

static void floor_four_by_four(const bench_run *run)
{
    ring_row(run, MOST);
}

/* ---- cancel_parked: 10,000 coroutines on stacks of their own, each resumed once to end ---- */

enum { MANY = 10000 };

static void parks_once(void *arg)
{
    gs__coro_began();
    to(arg, &main_coro);
    gs__coro_switch(arg, &main_coro, true);
}

static double cancel_body(void *arg, const bench_run *run)
{
    gs__coro *coros = arg;
    for (long i = 0; i < MANY; i++) {
        gs__coro_init(&coros[i], take_stack(), parks_once, &coros[i]);
        to(&main_coro, &coros[i]);
    }
    int64_t start = bench_now();
    for (long i = 0; i < MANY; i++)
        to(&main_coro, &coros[i]);
    int64_t elapsed = bench_now() - start;
    for (long i = 0; i < MANY; i++)
        give_back(&coros[i]);
    return (double)elapsed;
}

static void floor_cancel_parked(const bench_run *run)
{
    gs__coro *coros = malloc(MANY * sizeof *coros);
    bench_expect(coros != NULL, "memory for the coroutines");
    gs__coro_init_thread(&main_coro);
    bench_timed(run, cancel_body, coros);
    free(coros);
}

/* ---- sieve: each filter asks the one before it for the next number ---- */

enum { SIEVE_PRIMES = 2000, SIEVE_LAST = 17389 };

typedef struct filter {
    gs__coro coro;
    gs__coro *asks;        /* who waits for the next number */
    struct filter *before; /* NULL: the source */
    int64_t prime, next;
} filter;

static int64_t sieve_next(gs__coro *self, filter *of)
{
    of->asks = self;
    to(self, &of->coro);
    return of->next;
}

static void sieve_filter(void *arg)
{
    filter *f = arg;
    gs__coro_began();
    for (int64_t n = 2;; n++) {
        if (f->before) {
            do
                n = sieve_next(&f->coro, f->before);
            while (n % f->prime == 0);
        }
        f->next = n;
        to(&f->coro, f->asks);
    }
}

static void floor_sieve(const bench_run *run)
{
    static filter chain[SIEVE_PRIMES + 1];
    int64_t start = bench_now(), last = 0;
    gs__coro_init_thread(&main_coro);
    for (long i = 0; i <= SIEVE_PRIMES; i++) {
        if (i > 0) {
            last = sieve_next(&main_coro, &chain[i - 1]);
            chain[i].before = &chain[i - 1];
            chain[i].prime = last;
        }
        gs__coro_init(&chain[i].coro, take_stack(), sieve_filter, &chain[i]);
    }
    bench_say("value", (double)(bench_now() - start));
    bench_expect(last == SIEVE_LAST, "the 2,000th prime to be 17,389");
    for (long i = 0; i <= SIEVE_PRIMES; i++)
        give_back(&chain[i].coro);
}

const bench_row bench_floor_rows[] = {
    {"switch", NULL, floor_switch},
    {"spawn", NULL, floor_spawn},
    {"round_trip", NULL, floor_round_trip},
    {"buffered", NULL, floor_buffered},
    {"four_by_four", NULL, floor_four_by_four},
    {"cancel_parked", NULL, floor_cancel_parked},
    {"sieve", NULL, floor_sieve},
    {NULL, NULL, NULL},
};
