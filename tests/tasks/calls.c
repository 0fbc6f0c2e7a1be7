/* calls.c: a task that makes one call of pygostop.h, by its name, and says what it gave.
 *
 * make_a_call(name, when): "ready": it can go on at once; "stopped": the same, once the task was asked to
 * stop; "waits": what it waits for never comes. */
#include <pygostop.h>

#include <poll.h>
#include <string.h>
#include <unistd.h>

static int nothing(gs_call *call)
{
    (void)call;
    return GS_OK;
}

static int endless(gs_call *call)
{
    return gs_sleep(call, GS_FOREVER);
}

static void hook(void *arg)
{
    (void)arg;
}

static void close_both(void *arg)
{
    int *ends = arg;
    close(ends[0]);
    close(ends[1]);
}

#define IS(name) (strcmp(asked, #name) == 0)

/* Arguments 2 to 8: one of each kind. */
static int64_t read_an_argument(gs_call *call, const char *asked)
{
    size_t size;
    if (IS(gs_nargs))
        return gs_nargs(call) - 9;
    if (IS(gs_arg_kind))
        return gs_arg_kind(call, 0) - GS_VALUE_STR;
    if (IS(gs_arg_int))
        return gs_arg_int(call, 2) - 7;
    if (IS(gs_arg_float))
        return (int64_t)gs_arg_float(call, 3) - 2;
    if (IS(gs_arg_str))
        return strcmp(gs_arg_str(call, 0, &size), asked);
    if (IS(gs_arg_bytes))
        return gs_arg_bytes(call, 4, &size) == NULL;
    if (IS(gs_arg_buffer))
        return gs_arg_buffer(call, 5, &size) == NULL;
    if (IS(gs_arg_array))
        return gs_arg_array(call, 6, GS_INT64, &size) == NULL;
    if (IS(gs_arg_view))
        return gs_arg_view(call, 6)->ndim - 1;
    if (IS(gs_arg_chan))
        return gs_arg_chan(call, 7, GS_INT64) == NULL;
    if (IS(gs_arg_ctx))
        return gs_arg_ctx(call, 8) == NULL;
    return 1000;
}

static int64_t answer(gs_call *call, const char *asked)
{
    if (IS(gs_return_int))
        return gs_return_int(call, 1);
    if (IS(gs_return_float))
        return gs_return_float(call, 1);
    if (IS(gs_return_str))
        return gs_return_str(call, "x", 1);
    if (IS(gs_return_bytes))
        return gs_return_bytes(call, "x", 1);
    if (IS(gs_fail))
        return gs_fail(call, 1, "nothing") - 1;
    return 1000;
}

static int64_t stop(gs_call *call, const char *asked)
{
    if (IS(gs_cancelled))
        return gs_cancelled(call) && !*gs_stop_flag(call);
    if (IS(gs_checkpoint))
        return gs_checkpoint(call);
    if (IS(gs_stop_flag))
        return gs_stop_flag(call) == NULL;
    if (IS(gs_stop_fd))
        return gs_stop_fd(call) < 0;
    if (IS(gs_on_cancel))
        return gs_on_cancel(call, hook, NULL) < 0;
    if (IS(gs_off_cancel)) {
        gs_off_cancel(call, 1);
        return 0;
    }
    if (IS(gs_defer))
        return gs_defer(call, hook, NULL);
    if (IS(gs_shield_begin) || IS(gs_shield_end)) {
        gs_shield_begin(call);
        gs_shield_end(call);
        return 0;
    }
    if (IS(gs_auto_begin)) {
        gs_auto_begin(call);
        return 0;
    }
    if (IS(gs_keep))
        return gs_keep(call, NULL) != NULL;
    return 1000;
}

