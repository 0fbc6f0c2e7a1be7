/* sched.h: groups of workers, their ready queues, who runs next.
 *
 * A group is a set of workers that may run the same tasks: the C workers are one, the Python workers
 * another. What always holds:
 *  - A ready task is on exactly one queue (a worker's, or its group's inbox), or in one worker's
 *    `next`; a running or parked one on none.
 *  - A worker's `lock` guards `fresh` and `ready`; only the worker itself fills `next`, by a plain
 *    store into an empty slot or an exchange, others only empty it, by an exchange.
 *  - Work in a worker's own queues is never lost to a sleeping worker: its owner is awake. Work in the
 *    inbox is announced after it is queued, and a worker that goes to sleep looks at the inbox after it
 *    has said so: one of the two sees the other.
 *  - While a worker of a group is being woken, or searches without having found (`searching` counts
 *    both), nobody wakes another; as each that finds work wakes the next, none is forgotten. */
#ifndef GS__SCHED_H
#define GS__SCHED_H

#include "park.h"
#include "task.h"

/* What the bindings put between tasks and their workers. All may be NULL. */
typedef struct gs__hooks {
    void (*thread_start)(struct gs__worker *); /* first on the thread */
    void (*thread_end)(struct gs__worker *);
    /* A task is about to run on this worker, or goes on; on its stack, no lock held. */
    void (*on_resume)(struct gs__worker *, gs_task *);
    void (*before_idle)(struct gs__worker *); /* the worker has nothing to run; may sleep */
    void (*after_idle)(struct gs__worker *);
    /* The worker's task has kept it for the group's late_after while ones that began on it were ready; on
     * the monitor's thread, without waiting. False: to be told again. */
    bool (*on_late)(struct gs__worker *, unsigned runs);
} gs__hooks;

enum { GS__WORKERS_MOST = 256 };

typedef struct gs__group {
    const char *name;
    int target;              /* workers that may run at once; fixed while the group runs */
    int limit;               /* threads at the most, those stuck in a task counted */
    const gs__hooks *hooks;  /* may be NULL */
    atomic_llong late_after; /* ns; GS_FOREVER: on_late is not called */
    size_t stack_above; /* bytes at the top of each task's stack that are the bindings'; fixed */
    gs__lock lock;      /* guards inbox, idle, and adding to workers */
    gs__list inbox;     /* ready tasks from outside */
    atomic_int inbox_count;
    gs__list idle; /* gs__worker.idle_link: asleep */
    atomic_int n_idle;
    atomic_int n_blocked; /* workers that sit in a blocking call or a task that does not look */
    atomic_int searching;
    atomic_int n_workers; /* filled from 0, never less while it runs */
    _Atomic(struct gs__worker *) workers[GS__WORKERS_MOST];
    atomic_bool stopping;
} gs__group;

extern gs__group gs__c_group;

/* First of all, once in a process or more often: from then on a fork is noticed. */
void gs__core_init(void);
/* Settings, before the runtime starts: number of C workers (0: as many as cores or
 * PYGOSTOP_WORKERS), and the stack size of C tasks in bytes (0: 256 KiB). GS_EINVAL where it runs. */
int gs__configure(int workers, size_t stack_size);
int gs__workers_configured(void);
enum { GS__STACK_DEFAULT = 256 << 10 };
extern size_t gs__default_stack_size;
/* Starts the runtime where it does not run; GS_ENOMEM where threads ran out, GS_ECANCELED after
 * gs__runtime_end. */
int gs__runtime_start(void);
/* Cancels the root, waits until `deadline` for the tasks to end, then stops the workers that have
 * nothing to run. How many tasks had not ended. The runtime can be started again where that is 0. */
int gs__runtime_stop(int64_t deadline);
/* The process leaves: once stopped, or where it does not run, the runtime does not start again. */
void gs__runtime_end(void);
/* A forked child begins without a runtime, and with the next generation; pthread_atfork sees to it. */

/* A group of its own beside the C workers, started with the runtime or at once where that runs; at
 * most GS__GROUPS_MOST in all. `group` stays for ever. Codes as of gs__runtime_start. */
int gs__group_add(gs__group *group, const char *name, int target, int limit, const gs__hooks *hooks);

/* Makes a task ready that was claimed; one that never ran. */
void gs__ready(gs_task *task);
void gs__ready_fresh(gs_task *task);
/* The running task leaves its worker: unlock(arg) runs when it is off its stack. */
void gs__park_task(gs_task *self, void (*unlock)(void *), void *arg);
/* The running task goes behind the others that are ready; returns at once where there are none. */
void gs__yield_task(gs_task *self);
/* The task has ended; its stack goes back. Does not return. */
_Noreturn void gs__exit_task(gs_task *self);

/* Around what blocks the worker's thread. */
void gs__block_begin(gs_task *self);
void gs__block_end(gs_task *self);

/* The number of tasks that have not ended. */
long gs__live_tasks(void);

#endif
