/* stack.h: stacks, reserved in slabs, guarded, pooled.
 *
 * Sizes are powers of two from GS__STACK_MIN to GS__STACK_MAX, one pool each. A stack is promised by
 * gs__stack_reserve, which is where address space runs out, and handed out by gs__stack_get, which
 * needs a promise, when the task first runs: so tasks that run one after another share one stack.
 *
 * What always holds, per pool, under its lock: there are as many stacks as were promised and as the
 * workers' caches may hold back, so a promise is always kept, whichever worker it is kept on. */
#ifndef GS__STACK_H
#define GS__STACK_H

#include "base.h"

enum { GS__STACK_CLASSES = 13 };
#define GS__STACK_MIN ((size_t)16 << 10)
#define GS__STACK_MAX (GS__STACK_MIN << (GS__STACK_CLASSES - 1))

typedef struct gs__stack {
    char *bottom; /* the guard's lowest address; NULL: none */
    size_t size;  /* with the guard */
} gs__stack;

/* Free stacks that one worker keeps for itself, and promises: only its own thread touches it. */
typedef struct gs__stack_cache {
    struct {
        void *free; /* linked through their top words */
        int n_free;
        int promises;
        bool joined; /* the pool has set stacks aside for this cache to keep */
    } of[GS__STACK_CLASSES];
} gs__stack_cache;

/* The class whose stacks have `size` bytes or more; -1 where none has. */
int gs__stack_class(size_t size);
/* `cache` may be NULL: then the pool itself is asked. GS_ENOMEM: nothing promised. */
int gs__stack_reserve(gs__stack_cache *cache, int class);
void gs__stack_unreserve(gs__stack_cache *cache, int class);
/* With a promise. GS_ENOMEM where even so the kernel could not guard it. */
int gs__stack_get(gs__stack_cache *cache, int class, gs__stack *stack);
void gs__stack_put(gs__stack_cache *cache, int class, gs__stack stack);
/* The cache goes: what it holds goes to the pools. */
void gs__stack_cache_flush(gs__stack_cache *cache);
/* Whether an address lies in the guard of this stack. */
bool gs__stack_guards(const gs__stack *stack, const void *address);
/* An eighth of the stack, 32 KiB at the most: a frame has to be larger than that to miss it. */
size_t gs__stack_guard_size(size_t stack_size);
/* The first address above the usable stack, coloured: offset by a number of cache lines that varies
 * from stack to stack, so that the tops of many do not share one set of the cache. */
char *gs__stack_top(const gs__stack *stack);
void gs__stacks_reset(void);

#endif
