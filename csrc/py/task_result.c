/* task_result.c: what a task left, in Python, and the Future that waits for it: see py_task.h. */
#include "py_task.h"

static PyObject *text_of(const char *text)
{
    /* A C task may have said anything. */
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

static PyObject *value_of(const gs__result *r)
{
    switch (r->kind) {
    case GS_VALUE_INT:
        return PyLong_FromLongLong(r->as.i);
    case GS_VALUE_FLOAT:
        return PyFloat_FromDouble(r->as.f);
    case GS_VALUE_STR:
        return PyUnicode_DecodeUTF8(r->as.s.data, (Py_ssize_t)r->as.s.size, NULL);
    case GS_VALUE_BYTES:
        return PyBytes_FromStringAndSize(r->as.s.data, (Py_ssize_t)r->as.s.size);
    default:
        Py_RETURN_NONE;
    }
}

static const char *words_of(const gs_task *task)
{
    if (task->message)
        return task->message;
    if (task->code == GS_ECANCELED)
        return "it returned GS_ECANCELED, and nobody had asked it to stop";
    if (task->code < 0 && strcmp(gs__code_name(task->code), "unknown") == 0)
        return "it returned a negative code that pygostop.h has not: a task's own codes are "
               "positive";
    return task->code < 0 ? gs__code_text(task->code) : "";
}

static PyObject *failure_of(gs__py_task *self)
{
    PyObject *message = text_of(words_of(self->task)), *name = text_of(self->task->name);
    PyObject *error = message && name ? PyObject_CallFunction(self->state->TaskFailed, "iOO",
                                                              self->task->code, message, name)
                                      : NULL;
    Py_XDECREF(message);
    Py_XDECREF(name);
    return error;
}

/* Makes value or error, where neither is there yet. Making them runs Python, so that another thread may
 * have been quicker: the first one stays, as others have it. */
static int resolve(gs__py_task *self)
{
    if (self->value || self->error)
        return 0;
    PyObject **place = self->task->code == GS_OK ? &self->value : &self->error;
    PyObject *made = place == &self->value ? value_of(&self->task->result) : failure_of(self);
    if (*place) {
        PyErr_Clear();
        Py_XDECREF(made);
    } else {
        *place = made;
    }
    return *place ? 0 : -1;
}

static PyObject *raise_canceled(gs__py_task *self)
{
    PyObject *futures = PyImport_ImportModule("concurrent.futures");
    PyObject *class = futures ? PyObject_GetAttrString(futures, "CancelledError") : NULL;
    PyObject *name = class ? text_of(self->task->name) : NULL;
    PyObject *message = name ? PyUnicode_FromFormat("task '%U' was cancelled", name) : NULL;
    PyObject *error = message ? PyObject_CallOneArg(class, message) : NULL;
    PyObject *cause = error ? gs__py_ctx_cause(self->state, &self->task->ctx) : NULL;
    if (cause) {
        PyException_SetCause(error, cause);
        PyErr_SetObject(class, error);
    }
    Py_XDECREF(error);
    Py_XDECREF(message);
    Py_XDECREF(name);
    Py_XDECREF(class);
    Py_XDECREF(futures);
    return NULL;
}

PyObject *gs__py_task_failure(PyObject *task)
{
    gs__py_task *self = (gs__py_task *)task;
    return resolve(self) < 0 ? NULL : self->error;
}

PyObject *gs__py_task_error(gs__py_task *self)
{
    if (gs__task_was_canceled(self->task))
        return raise_canceled(self);
    if (resolve(self) < 0)
        return NULL;
    self->fetched = true;
    return self->error ? self->error : Py_None;
}

PyObject *gs__py_task_result(gs__py_task *self)
{
    PyObject *error = gs__py_task_error(self);
    if (!error)
        return NULL;
    if (error == Py_None)
        return Py_NewRef(self->value);
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    return NULL;
}

bool gs__py_task_is_to_report(gs__py_task *self)
{
    return self->reports && !self->fetched && gs__py_generation_is_current(self->generation) &&
           gs__task_ended(self->task) && !gs__task_was_canceled(self->task) &&
           self->task->code != GS_OK;
}

void gs__py_task_report(gs__py_task *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (resolve(self) == 0)
        PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
    PyErr_WriteUnraisable((PyObject *)self);
    PyErr_Restore(type, value, traceback);
}

/* ---- its future ---- */

/* The future of before, a new reference, or NULL where nobody holds it any more. */
static PyObject *future_of_before(gs__py_task *self)
{
    PyObject *future = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    if (self->future)
        (void)PyWeakref_GetRef(self->future, &future);
#else
    if (self->future)
        future = Py_NewRef(PyWeakref_GetObject(self->future));
    if (future == Py_None)
        Py_CLEAR(future);
#endif
    return future;
}

PyObject *gs__py_task_future(gs__py_task *self)
{
    PyObject *future = future_of_before(self);
    if (future)
        return future;
    PyObject *module = PyImport_ImportModule("pygostop._futures");
    future = module ? PyObject_CallMethod(module, "TaskFuture", "O", (PyObject *)self) : NULL;
    Py_XDECREF(module);
    PyObject *other = future ? future_of_before(self) : NULL;
    if (other) { /* another thread made one meanwhile */
        Py_DECREF(future);
        return other;
    }
    PyObject *reference = future ? PyWeakref_NewRef(future, NULL) : NULL;
    if (!reference)
        Py_CLEAR(future);
    Py_XSETREF(self->future, reference);
    return future;
}
