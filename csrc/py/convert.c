/* convert.c: Python values and items of channels.
 *
 * The built-in types and NumPy's plain scalars are converted here; struct formats and other dtypes
 * in pygostop/_items.py, as bytes. An item owns at most one thing: a reference (object), or memory
 * of the core's (str, bytes), which C tasks free too. */
#include "convert.h"

#include "str.h"

#include <math.h>

/* ---- make, end ---- */

static gs_type type_of_description(PyObject *description, bool *plain)
{
    static const struct {
        const char *name;
        int kind;
    } kinds[] = {{"bool", GS_KIND_BOOL},
                 {"int", GS_KIND_INT},
                 {"uint", GS_KIND_UINT},
                 {"float", GS_KIND_FLOAT}};
    PyObject *kind = PyObject_GetAttrString(description, "kind");
    PyObject *size = kind ? PyObject_GetAttrString(description, "size") : NULL;
    size_t bytes = size ? PyLong_AsSize_t(size) : (size_t)-1;
    gs_type type = 0;
    if (PyErr_Occurred())
        goto done;
    if (bytes > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "Chan() type has items of more than 4 GiB");
        goto done;
    }
    type = GS_TYPE(GS_KIND_RECORD, bytes);
    *plain = false;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(kinds); i++)
        if (PyUnicode_CompareWithASCIIString(kind, kinds[i].name) == 0) {
            type = GS_TYPE(kinds[i].kind, bytes);
            *plain = true;
        }
done:
    Py_XDECREF(kind);
    Py_XDECREF(size);
    return type;
}

static int init_described(gs__codec *codec, PyObject *type)
{
    PyObject *items = PyImport_ImportModule("pygostop._items");
    if (!items)
        return -1;
    codec->description = PyObject_CallMethod(items, "describe", "O", type);
    Py_DECREF(items);
    if (!codec->description)
        return -1;
    bool plain;
    codec->type = type_of_description(codec->description, &plain);
    if (!codec->type)
        return -1;
    codec->kind = plain ? GS__CODEC_SCALAR : GS__CODEC_RECORD;
    codec->given = PyObject_GetAttrString(codec->description, "type");
    if (codec->given && plain)
        codec->scalar = PyObject_GetAttrString(codec->description, "scalar");
    return codec->given && (codec->scalar || !plain) ? 0 : -1;
}

int gs__codec_init(gs__codec *codec, PyObject *type)
{
    const struct {
        PyTypeObject *given;
        uint8_t kind;
        gs_type type;
    } builtin[] = {
        {&PyBaseObject_Type, GS__CODEC_OBJECT, GS_OBJECT},
        {&PyLong_Type, GS__CODEC_INT, GS_INT64},
        {&PyFloat_Type, GS__CODEC_FLOAT, GS_FLOAT64},
        {&PyBool_Type, GS__CODEC_BOOL, GS_BOOL},
        {&PyUnicode_Type, GS__CODEC_STR, GS_STR},
        {&PyBytes_Type, GS__CODEC_BYTES, GS_BYTES},
    };
    memset(codec, 0, sizeof *codec);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(builtin); i++)
        if (type == (PyObject *)builtin[i].given) {
            codec->kind = builtin[i].kind;
            codec->type = builtin[i].type;
            codec->given = Py_NewRef(type);
            return 0;
        }
    if (init_described(codec, type) == 0)
        return 0;
    gs__codec_clear(codec);
    return -1;
}

void gs__codec_copy(gs__codec *to, const gs__codec *from)
{
    *to = *from;
    Py_XINCREF(to->given);
    Py_XINCREF(to->description);
    Py_XINCREF(to->scalar);
}

void gs__codec_clear(gs__codec *codec)
{
    Py_CLEAR(codec->given);
    Py_CLEAR(codec->description);
    Py_CLEAR(codec->scalar);
}

int gs__codec_traverse(gs__codec *codec, visitproc visit, void *arg)
{
    Py_VISIT(codec->given);
    Py_VISIT(codec->description);
    Py_VISIT(codec->scalar);
    return 0;
}

gs__elem gs__codec_elem(const gs__codec *codec)
{
    if (codec->kind == GS__CODEC_OBJECT)
        return (gs__elem){codec->type, gs__py_drop_item};
    return gs__elem_of(codec->type);
}

