/* ctx_make.c: the functions that make contexts, and Cancel, the callable that some of them give. */
#include "args.h"
#include "py_ctx.h"

/* ---- Cancel ---- */

typedef struct cancel {
    PyObject_HEAD
    PyObject *context;
} cancel;

PyObject *gs__py_ctx_cancel(PyObject *context, const char *call, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"cause", NULL};
    gs__py_ctx *self = (gs__py_ctx *)context;
    PyObject *given = Py_None;
    gs__cause *cause;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, call, names, &given))
        return NULL;
    gs__py_drops_run();
    if (gs__py_check_generation(self->generation, context) < 0 ||
        gs__py_cause_from(self->state, given, &cause) < 0)
        return NULL;
    /* A reference of its own: what is freed on the way may run Python, and so the collector, which
     * is not to take it for a context that is done and nobody's (ctx.c). */
    gs_ctx *ctx = self->ctx;
    gs__ctx_ref(ctx);
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, cause);
    gs__ctx_unref(ctx);
    gs__cause_unref(cause);
    Py_RETURN_NONE;
}

static PyObject *cancel_call(cancel *self, PyObject *args, PyObject *kwargs)
{
    return gs__py_ctx_cancel(self->context, "|O:cancel", args, kwargs);
}

static PyObject *cancel_repr(cancel *self)
{
    return PyUnicode_FromFormat("<Cancel of %R>", self->context);
}

static PyObject *cancel_reduce(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(protocol))
{
    PyErr_SetString(PyExc_TypeError, "a Cancel can be neither pickled nor copied: hand the Cancel "
                                     "itself to threads and tasks");
    return NULL;
}

static int cancel_traverse(cancel *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->context);
    return 0;
}

static void cancel_dealloc(cancel *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->context);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Its __call__ once more, as a method: that has a signature, for help() and type checkers. */
static PyMethodDef cancel_methods[] = {
    {"__call__", (PyCFunction)(void (*)(void))cancel_call,
     METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     PyDoc_STR("__call__($self, /, cause=None)\n--\n\nCancels the context, and all below it.")},
    {"__reduce_ex__", cancel_reduce, METH_O, NULL},
    {NULL},
};

static PyType_Slot cancel_slots[] = {
    {Py_tp_doc,
     PyDoc_STR("Cancels the context that it was made with, and all below it.\n\n"
               "cancel(cause=None): an exception, or a str that becomes Error(str). The first\n"
               "call counts, later ones do nothing. From any thread; never waits.")},
    {Py_tp_call, cancel_call},
    {Py_tp_methods, cancel_methods},
    {Py_tp_repr, cancel_repr},
    {Py_tp_traverse, cancel_traverse},
    {Py_tp_dealloc, cancel_dealloc},
    {0, NULL},
};

static PyType_Spec cancel_spec = {
    .name = "pygostop.Cancel",
    .basicsize = sizeof(cancel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cancel_slots,
};

/* (ctx, cancel) for what the core has just made, taking over the reference. */
static PyObject *pair_of(gs__state *state, gs_ctx *ctx)
{
    PyObject *context = gs__py_ctx_wrap_new(state, ctx);
    if (!context)
        return NULL;
    cancel *self = (cancel *)state->cancel_type->tp_alloc(state->cancel_type, 0);
    if (!self) {
        Py_DECREF(context);
        return NULL;
    }
    self->context = Py_NewRef(context);
    return Py_BuildValue("(NN)", context, self);
}

/* ---- the functions ---- */

static PyObject *background(PyObject *module, PyObject *Py_UNUSED(none))
{
    gs__py_drops_run();
    return gs__py_ctx_wrap(gs__py_state(module), gs__ctx_background());
}

static PyObject *with_cancel(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    static const gs__py_params params = {"with_cancel", 1, 1, {"parent"}};
    gs__state *state = gs__py_state(module);
    PyObject *given[1];
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    gs_ctx *parent = gs__py_ctx_arg(state, given[0], "with_cancel() parent");
    return parent ? pair_of(state, gs__ctx_with_cancel(parent)) : NULL;
}

static PyObject *with_timeout(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    static const gs__py_params params = {"with_timeout", 2, 2, {"parent", "seconds"}};
    gs__state *state = gs__py_state(module);
    PyObject *given[2];
    int64_t deadline;
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    gs_ctx *parent = gs__py_ctx_arg(state, given[0], "with_timeout() parent");
    if (!parent || gs__py_deadline(given[1], "with_timeout() seconds", &deadline) < 0)
        return NULL;
    /* 0 is "at once" of a wait; what a context shows is a time. */
    return pair_of(state, gs__ctx_with_deadline(parent, deadline ? deadline : gs__now()));
}

/* A point on the monotonic clock is one in the past where it is negative, unlike a timeout. */
static int deadline_at(PyObject *at, int64_t *deadline)
{
    if (at == Py_None) {
        *deadline = GS_FOREVER;
        return 0;
    }
    double seconds = PyFloat_AsDouble(at);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear(); /* no number, which is said below, or too large for a double */
    } else if (seconds < 0) {
        *deadline = 0;
        return 0;
    }
    return gs__py_seconds(at, "with_deadline() deadline", deadline);
}

