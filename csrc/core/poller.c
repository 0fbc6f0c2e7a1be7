/* poller.c: waiting, the table of watches, the thread. See poller.h. */
#define _GNU_SOURCE
#include "poller.h"

#include "cutoff.h"
#include "debug.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum {
    PAGE = 256, /* watches */
    ALWAYS = POLLERR | POLLHUP | POLLNVAL,
    EVENTS = POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND | ALWAYS
#ifdef POLLRDHUP
             | POLLRDHUP
#endif
};
enum { FIRED = GS__CASE, GONE };

/* ---- the table ----
 * By number, in pages, as numbers are dense. */

static gs__lock table_lock; /* guards what follows */
static gs__watch **pages;
static size_t n_pages;

static gs__watch *make_page(int first)
{
    gs__watch *page = gs__calloc(PAGE * sizeof *page);
    for (int i = 0; page && i < PAGE; i++) {
        gs__lock_init(&page[i].lock);
        gs__list_init(&page[i].waiters);
        page[i].fd = first + i;
        atomic_init(&page[i].wanted, GS__WANTED_NOTHING);
    }
    return page;
}

/* With the lock held. */
static bool grow(size_t index)
{
    size_t n = n_pages ? n_pages : 4;
    while (n <= index)
        n *= 2;
    gs__watch **more = gs__calloc(n * sizeof *more);
    if (!more)
        return false;
    if (pages)
        memcpy(more, pages, n_pages * sizeof *pages);
    gs__free(pages);
    pages = more;
    n_pages = n;
    return true;
}

/* NULL when memory ran out. */
static gs__watch *watch_of(int fd)
{
    size_t index = (size_t)fd / PAGE;
    gs__watch *watch = NULL;
    gs__acquire(&table_lock);
    if (index < n_pages || grow(index)) {
        if (!pages[index])
            pages[index] = make_page((int)(index * PAGE));
        if (pages[index])
            watch = &pages[index][fd % PAGE];
    }
    gs__release(&table_lock);
    return watch;
}

/* ---- the thread ---- */

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool started, stopping;
static pthread_t thread;

static void *poller_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&stopping))
        gs__poll_wait();
    return NULL;
}

/* With `starting` held. */
static int start(void)
{
    int code = gs__should_fail() ? GS_ENOMEM : gs__poll_open();
    if (code != GS_OK)
        return code;
    atomic_store(&stopping, false);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&thread, NULL, poller_main, NULL) == 0 ? GS_OK : GS_ENOMEM;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != GS_OK)
        gs__poll_close();
    atomic_store(&started, code == GS_OK);
    return code;
}

static int ensure_started(void)
{
    if (gs__likely(atomic_load_explicit(&started, memory_order_acquire)))
        return GS_OK;
    pthread_mutex_lock(&starting);
    int code = atomic_load(&started) ? GS_OK : start();
    pthread_mutex_unlock(&starting);
    return code;
}

void gs__poller_stop(void)
{
    if (!atomic_load(&started))
        return;
    atomic_store(&stopping, true);
    gs__poll_interrupt();
    pthread_join(thread, NULL);
    gs__poll_close();
    atomic_store(&started, false);
}

void gs__poller_reset(void)
{
    pthread_mutex_init(&starting, NULL);
    if (atomic_exchange(&started, false))
        gs__poll_forget();
    gs__lock_init(&table_lock);
    pages = NULL; /* on them hang the parent's tasks */
    n_pages = 0;
}

/* ---- waiting ---- */

typedef struct waiting {
    gs__wait wait;
    gs__waiter waiter;
    gs__cutoff cutoff;
    gs__watch *watch;
    int events;
} waiting;

static waiting *waiting_of(gs__link *link)
{
    return gs__container(link, waiting, waiter.link);
}

/* Takes all off, with the watch's lock held. */
static void claim_all(gs__watch *watch, unsigned outcome, gs__wakes *wakes)
{
    for (gs__link *l; (l = gs__list_pop(&watch->waiters));) {
        gs__party *party = waiting_of(l)->waiter.party;
        if (gs__claim(party, outcome))
            gs__wakes_add(wakes, party);
    }
}

