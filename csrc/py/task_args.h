/* task_args.h: what a C task gets from Python: its arguments; and what help() shows of them. */
#ifndef GS__PY_TASK_ARGS_H
#define GS__PY_TASK_ARGS_H

#include "state.h"

/* ---- signatures: "limit: int, out: Chan[int], errors: Chan[bytes] = None" ---- */

enum gs__param_kind {
    GS__PARAM_INT,
    GS__PARAM_FLOAT,
    GS__PARAM_STR,
    GS__PARAM_BYTES, /* any contiguous buffer, to read */
    GS__PARAM_BUFFER,
    GS__PARAM_CONTEXT,
    GS__PARAM_CHAN /* Chan, or the half that is asked for */
};

typedef struct gs__param {
    uint8_t kind;   /* enum gs__param_kind */
    uint8_t halves; /* of a channel: 1 to receive, 2 to send, 3 both */
    bool optional;  /* followed by "= None": it may be left out */
    gs_type item;   /* of a channel; 0: any */
    char *name;
    char *annotation; /* as it was written */
} gs__param;

typedef struct gs__signature {
    int n, required;
    gs__param params[];
} gs__signature;

/* NULL with ValueError, which says where the text is wrong, or MemoryError. */
gs__signature *gs__signature_parse(const char *text);
void gs__signature_free(gs__signature *signature); /* takes NULL */
/* A new reference on the inspect.Signature. */
PyObject *gs__signature_inspect(const gs__signature *signature);
/* A new reference on a str: the name and, in parentheses, the arguments. */
PyObject *gs__signature_text(const gs__signature *signature, const char *name);

/* ---- arguments ---- */

/* The arguments of one task, from before it starts to its end. */
typedef struct gs__call_args {
    gs_value *values;
    int n;
    PyObject *held; /* a list: what the values point into */
    gs_view *views; /* of the buffers */
} gs__call_args;

/* Converts them; `signature` may be NULL. 0, or -1 with TypeError or OverflowError, which name the
 * task, the argument and both types: nothing is held then. `keep` is held as long as they are. */
int gs__call_args_init(gs__call_args *call, gs__state *state, const char *task, PyObject *keep,
                       const gs__signature *signature, PyObject *const *args, Py_ssize_t nargs);
/* From any thread, without the GIL. */
void gs__call_args_release(gs__call_args *call);

#endif
