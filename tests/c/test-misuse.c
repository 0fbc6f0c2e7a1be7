/* test-misuse.c: a call that refuses what it is given says so in the failure of the task. */
#include "test.h"

#include <poll.h>
#include <string.h>

/* What a task is to do wrong, and what its failure is to say. */
typedef struct wrong {
    int (*fn)(gs_call *, gs_chan *);
    const char *says;
} wrong;

static int64_t item;

#define DOES(name, expression)                  \
    static int name(gs_call *call, gs_chan *ch) \
    {                                           \
        (void)ch;                               \
        return (int)(expression);               \
    }
DOES(sends_on_null, gs_send(call, NULL, &item))
DOES(sends_nothing, gs_send(call, ch, NULL))
DOES(receives_to_nowhere, gs_recv(call, ch, NULL))
DOES(tries_to_send_on_null, gs_try_send(call, NULL, &item))
DOES(tries_to_receive_from_null, gs_try_recv(call, NULL, &item))
DOES(sends_many_from_nowhere, gs_send_many(call, ch, NULL, 2))
DOES(sends_too_many, gs_send_many(call, ch, &item, SIZE_MAX))
DOES(receives_many_from_null, gs_recv_many(call, NULL, &item, 1))
DOES(closes_null, gs_close(call, NULL))
DOES(sends_text_on_ints, gs_send_str(call, ch, "a", 1))
DOES(sends_bytes_on_ints, gs_send_bytes(call, ch, "a", 1))
DOES(sends_no_utf8, gs_send_str(call, gs_chan_new(call, GS_STR, 1), "\xff", 1))
DOES(sleeps_backwards, gs_sleep(call, -5))
DOES(selects_before_now, gs_select(call, NULL, 0, -1))
DOES(selects_from_nowhere, gs_select(call, NULL, 2, 0))
DOES(waits_for_no_descriptor, gs_wait_fd(call, -1, POLLIN, 0))
DOES(waits_for_a_closed_descriptor, gs_wait_fd(call, 999, POLLIN, 0))
DOES(waits_for_no_event, gs_wait_fd(call, 0, 1 << 30, 0))
DOES(defers_nothing, gs_defer(call, NULL, NULL))
DOES(hooks_nothing, gs_on_cancel(call, NULL, NULL))
DOES(joins_nobody, gs_join(call, NULL, NULL))
DOES(joins_itself, gs_join(call, (gs_task *)call, NULL))

static int selects_with(gs_call *call, gs_case c)
{
    gs_case cases[] = {GS_CASE_NONE, c};
    return gs_select(call, cases, 2, 0);
}
DOES(selects_null, selects_with(call, GS_CASE_RECV(NULL, &item)))
DOES(selects_no_item, selects_with(call, GS_CASE_SEND(ch, NULL)))
DOES(selects_no_context, selects_with(call, GS_CASE_DONE(NULL)))
DOES(selects_something, selects_with(call, gs__case(77, ch, NULL, &item)))

static const wrong all[] = {
    {sends_on_null, "gs_send: the channel is NULL"},
    {sends_nothing, "gs_send: the item is NULL"},
    {receives_to_nowhere, "gs_recv: the item is NULL"},
    {tries_to_send_on_null, "gs_try_send: the channel is NULL"},
    {tries_to_receive_from_null, "gs_try_recv: the channel is NULL"},
    {sends_many_from_nowhere, "gs_send_many: the item is NULL"},
    {sends_too_many, "gs_send_many: 18446744073709551615 items are too many"},
    {receives_many_from_null, "gs_recv_many: the channel is NULL"},
    {closes_null, "gs_close: the channel is NULL"},
    {sends_text_on_ints, "must be one of str, not of int64"},
    {sends_bytes_on_ints, "must be one of bytes, not of int64"},
    {sends_no_utf8, "gs_send_str: the text must be UTF-8"},
    {sleeps_backwards, "gs_sleep: the time must be 0 or more, not -5 ns"},
    {selects_before_now, "gs_select: the time must be 0 or more, not -1 ns"},
    {selects_from_nowhere, "not 2 at NULL"},
    {selects_null, "gs_select, case 1: the channel is NULL"},
    {selects_no_item, "gs_select, case 1: the item is NULL"},
    {selects_no_context, "gs_select, case 1: the context is NULL"},
    {selects_something, "gs_select, case 1: it must be made with GS_CASE_RECV"},
    {waits_for_no_descriptor, "gs_wait_fd: -1 is no open descriptor"},
    {waits_for_a_closed_descriptor, "gs_wait_fd: 999 is no open descriptor"},
    {waits_for_no_event, "are no events of poll(2)"},
    {defers_nothing, "gs_defer: the function is NULL"},
    {hooks_nothing, "gs_on_cancel: the function is NULL"},
    {joins_nobody, "gs_join: it is no task that this one started"},
    {joins_itself, "gs_join: the task would wait for itself"},
};

static int do_wrong(gs_call *call)
{
    const wrong *w = gs_arg_ptr(call, 0);
    return w->fn(call, gs_chan_new(call, GS_INT64, 1));
}

/* Runs it with `how`; the code and the words that are expected, NULL for none. */
static void check(gs_fn *how, const wrong *w, int code, const char *says)
{
    gs_task *task = test_go(how, (void *)w);
    test_wait(task);
    CHECK_EQ(task->code, code);
    if (says)
        CHECK_HAS(task->message, says);
    else
        CHECK(task->message == NULL);
    gs__task_unref(task);
}

enum { ALL = sizeof all / sizeof all[0] };

TEST(misuse_is_told_in_the_words_of_the_failure)
{
    for (int i = 0; i < ALL; i++)
        check(do_wrong, &all[i], all[i].fn == joins_itself ? GS_EDEADLK : GS_EINVAL, all[i].says);
}

static int do_wrong_and_go_on(gs_call *call)
{
    do_wrong(call);
    return GS_OK;
}

static int do_wrong_and_fail_otherwise(gs_call *call)
{
    do_wrong(call);
    return GS_ECLOSED;
}

TEST(misuse_that_was_got_over_leaves_no_words)
{
    for (int i = 0; i < ALL; i++) {
        check(do_wrong_and_go_on, &all[i], GS_OK, NULL);
        check(do_wrong_and_fail_otherwise, &all[i], GS_ECLOSED, NULL);
    }
}

static int fail_and_do_wrong(gs_call *call)
{
    int code = gs_fail(call, GS_EINVAL, "the first reason");
    do_wrong(call);
    return code;
}

static int do_wrong_and_fail(gs_call *call)
{
    do_wrong(call);
    return gs_fail(call, 7, "the real reason");
}

TEST(misuse_leaves_the_words_of_gs_fail)
{
    for (int i = 0; i < ALL; i++) {
        check(fail_and_do_wrong, &all[i], GS_EINVAL, "the first reason");
        check(do_wrong_and_fail, &all[i], 7, "the real reason");
    }
}
