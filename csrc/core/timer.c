/* timer.c: see timer.h. `lock` guards the heap. It is taken with a context's lock held, never the
 * other way; what fires is claimed or referenced under it and finished after it: models/timer.pml. */
#include "timer.h"

#include "ctx.h"
#include "sched.h"
#include "worker.h"

static gs__lock lock;
static gs__heap heap;
static _Atomic int64_t next_deadline = GS_FOREVER;

void gs__timer_init(gs__timer *timer, void (*fire)(gs__timer *, gs__fired *))
{
    timer->node.place = 0;
    timer->fire = fire;
    atomic_init(&timer->fired, false);
}

static void note_next(void)
{
    gs__heap_node *first = gs__heap_first(&heap);
    atomic_store(&next_deadline, first ? first->key : GS_FOREVER);
}

int gs__timer_start(gs__timer *timer, int64_t deadline)
{
    int code = gs__runtime_start();
    if (code != GS_OK || deadline == GS_FOREVER)
        return code;
    timer->node.key = deadline;
    gs__acquire(&lock);
    code = gs__heap_insert(&heap, &timer->node);
    bool first = code == GS_OK && gs__heap_first(&heap) == &timer->node;
    if (first)
        note_next();
    gs__release(&lock);
    if (first)
        gs__timekeeper_look();
    return code;
}

bool gs__timer_stop(gs__timer *timer)
{
    gs__acquire(&lock);
    bool there = timer->node.place != 0;
    if (there) {
        gs__heap_remove(&heap, &timer->node);
        note_next();
    }
    gs__release(&lock);
    return there;
}

int64_t gs__timers_next(void)
{
    return atomic_load(&next_deadline);
}

int64_t gs__timers_run(void)
{
    int64_t next = gs__timers_next();
    if (next == GS_FOREVER || next > gs__now())
        return next;
    gs__fired fired = {.expired = NULL};
    gs__wakes_init(&fired.wakes);
    gs__acquire(&lock);
    int64_t now = gs__now();
    for (gs__heap_node *node; (node = gs__heap_first(&heap)) && node->key <= now;) {
        gs__heap_remove(&heap, node);
        gs__timer *timer = gs__container(node, gs__timer, node);
        atomic_store(&timer->fired, true);
        timer->fire(timer, &fired);
    }
    note_next();
    gs__release(&lock);
    gs__wake_all(&fired.wakes);
    gs__ctx_cancel_expired(fired.expired);
    return gs__timers_next();
}

void gs__timers_reset(void)
{
    gs__lock_init(&lock);
    heap = (gs__heap){0};
    atomic_store(&next_deadline, GS_FOREVER);
}
