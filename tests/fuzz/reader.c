/* reader.c: a C task that reads all its arguments, whatever they are, to the last byte. */
#include <pygostop.h>

#include <string.h>

static uint64_t sum_bytes(uint64_t sum, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + p[i];
    return sum;
}

static uint64_t sum_view(uint64_t sum, const gs_view *v, const char *at, int dimension)
{
    if (dimension == v->ndim)
        return sum_bytes(sum, at, v->itemsize);
    for (ptrdiff_t i = 0; i < v->shape[dimension]; i++)
        sum = sum_view(sum, v, at + i * v->strides[dimension], dimension + 1);
    return sum;
}

static uint64_t sum_argument(gs_call *call, int i, uint64_t sum)
{
    size_t size;
    const char *text;
    double x;
    int64_t n;
    switch (gs_arg_kind(call, i)) {
    case GS_VALUE_INT:
        n = gs_arg_int(call, i);
        return sum_bytes(sum, &n, sizeof n);
    case GS_VALUE_FLOAT:
        x = gs_arg_float(call, i);
        return sum_bytes(sum, &x, sizeof x);
    case GS_VALUE_STR:
        text = gs_arg_str(call, i, &size);
        return sum_bytes(sum, text, size + 1);
    case GS_VALUE_BYTES:
        text = (const char *)gs_arg_bytes(call, i, &size);
        return sum_bytes(sum, text, size);
    case GS_VALUE_VIEW: {
        const gs_view *v = gs_arg_view(call, i);
        return sum_view(sum_bytes(sum, v->format, strlen(v->format)), v, (const char *)v->data, 0);
    }
    default:
        return sum;
    }
}

/* A number that depends on each kind and each byte: inputs.py has the same in Python. */
GS_TASK(read_all)
{
    uint64_t sum = 0;
    for (int i = 0; i < gs_nargs(call); i++)
        sum = sum_argument(call, i, sum * 31 + (uint64_t)gs_arg_kind(call, i));
    return gs_return_int(call, (int64_t)sum);
}

GS_EXPORT(read_all);
