/* progress.h: how far a task says it is, and who wants to know when that changes.
 *
 * The task alone writes `done` and `total`; `version` is odd while it does, and another afterwards, so a
 * reader gets a pair that was said together. It costs the task four stores and a load.
 *
 * Who waits for a change gets the channel `changed`, looks at the version, and receives: the task
 * takes the channel away and closes it when it has said something. `lock` guards that exchange. The task
 * looks for a channel by a plain load, so the one who has just put it there may be overlooked, if the
 * task is that very moment saying something: for as long as a store takes to reach the other core. So
 * the first look after gs__progress_changed is to be repeated once after GS__PROGRESS_SETTLES. */
#ifndef GS__PROGRESS_H
#define GS__PROGRESS_H

#include "chan.h"

enum { GS__PROGRESS_SETTLES = 1000000 }; /* ns: long after any store is seen */

typedef struct gs__progress {
    atomic_uint version; /* 0: nothing was said */
    atomic_llong done, total;
    _Atomic(gs_chan *) changed; /* referenced; NULL: nobody waits */
    gs__lock lock;
} gs__progress;

/* By the task. */
void gs__progress_say(gs__progress *progress, int64_t done, int64_t total);
/* The version of what was said last, 0 where nothing was. */
unsigned gs__progress_get(gs__progress *progress, int64_t *done, int64_t *total);
/* A channel that is closed when something is said, a reference of the caller's; NULL when memory ran
 * out. Where the task ends first, it is not. */
gs_chan *gs__progress_changed(gs__progress *progress);
/* With the task's record. */
void gs__progress_fini(gs__progress *progress);

#endif
