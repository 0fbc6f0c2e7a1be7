/* task_args.c: Python arguments to the values that a C task reads: see task_args.h.
 *
 * Strings, bytes and buffers are not copied: the task reads them where they lie, and `held` keeps them
 * (a buffer through a memoryview, which holds its exporter) until the task has ended. Then a C worker
 * lets go of the list by gs__py_drop. */
#include "convert.h"
#include "task_args.h"

/* What one conversion is about, for its messages. */
typedef struct place {
    gs__state *state;
    const char *task;
    const gs__param *param; /* NULL without a signature */
    Py_ssize_t i;
} place;

static int refuse(const place *at, PyObject *arg, const char *expected)
{
    PyErr_Format(PyExc_TypeError, "task '%s': argument %zd%s%s%s must be %s, not %.100s", at->task,
                 at->i, at->param ? " ('" : "", at->param ? at->param->name : "",
                 at->param ? "')" : "", expected, Py_TYPE(arg)->tp_name);
    return -1;
}

static int hold(gs__call_args *call, PyObject *object)
{
    return PyList_Append(call->held, object);
}

/* ---- one kind each ---- */

static int from_int(const place *at, PyObject *arg, gs_value *v)
{
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(arg, &overflow);
    if (n == -1 && PyErr_Occurred())
        return -1;
    if (overflow) {
        PyErr_Format(PyExc_OverflowError,
                     "task '%s': argument %zd: the int %R does not fit into 64 bits", at->task,
                     at->i, arg);
        return -1;
    }
    *v = GS_ARG_INT(n);
    return 0;
}

static int from_float(PyObject *arg, gs_value *v)
{
    double x = PyFloat_AsDouble(arg);
    if (x == -1 && PyErr_Occurred())
        return -1;
    *v = GS_ARG_FLOAT(x);
    return 0;
}

static int from_str(const place *at, gs__call_args *call, PyObject *arg, gs_value *v)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(arg, &size);
    if (!text) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeError))
            PyErr_Format(PyExc_TypeError,
                         "task '%s': argument %zd is a str with a lone surrogate, which UTF-8 has "
                         "not: "
                         "pass os.fsencode() of a file name",
                         at->task, at->i);
        return -1;
    }
    *v = gs__value(GS_VALUE_STR);
    v->as.s = (gs_str){text, (size_t)size};
    return hold(call, arg);
}

static int from_bytes(gs__call_args *call, PyObject *arg, gs_value *v)
{
    *v = gs__value(GS_VALUE_BYTES);
    v->as.s = (gs_str){PyBytes_AS_STRING(arg), (size_t)PyBytes_GET_SIZE(arg)};
    return hold(call, arg);
}

/* Whether a buffer's items hold Python objects. The names of fields stand between colons. */
static bool holds_objects(const char *format)
{
    bool in_name = false;
    for (; *format; format++)
        if (*format == ':')
            in_name = !in_name;
        else if (*format == 'O' && !in_name)
            return true;
    return false;
}

/* What the exporter raised, a ValueError of NumPy's for one, with the argument before its words. */
static int refuse_exporter(const place *at, PyObject *arg)
{
    if (!gs__py_no_buffer())
        return -1;
    PyObject *type, *reason, *traceback;
    PyErr_Fetch(&type, &reason, &traceback);
    PyErr_NormalizeException(&type, &reason, &traceback);
    PyErr_Format(PyExc_TypeError, "task '%s': argument %zd, of type %.100s, gives no buffer: %S",
                 at->task, at->i, Py_TYPE(arg)->tp_name, reason);
    Py_XDECREF(type);
    Py_XDECREF(reason);
    Py_XDECREF(traceback);
    return -1;
}

