/* chan_types.c: the types Chan, SendChan and RecvChan: what stands where, and what help() says. */
#include "py_chan.h"

#include <structmember.h>

#define FAST METH_FASTCALL | METH_KEYWORDS
#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

/* ---- what help() says ---- */

PyDoc_STRVAR(send_doc, "send($self, /, value, timeout=None)\n--\n\n"
                       "Blocks until value is taken or buffered; timeout is in seconds.\n\n"
                       "ChannelClosed if closed; TimeoutError; Cancelled if the scope is done;\n"
                       "TypeError or OverflowError for a value that does not fit. It was not sent\n"
                       "then.");
PyDoc_STRVAR(send_nowait_doc, "send_nowait($self, value, /)\n--\n\n"
                              "Sends if nothing has to be waited for; else WouldBlock.\n\n"
                              "ChannelClosed if closed.");
PyDoc_STRVAR(send_many_doc,
             "send_many($self, /, values, timeout=None)\n--\n\n"
             "Sends all values of an iterable in order, and gives how many that is.\n"
             "A buffer of the channel's item format, such as a NumPy array, goes\n"
             "without conversion. timeout, in seconds, is for all of them.\n\n"
             "What ends it half way (the errors of send) leaves the values before it\n"
             "sent: the exception's sent is their number.");
PyDoc_STRVAR(send_async_doc, "send_async($self, value, /)\n--\n\n"
                             "A coroutine for asyncio that sends value; raises what send does.\n\n"
                             "Cancelled, it has not sent; where the value was already taken, it\n"
                             "returns instead.");
PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Ends it: later sends, and those that wait, raise ChannelClosed; receives\n"
                        "drain what is buffered first. Closing twice is harmless.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *exc_info)\n--\n\n"
                       "Closes the channel.");
PyDoc_STRVAR(recv_doc,
             "recv($self, /, timeout=None)\n--\n\n"
             "The next value; blocks until there is one; timeout is in seconds.\n\n"
             "ChannelClosed when closed and drained; TimeoutError; Cancelled if the scope\n"
             "is done. Nothing was taken then.");
PyDoc_STRVAR(recv_ok_doc,
             "recv_ok($self, /, timeout=None)\n--\n\n"
             "Go's comma-ok: (value, True), or (None, False) when closed and drained.\n\n"
             "TimeoutError, Cancelled as recv.");
PyDoc_STRVAR(recv_nowait_doc, "recv_nowait($self, /)\n--\n\n"
                              "The next value if there is one; else WouldBlock.\n\n"
                              "ChannelClosed when closed and drained.");
PyDoc_STRVAR(recv_many_doc,
             "recv_many($self, /, n, into=None, timeout=None)\n--\n\n"
             "Waits for the first value, for timeout seconds at the most, then takes\n"
             "what is there, up to n values: a list. With into, a writable\n"
             "C-contiguous buffer of the channel's item format with room for n items,\n"
             "they are written there, and their number is given.\n\n"
             "TypeError, ValueError: an into that does not fit, an n below 1. Else as\n"
             "recv.");
PyDoc_STRVAR(recv_async_doc,
             "recv_async($self, /)\n--\n\n"
             "A coroutine for asyncio that receives the next value; raises what recv\n"
             "does.\n\n"
             "Cancelled, it has taken none: one that was already handed over is put\n"
             "back in front.");
PyDoc_STRVAR(sender_doc, "sender($self, /)\n--\n\n"
                         "A SendChan: the sending half, with close. Dropping it closes nothing.");
PyDoc_STRVAR(receiver_doc, "receiver($self, /)\n--\n\n"
                           "A RecvChan: the receiving half. Dropping it closes nothing.");
PyDoc_STRVAR(class_getitem_doc, "Its type with that of its items, for annotations.");

/* ---- methods, getters ---- */

/* clang-format off */
#define SENDING_METHODS                                                               \
    {"send", FUNCTION(gs__py_chan_send), FAST, send_doc},                             \
    {"send_nowait", FUNCTION(gs__py_chan_send_nowait), METH_O, send_nowait_doc},      \
    {"send_many", FUNCTION(gs__py_chan_send_many), FAST, send_many_doc},              \
    {"send_async", FUNCTION(gs__py_chan_send_async), METH_O, send_async_doc},         \
    {"close", FUNCTION(gs__py_chan_close), METH_NOARGS, close_doc},                   \
    {"__enter__", FUNCTION(gs__py_chan_enter_block), METH_NOARGS, NULL},              \
    {"__exit__", FUNCTION(gs__py_chan_exit_block), METH_FASTCALL, exit_doc}
#define RECEIVING_METHODS                                                             \
    {"recv", FUNCTION(gs__py_chan_recv), FAST, recv_doc},                             \
    {"recv_ok", FUNCTION(gs__py_chan_recv_ok), FAST, recv_ok_doc},                    \
    {"recv_nowait", FUNCTION(gs__py_chan_recv_nowait), METH_NOARGS, recv_nowait_doc}, \
    {"recv_many", FUNCTION(gs__py_chan_recv_many), FAST, recv_many_doc},              \
    {"recv_async", FUNCTION(gs__py_chan_recv_async), METH_NOARGS, recv_async_doc}
