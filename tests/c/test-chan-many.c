/* test-chan-many.c: channels with many parties: nothing lost, nothing twice, and O(N) for N waiters. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* Every value is one of 0 … total-1, sent once; `seen` counts how often each arrived. */
typedef struct ledger {
    gs_chan *ch;
    atomic_int next; /* value to send */
    int total;
    atomic_uchar *seen;
    atomic_int received, given_up;
} ledger;

static void ledger_init(ledger *l, size_t capacity, int total)
{
    memset(l, 0, sizeof *l);
    l->ch = test_chan(capacity);
    l->total = total;
    l->seen = calloc((size_t)total, sizeof *l->seen);
    CHECK(l->seen != NULL);
}

static void ledger_check(ledger *l)
{
    CHECK_EQ(l->received, l->total);
    for (int i = 0; i < l->total; i++)
        CHECK_EQ(l->seen[i], 1);
    CHECK(gs__list_empty(&l->ch->receivers) && gs__list_empty(&l->ch->senders));
    CHECK_EQ(gs__chan_len(l->ch), 0);
    free(l->seen);
    gs__chan_unref(l->ch);
}

static void ledger_note(ledger *l, int64_t value)
{
    CHECK(value >= 0 && value < l->total);
    l->seen[value]++;
    l->received++;
}

static int send_all(gs_call *call)
{
    ledger *l = gs_arg_ptr(call, 0);
    int64_t value;
    while ((value = l->next++) < l->total)
        GS_TRY(gs_send(call, l->ch, &value));
    return GS_OK;
}

static int recv_all(gs_call *call)
{
    ledger *l = gs_arg_ptr(call, 0);
    int64_t value;
    int code;
    while ((code = gs_recv(call, l->ch, &value)) == GS_OK)
        ledger_note(l, value);
    return code == GS_ECLOSED ? GS_OK : code;
}

/* As impatient as can be: a value that arrives as the time runs out is lost if anything is wrong. */
static int send_all_impatiently(gs_call *call)
{
    ledger *l = gs_arg_ptr(call, 0);
    int64_t value;
    while ((value = l->next++) < l->total) {
        int code;
        while ((code = gs__chan_send(l->ch, &value, NULL, gs__now() + GS_US(test_random(60)))) !=
               GS_OK) {
            if (code != GS_ETIMEDOUT)
                return code;
            l->given_up++;
        }
    }
    (void)call;
    return GS_OK;
}

static int recv_all_impatiently(gs_call *call)
{
    ledger *l = gs_arg_ptr(call, 0);
    (void)call;
    for (;;) {
        int64_t value;
        int code = gs__chan_recv(l->ch, &value, NULL, gs__now() + GS_US(test_random(60)));
        if (code == GS_OK)
            ledger_note(l, value);
        else if (code == GS_ETIMEDOUT)
            l->given_up++;
        else
            return code == GS_ECLOSED ? GS_OK : code;
    }
}

static void run_ledger(size_t capacity, int total, gs_fn *send, gs_fn *recv, int each)
{
    ledger l;
    gs_task *senders[16], *receivers[16];
    ledger_init(&l, capacity, total);
    for (int i = 0; i < each; i++) {
        receivers[i] = test_go(recv, &l);
        senders[i] = test_go(send, &l);
    }
    for (int i = 0; i < each; i++)
        CHECK_EQ(test_join(senders[i]), GS_OK);
    gs__chan_close(l.ch);
    for (int i = 0; i < each; i++)
        CHECK_EQ(test_join(receivers[i]), GS_OK);
    ledger_check(&l);
}

TEST(chan_delivers_each_value_once)
{
    test_workers(4);
    for (size_t capacity = 0; capacity <= 64; capacity = capacity * 8 + 1)
        run_ledger(capacity, 100000 / TEST_SLOW, send_all, recv_all, 8);
}

TEST(chan_delivers_each_value_once_though_waits_time_out)
{
    test_workers(4);
    for (size_t capacity = 0; capacity <= 1; capacity++)
        run_ledger(capacity, 20000 / TEST_SLOW, send_all_impatiently, recv_all_impatiently, 6);
}

/* ---- cancelled in the middle ---- */

static int recv_until_cancelled(gs_call *call)
{
    ledger *l = gs_arg_ptr(call, 0);
    for (;;) {
        int64_t value;
        int code = gs_recv(call, l->ch, &value);
        if (code != GS_OK)
            return code;
        ledger_note(l, value);
    }
}

TEST(chan_delivers_each_value_once_though_receivers_are_cancelled)
{
    enum { RECEIVERS = 8 };
    ledger l;
    gs_task *receivers[RECEIVERS], *sender[2];
    test_workers(3);
    ledger_init(&l, 0, 30000 / TEST_SLOW);
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = test_go(recv_until_cancelled, &l);
    for (int i = 0; i < 2; i++)
        sender[i] = test_go(send_all, &l);
    while (l.received < l.total) {
        int i = (int)test_random(RECEIVERS);
        gs__task_cancel(receivers[i], NULL);
        test_join(receivers[i]);
        receivers[i] = test_go(recv_until_cancelled, &l);
        for (uint32_t n = test_random(3000); n > 0; n--)
            gs__pause();
    }
    for (int i = 0; i < 2; i++)
        CHECK_EQ(test_join(sender[i]), GS_OK);
    for (int i = 0; i < RECEIVERS; i++) {
        gs__task_cancel(receivers[i], NULL);
        test_join(receivers[i]);
    }
    ledger_check(&l);
}

