/* args.c: see args.h. An argument of the wrong kind abandons the task: its message names the task, the
 * argument, and both types. */
#define _GNU_SOURCE
#include "args.h"

#include "debug.h"
#include "str.h"

#include <stdio.h>
#include <string.h>

static gs_task *task_of(gs_call *call)
{
    return (gs_task *)call;
}

/* ---- failing ---- */

int gs__vfail(gs_call *call, int code, const char *fmt, va_list args)
{
    gs_task *task = task_of(call);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, fmt, args);
    char *message = size >= 0 ? gs__alloc((size_t)size + 1) : NULL;
    if (message)
        vsnprintf(message, (size_t)size + 1, fmt, again);
    va_end(again);
    gs__free(task->message);
    task->message = message;
    task->misuse = 0;
    return code == GS_OK ? GS_EINVAL : code; /* a failure has a code */
}

static int fail(gs_call *call, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(gs_call *call, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    code = gs__vfail(call, code, fmt, args);
    va_end(args);
    return code;
}

static const char *kind_text(const gs_value *v, char *text)
{
    static const char *const names[] = {"?",        "int",     "float",  "str",
                                        "bytes",    "buffer",  "Chan",   "SendChan",
                                        "RecvChan", "Context", "pointer"};
    const char *name = names[v->kind >= 0 && v->kind <= GS_VALUE_PTR ? v->kind : 0];
    char item[GS__TYPE_TEXT];
    if (v->kind >= GS_VALUE_CHAN && v->kind <= GS_VALUE_RECV_CHAN)
        snprintf(text, 2 * GS__TYPE_TEXT, "%s of %s", name,
                 gs__type_text(v->as.chan->elem.type, item));
    else
        snprintf(text, 2 * GS__TYPE_TEXT, "%s", name);
    return text;
}

static _Noreturn void refuse(gs_call *call, int i, const gs_value *v, const char *expected)
{
    char got[2 * GS__TYPE_TEXT];
    int code = fail(call, GS_EINVAL, "task '%s': argument %d must be %s, not %s",
                    task_of(call)->name, i, expected, kind_text(v, got));
    gs__task_abandon(task_of(call), code);
}

static const gs_value *argument(gs_call *call, int i, const char *expected)
{
    gs_task *task = task_of(call);
    if (gs__likely(i >= 0 && i < task->nargs))
        return &task->args[i];
    int code = fail(call, GS_EINVAL,
                    "task '%s': argument %d, which must be %s, is missing: it was given %d",
                    task->name, i, expected, task->nargs);
    gs__task_abandon(task, code);
}

static const gs_value *argument_of(gs_call *call, int i, int kind, const char *expected)
{
    const gs_value *v = argument(call, i, expected);
    if (gs__unlikely(v->kind != kind))
        refuse(call, i, v, expected);
    return v;
}

/* ---- plain ones ---- */

int gs__nargs(gs_call *call)
{
    return task_of(call)->nargs;
}

int gs__arg_kind(gs_call *call, int i)
{
    gs_task *task = task_of(call);
    return i >= 0 && i < task->nargs ? task->args[i].kind : 0;
}

int64_t gs__arg_int(gs_call *call, int i)
{
    return argument_of(call, i, GS_VALUE_INT, "an int")->as.i;
}

double gs__arg_float(gs_call *call, int i)
{
    const gs_value *v = argument(call, i, "a float");
    return v->kind == GS_VALUE_INT ? (double)v->as.i
                                   : argument_of(call, i, GS_VALUE_FLOAT, "a float")->as.f;
}

const char *gs__arg_str(gs_call *call, int i, size_t *size)
{
    const gs_value *v = argument_of(call, i, GS_VALUE_STR, "a str");
    if (size)
        *size = v->as.s.size;
    return v->as.s.data;
}

gs_ctx *gs__arg_ctx(gs_call *call, int i)
{
    return argument_of(call, i, GS_VALUE_CTX, "a Context")->as.ctx;
}

void *gs__arg_ptr(gs_call *call, int i)
{
    return argument_of(call, i, GS_VALUE_PTR, "a pointer that gs_go was given")->as.ptr;
}

/* ---- channels ---- */

gs_chan *gs__arg_chan(gs_call *call, int i, gs_type item)
{
    char expected[2 * GS__TYPE_TEXT], type[GS__TYPE_TEXT];
    snprintf(expected, sizeof expected, "a channel of %s", gs__type_text(item, type));
    const gs_value *v = argument(call, i, expected);
    bool chan =
        v->kind == GS_VALUE_CHAN || v->kind == GS_VALUE_SEND_CHAN || v->kind == GS_VALUE_RECV_CHAN;
    if (!chan || v->as.chan->elem.type != item)
        refuse(call, i, v, expected);
    return v->as.chan;
}

bool gs__may_use_half(gs_task *task, const gs_chan *ch, int half)
{
    bool named = false;
    for (int i = 0; i < task->nargs; i++) {
        const gs_value *v = &task->args[i];
        bool chan = v->kind == GS_VALUE_CHAN || v->kind == GS_VALUE_SEND_CHAN ||
                    v->kind == GS_VALUE_RECV_CHAN;
        if (!chan || v->as.chan != ch)
            continue;
        named = true;
        if (v->kind == GS_VALUE_CHAN ||
            v->kind == (half == 2 ? GS_VALUE_SEND_CHAN : GS_VALUE_RECV_CHAN))
            return true;
    }
    return !named;
}

/* ---- buffers ---- */

static bool contiguous(const gs_view *view)
{
    ptrdiff_t step = (ptrdiff_t)view->itemsize;
    if (view->size == 0)
        return true;
    for (int i = view->ndim; i-- > 0;) {
        if (view->shape[i] != 1 && view->strides && view->strides[i] != step)
            return false;
        step *= view->shape[i];
    }
    return true;
}

const gs_view *gs__arg_view(gs_call *call, int i)
{
    return argument_of(call, i, GS_VALUE_VIEW, "a buffer")->as.view;
}

static const gs_view *contiguous_view(gs_call *call, int i, const char *expected, bool writable)
{
    const gs_value *v = argument_of(call, i, GS_VALUE_VIEW, expected);
    const char *wrong = !contiguous(v->as.view)            ? "one that is not C-contiguous"
                        : writable && v->as.view->readonly ? "one that is read-only"
                                                           : NULL;
    if (wrong) {
        int code = fail(call, GS_EINVAL, "task '%s': argument %d must be %s, not %s",
                        task_of(call)->name, i, expected, wrong);
        gs__task_abandon(task_of(call), code);
    }
    return v->as.view;
}

const void *gs__arg_bytes(gs_call *call, int i, size_t *size)
{
    const gs_value *v = argument(call, i, "a contiguous buffer");
    if (v->kind == GS_VALUE_BYTES) {
        *size = v->as.s.size;
        return v->as.s.data;
    }
    const gs_view *view = contiguous_view(call, i, "a contiguous buffer", false);
    *size = view->size;
    return view->data;
}

void *gs__arg_buffer(gs_call *call, int i, size_t *size)
{
    const gs_view *view = contiguous_view(call, i, "a contiguous writable buffer", true);
    *size = view->size;
    return view->data;
}

/* The kind of a struct format of one item in the machine's byte order; 0 for another. */
static int kind_of_format(const char *format)
{
    const uint16_t one = 1;
    char native = *(const char *)&one ? '<' : '>';
    if (*format == '@' || *format == '=' || *format == native)
        format++;
    if (!*format || format[1])
        return 0;
    if (*format == '?')
        return GS_KIND_BOOL;
    if (strchr("bhilqn", *format))
        return GS_KIND_INT;
    if (strchr("BHILQN", *format))
        return GS_KIND_UINT;
    return strchr("fd", *format) ? GS_KIND_FLOAT : 0;
}

void *gs__arg_array(gs_call *call, int i, gs_type item, size_t *count)
{
    char expected[2 * GS__TYPE_TEXT + 32], type[GS__TYPE_TEXT];
    snprintf(expected, sizeof expected, "a contiguous writable buffer of %s",
             gs__type_text(item, type));
    const gs_view *view = contiguous_view(call, i, expected, true);
    int kind = GS_TYPE_KIND(item);
    if (view->itemsize != GS_TYPE_SIZE(item) ||
        (kind != GS_KIND_RECORD && kind_of_format(view->format) != kind)) {
        int code =
            fail(call, GS_EINVAL,
                 "task '%s': argument %d must be %s, not one of format '%s' and %zu bytes an item",
                 task_of(call)->name, i, expected, view->format, view->itemsize);
        gs__task_abandon(task_of(call), code);
    }
    *count = view->size / view->itemsize;
    return view->data;
}

/* ---- result ---- */

static void set_result(gs_task *task, gs__result result)
{
    if (task->result.kind == GS_VALUE_STR || task->result.kind == GS_VALUE_BYTES)
        gs__str_drop(&task->result.as.s);
    task->result = result;
}

int gs__return_int(gs_call *call, int64_t n)
{
    set_result(task_of(call), (gs__result){.kind = GS_VALUE_INT, .as.i = n});
    return GS_OK;
}

int gs__return_float(gs_call *call, double x)
{
    set_result(task_of(call), (gs__result){.kind = GS_VALUE_FLOAT, .as.f = x});
    return GS_OK;
}

static int return_copy(gs_call *call, uint8_t kind, const void *data, size_t size)
{
    gs__result result = {.kind = kind};
    if (gs__str_new(&result.as.s, data, size) != GS_OK)
        return fail(call, GS_ENOMEM, "no memory for the result of task '%s', %zu bytes",
                    task_of(call)->name, size);
    set_result(task_of(call), result);
    return GS_OK;
}

int gs__return_str(gs_call *call, const char *s, size_t size)
{
    if (!gs__utf8_valid(s, size))
        return fail(call, GS_EINVAL, "the result of task '%s' must be UTF-8, and is not",
                    task_of(call)->name);
    return return_copy(call, GS_VALUE_STR, s, size);
}

int gs__return_bytes(gs_call *call, const void *data, size_t size)
{
    return return_copy(call, GS_VALUE_BYTES, data, size);
}

/* How many bytes the sequence that begins here has; 0 where it is none (RFC 3629). */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2;
    else if ((p[0] & 0xf0) == 0xe0)
        n = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (n > left)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f; /* no surrogates */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool gs__utf8_valid(const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0, n; i < size; i += n)
        if (!(n = utf8_sequence(p + i, size - i)))
            return false;
    return true;
}
