/* scope.c: the scope: the context in force where code runs, which blocking calls observe.
 *
 * A context variable holds the innermost open Scope; each knows the one around it. What always
 * holds:
 *  - A Scope is entered once, and does not change after. So a copy of the context variable, which
 *    a thread, a task or an asyncio task took, may go on using it after the block was left.
 *  - Leaving takes the innermost off and no other. Where the one to leave is not the innermost,
 *    that is RuntimeError, and nothing changes.
 *  - Leaving needs no memory: where there is none to set the variable, the Scope is marked as left, and
 *    passed over wherever the variable still has it; so is one that there was no memory to enter.
 *  - Without a Scope, and in a forked child under a Scope of the parent process, the root is in
 *    force; in a Python task its own context, so that a stop is heard also where code of the task runs
 *    in a contextvars context of another's making.
 *  - The Scope of a task borrows the gs_ctx while the task runs, and takes a reference where it outlives
 *    that. It has a Context only once somebody asked for it: nobody does so of most tasks. It leads to
 *    nothing that the collector follows (ctx.c), so the collector does not know it.
 *  - A block that Ctrl-C leaves cancels its tasks and waits for them; a second Ctrl-C ends that
 *    wait.
 * It is C, and not a Python class, because a signal's handler may raise between the bytecodes of
 * __enter__ and the block: the Scope would stay open for ever. */
#include "py_ctx.h"
#include "py_task.h"
#include "pyworker.h"
#include "running.h"
#include "worker.h"

#include <structmember.h>

enum scope_kind {
    BLOCK, /* of `with ctx:` */
    LIMIT, /* timeout: the end of its own time is DeadlineExceeded */
    QUIET, /* move_on_after, cancel_scope: its own end is swallowed */
    SHIELD,
    OF_TASK /* what a task begins with */
};

typedef struct scope {
    PyObject_HEAD
    PyObject *context;  /* the Context that it was made for; OF_TASK: see context_of */
    PyObject *in_force; /* `context`, or its merge with what is in force outside; else NULL */
    gs_ctx *ctx;        /* of `in_force`; OF_TASK: the task's; NULL: not in force */
    PyObject *outer;    /* the Scope around it; NULL: none */
    int64_t limit;      /* of LIMIT, in nanoseconds, for its message */
    unsigned generation;
    uint8_t kind;
    bool cancelled; /* its own end ended the block */
    bool left;      /* without memory: see enter and leave */
} scope;

/* ---- what is in force ---- */

/* The innermost open Scope, or NULL; -1 with an exception. A variable of this kind can be set from
 * Python, through copy_context(), so it is looked at. */
static int innermost(gs__state *state, scope **top)
{
    PyObject *object;
    *top = NULL;
    if (PyContextVar_Get(state->scope_var, NULL, &object) < 0)
        return -1;
    if (!object || !Py_IS_TYPE(object, state->scope_type) || !((scope *)object)->ctx) {
        Py_XDECREF(object);
        return 0;
    }
    *top = (scope *)object;
    while (gs__unlikely(*top && (*top)->left))
        Py_SETREF(*top, (scope *)Py_XNewRef((*top)->outer));
    return 0;
}

static gs_ctx *in_force_of(scope *self)
{
    if (gs__likely(self && gs__py_generation_is_current(self->generation)))
        return self->ctx;
    gs_task *task = self ? NULL : gs__task_current();
    return task && task->group == &gs__py_group ? &task->ctx : gs__ctx_background();
}

static gs__noinline gs_ctx *look_up(gs__state *state)
{
    scope *top;
    if (innermost(state, &top) < 0)
        return NULL;
    gs_ctx *ctx = in_force_of(top);
    Py_XDECREF(top); /* the variable has another reference */
    return ctx;
}

gs_ctx *gs__py_scope_peek_in(gs__state *state, gs_task *task)
{
    if (task && task->group == &gs__py_group) {
        gs__pystates *states = task->worker->bindings;
        if (gs__likely(gs__variables_as_entered(((gs__py_task *)task->owner)->entered,
                                                states->current)))
            return &task->ctx;
    }
    return look_up(state);
}

