/* group.c: Group: a block that ends when all the tasks started in it have, and whose first failure
 * cancels the rest. How its tasks end is in crew.c.
 *
 * What always holds:
 *  - A Group is OPEN between its begin and the moment when its wait is over; go is for that time
 *    alone, and its crew is there. Only a second Ctrl-C leaves one whose tasks still run.
 *  - The end of the body is judged once, when it has left its scope.
 * It is C as the scopes are: a signal's handler may raise between the bytecodes of a Python __exit__,
 * and the tasks would run on. */
#include "args.h"
#include "block.h"
#include "crew.h"
#include "py_ctx.h"
#include "running.h"
#include "tokens.h"

#include <structmember.h>

enum group_phase { NEW, OPEN, LEFT };
/* What the exception that ended the body is to the group. */
enum end_of_body {
    QUIET,    /* there is none, or it is the Cancelled that the group's own end made */
    FAILURE,  /* the body's, one among the failures */
    PASSED_ON /* not the group's: Ctrl-C, a cancel from outside, an exit */
};

typedef struct group {
    PyObject_HEAD
    gs__state *state; /* of the module, which the type keeps */
    gs__crew *crew;   /* from the begin until it is left */
    PyObject *scope;  /* from the begin on: the Scope of the body */
    PyObject *ctx;    /* from the begin on: the Context of the group */
    PyObject *watch;  /* of pygostop/_aio.py, in `async with` */
    size_t limit;     /* 0: none */
    unsigned generation;
    uint8_t phase; /* enum group_phase */
    uint8_t how;   /* enum end_of_body, once that has ended */
} group;

/* ---- make ---- */

static int limit_from(PyObject *object, size_t *limit)
{
    *limit = 0;
    if (object == Py_None)
        return 0;
    if (!PyIndex_Check(object)) {
        PyErr_Format(PyExc_TypeError, "Group() limit must be an int or None, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (n < 1) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "Group() limit must be 1 or more, not %zd", n);
        return -1;
    }
    *limit = (size_t)n;
    return 0;
}

static PyObject *group_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"limit", NULL};
    PyObject *limit_object = Py_None;
    size_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Group", names, &limit_object) ||
        limit_from(limit_object, &limit) < 0)
        return NULL;
    gs__state *state = gs__py_state_of(type);
    group *self = state ? (group *)type->tp_alloc(type, 0) : NULL;
    if (self) {
        self->state = state;
        self->limit = limit;
        self->generation = atomic_load(&gs__generation);
    }
    return (PyObject *)self;
}

/* ---- begin ---- */

