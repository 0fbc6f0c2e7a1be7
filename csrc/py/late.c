/* late.c: the warning for a Python task that keeps its worker's thread while others wait for it.
 *
 * The monitor notices, and has no GIL: the dispatcher's thread, which takes it, names the line. What
 * always holds:
 *  - There is one job. Who sets `busy` may write it and post it; the dispatcher clears `busy` when it
 *    is done with it. A sighting while it is busy is made again at the monitor's next look.
 *  - With the GIL held, the worker that is still in the same run stays there: a Python task goes over
 *    to another with the GIL alone. So its frames may be looked at. A task that keeps the GIL in C code
 *    is named once it lets go, where it is the same run still; else it is not. */
#include "late.h"

#include "dispatch.h"
#include "py_task.h"
#include "pyworker.h"
#include "worker.h"

static struct {
    gs__py_job job;
    atomic_bool busy;
    gs__worker *worker;
    unsigned runs;
    unsigned generation; /* the monitor's: of the process in which `busy` was set */
} late;

static void warn(gs__worker *w, gs_task *task)
{
    PyFrameObject *frame = PyThreadState_GetFrame(((gs__pystates *)w->bindings)->current);
    PyObject *module = frame ? PyImport_ImportModule("pygostop._late") : NULL;
    PyObject *done = module ? PyObject_CallMethod(module, "warn", "OO", frame, task->owner) : NULL;
    if (!done && PyErr_Occurred())
        PyErr_WriteUnraisable((PyObject *)task->owner); /* a filter made an error of it */
    Py_XDECREF(done);
    Py_XDECREF(module);
    Py_XDECREF(frame);
}

static void run(gs__py_job *Py_UNUSED(job))
{
    gs__worker *w = late.worker;
    gs_task *task = atomic_load(&w->current);
    if (task && atomic_load(&w->runs) == late.runs && ((gs__py_task *)task->owner)->pystate) {
        PyObject *owner = Py_NewRef(task->owner); /* it may end while the warning is made */
        warn(w, task);
        Py_DECREF(owner);
    }
    atomic_store(&late.busy, false);
}

bool gs__py_late(gs__worker *worker, unsigned runs)
{
    unsigned generation = atomic_load(&gs__generation);
    if (late.generation != generation) {
        late.generation = generation; /* a forked child has none of the parent's jobs */
        atomic_store(&late.busy, false);
    }
    if (atomic_exchange(&late.busy, true))
        return false;
    late.job.run = run;
    late.worker = worker;
    late.runs = runs;
    if (gs__py_dispatch_job(&late.job) == GS_OK)
        return true;
    atomic_store(&late.busy, false);
    return false;
}
