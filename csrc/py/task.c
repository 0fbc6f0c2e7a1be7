/* task.c: the Task type, a handle on a task. What always holds: py_task.h. */
#include "args.h"
#include "block.h"
#include "debug.h"
#include "py_task.h"

#include <structmember.h>

static int enter(gs__py_task *self)
{
    gs__py_drops_run();
    return gs__py_check_generation(self->generation, (PyObject *)self);
}

static PyObject *text_of(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

/* ---- make ----
 * Handles that are gone leave their memory to the next ones, as the interpreter's own small objects do:
 * a task of a few instructions is not to cost an allocation, and its share of a collection. */

/* None where checkers are to see each allocation. */
#if defined(GS__ASAN) || defined(GS_FAULTS)
enum { SPARE_MOST = 0 };
#else
enum { SPARE_MOST = 1024 };
#endif

static gs__py_task *take_spare(gs__state *state)
{
    gs__py_task *self = state->spare_tasks;
    if (!self)
        return NULL;
    state->spare_tasks = self->spare;
    state->n_spare_tasks--;
    return (gs__py_task *)PyObject_Init((PyObject *)self, state->task_type);
}

/* Not one that was finalised: the collector would take the next for finalised too. */
static bool keep_spare(gs__py_task *self)
{
    gs__state *state = self->state;
    if (state->n_spare_tasks >= SPARE_MOST || PyObject_GC_IsFinalized((PyObject *)self))
        return false;
    self->spare = state->spare_tasks;
    state->spare_tasks = self;
    state->n_spare_tasks++;
    return true;
}

void gs__py_task_free_spares(gs__state *state)
{
    for (gs__py_task *self; (self = state->spare_tasks);) {
        state->spare_tasks = self->spare;
        state->n_spare_tasks--;
        PyObject_GC_Del(self);
    }
}

gs__py_task *gs__py_task_new(gs__state *state)
{
    gs__py_task *self = take_spare(state);
    if (!self)
        self = PyObject_GC_New(gs__py_task, state->task_type);
    if (self) {
        memset((char *)self + sizeof self->ob_base, 0, sizeof *self - sizeof self->ob_base);
        self->state = state;
        self->generation = atomic_load(&gs__generation);
        atomic_init(&self->phase, GS__PY_TASK_OPEN);
    }
    return self;
}

/* Another handle on a C task, the one handle on a Python task. Takes over the reference. */
static PyObject *new_handle(gs__state *state, gs_task *task)
{
    if (task->group == &gs__py_group) {
        PyObject *handle =
            Py_NewRef(task->owner); /* there until it has ended, for which it needs the GIL */
        gs__task_unref(task);
        return handle;
    }
    gs__py_task *self = gs__py_task_new(state);
    if (self) {
        self->task = task;
        PyObject_GC_Track(self);
    } else {
        gs__task_unref(task);
    }
    return (PyObject *)self;
}

static void run_callback(gs__py_task *self, PyObject *callback)
{
    PyObject *done = gs__py_call_unscoped(self->state, callback, (PyObject *)self);
    if (!done)
        PyErr_WriteUnraisable(callback);
    Py_XDECREF(done);
}

static void run_callbacks(gs__py_task *self)
{
    PyObject *callbacks = self->callbacks;
    self->callbacks = NULL;
    for (Py_ssize_t i = 0; callbacks && i < PyList_GET_SIZE(callbacks); i++)
        run_callback(self, PyList_GET_ITEM(callbacks, i));
    Py_XDECREF(callbacks);
}

/* On the dispatcher's thread, with the reference of the one that ended the task. */
static void run_callbacks_later(gs__py_job *job)
{
    gs__py_task *self = gs__container(job, gs__py_task, job);
    run_callbacks(self);
    Py_DECREF(self);
}

static void drop_ended(gs__py_task *self, int phase)
{
    if (phase != GS__PY_TASK_CALLBACKS || gs__py_dispatch_job(&self->job) != GS_OK)
        gs__py_drop_in(&self->dropped, (PyObject *)self, NULL);
}

/* On the thread that ended the C task, without the GIL. */
static void on_c_end(gs__task_hook *hook)
{
    gs__py_task *self = gs__container(hook, gs__py_task, hook);
    drop_ended(self, atomic_exchange(&self->phase, GS__PY_TASK_ENDED));
}

/* On the Python worker that ended the task, with the GIL, so that nobody adds a callback meanwhile. */
static void on_python_end(gs__task_hook *hook)
{
    gs__py_task *self = gs__container(hook, gs__py_task, hook);
    int phase = atomic_load_explicit(&self->phase, memory_order_relaxed);
    if (self->fn)
        PyObject_GC_Track(self); /* it never began: what it was to call is still its own */
    atomic_store_explicit(&self->phase, GS__PY_TASK_ENDED, memory_order_relaxed);
    if (gs__likely(phase != GS__PY_TASK_CALLBACKS && Py_REFCNT(self) > 1))
        Py_DECREF(self);
    else
        drop_ended(self, phase);
}

/* The task is to keep the handle and tell it of its end. */
static void set_hook(gs__py_task *self, const gs__group *group)
{
    self->hung = true;
    self->hook.fn = group == &gs__py_group ? on_python_end : on_c_end;
    self->job.run = run_callbacks_later;
    Py_INCREF(self); /* the task's */
}

PyObject *gs__py_task_spawn(gs__py_task *self, gs__spawn *spawn)
{
    gs__state *state = self->state;
    /* Borrowed: nothing runs Python before the task has a reference of its own. */
    if (!spawn->parent && !(spawn->parent = gs__py_scope_peek(state))) {
        Py_DECREF(self);
        return NULL;
    }
    int error;
    set_hook(self, spawn->group);
    spawn->hook = &self->hook;
    self->reports = true;
    self->task = gs__task_spawn(spawn, &error);
    if (gs__likely(self->task != NULL))
        return (PyObject *)self;
    self->reports = false;
    gs__py_raise_not_started(state, error, spawn->name);
    Py_DECREF(self); /* the task's */
    Py_DECREF(self);
    return NULL;
}

gs_task *gs__py_task_get(gs__state *state, PyObject *object)
{
    if (!Py_IS_TYPE(object, state->task_type))
        return NULL;
    gs__py_task *self = (gs__py_task *)object;
    return gs__py_check_generation(self->generation, object) < 0 ? NULL : self->task;
}

/* ---- wait ---- */

int gs__py_task_wait(gs__py_task *self, gs_ctx *scope, int64_t deadline)
{
    int code;
    if (gs__task_ended(self->task))
        return GS_OK;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    /* One that came while the task was being started interrupts no wait. */
    if (!gs__task_current() && PyErr_CheckSignals() < 0)
        return GS__PY_RAISED;
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__task_wait(self->task, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    gs__py_drops_run(); /* what the task held is free when this returns */
    return code;
}

/* The wait of result, exception and wait: 1 ended, 0 the time ran out, -1 an exception. */
static int wait_in_scope(gs__py_task *self, const char *call, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    const gs__py_params params = {call, 0, 1, {"timeout", NULL}};
    PyObject *timeout;
    int64_t deadline;
    if (enter(self) < 0 || gs__py_args(&params, args, nargs, kwnames, &timeout) < 0 ||
        gs__py_deadline(timeout ? timeout : Py_None, "timeout", &deadline) < 0)
        return -1;
    gs_ctx *scope = gs__py_scope_peek(self->state);
    if (!scope)
        return -1;
    if (gs__task_ended(self->task) && !gs__ctx_is_done(scope))
        return 1;
    gs__ctx_ref(scope);
    int code = gs__ctx_is_done(scope)             ? GS_ECANCELED
               : self->task == gs__task_current() ? GS_EDEADLK
                                                  : gs__py_task_wait(self, scope, deadline);
    if (code == GS_ECANCELED)
        gs__py_raise_cancelled(self->state, scope);
    else if (code == GS_EDEADLK)
        gs__py_raise(self->state, code, "task '%s' would wait for its own end", self->task->name);
    else if (code == GS_ENOMEM)
        gs__py_raise(self->state, code, "no memory to wait for task '%s'", self->task->name);
    gs__ctx_unref(scope);
    return code == GS_OK ? 1 : code == GS_ETIMEDOUT ? 0 : -1;
}

static PyObject *raise_timeout(gs__py_task *self)
{
    return gs__py_raise(self->state, GS_ETIMEDOUT, "task '%s' has not ended within the timeout",
                        self->task->name);
}

PyDoc_STRVAR(result_doc, "result($self, /, timeout=None)\n--\n\n"
                         "Wait for the task's end and return its result, or raise its failure.\n\n"
                         "timeout is in seconds. Raises TimeoutError when it ran out,\n"
                         "concurrent.futures.CancelledError for a task that was cancelled, and "
                         "Cancelled where\n"
                         "the caller's own scope is done.");
static PyObject *task_result(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    int ended = wait_in_scope(self, "result", args, nargs, kwnames);
    if (ended <= 0)
        return ended < 0 ? NULL : raise_timeout(self);
    return gs__py_task_result(self);
}

PyDoc_STRVAR(exception_doc, "exception($self, /, timeout=None)\n--\n\n"
                            "Wait for the task's end and return its failure, or None.\n\n"
                            "Raises as result() does, but for the failure itself.");
static PyObject *task_exception(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    int ended = wait_in_scope(self, "exception", args, nargs, kwnames);
    if (ended <= 0)
        return ended < 0 ? NULL : raise_timeout(self);
    return Py_XNewRef(gs__py_task_error(self));
}

PyDoc_STRVAR(wait_doc, "wait($self, /, timeout=None)\n--\n\n"
                       "Wait for the task's end; False where timeout (seconds) ran out before.\n\n"
                       "Raises Cancelled where the caller's own scope is done.");
static PyObject *task_wait(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    int ended = wait_in_scope(self, "wait", args, nargs, kwnames);
    return ended < 0 ? NULL : PyBool_FromLong(ended);
}

static PyObject *task_await(gs__py_task *self)
{
    if (enter(self) < 0)
        return NULL;
    PyObject *coroutine = gs__py_aio_call(self->state, "await_task", (PyObject *)self, NULL);
    PyObject *iterator = coroutine ? PyObject_CallMethod(coroutine, "__await__", NULL) : NULL;
    Py_XDECREF(coroutine);
    return iterator;
}

/* For pygostop/_aio.py: as result, of a task that has ended, and no checkpoint. */
static PyObject *task_outcome(gs__py_task *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0)
        return NULL;
    if (!gs__task_ended(self->task))
        return gs__py_raise(self->state, GS_EAGAIN, "task '%s' has not ended", self->task->name);
    return gs__py_task_result(self);
}

/* ---- look and stop ---- */

PyDoc_STRVAR(done_doc, "done($self, /)\n--\n\nWhether the task has ended, however it did.");
static PyObject *task_done(gs__py_task *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : PyBool_FromLong(gs__task_ended(self->task));
}

PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\n"
                            "Whether the task ended because it was asked to stop.");
