/* test-fault.c: each allocation, thread and mapping fails in turn: a clear error, nothing lost, and a
 * runtime that goes on. */
#include "test.h"

#ifdef GS_TEST_AUTO
#include "auto-unit.h"
#endif

#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* What a scenario was told of: an error that it could name. A wrong answer stops the test. */
static atomic_bool refused;

/* A task's code: something could not be made. */
enum { NOT_MADE = 44 };

static bool made(const void *p)
{
    if (p == NULL)
        refused = true;
    return p != NULL;
}

static bool fine(int code)
{
    if (code == GS_ENOMEM)
        refused = true;
    else
        CHECK(code >= 0);
    return code >= 0;
}

static gs_task *go(gs_fn *fn, void *arg)
{
    int error = 0;
    gs_value value = GS_ARG_PTR(arg);
    gs__spawn spawn = {.fn = fn,
                       .name = "a name too long to lie in the task",
                       .parent = gs__ctx_background(),
                       .args = &value,
                       .nargs = 1};
    gs_task *task = gs__task_spawn(&spawn, &error);
    if (task == NULL)
        CHECK_EQ(error, GS_ENOMEM);
    made(task);
    return task;
}

static void join(gs_task *task)
{
    if (task == NULL)
        return;
    test_wait(task);
    if (task->code == GS_ENOMEM || task->code == NOT_MADE)
        refused = true;
    else
        CHECK(task->code == GS_OK || task->code == GS_ECANCELED);
    gs__task_unref(task);
}

static void nothing(void *arg)
{
    (void)arg;
}

static int child(gs_call *call)
{
    int64_t item = gs_arg_int(call, 0);
    (void)gs_arg_ctx(call, 3);
    (void)gs_arg_float(call, 4);
    return gs_send(call, gs_arg_chan(call, 1, GS_INT64), &item);
}

typedef struct pair {
    int32_t a, b;
} pair;

/* One of each kind of item, there and back, in batches too. */
static int use_every_type(gs_call *call)
{
    static const gs_type types[] = {GS_BOOL,   GS_INT8,    GS_INT16,   GS_INT32,
                                    GS_INT64,  GS_UINT8,   GS_UINT16,  GS_UINT32,
                                    GS_UINT64, GS_FLOAT32, GS_FLOAT64, GS_RECORD(pair)};
    char items[16] = {1}, back[16];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        gs_chan *ch = gs_chan_new(call, types[i], 2);
        if (ch == NULL)
            return NOT_MADE;
        GS_TRY(gs_send_many(call, ch, items, 2));
        GS_TRY(gs_recv_many(call, ch, back, 2));
        GS_TRY(gs_close(call, ch));
    }
    gs_chan *bytes = gs_chan_new(call, GS_BYTES, 1);
    if (bytes == NULL)
        return NOT_MADE;
    gs_str s;
    GS_TRY(gs_send_bytes(call, bytes, "octets", 6));
    GS_TRY(gs_recv(call, bytes, &s)); /* the task's own, until it ends */
    return s.size == 6 && memcmp(s.data, "octets", 6) == 0 ? GS_OK : 5;
}

/* Wider than what a stack holds, and with a wait in it that a timer ends. */
static int choose_widely(gs_call *call)
{
    enum { WIDE = 40 };
    gs_case cases[WIDE];
    int64_t items[WIDE];
    for (int i = 0; i < WIDE; i++) {
        gs_chan *ch = gs_chan_new(call, GS_INT64, 0);
        if (ch == NULL)
            return NOT_MADE;
        cases[i] = GS_CASE_RECV(ch, &items[i]);
    }
    int code = gs_select(call, cases, WIDE, GS_US(100));
    return code == GS_ETIMEDOUT ? GS_OK : code < 0 ? code : 6;
}

/* While the thread is taken, others get one more. */
static int block_a_while(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    for (int i = 0; i < 2; i++) {
        gs_block_begin(call);
        test_msleep(1);
        gs_block_end(call);
        GS_TRY(gs_yield(call));
    }
    gs_log(call, "a line of %d words", 5);
    return GS_OK;
}

