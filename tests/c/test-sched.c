/* test-sched.c: who runs when: fairness, time slices, stealing, stuck workers, blocking calls. */
#define _GNU_SOURCE
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int go, flag, finished;

static int spin_until_flag(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    while (!atomic_load(&flag))
        GS_CHECKPOINT(call);
    return GS_OK;
}

static int set_flag(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    flag = 1;
    return GS_OK;
}

TEST(task_that_computes_gives_way_after_its_time_slice)
{
    test_workers(1);
    gs_task *busy[3];
    for (int i = 0; i < 3; i++)
        busy[i] = test_go(spin_until_flag, NULL);
    test_msleep(20);
    CHECK_EQ(test_join(test_go(set_flag, NULL)), GS_OK);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(test_join(busy[i]), GS_OK);
}

static int hog_until_flag(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    go++;
    while (!atomic_load(&flag))
        ;
    return GS_OK;
}

TEST(worker_stuck_in_a_task_is_replaced)
{
    test_workers(1);
    gs_task *hog = test_go(hog_until_flag, NULL);
    test_until(&go, 1);
    CHECK_EQ(test_join(test_go(set_flag, NULL)), GS_OK);
    CHECK_EQ(test_join(hog), GS_OK);
}

static int spawn_then_hog(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    gs_value none = GS_ARG_PTR(NULL);
    gs_task *other = gs_go(call, set_flag, &none, 1);
    while (!atomic_load(&flag))
        ;
    return gs_join(call, other, NULL);
}

TEST(what_a_stuck_worker_had_queued_is_run_by_others)
{
    test_workers(1);
    CHECK_EQ(test_join(test_go(spawn_then_hog, NULL)), GS_OK);
}

static int count_finished(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    finished++;
    return gs_yield(call);
}

TEST(two_stuck_workers_are_replaced)
{
    test_workers(2);
    gs_task *hogs[2];
    for (int i = 0; i < 2; i++)
        hogs[i] = test_go(hog_until_flag, NULL);
    test_until(&go, 2);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(test_join(test_go(count_finished, NULL)), GS_OK);
    CHECK_EQ(finished, 20);
    flag = 1;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(test_join(hogs[i]), GS_OK);
}

static int block(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    gs_block_begin(call);
    go++;
    while (!atomic_load(&flag))
        usleep(200);
    gs_block_end(call);
    finished++;
    return gs_yield(call);
}

TEST(blocking_call_keeps_nobody_waiting)
{
    test_workers(1);
    gs_task *tasks[8];
    for (int i = 0; i < 8; i++)
        tasks[i] = test_go(block, NULL);
    test_until(&go, 8); /* all at once, on one worker's time */
    CHECK_EQ(test_join(test_go(set_flag, NULL)), GS_OK);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    CHECK_EQ(finished, 8);
}

static int block_briefly(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    for (int i = 0; i < 200; i++) {
        gs_block_begin(call);
        gs_block_end(call);
        GS_TRY(gs_yield(call));
    }
    return GS_OK;
}

