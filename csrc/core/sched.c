/* sched.c: who runs next: ready queues, stealing, waking workers. What holds: sched.h; models/sleep.pml
 * checks that no task is forgotten.
 *
 * Lock order: a group's lock and a worker's lock are leaves, and never held together. */
#include "sched.h"

#include "worker.h"

enum {
    FAIRNESS = 64,       /* every so many picks, the oldest first */
    STEAL_MOST = 64,     /* tasks taken from another worker, or from the inbox, at once */
    SPIN_US = 20,        /* about what waking a sleeping core costs */
    PREFETCH_FROM = 32,  /* tasks on a queue; fewer are in the caches */
    PREFETCH_LINES = 12, /* of a stack: the frames of a task that waits */
    NEXT_AGE_US = 2,     /* how long `next` of another worker must have waited to be taken */
    PAUSE_FIRST_US = 20,
    PAUSE_MOST_US = 1000
};

static gs_task *task_of(gs__link *link)
{
    return gs__container(link, gs_task, link);
}

/* ---- the worker's own queues ---- */

static void count(gs__worker *w, int by)
{
    atomic_store_explicit(&w->queued, atomic_load_explicit(&w->queued, memory_order_relaxed) + by,
                          memory_order_release);
}

/* With the lock held. */
static void append(gs__worker *w, gs_task *task)
{
    if (gs__unlikely(task->home != NULL)) {
        gs__list_append(&w->pinned, &task->link);
        atomic_fetch_add(&w->n_pinned, 1);
    } else {
        gs__list_append(&w->ready, &task->link);
        count(w, 1);
    }
}

static void push(gs__worker *w, gs_task *task)
{
    gs__acquire(&w->lock);
    append(w, task);
    gs__release(&w->lock);
}

static gs_task *take_next(gs__worker *w)
{
    return atomic_load_explicit(&w->next, memory_order_relaxed)
               ? atomic_exchange_explicit(&w->next, NULL, memory_order_acq_rel)
               : NULL;
}

/* Where many wait, their records and stacks have long left the caches, and the stacks' pages the
 * processor's table of them. So, of those behind `l`, fetches the record of the fifth, the page of the
 * fourth's stack, and the frames of the second's: each reads only what was fetched when others were taken.
 * In line, as GCC takes a function that only fetches for one that does nothing. */
static gs__always_inline void prefetch_behind(gs__list *list, gs__link *l)
{
    gs__link *end = &list->head, *second, *fourth;
    if (l->next == end || (second = l->next->next) == end || second->next == end ||
        (fourth = second->next->next) == end)
        return;
    const char *record = (const char *)task_of(fourth->next);
    gs__coro *coro = &task_of(second)->coro;
    for (size_t i = 0; i < sizeof(gs_task); i += GS__CACHE_LINE)
        __builtin_prefetch(record + i);
    __builtin_prefetch(task_of(fourth)->coro.sp);
    /* Not beyond its end: to find out that the next one's guard is no page takes longer than all else. */
    const char *frame = coro->sp, *top = coro->stack.bottom + coro->stack.size;
    for (int i = 1; frame && i < PREFETCH_LINES && (frame += GS__CACHE_LINE) < top; i++)
        __builtin_prefetch(frame);
}

/* With the lock held. `oldest`: the fairness tick. */
static gs_task *pop(gs__worker *w, bool oldest)
{
    gs__link *l = NULL;
    if (!gs__list_empty(&w->pinned) && (oldest || gs__list_empty(&w->ready))) {
        atomic_fetch_sub(&w->n_pinned, 1);
        return task_of(gs__list_pop(&w->pinned));
    }
    if (oldest && w->tick & 1)
        l = gs__list_last(&w->fresh);
    if (!l && oldest)
        l = gs__list_first(&w->ready);
    if (!l)
        l = gs__list_first(&w->fresh);
    if (!l && (l = gs__list_first(&w->ready)) &&
        gs__unlikely(atomic_load_explicit(&w->queued, memory_order_relaxed) > PREFETCH_FROM))
        prefetch_behind(&w->ready, l);
    if (!l)
        return NULL;
    gs__list_remove(l);
    count(w, -1);
    return task_of(l);
}

