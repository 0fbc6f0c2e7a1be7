/* variables.c: see variables.h. */
#include "variables.h"

#if !defined(GS__PYSTATE_SWAP) && !defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x03100000
#define MAPPING_KNOWN 1
#define Py_BUILD_CORE 1
#include <internal/pycore_context.h>
#undef Py_BUILD_CORE
#else
#define MAPPING_KNOWN 0
#endif

struct gs__variables {
    gs__variables *next; /* spare */
    PyObject *context;   /* entered, or spare */
    PyObject *base;      /* the snapshot */
    PyObject *mapping;   /* of `context`, as entered: base with the scope; NULL: not known */
    PyObject *scope;     /* the Scope in it */
};

static void destroy(gs__variables *self)
{
    Py_XDECREF(self->context);
    Py_XDECREF(self->base);
    Py_XDECREF(self->mapping);
    Py_XDECREF(self->scope);
    PyMem_Free(self);
}

/* ---- the mapping ---- */

#if MAPPING_KNOWN

enum { SPARE_MOST = 64 }; /* tasks of one worker that began and have not ended, of one maker */

static PyObject *mapping_of(PyObject *context)
{
    return (PyObject *)((PyContext *)context)->ctx_vars;
}

PyObject *gs__variables_snapshot(void)
{
    PyObject *context = PyThreadState_Get()->context;
    if (gs__likely(context != NULL))
        return Py_NewRef(mapping_of(context));
    context = PyContext_New();
    PyObject *mapping = context ? Py_NewRef(mapping_of(context)) : NULL;
    Py_XDECREF(context);
    return mapping;
}

static PyObject *context_of(PyObject *snapshot)
{
    PyContext *context = (PyContext *)PyContext_New();
    if (context) {
        PyObject *empty = mapping_of((PyObject *)context);
        context->ctx_vars = (PyHamtObject *)Py_NewRef(snapshot);
        Py_DECREF(empty);
    }
    return (PyObject *)context;
}

bool gs__variables_as_entered(const gs__variables *self, PyThreadState *thread)
{
    return self && thread->context && mapping_of(thread->context) == self->mapping;
}

/* One that the last task of the same maker left. */
static gs__variables *take_spare(gs__spare_variables *spare, PyObject *snapshot)
{
    gs__variables *self = spare->first;
    if (!self || self->base != snapshot)
        return NULL;
    spare->first = self->next;
    spare->n--;
    Py_DECREF(snapshot); /* not the last */
    return self;
}

/* Nobody else knows the Context, nor, but through it, its mapping. */
static bool is_private(gs__variables *self)
{
    PyContext *context = (PyContext *)self->context;
    return Py_REFCNT(context) == 1 && !context->ctx_weakreflist &&
           mapping_of(self->context) == self->mapping && Py_REFCNT(self->mapping) == 2;
}

static bool keep_spare(gs__spare_variables *spare, gs__variables *self)
{
    if (spare->first && spare->first->base != self->base)
        gs__variables_release(spare);
    if (spare->n == SPARE_MOST)
        return false;
    self->next = spare->first;
    spare->first = self;
    spare->n++;
    return true;
}

#else

static PyObject *mapping_of(PyObject *Py_UNUSED(context))
{
    return NULL;
}

PyObject *gs__variables_snapshot(void)
{
    return PyContext_CopyCurrent();
}

bool gs__variables_as_entered(const gs__variables *Py_UNUSED(self), PyThreadState *Py_UNUSED(thread))
{
    return false;
}

static PyObject *context_of(PyObject *snapshot)
{
    return Py_NewRef(snapshot);
}

static gs__variables *take_spare(gs__spare_variables *Py_UNUSED(spare),
                                 PyObject *Py_UNUSED(snapshot))
{
    return NULL;
}

static bool is_private(gs__variables *Py_UNUSED(self))
{
    return false;
}

static bool keep_spare(gs__spare_variables *Py_UNUSED(spare), gs__variables *Py_UNUSED(self))
{
    return false;
}

#endif

/* ---- enter, leave ---- */

static gs__variables *make(PyObject *snapshot)
{
    gs__variables *self = PyMem_Calloc(1, sizeof *self);
    if (!self) {
        Py_DECREF(snapshot);
        PyErr_NoMemory();
        return NULL;
    }
    self->base = snapshot;
    self->context = context_of(snapshot);
    if (self->context)
        return self;
    destroy(self);
    return NULL;
}

/* Its scope, in the Context that was entered just now. */
static int set_scope(gs__state *state, gs__variables *self, gs_ctx *ctx)
{
    if (self->scope) {
        gs__py_scope_task_begins(self->scope, ctx);
        return 0;
    }
    self->scope = gs__py_scope_begin(state, ctx);
    self->mapping = self->scope ? Py_XNewRef(mapping_of(self->context)) : NULL;
    return self->scope ? 0 : -1;
}

gs__variables *gs__variables_enter(gs__state *state, gs__spare_variables *spare, PyObject *snapshot,
                                   gs_ctx *ctx)
{
    gs__variables *self = take_spare(spare, snapshot);
    if (!self && !(self = make(snapshot)))
        return NULL;
    if (PyContext_Enter(self->context) == 0) {
        if (set_scope(state, self, ctx) == 0)
            return self;
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyContext_Exit(self->context);
        PyErr_Restore(type, value, traceback);
    }
    destroy(self);
    return NULL;
}

int gs__variables_leave(gs__spare_variables *spare, gs__variables *self)
{
    int left = PyContext_Exit(self->context);
    bool blank = gs__py_scope_task_leaves(self->scope, left == 0 && is_private(self) ? 2 : 0);
    if (!blank || !keep_spare(spare, self))
        destroy(self);
    return left;
}

void gs__variables_release(gs__spare_variables *spare)
{
    gs__variables *self;
    while ((self = spare->first)) {
        spare->first = self->next;
        spare->n--;
        destroy(self);
    }
}