/* At the worst all of them sit in one at once: a thread each, the workers, a sanitizer's. */
TEST(blocking_calls_over_and_over_add_no_threads)
{
    int before = test_threads();
    test_workers(2);
    gs_task *tasks[16];
    for (int i = 0; i < 16; i++)
        tasks[i] = test_go(block_briefly, NULL);
    for (int i = 0; i < 16; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    CHECK(test_threads() <= before + 16 + 2 + 2);
}

/* ---- fairness ---- */

typedef struct runner {
    atomic_int turns; /* a worker that the machine held up for long is helped by another */
    int turns_at_first_end;
} runner;

static runner runners[8];
static atomic_int at_start, first_ended;

static int take_turns(gs_call *call)
{
    runner *r = gs_arg_ptr(call, 0);
    at_start++;
    while (at_start < 8)
        GS_TRY(gs_yield(call));
    for (r->turns = 0; r->turns < 1000; r->turns++)
        GS_TRY(gs_yield(call));
    if (atomic_exchange(&first_ended, 1) == 0)
        for (int i = 0; i < 8; i++)
            runners[i].turns_at_first_end = atomic_load(&runners[i].turns);
    return GS_OK;
}

TEST(yield_gives_each_task_its_turn)
{
    gs_task *tasks[8];
    test_workers(1);
    for (int i = 0; i < 8; i++)
        tasks[i] = test_go(take_turns, &runners[i]);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    for (int i = 0; i < 8; i++)
        CHECK(runners[i].turns_at_first_end >= 900);
}

static int breed(gs_call *call)
{
    gs_value none = GS_ARG_PTR(NULL);
    (void)gs_arg_ptr(call, 0);
    if (atomic_load(&flag))
        return GS_OK;
    gs_task *child = gs_go(call, breed, &none, 1);
    if (child == NULL)
        return 1;
    gs_detach(call, child);
    return GS_OK;
}

TEST(tasks_that_breed_do_not_starve_the_others)
{
    test_workers(1);
    test_join(test_go(breed, NULL));
    for (int i = 0; i < 20; i++) {
        flag = 0;
        CHECK_EQ(test_join(test_go(set_flag, NULL)), GS_OK);
        CHECK_EQ(test_join(test_go(breed, NULL)), GS_OK);
    }
    flag = 1;
    test_until_no_tasks();
}

static int pass_back_and_forth(gs_call *call)
{
    gs_chan **chans = gs_arg_ptr(call, 0);
    int64_t item = 0;
    while (!atomic_load(&flag)) {
        GS_TRY(gs_send(call, chans[0], &item));
        GS_TRY(gs_recv(call, chans[1], &item));
    }
    return gs_close(call, chans[0]);
}

static int echo(gs_call *call)
{
    gs_chan **chans = gs_arg_ptr(call, 0);
    int64_t item = 0;
    while (gs_recv(call, chans[0], &item) == GS_OK)
        GS_TRY(gs_send(call, chans[1], &item));
    return GS_OK;
}

TEST(pair_that_wakes_each_other_does_not_starve_a_third)
{
    test_workers(1);
    gs_chan *chans[2] = {test_chan(0), test_chan(0)};
    gs_task *a = test_go(pass_back_and_forth, chans), *b = test_go(echo, chans);
    test_msleep(5);
    CHECK_EQ(test_join(test_go(set_flag, NULL)), GS_OK);
    CHECK_EQ(test_join(a), GS_OK);
    CHECK_EQ(test_join(b), GS_OK);
    gs__chan_unref(chans[0]);
    gs__chan_unref(chans[1]);
}

/* ---- several workers ---- */

static int work_a_while(gs_call *call)
{
    _Atomic(long) *thread = gs_arg_ptr(call, 0);
    int64_t until = gs__now() + GS_MS(3);
    atomic_store(thread, syscall(SYS_gettid));
    while (gs__now() < until)
        ;
    return GS_OK;
}

static int spawn_a_batch(gs_call *call)
{
    _Atomic(long) *threads = gs_arg_ptr(call, 0);
    gs_task *tasks[32];
    for (int i = 0; i < 32; i++) {
        gs_value arg = GS_ARG_PTR((void *)&threads[i]);
        tasks[i] = gs_go(call, work_a_while, &arg, 1);
    }
    for (int i = 0; i < 32; i++)
        GS_TRY(gs_join(call, tasks[i], NULL));
    return GS_OK;
}

TEST(idle_worker_steals)
{
    static _Atomic(long) threads[32];
    test_workers(2);
    CHECK_EQ(test_join(test_go(spawn_a_batch, threads)), GS_OK);
    int others = 0;
    for (int i = 1; i < 32; i++)
        others += threads[i] != threads[0];
    CHECK(others > 0);
}

enum { QUEUED = 64 };

/* Those that wake in the order of their numbers while the only other worker is held up. */
typedef struct queue_of_tasks {
    gs_chan *wake[QUEUED];
    atomic_int parked, ran, first, held, let_go;
} queue_of_tasks;

typedef struct queued_task {
    queue_of_tasks *queue;
    int number;
} queued_task;

static int wake_and_tell(gs_call *call)
{
    queued_task *self = gs_arg_ptr(call, 0);
    int none = -1;
    int64_t item;
    atomic_fetch_add(&self->queue->parked, 1);
    GS_TRY(gs_recv(call, self->queue->wake[self->number], &item));
    atomic_compare_exchange_strong(&self->queue->first, &none, self->number);
    atomic_fetch_add(&self->queue->ran, 1);
    return GS_OK;
}

static int hold_a_worker(gs_call *call)
{
    queue_of_tasks *queue = gs_arg_ptr(call, 0);
    atomic_store(&queue->held, 1);
    while (!atomic_load(&queue->let_go))
        ;
    return GS_OK;
}

static int wake_all_in_order(gs_call *call)
{
    queue_of_tasks *queue = gs_arg_ptr(call, 0);
    int64_t item = 0;
    gs_value arg = GS_ARG_PTR(queue);
    gs_task *holder = gs_go(call, hold_a_worker, &arg, 1);
    while (!atomic_load(&queue->held))
        ;
    for (int i = 0; i < QUEUED; i++)
        GS_TRY(gs_send(call, queue->wake[i], &item));
    atomic_store(&queue->let_go, 1);
    while (!atomic_load(&queue->ran))
        ;
    return gs_join(call, holder, NULL);
}

TEST(idle_worker_steals_what_the_other_would_turn_to_last)
{
    static queue_of_tasks queue = {.first = -1};
    static queued_task queued[QUEUED];
    gs_task *tasks[QUEUED];
    test_workers(2);
    for (int i = 0; i < QUEUED; i++) {
        queue.wake[i] = test_chan(0);
        queued[i] = (queued_task){&queue, i};
        tasks[i] = test_go(wake_and_tell, &queued[i]);
        test_until_parked(tasks[i]);
    }
    CHECK_EQ(test_join(test_go(wake_all_in_order, &queue)), GS_OK);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_EQ(test_join(tasks[i]), GS_OK);
        gs__chan_unref(queue.wake[i]);
    }
    CHECK(queue.first >= QUEUED / 2 - 1);
}

