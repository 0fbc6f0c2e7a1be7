/* api.c: the table behind call->api: each call of pygostop.h on the core.
 *
 * Every call first gives way where the time slice is used up; the checkpoints then look whether the
 * task was asked to stop. */
#define _GNU_SOURCE
#include "args.h"
#include "auto.h"
#include "blocks.h"
#include "debug.h"
#include "misuse.h"
#include "owned.h"
#include "poller.h"
#include "sched.h"
#include "select.h"
#include "str.h"
#include "worker.h"

#include <stdio.h>
#include <string.h>

void (*gs__log_line)(const char *task, const char *line);

static gs_task *task_of(gs_call *call)
{
    return (gs_task *)call;
}

static gs__noinline void give_way(gs_task *task)
{
    if (gs__task_signal(task) & GS__SIGNAL_GIVE_WAY)
        gs__yield_task(task);
}

/* At the beginning of each call that is no checkpoint. */
static inline void enter(gs_call *call)
{
    if (gs__unlikely(GS__LOAD(&call->signal)))
        give_way(task_of(call));
}

static int api_checkpoint(gs_call *call)
{
    enter(call);
    return gs_cancelled(call) ? GS_ECANCELED : GS_OK;
}

/* At the beginning of each that is. */
static inline int check(gs_call *call)
{
    return gs__unlikely(GS__LOAD(&call->signal)) ? api_checkpoint(call) : GS_OK;
}

/* ---- stop ---- */

static const volatile int *api_stop_flag(gs_call *call)
{
    return (const volatile int *)&task_of(call)->stop_flag;
}

static int api_stop_fd(gs_call *call)
{
    return gs__task_stop_fd(task_of(call));
}

static int api_on_cancel(gs_call *call, void (*fn)(void *), void *arg)
{
    if (!fn)
        return gs__misuse(task_of(call), GS_EINVAL, "gs_on_cancel: the function is NULL");
    return gs__task_on_cancel(task_of(call), fn, arg);
}

static void api_off_cancel(gs_call *call, int id)
{
    gs__task_off_cancel(task_of(call), id);
}

static int api_defer(gs_call *call, void (*fn)(void *), void *arg)
{
    if (!fn)
        return gs__misuse(task_of(call), GS_EINVAL, "gs_defer: the function is NULL");
    return gs__task_defer(task_of(call), fn, arg);
}

static void api_shield_begin(gs_call *call)
{
    gs__task_shield_begin(task_of(call));
}

static void api_shield_end(gs_call *call)
{
    gs__task_shield_end(task_of(call));
}

/* ---- wait ---- */

static int api_yield(gs_call *call)
{
    gs__yield_task(task_of(call));
    return gs_cancelled(call) ? GS_ECANCELED : GS_OK;
}

static int api_sleep(gs_call *call, int64_t ns)
{
    if (ns < 0)
        return gs__misuse_of_time(task_of(call), "gs_sleep", ns);
    GS_TRY(check(call));
    return gs__sleep(gs__deadline(ns), gs__task_scope(task_of(call)));
}

static bool is_str(const gs_chan *ch)
{
    int kind = GS_TYPE_KIND(ch->elem.type);
    return kind == GS_KIND_STR || kind == GS_KIND_BYTES;
}

enum { RECV_HALF = 1, SEND_HALF = 2 };

static bool may_use(gs_call *call, const gs_chan *ch, int half)
{
    return ch && (gs__likely(!(task_of(call)->flags & GS__TASK_ONE_WAY)) ||
                  gs__may_use_half(task_of(call), ch, half));
}

/* At the beginning of each call on a channel. */
static inline int check_use(gs_call *call, const char *name, const gs_chan *ch, int half,
                            const void *item)
{
    return gs__likely(may_use(call, ch, half) && item)
               ? GS_OK
               : gs__misuse_of_chan(task_of(call), name, ch, half);
}

