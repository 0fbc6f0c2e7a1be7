/* park.pml: a task waits on a channel and on its own context; a sender and a canceller wake it; two
 * workers resume it.
 *
 * Models gs__wait_for_claim and gs__wake_all (waiter.c), gs__park_task, leave, arrive and run
 * (worker.c), gs__task_signal_stop (task.c). A lock is a step that waits for it; memory is
 * sequentially consistent here, as the operations that the protocol leans on are in the code.
 *
 * To hold: the task is resumed once for each time it was claimed, never while it is on a stack; no
 * wake-up is lost (an end with the task parked is an invalid end state); a value is received exactly
 * where the send says that it went.
 *
 * Broken twins, each of which the checker must fail:
 *   BROKEN=1  the stop signal is looked at before the claim says WAITING: the cancel falls between
 *   BROKEN=2  who resumes does not wait for on_cpu: two workers on one stack
 *   BROKEN=3  a claim is a look and a store, not a compare-and-swap: two wakers
 *   BROKEN=4  the channel's lock is released before the task's waiter hangs: the send falls between */
#ifndef BROKEN
#define BROKEN 0
#endif

mtype = { IDLE, WAITING, CANCELED, CASE };

mtype claim = IDLE;
bool stop;          /* gs_call.signal */
bool lock;          /* the channel's */
bool hung;          /* the task's waiter is on its receivers */
bool in_ring;       /* a value is buffered: the channel has room for one */
bool handed;        /* a value was copied to the waiter */
bool sent;          /* the sender was told so */
bool on_cpu = true; /* from resumed until off the stack */
bool off_stack;     /* its registers are saved */
bool over;
byte received;

chan ready = [2] of { bit };  /* the queues of the workers */
chan resume = [0] of { bit }; /* a worker switches to the task */
chan left = [0] of { bit };   /* the task switched to the worker; true: it holds the lock */

#define acquire(l) atomic { !l -> l = true }
#define release(l) l = false

inline try_claim(outcome, won) {
#if BROKEN == 3
    won = (claim == WAITING);
    if
    :: won -> claim = outcome
    :: else
    fi
#else
    atomic {
        won = (claim == WAITING);
        if
        :: won -> claim = outcome
        :: else
        fi
    }
#endif
}

proctype task() {
    bool mine, seen;
    mtype outcome;

    acquire(lock);
    if
    :: in_ring -> in_ring = false; received++; release(lock); goto done
    :: else
    fi;
#if BROKEN == 4
    release(lock);
#endif
    hung = true;
#if BROKEN == 1
    seen = stop;
    claim = WAITING;
#else
    claim = WAITING;
    seen = stop;
#endif
    mine = false;
    if
    :: seen -> try_claim(CANCELED, mine)
    :: else
    fi;
    if
    :: mine ->
#if BROKEN != 4
        release(lock)
#endif
        ;
    :: else ->
        if
        :: ready ? _ -> /* its own worker picks it: woken before it had left */
#if BROKEN != 4
            release(lock)
#endif
            ;
        :: off_stack = true; /* the switch */
            left ! (BROKEN != 4);
            resume ? _
        fi
    fi;
    outcome = claim;
    claim = IDLE;
    acquire(lock);
    hung = false;
    release(lock);
    assert(outcome == CANCELED || outcome == CASE);
    assert(handed == (outcome == CASE));
    if
    :: handed -> handed = false; received++
    :: else
    fi;
done:
    over = true
}

/* Runs the task until it leaves, then whatever is ready. Both start on the scheduler's own stack; the
 * first has the task. */
proctype worker(bool has_task) {
    bool locked;
    do
    :: has_task ->
        if
        :: left ? locked -> /* arrive */
            if
            :: locked -> release(lock)
            :: else
            fi;
            on_cpu = false;
            has_task = false
        :: over -> break
        fi
    :: else ->
        if
        :: ready ? _ ->
#if BROKEN != 2
            !on_cpu ->
#endif
            assert(!on_cpu && off_stack);
            on_cpu = true;
            off_stack = false;
            has_task = true;
            resume ! 0
        :: over -> break
        fi
    od
}

proctype sender() {
    bool won = false;
    acquire(lock);
    if
    :: hung ->
        hung = false;
        try_claim(CASE, won);
        if
        :: won -> handed = true; sent = true
        :: else
        fi
    :: else
    fi;
    if
    :: !won && !sent -> in_ring = true; sent = true
    :: else
    fi;
    release(lock);
    if
    :: won -> ready ! 0
    :: else
    fi
}

proctype canceller() {
    bool won;
    stop = true;
    try_claim(CANCELED, won);
    if
    :: won -> ready ! 0
    :: else
    fi
}

init {
    atomic {
        run task();
        run worker(true);
        run worker(false);
        if /* either alone is to end the wait, too */
        :: run sender()
        :: run canceller()
        :: run sender(); run canceller()
        fi
    };
    (_nr_pr == 1);
    /* The value is with the task or in the ring, once. */
    assert(over && received + in_ring == sent && !handed && empty(ready))
}