gs_ctx *gs__py_scope_peek(gs__state *state)
{
    return gs__py_scope_peek_in(state, gs__task_current());
}

gs_ctx *gs__py_scope(gs__state *state)
{
    gs_ctx *ctx = gs__py_scope_peek(state);
    if (ctx)
        gs__ctx_ref(ctx);
    return ctx;
}

/* The Context that it was made for, borrowed; NULL with an exception. */
static PyObject *context_of(scope *self)
{
    if (gs__unlikely(!self->context) &&
        gs__py_check_generation(self->generation, (PyObject *)self) == 0)
        self->context = gs__py_ctx_wrap(gs__py_state_of(Py_TYPE(self)), self->ctx);
    return self->context;
}

/* ---- make ---- */

static scope *new_scope(gs__state *state, PyObject *context, enum scope_kind kind)
{
    scope *self = context ? (scope *)state->scope_type->tp_alloc(state->scope_type, 0) : NULL;
    if (self) {
        self->context = Py_NewRef(context);
        self->generation = ((gs__py_ctx *)context)->generation;
        self->kind = (uint8_t)kind;
    }
    return self;
}

static scope *new_scope_of_task(gs__state *state, gs_ctx *ctx)
{
    scope *self = (scope *)state->scope_type->tp_alloc(state->scope_type, 0);
    if (self) {
        PyObject_GC_UnTrack(self);
        self->ctx = ctx;
        self->generation = atomic_load(&gs__generation);
        self->kind = OF_TASK;
    }
    return self;
}

/* A Scope for what the core has just made, taking over the reference. */
static PyObject *scope_of(gs__state *state, gs_ctx *ctx, enum scope_kind kind, int64_t limit)
{
    PyObject *context = gs__py_ctx_wrap_new(state, ctx);
    scope *self = new_scope(state, context, kind);
    if (self)
        self->limit = limit;
    Py_XDECREF(context);
    return (PyObject *)self;
}

static PyObject *limited(PyObject *module, PyObject *seconds, const char *what, enum scope_kind kind)
{
    gs__state *state = gs__py_state(module);
    int64_t deadline, limit = GS_FOREVER;
    gs__py_drops_run();
    if (gs__py_deadline(seconds, what, &deadline) < 0 ||
        (seconds != Py_None && gs__py_seconds(seconds, what, &limit) < 0))
        return NULL;
    gs_ctx *parent = gs__py_scope(state);
    if (!parent)
        return NULL;
    PyObject *self = scope_of(state, gs__ctx_with_deadline(parent, deadline ? deadline : gs__now()),
                              kind, limit);
    gs__ctx_unref(parent);
    return self;
}

static PyObject *timeout(PyObject *module, PyObject *seconds)
{
    return limited(module, seconds, "timeout() seconds", LIMIT);
}

static PyObject *move_on_after(PyObject *module, PyObject *seconds)
{
    return limited(module, seconds, "move_on_after() seconds", QUIET);
}

static PyObject *below(PyObject *module, gs_ctx *(*make)(gs_ctx *), enum scope_kind kind)
{
    gs__state *state = gs__py_state(module);
    gs__py_drops_run();
    gs_ctx *parent = gs__py_scope(state);
    if (!parent)
        return NULL;
    PyObject *self = scope_of(state, make(parent), kind, GS_FOREVER);
    gs__ctx_unref(parent);
    return self;
}

static PyObject *cancel_scope(PyObject *module, PyObject *Py_UNUSED(none))
{
    return below(module, gs__ctx_with_cancel, QUIET);
}

static PyObject *shield(PyObject *module, PyObject *Py_UNUSED(none))
{
    return below(module, gs__ctx_without_cancel, SHIELD);
}

/* ---- enter, leave ---- */

/* A new reference on the Context to be in force: what holds outside goes on to hold inside. */
static PyObject *on_top_of(gs__state *state, scope *self, scope *outer)
{
    gs_ctx *ctx = gs__py_ctx_of(self->context), *old = in_force_of(outer);
    if (self->kind == SHIELD || gs__ctx_is_below(ctx, old))
        return Py_NewRef(self->context);
    gs_ctx *parents[] = {ctx, old};
    return gs__py_ctx_wrap_new(state, gs__ctx_merge(parents, 2));
}

