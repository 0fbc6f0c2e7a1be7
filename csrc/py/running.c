/* running.c: see running.h. */
#include "running.h"

#include "block.h"
#include "debug.h"

enum { NAMED_MOST = 20 };

static PyObject *text_of(gs_task *task)
{
    char waiting[64];
    gs__task_waiting_text(task, waiting, sizeof waiting);
    PyObject *name =
        PyUnicode_DecodeUTF8(task->name, (Py_ssize_t)strlen(task->name), "backslashreplace");
    PyObject *text = name ? PyUnicode_FromFormat("'%U' (%s%s%s)", name, gs__task_state_name(task),
                                                 waiting[0] ? ", " : "", waiting)
                          : NULL;
    Py_XDECREF(name);
    return text;
}

PyObject *gs__py_running_text(gs_task *const *tasks, long n, long all)
{
    PyObject *text = PyUnicode_FromString("");
    long named = n < NAMED_MOST ? n : NAMED_MOST;
    for (long i = 0; i < named && text; i++) {
        PyObject *one = text_of(tasks[i]);
        PyObject *longer = one ? PyUnicode_FromFormat("%U%s%U", text, i ? ", " : "", one) : NULL;
        Py_XDECREF(one);
        Py_SETREF(text, longer);
    }
    if (text && all > named)
        Py_SETREF(text, PyUnicode_FromFormat("%U, and %ld more", text, all - named));
    return text;
}

/* ---- the tasks below a context ---- */

/* The live tasks below `ctx` but the caller, a reference on each, in PyMem memory where there
 * is one; how many, or -1 without memory. */
static long tasks_below(gs_ctx *ctx, gs_task ***tasks)
{
    gs_task **all = NULL;
    long n = 0, room = 0;
    while ((n = gs__debug_tasks(all, room)) > room) {
        for (long i = 0; i < room; i++)
            gs__task_unref(all[i]);
        room = n + n / 8 + 16; /* others may start meanwhile */
        gs_task **larger = PyMem_Realloc(all, (size_t)room * sizeof(*all));
        if (!larger) {
            PyMem_Free(all);
            return -1;
        }
        all = larger;
    }
    long kept = 0;
    for (long i = 0; i < n; i++)
        if (all[i] != gs__task_current() && gs__ctx_is_below(&all[i]->ctx, ctx))
            all[kept++] = all[i];
        else
            gs__task_unref(all[i]);
    if (kept == 0)
        PyMem_Free(all);
    *tasks = all;
    return kept;
}

static int wait_for(gs_task *task)
{
    int code;
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__task_wait(task, NULL, GS_FOREVER);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    return code;
}

/* With an exception set, which stays. */
static void say_running(gs_task *const *tasks, long n)
{
    PyObject *type, *value, *traceback;
    long running = 0;
    PyErr_Fetch(&type, &value, &traceback);
    gs_task **left = PyMem_New(gs_task *, n);
    for (long i = 0; i < n && left; i++)
        if (!gs__task_ended(tasks[i]))
            left[running++] = tasks[i];
    PyObject *text = running > 0 ? gs__py_running_text(left, running, running) : NULL;
    if (text)
        PySys_FormatStderr("pygostop: interrupted while %ld task%s still ran: %U\n", running,
                           running == 1 ? "" : "s", text);
    Py_XDECREF(text);
    PyMem_Free(left);
    PyErr_Restore(type, value, traceback);
}

int gs__py_running_stop(gs__state *state, gs_ctx *ctx, PyObject *exception)
{
    gs__cause *cause;
    gs_task **tasks;
    long n;
    int code = GS_OK;
    if (gs__py_cause_from(state, exception, &cause) < 0)
        PyErr_Clear(); /* without memory for a cause they are asked without one */
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
    /* Again, as a task may have started others before it saw the cancel. */
    while (code == GS_OK && (n = tasks_below(ctx, &tasks)) > 0) {
        for (long i = 0; i < n && code == GS_OK; i++)
            code = wait_for(tasks[i]);
        if (code == GS__PY_RAISED)
            say_running(tasks, n);
        for (long i = 0; i < n; i++)
            gs__task_unref(tasks[i]);
        PyMem_Free(tasks);
    }
    gs__py_drops_run();
    return code == GS__PY_RAISED ? -1
                                 : 0; /* no memory to wait: they were asked to stop, that is all */
}