static int do_much(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    int64_t item = 0;
    int id;
    gs_ctx *ctx = gs_ctx_with_cancel(call, gs_ctx_current(call));
    gs_ctx *timed = gs_ctx_with_timeout(call, gs_ctx_current(call), GS_S(1000));
    gs_chan *ch = gs_chan_new(call, GS_INT64, 2), *strings = gs_chan_new(call, GS_STR, 1);
    if (ctx == NULL || timed == NULL || ch == NULL || strings == NULL)
        return NOT_MADE;
    for (int i = 0; i < 20; i++)
        GS_TRY(gs_defer(call, nothing, NULL));
    GS_TRY(id = gs_on_cancel(call, nothing, NULL));
    gs_off_cancel(call, id);
    int fd;
    GS_TRY(fd = gs_stop_fd(call));
    int came = gs_wait_fd(call, fd, POLLIN, GS_US(100));
    if (came != GS_ETIMEDOUT)
        return came < 0 ? came : 4;
    gs_progress(call, 1, 2);
    gs_value args[] = {GS_ARG_INT(3), GS_ARG_CHAN(ch), GS_ARG_STR("one too many"),
                       GS_ARG_CTX(gs_ctx_current(call)), GS_ARG_FLOAT(0.5)};
    gs_task *task = gs_go(call, child, args, 5);
    if (task == NULL)
        return NOT_MADE;
    int code = GS_OK;
    GS_TRY(gs_join(call, task, &code));
    GS_TRY(code); /* it may not have had the memory to begin */
    GS_TRY(gs_recv(call, ch, &item));
    if (item != 3)
        return 1;
    GS_TRY(gs_send_str(call, strings, "text", 4));
    gs_case cases[] = {GS_CASE_RECV(ch, &item), GS_CASE_DONE(ctx)};
    code = gs_select(call, cases, 2, GS_MS(1));
    if (code != GS_ETIMEDOUT)
        return code < 0 ? code : 2;
    gs_ctx_cancel(call, ctx, "done with it");
    code = gs_select(call, cases, 2, GS_FOREVER);
    if (code != 1)
        return code < 0 ? code : 3;
    GS_TRY(gs_sleep(call, GS_US(100)));
    GS_TRY(code = use_every_type(call));
    if (code != GS_OK)
        return code;
    GS_TRY(code = choose_widely(call));
    if (code != GS_OK)
        return code;
    return gs_return_str(call, "a result", 8);
}

typedef struct operation {
    gs__async async;
    atomic_int notified;
} operation;

static void async_notify(gs__async *async)
{
    gs__container(async, operation, async)->notified = 1;
}

/* A thread that never waited before, and so needs a record of its own. */
static void *wait_on_thread(void *chan)
{
    int64_t item = 0;
    int code = gs__chan_recv(chan, &item, NULL, gs__now() + GS_US(200));
    if (code != GS_ETIMEDOUT)
        CHECK(!fine(code));
    code = gs__sleep(gs__now() + GS_US(200), gs__ctx_background());
    if (code != GS_OK)
        CHECK(!fine(code));
    return NULL;
}

static void use_a_thread(void)
{
    gs_chan *ch = gs__chan_new(gs__elem_of(GS_INT64), 0);
    if (!made(ch))
        return;
    test_thread_join(test_thread(wait_on_thread, ch));
    gs__chan_unref(ch);
}

static void watch_progress(gs_task *task)
{
    int64_t done, total;
    if (task == NULL)
        return;
    (void)gs__task_progress(task, &done, &total);
    gs_chan *changed = gs__task_progress_changed(task);
    if (made(changed))
        gs__chan_unref(changed);
}

/* Its own blocks are noted where the runtime can, and refused to it where not. But one that realloc could not
 * note again stays the task's, and leaks where it is left, which LeakSanitizer would tell. */