static bool anything_queued(gs__worker *w)
{
    return atomic_load_explicit(&w->queued, memory_order_relaxed) ||
           atomic_load_explicit(&w->n_pinned, memory_order_relaxed);
}

static gs_task *pick_queued(gs__worker *w, bool oldest)
{
    if (!anything_queued(w))
        return NULL;
    gs__acquire(&w->lock);
    gs_task *task = pop(w, oldest);
    gs__release(&w->lock);
    return task;
}

/* From the inbox: one to run, and its share of the rest for this worker's queue. */
static gs_task *take_inbox(gs__worker *w)
{
    gs__group *group = w->group;
    int waiting = atomic_load(&group->inbox_count);
    if (waiting == 0)
        return NULL;
    int share = waiting / (group->target > 0 ? group->target : 1) + 1;
    if (share > STEAL_MOST)
        share = STEAL_MOST;
    gs__list some;
    gs__list_init(&some);
    int n = 0;
    gs__acquire(&group->lock);
    for (gs__link *l; n < share && (l = gs__list_pop(&group->inbox)); n++)
        gs__list_append(&some, l);
    atomic_fetch_sub(&group->inbox_count, n);
    gs__release(&group->lock);
    gs__link *first = gs__list_pop(&some);
    if (n > 1) {
        gs__acquire(&w->lock);
        gs__list_splice(&w->ready, &some);
        count(w, n - 1);
        gs__release(&w->lock);
    }
    return first ? task_of(first) : NULL;
}

gs_task *gs__pick_quick(gs__worker *w)
{
    if (gs__unlikely(++w->tick % FAIRNESS == 0))
        return NULL;
    gs_task *task = take_next(w);
    return task ? task : pick_queued(w, false);
}

/* What the tick is for: timers, the inbox, the oldest, while there is always something newer. */
static gs_task *pick_fairly(gs__worker *w)
{
    gs__timers_run();
    gs_task *task = take_inbox(w);
    return task ? task : pick_queued(w, true);
}

/* The next task of the worker's queues, and `self` behind it, in one hold of the lock. */
static gs_task *exchange_queued(gs__worker *w, gs_task *self)
{
    if (!anything_queued(w))
        return NULL;
    gs__acquire(&w->lock);
    gs_task *task = pop(w, false);
    if (task)
        append(w, self);
    gs__release(&w->lock);
    return task;
}

gs_task *gs__pick_for_yield(gs__worker *w, gs_task *self)
{
    gs_task *task;
    if (gs__unlikely(++w->tick % FAIRNESS == 0)) {
        task = pick_fairly(w);
    } else {
        task = take_next(w);
        if (!task && (task = exchange_queued(w, self)))
            return task;
        if (!task)
            task = take_inbox(w);
    }
    if (task)
        push(w, self);
    return task;
}

/* ---- making ready ---- */

static void to_inbox(gs__group *group, gs_task *task)
{
    gs__acquire(&group->lock);
    gs__list_append(&group->inbox, &task->link);
    atomic_fetch_add(&group->inbox_count, 1);
    gs__release(&group->lock);
    gs__wake_worker(group);
}

/* Whether to wake another worker for work that this one has just queued. Where the work is only
 * `next`, which this worker will turn to as soon as its task parks, a wake is mostly in vain: after each
 * such wake it pauses, the longer the more of them found nothing to take. */
static void tell_others(gs__worker *w, bool only_next)
{
    gs__group *group = w->group;
    if (!atomic_load_explicit(&group->n_idle, memory_order_relaxed) ||
        atomic_load_explicit(&group->searching, memory_order_relaxed))
        return;
    if (only_next) {
        uint64_t now = gs__ticks();
        if (now - w->woke_at < w->wake_pause)
            return;
        uint64_t us = gs__ticks_per_us();
        bool fruitful = atomic_exchange_explicit(&w->fruitful, false, memory_order_relaxed);
        w->woke_at = now;
        if (fruitful || !w->wake_pause)
            w->wake_pause = PAUSE_FIRST_US * us;
        else if (w->wake_pause < PAUSE_MOST_US * us)
            w->wake_pause *= 2;
    }
    gs__wake_worker(group);
}

