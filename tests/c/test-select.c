/* test-select.c: one decision over several things. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gs__select_case recv_case(gs_chan *ch, int64_t *item)
{
    gs__select_case c;
    memset(&c, 0, sizeof c);
    c.kind = GS__CASE_RECV;
    c.on.chan = ch;
    c.item = item;
    return c;
}

static gs__select_case send_case(gs_chan *ch, int64_t *item)
{
    gs__select_case c = recv_case(ch, item);
    c.kind = GS__CASE_SEND;
    return c;
}

static gs__select_case ctx_case(gs_ctx *ctx)
{
    gs__select_case c;
    memset(&c, 0, sizeof c);
    c.kind = GS__CASE_CTX;
    c.on.ctx = ctx;
    return c;
}

static gs__select_case task_case(gs_task *task)
{
    gs__select_case c;
    memset(&c, 0, sizeof c);
    c.kind = GS__CASE_TASK;
    c.on.task = task;
    return c;
}

static int select_on(gs__select_case *cases, int n, int64_t deadline)
{
    int code;
    do
        code = gs__select(cases, n, NULL, deadline);
    while (code == GS__EINTR);
    return code;
}

static void nobody_hangs(gs_chan *ch)
{
    gs__acquire(&ch->lock);
    bool empty = gs__list_empty(&ch->receivers) && gs__list_empty(&ch->senders);
    gs__release(&ch->lock);
    CHECK(empty);
}

TEST(select_takes_what_is_ready)
{
    gs_chan *a = test_chan(1), *b = test_chan(1);
    int64_t got = 0, item = 5;
    gs__select_case cases[3] = {recv_case(a, &got), recv_case(b, &got)};
    CHECK_EQ(select_on(cases, 2, 0), GS_EAGAIN);
    CHECK_EQ(gs__chan_try_send(b, &item), GS_OK);
    CHECK_EQ(select_on(cases, 2, GS_FOREVER), 1);
    CHECK_EQ(got, 5);
    CHECK(cases[1].ok);
    item = 6;
    cases[2] = send_case(a, &item);
    CHECK_EQ(select_on(cases, 3, 0), 2);
    CHECK_EQ(select_on(cases, 3, 0), 0);
    CHECK_EQ(got, 6);
    gs__chan_unref(a);
    gs__chan_unref(b);
}

TEST(select_without_a_ready_case_waits_for_its_time)
{
    gs_chan *ch = test_chan(0);
    int64_t got = 9, begun = gs__now();
    gs__select_case cases[2] = {recv_case(ch, &got)};
    cases[1].kind = GS__CASE_NONE;
    CHECK_EQ(select_on(cases, 2, begun + GS_MS(20)), GS_ETIMEDOUT);
    CHECK(gs__now() >= begun + GS_MS(20));
    CHECK_EQ(select_on(&cases[1], 1, 0), GS_EAGAIN);
    CHECK_EQ(select_on(&cases[1], 1, gs__now() + GS_MS(5)), GS_ETIMEDOUT);
    CHECK_EQ(select_on(NULL, 0, 0), GS_EAGAIN);
    CHECK_EQ(select_on(NULL, 0, gs__now() + GS_MS(5)), GS_ETIMEDOUT);
    CHECK_EQ(got, 9);
    nobody_hangs(ch);
    gs__chan_unref(ch);
}

static int select_nothing(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    gs_case none = GS_CASE_NONE;
    return gs_select(call, &none, 1, GS_FOREVER);
}

TEST(select_of_nothing_ends_by_a_stop_only)
{
    gs_task *task = test_go(select_nothing, NULL);
    test_until_parked(task);
    test_msleep(10);
    CHECK(!gs__task_ended(task));
    gs__task_cancel(task, NULL);
    CHECK_EQ(test_join(task), GS_ECANCELED);
}

TEST(select_chooses_evenly_among_the_ready)
{
    enum { N = 4, ROUNDS = 20000 };
    gs_chan *chans[N];
    int counts[N] = {0};
    int64_t got, item = 1;
    gs__select_case cases[N];
    for (int i = 0; i < N; i++) {
        chans[i] = test_chan(2);
        CHECK_EQ(gs__chan_try_send(chans[i], &item), GS_OK);
        cases[i] = recv_case(chans[i], &got);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int i = select_on(cases, N, GS_FOREVER);
        CHECK(i >= 0 && i < N);
        counts[i]++;
        CHECK_EQ(gs__chan_try_send(chans[i], &item), GS_OK);
    }
    for (int i = 0; i < N; i++) /* 5,000 each; a standard deviation is 61 */
        CHECK(counts[i] > 4500 && counts[i] < 5500);
    for (int i = 0; i < N; i++)
        gs__chan_unref(chans[i]);
}

