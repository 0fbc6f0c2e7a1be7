/* api_other.c: the calls that are not of channels, each with what it may give: see api.c. */
#include "api.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>

/* ---- arguments and result ---- */

/* Of any kind, there or not: what does not fit ends the task. */
static void read_argument(actor *a)
{
    gs_call *call = a->call;
    int i = fuzz_below(8) ? (int)fuzz_below(12) : (int)fuzz_word(), kind = gs_arg_kind(call, i);
    size_t size = 0;
    PROMISE(kind == 0 || (i >= 0 && i < gs_nargs(call)));
    switch (fuzz_below(10)) {
    case 0:
        gs_arg_int(call, i);
        PROMISE(kind == GS_VALUE_INT);
        break;
    case 1:
        gs_arg_float(call, i);
        PROMISE(kind == GS_VALUE_INT || kind == GS_VALUE_FLOAT);
        break;
    case 2: {
        const char *text = gs_arg_str(call, i, fuzz_below(2) ? &size : NULL);
        PROMISE(kind == GS_VALUE_STR && text[size ? size : strlen(text)] == '\0');
        break;
    }
    case 3:
        gs_arg_bytes(call, i, &size);
        PROMISE(kind == GS_VALUE_BYTES || kind == GS_VALUE_VIEW);
        break;
    case 4:
        gs_arg_buffer(call, i, &size);
        PROMISE(kind == GS_VALUE_VIEW);
        break;
    case 5:
        gs_arg_array(call, i, fuzz_word(), &size);
        PROMISE(kind == GS_VALUE_VIEW);
        break;
    case 6:
        gs_arg_view(call, i);
        PROMISE(kind == GS_VALUE_VIEW);
        break;
    case 7:
        PROMISE(gs_arg_chan(call, i, fuzz_below(2) ? (gs_type)GS_INT64 : fuzz_word()));
        break;
    case 8:
        PROMISE(gs_arg_ctx(call, i));
        break;
    default:
        gs_arg_ptr(call, i);
        PROMISE(kind == GS_VALUE_PTR);
    }
}

static void set_result(actor *a)
{
    char text[32];
    int code = GS_OK;
    size_t size = fuzz_text(text);
    switch (fuzz_below(5)) {
    case 0:
        code = gs_return_int(a->call, (int64_t)fuzz_word());
        break;
    case 1:
        code = gs_return_float(a->call, (double)fuzz_word());
        break;
    case 2:
        code = gs_return_str(a->call, text, size);
        break;
    case 3:
        code = gs_return_bytes(a->call, size ? text : NULL, size);
        break;
    default: {
        int given = (int)fuzz_word();
        code = gs_fail(a->call, given, "%s", text);
        PROMISE(code == (given ? given : GS_EINVAL));
        return;
    }
    }
    PROMISE(code == GS_OK || code == GS_ENOMEM || code == GS_EINVAL);
}

/* ---- stopping ---- */

static void count_defer(void *call)
{
    (void)call;
    atomic_fetch_add(&fuzz_defers_run, 1);
}

/* May wait, and defer more. */
static void parking_defer(void *call)
{
    atomic_fetch_add(&fuzz_defers_run, 1);
    gs_yield(call);
    gs_sleep(call, GS_US(1));
    if (gs_defer(call, count_defer, NULL) == GS_OK)
        atomic_fetch_add(&fuzz_defers_due, 1);
}

/* The task ends in the middle of its defers; the others still run. */
static void abandoning_defer(void *call)
{
    atomic_fetch_add(&fuzz_defers_run, 1);
    gs_arg_ptr(call, 0);
}

static void defer_some(actor *a)
{
    static void (*const fns[])(void *) = {count_defer, parking_defer, abandoning_defer, NULL};
    void (*fn)(void *) = fns[fuzz_below(4)];
    int code = gs_defer(a->call, fn, a->call);
    PROMISE(code == (fn ? GS_OK : GS_EINVAL));
    if (fn)
        atomic_fetch_add(&fuzz_defers_due, 1);
}

static void see_hook(void *ran)
{
    atomic_fetch_add((atomic_long *)ran, 1);
}

static void hook_some(actor *a)
{
    static atomic_long ran;
    if (fuzz_below(2)) {
        int id = gs_on_cancel(a->call, fuzz_below(8) ? see_hook : NULL, &ran);
        PROMISE(id > a->last_hook || id == GS_EINVAL);
        a->last_hook = id > 0 ? id : a->last_hook;
    } else
        gs_off_cancel(a->call, fuzz_below(4) ? (int)fuzz_below(8) : (int)fuzz_word());
}

