/* owned.c: see owned.h. */
#define _GNU_SOURCE
#include "owned.h"

#include "auto.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

typedef struct gs__defer {
    struct gs__defer *next;
    void (*fn)(void *);
    void *arg;
} gs__defer;

typedef struct gs__on_cancel {
    struct gs__on_cancel *next;
    gs__ctx_hook hook;
    gs_task *task;
    int id; /* 0: the stop descriptor's */
    void (*fn)(void *);
    void *arg;
    bool held_back; /* the cancel came under a shield: it runs when that ends; the task's lock */
} gs__on_cancel;

typedef struct gs__held {
    struct gs__held *next;
    gs_chan *chan; /* one of the two */
    gs_ctx *ctx;
} gs__held;

static gs__extra *made_extra(gs_task *task)
{
    return atomic_load_explicit(&task->extra, memory_order_acquire);
}

gs__extra *gs__task_extra(gs_task *task)
{
    gs__extra *extra = made_extra(task);
    if (extra)
        return extra;
    gs__extra *made = gs__calloc(sizeof *made);
    if (!made)
        return NULL;
    made->stop_fd[0] = made->stop_fd[1] = -1;
    if (atomic_compare_exchange_strong(&task->extra, &extra, made))
        return made;
    gs__free(made);
    return extra;
}

/* ---- defers ---- */

int gs__task_defer(gs_task *task, void (*fn)(void *), void *arg)
{
    gs__extra *extra = gs__task_extra(task);
    gs__defer *defer = extra ? gs__alloc(sizeof *defer) : NULL;
    if (!defer)
        return GS_ENOMEM;
    *defer = (gs__defer){extra->defers, fn, arg};
    extra->defers = defer;
    return GS_OK;
}

void gs__task_run_defers(gs_task *task)
{
    gs__extra *extra = made_extra(task);
    for (gs__defer *defer; extra && (defer = extra->defers);) {
        gs__defer one = *defer;
        extra->defers = one.next; /* first: it may abandon the stack, and defer more */
        gs__free(defer);
        one.fn(one.arg);
    }
}

/* ---- cancel hooks ---- */

/* On whatever stack: a task whose stack it is must not be left meanwhile. */
static void run_hook(gs__on_cancel *c)
{
    gs_task *task = gs__task_current();
    if (task)
        task->in_hooks++;
    c->fn(c->arg);
    if (task)
        task->in_hooks--;
}

static void on_cancel(gs__ctx_hook *hook)
{
    gs__on_cancel *c = gs__container(hook, gs__on_cancel, hook);
    gs__acquire(&c->task->lock);
    c->held_back = c->task->shields != 0;
    bool run = !c->held_back;
    gs__release(&c->task->lock);
    if (run)
        run_hook(c);
}

static int add_hook(gs_task *task, int id, void (*fn)(void *), void *arg)
{
    gs__extra *extra = gs__task_extra(task);
    gs__on_cancel *c = extra ? gs__alloc(sizeof *c) : NULL;
    if (!c)
        return GS_ENOMEM;
    *c = (gs__on_cancel){.next = extra->hooks, .task = task, .id = id, .fn = fn, .arg = arg};
    extra->hooks = c;
    if (!gs__ctx_hook_add(&task->ctx, &c->hook, on_cancel))
        on_cancel(&c->hook);
    return GS_OK;
}

int gs__task_on_cancel(gs_task *task, void (*fn)(void *), void *arg)
{
    gs__extra *extra = gs__task_extra(task);
    if (!extra)
        return GS_ENOMEM;
    int id = extra->last_hook + 1;
    int code = add_hook(task, id, fn, arg);
    if (code != GS_OK)
        return code;
    extra->last_hook = id;
    return id;
}

void gs__task_off_cancel(gs_task *task, int id)
{
    gs__extra *extra = made_extra(task);
    if (!extra || id <= 0)
        return;
    for (gs__on_cancel **p = &extra->hooks; *p; p = &(*p)->next)
        if ((*p)->id == id) {
            gs__on_cancel *c = *p;
            *p = c->next;
            gs__ctx_unhook(&task->ctx, &c->hook);
            gs__free(c);
            return;
        }
}

