/* runtime.c: configure, and how the process leaves.
 *
 * At exit an atexit callback, registered when the module is made, cancels the root, waits the
 * grace time for the tasks, names on stderr those that still run, and ends the dispatcher. What is
 * started later, by a finalizer, is refused: nobody would run it, and who waited would hang.
 * module.c's own, registered before it, runs after it and ends the drops. From then on no thread
 * touches the interpreter: workers whose tasks did not stop know nothing of Python.
 *
 * The settings here are guarded by the GIL; they are the process's, as the runtime is. */
#include "args.h"
#include "debug.h"
#include "dispatch.h"
#include "pyworker.h"
#include "running.h"
#include "stack.h"

enum { GRACE_NS = 1000000000 };

static int set_workers;       /* as given to configure; 0: never */
static size_t set_stack_size; /* the same */
static int64_t grace = GRACE_NS;

/* ---- configure ---- */

/* 0, or -1 with an exception; None leaves `*value`. */
static int workers_from(PyObject *object, int *value)
{
    if (object == Py_None)
        return 0;
    if (!PyLong_Check(object)) {
        PyErr_Format(PyExc_TypeError, "configure() workers must be an int or None, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    int overflow;
    long n = PyLong_AsLongAndOverflow(object, &overflow);
    if (overflow || n < 1 || n > GS__WORKERS_MOST / 2) {
        PyErr_Format(PyExc_ValueError, "configure() workers must be from 1 to %d, not %R",
                     GS__WORKERS_MOST / 2, object);
        return -1;
    }
    *value = (int)n;
    return 0;
}

/* `what` names the setting, whose stacks have `least` bytes or more. */
static int stack_size_from(PyObject *object, const char *what, size_t least, size_t *value)
{
    if (object == Py_None)
        return 0;
    if (!PyLong_Check(object)) {
        PyErr_Format(PyExc_TypeError, "configure() %s must be an int or None, not %.100s", what,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow || n < (long long)least || gs__stack_class((size_t)n) < 0) {
        PyErr_Format(PyExc_ValueError, "configure() %s must be from %zu to %zu bytes, not %R", what,
                     least, GS__STACK_MAX, object);
        return -1;
    }
    *value = (size_t)n;
    return 0;
}

static PyObject *configure(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    static const gs__py_params params = {
        "configure",
        0,
        0,
        {"workers", "stack_size", "grace", "blocking_warning", "python_stack_size"}};
    PyObject *given[5];
    int workers = set_workers;
    size_t stack_size = set_stack_size, python_stack_size = gs__pystate_stack_size();
    int64_t new_grace = grace, late_after = atomic_load(&gs__py_group.late_after);
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    for (int i = 0; i < 5; i++)
        if (!given[i])
            given[i] = Py_None;
    if (workers_from(given[0], &workers) < 0 ||
        stack_size_from(given[1], "stack_size", 1, &stack_size) < 0 ||
        stack_size_from(given[4], "python_stack_size", gs__pystate_least_stack_size(),
                        &python_stack_size) < 0 ||
        (given[2] != Py_None && gs__py_seconds(given[2], "configure() grace", &new_grace) < 0) ||
        (given[3] != Py_None &&
         gs__py_seconds(given[3], "configure() blocking_warning", &late_after) < 0))
        return NULL;
    if ((given[0] != Py_None || given[1] != Py_None) &&
        gs__configure(workers, stack_size) != GS_OK) {
        PyErr_SetString(PyExc_RuntimeError, "configure() of workers and stack_size comes before "
                                            "the first task or timer: the runtime runs already");
        return NULL;
    }
    set_workers = workers;
    set_stack_size = stack_size;
    grace = new_grace;
    atomic_store(&gs__py_group.late_after, late_after);
    gs__pystate_set_stack_size(python_stack_size);
    Py_RETURN_NONE;
}

/* ---- exit ---- */

/* Signals are looked at that often while the tasks are waited for. */
enum { SLICE_NS = 20000000 };

/* How many tasks had not ended within the grace time, or when a signal's handler raised. */
static int stop_tasks(bool *interrupted)
{
    int64_t deadline = gs__deadline(grace);
    int left;
    *interrupted = false;
    do {
        int64_t slice = gs__deadline(SLICE_NS);
        Py_BEGIN_ALLOW_THREADS left = gs__runtime_stop(slice < deadline ? slice : deadline);
        Py_END_ALLOW_THREADS gs__py_drops_run();
        if (PyErr_CheckSignals() < 0) {
            PyErr_Clear();
            *interrupted = true;
        }
    } while (left > 0 && !*interrupted && gs__now() < deadline);
    return left;
}

enum { NAMED_MOST = 20 };

static void name_tasks(int left, bool interrupted)
{
    gs_task *tasks[NAMED_MOST];
    long all = gs__debug_tasks(tasks, NAMED_MOST);
    long n = all < NAMED_MOST ? all : NAMED_MOST;
    PyObject *text = gs__py_running_text(tasks, n, all);
    for (long i = 0; i < n; i++)
        gs__task_unref(tasks[i]);
    char how[64] = "until it was interrupted";
    if (!interrupted)
        PyOS_snprintf(how, sizeof how, "within %g s", (double)grace * 1e-9);
    if (text && n > 0)
        PySys_FormatStderr("pygostop: %d task%s did not stop %s: %U\n", left, left == 1 ? "" : "s",
                           how, text);
    PyErr_Clear();
    Py_XDECREF(text);
}

static void hush_threads(void)
{
    PyObject *module = PyImport_ImportModule("pygostop._exit");
    PyObject *done = module ? PyObject_CallMethod(module, "hush_threads", NULL) : NULL;
    if (!done)
        PyErr_WriteUnraisable(module);
    Py_XDECREF(done);
    Py_XDECREF(module);
}

static PyObject *leave(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    bool interrupted;
    hush_threads();
    gs__runtime_end();
    int left = stop_tasks(&interrupted);
    if (left > 0)
        name_tasks(left, interrupted);
    gs__py_dispatch_stop();
    gs__py_drops_run();
    Py_RETURN_NONE;
}

static PyMethodDef leave_method = {"_leave", leave, METH_NOARGS, NULL};

static int register_atexit(PyObject *module)
{
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *function = atexit ? PyCFunction_New(&leave_method, module) : NULL;
    PyObject *done = function ? PyObject_CallMethod(atexit, "register", "O", function) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(function);
    Py_XDECREF(atexit);
    return done ? 0 : -1;
}

/* ---- the module ---- */

static PyMethodDef functions[] = {
    {"configure", (PyCFunction)(void (*)(void))configure, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "configure($module, /, *, workers=None, stack_size=None, grace=None,\n"
         "          blocking_warning=None, python_stack_size=None)\n--\n\n"
         "Settings of the runtime; None leaves one as it is.\n\n"
         "workers: OS threads that run C tasks, by default PYGOSTOP_WORKERS or as many as cores.\n"
         "stack_size: of a C task in bytes, by default 256 KiB. Both before the first task or\n"
         "timer, else RuntimeError. grace: seconds that tasks get at exit, by default 1.\n"
         "blocking_warning: seconds that a Python task may keep its thread while others wait for\n"
         "it before a BlockingWarning names its line, by default 0.25; math.inf: for ever.\n"
         "python_stack_size: of the Python tasks started from then on, in bytes; by default 1 MiB\n"
         "(8 MiB on CPython 3.11, and no less there). More of it lets C code recurse deeper.")},
    {NULL},
};

int gs__py_runtime_exec(PyObject *module, gs__state *Py_UNUSED(state))
{
    gs__core_init();
    PyObject *at_exit =
        PyImport_ImportModule("pygostop._exit"); /* so that it is there when leaving */
    if (!at_exit)
        return -1;
    Py_DECREF(at_exit);
    if (gs__py_dispatch_init() < 0 || register_atexit(module) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
