/* ctx.c: the type Context: look at a context of the core. How they are made is in ctx_make.c, the
 * scopes are in scope.c, what always holds in py_ctx.h.
 *
 * Garbage collection. What a gs_ctx owns of Python (the exception that it was cancelled with, a
 * value) is reached by other contexts and by C threads too, of which the collector knows nothing.
 * It is visited only where this Context has the one reference on a gs_ctx that is done: a done
 * context is on nobody's list, so nobody can find it, and its cause is fixed. Elsewhere it counts
 * as reachable. */
#include "py_ctx.h"

#include <structmember.h>

/* ---- make ---- */

/* Its Context, borrowed, or NULL; not one of this module's former self that was imported before. */
static PyObject *owner_of(gs__state *state, gs_ctx *ctx)
{
    PyObject *owner = ctx->owner;
    return owner && Py_IS_TYPE(owner, state->context_type) ? owner : NULL;
}

PyObject *gs__py_ctx_wrap(gs__state *state, gs_ctx *ctx)
{
    PyObject *owner = owner_of(state, ctx);
    if (owner)
        return Py_NewRef(owner);
    gs__py_ctx *self = (gs__py_ctx *)state->context_type->tp_alloc(state->context_type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->generation = atomic_load(&gs__generation);
    owner = owner_of(state, ctx);
    if (owner) { /* the collector, called by the allocation, ran Python that made one */
        Py_INCREF(owner);
        Py_DECREF(self);
        return owner;
    }
    gs__ctx_ref(ctx);
    self->ctx = ctx;
    ctx->owner = self;
    return (PyObject *)self;
}

PyObject *gs__py_ctx_wrap_new(gs__state *state, gs_ctx *ctx)
{
    if (!ctx)
        return PyErr_NoMemory();
    PyObject *self = gs__py_ctx_wrap(state, ctx);
    gs__ctx_unref(ctx);
    return self;
}

static int enter(gs__py_ctx *self)
{
    gs__py_drops_run();
    return gs__py_check_generation(self->generation, (PyObject *)self);
}

gs_ctx *gs__py_ctx_get(gs__state *state, PyObject *object)
{
    if (Py_TYPE(object) != state->context_type ||
        gs__py_check_generation(((gs__py_ctx *)object)->generation, object) < 0)
        return NULL;
    return gs__py_ctx_of(object);
}

gs_ctx *gs__py_ctx_arg(gs__state *state, PyObject *object, const char *what)
{
    gs_ctx *ctx = gs__py_ctx_get(state, object);
    if (!ctx && !PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "%s must be a Context, not %.100s", what,
                     Py_TYPE(object)->tp_name);
    return ctx;
}

/* ---- look at ---- */

static PyObject *get_done(gs__py_ctx *self, void *Py_UNUSED(closure))
{
    if (enter(self) < 0)
        return NULL;
    gs_chan *ch = gs__ctx_done_chan(self->ctx);
    return ch ? gs__py_chan_wrap_done(self->state, ch) : PyErr_NoMemory();
}

static PyObject *err(gs__py_ctx *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : gs__py_ctx_err(self->state, self->ctx);
}

static PyObject *cause(gs__py_ctx *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : gs__py_ctx_cause(self->state, self->ctx);
}

static PyObject *check(gs__py_ctx *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0)
        return NULL;
    if (gs__ctx_is_done(self->ctx))
        return gs__py_raise_cancelled(self->state, self->ctx);
    Py_RETURN_NONE;
}

static PyObject *get_deadline(gs__py_ctx *self, void *Py_UNUSED(closure))
{
    if (enter(self) < 0)
        return NULL;
    int64_t deadline = gs__ctx_deadline(self->ctx);
    if (deadline == GS_FOREVER)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)deadline * 1e-9);
}

static double seconds_left(int64_t deadline)
{
    int64_t left = deadline - gs__now();
    return left > 0 ? (double)left * 1e-9 : 0.0;
}

static PyObject *remaining(gs__py_ctx *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0)
        return NULL;
    int64_t deadline = gs__ctx_deadline(self->ctx);
    if (deadline == GS_FOREVER)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(seconds_left(deadline));
}

/* The chain of parents stays while `self` does, whatever a comparison of keys runs. */
static PyObject *value(gs__py_ctx *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", "default", NULL};
    PyObject *key, *otherwise = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:value", names, &key, &otherwise) ||
        enter(self) < 0)
        return NULL;
    for (gs_ctx *ctx = self->ctx; ctx; ctx = ctx->parent) {
        PyObject *pair = gs__ctx_value(ctx);
        if (!pair)
            continue;
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 0), key, Py_EQ);
        if (same < 0)
            return NULL;
        if (same)
            return Py_NewRef(PyTuple_GET_ITEM(pair, 1));
    }
    return Py_NewRef(otherwise);
}

static PyObject *made_by(gs_ctx *ctx)
{
    static const char *const makers[] = {
        [GS__CTX_ROOT] = "background",         [GS__CTX_CANCEL] = "with_cancel",
        [GS__CTX_DEADLINE] = "with_deadline",  [GS__CTX_VALUE] = "with_value",
        [GS__CTX_DETACHED] = "without_cancel", [GS__CTX_MERGE] = "merge",
    };
    if (ctx->kind != GS__CTX_TASK)
        return PyUnicode_FromString(makers[ctx->kind]);
    const char *name = gs__container(ctx, gs_task, ctx)->name;
    PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "backslashreplace");
    PyObject *result = text ? PyUnicode_FromFormat("task %R", text) : NULL;
    Py_XDECREF(text);
    return result;
}

