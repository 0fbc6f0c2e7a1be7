/* stack.c: see stack.h. A pool's lock is a leaf: nothing else is taken while it is held. */
#define _GNU_SOURCE
#include "stack.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

enum {
    SLAB_FIRST = 16, /* stacks in a pool's first slab; each later one doubles the pool */
    SLAB_MOST = 16384,
    CACHE_MOST = 128, /* free stacks, and promises, that a worker keeps of small stacks */
    COLOURS = 16,     /* cache lines by which the tops of stacks differ */
    WARM_MOST = 16384 /* free stacks of a pool whose pages stay: 64 MiB where each touched one */
};
#define SLAB_BYTES ((size_t)1 << 32) /* at most, in one slab */
#define GUARD_MOST ((size_t)32 << 10)
#define CACHE_BYTES ((size_t)32 << 20) /* at most, of one class in one cache */

/* In `cold`, a stack that has no guard yet is marked in its lowest bit. */
enum { UNGUARDED = 1 };

typedef struct pool {
    gs__lock lock;
    size_t stacks;   /* in all slabs */
    size_t promised; /* to tasks and in caches; promised + slack <= stacks */
    size_t slack;    /* what the caches that joined may hold back */
    void *warm;      /* free, linked through their top words: link_of */
    size_t n_warm;
    char **cold; /* free, without pages; with room for every stack there is */
    size_t n_cold;
} pool;

static pool pools[GS__STACK_CLASSES];

static size_t size_of(int class)
{
    return GS__STACK_MIN << class;
}

static int cache_most(int class)
{
    size_t most = CACHE_BYTES / GS__STACK_MIN >> class; /* no division at each end of a task */
    return most < CACHE_MOST ? (int)most : CACHE_MOST;
}

size_t gs__stack_guard_size(size_t stack_size)
{
    static atomic_size_t page;
    size_t least = atomic_load_explicit(&page, memory_order_relaxed);
    if (gs__unlikely(least == 0)) {
        least = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&page, least, memory_order_relaxed);
    }
    size_t size = stack_size / 8 < GUARD_MOST ? stack_size / 8 : GUARD_MOST;
    return size < least ? least : size;
}

int gs__stack_class(size_t size)
{
    if (size <= GS__STACK_MIN)
        return 0;
    int class = 64 - __builtin_clzll((size - 1) / GS__STACK_MIN);
    return class < GS__STACK_CLASSES ? class : -1;
}

char *gs__stack_top(const gs__stack *stack)
{
    size_t colour = ((uintptr_t)stack->bottom >> __builtin_ctzl(stack->size)) % COLOURS;
    return stack->bottom + stack->size - (1 + colour) * GS__CACHE_LINE;
}

bool gs__stack_guards(const gs__stack *stack, const void *address)
{
    const char *a = address;
    return stack->bottom && a >= stack->bottom &&
           a < stack->bottom + gs__stack_guard_size(stack->size);
}

/* Where a free stack says which is the next: in the line that the task which had it used last and the one
 * that gets it uses first. */
static void **link_of(char *bottom, int class)
{
    gs__stack stack = {bottom, size_of(class)};
    return (void **)gs__stack_top(&stack) - 1;
}

/* ---- slabs ---- */

/* How many stacks mprotect may guard, which splits a mapping in two for each: an eighth of what the
 * process may have is left to all that is not a stack, as malloc fails too where there is none. */
static long most_mprotected(void)
{
    static atomic_long most;
    long n = atomic_load_explicit(&most, memory_order_relaxed);
    if (n == 0) {
        FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
        n = f && fscanf(f, "%ld", &n) == 1 ? n / 16 * 7 : LONG_MAX;
        if (f)
            fclose(f);
        atomic_store_explicit(&most, n, memory_order_relaxed);
    }
    return n;
}

