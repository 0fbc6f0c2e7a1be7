/* ctx.c: see ctx.h. Lock order here: a parent before its child (only to hang the child), a context
 * before its done channel, before the timers. `batches_lock` is a leaf. models/timer.pml checks a deadline
 * against a cancel, models/select.pml a cancel against a wait. */
#include "ctx.h"

#include "task.h"

#include <pthread.h>
#include <string.h>

typedef struct gs__deadline_ctx {
    gs_ctx ctx;
    gs__timer timer;                       /* armed unless an ancestor's deadline comes first */
    int64_t deadline;                      /* the closest on the way to the root */
    struct gs__deadline_ctx *next_expired; /* on gs__fired.expired */
} gs__deadline_ctx;

typedef struct value_ctx {
    gs_ctx ctx;
    void *value;
    void (*drop)(void *);
} value_ctx;

/* The tree parent is the first; on each of the others hangs a hook. */
typedef struct other_parent {
    gs__ctx_hook hook;
    gs_ctx *parent; /* referenced */
    struct merge_ctx *merged;
} other_parent;

typedef struct merge_ctx {
    gs_ctx ctx;
    int n;
    other_parent others[];
} merge_ctx;

static gs_ctx root;
static pthread_once_t root_once = PTHREAD_ONCE_INIT;

static void make_root(void)
{
    gs__ctx_init(&root, GS__CTX_ROOT, NULL);
}

gs_ctx *gs__ctx_background(void)
{
    pthread_once(&root_once, make_root);
    return &root;
}

/* ---- causes ---- */

gs__cause *gs__cause_text(const char *text)
{
    size_t size = strlen(text) + 1;
    gs__cause *cause = gs__alloc(sizeof *cause + size);
    if (!cause)
        return NULL;
    atomic_init(&cause->refs, 1);
    cause->object = NULL;
    cause->drop = NULL;
    memcpy(cause->text, text, size);
    return cause;
}

gs__cause *gs__cause_object(void *object, void (*drop)(void *))
{
    gs__cause *cause = gs__cause_text("");
    if (cause) {
        cause->object = object;
        cause->drop = drop;
    }
    return cause;
}

void gs__cause_ref(gs__cause *cause)
{
    atomic_fetch_add_explicit(&cause->refs, 1, memory_order_relaxed);
}

void gs__cause_unref(gs__cause *cause)
{
    if (!cause || atomic_fetch_sub(&cause->refs, 1) != 1)
        return;
    if (cause->drop)
        cause->drop(cause->object);
    gs__free(cause);
}

/* ---- make ---- */

/* Hangs a new context on its parent, or makes it done where that is done. */
static void hang_child(gs_ctx *parent, gs_ctx *ctx)
{
    gs__acquire(&parent->lock);
    unsigned done = atomic_load_explicit(&parent->done, memory_order_relaxed);
    if (!done)
        gs__list_append(&parent->children, &ctx->sibling);
    gs__release(&parent->lock);
    if (done) {
        ctx->cause = parent->cause;
        if (ctx->cause)
            gs__cause_ref(ctx->cause);
        atomic_store(&ctx->done, done);
    }
}

void gs__ctx_init(gs_ctx *ctx, enum gs__ctx_kind kind, gs_ctx *parent)
{
    /* A task's second one is the runtime's, until it has ended. A snapshot may look at it. */
    atomic_store_explicit(&ctx->refs, kind == GS__CTX_TASK ? 2 : 1, memory_order_relaxed);
    atomic_init(&ctx->done, GS__CTX_ALIVE);
    gs__lock_init(&ctx->lock);
    ctx->kind = (uint8_t)kind;
    ctx->parent = parent;
    gs__list_init(&ctx->children);
    gs__link_init(&ctx->sibling);
    gs__list_init(&ctx->waiters);
    ctx->done_chan = NULL;
    ctx->cause = NULL;
    ctx->owner = NULL;
    if (!parent)
        return;
    gs__ctx_ref(parent);
    if (kind != GS__CTX_DETACHED)
        hang_child(parent, ctx);
}

