/* auto.c: see auto.h. */
#include "auto.h"

#include "blocks.h"

#include <errno.h>
#include <stdlib.h>

/* Read by every checkpoint; alone on its cache line. */
static struct {
    _Alignas(GS__CACHE_LINE) unsigned pending;
} word;

/* ---- who is to leave ---- */

void gs__auto_recount(gs_task *task)
{
    bool leave = atomic_load_explicit(&task->automatic, memory_order_relaxed) == GS__AUTO_YES &&
                 (gs__task_signal(task) & GS__SIGNAL_STOP);
    if (leave == atomic_load_explicit(&task->to_leave, memory_order_relaxed))
        return;
    atomic_store_explicit(&task->to_leave, leave, memory_order_release);
    __atomic_fetch_add(&word.pending, leave ? 1u : -1u, __ATOMIC_SEQ_CST);
}

static void set_automatic(gs_task *task, unsigned char automatic)
{
    gs__acquire(&task->lock);
    atomic_store_explicit(&task->automatic, automatic, memory_order_relaxed);
    gs__auto_recount(task);
    gs__release(&task->lock);
}

void gs__auto_over(gs_task *task)
{
    if (atomic_load_explicit(&task->automatic, memory_order_relaxed) == GS__AUTO_YES)
        set_automatic(task, GS__AUTO_OVER);
    else
        atomic_store_explicit(&task->automatic, GS__AUTO_OVER, memory_order_relaxed);
}

unsigned gs__auto_pending(void)
{
    return __atomic_load_n(&word.pending, __ATOMIC_SEQ_CST);
}

void gs__auto_reset(void)
{
    __atomic_store_n(&word.pending, 0, __ATOMIC_SEQ_CST);
}

/* ---- what the libraries call ---- */

static void look(void)
{
    gs_task *task = gs__task_current();
    if (task && atomic_load_explicit(&task->to_leave, memory_order_acquire) && !task->in_hooks)
        gs__task_abandon(task, GS_ECANCELED);
}

static int own(void *block)
{
    gs_task *task = gs__task_current();
    if (!task || atomic_load_explicit(&task->automatic, memory_order_relaxed) != GS__AUTO_YES ||
        gs__blocks_own(task, block) == GS_OK)
        return GS_OK;
    errno = ENOMEM;
    return GS_ENOMEM;
}

static int disown(void *block)
{
    return gs__blocks_disown(block);
}

static bool is_known(const gs_auto *library)
{
    return __atomic_load_n(&library->look, __ATOMIC_ACQUIRE) != NULL;
}

void gs__auto_begin(gs_call *call, gs_auto *library)
{
    gs_task *task = (gs_task *)call;
    if (!is_known(library)) {
        __atomic_store_n(&library->own, own, __ATOMIC_RELAXED);
        __atomic_store_n(&library->disown, disown, __ATOMIC_RELAXED);
        __atomic_store_n(&library->look, look, __ATOMIC_RELEASE);
        __atomic_store_n(&library->pending, &word.pending, __ATOMIC_RELEASE);
    }
    if (atomic_load_explicit(&task->automatic, memory_order_relaxed) == GS__AUTO_NO)
        set_automatic(task, GS__AUTO_YES);
}
