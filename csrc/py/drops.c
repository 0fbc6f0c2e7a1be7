/* drops.c: what C threads drop and Python owns.
 *
 * Dropped references that no thread with the GIL released are on `gs__py_drops`, newest first. Threads push
 * by compare-and-swap and take all at once, so there is no lock and a fork leaves the list whole.
 * The first one on an empty list asks the interpreter for a pending call, in case nobody enters the
 * module for long (before 3.13 the main thread looks for one only when it next takes the GIL).
 * `open_for_calls` goes false before the interpreter ends: no pending call is asked for then, and
 * none is being asked for once gs__py_drops_stop has returned. */
#include "drops.h"

#include "pyworker.h"

#include <pthread.h>

_Atomic(gs__py_dropped *) gs__py_drops;
static atomic_bool open_for_calls;
static atomic_int asking; /* threads that are asking for a pending call */

static bool have_gil(void)
{
    /* PyGILState_Check says yes to everybody once a subinterpreter was made. */
    PyThreadState *own = PyGILState_GetThisThreadState();
#if PY_VERSION_HEX >= 0x030D0000
    return own && own == PyThreadState_GetUnchecked();
#else
    return own && own == _PyThreadState_UncheckedGet();
#endif
}

static int run_pending(void *Py_UNUSED(arg))
{
    gs__py_drops_run();
    return 0;
}

static void ask_for_call(void)
{
    atomic_fetch_add(&asking, 1);
    if (atomic_load(&open_for_calls))
        (void)Py_AddPendingCall(run_pending, NULL); /* full: the next entry releases them */
    atomic_fetch_sub(&asking, 1);
}

/* Taking one of several references off runs nothing. */
static bool may_drop_here(PyObject *object)
{
    return have_gil() && (Py_REFCNT(object) > 1 || gs__pyworker_may_run());
}

static void put_off(gs__py_dropped *one)
{
    gs__py_dropped *first = atomic_load(&gs__py_drops);
    do
        one->next = first;
    while (!atomic_compare_exchange_weak(&gs__py_drops, &first, one));
    if (!first)
        ask_for_call();
}

void gs__py_drop_in(gs__py_dropped *room, PyObject *object, void *block)
{
    if (may_drop_here(object)) {
        gs__free(block);
        Py_DECREF(object);
        return;
    }
    room->object = object;
    room->block = block;
    put_off(room);
}

void gs__py_drop(PyObject *object)
{
    if (!object)
        return;
    if (may_drop_here(object)) {
        Py_DECREF(object);
        return;
    }
    gs__py_dropped *one = gs__alloc(sizeof *one);
    if (!one)
        return; /* a leaked object, where memory ran out, is the least harm */
    one->object = object;
    one->block = one;
    put_off(one);
}

void gs__py_drop_object(void *object)
{
    gs__py_drop(object);
}

void gs__py_drop_item(void *item)
{
    gs__py_drop(*(PyObject **)item);
}

void gs__py_drops_release(void)
{
    gs__py_dropped *one = atomic_exchange(&gs__py_drops, NULL), *oldest = NULL;
    while (one) {
        gs__py_dropped *next = one->next;
        one->next = oldest;
        oldest = one;
        one = next;
    }
    while (oldest) {
        gs__py_dropped *next = oldest->next;
        PyObject *object = oldest->object;
        gs__free(oldest->block);
        Py_DECREF(object);
        oldest = next;
    }
}

static void after_fork(void)
{
    atomic_store(&asking, 0); /* those who asked are not here */
}

int gs__py_drops_start(void)
{
    static atomic_bool known;
    if (!atomic_exchange(&known, true) && pthread_atfork(NULL, NULL, after_fork) != 0) {
        atomic_store(&known, false);
        PyErr_NoMemory();
        return -1;
    }
    atomic_store(&open_for_calls, true);
    return 0;
}

void gs__py_drops_stop(void)
{
    atomic_store(&open_for_calls, false);
    unsigned round = 0;
    while (atomic_load(&asking))
        gs__backoff(&round);
}