static PyObject *task_cancelled(gs__py_task *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0)
        return NULL;
    return PyBool_FromLong(gs__task_ended(self->task) && gs__task_was_canceled(self->task));
}

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /, cause=None)\n--\n\n"
             "Ask the task, and the tasks it started, to stop. Do not wait for it.\n\n"
             "cause is an exception, or a str that becomes Error(str); it is found behind the\n"
             "CancelledError that result() raises. True where the task had not ended.");
static PyObject *task_cancel(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    const gs__py_params params = {"cancel", 0, 1, {"cause", NULL}};
    PyObject *object;
    gs__cause *cause;
    if (enter(self) < 0 || gs__py_args(&params, args, nargs, kwnames, &object) < 0 ||
        gs__py_cause_from(self->state, object ? object : Py_None, &cause) < 0)
        return NULL;
    bool asked = gs__task_cancel(self->task, cause);
    gs__cause_unref(cause);
    return PyBool_FromLong(asked);
}

PyDoc_STRVAR(add_done_callback_doc,
             "add_done_callback($self, callback, /)\n--\n\n"
             "Call callback(task) once when the task has ended; at once where it has.\n\n"
             "It runs in a scope of its own; what it raises goes to sys.unraisablehook.");
static PyObject *task_add_done_callback(gs__py_task *self, PyObject *callback)
{
    if (enter(self) < 0)
        return NULL;
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "a done callback must be callable, not %.100s",
                     Py_TYPE(callback)->tp_name);
        return NULL;
    }
    if (gs__task_ended(self->task)) {
        run_callback(self, callback); /* those before may be about to run elsewhere */
        Py_RETURN_NONE;
    }
    if (gs__py_dispatch_start() != GS_OK) {
        PyErr_SetString(PyExc_RuntimeError,
                        "add_done_callback() has no thread to run callbacks on: threads ran out, "
                        "or the process leaves");
        return NULL;
    }
    if (!self->hung) {
        set_hook(self, self->task->group);
        if (!gs__task_hook_add(self->task, &self->hook, self->hook.fn))
            self->hook.fn(&self->hook);
    }
    if (!self->callbacks && !(self->callbacks = PyList_New(0)))
        return NULL;
    if (PyList_Append(self->callbacks, callback) < 0)
        return NULL;
    int open = GS__PY_TASK_OPEN;
    if (atomic_compare_exchange_strong(&self->phase, &open, GS__PY_TASK_CALLBACKS) ||
        open == GS__PY_TASK_CALLBACKS)
        Py_RETURN_NONE;
    run_callbacks(self); /* it has ended meanwhile */
    Py_RETURN_NONE;
}

