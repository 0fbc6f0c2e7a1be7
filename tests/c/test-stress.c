/* test-stress.c: everything at once: tasks, some of them pinned, that spawn, steal, park, select,
 * close, cancel, block and sleep, beside foreign threads that wait and that place orders. Every value
 * that is sent is accounted for in the end. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { LANES = 6 };

typedef struct market {
    gs_chan *_Atomic lanes[LANES]; /* closed and replaced now and then; each user holds a reference */
    gs__lock lock;                 /* guards the exchange of a lane and its reference */
    gs_ctx *open;                  /* done: everybody goes home */
    atomic_long sent, received;    /* sums of the values */
    atomic_long n_sent, n_received, spawned;
} market;

static market m;

static gs_chan *lane(int i)
{
    gs__acquire(&m.lock);
    gs_chan *ch = m.lanes[i];
    gs__chan_ref(ch);
    gs__release(&m.lock);
    return ch;
}

/* What is still in a lane when it goes was sent and not received. */
static void count_rest(void *item)
{
    m.received += (long)*(int64_t *)item;
    m.n_received++;
}

static void replace_lane(int i)
{
    gs__elem elem = {GS_INT64, count_rest};
    gs_chan *fresh = gs__chan_new(elem, test_random(4));
    CHECK(fresh != NULL);
    gs__acquire(&m.lock);
    gs_chan *old = m.lanes[i];
    m.lanes[i] = fresh;
    gs__release(&m.lock);
    if (old != NULL) {
        gs__chan_close(old);
        gs__chan_unref(old);
    }
}

static void note(bool out, int64_t value)
{
    atomic_long *sum = out ? &m.sent : &m.received, *n = out ? &m.n_sent : &m.n_received;
    *sum += (long)value;
    ++*n;
}

/* One trade over two lanes, in any of the ways there are. */
static void trade(gs_ctx *scope)
{
    gs_chan *a = lane((int)test_random(LANES)), *b = lane((int)test_random(LANES));
    int64_t out = test_random(1000), in = -1;
    size_t done = 0;
    int64_t deadline = gs__now() + GS_US(test_random(300));
    switch (test_random(6)) {
    case 0:
        if (gs__chan_send(a, &out, scope, deadline) == GS_OK)
            note(true, out);
        break;
    case 1:
        if (gs__chan_recv(a, &in, scope, deadline) == GS_OK)
            note(false, in);
        break;
    case 2: {
        int64_t batch[5];
        for (int i = 0; i < 5; i++)
            batch[i] = test_random(1000);
        (void)gs__chan_send_many(a, batch, 5, &done, scope, deadline);
        for (size_t i = 0; i < done; i++)
            note(true, batch[i]);
        break;
    }
    case 3: {
        int64_t batch[5];
        if (gs__chan_recv_many(a, batch, 5, &done, scope, deadline) == GS_OK)
            for (size_t i = 0; i < done; i++)
                note(false, batch[i]);
        break;
    }
    default: {
        gs__select_case cases[3];
        memset(cases, 0, sizeof cases);
        cases[0].kind = GS__CASE_SEND;
        cases[0].on.chan = a;
        cases[0].item = &out;
        cases[1].kind = GS__CASE_RECV;
        cases[1].on.chan = b;
        cases[1].item = &in;
        cases[2].kind = GS__CASE_CTX;
        cases[2].on.ctx = m.open;
        int i = gs__select(cases, 3, scope, deadline);
        if (i == 0 && cases[0].ok)
            note(true, out);
        if (i == 1 && cases[1].ok)
            note(false, in);
    }
    }
    gs__chan_unref(a);
    gs__chan_unref(b);
}

static int short_trader(gs_call *call)
{
    gs_ctx *scope = gs_ctx_current(call);
    for (uint32_t n = test_random(20); n > 0 && !gs_cancelled(call); n--)
        trade(scope);
    return gs_checkpoint(call);
}