gs_ctx *gs__ctx_with_cancel(gs_ctx *parent)
{
    gs_ctx *ctx = gs__alloc(sizeof *ctx);
    if (ctx)
        gs__ctx_init(ctx, GS__CTX_CANCEL, parent);
    return ctx;
}

gs_ctx *gs__ctx_without_cancel(gs_ctx *parent)
{
    gs_ctx *ctx = gs__alloc(sizeof *ctx);
    if (ctx)
        gs__ctx_init(ctx, GS__CTX_DETACHED, parent);
    return ctx;
}

gs_ctx *gs__ctx_with_value(gs_ctx *parent, void *value, void (*drop)(void *))
{
    value_ctx *v = gs__alloc(sizeof *v);
    if (!v)
        return NULL;
    v->value = value;
    v->drop = drop;
    gs__ctx_init(&v->ctx, GS__CTX_VALUE, parent);
    return &v->ctx;
}

/* Under the timers' lock: the context may be on its way to being freed, which waits for that lock. */
static void expire(gs__timer *timer, gs__fired *fired)
{
    gs__deadline_ctx *d = gs__container(timer, gs__deadline_ctx, timer);
    if (!gs__ctx_tryref(&d->ctx))
        return;
    d->next_expired = fired->expired;
    fired->expired = d;
}

void gs__ctx_cancel_expired(gs__deadline_ctx *list)
{
    for (gs__deadline_ctx *d = list, *next; d; d = next) {
        next = d->next_expired;
        gs__ctx_cancel(&d->ctx, GS__CTX_EXCEEDED, NULL);
        gs__ctx_unref(&d->ctx);
    }
}

gs_ctx *gs__ctx_with_deadline(gs_ctx *parent, int64_t deadline)
{
    gs__deadline_ctx *d = gs__alloc(sizeof *d);
    if (!d)
        return NULL;
    int64_t inherited = gs__ctx_deadline(parent);
    d->deadline = deadline < inherited ? deadline : inherited;
    gs__timer_init(&d->timer, expire);
    gs__ctx_init(&d->ctx, GS__CTX_DEADLINE, parent);
    if (deadline < inherited && !gs__ctx_is_done(&d->ctx)) {
        if (deadline <= gs__now()) {
            gs__ctx_cancel(&d->ctx, GS__CTX_EXCEEDED, NULL);
        } else if (gs__timer_start(&d->timer, deadline) != GS_OK) {
            gs__ctx_unref(&d->ctx);
            return NULL;
        } else if (gs__ctx_is_done(&d->ctx)) {
            gs__timer_stop(&d->timer); /* cancelled before there was a timer to stop */
        }
    }
    return &d->ctx;
}

static void other_parent_done(gs__ctx_hook *hook)
{
    other_parent *o = gs__container(hook, other_parent, hook);
    gs_ctx *merged = &o->merged->ctx;
    if (!gs__ctx_tryref(merged))
        return;
    gs__ctx_cancel(merged, gs__ctx_error(o->parent), gs__ctx_cause(o->parent));
    gs__ctx_unref(merged);
}

gs_ctx *gs__ctx_merge(gs_ctx *const *parents, int n)
{
    merge_ctx *m = gs__alloc(sizeof *m + (size_t)n * sizeof *m->others);
    if (!m)
        return NULL;
    m->n = n - 1;
    for (int i = 0; i < m->n; i++) {
        m->others[i].parent = parents[i + 1];
        m->others[i].merged = m;
        gs__link_init(&m->others[i].hook.waiter.link);
        gs__ctx_ref(parents[i + 1]);
    }
    gs__ctx_init(&m->ctx, GS__CTX_MERGE, parents[0]);
    for (int i = 0; i < m->n; i++)
        if (!gs__ctx_hook_add(parents[i + 1], &m->others[i].hook, other_parent_done))
            gs__ctx_cancel(&m->ctx, gs__ctx_error(parents[i + 1]), gs__ctx_cause(parents[i + 1]));
    return &m->ctx;
}

/* ---- use ---- */

gs__cause *gs__ctx_cause(gs_ctx *ctx)
{
    return gs__ctx_error(ctx) ? ctx->cause : NULL;
}