static PyObject *with_deadline(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    static const gs__py_params params = {"with_deadline", 2, 2, {"parent", "deadline"}};
    gs__state *state = gs__py_state(module);
    PyObject *given[2];
    int64_t deadline;
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    gs_ctx *parent = gs__py_ctx_arg(state, given[0], "with_deadline() parent");
    if (!parent || deadline_at(given[1], &deadline) < 0)
        return NULL;
    return pair_of(state, gs__ctx_with_deadline(parent, deadline));
}

static PyObject *with_value(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    static const gs__py_params params = {"with_value", 3, 3, {"parent", "key", "value"}};
    gs__state *state = gs__py_state(module);
    PyObject *given[3];
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    gs_ctx *parent = gs__py_ctx_arg(state, given[0], "with_value() parent");
    PyObject *pair = parent ? PyTuple_Pack(2, given[1], given[2]) : NULL;
    if (!pair)
        return NULL;
    gs_ctx *ctx = gs__ctx_with_value(parent, pair, gs__py_drop_object);
    if (!ctx)
        Py_DECREF(pair);
    return gs__py_ctx_wrap_new(state, ctx);
}

static PyObject *without_cancel(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    static const gs__py_params params = {"without_cancel", 1, 1, {"parent"}};
    gs__state *state = gs__py_state(module);
    PyObject *given[1];
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    gs_ctx *parent = gs__py_ctx_arg(state, given[0], "without_cancel() parent");
    return parent ? gs__py_ctx_wrap_new(state, gs__ctx_without_cancel(parent)) : NULL;
}

static PyObject *merge(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    gs__state *state = gs__py_state(module);
    gs__py_drops_run();
    if (nargs == 0) {
        PyErr_SetString(PyExc_TypeError, "merge() takes at least one parent");
        return NULL;
    }
    if (nargs > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "merge() was given too many parents");
        return NULL;
    }
    gs_ctx **parents = PyMem_New(gs_ctx *, nargs);
    if (!parents)
        return PyErr_NoMemory();
    PyObject *result = NULL;
    for (Py_ssize_t i = 0; i < nargs; i++)
        if (!(parents[i] = gs__py_ctx_arg(state, args[i], "merge() parent")))
            goto done;
    result = pair_of(state, gs__ctx_merge(parents, (int)nargs));
done:
    PyMem_Free(parents);
    return result;
}

#define FAST METH_FASTCALL | METH_KEYWORDS
#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef functions[] = {
    {"background", background, METH_NOARGS,
     PyDoc_STR("background($module, /)\n--\n\n"
               "The root context: no deadline, no values, done only while the process leaves.\n"
               "Go: context.Background.")},
    {"with_cancel", FUNCTION(with_cancel), FAST,
     PyDoc_STR("with_cancel($module, /, parent)\n--\n\n"
               "(ctx, cancel): done when cancel(cause=None) is called or parent is done.\n"
               "Go: context.WithCancelCause.")},
    {"with_timeout", FUNCTION(with_timeout), FAST,
     PyDoc_STR("with_timeout($module, /, parent, seconds)\n--\n\n"
               "(ctx, cancel): with_cancel that is also done after so many seconds; None: no "
               "limit.\n\n"
               "ValueError for a negative number or NaN. Go: context.WithTimeout.")},
    {"with_deadline", FUNCTION(with_deadline), FAST,
     PyDoc_STR("with_deadline($module, /, parent, deadline)\n--\n\n"
               "(ctx, cancel): with_cancel that is also done at a time, in seconds on the scale\n"
               "of time.monotonic(); None: never. Go: context.WithDeadline.")},
    {"with_value", FUNCTION(with_value), FAST,
     PyDoc_STR("with_value($module, /, parent, key, value)\n--\n\n"
               "A child of parent whose value(key) is value. Go: context.WithValue.")},
    {"without_cancel", FUNCTION(without_cancel), FAST,
     PyDoc_STR("without_cancel($module, /, parent)\n--\n\n"
               "A context with the values of parent that is not done when parent is, and has no\n"
               "deadline. Go: context.WithoutCancel.")},
    {"merge", FUNCTION(merge), METH_FASTCALL,
     PyDoc_STR("merge($module, /, *parents)\n--\n\n"
               "(ctx, cancel): done when any parent is, with its cause; values of the first.")},
    {NULL},
};

int gs__py_ctx_make_exec(PyObject *module, gs__state *state)
{
    state->cancel_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &cancel_spec, NULL);
    if (!state->cancel_type || PyModule_AddType(module, state->cancel_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
