/* cutoff.c: see cutoff.h; models/timer.pml. */
#include "cutoff.h"

static void fire(gs__timer *timer, gs__fired *fired)
{
    gs__party *party = gs__container(timer, gs__cutoff, timer)->waiter.party;
    if (gs__claim(party, GS__TIMEDOUT))
        gs__wakes_add(&fired->wakes, party);
}

int gs__cutoff_arm(gs__cutoff *c, gs__party *party, gs_ctx *scope, bool own, int64_t deadline)
{
    gs__cutoff_init(c);
    c->waiter.party = party;
    c->waiter.outcome = GS__CANCELED;
    if (deadline != GS_FOREVER && party->kind != GS__PARTY_THREAD) {
        gs__timer_init(&c->timer, fire);
        int code = gs__timer_start(&c->timer, deadline);
        if (code != GS_OK)
            return code;
        c->timed = true;
    }
    if (!scope || own)
        return GS_OK;
    if (!gs__ctx_hang(scope, &c->waiter)) {
        gs__cutoff_disarm(c);
        return GS_ECANCELED;
    }
    c->scope = scope;
    return GS_OK;
}

void gs__cutoff_disarm(gs__cutoff *c)
{
    if (c->scope)
        gs__ctx_unhang(c->scope, &c->waiter);
    if (c->timed)
        gs__timer_stop(&c->timer);
}

unsigned gs__cutoff_happened(gs__cutoff *c)
{
    if (c->scope && atomic_load(&c->scope->done))
        return GS__CANCELED;
    return c->timed && gs__timer_fired(&c->timer) ? GS__TIMEDOUT : GS__IDLE;
}

int gs__cutoff_code(unsigned outcome)
{
    switch (outcome) {
    case GS__TIMEDOUT:
        return GS_ETIMEDOUT;
    case GS__CANCELED:
        return GS_ECANCELED;
    case GS__INTERRUPTED:
        return GS__EINTR;
    default:
        gs__panic("a wait ended with outcome %u, which is none", outcome);
    }
}
