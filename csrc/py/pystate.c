/* pystate.c: what both ways of switching execution states have in common: limits of recursion, and
 * forgetting what a task left behind.
 *
 * Recursion: the interpreter must raise RecursionError before a task's stack ends.
 *  - 3.11 counts Python and C frames together, against sys.getrecursionlimit(). The deepest stack that
 *    this lets through is a sort within a sort's key function, about 8 KiB a level.
 *  - 3.12 and 3.13 count C frames alone: the counter is scaled to the stack.
 *  - From 3.14 the interpreter looks at the stack pointer: it is told where the stack ends. */
#include "pystate.h"

enum {
    LEAF_MOST = 128 << 10, /* what one C function may take at the end of a recursion: TLS, select */
    LEVEL_MOST = 4 << 10 /* of one level of C recursion: a sort in a key function takes two levels */
};

#if PY_VERSION_HEX < 0x030C0000
static const size_t least_stack_size = (size_t)8 << 20;
static size_t stack_size = (size_t)8 << 20;
#else
static const size_t least_stack_size = (size_t)512 << 10;
static size_t stack_size = (size_t)1 << 20;
#endif

size_t gs__pystate_stack_size(void)
{
    return stack_size;
}

size_t gs__pystate_least_stack_size(void)
{
    return least_stack_size;
}

void gs__pystate_set_stack_size(size_t size)
{
    stack_size = size;
}

#if PY_VERSION_HEX >= 0x030E0000

void gs__pystate_limit(PyThreadState *thread, const gs__stack *stack)
{
    if (!stack) {
        PyUnstable_ThreadState_ResetStackProtection(thread);
        return;
    }
    size_t guard = gs__stack_guard_size(stack->size);
    if (PyUnstable_ThreadState_SetStackProtection(thread, stack->bottom + guard,
                                                  stack->size - guard) < 0)
        gs__panic("a stack of %zu bytes is too small for Python", stack->size);
}

#elif PY_VERSION_HEX >= 0x030C0000

#ifndef Py_C_RECURSION_LIMIT
#define Py_C_RECURSION_LIMIT C_RECURSION_LIMIT
#endif

void gs__pystate_limit(PyThreadState *thread, const gs__stack *stack)
{
    size_t levels = Py_C_RECURSION_LIMIT;
    if (stack) {
        size_t usable =
            stack->size - gs__stack_guard_size(stack->size) - GS__PYSTATE_ABOVE - LEAF_MOST;
        if (usable / LEVEL_MOST < levels)
            levels = usable / LEVEL_MOST;
    }
    thread->c_recursion_remaining = (int)levels;
}

#else

void gs__pystate_limit(PyThreadState *Py_UNUSED(thread), const gs__stack *Py_UNUSED(stack))
{
}

#endif

_PyStackChunk *gs__pystate_root(const gs__stack *stack)
{
    _PyStackChunk *root = (_PyStackChunk *)(gs__stack_top(stack) - GS__PYSTATE_ABOVE);
    root->previous = NULL;
    root->size = GS__PYSTATE_ROOT;
    root->top = 0;
    return root;
}

/* What is released may run code that leaves more; a thread's end makes one pass, and so does this. */
void gs__pystate_forget(PyThreadState *thread)
{
    if (thread->c_tracefunc)
        PyEval_SetTrace(NULL, NULL);
    if (thread->c_profilefunc)
        PyEval_SetProfile(NULL, NULL);
    Py_CLEAR(thread->dict);
#if PY_VERSION_HEX >= 0x030D0000
    Py_CLEAR(thread->threading_local_key);
    Py_CLEAR(thread->threading_local_sentinel);
#endif
    Py_CLEAR(thread->async_gen_firstiter);
    Py_CLEAR(thread->async_gen_finalizer);
    Py_CLEAR(thread->async_exc);
    Py_CLEAR(thread->context);
    thread->context_ver++;
    thread->coroutine_origin_tracking_depth = 0;
    Py_CLEAR(thread->exc_state.exc_value);
    PyErr_Clear();
}
