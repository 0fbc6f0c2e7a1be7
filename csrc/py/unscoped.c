/* unscoped.c: calling Python in a scope of its own: in a new contextvars context, where no scope is in
 * force and nothing that the call sets stays behind. */
#include "state.h"

PyObject *gs__py_call_unscoped(PyObject *function, PyObject *arg)
{
    PyObject *context = PyContext_New();
    if (!context || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return NULL;
    }
    PyObject *result = arg ? PyObject_CallOneArg(function, arg) : PyObject_CallNoArgs(function);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyContext_Exit(context);
    PyErr_Restore(type, value, traceback);
    Py_DECREF(context);
    return result;
}