static inline int check_use_many(gs_call *call, const char *name, const gs_chan *ch, int half,
                                 const void *items, size_t n)
{
    if (n > INT64_MAX)
        return gs__misuse(task_of(call), GS_EINVAL, "%s: %zu items are too many", name, n);
    return check_use(call, name, ch, half, n ? items : ch);
}

/* Strings change owners with the element: from the task before a send, which may hand them straight
 * to another, and back to it where the send did not happen. */
static void disown(gs_chan *ch, const void *items, size_t n)
{
    for (size_t i = 0; is_str(ch) && i < n; i++)
        gs__task_disown_str((const gs_str *)items + i);
}

static void own(gs_call *call, gs_chan *ch, void *items, size_t n)
{
    for (size_t i = 0; is_str(ch) && i < n; i++)
        gs__task_own_str(task_of(call), (gs_str *)items + i);
}

static int api_send(gs_call *call, gs_chan *ch, const void *item)
{
    GS_TRY(check_use(call, "gs_send", ch, SEND_HALF, item));
    GS_TRY(check(call));
    disown(ch, item, 1);
    int code = gs__chan_send(ch, item, gs__task_scope(task_of(call)), GS_FOREVER);
    if (code != GS_OK)
        own(call, ch, (void *)item, 1);
    return code;
}

static int api_recv(gs_call *call, gs_chan *ch, void *item)
{
    GS_TRY(check_use(call, "gs_recv", ch, RECV_HALF, item));
    GS_TRY(check(call));
    int code = gs__chan_recv(ch, item, gs__task_scope(task_of(call)), GS_FOREVER);
    if (code == GS_OK)
        own(call, ch, item, 1);
    return code;
}

static int api_try_send(gs_call *call, gs_chan *ch, const void *item)
{
    GS_TRY(check_use(call, "gs_try_send", ch, SEND_HALF, item));
    enter(call);
    disown(ch, item, 1);
    int code = gs__chan_try_send(ch, item);
    if (code != GS_OK)
        own(call, ch, (void *)item, 1);
    return code;
}

static int api_try_recv(gs_call *call, gs_chan *ch, void *item)
{
    GS_TRY(check_use(call, "gs_try_recv", ch, RECV_HALF, item));
    enter(call);
    int code = gs__chan_try_recv(ch, item);
    if (code == GS_OK)
        own(call, ch, item, 1);
    return code;
}

static int64_t api_send_many(gs_call *call, gs_chan *ch, const void *items, size_t n)
{
    GS_TRY(check_use_many(call, "gs_send_many", ch, SEND_HALF, items, n));
    GS_TRY(check(call));
    size_t sent;
    disown(ch, items, n);
    int code = gs__chan_send_many(ch, items, n, &sent, gs__task_scope(task_of(call)), GS_FOREVER);
    own(call, ch, (char *)(uintptr_t)items + sent * ch->item_size, n - sent);
    return sent || code == GS_OK ? (int64_t)sent : code;
}

static int64_t api_recv_many(gs_call *call, gs_chan *ch, void *items, size_t n)
{
    GS_TRY(check_use_many(call, "gs_recv_many", ch, RECV_HALF, items, n));
    GS_TRY(check(call));
    size_t received;
    int code =
        gs__chan_recv_many(ch, items, n, &received, gs__task_scope(task_of(call)), GS_FOREVER);
    if (code != GS_OK)
        return code;
    own(call, ch, items, received);
    return (int64_t)received;
}

static int api_send_copy(gs_call *call, gs_chan *ch, int kind, const void *data, size_t size)
{
    const char *name = kind == GS_KIND_STR ? "gs_send_str" : "gs_send_bytes";
    GS_TRY(check_use(call, name, ch, SEND_HALF, size ? data : ch));
    if (GS_TYPE_KIND(ch->elem.type) != kind)
        return gs__misuse_of_type(task_of(call), name, ch, kind);
    if (kind == GS_KIND_STR && !gs__utf8_valid(data, size))
        return gs__misuse(task_of(call), GS_EINVAL,
                          "gs_send_str: the text must be UTF-8, and is not: send it as bytes");
    GS_TRY(check(call));
    gs_str s;
    GS_TRY(gs__str_new(&s, data, size));
    int code = gs__chan_send(ch, &s, gs__task_scope(task_of(call)), GS_FOREVER);
    if (code != GS_OK)
        gs__str_drop(&s);
    return code;
}