typedef struct pair {
    gs_chan *a, *b;
} pair;

static int select_two(gs_call *call)
{
    pair *p = gs_arg_ptr(call, 0);
    int64_t got = 0;
    gs_case cases[] = {GS_CASE_RECV(p->a, &got), GS_CASE_RECV(p->b, &got)};
    int i = gs_select(call, cases, 2, GS_FOREVER);
    return i < 0 ? i : cases[i].ok ? (int)got * 10 + i : 100 + i;
}

TEST(select_waits_for_the_first_and_leaves_the_rest)
{
    pair p = {test_chan(0), test_chan(0)};
    gs_task *task = test_go(select_two, &p);
    test_until_parked(task);
    CHECK_EQ(test_send(p.b, 4), GS_OK);
    CHECK_EQ(test_join(task), 41);
    nobody_hangs(p.a);
    nobody_hangs(p.b);
    int64_t item = 5;
    CHECK_EQ(gs__chan_try_send(p.a, &item), GS_EAGAIN);

    task = test_go(select_two, &p);
    test_until_parked(task);
    gs__chan_close(p.a);
    CHECK_EQ(test_join(task), 100);
    nobody_hangs(p.b);
    gs__chan_unref(p.a);
    gs__chan_unref(p.b);
}

TEST(select_on_closed_channels_is_ready)
{
    gs_chan *ch = test_chan(1);
    int64_t item = 3;
    CHECK_EQ(gs__chan_try_send(ch, &item), GS_OK);
    gs__chan_close(ch);
    gs__select_case c = recv_case(ch, &item);
    item = 0;
    CHECK_EQ(select_on(&c, 1, 0), 0);
    CHECK(c.ok && item == 3);
    CHECK_EQ(select_on(&c, 1, 0), 0);
    CHECK(!c.ok);
    c = send_case(ch, &item);
    CHECK_EQ(select_on(&c, 1, GS_FOREVER), 0);
    CHECK(!c.ok);
    gs__chan_unref(ch);
}

static int send_by_select(gs_call *call)
{
    pair *p = gs_arg_ptr(call, 0);
    int64_t item = 1;
    gs_case cases[] = {GS_CASE_SEND(p->a, &item)};
    return gs_select(call, cases, 1, GS_FOREVER);
}

TEST(select_that_waits_to_send_is_told_of_the_close)
{
    pair p = {test_chan(0), NULL};
    gs_task *task = test_go(send_by_select, &p);
    test_until_parked(task);
    gs__chan_close(p.a);
    CHECK_EQ(test_join(task), GS_ECLOSED);
    CHECK_EQ(test_join(test_go(send_by_select, &p)), GS_ECLOSED);
    gs__chan_unref(p.a);
}

TEST(select_may_name_a_channel_twice)
{
    gs_chan *ch = test_chan(0);
    int64_t one = 0, two = 0;
    gs__select_case cases[3] = {recv_case(ch, &one), recv_case(ch, &two), recv_case(ch, &one)};
    CHECK_EQ(select_on(cases, 3, gs__now() + GS_MS(5)), GS_ETIMEDOUT);
    nobody_hangs(ch);
    pair p = {ch, ch};
    for (int i = 0; i < 100; i++) {
        gs_task *task = test_go(select_two, &p);
        if (i % 2)
            test_until_parked(task);
        CHECK_EQ(test_send(ch, 4), GS_OK);
        int code = test_join(task);
        CHECK(code == 40 || code == 41);
        nobody_hangs(ch);
    }
    gs__chan_unref(ch);
}

static int both_ends(gs_call *call)
{
    pair *p = gs_arg_ptr(call, 0);
    int64_t out = 7, in = 0;
    gs_case cases[] = {GS_CASE_SEND(p->a, &out), GS_CASE_RECV(p->a, &in)};
    int i = gs_select(call, cases, 2, GS_FOREVER);
    return i == 1 && in != 7 ? 5 : i;
}

TEST(select_on_both_ends_does_not_pair_with_itself)
{
    pair p = {test_chan(0), NULL};
    int64_t out = 1, in = 9;
    gs__select_case cases[2] = {send_case(p.a, &out), recv_case(p.a, &in)};
    CHECK_EQ(select_on(cases, 2, gs__now() + GS_MS(20)), GS_ETIMEDOUT);
    CHECK_EQ(in, 9);
    nobody_hangs(p.a);

    for (int i = 0; i < 500 / TEST_SLOW; i++) { /* but two of them do */
        gs_task *one = test_go(both_ends, &p), *two = test_go(both_ends, &p);
        int first = test_join(one), second = test_join(two);
        CHECK(first + second == 1 && first >= 0 && second >= 0);
        nobody_hangs(p.a);
    }
    gs__chan_unref(p.a);
}

