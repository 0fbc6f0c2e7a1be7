/* mix_tasks.c: what the tasks of gostop-mix do, through the public header alone. */
#define _GNU_SOURCE
#include "mix.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef GS_TEST_AUTO
#include "auto-unit.h"
#endif

/* ---- one by one ---- */

static void deferred(void *number)
{
    book_in(&m.defers, (intptr_t)number);
}

static void defer(gs_call *call, rows *r)
{
    int64_t number = any(r, 1000);
    if (gs_defer(call, deferred, (void *)(intptr_t)number) == GS_OK)
        book_out(&m.defers, number);
}

static void hooked(void *ran)
{
    ++*(atomic_int *)ran;
}

/* The hook's memory goes as soon as it is off: who runs it later is found out. */
static void hook(gs_call *call, rows *r)
{
    atomic_int *ran = calloc(1, sizeof *ran);
    CHECK(ran != NULL);
    int id = gs_on_cancel(call, hooked, ran);
    if (id > 0) {
        if (any(r, 2))
            (void)gs_yield(call);
        gs_off_cancel(call, id);
        CHECK(*ran <= 1 && (gs_cancelled(call) || *ran == 0));
    }
    free(ran);
}

/* A send that the cancel does not reach, though it came. */
static void shielded(gs_call *call, rows *r)
{
    gs_chan *own = gs_chan_new(call, GS_INT64, 1);
    int64_t item = any(r, 1000), back = 0;
    CHECK(own != NULL);
    gs_shield_begin(call);
    CHECK(!gs_cancelled(call));
    CHECK_EQ(gs_send(call, own, &item), GS_OK);
    (void)gs_yield(call);
    CHECK_EQ(gs_recv(call, own, &back), GS_OK);
    CHECK_EQ(back, item);
    gs_shield_end(call);
}

static void send_text(gs_call *call, rows *r)
{
    static const char some[] = "as many letters of this as chance would have it";
    size_t size = any(r, sizeof some);
    if (gs_send_str(call, m.texts[any(r, TEXTS)], some, size) == GS_OK)
        book_out(&m.strings, (int64_t)size);
}

/* Some are left to the task's end. */
static void recv_text(gs_call *call, rows *r)
{
    gs_str s;
    gs_chan *from = m.texts[any(r, TEXTS)];
    int code = any(r, 2) ? gs_try_recv(call, from, &s) : gs_recv(call, from, &s);
    if (code != GS_OK)
        return;
    CHECK_EQ(strlen(s.data), s.size);
    book_in(&m.strings, (int64_t)s.size);
    if (any(r, 2))
        gs_str_free(call, &s);
}

static void write_octet(gs_call *call, rows *r)
{
    unsigned char octet = (unsigned char)any(r, 256);
    int fd = m.pipes[any(r, PIPES)][1];
    if (gs_wait_fd(call, fd, POLLOUT, GS_US(any(r, 300))) < 0)
        return;
    book_out(&m.octets, octet); /* before the reader can enter it; taken back where it is full */
    if (write(fd, &octet, 1) != 1) {
        m.octets.n_out--;
        m.octets.out -= octet;
    }
}

static void read_octet(gs_call *call, rows *r)
{
    unsigned char octet;
    int fd = m.pipes[any(r, PIPES)][0];
    int stop = any(r, 4) ? -1 : gs_stop_fd(call);
    if (stop >= 0)
        (void)gs_wait_fd(call, stop, POLLIN, GS_US(any(r, 50)));
    if (gs_wait_fd(call, fd, POLLIN, GS_US(any(r, 300))) > 0 && read(fd, &octet, 1) == 1)
        book_in(&m.octets, octet);
}

/* Contexts of the task's own, in a select that is too wide for what a stack holds. */
static void choose_widely(gs_call *call, rows *r)
{
    enum { WIDE = 40 };
    gs_case cases[WIDE];
    int64_t items[WIDE];
    gs_ctx *timed = gs_ctx_with_timeout(call, gs_ctx_current(call), GS_US(any(r, 300)));
    gs_ctx *below = timed ? gs_ctx_with_cancel(call, timed) : NULL;
    CHECK(below != NULL);
    for (int i = 0; i < WIDE; i++)
        cases[i] = i % 5 == 0 ? GS_CASE_NONE : GS_CASE_DONE(i % 2 ? below : timed);
    gs_chan *own[8];
    for (int i = 0; i < 8; i++) {
        CHECK((own[i] = gs_chan_new(call, GS_INT64, i % 2)) != NULL);
        items[i] = i;
        cases[5 * i] = i % 2 ? GS_CASE_SEND(own[i], &items[i]) : GS_CASE_RECV(own[i], &items[i]);
    }
    if (any(r, 3) == 0)
        gs_ctx_cancel(call, below, "chosen widely");
    int which = gs_select(call, cases, WIDE, any(r, 4) ? GS_FOREVER : GS_US(any(r, 100)));
    CHECK(which >= 0 || which == GS_ETIMEDOUT || which == GS_EAGAIN || which == GS_ECANCELED);
}

