/* times.c: seconds of Python to nanoseconds of the core. Always rounded up: nothing ends early. */
#include "state.h"

#include <math.h>

static int refuse_negative(PyObject *seconds, const char *what)
{
    PyErr_Format(PyExc_ValueError, "%s must be a number of seconds from 0 up, not %R", what,
                 seconds);
    return -1;
}

static int from_float(PyObject *object, double seconds, const char *what, int64_t *ns)
{
    if (isnan(seconds) || seconds < 0)
        return refuse_negative(object, what);
    double exact = ceil(seconds * 1e9);
    /* 2**63 is the first double beyond. */
    *ns = exact >= 9223372036854775808.0 ? GS_FOREVER : (int64_t)exact;
    return 0;
}

static int from_int(PyObject *object, const char *what, int64_t *ns)
{
    int overflow;
    long long seconds = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (seconds == -1 && PyErr_Occurred())
        return -1;
    if (overflow < 0 || (overflow == 0 && seconds < 0))
        return refuse_negative(object, what);
    *ns = overflow > 0 || seconds > INT64_MAX / 1000000000 ? GS_FOREVER : seconds * 1000000000;
    return 0;
}

int gs__py_seconds(PyObject *seconds, const char *what, int64_t *ns)
{
    if (PyFloat_Check(seconds))
        return from_float(seconds, PyFloat_AS_DOUBLE(seconds), what, ns);
    if (PyLong_Check(seconds))
        return from_int(seconds, what, ns);
    /* Numbers of other libraries: NumPy's, Fraction, Decimal. */
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s must be a number of seconds, not %.100s", what,
                         Py_TYPE(seconds)->tp_name);
        return -1;
    }
    return from_float(seconds, value, what, ns);
}

int gs__py_deadline(PyObject *timeout, const char *what, int64_t *deadline)
{
    if (timeout == Py_None) {
        *deadline = GS_FOREVER;
        return 0;
    }
    int64_t ns;
    if (gs__py_seconds(timeout, what, &ns) < 0) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s must be a number of seconds or None, not %.100s",
                         what, Py_TYPE(timeout)->tp_name);
        return -1;
    }
    *deadline = ns == 0 ? 0 : gs__deadline(ns);
    return 0;
}
