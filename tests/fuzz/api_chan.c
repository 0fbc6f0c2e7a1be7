/* api_chan.c: the calls of channels and of select, each with what it may give: see api.c. */
#include "api.h"

#include "select.h"

#include <string.h>

/* ---- items ---- */

static bool is_text(const gs_chan *ch)
{
    int kind = GS_TYPE_KIND(ch->elem.type);
    return kind == GS_KIND_STR || kind == GS_KIND_BYTES;
}

/* Any of its channels, or none. */
static gs_chan *some_chan(actor *a)
{
    unsigned i = fuzz_below(CHANS + 1);
    return a->n_chans && i < CHANS ? a->chans[i % (unsigned)a->n_chans] : NULL;
}

/* One item to send, in `item`; false where it has none for that channel. */
static bool make_item(actor *a, gs_chan *ch, char *item)
{
    memset(item, 0x5a, ITEM);
    if (!ch || GS_TYPE_SIZE(ch->elem.type) > ITEM)
        return !ch;
    if (ch->elem.type == GS_INT64) {
        int64_t number = fuzz_number(ch);
        memcpy(item, &number, sizeof number);
    } else if (is_text(ch)) {
        if (!a->n_strs)
            return false;
        memcpy(item, &a->strs[--a->n_strs], sizeof(gs_str));
    }
    return true;
}

/* What becomes of it after the send. */
static void settle_item(actor *a, gs_chan *ch, const char *item, bool moved)
{
    int64_t number;
    memcpy(&number, item, sizeof number);
    if (ch && ch->elem.type == GS_INT64)
        fuzz_sent(number, moved);
    else if (ch && is_text(ch) && !moved)
        memcpy(&a->strs[a->n_strs++], item, sizeof(gs_str));
}

/* What was received: a number into the books, a string to the task's own. */
static void take_item(actor *a, gs_chan *ch, const char *item)
{
    int64_t number;
    gs_str s;
    memcpy(&number, item, sizeof number);
    memcpy(&s, item, sizeof s);
    if (ch->elem.type == GS_INT64)
        fuzz_received(ch, number);
    else if (is_text(ch)) {
        PROMISE(s.data && s.data[s.size] == '\0' && strlen(s.data) <= s.size);
        if (a->n_strs < STRS)
            a->strs[a->n_strs++] = s;
        else if (fuzz_below(2)) /* else it is released when the task ends */
            gs_str_free(a->call, &s);
    }
}

/* ---- what a code says ---- */

static void check_canceled(actor *a)
{
    PROMISE(gs_ctx_done(a->call, gs_ctx_current(a->call)));
    PROMISE(a->shields == 0 && gs_cancelled(a->call));
}

static void check_code(actor *a, int64_t code, bool may_wait, bool valid)
{
    if (code == GS_ECANCELED)
        check_canceled(a);
    PROMISE(code == GS_OK || code == GS_ECLOSED || code == GS_EINVAL || code == GS_ENOMEM ||
            (code == GS_ECANCELED && may_wait) || (code == GS_EAGAIN && !may_wait));
    PROMISE(valid || code == GS_EINVAL);
}

/* ---- one item ---- */

static void send_one(actor *a, bool wait)
{
    char item[ITEM];
    gs_chan *ch = some_chan(a);
    if ((wait && a->shields) || !make_item(a, ch, item))
        return;
    const void *from = fuzz_below(16) ? item : NULL;
    int code = wait ? gs_send(a->call, ch, from) : gs_try_send(a->call, ch, from);
    settle_item(a, ch, item, code == GS_OK);
    check_code(a, code, wait, ch && from);
}

static void recv_one(actor *a, bool wait)
{
    char item[ITEM];
    gs_chan *ch = some_chan(a);
    if ((wait && a->shields) || (ch && GS_TYPE_SIZE(ch->elem.type) > ITEM))
        return;
    void *to = fuzz_below(16) ? item : NULL;
    int code = wait ? gs_recv(a->call, ch, to) : gs_try_recv(a->call, ch, to);
    if (code == GS_OK)
        take_item(a, ch, item);
    check_code(a, code, wait, ch && to);
}

/* ---- many ---- */

enum { MANY = 4 };

