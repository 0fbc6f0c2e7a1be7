/* test-task.c: tasks: start, result, failure, end, join, defers. */
#include "test.h"

#include <stdlib.h>
#include <malloc.h>
#include <string.h>

static int return_code(gs_call *call)
{
    return *(int *)gs_arg_ptr(call, 0);
}

TEST(task_gives_back_its_code)
{
    for (int code = -3; code < 100; code++)
        CHECK_EQ(test_join(test_go(return_code, &code)), code);
    CHECK_EQ(gs__live_tasks(), 0);
}

static int return_values(gs_call *call)
{
    char text[] = "schnell\0er";
    switch (*(int *)gs_arg_ptr(call, 0)) {
    case GS_VALUE_INT:
        return gs_return_int(call, INT64_MIN);
    case GS_VALUE_FLOAT:
        return gs_return_float(call, -0.125);
    case GS_VALUE_STR:
        GS_TRY(gs_return_int(call, 1)); /* the last one counts */
        GS_TRY(gs_return_str(call, "first", 5));
        return gs_return_str(call, text, sizeof text - 1);
    case GS_VALUE_BYTES:
        return gs_return_bytes(call, "\xff\x00\xfe", 3);
    default:
        return GS_OK;
    }
}

TEST(task_gives_back_its_result)
{
    int kinds[] = {0, GS_VALUE_INT, GS_VALUE_FLOAT, GS_VALUE_STR, GS_VALUE_BYTES};
    for (int i = 0; i < 5; i++) {
        gs_task *task = test_go(return_values, &kinds[i]);
        test_wait(task);
        CHECK_EQ(task->code, GS_OK);
        CHECK_EQ(task->result.kind, kinds[i]);
        if (kinds[i] == GS_VALUE_INT)
            CHECK_EQ(task->result.as.i, INT64_MIN);
        if (kinds[i] == GS_VALUE_FLOAT)
            CHECK(task->result.as.f == -0.125);
        if (kinds[i] == GS_VALUE_STR) {
            CHECK_EQ(task->result.as.s.size, 10);
            CHECK(memcmp(task->result.as.s.data, "schnell\0er", 11) == 0);
        }
        if (kinds[i] == GS_VALUE_BYTES) {
            CHECK_EQ(task->result.as.s.size, 3);
            CHECK(memcmp(task->result.as.s.data, "\xff\x00\xfe", 3) == 0);
        }
        gs__task_unref(task);
    }
}

static int return_bad_text(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_return_str(call, "a\xff", 2);
}

TEST(task_result_that_is_not_utf8_is_refused)
{
    gs_task *task = test_go(return_bad_text, NULL);
    test_wait(task);
    CHECK_EQ(task->code, GS_EINVAL);
    CHECK(task->result.kind == 0);
    gs__task_unref(task);
}

static int fail(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    (void)gs_fail(call, 3, "the first");
    return gs_fail(call, 7, "%s: %d of %d", "spoilt", 2, 3);
}

TEST(task_failure_has_its_message)
{
    gs_task *task = test_go(fail, NULL);
    test_wait(task);
    CHECK_EQ(task->code, 7);
    CHECK_STR(task->message, "spoilt: 2 of 3");
    CHECK(!gs__task_was_canceled(task));
    gs__task_unref(task);
}

static atomic_int runs;

static int count_run(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    runs++;
    return GS_OK;
}

TEST(tasks_one_after_another)
{
    for (int i = 0; i < 20000 / TEST_SLOW; i++)
        CHECK_EQ(test_join(test_go(count_run, NULL)), GS_OK);
    CHECK_EQ(runs, 20000 / TEST_SLOW);
    CHECK_EQ(gs__live_tasks(), 0);
}

