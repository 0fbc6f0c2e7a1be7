/* blocks.h: which task allocated which block of memory, for code whose stack may be left for good.
 *
 * A block is known from gs__blocks_own until it is freed, given away or its task ends. Blocks stay
 * as the allocator made them: what is noted of them is in a table beside, so that anybody may free
 * any block.
 *
 * What always holds:
 *  - The table is in shards by address, each with a lock that guards all of it: its entries, and
 *    the list of each task's entries in it. A task's list is added to by the task itself only.
 *  - An entry is taken off the table before its block is freed: the address may be another's at
 *    once.
 *  - The locks are leaves. */
#ifndef GS__BLOCKS_H
#define GS__BLOCKS_H

#include "task.h"

/* Notes that the running task owns the block; GS_ENOMEM where it could not be noted. */
int gs__blocks_own(gs_task *task, void *block);
/* Whoever owned it does not any more; false where nobody did. From any thread. */
bool gs__blocks_disown(void *block);
/* The task ends: frees what it owns, or gives up owning it. */
void gs__blocks_release(gs_task *task, bool free_them);
/* In a forked child: nobody owns anything. */
void gs__blocks_reset(void);

#endif
