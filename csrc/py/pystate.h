/* pystate.h: Python execution states: what the interpreter keeps for one flow of control (frames, the
 * exception being handled, recursion depth, data stack, context, trace functions, thread-local data).
 * Each Python task has one of its own, and each worker thread has one for its scheduler's stack.
 *
 * Two files implement this; a build has one of them:
 *  - pystate_exchange.c, for 3.12 to 3.14: one PyThreadState a worker, whose fields are saved and loaded.
 *    A swap of whole thread states would give up and retake the GIL there.
 *  - pystate_swap.c, for all others: one PyThreadState a task, and PyThreadState_Swap.
 *
 * What always holds:
 *  - A state is made, loaded and ended on one worker's thread, with the GIL held.
 *  - `loaded` is what the interpreter goes by. It is the worker's own state, that of a task that has
 *    begun and whose body has not returned, or what an ended task left, in which nothing is. Python code
 *    runs on a stack only while that stack's state is loaded; elsewhere references are dropped through
 *    gs__py_drop, which puts them off.
 *  - Giving up the GIL to sleep happens in the worker's own state. */
#ifndef GS__PY_PYSTATE_H
#define GS__PY_PYSTATE_H

#include "variables.h"

#if !defined(GS__PYSTATE_SWAP) && !defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030C0000 && \
    PY_VERSION_HEX < 0x030F0000
#define GS__PYSTATE_EXCHANGE 1
#endif

typedef struct gs__pystate gs__pystate;

/* Those of one worker thread. */
typedef struct gs__pystates {
    gs__pystate *loaded;
    PyThreadState *current; /* what the interpreter has `loaded` in */
    gs__pystate *own;       /* of the scheduler's stack */
    PyThreadState *thread;  /* the own one's */
    gs__pystate *ended; /* swap: to be used again, last first; exchange: loaded after a task's end */
    gs__spare_variables variables;
} gs__pystates;

/* On the worker's thread, without the GIL; with it afterwards. GS_ENOMEM: without. */
int gs__pystates_open(gs__pystates *states);
/* No task has a state any more. With the GIL; without it afterwards. */
void gs__pystates_close(gs__pystates *states);

/* Goes over to another state. */
void gs__pystate_switch(gs__pystates *states, gs__pystate *to);
static inline void gs__pystate_load(gs__pystates *states, gs__pystate *to)
{
    if (states->loaded != to)
        gs__pystate_switch(states, to);
}

/* Calls body(arg) on the calling task's stack in a fresh state, which *where names until the body has
 * returned. GS_ENOMEM: body was not called. */
int gs__pystate_run(gs__pystates *states, const gs__stack *stack, gs__pystate **where,
                    void (*body)(void *), void *arg);

/* ---- pystate.c ---- */

/* At the top of a task's stack lies the first chunk of its data stack, which the interpreter never frees
 * (the root chunk; it adds others when that is full). It grows upward from where the C stack begins to
 * grow downward: the frames of a task that has not called deeply share a page with it. */
enum {
    GS__PYSTATE_ROOT = 16 << 10, /* as the interpreter's own; only what frames reach is touched */
    GS__PYSTATE_ABOVE = GS__PYSTATE_ROOT + 512 /* so much of it at least before a page ends */
};
_PyStackChunk *gs__pystate_root(const gs__stack *stack);

/* The size of the stacks of tasks to come. Unless it is set, one on which the interpreter's own limits of
 * recursion hold, or are made to; they are, from the least size on. */
size_t gs__pystate_stack_size(void);
size_t gs__pystate_least_stack_size(void);
void gs__pystate_set_stack_size(size_t size);
/* Fits the thread state's limits of C recursion to this stack; NULL: the thread's own. */
void gs__pystate_limit(PyThreadState *thread, const gs__stack *stack);
/* Releases what a task leaves in a thread state that goes on to be used. */
void gs__pystate_forget(PyThreadState *thread);

#endif
