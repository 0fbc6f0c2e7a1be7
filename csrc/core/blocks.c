/* blocks.c: see blocks.h. A shard is one or several megabytes of addresses: an allocator gives each
 * thread memory from a place of its own, so threads seldom meet at a shard. */
#include "blocks.h"

#include <stdlib.h>
#include <string.h>

enum { SHARDS = 32, SHARD_SHIFT = 20, BUCKETS_FIRST = 64, ENTRIES_A_TIME = 64 };

typedef struct entry {
    struct entry *next; /* in its bucket, or of those that are free */
    gs__link link;      /* on its task's list */
    void *block;
} entry;

/* All of a task's entries, a list a shard. */
typedef struct gs__blocks {
    gs__list of[SHARDS];
} gs__blocks;

typedef struct shard {
    _Alignas(GS__CACHE_LINE) gs__lock lock;
    entry **buckets;
    size_t n_buckets; /* a power of two; 0: none yet */
    size_t count;
    entry *free; /* never given back to the allocator */
} shard;

static shard shards[SHARDS];

/* The golden ratio's bits spread neighbouring numbers; the upper ones are the good ones. */
static size_t spread(uintptr_t n)
{
    return (size_t)(((uint64_t)n * 0x9e3779b97f4a7c15u) >> 32);
}

static int shard_index(const void *block)
{
    return (int)(spread((uintptr_t)block >> SHARD_SHIFT) % SHARDS);
}

static entry **bucket_of(shard *s, const void *block)
{
    return &s->buckets[spread((uintptr_t)block >> 4) & (s->n_buckets - 1)];
}

/* ---- a shard, with its lock held ---- */

/* One that is full goes on, slower, where there is no memory to grow. */
static bool grow(shard *s)
{
    size_t n = s->n_buckets ? s->n_buckets * 2 : BUCKETS_FIRST;
    entry **old = s->buckets, **buckets = gs__calloc(n * sizeof *buckets);
    size_t n_old = s->n_buckets;
    if (!buckets)
        return old != NULL;
    s->buckets = buckets;
    s->n_buckets = n;
    for (size_t i = 0; i < n_old; i++)
        for (entry *e = old[i], *next; e; e = next) {
            entry **bucket = bucket_of(s, e->block);
            next = e->next;
            e->next = *bucket;
            *bucket = e;
        }
    gs__free(old);
    return true;
}

static entry *take_free(shard *s)
{
    if (!s->free) {
        entry *more = gs__alloc(ENTRIES_A_TIME * sizeof *more);
        for (int i = 0; more && i < ENTRIES_A_TIME; i++) {
            more[i].next = s->free;
            s->free = &more[i];
        }
    }
    entry *e = s->free;
    if (e)
        s->free = e->next;
    return e;
}

static entry *remove_from_bucket(shard *s, const void *block)
{
    for (entry **p = s->n_buckets ? bucket_of(s, block) : NULL, *e; p && (e = *p); p = &e->next)
        if (e->block == block) {
            *p = e->next;
            s->count--;
            return e;
        }
    return NULL;
}

static void put_free(shard *s, entry *e)
{
    e->next = s->free;
    s->free = e;
}

static void insert(shard *s, entry *e, gs__list *list, void *block)
{
    entry **bucket = bucket_of(s, block);
    e->block = block;
    e->next = *bucket;
    *bucket = e;
    s->count++;
    gs__list_prepend(list, &e->link);
}

/* ---- owning ---- */

static gs__blocks *blocks_of(gs_task *task)
{
    if (task->blocks)
        return task->blocks;
    gs__blocks *blocks = gs__alloc(sizeof *blocks);
    for (int i = 0; blocks && i < SHARDS; i++)
        gs__list_init(&blocks->of[i]);
    return task->blocks = blocks;
}

int gs__blocks_own(gs_task *task, void *block)
{
    gs__blocks *blocks = blocks_of(task);
    if (!blocks)
        return GS_ENOMEM;
    int i = shard_index(block);
    shard *s = &shards[i];
    gs__acquire(&s->lock);
    /* It may be known still where somebody freed it whom nobody saw. */
    entry *e = remove_from_bucket(s, block);
    if (e)
        gs__list_remove(&e->link);
    bool room = s->count < s->n_buckets || grow(s);
    if (room && !e)
        e = take_free(s);
    if (room && e)
        insert(s, e, &blocks->of[i], block);
    else if (e)
        put_free(s, e);
    gs__release(&s->lock);
    return room && e ? GS_OK : GS_ENOMEM;
}

bool gs__blocks_disown(void *block)
{
    shard *s = &shards[shard_index(block)];
    gs__acquire(&s->lock);
    entry *e = remove_from_bucket(s, block);
    if (e) {
        gs__list_remove(&e->link);
        put_free(s, e);
    }
    gs__release(&s->lock);
    return e != NULL;
}

/* ---- the end ---- */

/* Takes the entry that the task made last off its list in one shard, and gives its block; NULL:
 * none. */
static void *take_one(shard *s, gs__list *list)
{
    void *block = NULL;
    gs__acquire(&s->lock);
    gs__link *link = gs__list_pop(list);
    if (link) {
        block = gs__container(link, entry, link)->block;
        put_free(s, remove_from_bucket(s, block));
    }
    gs__release(&s->lock);
    return block;
}

void gs__blocks_release(gs_task *task, bool free_them)
{
    gs__blocks *blocks = task->blocks;
    if (!blocks)
        return;
    task->blocks = NULL;
    for (int i = 0; i < SHARDS; i++)
        for (void *block; (block = take_one(&shards[i], &blocks->of[i]));)
            if (free_them)
                free(block);
    gs__free(blocks);
}

void gs__blocks_reset(void)
{
    memset(shards, 0, sizeof shards);
}
