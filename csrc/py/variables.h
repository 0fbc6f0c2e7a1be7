/* variables.h: the context variables (contextvars) of a Python task: those of its maker as they were when it
 * was made, and its own scope.
 *
 * What always holds:
 *  - What a contextvars.Context maps is one immutable mapping, which each set replaces. So a snapshot is a
 *    reference on that, and a Context is made for it only when the task begins.
 *  - A Context, with its mapping and the Scope in it, serves the next task of the same maker on the same
 *    worker where nothing of the last one is left in it: it set no variable, and nobody else holds the
 *    Context, its mapping, or the Scope. Whoever copied the Context holds the mapping, and keeps what he saw.
 *  - Spare ones are all of one maker's mapping, and are released before the worker sleeps.
 * The mapping is found by the interpreter's own declarations, of the versions that have been looked at;
 * elsewhere a snapshot is a copied Context, and none serves twice. */
#ifndef GS__PY_VARIABLES_H
#define GS__PY_VARIABLES_H

#include "state.h"

typedef struct gs__variables gs__variables;

/* One worker's spare ones. */
typedef struct gs__spare_variables {
    gs__variables *first;
    int n;
} gs__spare_variables;

/* A new reference on a snapshot of the caller's; NULL with an exception. */
PyObject *gs__variables_snapshot(void);

/* Puts what the snapshot, whose reference it takes over, and the scope `ctx` say in force, on the thread
 * whose spare ones these are. NULL with an exception. */
gs__variables *gs__variables_enter(gs__state *state, gs__spare_variables *spare, PyObject *snapshot,
                                   gs_ctx *ctx);
/* Takes them off again. -1 with an exception where others had been put on top and were left there. An
 * exception that is set stays. */
int gs__variables_leave(gs__spare_variables *spare, gs__variables *variables);
void gs__variables_release(gs__spare_variables *spare);
/* Whether those of `thread`, the caller's, are still these, none set since: so the scope is the one that they were entered with.
 * False also where that cannot be told. */
bool gs__variables_as_entered(const gs__variables *variables, PyThreadState *thread);

#endif
