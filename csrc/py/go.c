/* go.c: go(): what it is given decides which kind of task it starts: a C task (ctask.c) or a Python task
 * (pytask.c). */
#include "args.h"
#include "pytask.h"

PyObject *gs__py_go(gs__state *state, const char *call, PyObject *const *args, Py_ssize_t nargs,
                    gs_ctx *parent, PyObject *name_object, PyObject *thread_object)
{
    const char *name = NULL;
    if (nargs < 1) {
        PyErr_Format(PyExc_TypeError, "%s() missing its first argument: what to start", call);
        return NULL;
    }
    if (name_object && name_object != Py_None && !(name = gs__py_name(name_object, call)))
        return NULL;
    int thread = thread_object ? PyObject_IsTrue(thread_object) : 0;
    if (thread < 0)
        return NULL;
    if (Py_IS_TYPE(args[0], state->ctask_type)) {
        if (!thread)
            return gs__py_ctask_go(state, args[0], args + 1, nargs - 1, parent, name);
        PyErr_Format(PyExc_TypeError,
                     "%s() thread=True is for Python callables: a CTask that blocks its thread "
                     "says so with gs_block_begin",
                     call);
        return NULL;
    }
    if (PyCallable_Check(args[0]))
        return gs__py_pytask_go(state, args[0], args + 1, nargs - 1, parent, name, thread > 0);
    PyErr_Format(PyExc_TypeError, "%s() needs a callable or a CTask, not %.100s", call,
                 Py_TYPE(args[0])->tp_name);
    return NULL;
}

PyDoc_STRVAR(
    go_doc,
    "go(fn, /, *args, ctx=None, name=None, thread=False)\n--\n\n"
    "Start fn(*args) as a task and return its Task.\n\n"
    "fn is a Python callable or a CTask. thread=True gives a callable that blocks a thread of\n"
    "its own. The task's context is a child of ctx, by default of the scope in force.\n"
    "Raises TypeError or OverflowError for arguments that do not fit, and MemoryError when\n"
    "memory, threads or mappings ran out; nothing was started then.");
static PyObject *go(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    gs__state *state = gs__py_state(module);
    const gs__py_params params = {"go", 0, 0, {"ctx", "name", "thread", NULL}};
    PyObject *options[3];
    gs__py_drops_run();
    if (gs__py_args(&params, args + nargs, 0, kwnames, options) < 0)
        return NULL;
    gs_ctx *parent = NULL;
    if (options[0] && options[0] != Py_None && !(parent = gs__py_ctx_get(state, options[0]))) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "go() ctx must be a Context or None, not %.100s",
                         Py_TYPE(options[0])->tp_name);
        return NULL;
    }
    return gs__py_go(state, "go", args, nargs, parent, options[1], options[2]);
}

static PyMethodDef functions[] = {
    {"go", (PyCFunction)(void (*)(void))go, METH_FASTCALL | METH_KEYWORDS, go_doc},
    {NULL, NULL, 0, NULL},
};

int gs__py_go_exec(PyObject *module, gs__state *Py_UNUSED(state))
{
    return PyModule_AddFunctions(module, functions);
}