typedef struct pinned {
    long thread;
    bool moved;
} pinned;

static int stay_here(gs_call *call)
{
    pinned *p = gs_arg_ptr(call, 0);
    p->thread = syscall(SYS_gettid);
    for (int i = 0; i < 300; i++) {
        GS_TRY(i % 10 ? gs_yield(call) : gs_sleep(call, GS_US(50)));
        p->moved |= p->thread != syscall(SYS_gettid);
    }
    return GS_OK;
}

TEST(pinned_task_stays_on_its_thread)
{
    pinned pins[32];
    gs_task *tasks[32];
    int error;
    test_workers(4);
    memset(pins, 0, sizeof pins);
    for (int i = 0; i < 32; i++) {
        gs_value arg = GS_ARG_PTR(&pins[i]);
        gs__spawn spawn = {.fn = stay_here,
                           .name = "pinned",
                           .parent = gs__ctx_background(),
                           .args = &arg,
                           .nargs = 1,
                           .flags = GS__TASK_PINNED};
        tasks[i] = gs__task_spawn(&spawn, &error);
        CHECK(tasks[i] != NULL);
    }
    for (int i = 0; i < 32; i++) {
        CHECK_EQ(test_join(tasks[i]), GS_OK);
        CHECK(!pins[i].moved);
    }
}

static int64_t cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int sleep_long(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_sleep(call, GS_S(1000));
}

TEST(idle_runtime_uses_no_cpu)
{
    gs_task *tasks[100];
    test_workers(4);
    for (int i = 0; i < 100; i++)
        tasks[i] = test_go(sleep_long, NULL);
    for (int i = 0; i < 100; i++)
        test_until_parked(tasks[i]);
    test_msleep(100);
    int64_t begun = cpu_time();
    test_msleep(500);
    CHECK(cpu_time() - begun < GS_MS(25));
    for (int i = 0; i < 100; i++) {
        gs__task_cancel(tasks[i], NULL);
        CHECK_EQ(test_join(tasks[i]), GS_ECANCELED);
    }
}

/* A wake-up that is lost shows as a test that does not end: pairs that wait for each other, with
 * pauses that let workers fall asleep at every moment. */
static int ping(gs_call *call)
{
    gs_chan **chans = gs_arg_ptr(call, 0);
    int64_t item = 0;
    for (int i = 0; i < 3000 / TEST_SLOW; i++) {
        for (uint32_t n = test_random(400); n > 0; n--)
            gs__pause();
        GS_TRY(gs_send(call, chans[0], &item));
        GS_TRY(gs_recv(call, chans[1], &item));
        if (i % 100 == 0)
            GS_TRY(gs_sleep(call, GS_US(test_random(100))));
    }
    return gs_close(call, chans[0]);
}

TEST(no_wake_up_is_lost_between_workers)
{
    gs_chan *chans[4][2];
    gs_task *tasks[8];
    test_workers(4);
    for (int i = 0; i < 4; i++) {
        chans[i][0] = test_chan(0);
        chans[i][1] = test_chan((size_t)i % 2);
        tasks[2 * i] = test_go(ping, chans[i]);
        tasks[2 * i + 1] = test_go(echo, chans[i]);
    }
    for (int i = 0; i < 8; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    for (int i = 0; i < 4; i++) {
        gs__chan_unref(chans[i][0]);
        gs__chan_unref(chans[i][1]);
    }
}
