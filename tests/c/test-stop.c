/* test-stop.c: asking a task to stop: checkpoints, hooks, the flag, the descriptor, the shield. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static atomic_int begun;

static int never_begin(gs_call *call)
{
    (void)call;
    begun++;
    return GS_OK;
}

TEST(task_cancelled_before_it_began_never_runs)
{
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    CHECK(gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL));
    gs_task *task = test_go_in(ctx, never_begin, NULL);
    test_wait(task);
    CHECK_EQ(task->code, GS_ECANCELED);
    CHECK(gs__task_was_canceled(task));
    CHECK(!task->started);
    CHECK_EQ(begun, 0);
    gs__task_unref(task);
    gs__ctx_unref(ctx);
}

static int compute(gs_call *call)
{
    atomic_int *loops = gs_arg_ptr(call, 0);
    for (;;) {
        GS_CHECKPOINT(call);
        ++*loops;
    }
}

TEST(task_that_computes_stops_at_a_checkpoint)
{
    atomic_int loops = 0;
    gs_task *task = test_go(compute, &loops);
    test_until(&loops, 1000);
    CHECK(gs__task_cancel(task, NULL));
    test_wait(task);
    CHECK_EQ(task->code, GS_ECANCELED);
    CHECK(gs__task_was_canceled(task));
    CHECK(!gs__task_cancel(task, NULL));
    gs__task_unref(task);
}

static int check_each_call(gs_call *call)
{
    gs_chan *ch = gs_arg_chan(call, 0, GS_INT64);
    int64_t item = 1;
    gs_case cases[] = {GS_CASE_RECV(ch, &item)};
    if (gs_sleep(call, GS_FOREVER) != GS_ECANCELED)
        return 1;
    /* Asked to stop: each call says so again, even where it could have gone on; with nothing done. */
    if (gs_checkpoint(call) != GS_ECANCELED || !gs_cancelled(call))
        return 2;
    if (gs_send(call, ch, &item) != GS_ECANCELED || gs_recv(call, ch, &item) != GS_ECANCELED)
        return 3;
    if (gs_yield(call) != GS_ECANCELED || gs_sleep(call, 0) != GS_ECANCELED)
        return 4;
    if (gs_select(call, cases, 1, GS_FOREVER) != GS_ECANCELED)
        return 5;
    if (gs_send_many(call, ch, &item, 1) != GS_ECANCELED)
        return 6;
    if (gs_recv_many(call, ch, &item, 1) != GS_ECANCELED)
        return 7;
    if (gs_wait_fd(call, 0, POLLIN, GS_FOREVER) != GS_ECANCELED)
        return 8;
    /* These are no checkpoints. */
    if (gs_try_recv(call, ch, &item) != GS_OK || item != 77)
        return 9;
    if (gs_try_send(call, ch, &item) != GS_OK)
        return 10;
    if (gs_select(call, cases, 1, 0) != 0 || item != 77)
        return 11;
    if (gs_close(call, ch) != GS_OK || gs_close(call, ch) != GS_OK)
        return 12;
    return GS_ECANCELED;
}

TEST(stop_is_seen_by_every_checkpoint_again)
{
    gs_chan *ch = test_chan(2);
    int64_t item = 77;
    int error;
    CHECK_EQ(gs__chan_try_send(ch, &item), GS_OK);
    gs_value arg = GS_ARG_CHAN(ch);
    gs__spawn spawn = {.fn = check_each_call,
                       .name = "each",
                       .parent = gs__ctx_background(),
                       .args = &arg,
                       .nargs = 1};
    gs_task *task = gs__task_spawn(&spawn, &error);
    test_until_parked(task);
    CHECK(gs__task_cancel(task, NULL));
    test_wait(task);
    CHECK_EQ(task->code, GS_ECANCELED);
    CHECK(gs__task_was_canceled(task));
    gs__task_unref(task);
    gs__chan_unref(ch);
}

static int pretend(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return GS_ECANCELED;
}

static int finish_all_the_same(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    while (!gs_cancelled(call))
        ;
    return gs_return_int(call, 12);
}

TEST(task_counts_as_cancelled_only_if_it_was_asked_and_says_so)
{
    gs_task *task = test_go(pretend, NULL);
    test_wait(task);
    CHECK_EQ(task->code, GS_ECANCELED);
    CHECK(!gs__task_was_canceled(task));
    gs__task_unref(task);

    task = test_go(finish_all_the_same, NULL);
    CHECK(gs__task_cancel(task, NULL));
    test_wait(task);
    if (task->started) {
        CHECK_EQ(task->code, GS_OK);
        CHECK_EQ(task->result.as.i, 12);
        CHECK(!gs__task_was_canceled(task));
    }
    gs__task_unref(task);
}

