/* py_task.h: the Task type's inside, shared by task.c, task_result.c and task_progress.c.
 *
 * What always holds:
 *  - A Task that go() made is kept by its task, through `hook`, until that has ended: so a failure
 *    that nobody waits for is noticed. So is another handle once it has callbacks. Then it is
 *    dropped from whatever thread ended it.
 *  - `phase` goes from OPEN over CALLBACKS, where there are callbacks, to ENDED: the thread that ends the
 *    task and the one that adds a callback, with the GIL, agree on who runs them. A C task ends without
 *    the GIL, so there by atomic swaps; a Python task with it. `callbacks` itself is touched with the GIL
 *    only.
 *  - `dropped` and `job` share their room: a handle is put off or has its callbacks dispatched, once, when
 *    its task has ended.
 *  - What the task left is turned into Python once, at the first call that asks.
 *  - The garbage collector is told of a Python task's handle once it has a result or a failure that may lead
 *    back to it: before, its task keeps it anyway. */
#ifndef GS__PY_PY_TASK_H
#define GS__PY_PY_TASK_H

#include "dispatch.h"

enum gs__py_task_phase { GS__PY_TASK_OPEN, GS__PY_TASK_CALLBACKS, GS__PY_TASK_ENDED };

typedef struct gs__py_task {
    PyObject_HEAD
    union {
        gs_task *task;
        struct gs__py_task *spare; /* the next of the state's spare_tasks, once this one is gone */
    };
    gs__state *state; /* of the module, which the type keeps */
    unsigned generation;
    gs__task_hook hook;
    union {
        gs__py_job job;         /* that runs the callbacks */
        gs__py_dropped dropped; /* once it has ended without any */
    };
    atomic_int phase;    /* enum gs__py_task_phase */
    PyObject *callbacks; /* a list, or NULL */
    PyObject *value;     /* the result; NULL before the first call that asks, or where it failed */
    PyObject *error;     /* TaskFailed or what a Python task raised; the same */
    /* of a Python task, set before it is ready and NULL once its body has returned: pytask.c */
    PyObject *fn, *args, *variables;
    struct gs__pystate *pystate;   /* while the body runs */
    struct gs__variables *entered; /* while the callable runs */
    int code;                      /* that the body left */
    bool hung;                     /* `hook` is, or was, on the task */
    bool reports;                  /* its failure is reported where nobody fetched it */
    bool fetched;
    PyObject *future; /* a weak reference on what future() gave last; NULL before the first */
    PyObject *weakrefs;
} gs__py_task;

/* A handle without a task, and not tracked by the collector. */
gs__py_task *gs__py_task_new(gs__state *state);
/* Spawns a task whose handle this is, below `spawn->parent`, or the scope in force where that is NULL, and
 * whose failure is reported where nobody fetches it. Takes over the reference on the handle, and gives it;
 * NULL with an exception. */
PyObject *gs__py_task_spawn(gs__py_task *self, gs__spawn *spawn);
/* Waits until the task has ended: 0, or the codes of the core and GS__PY_RAISED. */
int gs__py_task_wait(gs__py_task *self, gs_ctx *scope, int64_t deadline);
/* Ended tasks: a new reference on the result, or NULL with what result() raises. */
PyObject *gs__py_task_result(gs__py_task *self);
/* Ended tasks that were not cancelled: the failure, borrowed, or None; NULL with an exception. */
PyObject *gs__py_task_error(gs__py_task *self);
/* task_progress.c: task.progress, task.watch(); for pygostop/_progress.py, what is newer than a version of
 * 0 or more as (version, Progress), or None, and a channel that is closed when there is more. */
PyObject *gs__py_task_get_progress(gs__py_task *self);
PyObject *gs__py_task_watch(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *gs__py_task_progress_since(gs__py_task *self, PyObject *version);
PyObject *gs__py_task_progress_changed(gs__py_task *self);
/* A new reference on its TaskFuture, the same one as long as that lives. */
PyObject *gs__py_task_future(gs__py_task *self);
/* Whether there is a failure that nobody fetched; and what says so, to sys.unraisablehook. */
bool gs__py_task_is_to_report(gs__py_task *self);
void gs__py_task_report(gs__py_task *self);

#endif
