/* select.c: see select.h.
 *
 * First each case is tried by itself, in random order: one that is ready and taken is one atomic
 * decision whatever the others do, and the first found in a random order is a uniform choice. Only
 * where none is ready, all channels are locked, in the order of their addresses, and looked at once
 * more: so "nothing was ready" is true of one moment. To wait, the select then hangs a waiter on each,
 * still under all locks, and lets go of them when it has left its stack. Contexts and tasks once done
 * stay done, so their waiters may hang before and are looked at after (see waiter.h). models/select.pml
 * checks that a select ends by one case. A select of one case is that operation, without all this. */
#include "select.h"

#include "debug.h"
#include "task.h"
#include "worker.h"

#include <stdlib.h>

enum { NONE_READY = -200 };

/* ---- one case ---- */

static bool is_chan(const gs__select_case *c)
{
    return (c->kind == GS__CASE_RECV || c->kind == GS__CASE_SEND) && c->on.chan;
}

/* With the channel's lock held: whether it happened. */
static bool operate(gs__select_case *c, gs__wakes *wakes)
{
    int code = c->kind == GS__CASE_RECV ? gs__chan_recv_locked(c->on.chan, c->item, wakes)
                                        : gs__chan_send_locked(c->on.chan, c->item, wakes);
    c->ok = code == GS_OK;
    return code != GS_EAGAIN;
}

static bool is_done(gs_ctx *ctx)
{
    return ctx && atomic_load(&ctx->done);
}

static bool event_happened(gs__select_case *c)
{
    c->ok = true;
    if (c->kind == GS__CASE_CTX)
        return is_done(c->on.ctx);
    return c->kind == GS__CASE_TASK && c->on.task && gs__task_ended(c->on.task);
}

static bool try_case(gs__select_case *c)
{
    if (!is_chan(c))
        return event_happened(c);
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    gs__acquire(&c->on.chan->lock);
    bool happened = operate(c, &wakes);
    gs__release(&c->on.chan->lock);
    gs__wake_all(&wakes);
    return happened;
}

/* ---- all cases, without their locks ---- */

static int try_in_random_order(gs__select_case *cases, int n)
{
    enum { FEW = 32 };
    uint32_t few[FEW], *order = few;
    int found = NONE_READY;
    if (n > FEW && !(order = gs__alloc((size_t)n * sizeof *order)))
        return GS_ENOMEM;
    for (int i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (int left = n; left > 0 && found == NONE_READY; left--) {
        uint32_t k = (uint32_t)((uint64_t)gs__random() * (uint32_t)left >> 32), i = order[k];
        order[k] = order[left - 1];
        if (try_case(&cases[i]))
            found = (int)i;
    }
    if (order != few)
        gs__free(order);
    return found;
}

/* ---- all cases, locked ---- */

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (gs_chan *const *)a, y = (uintptr_t) * (gs_chan *const *)b;
    return (x > y) - (x < y);
}

/* Sorts the channels, each once. GS_ENOMEM. */
static int make_order(gs__selecting *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += is_chan(&s->cases[i]);
    s->order = s->few;
    if ((size_t)n > sizeof s->few / sizeof *s->few) {
        s->order = gs__alloc((size_t)n * sizeof *s->order);
        if (!s->order)
            return GS_ENOMEM;
    }
    n = 0;
    for (int i = 0; i < s->n; i++)
        if (is_chan(&s->cases[i]))
            s->order[n++] = s->cases[i].on.chan;
    if (n > 16) {
        qsort(s->order, (size_t)n, sizeof *s->order, by_address);
    } else {
        for (int i = 1; i < n; i++) {
            gs_chan *ch = s->order[i];
            int j = i;
            for (; j > 0 && by_address(&s->order[j - 1], &ch) > 0; j--)
                s->order[j] = s->order[j - 1];
            s->order[j] = ch;
        }
    }
    s->n_order = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || s->order[i] != s->order[s->n_order - 1])
            s->order[s->n_order++] = s->order[i];
    return GS_OK;
}

