/* worker.h: a worker: an OS thread that runs tasks, and its queues. What holds of them: sched.h. */
#ifndef GS__WORKER_H
#define GS__WORKER_H

#include "sched.h"

#include <pthread.h>

typedef struct gs__worker {
    gs__lock lock;              /* guards fresh, ready, pinned */
    gs__list fresh;             /* tasks that never ran, newest first */
    gs__list ready;             /* tasks to go on with, oldest first */
    gs__list pinned;            /* the same, of tasks that only this worker may run */
    atomic_int queued;          /* on fresh and ready; written under the lock */
    atomic_int n_pinned;        /* on pinned; written under the lock */
    _Atomic(gs_task *) next;    /* made ready last, by the task that runs here: goes first */
    _Atomic(gs_task *) current; /* written by the worker only; read by the monitor */
    atomic_uint runs;           /* steps at each task that it takes up; for the monitor */
    atomic_bool stuck;          /* counted in the group's n_blocked */
    gs__coro coro;              /* the thread's own stack: the scheduler's */
    gs_task *left;              /* who left its stack last and is to be finished with */
    void (*unlock)(void *);     /* what to run for it; NULL: nothing */
    void *unlock_arg;
    gs_task *picked; /* to be run next, by the scheduler's own stack */
    bool left_ended;
    bool searching;       /* counted in the group's `searching` */
    unsigned tick;        /* picks; every FAIRNESS-th is from the far end */
    uint64_t woke_at;     /* ticks when `next` alone last made this worker wake another */
    uint64_t wake_pause;  /* ticks to let pass before it does so again */
    atomic_bool fruitful; /* a thief took something from here since */
    gs__group *group;
    int index; /* in group->workers */
    pthread_t thread;
    gs__parker *parker;
    gs__link idle_link;   /* on group->idle; guarded by the group's lock */
    bool woken_to_search; /* set by who takes it off group->idle */
    atomic_long made;     /* tasks made here, tasks ended here; only the worker writes them */
    atomic_long ended;
    gs__stack_cache stacks;
    struct gs__task_cache *tasks; /* task.c's */
    void *signal_stack;
    void *bindings; /* the hooks' own */
} gs__worker;

/* The worker whose thread this is, or NULL. Not to be kept across a park. */
gs__worker *gs__this_worker(void);

/* Starts one more worker thread in the group; GS_ENOMEM, also where the group stops. */
int gs__worker_start(gs__group *group);
/* Ends all its workers, which have nothing to run any more. */
void gs__group_stop(gs__group *group);

/* ---- sched.c, for worker.c and monitor.c ---- */

/* Makes `n` tasks ready that are on the list by their `link`, of the worker's group and without a home.
 * On the worker's thread. */
void gs__ready_all(gs__worker *worker, gs__list *tasks, int n);
/* The next task from the worker's own queues, or NULL: also when it is time for the scheduler to look
 * further. Takes no lock but the worker's, so a task that leaves may hold others. */
gs_task *gs__pick_quick(gs__worker *worker);
/* The next task, behind which `self` was queued; NULL where there is no other, and self is not queued. */
gs_task *gs__pick_for_yield(gs__worker *worker, gs_task *self);
/* The next from anywhere: its own queues, the inbox, timers, other workers; NULL where there was
 * nothing for as long as it is worth spinning. */
gs_task *gs__find_work(gs__worker *worker);
/* Whether there is anything that this worker could run. */
bool gs__work_waits(gs__worker *worker);
/* Wakes one sleeping worker, or starts one, where fewer than the target are at work. */
void gs__wake_worker(gs__group *group);
void gs__stop_searching(gs__worker *worker, bool found);
/* The worker is (no longer) stuck in its task: others may take its place. */
void gs__set_stuck(gs__worker *worker, bool stuck);

/* ---- worker.c ---- */

/* The idle worker that sleeps until the next timer is to look at the timers again. */
void gs__timekeeper_look(void);
void gs__workers_reset(void);
/* Wakes it where it sleeps. */
void gs__wake_this(gs__worker *worker);

/* ---- monitor.c ---- */

int gs__monitor_start(void);
void gs__monitor_stop(void);
/* A worker has something to run: the monitor is to watch. */
void gs__monitor_watch(void);
void gs__monitor_reset(void);
/* All groups that run, for the monitor, exit and snapshots. */
enum { GS__GROUPS_MOST = 4 };
gs__group *gs__group_at(int i); /* NULL past the last */

#endif
