/* test-fd.c: tasks that wait for descriptors. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a task waits for, and what it got. */
typedef struct waiting {
    int fd, events;
    int64_t timeout;
    int came; /* gs_wait_fd's result */
} waiting;

static atomic_int begun, ended;

static int wait_for_it(gs_call *call)
{
    waiting *w = gs_arg_ptr(call, 0);
    begun++;
    w->came = gs_wait_fd(call, w->fd, w->events, w->timeout);
    ended++;
    return w->came < 0 ? w->came : GS_OK;
}

/* A task that waits for ever, parked when this returns. */
static gs_task *start_waiting(waiting *w, int fd, int events)
{
    *w = (waiting){fd, events, GS_FOREVER, 0};
    gs_task *task = test_go(wait_for_it, w);
    test_until_parked(task);
    return task;
}

static void make_pair(int ends[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
}

static void close_pair(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static void put(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}

static void take(int fd)
{
    char c;
    CHECK_EQ(read(fd, &c, 1), 1);
}

/* Until nothing more goes in. */
static void fill(int fd)
{
    char some[4096] = {0};
    while (write(fd, some, sizeof some) > 0)
        ;
    while (write(fd, some, 1) > 0)
        ;
}

static void drain(int fd)
{
    char some[4096];
    while (read(fd, some, sizeof some) > 0)
        ;
}

/* Room for n descriptors more, or as many as there may be: how many. */
static int allow_fds(int n)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur < (rlim_t)n + 100 ? (int)limit.rlim_cur - 100 : n;
}

/* ---- one wait ---- */

static int read_one(gs_call *call)
{
    int fd = *(int *)gs_arg_ptr(call, 0), events;
    char c = 0;
    if (gs_wait_fd(call, fd, POLLIN, 0) != GS_EAGAIN)
        return 1;
    if (gs_wait_fd(call, fd, POLLIN, GS_MS(5)) != GS_ETIMEDOUT)
        return 2;
    begun = 1;
    GS_TRY(events = gs_wait_fd(call, fd, POLLIN, GS_FOREVER));
    return (events & POLLIN) && read(fd, &c, 1) == 1 && c == 'x' ? GS_OK : 3;
}

TEST(wait_fd_waits_for_a_descriptor)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    gs_task *task = test_go(read_one, &ends[0]);
    test_until(&begun, 1);
    test_msleep(10);
    CHECK(!gs__task_ended(task));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(test_join(task), GS_OK);

    begun = 0;
    task = test_go(read_one, &ends[0]);
    test_until(&begun, 1);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);
    close_pair(ends);
}

static int wait_for_bad_ones(gs_call *call)
{
    int *ends = gs_arg_ptr(call, 0), fd = ends[0];
    int64_t forever = GS_FOREVER;
    if (gs_wait_fd(call, -1, POLLIN, forever) != GS_EINVAL)
        return 1;
    if (gs_wait_fd(call, 1 << 29, POLLIN, forever) != GS_EINVAL)
        return 2;
    if (gs_wait_fd(call, fd, POLLIN, -1) != GS_EINVAL)
        return 3;
    if (gs_wait_fd(call, fd, 1 << 30, forever) != GS_EINVAL ||
        gs_wait_fd(call, fd, 1 << 16 | POLLIN, forever) != GS_EINVAL)
        return 4;
    close(fd);
    return gs_wait_fd(call, fd, POLLIN, forever) == GS_EINVAL ? GS_OK : 5;
}

TEST(wait_fd_of_what_cannot_be_waited_for_is_an_error)
{
    int ends[2];
    make_pair(ends);
    CHECK_EQ(test_join(test_go(wait_for_bad_ones, ends)), GS_OK);
    close(ends[1]);
}

TEST(wait_fd_gives_what_is_there_at_once)
{
    int ends[2];
    make_pair(ends);
    gs_task *task;
    waiting w = {ends[0], POLLIN | POLLOUT, GS_FOREVER, 0};
    CHECK_EQ(test_join(test_go(wait_for_it, &w)), GS_OK);
    CHECK_EQ(w.came, POLLOUT);
    put(ends[1]);
    CHECK_EQ(test_join(test_go(wait_for_it, &w)), GS_OK);
    CHECK_EQ(w.came, POLLIN | POLLOUT);
    w.timeout = 0;
    w.events = POLLPRI;
    task = test_go(wait_for_it, &w);
    CHECK_EQ(test_join(task), GS_EAGAIN);
    close_pair(ends);
}

