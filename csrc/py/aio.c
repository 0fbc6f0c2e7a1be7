/* aio.c: operations that an asyncio loop waits for: AsyncOp, and Completions, where those of one
 * loop arrive. The Python half is pygostop/_aio.py.
 *
 * A thread that completes an operation puts it on its loop's mailbox and makes the mailbox's
 * descriptor readable, without the GIL and without knowing of Python; the loop then drains it. What
 * always holds:
 *  - The mailbox is memory of its own, by reference: the Completions has one, an operation under
 *    way has one, and `notify` has one from the start of the operation to its own end, as it touches
 *    the mailbox after the loop may have been quicker, ended the operation and closed itself.
 *  - The mailbox's lock guards `done`, `signalled`, and each operation's `link` and `arrived`.
 *  - The descriptor is readable whenever `signalled`, which is set whenever `done` is not empty.
 *  - An operation under way has not left `gs__async_finish` behind it; its dealloc undoes it, so a
 *    coroutine that is dropped loses nothing. The mailbox knows it without a reference.
 *  - No field but link and arrived is touched by a thread without the GIL. */
#include "args.h"
#include "block.h"
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <structmember.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

/* ---- the mailbox ---- */

typedef struct mailbox {
    atomic_uint refs;
    int read_fd, write_fd; /* one and the same for an eventfd */
    gs__lock lock;
    gs__list done; /* async_op.link: happened, not drained */
    bool signalled;
} mailbox;