static int api_close(gs_call *call, gs_chan *ch)
{
    GS_TRY(check_use(call, "gs_close", ch, SEND_HALF, ch));
    enter(call);
    gs__chan_close(ch);
    return GS_OK;
}

/* Whether a task may make a channel of it. A size that is not the kind's would have strings copied to where
 * they do not fit. */
static bool is_item_type(gs_type item)
{
    size_t size = GS_TYPE_SIZE(item);
    switch (GS_TYPE_KIND(item)) {
    case GS_KIND_BOOL:
        return size == 1;
    case GS_KIND_INT:
    case GS_KIND_UINT:
        return size == 1 || size == 2 || size == 4 || size == 8;
    case GS_KIND_FLOAT:
        return size == 4 || size == 8;
    case GS_KIND_STR:
    case GS_KIND_BYTES:
        return size == sizeof(gs_str);
    case GS_KIND_RECORD:
        return size > 0;
    default:
        return false;
    }
}

static gs_chan *api_chan_new(gs_call *call, gs_type item, size_t capacity)
{
    enter(call);
    if (!is_item_type(item))
        return NULL;
    gs_chan *ch = gs__chan_new(gs__elem_of(item), capacity);
    if (ch && gs__task_hold_chan(task_of(call), ch) != GS_OK) {
        gs__chan_unref(ch);
        return NULL;
    }
    return ch;
}

static void api_str_free(gs_call *call, gs_str *s)
{
    enter(call);
    if (!s || !s->data)
        return;
    gs__task_disown_str(s);
    gs__str_drop(s);
}

/* ---- select ---- */

static bool valid_case(gs_call *call, const gs_case *c)
{
    switch (c->kind) {
    case GS_CASE_KIND_NONE:
        return true;
    case GS_CASE_KIND_DONE:
        return c->ctx != NULL;
    case GS_CASE_KIND_SEND:
        return may_use(call, c->chan, SEND_HALF) && c->item;
    case GS_CASE_KIND_RECV:
        return may_use(call, c->chan, RECV_HALF) && c->item;
    default:
        return false;
    }
}

static void convert_case(gs__select_case *to, const gs_case *from)
{
    static const uint8_t kinds[] = {GS__CASE_NONE, GS__CASE_RECV, GS__CASE_SEND, GS__CASE_CTX};
    to->kind = kinds[from->kind];
    to->item = from->item;
    if (from->kind == GS_CASE_KIND_DONE)
        to->on.ctx = from->ctx;
    else
        to->on.chan = from->chan;
}

static int64_t deadline_of(int64_t timeout)
{
    return timeout == 0 ? 0 : gs__deadline(timeout);
}

static int select_converted(gs_call *call, gs_case *cases, gs__select_case *converted, int n,
                            int64_t timeout)
{
    for (int i = 0; i < n; i++) {
        convert_case(&converted[i], &cases[i]);
        if (cases[i].kind == GS_CASE_KIND_SEND)
            disown(cases[i].chan, cases[i].item, 1);
    }
    int k = gs__select(converted, n, gs__task_scope(task_of(call)), deadline_of(timeout));
    for (int i = 0; i < n; i++)
        if (cases[i].kind == GS_CASE_KIND_SEND && !(i == k && converted[i].ok))
            own(call, cases[i].chan, cases[i].item, 1);
    if (k < 0)
        return k;
    cases[k].ok = converted[k].ok;
    if (cases[k].kind == GS_CASE_KIND_RECV && cases[k].ok)
        own(call, cases[k].chan, cases[k].item, 1);
    return cases[k].kind == GS_CASE_KIND_SEND && !cases[k].ok ? GS_ECLOSED : k;
}

