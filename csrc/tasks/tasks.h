/* tasks.h: the C tasks that ship. They are written against pygostop.h alone, as anybody's are.
 *
 * A task that fills a channel closes it when it ends, however it ends, so that whoever reads it ends
 * too. One whose channel is closed by another ends well. */
#ifndef GS_TASKS_H
#define GS_TASKS_H

#include <pygostop.h>

/* Prefixed, and known to this library's module only: another library has a crc32 too. */
#define GS_TASKS_DEFINE(f) int gs_tasks_##f(gs_call *call)

/* Of every function that reads errno: a task may go on on another thread after a call that parks, and
 * a compiler that had inlined it would go on with the errno of the thread before. */
#define GS_TASKS_NOINLINE __attribute__((noinline))

/* channels.c */
GS_TASKS_DEFINE(repeat);
GS_TASKS_DEFINE(count);
GS_TASKS_DEFINE(primes);
/* walk.c */
GS_TASKS_DEFINE(walk);
/* crc32.c */
GS_TASKS_DEFINE(crc32);
/* load.c */
GS_TASKS_DEFINE(spin);
GS_TASKS_DEFINE(hog);

/* A time in seconds that an argument gives, in nanoseconds; a negative one or NaN fails the task: what
 * is returned is then negative. */
int64_t gs_tasks_seconds(gs_call *call, int i);

#endif
