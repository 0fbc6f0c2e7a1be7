/* auto-unit.c: C that is compiled with automatic checkpoints, in a library of its own, for
 * test-auto.c. */
#define _GNU_SOURCE
#include "auto-unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local unsigned seed = 12345;

static unsigned any(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % n;
}

static void count(void *counter)
{
    unsigned turns = 0;
    while (turns < 1000) /* as many edges, on which a defer is not left */
        turns++;
    __atomic_add_fetch((int *)counter, turns == 1000, __ATOMIC_SEQ_CST);
}

/* A tree whose nodes come and go. */
typedef struct tree {
    struct tree *child[2];
    char *text;
} tree;

static tree *grow(int depth)
{
    tree *t = calloc(1, sizeof *t);
    if (!t || depth == 0)
        return t;
    t->text = realloc(strdup("some text"), 20 + any(1000));
    t->child[0] = grow(depth - 1);
    t->child[1] = grow(depth - 1);
    return t;
}

static void fell(tree *t)
{
    if (!t)
        return;
    fell(t->child[0]);
    fell(t->child[1]);
    free(t->text);
    free(t);
}

GS_TASK(unit_churn)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    gs_shield_begin(call);
    int code = gs_defer(call, count, &seen->defers);
    __atomic_add_fetch(&seen->begun, code == GS_OK, __ATOMIC_SEQ_CST);
    gs_shield_end(call);
    for (;;) {
        tree *t = grow(3);
        free(malloc(any(100000)));
        fell(t);
    }
}

GS_TASK(unit_hold)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    for (int i = 0; i < UNIT_BLOCKS; i++)
        seen->blocks[i] = malloc(100);
    __atomic_store_n(&seen->begun, 1, __ATOMIC_SEQ_CST);
    for (;;)
        ++seen->turns;
}

GS_TASK(unit_shield)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    gs_shield_begin(call);
    __atomic_store_n(&seen->begun, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&seen->release, __ATOMIC_SEQ_CST))
        ++seen->turns;
    seen->done = 1;
    gs_shield_end(call);
    for (;;)
        ++seen->turns;
}

static void take_turns(unit_seen *seen)
{
    for (int i = 0; i < 1000; i++)
        ++seen->turns;
    seen->done = 1;
}

/* Asked to stop already, on no edge, when its shield begins. */
static GS_NO_CHECKPOINT void shield_late(gs_call *call, unit_seen *seen)
{
    __atomic_store_n(&seen->begun, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&call->signal, __ATOMIC_SEQ_CST))
        ;
    call->api->shield_begin(call);
    take_turns(seen);
    call->api->shield_end(call);
}

GS_TASK(unit_shield_late)
{
    shield_late(call, gs_arg_ptr(call, 0));
    return GS_ECANCELED;
}

GS_TASK(unit_refused)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    /* Not malloc by its name, of which clang knows that it leaves errno alone. */
    void *(*volatile allocate)(size_t) = malloc;
    seen->arm();
    errno = 0;
    seen->blocks[0] = allocate(10);
    seen->turns = errno == ENOMEM;
    return GS_OK;
}

/* ---- a hook that runs on another task's stack ---- */

static void long_hook(void *arg)
{
    unit_seen *seen = arg;
    __atomic_store_n(&seen->begun, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&seen->release, __ATOMIC_SEQ_CST))
        ++seen->turns;
    seen->done = 1;
}

/* Without an edge: it is not to be left, and take its hook along, before that has begun. */
static GS_NO_CHECKPOINT int with_hook(gs_call *call)
{
    unit_seen *seen = call->api->arg_ptr(call, 0);
    if (call->api->on_cancel(call, long_hook, seen) < 0)
        return 1;
    __atomic_store_n(&seen->hooked, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&seen->begun, __ATOMIC_SEQ_CST))
        call->api->yield(call);
    return GS_ECANCELED;
}

GS_TASK(unit_cancel_other)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    gs_value arg = GS_ARG_PTR(seen);
    gs_task *other = gs_go(call, with_hook, &arg, 1);
    while (!__atomic_load_n(&seen->hooked, __ATOMIC_SEQ_CST))
        GS_TRY(gs_yield(call));
    gs_task_cancel(call, other);
    for (;;)
        ++seen->turns;
}

static int spin(gs_call *call)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    for (;;)
        ++seen->turns;
    return GS_OK;
}

/* A child that is asked to stop before it has begun. */
GS_TASK(unit_unstarted)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    int code = 0;
    gs_value arg = GS_ARG_PTR(seen);
    gs_task *child = gs_go(call, spin, &arg, 1);
    gs_task_cancel(call, child);
    GS_TRY(gs_join(call, child, &code));
    return code == GS_ECANCELED && seen->turns == 0 ? GS_OK : 1;
}

/* The runtime abandons a task for an argument too. */
GS_TASK(unit_bad_argument)
{
    unit_seen *seen = gs_arg_ptr(call, 0);
    seen->blocks[0] = malloc(1 << 20);
    memset(seen->blocks[0], 1, 1 << 20);
    GS_TRY(gs_defer(call, count, &seen->defers));
    return (int)gs_arg_int(call, 1);
}

void unit_free(void *block)
{
    free(block);
}
