/* ctx.h: contexts, the cancel tree.
 *
 * What always holds:
 *  - A child holds a reference on its parent; the parent's list of children holds none. A child is
 *    on that list from its making until it is done or freed.
 *  - `lock` guards the children, the waiters and the change to done. Once done is set, error and
 *    cause never change and may be read without the lock; children and waiters are empty then.
 *  - done is set last: who sees it set sees the error, the cause and the closed done channel.
 *  - Cancelling locks one node at a time, holding a reference on each that it is still to visit, so
 *    a tree of any depth costs no stack. A child added meanwhile finds its parent done. */
#ifndef GS__CTX_H
#define GS__CTX_H

#include "timer.h"
#include "chan.h"

/* Why a context was cancelled: text, or an object of the bindings'. Shared by reference. */
typedef struct gs__cause {
    atomic_uint refs;
    void *object;         /* the bindings'; may be NULL */
    void (*drop)(void *); /* releases object; runs without a lock, on any thread */
    char text[];          /* ends in NUL; empty where there is an object */
} gs__cause;
/* NULL when memory ran out. */
gs__cause *gs__cause_text(const char *text);
gs__cause *gs__cause_object(void *object, void (*drop)(void *));
void gs__cause_ref(gs__cause *cause);
void gs__cause_unref(gs__cause *cause); /* takes NULL */

enum gs__ctx_kind {
    GS__CTX_ROOT,
    GS__CTX_CANCEL,
    GS__CTX_DEADLINE,
    GS__CTX_VALUE,
    GS__CTX_DETACHED, /* without_cancel: values only */
    GS__CTX_MERGE,
    GS__CTX_TASK /* inside a gs_task, whose memory it shares */
};
enum gs__ctx_error { GS__CTX_ALIVE, GS__CTX_CANCELED, GS__CTX_EXCEEDED };

struct gs_ctx {
    atomic_uint refs;
    atomic_uint done; /* enum gs__ctx_error: why it is done */
    gs__lock lock;
    uint8_t kind;       /* enum gs__ctx_kind; fixed */
    gs_ctx *parent;     /* fixed; referenced; NULL for the root */
    gs__list children;  /* gs_ctx.sibling */
    gs__link sibling;   /* on parent->children, guarded by the parent's lock; see
                           gs__ctx_cancel */
    gs__list waiters;   /* gs__ctx_hook.link and gs__waiter.link: see gs__ctx_hook */
    gs_chan *done_chan; /* made when first asked for; of GS_BOOL, never sent on */
    gs__cause *cause;   /* NULL where none was given; referenced */
    void *owner;        /* the bindings' object for it, not looked into */
};

/* The root. Cancelled only while the runtime leaves. Not referenced. */
gs_ctx *gs__ctx_background(void);
void gs__ctx_ref(gs_ctx *ctx);
void gs__ctx_unref(gs_ctx *ctx);

/* Each gives one reference, or NULL when memory ran out. A child of a done parent is done. */
gs_ctx *gs__ctx_with_cancel(gs_ctx *parent);
gs_ctx *gs__ctx_with_deadline(gs_ctx *parent, int64_t deadline);
/* `value` is the bindings' own; drop releases it, without a lock, on any thread. */
gs_ctx *gs__ctx_with_value(gs_ctx *parent, void *value, void (*drop)(void *));
gs_ctx *gs__ctx_without_cancel(gs_ctx *parent);
/* Done when any parent is; values of the first. n >= 1. */
gs_ctx *gs__ctx_merge(gs_ctx *const *parents, int n);

/* Cancels it and all below it; true where it was not done before. `cause` may be NULL; a reference
 * is taken. */
bool gs__ctx_cancel(gs_ctx *ctx, enum gs__ctx_error error, gs__cause *cause);

static inline enum gs__ctx_error gs__ctx_error(gs_ctx *ctx)
{
    return (enum gs__ctx_error)atomic_load_explicit(&ctx->done, memory_order_acquire);
}
static inline bool gs__ctx_is_done(gs_ctx *ctx)
{
    return gs__unlikely(atomic_load_explicit(&ctx->done, memory_order_relaxed) != GS__CTX_ALIVE) &&
           gs__ctx_error(ctx) != GS__CTX_ALIVE;
}
/* NULL where there is none or it is not done. Valid as long as the context. */
gs__cause *gs__ctx_cause(gs_ctx *ctx);
/* The closest deadline on the way to the root, or GS_FOREVER. */
int64_t gs__ctx_deadline(gs_ctx *ctx);
/* Whether the end of `ancestor` ends ctx: it is ctx itself, or a parent or one merged on the way to
 * the root. */
bool gs__ctx_is_below(gs_ctx *ctx, const gs_ctx *ancestor);
/* The value of a GS__CTX_VALUE node, NULL of others. To look one up, walk gs_ctx.parent. */
void *gs__ctx_value(gs_ctx *ctx);
/* The done channel, a reference of the caller's; NULL when memory ran out. */
gs_chan *gs__ctx_done_chan(gs_ctx *ctx);

/* A function to run once when ctx is done, on the thread that cancels, without a lock of the core:
 * short, without waiting. The memory is the caller's until gs__ctx_unhook has returned or fn has
 * begun; then it is fn's, which may free it. */
typedef struct gs__ctx_hook {
    gs__waiter waiter; /* with party NULL: how a context tells hooks from waiters */
    void (*fn)(struct gs__ctx_hook *);
} gs__ctx_hook;
/* False where ctx is done already: nothing was hung, fn will not run. */
bool gs__ctx_hook_add(gs_ctx *ctx, gs__ctx_hook *hook, void (*fn)(gs__ctx_hook *));
/* True where fn had not begun and never will. False where it has run: it has returned, unless the
 * caller is fn itself. */
bool gs__ctx_unhook(gs_ctx *ctx, gs__ctx_hook *hook);

/* A party's waiter on ctx; false where ctx is done. */
bool gs__ctx_hang(gs_ctx *ctx, gs__waiter *waiter);
void gs__ctx_unhang(gs_ctx *ctx, gs__waiter *waiter);

/* For task.c: a context in the task's memory. */
void gs__ctx_init(gs_ctx *ctx, enum gs__ctx_kind kind, gs_ctx *parent);
/* For timer.c: cancels what gs__fired.expired lists, and gives up its references. */
void gs__ctx_cancel_expired(struct gs__deadline_ctx *list);
/* Takes a reference where there is still one. */
bool gs__ctx_tryref(gs_ctx *ctx);
/* For runtime.c: the root is not done again; in a forked child, where nobody else has it. */
void gs__ctx_revive(void);
void gs__ctx_reset(void);

#endif
