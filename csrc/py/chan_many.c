/* chan_many.c: the calls of channels that move many values.
 *
 * Between memory and a channel items move in batches. Values of a list or tuple are converted in
 * batches too; those of any other iterable one by one, as each may be long in coming. What ends a
 * send_many half way leaves the values before it sent, and the exception carries their number. A
 * recv_many that raises has taken nothing. */
#include "args.h"
#include "block.h"
#include "py_chan.h"

enum { BATCH_BYTES = 4096 };

/* ---- send_many ---- */

/* One send_many under way. */
typedef struct sending {
    gs__py_chan *self;
    gs_ctx *scope;
    int64_t deadline;
    size_t sent; /* values that went, in all */
} sending;

/* Sends n items from memory; `*sent` of them went. */
static int send_items(sending *s, const char *items, size_t n, size_t *sent)
{
    gs_chan *ch = s->self->ch;
    *sent = 0;
    if (gs__unlikely(gs__ctx_is_done(s->scope)))
        return GS_ECANCELED;
    int code = gs__chan_try_send_many(ch, items, n, sent);
    if (code != GS_EAGAIN)
        return code;
    if (s->deadline == 0)
        return GS_ETIMEDOUT;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    gs__chan_ref(ch);
    do {
        size_t some;
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_send_many(ch, items + *sent * ch->item_size, n - *sent, &some, s->scope,
                                  s->deadline);
        gs__py_block_end(saved);
        *sent += some;
    } while (gs__py_interrupted(&code));
    gs__chan_unref(ch);
    return code;
}

/* Sends items that were just converted; those that did not go are released. 0, or -1. */
static int send_converted(sending *s, char *items, size_t n)
{
    const gs__codec *codec = &s->self->codec;
    size_t sent;
    int code = send_items(s, items, n, &sent);
    s->sent += sent;
    for (size_t i = sent; i < n; i++)
        gs__codec_drop(codec, items + i * s->self->ch->item_size);
    if (code == GS_OK)
        return 0;
    gs__py_chan_raise(s->self, "send_many", code, s->scope);
    return -1;
}

/* A list may change while its values' own code runs, so it is looked at afresh each time. */
static PyObject *item_of(PyObject *sequence, Py_ssize_t i)
{
    return i < PySequence_Fast_GET_SIZE(sequence) ? Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i))
                                                  : NULL;
}

