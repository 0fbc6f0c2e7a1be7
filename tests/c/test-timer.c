/* test-timer.c: timers: nothing fires early, in order, and nothing that was stopped fires. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

TEST(heap_gives_the_earliest_first)
{
    enum { N = 2000 };
    gs__heap heap = {NULL, 0, 0};
    gs__heap_node *nodes = calloc(N, sizeof *nodes);
    int left = N;
    for (int i = 0; i < N; i++) {
        nodes[i].key = test_random(500);
        CHECK_EQ(gs__heap_insert(&heap, &nodes[i]), GS_OK);
        CHECK(nodes[i].place != 0);
    }
    for (int i = 0; i < N; i += 3, left--) {
        gs__heap_remove(&heap, &nodes[i]);
        CHECK_EQ(nodes[i].place, 0);
    }
    for (int64_t last = 0; left > 0; left--) {
        gs__heap_node *first = gs__heap_first(&heap);
        CHECK(first != NULL && first->key >= last);
        last = first->key;
        gs__heap_remove(&heap, first);
    }
    CHECK(gs__heap_first(&heap) == NULL);
    free(heap.nodes);
    free(nodes);
}

/* fire runs under the timers' lock, so these need none. */
static int64_t last_fired;
static int early, out_of_order;
static atomic_int n_fired;

typedef struct alarm_clock {
    gs__timer timer;
    bool stopped;
    atomic_int times;
} alarm_clock;

static void note(gs__timer *timer, gs__fired *fired)
{
    alarm_clock *clock = gs__container(timer, alarm_clock, timer);
    (void)fired;
    early += gs__now() < timer->node.key;
    out_of_order += timer->node.key < last_fired;
    last_fired = timer->node.key;
    clock->times++;
    n_fired++;
}

TEST(timers_fire_in_order_and_never_early)
{
    enum { N = 5000 };
    alarm_clock *clocks = calloc(N, sizeof *clocks);
    int64_t base = gs__now() + GS_MS(100 * TEST_SLOW);
    for (int i = 0; i < N; i++) {
        gs__timer_init(&clocks[i].timer, note);
        CHECK_EQ(gs__timer_start(&clocks[i].timer, base + GS_US(test_random(50000))), GS_OK);
    }
    test_until(&n_fired, N);
    CHECK_EQ(early, 0);
    CHECK_EQ(out_of_order, 0);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(clocks[i].times, 1);
        CHECK(!gs__timer_stop(&clocks[i].timer));
    }
    CHECK_EQ(gs__timers_next(), GS_FOREVER);
    free(clocks);
}

TEST(timers_that_were_stopped_never_fire)
{
    enum { N = 5000 };
    alarm_clock *clocks = calloc(N, sizeof *clocks);
    int64_t base = gs__now() + GS_MS(20);
    int stopped = 0;
    for (int i = 0; i < N; i++) {
        gs__timer_init(&clocks[i].timer, note);
        CHECK_EQ(gs__timer_start(&clocks[i].timer, base + GS_US(test_random(50000))), GS_OK);
    }
    for (int i = 0; i < N; i++)
        if (test_random(2)) {
            clocks[i].stopped = gs__timer_stop(&clocks[i].timer);
            stopped += clocks[i].stopped;
            CHECK_EQ(clocks[i].times, clocks[i].stopped ? 0 : 1);
        }
    test_until(&n_fired, N - stopped);
    test_msleep(60);
    for (int i = 0; i < N; i++)
        CHECK_EQ(clocks[i].times, clocks[i].stopped ? 0 : 1);
    CHECK_EQ(n_fired, N - stopped);
    CHECK_EQ(early, 0);
    free(clocks);
}

TEST(timer_can_be_armed_again)
{
    alarm_clock clock = {.stopped = false};
    gs__timer_init(&clock.timer, note);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(gs__timer_start(&clock.timer, gs__now() + GS_S(1000)), GS_OK);
        CHECK(gs__timer_stop(&clock.timer));
        CHECK_EQ(gs__timer_start(&clock.timer, gs__now()), GS_OK);
        test_until(&clock.times, i);
        gs__timer_stop(&clock.timer);
    }
    CHECK_EQ(clock.times, 20);
}

TEST(timer_earlier_than_the_sleep_wakes_the_sleeper)
{
    alarm_clock late = {.stopped = false}, soon = {.stopped = false};
    gs__timer_init(&late.timer, note);
    gs__timer_init(&soon.timer, note);
    CHECK_EQ(gs__timer_start(&late.timer, gs__now() + GS_S(1000)), GS_OK);
    test_msleep(50);
    CHECK_EQ(gs__timer_start(&soon.timer, gs__now() + GS_MS(10)), GS_OK);
    test_until(&soon.times, 1);
    CHECK(gs__timer_stop(&late.timer));
}

static atomic_bool stop_churning;

static void *churn(void *arg)
{
    alarm_clock clocks[16];
    for (int i = 0; i < 16; i++) {
        memset(&clocks[i], 0, sizeof clocks[i]);
        gs__timer_init(&clocks[i].timer, note);
    }
    for (int i = 0; i < 100000 / TEST_SLOW; i++) {
        alarm_clock *clock = &clocks[i % 16];
        gs__timer_stop(&clock->timer);
        CHECK_EQ(gs__timer_start(&clock->timer, gs__now() + GS_US(test_random(2000))), GS_OK);
    }
    for (int i = 0; i < 16; i++)
        gs__timer_stop(&clocks[i].timer);
    return arg;
}

TEST(timers_from_many_threads)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = test_thread(churn, NULL);
    for (int i = 0; i < 4; i++)
        test_thread_join(threads[i]);
    CHECK_EQ(early, 0);
    CHECK_EQ(gs__timers_next(), GS_FOREVER);
}

static int busy(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    while (!atomic_load(&stop_churning))
        GS_TRY(gs_yield(call));
    return GS_OK;
}

TEST(timers_fire_though_every_worker_is_busy)
{
    alarm_clock clock = {.stopped = false};
    gs_task *tasks[8];
    test_workers(2);
    for (int i = 0; i < 8; i++)
        tasks[i] = test_go(busy, NULL);
    gs__timer_init(&clock.timer, note);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(gs__timer_start(&clock.timer, gs__now() + GS_MS(2)), GS_OK);
        test_until(&clock.times, i);
    }
    stop_churning = true;
    for (int i = 0; i < 8; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    CHECK_EQ(early, 0);
}

static int sleep_and_measure(gs_call *call)
{
    atomic_int *bad = gs_arg_ptr(call, 0);
    for (int i = 0; i < 20; i++) {
        int64_t ns = GS_US(test_random(3000)), begun = gs__now();
        GS_TRY(gs_sleep(call, ns));
        *bad += gs__now() < begun + ns;
    }
    return gs_sleep(call, -1) == GS_EINVAL && gs_sleep(call, 0) == GS_OK ? GS_OK : 1;
}

TEST(sleep_is_never_short)
{
    atomic_int bad = 0;
    gs_task *tasks[64];
    for (int i = 0; i < 64; i++)
        tasks[i] = test_go(sleep_and_measure, &bad);
    for (int i = 0; i < 64; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    for (int i = 0; i < 20; i++) {
        int64_t deadline = gs__now() + GS_US(test_random(3000));
        int code;
        do
            code = gs__sleep(deadline, NULL);
        while (code == GS__EINTR);
        CHECK_EQ(code, GS_OK);
        bad += gs__now() < deadline;
    }
    CHECK_EQ(bad, 0);
}
