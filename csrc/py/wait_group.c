/* wait_group.c: WaitGroup: a count of things under way, and the wait until there are none.
 *
 * The count is memory by reference, as tasks that WaitGroup.go started count down at their end, on the
 * thread that ended them and without the GIL. What always holds:
 *  - `lock`, a leaf, guards `n` and `zero`. `zero` is there exactly while `n` is not 0.
 *  - Who brings `n` to 0 takes `zero` off and closes it after the lock: that wakes all who wait. Who waits
 *    has a reference on the `zero` that it found.
 *  - `n` never falls below 0: what would make it so is refused, and changes nothing. */
#include "args.h"
#include "block.h"
#include "py_task.h"

#include <structmember.h>

typedef struct counter {
    atomic_uint refs; /* the WaitGroup's, each task's */
    gs__lock lock;
    long n;
    gs_chan *zero; /* closed when n is 0 again */
} counter;

typedef struct member {
    gs__task_hook hook;
    counter *counter;
} member;

typedef struct wait_group {
    PyObject_HEAD
    gs__state *state; /* of the module, which the type keeps */
    counter *counter;
    unsigned generation;
    PyObject *weakrefs;
} wait_group;

/* ---- the count, without the GIL ---- */

static void unref(counter *self)
{
    if (atomic_fetch_sub(&self->refs, 1) != 1)
        return;
    if (self->zero)
        gs__chan_unref(self->zero);
    gs__free(self);
}

/* GS_OK, GS_EINVAL where it would fall below 0 or grow beyond a long, GS_ENOMEM: nothing changed. */
static int add(counter *self, long by)
{
    gs_chan *fresh = by > 0 ? gs__chan_new(gs__elem_of(GS_BOOL), 0) : NULL, *over = NULL;
    if (by > 0 && !fresh)
        return GS_ENOMEM;
    gs__acquire(&self->lock);
    bool fits = by > 0 ? self->n <= LONG_MAX - by : self->n >= -by;
    if (fits) {
        if (self->n == 0 && by > 0) {
            self->zero = fresh;
            fresh = NULL;
        }
        self->n += by;
        if (self->n == 0) {
            over = self->zero;
            self->zero = NULL;
        }
    }
    gs__release(&self->lock);
    if (fresh)
        gs__chan_unref(fresh);
    if (over) {
        gs__chan_close(over);
        gs__chan_unref(over);
    }
    return fits ? GS_OK : GS_EINVAL;
}

/* A reference on `zero`, or NULL where n is 0. */
static gs_chan *zero_of(counter *self)
{
    gs__acquire(&self->lock);
    gs_chan *zero = self->zero;
    if (zero)
        gs__chan_ref(zero);
    gs__release(&self->lock);
    return zero;
}

static long count_of(counter *self)
{
    gs__acquire(&self->lock);
    long n = self->n;
    gs__release(&self->lock);
    return n;
}

static void on_end(gs__task_hook *hook)
{
    member *self = gs__container(hook, member, hook);
    add(self->counter,
        -1); /* where somebody has called done() too often there is nothing to take off */
    unref(self->counter);
    gs__free(self);
}

/* ---- make ---- */

static PyObject *group_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":WaitGroup", names))
        return NULL;
    gs__state *state = gs__py_state_of(type);
    wait_group *self = state ? (wait_group *)type->tp_alloc(type, 0) : NULL;
    if (!self)
        return NULL;
    self->state = state;
    self->generation = atomic_load(&gs__generation);
    self->counter = gs__alloc(sizeof *self->counter);
    if (!self->counter) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    atomic_init(&self->counter->refs, 1);
    gs__lock_init(&self->counter->lock);
    self->counter->n = 0;
    self->counter->zero = NULL;
    return (PyObject *)self;
}

static int enter(wait_group *self)
{
    gs__py_drops_run();
    return gs__py_check_generation(self->generation, (PyObject *)self);
}

/* ---- count ---- */

static PyObject *change(wait_group *self, const char *call, long by)
{
    int code = add(self->counter, by);
    if (code == GS_OK)
        Py_RETURN_NONE;
    if (code == GS_ENOMEM)
        return PyErr_NoMemory();
    return gs__py_raise(self->state, code, "%s: the count of %R cannot be changed by %ld", call,
                        self, by);
}

static PyObject *group_add(wait_group *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    const gs__py_params params = {"add", 0, 1, {"n", NULL}};
    PyObject *given;
    if (enter(self) < 0 || gs__py_args(&params, args, nargs, kwnames, &given) < 0)
        return NULL;
    if (!given)
        return change(self, "add", 1);
    if (!PyIndex_Check(given)) {
        PyErr_Format(PyExc_TypeError, "add() n must be an int, not %.100s", Py_TYPE(given)->tp_name);
        return NULL;
    }
    Py_ssize_t by = PyNumber_AsSsize_t(given, PyExc_OverflowError);
    if (by == -1 && PyErr_Occurred())
        return NULL;
    if (by == PY_SSIZE_T_MIN)
        by++; /* no less refused, and it has an opposite */
    return change(self, "add", by);
}

static PyObject *group_done(wait_group *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : change(self, "done", -1);
}

PyDoc_STRVAR(go_doc,
             "go($self, fn, /, *args, name=None, thread=False)\n--\n\n"
             "Start fn(*args) as a task that counts until it has ended; return its Task.\n\n"
             "As pygostop.go otherwise. Go: WaitGroup.Go.");