#define COMMON_METHODS                                                                \
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, class_getitem_doc},   \
    {"__reduce_ex__", FUNCTION(gs__py_chan_reduce), METH_O, NULL},                    \
    {NULL}
/* clang-format on */

static PyMethodDef chan_methods[] = {
    SENDING_METHODS,
    RECEIVING_METHODS,
    {"sender", FUNCTION(gs__py_chan_sender), METH_NOARGS, sender_doc},
    {"receiver", FUNCTION(gs__py_chan_receiver), METH_NOARGS, receiver_doc},
    COMMON_METHODS,
};
static PyMethodDef send_chan_methods[] = {SENDING_METHODS, COMMON_METHODS};
static PyMethodDef recv_chan_methods[] = {RECEIVING_METHODS, COMMON_METHODS};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(gs__py_chan, weakrefs), READONLY, NULL},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"capacity", (getter)gs__py_chan_capacity, NULL,
     PyDoc_STR("How many items it buffers; with 0 a send waits for its receive."), NULL},
    {"closed", (getter)gs__py_chan_is_closed, NULL,
     PyDoc_STR("Whether it was closed; what it still buffers can be received."), NULL},
    {"type", (getter)gs__py_chan_type, NULL,
     PyDoc_STR("What its items are, as given to Chan; a NumPy scalar's class as its dtype."), NULL},
    {"name", (getter)gs__py_chan_name, NULL, PyDoc_STR("The name given to Chan, or None."), NULL},
    {NULL},
};

/* ---- the types ---- */

/* inspect cannot read the name of a class as a default. */
PyDoc_STRVAR(chan_doc,
             "Chan(capacity=0, type=..., *, name=None)\n--\n\n"
             "A channel, as in Go: threads, tasks, C tasks and asyncio send and receive on it.\n\n"
             "capacity is the number of items that it buffers; with 0 a send waits for its\n"
             "receive. type is what it takes: object (the default), str, bytes, int (64 bits),\n"
             "float, bool, a struct format or a NumPy dtype. A value that does not fit raises\n"
             "TypeError or OverflowError and changes nothing.\n\n"
             "Iterating receives until it is closed and drained; leaving a with block closes it.\n"
             "len() is the number of items buffered; a channel is always true. Chan[int] is for\n"
             "annotations.\n\n"
             "TypeError, ValueError: a capacity that is no int, or negative; an unknown type.\n"
             "OverflowError, MemoryError: a capacity that memory cannot hold.");

PyDoc_STRVAR(send_chan_doc, "The sending half of a channel: what Chan.sender() gives.");

PyDoc_STRVAR(recv_chan_doc,
             "The receiving half of a channel: what Chan.receiver() and Context.done give.");

/* clang-format off */
#define COMMON_SLOTS                             \
    {Py_tp_dealloc, gs__py_chan_dealloc},        \
    {Py_tp_traverse, gs__py_chan_traverse},      \
    {Py_tp_clear, gs__py_chan_clear},            \
    {Py_tp_repr, gs__py_chan_repr},              \
    {Py_sq_length, gs__py_chan_length},          \
    {Py_nb_bool, gs__py_chan_bool},              \
    {Py_tp_members, members},                    \
    {Py_tp_getset, getset},                      \
    {0, NULL}
#define RECEIVING_SLOTS                          \
    {Py_tp_iter, PyObject_SelfIter},             \
    {Py_tp_iternext, gs__py_chan_next},          \
    {Py_am_aiter, PyObject_SelfIter},            \
    {Py_am_anext, gs__py_chan_anext}
/* clang-format on */

static PyType_Slot chan_slots[] = {
    {Py_tp_doc, (void *)chan_doc},
    {Py_tp_new, gs__py_chan_new},
    {Py_tp_methods, chan_methods},
    RECEIVING_SLOTS,
    COMMON_SLOTS,
};
static PyType_Slot send_chan_slots[] = {
    {Py_tp_doc, (void *)send_chan_doc},
    {Py_tp_methods, send_chan_methods},
    COMMON_SLOTS,
};
static PyType_Slot recv_chan_slots[] = {
    {Py_tp_doc, (void *)recv_chan_doc},
    {Py_tp_methods, recv_chan_methods},
    RECEIVING_SLOTS,
    COMMON_SLOTS,
};

enum { FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE };

static PyType_Spec chan_spec = {"pygostop.Chan", sizeof(gs__py_chan), 0, FLAGS, chan_slots};
static PyType_Spec send_chan_spec = {"pygostop.SendChan", sizeof(gs__py_chan), 0,
                                     FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION, send_chan_slots};
static PyType_Spec recv_chan_spec = {"pygostop.RecvChan", sizeof(gs__py_chan), 0,
                                     FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION, recv_chan_slots};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

int gs__py_chan_exec(PyObject *module, gs__state *state)
{
    state->chan_type = add_type(module, &chan_spec);
    state->send_chan_type = add_type(module, &send_chan_spec);
    state->recv_chan_type = add_type(module, &recv_chan_spec);
    return state->chan_type && state->send_chan_type && state->recv_chan_type ? 0 : -1;
}
