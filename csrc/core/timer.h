/* timer.h: deadlines. One heap for the whole runtime; no thread and no task per timer.
 *
 * A timer lives in memory of its owner. `fire` runs under the timers' lock, so once gs__timer_stop
 * has returned it is not running and will not run. It must not take a lock: it claims a party, or
 * takes a reference, and puts what is left to do on `fired`. */
#ifndef GS__TIMER_H
#define GS__TIMER_H

#include "heap.h"
#include "waiter.h"

struct gs__deadline_ctx;

/* What fired timers leave to do once the lock is released. */
typedef struct gs__fired {
    gs__wakes wakes;
    struct gs__deadline_ctx *expired; /* contexts whose deadline came, referenced */
} gs__fired;

typedef struct gs__timer {
    gs__heap_node node; /* its key is the deadline */
    void (*fire)(struct gs__timer *, gs__fired *);
    atomic_bool fired; /* set before fire runs */
} gs__timer;

void gs__timer_init(gs__timer *timer, void (*fire)(gs__timer *, gs__fired *));
/* Arms it, starting the runtime if need be. GS_ENOMEM: not armed. */
int gs__timer_start(gs__timer *timer, int64_t deadline);
static inline bool gs__timer_fired(gs__timer *timer)
{
    return atomic_load(&timer->fired);
}
/* Afterwards it will not fire; true where it had not. */
bool gs__timer_stop(gs__timer *timer);

/* Fires what is due; gives the next deadline, or GS_FOREVER. */
int64_t gs__timers_run(void);
/* The next deadline as it was a moment ago: one load. */
int64_t gs__timers_next(void);
void gs__timers_reset(void);

#endif
