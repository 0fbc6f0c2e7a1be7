/* clock.c: sleep and checkpoint, after and Ticker.
 *
 * A beat is a timer of the core that sends the time on a channel: no thread, no task. When it
 * fires it claims its party, and the party's `notify` sends, without a lock and without the GIL.
 * What always holds:
 *  - A beat is memory by reference: its Ticker object has one, and the timer has one from when it
 *    was armed until it was stopped, or has fired for the last time.
 *  - The channel is referenced as long as the beat is there. The Python channel holds the Ticker
 *    (an after has one too, which nobody sees), and the Ticker's end stops the timer. So nothing
 *    is left of an after(3600) whose channel was dropped.
 *  - `stopped` is set before the timer is stopped, and looked at after it was armed again: one of
 *    the two stops it. */
#include "args.h"
#include "block.h"

#include <structmember.h>

typedef struct beat {
    atomic_uint refs;
    gs__async op; /* of which only the party and notify are used */
    gs__timer timer;
    gs_chan *ch;    /* referenced; float, capacity 1 */
    int64_t at;     /* when it fires, or fired; only arm writes it */
    int64_t period; /* 0: once */
    atomic_bool stopped;
} beat;

typedef struct ticker {
    PyObject_HEAD
    beat *beat;
    PyObject *weakrefs;
    gs__state *state;
    unsigned generation;
} ticker;

/* ---- beats ---- */

static void unref(beat *b)
{
    if (atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    gs__chan_unref(b->ch);
    gs__free(b);
}

static void stop(beat *b)
{
    atomic_store(&b->stopped, true);
    if (gs__timer_stop(&b->timer))
        unref(b);
}

/* Takes over a reference, which goes to the timer where that is armed. The caller has another. */
static int arm(beat *b, int64_t at)
{
    b->at = at;
    atomic_store(&b->op.party.claim, GS__WAITING);
    int code = gs__timer_start(&b->timer, at);
    if (code != GS_OK || at == GS_FOREVER)
        unref(b);
    else if (atomic_load(&b->stopped) && gs__timer_stop(&b->timer))
        unref(b);
    return code;
}

/* The next tick after now on the grid of the period: those that were missed are dropped. */
static int64_t next_tick(const beat *b, int64_t now)
{
    int64_t missed = (now - b->at) / b->period;
    int64_t step = (missed + 1) * b->period;
    return b->at > GS_FOREVER - step ? GS_FOREVER : b->at + step;
}

static void notify(gs__async *op)
{
    beat *b = gs__container(op, beat, op);
    int64_t now = gs__now();
    double seconds = (double)now * 1e-9;
    /* Full: nobody has taken the last tick, and this one is dropped. */
    (void)gs__chan_try_send(b->ch, &seconds);
    if (b->period > 0) {
        atomic_fetch_add(&b->refs, 1);
        if (arm(b, next_tick(b, now)) != GS_OK)
            gs__chan_close(b->ch); /* memory ran out: those who wait for ticks are told */
    }
    unref(b);
}

/* Under the timers' lock: notify runs when that is released. */
static void fire(gs__timer *timer, gs__fired *fired)
{
    gs__party *party = &gs__container(timer, beat, timer)->op.party;
    if (gs__claim(party, GS__TIMEDOUT))
        gs__wakes_add(&fired->wakes, party);
}

static beat *new_beat(int64_t at, int64_t period)
{
    beat *b = gs__alloc(sizeof *b);
    gs_chan *ch = b ? gs__chan_new(gs__elem_of(GS_FLOAT64), 1) : NULL;
    if (!ch) {
        gs__free(b);
        return NULL;
    }
    atomic_init(&b->refs, 2); /* the Ticker's, the timer's */
    gs__party_init(&b->op.party, GS__PARTY_ASYNC);
    b->op.notify = notify;
    gs__timer_init(&b->timer, fire);
    b->ch = ch;
    b->period = period;
    atomic_init(&b->stopped, false);
    if (arm(b, at) != GS_OK) {
        unref(b);
        return NULL;
    }
    return b;
}

/* ---- Ticker ---- */

static PyObject *new_ticker(gs__state *state, int64_t at, int64_t period)
{
    ticker *self = (ticker *)state->ticker_type->tp_alloc(state->ticker_type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->generation = atomic_load(&gs__generation);
    self->beat = new_beat(at, period);
    if (!self->beat) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static PyObject *ticker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"seconds", NULL};
    gs__state *state = gs__py_state_of(type);
    PyObject *seconds;
    int64_t period;
    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Ticker", names, &seconds))
        return NULL;
    gs__py_drops_run();
    if (gs__py_seconds(seconds, "Ticker() seconds", &period) < 0)
        return NULL;
    if (period == 0) {
        PyErr_SetString(PyExc_ValueError, "Ticker() seconds must be more than 0");
        return NULL;
    }
    return new_ticker(state, gs__deadline(period), period);
}

static int enter(ticker *self)
{
    gs__py_drops_run();
    return gs__py_check_generation(self->generation, (PyObject *)self);
}

static PyObject *get_chan(ticker *self, void *Py_UNUSED(closure))
{
    if (enter(self) < 0)
        return NULL;
    return gs__py_chan_wrap_held(self->state, self->beat->ch, &PyFloat_Type, (PyObject *)self);
}

static PyObject *ticker_stop(ticker *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0)
        return NULL;
    stop(self->beat);
    gs__chan_close(self->beat->ch);
    Py_RETURN_NONE;
}

static PyObject *ticker_enter(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(self);
}

static PyObject *ticker_exit(ticker *self, PyObject *const *Py_UNUSED(exc_info),
                             Py_ssize_t Py_UNUSED(n))
{
    return ticker_stop(self, NULL);
}

