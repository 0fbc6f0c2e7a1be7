/* heap.c: see heap.h. */
#include "heap.h"

#include <string.h>

enum { CHILDREN = 4, ROOM_FIRST = 64 };

static void put(gs__heap *heap, size_t i, gs__heap_node *node)
{
    heap->nodes[i] = node;
    node->place = i + 1;
}

static void sift_up(gs__heap *heap, size_t i, gs__heap_node *node)
{
    while (i) {
        size_t parent = (i - 1) / CHILDREN;
        if (heap->nodes[parent]->key <= node->key)
            break;
        put(heap, i, heap->nodes[parent]);
        i = parent;
    }
    put(heap, i, node);
}

static void sift_down(gs__heap *heap, size_t i, gs__heap_node *node)
{
    for (;;) {
        size_t first = i * CHILDREN + 1, least = first;
        if (first >= heap->count)
            break;
        for (size_t c = first + 1; c < first + CHILDREN && c < heap->count; c++)
            if (heap->nodes[c]->key < heap->nodes[least]->key)
                least = c;
        if (heap->nodes[least]->key >= node->key)
            break;
        put(heap, i, heap->nodes[least]);
        i = least;
    }
    put(heap, i, node);
}

int gs__heap_insert(gs__heap *heap, gs__heap_node *node)
{
    if (heap->count == heap->room) {
        size_t room = heap->room ? heap->room * 2 : ROOM_FIRST;
        gs__heap_node **nodes = gs__alloc(room * sizeof *nodes);
        if (!nodes)
            return GS_ENOMEM;
        if (heap->count)
            memcpy(nodes, heap->nodes, heap->count * sizeof *nodes);
        gs__free(heap->nodes);
        heap->nodes = nodes;
        heap->room = room;
    }
    sift_up(heap, heap->count++, node);
    return GS_OK;
}

void gs__heap_remove(gs__heap *heap, gs__heap_node *node)
{
    size_t i = node->place - 1;
    gs__heap_node *last = heap->nodes[--heap->count];
    node->place = 0;
    if (last == node)
        return;
    if (i && heap->nodes[(i - 1) / CHILDREN]->key > last->key)
        sift_up(heap, i, last);
    else
        sift_down(heap, i, last);
}