static int from_buffer(const place *at, gs__call_args *call, gs_view *view, PyObject *arg,
                       gs_value *v)
{
    PyObject *memory = PyMemoryView_FromObject(arg);
    if (!memory)
        return refuse_exporter(at, arg);
    int held = hold(call, memory);
    Py_DECREF(memory);
    if (held < 0)
        return -1;
    const Py_buffer *b = PyMemoryView_GET_BUFFER(memory);
    if (b->format && holds_objects(b->format)) /* a task that wrote there would break references */
        return refuse(at, arg, "a buffer of plain data, without Python objects");
    if (b->suboffsets) /* of which a gs_view, and so the task, knows nothing */
        return refuse(at, arg, "a buffer whose rows lie in one piece of memory, without suboffsets");
    *view = (gs_view){b->buf,  (size_t)b->len, (size_t)b->itemsize, b->format ? b->format : "B",
                      b->ndim, b->shape,       b->strides,          b->readonly};
    *v = gs__value(GS_VALUE_VIEW);
    v->as.view = view;
    return 0;
}

/* The references on the core's objects are the values' own. */
static void from_chan(gs_chan *ch, int halves, gs_value *v)
{
    static const int kinds[] = {0, GS_VALUE_RECV_CHAN, GS_VALUE_SEND_CHAN, GS_VALUE_CHAN};
    *v = gs__value(kinds[halves]);
    v->as.chan = ch;
    gs__chan_ref(ch);
}

static void from_ctx(gs_ctx *ctx, gs_value *v)
{
    *v = GS_ARG_CTX(ctx);
    gs__ctx_ref(ctx);
}

/* ---- by what the argument is ---- */

static bool has_length(PyObject *arg)
{
    PyTypeObject *type = Py_TYPE(arg);
    return (type->tp_as_sequence && type->tp_as_sequence->sq_length) ||
           (type->tp_as_mapping && type->tp_as_mapping->mp_length);
}

static bool has_float(PyObject *arg)
{
    return Py_TYPE(arg)->tp_as_number && Py_TYPE(arg)->tp_as_number->nb_float;
}

/* A number of another library. An array may claim to be a number, and NumPy's scalars claim to be
 * buffers: only the arrays have a length. 1: it is one, 0: not, -1: an exception. */
static int from_other_number(const place *at, PyObject *arg, gs_value *v)
{
    if (has_length(arg))
        return 0;
    if (PyIndex_Check(arg)) {
        PyObject *n = PyNumber_Index(arg);
        int code = n ? from_int(at, n, v) : -1;
        Py_XDECREF(n);
        return code < 0 ? -1 : 1;
    }
    if (!has_float(arg))
        return 0;
    int is_complex = gs__is_numpy(arg, "complexfloating"); /* a float would be half of it */
    if (is_complex)
        return is_complex < 0 ? -1 : refuse(at, arg, "an int or a float");
    int is_bool = gs__is_numpy(arg, "bool_"); /* it has no __index__, and a bool is an int */
    if (is_bool > 0) {
        int truth = PyObject_IsTrue(arg);
        *v = GS_ARG_INT(truth);
        return truth < 0 ? -1 : 1;
    }
    return is_bool < 0 || from_float(arg, v) < 0 ? -1 : 1;
}

static int convert(const place *at, gs__call_args *call, gs_view *view, PyObject *arg, gs_value *v)
{
    int halves;
    gs_chan *ch;
    gs_ctx *ctx;
    if (PyLong_Check(arg))
        return from_int(at, arg, v);
    if (PyFloat_Check(arg))
        return from_float(arg, v);
    if (PyUnicode_Check(arg))
        return from_str(at, call, arg, v);
    if (PyBytes_Check(arg))
        return from_bytes(call, arg, v);
    if ((ch = gs__py_chan_get(at->state, arg, &halves))) {
        from_chan(ch, halves, v);
        return 0;
    }
    if (PyErr_Occurred())
        return -1;
    if ((ctx = gs__py_ctx_get(at->state, arg))) {
        from_ctx(ctx, v);
        return 0;
    }
    if (PyErr_Occurred())
        return -1;
    int number = from_other_number(at, arg, v);
    if (number)
        return number < 0 ? -1 : 0;
    if (PyObject_CheckBuffer(arg))
        return from_buffer(at, call, view, arg, v);
    return refuse(at, arg, "an int, float, str, bytes, buffer, Chan or Context");
}

/* ---- by what the signature says ---- */

static const char *words_of(const gs__param *param)
{
    static const char *const words[] = {"an int",   "a float",  "a str", "a bytes-like object",
                                        "a buffer", "a Context"};
    return param->kind == GS__PARAM_CHAN ? param->annotation : words[param->kind];
}

