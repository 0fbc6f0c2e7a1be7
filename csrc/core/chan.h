/* chan.h: channels. Fixed-size elements, a ring of `capacity`, FIFO queues of receivers and senders.
 *
 * Every call is safe from any thread and any task. What the `try` calls cannot do at once is
 * GS_EAGAIN; they neither park nor look at a context. The blocking calls look at the scope only when
 * they wait: whoever calls them checks it first. */
#ifndef GS__CHAN_H
#define GS__CHAN_H

#include "waiter.h"

/* What the elements are. `drop` releases one that nobody will receive; NULL where there is nothing to
 * release. It runs without a lock, on any thread. */
typedef struct gs__elem {
    gs_type type;
    void (*drop)(void *item);
} gs__elem;

struct gs_chan {
    gs__lock lock; /* guards all below but what says otherwise */
    atomic_uint refs;
    atomic_bool closed;  /* written under the lock, read anywhere */
    uint32_t item_size;  /* fixed */
    size_t capacity;     /* fixed; in elements */
    atomic_size_t count; /* elements in the ring; written under the lock */
    size_t head;         /* the index of the oldest */
    size_t n_returned;   /* elements in `returned` */
    char *ring;          /* capacity elements; NULL without a capacity */
    gs__list receivers;  /* gs__waiter, oldest first */
    gs__list senders;
    gs__list returned; /* elements put back by gs__chan_unrecv, in front of the ring; in count */
    gs__elem elem;     /* fixed */
    uint64_t id;       /* fixed; for messages */
    void *owner;       /* the bindings' object for it, not looked into */
};

/* The channel itself, one reference the caller's; NULL when memory ran out. The ring is made here. */
gs_chan *gs__chan_new(gs__elem elem, size_t capacity);
void gs__chan_ref(gs_chan *ch);
void gs__chan_unref(gs_chan *ch);
/* The element types that the core knows how to drop: GS_STR and GS_BYTES are freed. */
gs__elem gs__elem_of(gs_type type);

/* `item` is copied. GS_OK: it has changed hands, the caller owns it no longer. */
int gs__chan_try_send(gs_chan *ch, const void *item);
int gs__chan_try_recv(gs_chan *ch, void *item);

/* Blocks. `scope` may be NULL: then nothing cancels it. A foreign thread gets GS__EINTR where a
 * signal came, with nothing done. GS_ECANCELED, GS_ECLOSED, GS_ETIMEDOUT (deadline 0 too), GS_ENOMEM:
 * nothing done. */
enum { GS__EINTR = -100 };
int gs__chan_send(gs_chan *ch, const void *item, gs_ctx *scope, int64_t deadline);
int gs__chan_recv(gs_chan *ch, void *item, gs_ctx *scope, int64_t deadline);
/* `*sent` elements went before what is returned happened. */
int gs__chan_send_many(gs_chan *ch, const void *items, size_t n, size_t *sent, gs_ctx *scope,
                       int64_t deadline);
/* Waits for the first, takes up to `n`; `*received` is at least 1 with GS_OK. */
int gs__chan_recv_many(gs_chan *ch, void *items, size_t n, size_t *received, gs_ctx *scope,
                       int64_t deadline);
/* What is there now, without waiting, up to `n`; GS_EAGAIN or GS_ECLOSED with none. */
int gs__chan_try_recv_many(gs_chan *ch, void *items, size_t n, size_t *received);
int gs__chan_try_send_many(gs_chan *ch, const void *items, size_t n, size_t *sent);
/* Puts a value that was received back in front, closed or full as the channel may be. GS_ENOMEM:
 * nothing done. */
int gs__chan_unrecv(gs_chan *ch, const void *item);
void gs__chan_close(gs_chan *ch);
/* Closes as part of something larger that holds locks: the claimed parties go to `wakes`. What a
 * channel still holds stays to be drained. */
void gs__chan_close_quietly(gs_chan *ch, gs__wakes *wakes);

/* Snapshots. */
static inline size_t gs__chan_len(gs_chan *ch)
{
    return atomic_load_explicit(&ch->count, memory_order_acquire);
}
static inline bool gs__chan_closed(gs_chan *ch)
{
    return atomic_load_explicit(&ch->closed, memory_order_acquire);
}

/* For select.c, with the lock held. Whether a receive (a send) can go on now: GS_OK and it has, the
 * parties to wake in `wakes`; else GS_EAGAIN, GS_ECLOSED. */
int gs__chan_recv_locked(gs_chan *ch, void *item, gs__wakes *wakes);
int gs__chan_send_locked(gs_chan *ch, const void *item, gs__wakes *wakes);

#endif