static int install_guard(char *bottom, int class)
{
    static atomic_long mprotected;
#ifdef GS__PORTABLE
    static atomic_bool by_mprotect = true;
#else
    static atomic_bool by_mprotect;
#endif
    size_t size = gs__stack_guard_size(size_of(class));
    if (gs__should_fail())
        return GS_ENOMEM;
    if (!atomic_load_explicit(&by_mprotect, memory_order_relaxed)) {
        if (madvise(bottom, size, MADV_GUARD_INSTALL) == 0)
            return GS_OK;
        atomic_store_explicit(&by_mprotect, true, memory_order_relaxed);
    }
    if (atomic_fetch_add(&mprotected, 1) < most_mprotected() &&
        mprotect(bottom, size, PROT_NONE) == 0)
        return GS_OK;
    atomic_fetch_sub(&mprotected, 1);
    return GS_ENOMEM;
}

/* A large stack needs page tables for its guard at the bottom and for its top. Where slabs begin in the
 * middle of what one table maps, a stack's top shares its table with the guard of the stack above. */
enum { PAGE_TABLE = 2 << 20 };

static size_t slab_extra(int class)
{
    return size_of(class) > PAGE_TABLE ? PAGE_TABLE + PAGE_TABLE / 2 : 0;
}

static char *slab_begin(char *mapped, int class)
{
    if (!slab_extra(class))
        return mapped;
    size_t past = (uintptr_t)mapped % PAGE_TABLE;
    return mapped + (past ? PAGE_TABLE - past : 0) + PAGE_TABLE / 2;
}

/* Half the size as often as there is no address space for it. */
static int add_slab(pool *p, int class)
{
    size_t count = p->stacks < SLAB_FIRST ? SLAB_FIRST : p->stacks;
    if (count > SLAB_MOST)
        count = SLAB_MOST;
    if (count > SLAB_BYTES / size_of(class))
        count = SLAB_BYTES / size_of(class);
    if (gs__should_fail())
        return GS_ENOMEM;
    char **cold = realloc(p->cold, (p->stacks + count) * sizeof *cold);
    if (!cold)
        return GS_ENOMEM;
    p->cold = cold;
    char *base = MAP_FAILED;
    for (; count; count /= 2) {
        base = mmap(NULL, count * size_of(class) + slab_extra(class), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base != MAP_FAILED)
            break;
    }
    if (!count)
        return GS_ENOMEM;
    base = slab_begin(base, class);
#ifdef MADV_NOHUGEPAGE
    madvise(base, count * size_of(class), MADV_NOHUGEPAGE);
#endif
    for (size_t i = count; i-- > 0;)
        p->cold[p->n_cold++] = base + i * size_of(class) + UNGUARDED;
    p->stacks += count;
    return GS_OK;
}

static int make_room(pool *p, int class, size_t more)
{
    while (p->promised + p->slack + more > p->stacks)
        if (add_slab(p, class) != GS_OK)
            return GS_ENOMEM;
    return GS_OK;
}

/* Lets a cache keep stacks back, which the pool must have beyond its promises. */
static void join(pool *p, gs__stack_cache *cache, int class)
{
    size_t most = (size_t)cache_most(class);
    if (cache->of[class].joined || most == 0 || make_room(p, class, most) != GS_OK)
        return;
    p->slack += most;
    cache->of[class].joined = true;
}

/* ---- promises ---- */

int gs__stack_reserve(gs__stack_cache *cache, int class)
{
    if (cache && gs__likely(cache->of[class].promises)) {
        cache->of[class].promises--;
        return GS_OK;
    }
    pool *p = &pools[class];
    gs__acquire(&p->lock);
    if (cache)
        join(p, cache, class);
    int code = make_room(p, class, 1);
    if (code == GS_OK) {
        p->promised++;
        size_t spare = p->stacks - p->promised - p->slack;
        if (cache && cache->of[class].joined && spare) {
            size_t batch = (size_t)cache_most(class) / 2;
            if (batch > spare)
                batch = spare;
            p->promised += batch;
            cache->of[class].promises += (int)batch;
        }
    }
    gs__release(&p->lock);
    return code;
}

void gs__stack_unreserve(gs__stack_cache *cache, int class)
{
    int give = 1;
    if (cache && cache->of[class].joined) {
        if (gs__likely(++cache->of[class].promises <= cache_most(class)))
            return;
        give = cache->of[class].promises / 2;
        cache->of[class].promises -= give;
    }
    pool *p = &pools[class];
    gs__acquire(&p->lock);
    p->promised -= (size_t)give;
    gs__release(&p->lock);
}

