/* rows_chan.c: rows of channels and select. */
#include "bench.h"

enum { BUFFER = 128 };

/* ---- round_trip: there on one unbuffered channel, back on another ---- */

static int echo(gs_call *call)
{
    gs_chan *there = gs_arg_chan(call, 0, GS_INT64), *back = gs_arg_chan(call, 1, GS_INT64);
    int64_t v;
    while (gs_recv(call, there, &v) == GS_OK)
        GS_TRY(gs_send(call, back, &v));
    return GS_OK;
}

static void round_trip_body(void *arg, long n)
{
    gs_call *call = arg;
    gs_chan *there = bench_chan(call, 0), *back = bench_chan(call, 0);
    gs_value args[] = {GS_ARG_CHAN(there), GS_ARG_CHAN(back)};
    gs_task *other = bench_go(call, echo, args, 2);
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        if (gs_send(call, there, &i) != GS_OK || gs_recv(call, back, &v) != GS_OK)
            bench_expect(false, "a value there and back");
    }
    gs_close(call, there);
    bench_join(call, other);
}

static int row_round_trip(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, bench_times(run, 500000), round_trip_body, call);
    return GS_OK;
}

/* ---- buffered: one producer, one consumer, a channel of 128 ---- */

static int producer(gs_call *call)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t n = gs_arg_int(call, 1);
    for (int64_t i = 0; i < n; i++)
        GS_TRY(gs_send(call, ch, &i));
    return GS_OK;
}

static int consumer(gs_call *call)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t v;
    int code;
    while ((code = gs_recv(call, ch, &v)) == GS_OK)
        ;
    return code == GS_ECLOSED ? GS_OK : code;
}

static void buffered_body(void *arg, long n)
{
    gs_call *call = arg;
    gs_chan *ch = bench_chan(call, BUFFER);
    gs_value args[] = {GS_ARG_CHAN(ch), GS_ARG_INT(n)};
    gs_task *other = bench_go(call, producer, args, 2);
    for (long i = 0; i < n; i++) {
        int64_t v;
        if (gs_recv(call, ch, &v) != GS_OK)
            bench_expect(false, "as many values as were sent");
    }
    bench_join(call, other);
}

static int row_buffered(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, bench_times(run, 4000000), buffered_body, call);
    return GS_OK;
}

/* ---- four_by_four: four producers, four consumers, one channel of 128 ---- */

static void four_by_four_body(void *arg, long n)
{
    gs_call *call = arg;
    gs_chan *ch = bench_chan(call, BUFFER);
    gs_value args[] = {GS_ARG_CHAN(ch), GS_ARG_INT(n / 4)};
    gs_task *producers[4], *consumers[4];
    for (int i = 0; i < 4; i++) {
        producers[i] = bench_go(call, producer, args, 2);
        consumers[i] = bench_go(call, consumer, args, 1);
    }
    for (int i = 0; i < 4; i++)
        bench_join(call, producers[i]);
    gs_close(call, ch);
    for (int i = 0; i < 4; i++)
        bench_join(call, consumers[i]);
}

static int row_four_by_four(gs_call *call)
{
    const bench_run *run = gs_arg_ptr(call, 0);
    bench_each(run, (bench_times(run, 4000000) + 3) / 4 * 4, four_by_four_body, call);
    return GS_OK;
}

/* ---- selectN: N channels, each of which has something to receive; the clock stands still while
 * they are filled ---- */

enum { MAX_CASES = 16, FILL = 256 };

typedef struct select_row {
    gs_call *call;
    int n;
    gs_chan *ch[MAX_CASES];
    int64_t item;
    gs_case cases[MAX_CASES];
} select_row;

