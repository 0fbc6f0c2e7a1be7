/* neco.c: the rows on neco's coroutines, wait groups and channels. One thread. */
#include <neco.h>

#include "peer.h"

static neco_waitgroup group;

static void start(void (*fn)(int, void **), int argc, void **args)
{
    expect(neco_startv(fn, argc, args) == NECO_OK, "one more coroutine");
}

static void join(int count, void (*fn)(int, void **), int argc, void **args)
{
    neco_waitgroup_init(&group);
    neco_waitgroup_add(&group, count);
    for (int i = 0; i < count; i++)
        start(fn, argc, args);
    neco_waitgroup_wait(&group);
}

static neco_chan *channel(size_t capacity)
{
    neco_chan *ch;
    expect(neco_chan_make(&ch, sizeof(int64_t), capacity) == NECO_OK, "one more channel");
    return ch;
}

/* ---- tasks ---- */

static void yielder(int argc, void **argv)
{
    long n = *(long *)argv[0];
    for (long i = 0; i < n; i++)
        neco_yield();
    neco_waitgroup_done(&group);
}

static void switch_body(long n)
{
    long half = n / 2;
    join(2, yielder, 1, (void *[]){&half});
}

static void row_switch(void)
{
    each(times(2000000), switch_body);
}

static void counted(int argc, void **argv)
{
    neco_waitgroup_done(&group);
}

enum { BATCH = 1000 };

static void spawn_batch_body(long n)
{
    for (long done = 0; done < n; done += BATCH)
        join(BATCH, counted, 0, NULL);
}

static void row_spawn_batch(void)
{
    each(times(500) * BATCH, spawn_batch_body);
}

static void nothing(int argc, void **argv)
{
}

static void spawn_join_body(long n)
{
    for (long i = 0; i < n; i++) {
        start(nothing, 0, NULL);
        neco_join(neco_lastid());
    }
}

static void row_spawn_join(void)
{
    each(times(500000), spawn_join_body);
}

enum { CHILDREN = 10 };

static void skynet(int argc, void **argv)
{
    neco_chan *out = argv[0];
    int64_t first = (int64_t)(intptr_t)argv[1], size = (int64_t)(intptr_t)argv[2], sum = 0, part;
    if (size == 1) {
        neco_chan_send(out, &first);
        return;
    }
    neco_chan *sums = channel(CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        intptr_t from = (intptr_t)(first + i * (size / CHILDREN));
        start(skynet, 3, (void *[]){sums, (void *)from, (void *)(intptr_t)(size / CHILDREN)});
    }
    for (int i = 0; i < CHILDREN; i++) {
        expect(neco_chan_recv(sums, &part) == NECO_OK, "the sum of a child");
        sum += part;
    }
    neco_chan_release(sums);
    neco_chan_send(out, &sum);
}

static double skynet_body(void)
{
    int64_t leaves = 1, tasks = 1, sum;
    for (long most = times(1000000); leaves * CHILDREN <= most; tasks += leaves)
        leaves *= CHILDREN;
    neco_chan *sums = channel(1);
    double begun = clock_ns();
    start(skynet, 3, (void *[]){sums, NULL, (void *)(intptr_t)leaves});
    expect(neco_chan_recv(sums, &sum) == NECO_OK, "the sum of the leaves");
    double elapsed = clock_ns() - begun;
    expect(sum == leaves * (leaves - 1) / 2, "the sum of the leaves to be right");
    neco_chan_release(sums);
    return elapsed / (double)tasks;
}

static void row_skynet(void)
{
    timed(skynet_body);
}

static void parked(int argc, void **argv)
{
    int64_t none;
    neco_chan_recv(argv[0], &none);
}

static void row_parked_memory(void)
{
    long n = times(1000000), before = resident();
    neco_chan *never = channel(0);
    for (long i = 0; i < n; i++)
        start(parked, 1, (void *[]){never});
    say((double)(resident() - before) / (double)n);
}

static void parked_in_group(int argc, void **argv)
{
    int64_t none;
    neco_chan_recv(argv[0], &none);
    neco_waitgroup_done(&group);
}

/* One by one: that is all there is. */
static double cancel_body(void)
{
    enum { MANY = 10000 };
    static int64_t ids[MANY];
    neco_chan *never = channel(0);
    neco_setcanceltype(NECO_CANCEL_INLINE, NULL);
    neco_waitgroup_init(&group);
    neco_waitgroup_add(&group, MANY);
    for (int i = 0; i < MANY; i++) {
        start(parked_in_group, 1, (void *[]){never});
        ids[i] = neco_lastid();
    }
    double begun = clock_ns();
    for (int i = 0; i < MANY; i++)
        expect(neco_cancel(ids[i]) == NECO_OK, "a coroutine to cancel");
    neco_waitgroup_wait(&group);
    double elapsed = clock_ns() - begun;
    neco_chan_release(never);
    return elapsed;
}

static void row_cancel_parked(void)
{
    neco_env_setcanceltype(NECO_CANCEL_INLINE);
    timed(cancel_body);
}

/* ---- channels ---- */

static void echo(int argc, void **argv)
{
    int64_t v;
    while (neco_chan_recv(argv[0], &v) == NECO_OK)
        neco_chan_send(argv[1], &v);
}

static void round_trip_body(long n)
{
    neco_chan *there = channel(0), *back = channel(0);
    start(echo, 2, (void *[]){there, back});
    int64_t id = neco_lastid();
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        if (neco_chan_send(there, &i) != NECO_OK || neco_chan_recv(back, &v) != NECO_OK)
            expect(false, "a value there and back");
    }
    neco_chan_close(there);
    neco_join(id);
    neco_chan_release(there);
    neco_chan_release(back);
}