static PyObject *group_go(wait_group *self, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    const gs__py_params params = {"go", 0, 0, {"name", "thread", NULL}};
    PyObject *options[2], *task = NULL;
    if (enter(self) < 0 || gs__py_args(&params, args + nargs, 0, kwnames, options) < 0)
        return NULL;
    member *one = gs__alloc(sizeof *one);
    if (!one || add(self->counter, 1) != GS_OK) {
        gs__free(one);
        return PyErr_NoMemory();
    }
    task = gs__py_go(self->state, "go", args, nargs, NULL, options[0], options[1]);
    if (!task) {
        add(self->counter, -1);
        gs__free(one);
        return NULL;
    }
    one->counter = self->counter;
    atomic_fetch_add(&one->counter->refs, 1);
    if (!gs__task_hook_add(((gs__py_task *)task)->task, &one->hook, on_end))
        on_end(&one->hook);
    return task;
}

/* ---- wait ---- */

static int wait_for_zero(gs_chan *zero, gs_ctx *scope, int64_t deadline)
{
    bool none;
    int code = gs__chan_try_recv(zero, &none);
    if (code != GS_EAGAIN)
        return code;
    if (deadline == 0)
        return GS_ETIMEDOUT;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_recv(zero, &none, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    return code;
}

PyDoc_STRVAR(wait_doc, "wait($self, /, timeout=None)\n--\n\n"
                       "Wait until the count is 0, at most timeout seconds. A checkpoint.\n\n"
                       "Raises TimeoutError or Cancelled.");
static PyObject *group_wait(wait_group *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    const gs__py_params params = {"wait", 0, 1, {"timeout", NULL}};
    PyObject *timeout;
    int64_t deadline;
    if (enter(self) < 0 || gs__py_args(&params, args, nargs, kwnames, &timeout) < 0 ||
        gs__py_deadline(timeout ? timeout : Py_None, "timeout", &deadline) < 0)
        return NULL;
    gs_ctx *scope = gs__py_scope(self->state);
    if (!scope)
        return NULL;
    int code = GS_ECLOSED;
    gs_chan *zero = zero_of(self->counter);
    if (gs__ctx_is_done(scope))
        code = GS_ECANCELED;
    else if (zero)
        code = wait_for_zero(zero, scope, deadline);
    if (zero)
        gs__chan_unref(zero);
    if (code == GS_ECANCELED)
        gs__py_raise_cancelled(self->state, scope);
    else if (code == GS_ETIMEDOUT)
        gs__py_raise(self->state, code, "wait: the time ran out on %R", self);
    else if (code != GS_ECLOSED && code != GS__PY_RAISED)
        gs__py_raise(self->state, code, "wait: %R: %s", self, gs__code_text(code));
    gs__ctx_unref(scope);
    gs__py_drops_run();
    return code == GS_ECLOSED ? Py_NewRef(Py_None) : NULL;
}

static PyObject *group_wait_async(wait_group *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL
                           : gs__py_aio_call(self->state, "wait_for_zero", (PyObject *)self, NULL);
}

/* For pygostop/_aio.py: a channel that is closed once the count is 0. */
static PyObject *get_zero(wait_group *self, void *Py_UNUSED(closure))
{
    if (enter(self) < 0)
        return NULL;
    gs_chan *zero = zero_of(self->counter);
    if (!zero && (zero = gs__chan_new(gs__elem_of(GS_BOOL), 0)))
        gs__chan_close(zero);
    return zero ? gs__py_chan_wrap_done(self->state, zero) : PyErr_NoMemory();
}

/* ---- look at, end ---- */

static PyObject *get_count(wait_group *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : PyLong_FromLong(count_of(self->counter));
}

static PyObject *repr(wait_group *self)
{
    if (self->generation != atomic_load(&gs__generation))
        return PyUnicode_FromString("<WaitGroup of the process before the fork>");
    return PyUnicode_FromFormat("<WaitGroup of %ld>", count_of(self->counter));
}

static PyObject *reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    PyErr_Format(PyExc_TypeError, "cannot pickle %R: it works inside one process", self);
    return NULL;
}

static int traverse(wait_group *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void dealloc(wait_group *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    if (self->counter && self->generation == atomic_load(&gs__generation))
        unref(self->counter);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
    {"add", FUNCTION(group_add), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("add($self, /, n=1)\n--\n\n"
               "Add n, which may be negative, to the count.\n\n"
               "ValueError where it would fall below 0: nothing is changed then.")},
    {"done", (PyCFunction)group_done, METH_NOARGS,
     PyDoc_STR("done($self, /)\n--\n\nTake one off the count.")},
    {"go", FUNCTION(group_go), METH_FASTCALL | METH_KEYWORDS, go_doc},
    {"wait", FUNCTION(group_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"wait_async", (PyCFunction)group_wait_async, METH_NOARGS,
     PyDoc_STR("wait_async($self, /)\n--\n\nawait it in asyncio: wait that holds up no loop.")},
    {"__reduce_ex__", reduce, METH_O, NULL},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"count", (getter)get_count, NULL, PyDoc_STR("What is under way now."), NULL},
    {"_zero", (getter)get_zero, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(wait_group, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR("WaitGroup()\n--\n\n"
                       "Counts what is under way, and waits until nothing is; used again "
                       "and again.\n\n"
                       "It cancels nothing and passes no failure on: see Group. Go: "
                       "sync.WaitGroup.")},
    {Py_tp_new, group_new},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_repr, repr},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pygostop.WaitGroup",
    .basicsize = sizeof(wait_group),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int gs__py_wait_group_exec(PyObject *module, gs__state *Py_UNUSED(state))
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    int code = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return code;
}