static int until_stopped(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_sleep(call, GS_FOREVER);
}

static void *cancel_soon(void *arg)
{
    test_msleep(10);
    gs__ctx_cancel(arg, GS__CTX_CANCELED, NULL);
    return NULL;
}

TEST(select_waits_for_contexts_and_tasks)
{
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    gs_task *task = test_go(until_stopped, NULL);
    gs__select_case cases[2] = {ctx_case(ctx), task_case(task)};
    CHECK_EQ(select_on(cases, 2, 0), GS_EAGAIN);
    CHECK_EQ(select_on(cases, 2, gs__now() + GS_MS(5)), GS_ETIMEDOUT);
    pthread_t thread = test_thread(cancel_soon, ctx);
    CHECK_EQ(select_on(cases, 2, GS_FOREVER), 0);
    CHECK_EQ(select_on(cases, 2, 0), 0);
    test_thread_join(thread);
    CHECK_EQ(select_on(&cases[1], 1, 0), GS_EAGAIN);
    thread = test_thread(cancel_soon, &task->ctx);
    CHECK_EQ(select_on(&cases[1], 1, GS_FOREVER), 0);
    CHECK_EQ(select_on(&cases[1], 1, 0), 0);
    test_thread_join(thread);
    CHECK(gs__task_ended(task));
    gs__task_unref(task);
    gs__ctx_unref(ctx);
}

/* One wait for one context, with a scope and a time. */
typedef struct lone_wait {
    gs_ctx *ctx, *scope;
    int64_t deadline;
    int outcome;
} lone_wait;

static int wait_for_lone_ctx(gs_call *call)
{
    lone_wait *w = gs_arg_ptr(call, 0);
    w->outcome = gs__select_ctx(w->ctx, w->scope, w->deadline);
    return GS_OK;
}

static int cancel_at_once(gs_call *call)
{
    gs__ctx_cancel(gs_arg_ptr(call, 0), GS__CTX_CANCELED, NULL);
    return GS_OK;
}

static void nobody_waits_for(gs_ctx *ctx)
{
    gs__acquire(&ctx->lock);
    bool empty = gs__list_empty(&ctx->waiters);
    gs__release(&ctx->lock);
    CHECK(empty);
}

TEST(select_of_one_context_ends_by_whatever_comes_first)
{
    enum { ROUNDS = 4000 / TEST_SLOW };
    int counts[3] = {0};
    test_workers(2);
    for (int round = 0; round < ROUNDS; round++) {
        lone_wait w = {gs__ctx_with_cancel(gs__ctx_background()),
                       gs__ctx_with_cancel(gs__ctx_background()), GS_FOREVER, 1};
        bool in_time = gs__random() % 2, in_scope = gs__random() % 2;
        if (in_time)
            w.deadline = gs__now() + gs__random() % GS_US(60);
        gs_task *waiting = test_go(wait_for_lone_ctx, &w), *cancels[2] = {NULL};
        if (gs__random() % 2)
            usleep(gs__random() % 60);
        if (in_scope)
            cancels[0] = test_go(cancel_at_once, w.scope);
        if (gs__random() % 2 || (!in_time && !in_scope))
            cancels[1] = test_go(cancel_at_once, w.ctx);
        CHECK_EQ(test_join(waiting), GS_OK);
        if (w.outcome == 0)
            CHECK(gs__ctx_is_done(w.ctx));
        else if (w.outcome == GS_ECANCELED)
            CHECK(gs__ctx_is_done(w.scope));
        else
            CHECK(w.outcome == GS_ETIMEDOUT && gs__now() >= w.deadline);
        counts[w.outcome == 0 ? 0 : w.outcome == GS_ECANCELED ? 1 : 2]++;
        for (int i = 0; i < 2; i++)
            if (cancels[i])
                CHECK_EQ(test_join(cancels[i]), GS_OK);
        nobody_waits_for(w.ctx);
        nobody_waits_for(w.scope);
        gs__ctx_unref(w.ctx);
        gs__ctx_unref(w.scope);
    }
    for (int i = 0; i < 3; i++)
        CHECK(counts[i] > 0);
}

TEST(select_that_waits_is_cancelled_by_its_scope)
{
    gs_chan *ch = test_chan(1);
    gs_ctx *scope = gs__ctx_with_cancel(gs__ctx_background());
    int64_t item = 1;
    gs__select_case c = recv_case(ch, &item);
    pthread_t thread = test_thread(cancel_soon, scope);
    int code;
    do
        code = gs__select(&c, 1, scope, GS_FOREVER);
    while (code == GS__EINTR);
    CHECK_EQ(code, GS_ECANCELED);
    test_thread_join(thread);
    CHECK_EQ(gs__select(&c, 1, scope, GS_FOREVER), GS_ECANCELED);
    nobody_hangs(ch);
    gs__ctx_unref(scope);
    gs__chan_unref(ch);
}

