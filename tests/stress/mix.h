/* mix.h: what the parts of gostop-mix share: the market where tasks and threads meet, the books that are
 * balanced in the end, and each one's own row of random numbers.
 *
 * Everything that is given out is entered in a book, and so is everything that comes back; at the end of
 * a round each book balances in number and in sum. A lane is exchanged under `lock`; each user holds a
 * reference of its own on the channel that it found there. */
#ifndef GS_MIX_H
#define GS_MIX_H

#include "test.h"

enum { LANES = 6, TEXTS = 2, PIPES = 2, TRADERS = 20 };

typedef struct book {
    const char *name;
    atomic_llong n_out, out, n_in, in;
} book;

static inline void book_out(book *b, int64_t value)
{
    b->out += value;
    b->n_out++;
}
static inline void book_in(book *b, int64_t value)
{
    b->in += value;
    b->n_in++;
}

typedef struct rows {
    uint64_t state;
} rows;

static inline void rows_seed(rows *r, uint64_t seed)
{
    r->state = (seed + 1) * 0x9e3779b97f4a7c15u | 1;
}
static inline uint32_t any(rows *r, uint32_t n)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (uint32_t)((r->state >> 32) % n);
}

typedef struct market {
    gs_chan *lanes[LANES]; /* of int64; closed and replaced now and then */
    gs__lock lock;         /* guards the exchange of a lane and its reference */
    gs_chan *texts[TEXTS];
    int pipes[PIPES][2]; /* without blocking */
    gs_ctx *open;        /* done: everybody goes home */
    uint64_t seed;
    atomic_uint actors; /* begun so far: each seeds its row by its number */
    book values, strings, octets, defers, hooks, timers, ends, tasks, churns;
} market;

extern market m;

void rows_begin(rows *r); /* the next actor's */
gs_chan *lane(rows *r);   /* any; a reference the caller's */
void replace_lane(rows *r, int i);
/* One trade over two lanes, in any of the ways there are, on whatever it runs. */
void trade(rows *r, gs_ctx *scope);

/* mix_tasks.c */
gs_task *go_trade(rows *r, int i); /* every third stays on the worker that it began on */
gs_task *go_churn(void);           /* with automatic checkpoints; NULL where the build has none */
void enter_churns(void);           /* in the book, once all have ended */

/* mix_threads.c */
void *trade_on_thread(void *arg); /* with contexts, timers and hooks of its own */
/* Starts tasks with automatic checkpoints, and cancels each soon: these keep their worker, and what is
 * pinned there waits. */
void *churn_on_thread(void *arg);
void *watch_on_thread(void *arg); /* looks at all tasks, as a report does */

#endif
