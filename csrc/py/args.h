/* args.h: the arguments of METH_FASTCALL | METH_KEYWORDS functions, by position and by name. */
#ifndef GS__PY_ARGS_H
#define GS__PY_ARGS_H

#include "state.h"

typedef struct gs__py_params {
    const char *call;     /* for messages, as in "recv" */
    int n_required;       /* the first of them have no default */
    int n_positional;     /* the ones after these are given by name only */
    const char *names[6]; /* NULL after the last */
} gs__py_params;

/* The same for what is given by name, or does not fit. */
int gs__py_args_named(const gs__py_params *params, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, PyObject **out);

/* Puts each argument at its place in `out`, borrowed; NULL for one that was not given. 0, or -1
 * with TypeError. */
static inline int gs__py_args(const gs__py_params *params, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames, PyObject **out)
{
    if (gs__unlikely(kwnames || nargs < params->n_required || nargs > params->n_positional))
        return gs__py_args_named(params, args, nargs, kwnames, out);
#pragma GCC \
    unroll 6 /* so that the caller's parameters, which are constant, tell how many there are */
    for (int i = 0; params->names[i]; i++)
        out[i] = i < nargs ? args[i] : NULL;
    return 0;
}
/* The text of a name, as long as the str lives; NULL with TypeError, ValueError (a NUL, where C would
 * end) or UnicodeEncodeError. `call` is for messages, as in "go". */
const char *gs__py_name(PyObject *name, const char *call);

#endif