/* ---- hooks ---- */

static atomic_int hooked;

static void count_hook(void *arg)
{
    (void)arg;
    hooked++;
}

static int use_hooks(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    int one = gs_on_cancel(call, count_hook, NULL), two = gs_on_cancel(call, count_hook, NULL);
    if (one <= 0 || two <= 0 || one == two)
        return 1;
    gs_off_cancel(call, one);
    gs_off_cancel(call, one);
    gs_off_cancel(call, 123456);
    if (gs_sleep(call, GS_FOREVER) != GS_ECANCELED)
        return 2;
    while (hooked == 0)
        ;
    gs_off_cancel(call, two);
    if (hooked != 1)
        return 3;
    if (gs_on_cancel(call, count_hook, NULL) <= 0 || hooked != 2)
        return 4; /* asked already: it runs at once */
    return GS_OK;
}

TEST(cancel_hooks_run_once_unless_taken_off)
{
    gs_task *task = test_go(use_hooks, NULL);
    test_until_parked(task);
    gs__task_cancel(task, NULL);
    CHECK_EQ(test_join(task), GS_OK);
    CHECK_EQ(hooked, 2);
}

static int leave_hooks(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    for (int i = 0; i < 10; i++)
        if (gs_on_cancel(call, count_hook, NULL) <= 0)
            return 1;
    return GS_OK;
}

TEST(cancel_hooks_go_with_their_task)
{
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    gs_task *task = test_go_in(ctx, leave_hooks, NULL);
    CHECK_EQ(test_join(task), GS_OK);
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL);
    CHECK_EQ(hooked, 0);
    gs__ctx_unref(ctx);
}

/* `alive` is on the stack of a task that takes its hook off just as it is asked to stop: a hook that
 * ran on would find it dead. */
typedef struct racing {
    atomic_int alive, bad;
} racing;

static void look_whether_alive(void *arg)
{
    racing *r = arg;
    for (int i = 0; i < 200; i++)
        if (atomic_load(&r->alive) != 1)
            r->bad++;
}

static int race_with_cancel(gs_call *call)
{
    atomic_int *bad = gs_arg_ptr(call, 0);
    racing r = {1, 0};
    int id = gs_on_cancel(call, look_whether_alive, &r);
    if (id < 0)
        return 1;
    for (uint32_t i = test_random(300); i > 0; i--)
        gs__pause();
    gs_off_cancel(call, id);
    atomic_store(&r.alive, 0);
    for (int i = 0; i < 300; i++)
        gs__pause();
    *bad += r.bad;
    return GS_OK;
}

TEST(cancel_hook_is_not_running_once_taken_off)
{
    atomic_int bad = 0;
    for (int i = 0; i < 5000 / TEST_SLOW; i++) {
        gs_task *task = test_go(race_with_cancel, &bad);
        for (uint32_t n = test_random(2000); n > 0; n--)
            gs__pause();
        gs__task_cancel(task, NULL);
        int code = test_join(task);
        CHECK(code == GS_OK || code == GS_ECANCELED);
    }
    CHECK_EQ(bad, 0);
}

/* ---- the flag and the descriptor ---- */

static const volatile int *flag;
static atomic_int ready;

static int show_flag(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    flag = gs_stop_flag(call);
    if (gs_stop_flag(call) != flag || __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0)
        return 1;
    ready = 1;
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) == 0)
        ;
    return GS_ECANCELED;
}

TEST(stop_flag_is_set_by_a_stop)
{
    gs_task *task = test_go(show_flag, NULL);
    test_until(&ready, 1);
    CHECK_EQ(__atomic_load_n(flag, __ATOMIC_ACQUIRE), 0);
    CHECK(gs__task_cancel(task, NULL));
    CHECK(__atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0);
    CHECK_EQ(test_join(task), GS_ECANCELED);
}

static int poll_fd(gs_call *call)
{
    int *fd = gs_arg_ptr(call, 0);
    *fd = gs_stop_fd(call);
    if (*fd < 0 || gs_stop_fd(call) != *fd)
        return 1;
    struct pollfd p = {*fd, POLLIN, 0};
    if (poll(&p, 1, 0) != 0)
        return 2;
    ready = 1;
    gs_block_begin(call);
    int n = poll(&p, 1, -1);
    gs_block_end(call);
    return n == 1 && (p.revents & POLLIN) ? GS_ECANCELED : 3;
}