void gs__ready(gs_task *task)
{
    gs__worker *w = gs__this_worker();
    atomic_store_explicit(&task->state, GS__TASK_READY, memory_order_relaxed);
    gs__worker *home = task->home;
    if (home && home != w) {
        push(home, task);
        gs__wake_this(home);
        return;
    }
    if (!w || w->group != task->group) {
        to_inbox(task->group, task);
        return;
    }
    if (home) {
        push(w, task);
        return;
    }
    gs_task *before = NULL;
    if (!atomic_load_explicit(&w->next, memory_order_relaxed))
        atomic_store_explicit(&w->next, task, memory_order_release);
    else
        before = atomic_exchange_explicit(&w->next, task, memory_order_acq_rel);
    if (before)
        push(w, before);
    tell_others(w, !before && !atomic_load_explicit(&w->queued, memory_order_relaxed));
}

void gs__ready_all(gs__worker *w, gs__list *tasks, int n)
{
    gs__acquire(&w->lock);
    gs__list_splice(&w->ready, tasks);
    count(w, n);
    gs__release(&w->lock);
    tell_others(w, false);
}

void gs__ready_fresh(gs_task *task)
{
    gs__worker *w = gs__this_worker();
    if (!w || w->group != task->group) {
        to_inbox(task->group, task);
        return;
    }
    gs__acquire(&w->lock);
    gs__list_prepend(&w->fresh, &task->link);
    count(w, 1);
    gs__release(&w->lock);
    tell_others(w, false);
}

/* ---- waking ---- */

static void wake_sleeping(gs__worker *w)
{
    gs__parker_wake(w->parker);
}

/* A worker that has work of its own to do again. */
void gs__wake_this(gs__worker *w)
{
    gs__group *group = w->group;
    gs__acquire(&group->lock);
    bool asleep = gs__linked(&w->idle_link);
    if (asleep) {
        gs__list_remove(&w->idle_link);
        atomic_fetch_sub(&group->n_idle, 1);
        w->woken_to_search = false;
    }
    gs__release(&group->lock);
    if (asleep)
        wake_sleeping(w);
}

static bool below_target(gs__group *group)
{
    return atomic_load(&group->n_workers) - atomic_load(&group->n_idle) -
               atomic_load(&group->n_blocked) <
           group->target;
}

void gs__wake_worker(gs__group *group)
{
    for (;;) {
        int none = 0;
        if (atomic_load(&group->searching) || !below_target(group) ||
            !atomic_compare_exchange_strong(&group->searching, &none, 1))
            return;
        gs__acquire(&group->lock);
        gs__link *l = gs__list_pop(&group->idle);
        if (l) {
            atomic_fetch_sub(&group->n_idle, 1);
            gs__container(l, gs__worker, idle_link)->woken_to_search = true;
        }
        gs__release(&group->lock);
        if (l) {
            wake_sleeping(gs__container(l, gs__worker, idle_link));
            return;
        }
        atomic_fetch_sub(&group->searching, 1);
        if (atomic_load(&group->n_workers) < group->limit && gs__worker_start(group) == GS_OK)
            return;
        /* Who queued something while this one counted as searching woke nobody, and workers may have gone to
         * sleep since. Without a thread more, those that are awake do the work. */
        if (!atomic_load(&group->inbox_count) || !atomic_load(&group->n_idle))
            return;
    }
}

void gs__stop_searching(gs__worker *w, bool found)
{
    if (!w->searching)
        return;
    w->searching = false;
    if (atomic_fetch_sub(&w->group->searching, 1) == 1 && found)
        gs__wake_worker(w->group);
}

void gs__set_stuck(gs__worker *w, bool stuck)
{
    bool was = !stuck;
    if (atomic_compare_exchange_strong(&w->stuck, &was, stuck))
        atomic_fetch_add(&w->group->n_blocked, stuck ? 1 : -1);
}

/* ---- stealing ---- */

/* Half of what the victim has into the thief's queue; one of them to run. Those that the victim would
 * turn to last: it goes on with the others, and so does who waits for them, in order, on its worker. */
