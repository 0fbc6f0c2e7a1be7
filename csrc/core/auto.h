/* auto.h: checkpoints that a compiler put into C code (pygostop_auto.h), and leaving that code for
 * good.
 *
 * An automatic task is one whose stack may be left wherever such a checkpoint is; it says so itself
 * (gs_auto_begin), or was started by one. What always holds:
 *  - `pending` is the number of automatic tasks that are to leave: asked to stop, not under a
 *    shield, and not yet at their end. It is what the checkpoints of all libraries load, so they
 *    cost next to nothing while it is 0.
 *  - gs_task.automatic and .to_leave change with the task's lock held; the task itself reads them
 *    without.
 *  - A task leaves only from its own code: not from a defer, nor from a hook of gs_on_cancel,
 *    whoever's it is, that happens to run on its stack. */
#ifndef GS__AUTO_H
#define GS__AUTO_H

#include "task.h"

#define GS__AUTO_TYPE_ONLY
#include <pygostop_auto.h>

/* In gs_task.automatic. */
enum { GS__AUTO_NO, GS__AUTO_YES, GS__AUTO_OVER /* its function has been left */ };

/* The running task is automatic from here on, and the library knows the runtime. */
void gs__auto_begin(gs_call *call, gs_auto *library);
/* With the task's lock held, after its stop bit or `automatic` has changed. */
void gs__auto_recount(gs_task *task);
/* Its function has been left: it leaves no more. */
void gs__auto_over(gs_task *task);
/* The number in `pending`, for tests. */
unsigned gs__auto_pending(void);
/* In a forked child. */
void gs__auto_reset(void);

#endif
