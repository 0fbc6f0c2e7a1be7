/* heap.h: a heap of nodes by time, earliest first, four children a node. Whoever owns it guards it.
 * A node knows its place, so it can be taken out from anywhere. */
#ifndef GS__HEAP_H
#define GS__HEAP_H

#include "base.h"

typedef struct gs__heap_node {
    int64_t key;
    size_t place; /* from 1; 0: in no heap */
} gs__heap_node;

typedef struct gs__heap {
    gs__heap_node **nodes; /* nodes[0] is place 1 */
    size_t count, room;
} gs__heap;

/* GS_ENOMEM: not put in. */
int gs__heap_insert(gs__heap *heap, gs__heap_node *node);
void gs__heap_remove(gs__heap *heap, gs__heap_node *node);
static inline gs__heap_node *gs__heap_first(const gs__heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}

#endif
