/* waiter.h: who waits, and on what.
 *
 * A party is one who can wait: a task, a foreign thread, or an asynchronous operation. A waiter is
 * the record that a party hangs on the wait queue of one thing; a select hangs several. Whoever makes
 * one of the things happen must first claim the party; the first claim wins, the others pass it over.
 *
 * What always holds:
 *  - claim is IDLE while the party runs. Only the party itself makes it WAITING, after all its
 *    waiters hang, and IDLE again, after it was claimed and woken. From WAITING it goes by one
 *    compare-and-swap to the outcome: that swap is the decision.
 *  - Who claimed a party wakes it, once, and holds no lock of the core while it does. Claimed is not
 *    enough to go on: until it is woken the party is on its waker's list.
 *  - A party that finds, having become WAITING, that one of its causes had happened before
 *    (a context done, a timer fired) claims itself. As both sides store first and load then,
 *    sequentially consistent, no wake-up falls between.
 *  - A task can be claimed, and made ready, before it has left its stack. Who is to resume it waits
 *    for on_cpu to clear, which takes the length of a switch, and waits on its worker's own stack, so
 *    that nobody waits in a circle (worker.c).
 *  - Waiters live in the party (one), on its stack or in the operation, and are off every queue before
 *    the call that hung them returns. The queue's owner's lock guards `link`.
 *
 * Lock order, whole core: context (parent before child) -> channel (by address) -> task event ->
 * timers -> queues of the scheduler. Never two of the last kind at once. */
#ifndef GS__WAITER_H
#define GS__WAITER_H

#include "list.h"

/* Outcomes of a wait below GS__CASE are not a case's. */
enum gs__claim {
    GS__IDLE,
    GS__WAITING,
    GS__WAITING_OWN, /* the same, and a cancel of the task's own context claims it without a waiter */
    GS__TIMEDOUT,
    GS__CANCELED,
    GS__INTERRUPTED, /* a signal came: a foreign thread took itself back */
    GS__CASE = 16    /* + the index of the case that happened */
};

enum gs__party_kind { GS__PARTY_TASK, GS__PARTY_THREAD, GS__PARTY_ASYNC };

typedef struct gs__waiter {
    gs__link link;
    struct gs__party *party;
    void *item;       /* a channel's: where the value goes or comes from */
    unsigned outcome; /* what the party is claimed with */
    bool ok;          /* a receiver's: a value came, the channel was not closed */
} gs__waiter;

typedef struct gs__party {
    atomic_uint claim;            /* enum gs__claim */
    uint8_t kind;                 /* enum gs__party_kind */
    struct gs__party *next_woken; /* on a gs__wakes, from claim to wake */
    /* What it hangs on a queue while it waits for one thing. Not on its stack, as who goes through a long
     * queue finds the records of tasks close together, and their stacks far apart. */
    gs__waiter waiter;
} gs__party;

static inline void gs__party_init(gs__party *party, enum gs__party_kind kind)
{
    atomic_init(&party->claim, GS__IDLE);
    party->kind = (uint8_t)kind;
    party->next_woken = NULL;
}
static inline bool gs__claim(gs__party *party, unsigned outcome)
{
    unsigned now = atomic_load(&party->claim);
    return (now == GS__WAITING || now == GS__WAITING_OWN) &&
           atomic_compare_exchange_strong(&party->claim, &now, outcome);
}

/* Parties that were claimed and are to be woken once the locks are released. */
typedef struct gs__wakes {
    gs__party *first, **end;
} gs__wakes;

static inline void gs__wakes_init(gs__wakes *wakes)
{
    wakes->first = NULL;
    wakes->end = &wakes->first;
}
static inline void gs__wakes_add(gs__wakes *wakes, gs__party *party)
{
    party->next_woken = NULL;
    *wakes->end = party;
    wakes->end = &party->next_woken;
}
/* No lock of the core is held. */
void gs__wake_these(gs__party *first);
static inline void gs__wake_all(gs__wakes *wakes)
{
    if (wakes->first)
        gs__wake_these(wakes->first);
}

/* The party that runs here: the task, or the thread's own. NULL where a thread has never waited and
 * there is no memory for its record: what would have waited is GS_ENOMEM. Not to be kept across a park. */
gs__party *gs__self(void);

/* Makes `self`, the caller, wait until it is claimed, and gives the outcome; its claim is IDLE again
 * then. All its waiters hang already. */
typedef struct gs__wait {
    void (*unlock)(struct gs__wait *); /* runs once it has left its stack; may be NULL */
    /* An outcome that had come before it became WAITING, or GS__IDLE. May be NULL. */
    unsigned (*happened)(struct gs__wait *);
    int64_t deadline; /* for a foreign thread, which needs no timer */
    bool own;         /* a task: become WAITING_OWN, and look at the stop signal */
    const void *on;   /* what it waits for, for snapshots: a tagged pointer of debug.h */
} gs__wait;
unsigned gs__wait_for_claim(gs__party *self, gs__wait *wait);

/* Whether the caller is the thread that signals of the process interrupt (GS__INTERRUPTED): set by
 * the bindings for Python's main thread. Tasks never are. */
void gs__thread_set_interruptible(bool yes);
/* Whether a signal came that nobody has handled: asked where an interruptible thread waits, with no lock of the
 * core held. Set by the bindings; NULL: never asked. */
extern bool (*gs__signal_pending)(void);
/* What waited on the calling thread was given up for a signal: the next wait is another one. */
void gs__thread_was_interrupted(void);
void gs__threads_reset(void);

/* A small fast source of randomness for the calling thread. */
uint32_t gs__random(void);

#endif