static void block(gs_call *call)
{
    gs_block_begin(call);
    test_msleep(0);
    gs_block_end(call);
}

static void say(gs_call *call, rows *r)
{
    gs_progress(call, any(r, 100), 100);
    if (any(r, 4) == 0)
        gs_log(call, "a line of %s", "some length");
}

/* ---- tasks ---- */

/* Takes what no task's record has room for, and gives a string. */
static int short_trader(gs_call *call)
{
    rows r;
    rows_begin(&r);
    CHECK_STR(gs_arg_str(call, 1, NULL),
              "a string that is copied, as it is too long for the record");
    gs_chan *own = gs_arg_chan(call, 2, GS_INT64);
    gs_ctx *ctx = gs_arg_ctx(call, 3);
    int64_t number = gs_arg_int(call, 0);
    (void)gs_arg_float(call, 4);
    book_out(&m.tasks, number);
    defer(call, &r);
    for (uint32_t n = any(&r, 20); n > 0 && !gs_cancelled(call) && !gs_ctx_done(call, ctx); n--)
        trade(&r, gs_ctx_current(call));
    (void)gs_try_send(call, own, &number);
    book_in(&m.tasks, number);
    if (any(&r, 3) == 0)
        return gs_fail(call, 7, "it failed on purpose, with %d", 7);
    return any(&r, 2) ? gs_return_str(call, "a result", 8) : gs_checkpoint(call);
}

static int go_below(gs_call *call, rows *r)
{
    gs_chan *own = gs_chan_new(call, GS_INT64, any(r, 2));
    gs_value args[] = {GS_ARG_INT(any(r, 1000)),
                       GS_ARG_STR("a string that is copied, as it is too long for the record"),
                       GS_ARG_CHAN(own), GS_ARG_CTX(gs_ctx_current(call)), GS_ARG_FLOAT(0.5)};
    gs_task *child = gs_go(call, short_trader, args, 5);
    CHECK(own != NULL && child != NULL);
    if (any(r, 2))
        gs_task_cancel(call, child);
    switch (any(r, 3)) {
    case 0:
        return gs_join(call, child, NULL);
    case 1:
        gs_detach(call, child);
        return GS_OK;
    default:
        return GS_OK; /* the handle is left to the task's end */
    }
}

static int step(gs_call *call, rows *r)
{
    switch (any(r, 48)) {
    case 0:
    case 1:
        return go_below(call, r);
    case 2:
        return gs_sleep(call, GS_US(any(r, 200)));
    case 3:
        return gs_yield(call);
    case 4:
        return block(call), GS_OK;
    case 5:
        return replace_lane(r, (int)any(r, LANES)), GS_OK;
    case 6:
        return defer(call, r), GS_OK;
    case 7:
        return hook(call, r), GS_OK;
    case 8:
        return shielded(call, r), GS_OK;
    case 9:
    case 10:
        return send_text(call, r), GS_OK;
    case 11:
    case 12:
        return recv_text(call, r), GS_OK;
    case 13:
    case 14:
        return write_octet(call, r), GS_OK;
    case 15:
    case 16:
        return read_octet(call, r), GS_OK;
    case 17:
        return choose_widely(call, r), GS_OK;
    case 18:
        return say(call, r), GS_OK;
    default:
        return trade(r, gs_ctx_current(call)), GS_OK;
    }
}

static int trader(gs_call *call)
{
    rows r;
    rows_begin(&r);
    (void)gs_arg_ptr(call, 0);
    /* It ends after a while: what a task makes, it holds until then. */
    for (int steps = 2000; steps > 0; steps--) {
        GS_CHECKPOINT(call);
        GS_TRY(step(call, &r));
    }
    return gs_return_str(call, "the end", 7);
}

gs_task *go_trade(rows *r, int i)
{
    int error;
    gs_value none = GS_ARG_PTR(NULL);
    gs__spawn spawn = {.fn = trader,
                       .name = any(r, 2) ? "trader" : "a trader with a name too long for the record",
                       .parent = m.open,
                       .args = &none,
                       .nargs = 1,
                       .flags = i % 3 == 0 ? GS__TASK_PINNED : 0};
    gs_task *task = gs__task_spawn(&spawn, &error);
    CHECK(task != NULL);
    return task;
}

/* ---- with automatic checkpoints ---- */

#ifdef GS_TEST_AUTO
static unit_seen churned; /* by all of a round */

gs_task *go_churn(void)
{
    return test_go_in(m.open, unit_churn, &churned);
}

void enter_churns(void)
{
    m.churns.n_out = churned.begun;
    m.churns.n_in = churned.defers;
    memset(&churned, 0, sizeof churned);
}
#else
gs_task *go_churn(void)
{
    return NULL;
}

void enter_churns(void)
{
}
#endif