PyDoc_STRVAR(future_doc,
             "future($self, /)\n--\n\n"
             "A concurrent.futures.Future that ends as the task does: a TaskFuture.\n\n"
             "Its cancel() asks the task to stop. The same one each time, as long as the\n"
             "task runs or somebody holds it. RuntimeError where threads ran out.");
static PyObject *task_future(gs__py_task *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : gs__py_task_future(self);
}

static PyObject *get_name(gs__py_task *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : text_of(self->task->name);
}

static PyObject *get_id(gs__py_task *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : PyLong_FromUnsignedLongLong(atomic_load(&self->task->id));
}

static const char *state_text(gs_task *task)
{
    if (!gs__task_ended(task))
        return gs__task_state_name(task);
    return gs__task_was_canceled(task) ? "cancelled" : task->code == GS_OK ? "done" : "failed";
}

static PyObject *get_state(gs__py_task *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : PyUnicode_FromString(state_text(self->task));
}

static PyObject *get_ctx(gs__py_task *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : gs__py_ctx_wrap(self->state, &self->task->ctx);
}

enum { WAITING_TEXT = 64 };

static PyObject *get_waiting_on(gs__py_task *self, void *Py_UNUSED(closure))
{
    char text[WAITING_TEXT];
    if (enter(self) < 0)
        return NULL;
    gs__task_waiting_text(self->task, text, sizeof text);
    return text[0] ? PyUnicode_FromString(text) : Py_NewRef(Py_None);
}

