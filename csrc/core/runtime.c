/* runtime.c: the runtime as a whole: settings, start, stop, what a forked child begins with, and the
 * report of a stack that overflowed.
 *
 * `changing` guards starting and stopping and the list of groups; it is taken before every other lock.
 * The runtime runs from the first task or timer until gs__runtime_stop, and again from the next one, but
 * not after gs__runtime_end. */
#define _GNU_SOURCE
#include "sched.h"

#include "auto.h"
#include "blocks.h"
#include "poller.h"
#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

gs__group gs__c_group;

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool running;
static bool is_last; /* guarded by `changing`; it stays in a forked child, which leaves too */
static _Atomic(gs__group *) groups[GS__GROUPS_MOST + 1];
static int configured_workers;

size_t gs__default_stack_size = GS__STACK_DEFAULT;

gs__group *gs__group_at(int i)
{
    return atomic_load(&groups[i]);
}

/* ---- settings ---- */

int gs__configure(int workers, size_t stack_size)
{
    int code = GS_EINVAL;
    pthread_mutex_lock(&changing);
    if (!atomic_load(&running) && workers >= 0 && workers <= GS__WORKERS_MOST / 2 &&
        gs__stack_class(stack_size) >= 0) {
        configured_workers = workers;
        gs__default_stack_size = stack_size ? stack_size : GS__STACK_DEFAULT;
        code = GS_OK;
    }
    pthread_mutex_unlock(&changing);
    return code;
}

int gs__workers_configured(void)
{
    long n = configured_workers;
    const char *setting = getenv("PYGOSTOP_WORKERS");
    if (n <= 0 && setting)
        n = strtol(setting, NULL, 10);
    if (n <= 0)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > GS__WORKERS_MOST / 2 ? GS__WORKERS_MOST / 2 : (int)n;
}

/* ---- a stack that overflows ---- */

static struct sigaction segv_before, bus_before;

static void say(const char *text)
{
    if (text && write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* there is nobody else to tell */
}

static void say_kib(size_t bytes)
{
    char digits[24], *p = digits + sizeof digits - 1;
    *p = '\0';
    size_t n = bytes >> 10;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    say(p);
}

/* On the worker's signal stack. What is no overflow is passed on to who was there before. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    gs_task *task = gs__task_current();
    struct sigaction *before = signal == SIGSEGV ? &segv_before : &bus_before;
    if (task && gs__stack_guards(&task->coro.stack, info->si_addr)) {
        say("pygostop: the task '");
        say(task->name);
        say("' has overflowed its stack of ");
        say_kib(task->coro.stack.size);
        say(" KiB: give it a larger one (stack_size), or recurse less\n");
        sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        return; /* it faults again, and the process ends as it would have */
    }
    if (before->sa_flags & SA_SIGINFO && before->sa_sigaction)
        before->sa_sigaction(signal, info, context);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(signal);
    else {
        sigaction(signal, before, NULL);
        if (info->si_code <= 0)
            raise(signal); /* it was sent, so it does not come again by itself */
    }
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction now;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_sigaction != on_fault)
        sigaction(SIGSEGV, &action, &segv_before);
    if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction != on_fault)
        sigaction(SIGBUS, &action, &bus_before);
}

/* ---- groups ---- */

static void init_group(gs__group *group, const char *name, int target, int limit,
                       const gs__hooks *hooks)
{
    group->name = name;
    group->target = target;
    group->limit = limit < GS__WORKERS_MOST ? limit : GS__WORKERS_MOST;
    group->hooks = hooks;
    gs__lock_init(&group->lock);
    gs__list_init(&group->inbox);
    gs__list_init(&group->idle);
    atomic_store(&group->inbox_count, 0);
    atomic_store(&group->n_idle, 0);
    atomic_store(&group->n_blocked, 0);
    atomic_store(&group->searching, 0);
    atomic_store(&group->n_workers, 0);
    atomic_store(&group->stopping, false);
}

/* All workers up to the target; one is enough to go on. */
static int start_group(gs__group *group)
{
    for (int i = 0; i < group->target; i++)
        if (gs__worker_start(group) != GS_OK)
            return i ? GS_OK : GS_ENOMEM;
    return GS_OK;
}