/* Each in a frame of its own: where many tasks wait, every line of their stacks comes from far away, so a
 * wait for a context, or for a value or a context, takes no more of them than it needs. */
enum { TWO = 2, FEW = 8 };

static int select_done(gs_call *call, gs_case *done, int64_t timeout)
{
    done->ok = true;
    return gs__select_ctx(done->ctx, gs__task_scope(task_of(call)), deadline_of(timeout));
}

static gs__noinline int select_two(gs_call *call, gs_case *cases, int n, int64_t timeout)
{
    gs__select_case converted[TWO];
    return select_converted(call, cases, converted, n, timeout);
}

static gs__noinline int select_few(gs_call *call, gs_case *cases, int n, int64_t timeout)
{
    gs__select_case converted[FEW];
    return select_converted(call, cases, converted, n, timeout);
}

static gs__noinline int select_many(gs_call *call, gs_case *cases, int n, int64_t timeout)
{
    gs__select_case *converted = gs__alloc((size_t)n * sizeof *converted);
    if (!converted)
        return GS_ENOMEM;
    int code = select_converted(call, cases, converted, n, timeout);
    gs__free(converted);
    return code;
}

static int api_select(gs_call *call, gs_case *cases, int n, int64_t timeout)
{
    if (n < 0 || n > GS__SELECT_MAX || (n && !cases))
        return gs__misuse(task_of(call), GS_EINVAL, "gs_select: it takes 0 to %d cases, not %d%s",
                          GS__SELECT_MAX, n, cases ? "" : " at NULL");
    if (timeout < 0)
        return gs__misuse_of_time(task_of(call), "gs_select", timeout);
    for (int i = 0; i < n; i++)
        if (!valid_case(call, &cases[i]))
            return gs__misuse_of_case(task_of(call), &cases[i], i);
    if (timeout == 0)
        enter(call);
    else
        GS_TRY(check(call));
    if (n == 1 && cases->kind == GS_CASE_KIND_DONE)
        return select_done(call, cases, timeout);
    return n <= TWO   ? select_two(call, cases, n, timeout)
           : n <= FEW ? select_few(call, cases, n, timeout)
                      : select_many(call, cases, n, timeout);
}

/* ---- descriptors and blocking calls ---- */

static int api_wait_fd(gs_call *call, int fd, int events, int64_t timeout)
{
    if (fd < 0)
        return gs__misuse_of_fd(task_of(call), fd);
    if (timeout < 0)
        return gs__misuse_of_time(task_of(call), "gs_wait_fd", timeout);
    if (!gs__are_events(events))
        return gs__misuse(task_of(call), GS_EINVAL, "gs_wait_fd: %#x are no events of poll(2)",
                          (unsigned)events);
    GS_TRY(check(call));
    int code = gs__wait_fd(fd, events, gs__task_scope(task_of(call)), timeout);
    return code == GS_EINVAL ? gs__misuse_of_fd(task_of(call), fd) : code;
}

static void api_block_begin(gs_call *call)
{
    enter(call);
    gs__block_begin(task_of(call));
}

static void api_block_end(gs_call *call)
{
    gs__block_end(task_of(call));
}

/* ---- tasks ---- */

/* Names of tasks that tasks start are mostly few and literal: the first NAMES_MOST of them are kept for
 * good, so that a million tasks need no copy each and none outlives its library. Names that are made up as
 * it goes are more than that, and each task has a copy of its own. Names are only added, at the head of their
 * bucket. */
enum { NAMES_MOST = 1024, NAME_KEPT = 128, BUCKETS = 256 };

typedef struct kept_name {
    struct kept_name *next;
    char text[];
} kept_name;

/* In line: names are shorter than the way to strcmp. */
static inline bool same_text(const char *a, const char *b)
{
    for (; *a == *b; a++, b++)
        if (!*a)
            return true;
    return false;
}

