/* str.h: the items of channels of GS_STR and GS_BYTES: a copy in one piece of memory, with room in
 * front for the link by which the task that received it owns it. Only such items may be sent. */
#ifndef GS__STR_H
#define GS__STR_H

#include "list.h"

#include <string.h>

typedef struct gs__str_head {
    gs__link link;
} gs__str_head;

/* A copy of `size` bytes, with a NUL behind. GS_ENOMEM. */
static inline int gs__str_new(gs_str *s, const void *data, size_t size)
{
    if (size > SIZE_MAX - sizeof(gs__str_head) - 1)
        return GS_ENOMEM;
    gs__str_head *head = gs__alloc(sizeof *head + size + 1);
    if (!head)
        return GS_ENOMEM;
    gs__link_init(&head->link);
    char *text = (char *)(head + 1);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    s->data = text;
    s->size = size;
    return GS_OK;
}
static inline gs__str_head *gs__str_head_of(const gs_str *s)
{
    return (gs__str_head *)(void *)s->data - 1;
}
static inline void gs__str_drop(gs_str *s)
{
    if (s->data)
        gs__free(gs__str_head_of(s));
    s->data = NULL;
    s->size = 0;
}

#endif