static void list_group(gs__group *group)
{
    for (int i = 0; i < GS__GROUPS_MOST; i++) {
        gs__group *none = NULL;
        if (atomic_load(&groups[i]) == group ||
            atomic_compare_exchange_strong(&groups[i], &none, group))
            return;
    }
    gs__panic("more than %d groups of workers", GS__GROUPS_MOST);
}

int gs__group_add(gs__group *group, const char *name, int target, int limit, const gs__hooks *hooks)
{
    int code = gs__runtime_start();
    if (code != GS_OK)
        return code;
    pthread_mutex_lock(&changing);
    init_group(group, name, target, limit, hooks);
    code = start_group(group);
    if (code == GS_OK)
        list_group(group);
    pthread_mutex_unlock(&changing);
    return code;
}

/* ---- start, stop, fork ---- */

static void on_fork_child(void)
{
    atomic_fetch_add(&gs__generation, 1);
    pthread_mutex_init(&changing, NULL);
    atomic_store(&running, false);
    for (int i = 0; i < GS__GROUPS_MOST; i++) {
        gs__group *group = atomic_exchange(&groups[i], NULL);
        for (int k = 0; group && k < GS__WORKERS_MOST; k++)
            atomic_store(&group->workers[k], NULL); /* their threads are the parent's */
    }
    gs__workers_reset();
    gs__monitor_reset();
    gs__poller_reset();
    gs__parkers_reset();
    gs__threads_reset();
    gs__timers_reset();
    gs__stacks_reset();
    gs__tasks_reset();
    gs__blocks_reset();
    gs__auto_reset();
    gs__ctx_reset();
}

static void once_in_a_process(void)
{
    gs__assert(pthread_atfork(NULL, NULL, on_fork_child) == 0);
}

void gs__core_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, once_in_a_process);
}

static int start(void)
{
    gs__core_init();
    gs__ticks_per_us();
    gs__ctx_revive();
    init_group(&gs__c_group, "C", gs__workers_configured(), GS__WORKERS_MOST, NULL);
    int code = gs__monitor_start();
    if (code == GS_OK)
        code = start_group(&gs__c_group);
    if (code != GS_OK) {
        gs__monitor_stop();
        return code;
    }
    list_group(&gs__c_group);
    catch_faults();
    return GS_OK;
}

int gs__runtime_start(void)
{
    if (gs__likely(atomic_load_explicit(&running, memory_order_acquire)))
        return GS_OK;
    pthread_mutex_lock(&changing);
    int code = GS_OK;
    if (!atomic_load(&running)) {
        code = is_last ? GS_ECANCELED : start();
        atomic_store(&running, code == GS_OK);
    }
    pthread_mutex_unlock(&changing);
    return code;
}

void gs__runtime_end(void)
{
    pthread_mutex_lock(&changing);
    is_last = true;
    pthread_mutex_unlock(&changing);
}

static long wait_for_tasks(int64_t deadline)
{
    long left;
    struct timespec pause = {0, 100000};
    while ((left = gs__live_tasks()) > 0 && gs__now() < deadline) {
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 5000000)
            pause.tv_nsec *= 2;
    }
    return left;
}

int gs__runtime_stop(int64_t deadline)
{
    gs__cause *cause = gs__cause_text("the process is leaving");
    gs__ctx_cancel(gs__ctx_background(), GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
    long left = wait_for_tasks(deadline);
    if (left > 0)
        return (int)left;
    pthread_mutex_lock(&changing);
    if (atomic_load(&running)) {
        gs__poller_stop();
        for (int i = 0; i < GS__GROUPS_MOST; i++) {
            gs__group *group = atomic_load(&groups[i]);
            if (group)
                gs__group_stop(group);
        }
        gs__monitor_stop();
        gs__live_reset();
        for (int i = 0; i < GS__GROUPS_MOST; i++)
            atomic_store(&groups[i], NULL);
        atomic_store(&running, false);
    }
    pthread_mutex_unlock(&changing);
    return 0;
}
