/* err.c: codes and their words, panics, memory, clocks, the lock's slow path. */
#define _GNU_SOURCE
#include "base.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

atomic_uint gs__generation;

void gs__panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("pygostop: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

const char *gs__code_name(int code)
{
    switch (code) {
    case GS_OK:
        return "GS_OK";
#define NAME(name, value, text) \
    case name:                  \
        return #name;
        GS__CODES(NAME)
#undef NAME
    default:
        return "unknown";
    }
}

const char *gs__code_text(int code)
{
    switch (code) {
    case GS_OK:
        return "success";
#define TEXT(name, value, text) \
    case name:                  \
        return text;
        GS__CODES(TEXT)
#undef TEXT
    default:
        return "unknown";
    }
}

/* ---- memory ---- */

/* -1: nothing fails. */
static atomic_long failures = -1;
static atomic_bool once;

long gs__fail_after(long count)
{
    atomic_store(&once, false);
    return atomic_exchange(&failures, count);
}

long gs__fail_at(long count)
{
    atomic_store(&once, true);
    return atomic_exchange(&failures, count);
}

bool gs__should_fail(void)
{
    if (gs__likely(atomic_load_explicit(&failures, memory_order_relaxed) < 0))
        return false;
    long left = atomic_load(&failures);
    while (left > 0)
        if (atomic_compare_exchange_weak(&failures, &left, left - 1))
            return false;
    return left == 0 &&
           (!atomic_load(&once) || atomic_compare_exchange_strong(&failures, &left, -1));
}

void *gs__alloc(size_t size)
{
    return gs__unlikely(gs__should_fail()) ? NULL : malloc(size ? size : 1);
}

void *gs__calloc(size_t size)
{
    return gs__unlikely(gs__should_fail()) ? NULL : calloc(1, size ? size : 1);
}

void gs__free(void *p)
{
    free(p);
}

/* ---- clocks ---- */

int64_t gs__now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t gs__deadline(int64_t ns)
{
    if (ns == GS_FOREVER)
        return GS_FOREVER; /* half the price of a ready select is asking for the time */
    int64_t now = gs__now();
    return ns > GS_FOREVER - now ? GS_FOREVER : now + ns;
}

uint64_t gs__ticks_per_us(void)
{
    static _Atomic uint64_t rate;
    uint64_t r = atomic_load_explicit(&rate, memory_order_relaxed);
    if (gs__likely(r))
        return r;
#if defined(__aarch64__)
    uint64_t frequency;
    __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
    r = frequency / 1000000;
#elif defined(__x86_64__)
    /* Measured once, over a fifth of a millisecond: intervals are only compared with round figures. */
    int64_t from = gs__now(), to;
    uint64_t begun = gs__ticks();
    do
        to = gs__now();
    while (to - from < 200000);
    r = (gs__ticks() - begun) * 1000 / (uint64_t)(to - from);
#else
    r = 1000;
#endif
    if (r == 0)
        r = 1;
    atomic_store_explicit(&rate, r, memory_order_relaxed);
    return r;
}

/* ---- the lock ---- */

void gs__backoff(unsigned *round)
{
    /* A critical section is shorter than 40 pauses, so beyond that its holder has lost its core. */
    enum { SPINS = 40, YIELDS = 20 };
    if (*round < SPINS) {
        gs__pause();
    } else if (*round < SPINS + YIELDS) {
        sched_yield();
    } else {
        struct timespec t = {0, 50000};
        nanosleep(&t, NULL);
    }
    ++*round;
}

void gs__lock_slow(gs__lock *lock)
{
    /* Each look takes the line away from the holder, whose next operations on the same channel would have
     * found it in its cache: so the looks get rarer, and the holder gets on with several in a row. */
    enum { PAUSES_MOST = 256, LOOKS = 12 };
    unsigned round = 0;
    for (unsigned pauses = 1, looks = 0;; looks++) {
        if (looks < LOOKS)
            for (unsigned i = 0; i < pauses; i++)
                gs__pause();
        else
            gs__backoff(&round);
        if (pauses < PAUSES_MOST)
            pauses *= 2;
        if (!atomic_load_explicit(&lock->held, memory_order_relaxed) && gs__trylock(lock))
            return;
    }
}
