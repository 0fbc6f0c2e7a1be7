/* pyworker.c: see pyworker.h.
 *
 * A worker's thread takes the GIL when it starts, gives it up around each sleep, and takes it again
 * before it looks for work. The hooks are called without a lock of the core, so waiting for the GIL
 * there holds nobody up. What tasks that ended left to be dropped is dropped before each sleep. */
#define _GNU_SOURCE
#include "pyworker.h"

#include "late.h"
#include "py_task.h"
#include "worker.h"

#include <time.h>

enum {
    WORKERS = 1,      /* that run at once */
    WORKERS_MOST = 64 /* with those that are blocked */
};

gs__group gs__py_group = {.late_after = GS__PY_LATE_AFTER};

gs__pystates *gs__pyworker_states(void)
{
    return gs__this_worker()->bindings;
}

bool gs__pyworker_may_run(void)
{
    gs__worker *w = gs__this_worker();
    if (!w || w->group != &gs__py_group)
        return true;
    gs__pystates *states = w->bindings;
    gs_task *task = gs__task_current();
    return states->loaded == (task ? ((gs__py_task *)task->owner)->pystate : states->own);
}

/* Lets others run where the caller is a Python task that has run for long while they wait. */
void gs__pyworker_give_way(gs_task *task)
{
    if (task->group == &gs__py_group)
        gs__yield_task(task);
}

/* ---- hooks ---- */

/* A worker that has no memory for its thread state cannot do without: it waits until there is some. */
static void thread_start(gs__worker *w)
{
    const struct timespec pause = {0, 10000000};
    gs__pystates *states;
    while (!(states = gs__calloc(sizeof *states)))
        nanosleep(&pause, NULL);
    while (gs__pystates_open(states) != GS_OK)
        nanosleep(&pause, NULL);
    w->bindings = states;
}

static void thread_end(gs__worker *w)
{
    gs__pystates_close(w->bindings);
    gs__free(w->bindings);
    w->bindings = NULL;
}

static void on_resume(gs__worker *w, gs_task *task)
{
    gs__pystate *state = ((gs__py_task *)task->owner)->pystate;
    if (state)
        gs__pystate_load(w->bindings, state);
}

static void before_idle(gs__worker *w)
{
    gs__pystates *states = w->bindings;
    gs__pystate_load(states, states->own);
    gs__variables_release(&states->variables);
    gs__py_drops_run();
    PyEval_SaveThread();
}

static void after_idle(gs__worker *w)
{
    PyEval_RestoreThread(((gs__pystates *)w->bindings)->thread);
}

static const gs__hooks hooks = {
    .thread_start = thread_start,
    .thread_end = thread_end,
    .on_resume = on_resume,
    .before_idle = before_idle,
    .after_idle = after_idle,
    .on_late = gs__py_late,
};

/* ---- start ---- */

static bool runs(void)
{
    gs__group *group;
    for (int i = 0; (group = gs__group_at(i)); i++)
        if (group == &gs__py_group)
            return true;
    return false;
}

int gs__pyworkers_start(void)
{
    if (gs__likely(runs()))
        return GS_OK;
    gs__py_group.stack_above = GS__PYSTATE_ABOVE;
    return gs__group_add(&gs__py_group, "Python", WORKERS, WORKERS_MOST, &hooks);
}
