/* task_progress.c: what a task says of its progress, and what waits for it. See py_task.h; the part in
 * Python is pygostop/_progress.py. */
#include "args.h"
#include "py_task.h"

static PyObject *progress_of(long long done, long long total)
{
    PyObject *module = PyImport_ImportModule("pygostop._progress");
    PyObject *progress = module ? PyObject_CallMethod(module, "Progress", "LL", done, total) : NULL;
    Py_XDECREF(module);
    return progress;
}

PyObject *gs__py_task_get_progress(gs__py_task *self)
{
    int64_t done, total;
    if (!gs__task_progress(self->task, &done, &total))
        Py_RETURN_NONE;
    return progress_of(done, total);
}

PyObject *gs__py_task_progress_since(gs__py_task *self, PyObject *version)
{
    int64_t done, total;
    unsigned long before = PyLong_AsUnsignedLong(version);
    if (before == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    unsigned now = gs__task_progress(self->task, &done, &total);
    if (now == before)
        Py_RETURN_NONE;
    PyObject *progress = progress_of(done, total);
    return progress ? Py_BuildValue("IN", now, progress) : NULL;
}

PyObject *gs__py_task_progress_changed(gs__py_task *self)
{
    gs_chan *ch = gs__task_progress_changed(self->task);
    return ch ? gs__py_chan_wrap_done(self->state, ch) : PyErr_NoMemory();
}

PyObject *gs__py_task_watch(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    const gs__py_params params = {"watch", 0, 0, {"interval", NULL}};
    PyObject *interval;
    int64_t ns;
    if (gs__py_args(&params, args, nargs, kwnames, &interval) < 0 ||
        (interval && gs__py_seconds(interval, "interval", &ns) < 0))
        return NULL;
    PyObject *module = PyImport_ImportModule("pygostop._progress");
    PyObject *watch =
        module ? PyObject_CallMethod(module, "Watch", interval ? "OO" : "O", self, interval) : NULL;
    Py_XDECREF(module);
    return watch;
}
