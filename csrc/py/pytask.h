/* pytask.h: Python tasks: callables that run as tasks. */
#ifndef GS__PY_PYTASK_H
#define GS__PY_PYTASK_H

#include "state.h"

/* Starts fn(*args) as a task whose context is a child of `parent`: a Task, or NULL. name NULL: fn's.
 * `thread`: in a thread of its own. */
PyObject *gs__py_pytask_go(gs__state *state, PyObject *fn, PyObject *const *args, Py_ssize_t nargs,
                           gs_ctx *parent, const char *name, bool thread);

#endif
