/* timer.pml: a context with a deadline, and a wait with one, against the thread that fires timers.
 *
 * Models gs__timer_start, gs__timers_run, gs__timer_stop (timer.c), gs__ctx_with_deadline, expire,
 * gs__ctx_cancel_expired, mark, destroy (ctx.c), gs__cutoff_arm, fire, gs__cutoff_happened,
 * gs__cutoff_disarm (cutoff.c). The context is made below a parent that may be cancelled meanwhile; its
 * owner, its parent, its deadline, or several cancel it, and each lets go of it. The waiter is claimed by a
 * sender, its deadline, or both, which may come before it waits.
 *
 * To hold: nobody touches the context once it is freed, or the waiter's frame once its call has
 * returned; the context is freed once, after it was marked at most once, and has no timer once it is done
 * and made; the waiter is woken once, and not left waiting; nobody waits for a lock in a circle.
 *
 * Broken twins, each of which the checker must fail:
 *   BROKEN=1  the timer takes a reference though none is left
 *   BROKEN=2  what fires runs after the timers' lock was released
 *   BROKEN=3  an expired context is cancelled under the timers' lock
 *   BROKEN=4  stopping a timer does not wait for the lock
 *   BROKEN=5  who makes the context does not look whether it is done once it has armed the timer
 *   BROKEN=6  the waiter looks whether its timer has fired before its claim says WAITING */
#ifndef BROKEN
#define BROKEN 0
#endif

bool lock_ctx, lock_timers;
bool made, armed, freed, done; /* the context; `armed`: its timer is in the heap */
byte refs = 2;                 /* the owner's, and a task's below it */
byte marked;

mtype = { IDLE, WAITING, TIMEDOUT, CASE };
bool wait_armed, fired, returned; /* the wait; `returned`: its frame is gone */
mtype claim = IDLE;
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
        assert(!(done && armed));
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
    acquire(lock_timers);
    armed = true;
    release(lock_timers);
#if BROKEN != 5
    if
    :: done -> stop(armed)
    :: else
    fi;
#endif
    made = true;
    if
    :: cancels -> cancel()
    :: else
    fi;
    unref()
}

/* Who holds it besides, a task below it. */
proctype holder() {
    bool last;
    made;
    unref()
}

/* The cancel of its parent reaches it. */
proctype parent() {
    bool last, got = false;
    atomic {
        if
        :: refs > 0 -> refs++; got = true
        :: else
        fi
    };
    if
    :: got -> cancel(); unref()
    :: else
    fi
}

/* The deadlines of both have passed, whenever they are armed. */
proctype timekeeper() {
    bool last, expired, won, fires;
again:
    if
    :: armed || wait_armed
    :: made && returned && !armed && !wait_armed -> goto over
    fi;
    expired = false;
    won = false;
    fires = false;
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
    :: fires -> assert(!returned); fired = true; try_claim(TIMEDOUT, won)
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
    fi;
    goto again;
over:
    skip
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
    bool seen, mine = false;
    acquire(lock_timers);
    wait_armed = true;
    release(lock_timers);
#if BROKEN == 6
    seen = fired;
    claim = WAITING;
#else
    claim = WAITING;
    seen = fired;
#endif
    if
    :: seen -> try_claim(TIMEDOUT, mine)
    :: else
    fi;
    if
    :: mine
    :: else -> atomic { tokens > 0 -> tokens-- }
    fi;
    assert(claim == TIMEDOUT || claim == CASE);
    stop(wait_armed);
    returned = true
}

init {
    atomic {
        if /* it may also be let go of without having been cancelled */
        :: run owner(true)
        :: run owner(false)
        fi;
        run holder();
        run timekeeper();
        run waiter();
        if
        :: run parent()
        :: skip
        fi;
        if
        :: run sender()
        :: skip
        fi
    };
    _nr_pr == 1;
    assert(freed && refs == 0 && marked <= 1 && !armed && !wait_armed && tokens == 0)
}