int64_t gs__ctx_deadline(gs_ctx *ctx)
{
    int64_t deadline = GS_FOREVER;
    for (; ctx && ctx->kind != GS__CTX_DETACHED; ctx = ctx->parent) {
        if (ctx->kind == GS__CTX_DEADLINE) {
            int64_t mine = gs__container(ctx, gs__deadline_ctx, ctx)->deadline;
            return mine < deadline ? mine : deadline;
        }
        if (ctx->kind == GS__CTX_MERGE) {
            merge_ctx *m = gs__container(ctx, merge_ctx, ctx);
            for (int i = 0; i < m->n; i++) {
                int64_t other = gs__ctx_deadline(m->others[i].parent);
                if (other < deadline)
                    deadline = other;
            }
        }
    }
    return deadline;
}

bool gs__ctx_is_below(gs_ctx *ctx, const gs_ctx *ancestor)
{
    for (; ctx; ctx = ctx->kind == GS__CTX_DETACHED ? NULL : ctx->parent) {
        if (ctx == ancestor)
            return true;
        if (ctx->kind == GS__CTX_MERGE) {
            merge_ctx *m = gs__container(ctx, merge_ctx, ctx);
            for (int i = 0; i < m->n; i++)
                if (gs__ctx_is_below(m->others[i].parent, ancestor))
                    return true;
        }
    }
    return false;
}

void *gs__ctx_value(gs_ctx *ctx)
{
    return ctx->kind == GS__CTX_VALUE ? gs__container(ctx, value_ctx, ctx)->value : NULL;
}

gs_chan *gs__ctx_done_chan(gs_ctx *ctx)
{
    gs_chan *fresh = gs__chan_new(gs__elem_of(GS_BOOL), 0);
    if (!fresh)
        return NULL;
    gs__acquire(&ctx->lock);
    gs_chan *ch = ctx->done_chan;
    if (!ch) {
        ch = ctx->done_chan = fresh;
        fresh = NULL;
        if (atomic_load_explicit(&ctx->done, memory_order_relaxed))
            atomic_store(&ch->closed, true); /* nobody waits on it yet */
    }
    gs__chan_ref(ch);
    gs__release(&ctx->lock);
    if (fresh)
        gs__chan_unref(fresh);
    return ch;
}

bool gs__ctx_hang(gs_ctx *ctx, gs__waiter *waiter)
{
    gs__acquire(&ctx->lock);
    bool alive = !atomic_load_explicit(&ctx->done, memory_order_relaxed);
    if (alive)
        gs__list_append(&ctx->waiters, &waiter->link);
    gs__release(&ctx->lock);
    return alive;
}

void gs__ctx_unhang(gs_ctx *ctx, gs__waiter *waiter)
{
    gs__acquire(&ctx->lock);
    if (gs__linked(&waiter->link))
        gs__list_remove(&waiter->link);
    gs__release(&ctx->lock);
}

/* ---- hooks ----
 * Who cancels takes the hooks of all it marked into a batch and runs them one by one. Batches are
 * listed, so that gs__ctx_unhook can take a hook out, or wait for the one that runs; and so that who
 * cancels what is done already can wait until those who were there before have marked all below it.
 * Marking waits for nothing but locks, so that wait ends. */

typedef struct batch {
    gs__link link;
    gs__list hooks; /* not begun */
    gs__ctx_hook *running;
    pthread_t runner;
    uint64_t number; /* in the order of the cancels */
    bool marking;    /* not all is marked yet */
} batch;

static gs__lock batches_lock; /* guards all batches once listed, and last_number */
static uint64_t last_number;
static gs__list batches = {{&batches.head, &batches.head}};

bool gs__ctx_hook_add(gs_ctx *ctx, gs__ctx_hook *hook, void (*fn)(gs__ctx_hook *))
{
    hook->fn = fn;
    hook->waiter.party = NULL;
    gs__link_init(&hook->waiter.link);
    return gs__ctx_hang(ctx, &hook->waiter);
}

