/* debug.h: snapshots of what runs, for reports and reprs. */
#ifndef GS__DEBUG_H
#define GS__DEBUG_H

#include "task.h"

/* References on the live tasks, at most n, oldest first; how many there are in all. */
long gs__debug_tasks(gs_task **tasks, long n);
const char *gs__task_state_name(gs_task *task); /* "ready", "running", "parked", "ended" */
/* What a parked task waits for, as "recv on chan 3"; an empty string where that is not known. */
void gs__task_waiting_text(gs_task *task, char *text, size_t size);

#endif
