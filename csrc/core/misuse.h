/* misuse.h: what a task did wrong where a call of pygostop.h refuses its arguments, in words. */
#ifndef GS__MISUSE_H
#define GS__MISUSE_H

#include "chan.h"
#include "task.h"

/* Gives back `code`, so: return gs__misuse(…). The words become the message of the task's failure
 * where it ends with that code and has no message of gs_fail's. */
int gs__misuse(gs_task *task, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* GS_EINVAL, for a channel that is NULL, or of which the task was given the other half only (1:
 * this is to receive, 2: to send); else it is the item that is NULL. */
int gs__misuse_of_chan(gs_task *task, const char *call, const gs_chan *ch, int half);
/* GS_EINVAL, for a channel whose items are not of this kind; a negative time; a descriptor that is
 * not open. */
int gs__misuse_of_type(gs_task *task, const char *call, const gs_chan *ch, int kind);
int gs__misuse_of_time(gs_task *task, const char *call, int64_t ns);
int gs__misuse_of_fd(gs_task *task, int fd);
/* GS_EINVAL, for the case at index i of gs_select. */
int gs__misuse_of_case(gs_task *task, const gs_case *c, int i);

#endif