static int open_fds(mailbox *box)
{
#ifdef __linux__
    box->read_fd = box->write_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return box->read_fd < 0 ? -1 : 0;
#else
    int fds[2];
    if (pipe(fds) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    box->read_fd = fds[0];
    box->write_fd = fds[1];
    return 0;
#endif
}

static mailbox *mailbox_new(void)
{
    mailbox *box = gs__alloc(sizeof *box);
    if (!box) {
        PyErr_NoMemory();
        return NULL;
    }
    atomic_init(&box->refs, 1);
    gs__lock_init(&box->lock);
    gs__list_init(&box->done);
    box->signalled = false;
    if (open_fds(box) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        gs__free(box);
        return NULL;
    }
    return box;
}

static mailbox *mailbox_ref(mailbox *box)
{
    atomic_fetch_add(&box->refs, 1);
    return box;
}

static void mailbox_unref(mailbox *box)
{
    if (atomic_fetch_sub(&box->refs, 1) != 1)
        return;
    close(box->read_fd);
    if (box->write_fd != box->read_fd)
        close(box->write_fd);
    gs__free(box);
}

/* Eight bytes are an eventfd's unit and nothing special to a pipe. Neither can be full unread. */
static void mailbox_signal(mailbox *box)
{
    uint64_t one = 1;
    while (write(box->write_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void mailbox_unsignal(mailbox *box)
{
    uint64_t bytes[8];
    while (read(box->read_fd, bytes, sizeof bytes) < 0 && errno == EINTR)
        ;
}

/* ---- AsyncOp: make ---- */

enum op_state { OP_NEW, OP_UNDER_WAY, OP_OVER, OP_SPENT };

typedef struct async_op {
    PyObject_HEAD
    gs__async async;
    gs__py_cases cases;
    gs__link link; /* on mailbox.done */
    bool arrived;  /* notify has been here */
    uint8_t state; /* enum op_state */
    bool nowait;
    bool checkpoint;
    unsigned generation;
    int code; /* once over: the index of the case, or a negative code */
    int64_t deadline;
    gs_ctx *scope;  /* from poll on, where it is a checkpoint */
    mailbox *box;   /* under way only */
    PyObject *call; /* a str, which cases.call points into */
} async_op;

static PyObject *op_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"call", "cases", "timeout", "nowait", "checkpoint", NULL};
    PyObject *call, *cases, *timeout = Py_None;
    int nowait = 0, checkpoint = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UO!|$Opp:AsyncOp", names, &call, &PyTuple_Type,
                                     &cases, &timeout, &nowait, &checkpoint))
        return NULL;
    gs__py_drops_run();
    int64_t deadline;
    if (gs__py_deadline(timeout, "timeout", &deadline) < 0)
        return NULL;
    if (nowait && timeout != Py_None) {
        PyErr_Format(PyExc_ValueError, "%U: nowait=True takes no timeout", call);
        return NULL;
    }
    const char *call_text = PyUnicode_AsUTF8(call);
    gs__state *state = call_text ? gs__py_state_of(type) : NULL;
    async_op *self = state ? (async_op *)type->tp_alloc(type, 0) : NULL;
    if (!self)
        return NULL;
    self->call = Py_NewRef(call);
    self->state = OP_NEW;
    self->nowait = nowait;
    self->checkpoint = checkpoint && !nowait;
    self->generation = atomic_load(&gs__generation);
    self->deadline = deadline;
    if (gs__py_cases_init(&self->cases, state, call_text, &PyTuple_GET_ITEM(cases, 0),
                          PyTuple_GET_SIZE(cases)) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int op_enter(async_op *self, enum op_state wanted, const char *call)
{
    if (gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return -1;
    if (self->state == wanted)
        return 0;
    PyErr_Format(PyExc_RuntimeError, "AsyncOp.%s() is out of turn", call);
    return -1;
}

/* ---- AsyncOp: use ---- */

static PyObject *op_over(async_op *self, int code)
{
    self->code = code;
    self->state = OP_OVER;
    Py_RETURN_TRUE;
}

static PyObject *op_poll(async_op *self, PyObject *Py_UNUSED(none))
{
    if (op_enter(self, OP_NEW, "poll") < 0)
        return NULL;
    if (self->checkpoint && !self->scope) {
        self->scope = gs__py_scope(self->cases.state);
        if (!self->scope)
            return NULL;
    }
    if (self->scope && gs__ctx_is_done(self->scope))
        return op_over(self, GS_ECANCELED);
    int code = gs__select(self->cases.cases, self->cases.n, NULL, 0);
    if (code != GS_EAGAIN || self->nowait)
        return op_over(self, code);
    if (self->deadline == 0)
        return op_over(self, GS_ETIMEDOUT);
    Py_RETURN_FALSE;
}

/* From any thread, without locks. Once the lock is released the operation may be gone. */
static void notify(gs__async *async)
{
    async_op *self = gs__container(async, async_op, async);
    mailbox *box = self->box;
    gs__acquire(&box->lock);
    gs__list_append(&box->done, &self->link);
    self->arrived = true;
    bool first = !box->signalled;
    box->signalled = true;
    gs__release(&box->lock);
    if (first)
        mailbox_signal(box);
    mailbox_unref(box);
}

/* What an operation under way holds beyond its own. */
static void op_settle(async_op *self)
{
    gs__py_cases_release(&self->cases);
    mailbox_unref(self->box);
    self->box = NULL;
}

static bool op_arrived(async_op *self)
{
    gs__acquire(&self->box->lock);
    bool arrived = self->arrived;
    gs__release(&self->box->lock);
    return arrived;
}

/* It has happened: waits for notify, which needs no GIL and is a few instructions away. */
static void op_collect(async_op *self)
{
    for (unsigned round = 0; !op_arrived(self);)
        gs__backoff(&round);
    gs__acquire(&self->box->lock);
    if (gs__linked(&self->link))
        gs__list_remove(&self->link);
    gs__release(&self->box->lock);
    self->code = gs__async_finish(&self->async);
    self->state = OP_OVER;
    op_settle(self);
}

/* True where nothing is done, or what was done is undone; the operation is spent then. */
static bool op_undo(async_op *self)
{
    if (self->state == OP_UNDER_WAY) {
        if (gs__async_abandon(&self->async)) {
            mailbox_unref(self->box); /* notify's */
            op_settle(self);
            self->state = OP_SPENT;
            return true;
        }
        op_collect(self);
    }
    if (self->state == OP_OVER && self->code >= 0 && !gs__py_cases_undo(&self->cases, self->code))
        return false;
    self->state = OP_SPENT;
    return true;
}

static PyObject *op_abandon(async_op *self, PyObject *Py_UNUSED(none))
{
    if (gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return NULL;
    return PyBool_FromLong(op_undo(self));
}

static PyObject *op_result(async_op *self, PyObject *Py_UNUSED(none))
{
    if (self->state == OP_UNDER_WAY && self->generation == atomic_load(&gs__generation)) {
        if (!op_arrived(self)) {
            PyErr_SetString(PyExc_RuntimeError, "AsyncOp.result() before it happened");
            return NULL;
        }
        op_collect(self);
    }
    if (op_enter(self, OP_OVER, "result") < 0)
        return NULL;
    self->state = OP_SPENT;
    if (self->code == GS_EAGAIN) /* nowait */
        return gs__py_selected(self->cases.state, -1, Py_NewRef(Py_None), true);
    return gs__py_cases_result(&self->cases, self->code, self->scope);
}

/* ---- AsyncOp: end ---- */

/* What its send cases still hold counts as reachable: another thread may take it without the GIL,
 * between the collector's two passes. */
static int op_traverse(async_op *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < self->cases.n; i++)
        Py_VISIT(self->cases.on[i]);
    return 0;
}

static int op_clear(async_op *self)
{
    if (self->generation != atomic_load(&gs__generation))
        return 0;
    if (self->cases.state)
        op_undo(self);
    if (self->scope) {
        gs__ctx_unref(self->scope);
        self->scope = NULL;
    }
    if (self->cases.state)
        gs__py_cases_clear(&self->cases);
    return 0;
}

static void op_dealloc(async_op *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    op_clear(self);
    Py_XDECREF(self->call);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Completions ---- */

typedef struct completions {
    PyObject_HEAD
    mailbox *box;
} completions;

static PyObject *completions_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Completions", names))
        return NULL;
    completions *self = (completions *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->box = mailbox_new();
    if (!self->box) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void completions_dealloc(completions *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->box)
        mailbox_unref(self->box);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *completions_fileno(completions *self, PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(self->box->read_fd);
}

/* The next operation that happened, a new reference, or NULL; the last takes the signal with it. */
static async_op *take_done(mailbox *box)
{
    gs__acquire(&box->lock);
    gs__link *link = gs__list_pop(&box->done);
    if (!link)
        box->signalled = false;
    gs__release(&box->lock);
    return link ? (async_op *)Py_NewRef(gs__container(link, async_op, link)) : NULL;
}

static PyObject *completions_drain(completions *self, PyObject *Py_UNUSED(none))
{
    mailbox *box = self->box;
    PyObject *list = PyList_New(0);
    if (!list)
        return NULL;
    /* First, so that who finds `signalled` false afterwards makes it readable again. */
    mailbox_unsignal(box);
    for (async_op *op; (op = take_done(box));) {
        bool taken = PyList_Append(list, (PyObject *)op) == 0;
        if (!taken) {
            /* Without memory, the ones taken are given all the same, the others next time. */
            PyErr_Clear();
            gs__acquire(&box->lock);
            gs__list_prepend(&box->done, &op->link);
            gs__release(&box->lock);
            mailbox_signal(box);
        }
        Py_DECREF(op);
        if (!taken)
            break;
    }
    return list;
}

static PyObject *op_start(async_op *self, PyObject *object)
{
    if (op_enter(self, OP_NEW, "start") < 0)
        return NULL;
    if (Py_TYPE(object) != self->cases.state->completions_type) {
        PyErr_Format(PyExc_TypeError, "AsyncOp.start() takes a Completions, not %.100s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    self->box = mailbox_ref(((completions *)object)->box);
    mailbox_ref(self->box); /* notify's */
    self->state = OP_UNDER_WAY;
    gs__py_cases_hold(&self->cases);
    int code = gs__async_start(&self->async, self->cases.cases, self->cases.n, self->scope,
                               self->deadline, notify);
    if (code == GS__UNDER_WAY)
        Py_RETURN_FALSE;
    mailbox_unref(self->box); /* notify's */
    op_settle(self);
    return op_over(self, code);
}

/* ---- the types ---- */

PyObject *gs__py_aio_call(gs__state *state, const char *function, PyObject *chan, PyObject *value)
{
    if (!state->aio) {
        /* Not when the module is made: _aio.py imports it. */
        state->aio = PyImport_ImportModule("pygostop._aio");
        if (!state->aio)
            return NULL;
    }
    return PyObject_CallMethod(state->aio, function, value ? "OO" : "O", chan, value);
}

static PyMethodDef op_methods[] = {
    {"poll", (PyCFunction)op_poll, METH_NOARGS,
     PyDoc_STR("poll($self, /)\n--\n\nTrue where it is over at once: done, or refused.")},
    {"start", (PyCFunction)op_start, METH_O,
     PyDoc_STR("start($self, completions, /)\n--\n\n"
               "True where it is over at once; else it will arrive at completions.")},
    {"result", (PyCFunction)op_result, METH_NOARGS,
     PyDoc_STR("result($self, /)\n--\n\nThe Selected, or its exception. Once, when it is over.")},
    {"abandon", (PyCFunction)op_abandon, METH_NOARGS,
     PyDoc_STR("abandon($self, /)\n--\n\n"
               "Undoes it. False where that cannot be; its result() is still to be taken then.")},
    {NULL},
};

static PyType_Slot op_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR("AsyncOp(call, cases, *, timeout=None, nowait=False, checkpoint=True)"
                       "\n--\n\nA select that an asyncio loop waits for.")},
    {Py_tp_new, op_new},
    {Py_tp_dealloc, op_dealloc},
    {Py_tp_traverse, op_traverse},
    {Py_tp_clear, op_clear},
    {Py_tp_methods, op_methods},
    {0, NULL},
};

static PyMethodDef completions_methods[] = {
    {"fileno", (PyCFunction)completions_fileno, METH_NOARGS,
     PyDoc_STR("fileno($self, /)\n--\n\nThe descriptor that is readable when there is something to "
               "drain.")},
    {"drain", (PyCFunction)completions_drain, METH_NOARGS,
     PyDoc_STR("drain($self, /)\n--\n\nThe AsyncOps that happened, oldest first.")},
    {NULL},
};

static PyType_Slot completions_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Completions()\n--\n\nWhere the AsyncOps of one loop arrive.")},
    {Py_tp_new, completions_new},
    {Py_tp_dealloc, completions_dealloc},
    {Py_tp_methods, completions_methods},
    {0, NULL},
};

static PyType_Spec op_spec = {"pygostop._core.AsyncOp", sizeof(async_op), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
                              op_slots};
static PyType_Spec completions_spec = {"pygostop._core.Completions", sizeof(completions), 0,
                                       Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                                       completions_slots};

int gs__py_aio_exec(PyObject *module, gs__state *state)
{
    state->async_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &op_spec, NULL);
    state->completions_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &completions_spec, NULL);
    if (!state->async_type || !state->completions_type)
        return -1;
    return PyModule_AddType(module, state->async_type) < 0 ||
                   PyModule_AddType(module, state->completions_type) < 0
               ? -1
               : 0;
}