static void free_order(gs__selecting *s)
{
    if (s->order != s->few)
        gs__free(s->order);
}

static void lock_all(gs__selecting *s)
{
    for (int i = 0; i < s->n_order; i++)
        gs__acquire(&s->order[i]->lock);
}

static void unlock_all(gs__selecting *s)
{
    for (int i = s->n_order; i-- > 0;)
        gs__release(&s->order[i]->lock);
}

/* With all locks held: the first case from a random start that is ready, done; or NONE_READY. */
static int try_locked(gs__selecting *s, gs__wakes *wakes)
{
    if (s->n == 0)
        return NONE_READY;
    int i = (int)(gs__random() % (unsigned)s->n);
    for (int k = 0; k < s->n; k++, i = i + 1 == s->n ? 0 : i + 1) {
        gs__select_case *c = &s->cases[i];
        if (is_chan(c) ? operate(c, wakes) : event_happened(c))
            return i;
    }
    return NONE_READY;
}

/* ---- hanging ---- */

static void hang_on_channels(gs__selecting *s, gs__party *party)
{
    for (int i = 0; i < s->n; i++) {
        gs__select_case *c = &s->cases[i];
        if (!is_chan(c))
            continue;
        c->waiter.party = party;
        c->waiter.item = c->item;
        c->waiter.outcome = GS__CASE + (unsigned)i;
        c->waiter.ok = false;
        gs__list_append(c->kind == GS__CASE_RECV ? &c->on.chan->receivers : &c->on.chan->senders,
                        &c->waiter.link);
    }
}

static void unhang_from_channels(gs__selecting *s)
{
    for (int i = 0; i < s->n; i++) {
        gs__select_case *c = &s->cases[i];
        if (!is_chan(c))
            continue;
        gs__acquire(&c->on.chan->lock);
        if (gs__linked(&c->waiter.link))
            gs__list_remove(&c->waiter.link);
        gs__release(&c->on.chan->lock);
    }
}

/* Those of contexts and tasks; on one that is done already nothing hangs. */
static void hang_on_events(gs__selecting *s, gs__party *party)
{
    for (int i = 0; i < s->n; i++) {
        gs__select_case *c = &s->cases[i];
        c->waiter.outcome = GS__CASE + (unsigned)i;
        gs__link_init(&c->waiter.link);
        if (is_chan(c))
            continue;
        c->waiter.party = party;
        if (c->kind == GS__CASE_CTX && c->on.ctx)
            gs__ctx_hang(c->on.ctx, &c->waiter);
        else if (c->kind == GS__CASE_TASK && c->on.task)
            gs__task_hang(c->on.task, &c->waiter);
    }
}

static void unhang_from_events(gs__selecting *s)
{
    for (int i = 0; i < s->n; i++) {
        gs__select_case *c = &s->cases[i];
        if (c->kind == GS__CASE_CTX && c->on.ctx)
            gs__ctx_unhang(c->on.ctx, &c->waiter);
        else if (c->kind == GS__CASE_TASK && c->on.task)
            gs__task_unhang(c->on.task, &c->waiter);
    }
}

/* Everything but the channels. GS_ENOMEM, GS_ECANCELED: nothing hangs. */
static int arm(gs__selecting *s, gs__party *party, gs_ctx *scope, bool own, int64_t deadline)
{
    int code = gs__cutoff_arm(&s->cutoff, party, scope, own, deadline);
    if (code == GS_OK)
        hang_on_events(s, party);
    return code;
}

static void disarm(gs__selecting *s)
{
    unhang_from_events(s);
    gs__cutoff_disarm(&s->cutoff);
}

/* An outcome that came before the party was WAITING. */
static unsigned what_happened(gs__selecting *s)
{
    unsigned outcome = gs__cutoff_happened(&s->cutoff);
    if (outcome == GS__CANCELED)
        return outcome;
    for (int i = 0; i < s->n; i++)
        if (!is_chan(&s->cases[i]) && event_happened(&s->cases[i]))
            return GS__CASE + (unsigned)i;
    return outcome;
}

