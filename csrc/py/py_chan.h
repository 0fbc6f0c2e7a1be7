/* py_chan.h: the inside of channel handles, for chan.c, chan_calls.c, chan_many.c, chan_types.c.
 *
 * Chan, SendChan and RecvChan are one struct. What always holds:
 *  - A Chan holds the only reference of the bindings on its gs_chan; a view holds its Chan instead
 *    (`whole`), that of a Ticker the Ticker, and only a context's done channel is a view without one. So a gs_chan with one
 *    reference is reachable through one Python object alone, which is what chan.c's traverse needs.
 *  - Whoever uses the gs_chan without the GIL holds a reference of its own on it meanwhile.
 *  - A handle of an older generation (a parent process's) is never used, nor released. */
#ifndef GS__PY_PY_CHAN_H
#define GS__PY_PY_CHAN_H

#include "convert.h"

enum { GS__PY_RECVS = 1, GS__PY_SENDS = 2 };

typedef struct gs__py_chan {
    PyObject_HEAD
    gs_chan *ch;
    gs__codec codec;
    PyObject *name;  /* a str, or NULL */
    PyObject *whole; /* a view's Chan or Ticker; NULL in a Chan and in a done channel */
    PyObject *weakrefs;
    gs__state *state; /* of the module, which the type keeps */
    unsigned generation;
    uint8_t halves; /* GS__PY_RECVS, GS__PY_SENDS */
} gs__py_chan;

/* Every call begins with one of them: 0, or -1 with RuntimeError in a forked child. `*task` is the one that
 * calls; NULL elsewhere. */
static inline int gs__py_chan_enter_as(gs__py_chan *self, gs_task **task)
{
    *task = gs__py_drops_run();
    return gs__py_check_generation(self->generation, (PyObject *)self);
}
static inline int gs__py_chan_enter(gs__py_chan *self)
{
    gs_task *task;
    return gs__py_chan_enter_as(self, &task);
}

/* Sets the exception for a code that a call on the channel ended with, and returns NULL. `scope`
 * for GS_ECANCELED. GS__PY_RAISED: there is one already. */
PyObject *gs__py_chan_raise(gs__py_chan *self, const char *call, int code, gs_ctx *scope);

/* The value of an item received; where this fails the item is put back in front. */
PyObject *gs__py_chan_other_value_of(gs__py_chan *self, void *item);
static inline PyObject *gs__py_chan_value_of(gs__py_chan *self, void *item)
{
    return gs__likely(self->codec.kind == GS__CODEC_OBJECT)
               ? gs__codec_read(&self->codec, item)
               : gs__py_chan_other_value_of(self, item);
}

/* chan.c */
PyObject *gs__py_chan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
PyObject *gs__py_chan_sender(gs__py_chan *self, PyObject *none);
PyObject *gs__py_chan_receiver(gs__py_chan *self, PyObject *none);
PyObject *gs__py_chan_repr(gs__py_chan *self);
Py_ssize_t gs__py_chan_length(gs__py_chan *self);
int gs__py_chan_bool(PyObject *self);
PyObject *gs__py_chan_capacity(gs__py_chan *self, void *closure);
PyObject *gs__py_chan_is_closed(gs__py_chan *self, void *closure);
PyObject *gs__py_chan_type(gs__py_chan *self, void *closure);
PyObject *gs__py_chan_name(gs__py_chan *self, void *closure);
PyObject *gs__py_chan_reduce(PyObject *self, PyObject *protocol);
int gs__py_chan_traverse(gs__py_chan *self, visitproc visit, void *arg);
int gs__py_chan_clear(gs__py_chan *self);
void gs__py_chan_dealloc(gs__py_chan *self);

/* chan_calls.c */
PyObject *gs__py_chan_send(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames);
PyObject *gs__py_chan_send_nowait(gs__py_chan *self, PyObject *value);
PyObject *gs__py_chan_send_async(gs__py_chan *self, PyObject *value);
PyObject *gs__py_chan_recv(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames);
PyObject *gs__py_chan_recv_ok(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);
PyObject *gs__py_chan_recv_nowait(gs__py_chan *self, PyObject *none);
PyObject *gs__py_chan_recv_async(gs__py_chan *self, PyObject *none);
PyObject *gs__py_chan_next(gs__py_chan *self);
PyObject *gs__py_chan_anext(gs__py_chan *self);
PyObject *gs__py_chan_close(gs__py_chan *self, PyObject *none);
PyObject *gs__py_chan_enter_block(PyObject *self, PyObject *none);
PyObject *gs__py_chan_exit_block(gs__py_chan *self, PyObject *const *exc_info, Py_ssize_t n);

/* chan_many.c */
PyObject *gs__py_chan_send_many(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);
PyObject *gs__py_chan_recv_many(gs__py_chan *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);

#endif
