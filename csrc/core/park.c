/* park.c: see park.h. A futex on Linux; a mutex and a condition variable in the portable build. */
#define _GNU_SOURCE
#include "park.h"

#include <errno.h>
#include <time.h>

#if defined(__linux__) && !defined(GS__PORTABLE)
#define GS__FUTEX 1
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <pthread.h>
#endif

struct gs__parker {
#ifdef GS__FUTEX
    atomic_uint state; /* EMPTY, TOKEN or ASLEEP */
#else
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    bool token;
#endif
    gs__parker *next; /* in the pool */
};

static gs__lock pool_lock; /* guards pool; a leaf */
static gs__parker *pool;

static gs__parker *from_pool(void)
{
    gs__acquire(&pool_lock);
    gs__parker *parker = pool;
    if (parker)
        pool = parker->next;
    gs__release(&pool_lock);
    return parker;
}

void gs__parker_put(gs__parker *parker)
{
    gs__acquire(&pool_lock);
    parker->next = pool;
    pool = parker;
    gs__release(&pool_lock);
}

void gs__parkers_reset(void)
{
    gs__lock_init(&pool_lock);
    pool = NULL;
}

#ifdef GS__FUTEX

enum { EMPTY, TOKEN, ASLEEP };

gs__parker *gs__parker_get(void)
{
    gs__parker *parker = from_pool();
    if (!parker && !(parker = gs__calloc(sizeof *parker)))
        return NULL;
    atomic_store(&parker->state, EMPTY);
    return parker;
}

static bool take(gs__parker *parker)
{
    unsigned token = TOKEN;
    return atomic_compare_exchange_strong(&parker->state, &token, EMPTY);
}

int gs__parker_wait(gs__parker *parker, int64_t deadline, bool interruptible)
{
    unsigned empty = EMPTY;
    if (!atomic_compare_exchange_strong(&parker->state, &empty, ASLEEP)) {
        gs__assert(take(parker));
        return GS_OK;
    }
    struct timespec at = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};
    for (;;) {
        /* The deadline is absolute, on CLOCK_MONOTONIC. */
        long got =
            syscall(SYS_futex, &parker->state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, ASLEEP,
                    deadline == GS_FOREVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
        int error = got == 0 ? 0 : errno;
        if (take(parker))
            return GS_OK;
        if (error != ETIMEDOUT && !(error == EINTR && interruptible))
            continue;
        unsigned asleep = ASLEEP;
        if (atomic_compare_exchange_strong(&parker->state, &asleep, EMPTY))
            return error == ETIMEDOUT ? GS_ETIMEDOUT : GS_EAGAIN;
    }
}

void gs__parker_wake(gs__parker *parker)
{
    if (atomic_exchange(&parker->state, TOKEN) == ASLEEP)
        syscall(SYS_futex, &parker->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

#else

enum { SIGNAL_POLL_NS = 50000000 };

gs__parker *gs__parker_get(void)
{
    gs__parker *parker = from_pool();
    if (!parker) {
        if (!(parker = gs__calloc(sizeof *parker)))
            return NULL;
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&parker->mutex, NULL);
        pthread_cond_init(&parker->woken, &attr);
        pthread_condattr_destroy(&attr);
    }
    parker->token = false;
    return parker;
}

int gs__parker_wait(gs__parker *parker, int64_t deadline, bool interruptible)
{
    /* A condition variable does not say that a signal came. */
    int64_t until = deadline;
    if (interruptible && until > gs__deadline(SIGNAL_POLL_NS))
        until = gs__deadline(SIGNAL_POLL_NS);
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    int error = 0;
    pthread_mutex_lock(&parker->mutex);
    while (!parker->token && error != ETIMEDOUT)
        error = until == GS_FOREVER ? pthread_cond_wait(&parker->woken, &parker->mutex)
                                    : pthread_cond_timedwait(&parker->woken, &parker->mutex, &at);
    bool token = parker->token;
    parker->token = false;
    pthread_mutex_unlock(&parker->mutex);
    if (token)
        return GS_OK;
    return until < deadline ? GS_EAGAIN : GS_ETIMEDOUT;
}

void gs__parker_wake(gs__parker *parker)
{
    pthread_mutex_lock(&parker->mutex);
    parker->token = true;
    pthread_cond_signal(&parker->woken);
    pthread_mutex_unlock(&parker->mutex);
}

#endif
