/* block.h: the one place where the bindings wait: a thread gives up the GIL, a Python task parks.
 *
 * A blocking call of the core stands between gs__py_block_begin and gs__py_block_end, in a loop
 * that ends when gs__py_interrupted says so:
 *
 *     do {
 *         PyThreadState *saved = gs__py_block_begin();
 *         code = gs__chan_recv(ch, item, scope, deadline);
 *         gs__py_block_end(saved);
 *     } while (gs__py_interrupted(&code));
 *
 * The deadline is absolute, so going on after a signal does not prolong the wait. What the core
 * touches meanwhile is kept alive by the caller's references. */
#ifndef GS__PY_BLOCK_H
#define GS__PY_BLOCK_H

#include "pyworker.h"

/* An exception is set; beyond the codes of the core. */
enum { GS__PY_RAISED = -1001 };

/* -1 with RuntimeError where the caller may not wait: Python code that a C task called. Parking the
 * task would leave the interpreter's state of this thread behind on another one's stack. A Python task has
 * a state of its own. */
static inline int gs__py_may_block(void)
{
    gs_task *task = gs__task_current();
    if (gs__unlikely(task && task->group != &gs__py_group)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Python code that a C task called cannot wait: wait in the task itself");
        return -1;
    }
    return 0;
}

static inline PyThreadState *gs__py_block_begin(void)
{
    if (gs__task_current())
        return NULL; /* a Python task parks, and leaves the GIL to the next on its worker */
    /* Every thread's, not the main one's alone: which that is changes with a fork, and elsewhere an
     * interruption only goes round the loop. */
    gs__thread_set_interruptible(true);
    return PyEval_SaveThread();
}

static inline void gs__py_block_end(PyThreadState *saved)
{
    if (saved)
        PyEval_RestoreThread(saved);
}

/* Whether the call is to be made again: a signal came and its Python handlers did not raise. Where
 * they did, `*code` becomes GS__PY_RAISED. */
static inline bool gs__py_interrupted(int *code)
{
    if (gs__likely(*code != GS__EINTR))
        return false;
    if (PyErr_CheckSignals() == 0)
        return true;
    gs__thread_was_interrupted();
    *code = GS__PY_RAISED;
    return false;
}

#endif
