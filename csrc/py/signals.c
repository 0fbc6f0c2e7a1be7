/* signals.c: whether the Python handler of a signal is due, which a waiting main thread asks now and then
 * (waiter.c): a signal that came before it slept has not woken it.
 *
 * It is asked without the GIL: the interpreter's own mark is read, of the versions that have been looked at.
 * Elsewhere only Ctrl-C is noticed, with the GIL. */
#include <patchlevel.h>
#if PY_VERSION_HEX < 0x030D0000
#define Py_BUILD_CORE_MODULE 1 /* before Python.h, or pycore_runtime.h disagrees with it */
#endif
#include "state.h"

#if PY_VERSION_HEX < 0x030D0000
#include <internal/pycore_runtime.h>

static bool pending(void)
{
    return _Py_atomic_load_relaxed(&_PyRuntime.ceval.signals_pending);
}
#elif PY_VERSION_HEX < 0x03100000

/* _PY_SIGNALS_PENDING_BIT of 3.13 to 3.15. The main thread's state has it, and only that thread asks. */
enum { SIGNALS_PENDING = 1u << 1 };

static bool pending(void)
{
    PyThreadState *own = PyGILState_GetThisThreadState();
    return own && __atomic_load_n(&own->eval_breaker, __ATOMIC_RELAXED) & SIGNALS_PENDING;
}
#else
static bool pending(void)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    bool came = PyOS_InterruptOccurred();
    if (came)
        PyErr_SetInterrupt(); /* it was taken, and is for who handles signals */
    PyGILState_Release(gil);
    return came;
}
#endif

int gs__py_signals_exec(PyObject *Py_UNUSED(module), gs__state *Py_UNUSED(state))
{
    gs__signal_pending = pending;
    return 0;
}