/* A list or a tuple. The values before a misfit are sent first, so it is remembered meanwhile. */
static int send_sequence(sending *s, PyObject *sequence, char *room, size_t n_room)
{
    size_t size = s->self->ch->item_size;
    PyObject *value;
    for (Py_ssize_t i = 0; (value = item_of(sequence, i));) {
        size_t n = 0;
        bool fits = true;
        do {
            fits =
                gs__codec_write(&s->self->codec, (PyObject *)s->self, value, room + n * size) == 0;
            Py_DECREF(value);
            n += fits;
            i += fits;
        } while (fits && n < n_room && (value = item_of(sequence, i)));
        PyObject *type = NULL, *misfit = NULL, *traceback = NULL;
        if (!fits)
            PyErr_Fetch(&type, &misfit, &traceback);
        int result = n ? send_converted(s, room, n) : 0;
        if (result == 0 && !fits) {
            PyErr_Restore(type, misfit, traceback);
            return -1;
        }
        Py_XDECREF(type);
        Py_XDECREF(misfit);
        Py_XDECREF(traceback);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int send_iterator(sending *s, PyObject *iterator, char *room)
{
    PyObject *value;
    while ((value = PyIter_Next(iterator))) {
        int result = gs__codec_write(&s->self->codec, (PyObject *)s->self, value, room);
        Py_DECREF(value);
        if (result < 0 || send_converted(s, room, 1) < 0)
            return -1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int send_iterable(sending *s, PyObject *values)
{
    uint64_t few[BATCH_BYTES / sizeof(uint64_t)];
    size_t size = s->self->ch->item_size, n_room = sizeof few / size;
    char *room = n_room ? (char *)few : PyMem_Malloc(size);
    if (!room) {
        PyErr_NoMemory();
        return -1;
    }
    int result = -1;
    if (PyList_CheckExact(values) || PyTuple_CheckExact(values)) {
        result = send_sequence(s, values, room, n_room ? n_room : 1);
    } else {
        PyObject *iterator = PyObject_GetIter(values);
        if (iterator)
            result = send_iterator(s, iterator, room);
        Py_XDECREF(iterator);
    }
    if (!n_room)
        PyMem_Free(room);
    return result;
}

/* 1 where `values` is a buffer of one dimension whose items go as they lie; -1 with an
 * exception. */
static int sendable_buffer(gs__py_chan *self, PyObject *values, Py_buffer *view)
{
    /* A bool's byte may have any bits in a foreign buffer. */
    if (!PyObject_CheckBuffer(values) || GS_TYPE_KIND(self->codec.type) == GS_KIND_BOOL)
        return 0;
    if (PyObject_GetBuffer(values, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        if (!gs__py_no_buffer())
            return -1;
        PyErr_Clear(); /* it may be iterable all the same */
        return 0;
    }
    int matches = view->ndim == 1 ? gs__codec_matches(&self->codec, values, view) : 0;
    if (matches <= 0)
        PyBuffer_Release(view);
    return matches;
}

static int send_all(sending *s, PyObject *values)
{
    Py_buffer view;
    int is_buffer = sendable_buffer(s->self, values, &view);
    if (is_buffer <= 0)
        return is_buffer < 0 ? -1 : send_iterable(s, values);
    int code = send_items(s, view.buf, (size_t)view.len / (size_t)view.itemsize, &s->sent);
    PyBuffer_Release(&view);
    if (code == GS_OK)
        return 0;
    gs__py_chan_raise(s->self, "send_many", code, s->scope);
    return -1;
}

/* The exception that is set carries how many values went. */
static void note_sent(size_t sent)
{
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyObject *number = PyLong_FromSize_t(sent);
    if (!number || PyObject_SetAttrString(exception, "sent", number) < 0)
        PyErr_Clear();
    Py_XDECREF(number);
    PyErr_Restore(type, exception, traceback);
}

PyObject *gs__py_chan_send_many(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    static const gs__py_params params = {"send_many", 1, 2, {"values", "timeout"}};
    PyObject *given[2];
    sending s = {self, NULL, GS_FOREVER, 0};
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0 || gs__py_chan_enter(self) < 0)
        return NULL;
    if (given[1] && gs__py_deadline(given[1], "timeout", &s.deadline) < 0)
        return NULL;
    s.scope = gs__py_scope(self->state);
    if (!s.scope)
        return NULL;
    int result = 0;
    if (gs__unlikely(gs__ctx_is_done(s.scope))) {
        gs__py_raise_cancelled(self->state, s.scope);
        result = -1;
    } else {
        result = send_all(&s, given[0]);
    }
    gs__ctx_unref(s.scope);
    if (result == 0)
        return PyLong_FromSize_t(s.sent);
    note_sent(s.sent);
    return NULL;
}

/* ---- recv_many ---- */

/* Receives at least one item and at most n, which have room at `items`. */
static int recv_items(gs__py_chan *self, void *items, size_t n, size_t *received, gs_ctx *scope,
                      int64_t deadline)
{
    *received = 0;
    if (gs__unlikely(gs__ctx_is_done(scope)))
        return GS_ECANCELED;
    gs_chan *ch = self->ch;
    int code = gs__chan_try_recv_many(ch, items, n, received);
    if (code != GS_EAGAIN)
        return code;
    if (deadline == 0)
        return GS_ETIMEDOUT;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    gs__chan_ref(ch);
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_recv_many(ch, items, n, received, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    gs__chan_unref(ch);
    return code;
}

/* Items on their way into a list. */
typedef struct batch {
    char *items; /* `few`, or memory of its own */
    size_t n, room;
    uint64_t few[BATCH_BYTES / sizeof(uint64_t)];
} batch;

static bool batch_grow(batch *b, size_t size, size_t room)
{
    if (room > PY_SSIZE_T_MAX / size)
        return false;
    char *items = PyMem_Realloc(b->items == (char *)b->few ? NULL : b->items, room * size);
    if (!items)
        return false;
    if (b->items == (char *)b->few)
        memcpy(items, b->few, b->n * size);
    b->items = items;
    b->room = room;
    return true;
}

static void put_back(gs__py_chan *self, batch *b)
{
    while (b->n--) {
        char *item = b->items + b->n * self->ch->item_size;
        if (gs__chan_unrecv(self->ch, item) != GS_OK)
            gs__codec_drop(&self->codec, item);
    }
}

static PyObject *list_of(gs__py_chan *self, batch *b)
{
    size_t size = self->ch->item_size;
    PyObject *list = PyList_New((Py_ssize_t)b->n);
    for (size_t i = 0; list && i < b->n; i++) {
        PyObject *value = gs__codec_read(&self->codec, b->items + i * size);
        if (value)
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
        else
            Py_CLEAR(list);
    }
    if (!list) {
        put_back(self, b);
        return NULL;
    }
    for (size_t i = 0; i < b->n; i++)
        gs__codec_done(&self->codec, b->items + i * size);
    return list;
}

static PyObject *recv_list(gs__py_chan *self, size_t n, gs_ctx *scope, int64_t deadline)
{
    batch b;
    size_t size = self->ch->item_size, got;
    b.items = (char *)b.few;
    b.n = 0;
    b.room = sizeof b.few / size;
    if (!b.room && !batch_grow(&b, size, 1))
        return PyErr_NoMemory();
    PyObject *list = NULL;
    int code = recv_items(self, b.items, n < b.room ? n : b.room, &got, scope, deadline);
    if (code != GS_OK) {
        gs__py_chan_raise(self, "recv_many", code, scope);
        goto done;
    }
    b.n = got;
    /* Without memory for more, fewer are as good. */
    while (b.n == b.room && b.n < n && batch_grow(&b, size, b.room * 2)) {
        size_t more = (n < b.room ? n : b.room) - b.n;
        if (gs__chan_try_recv_many(self->ch, b.items + b.n * size, more, &got) != GS_OK)
            break;
        b.n += got;
    }
    list = list_of(self, &b);
done:
    if (b.items != (char *)b.few)
        PyMem_Free(b.items);
    return list;
}

/* 0, or -1 with TypeError or ValueError. */
static int check_into(gs__py_chan *self, PyObject *into, const Py_buffer *view, size_t n)
{
    int matches = gs__codec_matches(&self->codec, into, view);
    if (matches < 0)
        return -1;
    if (!matches) {
        PyErr_Format(PyExc_TypeError,
                     "recv_many: the items of into, format %s of %zd bytes each, are not those of "
                     "%R",
                     view->format ? view->format : "B", view->itemsize, self);
        return -1;
    }
    size_t room = (size_t)view->len / (size_t)view->itemsize;
    if (n > room) {
        PyErr_Format(PyExc_ValueError, "recv_many: into has room for %zu items, n is %zu", room, n);
        return -1;
    }
    return 0;
}

static PyObject *recv_into(gs__py_chan *self, PyObject *into, size_t n, gs_ctx *scope,
                           int64_t deadline)
{
    Py_buffer view;
    if (PyObject_GetBuffer(into, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE | PyBUF_FORMAT) < 0) {
        if (gs__py_no_buffer())
            PyErr_Format(PyExc_TypeError,
                         "recv_many: into must be a writable C-contiguous buffer; this %.100s is "
                         "none",
                         Py_TYPE(into)->tp_name);
        return NULL;
    }
    PyObject *result = NULL;
    if (check_into(self, into, &view, n) == 0) {
        size_t received;
        int code = recv_items(self, view.buf, n, &received, scope, deadline);
        result = code == GS_OK ? PyLong_FromSize_t(received)
                               : gs__py_chan_raise(self, "recv_many", code, scope);
    }
    PyBuffer_Release(&view);
    return result;
}

/* An int of 1 or more; one beyond every size is as good as the largest. */
static int count_from(PyObject *object, size_t *n)
{
    if (!PyIndex_Check(object)) {
        PyErr_Format(PyExc_TypeError, "recv_many: n must be an int, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    Py_ssize_t count = PyNumber_AsSsize_t(object, NULL);
    if (count == -1 && PyErr_Occurred())
        return -1;
    if (count < 1) {
        PyErr_Format(PyExc_ValueError, "recv_many: n must be 1 or more, not %zd", count);
        return -1;
    }
    *n = (size_t)count;
    return 0;
}

PyObject *gs__py_chan_recv_many(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    static const gs__py_params params = {"recv_many", 1, 3, {"n", "into", "timeout"}};
    PyObject *given[3];
    size_t n;
    int64_t deadline = GS_FOREVER;
    if (gs__py_args(&params, args, nargs, kwnames, given) < 0 || gs__py_chan_enter(self) < 0)
        return NULL;
    if (count_from(given[0], &n) < 0)
        return NULL;
    if (given[2] && gs__py_deadline(given[2], "timeout", &deadline) < 0)
        return NULL;
    gs_ctx *scope = gs__py_scope(self->state);
    if (!scope)
        return NULL;
    PyObject *result = given[1] && given[1] != Py_None
                           ? recv_into(self, given[1], n, scope, deadline)
                           : recv_list(self, n, scope, deadline);
    gs__ctx_unref(scope);
    return result;
}
