/* test-stack.c: stacks: their sizes, their pool, their guard, and what is said when one is too small. */
#define _GNU_SOURCE
#include "test.h"
#include "stack.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(stack_classes_cover_every_size)
{
    CHECK_EQ(gs__stack_class(1), 0);
    CHECK_EQ(gs__stack_class(GS__STACK_MIN), 0);
    CHECK_EQ(gs__stack_class(GS__STACK_MIN + 1), 1);
    CHECK_EQ(gs__stack_class(GS__STACK_MAX), GS__STACK_CLASSES - 1);
    CHECK_EQ(gs__stack_class(GS__STACK_MAX + 1), -1);
    CHECK_EQ(gs__stack_class(SIZE_MAX), -1);
}

TEST(stack_can_be_used_from_top_to_guard)
{
    for (int class = 0; class <= gs__stack_class(8 << 20); class ++) {
        gs__stack stack;
        CHECK_EQ(gs__stack_reserve(NULL, class), GS_OK);
        CHECK_EQ(gs__stack_get(NULL, class, &stack), GS_OK);
        CHECK(stack.size >= GS__STACK_MIN << class);
        char *low = stack.bottom + gs__stack_guard_size(stack.size), *top = gs__stack_top(&stack);
        CHECK(top > low && top <= stack.bottom + stack.size);
        CHECK_EQ((uintptr_t)top % 16, 0);
        memset(low, 0xa5, (size_t)(top - low));
        CHECK(gs__stack_guards(&stack, low - 1));
        CHECK(gs__stack_guards(&stack, stack.bottom));
        CHECK(!gs__stack_guards(&stack, low));
        CHECK(!gs__stack_guards(&stack, stack.bottom - 1));
        gs__stack_put(NULL, class, stack);
        gs__stack_unreserve(NULL, class);
    }
}

TEST(stacks_are_distinct_and_used_again)
{
    enum { N = 1000 };
    static gs__stack stacks[N];
    int class = gs__stack_class(65536), before = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++) {
            CHECK_EQ(gs__stack_reserve(NULL, class), GS_OK);
            CHECK_EQ(gs__stack_get(NULL, class, &stacks[i]), GS_OK);
            memcpy(gs__stack_top(&stacks[i]) - sizeof i, &i, sizeof i);
        }
        for (int i = 0; i < N; i++) {
            CHECK(memcmp(gs__stack_top(&stacks[i]) - sizeof i, &i, sizeof i) == 0);
            gs__stack_put(NULL, class, stacks[i]);
            gs__stack_unreserve(NULL, class);
        }
        if (round == 0)
            before = test_mappings();
    }
    CHECK(test_mappings() <= before + 2);
}

TEST(stack_tops_do_not_share_cache_sets)
{
    enum { N = 64, SETS = 64 };
    gs__stack stacks[N];
    bool seen[SETS] = {false};
    int class = gs__stack_class(65536), distinct = 0;
    for (int i = 0; i < N; i++) {
        CHECK_EQ(gs__stack_reserve(NULL, class), GS_OK);
        CHECK_EQ(gs__stack_get(NULL, class, &stacks[i]), GS_OK);
        bool *set = &seen[(uintptr_t)gs__stack_top(&stacks[i]) / GS__CACHE_LINE % SETS];
        distinct += !*set;
        *set = true;
    }
    for (int i = 0; i < N; i++) {
        gs__stack_put(NULL, class, stacks[i]);
        gs__stack_unreserve(NULL, class);
    }
    CHECK(distinct >= 8);
}

typedef struct user {
    pthread_t thread;
    int id;
} user;

static void *use_stacks(void *arg)
{
    user *u = arg;
    gs__stack_cache cache;
    gs__stack mine[8];
    int class = gs__stack_class(32768);
    memset(&cache, 0, sizeof cache);
    for (int round = 0; round < 2000 / TEST_SLOW; round++) {
        int n = 1 + (int)test_random(8);
        for (int i = 0; i < n; i++) {
            CHECK_EQ(gs__stack_reserve(&cache, class), GS_OK);
            CHECK_EQ(gs__stack_get(&cache, class, &mine[i]), GS_OK);
            memcpy(gs__stack_top(&mine[i]) - 64, &u->id, sizeof u->id);
        }
        for (int i = 0; i < n; i++) {
            CHECK(memcmp(gs__stack_top(&mine[i]) - 64, &u->id, sizeof u->id) == 0);
            gs__stack_put(&cache, class, mine[i]);
        }
        for (int i = 0; i < n; i++)
            gs__stack_unreserve(&cache, class);
    }
    gs__stack_cache_flush(&cache);
    return NULL;
}

TEST(stacks_are_never_handed_out_twice)
{
    user users[4];
    for (int i = 0; i < 4; i++) {
        users[i].id = i + 1;
        users[i].thread = test_thread(use_stacks, &users[i]);
    }
    for (int i = 0; i < 4; i++)
        test_thread_join(users[i].thread);
}

/* ---- overflow ---- */

static gs__noinline int deeper(volatile char *above, int depth)
{
    volatile char here[512];
    here[0] = (char)depth;
    here[511] = above ? above[0] : 0;
    return depth < INT32_MAX ? deeper(here, depth + 1) + here[511] : 0;
}

static int overflow(gs_call *call)
{
    (void)call;
    return deeper(NULL, 0);
}

static void overflow_in_a_task(void)
{
    int error;
    gs__spawn spawn = {
        .fn = overflow, .name = "bottomless", .parent = gs__ctx_background(), .stack_size = 131072};
    gs_task *task = gs__task_spawn(&spawn, &error);
    if (task != NULL)
        test_join(task);
}

TEST(stack_overflow_names_the_task_and_the_size)
{
    char text[4096];
    int status = test_in_child(overflow_in_a_task, text, sizeof text);
    CHECK(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
    CHECK_HAS(text, "stack");
    CHECK_HAS(text, "bottomless");
    CHECK(strstr(text, "131072") != NULL || strstr(text, "128 KiB") != NULL);
}

static int touch_nothing(gs_call *call)
{
    (void)call;
    raise(SIGSEGV);
    return GS_OK;
}

static void fault_in_a_task(void)
{
    test_join(test_go(touch_nothing, NULL));
}

TEST(segfault_that_is_no_overflow_is_left_alone)
{
    char text[4096];
    int status = test_in_child(fault_in_a_task, text, sizeof text);
    CHECK(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
    CHECK(strstr(text, "pygostop:") == NULL);
#if !defined(GS__ASAN) && !defined(GS__TSAN)
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
#endif
}

static int sum_on_the_stack(gs_call *call)
{
    volatile char room[200 << 10];
    (void)call;
    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = (char)i;
    return room[1024] == 0 ? GS_OK : 1;
}

TEST(stack_of_256_kib_is_the_default)
{
    int error;
    gs__spawn spawn = {.fn = sum_on_the_stack, .name = "roomy", .parent = gs__ctx_background()};
    for (int i = 0; i < 10; i++) {
        gs_task *task = gs__task_spawn(&spawn, &error);
        CHECK(task != NULL);
        CHECK_EQ(test_join(task), GS_OK);
    }
}

TEST(stack_size_that_no_pool_has_is_an_error)
{
    int error = 0;
    gs__spawn spawn = {.fn = sum_on_the_stack,
                       .name = "huge",
                       .parent = gs__ctx_background(),
                       .stack_size = GS__STACK_MAX + 1};
    CHECK(gs__task_spawn(&spawn, &error) == NULL);
    CHECK_EQ(error, GS_EINVAL);
    CHECK_EQ(gs__live_tasks(), 0);
}