static int trader(gs_call *call)
{
    gs_ctx *scope = gs_ctx_current(call);
    (void)gs_arg_ptr(call, 0);
    for (;;) {
        GS_CHECKPOINT(call);
        trade(scope);
        switch (test_random(40)) {
        case 0: {
            gs_task *child = gs_go(call, short_trader, NULL, 0);
            CHECK(child != NULL);
            m.spawned++;
            if (test_random(2))
                gs_task_cancel(call, child);
            if (test_random(2))
                GS_TRY(gs_join(call, child, NULL));
            else
                gs_detach(call, child);
            break;
        }
        case 1:
            GS_TRY(gs_sleep(call, GS_US(test_random(200))));
            break;
        case 2:
            GS_TRY(gs_yield(call));
            break;
        case 3:
            gs_block_begin(call);
            test_msleep(0);
            gs_block_end(call);
            break;
        case 4:
            replace_lane((int)test_random(LANES));
            break;
        default:
            break;
        }
    }
}

typedef struct order {
    gs__async async;
    atomic_int told;
} order;

static void tell(gs__async *async)
{
    gs__container(async, order, async)->told = 1;
}

/* A receive or a send that no stack waits on, given up after a while or seen to its end. */
static void trade_by_order(void)
{
    gs_chan *ch = lane((int)test_random(LANES));
    bool out = test_random(2);
    int64_t item = test_random(1000);
    order o = {.told = 0};
    gs__select_case c = {.kind = out ? GS__CASE_SEND : GS__CASE_RECV, .on.chan = ch, .item = &item};
    int64_t deadline = gs__now() + GS_US(test_random(300));
    int code = gs__async_start(&o.async, &c, 1, m.open, deadline, tell);
    if (code == GS__UNDER_WAY) {
        if (test_random(2))
            for (uint32_t n = test_random(2000); n > 0; n--)
                gs__pause();
        else
            test_until(&o.told, 1);
        if (gs__async_abandon(&o.async)) {
            gs__chan_unref(ch);
            return;
        }
        test_until(&o.told, 1);
        code = gs__async_finish(&o.async);
    }
    if (code == 0 && c.ok)
        note(out, item);
    gs__chan_unref(ch);
}

static void *foreign_trader(void *arg)
{
    while (!gs__ctx_is_done(m.open))
        if (test_random(4))
            trade(m.open);
        else
            trade_by_order();
    return arg;
}

/* Every third stays on the worker that it began on. */
static gs_task *go_trade(int i)
{
    int error;
    gs_value none = GS_ARG_PTR(NULL);
    gs__spawn spawn = {.fn = trader,
                       .name = "trader",
                       .parent = m.open,
                       .args = &none,
                       .nargs = 1,
                       .flags = i % 3 == 0 ? GS__TASK_PINNED : 0};
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    return task;
}

TEST(everything_at_once_loses_nothing)
{
    enum { TASKS = 24, THREADS = 3 };
    gs_task *tasks[TASKS];
    pthread_t threads[THREADS];
    test_workers(4);
    gs__lock_init(&m.lock);
    m.open = gs__ctx_with_cancel(gs__ctx_background());
    for (int i = 0; i < LANES; i++)
        replace_lane(i);
    for (int i = 0; i < TASKS; i++)
        tasks[i] = go_trade(i);
    for (int i = 0; i < THREADS; i++)
        threads[i] = test_thread(foreign_trader, NULL);
    int64_t until = gs__now() + GS_S(3);
    while (gs__now() < until) {
        int i = (int)test_random(TASKS);
        test_msleep(1);
        gs__task_cancel(tasks[i], NULL);
        test_join(tasks[i]);
        tasks[i] = go_trade(i);
    }
    gs__ctx_cancel(m.open, GS__CTX_CANCELED, NULL);
    for (int i = 0; i < TASKS; i++)
        test_join(tasks[i]);
    for (int i = 0; i < THREADS; i++)
        test_thread_join(threads[i]);
    test_until_no_tasks();
    for (int i = 0; i < LANES; i++) {
        CHECK(gs__list_empty(&m.lanes[i]->receivers) && gs__list_empty(&m.lanes[i]->senders));
        gs__chan_close(m.lanes[i]);
        gs__chan_unref(m.lanes[i]); /* the rest is counted as it is dropped */
    }
    CHECK_EQ(m.n_received, m.n_sent);
    CHECK_EQ(m.received, m.sent);
    CHECK(m.n_sent > 1000 / TEST_SLOW && m.spawned > 0);
    gs__ctx_unref(m.open);
    CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
}
