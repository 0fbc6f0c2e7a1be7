/* unscoped.c: calling Python in a scope of its own: in a new contextvars context, where the root is in
 * force and nothing that the call sets stays behind. */
#include "state.h"

PyObject *gs__py_call_unscoped(gs__state *state, PyObject *function, PyObject *arg)
{
    PyObject *context = PyContext_New();
    if (!context || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *scope = gs__py_scope_begin(state, gs__ctx_background());
    if (scope)
        result = arg ? PyObject_CallOneArg(function, arg) : PyObject_CallNoArgs(function);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyContext_Exit(context);
    PyErr_Restore(type, value, traceback);
    if (scope) {
        gs__py_scope_task_leaves(scope, 0);
        Py_DECREF(scope);
    }
    Py_DECREF(context);
    return result;
}
