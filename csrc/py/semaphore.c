/* semaphore.c: Semaphore, and Lock, which is one of a single place. Both are tokens (tokens.h): who waits
 * parks its task, not its thread. Nobody owns a place: any task may give it back.
 *
 * __enter__ and __exit__ are C, so that no signal's handler comes between the taking of a place and
 * the block, or between the block and its giving back. */
#include "args.h"
#include "tokens.h"

#include <structmember.h>

typedef struct semaphore {
    PyObject_HEAD
    gs__state *state; /* of the module, which the type keeps */
    gs_chan *tokens;
    PyObject *name; /* a str, or None */
    size_t n;
    unsigned generation;
    PyObject *weakrefs;
} semaphore;

static bool is_lock(semaphore *self)
{
    return Py_IS_TYPE(self, self->state->lock_type);
}

static int enter(semaphore *self)
{
    gs__py_drops_run();
    return gs__py_check_generation(self->generation, (PyObject *)self);
}

/* ---- make ---- */

static PyObject *make(PyTypeObject *type, size_t n, PyObject *name)
{
    gs__state *state = gs__py_state_of(type);
    if (!state)
        return NULL;
    if (name != Py_None && !PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "%s() name must be a str or None, not %.100s",
                     _PyType_Name(type), Py_TYPE(name)->tp_name);
        return NULL;
    }
    semaphore *self = (semaphore *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->n = n;
    self->name = Py_NewRef(name);
    self->generation = atomic_load(&gs__generation);
    self->tokens = gs__py_tokens_new(n);
    if (!self->tokens) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", NULL};
    PyObject *name = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:Lock", names, &name))
        return NULL;
    return make(type, 1, name);
}

static PyObject *semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", "name", NULL};
    PyObject *value, *name = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:Semaphore", names, &value, &name))
        return NULL;
    if (!PyIndex_Check(value)) {
        PyErr_Format(PyExc_TypeError, "Semaphore() value must be an int, not %.100s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (n < 1) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "Semaphore() value must be 1 or more, not %zd", n);
        return NULL;
    }
    return make(type, (size_t)n, name);
}

/* ---- take, give back ---- */

static PyObject *acquire(semaphore *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const gs__py_params params = {"acquire", 0, 1, {"timeout", NULL}};
    PyObject *timeout;
    int64_t deadline;
    if (enter(self) < 0 || gs__py_args(&params, args, nargs, kwnames, &timeout) < 0 ||
        gs__py_deadline(timeout ? timeout : Py_None, "timeout", &deadline) < 0 ||
        gs__py_tokens_take(self->state, self->tokens, "acquire", (PyObject *)self, deadline) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *acquire_nowait(semaphore *self, PyObject *Py_UNUSED(none))
{
    bool token;
    if (enter(self) < 0)
        return NULL;
    if (gs__chan_try_recv(self->tokens, &token) != GS_OK)
        return gs__py_raise(self->state, GS_EAGAIN, "acquire_nowait: %R would have to wait", self);
    Py_RETURN_NONE;
}

static PyObject *release(semaphore *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0)
        return NULL;
    if (gs__py_tokens_put(self->tokens))
        Py_RETURN_NONE;
    PyErr_Format(PyExc_RuntimeError, "release: %R was not acquired", self);
    return NULL;
}

static PyObject *block_enter(semaphore *self, PyObject *Py_UNUSED(none))
{
    if (enter(self) < 0 ||
        gs__py_tokens_take(self->state, self->tokens, "acquire", (PyObject *)self, GS_FOREVER) < 0)
        return NULL;
    return Py_NewRef(self);
}

static PyObject *block_exit(semaphore *self, PyObject *const *Py_UNUSED(exc_info),
                            Py_ssize_t Py_UNUSED(n))
{
    return release(self, NULL);
}

static PyObject *acquire_async(semaphore *self, PyObject *Py_UNUSED(none))
{
    return gs__py_aio_call(self->state, "acquire", (PyObject *)self, NULL);
}

static PyObject *aenter(semaphore *self, PyObject *Py_UNUSED(none))
{
    return gs__py_aio_call(self->state, "enter_semaphore", (PyObject *)self, NULL);
}

static PyObject *aexit(semaphore *self, PyObject *const *Py_UNUSED(exc_info),
                       Py_ssize_t Py_UNUSED(n))
{
    return gs__py_aio_call(self->state, "exit_semaphore", (PyObject *)self, NULL);
}

/* For pygostop/_aio.py. */
static PyObject *get_tokens(semaphore *self, void *Py_UNUSED(closure))
{
    if (enter(self) < 0)
        return NULL;
    gs__chan_ref(self->tokens);
    return gs__py_chan_wrap_done(self->state, self->tokens);
}

/* ---- look at ---- */

static PyObject *locked(semaphore *self, PyObject *Py_UNUSED(none))
{
    return enter(self) < 0 ? NULL : PyBool_FromLong(gs__chan_len(self->tokens) == 0);
}

static PyObject *get_value(semaphore *self, void *Py_UNUSED(closure))
{
    return enter(self) < 0 ? NULL : PyLong_FromSize_t(gs__chan_len(self->tokens));
}

static PyObject *repr(semaphore *self)
{
    const char *type = is_lock(self) ? "Lock" : "Semaphore";
    if (self->generation != atomic_load(&gs__generation))
        return PyUnicode_FromFormat("<%s of the process before the fork>", type);
    PyObject *name = self->name == Py_None ? PyUnicode_FromFormat("at %p", self)
                                           : PyUnicode_FromFormat("%R", self->name);
    if (!name)
        return NULL;
    size_t n = gs__chan_len(self->tokens);
    PyObject *text =
        is_lock(self) ? PyUnicode_FromFormat("<Lock %U %s>", name, n ? "unlocked" : "locked")
                      : PyUnicode_FromFormat("<Semaphore %U, %zu of %zu free>", name, n, self->n);
    Py_DECREF(name);
    return text;
}

static PyObject *reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    PyErr_Format(PyExc_TypeError, "cannot pickle %R: it works inside one process", self);
    return NULL;
}

