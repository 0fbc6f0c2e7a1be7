/* test-foreign.c: threads that are no workers: they wait without a task, and signals interrupt them. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { TOTAL = 20000 / TEST_SLOW };
static gs_chan *forth, *back;
static atomic_int next_value;
static atomic_uchar seen[TOTAL];

static int double_it(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    int64_t value;
    int code;
    while ((code = gs_recv(call, forth, &value)) == GS_OK)
        GS_TRY(gs_send(call, back, &value));
    return code == GS_ECLOSED ? GS_OK : code;
}

static void *send_from_a_thread(void *arg)
{
    int64_t value;
    while ((value = next_value++) < TOTAL)
        CHECK_EQ(test_send(forth, value), GS_OK);
    return arg;
}

static void *recv_in_a_thread(void *arg)
{
    int64_t value;
    while (test_recv(back, &value) == GS_OK)
        seen[value]++;
    return arg;
}

TEST(threads_and_tasks_share_channels)
{
    for (size_t capacity = 0; capacity <= 8; capacity += 8) {
        pthread_t senders[3], receivers[3];
        gs_task *tasks[3];
        next_value = 0;
        memset(seen, 0, sizeof seen);
        forth = test_chan(capacity);
        back = test_chan(capacity);
        for (int i = 0; i < 3; i++) {
            tasks[i] = test_go(double_it, NULL);
            receivers[i] = test_thread(recv_in_a_thread, NULL);
            senders[i] = test_thread(send_from_a_thread, NULL);
        }
        for (int i = 0; i < 3; i++)
            test_thread_join(senders[i]);
        gs__chan_close(forth);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(test_join(tasks[i]), GS_OK);
        gs__chan_close(back);
        for (int i = 0; i < 3; i++)
            test_thread_join(receivers[i]);
        for (int i = 0; i < TOTAL; i++)
            CHECK_EQ(seen[i], 1);
        gs__chan_unref(forth);
        gs__chan_unref(back);
    }
}

static void *pass_between_threads(void *arg)
{
    gs_chan **chans = arg;
    int64_t value;
    while (test_recv(chans[0], &value) == GS_OK)
        CHECK_EQ(test_send(chans[1], value + 1), GS_OK);
    gs__chan_close(chans[1]);
    return NULL;
}

TEST(threads_need_no_task_between_them)
{
    gs_chan *chans[2] = {test_chan(0), test_chan(0)};
    pthread_t thread = test_thread(pass_between_threads, chans);
    int64_t value = 0;
    for (int i = 0; i < 5000 / TEST_SLOW; i++) {
        CHECK_EQ(test_send(chans[0], value), GS_OK);
        CHECK_EQ(test_recv(chans[1], &value), GS_OK);
    }
    CHECK_EQ(value, 5000 / TEST_SLOW);
    gs__chan_close(chans[0]);
    CHECK_EQ(test_recv(chans[1], &value), GS_ECLOSED);
    test_thread_join(thread);
    gs__chan_unref(chans[0]);
    gs__chan_unref(chans[1]);
}

/* ---- signals ---- */

static atomic_int handled, interrupted, waits;
static gs_ctx *scope;

static void handle(int signal)
{
    (void)signal;
    handled++;
}

static void *wait_to_be_interrupted(void *arg)
{
    gs_chan *ch = arg;
    int64_t item = 5;
    int code;
    gs__thread_set_interruptible(true);
    waits++;
    while ((code = gs__chan_recv(ch, &item, scope, GS_FOREVER)) == GS__EINTR)
        interrupted++;
    CHECK_EQ(code, GS_ECANCELED);
    CHECK_EQ(item, 5);
    return NULL;
}

TEST(signal_interrupts_a_thread_that_waits)
{
    struct sigaction action;
    gs_chan *ch = test_chan(0);
    int64_t item = 1;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    scope = gs__ctx_with_cancel(gs__ctx_background());
    pthread_t thread = test_thread(wait_to_be_interrupted, ch);
    test_until(&waits, 1);
    while (interrupted < 3) {
        CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        test_msleep(2);
    }
    CHECK(handled > 0);
    gs__ctx_cancel(scope, GS__CTX_CANCELED, NULL);
    test_thread_join(thread);
    CHECK_EQ(gs__chan_try_send(ch, &item), GS_EAGAIN); /* it left nothing behind */
    CHECK(gs__list_empty(&ch->receivers));
    gs__ctx_unref(scope);
    gs__chan_unref(ch);
}

static atomic_int received;

static void *recv_though_interrupted(void *arg)
{
    int64_t value;
    gs__thread_set_interruptible(true);
    while (test_recv(arg, &value) == GS_OK) {
        seen[value]++;
        received++;
    }
    return NULL;
}

static int send_all(gs_call *call)
{
    gs_chan *ch = gs_arg_ptr(call, 0);
    for (int64_t value = 0; value < TOTAL; value++)
        GS_TRY(gs_send(call, ch, &value));
    return GS_OK;
}

TEST(signals_lose_no_value)
{
    struct sigaction action;
    gs_chan *ch = test_chan(0);
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_t thread = test_thread(recv_though_interrupted, ch);
    gs_task *task = test_go(send_all, ch);
    while (received < TOTAL) {
        CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        for (uint32_t n = test_random(20000); n > 0; n--)
            gs__pause();
    }
    CHECK_EQ(test_join(task), GS_OK);
    gs__chan_close(ch);
    test_thread_join(thread);
    for (int i = 0; i < TOTAL; i++)
        CHECK_EQ(seen[i], 1);
    gs__chan_unref(ch);
}

/* ---- a thread's scope ---- */

static void *cancel_soon(void *arg)
{
    test_msleep(10);
    gs__ctx_cancel(arg, GS__CTX_CANCELED, NULL);
    return NULL;
}

TEST(thread_that_waits_is_cancelled_by_its_scope)
{
    gs_chan *ch = test_chan(0);
    for (int i = 0; i < 10; i++) {
        int64_t item = 1;
        int code;
        gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
        pthread_t thread = test_thread(cancel_soon, ctx);
        do
            code = i % 3 == 0   ? gs__chan_recv(ch, &item, ctx, GS_FOREVER)
                   : i % 3 == 1 ? gs__chan_send(ch, &item, ctx, GS_FOREVER)
                                : gs__sleep(GS_FOREVER, ctx);
        while (code == GS__EINTR);
        CHECK_EQ(code, GS_ECANCELED);
        CHECK_EQ(gs__yield(ctx), GS_ECANCELED);
        test_thread_join(thread);
        gs__ctx_unref(ctx);
    }
    CHECK_EQ(gs__yield(NULL), GS_OK);
    gs__chan_unref(ch);
}

static void *wait_once(void *arg)
{
    int64_t item;
    CHECK_EQ(test_recv(arg, &item), GS_OK);
    return NULL;
}

TEST(threads_come_and_go)
{
    gs_chan *ch = test_chan(0);
    for (int round = 0; round < 100 / TEST_SLOW + 1; round++) {
        pthread_t threads[8];
        for (int i = 0; i < 8; i++)
            threads[i] = test_thread(wait_once, ch);
        for (int i = 0; i < 8; i++)
            CHECK_EQ(test_send(ch, i), GS_OK);
        for (int i = 0; i < 8; i++)
            test_thread_join(threads[i]);
    }
    gs__chan_unref(ch);
}