static gs_task *steal_queued(gs__worker *thief, gs__worker *victim)
{
    if (!atomic_load_explicit(&victim->queued, memory_order_acquire) || !gs__trylock(&victim->lock))
        return NULL;
    gs__list fresh, ready;
    gs__list_init(&fresh);
    gs__list_init(&ready);
    int half = (atomic_load_explicit(&victim->queued, memory_order_relaxed) + 1) / 2, n = 0;
    if (half > STEAL_MOST)
        half = STEAL_MOST;
    for (gs__link *l; n < half && (l = gs__list_last(&victim->ready)); n++) {
        gs__list_remove(l);
        gs__list_prepend(&ready, l);
    }
    for (gs__link *l; n < half && (l = gs__list_last(&victim->fresh)); n++) {
        gs__list_remove(l);
        gs__list_prepend(&fresh, l);
    }
    count(victim, -n);
    gs__release(&victim->lock);
    if (n == 0)
        return NULL;
    atomic_store_explicit(&victim->fruitful, true, memory_order_relaxed);
    gs__acquire(&thief->lock);
    gs__list_splice(&thief->ready, &ready);
    gs__list_splice(&thief->fresh, &fresh);
    count(thief, n);
    gs_task *task = pop(thief, true);
    gs__release(&thief->lock);
    return task;
}

/* What a thief saw of the others' `next`: taken where it has waited for long. */
typedef struct sighting {
    gs__worker *victim;
    gs_task *next;
    uint64_t at;
} sighting;

static gs_task *steal_next(gs__worker *victim, sighting *seen)
{
    gs_task *next = atomic_load_explicit(&victim->next, memory_order_relaxed);
    if (!next)
        return NULL;
    uint64_t now = gs__ticks();
    if (seen->victim != victim || seen->next != next) {
        if (!seen->victim || seen->victim == victim)
            *seen = (sighting){victim, next, now};
        return NULL;
    }
    if (now - seen->at < NEXT_AGE_US * gs__ticks_per_us())
        return NULL;
    seen->victim = NULL;
    gs_task *task = atomic_exchange_explicit(&victim->next, NULL, memory_order_acq_rel);
    if (task)
        atomic_store_explicit(&victim->fruitful, true, memory_order_relaxed);
    return task;
}

static gs_task *steal(gs__worker *w, sighting *seen)
{
    gs__group *group = w->group;
    int n = atomic_load(&group->n_workers);
    unsigned from = gs__random();
    for (int i = 0; i < n; i++) {
        gs__worker *victim = atomic_load(&group->workers[(from + (unsigned)i) % (unsigned)n]);
        if (victim == w)
            continue;
        gs_task *task = steal_queued(w, victim);
        if (!task)
            task = steal_next(victim, seen);
        if (task)
            return task;
    }
    return NULL;
}

static bool others_at_work(gs__worker *w)
{
    gs__group *group = w->group;
    return atomic_load_explicit(&group->n_workers, memory_order_relaxed) -
               atomic_load_explicit(&group->n_idle, memory_order_relaxed) >
           1;
}

gs_task *gs__find_work(gs__worker *w)
{
    gs_task *task = NULL;
    if (w->tick++ % FAIRNESS == 0)
        task = pick_fairly(w);
    if (task || (task = take_next(w)) || (task = pick_queued(w, false)))
        return task;
    gs__timers_run();
    if ((task = take_next(w)) || (task = take_inbox(w)) || (task = pick_queued(w, true)))
        return task;
    if (!w->searching) {
        w->searching = true;
        atomic_fetch_add(&w->group->searching, 1);
    }
    sighting seen = {0};
    uint64_t until = gs__ticks() + SPIN_US * gs__ticks_per_us();
    for (;;) {
        if ((task = steal(w, &seen)) || (task = take_inbox(w)) || (task = pick_queued(w, true)))
            return task;
        if (!others_at_work(w) || gs__ticks() > until)
            return NULL;
        for (int i = 0; i < 8; i++)
            gs__pause();
    }
}

bool gs__work_waits(gs__worker *w)
{
    gs__group *group = w->group;
    if (atomic_load(&group->inbox_count) || atomic_load(&w->n_pinned))
        return true;
    int n = atomic_load(&group->n_workers);
    for (int i = 0; i < n; i++) {
        gs__worker *other = atomic_load(&group->workers[i]);
        if (atomic_load(&other->queued))
            return true;
    }
    return false;
}
