/* tasks.c: how far one sequence of bytes is from another, and where one nearly stands in another, as C
 * tasks. The distance is Levenshtein's: bytes put in, left out or changed.
 *
 * Both keep one column of the table of distances, of each prefix of a pattern to the text so far, and step it
 * over the text byte by byte; a search lets the pattern begin anywhere, at no cost (Sellers, 1980). */
#include <pygostop.h>

#include <stdlib.h>

/* As it is sent to Python: the struct format "qq". */
typedef struct match {
    int64_t end; /* in the text, behind its last byte */
    int64_t errors;
} match;

/* The column before any text; freed when the task ends, however that is. NULL: no memory. */
static int64_t *column_new(gs_call *call, size_t size)
{
    int64_t *column = (int64_t *)malloc((size + 1) * sizeof *column);
    if (column && gs_defer(call, free, column) != GS_OK) {
        free(column);
        column = NULL;
    }
    for (size_t i = 0; column && i <= size; i++)
        column[i] = (int64_t)i;
    return column;
}

/* Steps over one byte of the text; an empty prefix is then `top` from it. The checkpoint is in here, as a
 * pattern may be long. */
static int column_step(gs_call *call, int64_t *column, const unsigned char *pattern, size_t size,
                       unsigned char byte, int64_t top)
{
    int64_t diagonal = column[0];
    column[0] = top;
    for (size_t i = 1; i <= size; i++) {
        int64_t least = diagonal + (pattern[i - 1] != byte);
        GS_CHECKPOINT(call);
        diagonal = column[i];
        if (diagonal + 1 < least)
            least = diagonal + 1;
        if (column[i - 1] + 1 < least)
            least = column[i - 1] + 1;
        column[i] = least;
    }
    return GS_OK;
}

GS_TASK(distance)
{
    size_t size, length;
    const unsigned char *a = (const unsigned char *)gs_arg_bytes(call, 0, &size);
    const unsigned char *b = (const unsigned char *)gs_arg_bytes(call, 1, &length);
    int64_t *column = column_new(call, size);
    if (!column)
        return GS_ENOMEM;
    for (size_t k = 0; k < length; k++)
        GS_TRY(column_step(call, column, a, size, b[k], (int64_t)k + 1));
    return gs_return_int(call, column[size]);
}

/* Sends each end of a match with at most so many errors, and says how much of the text it is through. */
GS_TASK(find)
{
    size_t size, length;
    const unsigned char *pattern = (const unsigned char *)gs_arg_bytes(call, 0, &size);
    const unsigned char *text = (const unsigned char *)gs_arg_bytes(call, 1, &length);
    int64_t errors = gs_arg_int(call, 2);
    gs_chan *out = gs_arg_chan(call, 3, GS_RECORD(match));
    int64_t *column = column_new(call, size);
    if (!column)
        return GS_ENOMEM;
    if (errors < 0)
        return gs_fail(call, 1, "errors must be 0 or more, not %lld", (long long)errors);
    for (size_t k = 0; k < length; k++) {
        GS_TRY(column_step(call, column, pattern, size, text[k], 0));
        gs_progress(call, (int64_t)k + 1, (int64_t)length);
        if (column[size] <= errors) {
            match found = {(int64_t)k + 1, column[size]};
            GS_TRY(gs_send(call, out, &found));
        }
    }
    return GS_OK;
}

GS_EXPORT(GS_SIG(distance, "a: bytes, b: bytes"),
          GS_SIG(find, "pattern: bytes, text: bytes, errors: int, out: SendChan"));
