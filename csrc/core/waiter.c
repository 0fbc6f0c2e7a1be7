/* waiter.c: the party that runs here, waiting until it is claimed, waking. See waiter.h;
 * models/park.pml checks it. */
#define _GNU_SOURCE
#include "waiter.h"

#include "chan.h"
#include "sched.h"
#include "select.h"
#include "worker.h"

#include <pthread.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* A signal whose handler ran before the thread slept ends no sleep. So the process's first thread, to which
 * signals go, looks again: after so long, and then each time after as long as it has waited; also where it began
 * the wait anew and nobody has given it up, as the mark of a signal may outlast its handler. */
enum { LOOK_AGAIN_NS = 20000000 };

bool (*gs__signal_pending)(void);

/* A foreign thread's record. Pooled and never freed: a late waker may still look at its parker. */
typedef struct thread {
    gs__party party;
    gs__parker *parker;
    bool interruptible;
    bool first;          /* the process's first thread */
    int64_t patience;    /* ns of waiting before it looks again; see below */
    struct thread *next; /* in the pool */
} thread;

static _Thread_local thread *this_thread;
static gs__lock pool_lock; /* guards pool; a leaf */
static thread *pool;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void give_back(void *p)
{
    thread *t = p;
    this_thread = NULL;
    gs__acquire(&pool_lock);
    t->next = pool;
    pool = t;
    gs__release(&pool_lock);
}

static void make_key(void)
{
    gs__assert(pthread_key_create(&at_exit, give_back) == 0);
}

static bool is_first(void)
{
#ifdef __linux__
    return syscall(SYS_gettid) == getpid();
#else
    return false;
#endif
}

/* NULL when memory ran out. */
static gs__noinline thread *make_thread(void)
{
    pthread_once(&once, make_key);
    gs__acquire(&pool_lock);
    thread *t = pool;
    if (t)
        pool = t->next;
    gs__release(&pool_lock);
    if (!t) {
        if (!(t = gs__calloc(sizeof *t)))
            return NULL;
        gs__party_init(&t->party, GS__PARTY_THREAD);
    }
    t->interruptible = false;
    t->first = is_first();
    t->patience = LOOK_AGAIN_NS;
    if ((!t->parker && !(t->parker = gs__parker_get())) || pthread_setspecific(at_exit, t) != 0) {
        give_back(t);
        return NULL;
    }
    return this_thread = t;
}

static thread *current_thread(void)
{
    return gs__likely(this_thread != NULL) ? this_thread : make_thread();
}

void gs__thread_set_interruptible(bool yes)
{
    thread *t = current_thread();
    if (t) /* else it cannot wait either */
        t->interruptible = yes;
}

void gs__thread_was_interrupted(void)
{
    thread *t = this_thread;
    if (t)
        t->patience = LOOK_AGAIN_NS;
}

void gs__threads_reset(void)
{
    /* The forked child's only thread keeps its record; that of the others must not be waited for. */
    gs__lock_init(&pool_lock);
    pool = NULL;
    if (this_thread) {
        this_thread->first = is_first();
        atomic_store(&this_thread->party.claim, GS__IDLE);
        this_thread->parker = gs__parker_get();
        if (!this_thread->parker) { /* it gets one, or an error, when it next waits */
            pthread_setspecific(at_exit, NULL);
            give_back(this_thread);
        }
    }
}

gs__opaque gs__party *gs__self(void)
{
    gs_task *task = gs__task_current();
    if (task)
        return &task->party;
    thread *t = current_thread();
    return t ? &t->party : NULL;
}

gs__opaque uint32_t gs__random(void)
{
    static _Thread_local uint32_t state;
    uint32_t x = state;
    if (gs__unlikely(x == 0))
        x = (uint32_t)((uintptr_t)&state >> 4 ^ (uintptr_t)gs__now()) | 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return state = x;
}

/* ---- waiting ---- */

static void run_unlock(void *wait)
{
    ((gs__wait *)wait)->unlock(wait);
}

