/* py_ctx.h: the inside of Context, shared by ctx.c, ctx_make.c, after_func.c and scope.c.
 *
 * What always holds:
 *  - A Context holds one reference on its gs_ctx, and is that one's `owner`, so that there is never a
 *    second Context for it. `owner` is touched with the GIL alone; it holds no reference.
 *  - A Context of an older generation (a parent process's) is never used, nor released. */
#ifndef GS__PY_PY_CTX_H
#define GS__PY_PY_CTX_H

#include "state.h"

typedef struct gs__py_ctx {
    PyObject_HEAD
    gs_ctx *ctx;
    PyObject *weakrefs;
    gs__state *state; /* of the module, which the type keeps */
    unsigned generation;
} gs__py_ctx;

static inline bool gs__py_ctx_is_current(PyObject *context)
{
    return gs__py_generation_is_current(((gs__py_ctx *)context)->generation);
}
static inline gs_ctx *gs__py_ctx_of(PyObject *context)
{
    return ((gs__py_ctx *)context)->ctx;
}

/* A Context for what a call of the core has just made, taking over the reference; with NULL, the
 * MemoryError of that. */
PyObject *gs__py_ctx_wrap_new(gs__state *state, gs_ctx *ctx);
/* The gs_ctx of the argument that `what` names, as in "with_cancel() parent"; NULL with TypeError, or
 * RuntimeError in a forked child. Borrowed. */
gs_ctx *gs__py_ctx_arg(gs__state *state, PyObject *object, const char *what);

/* cancel(cause=None) of Cancel and of Scope: None, or NULL. */
PyObject *gs__py_ctx_cancel(PyObject *context, const char *call, PyObject *args, PyObject *kwargs);

/* scope.c: the block of `with ctx:`. */
PyObject *gs__py_scope_enter(PyObject *context, PyObject *none);
PyObject *gs__py_scope_exit(PyObject *context, PyObject *const *exc_info, Py_ssize_t n);

/* Parts of gs__py_ctx_exec. */
int gs__py_ctx_make_exec(PyObject *module, gs__state *state);
int gs__py_after_func_exec(PyObject *module, gs__state *state);

#endif