static int result_of(gs__selecting *s, unsigned outcome)
{
    if (outcome < GS__CASE)
        return gs__cutoff_code(outcome);
    gs__select_case *c = &s->cases[outcome - GS__CASE];
    c->ok = !is_chan(c) || c->waiter.ok;
    return (int)(outcome - GS__CASE);
}

/* ---- the call that waits for one thing ---- */

static int select_chan(gs__select_case *c, gs_ctx *scope, int64_t deadline)
{
    int code = c->kind == GS__CASE_RECV ? gs__chan_recv(c->on.chan, c->item, scope, deadline)
                                        : gs__chan_send(c->on.chan, c->item, scope, deadline);
    c->ok = code == GS_OK;
    if (code == GS_OK || code == GS_ECLOSED)
        return 0;
    return deadline == 0 && code == GS_ETIMEDOUT ? GS_EAGAIN : code;
}

/* Outcomes of a wait for a context: it was claimed through its waiter, which is off the queue then, or it
 * saw by itself that the context was done. */
enum { TOLD = GS__CASE, SEEN };

typedef struct waiting_for_ctx {
    gs__wait wait;
    gs_ctx *ctx;
    gs__cutoff *cutoff; /* NULL: none is needed */
} waiting_for_ctx;

static unsigned ctx_happened(gs__wait *wait)
{
    waiting_for_ctx *w = gs__container(wait, waiting_for_ctx, wait);
    unsigned outcome = w->cutoff ? gs__cutoff_happened(w->cutoff) : GS__IDLE;
    return outcome != GS__CANCELED && is_done(w->ctx) ? SEEN : outcome;
}

static int wait_for_ctx(gs_ctx *ctx, gs__party *self, bool own, gs__cutoff *cutoff, int64_t deadline)
{
    waiting_for_ctx w = {.ctx = ctx, .cutoff = cutoff};
    w.wait.happened = ctx_happened;
    w.wait.deadline = deadline;
    w.wait.own = own;
    w.wait.on = gs__on_select(1);
    self->waiter.party = self;
    self->waiter.outcome = TOLD;
    gs__link_init(&self->waiter.link);
    if (ctx)
        gs__ctx_hang(ctx, &self->waiter);
    unsigned outcome = gs__wait_for_claim(self, &w.wait);
    if (outcome == TOLD)
        return 0;
    if (ctx)
        gs__ctx_unhang(ctx, &self->waiter);
    return outcome == SEEN ? 0 : gs__cutoff_code(outcome);
}

static gs__noinline int wait_for_ctx_or_cutoff(gs_ctx *ctx, gs__party *self, gs_ctx *scope,
                                               bool own, int64_t deadline)
{
    gs__cutoff cutoff;
    int result = gs__cutoff_arm(&cutoff, self, scope, own, deadline);
    if (result != GS_OK)
        return result;
    result = wait_for_ctx(ctx, self, own, &cutoff, deadline);
    gs__cutoff_disarm(&cutoff);
    return result;
}

int gs__select_ctx(gs_ctx *ctx, gs_ctx *scope, int64_t deadline)
{
    if (is_done(ctx))
        return 0;
    if (deadline == 0)
        return GS_EAGAIN;
    gs__party *self = gs__self();
    if (!self)
        return GS_ENOMEM;
    bool own = scope && gs__is_own_ctx(self, scope);
    return gs__cutoff_needed(self, scope, own, deadline)
               ? wait_for_ctx_or_cutoff(ctx, self, scope, own, deadline)
               : wait_for_ctx(ctx, self, own, NULL, deadline);
}

/* ---- the call that waits for several ---- */

typedef struct selecting_here {
    gs__wait wait;
    gs__selecting s;
} selecting_here;

