/* helpers.c: see test.h. */
#define _GNU_SOURCE
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef GS__TSAN
/* The tests of fork start threads in the child of a process that has some. */
GS__VISIBLE const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:halt_on_error=1:atexit_sleep_ms=0:allocator_may_return_null=1";
}
#endif
#ifdef GS__ASAN
GS__VISIBLE const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=0:allocator_may_return_null=1";
}
#endif

void test_failed(const char *file, int line, const char *fmt, ...)
{
    const char *name = strrchr(file, '/');
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", name ? name + 1 : file, line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(NULL);
    abort();
}

void test_workers(int n)
{
    CHECK_EQ(gs__configure(n, 0), GS_OK);
}

gs_task *test_go_in(gs_ctx *parent, gs_fn *fn, void *arg)
{
    int error = 0;
    gs_value value = GS_ARG_PTR(arg);
    gs__spawn spawn = {.fn = fn,
                       .name = "test",
                       .parent = parent,
                       .args = &value,
                       .nargs = 1,
                       .flags = GS__TASK_STATIC_NAME};
    gs_task *task = gs__task_spawn(&spawn, &error);
    if (task == NULL)
        test_failed(__FILE__, __LINE__, "a task could not be started: %s", gs__code_name(error));
    return task;
}

gs_task *test_go(gs_fn *fn, void *arg)
{
    return test_go_in(gs__ctx_background(), fn, arg);
}

void test_wait(gs_task *task)
{
    int code;
    do
        code = gs__task_wait(task, NULL, GS_FOREVER);
    while (code == GS__EINTR);
    CHECK_EQ(code, GS_OK);
    CHECK(gs__task_ended(task));
}

int test_join(gs_task *task)
{
    test_wait(task);
    int code = task->code;
    gs__task_unref(task);
    return code;
}

void test_until_parked(gs_task *task)
{
    while (atomic_load(&task->state) != GS__TASK_PARKED)
        usleep(50);
}

void test_until(atomic_int *n, int least)
{
    while (atomic_load(n) < least)
        usleep(50);
}

void test_until_no_tasks(void)
{
    while (gs__live_tasks() > 0)
        usleep(50);
}

int test_send(gs_chan *ch, int64_t value)
{
    int code;
    do
        code = gs__chan_send(ch, &value, NULL, GS_FOREVER);
    while (code == GS__EINTR);
    return code;
}

int test_recv(gs_chan *ch, int64_t *value)
{
    int code;
    do
        code = gs__chan_recv(ch, value, NULL, GS_FOREVER);
    while (code == GS__EINTR);
    return code;
}

gs_chan *test_chan(size_t capacity)
{
    gs_chan *ch = gs__chan_new(gs__elem_of(GS_INT64), capacity);
    CHECK(ch != NULL);
    return ch;
}

pthread_t test_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

void test_thread_join(pthread_t thread)
{
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

void test_msleep(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) != 0)
        ;
}

/* The allocator of AddressSanitizer takes no care of a fork: a child may find a lock of it held by a thread that it
 * has not, and wait for ever. There it is given up, and another one made. */
#ifdef GS__ASAN
enum { CHILDREN = 3, CHILD_SECONDS = 30 };
#else
enum { CHILDREN = 1, CHILD_SECONDS = 0 };
#endif

static int run_child(void (*fn)(void), char *text, size_t size)
{
    int ends[2], status;
    size_t used = 0;
    CHECK_EQ(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        alarm(CHILD_SECONDS);
        fn();
        _exit(0);
    }
    close(ends[1]);
    for (;;) {
        char rest[256];
        bool room = used + 1 < size;
        ssize_t got =
            read(ends[0], room ? text + used : rest, room ? size - 1 - used : sizeof rest);
        if (got <= 0)
            break;
        used += room ? (size_t)got : 0;
    }
    if (size > 0)
        text[used] = '\0';
    close(ends[0]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

int test_in_child(void (*fn)(void), char *text, size_t size)
{
    int status = 0;
    for (int i = 0; i < CHILDREN; i++) {
        status = run_child(fn, text, size);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM)
            break;
    }
    return status;
}

uint32_t test_random(uint32_t n)
{
    static atomic_uint seeds;
    static _Thread_local uint64_t state;
    if (state == 0)
        state = 0x9e3779b97f4a7c15u * (1 + atomic_fetch_add(&seeds, 1));
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % n);
}

static int count_entries(const char *directory)
{
    DIR *d = opendir(directory);
    CHECK(d != NULL);
    int n = 0;
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

int test_threads(void)
{
    return count_entries("/proc/self/task");
}

int test_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f != NULL);
    int n = 0, c;
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}
