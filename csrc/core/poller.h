/* poller.h: tasks that wait for descriptors.
 *
 * A task that waits parks; one thread, started at the first wait, sleeps in the kernel for all of them
 * (epoll on Linux, poll(2) in the portable build) and makes ready whom an event concerns. An event is
 * only a hint: the task asks poll(2) itself, and waits again where there was nothing for it. So what the
 * kernel says late, twice, or of a file that had this number before, does no harm.
 *
 * What always holds:
 *  - A watch stands for a number, not for a file. It is never freed, so the kernel may give it back at
 *    any time. Its `lock` guards all of it.
 *  - A task hangs on `waiters` from before the number is armed until it is claimed or takes itself
 *    off; the lock is held until it has left its stack, so no event falls between.
 *  - While anybody hangs there, the kernel is armed for all that is waited for, as far as it is told of
 *    an end of the file: whoever takes waiters off after an event arms it again for the rest. Whoever
 *    hangs there anew always arms it, as the number may belong to another file by now.
 *  - Who closes a descriptor that is waited for wakes nobody, as with poll(2): the task waits until its
 *    timeout, its cancel, or an event of the file where that lives on; the portable build's also until
 *    the next wait of any task begins. Where epoll says that the number has got another file since,
 *    the waits of those before end with GS_EINVAL.
 *
 * Lock order: a watch -> the back end's own. The table's lock is a leaf. */
#ifndef GS__POLLER_H
#define GS__POLLER_H

#include "ctx.h"

/* Whether there is nothing in it but poll(2)'s events. */
bool gs__are_events(int events);
/* The events that came; GS_EAGAIN (timeout 0), GS_ETIMEDOUT, GS_ECANCELED, GS_ENOMEM, or GS_EINVAL for
 * what is no open descriptor. The calling task parks. */
int gs__wait_fd(int fd, int events, gs_ctx *scope, int64_t timeout);

/* With the runtime, which has no task any more; in a forked child. */
void gs__poller_stop(void);
void gs__poller_reset(void);

/* ---- between poller.c and the back ends, poller_epoll.c and poller_poll.c ---- */

typedef struct gs__watch {
    gs__lock lock;
    int fd;
    gs__list waiters;
    bool registered;   /* epoll's: the kernel knew this number when last told of it */
    atomic_int wanted; /* poll's: what to look for, or GS__WANTED_NOTHING; written under the lock */
    gs__link link;     /* poll's: among those looked at; guarded by the back end's lock */
} gs__watch;

enum { GS__WANTED_NOTHING = -1 };

/* GS_ENOMEM: not open. */
int gs__poll_open(void);
void gs__poll_close(void);
/* In a forked child: gives up the parent's without a trace there. */
void gs__poll_forget(void);
/* Has the thread look for `events` on the watch, and for errors and ends, until gs__poll_fired has been
 * called once. `*another` where the number had belonged to another file when it was armed last. GS_OK
 * also for a file that never has an event; GS_EINVAL where there is none, GS_ENOMEM. Lock held. */
int gs__poll_arm(gs__watch *watch, int events, bool *another);
/* Sleeps until there is an event or an interrupt; calls gs__poll_fired for each. */
void gs__poll_wait(void);
void gs__poll_interrupt(void);

/* Claims those whom `events` concern, puts them on `wakes`, and arms it for the rest. */
void gs__poll_fired(gs__watch *watch, int events, gs__wakes *wakes);

#endif
