/* test-args.c: arguments of tasks: what they give, and that a wrong one fails the task, not the
 * process. */
#include "test.h"

#include <string.h>

static gs_task *go_with(gs_fn *fn, const gs_value *args, int nargs)
{
    int error = 0;
    gs__spawn spawn = {
        .fn = fn, .name = "checker", .parent = gs__ctx_background(), .args = args, .nargs = nargs};
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    return task;
}

static gs_chan *the_chan;
static gs_ctx *the_ctx;
static int the_thing;

static int take_all(gs_call *call)
{
    size_t size = 0;
    if (gs_nargs(call) != 7)
        return 1;
    if (gs_arg_int(call, 0) != -5)
        return 2;
    if (gs_arg_float(call, 1) != 2.5 || gs_arg_float(call, 0) != -5.0)
        return 3;
    const char *s = gs_arg_str(call, 2, &size);
    if (size != 6 || strcmp(s, "na so!") != 0 || gs_arg_str(call, 2, NULL) != s)
        return 4;
    if (gs_arg_chan(call, 3, GS_INT64) != the_chan)
        return 5;
    if (gs_arg_ctx(call, 4) != the_ctx)
        return 6;
    if (gs_arg_ptr(call, 5) != &the_thing)
        return 7;
    const char *b = gs_arg_bytes(call, 6, &size);
    if (size != 3 || memcmp(b, "\0\1\2", 3) != 0)
        return 8;
    return GS_OK;
}

TEST(args_of_every_kind_arrive)
{
    char text[] = "na so!", bytes[] = {0, 1, 2};
    the_chan = test_chan(1);
    the_ctx = gs__ctx_with_cancel(gs__ctx_background());
    gs_value raw = gs__value(GS_VALUE_BYTES);
    raw.as.s.data = bytes;
    raw.as.s.size = 3;
    gs_value args[] = {GS_ARG_INT(-5),
                       GS_ARG_FLOAT(2.5),
                       GS_ARG_STR(text),
                       GS_ARG_CHAN(the_chan),
                       GS_ARG_CTX(the_ctx),
                       GS_ARG_PTR(&the_thing),
                       raw};
    gs_task *task = go_with(take_all, args, 7);
    memset(text, 'x', 6); /* strings and the array itself were copied */
    memset(bytes, 'x', 3);
    memset(args, 0, sizeof args);
    gs__chan_unref(the_chan); /* the task holds them */
    gs__ctx_unref(the_ctx);
    CHECK_EQ(test_join(task), GS_OK);
}

static atomic_int went_on, cleaned;

static void clean(void *arg)
{
    (void)arg;
    cleaned++;
}

#define TAKES(name, call_it)                 \
    static int name(gs_call *call)           \
    {                                        \
        GS_TRY(gs_defer(call, clean, NULL)); \
        (void)call_it;                       \
        went_on++;                           \
        return GS_OK;                        \
    }
TAKES(takes_int, gs_arg_int(call, 0))
TAKES(takes_float, gs_arg_float(call, 0))
TAKES(takes_str, gs_arg_str(call, 0, NULL))
TAKES(takes_bytes, gs_arg_bytes(call, 0, NULL))
TAKES(takes_buffer, gs_arg_buffer(call, 0, NULL))
TAKES(takes_array, gs_arg_array(call, 0, GS_FLOAT64, NULL))
TAKES(takes_view, gs_arg_view(call, 0))
TAKES(takes_chan, gs_arg_chan(call, 0, GS_INT64))
TAKES(takes_ctx, gs_arg_ctx(call, 0))
TAKES(takes_ptr, gs_arg_ptr(call, 0))

static gs_fn *const takers[] = {takes_int,   takes_float, takes_str,  takes_bytes, takes_buffer,
                                takes_array, takes_view,  takes_chan, takes_ctx,   takes_ptr};

static void check_refused(gs_fn *fn, const gs_value *args, int nargs, const char *part)
{
    int before = cleaned;
    gs_task *task = go_with(fn, args, nargs);
    test_wait(task);
    CHECK(task->code != GS_OK);
    CHECK_HAS(task->message, part);
    CHECK_HAS(task->message, "checker");
    CHECK_EQ(went_on, 0);
    CHECK_EQ(cleaned, before + 1);
    gs__task_unref(task);
}

TEST(args_that_are_missing_fail_the_task)
{
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++)
        check_refused(takers[i], NULL, 0, "argument");
    CHECK_EQ(gs__live_tasks(), 0);
}

TEST(args_of_a_wrong_kind_fail_the_task_and_name_both_types)
{
    gs_chan *floats = gs__chan_new(gs__elem_of(GS_FLOAT64), 1);
    gs_value text = GS_ARG_STR("x"), number = GS_ARG_INT(1), real = GS_ARG_FLOAT(1.5);
    gs_value other_chan = GS_ARG_CHAN(floats);
    check_refused(takes_int, &text, 1, "int");
    check_refused(takes_int, &text, 1, "str");
    check_refused(takes_int, &real, 1, "float");
    check_refused(takes_float, &text, 1, "float");
    check_refused(takes_str, &number, 1, "str");
    check_refused(takes_buffer, &number, 1, "buffer");
    check_refused(takes_array, &number, 1, "int");
    check_refused(takes_view, &number, 1, "int");
    check_refused(takes_chan, &number, 1, "int");
    check_refused(takes_chan, &other_chan, 1, "float");
    check_refused(takes_ctx, &other_chan, 1, "ontext");
    check_refused(takes_ptr, &number, 1, "int");
    gs__chan_unref(floats);
}

static int takes_minus_one(gs_call *call)
{
    GS_TRY(gs_defer(call, clean, NULL));
    (void)gs_arg_int(call, -1);
    went_on++;
    return GS_OK;
}