TEST(tasks_ten_thousand_at_once)
{
    enum { N = TEST_MANY };
    static gs_task *tasks[N];
    for (int i = 0; i < N; i++)
        tasks[i] = test_go(count_run, NULL);
    for (int i = 0; i < N; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    CHECK_EQ(runs, N);
    CHECK_EQ(gs__live_tasks(), 0);
}

static int grow(gs_call *call)
{
    int64_t depth = gs_arg_int(call, 0);
    runs++;
    if (depth > 0) {
        gs_value arg = GS_ARG_INT(depth - 1);
        gs_task *left = gs_go(call, grow, &arg, 1), *right = gs_go(call, grow, &arg, 1);
        if (left == NULL || right == NULL)
            return 1;
        int code = 1;
        GS_TRY(gs_join(call, left, &code));
        if (code != GS_OK)
            return code;
        GS_TRY(gs_join(call, right, &code));
        return code;
    }
    return GS_OK;
}

TEST(tasks_grow_a_tree)
{
    gs_value depth = GS_ARG_INT(12);
    gs__spawn spawn = {
        .fn = grow, .name = "root", .parent = gs__ctx_background(), .args = &depth, .nargs = 1};
    int error;
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    CHECK_EQ(test_join(task), GS_OK);
    CHECK_EQ(runs, (1 << 13) - 1);
    CHECK_EQ(gs__live_tasks(), 0);
}

static int detach_and_abandon(gs_call *call)
{
    gs_value none = GS_ARG_PTR(NULL);
    gs_detach(call, gs_go(call, count_run, &none, 1));
    return gs_go(call, count_run, &none, 1) != NULL ? GS_OK
                                                    : 1; /* its handle goes with this task */
}

TEST(task_handles_are_given_up_or_released_at_the_end)
{
    CHECK_EQ(test_join(test_go(detach_and_abandon, NULL)), GS_OK);
    test_until(&runs, 2);
    test_until_no_tasks();
}

static int join_self(gs_call *call)
{
    _Atomic(gs_task *) *self = gs_arg_ptr(call, 0);
    while (atomic_load(self) == NULL)
        GS_TRY(gs_yield(call));
    return gs_join(call, atomic_load(self), NULL);
}

TEST(task_cannot_join_itself)
{
    static _Atomic(gs_task *) self;
    gs_task *task = test_go(join_self, &self);
    atomic_store(&self, task);
    CHECK_EQ(test_join(task), GS_EDEADLK);
}

static int wait_for_stop(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_sleep(call, GS_FOREVER);
}

static void *wait_in_a_thread(void *arg)
{
    test_wait(arg);
    return NULL;
}

static int wait_in_a_task(gs_call *call)
{
    return gs__task_wait(gs_arg_ptr(call, 0), NULL, GS_FOREVER);
}

TEST(task_end_is_seen_by_all_who_wait)
{
    gs_task *task = test_go(wait_for_stop, NULL), *waiting[20];
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        threads[i] = test_thread(wait_in_a_thread, task);
    for (int i = 0; i < 20; i++)
        waiting[i] = test_go(wait_in_a_task, task);
    for (int i = 0; i < 20; i++)
        test_until_parked(waiting[i]);
    int64_t begun = gs__now();
    int code;
    do
        code = gs__task_wait(task, NULL, begun + GS_MS(20));
    while (code == GS__EINTR);
    CHECK_EQ(code, GS_ETIMEDOUT);
    CHECK(gs__now() >= begun + GS_MS(20));
    CHECK_EQ(gs__task_wait(task, NULL, 0), GS_ETIMEDOUT);
    CHECK(gs__task_cancel(task, NULL));
    for (int i = 0; i < 20; i++)
        CHECK_EQ(test_join(waiting[i]), GS_OK);
    for (int i = 0; i < 5; i++)
        test_thread_join(threads[i]);
    CHECK(gs__task_was_canceled(task));
    CHECK_EQ(gs__task_wait(task, NULL, 0), GS_OK);
    CHECK(!gs__task_cancel(task, NULL));
    gs__task_unref(task);
}

TEST(task_waiter_that_was_cancelled_waits_no_more)
{
    gs_task *task = test_go(wait_for_stop, NULL), *waiting = test_go(wait_in_a_task, task);
    gs_ctx *scope = gs__ctx_with_cancel(gs__ctx_background());
    test_until_parked(waiting);
    gs__ctx_cancel(scope, GS__CTX_CANCELED, NULL);
    CHECK_EQ(gs__task_wait(task, scope, GS_FOREVER), GS_ECANCELED);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(waiting), GS_OK);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    gs__ctx_unref(scope);
}

