/* million.c: parks a million C tasks at once, prints what each costs in resident memory, and stops them
 * all by one cancel.
 *
 *   gostop-million [NUMBER]    exit status 1 where a task costs more than LIMIT bytes */
#include "sched.h"
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIMIT = 4710 }; /* 4.6 KiB: one page of stack, and the task itself */

static atomic_long waiting;

static int wait_for_stop(gs_call *call)
{
    waiting++;
    return gs_sleep(call, GS_FOREVER);
}

static long resident(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1) {
        perror("gostop-million: /proc/self/statm");
        exit(2);
    }
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static int mappings(void)
{
    int n = 0, c;
    FILE *f = fopen("/proc/self/maps", "r");
    if (f == NULL)
        return -1;
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

static double since(int64_t begun)
{
    return (double)(gs__now() - begun) * 1e-9;
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 1000000;
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    gs__spawn spawn = {
        .fn = wait_for_stop, .name = "parked", .parent = ctx, .flags = GS__TASK_STATIC_NAME};
    if (n < 1 || ctx == NULL || gs__runtime_start() != GS_OK) {
        fprintf(stderr, "gostop-million: not a number, or the runtime did not start\n");
        return 2;
    }

    long before = resident();
    int64_t begun = gs__now();
    for (long i = 0; i < n; i++) {
        int error;
        gs_task *task = gs__task_spawn(&spawn, &error);
        if (task == NULL) {
            fprintf(stderr, "gostop-million: task %ld of %ld was not started: %s\n", i + 1, n,
                    gs__code_text(error));
            return 1;
        }
        gs__task_unref(task);
    }
    while (waiting < n)
        usleep(1000);
    usleep(100000); /* the last ones reach their sleep */
    double spawned = since(begun);
    double each = (double)(resident() - before) / (double)n;

    int maps = mappings();
    begun = gs__now();
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL);
    double marked = since(begun);
    while (gs__live_tasks() > 0)
        usleep(1000);
    printf("%ld tasks parked in %.2f s, %d mappings; %.0f bytes resident each (%.2f KiB; at most "
           "%d); cancelled in %.2f s, all ended after %.2f s\n",
           n, spawned, maps, each, each / 1024, LIMIT, marked, since(begun));
    gs__ctx_unref(ctx);
    return gs__runtime_stop(gs__now() + GS_S(10)) != 0 || each > LIMIT;
}
