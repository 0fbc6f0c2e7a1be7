/* after_func.c: after_func, and Stop, the callable that it gives.
 *
 * A registration is memory by reference: the Stop has one, the hook on the context another, which
 * goes over to the dispatcher's job and ends with it. Its context stays as long as the hook is
 * there: a cancel of its parent is to reach it. `f`, guarded by the GIL, is taken by who begins it
 * or prevents it: the one who finds it there has won. So it can be prevented until it really
 * begins. */
#include "dispatch.h"
#include "py_ctx.h"

typedef struct registration {
    atomic_uint refs;
    gs__ctx_hook hook;
    gs__py_job job;
    gs_ctx *ctx;      /* referenced */
    gs__state *state; /* of the module, which outlives the dispatcher */
    PyObject *f;      /* NULL: begun, or prevented */
} registration;

typedef struct stop {
    PyObject_HEAD
    registration *reg;
    unsigned generation;
} stop;

/* ---- registrations ---- */

/* On any thread; f is NULL by then, or its drop is deferred. */
static void unref(registration *reg)
{
    if (atomic_fetch_sub(&reg->refs, 1) != 1)
        return;
    gs__py_drop(reg->f);
    gs__ctx_unref(reg->ctx);
    gs__free(reg);
}

static void run(gs__py_job *job)
{
    registration *reg = gs__container(job, registration, job);
    PyObject *f = reg->f;
    reg->f = NULL;
    if (f) {
        PyObject *result = gs__py_call_unscoped(reg->state, f, NULL);
        if (result)
            Py_DECREF(result);
        else
            PyErr_WriteUnraisable(f);
        Py_DECREF(f);
    }
    unref(reg);
}

static void dispatch(registration *reg)
{
    reg->job.run = run;
    if (gs__py_dispatch_job(&reg->job) != GS_OK)
        unref(reg); /* the process leaves: its thread was there, and is not any more */
}

static void on_done(gs__ctx_hook *hook)
{
    dispatch(gs__container(hook, registration, hook));
}

static registration *new_registration(gs__state *state, gs_ctx *ctx, PyObject *f)
{
    registration *reg = gs__alloc(sizeof *reg);
    if (!reg)
        return NULL;
    atomic_init(&reg->refs, 2); /* the Stop's, the hook's */
    gs__ctx_ref(ctx);
    reg->ctx = ctx;
    reg->state = state;
    reg->f = Py_NewRef(f);
    return reg;
}

/* ---- Stop ---- */

static PyObject *stop_call(stop *self, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":stop") || (kwargs && PyDict_GET_SIZE(kwargs) > 0)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "stop() takes no arguments");
        return NULL;
    }
    gs__py_drops_run();
    if (gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return NULL;
    registration *reg = self->reg;
    PyObject *f = reg->f;
    reg->f = NULL;
    if (!f)
        Py_RETURN_FALSE;
    if (gs__ctx_unhook(reg->ctx, &reg->hook))
        unref(reg);
    Py_DECREF(f);
    Py_RETURN_TRUE;
}

static PyObject *stop_repr(stop *self)
{
    bool current = self->generation == atomic_load(&gs__generation);
    const char *state = !current       ? "of the process before the fork"
                        : self->reg->f ? "waiting"
                                       : "begun or stopped";
    return PyUnicode_FromFormat("<Stop of after_func, %s>", state);
}

static PyObject *stop_reduce(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(protocol))
{
    PyErr_SetString(PyExc_TypeError,
                    "a Stop can be neither pickled nor copied: hand the Stop itself on");
    return NULL;
}

static void stop_dealloc(stop *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->reg && self->generation == atomic_load(&gs__generation))
        unref(self->reg);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Its __call__ once more, as a method: that has a signature, for help() and type checkers. */
static PyMethodDef stop_methods[] = {
    {"__call__", (PyCFunction)(void (*)(void))stop_call, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     PyDoc_STR("__call__($self, /)\n--\n\nTrue where this call kept the function from running.")},
    {"__reduce_ex__", stop_reduce, METH_O, NULL},
    {NULL},
};

static PyType_Slot stop_slots[] = {
    {Py_tp_doc,
     PyDoc_STR("stop(): True where this call kept after_func's function from running; False\n"
               "where it has begun, or was stopped before.")},
    {Py_tp_call, stop_call},
    {Py_tp_methods, stop_methods},
    {Py_tp_repr, stop_repr},
    {Py_tp_dealloc, stop_dealloc},
    {0, NULL},
};

static PyType_Spec stop_spec = {
    .name = "pygostop.Stop",
    .basicsize = sizeof(stop),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stop_slots,
};

/* ---- after_func ---- */

static PyObject *after_func(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    gs__state *state = gs__py_state(module);
    gs__py_drops_run();
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError,
                     "after_func() takes 2 arguments, a Context and a callable (%zd given)", nargs);
        return NULL;
    }
    gs_ctx *ctx = gs__py_ctx_arg(state, args[0], "after_func() ctx");
    if (!ctx)
        return NULL;
    if (!PyCallable_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "after_func() f must be callable, not %.100s",
                     Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    if (gs__py_dispatch_start() != GS_OK) {
        PyErr_SetString(PyExc_RuntimeError,
                        "after_func() has no thread to run functions on: threads "
                        "ran out, or the process leaves");
        return NULL;
    }
    stop *self = (stop *)state->stop_type->tp_alloc(state->stop_type, 0);
    if (!self)
        return NULL;
    self->generation = atomic_load(&gs__generation);
    self->reg = new_registration(state, ctx, args[1]);
    if (!self->reg) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    if (!gs__ctx_hook_add(ctx, &self->reg->hook, on_done))
        dispatch(self->reg);
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"after_func", (PyCFunction)(void (*)(void))after_func, METH_FASTCALL,
     PyDoc_STR("after_func($module, ctx, f, /)\n--\n\n"
               "Has f() run on a thread of pygostop's, in a scope of its own, once ctx is done;\n"
               "at once where it is. Gives a Stop: stop() prevents it, and is True only where it "
               "did.\n\n"
               "What f raises goes to sys.unraisablehook. Go: context.AfterFunc.")},
    {NULL},
};

int gs__py_after_func_exec(PyObject *module, gs__state *state)
{
    state->stop_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &stop_spec, NULL);
    if (!state->stop_type || PyModule_AddType(module, state->stop_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
