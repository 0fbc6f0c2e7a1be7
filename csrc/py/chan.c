/* chan.c: handles on channels: make, look at, end. Their calls are in chan_calls.c and chan_many.c,
 * their types in chan_types.c, what always holds in py_chan.h.
 *
 * Garbage collection. The objects that a channel buffers are reached by C tasks and by blocked
 * threads too, of which the collector knows nothing, and which may take one between its two passes
 * without the GIL. So they are visited only where the gs_chan has one reference, this Chan's:
 * nobody else can get one while the collector holds the GIL, and no lock is needed. Elsewhere they
 * count as reachable. Values that were put back, or that a blocked sender still holds, count as
 * reachable too. */
#include "py_chan.h"

static const char *short_name(PyTypeObject *type)
{
    const char *dot = strrchr(type->tp_name, '.');
    return dot ? dot + 1 : type->tp_name;
}

static bool is_current(gs__py_chan *self)
{
    return self->generation == atomic_load_explicit(&gs__generation, memory_order_relaxed);
}

/* ---- make ---- */

/* A handle without a channel; the codec and the name are copied. */
static gs__py_chan *new_handle(gs__state *state, PyTypeObject *type, const gs__codec *codec,
                               PyObject *name, uint8_t halves)
{
    gs__py_chan *self = (gs__py_chan *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    gs__codec_copy(&self->codec, codec);
    self->name = Py_XNewRef(name);
    self->state = state;
    self->generation = atomic_load(&gs__generation);
    self->halves = halves;
    return self;
}

/* 0 with the capacity, or -1: what memory cannot hold is refused before any is asked for. */
static int capacity_from(PyObject *object, gs_type item, size_t *capacity)
{
    *capacity = 0;
    if (!object)
        return 0;
    if (!PyIndex_Check(object)) {
        PyErr_Format(PyExc_TypeError, "Chan() capacity must be an int, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    PyObject *index = PyNumber_Index(object);
    if (!index)
        return -1;
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (overflow < 0 || (overflow == 0 && n < 0)) {
        PyErr_SetString(PyExc_ValueError, "Chan() capacity must be 0 or more");
        return -1;
    }
    if (overflow > 0 || (size_t)n > PY_SSIZE_T_MAX / GS_TYPE_SIZE(item)) {
        PyErr_SetString(PyExc_OverflowError, "Chan() capacity is more than memory can hold");
        return -1;
    }
    *capacity = (size_t)n;
    return 0;
}

static PyObject *new_chan(PyTypeObject *type, const gs__codec *codec, PyObject *capacity_object,
                          PyObject *name)
{
    gs__state *state = gs__py_state_of(type);
    size_t capacity;
    if (!state || capacity_from(capacity_object, codec->type, &capacity) < 0)
        return NULL;
    if (name && name != Py_None && !PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "Chan() name must be a str or None, not %.100s",
                     Py_TYPE(name)->tp_name);
        return NULL;
    }
    gs__py_chan *self =
        new_handle(state, type, codec, name == Py_None ? NULL : name, GS__PY_RECVS | GS__PY_SENDS);
    if (!self)
        return NULL;
    self->ch = gs__chan_new(gs__codec_elem(codec), capacity);
    if (!self->ch) {
        Py_DECREF(self);
        PyErr_Format(PyExc_MemoryError, "Chan() has no memory for a capacity of %zu", capacity);
        return NULL;
    }
    return (PyObject *)self;
}

PyObject *gs__py_chan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"capacity", "type", "name", NULL};
    PyObject *capacity = NULL, *item = (PyObject *)&PyBaseObject_Type, *name = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$O:Chan", names, &capacity, &item, &name))
        return NULL;
    gs__py_drops_run();
    gs__codec codec;
    if (gs__codec_init(&codec, item) < 0)
        return NULL;
    PyObject *self = new_chan(type, &codec, capacity, name);
    gs__codec_clear(&codec);
    return self;
}

static PyObject *new_view(gs__py_chan *whole, PyTypeObject *type, uint8_t halves)
{
    if (gs__py_chan_enter(whole) < 0)
        return NULL;
    gs__py_chan *self = new_handle(whole->state, type, &whole->codec, whole->name, halves);
    if (!self)
        return NULL;
    self->ch = whole->ch;
    self->whole = Py_NewRef(whole);
    return (PyObject *)self;
}

PyObject *gs__py_chan_sender(gs__py_chan *self, PyObject *Py_UNUSED(none))
{
    return new_view(self, self->state->send_chan_type, GS__PY_SENDS);
}

PyObject *gs__py_chan_receiver(gs__py_chan *self, PyObject *Py_UNUSED(none))
{
    return new_view(self, self->state->recv_chan_type, GS__PY_RECVS);
}