#if defined(GS_TEST_AUTO) && !defined(GS__ASAN)
static void leave_automatic_task(void)
{
    unit_seen seen = {0};
    gs_task *task = go(unit_churn, &seen);
    if (task == NULL)
        return;
    test_msleep(1);
    gs__task_cancel(task, NULL);
    join(task);
    CHECK_EQ(seen.begun, seen.defers);
}
#else
static void leave_automatic_task(void)
{
}
#endif

static void use_everything(void)
{
    int64_t item = 1;
    gs_task *tasks[] = {go(do_much, NULL),       go(do_much, NULL),       go(block_a_while, NULL),
                        go(block_a_while, NULL), go(block_a_while, NULL), go(block_a_while, NULL)};
    enum { TASKS = sizeof tasks / sizeof *tasks };
    watch_progress(tasks[0]);
    use_a_thread();
    leave_automatic_task();
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    gs_ctx *timed = gs__ctx_with_deadline(gs__ctx_background(), gs__now() + GS_MS(1));
    gs_chan *ch = gs__chan_new(gs__elem_of(GS_INT64), 1);
    gs__cause *cause = gs__cause_text("a cause");
    made(ctx), made(timed), made(ch), made(cause);
    if (ctx && timed) {
        gs_ctx *parents[] = {ctx, timed}, *merged = gs__ctx_merge(parents, 2);
        gs_ctx *valued = gs__ctx_with_value(ctx, &item, NULL);
        if (made(merged))
            gs__ctx_unref(merged);
        if (made(valued)) {
            gs_ctx *detached = gs__ctx_without_cancel(valued);
            if (made(detached))
                gs__ctx_unref(detached);
            gs__ctx_unref(valued);
        }
        gs_chan *done = gs__ctx_done_chan(ctx);
        gs__ctx_cancel(ctx, GS__CTX_CANCELED, cause);
        CHECK(gs__ctx_is_done(ctx)); /* a cancel needs no memory */
        if (made(done)) {
            CHECK(gs__chan_closed(done));
            gs__chan_unref(done);
        }
    }
    if (ch) {
        operation op;
        gs__select_case c;
        memset(&op, 0, sizeof op);
        memset(&c, 0, sizeof c);
        c.kind = GS__CASE_RECV;
        c.on.chan = ch;
        c.item = &item;
        int code = gs__async_start(&op.async, &c, 1, NULL, GS_FOREVER, async_notify);
        if (code == GS__UNDER_WAY) {
            int64_t sent = 9;
            CHECK_EQ(gs__chan_try_send(ch, &sent), GS_OK); /* to one who waits there */
            while (!op.notified)
                ;
            CHECK_EQ(gs__async_finish(&op.async), 0);
            CHECK_EQ(item, 9);
        } else {
            CHECK(!fine(code));
        }
        CHECK_EQ(gs__chan_try_send(ch, &item), GS_OK);
        CHECK_EQ(gs__chan_try_recv(ch, &item), GS_OK);
        if (!fine(gs__chan_unrecv(ch, &item)))
            CHECK_EQ(gs__chan_len(ch), 0);
    }
    for (int i = 0; i < TASKS; i++)
        join(tasks[i]);
    if (ctx)
        gs__ctx_unref(ctx);
    if (timed)
        gs__ctx_unref(timed);
    if (ch)
        gs__chan_unref(ch);
    gs__cause_unref(cause);
}

static void fail_in_turn(void (*scenario)(void), long (*fail)(long), bool afresh)
{
    CHECK(gs__self() != NULL); /* or the test could not wait for what ends */
    for (long n = 0;; n++) {
        refused = false;
        fail(n);
        scenario();
        long left = gs__fail_after(-1);
        test_until_no_tasks();
        if (left > 0) {
            CHECK(n > 300 && !refused); /* or too little was ever asked to fail */
            return;
        }
        refused = false;
        use_everything(); /* the runtime goes on */
        CHECK(!refused);
        if (afresh)
            CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
    }
}

