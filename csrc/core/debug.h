/* debug.h: snapshots of what runs, for reports and reprs. */
#ifndef GS__DEBUG_H
#define GS__DEBUG_H

#include "chan.h"
#include "task.h"

/* References on live tasks, at most n, in no order; how many there are in all. */
long gs__debug_tasks(gs_task **tasks, long n);
const char *gs__task_state_name(gs_task *task); /* "ready", "running", "parked", "ended" */
/* What a parked task waits for, as "recv on chan 3"; an empty string where it does not. */
void gs__task_waiting_text(gs_task *task, char *text, size_t size);
/* The same of a type, as "int64": at least GS__TYPE_TEXT bytes. */
enum { GS__TYPE_TEXT = 48 };
const char *gs__type_text(gs_type type, char *text);

/* What a wait is on, in a word that outlives the channel: its id above three bits for the operation. */
enum { GS__ON_SEND = 1, GS__ON_RECV, GS__ON_SELECT, GS__ON_FD, GS__ON_BITS = 3 };
static inline const void *gs__on_send(const gs_chan *ch)
{
    return (const void *)(uintptr_t)(ch->id << GS__ON_BITS | GS__ON_SEND);
}
static inline const void *gs__on_recv(const gs_chan *ch)
{
    return (const void *)(uintptr_t)(ch->id << GS__ON_BITS | GS__ON_RECV);
}
/* The number of cases in the place of the id. */
static inline const void *gs__on_select(int cases)
{
    return (const void *)((uintptr_t)cases << GS__ON_BITS | GS__ON_SELECT);
}
static inline const void *gs__on_fd(int fd)
{
    return (const void *)((uintptr_t)fd << GS__ON_BITS | GS__ON_FD);
}

#endif
