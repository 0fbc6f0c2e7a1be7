/* pyworker.h: the Python workers: the group of worker threads that run Python tasks.
 *
 * What always holds:
 *  - A Python worker holds the GIL but while it sleeps, and where the running Python code gives it up.
 *  - One worker is enough, as one thread at a time runs Python. Others are started by the monitor while
 *    the task of one blocks its thread, for tasks that have not begun; a task that has begun stays.
 *  - gs_task.owner is the gs__py_task that go() made, referenced until the task has ended. */
#ifndef GS__PY_PYWORKER_H
#define GS__PY_PYWORKER_H

#include "pystate.h"

extern gs__group gs__py_group;

/* Starts the group where it does not run; codes as of gs__group_add. */
int gs__pyworkers_start(void);

/* The execution states of the calling thread, a Python worker's. */
gs__pystates *gs__pyworker_states(void);

/* Whether Python code may run here, given that the thread has the GIL: not on a Python worker while
 * another stack's state is loaded. */
bool gs__pyworker_may_run(void);

#endif
