/* test.h: what every C test stands on.
 *
 * A test is a function named for the promise it checks, listed once in test-list.h. The runner gives
 * each a process of its own, so a test may leave tasks, threads and settings behind. A test fails by a
 * CHECK, by a signal, or by taking longer than its limit: waits here have none of their own. */
#ifndef GS_TEST_H
#define GS_TEST_H

#include "ctx.h"
#include "debug.h"
#include "sched.h"
#include "select.h"
#include "task.h"

#include <pthread.h>
#include <stdio.h>

#define TEST(name) void test_##name(void)

/* Declared here, so that one which is not listed is warned of. */
#define TEST_ENTRY(name, seconds) TEST(name);
#include "test-list.h"
#undef TEST_ENTRY

#if defined(GS__TSAN) || defined(GS__ASAN)
enum { TEST_SLOW = 8 }; /* how much longer things may take, and how much less of them is done */
#else
enum { TEST_SLOW = 1 };
#endif
/* As many tasks as are called many; ThreadSanitizer has room for 8,000 stacks. */
#ifdef GS__TSAN
enum { TEST_MANY = 1000 };
#else
enum { TEST_MANY = 10000 };
#endif

_Noreturn void test_failed(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define CHECK(condition)                                               \
    do {                                                               \
        if (!(condition))                                              \
            test_failed(__FILE__, __LINE__, "not so: %s", #condition); \
    } while (0)
#define CHECK_EQ(got, expected)                                                                  \
    do {                                                                                         \
        long long got_ = (long long)(got), expected_ = (long long)(expected);                    \
        if (got_ != expected_)                                                                   \
            test_failed(__FILE__, __LINE__, "%s is %lld, expected %lld", #got, got_, expected_); \
    } while (0)
#define CHECK_STR(got, expected)                                                         \
    do {                                                                                 \
        const char *got_ = (got), *expected_ = (expected);                               \
        if (strcmp(got_ ? got_ : "(null)", expected_) != 0)                              \
            test_failed(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #got, got_, \
                        expected_);                                                      \
    } while (0)
#define CHECK_HAS(text, part)                                                             \
    do {                                                                                  \
        const char *text_ = (text);                                                       \
        if (text_ == NULL || strstr(text_, (part)) == NULL)                               \
            test_failed(__FILE__, __LINE__, "\"%s\" has no \"%s\" in it", text_, (part)); \
    } while (0)

/* How many C workers; before anything else. */
void test_workers(int n);

/* Starts fn with one argument, a pointer (gs_arg_ptr(call, 0)), in a context below the root or below
 * `parent`. The handle is the caller's. */
gs_task *test_go(gs_fn *fn, void *arg);
gs_task *test_go_in(gs_ctx *parent, gs_fn *fn, void *arg);
/* Waits for its end, from a thread; the handle stays. */
void test_wait(gs_task *task);
/* Waits for its end, gives the handle up, gives its code. */
int test_join(gs_task *task);
/* Waits until the task is parked. */
void test_until_parked(gs_task *task);
/* Waits until *n >= least, looking every now and then. */
void test_until(atomic_int *n, int least);
/* Waits until no task lives. */
void test_until_no_tasks(void);

/* The blocking calls of a thread, gone on with after a signal or the portable build's hiccup. */
int test_send(gs_chan *ch, int64_t value);
int test_recv(gs_chan *ch, int64_t *value);
gs_chan *test_chan(size_t capacity); /* of GS_INT64 */

pthread_t test_thread(void *(*fn)(void *), void *arg);
void test_thread_join(pthread_t thread);
void test_msleep(int ms); /* of the OS thread */

/* Runs fn in a forked process and gives its wait status; what it wrote to stderr is in `text`. */
int test_in_child(void (*fn)(void), char *text, size_t size);

/* Uniform in 0 … n-1; each thread has its own row of numbers. */
uint32_t test_random(uint32_t n);
int test_threads(void);  /* of this process */
int test_mappings(void); /* of this process */

#endif
