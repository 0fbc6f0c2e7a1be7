/* base.h: what every file of the core stands on: assertions, atomics, the lock, clocks, memory.
 *
 * The lock (gs__lock) guards critical sections of a few dozen instructions that never wait nor call out;
 * what grows by doubling (slabs of stacks, chunks of tasks, the heap of timers) may allocate in one. It spins, then gives its core away, so that a holder that lost its core gets one back.
 * Unlocking is a plain store: half the price of a mutex that has to look for sleepers. The one who
 * unlocks may be another task than the one that locked, on the same thread. */
#ifndef GS__BASE_H
#define GS__BASE_H

#include <pygostop.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define GS__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GS__TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define GS__ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define GS__ASAN 1
#endif

#define gs__likely(x) __builtin_expect(!!(x), 1)
#define gs__unlikely(x) __builtin_expect(!!(x), 0)
#define gs__always_inline inline __attribute__((always_inline))
#define gs__noinline __attribute__((noinline))
/* Of what reads a thread-local: its callers learn nothing of it, so that none keeps the variable, or its
 * address, beyond a switch after which the task runs on another thread. */
#if __has_attribute(noipa)
#define gs__opaque __attribute__((noipa))
#else
#define gs__opaque gs__noinline
#endif
#define gs__container(ptr, type, field) ((type *)((char *)(ptr) - offsetof(type, field)))

enum { GS__CACHE_LINE = 64 };

/* A broken invariant stops the process, in release builds too. */
#define gs__assert(condition)                                               \
    do {                                                                    \
        if (gs__unlikely(!(condition)))                                     \
            gs__panic("%s:%d: broken: %s", __FILE__, __LINE__, #condition); \
    } while (0)
_Noreturn void gs__panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The name and the meaning of a code; "unknown" for what is none. */
const char *gs__code_name(int code);
const char *gs__code_text(int code);

/* ---- memory ---- */

/* All memory of the core but stacks. gs__free takes NULL. */
void *gs__alloc(size_t size);
void *gs__calloc(size_t size);
void gs__free(void *p);
/* Makes the allocation after `count` more of them fail, and each later one, until called with -1: for
 * the tests of what happens then. Stacks, threads and mappings ask the same counter. Gives what was left
 * of the count: more than 0 where it had not come to that. */
long gs__fail_after(long count);
/* The same, and only that one fails. */
long gs__fail_at(long count);
bool gs__should_fail(void);

/* ---- clocks ---- */

/* Nanoseconds on the monotonic clock. */
int64_t gs__now(void);
/* now + ns, or GS_FOREVER where that is further than the clock goes. */
int64_t gs__deadline(int64_t ns);
/* A cheap counter for intervals of microseconds, and its ticks in one of them. */
static inline uint64_t gs__ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t t;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
    return t;
#else
    return (uint64_t)gs__now();
#endif
}
uint64_t gs__ticks_per_us(void);

static inline void gs__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* ---- the lock ---- */

typedef struct gs__lock {
    atomic_uint held;
} gs__lock;

void gs__lock_slow(gs__lock *lock);

static inline void gs__lock_init(gs__lock *lock)
{
    atomic_init(&lock->held, 0);
}
static inline bool gs__trylock(gs__lock *lock)
{
    return atomic_exchange_explicit(&lock->held, 1, memory_order_acquire) == 0;
}
static inline void gs__acquire(gs__lock *lock)
{
    if (gs__unlikely(!gs__trylock(lock)))
        gs__lock_slow(lock);
}
static inline void gs__release(gs__lock *lock)
{
    atomic_store_explicit(&lock->held, 0, memory_order_release);
}

/* One step of waiting for something that another thread finishes within instructions: `*round`
 * starts at 0. */
void gs__backoff(unsigned *round);

/* The runtime's generation: it steps in a forked child, where whatever was made before is void. */
extern atomic_uint gs__generation;

#endif
