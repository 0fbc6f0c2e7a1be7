/* sleep.pml: two workers that go to sleep when they find nothing, against threads that make tasks ready,
 * and a timer that gives a sleeping worker something of its own to do.
 *
 * Models idle, go_on_idle_list and leave_idle_list (worker.c), to_inbox, gs__wake_worker,
 * gs__stop_searching and gs__find_work (sched.c): the rule that while one worker searches nobody wakes
 * another, and that who finds wakes the next. A section under a lock is one step, parkers are tokens; no thread can be
 * started any more.
 *
 * To hold: no task stays in the inbox while a worker sleeps that could run it: all tasks are run, and
 * then all workers sleep, with `searching` and the idle count right.
 *
 * Broken twins, each of which the checker must fail:
 *   BROKEN=1  a worker looks for work before it says that it sleeps, and not after
 *   BROKEN=2  it stops searching only after its last look: whoever comes between wakes nobody
 *   BROKEN=3  who found nobody asleep does not look at the inbox once it has stopped searching */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WORKERS 2
#define TASKS 2

byte inbox, ran, searching, n_idle;
bool asleep[WORKERS];     /* on the idle list */
bool to_search[WORKERS];  /* woken_to_search */
byte token[WORKERS];
bool counted[WORKERS];    /* in `searching` */
bool own[WORKERS];        /* it has a task in its own queue */

inline wake_worker(found) {
    skip;
wake_again:
    found = WORKERS;
    if
    :: n_idle == 0 -> goto no_wake /* below_target */
    :: else
    fi;
    atomic {
        if
        :: searching == 0 -> searching = 1
        :: else -> goto no_wake
        fi
    };
    atomic {
        if
        :: asleep[0] -> found = 0
        :: asleep[1] -> found = 1
        :: else
        fi;
        if
        :: found < WORKERS -> asleep[found] = false; n_idle--; to_search[found] = true
        :: else
        fi
    };
    if
    :: found < WORKERS -> token[found]++
    :: else ->
        atomic { searching-- };
#if BROKEN != 3
        if
        :: inbox > 0 -> goto wake_again
        :: else
        fi
#endif
    fi;
no_wake:
    skip
}

proctype poster() {
    byte found;
    inbox++;
    wake_worker(found)
}

proctype worker(byte me) {
    byte found;
    bool got, last, waits;
again:
    own[me] = false; /* run */
    /* gs__find_work: searching is said before the look */
    if
    :: !counted[me] -> atomic { counted[me] = true; searching++ }
    :: else
    fi;
    atomic {
        got = (inbox > 0);
        if
        :: got -> inbox--
        :: else
        fi
    };
    if
    :: got ->
        atomic { counted[me] = false; last = (searching == 1); searching-- };
        if
        :: last -> wake_worker(found)
        :: else
        fi;
        atomic { ran++ };
        goto again
    :: else
    fi;
    /* idle */
#if BROKEN == 1
    waits = (inbox > 0);
#endif
    atomic { asleep[me] = true; n_idle++ };
#if BROKEN != 2
    atomic { counted[me] = false; searching-- };
#endif
sleeping:
#if BROKEN != 1
    waits = (inbox > 0);
#endif
#if BROKEN == 2
    atomic { counted[me] = false; searching-- };
#endif
    if
    :: !waits ->
end_asleep:
        atomic { token[me] > 0 -> token[me]-- };
        if
        :: asleep[me] && !own[me] -> goto sleeping
        :: else
        fi
    :: else
    fi;
    atomic {
        if
        :: asleep[me] -> asleep[me] = false; n_idle--; to_search[me] = false
        :: else
        fi;
        counted[me] = to_search[me];
        to_search[me] = false
    };
    goto again
}

/* It fires on the worker that keeps the time. */
proctype timer() {
    if
    :: asleep[0] -> atomic { own[0] = true; token[0]++ }
    :: skip
    fi
}

init {
    atomic {
        run worker(0);
        run worker(1);
        run poster();
        run poster();
        run timer()
    };
    ran == TASKS && !own[0] && n_idle == WORKERS && searching == 0
}