/* The same, of those whom the events concern. What the rest waits for; GS__WANTED_NOTHING: none is left. */
static int claim_concerned(gs__watch *watch, int events, gs__wakes *wakes)
{
    int wanted = GS__WANTED_NOTHING;
    for (gs__link *l = watch->waiters.head.next, *next; l != &watch->waiters.head; l = next) {
        next = l->next;
        waiting *w = waiting_of(l);
        if (events & (w->events | ALWAYS)) {
            gs__list_remove(l);
            if (gs__claim(w->waiter.party, FIRED))
                gs__wakes_add(wakes, w->waiter.party);
        } else {
            wanted = wanted == GS__WANTED_NOTHING ? w->events : wanted | w->events;
        }
    }
    return wanted;
}

void gs__poll_fired(gs__watch *watch, int events, gs__wakes *wakes)
{
    gs__acquire(&watch->lock);
    int wanted = claim_concerned(watch, events, wakes);
    atomic_store(&watch->wanted, wanted);
    if (wanted != GS__WANTED_NOTHING) {
        bool another = false;
        int code = gs__poll_arm(watch, wanted, &another);
        /* Where it cannot be armed each of them is to find that out by itself. */
        if (another || code != GS_OK)
            claim_all(watch, another ? GONE : FIRED, wakes);
    }
    gs__release(&watch->lock);
}

static void unlock_watch(gs__wait *wait)
{
    gs__release(&gs__container(wait, waiting, wait)->watch->lock);
}

static unsigned happened(gs__wait *wait)
{
    return gs__cutoff_happened(&gs__container(wait, waiting, wait)->cutoff);
}

/* Arms the watch for the waiters and `events`, with its lock held; who waits for another file that had
 * the number is claimed. */
static int arm(gs__watch *watch, int events, gs__wakes *wakes)
{
    int wanted = events;
    bool another = false;
    for (gs__link *l = watch->waiters.head.next; l != &watch->waiters.head; l = l->next)
        wanted |= waiting_of(l)->events;
    atomic_store(&watch->wanted, wanted);
    int code = gs__poll_arm(watch, wanted, &another);
    if (another)
        claim_all(watch, GONE, wakes);
    return code;
}

static int code_of(unsigned outcome)
{
    switch (outcome) {
    case FIRED:
        return GS_OK;
    case GONE:
        return GS_EINVAL;
    default:
        return gs__cutoff_code(outcome);
    }
}

/* GS_OK: something may have come. */
static int wait_once(gs__watch *watch, int events, gs_ctx *scope, int64_t deadline)
{
    gs__party *self = gs__self();
    waiting w = {.watch = watch, .events = events};
    w.wait.own = scope && gs__is_own_ctx(self, scope);
    GS_TRY(gs__cutoff_arm(&w.cutoff, self, scope, w.wait.own, deadline));
    w.wait.unlock = unlock_watch;
    w.wait.happened = happened;
    w.wait.deadline = deadline;
    w.wait.on = gs__on_fd(watch->fd);
    w.waiter.party = self;
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    gs__acquire(&watch->lock);
    int code = arm(watch, events, &wakes);
    if (code != GS_OK || wakes.first) {
        /* Those that were claimed are woken without the lock. It is armed, so looking again comes first. */
        gs__release(&watch->lock);
        gs__wake_all(&wakes);
    } else {
        gs__list_append(&watch->waiters, &w.waiter.link);
        unsigned outcome = gs__wait_for_claim(self, &w.wait);
        code = code_of(outcome);
        if (outcome < GS__CASE) {
            gs__acquire(&watch->lock);
            if (gs__linked(&w.waiter.link))
                gs__list_remove(&w.waiter.link);
            gs__release(&watch->lock);
        }
    }
    gs__cutoff_disarm(&w.cutoff);
    return code;
}

/* What poll(2) says now; 0: nothing. */
static int look(int fd, int events)
{
    struct pollfd p = {fd, (short)events, 0};
    return poll(&p, 1, 0) <= 0 ? 0 : p.revents & POLLNVAL ? GS_EINVAL : p.revents;
}

bool gs__are_events(int events)
{
    return !(events & ~EVENTS);
}

int gs__wait_fd(int fd, int events, gs_ctx *scope, int64_t timeout)
{
    int came = look(fd, events);
    if (came)
        return came;
    if (timeout == 0)
        return GS_EAGAIN;
    GS_TRY(ensure_started());
    gs__watch *watch = watch_of(fd);
    if (!watch)
        return GS_ENOMEM;
    int64_t deadline = gs__deadline(timeout);
    while (!came) {
        GS_TRY(wait_once(watch, events, scope, deadline));
        came = look(fd, events);
    }
    return came;
}
