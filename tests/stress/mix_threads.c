/* mix_threads.c: what the threads of gostop-mix do, which are no workers: with the core's own calls. */
#include "mix.h"

#include "timer.h"

#include <stdlib.h>
#include <string.h>

/* ---- an operation that no stack waits on ---- */

typedef struct order {
    gs__async async;
    atomic_int told;
} order;

static void tell(gs__async *async)
{
    gs__container(async, order, async)->told = 1;
}

/* Given up after a while or seen to its end. */
static void trade_by_order(rows *r)
{
    gs_chan *ch = lane(r);
    bool out = any(r, 2);
    int64_t item = any(r, 1000);
    order o = {.told = 0};
    gs__select_case c = {.kind = out ? GS__CASE_SEND : GS__CASE_RECV, .on.chan = ch, .item = &item};
    int64_t deadline = gs__now() + GS_US(any(r, 300));
    int code = gs__async_start(&o.async, &c, 1, m.open, deadline, tell);
    if (code == GS__UNDER_WAY) {
        if (any(r, 2))
            for (uint32_t n = any(r, 2000); n > 0; n--)
                gs__pause();
        else
            test_until(&o.told, 1);
        if (gs__async_abandon(&o.async)) {
            gs__chan_unref(ch);
            return;
        }
        test_until(&o.told, 1);
        code = gs__async_finish(&o.async);
    }
    if (code == 0 && c.ok) {
        if (out)
            book_out(&m.values, item);
        else
            book_in(&m.values, item);
    }
    gs__chan_unref(ch);
}

/* ---- contexts ---- */

/* One whose memory is its own from then on. */
static void passed(gs__ctx_hook *hook)
{
    book_in(&m.hooks, 1);
    free(hook);
}

static void hang_on(gs_ctx *ctx)
{
    gs__ctx_hook *hook = calloc(1, sizeof *hook);
    CHECK(hook != NULL);
    book_out(&m.hooks, 1);
    if (!gs__ctx_hook_add(ctx, hook, passed))
        passed(hook);
}

/* One that the caller takes off again. */
static void passed_by(gs__ctx_hook *hook)
{
    (void)hook;
    book_in(&m.hooks, 1);
}

static void drop_value(void *value)
{
    free(value);
}

/* A small tree of every kind, cancelled from anywhere in it, by time, or not at all. */
static void grow_contexts(rows *r)
{
    enum { TIMED, MERGED, VALUED, LEAF, FREE, KINDS };
    gs_ctx *made[KINDS];
    void *value = malloc(16);
    CHECK(value != NULL);
    made[TIMED] = gs__ctx_with_deadline(m.open, gs__now() + GS_US(any(r, 300)));
    CHECK(made[TIMED] != NULL);
    gs_ctx *parents[] = {made[TIMED], m.open};
    made[MERGED] = gs__ctx_merge(parents, 2);
    made[VALUED] = gs__ctx_with_value(made[MERGED], value, drop_value);
    made[LEAF] = gs__ctx_with_cancel(made[VALUED]);
    made[FREE] = gs__ctx_without_cancel(made[LEAF]);
    CHECK(made[MERGED] && made[VALUED] && made[LEAF] && made[FREE]);
    gs__ctx_hook one;
    memset(&one, 0, sizeof one);
    book_out(&m.hooks, 1);
    bool hung = gs__ctx_hook_add(made[LEAF], &one, passed_by);
    hang_on(made[MERGED]);
    gs_chan *done = gs__ctx_done_chan(made[LEAF]);
    CHECK(done != NULL);
    if (any(r, 2)) {
        gs__cause *cause = gs__cause_text("a thread's");
        gs__ctx_cancel(made[any(r, LEAF + 1)], GS__CTX_CANCELED, cause);
        gs__cause_unref(cause);
    } else if (any(r, 2)) {
        bool nothing;
        (void)gs__chan_recv(done, &nothing, m.open, gs__now() + GS_US(any(r, 200)));
    }
    if (!hung || gs__ctx_unhook(made[LEAF], &one))
        book_in(&m.hooks, 1);
    gs__ctx_cancel(made[TIMED], GS__CTX_CANCELED, NULL);
    CHECK(gs__ctx_is_done(made[LEAF]) && !gs__ctx_is_done(made[FREE]));
    CHECK(gs__chan_closed(done));
    gs__chan_unref(done);
    for (int i = 0; i < KINDS; i++)
        gs__ctx_unref(made[i]);
}

