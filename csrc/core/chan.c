/* chan.c: see chan.h; models/select.pml.
 *
 * What always holds, under the lock:
 *  - Where receivers wait that can still be claimed, nothing is buffered or put back, and no sender
 *    waits but those of the same select. Where senders wait, the ring is full.
 *  - `count` is the elements in the ring and those put back; `n_returned` of them are put back.
 *  - A closed channel has no waiters.
 * A waiter that cannot be claimed is taken off the queue by whoever meets it, so it is passed over
 * once. The claimed ones are woken after the lock is released. */
#include "chan.h"

#include "cutoff.h"
#include "debug.h"
#include "select.h"
#include "str.h"
#include "worker.h"

#include <string.h>

/* An element that was put back. */
typedef struct returned {
    gs__link link;
    char item[];
} returned;

static void drop_str(void *item)
{
    gs__str_drop(item);
}

gs__elem gs__elem_of(gs_type type)
{
    int kind = GS_TYPE_KIND(type);
    gs__elem elem = {type, kind == GS_KIND_STR || kind == GS_KIND_BYTES ? drop_str : NULL};
    return elem;
}

/* ---- make ---- */

gs_chan *gs__chan_new(gs__elem elem, size_t capacity)
{
    static atomic_ullong last_id;
    size_t size = GS_TYPE_SIZE(elem.type);
    if (size == 0 || size > UINT32_MAX || (capacity && size > SIZE_MAX / 2 / capacity))
        return NULL;
    gs_chan *ch = gs__calloc(sizeof *ch);
    if (!ch)
        return NULL;
    if (capacity && !(ch->ring = gs__alloc(capacity * size))) {
        gs__free(ch);
        return NULL;
    }
    gs__lock_init(&ch->lock);
    atomic_init(&ch->refs, 1);
    ch->item_size = (uint32_t)size;
    ch->capacity = capacity;
    ch->elem = elem;
    ch->id = atomic_fetch_add(&last_id, 1) + 1;
    gs__list_init(&ch->receivers);
    gs__list_init(&ch->senders);
    gs__list_init(&ch->returned);
    return ch;
}

void gs__chan_ref(gs_chan *ch)
{
    atomic_fetch_add_explicit(&ch->refs, 1, memory_order_relaxed);
}

static inline void copy(void *to, const void *from, size_t size)
{
    if (gs__likely(size == 8))
        memcpy(to, from, 8);
    else
        memcpy(to, from, size);
}

static char *slot(gs_chan *ch, size_t i)
{
    i += ch->head;
    return ch->ring + (i < ch->capacity ? i : i - ch->capacity) * ch->item_size;
}

static void set_count(gs_chan *ch, size_t count)
{
    atomic_store_explicit(&ch->count, count, memory_order_release);
}

static size_t count_of(gs_chan *ch)
{
    return atomic_load_explicit(&ch->count, memory_order_relaxed);
}

static size_t in_ring(gs_chan *ch)
{
    return count_of(ch) - ch->n_returned;
}

void gs__chan_unref(gs_chan *ch)
{
    if (atomic_fetch_sub(&ch->refs, 1) != 1)
        return;
    size_t n = in_ring(ch);
    for (gs__link *l; (l = gs__list_pop(&ch->returned));) {
        returned *r = gs__container(l, returned, link);
        if (ch->elem.drop)
            ch->elem.drop(r->item);
        gs__free(r);
    }
    if (ch->elem.drop)
        for (size_t i = 0; i < n; i++)
            ch->elem.drop(slot(ch, i));
    gs__free(ch->ring);
    gs__free(ch);
}

/* ---- the operations, under the lock ---- */

static gs__waiter *claim_oldest(gs__list *queue, bool ok, gs__wakes *wakes)
{
    for (gs__link *l; (l = gs__list_pop(queue));) {
        gs__waiter *waiter = gs__container(l, gs__waiter, link);
        if (gs__claim(waiter->party, waiter->outcome)) {
            waiter->ok = ok;
            gs__wakes_add(wakes, waiter->party);
            return waiter;
        }
    }
    return NULL;
}