typedef struct counted_hook {
    gs__task_hook hook;
    gs_task *task;
    atomic_int times, ended;
} counted_hook;

static void count_hook(gs__task_hook *hook)
{
    counted_hook *h = gs__container(hook, counted_hook, hook);
    h->ended = gs__task_ended(h->task);
    h->times++;
}

TEST(task_hooks_run_once_after_the_end)
{
    gs_task *task = test_go(wait_for_stop, NULL);
    counted_hook hooks[10];
    memset(hooks, 0, sizeof hooks);
    for (int i = 0; i < 10; i++) {
        hooks[i].task = task;
        CHECK(gs__task_hook_add(task, &hooks[i].hook, count_hook));
    }
    for (int i = 0; i < 5; i++)
        CHECK(gs__task_unhook(task, &hooks[i].hook));
    CHECK(gs__task_cancel(task, NULL));
    test_wait(task);
    for (int i = 5; i < 10; i++) {
        test_until(&hooks[i].times, 1);
        CHECK_EQ(hooks[i].ended, 1);
        CHECK(!gs__task_unhook(task, &hooks[i].hook));
    }
    for (int i = 0; i < 10; i++)
        CHECK_EQ(hooks[i].times, i < 5 ? 0 : 1);
    CHECK(!gs__task_hook_add(task, &hooks[0].hook, count_hook));
    CHECK_EQ(hooks[0].times, 0);
    gs__task_unref(task);
}

static gs_task *go_hooked(counted_hook *h, void (*hook)(gs__task_hook *), gs_ctx *parent, gs_fn *fn)
{
    int error;
    gs_value arg = GS_ARG_PTR(h);
    memset(h, 0, sizeof *h);
    h->hook.fn = hook;
    gs_task *task = gs__task_spawn(&(gs__spawn){.fn = fn,
                                                .name = "hooked",
                                                .parent = parent,
                                                .args = &arg,
                                                .nargs = 1,
                                                .hook = &h->hook},
                                   &error);
    CHECK(task != NULL);
    return task;
}

static int learn_self(gs_call *call)
{
    counted_hook *h = gs_arg_ptr(call, 0);
    h->task = (gs_task *)call;
    return GS_OK;
}

static int learn_self_and_wait(gs_call *call)
{
    learn_self(call);
    return wait_for_stop(call);
}

static void note_end(gs__task_hook *hook)
{
    gs__container(hook, counted_hook, hook)->times++;
}

TEST(task_hook_hung_at_the_start_runs_however_the_task_ends)
{
    for (int round = 0; round < 500 / TEST_SLOW; round++) {
        counted_hook returned, cancelled, unstarted;
        gs_task *a = go_hooked(&returned, count_hook, gs__ctx_background(), learn_self);
        gs_task *b = go_hooked(&cancelled, count_hook, gs__ctx_background(), learn_self_and_wait);
        test_until_parked(b);
        CHECK(gs__task_cancel(b, NULL));
        CHECK_EQ(test_join(a), GS_OK);
        CHECK_EQ(test_join(b), GS_ECANCELED);
        gs_ctx *done = gs__ctx_with_cancel(gs__ctx_background());
        gs__ctx_cancel(done, GS__CTX_CANCELED, NULL);
        gs_task *c = go_hooked(&unstarted, note_end, done, wait_for_stop);
        CHECK_EQ(test_join(c), GS_ECANCELED);
        gs__ctx_unref(done);
        test_until(&returned.times, 1);
        test_until(&cancelled.times, 1);
        test_until(&unstarted.times, 1);
        CHECK_EQ(returned.ended, 1);
        CHECK_EQ(cancelled.ended, 1);
        CHECK_EQ(returned.times + cancelled.times + unstarted.times, 3);
    }
}

