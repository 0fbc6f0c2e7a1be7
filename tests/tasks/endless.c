/* endless.c: C as people write it, that knows nothing of stopping: loops without an end, of every
 * kind, and work that keeps memory. Its tasks are at the end. Compiled with pygostop_auto.h before
 * it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- loops ---- */

static int counter;
static volatile int never;

static void empty_for(void)
{
    for (;;)
        ;
}

static void empty_while(void)
{
    while (1) {
    }
}

static void nested_empty(void)
{
    for (;;)
        for (;;) {
        }
}

static void dead_counter(void)
{
    unsigned n = 0;
    for (;;)
        n++;
}

static void global_counter(void)
{
    for (;;)
        counter++;
}

static void go_back(void)
{
again:
    goto again;
}

static void go_back_and_forth(void)
{
here:
    goto there;
there:
    goto here;
}

static void wait_for_variable(void)
{
    while (!never) {
    }
}

static void do_while(void)
{
    unsigned n = 1;
    do
        n = n * 1664525u + 1013904223u;
    while (1);
}

static void state_machine(void)
{
    for (int state = counter & 3;;)
        switch (state) {
        case 0:
            state = 2;
            break;
        case 1:
            state = 3;
            continue;
        case 2:
            state = 1;
            break;
        default:
            state = 0;
        }
}

static void computed_goto(void)
{
    static void *const labels[] = {&&one, &&two};
    unsigned n = 0;
one:
    n++;
    goto *labels[n & 1];
two:
    n += 3;
    goto *labels[n & 1];
}

static void long_jumps(void)
{
    static __thread jmp_buf place;
    if (setjmp(place) >= 0)
        longjmp(place, 1);
}

static unsigned fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static void recursion(void)
{
    counter = (int)fibonacci(90);
}

static int endless_order(const void *a, const void *b)
{
    for (;;)
        counter += *(const int *)a - *(const int *)b + 1;
}

static void sort_callback(void)
{
    int few[4] = {3, 1, 2, 0};
    qsort(few, 4, sizeof few[0], endless_order);
}

static void in_printf(void)
{
    static __thread char text[4096];
    for (;;)
        counter += snprintf(text, sizeof text, "%1000d %f", counter, counter / 3.0);
}

static void in_malloc(void)
{
    for (;;) {
        void *block = malloc((size_t)(counter++ & 4095) + 1);
        *(volatile char *)block = 1;
        free(block);
    }
}

/* ---- memory ---- */

typedef struct node {
    struct node *next;
    char payload[100];
} node;

/* One block of each kind, and lists of many; half are freed again. */
static node *keep_memory(size_t each)
{
    node *list = NULL;
    void *block = NULL;
    char *text = NULL, *line = NULL;
    size_t room = 0;
    for (int i = 0; i < 1000; i++) {
        node *n = calloc(1, sizeof *n);
        n->next = list;
        list = n;
        if (i % 2) {
            list = n->next;
            free(n);
        }
    }
    memset(malloc(each), 1, each);
    memset(calloc(each, 1), 1, each);
    memset(realloc(malloc(10), each), 1, each);
    memset(realloc(NULL, each), 1, each);
    memset(reallocarray(NULL, each, 1), 1, each);
    memset(aligned_alloc(64, each), 1, each);
    if (posix_memalign(&block, 128, each) == 0)
        memset(block, 1, each);
    if (asprintf(&text, "%*d", (int)each, 1) > 0)
        text = strdup(text);
    text = strndup(text, each);
    FILE *file = tmpfile();
    fprintf(file, "%s\n%s\n", text, text);
    rewind(file);
    while (getline(&line, &room, file) > 0)
        ;
    fclose(file);
    return list;
}

/* ---- the tasks ---- */

#include <pygostop.h>

/* What a test sees of a task: how far it came. */
static int *gauge(gs_call *call, int i)
{
    size_t count;
    return gs_arg_array(call, i, GS_INT32, &count);
}

static void set(int *value, int to)
{
    __atomic_store_n(value, to, __ATOMIC_SEQ_CST);
}

