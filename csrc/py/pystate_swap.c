/* pystate_swap.c: execution states as whole PyThreadStates, and PyThreadState_Swap.
 *
 * Ended tasks leave their thread states to the next ones on the same worker, with what they kept
 * forgotten: making one costs 50 times as much. The last one's stays loaded, so that a task which begins
 * then finds it in place. A version of Python that this file does not know might keep something else in
 * them, so there each task gets a new one. */
#define _GNU_SOURCE
#include "pystate.h"

#ifndef GS__PYSTATE_EXCHANGE

#include <limits.h>
#include <pthread.h>

#if PY_VERSION_HEX < 0x03100000
#define POOLED 1
#else
#define POOLED 0
#endif

struct gs__pystate {
    PyThreadState *thread;
    gs__pystate *next; /* on gs__pystates.ended */
};

/* ---- the thread state that PyGILState_Ensure finds ---- */

#if PY_VERSION_HEX < 0x030C0000

/* A swap leaves it as it was before 3.12: Ensure, in a callback of ctypes say, would take the GIL a second
 * time. It is kept under a key of pthread's, which is found by what it holds. */
static pthread_key_t gilstate_key;
static bool gilstate_known;

static int find_gilstate_key(const PyThreadState *thread)
{
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX && !gilstate_known; key++)
        if (pthread_getspecific(key) == thread) {
            pthread_setspecific(key, NULL);
            gilstate_known = PyGILState_GetThisThreadState() == NULL;
            pthread_setspecific(key, thread);
            gilstate_key = key;
        }
    return gilstate_known ? GS_OK : GS_ENOMEM;
}

static void note_gilstate(PyThreadState *thread)
{
    pthread_setspecific(gilstate_key, thread);
}

#else

static int find_gilstate_key(const PyThreadState *Py_UNUSED(thread))
{
    return GS_OK;
}

static void note_gilstate(PyThreadState *Py_UNUSED(thread))
{
}

#endif

/* ---- switch ---- */

void gs__pystate_switch(gs__pystates *states, gs__pystate *to)
{
    states->loaded = to;
    states->current = to->thread;
    PyThreadState_Swap(to->thread);
    note_gilstate(to->thread);
}

/* ---- a task ---- */

static gs__pystate *take(gs__pystates *states)
{
    gs__pystate *state = states->ended;
    if (state) {
        states->ended = state->next;
        return state;
    }
    state = gs__alloc(sizeof *state);
    if (state && !(state->thread = PyThreadState_New(PyInterpreterState_Main()))) {
        gs__free(state);
        state = NULL;
    }
    return state;
}

static void destroy(gs__pystate *state)
{
    PyThreadState_Clear(state->thread);
    PyThreadState_Delete(state->thread);
    gs__free(state);
}

/* Where the interpreter deletes the thread state of a parked task, in a forked child or at its end, it
 * gives the chunk, whose address is no page's, to munmap, which refuses. */
static void lend_root(PyThreadState *thread, const gs__stack *stack)
{
    _PyStackChunk *root = gs__pystate_root(stack);
    thread->datastack_chunk = root;
    thread->datastack_top = &root->data[1];
    thread->datastack_limit = (PyObject **)((char *)root + root->size);
}

static void take_root_back(PyThreadState *thread)
{
    thread->datastack_chunk = NULL;
    thread->datastack_top = thread->datastack_limit = NULL;
}

int gs__pystate_run(gs__pystates *states, const gs__stack *stack, gs__pystate **where,
                    void (*body)(void *), void *arg)
{
    gs__pystate *state = take(states);
    if (!state)
        return GS_ENOMEM;
    if (POOLED)
        lend_root(state->thread, stack);
    gs__pystate_limit(state->thread, stack);
    gs__pystate_load(states, state);
    *where = state;
    body(arg);
    if (POOLED) {
        gs__pystate_forget(state->thread);
        take_root_back(state->thread);
        state->next = states->ended;
        states->ended = state;
    } else {
        gs__pystate_switch(states, states->own);
        destroy(state);
    }
    *where = NULL;
    return GS_OK;
}

/* ---- a worker ---- */

int gs__pystates_open(gs__pystates *states)
{
    gs__pystate *own = gs__calloc(sizeof *own);
    if (own && (own->thread = PyThreadState_New(PyInterpreterState_Main()))) {
        PyEval_RestoreThread(own->thread);
        *states = (gs__pystates){
            .loaded = own, .current = own->thread, .own = own, .thread = own->thread};
        if (find_gilstate_key(own->thread) == GS_OK)
            return GS_OK;
        PyThreadState_Clear(own->thread);
        PyThreadState_DeleteCurrent();
    }
    gs__free(own);
    return GS_ENOMEM;
}

void gs__pystates_close(gs__pystates *states)
{
    gs__pystate_load(states, states->own);
    gs__variables_release(&states->variables);
    while (states->ended) {
        gs__pystate *state = states->ended;
        states->ended = state->next;
        destroy(state);
    }
    PyThreadState_Clear(states->thread);
    PyThreadState_DeleteCurrent();
    gs__free(states->own);
}

#endif