/* ---- defers ---- */

static char order[64];

typedef struct deferred {
    gs_call *call;
    char letter;
} deferred;

static void note_letter(void *arg)
{
    size_t n = strlen(order);
    order[n] = ((deferred *)arg)->letter;
    order[n + 1] = '\0';
}

static void sleep_and_note(void *arg)
{
    deferred *d = arg;
    gs_shield_begin(d->call);
    if (gs_sleep(d->call, GS_MS(5)) != GS_OK)
        d->letter = '!';
    gs_shield_end(d->call);
    note_letter(d);
}

static int defer_three(gs_call *call)
{
    int how = *(int *)gs_arg_ptr(call, 0);
    deferred *d = calloc(4, sizeof *d);
    for (int i = 0; i < 4; i++) {
        d[i].call = call;
        d[i].letter = (char)('a' + i);
    }
    GS_TRY(gs_defer(call, free, d));
    GS_TRY(gs_defer(call, note_letter, &d[0]));
    GS_TRY(gs_defer(call, sleep_and_note, &d[1]));
    GS_TRY(gs_defer(call, note_letter, &d[2]));
    if (how == 1)
        return gs_fail(call, 5, "by itself");
    if (how == 2)
        return gs_sleep(call, GS_FOREVER);
    if (how == 3)
        (void)gs_arg_int(call, 9); /* does not return */
    return GS_OK;
}

TEST(defers_run_last_first_however_the_task_ends)
{
    for (int how = 0; how < 4; how++) {
        order[0] = '\0';
        gs_task *task = test_go(defer_three, &how);
        if (how == 2) {
            test_until_parked(task);
            gs__task_cancel(task, NULL);
        }
        test_wait(task);
        CHECK_STR(order, "cba");
        if (how < 3)
            CHECK_EQ(task->code, how == 0 ? GS_OK : how == 1 ? 5 : GS_ECANCELED);
        else
            CHECK(task->code != GS_OK);
        gs__task_unref(task);
    }
}

static int defer_many(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    for (int i = 0; i < 1000; i++) {
        void *p = malloc(16);
        if (gs_defer(call, free, p) != GS_OK) {
            free(p);
            return 1;
        }
    }
    return GS_OK;
}

TEST(defers_may_be_many)
{
    for (int i = 0; i < 20; i++)
        CHECK_EQ(test_join(test_go(defer_many, NULL)), GS_OK);
}

/* ---- the rest ---- */

static atomic_int released;

static void count_release(gs_task *task)
{
    CHECK(task->owner == &released);
    released++;
}

TEST(task_release_runs_once)
{
    int error, code = 3;
    gs_value arg = GS_ARG_PTR(&code);
    gs__spawn spawn = {.fn = return_code,
                       .name = "released",
                       .parent = gs__ctx_background(),
                       .args = &arg,
                       .nargs = 1,
                       .release = count_release,
                       .owner = &released};
    for (int i = 1; i <= 100; i++) {
        gs_task *task = gs__task_spawn(&spawn, &error);
        CHECK(task != NULL);
        CHECK_EQ(test_join(task), 3);
        test_until(&released, i);
    }
    spawn.stack_size = SIZE_MAX;
    CHECK(gs__task_spawn(&spawn, &error) == NULL);
    CHECK_EQ(error, GS_EINVAL);
    gs_ctx *done = gs__ctx_with_cancel(gs__ctx_background());
    gs__ctx_cancel(done, GS__CTX_CANCELED, NULL);
    spawn.stack_size = 0;
    spawn.parent = done;
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    test_until(&released, 101);
    test_msleep(10);
    CHECK_EQ(released, 101);
    gs__ctx_unref(done);
}