/* An outcome that was there before the party became WAITING, claimed by itself; else GS__IDLE. */
static unsigned claim_what_happened(gs__party *self, gs__wait *wait)
{
    unsigned outcome = GS__IDLE;
    if (wait->own && gs__task_signal(gs__container(self, gs_task, party)) & GS__SIGNAL_STOP)
        outcome = GS__CANCELED;
    else if (wait->happened)
        outcome = wait->happened(wait);
    /* Where the claim fails, somebody else has claimed it, and will wake it. */
    return outcome != GS__IDLE && gs__claim(self, outcome) ? outcome : GS__IDLE;
}

static void wait_as_thread(thread *t, gs__wait *wait)
{
    if (wait->unlock)
        wait->unlock(wait);
    bool looks = t->interruptible && t->first && gs__signal_pending;
    int64_t deadline = wait->deadline;
    for (;;) {
        int64_t look = looks ? gs__deadline(t->patience) : GS_FOREVER;
        int64_t until = look < deadline ? look : deadline;
        /* Claimed is not enough to go on: until it is woken, its party is on its waker's list. */
        int code = gs__parker_wait(t->parker, until, t->interruptible);
        if (code == GS_OK)
            break;
        if (code == GS_ETIMEDOUT && until < deadline) {
            t->patience *= 2;
            if (!gs__signal_pending())
                continue;
            code = GS_EAGAIN;
        }
        if (code == GS_ETIMEDOUT && gs__claim(&t->party, GS__TIMEDOUT))
            break;
        if (code == GS_EAGAIN && gs__claim(&t->party, GS__INTERRUPTED))
            return;
        looks = false;
        deadline = GS_FOREVER; /* claimed by somebody: the token is on its way */
    }
    t->patience = LOOK_AGAIN_NS;
}

static void set_state(gs_task *task, enum gs__task_state state)
{
    atomic_store_explicit(&task->state, (unsigned char)state, memory_order_relaxed);
}

static void wait_as_task(gs_task *task, gs__wait *wait)
{
    atomic_store_explicit(&task->waiting_on, wait->on, memory_order_relaxed);
    gs__park_task(task, wait->unlock ? run_unlock : NULL, wait);
    atomic_store_explicit(&task->waiting_on, NULL, memory_order_relaxed);
}

unsigned gs__wait_for_claim(gs__party *self, gs__wait *wait)
{
    gs_task *task = self->kind == GS__PARTY_TASK ? gs__container(self, gs_task, party) : NULL;
    if (task)
        set_state(task, GS__TASK_PARKED); /* before, as its waker says that it is ready */
    atomic_store(&self->claim, wait->own ? GS__WAITING_OWN : GS__WAITING);
    unsigned outcome = claim_what_happened(self, wait);
    if (outcome != GS__IDLE) {
        if (wait->unlock)
            wait->unlock(wait);
    } else if (task) {
        wait_as_task(task, wait);
    } else {
        wait_as_thread(gs__container(self, thread, party), wait);
    }
    if (task)
        set_state(task, GS__TASK_RUNNING);
    outcome = atomic_load(&self->claim);
    atomic_store_explicit(&self->claim, GS__IDLE, memory_order_relaxed);
    return outcome;
}

/* ---- waking ---- */

static void wake(gs__party *party)
{
    switch (party->kind) {
    case GS__PARTY_TASK:
        gs__ready(gs__container(party, gs_task, party));
        break;
    case GS__PARTY_THREAD:
        gs__parker_wake(gs__container(party, thread, party)->parker);
        break;
    default: {
        gs__async *op = gs__container(party, gs__async, party);
        op->notify(op);
    }
    }
}

/* Tasks that this worker may run go on its queue together. */
static void wake_several(gs__party *party)
{
    gs__worker *w = gs__this_worker();
    gs__list ready;
    int n = 0;
    gs__list_init(&ready);
    for (gs__party *next; party; party = next) {
        next = party->next_woken; /* once woken it may be gone */
        gs_task *task = gs__container(party, gs_task, party);
        if (w && party->kind == GS__PARTY_TASK && !task->home && task->group == w->group) {
            set_state(task, GS__TASK_READY);
            gs__list_append(&ready, &task->link);
            n++;
        } else {
            wake(party);
        }
    }
    if (n)
        gs__ready_all(w, &ready, n);
}

void gs__wake_these(gs__party *party)
{
    if (party->next_woken)
        wake_several(party);
    else
        wake(party);
}