static void shield(actor *a)
{
    if (fuzz_below(2) && a->shields < 100) {
        gs_shield_begin(a->call);
        a->shields++;
        PROMISE(!gs_cancelled(a->call) && gs_checkpoint(a->call) == GS_OK);
        return;
    }
    gs_shield_end(a->call); /* one too many does nothing */
    a->shields -= a->shields > 0;
}

/* As ThreadSanitizer does not take a volatile load for what it is. */
static int stop_flag(actor *a)
{
    return __atomic_load_n(gs_stop_flag(a->call), __ATOMIC_RELAXED);
}

static void look(actor *a)
{
    bool canceled = gs_cancelled(a->call);
    int stop = stop_flag(a);
    PROMISE(!canceled || a->shields == 0);
    PROMISE(!canceled || gs_checkpoint(a->call) == GS_ECANCELED);
    PROMISE(!canceled || stop || stop_flag(a));
    int fd = gs_stop_fd(a->call);
    PROMISE(fd == gs_stop_fd(a->call) && (fd == GS_ENOMEM || fcntl(fd, F_GETFD) >= 0));
}

/* ---- waiting ---- */

static void wait_some(actor *a)
{
    int64_t ns = fuzz_below(8) ? GS_US(fuzz_below(30)) : -(int64_t)fuzz_byte();
    int code = fuzz_below(2) ? gs_sleep(a->call, ns) : gs_yield(a->call);
    PROMISE(code == GS_OK || code == GS_EINVAL || (code == GS_ECANCELED && !a->shields));
    PROMISE(code != GS_ECANCELED || gs_ctx_done(a->call, gs_ctx_current(a->call)));
}

static void wait_fd(actor *a)
{
    int fd = fuzz_below(3) ? gs_stop_fd(a->call) : (int)fuzz_word();
    if (fd >= 0 && fd < 3) /* the fuzzer's own */
        return;
    int events = fuzz_below(4) ? POLLIN : (int)fuzz_word();
    int64_t ns = fuzz_below(8) ? GS_US(fuzz_below(30)) : -1;
    int code = gs_wait_fd(a->call, fd, events, ns);
    PROMISE(code > 0 || code == GS_EINVAL || code == GS_ENOMEM || code == GS_ETIMEDOUT ||
            code == GS_EAGAIN || (code == GS_ECANCELED && !a->shields));
}

/* ---- tasks ---- */

static gs_value some_value(actor *a, const char *text)
{
    switch (fuzz_below(6)) {
    case 0:
        return GS_ARG_INT((int64_t)fuzz_word());
    case 1:
        return GS_ARG_FLOAT(0.5);
    case 2:
        return GS_ARG_STR(text);
    case 3:
        return a->n_ctxs ? GS_ARG_CTX(a->ctxs[fuzz_below((unsigned)a->n_ctxs)]) : GS_ARG_PTR(NULL);
    default:
        return a->n_chans ? GS_ARG_CHAN(a->chans[fuzz_below((unsigned)a->n_chans)])
                          : GS_ARG_PTR(NULL);
    }
}

static void start_child(actor *a)
{
    char text[32], name[200];
    gs_value args[10] = {GS_ARG_INT(a->depth + 1)};
    int n = 1 + (int)fuzz_below(9);
    fuzz_text(text);
    if (a->depth >= DEPTH || a->n_children == CHILDREN)
        return;
    for (int i = 1; i < n; i++)
        args[i] = some_value(a, text);
    memset(name, 'n', sizeof name);
    name[fuzz_byte() % sizeof name] = '\0';
    name[sizeof name - 1] = '\0';
    unsigned wrong = fuzz_below(32);
    gs_task *child = gs_go_named(a->call, wrong == 1 ? NULL : fuzz_task, wrong == 2 ? NULL : name,
                                 wrong == 3 ? NULL : args, wrong == 4 ? -1 : n);
    PROMISE(child || wrong);
    PROMISE(!child || (wrong != 1 && wrong != 3 && wrong != 4));
    if (child)
        a->children[a->n_children++] = child;
}