TEST(task_keeps_a_copy_of_its_name)
{
    char name[32] = "short-lived";
    int error, code = 0;
    gs_value arg = GS_ARG_PTR(&code);
    gs__spawn spawn = {
        .fn = return_code, .name = name, .parent = gs__ctx_background(), .args = &arg, .nargs = 1};
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    memset(name, 'x', sizeof name - 1);
    CHECK_STR(task->name, "short-lived");
    test_wait(task);
    CHECK_STR(task->name, "short-lived");
    CHECK_STR(gs__task_state_name(task), "ended");
    gs__task_unref(task);
}

static char log_task[64], log_text[256];

static void keep_line(const char *task, const char *line)
{
    snprintf(log_task, sizeof log_task, "%s", task);
    snprintf(log_text, sizeof log_text, "%s", line);
}

static int say_things(gs_call *call)
{
    gs_task **self = gs_arg_ptr(call, 0);
    (void)self;
    gs_log(call, "halfway: %d%%", 50);
    gs_progress(call, 1, 2);
    gs_progress(call, 2, 4);
    return GS_OK;
}

/* 60 tasks of names that are made up as it goes, then one of a name that is not. */
static int name_many(gs_call *call)
{
    int *first = gs_arg_ptr(call, 0), code = 0;
    char name[512], text[8][512];
    gs_value arg = GS_ARG_PTR(&code);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "%*d", i % 3 ? 10 : 400, *first + i);
        gs_task *task = gs_go_named(call, return_code, name, &arg, 1);
        if (!task || task->name == name || strcmp(task->name, name) != 0)
            return 1;
        memcpy(text[i % 8], name, sizeof name);
        memset(name, 'x', sizeof name - 1);
        if (strcmp(task->name, text[i % 8]) != 0)
            return 2;
        GS_TRY(gs_join(call, task, NULL));
    }
    gs_task *task = gs_go(call, return_code, &arg, 1);
    return !task || strcmp(task->name, "return_code") != 0 ? 3 : gs_join(call, task, NULL);
}

TEST(task_names_that_are_made_up_do_not_add_up)
{
    struct mallinfo2 before;
    for (int first = 0; first < 60 * 2000 / TEST_SLOW; first += 60) {
        if (first == 60 * 1000 / TEST_SLOW)
            before = mallinfo2();
        CHECK_EQ(test_join(test_go(name_many, &first)), GS_OK);
    }
    CHECK(mallinfo2().uordblks < before.uordblks + 1000000); /* the names alone were 7 million */
}

TEST(task_says_how_far_it_is)
{
    int64_t done = -1, total = -1;
    int code = 0;
    gs__log_line = keep_line;
    gs_task *task = test_go(say_things, NULL), *quiet = test_go(return_code, &code);
    test_wait(task);
    test_wait(quiet);
    CHECK_STR(log_task, "test");
    CHECK_STR(log_text, "halfway: 50%");
    CHECK(gs__task_progress(task, &done, &total) != 0);
    CHECK_EQ(done, 2);
    CHECK_EQ(total, 4);
    CHECK_EQ(gs__task_progress(quiet, &done, &total), 0);
    gs__task_unref(task);
    gs__task_unref(quiet);
}

static int count_up(gs_call *call)
{
    int64_t n = gs_arg_int(call, 0);
    for (int64_t i = 1; i <= n && !gs_cancelled(call); i++)
        gs_progress(call, i, -i);
    return GS_OK;
}

static gs_task *go_counting(int64_t n)
{
    int error;
    gs_value value = GS_ARG_INT(n);
    gs__spawn spawn = {
        .fn = count_up, .name = "count", .parent = gs__ctx_background(), .args = &value, .nargs = 1};
    return gs__task_spawn(&spawn, &error);
}

