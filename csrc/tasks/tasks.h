/* tasks.h: the C tasks that ship. They are written against pygostop.h alone, as anybody's are. */
#ifndef GS_TASKS_H
#define GS_TASKS_H

#include <pygostop.h>

/* channels.c */
int repeat(gs_call *call);
int count(gs_call *call);
int primes(gs_call *call);
/* walk.c */
int walk(gs_call *call);
/* crc32.c */
int crc32(gs_call *call);
/* load.c */
int spin(gs_call *call);
int hog(gs_call *call);

/* A time in seconds that an argument gives, in nanoseconds; a negative one or NaN fails the task: what
 * is returned is then negative. */
int64_t gs_tasks_seconds(gs_call *call, int i);

/* Defined here, as the tasks of this library are known to its module only. */
#define GS_TASKS_DEFINE(f) int f(gs_call *call)

#endif
