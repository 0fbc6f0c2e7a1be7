/* test-chan.c: channels, a few parties at a time. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

static int try_send(gs_chan *ch, int64_t value)
{
    return gs__chan_try_send(ch, &value);
}

static int64_t try_recv(gs_chan *ch)
{
    int64_t value = 0;
    int code = gs__chan_try_recv(ch, &value);
    return code == GS_OK ? value : code;
}

TEST(chan_keeps_its_capacity_and_order)
{
    gs_chan *ch = test_chan(3);
    CHECK_EQ(try_recv(ch), GS_EAGAIN);
    for (int round = 0; round < 10; round++) {
        for (int i = 1; i <= 3; i++) {
            CHECK_EQ(try_send(ch, round * 10 + i), GS_OK);
            CHECK_EQ(gs__chan_len(ch), i);
        }
        CHECK_EQ(try_send(ch, 99), GS_EAGAIN);
        CHECK_EQ(gs__chan_len(ch), 3);
        for (int i = 1; i <= 3; i++)
            CHECK_EQ(try_recv(ch), round * 10 + i);
        CHECK_EQ(try_recv(ch), GS_EAGAIN);
    }
    gs__chan_unref(ch);
}

TEST(chan_without_capacity_holds_nothing)
{
    gs_chan *ch = test_chan(0);
    CHECK_EQ(try_send(ch, 1), GS_EAGAIN);
    CHECK_EQ(try_recv(ch), GS_EAGAIN);
    CHECK_EQ(gs__chan_len(ch), 0);
    gs__chan_unref(ch);
}

TEST(chan_of_an_absurd_capacity_is_refused)
{
    CHECK(gs__chan_new(gs__elem_of(GS_INT64), SIZE_MAX) == NULL);
    CHECK(gs__chan_new(gs__elem_of(GS_INT64), SIZE_MAX / 8 + 2) == NULL);
    CHECK(gs__chan_new(gs__elem_of(GS_INT64), SIZE_MAX / 16) == NULL);
}

static int closed_to_the_end(gs_call *call)
{
    gs_chan *ch = gs_arg_ptr(call, 0);
    int64_t item = 0, sum = 0;
    int code;
    while ((code = gs_recv(call, ch, &item)) == GS_OK)
        sum += item;
    return code == GS_ECLOSED ? (int)sum : 1000;
}

TEST(chan_that_is_closed_is_drained_first)
{
    gs_chan *ch = test_chan(3);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(try_send(ch, i), GS_OK);
    CHECK(!gs__chan_closed(ch));
    gs__chan_close(ch);
    gs__chan_close(ch);
    CHECK(gs__chan_closed(ch));
    CHECK_EQ(try_send(ch, 4), GS_ECLOSED);
    CHECK_EQ(test_send(ch, 4), GS_ECLOSED);
    CHECK_EQ(test_join(test_go(closed_to_the_end, ch)), 6);
    CHECK_EQ(try_recv(ch), GS_ECLOSED);
    gs__chan_unref(ch);
}

static int send_five(gs_call *call)
{
    int64_t five = 5;
    return gs_send(call, gs_arg_ptr(call, 0), &five);
}

TEST(chan_close_ends_those_who_wait)
{
    for (size_t capacity = 0; capacity < 2; capacity++) {
        gs_chan *ch = test_chan(capacity);
        gs_task *tasks[4];
        for (int i = 0; i < 4; i++) {
            tasks[i] = test_go(closed_to_the_end, ch);
            test_until_parked(tasks[i]);
        }
        gs__chan_close(ch);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(test_join(tasks[i]), 0);
        gs__chan_unref(ch);

        ch = test_chan(capacity);
        if (capacity)
            CHECK_EQ(try_send(ch, 1), GS_OK);
        for (int i = 0; i < 4; i++) {
            tasks[i] = test_go(send_five, ch);
            test_until_parked(tasks[i]);
        }
        gs__chan_close(ch);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(test_join(tasks[i]), GS_ECLOSED);
        CHECK_EQ(try_recv(ch), capacity ? 1 : GS_ECLOSED); /* nothing of the four was sent */
        CHECK_EQ(try_recv(ch), GS_ECLOSED);
        gs__chan_unref(ch);
    }
}