static PyObject *get_progress(gs__py_task *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : gs__py_task_get_progress(self);
}

PyDoc_STRVAR(watch_doc,
             "watch($self, /, *, interval=0.1)\n--\n\n"
             "Iterate, also with async for, over each new Progress until the task has ended.\n\n"
             "At least interval seconds lie between two, and what was said in between is passed "
             "over;\nthe last is given at once when the task ends, however it does. Waits as\n"
             "wait() does, and raises Cancelled where the caller's own scope is done.");
static PyObject *task_watch(gs__py_task *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    return enter(self) < 0 ? NULL : gs__py_task_watch(self, args, nargs, kwnames);
}

static PyObject *task_progress_since(gs__py_task *self, PyObject *version)
{
    return enter(self) < 0 ? NULL : gs__py_task_progress_since(self, version);
}

static PyObject *task_progress_changed(gs__py_task *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : gs__py_task_progress_changed(self);
}

static PyObject *task_repr(gs__py_task *self)
{
    if (self->generation != atomic_load(&gs__generation))
        return PyUnicode_FromString("<Task of the process before the fork>");
    char waiting[WAITING_TEXT];
    PyObject *name = text_of(self->task->name);
    if (!name)
        return NULL;
    gs__task_waiting_text(self->task, waiting, sizeof waiting);
    PyObject *repr =
        PyUnicode_FromFormat("<Task '%U' #%llu %s%s%s>", name,
                             (unsigned long long)atomic_load(&self->task->id),
                             state_text(self->task), waiting[0] ? ", in " : "", waiting);
    Py_DECREF(name);
    return repr;
}

static PyObject *task_compare(PyObject *a, PyObject *b, int op)
{
    if ((op != Py_EQ && op != Py_NE) || !Py_IS_TYPE(b, Py_TYPE(a)))
        Py_RETURN_NOTIMPLEMENTED;
    bool same = ((gs__py_task *)a)->task == ((gs__py_task *)b)->task;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t task_hash(gs__py_task *self)
{
    return (Py_hash_t)((uintptr_t)self->task >> 4);
}

static PyObject *task_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    PyErr_Format(PyExc_TypeError,
                 "cannot pickle %R: a task lives in its process; send its result instead", self);
    return NULL;
}

/* ---- end ---- */

static int task_traverse(gs__py_task *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->callbacks);
    Py_VISIT(self->value);
    Py_VISIT(self->error);
    Py_VISIT(self->fn);
    Py_VISIT(self->args);
    Py_VISIT(self->variables);
    Py_VISIT(self->future);
    return 0;
}

static int task_clear(gs__py_task *self)
{
    Py_CLEAR(self->callbacks);
    Py_CLEAR(self->value);
    Py_CLEAR(self->error);
    Py_CLEAR(self->fn);
    Py_CLEAR(self->args);
    Py_CLEAR(self->variables);
    Py_CLEAR(self->future);
    return 0;
}

static void task_finalize(PyObject *object)
{
    gs__py_task *self = (gs__py_task *)object;
    if (gs__py_task_is_to_report(self))
        gs__py_task_report(self);
}