static int begin(group *self)
{
    gs__py_drops_run();
    if (gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return -1;
    if (self->phase != NEW || self->crew) {
        PyErr_Format(PyExc_RuntimeError, "%R was entered before: make a new one for each block",
                     self);
        return -1;
    }
    gs_ctx *parent = gs__py_scope(self->state);
    if (!parent)
        return -1;
    self->crew = gs__crew_new(parent, self->limit);
    gs__ctx_unref(parent);
    if (!self->crew) {
        PyErr_NoMemory();
        return -1;
    }
    self->ctx = gs__py_ctx_wrap(self->state, self->crew->ctx);
    self->scope = self->ctx ? gs__py_scope_push(self->state, self->ctx) : NULL;
    if (!self->scope)
        return -1;
    self->phase = OPEN;
    return 0;
}

/* ---- go ---- */

static int check_open(group *self, const char *call)
{
    gs__py_drops_run();
    if (gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return -1;
    if (gs__likely(self->phase == OPEN))
        return 0;
    PyErr_Format(PyExc_RuntimeError,
                 self->phase == NEW ? "%s: %R starts tasks inside its `with` block only"
                                    : "%s: %R was left, and starts no more tasks",
                 call, self);
    return -1;
}

/* go, with a place taken already or still to be taken, where there is a limit. */
static PyObject *go(group *self, const char *call, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames, bool placed)
{
    const gs__py_params params = {call, 0, 0, {"name", "thread", NULL}};
    PyObject *options[2], *task = NULL;
    if (gs__py_args(&params, args + nargs, 0, kwnames, options) < 0 || check_open(self, call) < 0)
        return NULL;
    gs__crew *crew = self->crew;
    gs__crew_begin_go(crew);
    placed = placed || !crew->places ||
             gs__py_tokens_take(self->state, crew->places, call, (PyObject *)self, GS_FOREVER) == 0;
    gs__member *one = placed ? gs__alloc(sizeof *one) : NULL;
    if (one)
        task = gs__py_go(self->state, call, args, nargs, gs__py_scope_inside(self->scope),
                         options[0], options[1]);
    else if (placed)
        PyErr_NoMemory();
    if (task) {
        gs__crew_join(crew, one, task);
    } else {
        gs__free(one);
        gs__crew_end_go(crew, placed);
    }
    return task;
}

PyDoc_STRVAR(go_doc,
             "go($self, fn, /, *args, name=None, thread=False)\n--\n\n"
             "Start fn(*args) as a task of the group and return its Task; as pygostop.go.\n\n"
             "From the block and from any task or thread until the block has ended, else "
             "RuntimeError.\n"
             "With a limit it waits for a place first, and is a checkpoint.");
static PyObject *group_go(group *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return go(self, "go", args, nargs, kwnames, false);
}

/* For pygostop/_aio.py: the place was received from _places. */
static PyObject *group_go_placed(group *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames)
{
    return go(self, "go_async", args, nargs, kwnames, true);
}

PyDoc_STRVAR(go_async_doc, "go_async($self, fn, /, *args, name=None, thread=False)\n--\n\n"
                           "await group.go_async(fn, ...): as go; waits for a place without "
                           "holding up the loop.");
static PyObject *group_go_async(group *self, PyObject *args, PyObject *kwargs)
{
    PyObject *given = kwargs ? PyTuple_Pack(2, args, kwargs) : Py_BuildValue("(O{})", args);
    PyObject *coroutine =
        given ? gs__py_aio_call(self->state, "go_in_group", (PyObject *)self, given) : NULL;
    Py_XDECREF(given);
    return coroutine;
}

/* ---- leave ---- */

static enum end_of_body end_of_body(group *self, PyObject *raised)
{
    if (raised == Py_None)
        return QUIET;
    if (PyObject_TypeCheck(raised, (PyTypeObject *)self->state->Cancelled) &&
        gs__ctx_is_done(self->crew->ctx) && !gs__ctx_is_done(gs__py_scope_outside(self->scope)))
        return QUIET;
    return PyErr_GivenExceptionMatches(raised, PyExc_Exception) ? FAILURE : PASSED_ON;
}

static int cancel_for(group *self, PyObject *cause_object)
{
    gs__cause *cause;
    if (gs__py_cause_from(self->state, cause_object, &cause) < 0)
        return -1;
    gs__ctx_cancel(gs__py_ctx_of(self->ctx), GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
    return 0;
}

/* The body has ended, by `raised` or None: its scope is left, and where it ended by more than the
 * group's own end, the tasks are asked to stop. */
static int close_body(group *self, PyObject *raised)
{
    if (check_open(self, "leaving") < 0 ||
        gs__py_scope_pop(self->state, self->scope, raised, (PyObject *)self) < 0)
        return -1;
    self->how = (uint8_t)end_of_body(self, raised);
    if (self->how != QUIET && cancel_for(self, raised) < 0) {
        PyErr_Clear(); /* without memory for a cause they are asked without one */
        gs__ctx_cancel(self->crew->ctx, GS__CTX_CANCELED, NULL);
    }
    return 0;
}

/* Waits until no task of the group is left, whatever the scope outside says: the tasks are below it,
 * and were asked to stop. Where there is no memory to wait, it looks again and again. GS_OK, or
 * GS__PY_RAISED where a signal's handler raised. */
static int wait_idle(gs__crew *crew)
{
    bool token;
    int code = GS_OK;
    for (unsigned round = 0; code == GS_OK && atomic_load(&crew->count) > 0;) {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_recv(crew->idle, &token, NULL, GS_FOREVER);
        if (code == GS_ENOMEM) {
            gs__backoff(&round);
            code = GS__EINTR;
        }
        gs__py_block_end(saved);
        if (gs__py_interrupted(&code))
            code = GS_OK;
    }
    gs__py_drops_run(); /* what the tasks held is free when the block has ended */
    return code;
}

/* An exception of a signal's handler is set: asks the tasks to stop and waits for them. It stays set,
 * or makes way for a second one. */
static void stop_tasks(group *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (gs__py_running_stop(self->state, self->crew->ctx, value) == 0) {
        PyErr_Restore(type, value, traceback);
        return;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* A new list of the failures: the body's, then the tasks'. */
static PyObject *failures_of(group *self, PyObject *raised)
{
    PyObject *list = gs__crew_failures(self->crew);
    if (list && self->how == FAILURE && PyList_Insert(list, 0, raised) < 0)
        Py_CLEAR(list);
    return list;
}

static void raise_failures(PyObject *failures)
{
    PyObject *error =
        PyObject_CallFunction(PyExc_BaseExceptionGroup, "sO", "failures in a Group", failures);
    if (!error)
        return;
    PyException_SetCause(error, NULL); /* the body's failure is in it, and needs no second showing */
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
}

/* An exception that is set stays. */
static void leave(group *self)
{
    gs__crew *crew = self->crew;
    self->phase = LEFT;
    self->crew = NULL;
    gs__crew_leave(crew);
}

/* No task is left: what __exit__ gives. */
static PyObject *finish(group *self, PyObject *raised)
{
    gs_ctx *outside = gs__py_scope_outside(self->scope);
    PyObject *failures = NULL, *result = NULL;
    if (self->how == PASSED_ON)
        result = Py_NewRef(Py_False);
    else if (gs__ctx_is_done(outside))
        gs__py_raise_cancelled(self->state, outside);
    else if ((failures = failures_of(self, raised)) && PyList_GET_SIZE(failures) > 0)
        raise_failures(failures);
    else if (failures)
        result = Py_NewRef(Py_True);
    Py_XDECREF(failures);
    leave(self);
    return result;
}

static PyObject *group_enter(group *self, PyObject *Py_UNUSED(none))
{
    return begin(self) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *group_exit(group *self, PyObject *const *exc_info, Py_ssize_t n)
{
    PyObject *raised = n == 3 ? exc_info[1] : Py_None;
    if (gs__py_may_block() < 0 || close_body(self, raised) < 0)
        return NULL;
    bool interrupt =
        raised != Py_None && PyErr_GivenExceptionMatches(raised, PyExc_KeyboardInterrupt);
    if (interrupt && gs__py_running_stop(self->state, self->crew->ctx, raised) < 0) {
        leave(self);
        return NULL;
    }
    if (wait_idle(self->crew) == GS_OK)
        return finish(self, raised);
    stop_tasks(self);
    leave(self);
    return NULL;
}

/* ---- asyncio: pygostop/_aio.py ---- */

static PyObject *group_aenter(group *self, PyObject *Py_UNUSED(none))
{
    return gs__py_aio_call(self->state, "enter_group", (PyObject *)self, NULL);
}

static PyObject *group_aexit(group *self, PyObject *const *exc_info, Py_ssize_t n)
{
    return gs__py_aio_call(self->state, "exit_group", (PyObject *)self,
                           n == 3 ? exc_info[1] : Py_None);
}

static PyObject *group_close_body(group *self, PyObject *raised)
{
    if (close_body(self, raised) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The end of an `async with`; `raised` is what _close_body was given, or what came while it waited. */
static PyObject *group_finish(group *self, PyObject *args)
{
    PyObject *raised;
    int passed_on;
    if (!PyArg_ParseTuple(args, "Op:_finish", &raised, &passed_on) ||
        check_open(self, "leaving") < 0)
        return NULL;
    if (passed_on)
        self->how = PASSED_ON;
    return finish(self, raised);
}

/* None where there is none. */
static PyObject *receiver_of(group *self, const char *what, bool places)
{
    if (check_open(self, what) < 0)
        return NULL;
    gs_chan *ch = places ? self->crew->places : self->crew->idle;
    if (!ch)
        Py_RETURN_NONE;
    gs__chan_ref(ch);
    return gs__py_chan_wrap_done(self->state, ch);
}

static PyObject *get_idle(group *self, void *Py_UNUSED(closure))
{
    return receiver_of(self, "leaving", false);
}

static PyObject *get_places(group *self, void *Py_UNUSED(closure))
{
    return receiver_of(self, "go_async", true);
}

static PyObject *get_busy(group *self, void *Py_UNUSED(closure))
{
    return check_open(self, "leaving") < 0 ? NULL
                                           : PyBool_FromLong(atomic_load(&self->crew->count) > 0);
}

/* ---- look at, cancel ---- */

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /, cause=None)\n--\n\n"
             "Ask all tasks of the group, and the block's body, to stop; the block then "
             "just ends.\n\n"
             "From any thread. cause is an exception, or a str that becomes "
             "Error(str).");
static PyObject *group_cancel(group *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    const gs__py_params params = {"cancel", 0, 1, {"cause", NULL}};
    PyObject *cause;
    gs__py_drops_run();
    if (gs__py_args(&params, args, nargs, kwnames, &cause) < 0 ||
        gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return NULL;
    if (!self->ctx) {
        PyErr_Format(PyExc_RuntimeError, "cancel(): %R has not begun", self);
        return NULL;
    }
    if (cancel_for(self, cause ? cause : Py_None) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_ctx(group *self, void *Py_UNUSED(closure))
{
    if (self->ctx)
        return Py_NewRef(self->ctx);
    PyErr_Format(PyExc_RuntimeError, "ctx: %R has not begun", self);
    return NULL;
}

static PyObject *group_repr(group *self)
{
    if (self->generation != atomic_load(&gs__generation))
        return PyUnicode_FromString("<Group of the process before the fork>");
    if (self->phase != OPEN)
        return PyUnicode_FromFormat("<Group %s>", self->phase == NEW ? "not begun" : "left");
    long running = atomic_load(&self->crew->count);
    return PyUnicode_FromFormat("<Group of %ld running task%s%s>", running, running == 1 ? "" : "s",
                                gs__ctx_is_done(self->crew->ctx) ? ", cancelled" : "");
}

static PyObject *reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    PyErr_Format(PyExc_TypeError, "cannot pickle %R: its tasks live in their process", self);
    return NULL;
}

/* ---- end ---- */

static int traverse(group *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->scope);
    Py_VISIT(self->ctx);
    Py_VISIT(self->watch);
    return 0;
}

static int clear(group *self)
{
    Py_CLEAR(self->watch); /* the others never lead back */
    return 0;
}

static void dealloc(group *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    Py_XDECREF(self->scope);
    Py_XDECREF(self->ctx);
    if (self->crew && self->generation == atomic_load(&gs__generation))
        gs__crew_unref(self->crew);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
    {"go", FUNCTION(group_go), METH_FASTCALL | METH_KEYWORDS, go_doc},
    {"go_async", FUNCTION(group_go_async), METH_VARARGS | METH_KEYWORDS, go_async_doc},
    {"_go_placed", FUNCTION(group_go_placed), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"cancel", FUNCTION(group_cancel), METH_FASTCALL | METH_KEYWORDS, cancel_doc},
    {"__enter__", (PyCFunction)group_enter, METH_NOARGS, NULL},
    {"__exit__", FUNCTION(group_exit), METH_FASTCALL, NULL},
    {"__aenter__", (PyCFunction)group_aenter, METH_NOARGS, NULL},
    {"__aexit__", FUNCTION(group_aexit), METH_FASTCALL, NULL},
    {"_begin", (PyCFunction)group_enter, METH_NOARGS, NULL},
    {"_close_body", (PyCFunction)group_close_body, METH_O, NULL},
    {"_finish", (PyCFunction)group_finish, METH_VARARGS, NULL},
    {"__reduce_ex__", reduce, METH_O, NULL},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"ctx", (getter)get_ctx, NULL, PyDoc_STR("The Context that the group's tasks are below."), NULL},
    {"_idle", (getter)get_idle, NULL, NULL, NULL},
    {"_places", (getter)get_places, NULL, NULL, NULL},
    {"_busy", (getter)get_busy, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef members[] = {
    {"_watch", T_OBJECT, offsetof(group, watch), 0, NULL},
    {NULL},
};

PyDoc_STRVAR(
    group_doc,
    "Group(limit=None)\n--\n\n"
    "with Group() as group: a block that ends when all tasks started by group.go() have.\n\n"
    "The first failure, the body's own included, cancels the rest; all failures are raised\n"
    "in one ExceptionGroup. A task that was cancelled is no failure. Interrupted by Ctrl-C or\n"
    "cancelled from outside, it asks its tasks to stop, waits for them, and passes that on\n"
    "alone. At most limit tasks run at once. `async with` is the same in asyncio.");
static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)group_doc}, {Py_tp_new, group_new},
    {Py_tp_methods, methods},       {Py_tp_getset, getset},
    {Py_tp_members, members},       {Py_tp_repr, group_repr},
    {Py_tp_traverse, traverse},     {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},       {0, NULL},
};

static PyType_Spec spec = {
    .name = "pygostop.Group",
    .basicsize = sizeof(group),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int gs__py_group_exec(PyObject *module, gs__state *state)
{
    state->group_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->group_type ? PyModule_AddType(module, state->group_type) : -1;
}