/* Itself, none, one that is not its own, or a child. */
static void join_some(actor *a)
{
    gs_task *self = (gs_task *)a->call;
    int code, ended = -1000;
    switch (fuzz_below(6)) {
    case 0:
        PROMISE(gs_join(a->call, self, NULL) == GS_EDEADLK);
        return;
    case 1:
        PROMISE(gs_join(a->call, NULL, NULL) == GS_EINVAL);
        return;
    case 2:
        if (self->maker)
            PROMISE(gs_join(a->call, self->maker, &ended) == GS_EINVAL);
        return;
    default:
        if (!a->n_children)
            return;
        code = gs_join(a->call, a->children[a->n_children - 1], fuzz_below(4) ? &ended : NULL);
        PROMISE(code == GS_OK || code == GS_ECANCELED);
        a->n_children -= code == GS_OK;
    }
}

static void stop_some(actor *a)
{
    if (!a->n_children) {
        gs_task_cancel(a->call, NULL);
        gs_detach(a->call, (gs_task *)a->call); /* no handle of its own */
        return;
    }
    gs_task *child = a->children[a->n_children - 1];
    if (fuzz_below(2)) {
        gs_task_cancel(a->call, child);
        return;
    }
    gs_detach(a->call, child);
    a->n_children--;
}

/* ---- contexts ---- */

static gs_ctx *some_ctx(actor *a)
{
    unsigned i = fuzz_below(CTXS + 2);
    if (i == CTXS)
        return NULL;
    return a->n_ctxs && i < CTXS ? a->ctxs[i % (unsigned)a->n_ctxs] : gs_ctx_current(a->call);
}

static void make_ctx(actor *a)
{
    gs_ctx *parent = some_ctx(a), *made;
    bool timed = fuzz_below(2);
    int64_t ns = fuzz_below(2) ? GS_US(fuzz_below(30)) : (int64_t)fuzz_word();
    /* Asked before: one that is cancelled meanwhile marks its children in their turn. */
    bool late = parent && gs_ctx_done(a->call, parent);
    made = timed ? gs_ctx_with_timeout(a->call, parent, ns) : gs_ctx_with_cancel(a->call, parent);
    PROMISE((made != NULL) == (parent && !(timed && ns < 0)));
    if (made && late)
        PROMISE(gs_ctx_done(a->call, made));
    if (made && a->n_ctxs < CTXS)
        a->ctxs[a->n_ctxs++] = made;
}

/* The harness's own is left alone half of the time: it ends everything. */
static void cancel_ctx(actor *a)
{
    char text[32];
    gs_ctx *ctx = some_ctx(a);
    fuzz_text(text);
    if (!ctx) {
        gs_ctx_cancel(a->call, NULL, text);
        PROMISE(!gs_ctx_done(a->call, NULL));
        return;
    }
    if ((ctx == a->ctxs[0] || ctx == gs_ctx_current(a->call)) && fuzz_below(2))
        return;
    gs_ctx_cancel(a->call, ctx, fuzz_below(2) ? text : NULL);
    PROMISE(gs_ctx_done(a->call, ctx));
}

/* ---- saying something ---- */

static void say(actor *a)
{
    char text[32];
    size_t size = fuzz_text(text);
    gs_progress(a->call, (int64_t)fuzz_word(), (int64_t)fuzz_word());
    gs_log(a->call, "%*s", (int)size * 40, text);
    void *block = malloc(16);
    PROMISE(gs_keep(a->call, block) == block && !gs_keep(a->call, NULL));
    free(block);
}

void fuzz_other_call(actor *a)
{
    switch (fuzz_below(16)) {
    case 0:
        if (fuzz_below(4) == 0) /* it may well be the task's last */
            read_argument(a);
        break;
    case 1:
        set_result(a);
        break;
    case 2:
        defer_some(a);
        break;
    case 3:
        hook_some(a);
        break;
    case 4:
        shield(a);
        break;
    case 5:
        look(a);
        break;
    case 6:
        wait_some(a);
        break;
    case 7:
        wait_fd(a);
        break;
    case 8:
        gs_block_begin(a->call);
        gs_block_end(a->call);
        break;
    case 9:
    case 10:
        start_child(a);
        break;
    case 11:
        join_some(a);
        break;
    case 12:
        stop_some(a);
        break;
    case 13:
        make_ctx(a);
        break;
    case 14:
        cancel_ctx(a);
        break;
    default:
        say(a);
    }
}
