/* args.c: see args.h. The interpreter's own parser of this kind is private to it. */
#include "args.h"

static int place_of(const gs__py_params *params, PyObject *name)
{
    for (int i = 0; params->names[i]; i++)
        if (PyUnicode_CompareWithASCIIString(name, params->names[i]) == 0)
            return i;
    return -1;
}

int gs__py_args_named(const gs__py_params *params, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, PyObject **out)
{
    int n = 0;
    while (params->names[n])
        out[n++] = NULL;
    if (nargs > params->n_positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional argument%s (%zd given)",
                     params->call, params->n_positional, params->n_positional == 1 ? "" : "s",
                     nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++)
        out[i] = args[i];
    Py_ssize_t n_keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < n_keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int place = place_of(params, name);
        if (place < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                         params->call, name);
            return -1;
        }
        if (out[place]) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                         params->call, name);
            return -1;
        }
        out[place] = args[nargs + i];
    }
    for (int i = 0; i < params->n_required; i++)
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s' (pos %d)",
                         params->call, params->names[i], i + 1);
            return -1;
        }
    return 0;
}

const char *gs__py_name(PyObject *name, const char *call)
{
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "%s() name must be a str or None, not %.100s", call,
                     Py_TYPE(name)->tp_name);
        return NULL;
    }
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(name, &size);
    if (!text || strlen(text) == (size_t)size)
        return text;
    PyErr_Format(PyExc_ValueError, "%s() name must not have a NUL character in it, as %R has", call,
                 name);
    return NULL;
}