/* ---- end ---- */

static int traverse(semaphore *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    (void)self;
    return 0;
}

static void dealloc(semaphore *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    if (self->tokens && self->generation == atomic_load(&gs__generation))
        gs__chan_unref(self->tokens);
    Py_XDECREF(self->name);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the types ---- */

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

#define METHODS(what)                                                                            \
    {"acquire", FUNCTION(acquire), METH_FASTCALL | METH_KEYWORDS,                                \
     PyDoc_STR("acquire($self, /, timeout=None)\n--\n\n"                                         \
               "Take " what ", waiting at most timeout seconds. A checkpoint.\n\n"               \
               "Raises TimeoutError or Cancelled, having taken nothing.")},                      \
        {"acquire_nowait", (PyCFunction)acquire_nowait, METH_NOARGS,                             \
         PyDoc_STR("acquire_nowait($self, /)\n--\n\n"                                            \
                   "Take " what ", or raise WouldBlock.")},                                      \
        {"acquire_async", (PyCFunction)acquire_async, METH_NOARGS,                               \
         PyDoc_STR("acquire_async($self, /)\n--\n\n"                                             \
                   "await it in asyncio: acquire that holds up no loop.")},                      \
        {"release", (PyCFunction)release, METH_NOARGS,                                           \
         PyDoc_STR("release($self, /)\n--\n\n"                                                   \
                   "Give " what " back, to who has waited longest; from any task or thread.\n\n" \
                   "RuntimeError where none was taken.")},                                       \
        {"locked", (PyCFunction)locked, METH_NOARGS,                                             \
         PyDoc_STR("locked($self, /)\n--\n\nWhether acquire() would wait.")},                    \
        {"__enter__", (PyCFunction)block_enter, METH_NOARGS, NULL},                              \
        {"__exit__", FUNCTION(block_exit), METH_FASTCALL, NULL},                                 \
        {"__aenter__", (PyCFunction)aenter, METH_NOARGS, NULL},                                  \
        {"__aexit__", FUNCTION(aexit), METH_FASTCALL, NULL},                                     \
        {"__reduce_ex__", reduce, METH_O, NULL},                                                 \
    {                                                                                            \
        NULL                                                                                     \
    }

static PyMethodDef lock_methods[] = {METHODS("the lock")};
static PyMethodDef semaphore_methods[] = {METHODS("a place")};

#define TOKENS {"_tokens", (getter)get_tokens, NULL, NULL, NULL}

static PyGetSetDef lock_getset[] = {TOKENS, {NULL}};
static PyGetSetDef semaphore_getset[] = {
    {"value", (getter)get_value, NULL, PyDoc_STR("How many places are free."), NULL},
    TOKENS,
    {NULL},
};

static PyMemberDef members[] = {
    {"name", T_OBJECT, offsetof(semaphore, name), READONLY, PyDoc_STR("As given, or None.")},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(semaphore, weakrefs), READONLY, NULL},
    {NULL},
};

#define SLOTS(doc, new, methods, getset)                                                 \
    {                                                                                    \
        {Py_tp_doc, (void *)PyDoc_STR(doc)}, {Py_tp_new, new}, {Py_tp_methods, methods}, \
            {Py_tp_getset, getset}, {Py_tp_members, members}, {Py_tp_repr, repr},        \
            {Py_tp_traverse, traverse}, {Py_tp_dealloc, dealloc},                        \
        {                                                                                \
            0, NULL                                                                      \
        }                                                                                \
    }

static PyType_Slot lock_slots[] =
    SLOTS("Lock(*, name=None)\n--\n\n"
          "A lock for tasks, threads and coroutines: who waits parks its task alone.\n\n"
          "First in, first out; not reentrant; without an owner. `with lock:`, `async with "
          "lock:`.\n"
          "Go: sync.Mutex.",
          lock_new, lock_methods, lock_getset);
static PyType_Slot semaphore_slots[] =
    SLOTS("Semaphore(value, *, name=None)\n--\n\n"
          "At most `value` places taken at once, for tasks, threads and coroutines.\n\n"
          "First in, first out. `with semaphore:`, `async with semaphore:` take a place.",
          semaphore_new, semaphore_methods, semaphore_getset);

enum { FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE };
static PyType_Spec lock_spec = {"pygostop.Lock", sizeof(semaphore), 0, FLAGS, lock_slots};
static PyType_Spec semaphore_spec = {"pygostop.Semaphore", sizeof(semaphore), 0, FLAGS,
                                     semaphore_slots};

int gs__py_semaphore_exec(PyObject *module, gs__state *state)
{
    state->lock_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &lock_spec, NULL);
    if (!state->lock_type || PyModule_AddType(module, state->lock_type) < 0)
        return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &semaphore_spec, NULL);
    int code = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return code;
}