static bool fits(const gs__param *param, const gs_value *v)
{
    switch (param->kind) {
    case GS__PARAM_INT:
        return v->kind == GS_VALUE_INT;
    case GS__PARAM_FLOAT:
        return v->kind == GS_VALUE_FLOAT || v->kind == GS_VALUE_INT;
    case GS__PARAM_STR:
        return v->kind == GS_VALUE_STR;
    case GS__PARAM_BYTES:
        return v->kind == GS_VALUE_BYTES || v->kind == GS_VALUE_VIEW;
    case GS__PARAM_BUFFER:
        return v->kind == GS_VALUE_VIEW || v->kind == GS_VALUE_BYTES;
    case GS__PARAM_CONTEXT:
        return v->kind == GS_VALUE_CTX;
    default:
        break;
    }
    int halves = v->kind == GS_VALUE_CHAN        ? 3
                 : v->kind == GS_VALUE_SEND_CHAN ? 2
                 : v->kind == GS_VALUE_RECV_CHAN ? 1
                                                 : 0;
    return halves && (halves & param->halves) == param->halves &&
           (!param->item || v->as.chan->elem.type == param->item);
}

static int convert_one(const place *at, gs__call_args *call, gs_view *view, PyObject *arg,
                       gs_value *v)
{
    if (convert(at, call, view, arg, v) < 0)
        return -1;
    call->n++;
    if (!at->param || fits(at->param, v))
        return 0;
    if (at->param->kind == GS__PARAM_CHAN && gs__py_chan_get(at->state, arg, &(int){0})) {
        PyErr_Format(PyExc_TypeError, "task '%s': argument %zd ('%s') must be %s, not %R", at->task,
                     at->i, at->param->name, words_of(at->param), arg);
        return -1;
    }
    return refuse(at, arg, words_of(at->param));
}

static int check_number(const char *task, const gs__signature *s, Py_ssize_t nargs)
{
    if (!s || (nargs >= s->required && nargs <= s->n))
        return 0;
    if (s->required == s->n)
        PyErr_Format(PyExc_TypeError, "task '%s' takes %d argument%s (%zd given)", task, s->n,
                     s->n == 1 ? "" : "s", nargs);
    else
        PyErr_Format(PyExc_TypeError, "task '%s' takes %d to %d arguments (%zd given)", task,
                     s->required, s->n, nargs);
    return -1;
}

/* ---- all ---- */

int gs__call_args_init(gs__call_args *call, gs__state *state, const char *task, PyObject *keep,
                       const gs__signature *signature, PyObject *const *args, Py_ssize_t nargs)
{
    *call = (gs__call_args){0};
    if (check_number(task, signature, nargs) < 0)
        return -1;
    if (nargs > INT_MAX) {
        PyErr_Format(PyExc_OverflowError, "task '%s': %zd arguments are too many", task, nargs);
        return -1;
    }
    call->values = gs__alloc((size_t)nargs * sizeof *call->values);
    call->views = gs__alloc((size_t)nargs * sizeof *call->views);
    call->held = PyList_New(0);
    if (!call->values || !call->views || !call->held) {
        PyErr_NoMemory();
        goto fail;
    }
    if (hold(call, keep) < 0)
        goto fail;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        place at = {state, task, signature ? &signature->params[i] : NULL, i};
        if (at.param && at.param->optional && args[i] == Py_None && i == nargs - 1)
            continue; /* left out */
        if (convert_one(&at, call, &call->views[i], args[i], &call->values[i]) < 0)
            goto fail;
    }
    return 0;
fail:
    gs__call_args_release(call);
    return -1;
}

void gs__call_args_release(gs__call_args *call)
{
    for (int i = 0; i < call->n; i++) {
        gs_value *v = &call->values[i];
        if (v->kind == GS_VALUE_CTX)
            gs__ctx_unref(v->as.ctx);
        else if (v->kind == GS_VALUE_CHAN || v->kind == GS_VALUE_SEND_CHAN ||
                 v->kind == GS_VALUE_RECV_CHAN)
            gs__chan_unref(v->as.chan);
    }
    gs__free(call->values);
    gs__free(call->views);
    gs__py_drop(call->held);
    *call = (gs__call_args){0};
}
