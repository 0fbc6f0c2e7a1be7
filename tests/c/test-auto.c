/* test-auto.c: automatic checkpoints, on the core. What compilers make of loops:
 * tests/test_auto.py. */
#define _GNU_SOURCE
#include "auto-unit.h"
#include "auto.h"
#include "test.h"

#include <malloc.h>
#include <string.h>

/* What is allocated may have grown by so much: glibc counts what threads hold back as given out. */
#if defined(GS__TSAN) || defined(GS__ASAN)
enum { SLACK = 128 << 10 };
size_t __sanitizer_get_current_allocated_bytes(void);
static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes();
}
#else
enum { SLACK = 1 << 20 };
static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
#endif

static void until(int *value, int least)
{
    while (__atomic_load_n(value, __ATOMIC_SEQ_CST) < least)
        test_msleep(1);
}

static void set(int *value, int to)
{
    __atomic_store_n(value, to, __ATOMIC_SEQ_CST);
}

/* Starts one, cancels it at any moment. */
static void churn(unit_seen *seen)
{
    gs_task *task = test_go(unit_churn, seen);
    for (uint32_t n = test_random(20000); n > 0; n--)
        gs__pause();
    CHECK(gs__task_cancel(task, NULL));
    test_wait(task);
    CHECK_EQ(task->code, GS_ECANCELED);
    CHECK(gs__task_was_canceled(task));
    gs__task_unref(task);
}

TEST(auto_task_left_anywhere_frees_all_and_runs_its_defers)
{
    unit_seen seen = {0};
    for (int i = 0; i < 20; i++)
        churn(&seen);
    size_t before = allocated();
    for (int i = 0; i < 1000 / TEST_SLOW; i++)
        churn(&seen);
    CHECK(seen.begun > 0);
    CHECK_EQ(seen.defers, seen.begun);
    CHECK_EQ(gs__auto_pending(), 0);
    CHECK(allocated() < before + SLACK);
}

static void *churn_on_thread(void *arg)
{
    for (int i = 0; i < 200 / TEST_SLOW; i++)
        churn(arg);
    return NULL;
}

TEST(auto_tasks_left_on_many_threads_free_all)
{
    enum { THREADS = 4 };
    unit_seen seen[THREADS] = {{0}};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = test_thread(churn_on_thread, &seen[i]);
    for (int i = 0; i < THREADS; i++) {
        test_thread_join(threads[i]);
        CHECK_EQ(seen[i].defers, seen[i].begun);
    }
    CHECK_EQ(gs__auto_pending(), 0);
}

TEST(auto_block_freed_by_another_thread_is_not_freed_again)
{
    unit_seen seen = {0};
    gs_task *task = test_go(unit_hold, &seen);
    until(&seen.begun, 1);
    for (int i = 0; i < UNIT_BLOCKS; i += 2)
        unit_free(seen.blocks[i]);
    void *mine[UNIT_BLOCKS]; /* their addresses again, most of them */
    for (int i = 0; i < UNIT_BLOCKS; i++)
        memset(mine[i] = gs__alloc(100), 7, 100);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
    for (int i = 0; i < UNIT_BLOCKS; i++) {
        CHECK_EQ(((char *)mine[i])[99], 7);
        gs__free(mine[i]);
    }
}

TEST(auto_task_is_not_left_under_a_shield)
{
    unit_seen seen = {0};
    gs_task *task = test_go(unit_shield, &seen);
    until(&seen.begun, 1);
    CHECK(gs__task_cancel(task, NULL));
    test_msleep(20);
    CHECK_EQ(gs__auto_pending(), 0);
    CHECK(!gs__task_ended(task));
    set(&seen.release, 1);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK_EQ(seen.done, 1);
    CHECK_EQ(gs__auto_pending(), 0);
}

TEST(auto_task_asked_already_is_not_left_under_a_shield)
{
    unit_seen seen = {0};
    gs_task *task = test_go(unit_shield_late, &seen);
    until(&seen.begun, 1);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK_EQ(seen.done, 1);
    CHECK_EQ(gs__auto_pending(), 0);
}

TEST(auto_task_is_not_left_in_a_hook_that_runs_on_its_stack)
{
    unit_seen seen = {0};
    gs_task *task = test_go(unit_cancel_other, &seen);
    until(&seen.begun, 1);
    CHECK(gs__task_cancel(task, NULL));
    test_msleep(20);
    CHECK(!gs__task_ended(task));
    set(&seen.release, 1);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK_EQ(seen.done, 1);
    test_until_no_tasks();
    CHECK_EQ(gs__auto_pending(), 0);
}

TEST(auto_child_cancelled_before_it_began_never_runs)
{
    unit_seen seen = {0};
    test_workers(1);
    CHECK_EQ(test_join(test_go(unit_unstarted, &seen)), GS_OK);
    CHECK_EQ(gs__auto_pending(), 0);
}

TEST(auto_task_abandoned_for_an_argument_frees_all)
{
    unit_seen seen = {0};
    CHECK_EQ(test_join(test_go(unit_bad_argument, &seen)), GS_EINVAL);
    size_t before = allocated();
    for (int i = 0; i < 10; i++)
        CHECK_EQ(test_join(test_go(unit_bad_argument, &seen)), GS_EINVAL);
    CHECK_EQ(seen.defers, 11);
    CHECK(allocated() < before + (1 << 20));
}

static void let_nothing_be_allocated(void)
{
    gs__fail_after(0);
}

TEST(auto_block_that_cannot_be_noted_is_refused)
{
    unit_seen seen = {.arm = let_nothing_be_allocated};
    CHECK(gs__self() != NULL); /* this thread needs no memory to wait later */
    gs_task *task = test_go(unit_refused, &seen);
    test_wait(task);
    gs__fail_after(-1);
    CHECK(seen.blocks[0] == NULL);
    CHECK_EQ(seen.turns, 1);
    gs__task_unref(task);
}
