/* faults.c: in builds with GS_FAULTS only: every allocation of the core and every one of Python's asks one
 * counter, which can be told to fail. For tests/stress/faults.py; no release has it.
 *
 * What the interpreter allocates on other threads counts too, so a caller sees to it that nothing else
 * goes on. */
#include "state.h"

static PyMemAllocatorEx before[3]; /* by domain: raw, mem, object */

static void *fail_malloc(void *ctx, size_t size)
{
    const PyMemAllocatorEx *a = ctx;
    return gs__should_fail() ? NULL : a->malloc(a->ctx, size);
}

static void *fail_calloc(void *ctx, size_t n, size_t size)
{
    const PyMemAllocatorEx *a = ctx;
    return gs__should_fail() ? NULL : a->calloc(a->ctx, n, size);
}

static void *fail_realloc(void *ctx, void *block, size_t size)
{
    const PyMemAllocatorEx *a = ctx;
    return gs__should_fail() ? NULL : a->realloc(a->ctx, block, size);
}

static void pass_free(void *ctx, void *block)
{
    const PyMemAllocatorEx *a = ctx;
    a->free(a->ctx, block);
}

/* _fail(function, n): calls function() with the allocation after n more failing. Gives what was left of
 * the count, more than 0 where it had not come to that, and the exception or None. */
static PyObject *fail(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *function, *type, *value, *traceback;
    long n;
    if (!PyArg_ParseTuple(args, "Ol:_fail", &function, &n))
        return NULL;
    gs__fail_at(n);
    Py_XDECREF(PyObject_CallNoArgs(function));
    long left = gs__fail_after(-1);
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return Py_BuildValue("(lO)", left, Py_None);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(traceback);
    Py_DECREF(type);
    return Py_BuildValue("(lN)", left, value);
}

static PyMethodDef functions[] = {
    {"_fail", fail, METH_VARARGS, NULL},
    {NULL},
};

int gs__py_faults_exec(PyObject *module, gs__state *Py_UNUSED(state))
{
    for (int domain = 0; domain < 3; domain++) {
        PyMemAllocatorEx failing = {&before[domain], fail_malloc, fail_calloc, fail_realloc,
                                    pass_free};
        PyMem_GetAllocator((PyMemAllocatorDomain)domain, &before[domain]);
        PyMem_SetAllocator((PyMemAllocatorDomain)domain, &failing);
    }
    return PyModule_AddFunctions(module, functions);
}