static void signal_fd(void *arg)
{
    gs__extra *extra = arg;
    uint64_t one = 1;
    while (write(extra->stop_fd[1], &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static int open_fd(int fd[2])
{
#ifdef __linux__
    fd[0] = fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd[0] < 0 ? GS_ENOMEM : GS_OK;
#else
    if (pipe(fd) < 0) {
        fd[0] = fd[1] = -1;
        return GS_ENOMEM;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fd[i], F_SETFD, FD_CLOEXEC);
        fcntl(fd[i], F_SETFL, O_NONBLOCK);
    }
    return GS_OK;
#endif
}

static void close_fd(int fd[2])
{
    if (fd[0] >= 0)
        close(fd[0]);
    if (fd[1] >= 0 && fd[1] != fd[0])
        close(fd[1]);
    fd[0] = fd[1] = -1;
}

int gs__task_stop_fd(gs_task *task)
{
    gs__extra *extra = gs__task_extra(task);
    if (!extra)
        return GS_ENOMEM;
    if (extra->stop_fd[0] >= 0)
        return extra->stop_fd[0];
    int code = open_fd(extra->stop_fd);
    if (code == GS_OK && (code = add_hook(task, 0, signal_fd, extra)) != GS_OK)
        close_fd(extra->stop_fd);
    return code == GS_OK ? extra->stop_fd[0] : code;
}

/* ---- shields ---- */

void gs__task_shield_begin(gs_task *task)
{
    gs__acquire(&task->lock);
    task->shields++;
    __atomic_fetch_and(&task->call.signal, ~GS__SIGNAL_STOP, __ATOMIC_SEQ_CST);
    atomic_store(&task->stop_flag, 0);
    gs__auto_recount(task);
    gs__release(&task->lock);
}

/* With the task's lock held: a hook whose cancel came under the shield. */
static gs__on_cancel *take_held_back(gs_task *task)
{
    gs__extra *extra = made_extra(task);
    for (gs__on_cancel *c = extra ? extra->hooks : NULL; c; c = c->next)
        if (c->held_back) {
            c->held_back = false;
            return c;
        }
    return NULL;
}

void gs__task_shield_end(gs_task *task)
{
    gs__acquire(&task->lock);
    bool open = task->shields && --task->shields == 0;
    if (open && gs__ctx_error(&task->ctx)) {
        __atomic_fetch_or(&task->call.signal, GS__SIGNAL_STOP, __ATOMIC_SEQ_CST);
        atomic_store(&task->stop_flag, 1);
        gs__auto_recount(task);
    }
    for (gs__on_cancel *c; open && (c = take_held_back(task));) {
        gs__release(&task->lock);
        run_hook(c);
        gs__acquire(&task->lock);
    }
    gs__release(&task->lock);
}

/* ---- what it made ---- */

static int hold(gs_task *task, gs_chan *ch, gs_ctx *ctx)
{
    gs__extra *extra = gs__task_extra(task);
    gs__held *held = extra ? gs__alloc(sizeof *held) : NULL;
    if (!held)
        return GS_ENOMEM;
    *held = (gs__held){extra->held, ch, ctx};
    extra->held = held;
    return GS_OK;
}

int gs__task_hold_chan(gs_task *task, gs_chan *ch)
{
    return hold(task, ch, NULL);
}

int gs__task_hold_ctx(gs_task *task, gs_ctx *ctx)
{
    return hold(task, NULL, ctx);
}

static void release_extra(gs_task *task, gs__extra *extra)
{
    for (gs__on_cancel *c; (c = extra->hooks);) {
        extra->hooks = c->next;
        gs__ctx_unhook(&task->ctx, &c->hook);
        gs__free(c);
    }
    close_fd(extra->stop_fd);
    for (gs__held *held; (held = extra->held);) {
        extra->held = held->next;
        if (held->chan)
            gs__chan_unref(held->chan);
        else
            gs__ctx_unref(held->ctx);
        gs__free(held);
    }
}

void gs__task_release_owned(gs_task *task)
{
    gs__extra *extra = made_extra(task);
    if (extra)
        release_extra(task, extra);
    for (gs__link *l; (l = gs__list_pop(&task->strings));)
        gs__free(gs__container(l, gs__str_head, link));
    for (gs__link *l; (l = gs__list_pop(&task->handles));) {
        gs_task *child = gs__container(l, gs_task, handle);
        child->maker = NULL;
        gs__task_unref(child);
    }
}