PyObject *gs__codec_label(const gs__codec *codec)
{
    if (!codec->description)
        return PyUnicode_FromString(((PyTypeObject *)codec->given)->tp_name);
    return PyUnicode_Check(codec->given) ? PyObject_Repr(codec->given) : PyObject_Str(codec->given);
}

/* ---- misfits ---- */

static int misfit(PyObject *chan, const char *takes, PyObject *value)
{
    PyErr_Format(PyExc_TypeError, "%R takes %s, not %.100s", chan, takes, Py_TYPE(value)->tp_name);
    return -1;
}

static int out_of_range(PyObject *chan, const char *takes, PyObject *value)
{
    PyErr_Format(PyExc_OverflowError, "%R takes %s; this %.100s is out of range", chan, takes,
                 Py_TYPE(value)->tp_name);
    return -1;
}

/* The exception that is set, if TypeError or OverflowError, with the channel before its words. */
static int name_channel(PyObject *chan)
{
    PyObject *class = PyErr_ExceptionMatches(PyExc_OverflowError) ? PyExc_OverflowError
                      : PyErr_ExceptionMatches(PyExc_TypeError)   ? PyExc_TypeError
                                                                  : NULL;
    if (!class)
        return -1;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyErr_Format(class, "%R %S", chan, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

/* ---- Python to item ---- */

/* The integer of any object with __index__. `*overflow` as PyLong_AsLongLongAndOverflow sets it. */
static int index_of(PyObject *chan, const char *takes, PyObject *value, long long *n, int *overflow)
{
    if (gs__likely(PyLong_Check(value))) {
        *n = PyLong_AsLongLongAndOverflow(value, overflow);
        return 0;
    }
    if (!PyIndex_Check(value))
        return misfit(chan, takes, value);
    PyObject *index = PyNumber_Index(value);
    if (!index)
        return PyErr_ExceptionMatches(PyExc_TypeError) ? misfit(chan, takes, value) : -1;
    *n = PyLong_AsLongLongAndOverflow(index, overflow);
    Py_DECREF(index);
    return 0;
}

static int write_int(PyObject *chan, PyObject *value, void *item)
{
    long long n;
    int overflow;
    if (index_of(chan, "int", value, &n, &overflow) < 0)
        return -1;
    if (overflow)
        return out_of_range(chan, "int from -2**63 to 2**63-1", value);
    memcpy(item, &(int64_t){n}, sizeof(int64_t));
    return 0;
}

int gs__is_numpy(PyObject *value, const char *name)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *numpy = PyDict_GetItemString(modules, "numpy");
    if (!numpy)
        return 0;
    PyObject *class = PyObject_GetAttrString(numpy, name);
    if (!class)
        return -1;
    int result = PyObject_IsInstance(value, class);
    Py_DECREF(class);
    return result;
}

static int write_float(PyObject *chan, PyObject *value, void *item)
{
    if (gs__unlikely(!PyFloat_Check(value) && !PyLong_Check(value))) {
        /* They convert themselves to a float, and lose a part. */
        int is_complex = gs__is_numpy(value, "complexfloating");
        if (is_complex)
            return is_complex < 0 ? -1 : misfit(chan, "float", value);
    }
    double x = PyFloat_AsDouble(value);
    if (gs__unlikely(x == -1.0) && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError))
            return out_of_range(chan, "float", value);
        return PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError)
                   ? misfit(chan, "float", value)
                   : -1;
    }
    memcpy(item, &x, sizeof x);
    return 0;
}

static int write_bool(PyObject *chan, PyObject *value, void *item)
{
    int truth;
    if (gs__likely(PyBool_Check(value)))
        truth = value == Py_True;
    else {
        int fits = gs__is_numpy(value, "bool_");
        if (fits <= 0)
            return fits < 0 ? -1 : misfit(chan, "bool", value);
        truth = PyObject_IsTrue(value);
        if (truth < 0)
            return -1;
    }
    *(uint8_t *)item = (uint8_t)truth;
    return 0;
}

