/* load.c: tasks that only burn time, to try the scheduler and the monitor on. */
#define _GNU_SOURCE
#include "tasks.h"

#include <time.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t end_of(int64_t from, int64_t ns)
{
    return ns > INT64_MAX - from ? INT64_MAX : from + ns;
}

/* spin(seconds): with checkpoints. */
GS_TASKS_DEFINE(spin)
{
    int64_t ns = gs_tasks_seconds(call, 0);
    GS_TRY(ns);
    for (int64_t end = end_of(now(), ns); now() < end;)
        GS_CHECKPOINT(call);
    return GS_OK;
}

/* hog(seconds): without. It cannot be stopped, and holds its worker: what not to do. */
GS_TASKS_DEFINE(hog)
{
    int64_t ns = gs_tasks_seconds(call, 0);
    GS_TRY(ns);
    for (int64_t end = end_of(now(), ns); now() < end;)
        ;
    return GS_OK;
}