/* ---- many waiters ---- */

static int wait_on_it(gs_call *call)
{
    int64_t item;
    return gs_recv(call, gs_arg_ptr(call, 0), &item);
}

static void until_all_wait(gs_chan *ch, gs_task **tasks, int n)
{
    for (int i = 0; i < n; i++)
        test_until_parked(tasks[i]);
    CHECK_EQ(gs__chan_len(ch), 0);
}

/* Of the process, so that what else the machine does costs nothing. */
static int64_t processor_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * GS_S(1) + t.tv_nsec;
}

/* Nanoseconds to cancel n waiters one by one, the last first, so that a walk along the queue would be
 * as long as it can be. */
static int64_t time_to_cancel(int n)
{
    gs_chan *ch = test_chan(0);
    gs_task **tasks = malloc((size_t)n * sizeof *tasks);
    for (int i = 0; i < n; i++)
        tasks[i] = test_go(wait_on_it, ch);
    until_all_wait(ch, tasks, n);
    int64_t begun = processor_time();
    for (int i = n - 1; i >= 0; i--)
        gs__task_cancel(tasks[i], NULL);
    for (int i = 0; i < n; i++)
        CHECK_EQ(test_join(tasks[i]), GS_ECANCELED);
    int64_t took = processor_time() - begun;
    gs__chan_unref(ch);
    free(tasks);
    return took;
}

TEST(chan_waiters_cost_what_they_are_many)
{
    enum { FEW = TEST_MANY / 10, TIMES = 16 };
    int64_t few = GS_FOREVER, many = GS_FOREVER;
    for (int i = 0; i < 3; i++) {
        int64_t took = time_to_cancel(FEW);
        few = took < few ? took : few;
        took = time_to_cancel(FEW * TIMES);
        many = took < many ? took : many;
    }
    /* In proportion it is 16 times as much, in the square 256. */
    if (many > few * TIMES * 8)
        test_failed(__FILE__, __LINE__, "%d waiters took %lld us, %d took %lld us", FEW,
                    (long long)few / 1000, FEW * TIMES, (long long)many / 1000);
}

TEST(chan_close_ends_ten_thousand_waiters)
{
    enum { N = TEST_MANY };
    static gs_task *tasks[N];
    gs_chan *ch = test_chan(0);
    for (int i = 0; i < N; i++)
        tasks[i] = test_go(wait_on_it, ch);
    until_all_wait(ch, tasks, N);
    gs__chan_close(ch);
    for (int i = 0; i < N; i++)
        CHECK_EQ(test_join(tasks[i]), GS_ECLOSED);
    gs__chan_unref(ch);
}

static int use_and_close(gs_call *call)
{
    gs_chan *ch = gs_arg_ptr(call, 0);
    for (int i = 0; i < 50; i++) {
        int64_t item = i;
        int code = test_random(2) ? gs_send(call, ch, &item) : gs_recv(call, ch, &item);
        if (code != GS_OK)
            return code;
        if (test_random(100) == 0)
            gs_close(call, ch);
    }
    return gs_close(call, ch);
}

TEST(chan_close_races_with_everything)
{
    test_workers(4);
    for (int round = 0; round < 500 / TEST_SLOW; round++) {
        gs_task *tasks[8];
        gs_chan *ch = test_chan((size_t)round % 3);
        for (int i = 0; i < 8; i++)
            tasks[i] = test_go(use_and_close, ch);
        for (uint32_t n = test_random(20000); n > 0; n--)
            gs__pause();
        gs__chan_close(ch);
        for (int i = 0; i < 8; i++) {
            int code = test_join(tasks[i]);
            CHECK(code == GS_OK || code == GS_ECLOSED);
        }
        gs__chan_unref(ch);
    }
}

/* Against the order of arrival: pieces of every length, over the ring's end, with items put back in front. */
TEST(chan_batches_keep_order_in_rings_of_every_size)
{
    enum { MOST = 40 };
    int64_t room[MOST], rest;
    for (size_t capacity = 1; capacity <= 17; capacity++) {
        gs_chan *ch = test_chan(capacity);
        int64_t next_in = 0, next_out = 0;
        for (int round = 0; round < 2000 / TEST_SLOW; round++) {
            size_t n = test_random(MOST) + 1, moved = 0;
            if (test_random(2)) {
                for (size_t i = 0; i < n; i++)
                    room[i] = next_in + (int64_t)i;
                int code = gs__chan_try_send_many(ch, room, n, &moved);
                CHECK_EQ(code, moved == n ? GS_OK : GS_EAGAIN);
                next_in += (int64_t)moved;
            } else if (gs__chan_try_recv_many(ch, room, n, &moved) == GS_OK) {
                for (size_t i = 0; i < moved; i++)
                    CHECK_EQ(room[i], next_out + (int64_t)i);
                next_out += (int64_t)moved;
                for (uint32_t back = test_random(2) ? test_random((uint32_t)moved + 1) : 0;
                     back > 0; back--) {
                    next_out--;
                    CHECK_EQ(gs__chan_unrecv(ch, &next_out), GS_OK);
                }
            }
            CHECK_EQ(gs__chan_len(ch), next_in - next_out);
        }
        while (gs__chan_try_recv(ch, &rest) == GS_OK)
            CHECK_EQ(rest, next_out++);
        CHECK_EQ(next_out, next_in);
        gs__chan_unref(ch);
    }
}
