/* pytask.c: Python tasks: callables that run as tasks on the Python workers.
 *
 * What always holds:
 *  - The Task that go() made is the one handle on its task, whose `owner` it is, and is kept until the
 *    task has ended. The callable, its arguments and its context are the handle's until the body has
 *    returned; the result or the failure is the handle's from then on.
 *  - A task that was cancelled before it began has no body: it leaves neither.
 *  - All of it happens with the GIL held, on the worker's thread; a park neither gives up the GIL nor
 *    lets another task see this one's execution state (pystate.h). */
#include "pytask.h"

#include "py_task.h"
#include "pyworker.h"

/* A task's own code for "it raised", beside those of the core. */
enum { RAISED = 1 };

/* ---- run ---- */

/* The functions that say what threading.settrace and setprofile were given: 0 where nobody has imported
 * threading, so that nothing was. */
static bool find_hooks(gs__state *state)
{
    if (gs__likely(state->gettrace && state->getprofile))
        return true;
    PyObject *threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
    if (!threading)
        return false;
    Py_XSETREF(state->gettrace, PyObject_GetAttrString(threading, "gettrace"));
    Py_XSETREF(state->getprofile, PyObject_GetAttrString(threading, "getprofile"));
    if (state->gettrace && state->getprofile)
        return true;
    PyErr_Clear(); /* another module of that name, or half imported */
    return false;
}

/* Where a function that is written in Python has its global variables; NULL: it is none. */
static PyObject *globals_of(PyObject *fn)
{
    return PyFunction_Check(fn) ? PyFunction_GET_GLOBALS(fn) : NULL;
}

/* Whether the function is known to give None: two calls cost more than all else that a short task costs.
 * They give global variables of their module, where those are still called so. */
static bool gives_none(PyObject *get, PyObject *variable)
{
    PyObject *globals = globals_of(get);
    return globals && PyDict_GetItemWithError(globals, variable) == Py_None;
}

/* What changes whenever a variable of theirs does; 0 where the version of Python has no such thing. */
static uint64_t version_of(PyObject *globals)
{
#if PY_VERSION_HEX < 0x030E0000
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return ((PyDictObject *)globals)->ma_version_tag;
#pragma GCC diagnostic pop
#else
    (void)globals;
    return 0;
#endif
}

static void start_hook(PyObject *get, const char *set)
{
    PyObject *hook = PyObject_CallNoArgs(get);
    PyObject *setter = hook && hook != Py_None ? PySys_GetObject(set) : NULL;
    if (setter)
        Py_XDECREF(PyObject_CallOneArg(setter, hook));
    if (gs__unlikely(PyErr_Occurred() != NULL))
        PyErr_WriteUnraisable(get);
    Py_XDECREF(hook);
}

/* As threading.Thread does, so that coverage and debuggers see into tasks. */
static void start_tracing(gs__state *state)
{
    if (!find_hooks(state))
        return;
    PyObject *globals = globals_of(state->gettrace);
    uint64_t version = globals ? version_of(globals) : 0;
    if (gs__likely(version && version == state->untraced))
        return;
    bool no_trace = gives_none(state->gettrace, state->trace_hook);
    bool no_profile = gives_none(state->getprofile, state->profile_hook);
    if (no_trace && no_profile && globals_of(state->getprofile) == globals)
        state->untraced = version;
    if (!no_trace)
        start_hook(state->gettrace, "settrace");
    if (!no_profile)
        start_hook(state->getprofile, "setprofile");
}

/* The exception that is set, with its traceback; none is set afterwards. */
static PyObject *take_raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Cancelled counts as the answer to having been asked, and is no failure then. */
static void keep_failure(gs__py_task *self)
{
    PyObject *error = take_raised();
    if (PyObject_TypeCheck(error, (PyTypeObject *)self->state->Cancelled) &&
        gs__ctx_is_done(&self->task->ctx)) {
        self->code = GS_ECANCELED;
        Py_DECREF(error);
    } else {
        self->code = RAISED;
        self->error = error;
        PyObject_GC_Track(self);
    }
}

static PyObject *call(gs__py_task *self)
{
    gs__spare_variables *spare = &gs__pyworker_states()->variables;
    PyObject *snapshot = self->variables;
    self->variables = NULL;
    self->entered = gs__variables_enter(self->state, spare, snapshot, &self->task->ctx);
    if (!self->entered)
        return NULL;
    PyObject *const *args = ((PyTupleObject *)self->args)->ob_item;
    PyObject *result =
        PyObject_Vectorcall(self->fn, args, (size_t)PyTuple_GET_SIZE(self->args), NULL);
    if (!result)
        keep_failure(self);
    gs__variables *entered = self->entered;
    self->entered = NULL;
    if (gs__variables_leave(spare, entered) < 0)
        PyErr_WriteUnraisable(self->fn); /* C code that the task called left another one entered */
    return result;
}

static void body(void *arg)
{
    gs__py_task *self = arg;
    start_tracing(self->state);
    PyObject *result = call(self);
    if (result) {
        self->code = GS_OK;
        self->value = result;
        if (PyObject_IS_GC(result))
            PyObject_GC_Track(self);
    } else if (PyErr_Occurred()) {
        keep_failure(self);
    }
    Py_CLEAR(self->fn);
    Py_CLEAR(self->args);
}

