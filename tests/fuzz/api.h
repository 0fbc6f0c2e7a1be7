/* api.h: what the fuzz target of the C API shares: its input, its books, and what a task of it has. */
#ifndef FUZZ_API_H
#define FUZZ_API_H

#include "chan.h"
#include "task.h"

#include <stdio.h>
#include <stdlib.h>

/* A broken promise ends the process, which is how the fuzzer learns of it. */
#define PROMISE(condition)                                                            \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not kept: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* ---- the input: all tasks read on from one place ---- */

bool fuzz_more(void);
uint8_t fuzz_byte(void); /* 0 behind the end */
unsigned fuzz_below(unsigned n);
uint64_t fuzz_word(void);
/* Up to 31 bytes of the input and a NUL, in `text`, of 32 bytes; how many. */
size_t fuzz_text(char *text);

/* ---- the books: every number that is sent is sent once, and says on which channel ---- */

enum { FUZZ_NUMBERS = 1 << 16 };

/* The next number for the channel; it is being sent. */
int64_t fuzz_number(const gs_chan *ch);
/* The send of it moved something or did not. */
void fuzz_sent(int64_t number, bool moved);
/* It came out of the channel. */
void fuzz_received(const gs_chan *ch, int64_t number);

/* ---- the tasks ---- */

enum { CHANS = 8, CTXS = 6, CHILDREN = 6, STRS = 8, DEPTH = 3, ITEM = 64 };

/* What one task knows, on its stack. */
typedef struct actor {
    gs_call *call;
    int depth;
    gs_chan *chans[CHANS];
    int n_chans;
    gs_ctx *ctxs[CTXS];
    int n_ctxs;
    gs_task *children[CHILDREN];
    int n_children;
    gs_str strs[STRS]; /* that it received and has not given away */
    int n_strs;
    int shields;
    int last_hook;
} actor;

/* The channels that the harness made, of every kind; each task gets some of them. */
enum { ROOT_CHANS = 7 };
extern gs_chan *fuzz_chans[ROOT_CHANS];
/* Counts its calls of hooks and defers; they end with the tasks. */
extern atomic_long fuzz_defers_due, fuzz_defers_run;

/* A task of the target: argument 0 is its depth, the others what its maker had. */
int fuzz_task(gs_call *call);
/* One call of the channels and of select; of the others. */
void fuzz_chan_call(actor *a);
void fuzz_other_call(actor *a);

#endif
