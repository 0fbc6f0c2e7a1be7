/* monitor.c: the thread that watches workers: time slices, stuck workers, late timers.
 *
 * It looks at all workers every TICK while one of them is at work, and sleeps when all have been idle
 * for a while. It touches of a worker only what is atomic, and sets the signal of a task that may have
 * ended meanwhile, whose memory stays a task's (task.h): at worst another task gives way once. */
#define _GNU_SOURCE
#include "worker.h"

#include <pthread.h>
#include <signal.h>

enum {
    TICK = 5000000,   /* ns */
    SLICE = 10000000, /* ns that a task may run while others wait behind it */
    STUCK = 15000000, /* ns without a checkpoint, likewise, after which another worker takes over */
    QUIET_TICKS = 20  /* ticks with all workers idle before it sleeps */
};

/* What was seen of one worker. */
typedef struct sighting {
    unsigned runs;
    int64_t since; /* when it was first seen in this run */
    int64_t pinned_since; /* when tasks that only it can run were first seen to wait in it; 0: they do not */
    bool told;            /* on_late was called for this run */
} sighting;

static sighting seen[GS__GROUPS_MOST][GS__WORKERS_MOST];
static pthread_t thread;
static gs__parker *parker;
static atomic_bool stopping, asleep;
static bool started;

static bool any_at_work(void)
{
    gs__group *group;
    for (int g = 0; (group = gs__group_at(g)); g++)
        if (atomic_load(&group->n_workers) > atomic_load(&group->n_idle))
            return true;
    return false;
}

static bool waits_behind(gs__worker *w)
{
    return atomic_load(&w->queued) || atomic_load(&w->next) || atomic_load(&w->group->inbox_count);
}

static void look_for_late(gs__worker *w, sighting *s, int64_t now, bool pinned)
{
    const gs__hooks *hooks = w->group->hooks;
    if (!pinned)
        s->pinned_since = 0;
    else if (s->pinned_since == 0)
        s->pinned_since = now;
    else if (!s->told && hooks && hooks->on_late &&
             now - s->pinned_since >= atomic_load(&w->group->late_after))
        s->told = hooks->on_late(w, s->runs);
}

static void look_at(gs__worker *w, sighting *s, int64_t now)
{
    gs_task *task = atomic_load(&w->current);
    unsigned runs = atomic_load(&w->runs);
    if (!task || runs != s->runs) {
        *s = (sighting){.runs = runs, .since = now};
        return;
    }
    bool pinned = atomic_load(&w->n_pinned) != 0;
    look_for_late(w, s, now, pinned);
    if (now - s->since < SLICE || (!pinned && !waits_behind(w)))
        return;
    __atomic_fetch_or(&task->call.signal, GS__SIGNAL_GIVE_WAY, __ATOMIC_RELAXED);
    if (now - s->since >= STUCK && waits_behind(w))
        gs__set_stuck(w, true);
}

static void look_at_group(gs__group *group, sighting *s, int64_t now)
{
    bool work = atomic_load(&group->inbox_count) != 0;
    int n = atomic_load(&group->n_workers);
    for (int i = 0; i < n; i++) {
        gs__worker *w = atomic_load(&group->workers[i]);
        if (!w)
            continue;
        look_at(w, &s[i], now);
        work |= waits_behind(w);
    }
    /* Work that no wake-up was sent for, or whose worker has got stuck since. */
    if (work)
        gs__wake_worker(group);
}

static void sleep_until_watched(void)
{
    atomic_store(&asleep, true);
    if (!any_at_work() && !atomic_load(&stopping))
        gs__parker_wait(parker, GS_FOREVER, false);
    atomic_store(&asleep, false);
}

static void *monitor_main(void *arg)
{
    (void)arg;
    int quiet = 0;
    int64_t next_tick = gs__deadline(TICK);
    while (!atomic_load(&stopping)) {
        if (quiet > QUIET_TICKS) {
            sleep_until_watched();
            quiet = 0;
            next_tick = gs__deadline(TICK);
        }
        int64_t timer = gs__timers_next();
        gs__parker_wait(parker, timer < next_tick ? timer : next_tick, false);
        gs__timers_run();
        int64_t now = gs__now();
        if (now < next_tick)
            continue;
        next_tick = now + TICK;
        quiet = any_at_work() ? 0 : quiet + 1;
        gs__group *group;
        for (int g = 0; (group = gs__group_at(g)); g++)
            look_at_group(group, seen[g], now);
    }
    return NULL;
}

void gs__monitor_watch(void)
{
    if (gs__unlikely(atomic_load(&asleep)))
        gs__parker_wake(parker);
}

int gs__monitor_start(void)
{
    if (gs__should_fail() || (!parker && !(parker = gs__parker_get())))
        return GS_ENOMEM;
    atomic_store(&stopping, false);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(&thread, NULL, monitor_main, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started ? GS_OK : GS_ENOMEM;
}

void gs__monitor_stop(void)
{
    if (!started)
        return;
    started = false;
    atomic_store(&stopping, true);
    gs__parker_wake(parker);
    pthread_join(thread, NULL);
}

void gs__monitor_reset(void)
{
    started = false;
    parker = NULL;
    atomic_store(&asleep, false);
}
