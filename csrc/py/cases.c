/* cases.c: see cases.h.
 *
 * Each channel's case has a piece of `words` for its item: what is sent is made there, what is
 * received lands there. The item of a send case is ours until the case has happened. */
#include "cases.h"

#include "block.h"

static const gs__codec *codec_of(PyObject *chan)
{
    return &((gs__py_chan *)chan)->codec;
}

static size_t words_of(PyObject *chan)
{
    size_t size = GS_TYPE_SIZE(codec_of(chan)->type);
    return (size + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

/* ---- make ---- */

static int refuse(const char *call, Py_ssize_t i, const char *what, PyObject *object)
{
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "%s: case %zd %s, not %.100s", call, i, what,
                     Py_TYPE(object)->tp_name);
    return -1;
}

static int set_chan(gs__py_cases *cases, Py_ssize_t i, PyObject *object, int half, const char *what)
{
    int halves;
    gs_chan *ch = gs__py_chan_get(cases->state, object, &halves);
    if (!ch || !(halves & half))
        return refuse(cases->call, i, what, object);
    cases->cases[i].kind = half == GS__PY_SENDS ? GS__CASE_SEND : GS__CASE_RECV;
    cases->cases[i].on.chan = ch;
    cases->on[i] = Py_NewRef(object);
    return 0;
}

/* What the case waits for; its item is not looked at yet. */
static int set_case(gs__py_cases *cases, Py_ssize_t i, PyObject *object)
{
    static const char kinds[] =
        "must be a channel to receive from, a (channel, value) pair, a Context, a Task or None";
    gs__select_case *one = &cases->cases[i];
    if (object == Py_None) {
        one->kind = GS__CASE_NONE;
        return 0;
    }
    if (PyTuple_Check(object)) {
        if (PyTuple_GET_SIZE(object) != 2)
            return refuse(cases->call, i, "must be a pair (channel, value)", object);
        return set_chan(cases, i, PyTuple_GET_ITEM(object, 0), GS__PY_SENDS,
                        "must send on a Chan or SendChan");
    }
    int halves;
    if (gs__py_chan_get(cases->state, object, &halves) || PyErr_Occurred())
        return set_chan(cases, i, object, GS__PY_RECVS, kinds);
    if ((one->on.ctx = gs__py_ctx_get(cases->state, object)))
        one->kind = GS__CASE_CTX;
    else if (!PyErr_Occurred() && (one->on.task = gs__py_task_get(cases->state, object)))
        one->kind = GS__CASE_TASK;
    else
        return refuse(cases->call, i, kinds, object);
    cases->on[i] = Py_NewRef(object);
    return 0;
}

static bool is_chan_case(const gs__select_case *one)
{
    return one->kind == GS__CASE_RECV || one->kind == GS__CASE_SEND;
}

/* Gives each channel's case its piece of `words`, and makes what is sent. */
static int make_items(gs__py_cases *cases, PyObject *const *args)
{
    size_t n_words = 0;
    for (int i = 0; i < cases->n; i++)
        if (is_chan_case(&cases->cases[i]))
            n_words += words_of(cases->on[i]);
    if (n_words > GS__FEW_WORDS) {
        cases->words = PyMem_New(uint64_t, n_words);
        if (!cases->words) {
            cases->words = cases->few_words;
            PyErr_NoMemory();
            return -1;
        }
    }
    uint64_t *item = cases->words;
    for (int i = 0; i < cases->n; i++) {
        gs__select_case *one = &cases->cases[i];
        if (!is_chan_case(one))
            continue;
        one->item = item;
        item += words_of(cases->on[i]);
    }
    for (int i = 0; i < cases->n; i++) {
        gs__select_case *one = &cases->cases[i];
        if (one->kind == GS__CASE_SEND &&
            gs__codec_write(codec_of(cases->on[i]), cases->on[i], PyTuple_GET_ITEM(args[i], 1),
                            one->item) < 0)
            return -1;
        cases->n_items = i + 1;
    }
    return 0;
}

int gs__py_cases_init(gs__py_cases *cases, gs__state *state, const char *call,
                      PyObject *const *args, Py_ssize_t n)
{
    if (n > GS__SELECT_MAX) {
        PyErr_Format(PyExc_ValueError, "%s: at most %d cases, not %zd", call, GS__SELECT_MAX, n);
        return -1;
    }
    cases->state = state;
    cases->call = call;
    cases->n = 0;
    cases->n_items = 0;
    cases->held = false;
    cases->cases = cases->few_cases;
    cases->on = cases->few_on;
    cases->words = cases->few_words;
    if (n > GS__FEW_CASES) {
        /* One piece for both: the cases first, as they need the wider alignment. */
        cases->cases = PyMem_Malloc((size_t)n * (sizeof *cases->cases + sizeof *cases->on));
        if (!cases->cases) {
            PyErr_NoMemory();
            return -1;
        }
        cases->on = (PyObject **)(cases->cases + n);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        cases->on[i] = NULL;
        cases->n = (int)i + 1;
        if (set_case(cases, i, args[i]) < 0)
            goto fail;
    }
    if (make_items(cases, args) == 0)
        return 0;
fail:
    gs__py_cases_clear(cases);
    return -1;
}

void gs__py_cases_hold(gs__py_cases *cases)
{
    for (int i = 0; i < cases->n; i++)
        if (is_chan_case(&cases->cases[i]))
            gs__chan_ref(cases->cases[i].on.chan);
    cases->held = true;
}

void gs__py_cases_release(gs__py_cases *cases)
{
    for (int i = 0; i < cases->n && cases->held; i++)
        if (is_chan_case(&cases->cases[i]))
            gs__chan_unref(cases->cases[i].on.chan);
    cases->held = false;
}

/* ---- what came of it ---- */

PyObject *gs__py_selected(gs__state *state, Py_ssize_t index, PyObject *value, bool ok)
{
    if (!value)
        return NULL;
    PyObject *number = PyLong_FromSsize_t(index);
    PyObject *selected = number ? state->selected_type->tp_alloc(state->selected_type, 3) : NULL;
    if (!selected) {
        Py_XDECREF(number);
        Py_DECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(selected, 0, number);
    PyTuple_SET_ITEM(selected, 1, value);
    PyTuple_SET_ITEM(selected, 2, Py_NewRef(ok ? Py_True : Py_False));
    return selected;
}

static PyObject *raise_code(gs__py_cases *cases, int code, gs_ctx *scope)
{
    switch (code) {
    case GS__PY_RAISED:
        return NULL;
    case GS_ECANCELED:
        return gs__py_raise_cancelled(cases->state, scope);
    case GS_ETIMEDOUT:
        return gs__py_raise(cases->state, code, "%s: the time ran out on %d cases", cases->call,
                            cases->n);
    default:
        return gs__py_raise(cases->state, code, "%s: %s", cases->call, gs__code_text(code));
    }
}

/* The item of send case `i` has changed hands. */
static void forget_item(gs__py_cases *cases, int i)
{
    cases->cases[i].kind = GS__CASE_NONE;
}

PyObject *gs__py_cases_result(gs__py_cases *cases, int code, gs_ctx *scope)
{
    if (code < 0)
        return raise_code(cases, code, scope);
    gs__select_case *one = &cases->cases[code];
    PyObject *value;
    switch ((enum gs__case_kind)one->kind) {
    case GS__CASE_RECV:
        value = one->ok ? gs__py_chan_value_of((gs__py_chan *)cases->on[code], one->item)
                        : Py_NewRef(Py_None);
        break;
    case GS__CASE_SEND:
        if (!one->ok)
            return gs__py_chan_raise((gs__py_chan *)cases->on[code], cases->call, GS_ECLOSED, NULL);
        forget_item(cases, code);
        return gs__py_selected(cases->state, code, Py_NewRef(Py_None), true);
    case GS__CASE_CTX:
        value = gs__py_ctx_err(cases->state, one->on.ctx);
        break;
    default:
        value = Py_NewRef(cases->on[code]);
    }
    return gs__py_selected(cases->state, code, value, one->kind != GS__CASE_RECV || one->ok);
}

bool gs__py_cases_undo(gs__py_cases *cases, int index)
{
    gs__select_case *one = &cases->cases[index];
    if (one->kind == GS__CASE_SEND)
        return !one->ok;
    return one->kind != GS__CASE_RECV || !one->ok ||
           gs__chan_unrecv(one->on.chan, one->item) == GS_OK;
}

/* ---- end ---- */

void gs__py_cases_clear(gs__py_cases *cases)
{
    gs__py_cases_release(cases);
    for (int i = 0; i < cases->n_items; i++)
        if (cases->cases[i].kind == GS__CASE_SEND)
            gs__codec_drop(codec_of(cases->on[i]), cases->cases[i].item);
    for (int i = 0; i < cases->n; i++)
        Py_XDECREF(cases->on[i]);
    cases->n = cases->n_items = 0;
    if (cases->words != cases->few_words)
        PyMem_Free(cases->words);
    if (cases->cases != cases->few_cases)
        PyMem_Free(cases->cases);
    cases->words = cases->few_words;
    cases->cases = cases->few_cases;
    cases->on = cases->few_on;
}