static int enter(gs__state *state, scope *self)
{
    scope *outer;
    if (innermost(state, &outer) < 0)
        return -1;
    PyObject *in_force = on_top_of(state, self, outer);
    if (!in_force) {
        Py_XDECREF(outer);
        return -1;
    }
    self->outer = (PyObject *)outer;
    self->in_force = in_force;
    self->ctx = gs__py_ctx_of(in_force);
    PyObject *token = PyContextVar_Set(state->scope_var, (PyObject *)self);
    if (!token)
        self->left = true; /* without memory for the token CPython sets the variable all the same */
    Py_XDECREF(token);
    return token ? 0 : -1;
}

PyObject *gs__py_scope_begin(gs__state *state, gs_ctx *ctx)
{
    scope *self = new_scope_of_task(state, ctx);
    PyObject *token = self ? PyContextVar_Set(state->scope_var, (PyObject *)self) : NULL;
    if (self && !token) {
        self->ctx = NULL; /* without memory for the token CPython sets the variable all the same */
        Py_CLEAR(self);
    }
    Py_XDECREF(token);
    return (PyObject *)self;
}

void gs__py_scope_task_begins(PyObject *object, gs_ctx *ctx)
{
    scope *self = (scope *)object;
    self->ctx = ctx;
    self->generation = atomic_load(&gs__generation);
}

bool gs__py_scope_task_leaves(PyObject *object, Py_ssize_t refs)
{
    scope *self = (scope *)object;
    if (Py_REFCNT(self) <= refs && !self->context && !self->cancelled) {
        self->ctx = NULL;
        return true;
    }
    gs__ctx_ref(self->ctx);
    return false;
}

static void leave(gs__state *state, scope *self)
{
    PyObject *token = PyContextVar_Set(state->scope_var, self->outer ? self->outer : Py_None);
    if (!token) {
        PyErr_Clear();
        self->left = true;
    }
    Py_XDECREF(token);
}

static void refuse_exit(PyObject *left)
{
    PyErr_Format(PyExc_RuntimeError,
                 "%R is not the innermost scope here: leave the blocks in the reverse order "
                 "of entering them, in the thread or task that entered them",
                 left);
}