static PyObject *ticker_iter(ticker *self)
{
    return get_chan(self, NULL);
}

static PyObject *ticker_repr(ticker *self)
{
    if (self->generation != atomic_load(&gs__generation))
        return PyUnicode_FromString("<Ticker of the process before the fork>");
    PyObject *period = PyFloat_FromDouble((double)self->beat->period * 1e-9);
    PyObject *text =
        period ? PyUnicode_FromFormat("<Ticker of %R s, %s>", period,
                                      atomic_load(&self->beat->stopped) ? "stopped" : "running")
               : NULL;
    Py_XDECREF(period);
    return text;
}

static PyObject *ticker_reduce(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(protocol))
{
    PyErr_SetString(PyExc_TypeError,
                    "a Ticker can be neither pickled nor copied: make another one");
    return NULL;
}

static void ticker_dealloc(ticker *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    if (self->beat && self->generation == atomic_load(&gs__generation)) {
        stop(self->beat);
        unref(self->beat);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef ticker_methods[] = {
    {"stop", FUNCTION(ticker_stop), METH_NOARGS,
     PyDoc_STR("stop($self, /)\n--\n\n"
               "No more ticks: closes the channel. Leaving the `with` block does the same.")},
    {"__enter__", ticker_enter, METH_NOARGS, NULL},
    {"__exit__", FUNCTION(ticker_exit), METH_FASTCALL, NULL},
    {"__reduce_ex__", ticker_reduce, METH_O, NULL},
    {NULL},
};

static PyGetSetDef ticker_getset[] = {
    {"chan", (getter)get_chan, NULL,
     PyDoc_STR("A receive-only channel of the times of the ticks (time.monotonic()), capacity 1."),
     NULL},
    {NULL},
};

static PyMemberDef ticker_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ticker, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot ticker_slots[] = {
    {Py_tp_doc,
     PyDoc_STR("Ticker(seconds)\n--\n\n"
               "Sends the time on `chan` every so many seconds. A tick that finds the last one\n"
               "not taken is dropped. Iterating waits for ticks, until stop(); `with` stops it.\n\n"
               "ValueError for 0, a negative number or NaN. Go: time.Ticker.")},
    {Py_tp_new, ticker_new},
    {Py_tp_methods, ticker_methods},
    {Py_tp_getset, ticker_getset},
    {Py_tp_members, ticker_members},
    {Py_tp_iter, ticker_iter},
    {Py_tp_repr, ticker_repr},
    {Py_tp_dealloc, ticker_dealloc},
    {0, NULL},
};

static PyType_Spec ticker_spec = {
    .name = "pygostop.Ticker",
    .basicsize = sizeof(ticker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ticker_slots,
};

/* ---- the functions ---- */

static PyObject *after(PyObject *module, PyObject *seconds)
{
    gs__state *state = gs__py_state(module);
    int64_t deadline;
    gs__py_drops_run();
    if (gs__py_deadline(seconds, "after() seconds", &deadline) < 0)
        return NULL;
    PyObject *hidden = new_ticker(state, deadline, 0);
    PyObject *chan = hidden ? get_chan((ticker *)hidden, NULL) : NULL;
    Py_XDECREF(hidden);
    return chan;
}

/* A checkpoint, then a wait until `deadline`; 0: others may run. */
static PyObject *pause_until(gs__state *state, int64_t deadline)
{
    gs_ctx *scope = gs__py_scope(state);
    if (!scope)
        return NULL;
    int code = GS_ECANCELED;
    if (!gs__ctx_is_done(scope)) {
        if (gs__py_may_block() < 0)
            code = GS__PY_RAISED;
        else
            do {
                PyThreadState *saved = gs__py_block_begin();
                code = deadline ? gs__sleep(deadline, scope) : gs__yield(scope);
                gs__py_block_end(saved);
            } while (gs__py_interrupted(&code));
    }
    if (code == GS_ECANCELED)
        gs__py_raise_cancelled(state, scope);
    else if (code != GS_OK && code != GS__PY_RAISED)
        gs__py_raise(state, code, "sleep() could not wait: %s", gs__code_text(code));
    gs__ctx_unref(scope);
    if (code != GS_OK)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *sleep_for(PyObject *module, PyObject *seconds)
{
    int64_t deadline;
    gs__py_drops_run();
    if (gs__py_deadline(seconds, "sleep() seconds", &deadline) < 0)
        return NULL;
    return pause_until(gs__py_state(module), deadline);
}

static PyObject *checkpoint(PyObject *module, PyObject *Py_UNUSED(none))
{
    gs__py_drops_run();
    return pause_until(gs__py_state(module), 0);
}

static PyMethodDef functions[] = {
    {"sleep", sleep_for, METH_O,
     PyDoc_STR("sleep($module, seconds, /)\n--\n\n"
               "Waits so many seconds; None: until it is cancelled. 0 is checkpoint().\n\n"
               "Cancelled if the scope is done, at once or meanwhile.")},
    {"checkpoint", checkpoint, METH_NOARGS,
     PyDoc_STR("checkpoint($module, /)\n--\n\n"
               "Lets others run; raises Cancelled if the scope is done.")},
    {"after", after, METH_O,
     PyDoc_STR("after($module, seconds, /)\n--\n\n"
               "A receive-only channel that gets the time (time.monotonic()) once, after so many\n"
               "seconds; None: never. Dropping the channel ends it. Go: time.After.")},
    {NULL},
};

int gs__py_clock_exec(PyObject *module, gs__state *state)
{
    state->ticker_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &ticker_spec, NULL);
    if (!state->ticker_type || PyModule_AddType(module, state->ticker_type) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
