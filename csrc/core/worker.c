/* worker.c: a worker's thread: taking up tasks, leaving them, sleeping.
 *
 * A task leaves its stack either for the next task, directly, or for the scheduler's stack. What it
 * asked to be unlocked is unlocked by whoever runs next on this worker (arrive), and only then is
 * it off its stack (on_cpu clears) for the worker that is to resume it. While it leaves it may hold
 * locks of channels, so on that way only quick picks are made, and nobody is waited for: a task that
 * is itself not yet off its stack, or cannot start, is left to the scheduler. models/park.pml checks how a
 * task leaves and is resumed, models/sleep.pml how a worker goes to sleep. */
#define _GNU_SOURCE
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GS__SIGNAL_STACK = 64 << 10 };

static _Thread_local gs__worker *this_worker;

gs__opaque gs__worker *gs__this_worker(void)
{
    return this_worker;
}

gs__opaque gs_task *gs__task_current(void)
{
    gs__worker *w = this_worker;
    return w ? atomic_load_explicit(&w->current, memory_order_relaxed) : NULL;
}

/* ---- taking up and leaving tasks ---- */

static void bury(gs__worker *w, gs_task *task)
{
    gs__stack_put(&w->stacks, task->stack_class, gs__coro_fini(&task->coro));
    gs__stack_unreserve(&w->stacks, task->stack_class);
    gs__task_unref(task);
}

/* Finishes what the one that ran before on this worker left to do. The first thing on each arrival. */
static void arrive(gs__worker *w)
{
    gs_task *left = w->left;
    if (!left)
        return;
    w->left = NULL;
    if (gs__unlikely(atomic_load_explicit(&w->stuck, memory_order_relaxed)))
        gs__set_stuck(w, false);
    if (w->left_ended) {
        w->left_ended = false;
        bury(w, left);
        return;
    }
    if (w->unlock)
        w->unlock(w->unlock_arg);
    atomic_store_explicit(&left->on_cpu, false, memory_order_release);
}

static void arrive_on_task(gs_task *self)
{
    gs__worker *w = self->worker;
    arrive(w);
    if (w->group->hooks && w->group->hooks->on_resume)
        w->group->hooks->on_resume(w, self);
}

static void begin(void *task);

/* Gives a task that never ran its stack. GS_ENOMEM. */
static int give_stack(gs__worker *w, gs_task *task)
{
    gs__stack stack;
    int code = gs__stack_get(&w->stacks, task->stack_class, &stack);
    if (code == GS_OK)
        gs__coro_init_below(&task->coro, stack, task->group->stack_above, begin, task);
    return code;
}

