/* libdill.c: the rows on libdill's coroutines, bundles and channels. One thread; its channels have
 * no buffer, and closing a bundle is its one way to cancel. */
#include <libdill.h>

#include "peer.h"

/* ---- tasks ---- */

static coroutine void yielder(long n)
{
    for (long i = 0; i < n; i++)
        yield();
}

static void wait_for(int group)
{
    expect(bundle_wait(group, -1) == 0, "to be able to wait for a bundle");
    hclose(group);
}

static void switch_body(long n)
{
    int group = bundle();
    bundle_go(group, yielder(n / 2));
    bundle_go(group, yielder(n / 2));
    wait_for(group);
}

static void row_switch(void)
{
    each(times(2000000), switch_body);
}

static coroutine void nothing(void)
{
}

enum { BATCH = 1000 };

static void spawn_batch_body(long n)
{
    for (long done = 0; done < n; done += BATCH) {
        int group = bundle();
        for (int i = 0; i < BATCH; i++)
            expect(bundle_go(group, nothing()) == 0, "one more coroutine");
        wait_for(group);
    }
}

static void row_spawn_batch(void)
{
    each(times(500) * BATCH, spawn_batch_body);
}

static void spawn_join_body(long n)
{
    int group = bundle();
    for (long i = 0; i < n; i++) {
        expect(bundle_go(group, nothing()) == 0, "one more coroutine");
        bundle_wait(group, -1);
    }
    hclose(group);
}

static void row_spawn_join(void)
{
    each(times(500000), spawn_join_body);
}

enum { CHILDREN = 10 };

static coroutine void skynet(int out, int64_t first, int64_t size)
{
    int64_t sum = 0, part;
    if (size == 1) {
        chsend(out, &first, sizeof first, -1);
        return;
    }
    int sums[2], group = bundle();
    expect(chmake(sums) == 0 && group >= 0, "one more channel and bundle");
    for (int i = 0; i < CHILDREN; i++)
        expect(bundle_go(group, skynet(sums[0], first + i * (size / CHILDREN), size / CHILDREN)) ==
                   0,
               "one more coroutine");
    for (int i = 0; i < CHILDREN; i++) {
        expect(chrecv(sums[1], &part, sizeof part, -1) == 0, "the sum of a child");
        sum += part;
    }
    wait_for(group);
    hclose(sums[0]);
    hclose(sums[1]);
    chsend(out, &sum, sizeof sum, -1);
}

static double skynet_body(void)
{
    int64_t leaves = 1, tasks = 1, sum;
    for (long most = times(1000000); leaves * CHILDREN <= most; tasks += leaves)
        leaves *= CHILDREN;
    int sums[2], group = bundle();
    expect(chmake(sums) == 0, "a channel");
    double start = clock_ns();
    expect(bundle_go(group, skynet(sums[0], 0, leaves)) == 0, "a coroutine");
    expect(chrecv(sums[1], &sum, sizeof sum, -1) == 0, "the sum of the leaves");
    double elapsed = clock_ns() - start;
    expect(sum == leaves * (leaves - 1) / 2, "the sum of the leaves to be right");
    wait_for(group);
    hclose(sums[0]);
    hclose(sums[1]);
    return elapsed / (double)tasks;
}

static void row_skynet(void)
{
    timed(skynet_body);
}

static coroutine void parked(int ch)
{
    int64_t none;
    chrecv(ch, &none, sizeof none, -1);
}

static void row_parked_memory(void)
{
    long n = times(1000000), before = resident();
    int never[2], group = bundle();
    expect(chmake(never) == 0, "a channel");
    for (long i = 0; i < n; i++)
        expect(bundle_go(group, parked(never[1])) == 0, "1,000,000 coroutines");
    say((double)(resident() - before) / (double)n);
}