static int run(gs_call *c)
{
    gs_task *task = (gs_task *)c;
    gs__py_task *self = task->owner;
    int code =
        gs__pystate_run(gs__pyworker_states(), &task->coro.stack, &self->pystate, body, self);
    return code == GS_OK ? self->code : code;
}

/* ---- start ---- */

/* A new reference on the str that names the callable. */
static PyObject *name_of(PyObject *fn)
{
    if (PyFunction_Check(fn))
        return Py_NewRef(((PyFunctionObject *)fn)->func_name);
    PyObject *name = PyObject_GetAttrString(fn, "__name__");
    if (name && PyUnicode_Check(name))
        return name;
    if (!name && !PyErr_ExceptionMatches(PyExc_AttributeError))
        return NULL;
    PyErr_Clear();
    Py_XDECREF(name);
    return PyUnicode_FromString(Py_TYPE(fn)->tp_name);
}

/* A tuple of the arguments, behind `first` where that is not NULL. */
static PyObject *tuple_of(PyObject *first, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t from = first != NULL;
    PyObject *tuple = PyTuple_New(from + nargs);
    if (tuple && first)
        PyTuple_SET_ITEM(tuple, 0, Py_NewRef(first));
    for (Py_ssize_t i = 0; tuple && i < nargs; i++)
        PyTuple_SET_ITEM(tuple, from + i, Py_NewRef(args[i]));
    return tuple;
}

/* pygostop.blocking, borrowed. */
static PyObject *blocking_of(gs__state *state)
{
    if (!state->blocking) {
        PyObject *module = PyImport_ImportModule("pygostop._blocking");
        PyObject *blocking = module ? PyObject_GetAttrString(module, "blocking") : NULL;
        Py_XDECREF(module);
        Py_XSETREF(state->blocking, blocking);
    }
    return state->blocking;
}

/* The handle with all that the task needs but its gs_task. */
static gs__py_task *prepare(gs__state *state, PyObject *fn, PyObject *const *args, Py_ssize_t nargs,
                            bool thread)
{
    PyObject *called = thread ? blocking_of(state) : fn;
    gs__py_task *self = called ? gs__py_task_new(state) : NULL;
    if (!self)
        return NULL;
    self->fn = Py_NewRef(called);
    self->args = tuple_of(thread ? fn : NULL, args, nargs);
    self->variables = self->args ? gs__variables_snapshot() : NULL;
    if (!self->variables)
        Py_CLEAR(self);
    return self;
}

/* Starts the prepared task; takes over the reference on its handle. */
static PyObject *start(gs__py_task *self, gs_ctx *parent, const char *name)
{
    return gs__py_task_spawn(self, &(gs__spawn){.fn = run,
                                                .name = name,
                                                .parent = parent,
                                                .owner = self,
                                                .stack_size = gs__pystate_stack_size(),
                                                .flags = GS__TASK_PINNED,
                                                .group = &gs__py_group});
}

PyObject *gs__py_pytask_go(gs__state *state, PyObject *fn, PyObject *const *args, Py_ssize_t nargs,
                           gs_ctx *parent, const char *name, bool thread)
{
    PyObject *named = name ? NULL : name_of(fn);
    if (!name && (!named || !(name = PyUnicode_AsUTF8(named)))) {
        Py_XDECREF(named);
        return NULL;
    }
    PyObject *handle = NULL;
    int code = gs__pyworkers_start();
    gs__py_task *self = code == GS_OK ? prepare(state, fn, args, nargs, thread) : NULL;
    if (self)
        handle = start(self, parent, name);
    else if (code != GS_OK)
        gs__py_raise_not_started(state, code, name);
    Py_XDECREF(named);
    return handle;
}

/* ---- functions of the module ---- */

PyDoc_STRVAR(current_task_doc,
             "current_task($module, /)\n--\n\n"
             "The Task that calls, also from a thread of its own; None elsewhere.");
static PyObject *current_task(PyObject *module, PyObject *Py_UNUSED(none))
{
    gs_task *task = gs__task_current();
    gs__py_drops_run();
    if (task && task->group == &gs__py_group)
        return Py_NewRef(task->owner);
    PyObject *found;
    return PyContextVar_Get(gs__py_state(module)->task_var, Py_None, &found) < 0 ? NULL : found;
}

static PyMethodDef functions[] = {
    {"current_task", current_task, METH_NOARGS, current_task_doc},
    {NULL, NULL, 0, NULL},
};

int gs__py_pytask_exec(PyObject *module, gs__state *state)
{
#ifdef GS__PYSTATE_EXCHANGE
    const char *how = "exchange";
#else
    const char *how = "swap";
#endif
    state->trace_hook = PyUnicode_InternFromString("_trace_hook");
    state->profile_hook = PyUnicode_InternFromString("_profile_hook");
    if (!state->trace_hook || !state->profile_hook)
        return -1;
    state->task_var = PyContextVar_New("pygostop.task", NULL);
    if (!state->task_var || PyModule_AddObjectRef(module, "_task_var", state->task_var) < 0)
        return -1;
    if (PyModule_AddStringConstant(module, "_execution_states", how) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
