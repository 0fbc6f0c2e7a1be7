/* select.c: select, for the thread that calls it. The asyncio form is AsyncOp in aio.c. */
#include "args.h"
#include "block.h"
#include "cases.h"

static int select_blocking(gs__py_cases *cases, gs_ctx *scope, int64_t deadline)
{
    int code;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    gs__py_cases_hold(cases);
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__select(cases->cases, cases->n, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    gs__py_cases_release(cases);
    return code;
}

/* A checkpoint: its scope comes before what is ready. */
static PyObject *select_within_scope(gs__py_cases *cases, int64_t deadline)
{
    gs_ctx *scope = gs__py_scope(cases->state);
    if (!scope)
        return NULL;
    int code = GS_ECANCELED;
    if (gs__likely(!gs__ctx_is_done(scope))) {
        code = gs__select(cases->cases, cases->n, NULL, 0);
        if (code == GS_EAGAIN)
            code = deadline == 0 ? GS_ETIMEDOUT : select_blocking(cases, scope, deadline);
    }
    PyObject *result = gs__py_cases_result(cases, code, scope);
    gs__ctx_unref(scope);
    return result;
}

static PyObject *select_nowait(gs__py_cases *cases)
{
    int code = gs__select(cases->cases, cases->n, NULL, 0);
    if (code == GS_EAGAIN)
        return gs__py_selected(cases->state, -1, Py_NewRef(Py_None), true);
    return gs__py_cases_result(cases, code, NULL);
}

static PyObject *select_cases(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    static const gs__py_params params = {"select", 0, 0, {"timeout", "nowait"}};
    PyObject *given[2];
    int64_t deadline = GS_FOREVER;
    gs__py_drops_run();
    if (gs__py_args(&params, args + nargs, 0, kwnames, given) < 0)
        return NULL;
    if (given[0] && gs__py_deadline(given[0], "timeout", &deadline) < 0)
        return NULL;
    int nowait = given[1] ? PyObject_IsTrue(given[1]) : 0;
    if (nowait < 0)
        return NULL;
    if (nowait && given[0] && given[0] != Py_None) {
        PyErr_SetString(PyExc_ValueError, "select: nowait=True takes no timeout");
        return NULL;
    }
    gs__py_cases cases;
    if (gs__py_cases_init(&cases, gs__py_state(module), "select", args, nargs) < 0)
        return NULL;
    PyObject *result = nowait ? select_nowait(&cases) : select_within_scope(&cases, deadline);
    gs__py_cases_clear(&cases);
    return result;
}

PyDoc_STRVAR(select_doc,
             "select($module, /, *cases, timeout=None, nowait=False)\n--\n\n"
             "Waits until one of the cases can happen, does it, and gives Selected(index, value,\n"
             "ok).\n\n"
             "A case is a channel (receive), a (channel, value) pair (send), a Context or a Task\n"
             "(done), or None (never). Of several that are ready one is taken at random. ok is\n"
             "False for a receive from a closed channel. timeout is in seconds; with nowait=True\n"
             "and nothing ready the index is -1.\n\n"
             "TimeoutError; Cancelled if the scope is done; ChannelClosed for a send on a closed\n"
             "channel; TypeError or OverflowError for a value that does not fit, before anything\n"
             "happens.");

static PyMethodDef functions[] = {
    {"select", (PyCFunction)(void (*)(void))select_cases, METH_FASTCALL | METH_KEYWORDS, select_doc},
    {NULL},
};

int gs__py_select_exec(PyObject *module, gs__state *state)
{
    PyObject *named = PyImport_ImportModule("pygostop._select");
    if (!named)
        return -1;
    PyObject *selected = PyObject_GetAttrString(named, "Selected");
    Py_DECREF(named);
    if (!selected)
        return -1;
    if (!PyType_Check(selected) || !PyType_IsSubtype((PyTypeObject *)selected, &PyTuple_Type)) {
        Py_DECREF(selected);
        PyErr_SetString(PyExc_ImportError, "pygostop._select.Selected is no named tuple");
        return -1;
    }
    state->selected_type = (PyTypeObject *)selected;
    return PyModule_AddFunctions(module, functions);
}
