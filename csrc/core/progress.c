/* progress.c: see progress.h. */
#include "progress.h"

static gs__noinline void tell(gs__progress *p)
{
    gs__acquire(&p->lock);
    gs_chan *ch = atomic_exchange(&p->changed, NULL);
    gs__release(&p->lock);
    if (!ch)
        return;
    gs__chan_close(ch);
    gs__chan_unref(ch);
}

void gs__progress_say(gs__progress *p, int64_t done, int64_t total)
{
    unsigned version = atomic_load_explicit(&p->version, memory_order_relaxed);
    atomic_store_explicit(&p->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&p->done, done, memory_order_release);
    atomic_store_explicit(&p->total, total, memory_order_release);
    version += version + 2 ? 2 : 4; /* 0 is none */
    atomic_store_explicit(&p->version, version, memory_order_release);
    if (gs__unlikely(atomic_load_explicit(&p->changed, memory_order_relaxed)))
        tell(p);
}

unsigned gs__progress_get(gs__progress *p, int64_t *done, int64_t *total)
{
    for (unsigned round = 0;; gs__backoff(&round)) {
        unsigned version = atomic_load_explicit(&p->version, memory_order_acquire);
        *done = atomic_load_explicit(&p->done, memory_order_acquire);
        *total = atomic_load_explicit(&p->total, memory_order_acquire);
        if (!(version & 1) && atomic_load_explicit(&p->version, memory_order_relaxed) == version)
            return version;
    }
}

gs_chan *gs__progress_changed(gs__progress *p)
{
    gs_chan *made = NULL, *ch;
    if (!atomic_load(&p->changed) && !(made = gs__chan_new(gs__elem_of(GS_BOOL), 0)))
        return NULL;
    gs__acquire(&p->lock);
    ch = atomic_load(&p->changed);
    if (!ch && made) {
        atomic_store(&p->changed, ch = made);
        made = NULL;
    }
    if (ch)
        gs__chan_ref(ch);
    gs__release(&p->lock);
    if (made)
        gs__chan_unref(made);
    /* It was there, and has been closed since: whatever it says, there is news. */
    return ch ? ch : gs__progress_changed(p);
}

void gs__progress_fini(gs__progress *p)
{
    gs_chan *ch = atomic_load(&p->changed);
    if (ch)
        gs__chan_unref(ch);
}