static PyObject *repr(gs__py_ctx *self)
{
    if (!gs__py_ctx_is_current((PyObject *)self))
        return PyUnicode_FromString("<Context of the process before the fork>");
    PyObject *maker = made_by(self->ctx);
    if (!maker)
        return NULL;
    char state[64] = "active";
    int64_t deadline = gs__ctx_deadline(self->ctx);
    if (gs__ctx_error(self->ctx) == GS__CTX_EXCEEDED)
        strcpy(state, "deadline exceeded");
    else if (gs__ctx_error(self->ctx) == GS__CTX_CANCELED)
        strcpy(state, "cancelled");
    else if (deadline != GS_FOREVER)
        PyOS_snprintf(state, sizeof state, "%.3f s left", seconds_left(deadline));
    PyObject *result = PyUnicode_FromFormat("<Context %U %s>", maker, state);
    Py_DECREF(maker);
    return result;
}

static PyObject *reduce(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(protocol))
{
    PyErr_SetString(PyExc_TypeError,
                    "a Context can be neither pickled nor copied: hand the Context itself to "
                    "threads and tasks; to another process send its remaining()");
    return NULL;
}

/* ---- end ---- */

static bool is_sole_holder(gs__py_ctx *self)
{
    return self->ctx && gs__py_ctx_is_current((PyObject *)self) &&
           self->ctx->kind != GS__CTX_TASK && gs__ctx_error(self->ctx) != GS__CTX_ALIVE &&
           atomic_load(&self->ctx->refs) == 1;
}

static int traverse(gs__py_ctx *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    if (!is_sole_holder(self))
        return 0;
    gs__cause *given = gs__ctx_cause(self->ctx);
    if (given && atomic_load(&given->refs) == 1)
        Py_VISIT((PyObject *)given->object);
    Py_VISIT((PyObject *)gs__ctx_value(self->ctx));
    return 0;
}

/* There is no tp_clear, as in a tuple: an exception and what a value refers to have theirs, and a
 * done context stays what it is. */
static void dealloc(gs__py_ctx *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    /* First: what runs below may ask for a Context of the same gs_ctx. */
    bool current = self->ctx && gs__py_ctx_is_current((PyObject *)self);
    if (current && self->ctx->owner == self)
        self->ctx->owner = NULL;
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    if (current)
        gs__ctx_unref(self->ctx);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
    {"err", FUNCTION(err), METH_NOARGS,
     PyDoc_STR("err($self, /)\n--\n\n"
               "None, or why it is done: a Cancelled or a DeadlineExceeded. Once it is not None,\n"
               "`done` is closed. Go: Context.Err.")},
    {"cause", FUNCTION(cause), METH_NOARGS,
     PyDoc_STR("cause($self, /)\n--\n\n"
               "The exception that the first cancel on the way to the root was given; err()\n"
               "where none was. Go: context.Cause.")},
    {"check", FUNCTION(check), METH_NOARGS,
     PyDoc_STR("check($self, /)\n--\n\n"
               "Raises Cancelled from the cause if it is done. Waits for nothing.")},
    {"remaining", FUNCTION(remaining), METH_NOARGS,
     PyDoc_STR("remaining($self, /)\n--\n\n"
               "Seconds until the deadline, 0.0 when it has passed; None without one.")},
    {"value", FUNCTION(value), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("value($self, /, key, default=None)\n--\n\n"
               "What with_value put there for key, here or in the closest ancestor.\n"
               "Go: Context.Value.")},
    {"__enter__", gs__py_scope_enter, METH_NOARGS,
     PyDoc_STR("__enter__($self, /)\n--\n\n"
               "Puts it in force, on top of the scope already there, which goes on to hold.")},
    {"__exit__", FUNCTION(gs__py_scope_exit), METH_FASTCALL,
     PyDoc_STR("__exit__($self, /, *exc_info)\n--\n\n"
               "Ends the block. RuntimeError where a scope that was entered after it is still "
               "open.")},
    {"__reduce_ex__", reduce, METH_O, NULL},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"done", (getter)get_done, NULL,
     PyDoc_STR("A receive-only channel that is closed once the context is done. Go: Context.Done."),
     NULL},
    {"deadline", (getter)get_deadline, NULL,
     PyDoc_STR("When it will be done at the latest, on the scale of time.monotonic(); or None."),
     NULL},
    {NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(gs__py_ctx, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     PyDoc_STR("A node of the cancel tree: done flag and channel, cause, deadline, values.\n\n"
               "Made by background() and the functions with_…; a case of select, ready once\n"
               "it is done. `with ctx:` makes the blocking calls inside observe it.")},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_repr, repr},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pygostop.Context",
    .basicsize = sizeof(gs__py_ctx),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int gs__py_ctx_exec(PyObject *module, gs__state *state)
{
    state->context_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (!state->context_type || PyModule_AddType(module, state->context_type) < 0)
        return -1;
    if (gs__py_ctx_make_exec(module, state) < 0)
        return -1;
    return gs__py_after_func_exec(module, state);
}