static double select_body(void *arg, const bench_run *run)
{
    select_row *row = arg;
    gs_call *call = row->call;
    long rounds = bench_times(run, 2000);
    int64_t elapsed = 0;
    for (long round = 0; round < rounds; round++) {
        for (int64_t i = 0; i < row->n; i++)
            while (gs_try_send(call, row->ch[i], &i) == GS_OK)
                ;
        int64_t start = bench_now();
        for (int i = 0; i < FILL; i++)
            if (gs_select(call, row->cases, row->n, GS_FOREVER) < 0)
                bench_expect(false, "a case that is ready");
        elapsed += bench_now() - start;
    }
    return (double)elapsed / (double)(rounds * FILL);
}

static int select_among(gs_call *call, int n)
{
    select_row row = {.call = call, .n = n};
    for (int i = 0; i < n; i++) {
        row.ch[i] = bench_chan(call, FILL);
        row.cases[i] = GS_CASE_RECV(row.ch[i], &row.item);
    }
    bench_timed(gs_arg_ptr(call, 0), select_body, &row);
    return GS_OK;
}

static int row_select2(gs_call *call)
{
    return select_among(call, 2);
}
static int row_select4(gs_call *call)
{
    return select_among(call, 4);
}
static int row_select16(gs_call *call)
{
    return select_among(call, 16);
}

/* ---- sieve: the first 2,000 primes, each a task that passes on what it does not divide ---- */

enum { SIEVE_PRIMES = 2000 };

static int64_t nth_prime(long n)
{
    int64_t candidate = 1;
    while (n > 0) {
        bool prime = ++candidate > 1;
        for (int64_t d = 2; prime && d * d <= candidate; d++)
            prime = candidate % d != 0;
        n -= prime;
    }
    return candidate;
}

static int sieve_source(gs_call *call)
{
    gs_chan *out = gs_arg_chan(call, 0, GS_INT64);
    for (int64_t n = 2;; n++)
        if (gs_send(call, out, &n) != GS_OK)
            return GS_OK;
}

static int sieve_filter(gs_call *call)
{
    gs_chan *in = gs_arg_chan(call, 0, GS_INT64), *out = gs_arg_chan(call, 1, GS_INT64);
    int64_t prime = gs_arg_int(call, 2), n;
    while (gs_recv(call, in, &n) == GS_OK)
        if (n % prime != 0 && gs_send(call, out, &n) != GS_OK)
            break;
    return GS_OK;
}

static int row_sieve(gs_call *call)
{
    static gs_chan *chain[SIEVE_PRIMES + 1];
    const bench_run *run = gs_arg_ptr(call, 0);
    long primes = bench_size(run, SIEVE_PRIMES);
    bench_expect(primes <= SIEVE_PRIMES, "a size of 2,000 at most");
    int64_t start = bench_now(), last = 0;
    chain[0] = bench_chan(call, 0);
    gs_value out = GS_ARG_CHAN(chain[0]);
    gs_detach(call, bench_go(call, sieve_source, &out, 1));
    for (long i = 0; i < primes; i++) {
        bench_expect(gs_recv(call, chain[i], &last) == GS_OK, "one more prime");
        chain[i + 1] = bench_chan(call, 0);
        gs_value args[] = {GS_ARG_CHAN(chain[i]), GS_ARG_CHAN(chain[i + 1]), GS_ARG_INT(last)};
        gs_detach(call, bench_go(call, sieve_filter, args, 3));
    }
    bench_say("value", (double)(bench_now() - start));
    bench_expect(last == nth_prime(primes), "the last to be the prime of that number");
    for (long i = 0; i <= primes; i++)
        gs_close(call, chain[i]);
    return GS_OK;
}

const bench_row bench_chan_rows[] = {
    {"round_trip", row_round_trip, NULL},
    {"buffered", row_buffered, NULL},
    {"four_by_four", row_four_by_four, NULL},
    {"select2", row_select2, NULL},
    {"select4", row_select4, NULL},
    {"select16", row_select16, NULL},
    {"sieve", row_sieve, NULL},
    {NULL, NULL, NULL},
};
