/* chan_calls.c: the calls of channels that move one value, and close.
 *
 * A blocking call: its arguments are checked and its value is converted; then a done scope raises
 * Cancelled; then what can be done at once is done without giving up the GIL; else it waits without
 * the GIL. A call that raises has moved nothing. */
#include "args.h"
#include "block.h"
#include "py_chan.h"

PyObject *gs__py_chan_raise(gs__py_chan *self, const char *call, int code, gs_ctx *scope)
{
    switch (code) {
    case GS__PY_RAISED:
        return NULL;
    case GS_ECANCELED:
        return gs__py_raise_cancelled(self->state, scope);
    case GS_ECLOSED:
        return gs__py_raise(self->state, code, "%s: %R is closed", call, self);
    case GS_EAGAIN:
        return gs__py_raise(self->state, code, "%s: %R would have to wait", call, self);
    case GS_ETIMEDOUT:
        return gs__py_raise(self->state, code, "%s: the time ran out on %R", call, self);
    default:
        return gs__py_raise(self->state, code, "%s: %R: %s", call, self, gs__code_text(code));
    }
}

/* ---- send ---- */

/* The code of what can be done at once; GS_EAGAIN: it has to wait. */
static int send_now(gs__py_chan *self, const void *item, gs_ctx *scope)
{
    if (gs__unlikely(gs__ctx_is_done(scope)))
        return GS_ECANCELED;
    return gs__chan_try_send(self->ch, item);
}

