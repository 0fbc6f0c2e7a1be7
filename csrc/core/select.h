/* select.h: one decision over several things that may happen. */
#ifndef GS__SELECT_H
#define GS__SELECT_H

#include "chan.h"
#include "cutoff.h"

enum gs__case_kind { GS__CASE_NONE, GS__CASE_RECV, GS__CASE_SEND, GS__CASE_CTX, GS__CASE_TASK };

typedef struct gs__select_case {
    uint8_t kind; /* enum gs__case_kind */
    bool ok;      /* out: false for a receive from, or a send on, a closed channel */
    union {
        gs_chan *chan;
        gs_ctx *ctx;
        gs_task *task;
    } on;
    void *item;        /* a channel's: where to, where from */
    gs__waiter waiter; /* select's own */
} gs__select_case;

/* The index of the case that happened, at least 0, its `ok` set, or GS_EAGAIN (deadline 0),
 * GS_ETIMEDOUT, GS_ECANCELED, GS_ENOMEM, GS__EINTR: nothing done then. A send case on a closed channel
 * is ready; it is chosen with ok false, and nothing was sent. `n` is at most GS__SELECT_MAX. */
enum { GS__SELECT_MAX = 65536 };
int gs__select(gs__select_case *cases, int n, gs_ctx *scope, int64_t deadline);

/* The same of one context alone; NULL: of nothing. */
int gs__select_ctx(gs_ctx *ctx, gs_ctx *scope, int64_t deadline);

/* What a select needs beyond its cases, on the stack or in an operation. */
typedef struct gs__selecting {
    gs__select_case *cases;
    int n, n_order;
    gs_chan **order;  /* the channels by address, each once: the order of their locks */
    gs_chan *few[16]; /* order, where that is enough */
    gs__cutoff cutoff;
} gs__selecting;

/* The same for an operation that no stack waits on (an asyncio future). */
typedef struct gs__async {
    gs__party party;
    gs__selecting selecting;
    void (*notify)(struct gs__async *); /* once, from any thread, without locks, when it has happened */
} gs__async;

/* Starts it. `cases`, the objects in them and `scope` stay as long as the operation. GS__UNDER_WAY:
 * notify will come. Else what gs__select would have given, at once, and notify will not come. */
enum { GS__UNDER_WAY = -101 };
int gs__async_start(gs__async *op, gs__select_case *cases, int n, gs_ctx *scope, int64_t deadline,
                    void (*notify)(gs__async *));
/* After notify, and after gs__async_start has returned: takes the operation off everything and gives what gs__select would have given. */
int gs__async_finish(gs__async *op);
/* Before gs__async_finish: true where it had not happened; it is off everything and notify will not
 * come. False where it has happened: notify has come or is coming, and finish is still to be called
 * after it. */
bool gs__async_abandon(gs__async *op);

#endif