bool gs__ctx_unhook(gs_ctx *ctx, gs__ctx_hook *hook)
{
    gs__acquire(&ctx->lock);
    if (!atomic_load_explicit(&ctx->done, memory_order_relaxed)) {
        bool hung = gs__linked(&hook->waiter.link);
        if (hung)
            gs__list_remove(&hook->waiter.link);
        gs__release(&ctx->lock);
        return hung;
    }
    gs__release(&ctx->lock);
    for (unsigned round = 0;; gs__backoff(&round)) {
        gs__acquire(&batches_lock);
        bool waiting = gs__linked(&hook->waiter.link), running = false;
        if (waiting)
            gs__list_remove(&hook->waiter.link);
        for (gs__link *l = batches.head.next; l != &batches.head; l = l->next) {
            batch *b = gs__container(l, batch, link);
            running |= b->running == hook && !pthread_equal(b->runner, pthread_self());
        }
        gs__release(&batches_lock);
        if (waiting || !running)
            return waiting;
    }
}

static void begin_batch(batch *b)
{
    gs__list_init(&b->hooks);
    b->running = NULL;
    b->runner = pthread_self();
    b->marking = true;
    gs__acquire(&batches_lock);
    b->number = ++last_number;
    gs__list_append(&batches, &b->link);
    gs__release(&batches_lock);
}

static void marked_all(batch *b)
{
    gs__acquire(&batches_lock);
    b->marking = false;
    gs__release(&batches_lock);
}

/* Until all cancels that began before have marked what they reach. */
static void wait_for_earlier(batch *b)
{
    bool earlier = true;
    for (unsigned round = 0; earlier;) {
        earlier = false;
        gs__acquire(&batches_lock);
        for (gs__link *l = batches.head.next; l != &batches.head && !earlier; l = l->next) {
            batch *other = gs__container(l, batch, link);
            earlier = other->marking && other->number < b->number;
        }
        gs__release(&batches_lock);
        if (earlier)
            gs__backoff(&round);
    }
}

static void run_batch(batch *b)
{
    gs__acquire(&batches_lock);
    for (gs__link *l; (l = gs__list_pop(&b->hooks));) {
        gs__ctx_hook *hook = gs__container(l, gs__ctx_hook, waiter.link);
        b->running = hook;
        gs__release(&batches_lock);
        hook->fn(hook);
        gs__acquire(&batches_lock);
        b->running = NULL;
    }
    gs__list_remove(&b->link);
    gs__release(&batches_lock);
}

/* ---- cancel ---- */

/* With ctx->lock held: marks it done. */
static void mark(gs_ctx *ctx, enum gs__ctx_error error, gs__cause *cause, gs__wakes *wakes, batch *b)
{
    ctx->cause = cause;
    if (cause)
        gs__cause_ref(cause);
    if (ctx->done_chan)
        gs__chan_close_quietly(ctx->done_chan, wakes);
    atomic_store(&ctx->done, error);
    if (ctx->kind == GS__CTX_TASK)
        gs__task_signal_stop(gs__container(ctx, gs_task, ctx), wakes);
    else if (ctx->kind == GS__CTX_DEADLINE)
        gs__timer_stop(&gs__container(ctx, gs__deadline_ctx, ctx)->timer);
    gs__link *end = &ctx->waiters.head;
    for (gs__link *l = end->next, *next; l != end; l = next) {
        gs__waiter *waiter = gs__container(l, gs__waiter, link);
        next = l->next;
        /* Many waiters lie on as many stacks, and the claims keep the processor from looking ahead. */
        if (next != end) {
            __builtin_prefetch(next->next);
            __builtin_prefetch(gs__container(next, gs__waiter, link)->party);
        }
        gs__link_init(l);
        if (!waiter->party) {
            gs__acquire(&batches_lock);
            gs__list_append(&b->hooks, l);
            gs__release(&batches_lock);
        } else if (gs__claim(waiter->party, waiter->outcome)) {
            gs__wakes_add(wakes, waiter->party);
        }
    }
    gs__list_init(&ctx->waiters);
}

static void unlink_from_parent(gs_ctx *ctx)
{
    if (!ctx->parent || ctx->kind == GS__CTX_DETACHED)
        return;
    gs__acquire(&ctx->parent->lock);
    if (gs__linked(&ctx->sibling))
        gs__list_remove(&ctx->sibling);
    gs__release(&ctx->parent->lock);
}