TEST(args_at_a_negative_index_fail_the_task)
{
    gs_value number = GS_ARG_INT(1);
    check_refused(takes_minus_one, &number, 1, "-1");
}

static int use_halves(gs_call *call)
{
    int64_t n = 7;
    bool sends = gs_arg_int(call, 0) != 0;
    gs_chan *ch = gs_arg_chan(call, 1, GS_INT64);
    return sends ? gs_try_send(call, ch, &n) : gs_try_recv(call, ch, &n);
}

TEST(args_may_be_one_half_of_a_channel)
{
    gs_chan *ch = test_chan(4);
    gs_value args[] = {GS_ARG_INT(1), GS_ARG_CHAN(ch)};
    args[1].kind = GS_VALUE_SEND_CHAN;
    CHECK_EQ(test_join(go_with(use_halves, args, 2)), GS_OK);
    args[0] = GS_ARG_INT(0);
    args[1].kind = GS_VALUE_RECV_CHAN;
    CHECK_EQ(test_join(go_with(use_halves, args, 2)), GS_OK);
    CHECK_EQ(gs__chan_len(ch), 0);
    gs__chan_unref(ch);
}

/* ---- arrays ---- */

static int add_up(gs_call *call)
{
    size_t count = 0, size = 0;
    double *items = gs_arg_array(call, 0, GS_FLOAT64, &count), sum = 0;
    const gs_view *view = gs_arg_view(call, 0);
    if (gs_arg_buffer(call, 0, &size) != items || size != count * sizeof *items)
        return 1;
    if (view->ndim != 1 || view->shape[0] != (ptrdiff_t)count)
        return 2;
    for (size_t i = 0; i < count; i++) {
        sum += items[i];
        items[i] = 0;
    }
    return gs_return_float(call, sum);
}

TEST(args_that_are_arrays_are_shared)
{
    double items[100];
    ptrdiff_t shape = 100, stride = sizeof items[0];
    for (int i = 0; i < 100; i++)
        items[i] = i;
    gs_view view = {.data = items,
                    .size = sizeof items,
                    .itemsize = sizeof items[0],
                    .format = "d",
                    .ndim = 1,
                    .shape = &shape,
                    .strides = &stride};
    gs_value arg = gs__value(GS_VALUE_VIEW);
    arg.as.view = &view;
    gs_task *task = go_with(add_up, &arg, 1);
    test_wait(task);
    CHECK_EQ(task->code, GS_OK);
    CHECK(task->result.as.f == 4950.0);
    CHECK(items[99] == 0);
    gs__task_unref(task);

    view.format = "q";
    check_refused(takes_array, &arg, 1, "argument");
    view.format = "d";
    view.readonly = true;
    check_refused(takes_array, &arg, 1, "argument");
    check_refused(takes_buffer, &arg, 1, "argument");
    view.readonly = false;
    stride = 2 * sizeof items[0];
    shape = 50;
    view.size = 50 * sizeof items[0];
    check_refused(takes_array, &arg, 1, "contiguous");
}

/* ---- what a task makes is its own ---- */

static int make_nonsense(gs_call *call)
{
    static const gs_type nonsense[] = {GS_TYPE(GS_KIND_STR, 8),   GS_TYPE(GS_KIND_STR, 34),
                                       GS_TYPE(GS_KIND_BYTES, 1), GS_TYPE(GS_KIND_INT, 3),
                                       GS_TYPE(GS_KIND_UINT, 16), GS_TYPE(GS_KIND_FLOAT, 2),
                                       GS_TYPE(GS_KIND_BOOL, 8),  GS_TYPE(GS_KIND_RECORD, 0)};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        if (gs_chan_new(call, nonsense[i], 1) != NULL)
            return 1 + (int)i;
    return GS_OK;
}

TEST(channel_of_a_size_that_its_kind_has_not_is_refused)
{
    CHECK_EQ(test_join(go_with(make_nonsense, NULL, 0)), GS_OK);
}

static int make_things(gs_call *call)
{
    (void)gs_nargs(call);
    gs_chan *strings = gs_chan_new(call, GS_STR, 4), *chans = gs_chan_new(call, GS_INT32, 0);
    gs_ctx *ctx = gs_ctx_with_cancel(call, gs_ctx_current(call));
    gs_ctx *timed = gs_ctx_with_timeout(call, ctx, GS_S(1000));
    if (strings == NULL || chans == NULL || ctx == NULL || timed == NULL)
        return 1;
    if (gs_chan_new(call, 0, 1) != NULL || gs_chan_new(call, GS_TYPE(99, 8), 1) != NULL)
        return 2;
    GS_TRY(gs_send_str(call, strings, "left behind", 11));
    GS_TRY(gs_send_str(call, strings, "taken", 5));
    if (gs_send_str(call, strings, "\xff", 1) != GS_EINVAL)
        return 3;
    gs_str s = {NULL, 0};
    GS_TRY(gs_recv(call, strings, &s));
    if (s.size != 11 || strcmp(s.data, "left behind") != 0)
        return 4;
    GS_TRY(gs_send(call, strings, &s)); /* passed on: the channel's again */
    GS_TRY(gs_recv(call, strings, &s));
    if (strcmp(s.data, "taken") != 0)
        return 5;
    gs_str_free(call, &s);
    gs_ctx_cancel(call, ctx, "no more");
    if (!gs_ctx_done(call, ctx) || !gs_ctx_done(call, timed) ||
        gs_ctx_done(call, gs_ctx_current(call)))
        return 6;
    return GS_OK;
}

TEST(task_owns_what_it_made)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(test_join(go_with(make_things, NULL, 0)), GS_OK);
}