static size_t some_number(void)
{
    unsigned n = fuzz_below(MANY + 2);
    return n <= MANY ? n : SIZE_MAX - fuzz_below(4);
}

static void send_many(actor *a)
{
    char items[MANY * ITEM], item[ITEM];
    gs_chan *ch = some_chan(a);
    size_t n = some_number();
    if (a->shields || (ch && (is_text(ch) || GS_TYPE_SIZE(ch->elem.type) > ITEM)))
        return;
    size_t size = ch ? GS_TYPE_SIZE(ch->elem.type) : 1, made = n > MANY ? 0 : n;
    for (size_t i = 0; i < made; i++) {
        make_item(a, ch, item);
        memcpy(items + i * size, item, size);
    }
    int64_t sent = gs_send_many(a->call, ch, items, n);
    PROMISE(sent <= (int64_t)made);
    for (size_t i = 0; i < made; i++) {
        memset(item, 0, sizeof item);
        memcpy(item, items + i * size, size);
        settle_item(a, ch, item, (int64_t)i < sent);
    }
    check_code(a, sent < 0 ? sent : GS_OK, true, ch && n <= MANY);
}

static void recv_many(actor *a)
{
    char items[MANY * ITEM], item[ITEM];
    gs_chan *ch = some_chan(a);
    size_t n = some_number();
    if (a->shields || (ch && GS_TYPE_SIZE(ch->elem.type) > ITEM))
        return;
    int64_t received = gs_recv_many(a->call, ch, items, n);
    PROMISE(received <= (int64_t)(n > MANY ? 0 : n));
    PROMISE(received != 0 || n == 0);
    for (int64_t i = 0; i < received; i++) {
        size_t size = GS_TYPE_SIZE(ch->elem.type);
        memset(item, 0, sizeof item);
        memcpy(item, items + (size_t)i * size, size);
        take_item(a, ch, item);
    }
    check_code(a, received < 0 ? received : GS_OK, true, ch && n <= MANY);
}

/* ---- strings ---- */

static void send_text(actor *a)
{
    char text[32];
    gs_chan *ch = some_chan(a);
    size_t size = fuzz_text(text);
    bool str = fuzz_below(2);
    const char *data = fuzz_below(16) ? text : NULL;
    if (a->shields)
        return;
    int code = str ? gs_send_str(a->call, ch, data, size) : gs_send_bytes(a->call, ch, data, size);
    bool valid =
        ch && (data || !size) && ch->elem.type == (str ? (gs_type)GS_STR : (gs_type)GS_BYTES);
    check_code(a, code, true, valid);
}

static void free_text(actor *a)
{
    gs_str none = {NULL, 0};
    if (!a->n_strs) {
        gs_str_free(a->call, fuzz_below(2) ? &none : NULL);
        return;
    }
    gs_str *s = &a->strs[--a->n_strs];
    gs_str_free(a->call, s);
    PROMISE(!s->data && !s->size);
    gs_str_free(a->call, s);
}

/* ---- make, close ---- */

static void make_chan(actor *a)
{
    gs_type type = fuzz_below(2) ? fuzz_word() : GS_TYPE(fuzz_below(12), fuzz_below(40));
    uint64_t capacity = fuzz_below(4) ? fuzz_below(5) : fuzz_word();
    /* Whatever says how large it is: it is to be refused, or small enough for a fuzzer. */
    if (capacity < SIZE_MAX / 4 && GS_TYPE_SIZE(type) < UINT32_MAX &&
        capacity * GS_TYPE_SIZE(type) > 1 << 20)
        return;
    gs_chan *ch = gs_chan_new(a->call, type, capacity);
    if (ch && a->n_chans < CHANS)
        a->chans[a->n_chans++] = ch;
    PROMISE(!ch || (GS_TYPE_KIND(type) != GS_KIND_OBJECT && GS_TYPE_SIZE(type) > 0));
}

static void close_chan(actor *a)
{
    gs_chan *ch = some_chan(a);
    int code = gs_close(a->call, ch);
    PROMISE(code == GS_OK ? gs__chan_closed(ch) : code == GS_EINVAL);
}

/* ---- select ---- */

enum { CASES = 10 };

