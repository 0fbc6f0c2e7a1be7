/* crew.h: the tasks of a Group: what they keep of it, and what they do at their end, without the GIL.
 *
 * The tasks know nothing of the Group object, only of its crew: memory by reference, one the Group's
 * and one for each member. What always holds:
 *  - `count` is the number of members that have not ended, and of calls of go under way. It rises
 *    with the GIL held, in a Group that was not left, so that it stays 0 once it is with the body
 *    ended. Where it falls to 0, `idle` gets a token afterwards: who waits there looks at `count`
 *    again.
 *  - A member is its task's hook, and ends on the thread that ended the task: first a failure is put
 *    on `failures` and the context cancelled with it, then its place is free, then `count` falls. So
 *    who sees 0 sees all failures.
 *  - `lock`, a leaf, guards `failures`.
 *  - The cause of a cancel by a failure is its exception. A C task's is not made yet, as that takes
 *    the GIL: its Task stands for it, which errors.c knows; the cause has the member's reference on
 *    it then. The Task keeps the context, and the context the cause: gs__crew_leave opens that ring. */
#ifndef GS__PY_CREW_H
#define GS__PY_CREW_H

#include "py_task.h"

typedef struct gs__crew {
    atomic_uint refs;
    atomic_long count;
    gs_ctx *ctx;     /* referenced; a child of the scope that the Group was entered in */
    gs_chan *places; /* tokens.h; NULL: no limit */
    gs_chan *idle;   /* of one token */
    gs__lock lock;
    gs__list failures; /* gs__member.link, oldest first */
} gs__crew;

typedef struct gs__member {
    gs__task_hook hook;
    gs__link link;
    gs__crew *crew;
    PyObject *task;   /* a Task; referenced, but where the cause has the reference */
    gs__cause *cause; /* of a failure; NULL */
    bool task_is_cause;
    gs__py_dropped dropped; /* once it is none any more */
} gs__member;

/* One reference the caller's; `limit` 0: none. NULL when memory ran out. */
gs__crew *gs__crew_new(gs_ctx *parent, size_t limit);
/* From any thread. */
void gs__crew_unref(gs__crew *crew);

/* A call of go begins: it counts, and has a reference, until it has either joined a task, into
 * memory of gs__alloc, or ended without one. `placed`: it holds a place. With the GIL. */
void gs__crew_begin_go(gs__crew *crew);
void gs__crew_join(gs__crew *crew, gs__member *member, PyObject *task);
void gs__crew_end_go(gs__crew *crew, bool placed);

/* A new list of the exceptions of the tasks that failed, oldest first, which count as fetched; NULL with an
 * exception. No member is left. With the GIL. */
PyObject *gs__crew_failures(gs__crew *crew);
/* The Group is left: gives up its reference. An exception that is set stays. With the GIL. */
void gs__crew_leave(gs__crew *crew);

#endif
