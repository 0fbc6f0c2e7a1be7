/* test-tasks.c: the tasks that ship, where the sanitizers see them: a pipeline over a directory tree that
 * changes under it, stopped at any moment. What each task promises besides is tested from Python. */
#define _GNU_SOURCE
#include "test.h"

#include "result.h"
#include "str.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORIES = 48, FILES = 12, SIZE = 1000, READERS = 3 };

static char root[] = "/tmp/gostop-tests.XXXXXX";

/* ---- the tree ---- */

/* Directory n is in directory n / 2, but under another name at odd times. */
static void path_of(char *path, int n, bool renamed)
{
    if (n <= 1) {
        strcpy(path, root);
        return;
    }
    path_of(path, n / 2, false);
    sprintf(path + strlen(path), renamed ? "/moved%d" : "/d%d", n);
}

static void make_tree(void)
{
    char path[4096], data[SIZE];
    CHECK(mkdtemp(root) != NULL);
    memset(data, 'x', sizeof data);
    for (int n = 1; n <= DIRECTORIES; n++) {
        path_of(path, n, false);
        CHECK(n == 1 || mkdir(path, 0755) == 0);
        for (int k = 0; k < FILES; k++) {
            char file[4200];
            sprintf(file, "%s/f%d", path, k);
            FILE *f = fopen(file, "w");
            CHECK(f != NULL);
            CHECK_EQ(fwrite(data, 1, sizeof data, f), sizeof data);
            fclose(f);
        }
    }
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static atomic_bool enough;

/* Moves directories away and back, and a file too, until told to end. */
static void *change_tree(void *arg)
{
    char here[4096], there[4096], file[4200];
    while (!enough) {
        int n = 2 + (int)test_random(DIRECTORIES - 1);
        path_of(here, n, false);
        path_of(there, n, true);
        sprintf(file, "%s/f0", here);
        CHECK_EQ(rename(here, there), 0);
        usleep(20);
        CHECK_EQ(rename(there, here), 0);
        CHECK_EQ(unlink(file), 0);
        CHECK_EQ(symlink("f1", file), 0);
        usleep(20);
    }
    return arg;
}

/* ---- the pipeline ---- */

static gs_task *start(gs_fn *fn, gs_ctx *parent, const gs_value *args, int nargs)
{
    int error;
    gs__spawn spawn = {.fn = fn,
                       .name = "shipped",
                       .parent = parent,
                       .args = args,
                       .nargs = nargs,
                       .flags = GS__TASK_STATIC_NAME};
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    return task;
}

static int receive(gs_chan *ch, gs_str *message)
{
    int code;
    do
        code = gs__chan_recv(ch, message, NULL, GS_FOREVER);
    while (code == GS__EINTR);
    return code;
}

/* As slow as can be, to be another one than that of crc32.c. */
static uint32_t sum_of_a_file(void)
{
    uint32_t crc = 0xffffffff;
    for (int i = 0; i < SIZE; i++) {
        crc ^= 'x';
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

static void check_message(const gs_str *message)
{
    gs_tasks_head head;
    CHECK(message->size > sizeof head + strlen(root));
    memcpy(&head, message->data, sizeof head);
    CHECK(memcmp(message->data + sizeof head, root, strlen(root)) == 0);
    if (head.error) {
        CHECK_EQ(head.error, ENOENT);
        return;
    }
    CHECK_EQ(head.size, SIZE);
    CHECK_EQ(head.crc, sum_of_a_file());
}

typedef struct readers {
    gs_task *tasks[READERS];
    gs_chan *results;
} readers;

static void *close_behind(void *arg)
{
    const readers *r = (const readers *)arg;
    for (int i = 0; i < READERS; i++)
        test_wait(r->tasks[i]);
    gs__chan_close(r->results);
    return NULL;
}

/* Takes at most `most` results, then asks all to stop. Gives how many came. */
static int run_pipeline(int most)
{
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    gs_chan *paths = gs__chan_new(gs__elem_of(GS_BYTES), 4);
    gs_chan *results = gs__chan_new(gs__elem_of(GS_BYTES), 2);
    gs_value walked[] = {GS_ARG_STR(root), GS_ARG_CHAN(paths), GS_ARG_CHAN(results)};
    gs_value read[] = {GS_ARG_CHAN(paths), GS_ARG_CHAN(results)};
    gs_task *walker = start(gs_tasks_walk, ctx, walked, 3);
    readers r = {.results = results};
    gs_str message;
    int came = 0;
    for (int i = 0; i < READERS; i++)
        r.tasks[i] = start(gs_tasks_crc32, ctx, read, 2);
    pthread_t closer = test_thread(close_behind, &r);
    while (came < most && receive(results, &message) == GS_OK) {
        check_message(&message);
        gs__str_drop(&message);
        came++;
    }
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL);
    test_thread_join(closer);
    CHECK(test_join(walker) <= 0);
    for (int i = 0; i < READERS; i++)
        CHECK(test_join(r.tasks[i]) <= 0);
    gs__chan_unref(paths);
    gs__chan_unref(results);
    gs__ctx_unref(ctx);
    return came;
}

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    CHECK(d != NULL);
    int n = 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

TEST(shipped_tasks_stopped_at_any_moment_leave_nothing)
{
    make_tree();
    CHECK_EQ(run_pipeline(INT32_MAX), DIRECTORIES * FILES);
    int before = descriptors();
    pthread_t changer = test_thread(change_tree, NULL);
    for (int i = 0; i < 400 / TEST_SLOW; i++)
        run_pipeline((int)test_random(DIRECTORIES * FILES));
    enough = true;
    test_thread_join(changer);
    test_until_no_tasks();
    CHECK_EQ(descriptors(), before);
    CHECK_EQ(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
