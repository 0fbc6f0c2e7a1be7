/* poller_epoll.c: the poller's back end on Linux. Numbers stay in epoll's set until the kernel takes them
 * out with their file, armed for one event at a time: a number whose task was cancelled, or whose file
 * lives on under another number, gives at most one event in vain. See poller.h. */
#define _GNU_SOURCE
#include "poller.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI &&
                   EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP &&
                   EPOLLRDNORM == POLLRDNORM && EPOLLWRNORM == POLLWRNORM &&
                   EPOLLRDBAND == POLLRDBAND && EPOLLWRBAND == POLLWRBAND,
               "epoll's events are those of poll");

enum { BATCH = 64, POLL_EVENTS = 0xffff };

static int set = -1;  /* epoll's */
static int bell = -1; /* an eventfd in it, whose data is NULL; rung once, for the end */

int gs__poll_open(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    set = epoll_create1(EPOLL_CLOEXEC);
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (set >= 0 && bell >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, bell, &event) == 0)
        return GS_OK;
    gs__poll_close();
    return GS_ENOMEM;
}

void gs__poll_close(void)
{
    if (set >= 0)
        close(set);
    if (bell >= 0)
        close(bell);
    set = bell = -1;
}

/* The set is shared with the parent, so nothing in it is touched. */
void gs__poll_forget(void)
{
    gs__poll_close();
}

int gs__poll_arm(gs__watch *watch, int events, bool *another)
{
    struct epoll_event event = {.events = (uint32_t)events | EPOLLONESHOT, .data.ptr = watch};
    if (gs__should_fail())
        return GS_ENOMEM;
    bool known = watch->registered;
    watch->registered = true;
    if (known && epoll_ctl(set, EPOLL_CTL_MOD, watch->fd, &event) == 0)
        return GS_OK;
    /* A file that is in the set leaves it only when it is closed. */
    *another = known && (errno == ENOENT || errno == EBADF || errno == EPERM);
    if (!known || errno == ENOENT) {
        if (epoll_ctl(set, EPOLL_CTL_ADD, watch->fd, &event) == 0)
            return GS_OK;
        if (errno == EEXIST && epoll_ctl(set, EPOLL_CTL_MOD, watch->fd, &event) == 0)
            return GS_OK;
    }
    watch->registered = false;
    switch (errno) {
    case EPERM: /* a regular file: poll(2) has said already what it will ever say */
        return GS_OK;
    case EBADF:
    case EINVAL:
    case ELOOP:
        return GS_EINVAL;
    default: /* ENOMEM; ENOSPC, the user's limit of watches */
        return GS_ENOMEM;
    }
}

void gs__poll_wait(void)
{
    struct epoll_event events[BATCH];
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    int n = epoll_wait(set, events, BATCH, -1);
    gs__assert(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        gs__watch *watch = events[i].data.ptr;
        if (watch)
            gs__poll_fired(watch, (int)(events[i].events & POLL_EVENTS), &wakes);
    }
    gs__wake_all(&wakes);
}

void gs__poll_interrupt(void)
{
    uint64_t one = 1;
    while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
        ;
}