static int go_back_and_forth(gs_call *call)
{
    int fd = *(int *)gs_arg_ptr(call, 0), events;
    char c;
    for (int i = 0; i < 5000 / TEST_SLOW; i++) {
        if (write(fd, "x", 1) != 1)
            return 1;
        GS_TRY(events = gs_wait_fd(call, fd, POLLIN, GS_FOREVER));
        if (events != POLLIN || read(fd, &c, 1) != 1)
            return 2;
    }
    return GS_OK;
}

TEST(wait_fd_back_and_forth)
{
    int ends[2];
    test_workers(1);
    make_pair(ends);
    gs_task *one = test_go(go_back_and_forth, &ends[0]);
    gs_task *two = test_go(go_back_and_forth, &ends[1]);
    CHECK_EQ(test_join(one), GS_OK);
    CHECK_EQ(test_join(two), GS_OK);
    close_pair(ends);
}

/* ---- many ---- */

TEST(wait_fd_takes_no_thread_a_wait)
{
    enum { MOST = TEST_MANY / 2 };
    static int ends[MOST][2];
    static waiting w[MOST];
    static gs_task *tasks[MOST];
    int n = allow_fds(2 * MOST) / 2;
    test_workers(2);
    for (int i = 0; i < n; i++) {
        make_pair(ends[i]);
        w[i] = (waiting){ends[i][0], POLLIN, GS_FOREVER, 0};
        tasks[i] = test_go(wait_for_it, &w[i]);
    }
    for (int i = 0; i < n; i++)
        test_until_parked(tasks[i]);
    CHECK(test_threads() < 20);
    for (int i = n; i-- > 0;) {
        CHECK(!gs__task_ended(tasks[i]));
        put(ends[i][1]);
    }
    for (int i = 0; i < n; i++) {
        CHECK_EQ(test_join(tasks[i]), GS_OK);
        CHECK_EQ(w[i].came, POLLIN);
        close_pair(ends[i]);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

TEST(wait_fd_uses_no_time_while_nothing_comes)
{
    enum { N = 50 };
    int ends[N][2];
    waiting w[N];
    gs_task *tasks[N];
    for (int i = 0; i < N; i++) {
        make_pair(ends[i]);
        tasks[i] = start_waiting(&w[i], ends[i][0], POLLIN);
    }
    gs__task_cancel(tasks[0], NULL); /* nor where one has gone, and its descriptor goes on */
    CHECK_EQ(test_join(tasks[0]), GS_ECANCELED);
    put(ends[0][1]);
    test_msleep(300);
    double before = cpu_seconds();
    test_msleep(500);
    CHECK(cpu_seconds() - before < 0.1);
    for (int i = 1; i < N; i++) {
        gs__task_cancel(tasks[i], NULL);
        CHECK_EQ(test_join(tasks[i]), GS_ECANCELED);
    }
}

TEST(wait_fd_wakes_all_who_wait_for_the_same)
{
    enum { N = 20 };
    int ends[2];
    waiting w[N];
    gs_task *tasks[N];
    make_pair(ends);
    for (int i = 0; i < N; i++)
        tasks[i] = start_waiting(&w[i], ends[0], POLLIN);
    put(ends[1]);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(test_join(tasks[i]), GS_OK);
        CHECK_EQ(w[i].came, POLLIN);
    }
    close_pair(ends);
}

TEST(wait_fd_wakes_only_whom_the_event_concerns)
{
    int ends[2];
    waiting in, out, in_too;
    make_pair(ends);
    fill(ends[0]);
    gs_task *reader = start_waiting(&in, ends[0], POLLIN);
    gs_task *writer = start_waiting(&out, ends[0], POLLOUT);
    gs_task *reader_too = start_waiting(&in_too, ends[0], POLLIN);
    drain(ends[1]);
    CHECK_EQ(test_join(writer), GS_OK);
    CHECK_EQ(out.came, POLLOUT);
    test_msleep(20);
    CHECK(!gs__task_ended(reader));
    CHECK(!gs__task_ended(reader_too));
    fill(ends[0]);
    writer = start_waiting(&out, ends[0], POLLOUT);
    put(ends[1]);
    CHECK_EQ(test_join(reader), GS_OK);
    CHECK_EQ(test_join(reader_too), GS_OK);
    CHECK_EQ(in.came, POLLIN);
    test_msleep(20);
    CHECK(!gs__task_ended(writer));
    drain(ends[1]);
    CHECK_EQ(test_join(writer), GS_OK);
    close_pair(ends);
}

TEST(wait_fd_sees_the_other_end_go)
{
    int ends[2];
    waiting w, nothing;
    make_pair(ends);
    gs_task *task = start_waiting(&w, ends[0], POLLIN);
    gs_task *asked_for_nothing = start_waiting(&nothing, ends[0], 0);
    close(ends[1]);
    CHECK_EQ(test_join(task), GS_OK);
    CHECK(w.came & POLLHUP && w.came & POLLIN);
    CHECK_EQ(test_join(asked_for_nothing), GS_OK);
    CHECK_EQ(nothing.came, POLLHUP);
    close(ends[0]);

    CHECK_EQ(pipe(ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    fill(ends[1]);
    task = start_waiting(&w, ends[1], POLLOUT);
    close(ends[0]);
    CHECK_EQ(test_join(task), GS_OK);
    CHECK(w.came & POLLERR);
    close(ends[1]);

    make_pair(ends);
    task = start_waiting(&w, ends[0], POLLIN);
    CHECK_EQ(shutdown(ends[0], SHUT_RDWR), 0); /* the advice for who is about to close it */
    CHECK_EQ(test_join(task), GS_OK);
    close_pair(ends);
}

TEST(wait_fd_of_a_regular_file_is_always_ready)
{
    FILE *file = tmpfile();
    waiting w = {fileno(file), POLLIN | POLLOUT, GS_FOREVER, 0};
    CHECK_EQ(test_join(test_go(wait_for_it, &w)), GS_OK);
    CHECK_EQ(w.came, POLLIN | POLLOUT);
    /* What it never has does not come. */
    w = (waiting){fileno(file), POLLPRI, GS_MS(20), 0};
    CHECK_EQ(test_join(test_go(wait_for_it, &w)), GS_ETIMEDOUT);
    gs_task *task = start_waiting(&w, fileno(file), POLLPRI);
    gs__task_cancel(task, NULL);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    fclose(file);
}

/* ---- timeouts, cancels ---- */

static int wait_for_some_time(gs_call *call)
{
    int *fd = gs_arg_ptr(call, 0);
    for (int i = 0; i < 20; i++) {
        int64_t ns = (int64_t)test_random(3000) * 1000, begin = gs__now();
        if (gs_wait_fd(call, *fd, POLLIN, ns + 1) != GS_ETIMEDOUT)
            return 1;
        if (gs__now() < begin + ns)
            return 2;
    }
    return GS_OK;
}

TEST(wait_fd_is_never_short)
{
    enum { N = 50 };
    int ends[2];
    gs_task *tasks[N];
    make_pair(ends);
    for (int i = 0; i < N; i++)
        tasks[i] = test_go(wait_for_some_time, &ends[0]);
    for (int i = 0; i < N; i++)
        CHECK_EQ(test_join(tasks[i]), GS_OK);
    close_pair(ends);
}

static int wait_shielded(gs_call *call)
{
    waiting *w = gs_arg_ptr(call, 0);
    gs_shield_begin(call);
    w->came = gs_wait_fd(call, w->fd, w->events, GS_FOREVER);
    gs_shield_end(call);
    return gs_wait_fd(call, w->fd, w->events, GS_FOREVER);
}

TEST(wait_fd_is_broken_by_a_cancel_but_not_under_a_shield)
{
    int ends[2];
    waiting w;
    make_pair(ends);
    gs_task *task = start_waiting(&w, ends[0], POLLIN);
    CHECK(gs__task_cancel(task, NULL));
    CHECK_EQ(test_join(task), GS_ECANCELED);

    task = test_go(wait_shielded, &w);
    test_until_parked(task);
    CHECK(gs__task_cancel(task, NULL));
    test_msleep(20);
    CHECK(!gs__task_ended(task));
    put(ends[1]);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK_EQ(w.came, POLLIN);
    close_pair(ends);
}

enum { STORM_FDS = 40, STORM_TASKS = 200 };
static int storm_ends[STORM_FDS][2];
static atomic_int storm_over, storm_read;

static int read_in_a_storm(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    char c;
    for (;;) {
        int fd = storm_ends[test_random(STORM_FDS)][0];
        int64_t timeout = test_random(2) ? GS_FOREVER : GS_US(test_random(500));
        int came = gs_wait_fd(call, fd, POLLIN, timeout);
        if (came == GS_ETIMEDOUT || came == GS_EAGAIN)
            continue;
        GS_TRY(came);
        if (!(came & POLLIN))
            return 1;
        if (read(fd, &c, 1) == 1) /* another may have been quicker */
            storm_read++;
    }
}

static void *write_in_a_storm(void *arg)
{
    (void)arg;
    intptr_t n = 0;
    while (!storm_over) {
        n += write(storm_ends[test_random(STORM_FDS)][1], "x", 1) == 1;
        for (uint32_t i = test_random(300); i > 0; i--)
            gs__pause();
    }
    return (void *)n;
}

TEST(wait_fd_survives_a_storm_of_cancels)
{
    static gs_task *tasks[STORM_TASKS];
    for (int i = 0; i < STORM_FDS; i++)
        make_pair(storm_ends[i]);
    for (int i = 0; i < STORM_TASKS; i++)
        tasks[i] = test_go(read_in_a_storm, NULL);
    pthread_t writer = test_thread(write_in_a_storm, NULL);
    for (int i = 0; i < 20000 / TEST_SLOW; i++) {
        int k = (int)test_random(STORM_TASKS);
        gs__task_cancel(tasks[k], NULL);
        CHECK_EQ(test_join(tasks[k]), GS_ECANCELED);
        tasks[k] = test_go(read_in_a_storm, NULL);
    }
    storm_over = 1;
    void *written;
    CHECK_EQ(pthread_join(writer, &written), 0);
    for (int i = 0; i < STORM_TASKS; i++) {
        gs__task_cancel(tasks[i], NULL);
        CHECK_EQ(test_join(tasks[i]), GS_ECANCELED);
    }
    intptr_t left = 0;
    for (int i = 0; i < STORM_FDS; i++) {
        char c;
        while (read(storm_ends[i][0], &c, 1) == 1)
            left++;
    }
    CHECK_EQ(storm_read + left, (intptr_t)written);
    CHECK(storm_read > 0);
    for (int i = 0; i < STORM_FDS; i++) { /* each descriptor can be waited for as if new */
        waiting w;
        gs_task *task = start_waiting(&w, storm_ends[i][0], POLLIN);
        put(storm_ends[i][1]);
        CHECK_EQ(test_join(task), GS_OK);
        close_pair(storm_ends[i]);
    }
}

/* ---- numbers and files ---- */

/* Takes the number away from under who waits for it: the race that ThreadSanitizer would report is what
 * is tested. */
static void close_under(int fd)
{
    CHECK_EQ(syscall(SYS_close, fd), 0);
}

TEST(wait_fd_of_a_closed_descriptor_ends_by_a_cancel)
{
    int ends[2];
    waiting w;
    make_pair(ends);
    gs_task *task = start_waiting(&w, ends[0], POLLIN);
    close_under(ends[0]);
    test_msleep(10);
    gs__task_cancel(task, NULL);
    int code = test_join(task);
    CHECK(code == GS_ECANCELED || code == GS_EINVAL || (code == GS_OK && w.came & POLLHUP));
    close(ends[1]);
}

TEST(wait_fd_of_a_number_that_was_used_again)
{
    for (int round = 0; round < 50; round++) {
        int old[2], new[2];
        waiting before, after;
        make_pair(old);
        gs_task *one = start_waiting(&before, old[0], POLLIN);
        close_under(old[0]);
        make_pair(new);
        int fd = new[0] == old[0] ? new[0] : dup2(new[0], old[0]);
        CHECK_EQ(fd, old[0]);
        gs_task *two = start_waiting(&after, fd, POLLIN);
        put(new[1]);
        CHECK_EQ(test_join(two), GS_OK);
        CHECK_EQ(after.came, POLLIN);
        int code = test_join(one);
#ifdef GS__PORTABLE
        CHECK(code == GS_OK || code == GS_EINVAL);
#else
        CHECK_EQ(code, GS_EINVAL); /* and not what another file has */
#endif
        close(old[1]);
        close_pair(new);
        if (fd != new[0])
            close(fd);
    }
}

/* The file that was waited for lives on under another number, and the number is another file's. */
TEST(wait_fd_is_not_misled_by_a_file_that_had_the_number)
{
    int old[2], new[2];
    waiting before, after;
    make_pair(old);
    make_pair(new);
    int fd = dup(old[0]);
    gs_task *one = start_waiting(&before, fd, POLLIN);
    close_under(fd);
    CHECK_EQ(dup2(new[0], fd), fd);
    gs_task *two = start_waiting(&after, fd, POLLIN);
    put(old[1]);
    test_msleep(20);
    CHECK(!gs__task_ended(two));
    take(old[0]);
    put(new[1]);
    CHECK_EQ(test_join(two), GS_OK);
    CHECK_EQ(after.came, POLLIN);
    int code = test_join(one);
    CHECK(code == GS_OK || code == GS_EINVAL);
    take(new[0]);

    /* Again and again: what is left of old files in the set keeps nobody busy. */
    put(old[1]);
    for (int i = 0; i < 100; i++) {
        two = start_waiting(&after, fd, POLLIN);
        put(new[1]);
        CHECK_EQ(test_join(two), GS_OK);
        take(new[0]);
    }
    double used = cpu_seconds();
    test_msleep(300);
    CHECK(cpu_seconds() - used < 0.1);
    close_pair(old);
    close_pair(new);
    close(fd);
}

TEST(wait_fd_says_what_it_waits_for)
{
    int ends[2];
    char text[64], expected[64];
    waiting w;
    make_pair(ends);
    gs_task *task = start_waiting(&w, ends[0], POLLIN);
    snprintf(expected, sizeof expected, "descriptor %d", ends[0]);
    do /* it is parked a moment before it says on what */
        gs__task_waiting_text(task, text, sizeof text);
    while (!text[0]);
    CHECK_STR(text, expected);
    put(ends[1]);
    CHECK_EQ(test_join(task), GS_OK);
    close_pair(ends);
}

/* ---- fork, stop ---- */

static void wait_a_little(void)
{
    int ends[2];
    waiting w;
    make_pair(ends);
    for (int i = 0; i < 10; i++) {
        gs_task *task = start_waiting(&w, ends[0], POLLIN);
        put(ends[1]);
        CHECK_EQ(test_join(task), GS_OK);
        CHECK_EQ(w.came, POLLIN);
        take(ends[0]);
    }
    close_pair(ends);
}

static int shared[2];

/* Waits for what its parent waits for, too. */
static void wait_in_the_child(void)
{
    waiting w;
#ifdef GS__TSAN
    return; /* it cannot follow threads of such a child */
#endif
    wait_a_little();
    gs_task *task = start_waiting(&w, shared[0], POLLIN);
    gs__task_cancel(task, NULL);
    CHECK_EQ(test_join(task), GS_ECANCELED);
    CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
}

TEST(wait_fd_works_in_a_forked_child_and_on_in_its_parent)
{
    char text[512];
    waiting w;
    make_pair(shared);
    gs_task *task = start_waiting(&w, shared[0], POLLIN);
    for (int i = 0; i < 3; i++) {
        int status = test_in_child(wait_in_the_child, text, sizeof text);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            test_failed(__FILE__, __LINE__, "the child ended with status %d: %s", status, text);
        wait_a_little();
    }
    CHECK(!gs__task_ended(task));
    put(shared[1]);
    CHECK_EQ(test_join(task), GS_OK);
    close_pair(shared);
}

TEST(wait_fd_works_again_after_the_runtime_stopped)
{
    int ends[2];
    waiting w;
    make_pair(ends);
    for (int i = 0; i < 5; i++) {
        gs_task *task = start_waiting(&w, ends[0], POLLIN);
        CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0); /* cancels it */
        CHECK_EQ(test_join(task), GS_ECANCELED);
        wait_a_little();
    }
    close_pair(ends);
}