static void take_up(gs__worker *w, gs_task *task)
{
    task->worker = w;
    atomic_store_explicit(&task->on_cpu, true, memory_order_relaxed);
    atomic_store_explicit(&task->state, GS__TASK_RUNNING, memory_order_relaxed);
    atomic_store_explicit(&w->current, task, memory_order_relaxed);
    atomic_store_explicit(&w->runs, atomic_load_explicit(&w->runs, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static bool can_go_on(gs__worker *w, gs_task *task)
{
    if (atomic_load_explicit(&task->on_cpu, memory_order_acquire))
        return false;
    return task->coro.sp || (!gs__ctx_is_done(&task->ctx) && give_stack(w, task) == GS_OK);
}

/* In line, as the switch is: see switch_x86_64.h. */
static gs__always_inline void leave(gs__worker *w, gs_task *self, gs_task *next, bool ended)
{
    w->left = self;
    w->left_ended = ended;
    if (next && can_go_on(w, next)) {
        take_up(w, next);
        gs__coro_switch(&self->coro, &next->coro, ended);
    } else {
        w->picked = next;
        atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
        gs__coro_switch(&self->coro, &w->coro, ended);
    }
    arrive_on_task(self);
}

void gs__park_task(gs_task *self, void (*unlock)(void *), void *arg)
{
    gs__worker *w = self->worker;
    gs_task *next = gs__pick_quick(w);
    if (next == self) {
        /* Woken before it had left. */
        if (unlock)
            unlock(arg);
        return;
    }
    w->unlock = unlock;
    w->unlock_arg = arg;
    leave(w, self, next, false);
}

void gs__yield_task(gs_task *self)
{
    gs__worker *w = self->worker;
    if (gs__unlikely(gs__task_signal(self) & GS__SIGNAL_GIVE_WAY))
        __atomic_fetch_and(&self->call.signal, ~GS__SIGNAL_GIVE_WAY, __ATOMIC_RELAXED);
    if (gs__unlikely(atomic_load_explicit(&w->stuck, memory_order_relaxed)))
        gs__set_stuck(w, false);
    atomic_store_explicit(&self->state, GS__TASK_READY, memory_order_relaxed);
    gs_task *next = gs__pick_for_yield(w, self);
    if (!next) {
        atomic_store_explicit(&self->state, GS__TASK_RUNNING, memory_order_relaxed);
        return;
    }
    w->unlock = NULL;
    leave(w, self, next, false);
}

static gs__always_inline _Noreturn void leave_for_good(gs_task *self)
{
    gs__worker *w = self->worker;
    leave(w, self, gs__pick_quick(w), true);
    gs__panic("a task that had ended was resumed");
}

void gs__exit_task(gs_task *self)
{
    leave_for_good(self);
}

/* The body of every coroutine. What it calls returns, so that none of its calls is left for the processor
 * to match with a ret of the task that goes on. */
static void begin(void *arg)
{
    gs_task *self = arg;
    gs__coro_began();
    arrive_on_task(self);
    gs__task_main(self);
    leave_for_good(self);
}

void gs__block_begin(gs_task *self)
{
    gs__worker *w = self->worker;
    gs__set_stuck(w, true);
    if (atomic_load(&w->queued) || atomic_load(&w->next) || atomic_load(&w->group->inbox_count))
        gs__wake_worker(w->group);
}

void gs__block_end(gs_task *self)
{
    gs__set_stuck(self->worker, false);
}

/* On the scheduler's stack. */
static void run(gs__worker *w, gs_task *task)
{
    for (unsigned round = 0; atomic_load_explicit(&task->on_cpu, memory_order_acquire);)
        gs__backoff(&round);
    if (!task->coro.sp) {
        int code = gs__ctx_is_done(&task->ctx) ? GS_ECANCELED : give_stack(w, task);
        if (code != GS_OK) {
            task->worker = w;
            gs__task_end_unstarted(task, code, code == GS_ENOMEM ? "no memory for its stack" : NULL);
            gs__stack_unreserve(&w->stacks, task->stack_class);
            gs__task_unref(task);
            return;
        }
    }
    take_up(w, task);
    gs__coro_switch(&w->coro, &task->coro, false);
    arrive(w);
}

/* ---- sleeping ---- */

/* The idle worker that sleeps only until the next timer; NULL: nobody, or it is at work, and busy
 * workers and the monitor look at the timers. */
static _Atomic(gs__worker *) timekeeper;

void gs__timekeeper_look(void)
{
    gs__worker *w = atomic_load(&timekeeper);
    if (w)
        gs__parker_wake(w->parker);
}

static void go_on_idle_list(gs__worker *w)
{
    gs__group *group = w->group;
    gs__acquire(&group->lock);
    gs__list_prepend(&group->idle, &w->idle_link);
    atomic_fetch_add(&group->n_idle, 1);
    gs__release(&group->lock);
}

/* Whether it had still been on the list. */
static bool leave_idle_list(gs__worker *w)
{
    gs__group *group = w->group;
    gs__acquire(&group->lock);
    bool there = gs__linked(&w->idle_link);
    if (there) {
        gs__list_remove(&w->idle_link);
        atomic_fetch_sub(&group->n_idle, 1);
        w->woken_to_search = false;
    }
    gs__release(&group->lock);
    return there;
}

static void sleep_once(gs__worker *w)
{
    gs__worker *nobody = NULL;
    bool keeper = atomic_compare_exchange_strong(&timekeeper, &nobody, w);
    gs__parker_wait(w->parker, keeper ? gs__timers_next() : GS_FOREVER, false);
    if (keeper)
        atomic_store(&timekeeper, NULL);
}

static bool has_own_work(gs__worker *w)
{
    return atomic_load(&w->queued) || atomic_load(&w->n_pinned) || atomic_load(&w->next);
}

static bool on_idle_list(gs__worker *w)
{
    gs__acquire(&w->group->lock);
    bool there = gs__linked(&w->idle_link);
    gs__release(&w->group->lock);
    return there;
}

/* Sleeps until somebody takes it off the idle list, or a timer gives it something to do. */
static void idle(gs__worker *w)
{
    const gs__hooks *hooks = w->group->hooks;
    if (hooks && hooks->before_idle)
        hooks->before_idle(w);
    go_on_idle_list(w);
    gs__stop_searching(w, false);
    while (!gs__work_waits(w) && !has_own_work(w) && !atomic_load(&w->group->stopping)) {
        sleep_once(w);
        if (!on_idle_list(w))
            break;
        gs__timers_run();
    }
    leave_idle_list(w);
    w->searching = w->woken_to_search;
    w->woken_to_search = false;
    gs__monitor_watch();
    if (hooks && hooks->after_idle)
        hooks->after_idle(w);
}

/* ---- the thread ---- */

static void loop(gs__worker *w)
{
    for (;;) {
        gs_task *task = w->picked;
        w->picked = NULL;
        if (!task)
            task = gs__find_work(w);
        if (task) {
            gs__stop_searching(w, true);
            run(w, task);
        } else if (atomic_load(&w->group->stopping)) {
            gs__stop_searching(w, false);
            return;
        } else {
            idle(w);
        }
    }
}

static void *thread_main(void *arg)
{
    gs__worker *w = arg;
    const gs__hooks *hooks = w->group->hooks;
    stack_t signal_stack = {.ss_sp = w->signal_stack, .ss_size = GS__SIGNAL_STACK};
    this_worker = w;
    sigaltstack(&signal_stack, NULL);
    gs__coro_init_thread(&w->coro);
    if (hooks && hooks->thread_start)
        hooks->thread_start(w);
    gs__monitor_watch();
    loop(w);
    if (hooks && hooks->thread_end)
        hooks->thread_end(w);
    gs__task_cache_flush(w);
    gs__stack_cache_flush(&w->stacks);
    signal_stack.ss_flags = SS_DISABLE;
    sigaltstack(&signal_stack, NULL);
    return NULL;
}

/* A record for the group's next worker: one of a thread that has ended, where there is one. */
static gs__worker *make_worker(gs__group *group, int index)
{
    gs__worker *w = atomic_load(&group->workers[index]);
    if (!w) {
        w = gs__calloc(sizeof *w);
        if (!w)
            return NULL;
        w->signal_stack = gs__alloc(GS__SIGNAL_STACK);
        w->parker = gs__parker_get();
        if (!w->signal_stack || !w->parker) {
            gs__free(w->signal_stack);
            if (w->parker)
                gs__parker_put(w->parker);
            gs__free(w);
            return NULL;
        }
        gs__list_init(&w->fresh);
        gs__list_init(&w->ready);
        gs__list_init(&w->pinned);
        gs__link_init(&w->idle_link);
        w->group = group;
        w->index = index;
        atomic_store(&group->workers[index], w);
    }
    w->searching = false;
    atomic_store(&w->stuck, false);
    return w;
}

/* Guards the starting of workers, of all groups: it allocates and makes threads, so it is no gs__lock. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

int gs__worker_start(gs__group *group)
{
    int code = GS_ENOMEM;
    sigset_t all, before;
    sigfillset(&all);
    /* What a thread does to itself is not to be held back. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGTRAP);
    pthread_mutex_lock(&starting);
    int index = atomic_load(&group->n_workers);
    bool may = index < group->limit && !atomic_load(&group->stopping) && !gs__should_fail();
    gs__worker *w = may ? make_worker(group, index) : NULL;
    if (w) {
        atomic_fetch_add(&group->n_workers, 1);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        if (pthread_create(&w->thread, NULL, thread_main, w) == 0)
            code = GS_OK;
        else
            atomic_fetch_sub(&group->n_workers, 1);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_mutex_unlock(&starting);
    return code;
}

void gs__group_stop(gs__group *group)
{
    pthread_mutex_lock(&starting); /* whoever is being started counts, and nobody is afterwards */
    atomic_store(&group->stopping, true);
    pthread_mutex_unlock(&starting);
    int n = atomic_load(&group->n_workers);
    for (int i = 0; i < n; i++)
        gs__wake_this(atomic_load(&group->workers[i]));
    for (int i = 0; i < n; i++)
        pthread_join(atomic_load(&group->workers[i])->thread, NULL);
}

void gs__workers_reset(void)
{
    pthread_mutex_init(&starting, NULL);
    atomic_store(&timekeeper, NULL);
    this_worker = NULL;
}
