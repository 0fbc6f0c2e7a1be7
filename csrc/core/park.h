/* park.h: one OS thread that sleeps, and its waker. A parker holds at most one token. Parkers are
 * pooled and never freed, so that a late waker never touches freed memory. */
#ifndef GS__PARK_H
#define GS__PARK_H

#include "base.h"

typedef struct gs__parker gs__parker;

/* NULL when memory ran out. */
gs__parker *gs__parker_get(void);
void gs__parker_put(gs__parker *parker);
/* Sleeps until there is a token, and takes it: GS_OK; GS_ETIMEDOUT; with `interruptible` also
 * GS_EAGAIN where a signal handler ran (the portable build says so every 50 ms instead). */
int gs__parker_wait(gs__parker *parker, int64_t deadline, bool interruptible);
/* Leaves a token. From any thread. */
void gs__parker_wake(gs__parker *parker);
void gs__parkers_reset(void);

#endif