static atomic_int sent;

static int send_and_say(gs_call *call)
{
    int64_t item = 1;
    int code = gs_send(call, gs_arg_ptr(call, 0), &item);
    sent++;
    return code;
}

TEST(chan_send_without_capacity_returns_when_taken)
{
    gs_chan *ch = test_chan(0);
    gs_task *task = test_go(send_and_say, ch);
    test_until_parked(task);
    test_msleep(10);
    CHECK_EQ(sent, 0);
    CHECK_EQ(try_recv(ch), 1);
    CHECK_EQ(test_join(task), GS_OK);
    CHECK_EQ(sent, 1);
    gs__chan_unref(ch);
}

static int recv_one(gs_call *call)
{
    int64_t item = -1;
    GS_TRY(gs_recv(call, gs_arg_ptr(call, 0), &item));
    return (int)item;
}

TEST(chan_serves_receivers_first_come_first_served)
{
    enum { N = 50 };
    gs_chan *ch = test_chan(0);
    gs_task *tasks[N];
    for (int i = 0; i < N; i++) {
        tasks[i] = test_go(recv_one, ch);
        test_until_parked(tasks[i]);
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(try_send(ch, i), GS_OK);
    for (int i = 0; i < N; i++)
        CHECK_EQ(test_join(tasks[i]), i);
    gs__chan_unref(ch);
}

typedef struct sender {
    gs_chan *ch;
    int64_t value;
} sender;

static int send_value(gs_call *call)
{
    sender *s = gs_arg_ptr(call, 0);
    return gs_send(call, s->ch, &s->value);
}

TEST(chan_serves_senders_first_come_first_served)
{
    enum { N = 50 };
    gs_task *tasks[N];
    sender senders[N];
    for (size_t capacity = 0; capacity < 4; capacity += 3) {
        gs_chan *ch = test_chan(capacity);
        for (int i = 0; i < N; i++) {
            senders[i] = (sender){ch, i};
            tasks[i] = test_go(send_value, &senders[i]);
            if (i >= (int)capacity)
                test_until_parked(tasks[i]);
            else
                test_wait(tasks[i]);
        }
        for (int i = 0; i < N; i++)
            CHECK_EQ(try_recv(ch), i);
        for (int i = 0; i < N; i++)
            CHECK_EQ(test_join(tasks[i]), GS_OK);
        gs__chan_unref(ch);
    }
}

TEST(chan_operation_that_was_cancelled_did_not_happen)
{
    gs_chan *ch = test_chan(0);
    sender s = {ch, 1};
    gs_task *receiver = test_go(recv_one, ch);
    test_until_parked(receiver);
    CHECK(gs__task_cancel(receiver, NULL));
    CHECK_EQ(test_join(receiver), GS_ECANCELED);
    CHECK_EQ(try_send(ch, 1), GS_EAGAIN); /* nobody is there to take it */
    gs_task *task = test_go(send_value, &s);
    test_until_parked(task);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK_EQ(try_recv(ch), GS_EAGAIN);
    CHECK(gs__list_empty(&ch->receivers) && gs__list_empty(&ch->senders));
    gs__chan_unref(ch);
}

TEST(chan_operation_that_timed_out_did_not_happen)
{
    gs_chan *ch = test_chan(1);
    int64_t item = 7;
    int64_t begun = gs__now();
    int code;
    do
        code = gs__chan_recv(ch, &item, NULL, begun + GS_MS(20));
    while (code == GS__EINTR);
    CHECK_EQ(code, GS_ETIMEDOUT);
    CHECK(gs__now() >= begun + GS_MS(20));
    CHECK_EQ(item, 7);
    CHECK_EQ(gs__chan_recv(ch, &item, NULL, 0), GS_ETIMEDOUT);
    CHECK_EQ(try_send(ch, 1), GS_OK);
    do
        code = gs__chan_send(ch, &item, NULL, gs__now() + GS_MS(5));
    while (code == GS__EINTR);
    CHECK_EQ(code, GS_ETIMEDOUT);
    CHECK_EQ(gs__chan_send(ch, &item, NULL, 0), GS_ETIMEDOUT);
    CHECK_EQ(try_recv(ch), 1);
    CHECK_EQ(try_recv(ch), GS_EAGAIN);
    CHECK(gs__list_empty(&ch->receivers) && gs__list_empty(&ch->senders));
    gs__chan_unref(ch);
}

TEST(chan_does_not_wait_in_a_scope_that_is_done)
{
    gs_chan *ch = test_chan(0);
    int64_t item = 3;
    gs_ctx *scope = gs__ctx_with_cancel(gs__ctx_background());
    gs__ctx_cancel(scope, GS__CTX_CANCELED, NULL);
    CHECK_EQ(gs__chan_send(ch, &item, scope, GS_FOREVER), GS_ECANCELED);
    CHECK_EQ(gs__chan_recv(ch, &item, scope, GS_FOREVER), GS_ECANCELED);
    CHECK(gs__list_empty(&ch->receivers) && gs__list_empty(&ch->senders));
    gs__ctx_unref(scope);
    gs__chan_unref(ch);
}

/* ---- batches ---- */

TEST(chan_batches_keep_order)
{
    gs_chan *ch = test_chan(10);
    int64_t items[16], got[16];
    size_t n = 0;
    for (int i = 0; i < 16; i++)
        items[i] = i;
    CHECK_EQ(gs__chan_try_recv_many(ch, got, 16, &n), GS_EAGAIN);
    for (int round = 0; round < 7; round++) { /* the ring's end falls at every place */
        CHECK_EQ(gs__chan_try_send_many(ch, items, 7, &n), GS_OK);
        CHECK_EQ(n, 7);
        CHECK_EQ(gs__chan_try_recv_many(ch, got, 16, &n), GS_OK);
        CHECK_EQ(n, 7);
        CHECK(memcmp(got, items, 7 * sizeof *got) == 0);
    }
    (void)gs__chan_try_send_many(ch, items, 16, &n);
    CHECK_EQ(n, 10);
    CHECK_EQ(gs__chan_recv_many(ch, got, 4, &n, NULL, GS_FOREVER), GS_OK);
    CHECK_EQ(n, 4);
    CHECK(memcmp(got, items, 4 * sizeof *got) == 0);
    gs__chan_close(ch);
    CHECK_EQ(gs__chan_recv_many(ch, got, 16, &n, NULL, GS_FOREVER), GS_OK);
    CHECK_EQ(n, 6);
    CHECK(memcmp(got, items + 4, 6 * sizeof *got) == 0);
    CHECK_EQ(gs__chan_recv_many(ch, got, 16, &n, NULL, GS_FOREVER), GS_ECLOSED);
    CHECK_EQ(gs__chan_try_recv_many(ch, got, 16, &n), GS_ECLOSED);
    gs__chan_unref(ch);
}

static int send_hundred(gs_call *call)
{
    int64_t items[100];
    for (int i = 0; i < 100; i++)
        items[i] = i;
    return (int)gs_send_many(call, gs_arg_ptr(call, 0), items, 100);
}

TEST(chan_batch_that_is_stopped_says_how_many_went)
{
    for (size_t capacity = 0; capacity <= 8; capacity += 4) {
        gs_chan *ch = test_chan(capacity);
        gs_task *task = test_go(send_hundred, ch);
        int64_t item;
        for (int i = 0; i < 10; i++) {
            CHECK_EQ(test_recv(ch, &item), GS_OK);
            CHECK_EQ(item, i);
        }
        while (gs__chan_len(ch) < capacity)
            ;
        test_until_parked(task);
        CHECK(gs__task_cancel(task, NULL));
        CHECK_EQ(test_join(task), 10 + (int)capacity);
        for (int i = 0; i < (int)capacity; i++)
            CHECK_EQ(try_recv(ch), 10 + i);
        CHECK_EQ(try_recv(ch), GS_EAGAIN);

        task = test_go(send_hundred, ch);
        for (int i = 0; i < 10; i++)
            CHECK_EQ(test_recv(ch, &item), GS_OK);
        while (gs__chan_len(ch) < capacity)
            ;
        test_until_parked(task);
        gs__chan_close(ch);
        CHECK_EQ(test_join(task), 10 + (int)capacity);
        gs__chan_unref(ch);
    }
}

static int recv_hundred(gs_call *call)
{
    int64_t items[100], next = 0, n;
    gs_chan *ch = gs_arg_ptr(call, 0);
    while ((n = gs_recv_many(call, ch, items, 100)) > 0)
        for (int64_t i = 0; i < n; i++)
            if (items[i] != next++ % 100)
                return 1000;
    return n == GS_ECLOSED ? (int)next : 2000;
}

TEST(chan_batches_pass_through_any_capacity)
{
    for (size_t capacity = 0; capacity <= 130; capacity += 26) {
        gs_chan *ch = test_chan(capacity);
        gs_task *receiver = test_go(recv_hundred, ch);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(test_join(test_go(send_hundred, ch)), 100);
        gs__chan_close(ch);
        CHECK_EQ(test_join(receiver), 500);
        gs__chan_unref(ch);
    }
}

TEST(chan_batch_of_none_is_none)
{
    gs_chan *ch = test_chan(1);
    size_t n = 9;
    CHECK_EQ(gs__chan_send_many(ch, NULL, 0, &n, NULL, GS_FOREVER), GS_OK);
    CHECK_EQ(n, 0);
    gs__chan_unref(ch);
}

/* ---- values that were put back, values that nobody takes ---- */

TEST(chan_value_put_back_is_in_front)
{
    gs_chan *ch = test_chan(2);
    int64_t item = 1;
    CHECK_EQ(try_send(ch, 1), GS_OK);
    CHECK_EQ(try_send(ch, 2), GS_OK);
    CHECK_EQ(try_recv(ch), 1);
    CHECK_EQ(try_send(ch, 3), GS_OK);
    CHECK_EQ(gs__chan_unrecv(ch, &item), GS_OK); /* though it is full */
    CHECK_EQ(gs__chan_len(ch), 3);
    CHECK_EQ(try_send(ch, 4), GS_EAGAIN);
    gs__chan_close(ch);
    item = 0;
    CHECK_EQ(gs__chan_unrecv(ch, &item), GS_OK); /* though it is closed */
    for (int i = 0; i <= 3; i++)
        CHECK_EQ(try_recv(ch), i);
    CHECK_EQ(try_recv(ch), GS_ECLOSED);
    gs__chan_unref(ch);

    ch = test_chan(0);
    gs_task *task = test_go(recv_one, ch);
    test_until_parked(task);
    item = 8;
    CHECK_EQ(gs__chan_unrecv(ch, &item), GS_OK); /* to who waits for it */
    CHECK_EQ(test_join(task), 8);
    CHECK_EQ(gs__chan_len(ch), 0);
    gs__chan_unref(ch);
}

static atomic_int dropped;

static void count_drop(void *item)
{
    dropped += *(int *)item;
}

TEST(chan_drops_what_nobody_took)
{
    gs__elem elem = {GS_INT32, count_drop};
    gs_chan *ch = gs__chan_new(elem, 8);
    int item;
    for (item = 1; item <= 8; item *= 2)
        CHECK_EQ(gs__chan_try_send(ch, &item), GS_OK);
    CHECK_EQ(gs__chan_try_recv(ch, &item), GS_OK);
    CHECK_EQ(item, 1);
    item = 32;
    CHECK_EQ(gs__chan_unrecv(ch, &item), GS_OK);
    gs__chan_ref(ch);
    gs__chan_close(ch);
    gs__chan_unref(ch);
    CHECK_EQ(dropped, 0);
    gs__chan_unref(ch);
    CHECK_EQ(dropped, 2 + 4 + 8 + 32);
}