static int write_copy(const void *data, Py_ssize_t size, void *item)
{
    if (gs__str_new(item, data, (size_t)size) == GS_OK)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int write_str(PyObject *chan, PyObject *value, void *item)
{
    if (!PyUnicode_Check(value))
        return misfit(chan, "str", value);
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(value, &size);
    if (!data)
        return PyErr_ExceptionMatches(PyExc_UnicodeError)
                   ? misfit(chan, "str that is valid UTF-8, without lone surrogates", value)
                   : -1;
    return write_copy(data, size, item);
}

static int write_bytes(PyObject *chan, PyObject *value, void *item)
{
    if (PyBytes_Check(value))
        return write_copy(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), item);
    if (!PyObject_CheckBuffer(value))
        return misfit(chan, "bytes or a contiguous buffer", value);
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0)
        return gs__py_no_buffer() ? misfit(chan, "bytes or a contiguous buffer", value) : -1;
    int result = write_copy(view.buf, view.len, item);
    PyBuffer_Release(&view);
    return result;
}

/* By the description, as bytes. */
static int write_described(const gs__codec *codec, PyObject *chan, PyObject *value, void *item)
{
    PyObject *data = PyObject_CallMethod(codec->description, "to_bytes", "(O)", value);
    if (!data)
        return name_channel(chan);
    size_t size = GS_TYPE_SIZE(codec->type);
    int result = 0;
    if (PyBytes_Check(data) && (size_t)PyBytes_GET_SIZE(data) == size)
        memcpy(item, PyBytes_AS_STRING(data), size);
    else
        result = misfit(chan, "what its type converts", value);
    Py_DECREF(data);
    return result;
}

/* A Python int or float into NumPy's scalar of the same kind; 1 where the description must look. */
static int write_scalar(const gs__codec *codec, PyObject *value, void *item)
{
    size_t size = GS_TYPE_SIZE(codec->type);
    int kind = GS_TYPE_KIND(codec->type);
    if (kind == GS_KIND_FLOAT && PyFloat_Check(value)) {
        double x = PyFloat_AS_DOUBLE(value);
        if (size == sizeof(double))
            memcpy(item, &x, sizeof x);
        else if (isinf((float)x) && !isinf(x))
            return 1;
        else
            memcpy(item, &(float){(float)x}, sizeof(float));
        return 0;
    }
    if ((kind != GS_KIND_INT && kind != GS_KIND_UINT) || !PyLong_Check(value))
        return 1;
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(value, &overflow);
    int bits = (int)size * 8;
    if (overflow)
        return 1;
    if (kind == GS_KIND_INT ? bits < 64 && (n < -(1LL << (bits - 1)) || n >= 1LL << (bits - 1))
                            : n < 0 || (bits < 64 && n >= 1LL << bits))
        return 1;
    switch (size) {
    case 1:
        *(uint8_t *)item = (uint8_t)n;
        break;
    case 2:
        memcpy(item, &(uint16_t){(uint16_t)n}, 2);
        break;
    case 4:
        memcpy(item, &(uint32_t){(uint32_t)n}, 4);
        break;
    default:
        memcpy(item, &(uint64_t){(uint64_t)n}, 8);
    }
    return 0;
}

int gs__codec_write_other(const gs__codec *codec, PyObject *chan, PyObject *value, void *item)
{
    switch ((enum gs__codec_kind)codec->kind) {
    case GS__CODEC_OBJECT: /* in convert.h */
        break;
    case GS__CODEC_INT:
        return write_int(chan, value, item);
    case GS__CODEC_FLOAT:
        return write_float(chan, value, item);
    case GS__CODEC_BOOL:
        return write_bool(chan, value, item);
    case GS__CODEC_STR:
        return write_str(chan, value, item);
    case GS__CODEC_BYTES:
        return write_bytes(chan, value, item);
    case GS__CODEC_SCALAR:
        if (write_scalar(codec, value, item) == 0)
            return 0;
        break;
    case GS__CODEC_RECORD:
        break;
    }
    return write_described(codec, chan, value, item);
}

void gs__codec_drop(const gs__codec *codec, void *item)
{
    if (codec->kind == GS__CODEC_OBJECT)
        Py_DECREF(*(PyObject **)item);
    else if (codec->kind == GS__CODEC_STR || codec->kind == GS__CODEC_BYTES)
        gs__str_drop(item);
}

/* ---- item to Python ---- */

static PyObject *read_integer(gs_type type, const void *item)
{
    uint64_t raw = 0;
    int64_t sign;
    size_t size = GS_TYPE_SIZE(type);
    if (size == 1)
        raw = *(const uint8_t *)item, sign = (int8_t)raw;
    else if (size == 2)
        raw = *(const uint16_t *)item, sign = (int16_t)raw;
    else if (size == 4)
        raw = *(const uint32_t *)item, sign = (int32_t)raw;
    else
        raw = *(const uint64_t *)item, sign = (int64_t)raw;
    return GS_TYPE_KIND(type) == GS_KIND_INT ? PyLong_FromLongLong(sign)
                                             : PyLong_FromUnsignedLongLong(raw);
}