TEST(select_over_a_thousand_cases)
{
    enum { N = 1000 };
    static gs__select_case cases[N];
    static gs_chan *chans[N];
    int64_t got, item = 1;
    for (int i = 0; i < N; i++) {
        chans[i] = test_chan(1);
        cases[i] = recv_case(chans[i], &got);
    }
    CHECK_EQ(select_on(cases, N, gs__now() + GS_MS(2)), GS_ETIMEDOUT);
    for (int i = 0; i < N; i += 111) {
        CHECK_EQ(gs__chan_try_send(chans[i], &item), GS_OK);
        CHECK_EQ(select_on(cases, N, GS_FOREVER), i);
    }
    for (int i = 0; i < N; i++) {
        nobody_hangs(chans[i]);
        gs__chan_unref(chans[i]);
    }
}

static int use_api(gs_call *call)
{
    gs_chan *ch = gs_arg_ptr(call, 0);
    int64_t item = 0;
    gs_ctx *ctx = gs_ctx_with_timeout(call, gs_ctx_current(call), GS_MS(10));
    gs_case cases[] = {GS_CASE_RECV(ch, &item), GS_CASE_NONE, GS_CASE_DONE(ctx)};
    if (gs_select(call, cases, 2, 0) != GS_EAGAIN)
        return 1;
    if (gs_select(call, cases, 2, GS_MS(2)) != GS_ETIMEDOUT)
        return 2;
    if (gs_select(call, cases, 2, -5) != GS_EINVAL || gs_select(call, cases, -1, 0) != GS_EINVAL)
        return 3;
    if (gs_select(call, cases, 3, GS_FOREVER) != 2 || !gs_ctx_done(call, ctx))
        return 4;
    cases[1].kind = 77;
    if (gs_select(call, cases, 3, GS_FOREVER) != GS_EINVAL)
        return 5;
    return GS_OK;
}

TEST(select_from_a_task_checks_what_it_is_given)
{
    gs_chan *ch = test_chan(0);
    CHECK_EQ(test_join(test_go(use_api, ch)), GS_OK);
    gs__chan_unref(ch);
}

/* ---- one decision ---- */

enum { CHANS = 3, TOTAL = 30000 / TEST_SLOW };
static gs_chan *shared[CHANS];
static atomic_uchar seen[TOTAL];
static atomic_int next_value, received;
static gs_ctx *finish;

static int select_sends(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    int64_t value;
    while ((value = next_value++) < TOTAL) {
        gs_case cases[CHANS];
        for (int i = 0; i < CHANS; i++)
            cases[i] = GS_CASE_SEND(shared[i], &value);
        int i;
        do
            i = gs_select(call, cases, CHANS, GS_US(1 + test_random(50)));
        while (i == GS_ETIMEDOUT);
        GS_TRY(i);
    }
    return GS_OK;
}

static int select_recvs(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    for (;;) {
        int64_t values[CHANS];
        gs_case cases[CHANS + 1];
        for (int i = 0; i < CHANS; i++) {
            values[i] = -1;
            cases[i] = GS_CASE_RECV(shared[i], &values[i]);
        }
        cases[CHANS] = GS_CASE_DONE(finish);
        int i = gs_select(call, cases, CHANS + 1, GS_US(1 + test_random(50)));
        for (int k = 0; k < CHANS; k++)
            CHECK(k == i || values[k] == -1); /* what was not chosen was not touched */
        if (i == CHANS)
            return GS_OK;
        if (i == GS_ETIMEDOUT)
            continue;
        GS_TRY(i);
        CHECK(values[i] >= 0 && values[i] < TOTAL);
        seen[values[i]]++;
        if (++received == TOTAL)
            gs_ctx_cancel(call, finish, NULL);
    }
}

TEST(select_does_one_thing_or_none)
{
    gs_task *tasks[12];
    test_workers(4);
    finish = gs__ctx_with_cancel(gs__ctx_background());
    for (int i = 0; i < CHANS; i++)
        shared[i] = test_chan(i == 2 ? 2 : 0);
    for (int i = 0; i < 12; i++)
        tasks[i] = test_go(i % 2 ? select_sends : select_recvs, NULL);
    for (int i = 0; i < 12; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    for (int i = 0; i < TOTAL; i++)
        CHECK_EQ(seen[i], 1);
    for (int i = 0; i < CHANS; i++) {
        nobody_hangs(shared[i]);
        gs__chan_unref(shared[i]);
    }
    gs__ctx_unref(finish);
}