static int64_t some_timeout(actor *a)
{
    switch (fuzz_below(4)) {
    case 0:
        return 0;
    case 1:
        return GS_US(fuzz_below(60));
    case 2:
        return a->shields ? 0 : GS_FOREVER;
    default:
        return a->shields ? 0 : (int64_t)fuzz_word();
    }
}

static bool make_case(actor *a, gs_case *c, char *item)
{
    gs_chan *ch = some_chan(a);
    switch (fuzz_below(5)) {
    case 0:
        *c = GS_CASE_NONE;
        return true;
    case 1:
        *c = GS_CASE_DONE(a->n_ctxs ? a->ctxs[fuzz_below((unsigned)a->n_ctxs)]
                                    : gs_ctx_current(a->call));
        return true;
    case 2:
        if (ch && !make_item(a, ch, item))
            return false;
        *c = GS_CASE_SEND(ch, item);
        return true;
    case 3:
        if (ch && GS_TYPE_SIZE(ch->elem.type) > ITEM)
            return false;
        *c = GS_CASE_RECV(ch, item);
        return true;
    default:
        *c = GS_CASE_NONE;
        c->kind = fuzz_below(8) ? GS_CASE_KIND_NONE : (int)fuzz_word();
        return true;
    }
}

static bool valid_case(const gs_case *c)
{
    bool on_chan = c->kind == GS_CASE_KIND_RECV || c->kind == GS_CASE_KIND_SEND;
    return c->kind >= GS_CASE_KIND_NONE && c->kind <= GS_CASE_KIND_DONE && (!on_chan || c->chan) &&
           (c->kind != GS_CASE_KIND_DONE || c->ctx);
}

static void check_chosen(actor *a, const gs_case *c)
{
    PROMISE(c->kind != GS_CASE_KIND_NONE);
    if (c->kind == GS_CASE_KIND_DONE)
        PROMISE(gs_ctx_done(a->call, c->ctx));
    if (c->kind == GS_CASE_KIND_RECV && !c->ok)
        PROMISE(gs__chan_closed(c->chan));
}

static void select_some(actor *a)
{
    gs_case cases[CASES];
    char items[CASES][ITEM];
    int n = 0, wanted = (int)fuzz_below(CASES + 1);
    while (n < wanted && make_case(a, &cases[n], items[n]))
        n++;
    bool valid = true;
    for (int i = 0; i < n; i++)
        valid &= valid_case(&cases[i]);
    int given = fuzz_below(32) ? n : fuzz_below(2) ? -1 : GS__SELECT_MAX + 1;
    int64_t timeout = some_timeout(a);
    int k = gs_select(a->call, cases, given, timeout);
    for (int i = 0; i < n; i++)
        if (cases[i].kind == GS_CASE_KIND_SEND)
            settle_item(a, cases[i].chan, items[i], i == k);
    PROMISE(k < n);
    if (k >= 0)
        check_chosen(a, &cases[k]);
    if (k >= 0 && cases[k].kind == GS_CASE_KIND_RECV && cases[k].ok)
        take_item(a, cases[k].chan, items[k]);
    if (k == GS_ECANCELED)
        check_canceled(a);
    PROMISE(k >= 0 || k == GS_EINVAL || k == GS_ENOMEM || k == GS_ECLOSED ||
            (k == GS_EAGAIN && timeout == 0) ||
            (timeout > 0 && (k == GS_ETIMEDOUT || k == GS_ECANCELED)));
    PROMISE((valid && given == n && timeout >= 0) || k == GS_EINVAL);
}

void fuzz_chan_call(actor *a)
{
    switch (fuzz_below(13)) {
    case 0:
        send_one(a, true);
        break;
    case 1:
    case 2:
        send_one(a, false);
        break;
    case 3:
        recv_one(a, true);
        break;
    case 4:
    case 5:
        recv_one(a, false);
        break;
    case 6:
        send_many(a);
        break;
    case 7:
        recv_many(a);
        break;
    case 8:
        send_text(a);
        break;
    case 9:
        free_text(a);
        break;
    case 10:
        make_chan(a);
        break;
    case 11:
        close_chan(a);
        break;
    default:
        select_some(a);
    }
}