/* NULL where it is not kept. */
static const char *keep_name(const char *name)
{
    static _Atomic(kept_name *) buckets[BUCKETS];
    static atomic_int n_kept;
    unsigned hash = 5381;
    for (const char *p = name; *p; p++)
        hash = hash * 33 + (unsigned char)*p;
    _Atomic(kept_name *) *bucket = &buckets[hash % BUCKETS];
    for (kept_name *kept = atomic_load(bucket); kept; kept = kept->next)
        if (same_text(kept->text, name))
            return kept->text;
    size_t size = strlen(name) + 1;
    if (size > NAME_KEPT || atomic_load_explicit(&n_kept, memory_order_relaxed) >= NAMES_MOST)
        return NULL;
    kept_name *kept = gs__alloc(sizeof *kept + size);
    if (!kept)
        return NULL;
    memcpy(kept->text, name, size);
    kept->next = atomic_load(bucket);
    while (!atomic_compare_exchange_weak(bucket, &kept->next, kept))
        ; /* at worst a name is kept twice */
    atomic_fetch_add(&n_kept, 1);
    return kept->text;
}

static gs_task *api_go(gs_call *call, gs_fn *fn, const char *name, const gs_value *args, int nargs)
{
    gs_task *self = task_of(call);
    enter(call);
    if (!fn || nargs < 0 || (nargs && !args))
        return NULL;
    const char *kept = name ? keep_name(name) : NULL;
    int error;
    unsigned flags = kept ? GS__TASK_STATIC_NAME : 0;
    if (atomic_load_explicit(&self->automatic, memory_order_relaxed) == GS__AUTO_YES)
        flags |= GS__TASK_AUTOMATIC;
    gs_task *task = gs__task_spawn(&(gs__spawn){.fn = fn,
                                                .name = kept ? kept : name,
                                                .parent = &self->ctx,
                                                .args = args,
                                                .nargs = nargs,
                                                .flags = flags},
                                   &error);
    if (task) {
        task->maker = self;
        gs__list_append(&self->handles, &task->handle);
    }
    return task;
}

static bool holds_handle(gs_call *call, gs_task *task)
{
    return task && task->maker == task_of(call);
}

static void give_up_handle(gs_task *task)
{
    gs__list_remove(&task->handle);
    task->maker = NULL;
    gs__task_unref(task);
}

static int api_join(gs_call *call, gs_task *task, int *code)
{
    if (task == task_of(call))
        return gs__misuse(task_of(call), GS_EDEADLK,
                          "gs_join: the task would wait for itself: join the tasks that it "
                          "started");
    if (!holds_handle(call, task))
        return gs__misuse(task_of(call), GS_EINVAL,
                          "gs_join: it is no task that this one started and has not given up");
    GS_TRY(check(call));
    GS_TRY(gs__task_wait(task, gs__task_scope(task_of(call)), GS_FOREVER));
    if (code)
        *code = task->code;
    give_up_handle(task);
    return GS_OK;
}

static void api_task_cancel(gs_call *call, gs_task *task)
{
    enter(call);
    if (holds_handle(call, task))
        gs__task_cancel(task, NULL);
}

static void api_detach(gs_call *call, gs_task *task)
{
    enter(call);
    if (holds_handle(call, task))
        give_up_handle(task);
}

/* ---- contexts ---- */

static gs_ctx *api_ctx_current(gs_call *call)
{
    return &task_of(call)->ctx;
}

static gs_ctx *hold(gs_call *call, gs_ctx *ctx)
{
    if (ctx && gs__task_hold_ctx(task_of(call), ctx) != GS_OK) {
        gs__ctx_unref(ctx);
        return NULL;
    }
    return ctx;
}

static gs_ctx *api_ctx_with_cancel(gs_call *call, gs_ctx *parent)
{
    enter(call);
    return parent ? hold(call, gs__ctx_with_cancel(parent)) : NULL;
}

