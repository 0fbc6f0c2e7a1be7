/* poller_poll.c: the poller's back end where there is only poll(2). The thread looks at all watches that
 * anybody waits for, and is interrupted through a pipe when there are more.
 *
 * `lock` guards `watched` and `spare`; the arrays in use are the thread's own. A watch that nobody wants
 * any more is taken off by the thread. See poller.h. */
#define _GNU_SOURCE
#include "poller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* Room for what to look at. */
typedef struct room {
    size_t size;
    struct pollfd *fds;
    gs__watch **watches; /* watches[i] is that of fds[i]; of the first, the pipe's, none */
} room;

static gs__lock lock;
static gs__list watched = {{&watched.head, &watched.head}}; /* gs__watch.link */
static size_t n_watched;
static room spare;  /* larger than `used`, which it is to replace; size 0: none */
static room used;   /* the thread's */
static size_t have; /* the size of the larger of the two */
static int bell[2] = {-1, -1};

static void free_room(room *r)
{
    gs__free(r->fds);
    gs__free(r->watches);
    *r = (room){0};
}

/* With the lock held. GS_ENOMEM. */
static int ensure_room(size_t size)
{
    if (size <= have)
        return GS_OK;
    size_t n = have ? have : 64;
    while (n < size)
        n *= 2;
    room more = {n, gs__alloc(n * sizeof *more.fds), gs__alloc(n * sizeof(gs__watch *))};
    if (!more.fds || !more.watches) {
        free_room(&more);
        return GS_ENOMEM;
    }
    free_room(&spare);
    spare = more;
    have = n;
    return GS_OK;
}

int gs__poll_open(void)
{
    if (pipe(bell) < 0) {
        bell[0] = bell[1] = -1;
        return GS_ENOMEM;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(bell[i], F_SETFD, FD_CLOEXEC);
        fcntl(bell[i], F_SETFL, O_NONBLOCK);
    }
    gs__acquire(&lock);
    int code = ensure_room(1);
    gs__release(&lock);
    if (code != GS_OK)
        gs__poll_close();
    return code;
}

void gs__poll_close(void)
{
    for (int i = 0; i < 2; i++) {
        if (bell[i] >= 0)
            close(bell[i]);
        bell[i] = -1;
    }
    while (gs__list_pop(&watched))
        ;
    n_watched = 0;
    free_room(&spare);
    free_room(&used);
    have = 0;
}

void gs__poll_forget(void)
{
    gs__lock_init(&lock);
    gs__list_init(&watched); /* the parent's */
    gs__poll_close();
}

int gs__poll_arm(gs__watch *watch, int events, bool *another)
{
    (void)events; /* watch->wanted says so */
    (void)another;
    gs__acquire(&lock);
    int code = gs__should_fail() ? GS_ENOMEM : GS_OK;
    if (code == GS_OK && !gs__linked(&watch->link) && (code = ensure_room(n_watched + 2)) == GS_OK) {
        gs__list_append(&watched, &watch->link);
        n_watched++;
    }
    gs__release(&lock);
    if (code == GS_OK)
        gs__poll_interrupt();
    return code;
}

/* Fills the room with the pipe and all that is wanted, and gives how many that are. */
static size_t gather(void)
{
    size_t n = 0;
    gs__acquire(&lock);
    if (spare.size) {
        free_room(&used);
        used = spare;
        spare = (room){0};
    }
    used.fds[n++] = (struct pollfd){bell[0], POLLIN, 0};
    for (gs__link *l = watched.head.next, *next; l != &watched.head; l = next) {
        next = l->next;
        gs__watch *watch = gs__container(l, gs__watch, link);
        int wanted = atomic_load(&watch->wanted);
        if (wanted == GS__WANTED_NOTHING) {
            gs__list_remove(l);
            n_watched--;
        } else {
            used.watches[n] = watch;
            used.fds[n++] = (struct pollfd){watch->fd, (short)wanted, 0};
        }
    }
    gs__release(&lock);
    return n;
}

void gs__poll_wait(void)
{
    size_t n = gather();
    gs__wakes wakes;
    gs__wakes_init(&wakes);
    if (poll(used.fds, (nfds_t)n, -1) < 0) {
        gs__assert(errno == EINTR || errno == EAGAIN || errno == ENOMEM);
        return;
    }
    char some[64];
    if (used.fds[0].revents)
        while (read(bell[0], some, sizeof some) > 0)
            ;
    for (size_t i = 1; i < n; i++)
        if (used.fds[i].revents)
            gs__poll_fired(used.watches[i], used.fds[i].revents, &wakes);
    gs__wake_all(&wakes);
}

void gs__poll_interrupt(void)
{
    char one = 1;
    while (write(bell[1], &one, 1) < 0 && errno == EINTR)
        ; /* full is as good */
}