static int ask_for_fd_late(gs_call *call)
{
    int *fd = gs_arg_ptr(call, 0);
    (void)gs_sleep(call, GS_FOREVER);
    *fd = gs_stop_fd(call);
    struct pollfd p = {*fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1 ? GS_OK : 3;
}

TEST(stop_descriptor_is_readable_once_asked_and_closed_at_the_end)
{
    int fd = -1;
    gs_task *task = test_go(poll_fd, &fd);
    test_until(&ready, 1);
    test_msleep(20);
    CHECK(!gs__task_ended(task));
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);

    task = test_go(ask_for_fd_late, &fd);
    test_until_parked(task);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_OK);
    CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
}

/* ---- the shield ---- */

static int use_shield(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    gs_shield_begin(call);
    gs_shield_begin(call);
    ready = 1;
    while (!gs_ctx_done(call, gs_ctx_current(call)))
        if (gs_sleep(call, GS_MS(1)) != GS_OK)
            return 1;
    if (gs_cancelled(call) || gs_checkpoint(call) != GS_OK || gs_yield(call) != GS_OK)
        return 2;
    if (__atomic_load_n(gs_stop_flag(call), __ATOMIC_ACQUIRE) != 0)
        return 6;
    gs_shield_end(call);
    if (gs_cancelled(call) || gs_sleep(call, GS_MS(1)) != GS_OK)
        return 3;
    gs_shield_end(call);
    if (!gs_cancelled(call) || gs_checkpoint(call) != GS_ECANCELED ||
        gs_sleep(call, 0) != GS_ECANCELED)
        return 4;
    gs_shield_begin(call);
    if (gs_cancelled(call) || gs_sleep(call, GS_MS(1)) != GS_OK)
        return 5;
    gs_shield_end(call);
    return GS_ECANCELED;
}

TEST(shield_hides_the_stop_until_its_end)
{
    gs_task *task = test_go(use_shield, NULL);
    test_until(&ready, 1);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
}

static int wait_shielded(gs_call *call)
{
    int64_t item = 0;
    gs_chan *ch = gs_arg_ptr(call, 0);
    gs_shield_begin(call);
    int code = gs_recv(call, ch, &item);
    gs_shield_end(call);
    return code == GS_OK && item == 5 ? gs_checkpoint(call) : 1;
}

TEST(shielded_wait_is_not_broken_by_a_stop)
{
    gs_chan *ch = test_chan(0);
    gs_task *task = test_go(wait_shielded, ch);
    test_until_parked(task);
    CHECK(gs__task_cancel(task, NULL));
    test_msleep(20);
    CHECK(!gs__task_ended(task));
    CHECK_EQ(test_send(ch, 5), GS_OK);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    gs__chan_unref(ch);
}

static void set(void *arg)
{
    *(atomic_int *)arg = 1;
}

static bool readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

/* Asks itself to stop, between calls. */
static int hook_under_a_shield(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    atomic_int before = 0, under = 0, taken_off = 0;
    gs_shield_begin(call);
    int one = gs_on_cancel(call, set, &before), two = gs_on_cancel(call, set, &taken_off);
    int fd = gs_stop_fd(call);
    if (one <= 0 || two <= 0 || fd < 0)
        return 1;
    gs_ctx_cancel(call, gs_ctx_current(call), NULL);
    if (gs_on_cancel(call, set, &under) <= 0)
        return 2;
    if (before || under || taken_off || readable(fd) || gs_stop_fd(call) != fd)
        return 3; /* hidden */
    gs_off_cancel(call, two);
    gs_shield_end(call);
    if (!before || !under || taken_off || !readable(fd))
        return 4; /* and told at the end, but for what was taken off */
    gs_shield_begin(call);
    if (!readable(fd))
        return 5; /* what has fired stays so */
    gs_shield_end(call);
    return GS_ECANCELED;
}

TEST(shield_holds_hooks_and_the_descriptor_back)
{
    CHECK_EQ(test_join(test_go(hook_under_a_shield, NULL)), GS_ECANCELED);
}

static int wait_for_the_stop(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    int fd = gs_stop_fd(call);
    int first = gs_wait_fd(call, fd, POLLIN, GS_FOREVER);
    if (fd < 0 || (first != GS_ECANCELED && first != POLLIN))
        return 1;
    while (!readable(fd)) /* the one who asks wakes the task and tells the descriptor, in no order */
        gs__pause();
    gs_shield_begin(call);
    int came = gs_wait_fd(call, fd, POLLIN, GS_FOREVER);
    gs_shield_end(call);
    return came == POLLIN ? GS_ECANCELED : 2;
}

TEST(stop_descriptor_can_be_waited_for)
{
    gs_task *task = test_go(wait_for_the_stop, NULL);
    test_until_parked(task);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
}