/* ---- stacks ---- */

int gs__stack_get(gs__stack_cache *cache, int class, gs__stack *stack)
{
    stack->size = size_of(class);
    if (cache && gs__likely(cache->of[class].free)) {
        stack->bottom = cache->of[class].free;
        cache->of[class].free = *link_of(stack->bottom, class);
        cache->of[class].n_free--;
        return GS_OK;
    }
    pool *p = &pools[class];
    gs__acquire(&p->lock);
    if (cache)
        join(p, cache, class);
    char *bottom = p->warm;
    if (bottom) {
        p->warm = *link_of(bottom, class);
        p->n_warm--;
    } else {
        gs__assert(p->n_cold > 0);
        bottom = p->cold[--p->n_cold];
    }
    gs__release(&p->lock);
    if ((uintptr_t)bottom & UNGUARDED) {
        bottom -= UNGUARDED;
        if (install_guard(bottom, class) != GS_OK) {
            gs__acquire(&p->lock);
            p->cold[p->n_cold++] = bottom + UNGUARDED;
            gs__release(&p->lock);
            return GS_ENOMEM;
        }
    }
    stack->bottom = bottom;
    return GS_OK;
}

/* To the pool; beyond WARM_MOST its pages go back to the kernel. */
static void pool_put(pool *p, int class, char *bottom)
{
    gs__acquire(&p->lock);
    if (p->n_warm < WARM_MOST) {
        *link_of(bottom, class) = p->warm;
        p->warm = bottom;
        p->n_warm++;
    } else {
        char *usable = bottom + gs__stack_guard_size(size_of(class));
        madvise(usable, (size_t)(bottom + size_of(class) - usable), MADV_DONTNEED);
        p->cold[p->n_cold++] = bottom;
    }
    gs__release(&p->lock);
}

/* Some of the cache's stacks, in one hold of the pool's lock where their pages stay. */
static void cache_shrink(gs__stack_cache *cache, int class, int to)
{
    pool *p = &pools[class];
    int give = cache->of[class].n_free - to;
    if (give <= 0)
        return;
    char *first = cache->of[class].free, *last = first;
    for (int i = 1; i < give; i++)
        last = *link_of(last, class);
    cache->of[class].free = *link_of(last, class);
    cache->of[class].n_free = to;
    gs__acquire(&p->lock);
    bool stay = p->n_warm + (size_t)give <= WARM_MOST;
    if (stay) {
        *link_of(last, class) = p->warm;
        p->warm = first;
        p->n_warm += (size_t)give;
    }
    gs__release(&p->lock);
    for (char *next; !stay && give-- > 0; first = next) {
        next = *link_of(first, class);
        pool_put(p, class, first);
    }
}

void gs__stack_put(gs__stack_cache *cache, int class, gs__stack stack)
{
    if (!cache || !cache->of[class].joined) {
        pool_put(&pools[class], class, stack.bottom);
        return;
    }
    /* Before, not after: the pool has set no more aside than the cache may hold. */
    if (gs__unlikely(cache->of[class].n_free == cache_most(class)))
        cache_shrink(cache, class, cache_most(class) / 2);
    *link_of(stack.bottom, class) = cache->of[class].free;
    cache->of[class].free = stack.bottom;
    cache->of[class].n_free++;
}

void gs__stack_cache_flush(gs__stack_cache *cache)
{
    for (int class = 0; class < GS__STACK_CLASSES; class ++) {
        if (!cache->of[class].joined)
            continue;
        cache_shrink(cache, class, 0);
        pool *p = &pools[class];
        gs__acquire(&p->lock);
        p->promised -= (size_t)cache->of[class].promises;
        p->slack -= (size_t)cache_most(class);
        gs__release(&p->lock);
        cache->of[class].promises = 0;
        cache->of[class].joined = false;
    }
}

void gs__stacks_reset(void)
{
    /* In a forked child the parent's stacks stay where they are, unused: what stands on them is void. */
    for (int class = 0; class < GS__STACK_CLASSES; class ++)
        pools[class] = (pool){0};
}
