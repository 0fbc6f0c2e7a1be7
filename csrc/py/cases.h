/* cases.h: the cases of a select, from Python objects to the core's and back. */
#ifndef GS__PY_CASES_H
#define GS__PY_CASES_H

#include "py_chan.h"

enum { GS__FEW_CASES = 8, GS__FEW_WORDS = 16 };

/* Valid from gs__py_cases_init that gave 0 to gs__py_cases_clear; not to be moved meanwhile. */
typedef struct gs__py_cases {
    gs__state *state;
    const char *call; /* for messages, as in "select"; the caller's */
    int n;
    int n_items; /* the first n_items send cases' items were made and did not change hands */
    bool held;
    gs__select_case *cases;
    PyObject **on;   /* the channel, Context or Task of each, referenced; NULL for None */
    uint64_t *words; /* the items */
    gs__select_case few_cases[GS__FEW_CASES];
    PyObject *few_on[GS__FEW_CASES];
    uint64_t few_words[GS__FEW_WORDS];
} gs__py_cases;

/* 0, or -1 with TypeError, OverflowError (a misfit), ValueError or RuntimeError: nothing is held
 * then. */
int gs__py_cases_init(gs__py_cases *cases, gs__state *state, const char *call,
                      PyObject *const *args, Py_ssize_t n);
/* Around what the core does with them without the GIL: see py_chan.h. */
void gs__py_cases_hold(gs__py_cases *cases);
void gs__py_cases_release(gs__py_cases *cases);
/* The Selected of the case that happened, or the exception for a negative code, `scope` for
 * GS_ECANCELED. Once. */
PyObject *gs__py_cases_result(gs__py_cases *cases, int code, gs_ctx *scope);
/* Undoes the case that happened, in the place of gs__py_cases_result: false where it cannot. */
bool gs__py_cases_undo(gs__py_cases *cases, int index);
void gs__py_cases_clear(gs__py_cases *cases);

/* Selected(index, value, ok), taking over the reference on value; NULL where that is NULL. */
PyObject *gs__py_selected(gs__state *state, Py_ssize_t index, PyObject *value, bool ok);

#endif