static void task_dealloc(gs__py_task *self)
{
    PyTypeObject *type = Py_TYPE(self);
    /* Only a report may bring it back to life. */
    if (gs__unlikely(gs__py_task_is_to_report(self)) &&
        PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0)
        return;
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    task_clear(self);
    if (self->task && self->generation == atomic_load(&gs__generation))
        gs__task_unref(self->task);
    if (!keep_spare(self))
        PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- the function of the module ---- */

PyDoc_STRVAR(all_tasks_doc, "all_tasks($module, /)\n--\n\n"
                            "The tasks that have not ended, as a list of Task, in no order.");
static PyObject *all_tasks(PyObject *module, PyObject *Py_UNUSED(none))
{
    gs__state *state = gs__py_state(module);
    gs__py_drops_run();
    long room = gs__live_tasks() + 64;
    gs_task **found = PyMem_Malloc((size_t)room * sizeof *found);
    if (!found)
        return PyErr_NoMemory();
    long n = gs__debug_tasks(found, room);
    if (n > room)
        n = room;
    PyObject *list = PyList_New(0);
    for (long i = 0; i < n; i++) {
        /* A Python task may have ended since, and its handle with it, as the list's making runs code. */
        bool gone = !list || (found[i]->group == &gs__py_group && gs__task_ended(found[i]));
        if (gone) {
            gs__task_unref(found[i]);
            continue;
        }
        PyObject *handle = new_handle(state, found[i]);
        if (!handle || PyList_Append(list, handle) < 0)
            Py_CLEAR(list);
        Py_XDECREF(handle);
    }
    PyMem_Free(found);
    return list;
}

/* ---- the type ---- */

static PyMethodDef methods[] = {
    {"result", (PyCFunction)(void (*)(void))task_result, METH_FASTCALL | METH_KEYWORDS, result_doc},
    {"exception", (PyCFunction)(void (*)(void))task_exception, METH_FASTCALL | METH_KEYWORDS,
     exception_doc},
    {"wait", (PyCFunction)(void (*)(void))task_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"done", (PyCFunction)task_done, METH_NOARGS, done_doc},
    {"cancelled", (PyCFunction)task_cancelled, METH_NOARGS, cancelled_doc},
    {"cancel", (PyCFunction)(void (*)(void))task_cancel, METH_FASTCALL | METH_KEYWORDS, cancel_doc},
    {"add_done_callback", (PyCFunction)task_add_done_callback, METH_O, add_done_callback_doc},
    {"watch", (PyCFunction)(void (*)(void))task_watch, METH_FASTCALL | METH_KEYWORDS, watch_doc},
    {"future", (PyCFunction)task_future, METH_NOARGS, future_doc},
    {"_outcome", (PyCFunction)task_outcome, METH_NOARGS, NULL},
    {"_progress_since", (PyCFunction)task_progress_since, METH_O, NULL},
    {"_progress_changed", (PyCFunction)task_progress_changed, METH_NOARGS, NULL},
    {"__reduce_ex__", task_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getters[] = {
    {"name", (getter)get_name, NULL, PyDoc_STR("The name given to go(), or its function's."), NULL},
    {"id", (getter)get_id, NULL, PyDoc_STR("A number that no other task of the process has."), NULL},
    {"state", (getter)get_state, NULL,
     PyDoc_STR("'ready', 'running', 'parked', 'done', 'failed' or 'cancelled'."), NULL},
    {"ctx", (getter)get_ctx, NULL, PyDoc_STR("The task's own Context."), NULL},
    {"waiting_on", (getter)get_waiting_on, NULL,
     PyDoc_STR("What a parked task waits for, as 'recv on chan 3'; None where it does not."), NULL},
    {"progress", (getter)get_progress, NULL,
     PyDoc_STR("Progress(done, total) as gs_progress said last, or None."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(gs__py_task, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(task_doc,
             "A handle on a task that go() started.\n\n"
             "Dropping it neither stops nor detaches the task. Await it, or call result().");
static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)task_doc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_tp_members, members},
    {Py_tp_repr, task_repr},
    {Py_tp_richcompare, task_compare},
    {Py_tp_hash, task_hash},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_tp_finalize, task_finalize},
    {Py_tp_dealloc, task_dealloc},
    {Py_am_await, task_await},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pygostop.Task",
    .basicsize = sizeof(gs__py_task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"all_tasks", all_tasks, METH_NOARGS, all_tasks_doc},
    {NULL, NULL, 0, NULL},
};

int gs__py_task_exec(PyObject *module, gs__state *state)
{
    state->task_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (!state->task_type || PyModule_AddType(module, state->task_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