static PyObject *read_scalar(const gs__codec *codec, const void *item)
{
    PyObject *plain;
    switch (GS_TYPE_KIND(codec->type)) {
    case GS_KIND_BOOL:
        plain = PyBool_FromLong(*(const uint8_t *)item);
        break;
    case GS_KIND_FLOAT:
        plain = PyFloat_FromDouble(GS_TYPE_SIZE(codec->type) == sizeof(double)
                                       ? *(const double *)item
                                       : (double)*(const float *)item);
        break;
    default:
        plain = read_integer(codec->type, item);
    }
    if (!plain)
        return NULL;
    PyObject *scalar = PyObject_CallOneArg(codec->scalar, plain);
    Py_DECREF(plain);
    return scalar;
}

static PyObject *read_record(const gs__codec *codec, const void *item)
{
    PyObject *data = PyBytes_FromStringAndSize(item, (Py_ssize_t)GS_TYPE_SIZE(codec->type));
    if (!data)
        return NULL;
    PyObject *value = PyObject_CallMethod(codec->description, "from_bytes", "(O)", data);
    Py_DECREF(data);
    return value;
}

PyObject *gs__codec_read_other(const gs__codec *codec, const void *item)
{
    switch ((enum gs__codec_kind)codec->kind) {
    case GS__CODEC_OBJECT: /* in convert.h */
        break;
    case GS__CODEC_INT:
        return PyLong_FromLongLong(*(const int64_t *)item);
    case GS__CODEC_FLOAT:
        return PyFloat_FromDouble(*(const double *)item);
    case GS__CODEC_BOOL:
        return PyBool_FromLong(*(const uint8_t *)item);
    case GS__CODEC_STR: {
        /* gs_send lets a C task send what is no UTF-8: nothing that was sent is lost for that. */
        const gs_str *s = item;
        return PyUnicode_DecodeUTF8(s->data, (Py_ssize_t)s->size, "surrogateescape");
    }
    case GS__CODEC_BYTES: {
        const gs_str *s = item;
        return PyBytes_FromStringAndSize(s->data, (Py_ssize_t)s->size);
    }
    case GS__CODEC_SCALAR:
        return read_scalar(codec, item);
    case GS__CODEC_RECORD:
        break;
    }
    return read_record(codec, item);
}

/* ---- buffers ---- */

bool gs__py_no_buffer(void)
{
    return PyErr_ExceptionMatches(PyExc_BufferError) || PyErr_ExceptionMatches(PyExc_ValueError) ||
           PyErr_ExceptionMatches(PyExc_TypeError);
}

/* The kind of a format of one plain value in this machine's byte order, or -1. */
static int kind_of_format(const char *format, Py_ssize_t size)
{
    if (!format)
        return GS_KIND_UINT;
    char order = *format;
    if (order && strchr("@=<>!", order)) {
        format++;
        bool big = order == '>' || order == '!';
        if ((big || order == '<') && big == PY_LITTLE_ENDIAN && size > 1)
            return -1;
    }
    if (!format[0] || format[1])
        return -1;
    if (strchr("bhilqn", format[0]))
        return GS_KIND_INT;
    if (strchr("BHILQN", format[0]))
        return GS_KIND_UINT;
    if (format[0] == 'f' || format[0] == 'd')
        return GS_KIND_FLOAT;
    return format[0] == '?' ? GS_KIND_BOOL : -1;
}

int gs__codec_matches(const gs__codec *codec, PyObject *buffer, const Py_buffer *view)
{
    switch ((enum gs__codec_kind)codec->kind) {
    case GS__CODEC_OBJECT:
    case GS__CODEC_STR:
    case GS__CODEC_BYTES:
        return 0;
    case GS__CODEC_RECORD:
        break;
    default:
        return (size_t)view->itemsize == GS_TYPE_SIZE(codec->type) &&
               kind_of_format(view->format, view->itemsize) == GS_TYPE_KIND(codec->type);
    }
    if ((size_t)view->itemsize != GS_TYPE_SIZE(codec->type))
        return 0;
    PyObject *answer = PyObject_CallMethod(codec->description, "matches", "(O)", buffer);
    if (!answer)
        return -1;
    int result = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return result;
}