static int send_later(gs__py_chan *self, const void *item, gs_ctx *scope, int64_t deadline)
{
    if (deadline == 0)
        return GS_ETIMEDOUT;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    gs_chan *ch = self->ch;
    int code;
    gs__chan_ref(ch);
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_send(ch, item, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    gs__chan_unref(ch);
    return code;
}

/* What could not be sent at once, for the reason that `code` says. NULL: `scope` raised. */
static gs__noinline PyObject *send_slowly(gs__py_chan *self, void *item, gs_ctx *scope, int code,
                                          int64_t deadline)
{
    if (scope)
        gs__ctx_ref(scope);
    if (code == GS_EAGAIN)
        code = send_later(self, item, scope, deadline);
    if (code != GS_OK) {
        gs__codec_drop(&self->codec, item);
        gs__py_chan_raise(self, "send", code, scope);
    }
    if (scope)
        gs__ctx_unref(scope);
    return code == GS_OK ? Py_NewRef(Py_None) : NULL;
}

/* An object, however long it takes: most calls. It needs neither room nor a conversion. */
static gs__always_inline PyObject *send_object(gs__py_chan *self, gs_task *task, PyObject *value)
{
    gs_ctx *scope = gs__py_scope_peek_in(self->state, task);
    void *item = Py_NewRef(value);
    int code = scope ? send_now(self, &item, scope) : GS__PY_RAISED;
    return gs__likely(code == GS_OK) ? Py_NewRef(Py_None)
                                     : send_slowly(self, &item, scope, code, GS_FOREVER);
}

static PyObject *send_value(gs__py_chan *self, gs_task *task, PyObject *value, int64_t deadline)
{
    uint64_t words[GS__ITEM_WORDS];
    void *item = gs__item_room(&self->codec, words);
    if (!item)
        return NULL;
    PyObject *result = NULL;
    if (gs__codec_write(&self->codec, (PyObject *)self, value, item) == 0) {
        gs_ctx *scope = gs__py_scope_peek_in(self->state, task);
        int code = scope ? send_now(self, item, scope) : GS__PY_RAISED;
        result =
            code == GS_OK ? Py_NewRef(Py_None) : send_slowly(self, item, scope, code, deadline);
    }
    gs__item_room_free(item, words);
    return result;
}

static gs__noinline PyObject *send_with(gs__py_chan *self, gs_task *task, PyObject *const *args,
                                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const gs__py_params params = {"send", 1, 2, {"value", "timeout"}};
    PyObject *given[2];
    int64_t deadline = GS_FOREVER;
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    if (given[1] && gs__py_deadline(given[1], "timeout", &deadline) < 0)
        return NULL;
    return send_value(self, task, given[0], deadline);
}

PyObject *gs__py_chan_send(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    gs_task *task;
    if (gs__py_chan_enter_as(self, &task) < 0)
        return NULL;
    if (gs__likely(nargs == 1 && !kwnames && self->codec.kind == GS__CODEC_OBJECT))
        return send_object(self, task, args[0]);
    return send_with(self, task, args, nargs, kwnames);
}

PyObject *gs__py_chan_send_nowait(gs__py_chan *self, PyObject *value)
{
    if (gs__py_chan_enter(self) < 0)
        return NULL;
    uint64_t words[GS__ITEM_WORDS];
    void *item = gs__item_room(&self->codec, words);
    if (!item)
        return NULL;
    PyObject *result = NULL;
    if (gs__codec_write(&self->codec, (PyObject *)self, value, item) == 0) {
        int code = gs__chan_try_send(self->ch, item);
        if (code == GS_OK) {
            result = Py_NewRef(Py_None);
        } else {
            gs__codec_drop(&self->codec, item);
            gs__py_chan_raise(self, "send_nowait", code, NULL);
        }
    }
    gs__item_room_free(item, words);
    return result;
}

/* ---- receive ---- */

static int recv_now(gs__py_chan *self, void *item, gs_ctx *scope)
{
    if (gs__unlikely(gs__ctx_is_done(scope)))
        return GS_ECANCELED;
    return gs__chan_try_recv(self->ch, item);
}

static int recv_later(gs__py_chan *self, void *item, gs_ctx *scope, int64_t deadline)
{
    if (deadline == 0)
        return GS_ETIMEDOUT;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    gs_chan *ch = self->ch;
    int code;
    gs__chan_ref(ch);
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_recv(ch, item, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    gs__chan_unref(ch);
    return code;
}

PyObject *gs__py_chan_other_value_of(gs__py_chan *self, void *item)
{
    PyObject *value = gs__codec_read_other(&self->codec, item);
    if (value)
        gs__codec_done(&self->codec, item);
    else if (gs__chan_unrecv(self->ch, item) != GS_OK)
        gs__codec_drop(&self->codec, item);
    return value;
}

/* What a receive from a closed and drained channel is. */
enum when_closed { CLOSED_RAISES, CLOSED_IS_PAIR, CLOSED_ENDS };

static PyObject *pair(PyObject *value, PyObject *ok)
{
    if (!value)
        return NULL;
    PyObject *result = PyTuple_Pack(2, value, ok);
    Py_DECREF(value);
    return result;
}

static PyObject *received(gs__py_chan *self, void *item, enum when_closed when_closed)
{
    PyObject *value = gs__py_chan_value_of(self, item);
    return when_closed == CLOSED_IS_PAIR ? pair(value, Py_True) : value;
}

/* What could not be received at once, as send_slowly. */
static gs__noinline PyObject *recv_slowly(gs__py_chan *self, void *item, gs_ctx *scope, int code,
                                          int64_t deadline, enum when_closed when_closed)
{
    PyObject *result = NULL;
    if (scope)
        gs__ctx_ref(scope);
    if (code == GS_EAGAIN)
        code = recv_later(self, item, scope, deadline);
    if (code == GS_OK)
        result = received(self, item, when_closed);
    else if (code == GS_ECLOSED && when_closed == CLOSED_IS_PAIR)
        result = pair(Py_NewRef(Py_None), Py_False);
    else if (code != GS_ECLOSED || when_closed == CLOSED_RAISES)
        gs__py_chan_raise(self, "recv", code, scope);
    if (scope)
        gs__ctx_unref(scope);
    return result;
}

/* As send_object. */
static gs__always_inline PyObject *recv_object(gs__py_chan *self, gs_task *task,
                                               enum when_closed when_closed)
{
    gs_ctx *scope = gs__py_scope_peek_in(self->state, task);
    void *item;
    int code = scope ? recv_now(self, &item, scope) : GS__PY_RAISED;
    return gs__likely(code == GS_OK)
               ? item
               : recv_slowly(self, &item, scope, code, GS_FOREVER, when_closed);
}

static gs__noinline PyObject *recv_value(gs__py_chan *self, gs_task *task, int64_t deadline,
                                         enum when_closed when_closed)
{
    uint64_t words[GS__ITEM_WORDS];
    void *item = gs__item_room(&self->codec, words);
    if (!item)
        return NULL;
    gs_ctx *scope = gs__py_scope_peek_in(self->state, task);
    int code = scope ? recv_now(self, item, scope) : GS__PY_RAISED;
    PyObject *result = code == GS_OK ? received(self, item, when_closed)
                                     : recv_slowly(self, item, scope, code, deadline, when_closed);
    gs__item_room_free(item, words);
    return result;
}

static gs__noinline PyObject *recv_with(gs__py_chan *self, gs_task *task, PyObject *const *args,
                                        Py_ssize_t nargs, PyObject *kwnames, const char *call,
                                        enum when_closed when_closed)
{
    const gs__py_params params = {call, 0, 1, {"timeout"}};
    PyObject *timeout;
    int64_t deadline = GS_FOREVER;
    if (gs__py_args(&params, args, nargs, kwnames, &timeout) < 0)
        return NULL;
    if (timeout && gs__py_deadline(timeout, "timeout", &deadline) < 0)
        return NULL;
    return recv_value(self, task, deadline, when_closed);
}

PyObject *gs__py_chan_recv(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    gs_task *task;
    if (gs__py_chan_enter_as(self, &task) < 0)
        return NULL;
    if (gs__likely(nargs == 0 && !kwnames && self->codec.kind == GS__CODEC_OBJECT))
        return recv_object(self, task, CLOSED_RAISES);
    return recv_with(self, task, args, nargs, kwnames, "recv", CLOSED_RAISES);
}

PyObject *gs__py_chan_recv_ok(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    gs_task *task;
    return gs__py_chan_enter_as(self, &task) < 0
               ? NULL
               : recv_with(self, task, args, nargs, kwnames, "recv_ok", CLOSED_IS_PAIR);
}

PyObject *gs__py_chan_next(gs__py_chan *self)
{
    gs_task *task;
    if (gs__py_chan_enter_as(self, &task) < 0)
        return NULL;
    if (gs__likely(self->codec.kind == GS__CODEC_OBJECT))
        return recv_object(self, task, CLOSED_ENDS);
    return recv_value(self, task, GS_FOREVER, CLOSED_ENDS);
}

PyObject *gs__py_chan_recv_nowait(gs__py_chan *self, PyObject *Py_UNUSED(none))
{
    if (gs__py_chan_enter(self) < 0)
        return NULL;
    uint64_t words[GS__ITEM_WORDS];
    void *item = gs__item_room(&self->codec, words);
    if (!item)
        return NULL;
    int code = gs__chan_try_recv(self->ch, item);
    PyObject *result = code == GS_OK ? gs__py_chan_value_of(self, item)
                                     : gs__py_chan_raise(self, "recv_nowait", code, NULL);
    gs__item_room_free(item, words);
    return result;
}

/* ---- asyncio: pygostop/_aio.py ---- */

PyObject *gs__py_chan_send_async(gs__py_chan *self, PyObject *value)
{
    return gs__py_aio_call(self->state, "send", (PyObject *)self, value);
}

PyObject *gs__py_chan_recv_async(gs__py_chan *self, PyObject *Py_UNUSED(none))
{
    return gs__py_aio_call(self->state, "recv", (PyObject *)self, NULL);
}

PyObject *gs__py_chan_anext(gs__py_chan *self)
{
    return gs__py_aio_call(self->state, "next_value", (PyObject *)self, NULL);
}

/* ---- close ---- */

PyObject *gs__py_chan_close(gs__py_chan *self, PyObject *Py_UNUSED(none))
{
    if (gs__py_chan_enter(self) < 0)
        return NULL;
    gs__chan_close(self->ch);
    Py_RETURN_NONE;
}

PyObject *gs__py_chan_enter_block(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(self);
}

PyObject *gs__py_chan_exit_block(gs__py_chan *self, PyObject *const *Py_UNUSED(exc_info),
                                 Py_ssize_t Py_UNUSED(n))
{
    return gs__py_chan_close(self, NULL);
}
