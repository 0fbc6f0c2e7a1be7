/* errors.c: codes of the core to exceptions, and exceptions to causes of a cancel, in this one
 * place. The classes themselves are Python: pygostop/_errors.py. */
#include "state.h"

#include "drops.h"

static PyObject *class_of(gs__state *state, int code)
{
    switch (code) {
    case GS_ECLOSED:
        return state->ChannelClosed;
    case GS_EAGAIN:
        return state->WouldBlock;
    case GS_ETIMEDOUT:
        return PyExc_TimeoutError;
    case GS_ENOMEM:
        return PyExc_MemoryError;
    case GS_EINVAL:
        return PyExc_ValueError;
    case GS_ECANCELED:
        return state->Cancelled;
    default:
        return state->Error;
    }
}

PyObject *gs__py_raise(gs__state *state, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    PyObject *message = PyUnicode_FromFormatV(fmt, args);
    va_end(args);
    if (!message)
        return NULL;
    PyErr_SetObject(class_of(state, code), message);
    Py_DECREF(message);
    return NULL;
}

PyObject *gs__py_raise_not_started(gs__state *state, int code, const char *name)
{
    if (code != GS_ECANCELED)
        return gs__py_raise(state, code,
                            "task '%s' was not started: memory, threads or mappings ran out", name);
    PyErr_Format(PyExc_RuntimeError, "task '%s' was not started: the process is leaving", name);
    return NULL;
}

/* What was given to cancel(), a new reference; *given is NULL where nothing was. */
static int given_cause(gs__state *state, gs_ctx *ctx, PyObject **given)
{
    gs__cause *cause = gs__ctx_cause(ctx);
    *given = NULL;
    if (!cause)
        return 0;
    if (cause->object && Py_IS_TYPE((PyObject *)cause->object, state->task_type))
        *given = Py_XNewRef(gs__py_task_failure(cause->object)); /* crew.c */
    else if (cause->object)
        *given = Py_NewRef((PyObject *)cause->object);
    else
        /* A C task may have said anything. */
        *given =
            PyObject_CallFunction(state->Error, "N",
                                  PyUnicode_DecodeUTF8(cause->text, (Py_ssize_t)strlen(cause->text),
                                                       "backslashreplace"));
    return *given ? 0 : -1;
}

PyObject *gs__py_ctx_err(gs__state *state, gs_ctx *ctx)
{
    enum gs__ctx_error error = gs__ctx_error(ctx);
    if (error == GS__CTX_ALIVE)
        Py_RETURN_NONE;
    if (error == GS__CTX_EXCEEDED)
        return PyObject_CallFunction(state->DeadlineExceeded, "s",
                                     "the deadline of the context has passed");
    PyObject *given;
    if (given_cause(state, ctx, &given) < 0)
        return NULL;
    PyObject *err = PyObject_CallFunction(state->Cancelled, "s", "the context was cancelled");
    if (err && given)
        PyException_SetCause(err, given);
    else
        Py_XDECREF(given);
    return err;
}

PyObject *gs__py_ctx_cause(gs__state *state, gs_ctx *ctx)
{
    PyObject *given;
    if (given_cause(state, ctx, &given) < 0)
        return NULL;
    return given ? given : gs__py_ctx_err(state, ctx);
}

PyObject *gs__py_raise_cancelled(gs__state *state, gs_ctx *scope)
{
    PyObject *cause = gs__py_ctx_cause(state, scope);
    if (!cause)
        return NULL;
    PyObject *cancelled =
        PyObject_CallFunction(state->Cancelled, "s", "the scope of this call is done");
    if (!cancelled) {
        Py_DECREF(cause);
        return NULL;
    }
    PyException_SetCause(cancelled, cause);
    PyErr_SetObject(state->Cancelled, cancelled);
    Py_DECREF(cancelled);
    return NULL;
}

int gs__py_cause_from(gs__state *state, PyObject *object, gs__cause **cause)
{
    *cause = NULL;
    if (object == Py_None)
        return 0;
    PyObject *exception;
    if (PyExceptionInstance_Check(object))
        exception = Py_NewRef(object);
    else if (PyUnicode_Check(object))
        exception = PyObject_CallOneArg(state->Error, object);
    else {
        PyErr_Format(PyExc_TypeError, "cause must be an exception, a str or None, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    if (!exception)
        return -1;
    *cause = gs__cause_object(exception, gs__py_drop_object);
    if (!*cause) {
        Py_DECREF(exception);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int gs__py_refuse_generation(PyObject *self)
{
    PyErr_Format(PyExc_RuntimeError,
                 "this %s belongs to the process before the fork: make a new one in the child",
                 _PyType_Name(Py_TYPE(self)));
    return -1;
}

int gs__py_errors_exec(PyObject *Py_UNUSED(module), gs__state *state)
{
    PyObject *errors = PyImport_ImportModule("pygostop._errors");
    if (!errors)
        return -1;
    const struct {
        const char *name;
        PyObject **class;
    } classes[] = {
        {"Error", &state->Error},           {"ChannelClosed", &state->ChannelClosed},
        {"WouldBlock", &state->WouldBlock}, {"CompileError", &state->CompileError},
        {"TaskFailed", &state->TaskFailed}, {"DeadlineExceeded", &state->DeadlineExceeded},
        {"Cancelled", &state->Cancelled},
    };
    int result = 0;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(classes) && result == 0; i++) {
        *classes[i].class = PyObject_GetAttrString(errors, classes[i].name);
        result = *classes[i].class ? 0 : -1;
    }
    Py_DECREF(errors);
    return result;
}