/* The oldest waiter of the queue that can be claimed, claimed and off the queue; or NULL. */
static inline gs__waiter *claim_first(gs__list *queue, bool ok, gs__wakes *wakes)
{
    return gs__list_empty(queue) ? NULL : claim_oldest(queue, ok, wakes);
}

static inline void put_in_ring(gs_chan *ch, const void *item)
{
    copy(slot(ch, in_ring(ch)), item, ch->item_size);
    set_count(ch, count_of(ch) + 1);
}

int gs__chan_send_locked(gs_chan *ch, const void *item, gs__wakes *wakes)
{
    if (gs__unlikely(atomic_load_explicit(&ch->closed, memory_order_relaxed)))
        return GS_ECLOSED;
    gs__waiter *receiver = claim_first(&ch->receivers, true, wakes);
    if (receiver) {
        copy(receiver->item, item, ch->item_size);
        return GS_OK;
    }
    if (in_ring(ch) == ch->capacity)
        return GS_EAGAIN;
    put_in_ring(ch, item);
    return GS_OK;
}

static void take_returned(gs_chan *ch, void *item)
{
    returned *r = gs__container(gs__list_pop(&ch->returned), returned, link);
    ch->n_returned--;
    set_count(ch, count_of(ch) - 1);
    copy(item, r->item, ch->item_size);
    gs__free(r);
}

static inline void take_from_ring(gs_chan *ch, void *item)
{
    copy(item, slot(ch, 0), ch->item_size);
    ch->head = ch->head + 1 == ch->capacity ? 0 : ch->head + 1;
    set_count(ch, count_of(ch) - 1);
}

int gs__chan_recv_locked(gs_chan *ch, void *item, gs__wakes *wakes)
{
    if (gs__unlikely(ch->n_returned)) {
        take_returned(ch, item);
        return GS_OK;
    }
    if (count_of(ch)) {
        take_from_ring(ch, item);
        gs__waiter *sender = claim_first(&ch->senders, true, wakes);
        if (sender)
            put_in_ring(ch, sender->item);
        return GS_OK;
    }
    gs__waiter *sender = claim_first(&ch->senders, true, wakes);
    if (sender) {
        copy(item, sender->item, ch->item_size);
        return GS_OK;
    }
    return atomic_load_explicit(&ch->closed, memory_order_relaxed) ? GS_ECLOSED : GS_EAGAIN;
}

void gs__chan_close_quietly(gs_chan *ch, gs__wakes *wakes)
{
    gs__acquire(&ch->lock);
    atomic_store(&ch->closed, true);
    while (claim_first(&ch->receivers, false, wakes))
        ;
    while (claim_first(&ch->senders, false, wakes))
        ;
    gs__release(&ch->lock);
}

void gs__chan_close(gs_chan *ch)
{
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    gs__chan_close_quietly(ch, &wakes);
    gs__wake_all(&wakes);
}

int gs__chan_unrecv(gs_chan *ch, const void *item)
{
    returned *r = gs__alloc(sizeof *r + ch->item_size);
    if (!r)
        return GS_ENOMEM;
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    gs__acquire(&ch->lock);
    gs__waiter *receiver = claim_first(&ch->receivers, true, &wakes);
    if (receiver) {
        copy(receiver->item, item, ch->item_size);
    } else {
        copy(r->item, item, ch->item_size);
        gs__list_prepend(&ch->returned, &r->link);
        ch->n_returned++;
        set_count(ch, count_of(ch) + 1);
        r = NULL;
    }
    gs__release(&ch->lock);
    gs__free(r);
    gs__wake_all(&wakes);
    return GS_OK;
}

/* ---- without waiting ---- */

/* With the lock held, which they release. */
static gs__noinline int finish_send(gs_chan *ch, const void *item)
{
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    int code = gs__chan_send_locked(ch, item, &wakes);
    gs__release(&ch->lock);
    gs__wake_all(&wakes);
    return code;
}

static gs__noinline int finish_recv(gs_chan *ch, void *item)
{
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    int code = gs__chan_recv_locked(ch, item, &wakes);
    gs__release(&ch->lock);
    gs__wake_all(&wakes);
    return code;
}