static void unlock_here(gs__wait *wait)
{
    unlock_all(&gs__container(wait, selecting_here, wait)->s);
}

static unsigned happened_here(gs__wait *wait)
{
    return what_happened(&gs__container(wait, selecting_here, wait)->s);
}

static gs__noinline int select_several(gs__select_case *cases, int n, gs_ctx *scope,
                                       int64_t deadline)
{
    int result = try_in_random_order(cases, n);
    if (result != NONE_READY)
        return result;
    gs__party *self = gs__self();
    if (!self)
        return GS_ENOMEM;
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    selecting_here here;
    here.s.cases = cases;
    here.s.n = n;
    result = make_order(&here.s);
    if (result != GS_OK)
        return result;
    here.wait.own = scope && gs__is_own_ctx(self, scope);
    if (deadline)
        result = arm(&here.s, self, scope, here.wait.own, deadline);
    if (result == GS_OK) {
        lock_all(&here.s);
        result = try_locked(&here.s, &wakes);
        if (result == NONE_READY && deadline) {
            hang_on_channels(&here.s, self);
            here.wait.unlock = unlock_here;
            here.wait.happened = happened_here;
            here.wait.deadline = deadline;
            here.wait.on = gs__on_select(n);
            unsigned outcome = gs__wait_for_claim(self, &here.wait);
            unhang_from_channels(&here.s);
            result = result_of(&here.s, outcome);
        } else {
            unlock_all(&here.s);
            gs__wake_all(&wakes);
            if (result == NONE_READY)
                result = GS_EAGAIN;
        }
        if (deadline)
            disarm(&here.s);
    }
    free_order(&here.s);
    return result;
}

int gs__select(gs__select_case *cases, int n, gs_ctx *scope, int64_t deadline)
{
    if (n != 1 || cases->kind == GS__CASE_TASK)
        return select_several(cases, n, scope, deadline);
    if (is_chan(cases))
        return select_chan(cases, scope, deadline);
    cases->ok = true;
    return gs__select_ctx(cases->kind == GS__CASE_CTX ? cases->on.ctx : NULL, scope, deadline);
}

/* ---- the operation that nobody's stack waits on ---- */

int gs__async_start(gs__async *op, gs__select_case *cases, int n, gs_ctx *scope, int64_t deadline,
                    void (*notify)(gs__async *))
{
    int result = try_in_random_order(cases, n);
    if (result != NONE_READY)
        return result;
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    gs__party_init(&op->party, GS__PARTY_ASYNC);
    op->notify = notify;
    op->selecting.cases = cases;
    op->selecting.n = n;
    gs__selecting *s = &op->selecting;
    result = make_order(s);
    if (result != GS_OK)
        return result;
    if (deadline)
        result = arm(s, &op->party, scope, false, deadline);
    if (result != GS_OK) {
        free_order(s);
        return result;
    }
    lock_all(s);
    result = try_locked(s, &wakes);
    if (result == NONE_READY && deadline) {
        hang_on_channels(s, &op->party);
        atomic_store(&op->party.claim, GS__WAITING);
        unsigned outcome = what_happened(s);
        bool mine = outcome != GS__IDLE && gs__claim(&op->party, outcome);
        unlock_all(s);
        if (!mine)
            return GS__UNDER_WAY; /* where somebody else has claimed it, notify comes too */
        return gs__async_finish(op);
    }
    unlock_all(s);
    gs__wake_all(&wakes);
    if (deadline)
        disarm(s);
    free_order(s);
    return result == NONE_READY ? GS_EAGAIN : result;
}

int gs__async_finish(gs__async *op)
{
    unsigned outcome = atomic_load(&op->party.claim);
    unhang_from_channels(&op->selecting);
    disarm(&op->selecting);
    free_order(&op->selecting);
    return result_of(&op->selecting, outcome);
}

bool gs__async_abandon(gs__async *op)
{
    if (!gs__claim(&op->party, GS__CANCELED))
        return false;
    gs__async_finish(op);
    return true;
}
