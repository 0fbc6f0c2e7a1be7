/* cutoff.h: what ends a wait before what it waits for has come: a context that is done, a deadline.
 *
 * It is armed before the party becomes WAITING, so either may come too early for a claim: it is asked
 * once more after that (gs__cutoff_happened; see waiter.h). It lives as long as the wait. */
#ifndef GS__CUTOFF_H
#define GS__CUTOFF_H

#include "ctx.h"

typedef struct gs__cutoff {
    gs_ctx *scope;     /* hung on; NULL: none */
    gs__waiter waiter; /* on it; names the party for the timer too */
    gs__timer timer;
    bool timed; /* the timer was started */
} gs__cutoff;

static inline void gs__cutoff_init(gs__cutoff *cutoff)
{
    cutoff->scope = NULL;
    cutoff->timed = false;
}
/* Whether a wait needs one: not for a context that the party's own claim covers (`own`), nor for the
 * deadline of a foreign thread, which sleeps until then by itself. */
static inline bool gs__cutoff_needed(gs__party *party, gs_ctx *scope, bool own, int64_t deadline)
{
    return (scope && !own) || (deadline != GS_FOREVER && party->kind != GS__PARTY_THREAD);
}
/* GS_ENOMEM, or GS_ECANCELED where the scope is done: not armed. */
int gs__cutoff_arm(gs__cutoff *cutoff, gs__party *party, gs_ctx *scope, bool own, int64_t deadline);
void gs__cutoff_disarm(gs__cutoff *cutoff);
/* GS__CANCELED, GS__TIMEDOUT, or GS__IDLE. */
unsigned gs__cutoff_happened(gs__cutoff *cutoff);
/* The code of an outcome that is no case's. */
int gs__cutoff_code(unsigned outcome);

#endif