#define ENDLESS(f)                   \
    GS_TASK(run_##f)                 \
    {                                \
        set(gauge(call, 0), 1);      \
        f();                         \
        return gs_fail(call, 1, #f); \
    }

ENDLESS(empty_for)
ENDLESS(empty_while)
ENDLESS(nested_empty)
ENDLESS(dead_counter)
ENDLESS(global_counter)
ENDLESS(go_back)
ENDLESS(go_back_and_forth)
ENDLESS(wait_for_variable)
ENDLESS(do_while)
ENDLESS(state_machine)
ENDLESS(computed_goto)
ENDLESS(long_jumps)
ENDLESS(recursion)
ENDLESS(sort_callback)
ENDLESS(in_printf)
ENDLESS(in_malloc)

GS_TASK(hold_memory)
{
    int *went = gauge(call, 0);
    counter += keep_memory(1 << 20) != NULL;
    set(went, 1);
    global_counter();
    return GS_OK;
}

static void count_up(void *value)
{
    int n = 0;
    for (int i = 0; i < 100; i++) /* a defer has edges of its own, and is not left on them */
        n += i == 7;
    __atomic_add_fetch((int *)value, n, __ATOMIC_SEQ_CST);
}

GS_TASK(with_defers)
{
    int *defers = gauge(call, 1);
    GS_TRY(gs_defer(call, count_up, defers));
    GS_TRY(gs_defer(call, count_up, defers));
    set(gauge(call, 0), 1);
    global_counter();
    return GS_OK;
}

GS_TASK(shielded)
{
    int *went = gauge(call, 0), *release = gauge(call, 1);
    gs_shield_begin(call);
    set(went, 1);
    while (!__atomic_load_n(release, __ATOMIC_SEQ_CST))
        ;
    set(went, 2);
    gs_shield_end(call);
    for (;;)
        ++*went;
}

/* Its own edges are none: it goes on until its work is done. */
static GS_NO_CHECKPOINT void exempt(int *went, int *release)
{
    __atomic_store_n(went, 1, __ATOMIC_SEQ_CST); /* not set(), which has edges of its own */
    while (!__atomic_load_n(release, __ATOMIC_SEQ_CST))
        ;
    __atomic_store_n(went, 2, __ATOMIC_SEQ_CST);
}

GS_TASK(with_exempt)
{
    exempt(gauge(call, 0), gauge(call, 1));
    for (;;)
        counter++;
}

/* What it leaves to others when it returns is theirs. */
static char *left;

GS_TASK(leave_a_block)
{
    left = malloc(100);
    strcpy(left, "still here");
    return GS_OK;
}

GS_TASK(keep_a_block)
{
    left = gs_keep(call, malloc(100));
    strcpy(left, "kept");
    set(gauge(call, 0), 1);
    global_counter();
    return GS_OK;
}

GS_TASK(take_the_block)
{
    int code = gs_return_str(call, left, strlen(left));
    free(left);
    left = NULL;
    return code;
}

/* As long as its buffer's first item is 0, so it would never end. */
static void *call_from_thread(void *arg)
{
    volatile int *release = arg;
    while (!*release)
        free(malloc(10));
    return NULL;
}

GS_TASK(with_thread)
{
    pthread_t thread;
    int *went = gauge(call, 0), *release = gauge(call, 1);
    pthread_create(&thread, NULL, call_from_thread, release);
    gs_shield_begin(call);
    set(went, 1);
    pthread_join(thread, NULL);
    gs_shield_end(call);
    global_counter();
    return GS_OK;
}

static int child(gs_call *call)
{
    set((int *)gs_arg_ptr(call, 0), 1);
    empty_for();
    return GS_OK;
}

GS_TASK(with_child)
{
    int code = 0;
    gs_value arg = GS_ARG_PTR(gauge(call, 0));
    gs_task *task = gs_go(call, child, &arg, 1);
    GS_TRY(gs_join(call, task, &code));
    return GS_OK;
}

GS_TASK(cancel_child)
{
    int code = 0, *went = gauge(call, 0);
    gs_value arg = GS_ARG_PTR(went);
    gs_task *task = gs_go(call, child, &arg, 1);
    while (!__atomic_load_n(went, __ATOMIC_SEQ_CST))
        GS_TRY(gs_yield(call));
    gs_task_cancel(call, task);
    GS_TRY(gs_join(call, task, &code));
    return gs_return_int(call, code);
}

/* A function of this library, called by a task of another. */
__attribute__((visibility("default"))) void endless_begin(gs_call *call)
{
    gs_auto_begin(call);
}
__attribute__((visibility("default"))) void endless_spin(void)
{
    global_counter();
}

/* A function that is no GS_TASK, and so is left only once it said so. */
__attribute__((visibility("default"))) int plain_task(gs_call *call)
{
    gs_auto_begin(call);
    set(gauge(call, 0), 1);
    global_counter();
    return GS_OK;
}

/* As many turns, with a checkpoint in each. */
GS_TASK(turns)
{
    volatile int64_t sum = 0;
    for (int64_t n = gs_arg_int(call, 0); n > 0; n--)
        sum += n;
    return gs_return_int(call, sum);
}

/* For callers that are no tasks. */
__attribute__((visibility("default"))) long plain_turns(long n)
{
    volatile long turns = 0;
    while (turns < n) {
        turns++;
        free(malloc(16));
    }
    return turns;
}