PyObject *gs__py_scope_push(gs__state *state, PyObject *context)
{
    scope *self = new_scope(state, context, BLOCK);
    if (self && enter(state, self) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

PyObject *gs__py_scope_enter(PyObject *context, PyObject *Py_UNUSED(none))
{
    gs__py_ctx *ctx = (gs__py_ctx *)context;
    gs__py_drops_run();
    if (gs__py_check_generation(ctx->generation, context) < 0)
        return NULL;
    PyObject *self = gs__py_scope_push(ctx->state, context);
    Py_XDECREF(self);
    return self ? Py_NewRef(context) : NULL;
}

/* What __exit__ was given. */
static PyObject *raised_of(PyObject *const *exc_info, Py_ssize_t n)
{
    return n == 3 ? exc_info[1] : Py_None;
}

static bool is_interrupt(PyObject *raised)
{
    return raised != Py_None && PyErr_GivenExceptionMatches(raised, PyExc_KeyboardInterrupt);
}

int gs__py_scope_pop(gs__state *state, PyObject *left, PyObject *raised, PyObject *what)
{
    scope *top;
    if (innermost(state, &top) < 0)
        return -1;
    scope *open = top;
    while (open && (PyObject *)open != left)
        open = is_interrupt(raised) ? (scope *)open->outer : NULL;
    Py_XDECREF(top);
    if (open)
        leave(state, open);
    else
        refuse_exit(what);
    return open ? 0 : -1;
}

gs_ctx *gs__py_scope_outside(PyObject *self)
{
    return in_force_of((scope *)((scope *)self)->outer);
}

gs_ctx *gs__py_scope_inside(PyObject *self)
{
    return in_force_of((scope *)self);
}

PyObject *gs__py_scope_exit(PyObject *context, PyObject *const *exc_info, Py_ssize_t n)
{
    gs__state *state = ((gs__py_ctx *)context)->state;
    scope *top;
    if (innermost(state, &top) < 0)
        return NULL;
    scope *own = top;
    while (own && !(own->kind == BLOCK && own->context == context))
        own = is_interrupt(raised_of(exc_info, n)) ? (scope *)own->outer : NULL;
    if (own)
        leave(state, own);
    else
        refuse_exit(context);
    Py_XDECREF(top);
    return own ? Py_NewRef(Py_None) : NULL;
}

static PyObject *scope_enter(scope *self, PyObject *Py_UNUSED(none))
{
    gs__py_drops_run();
    if (gs__py_check_generation(self->generation, (PyObject *)self) < 0)
        return NULL;
    if (self->ctx) {
        PyErr_Format(PyExc_RuntimeError, "%R was entered before: make a new one for each block",
                     self);
        return NULL;
    }
    return enter(gs__py_state_of(Py_TYPE(self)), self) < 0 ? NULL : Py_NewRef(self);
}

/* A Cancelled is its own where its context is done and what was in force outside is not: where both
 * are, the block around it decides. */
static bool is_own(gs__state *state, scope *self, PyObject *raised)
{
    return self->kind != OF_TASK && PyObject_TypeCheck(raised, (PyTypeObject *)state->Cancelled) &&
           gs__py_ctx_is_current(self->context) && gs__ctx_is_done(gs__py_ctx_of(self->context)) &&
           !gs__ctx_is_done(in_force_of((scope *)self->outer));
}

static PyObject *raise_exceeded(gs__state *state, scope *self, PyObject *raised)
{
    PyObject *seconds = PyFloat_FromDouble((double)self->limit * 1e-9);
    PyObject *message =
        seconds ? PyUnicode_FromFormat("the block took longer than its limit of %S s", seconds)
                : NULL;
    PyObject *exceeded = message ? PyObject_CallOneArg(state->DeadlineExceeded, message) : NULL;
    Py_XDECREF(message);
    Py_XDECREF(seconds);
    if (!exceeded)
        return NULL;
    PyException_SetCause(exceeded, Py_NewRef(raised));
    PyErr_SetObject(state->DeadlineExceeded, exceeded);
    Py_DECREF(exceeded);
    return NULL;
}

static PyObject *scope_exit(scope *self, PyObject *const *exc_info, Py_ssize_t n)
{
    gs__state *state = gs__py_state_of(Py_TYPE(self));
    PyObject *raised = raised_of(exc_info, n);
    if (gs__py_scope_pop(state, (PyObject *)self, raised, (PyObject *)self) < 0)
        return NULL;
    if (is_interrupt(raised) && self->kind != OF_TASK && gs__py_ctx_is_current(self->context) &&
        gs__py_running_stop(state, gs__py_ctx_of(self->context), raised) < 0)
        return NULL;
    if (raised == Py_None || !is_own(state, self, raised))
        Py_RETURN_FALSE;
    self->cancelled = true;
    if (self->kind == LIMIT && gs__ctx_error(gs__py_ctx_of(self->context)) == GS__CTX_EXCEEDED)
        return raise_exceeded(state, self, raised);
    Py_RETURN_TRUE;
}

/* ---- look at ---- */

static PyObject *scope_cancel(scope *self, PyObject *args, PyObject *kwargs)
{
    PyObject *context = context_of(self);
    return context ? gs__py_ctx_cancel(context, "|O:cancel", args, kwargs) : NULL;
}

static PyObject *get_ctx(scope *self, void *Py_UNUSED(closure))
{
    return Py_XNewRef(context_of(self));
}

static PyObject *get_deadline(scope *self, void *Py_UNUSED(closure))
{
    PyObject *context = context_of(self);
    return context ? PyObject_GetAttrString(context, "deadline") : NULL;
}

static PyObject *get_cancelled(scope *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->cancelled);
}

static PyObject *repr(scope *self)
{
    static const char *const kinds[] = {[BLOCK] = "block",
                                        [LIMIT] = "timeout",
                                        [QUIET] = "cancel_scope",
                                        [SHIELD] = "shield",
                                        [OF_TASK] = "task"};
    if (!self->context && !gs__py_generation_is_current(self->generation))
        return PyUnicode_FromString("<Scope task of the process before the fork>");
    if (!context_of(self))
        return NULL;
    return PyUnicode_FromFormat("<Scope %s of %R>", kinds[self->kind], self->context);
}

static PyObject *reduce(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(protocol))
{
    PyErr_SetString(PyExc_TypeError, "a Scope can be neither pickled nor copied: hand its `ctx` to "
                                     "threads and tasks");
    return NULL;
}

/* ---- end ---- */

static int traverse(scope *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->context);
    Py_VISIT(self->in_force);
    Py_VISIT(self->outer);
    return 0;
}