/* ---- timers ---- */

static void fire(gs__timer *timer, gs__fired *fired)
{
    (void)timer, (void)fired;
    book_in(&m.timers, 1);
}

static void start_timers(rows *r)
{
    enum { N = 8 };
    gs__timer timers[N];
    int64_t now = gs__now();
    for (int i = 0; i < N; i++) {
        gs__timer_init(&timers[i], fire);
        CHECK_EQ(gs__timer_start(&timers[i], now + GS_US(any(r, 300))), GS_OK);
        book_out(&m.timers, 1);
    }
    if (any(r, 2))
        (void)gs__sleep(now + GS_US(any(r, 400)), m.open);
    for (int i = 0; i < N; i++)
        if (gs__timer_stop(&timers[i]))
            book_in(&m.timers, 1);
}

/* ---- a task from outside ---- */

static void ended(gs__task_hook *hook)
{
    book_in(&m.ends, 1);
    free(hook);
}

static void hire(rows *r)
{
    gs_task *task = go_trade(r, (int)any(r, 3));
    gs__task_hook *hook = calloc(1, sizeof *hook);
    CHECK(hook != NULL);
    book_out(&m.ends, 1);
    bool hung = gs__task_hook_add(task, hook, ended);
    if (!hung)
        ended(hook);
    (void)gs__task_wait(task, m.open, gs__now() + GS_US(any(r, 300)));
    gs__task_cancel(task, NULL);
    if (any(r, 2)) {
        test_wait(task);
        CHECK(task->code == GS_OK || task->code == GS_ECANCELED);
    } else if (hung && gs__task_unhook(task, hook)) {
        ended(hook); /* else it does so itself */
    }
    gs__task_unref(task);
}

/* ---- threads ---- */

void *trade_on_thread(void *arg)
{
    rows r;
    rows_begin(&r);
    while (!gs__ctx_is_done(m.open))
        switch (any(&r, 12)) {
        case 0:
        case 1:
            trade_by_order(&r);
            break;
        case 2:
            grow_contexts(&r);
            break;
        case 3:
            start_timers(&r);
            break;
        case 4:
            hire(&r);
            break;
        default:
            trade(&r, m.open);
        }
    return arg;
}

void *churn_on_thread(void *arg)
{
    rows r;
    rows_begin(&r);
    while (!gs__ctx_is_done(m.open)) {
        gs_task *tasks[2] = {go_churn(), go_churn()};
        test_msleep((int)any(&r, 3));
        for (int i = 0; i < 2; i++) {
            if (!tasks[i])
                continue;
            gs__task_cancel(tasks[i], NULL);
            CHECK_EQ(test_join(tasks[i]), GS_ECANCELED);
        }
        test_msleep((int)any(&r, 30));
    }
    return arg;
}

void *watch_on_thread(void *arg)
{
    enum { MOST = 64 };
    while (!gs__ctx_is_done(m.open)) {
        gs_task *tasks[MOST];
        long all = gs__debug_tasks(tasks, MOST), n = all < MOST ? all : MOST;
        for (long i = 0; i < n; i++) {
            char text[96];
            int64_t done, total;
            gs__task_waiting_text(tasks[i], text, sizeof text);
            CHECK(gs__task_state_name(tasks[i]) != NULL);
            (void)gs__task_progress(tasks[i], &done, &total);
            gs_chan *changed = i % 8 ? NULL : gs__task_progress_changed(tasks[i]);
            if (changed)
                gs__chan_unref(changed);
            gs__task_unref(tasks[i]);
        }
        test_msleep(1);
    }
    return arg;
}
