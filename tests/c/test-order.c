/* test-order.c: memory. What one party wrote, without an atomic, before it sent, closed, cancelled or
 * ended is seen by the one that this reached. ThreadSanitizer tells where nothing orders the two; without
 * it only a machine that reorders would show it. One of each pair is a thread, as tasks that share a
 * worker are in order anyhow. */
#include "test.h"

#include <string.h>

enum { ROUNDS = 20000 / TEST_SLOW };
static int64_t written[ROUNDS + 1], answered[ROUNDS + 1];
static gs_chan *chan;

static void begin(size_t capacity)
{
    memset(written, 0, sizeof written);
    memset(answered, 0, sizeof answered);
    chan = test_chan(capacity);
}

/* ---- channels ---- */

static int read_what_was_sent(gs_call *call)
{
    int64_t i;
    int code;
    while ((code = gs_recv(call, chan, &i)) == GS_OK)
        CHECK_EQ(written[i], i + 1);
    return code == GS_ECLOSED ? GS_OK : code;
}

TEST(order_send_before_its_receive)
{
    for (size_t capacity = 0; capacity <= 8; capacity += 4) {
        begin(capacity);
        gs_task *reader = test_go(read_what_was_sent, NULL);
        for (int64_t i = 0; i < ROUNDS; i++) {
            written[i] = i + 1;
            CHECK_EQ(test_send(chan, i), GS_OK);
        }
        gs__chan_close(chan);
        CHECK_EQ(test_join(reader), GS_OK);
        gs__chan_unref(chan);
    }
}

static int send_several(gs_call *call)
{
    int64_t items[100];
    for (int64_t at = 0; at < ROUNDS; at += 100) {
        for (int64_t i = 0; i < 100; i++) {
            items[i] = at + i;
            written[at + i] = at + i + 1;
        }
        CHECK_EQ(gs_send_many(call, chan, items, 100), 100);
    }
    return gs_close(call, chan);
}

TEST(order_batch_before_its_receive)
{
    begin(30);
    gs_task *writer = test_go(send_several, NULL);
    int64_t items[40];
    size_t n;
    int code;
    while ((code = gs__chan_recv_many(chan, items, 40, &n, NULL, GS_FOREVER)) == GS_OK ||
           code == GS__EINTR)
        for (size_t i = 0; code == GS_OK && i < n; i++)
            CHECK_EQ(written[items[i]], items[i] + 1);
    CHECK_EQ(code, GS_ECLOSED);
    CHECK_EQ(test_join(writer), GS_OK);
    gs__chan_unref(chan);
}

static int answer_and_receive(gs_call *call)
{
    int64_t i, n = 0;
    int code;
    do
        answered[n] = n + 1;
    while ((code = gs_recv(call, chan, &i)) == GS_OK && ++n < ROUNDS);
    return code;
}

/* The receive numbered k is before the return of the send numbered k + capacity. */
TEST(order_receive_before_the_send_that_it_lets_return)
{
    for (int64_t capacity = 0; capacity <= 8; capacity += 4) {
        begin((size_t)capacity);
        gs_task *reader = test_go(answer_and_receive, NULL);
        for (int64_t i = 0; i < ROUNDS; i++) {
            CHECK_EQ(test_send(chan, i), GS_OK);
            if (i >= capacity)
                CHECK_EQ(answered[i - capacity], i - capacity + 1);
        }
        CHECK_EQ(test_join(reader), GS_OK);
        gs__chan_unref(chan);
    }
}

static int see_the_close(gs_call *call)
{
    int64_t item = 0, *at = gs_arg_ptr(call, 0);
    int code = *at % 2 ? gs_recv(call, chan, &item) : gs_send(call, chan, &item);
    CHECK_EQ(code, GS_ECLOSED);
    CHECK_EQ(written[0], *at + 1);
    return GS_OK;
}

TEST(order_close_before_the_call_that_sees_it)
{
    for (int64_t i = 0; i < ROUNDS / 50; i++) {
        begin(0);
        gs_task *reader = test_go(see_the_close, &i);
        if (i % 3 == 0)
            test_until_parked(reader);
        written[0] = i + 1;
        gs__chan_close(chan);
        CHECK_EQ(test_join(reader), GS_OK);
        gs__chan_unref(chan);
    }
}

static int select_what_was_sent(gs_call *call)
{
    gs_chan *never = gs_chan_new(call, GS_INT64, 0);
    for (int64_t i, n = 0, other; n < ROUNDS; n++) {
        gs_case cases[] = {GS_CASE_RECV(never, &other), GS_CASE_RECV(chan, &i)};
        CHECK_EQ(gs_select(call, cases, 2, GS_FOREVER), 1);
        CHECK_EQ(written[i], i + 1);
    }
    return GS_OK;
}

TEST(order_send_before_the_select_that_receives)
{
    begin(0);
    gs_task *reader = test_go(select_what_was_sent, NULL);
    for (int64_t i = 0; i < ROUNDS; i++) {
        written[i] = i + 1;
        CHECK_EQ(test_send(chan, i), GS_OK);
    }
    CHECK_EQ(test_join(reader), GS_OK);
    gs__chan_unref(chan);
}

/* ---- tasks ---- */

static int write_and_end(gs_call *call)
{
    int64_t *at = gs_arg_ptr(call, 0);
    CHECK_EQ(written[0], *at); /* what was written before it was started */
    written[0] = *at + 1;
    return GS_OK;
}

TEST(order_start_before_the_task_and_its_end_before_who_waits)
{
    for (int64_t i = 0; i < ROUNDS / 10; i++) {
        written[0] = i;
        gs_task *task = test_go(write_and_end, &i);
        if (i % 2)
            test_wait(task);
        while (!gs__task_ended(task))
            ;
        CHECK_EQ(written[0], i + 1);
        gs__task_unref(task);
    }
}

/* ---- contexts ---- */

enum how { BY_CHECKPOINT, BY_A_WAIT, BY_A_SELECT, BY_ASKING, HOWS };
static gs_ctx *asked;
static atomic_int looking;

static int see_the_cancel(gs_call *call)
{
    int64_t *at = gs_arg_ptr(call, 0);
    int code = GS_OK;
    looking = 1;
    if (*at % HOWS == BY_CHECKPOINT) {
        while (code == GS_OK)
            code = gs_checkpoint(call);
    } else if (*at % HOWS == BY_A_WAIT) {
        code = gs_sleep(call, GS_FOREVER);
    } else if (*at % HOWS == BY_A_SELECT) {
        gs_shield_begin(call);
        gs_case done = GS_CASE_DONE(asked);
        CHECK_EQ(gs_select(call, &done, 1, GS_FOREVER), 0);
        gs_shield_end(call);
    } else {
        while (!gs_ctx_done(call, asked))
            ;
    }
    CHECK_EQ(written[0], *at + 1);
    return code;
}

TEST(order_cancel_before_all_that_sees_it)
{
    for (int64_t i = 0; i < ROUNDS / 50; i++) {
        asked = gs__ctx_with_cancel(gs__ctx_background());
        looking = 0;
        gs_task *task = test_go_in(asked, see_the_cancel, &i);
        test_until(&looking, 1);
        written[0] = i + 1;
        gs__ctx_cancel(asked, GS__CTX_CANCELED, NULL);
        test_join(task);
        gs__ctx_unref(asked);
    }
}
