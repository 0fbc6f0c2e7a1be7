/* pystate_exchange.c: execution states as fields of one PyThreadState a worker, saved and loaded.
 *
 * A task's state lies on its own stack, and so does the root chunk of its data stack: a task begins
 * without an allocation, and its end leaves nothing behind.
 *
 * A fresh state owes nothing to the one loaded before. Each has an `id` of its own, which is what the
 * interpreter's caches of context variables go by: nothing has to be stepped at a switch.
 *
 * From 3.13 asyncio keeps the running loop, from 3.14 its current task too, in the private part of a
 * thread state, behind the public one: they are a task's own as well. */
#include "pystate.h"

#ifdef GS__PYSTATE_EXCHANGE

#if PY_VERSION_HEX >= 0x030D0000
#define Py_BUILD_CORE 1
#include <internal/pycore_tstate.h>
#undef Py_BUILD_CORE
#endif

/* clang-format off */
#if PY_VERSION_HEX >= 0x030E0000
#define VERSION_FIELDS(X) \
    X(current_frame) X(delete_later) X(current_executor) \
    X(threading_local_key) X(threading_local_sentinel)
#elif PY_VERSION_HEX >= 0x030D0000
#define VERSION_FIELDS(X) \
    X(c_recursion_remaining) X(current_frame) X(delete_later) X(previous_executor) \
    X(threading_local_key) X(threading_local_sentinel)
#else
#define VERSION_FIELDS(X) X(c_recursion_remaining) X(cframe) X(trash)
#endif

#define FIELDS(X) \
    VERSION_FIELDS(X) \
    X(recursion_headroom) X(tracing) X(what_event) \
    X(c_profilefunc) X(c_tracefunc) X(c_profileobj) X(c_traceobj) \
    X(current_exception) X(exc_info) X(exc_state) X(dict) X(context) X(context_ver) X(id) \
    X(coroutine_origin_tracking_depth) X(async_gen_firstiter) X(async_gen_finalizer) \
    X(datastack_chunk) X(datastack_top) X(datastack_limit)

/* References, in the private part. */
#if PY_VERSION_HEX >= 0x030E0000
#define PRIVATE_FIELDS(X) X(asyncio_running_loop) X(asyncio_running_task)
#elif PY_VERSION_HEX >= 0x030D0000
#define PRIVATE_FIELDS(X) X(asyncio_running_loop)
#else
#define PRIVATE_FIELDS(X)
#endif
/* clang-format on */

struct gs__pystate {
#define MEMBER(field) __typeof__(((PyThreadState *)NULL)->field) field;
    FIELDS(MEMBER)
#undef MEMBER
    int depth;              /* Python frames: the limit may change while they are parked */
    const gs__stack *stack; /* NULL: the thread's own */
#define MEMBER(field) PyObject *field;
    PRIVATE_FIELDS(MEMBER)
#undef MEMBER
#if PY_VERSION_HEX < 0x030D0000
    _PyCFrame root;
#endif
};

/* ---- switch ---- */

static void save(gs__pystate *state, const PyThreadState *thread)
{
#define SAVE(field) state->field = thread->field;
    FIELDS(SAVE)
#undef SAVE
#define SAVE(field) state->field = ((const _PyThreadStateImpl *)thread)->field;
    PRIVATE_FIELDS(SAVE)
#undef SAVE
    state->depth = thread->py_recursion_limit - thread->py_recursion_remaining;
}

static void load(const gs__pystate *state, PyThreadState *thread)
{
#define LOAD(field) thread->field = state->field;
    FIELDS(LOAD)
#undef LOAD
#define LOAD(field) ((_PyThreadStateImpl *)thread)->field = state->field;
    PRIVATE_FIELDS(LOAD)
#undef LOAD
    thread->py_recursion_remaining = thread->py_recursion_limit - state->depth;
#if PY_VERSION_HEX >= 0x030E0000
    gs__pystate_limit(thread, state->stack);
#endif
}

void gs__pystate_switch(gs__pystates *states, gs__pystate *to)
{
    save(states->loaded, states->thread);
    load(to, states->thread);
    states->loaded = to;
}

/* ---- a task ---- */

/* Ids that the interpreter, which counts from 1, will not give out. */
static uint64_t next_id(void)
{
    static uint64_t last = (uint64_t)1 << 63; /* guarded by the GIL */
    return ++last;
}

static void init(gs__pystate *state, const gs__stack *stack, PyThreadState *thread)
{
    _PyStackChunk *root = gs__pystate_root(stack);
    memset(state, 0, sizeof(*state));
    state->what_event = -1;
    state->exc_info = &thread->exc_state;
    state->id = next_id();
    state->datastack_chunk = root;
    /* Not the first: so that popping a frame never finds the chunk empty. */
    state->datastack_top = &root->data[1];
    state->datastack_limit = (PyObject **)((char *)root + root->size);
    state->stack = stack;
#if PY_VERSION_HEX < 0x030D0000
    state->cframe = &state->root;
#endif
}

int gs__pystate_run(gs__pystates *states, const gs__stack *stack, gs__pystate **where,
                    void (*body)(void *), void *arg)
{
    gs__pystate state;
    init(&state, stack, states->thread);
    if (states->loaded != states->ended) /* else there is nothing to be kept */
        save(states->loaded, states->thread);
    load(&state, states->thread);
    states->loaded = &state;
    gs__pystate_limit(states->thread, stack);
    *where = &state;
    body(arg);
#define CLEAR(field) Py_CLEAR(((_PyThreadStateImpl *)states->thread)->field);
    PRIVATE_FIELDS(CLEAR)
#undef CLEAR
    gs__pystate_forget(states->thread);
#if PY_VERSION_HEX < 0x030D0000
    states->thread->cframe = states->own->cframe; /* a fault handler looks at it without the GIL */
#endif
    states->loaded = states->ended;
    *where = NULL;
    return GS_OK;
}

/* ---- a worker ---- */

int gs__pystates_open(gs__pystates *states)
{
    gs__pystate *both = gs__calloc(2 * sizeof *both), *own = both;
    PyThreadState *thread = both ? PyThreadState_New(PyInterpreterState_Main()) : NULL;
    if (!thread) {
        gs__free(both);
        return GS_ENOMEM;
    }
    PyEval_RestoreThread(thread);
    *states = (gs__pystates){
        .loaded = own, .current = thread, .own = own, .thread = thread, .ended = both + 1};
    return GS_OK;
}

void gs__pystates_close(gs__pystates *states)
{
    gs__pystate_load(states, states->own);
    gs__variables_release(&states->variables);
    PyThreadState_Clear(states->thread);
    PyThreadState_DeleteCurrent();
    gs__free(states->own);
}

#endif