/* Watches until it has ended: what it says is said together, never goes back, and is not missed. */
static void *watch(void *arg)
{
    gs_task *task = arg;
    int64_t done = 0, total = 0, before = 0;
    unsigned seen = 0;
    for (;;) {
        gs_chan *changed = gs__task_progress_changed(task);
        bool ended = gs__task_ended(task);
        unsigned version = gs__task_progress(task, &done, &total);
        if (version != seen) {
            CHECK(done > before && done == -total);
            before = done;
            seen = version;
        } else if (ended) {
            gs__chan_unref(changed);
            break;
        } else {
            bool item;
            gs__select_case cases[] = {{.kind = GS__CASE_RECV, .on.chan = changed, .item = &item},
                                       {.kind = GS__CASE_TASK, .on.task = task}};
            gs__select(cases, 2, NULL, gs__deadline(GS__PROGRESS_SETTLES));
        }
        gs__chan_unref(changed);
    }
    return (void *)(intptr_t)done;
}

TEST(task_progress_reaches_all_who_watch)
{
    for (int64_t n = 0; n < 40; n++) {
        int64_t last = n < 20 ? n : n * n * 100 / TEST_SLOW;
        gs_task *task = go_counting(last);
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
            threads[i] = test_thread(watch, task);
        for (int i = 0; i < 3; i++) {
            void *seen;
            CHECK_EQ(pthread_join(threads[i], &seen), 0);
            CHECK_EQ((intptr_t)seen, last);
        }
        gs__task_unref(task);
    }
}

static int say_when_told(gs_call *call)
{
    gs_chan *ch = gs_arg_ptr(call, 0);
    int64_t item;
    while (gs_recv(call, ch, &item) == GS_OK)
        gs_progress(call, item, 100);
    return GS_OK;
}

/* One word is enough, however long it took to come. */
TEST(task_progress_wakes_who_waits)
{
    gs_chan *ch = test_chan(0);
    gs_task *task = test_go(say_when_told, ch);
    int64_t done, total;
    for (int i = 1; i <= 20; i++) {
        bool item;
        gs_chan *changed = gs__task_progress_changed(task);
        gs_chan *same = gs__task_progress_changed(task);
        CHECK(changed == same);
        test_msleep(1);
        CHECK(!gs__chan_closed(changed));
        CHECK_EQ(test_send(ch, i), GS_OK);
        CHECK_EQ(gs__chan_recv(changed, &item, NULL, GS_FOREVER), GS_ECLOSED);
        CHECK(gs__task_progress(task, &done, &total) != 0);
        CHECK_EQ(done, i);
        gs__chan_unref(changed);
        gs__chan_unref(same);
    }
    gs__chan_close(ch);
    CHECK_EQ(test_join(task), GS_OK);
    gs__chan_unref(ch);
}

static int wait_on_channel(gs_call *call)
{
    int64_t item;
    return gs_recv(call, gs_arg_ptr(call, 0), &item);
}

TEST(tasks_are_listed_while_they_live)
{
    gs_chan *ch = test_chan(0);
    gs_task *tasks[5], *seen[8];
    char text[128];
    for (int i = 0; i < 5; i++)
        tasks[i] = test_go(wait_on_channel, ch);
    for (int i = 0; i < 5; i++)
        test_until_parked(tasks[i]);
    CHECK_EQ(gs__debug_tasks(seen, 3), 5);
    for (int i = 0; i < 3; i++)
        gs__task_unref(seen[i]);
    CHECK_EQ(gs__debug_tasks(seen, 8), 5);
    for (int i = 0; i < 5; i++) {
        bool mine = false;
        for (int k = 0; k < 5; k++)
            mine |= seen[i] == tasks[k];
        CHECK(mine);
        CHECK_STR(gs__task_state_name(seen[i]), "parked");
        gs__task_waiting_text(seen[i], text, sizeof text);
        CHECK_HAS(text, "recv");
        gs__task_unref(seen[i]);
    }
    gs__chan_close(ch);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(test_join(tasks[i]), GS_ECLOSED);
    CHECK_EQ(gs__debug_tasks(seen, 8), 0);
    gs__chan_unref(ch);
}
