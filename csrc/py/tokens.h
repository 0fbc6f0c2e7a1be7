/* tokens.h: places that are taken and given back: the channel of a Group's limit, of a Semaphore and of a
 * Lock. An element is a free place. Who waits for one receives, so places go round first in, first out, from
 * hand to hand, and a wait that was cancelled took none. */
#ifndef GS__PY_TOKENS_H
#define GS__PY_TOKENS_H

#include "state.h"

/* All `n` free; NULL when memory ran out. */
gs_chan *gs__py_tokens_new(size_t n);
/* Takes one, as a blocking call of `self` that messages name: 0, or -1 with Cancelled, TimeoutError, or
 * what a signal's handler raised. */
int gs__py_tokens_take(gs__state *state, gs_chan *tokens, const char *call, PyObject *self,
                       int64_t deadline);
/* Gives one back, from any thread, with or without the GIL: false where all were free. */
bool gs__py_tokens_put(gs_chan *tokens);

#endif