/* No tp_clear: all references but those on a Context, which has none to it, go outwards. */
static void dealloc(scope *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, dealloc);
    Py_XDECREF(self->outer);
    Py_XDECREF(self->in_force);
    Py_XDECREF(self->context);
    if (self->kind == OF_TASK && self->ctx && gs__py_generation_is_current(self->generation))
        gs__ctx_unref(self->ctx);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

/* ---- the type, the functions ---- */

#define FUNCTION(f) ((PyCFunction)(void (*)(void))(f))

static PyMethodDef methods[] = {
    {"cancel", FUNCTION(scope_cancel), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("cancel($self, /, cause=None)\n--\n\n"
               "Ends the block at its next blocking call. From any thread; also before it began.")},
    {"__enter__", FUNCTION(scope_enter), METH_NOARGS, NULL},
    {"__exit__", FUNCTION(scope_exit), METH_FASTCALL, NULL},
    {"__reduce_ex__", reduce, METH_O, NULL},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"ctx", (getter)get_ctx, NULL, PyDoc_STR("The Context that the block is under."), NULL},
    {"deadline", (getter)get_deadline, NULL,
     PyDoc_STR("When the block ends at the latest, on the scale of time.monotonic(); or None."),
     NULL},
    {"cancelled", (getter)get_cancelled, NULL,
     PyDoc_STR("Whether its own limit or cancel() ended the block. False while it runs."), NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     PyDoc_STR("What timeout, move_on_after, cancel_scope and shield give: for one `with`\n"
               "block, in a thread, a task or a coroutine of asyncio.")},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_repr, repr},
    {Py_tp_traverse, traverse},
    {Py_tp_dealloc, dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pygostop.Scope",
    .basicsize = sizeof(scope),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"timeout", timeout, METH_O,
     PyDoc_STR("timeout($module, seconds, /)\n--\n\n"
               "with timeout(2.5) as scope: the blocking calls inside end after so many seconds\n"
               "from now, and the block raises DeadlineExceeded. None: no limit.\n\n"
               "Tasks started inside keep the limit. ValueError for a negative number or NaN.")},
    {"move_on_after", move_on_after, METH_O,
     PyDoc_STR("move_on_after($module, seconds, /)\n--\n\n"
               "As timeout, but the block just ends; scope.cancelled says if it did so early.")},
    {"cancel_scope", cancel_scope, METH_NOARGS,
     PyDoc_STR("cancel_scope($module, /)\n--\n\n"
               "with cancel_scope() as scope: a block that scope.cancel(cause=None) ends, from\n"
               "any thread.")},
    {"shield", shield, METH_NOARGS,
     PyDoc_STR("shield($module, /)\n--\n\n"
               "with shield(): cleanup that must wait. Inside, the scopes around it do not "
               "count.")},
    {NULL},
};

int gs__py_scope_exec(PyObject *module, gs__state *state)
{
    state->scope_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (!state->scope_type || PyModule_AddType(module, state->scope_type) < 0)
        return -1;
    state->scope_var = PyContextVar_New("pygostop.scope", NULL);
    return state->scope_var ? PyModule_AddFunctions(module, functions) : -1;
}
