/* timer.pml: a context with a deadline, and a wait with one, against the thread that fires timers.
 *
 * Models gs__timers_run and gs__timer_stop (timer.c), expire, gs__ctx_cancel_expired, mark and destroy
 * (ctx.c), and the timer in a waiter's own frame (cutoff.c). The context is cancelled by its owner, its
 * deadline, or both, and let go of by each; the waiter is claimed by a sender, its deadline, or both.
 *
 * To hold: nobody touches the context once it is freed, or the waiter's frame once its call has
 * returned; the context is freed once, after it was marked at most once; the waiter is woken once; nobody
 * waits for a lock in a circle.
 *
 * Broken twins, each of which the checker must fail:
 *   BROKEN=1  the timer takes a reference though none is left
 *   BROKEN=2  what fires runs after the timers' lock was released
 *   BROKEN=3  an expired context is cancelled under the timers' lock
 *   BROKEN=4  stopping a timer does not wait for the lock */
#ifndef BROKEN
#define BROKEN 0
#endif

bool lock_ctx, lock_timers;
bool armed = true, freed, done; /* the context; `armed`: its timer is in the heap */
byte refs = 2;                  /* the owner's, and a task's below it */
byte marked;

mtype = { WAITING, TIMEDOUT, CASE };
bool wait_armed = true, returned; /* the wait; `returned`: its frame is gone */
mtype claim = WAITING;
byte tokens;

#define acquire(l) atomic { !l -> l = true }
#define release(l) l = false

inline try_claim(what, won) {
    atomic {
        won = (claim == WAITING);
        if
        :: won -> claim = what
        :: else
        fi
    }
}

inline stop(which) {
#if BROKEN == 4
    which = false
#else
    acquire(lock_timers);
    which = false;
    release(lock_timers)
#endif
}

inline unref() {
    atomic { assert(!freed && refs > 0); refs--; last = (refs == 0) };
    if
    :: last -> /* destroy */
        stop(armed);
        assert(!freed);
        freed = true
    :: else
    fi
}

inline cancel() {
    acquire(lock_ctx);
    assert(!freed);
    if
    :: !done -> done = true; marked++; stop(armed)
    :: else
    fi;
    release(lock_ctx)
}

proctype owner(bool cancels) {
    bool last;
    if
    :: cancels -> cancel()
    :: else
    fi;
    unref()
}

/* The deadlines of both have passed. */
proctype timekeeper() {
    bool last, expired = false, won = false, fires = false;
    acquire(lock_timers);
    if
    :: armed ->
        armed = false;
#if BROKEN == 2
        release(lock_timers);
        assert(!freed);
        acquire(lock_timers);
#endif
        assert(!freed);
#if BROKEN == 1
        refs++; expired = true;
#else
        atomic {
            if
            :: refs > 0 -> refs++; expired = true
            :: else
            fi
        };
#endif
#if BROKEN == 3
        if
        :: expired -> acquire(lock_ctx); release(lock_ctx)
        :: else
        fi;
#endif
    :: else
    fi;
    if
    :: wait_armed -> wait_armed = false; fires = true
    :: else
    fi;
    if
    :: fires -> assert(!returned); try_claim(TIMEDOUT, won)
    :: else
    fi;
    release(lock_timers);
    if
    :: won -> assert(!returned); tokens++
    :: else
    fi;
    if
    :: expired -> cancel(); unref()
    :: else
    fi
}

proctype sender() {
    bool won;
    try_claim(CASE, won);
    if
    :: won -> tokens++
    :: else
    fi
}

proctype waiter() {
    atomic { tokens > 0 -> tokens-- };
    assert(claim != WAITING);
    stop(wait_armed);
    returned = true
}

init {
    atomic {
        if /* it may also be let go of without having been cancelled */
        :: run owner(true)
        :: run owner(false)
        fi;
        run owner(false);
        run timekeeper();
        run sender();
        run waiter()
    };
    _nr_pr == 1;
    assert(freed && refs == 0 && marked <= 1 && !armed && !wait_armed && tokens == 0)
}