static void row_round_trip(void)
{
    each(times(500000), round_trip_body);
}

enum { BUFFER = 128 };

static void produce(int argc, void **argv)
{
    long n = *(long *)argv[1];
    for (int64_t i = 0; i < n; i++)
        if (neco_chan_send(argv[0], &i) != NECO_OK)
            expect(false, "a channel to send to");
    neco_waitgroup_done(&group);
}

static void consume(int argc, void **argv)
{
    int64_t v;
    while (neco_chan_recv(argv[0], &v) == NECO_OK)
        ;
}

static void buffered_body(long n)
{
    neco_chan *ch = channel(BUFFER);
    neco_waitgroup_init(&group);
    neco_waitgroup_add(&group, 1);
    start(produce, 2, (void *[]){ch, &n});
    for (long i = 0; i < n; i++) {
        int64_t v;
        if (neco_chan_recv(ch, &v) != NECO_OK)
            expect(false, "as many values as were sent");
    }
    neco_waitgroup_wait(&group);
    neco_chan_release(ch);
}

static void row_buffered(void)
{
    each(times(4000000), buffered_body);
}

static void four_by_four_body(long n)
{
    enum { SIDES = 4 };
    neco_chan *ch = channel(BUFFER);
    int64_t consumers[SIDES];
    long part = n / SIDES;
    neco_waitgroup_init(&group);
    neco_waitgroup_add(&group, SIDES);
    for (int i = 0; i < SIDES; i++) {
        start(produce, 2, (void *[]){ch, &part});
        start(consume, 1, (void *[]){ch});
        consumers[i] = neco_lastid();
    }
    neco_waitgroup_wait(&group);
    neco_chan_close(ch);
    for (int i = 0; i < SIDES; i++)
        neco_join(consumers[i]);
    neco_chan_release(ch);
}

static void row_four_by_four(void)
{
    each(times(1000000) * 4, four_by_four_body);
}

enum { MAX_CASES = 16, FILL = 256 };

static int select_cases;

static double select_body(void)
{
    neco_chan *ch[MAX_CASES];
    int held[MAX_CASES] = {0};
    double elapsed = 0;
    long rounds = times(2000);
    for (int i = 0; i < select_cases; i++)
        ch[i] = channel(FILL);
    for (long round = 0; round < rounds; round++) {
        for (int64_t i = 0; i < select_cases; i++)
            for (; held[i] < FILL; held[i]++)
                neco_chan_send(ch[i], &i);
        double begun = clock_ns();
        for (int i = 0; i < FILL; i++) {
            int64_t item;
            int which = neco_chan_selectv(select_cases, ch);
            if (which < 0 || neco_chan_case(ch[which], &item) != NECO_OK)
                expect(false, "a channel that is ready");
            held[which]--;
        }
        elapsed += clock_ns() - begun;
    }
    for (int i = 0; i < select_cases; i++)
        neco_chan_release(ch[i]);
    return elapsed / (double)(rounds * FILL);
}

static void row_select2(void)
{
    select_cases = 2;
    timed(select_body);
}

static void row_select4(void)
{
    select_cases = 4;
    timed(select_body);
}

static void row_select16(void)
{
    select_cases = 16;
    timed(select_body);
}

enum { SIEVE_PRIMES = 2000, SIEVE_LAST = 17389 };

static void source(int argc, void **argv)
{
    for (int64_t n = 2; neco_chan_send(argv[0], &n) == NECO_OK; n++)
        ;
}

static void filter(int argc, void **argv)
{
    int64_t prime = (int64_t)(intptr_t)argv[2], n;
    while (neco_chan_recv(argv[0], &n) == NECO_OK)
        if (n % prime != 0 && neco_chan_send(argv[1], &n) != NECO_OK)
            return;
}

static void row_sieve(void)
{
    double begun = clock_ns();
    neco_chan *ch = channel(0);
    int64_t last = 0;
    start(source, 1, (void *[]){ch});
    for (int i = 0; i < SIEVE_PRIMES; i++) {
        expect(neco_chan_recv(ch, &last) == NECO_OK, "one more prime");
        neco_chan *next = channel(0);
        start(filter, 3, (void *[]){ch, next, (void *)(intptr_t)last});
        ch = next;
    }
    say(clock_ns() - begun);
    expect(last == SIEVE_LAST, "the 2,000th prime to be 17,389");
}

static void (*chosen)(void);

static void in_coroutine(int argc, void **argv)
{
    chosen();
    fflush(stdout);
    _Exit(0); /* what still waits is left */
}

int main(int argc, char **argv)
{
    static const peer_row rows[] = {
        {"switch", row_switch},
        {"spawn_batch", row_spawn_batch},
        {"spawn_join", row_spawn_join},
        {"skynet", row_skynet},
        {"parked_memory", row_parked_memory},
        {"cancel_parked", row_cancel_parked},
        {"round_trip", row_round_trip},
        {"buffered", row_buffered},
        {"four_by_four", row_four_by_four},
        {"select2", row_select2},
        {"select4", row_select4},
        {"select16", row_select16},
        {"sieve", row_sieve},
        {NULL, NULL},
    };
    chosen = peer_find(argc, argv, rows);
    expect(neco_start(in_coroutine, 0) == NECO_OK, "neco to start");
    return 1;
}