static int64_t use_channels(gs_call *call, const char *asked, bool waits)
{
    int64_t item = 1, items[2] = {1, 2};
    gs_chan *empty = gs_chan_new(call, GS_INT64, waits ? 0 : 4);
    gs_chan *filled = gs_chan_new(call, GS_INT64, 4);
    gs_chan *text = gs_chan_new(call, GS_STR, waits ? 0 : 1);
    gs_chan *bytes = gs_chan_new(call, GS_BYTES, waits ? 0 : 1);
    gs_chan *from = waits ? empty : filled;
    gs_try_send(call, filled, &item);
    if (IS(gs_send))
        return gs_send(call, empty, &item);
    if (IS(gs_recv))
        return gs_recv(call, from, &item);
    if (IS(gs_try_send))
        return gs_try_send(call, empty, &item);
    if (IS(gs_try_recv))
        return gs_try_recv(call, filled, &item);
    if (IS(gs_send_many))
        return gs_send_many(call, empty, items, 2);
    if (IS(gs_recv_many))
        return gs_recv_many(call, from, items, 2);
    if (IS(gs_send_str))
        return gs_send_str(call, text, "x", 1);
    if (IS(gs_send_bytes))
        return gs_send_bytes(call, bytes, "x", 1);
    if (IS(gs_close))
        return gs_close(call, empty);
    if (IS(gs_chan_new))
        return gs_chan_new(call, GS_INT64, 1) == NULL;
    if (IS(gs_str_free)) {
        gs_str none = {NULL, 0};
        gs_str_free(call, &none);
        return 0;
    }
    gs_case one = GS_CASE_RECV(from, &item);
    if (IS(gs_select))
        return gs_select(call, &one, 1, GS_FOREVER);
    return 1000;
}

static int64_t wait(gs_call *call, const char *asked, bool waits)
{
    if (IS(gs_yield))
        return gs_yield(call);
    if (IS(gs_sleep))
        return gs_sleep(call, waits ? GS_FOREVER : 0);
    if (IS(gs_wait_fd)) {
        static int ends[2]; /* of one task at a time */
        if (pipe(ends) || gs_defer(call, close_both, ends) || write(ends[1], "x", 1) != 1)
            return 1000;
        return gs_wait_fd(call, ends[0], waits ? POLLPRI : POLLIN, GS_FOREVER);
    }
    if (IS(gs_block_begin) || IS(gs_block_end)) {
        gs_block_begin(call);
        gs_block_end(call);
        return 0;
    }
    return 1000;
}

static int64_t use_tasks(gs_call *call, const char *asked, bool waits)
{
    gs_ctx *ctx = gs_ctx_with_cancel(call, gs_ctx_current(call));
    if (IS(gs_go_named))
        return gs_go(call, nothing, NULL, 0) == NULL;
    if (IS(gs_join) || IS(gs_task_cancel) || IS(gs_detach)) {
        gs_task *task = gs_go(call, waits ? endless : nothing, NULL, 0);
        if (IS(gs_join))
            return gs_join(call, task, NULL);
        if (IS(gs_task_cancel))
            gs_task_cancel(call, task);
        else
            gs_detach(call, task);
        return 0;
    }
    if (IS(gs_ctx_current))
        return gs_ctx_current(call) == NULL;
    if (IS(gs_ctx_with_cancel))
        return ctx == NULL;
    if (IS(gs_ctx_with_timeout))
        return gs_ctx_with_timeout(call, ctx, GS_S(1000)) == NULL;
    if (IS(gs_ctx_cancel)) {
        gs_ctx_cancel(call, ctx, NULL);
        return 0;
    }
    if (IS(gs_ctx_done))
        return gs_ctx_done(call, ctx) && !gs_cancelled(call);
    if (IS(gs_progress)) {
        gs_progress(call, 1, 2);
        return 0;
    }
    if (IS(gs_log)) {
        gs_log(call, "%s", "said");
        return 0;
    }
    return 1000;
}

GS_TASK(make_a_call)
{
    const char *asked = gs_arg_str(call, 0, NULL), *when = gs_arg_str(call, 1, NULL);
    bool waits = strcmp(when, "waits") == 0;
    int64_t code = 1000;
    if (strcmp(when, "stopped") == 0)
        while (!gs_cancelled(call))
            ;
    if (code == 1000)
        code = read_an_argument(call, asked);
    if (code == 1000)
        code = answer(call, asked);
    if (code == 1000)
        code = stop(call, asked);
    if (code == 1000)
        code = use_channels(call, asked, waits);
    if (code == 1000)
        code = wait(call, asked, waits);
    if (code == 1000)
        code = use_tasks(call, asked, waits);
    return gs_return_int(call, code);
}

GS_EXPORT(make_a_call);
