/* test-async.c: selects that no stack waits on. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

typedef struct operation {
    gs__async async;
    gs__select_case cases[2];
    int64_t item;
    atomic_int notified;
} operation;

static void note(gs__async *async)
{
    gs__container(async, operation, async)->notified++;
}

static int begin(operation *op, int kind, gs_chan *ch, gs_ctx *scope, int64_t deadline)
{
    memset(op, 0, sizeof *op);
    op->cases[0].kind = (uint8_t)kind;
    op->cases[0].on.chan = ch;
    op->cases[0].item = &op->item;
    op->cases[1].kind = GS__CASE_NONE;
    return gs__async_start(&op->async, op->cases, 2, scope, deadline, note);
}

TEST(async_that_can_go_on_is_over_at_once)
{
    gs_chan *ch = test_chan(1);
    operation op;
    int64_t item = 4;
    CHECK_EQ(gs__chan_try_send(ch, &item), GS_OK);
    memset(&op, 0, sizeof op);
    op.cases[1].kind = GS__CASE_RECV;
    op.cases[1].on.chan = ch;
    op.cases[1].item = &op.item;
    CHECK_EQ(gs__async_start(&op.async, op.cases, 2, NULL, GS_FOREVER, note), 1);
    CHECK_EQ(op.item, 4);
    CHECK(op.cases[1].ok);
    CHECK_EQ(op.notified, 0);
    CHECK_EQ(begin(&op, GS__CASE_RECV, ch, NULL, 0), GS_EAGAIN);
    CHECK_EQ(op.notified, 0);
    gs__chan_unref(ch);
}

TEST(async_is_told_once)
{
    gs_chan *ch = test_chan(0);
    operation ops[20];
    for (int i = 0; i < 20; i++)
        CHECK_EQ(begin(&ops[i], GS__CASE_RECV, ch, NULL, GS_FOREVER), GS__UNDER_WAY);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(ops[i].notified, 0);
        CHECK_EQ(test_send(ch, i), GS_OK);
        test_until(&ops[i].notified, 1);
        CHECK_EQ(gs__async_finish(&ops[i].async), 0);
        CHECK(ops[i].cases[0].ok);
        CHECK_EQ(ops[i].item, i);
    }
    for (int i = 0; i < 20; i++)
        CHECK_EQ(ops[i].notified, 1);
    CHECK(gs__list_empty(&ch->receivers));
    gs__chan_unref(ch);
}

TEST(async_that_was_abandoned_took_nothing)
{
    gs_chan *ch = test_chan(0);
    operation op;
    int64_t item = 1;
    CHECK_EQ(begin(&op, GS__CASE_RECV, ch, NULL, GS_FOREVER), GS__UNDER_WAY);
    CHECK(gs__async_abandon(&op.async));
    CHECK_EQ(gs__chan_try_send(ch, &item), GS_EAGAIN);
    CHECK_EQ(op.notified, 0);

    CHECK_EQ(begin(&op, GS__CASE_SEND, ch, NULL, GS_FOREVER), GS__UNDER_WAY);
    CHECK_EQ(test_recv(ch, &item), GS_OK);
    test_until(&op.notified, 1);
    CHECK(!gs__async_abandon(&op.async)); /* it has happened */
    CHECK_EQ(gs__async_finish(&op.async), 0);
    gs__chan_unref(ch);
}

TEST(async_ends_by_time_scope_and_close)
{
    gs_chan *ch = test_chan(0);
    operation op;
    int64_t begun = gs__now();
    CHECK_EQ(begin(&op, GS__CASE_RECV, ch, NULL, begun + GS_MS(20)), GS__UNDER_WAY);
    test_until(&op.notified, 1);
    CHECK(gs__now() >= begun + GS_MS(20));
    CHECK_EQ(gs__async_finish(&op.async), GS_ETIMEDOUT);

    gs_ctx *scope = gs__ctx_with_cancel(gs__ctx_background());
    CHECK_EQ(begin(&op, GS__CASE_RECV, ch, scope, GS_FOREVER), GS__UNDER_WAY);
    gs__ctx_cancel(scope, GS__CTX_CANCELED, NULL);
    test_until(&op.notified, 1);
    CHECK_EQ(gs__async_finish(&op.async), GS_ECANCELED);
    CHECK_EQ(begin(&op, GS__CASE_RECV, ch, scope, GS_FOREVER), GS_ECANCELED);
    CHECK_EQ(op.notified, 0);
    gs__ctx_unref(scope);

    CHECK_EQ(begin(&op, GS__CASE_SEND, ch, NULL, GS_FOREVER), GS__UNDER_WAY);
    gs__chan_close(ch);
    test_until(&op.notified, 1);
    CHECK_EQ(gs__async_finish(&op.async), 0);
    CHECK(!op.cases[0].ok);
    CHECK(gs__list_empty(&ch->receivers) && gs__list_empty(&ch->senders));
    gs__chan_unref(ch);
}

TEST(async_and_stacks_share_one_queue)
{
    gs_chan *ch = test_chan(0);
    operation in, out;
    CHECK_EQ(begin(&in, GS__CASE_RECV, ch, NULL, GS_FOREVER), GS__UNDER_WAY);
    memset(&out, 0, sizeof out);
    out.item = 12;
    out.cases[0].kind = GS__CASE_SEND;
    out.cases[0].on.chan = ch;
    out.cases[0].item = &out.item;
    CHECK_EQ(gs__async_start(&out.async, out.cases, 1, NULL, GS_FOREVER, note), 0);
    test_until(&in.notified, 1);
    CHECK_EQ(gs__async_finish(&in.async), 0);
    CHECK_EQ(in.item, 12);
    CHECK_EQ(out.notified, 0);
    gs__chan_unref(ch);
}

/* ---- abandoned at any moment ---- */

enum { TOTAL = 20000 / TEST_SLOW };
static gs_chan *line;
static atomic_uchar seen[TOTAL];
static atomic_int received;

static int send_all(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    for (int64_t value = 0; value < TOTAL; value++)
        GS_TRY(gs_send(call, line, &value));
    return GS_OK;
}

static void *receive_and_abandon(void *arg)
{
    while (received < TOTAL) {
        operation op;
        int code = begin(&op, GS__CASE_RECV, line, NULL, GS_FOREVER);
        if (code == GS__UNDER_WAY) {
            for (uint32_t n = test_random(500); n > 0; n--)
                gs__pause();
            if (gs__async_abandon(&op.async))
                continue;
            test_until(&op.notified, 1);
            code = gs__async_finish(&op.async);
        }
        CHECK_EQ(code, 0);
        seen[op.item]++;
        received++;
    }
    return arg;
}

TEST(async_abandoned_at_any_moment_loses_nothing)
{
    pthread_t threads[3];
    line = test_chan(0);
    gs_task *task = test_go(send_all, NULL);
    for (int i = 0; i < 3; i++)
        threads[i] = test_thread(receive_and_abandon, NULL);
    for (int i = 0; i < 3; i++)
        test_thread_join(threads[i]);
    CHECK_EQ(test_join(task), GS_OK);
    for (int i = 0; i < TOTAL; i++)
        CHECK_EQ(seen[i], 1);
    gs__chan_unref(line);
}