static double cancel_body(void)
{
    enum { MANY = 10000 };
    int never[2], group = bundle();
    expect(chmake(never) == 0, "a channel");
    for (int i = 0; i < MANY; i++)
        expect(bundle_go(group, parked(never[1])) == 0, "one more coroutine");
    double start = clock_ns();
    hclose(group);
    double elapsed = clock_ns() - start;
    hclose(never[0]);
    hclose(never[1]);
    return elapsed;
}

static void row_cancel_parked(void)
{
    timed(cancel_body);
}

/* ---- channels ---- */

static coroutine void echo(int there, int back)
{
    int64_t v;
    while (chrecv(there, &v, sizeof v, -1) == 0)
        chsend(back, &v, sizeof v, -1);
}

static void round_trip_body(long n)
{
    int there[2], back[2], group = bundle();
    expect(chmake(there) == 0 && chmake(back) == 0, "two channels");
    bundle_go(group, echo(there[1], back[0]));
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        if (chsend(there[0], &i, sizeof i, -1) != 0 || chrecv(back[1], &v, sizeof v, -1) != 0)
            expect(false, "a value there and back");
    }
    chdone(there[0]);
    wait_for(group);
    for (int i = 0; i < 2; i++) {
        hclose(there[i]);
        hclose(back[i]);
    }
}

static void row_round_trip(void)
{
    each(times(500000), round_trip_body);
}

enum { MAX_CASES = 16, FILL = 256 };

static int select_cases;

static coroutine void sends(int ch, int64_t v)
{
    chsend(ch, &v, sizeof v, -1);
}

/* A channel has as many values as there are coroutines that wait to send one. */
static double select_body(void)
{
    int ch[MAX_CASES][2], group = bundle();
    int64_t item;
    struct chclause clauses[MAX_CASES];
    double elapsed = 0;
    long rounds = times(100);
    for (int i = 0; i < select_cases; i++) {
        expect(chmake(ch[i]) == 0, "a channel");
        clauses[i] = (struct chclause){CHRECV, ch[i][1], &item, sizeof item};
    }
    int waiting[MAX_CASES] = {0};
    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < select_cases; i++)
            for (; waiting[i] < FILL; waiting[i]++)
                expect(bundle_go(group, sends(ch[i][0], i)) == 0, "one more coroutine");
        double start = clock_ns();
        for (int i = 0; i < FILL; i++) {
            int which = choose(clauses, select_cases, -1);
            if (which < 0)
                expect(false, "a clause that is ready");
            waiting[which]--;
        }
        elapsed += clock_ns() - start;
        yield(); /* those whose value was taken end */
    }
    hclose(group);
    for (int i = 0; i < select_cases; i++) {
        hclose(ch[i][0]);
        hclose(ch[i][1]);
    }
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

static coroutine void source(int out)
{
    for (int64_t n = 2; chsend(out, &n, sizeof n, -1) == 0; n++)
        ;
}

static coroutine void filter(int in, int out, int64_t prime)
{
    int64_t n;
    while (chrecv(in, &n, sizeof n, -1) == 0)
        if (n % prime != 0 && chsend(out, &n, sizeof n, -1) != 0)
            return;
}

static void row_sieve(void)
{
    double start = clock_ns();
    int ch[2], next[2], group = bundle();
    int64_t last = 0;
    expect(chmake(ch) == 0, "a channel");
    bundle_go(group, source(ch[0]));
    for (int i = 0; i < SIEVE_PRIMES; i++) {
        expect(chrecv(ch[1], &last, sizeof last, -1) == 0, "one more prime");
        expect(chmake(next) == 0, "one more channel");
        expect(bundle_go(group, filter(ch[1], next[0], last)) == 0, "one more coroutine");
        memcpy(ch, next, sizeof ch);
    }
    say(clock_ns() - start);
    expect(last == SIEVE_LAST, "the 2,000th prime to be 17,389");
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
        {"select2", row_select2},
        {"select4", row_select4},
        {"select16", row_select16},
        {"sieve", row_sieve},
        {NULL, NULL},
    };
    peer_find(argc, argv, rows)();
    fflush(stdout);
    _Exit(0); /* what still waits is left */
}
