/* test-runtime.c: the runtime's start and stop, its settings, and forked children. */
#define _GNU_SOURCE
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int quick(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_yield(call);
}

static int until_stopped(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_sleep(call, GS_FOREVER);
}

TEST(runtime_starts_and_stops_many_times)
{
    int before = 0;
    for (int round = 0; round < 100 / TEST_SLOW; round++) {
        gs_task *tasks[20], *parked = NULL;
        if (round % 3 == 0)
            CHECK_EQ(gs__runtime_start(), GS_OK);
        CHECK_EQ(gs__runtime_start(), GS_OK);
        CHECK(!gs__ctx_is_done(gs__ctx_background()));
        for (int i = 0; i < 20; i++)
            tasks[i] = test_go(quick, NULL);
        for (int i = 0; i < 20; i++)
            CHECK_EQ(test_join(tasks[i]), GS_OK);
        if (round % 2) {
            parked = test_go(until_stopped, NULL);
            test_until_parked(parked);
        }
        CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
        if (parked) {
            CHECK(gs__task_ended(parked));
            CHECK_EQ(parked->code, GS_ECANCELED);
            gs__task_unref(parked);
        }
        CHECK_EQ(gs__live_tasks(), 0);
        CHECK(gs__ctx_is_done(gs__ctx_background())); /* until it starts again */
        /* A thread that was joined is gone from the list a moment later. */
        for (int i = 0; i < 1000 && test_threads() > (round ? before : 1); i++)
            test_msleep(1);
        if (round == 0)
            before = test_threads(); /* a sanitizer may have one of its own */
        CHECK_EQ(test_threads(), before);
    }
}

TEST(runtime_stop_without_start_is_harmless)
{
    CHECK_EQ(gs__runtime_stop(0), 0);
    CHECK_EQ(gs__runtime_stop(gs__now()), 0);
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK);
}

TEST(runtime_that_has_ended_starts_nothing)
{
    int error;
    gs__timer timer;
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK);
    gs__runtime_end();
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK); /* it runs until it is stopped */
    CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
    CHECK_EQ(gs__runtime_start(), GS_ECANCELED);
    CHECK(!gs__task_spawn(&(gs__spawn){.fn = quick, .name = "late", .parent = gs__ctx_background()},
                          &error));
    CHECK_EQ(error, GS_ECANCELED);
    gs__timer_init(&timer, NULL);
    CHECK_EQ(gs__timer_start(&timer, gs__now() + GS_S(1)), GS_ECANCELED);
    CHECK(gs__ctx_is_done(gs__ctx_background()));
}

static atomic_int deaf_ends, deaf_runs;

static int deaf(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    deaf_runs++;
    while (!deaf_ends)
        ;
    return GS_OK;
}

TEST(runtime_stop_tells_how_many_tasks_went_on)
{
    gs_task *parked[5], *hog;
    test_workers(2);
    for (int i = 0; i < 5; i++)
        parked[i] = test_go(until_stopped, NULL);
    hog = test_go(deaf, NULL);
    test_until(&deaf_runs, 1);
    int64_t begun = gs__now();
    CHECK_EQ(gs__runtime_stop(begun + GS_MS(100)), 1);
    CHECK(gs__now() - begun < GS_S(20));
    for (int i = 0; i < 5; i++)
        CHECK(gs__task_ended(parked[i]));
    CHECK(!gs__task_ended(hog));
    CHECK(gs__ctx_is_done(gs__ctx_background()));
    deaf_ends = 1;
    for (int i = 0; i < 5; i++)
        gs__task_unref(parked[i]);
}

TEST(runtime_settings_are_for_before_the_start)
{
    CHECK_EQ(gs__configure(3, 1 << 20), GS_OK);
    CHECK_EQ(gs__workers_configured(), 3);
    CHECK_EQ(gs__configure(-1, 0), GS_EINVAL);
    CHECK_EQ(gs__configure(0, SIZE_MAX), GS_EINVAL);
    CHECK_EQ(gs__workers_configured(), 3);
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK);
    CHECK_EQ(gs__configure(2, 0), GS_EINVAL);
    CHECK_EQ(gs__workers_configured(), 3);
    CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
    CHECK_EQ(gs__configure(2, 0), GS_OK);
    CHECK_EQ(gs__workers_configured(), 2);
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK);
}

TEST(runtime_takes_the_number_of_workers_from_the_environment)
{
    setenv("PYGOSTOP_WORKERS", "5", 1);
    CHECK_EQ(gs__configure(0, 0), GS_OK);
    CHECK_EQ(gs__workers_configured(), 5);
    setenv("PYGOSTOP_WORKERS", "many", 1);
    CHECK_EQ(gs__configure(0, 0), GS_OK);
    CHECK(gs__workers_configured() >= 1);
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK);
}

/* ---- fork ---- */

static atomic_int churning;

static int churn(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    gs_chan *ch = gs_chan_new(call, GS_INT64, 1);
    int64_t item = 1;
    churning++;
    for (;;) {
        GS_TRY(gs_send(call, ch, &item));
        GS_TRY(gs_recv(call, ch, &item));
        GS_TRY(gs_sleep(call, GS_US(test_random(50))));
    }
}

static void run_afresh(void)
{
    gs_task *tasks[10];
    CHECK_EQ(gs__live_tasks(), 0);
    CHECK(!gs__ctx_is_done(gs__ctx_background()));
#ifdef GS__TSAN
    return; /* it cannot follow threads of such a child */
#endif
    for (int i = 0; i < 10; i++)
        tasks[i] = test_go(quick, NULL);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    gs_task *parked = test_go(until_stopped, NULL);
    test_until_parked(parked);
    CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
    CHECK_EQ(parked->code, GS_ECANCELED);
    gs__task_unref(parked);
}

TEST(forked_child_starts_afresh)
{
    enum { CHURNERS = 16 };
    gs_task *tasks[CHURNERS];
    unsigned generation = gs__generation;
    char text[2048];
    for (int i = 0; i < CHURNERS; i++)
        tasks[i] = test_go(churn, NULL);
    test_until(&churning, CHURNERS);
    for (int round = 0; round < 30 / TEST_SLOW + 1; round++) {
        int status = test_in_child(run_afresh, text, sizeof text);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            test_failed(__FILE__, __LINE__, "the child: status %d: %s", status, text);
    }
    CHECK(gs__generation == generation);
    for (int i = 0; i < CHURNERS; i++)
        CHECK(!gs__task_ended(tasks[i])); /* the parent's go on */
    for (int i = 0; i < CHURNERS; i++) {
        gs__task_cancel(tasks[i], NULL);
        CHECK_EQ(test_join(tasks[i]), GS_ECANCELED);
    }
}

static void note_generation(void)
{
    if (gs__generation == 0)
        test_failed(__FILE__, __LINE__, "the generation is that of the parent");
}

TEST(forked_child_has_a_generation_of_its_own)
{
    char text[2048];
    CHECK_EQ(test_join(test_go(quick, NULL)), GS_OK);
    CHECK_EQ(gs__generation, 0);
    int status = test_in_child(note_generation, text, sizeof text);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
