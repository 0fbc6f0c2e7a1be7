/* stopping.c: the C tasks of stopping.py: loops with checkpoints by hand, and, compiled with
 * checkpoints="auto", without any of their own.
 *
 * As a program (-DALONE) it turns one loop, for callgrind:  stopping KIND TURNS */
#include <pygostop.h>

#include <stdlib.h>
#include <time.h>

enum kind { PLAIN, BY_HAND, KINDS };

/* A turn of them does nothing that the compiler could leave out or do at once. */
static int turn_plain(int64_t turns)
{
    for (int64_t i = 0; i < turns; i++)
        __asm__ volatile("" : : "r"(i));
    return GS_OK;
}

static int turn_by_hand(gs_call *call, int64_t turns)
{
    for (int64_t i = 0; i < turns; i++) {
        GS_CHECKPOINT(call);
        __asm__ volatile("" : : "r"(i));
    }
    return GS_OK;
}

static int turn(gs_call *call, enum kind kind, int64_t turns)
{
    return kind == PLAIN ? turn_plain(turns) : turn_by_hand(call, turns);
}

#ifdef ALONE
int main(int argc, char **argv)
{
    static gs_call call;
    return argc == 3 ? turn(&call, (enum kind)atoi(argv[1]), atoll(argv[2])) : 1;
}
#else

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Nanoseconds for so many turns. */
GS_TASK(measure)
{
    enum kind kind = (enum kind)gs_arg_int(call, 0);
    int64_t turns = gs_arg_int(call, 1), begun = now();
    GS_TRY(turn(call, kind, turns));
    return gs_return_int(call, now() - begun);
}

/* Turns until it is stopped; sets the int once it has begun. */
static int turn_for_ever(gs_call *call, enum kind kind, volatile int *begun)
{
    if (kind == BY_HAND)
        for (;;) {
            GS_CHECKPOINT(call);
            *begun = 1;
        }
    for (;;)
        *begun = 1;
}

GS_TASK(busy)
{
    enum kind kind = (enum kind)gs_arg_int(call, 0);
    size_t count;
    return turn_for_ever(call, kind, (int *)gs_arg_array(call, 1, GS_INT32, &count));
}

static int busy_child(gs_call *call)
{
    enum kind kind = (enum kind)gs_arg_int(call, 0);
    gs_auto_begin(call);
    return turn_for_ever(call, kind, (volatile int *)gs_arg_ptr(call, 1));
}

/* Asks one task after the other to stop, 100 µs after it began: nanoseconds until it has ended, in the
 * array. */
GS_TASK(cancel_many)
{
    enum { MEANWHILE = 100000 };
    enum kind kind = (enum kind)gs_arg_int(call, 0);
    size_t count;
    int64_t *took = (int64_t *)gs_arg_array(call, 1, GS_INT64, &count);
    for (size_t i = 0; i < count; i++) {
        volatile int begun = 0;
        gs_value args[] = {GS_ARG_INT(kind), GS_ARG_PTR((void *)&begun)};
        gs_task *task = gs_go(call, busy_child, args, 2);
        while (task && !begun)
            ;
        for (int64_t until = now() + MEANWHILE; now() < until;)
            ;
        int64_t asked = now();
        gs_task_cancel(call, task);
        GS_TRY(gs_join(call, task, NULL));
        took[i] = now() - asked;
    }
    return GS_OK;
}

GS_EXPORT(GS_SIG(measure, "kind: int, turns: int"), GS_SIG(busy, "kind: int, begun: buffer"),
          GS_SIG(cancel_many, "kind: int, took: buffer"));
#endif
