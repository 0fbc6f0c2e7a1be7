/* select.pml: one select that receives from a, sends to b, or sees a context done, against a sender, a
 * close of a, a receiver of b and a cancel, in every combination.
 *
 * Models gs__select (select.c), gs__chan_send_locked, gs__chan_recv_locked and gs__chan_close
 * (chan.c), gs__ctx_hang and mark (ctx.c). Channel a has room for one value, b for none. How a party
 * parks is park.pml's; here a token stands for it.
 *
 * To hold: the select ends by exactly one case; a value is taken where that case says so and nowhere
 * else; no value is lost or doubled; nothing hangs afterwards; it does not wait on where one of its
 * cases can happen.
 *
 * Broken twins, each of which the checker must fail:
 *   BROKEN=1  the channels' locks are released between the look and the hanging
 *   BROKEN=2  a claim is a look and a store, not a compare-and-swap
 *   BROKEN=3  the context is looked at before the claim says WAITING
 *   BROKEN=4  a sender hands its value over before it has the claim
 *   BROKEN=5  a close passes the waiting receivers over */
#ifndef BROKEN
#define BROKEN 0
#endif

mtype = { IDLE, WAITING, RECV, SEND, DONE };

mtype claim = IDLE, outcome = IDLE;
bool lock_a, lock_b, lock_ctx;
bool hung_a, hung_b, hung_ctx; /* the select's waiters */
bool ok;                       /* of the waiter on a: a value came */
bool closed_a, ring_a, done;
byte handed;                   /* values copied to where the select receives */
byte sent_a, got_b;            /* what the others were told */
byte others;
bool over;
chan woken = [3] of { bit };

#define acquire(l) atomic { !l -> l = true }
#define release(l) l = false

inline try_claim(what, won) {
#if BROKEN == 2
    won = (claim == WAITING);
    if
    :: won -> claim = what
    :: else
    fi
#else
    atomic {
        won = (claim == WAITING);
        if
        :: won -> claim = what
        :: else
        fi
    }
#endif
}

/* With a's lock. */
inline look_a() {
    if
    :: ring_a -> ring_a = false; handed++; ok = true; outcome = RECV
    :: !ring_a && closed_a -> ok = false; outcome = RECV
    :: else
    fi
}

proctype selecting() {
    bool mine = false, seen;
    /* Each by itself; b has no receiver that waits, as here the receiver does not. */
    acquire(lock_a);
    look_a();
    release(lock_a);
    if
    :: outcome == IDLE && done -> outcome = DONE
    :: else
    fi;
    if
    :: outcome != IDLE -> goto end
    :: else
    fi;
    acquire(lock_ctx);
    if
    :: !done -> hung_ctx = true
    :: else
    fi;
    release(lock_ctx);
    acquire(lock_a);
    acquire(lock_b);
    look_a();
    if
    :: outcome != IDLE -> release(lock_b); release(lock_a); goto unhang
    :: else
    fi;
#if BROKEN == 1
    release(lock_b);
    release(lock_a);
    acquire(lock_a);
    acquire(lock_b);
#endif
    hung_a = true;
    hung_b = true;
#if BROKEN == 3
    seen = done;
    claim = WAITING;
#else
    claim = WAITING;
    seen = done;
#endif
    if
    :: seen -> try_claim(DONE, mine)
    :: else
    fi;
    release(lock_b);
    release(lock_a);
    if
    :: !mine ->
end_alone: /* nobody may come: init says when somebody must */
        woken ? _
    :: else
    fi;
    outcome = claim;
    claim = IDLE;
    acquire(lock_a);
    hung_a = false;
    release(lock_a);
    acquire(lock_b);
    hung_b = false;
    release(lock_b);
unhang:
    acquire(lock_ctx);
    hung_ctx = false;
    release(lock_ctx);
end:
    over = true
}

proctype sender_a() {
    bool won = false;
    acquire(lock_a);
    if
    :: closed_a -> skip
    :: !closed_a && hung_a ->
        hung_a = false;
#if BROKEN == 4
        handed++;
        sent_a = 1;
        try_claim(RECV, won);
        ok = true;
#else
        try_claim(RECV, won);
        if
        :: won -> ok = true; handed++; sent_a = 1
        :: else -> ring_a = true; sent_a = 1
        fi
#endif
    :: else -> ring_a = true; sent_a = 1
    fi;
    release(lock_a);
    if
    :: won -> woken ! 0
    :: else
    fi;
    others--
}

proctype closer_a() {
    bool won = false;
    acquire(lock_a);
    closed_a = true;
#if BROKEN != 5
    if
    :: hung_a ->
        hung_a = false;
        try_claim(RECV, won);
        if
        :: won -> ok = false
        :: else
        fi
    :: else
    fi;
#endif
    release(lock_a);
    if
    :: won -> woken ! 0
    :: else
    fi;
    others--
}

proctype receiver_b() {
    bool won = false;
    acquire(lock_b);
    if
    :: hung_b ->
        hung_b = false;
        try_claim(SEND, won);
        if
        :: won -> got_b = 1
        :: else
        fi
    :: else
    fi;
    release(lock_b);
    if
    :: won -> woken ! 0
    :: else
    fi;
    others--
}

proctype canceller() {
    bool won = false;
    acquire(lock_ctx);
    done = true;
    if
    :: hung_ctx -> hung_ctx = false; try_claim(DONE, won)
    :: else
    fi;
    release(lock_ctx);
    if
    :: won -> woken ! 0
    :: else
    fi;
    others--
}

init {
    bool a_sent = false, a_closed = false, cancelled = false;
    atomic {
        run selecting();
        if
        :: a_sent = true; others++; run sender_a()
        :: skip
        fi;
        if
        :: a_closed = true; others++; run closer_a()
        :: skip
        fi;
        if
        :: cancelled = true; others++; run canceller()
        :: skip
        fi;
        if
        :: others++; run receiver_b()
        :: skip
        fi
    };
    others == 0;
    if
    :: a_sent || a_closed || cancelled -> over /* one of them is to end it, whatever b's receiver saw */
    :: else -> (over || claim == WAITING)
    fi;
    if
    :: over ->
        assert(outcome == RECV || outcome == SEND || outcome == DONE);
        assert(handed == (outcome == RECV && ok));
        assert(sent_a == handed + ring_a);
        assert(got_b == (outcome == SEND));
        assert(outcome != RECV || ok || closed_a);
        assert(outcome != DONE || done);
        assert(!hung_a && !hung_b && !hung_ctx && empty(woken))
    :: else
    fi
}