int gs__chan_try_send(gs_chan *ch, const void *item)
{
    gs__acquire(&ch->lock);
    if (!gs__list_empty(&ch->receivers) || in_ring(ch) == ch->capacity ||
        gs__unlikely(atomic_load_explicit(&ch->closed, memory_order_relaxed)))
        return finish_send(ch, item);
    put_in_ring(ch, item);
    gs__release(&ch->lock);
    return GS_OK;
}

int gs__chan_try_recv(gs_chan *ch, void *item)
{
    gs__acquire(&ch->lock);
    if (!gs__list_empty(&ch->senders) || gs__unlikely(ch->n_returned) || count_of(ch) == 0)
        return finish_recv(ch, item);
    take_from_ring(ch, item);
    gs__release(&ch->lock);
    return GS_OK;
}

/* How many elements one hold of the lock moves at most: others get their turn. */
enum { BATCH = 1024 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* With the lock held: what fits into the ring in one piece, where nobody waits for it, at once. */
static size_t put_run(gs_chan *ch, const char *from, size_t n)
{
    size_t used = in_ring(ch), end = ch->head + used;
    if (!gs__list_empty(&ch->receivers) || atomic_load_explicit(&ch->closed, memory_order_relaxed))
        return 0;
    size_t piece = end < ch->capacity ? ch->capacity - end : ch->head - (end - ch->capacity);
    size_t run = least(least(ch->capacity - used, piece), n);
    if (run == 0)
        return 0;
    memcpy(slot(ch, used), from, run * ch->item_size);
    set_count(ch, count_of(ch) + run);
    return run;
}

int gs__chan_try_send_many(gs_chan *ch, const void *items, size_t n, size_t *sent)
{
    const char *item = items;
    int code = GS_OK;
    *sent = 0;
    while (code == GS_OK && *sent < n) {
        gs__wakes wakes;
        gs__wakes_init(&wakes);
        gs__acquire(&ch->lock);
        for (size_t left = least(BATCH, n - *sent); left > 0;) {
            size_t run = put_run(ch, item, left);
            if (run == 0) {
                code = gs__chan_send_locked(ch, item, &wakes);
                if (code != GS_OK)
                    break;
                run = 1;
            }
            item += run * ch->item_size;
            *sent += run;
            left -= run;
        }
        gs__release(&ch->lock);
        gs__wake_all(&wakes);
    }
    return code;
}

/* With the lock held: what lies in one piece in the ring and nobody waits to fill up, at once. */
static size_t take_run(gs_chan *ch, char *to, size_t n)
{
    if (ch->n_returned || !gs__list_empty(&ch->senders))
        return 0;
    size_t run = least(least(count_of(ch), ch->capacity - ch->head), n);
    if (run == 0)
        return 0;
    memcpy(to, slot(ch, 0), run * ch->item_size);
    ch->head = ch->head + run == ch->capacity ? 0 : ch->head + run;
    set_count(ch, count_of(ch) - run);
    return run;
}

int gs__chan_try_recv_many(gs_chan *ch, void *items, size_t n, size_t *received)
{
    char *item = items;
    int code = GS_OK;
    *received = 0;
    while (code == GS_OK && *received < n) {
        gs__wakes wakes;
        gs__wakes_init(&wakes);
        gs__acquire(&ch->lock);
        for (size_t left = least(BATCH, n - *received); left > 0;) {
            size_t run = take_run(ch, item, left);
            if (run == 0) {
                code = gs__chan_recv_locked(ch, item, &wakes);
                if (code != GS_OK)
                    break;
                run = 1;
            }
            item += run * ch->item_size;
            *received += run;
            left -= run;
        }
        gs__release(&ch->lock);
        gs__wake_all(&wakes);
    }
    return *received ? GS_OK : code;
}

/* ---- waiting ---- */

/* One blocked send or receive. */
typedef struct blocked {
    gs__wait wait;
    gs__cutoff cutoff;
    gs_chan *ch;
} blocked;

static void unlock_chan(gs__wait *wait)
{
    gs__release(&gs__container(wait, blocked, wait)->ch->lock);
}

static unsigned happened(gs__wait *wait)
{
    return gs__cutoff_happened(&gs__container(wait, blocked, wait)->cutoff);
}

/* With the lock held, which it releases: waits in the queue until the operation has happened. */
static int wait_in_queue(blocked *b, gs__party *self, gs__list *queue, void *item, const void *on)
{
    gs__waiter *waiter = &self->waiter;
    waiter->party = self;
    waiter->item = item;
    waiter->outcome = GS__CASE;
    waiter->ok = false;
    gs__list_append(queue, &waiter->link);
    b->wait.unlock = unlock_chan;
    b->wait.happened = happened;
    b->wait.on = on;
    unsigned outcome = gs__wait_for_claim(self, &b->wait);
    if (outcome == GS__CASE)
        return waiter->ok ? GS_OK : GS_ECLOSED;
    gs__acquire(&b->ch->lock);
    if (gs__linked(&waiter->link))
        gs__list_remove(&waiter->link);
    gs__release(&b->ch->lock);
    return gs__cutoff_code(outcome);
}

typedef int operation(gs_chan *, void *, gs__wakes *);

static int send_operation(gs_chan *ch, void *item, gs__wakes *wakes)
{
    return gs__chan_send_locked(ch, item, wakes);
}

static int block(gs_chan *ch, void *item, operation *operate, gs__list *queue, const void *on,
                 gs_ctx *scope, int64_t deadline)
{
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    gs__acquire(&ch->lock);
    int code = operate(ch, item, &wakes);
    if (code != GS_EAGAIN || deadline == 0) {
        gs__release(&ch->lock);
        gs__wake_all(&wakes);
        return code == GS_EAGAIN ? GS_ETIMEDOUT : code;
    }
    gs__party *self = gs__self();
    if (!self) {
        gs__release(&ch->lock);
        return GS_ENOMEM;
    }
    blocked b;
    b.ch = ch;
    b.wait.own = scope && gs__is_own_ctx(self, scope);
    b.wait.deadline = deadline;
    if (!gs__cutoff_needed(self, scope, b.wait.own, deadline)) {
        gs__cutoff_init(&b.cutoff);
        return wait_in_queue(&b, self, queue, item, on);
    }
    gs__release(&ch->lock);
    code = gs__cutoff_arm(&b.cutoff, self, scope, b.wait.own, deadline);
    if (code != GS_OK)
        return code;
    gs__acquire(&ch->lock);
    code = operate(ch, item, &wakes);
    if (code == GS_EAGAIN) {
        code = wait_in_queue(&b, self, queue, item, on);
    } else {
        gs__release(&ch->lock);
        gs__wake_all(&wakes);
    }
    gs__cutoff_disarm(&b.cutoff);
    return code;
}

int gs__chan_send(gs_chan *ch, const void *item, gs_ctx *scope, int64_t deadline)
{
    return block(ch, (void *)item, send_operation, &ch->senders, gs__on_send(ch), scope, deadline);
}

int gs__chan_recv(gs_chan *ch, void *item, gs_ctx *scope, int64_t deadline)
{
    return block(ch, item, gs__chan_recv_locked, &ch->receivers, gs__on_recv(ch), scope, deadline);
}

int gs__chan_send_many(gs_chan *ch, const void *items, size_t n, size_t *sent, gs_ctx *scope,
                       int64_t deadline)
{
    const char *item = items;
    int code = GS_OK;
    *sent = 0;
    while (code == GS_OK && *sent < n) {
        size_t some;
        code = gs__chan_try_send_many(ch, item + *sent * ch->item_size, n - *sent, &some);
        *sent += some;
        if (code == GS_EAGAIN) {
            code = gs__chan_send(ch, item + *sent * ch->item_size, scope, deadline);
            *sent += code == GS_OK;
        }
    }
    return code;
}

int gs__chan_recv_many(gs_chan *ch, void *items, size_t n, size_t *received, gs_ctx *scope,
                       int64_t deadline)
{
    int code = gs__chan_try_recv_many(ch, items, n, received);
    if (code != GS_EAGAIN || n == 0)
        return code;
    code = gs__chan_recv(ch, items, scope, deadline);
    if (code != GS_OK)
        return code;
    size_t more;
    gs__chan_try_recv_many(ch, (char *)items + ch->item_size, n - 1, &more);
    *received = 1 + more;
    return GS_OK;
}