/* What is still to be cancelled was taken off its parent's children and is on a list through its link's
 * `prev`: `next` stays NULL, as of a link that hangs nowhere. */
bool gs__ctx_cancel(gs_ctx *ctx, enum gs__ctx_error error, gs__cause *cause)
{
    gs__wakes wakes;
    batch b;
    gs__link *todo = NULL;
    bool first = false;
    gs__wakes_init(&wakes);
    begin_batch(&b);
    for (gs_ctx *node = ctx; node;) {
        if (todo)
            __builtin_prefetch(gs__container(todo, gs_ctx, sibling));
        gs__acquire(&node->lock);
        if (!atomic_load_explicit(&node->done, memory_order_relaxed)) {
            first |= node == ctx;
            mark(node, error, cause, &wakes, &b);
            for (gs__link *l; (l = gs__list_pop(&node->children));) {
                gs_ctx *child = gs__container(l, gs_ctx, sibling);
                if (!gs__ctx_tryref(child))
                    continue; /* about to be freed: it only waits for our lock */
                l->prev = todo;
                todo = l;
            }
        }
        gs__release(&node->lock);
        if (node != ctx)
            gs__ctx_unref(node);
        node = todo ? gs__container(todo, gs_ctx, sibling) : NULL;
        if (todo)
            todo = todo->prev;
    }
    marked_all(&b);
    if (first)
        unlink_from_parent(ctx);
    else
        wait_for_earlier(&b);
    gs__wake_all(&wakes);
    run_batch(&b);
    return first;
}

/* ---- end ---- */

void gs__ctx_ref(gs_ctx *ctx)
{
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
}

bool gs__ctx_tryref(gs_ctx *ctx)
{
    unsigned refs = atomic_load_explicit(&ctx->refs, memory_order_relaxed);
    while (refs)
        if (atomic_compare_exchange_weak(&ctx->refs, &refs, refs + 1))
            return true;
    return false;
}

static void destroy(gs_ctx *ctx)
{
    unlink_from_parent(ctx);
    if (ctx->done_chan)
        gs__chan_unref(ctx->done_chan);
    gs__cause_unref(ctx->cause);
    switch (ctx->kind) {
    case GS__CTX_DEADLINE:
        gs__timer_stop(&gs__container(ctx, gs__deadline_ctx, ctx)->timer);
        break;
    case GS__CTX_VALUE: {
        value_ctx *v = gs__container(ctx, value_ctx, ctx);
        if (v->drop)
            v->drop(v->value);
        break;
    }
    case GS__CTX_MERGE: {
        merge_ctx *m = gs__container(ctx, merge_ctx, ctx);
        for (int i = 0; i < m->n; i++) {
            gs__ctx_unhook(m->others[i].parent, &m->others[i].hook);
            gs__ctx_unref(m->others[i].parent);
        }
        break;
    }
    default:
        break;
    }
    if (ctx->kind == GS__CTX_TASK)
        gs__task_free(gs__container(ctx, gs_task, ctx));
    else
        gs__free(ctx);
}

void gs__ctx_unref(gs_ctx *ctx)
{
    while (ctx && atomic_fetch_sub(&ctx->refs, 1) == 1) {
        gs__assert(ctx->kind != GS__CTX_ROOT);
        gs_ctx *parent = ctx->parent;
        destroy(ctx);
        ctx = parent;
    }
}

void gs__ctx_revive(void)
{
    gs__ctx_background();
    gs__acquire(&root.lock);
    gs__cause *cause = root.cause;
    gs_chan *done_chan = NULL;
    if (atomic_load(&root.done)) {
        done_chan = root.done_chan;
        root.done_chan = NULL;
        root.cause = NULL;
        atomic_store(&root.done, GS__CTX_ALIVE);
    } else {
        cause = NULL;
    }
    gs__release(&root.lock);
    gs__cause_unref(cause);
    if (done_chan)
        gs__chan_unref(done_chan);
}

void gs__ctx_reset(void)
{
    gs__lock_init(&batches_lock);
    gs__list_init(&batches);
    gs__ctx_background();
    make_root();
}