TEST(failing_allocations_are_errors_and_no_more)
{
    test_workers(2);
    use_everything();
    CHECK(!refused);
    fail_in_turn(use_everything, gs__fail_after, false);
}

TEST(one_allocation_that_fails_is_an_error_and_no_more)
{
    test_workers(2);
    use_everything();
    CHECK(!refused);
    fail_in_turn(use_everything, gs__fail_at, false);
}

TEST(failing_start_is_an_error_and_can_be_tried_again)
{
    test_workers(2);
    fail_in_turn(use_everything, gs__fail_after, true);
}

TEST(one_failure_at_start_is_an_error_and_can_be_tried_again)
{
    test_workers(2);
    fail_in_turn(use_everything, gs__fail_at, true);
}

/* ---- without room for a single stack more ---- */

static atomic_int parked;

static int count_and_park(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    parked++;
    return gs_sleep(call, GS_FOREVER);
}

/* Where stacks are guarded by mprotect, each takes two of the process's mappings, and 65,530 is the
 * usual limit; elsewhere all of them begin. */
TEST(mappings_that_run_out_are_an_error_and_no_more)
{
    enum { N = 4 * TEST_MANY };
    static gs_task *tasks[N];
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    int refused_here = 0, without_stack = 0;
    for (int i = 0; i < N; i++) {
        int error = 0;
        gs_value none = GS_ARG_PTR(NULL);
        gs__spawn spawn = {
            .fn = count_and_park, .name = "one of many", .parent = ctx, .args = &none, .nargs = 1};
        tasks[i] = gs__task_spawn(&spawn, &error);
        refused_here += tasks[i] == NULL;
        CHECK(tasks[i] != NULL || error == GS_ENOMEM);
    }
    for (int i = 0; i < N; i++)
        while (tasks[i] && !gs__task_ended(tasks[i]) &&
               atomic_load(&tasks[i]->state) != GS__TASK_PARKED)
            test_msleep(1);
    int begun = parked;
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL);
    for (int i = 0; i < N; i++) {
        if (tasks[i] == NULL)
            continue;
        test_wait(tasks[i]);
        if (tasks[i]->code != GS_ECANCELED) {
            CHECK_EQ(tasks[i]->code, GS_ENOMEM);
            if (tasks[i]->message != NULL) /* there may be no memory even for that */
                CHECK_HAS(tasks[i]->message, "stack");
            without_stack++;
        }
        gs__task_unref(tasks[i]);
    }
    CHECK_EQ(begun + without_stack + refused_here, N);
    CHECK_EQ(gs__live_tasks(), 0);
    CHECK_EQ(test_join(test_go(do_much, NULL)), GS_OK);
    gs__ctx_unref(ctx);
}

static int until_stopped(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_sleep(call, GS_FOREVER);
}

TEST(spawn_without_memory_starts_nothing)
{
    enum { N = 3000 };
    static gs_task *tasks[N];
    int n = 0;
    test_join(test_go(do_much, NULL));
    gs__fail_after(500);
    while (n < N && (tasks[n] = go(until_stopped, NULL)) != NULL)
        n++;
    CHECK(n < N);
    for (int i = 0; i < 20; i++)
        CHECK(go(until_stopped, NULL) == NULL);
    for (int i = 0; i < n; i++) /* each is parked, or could not begin and says why */
        while (!gs__task_ended(tasks[i]) && atomic_load(&tasks[i]->state) != GS__TASK_PARKED)
            test_msleep(1);
    gs__fail_after(-1);
    for (int i = 0; i < n; i++) {
        gs__task_cancel(tasks[i], NULL);
        test_wait(tasks[i]);
        CHECK_EQ(tasks[i]->code, tasks[i]->started ? GS_ECANCELED : GS_ENOMEM);
        gs__task_unref(tasks[i]);
    }
    CHECK_EQ(gs__live_tasks(), 0);
    CHECK_EQ(test_join(test_go(do_much, NULL)), GS_OK);
}