/* A RecvChan; `holder` NULL: the reference on `ch` becomes its own, if it is made. */
static gs__py_chan *wrap(gs__state *state, gs_chan *ch, PyTypeObject *item, PyObject *holder)
{
    gs__codec codec;
    gs__py_chan *self = NULL;
    if (gs__codec_init(&codec, (PyObject *)item) == 0) {
        self = new_handle(state, state->recv_chan_type, &codec, NULL, GS__PY_RECVS);
        gs__codec_clear(&codec);
    }
    if (self) {
        self->ch = ch;
        self->whole = Py_XNewRef(holder);
    }
    return self;
}

PyObject *gs__py_chan_wrap_done(gs__state *state, gs_chan *ch)
{
    gs__py_chan *self = wrap(state, ch, &PyBool_Type, NULL);
    if (!self)
        gs__chan_unref(ch);
    return (PyObject *)self;
}

PyObject *gs__py_chan_wrap_held(gs__state *state, gs_chan *ch, PyTypeObject *item, PyObject *holder)
{
    return (PyObject *)wrap(state, ch, item, holder);
}

gs_chan *gs__py_chan_get(gs__state *state, PyObject *object, int *halves)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type != state->chan_type && type != state->recv_chan_type && type != state->send_chan_type)
        return NULL;
    gs__py_chan *self = (gs__py_chan *)object;
    if (gs__py_check_generation(self->generation, object) < 0)
        return NULL;
    *halves = self->halves;
    return self->ch;
}

/* ---- look at ---- */

PyObject *gs__py_chan_repr(gs__py_chan *self)
{
    const char *type = short_name(Py_TYPE(self));
    if (!is_current(self))
        return PyUnicode_FromFormat("<%s of the process before the fork>", type);
    PyObject *label = gs__codec_label(&self->codec);
    if (!label)
        return NULL;
    const char *closed = gs__chan_closed(self->ch) ? "closed" : "open";
    size_t count = gs__chan_len(self->ch), capacity = self->ch->capacity;
    PyObject *repr = self->name ? PyUnicode_FromFormat("<%s %R %U %zu/%zu %s>", type, self->name,
                                                       label, count, capacity, closed)
                                : PyUnicode_FromFormat("<%s #%llu %U %zu/%zu %s>", type,
                                                       (unsigned long long)self->ch->id, label,
                                                       count, capacity, closed);
    Py_DECREF(label);
    return repr;
}

Py_ssize_t gs__py_chan_length(gs__py_chan *self)
{
    return gs__py_chan_enter(self) < 0 ? -1 : (Py_ssize_t)gs__chan_len(self->ch);
}

int gs__py_chan_bool(PyObject *Py_UNUSED(self))
{
    return 1; /* not its length: an empty channel is no false one */
}

PyObject *gs__py_chan_capacity(gs__py_chan *self, void *Py_UNUSED(closure))
{
    return gs__py_chan_enter(self) < 0 ? NULL : PyLong_FromSize_t(self->ch->capacity);
}

PyObject *gs__py_chan_is_closed(gs__py_chan *self, void *Py_UNUSED(closure))
{
    return gs__py_chan_enter(self) < 0 ? NULL : PyBool_FromLong(gs__chan_closed(self->ch));
}

PyObject *gs__py_chan_type(gs__py_chan *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->codec.given);
}

PyObject *gs__py_chan_name(gs__py_chan *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->name ? self->name : Py_None);
}

PyObject *gs__py_chan_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    const char *type = short_name(Py_TYPE(self));
    PyErr_Format(PyExc_TypeError,
                 "a %s can be neither pickled nor copied: hand the %s itself to threads and tasks; "
                 "between processes use multiprocessing.Queue",
                 type, type);
    return NULL;
}

/* ---- end ---- */

static bool is_sole_holder(gs__py_chan *self)
{
    return self->codec.kind == GS__CODEC_OBJECT && self->ch && !self->whole && is_current(self) &&
           atomic_load(&self->ch->refs) == 1;
}

int gs__py_chan_traverse(gs__py_chan *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->whole);
    int result = gs__codec_traverse(&self->codec, visit, arg);
    if (result != 0 || !is_sole_holder(self))
        return result;
    gs_chan *ch = self->ch;
    size_t buffered = gs__chan_len(ch) - ch->n_returned;
    for (size_t i = 0; i < buffered; i++) {
        size_t place = ch->head + i;
        Py_VISIT(((PyObject **)ch->ring)[place < ch->capacity ? place : place - ch->capacity]);
    }
    return 0;
}

/* The codec stays: whoever still finds the channel, in a finaliser, can use it. */
int gs__py_chan_clear(gs__py_chan *self)
{
    PyObject *item;
    while (is_sole_holder(self) && gs__chan_try_recv(self->ch, &item) == GS_OK)
        Py_DECREF(item);
    return 0;
}

void gs__py_chan_dealloc(gs__py_chan *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, gs__py_chan_dealloc) if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    if (self->ch && !self->whole && is_current(self))
        gs__chan_unref(self->ch);
    Py_XDECREF(self->whole);
    Py_XDECREF(self->name);
    gs__codec_clear(&self->codec);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}
