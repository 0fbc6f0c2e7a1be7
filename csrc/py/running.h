/* running.h: the tasks that have not ended: their names, for messages, and those of a block that Ctrl-C
 * leaves. */
#ifndef GS__PY_RUNNING_H
#define GS__PY_RUNNING_H

#include "state.h"

/* "'hog' (running), 'reader' (parked, recv on chan 3), and 5 more", a new reference; `n` of them are
 * given. NULL with an exception. */
PyObject *gs__py_running_text(gs_task *const *tasks, long n, long all);

/* Cancels `ctx` with the exception as cause, and waits for all tasks below it: their defers run. Where
 * a second Ctrl-C (a signal's handler that raises) comes before they have ended, it says on stderr
 * which have not, and gives -1 with that exception. */
int gs__py_running_stop(gs__state *state, gs_ctx *ctx, PyObject *exception);

#endif