static gs_ctx *api_ctx_with_timeout(gs_call *call, gs_ctx *parent, int64_t ns)
{
    enter(call);
    if (!parent || ns < 0)
        return NULL;
    return hold(call, gs__ctx_with_deadline(parent, gs__deadline(ns)));
}

static void api_ctx_cancel(gs_call *call, gs_ctx *ctx, const char *text)
{
    enter(call);
    if (!ctx)
        return;
    gs__cause *cause = text ? gs__cause_text(text) : NULL;
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
}

static bool api_ctx_done(gs_call *call, gs_ctx *ctx)
{
    enter(call);
    return ctx && gs__ctx_is_done(ctx);
}

/* ---- say ---- */

static void api_progress(gs_call *call, int64_t done, int64_t total)
{
    enter(call);
    gs__extra *extra = gs__task_extra(task_of(call));
    if (extra)
        gs__progress_say(&extra->progress, done, total);
}

static void api_vlog(gs_call *call, const char *fmt, va_list args)
{
    char few[512], *line = few;
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(few, sizeof few, fmt, args);
    if (size >= (int)sizeof few) {
        char *more = gs__alloc((size_t)size + 1);
        if (more) /* else the beginning must do */
            vsnprintf(line = more, (size_t)size + 1, fmt, again);
    }
    va_end(again);
    if (size >= 0 && gs__log_line)
        gs__log_line(task_of(call)->name, line);
    else if (size >= 0)
        fprintf(stderr, "%s: %s\n", task_of(call)->name, line);
    if (line != few)
        gs__free(line);
}

static void *api_keep(gs_call *call, void *block)
{
    (void)call;
    if (block)
        gs__blocks_disown(block);
    return block;
}

const gs_api gs__api = {
    .version = GS_VERSION,
    .size = sizeof(gs_api),
    .nargs = gs__nargs,
    .arg_kind = gs__arg_kind,
    .arg_int = gs__arg_int,
    .arg_float = gs__arg_float,
    .arg_str = gs__arg_str,
    .arg_bytes = gs__arg_bytes,
    .arg_buffer = gs__arg_buffer,
    .arg_array = gs__arg_array,
    .arg_view = gs__arg_view,
    .arg_chan = gs__arg_chan,
    .arg_ctx = gs__arg_ctx,
    .arg_ptr = gs__arg_ptr,
    .return_int = gs__return_int,
    .return_float = gs__return_float,
    .return_str = gs__return_str,
    .return_bytes = gs__return_bytes,
    .vfail = gs__vfail,
    .checkpoint = api_checkpoint,
    .stop_flag = api_stop_flag,
    .stop_fd = api_stop_fd,
    .on_cancel = api_on_cancel,
    .off_cancel = api_off_cancel,
    .defer = api_defer,
    .shield_begin = api_shield_begin,
    .shield_end = api_shield_end,
    .yield = api_yield,
    .sleep = api_sleep,
    .send = api_send,
    .recv = api_recv,
    .try_send = api_try_send,
    .try_recv = api_try_recv,
    .send_many = api_send_many,
    .recv_many = api_recv_many,
    .send_copy = api_send_copy,
    .close = api_close,
    .chan_new = api_chan_new,
    .str_free = api_str_free,
    .select = api_select,
    .wait_fd = api_wait_fd,
    .block_begin = api_block_begin,
    .block_end = api_block_end,
    .go = api_go,
    .join = api_join,
    .task_cancel = api_task_cancel,
    .detach = api_detach,
    .ctx_current = api_ctx_current,
    .ctx_with_cancel = api_ctx_with_cancel,
    .ctx_with_timeout = api_ctx_with_timeout,
    .ctx_cancel = api_ctx_cancel,
    .ctx_done = api_ctx_done,
    .progress = api_progress,
    .vlog = api_vlog,
    .auto_begin = gs__auto_begin,
    .keep = api_keep,
};
