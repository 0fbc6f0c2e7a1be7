/* list.h: an intrusive, doubly linked, circular list. A link that hangs nowhere has next NULL.
 * Whoever owns the list guards it. */
#ifndef GS__LIST_H
#define GS__LIST_H

#include "base.h"

typedef struct gs__link {
    struct gs__link *next, *prev;
} gs__link;

typedef struct gs__list {
    gs__link head;
} gs__list;

static inline void gs__list_init(gs__list *list)
{
    list->head.next = list->head.prev = &list->head;
}
static inline bool gs__list_empty(const gs__list *list)
{
    return list->head.next == &list->head;
}
static inline void gs__link_init(gs__link *link)
{
    link->next = link->prev = NULL;
}
static inline bool gs__linked(const gs__link *link)
{
    return link->next != NULL;
}
static inline void gs__list_insert(gs__link *before, gs__link *link)
{
    link->next = before;
    link->prev = before->prev;
    before->prev->next = link;
    before->prev = link;
}
static inline void gs__list_append(gs__list *list, gs__link *link)
{
    gs__list_insert(&list->head, link);
}
static inline void gs__list_prepend(gs__list *list, gs__link *link)
{
    gs__list_insert(list->head.next, link);
}
static inline void gs__list_remove(gs__link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}
/* NULL where the list is empty. */
static inline gs__link *gs__list_first(gs__list *list)
{
    return gs__list_empty(list) ? NULL : list->head.next;
}
static inline gs__link *gs__list_last(gs__list *list)
{
    return gs__list_empty(list) ? NULL : list->head.prev;
}
static inline gs__link *gs__list_pop(gs__list *list)
{
    gs__link *link = gs__list_first(list);
    if (link)
        gs__list_remove(link);
    return link;
}
/* Moves all of `from` to the end of `to`. */
static inline void gs__list_splice(gs__list *to, gs__list *from)
{
    if (gs__list_empty(from))
        return;
    gs__link *first = from->head.next, *last = from->head.prev;
    first->prev = to->head.prev;
    to->head.prev->next = first;
    last->next = &to->head;
    to->head.prev = last;
    gs__list_init(from);
}

#endif
