/* owned.h: what a task holds and gives back when it ends: defers, cancel hooks, the stop descriptor,
 * channels and contexts it made, handles on children, strings it received. All lists are the task's
 * own: no lock. */
#ifndef GS__OWNED_H
#define GS__OWNED_H

#include "str.h"
#include "task.h"

int gs__task_defer(gs_task *task, void (*fn)(void *), void *arg);
void gs__task_run_defers(gs_task *task);

int gs__task_on_cancel(gs_task *task, void (*fn)(void *), void *arg);
void gs__task_off_cancel(gs_task *task, int id);
int gs__task_stop_fd(gs_task *task);
void gs__task_shield_begin(gs_task *task);
void gs__task_shield_end(gs_task *task);

/* Take over a reference; GS_ENOMEM: not taken. */
int gs__task_hold_chan(gs_task *task, gs_chan *ch);
int gs__task_hold_ctx(gs_task *task, gs_ctx *ctx);

/* A string that the task received, and one that it gives away. */
static inline void gs__task_own_str(gs_task *task, gs_str *s)
{
    gs__list_append(&task->strings, &gs__str_head_of(s)->link);
}
static inline void gs__task_disown_str(const gs_str *s)
{
    if (gs__linked(&gs__str_head_of(s)->link))
        gs__list_remove(&gs__str_head_of(s)->link);
}

/* All of it goes, in the end. */
void gs__task_release_owned(gs_task *task);

#endif
