/* ctask.c: the CTask type: a C function that can be started as a task, and where it came from.
 *
 * A CTask never changes once made. It keeps alive what it was made from (a ctypes function, a capsule,
 * what a compiler made at run time), and each task that it started keeps it (task_args.c). A shared library
 * that its function lies in stays loaded for good, whoever loaded it: library.c says why. */
#define _GNU_SOURCE
#include "args.h"
#include "block.h"
#include "debug.h"
#include "py_task.h"
#include "task_args.h"

#include <dlfcn.h>
#include <structmember.h>

typedef struct gs__ctask {
    PyObject_HEAD
    gs_fn *fn;
    gs__state *state;
    char *name; /* UTF-8 */
    PyObject *source;
    PyObject *dict;           /* with __doc__, where there is one */
    char *signature_text;     /* UTF-8; NULL: none was given */
    gs__signature *signature; /* made of it, or NULL */
    size_t stack_size;        /* in bytes; 0: the default */
    bool pinned;
    PyObject *weakrefs;
} gs__ctask;

/* ---- where a function's address comes from ---- */

typedef struct origin {
    void *address;
    const char *name;      /* NULL: it tells none */
    const char *signature; /* NULL: none */
    PyObject *held;        /* what `name` points into, or NULL */
} origin;

static int from_int(PyObject *object, origin *from)
{
    size_t address = PyLong_AsSize_t(object);
    if (address == (size_t)-1 && PyErr_Occurred()) {
        PyErr_Format(PyExc_OverflowError, "CTask() got %R, which is no address", object);
        return -1;
    }
    from->address = (void *)(uintptr_t)address;
    return 0;
}

static int from_capsule(gs__state *state, PyObject *capsule, origin *from)
{
    const char *name = PyCapsule_GetName(capsule);
    if (!name || strcmp(name, GS_CAPSULE_NAME) != 0) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "CTask() takes a capsule named '%s', not '%s'",
                     GS_CAPSULE_NAME, name ? name : "");
        return -1;
    }
    const gs_def *def = PyCapsule_GetPointer(capsule, GS_CAPSULE_NAME);
    if (!def)
        return -1;
    if (def->version == 0 || def->version > GS_VERSION) {
        PyErr_Format(state->Error,
                     "the task in this capsule was built for version %u of pygostop.h, and this is "
                     "version %d: update pygostop, or build the task for this version",
                     (unsigned)def->version, GS_VERSION);
        return -1;
    }
    from->address = (void *)(uintptr_t)def->fn;
    from->name = def->name;
    from->signature = def->signature;
    return 0;
}

/* A ctypes function: the pointer that its own memory holds, as its buffer shows it. */
static int from_ctypes(PyObject *object, origin *from)
{
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0)
        return -1;
    if (view.len == (Py_ssize_t)sizeof from->address)
        memcpy(&from->address, view.buf, sizeof from->address);
    PyBuffer_Release(&view);
    from->held = PyObject_GetAttrString(object, "__name__");
    if (from->held && PyUnicode_Check(from->held))
        from->name = PyUnicode_AsUTF8(from->held);
    PyErr_Clear(); /* a function pointer that was cast has no name */
    return 0;
}

/* 1: it was one, 0: not, -1: an exception. */
static int is_ctypes_function(PyObject *object)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *ctypes = PyDict_GetItemString(modules, "_ctypes");
    if (!ctypes)
        return 0;
    PyObject *class = PyObject_GetAttrString(ctypes, "CFuncPtr");
    int is = class ? PyObject_IsInstance(object, class) : -1;
    Py_XDECREF(class);
    return is;
}

static int from_cffi(PyObject *object, origin *from)
{
    PyObject *module = PyImport_ImportModule("pygostop._task");
    PyObject *address = module ? PyObject_CallMethod(module, "cffi_address", "O", object) : NULL;
    int code = address ? from_int(address, from) : -1;
    Py_XDECREF(address);
    Py_XDECREF(module);
    return code;
}

static int from_address_attribute(PyObject *object, origin *from)
{
    PyObject *address = PyObject_GetAttrString(object, "address");
    if (!address || !PyLong_Check(address) || PyBool_Check(address)) {
        Py_XDECREF(address);
        if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_Format(PyExc_TypeError,
                         "CTask() takes an address, a ctypes or cffi function pointer, an object "
                         "with an "
                         "int .address, or a capsule '%s', not %.100s",
                         GS_CAPSULE_NAME, Py_TYPE(object)->tp_name);
        return -1;
    }
    int code = from_int(address, from);
    Py_DECREF(address);
    if (code < 0)
        return -1;
    from->held = PyObject_GetAttrString(object, "__name__");
    if (from->held && PyUnicode_Check(from->held))
        from->name = PyUnicode_AsUTF8(from->held);
    PyErr_Clear();
    return 0;
}

/* To make another one of it, with a stack of another size. */
static void from_ctask(gs__ctask *other, origin *from)
{
    from->address = (void *)(uintptr_t)other->fn;
    from->name = other->name;
    from->signature = other->signature_text;
}

static int find_origin(gs__state *state, PyObject *source, origin *from)
{
    if (PyLong_Check(source) && !PyBool_Check(source))
        return from_int(source, from);
    if (PyCapsule_CheckExact(source))
        return from_capsule(state, source, from);
    if (Py_IS_TYPE(source, state->ctask_type)) {
        from_ctask((gs__ctask *)source, from);
        return 0;
    }
    int ctypes = is_ctypes_function(source);
    if (ctypes)
        return ctypes < 0 ? -1 : from_ctypes(source, from);
    if (strcmp(Py_TYPE(source)->tp_name, "_cffi_backend._CDataBase") == 0 ||
        strncmp(Py_TYPE(source)->tp_name, "_cffi_backend.", 14) == 0)
        return from_cffi(source, from);
    return from_address_attribute(source, from);
}

/* ---- make ---- */

static char *copy_text(const char *text)
{
    char *copy = PyMem_Malloc(strlen(text) + 1);
    return copy ? strcpy(copy, text) : (char *)PyErr_NoMemory();
}

static int stack_size_from(PyObject *object, size_t *size)
{
    *size = 0;
    if (object == Py_None)
        return 0;
    if (!PyIndex_Check(object)) {
        PyErr_Format(PyExc_TypeError, "CTask() stack_size must be an int or None, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(object, NULL); /* what is too large becomes the largest */
    if (n == -1 && PyErr_Occurred())
        return -1;
    if (n <= 0 || gs__stack_class((size_t)n) < 0) {
        PyErr_Format(PyExc_ValueError, "CTask() stack_size must be from 1 to %zu bytes, not %R",
                     GS__STACK_MAX, object);
        return -1;
    }
    *size = (size_t)n;
    return 0;
}

static int set_name(gs__ctask *self, PyObject *name, const origin *from)
{
    const char *text = from->name;
    char address[32];
    if (name != Py_None && !(text = gs__py_name(name, "CTask")))
        return -1;
    if (!text) {
        PyOS_snprintf(address, sizeof address, "%p", from->address);
        text = address;
    }
    self->name = copy_text(text);
    return self->name ? 0 : -1;
}

static int set_signature(gs__ctask *self, PyObject *signature, const origin *from)
{
    const char *text = from->signature;
    if (signature != Py_None && !(text = PyUnicode_AsUTF8(signature)))
        return -1;
    if (!text)
        return 0;
    self->signature = gs__signature_parse(text);
    self->signature_text = self->signature ? copy_text(text) : NULL;
    return self->signature_text ? 0 : -1;
}

/* In the instance's own dictionary, which comes before the docstring of the type. Without a docstring
 * help() is to show the signature at least, where there is one. */
static int set_doc(gs__ctask *self, PyObject *doc)
{
    PyObject *text = NULL;
    if (doc != Py_None)
        text = Py_NewRef(doc);
    else if (self->signature)
        text = gs__signature_text(self->signature, self->name);
    else
        return 0;
    self->dict = text ? PyDict_New() : NULL;
    int code = self->dict ? PyDict_SetItemString(self->dict, "__doc__", text) : -1;
    Py_XDECREF(text);
    return code;
}

/* A cffi library, for one, is closed with the last reference on it, which its functions are none of. */
static void keep_loaded(const void *address)
{
    Dl_info found;
    if (dladdr(address, &found) && found.dli_fname)
        dlopen(found.dli_fname, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
}

static PyObject *ctask_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"source", "name", "stack_size", "pinned", "signature", "doc", NULL};
    PyObject *source, *name = Py_None, *stack_size = Py_None, *signature = Py_None, *doc = Py_None;
    int pinned = 0;
    gs__py_drops_run();
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOpOO:CTask", names, &source, &name,
                                     &stack_size, &pinned, &signature, &doc))
        return NULL;
    PyObject *texts[] = {name, signature, doc};
    static const char *const text_names[] = {"name", "signature", "doc"};
    for (int i = 0; i < 3; i++)
        if (texts[i] != Py_None && !PyUnicode_Check(texts[i])) {
            PyErr_Format(PyExc_TypeError, "CTask() %s must be a str or None, not %.100s",
                         text_names[i], Py_TYPE(texts[i])->tp_name);
            return NULL;
        }
    /* C would read them up to there. */
    for (int i = 0; i < 2; i++)
        if (texts[i] != Py_None &&
            PyUnicode_FindChar(texts[i], 0, 0, PyUnicode_GET_LENGTH(texts[i]), 1) >= 0) {
            PyErr_Format(PyExc_ValueError, "CTask() %s must have no NUL character, as %R has",
                         text_names[i], texts[i]);
            return NULL;
        }
    gs__state *state = gs__py_state_of(type);
    origin from = {0};
    gs__ctask *self = NULL;
    if (!state || find_origin(state, source, &from) < 0)
        goto done;
    if (!from.address) {
        PyErr_SetString(PyExc_ValueError, "CTask() got the address 0, where no function is");
        goto done;
    }
    if (!(self = (gs__ctask *)type->tp_alloc(type, 0)))
        goto done;
    self->state = state;
    self->fn = (gs_fn *)(uintptr_t)from.address;
    self->source = Py_NewRef(source);
    self->pinned = pinned;
    if (stack_size_from(stack_size, &self->stack_size) < 0 || set_name(self, name, &from) < 0 ||
        set_signature(self, signature, &from) < 0 || set_doc(self, doc) < 0)
        Py_CLEAR(self);
    else
        keep_loaded(from.address);
done:
    Py_XDECREF(from.held);
    return (PyObject *)self;
}

/* ---- start ---- */

static void release_args(gs_task *task)
{
    gs__call_args *call = task->owner;
    task->owner = NULL;
    gs__call_args_release(call);
    gs__free(call);
}

PyObject *gs__py_ctask_go(gs__state *state, PyObject *ctask, PyObject *const *args,
                          Py_ssize_t nargs, gs_ctx *parent, const char *name)
{
    gs__ctask *self = (gs__ctask *)ctask;
    name = name ? name : self->name;
    gs__call_args *call = gs__alloc(sizeof *call);
    if (!call)
        return PyErr_NoMemory();
    /* Before there is a task: one that was started is never without its handle. */
    gs__py_task *handle = gs__py_task_new(state);
    if (handle)
        PyObject_GC_Track(handle);
    if (!handle || gs__call_args_init(call, state, name, ctask, self->signature, args, nargs) < 0) {
        Py_XDECREF(handle);
        gs__free(call);
        return NULL;
    }
    PyObject *task =
        gs__py_task_spawn(handle, &(gs__spawn){.fn = self->fn,
                                               .name = name,
                                               .parent = parent,
                                               .args = call->values,
                                               .nargs = call->n,
                                               .release = release_args,
                                               .owner = call,
                                               .stack_size = self->stack_size,
                                               .flags = self->pinned ? GS__TASK_PINNED : 0});
    if (!task) {
        gs__call_args_release(call);
        gs__free(call);
    }
    return task;
}

/* ---- call: start, wait, and never leave the C code behind ---- */

/* To stderr: who is still running when a second interrupt abandons the wait. */
static void name_running(gs__py_task *task)
{
    PySys_FormatStderr("pygostop: interrupted again while task '%s' (%s) has not stopped\n",
                       task->task->name, gs__task_state_name(task->task));
}

/* Waits for a task that was asked to stop, with the exception that is to be raised after, if there is
 * one. The first interrupt, of a signal's handler that raised, is waited with; the one that comes
 * with an interrupt already there ends the wait: -1. */
static int wait_for_stop(gs__py_task *task, bool interrupted)
{
    PyObject *type, *value, *traceback;
    int code;
    for (;; interrupted = true) {
        PyErr_Fetch(&type, &value, &traceback);
        code = gs__py_task_wait(task, NULL, GS_FOREVER);
        if (code == GS_OK) {
            PyErr_Restore(type, value, traceback);
            return 0;
        }
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        if (code != GS__PY_RAISED) {
            gs__py_raise(task->state, code, "no memory to wait for task '%s'", task->task->name);
            return -1;
        }
        if (interrupted) {
            name_running(task);
            return -1;
        }
    }
}

static void cancel_with_raised(gs__py_task *task)
{
    PyObject *type, *value, *traceback;
    gs__cause *cause = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (gs__py_cause_from(task->state, value, &cause) < 0)
        PyErr_Clear(); /* without memory for a cause it is cancelled without one */
    gs__task_cancel(task->task, cause);
    gs__cause_unref(cause);
    PyErr_Restore(type, value, traceback);
}

static PyObject *wait_for_call(gs__py_task *task, gs_ctx *scope)
{
    int code = gs__py_task_wait(task, scope, GS_FOREVER);
    task->fetched = true; /* whatever it was, the caller hears of it */
    if (code == GS__PY_RAISED) {
        cancel_with_raised(task);
        wait_for_stop(task, true);
        return NULL;
    }
    if (code != GS_OK && code != GS_ECANCELED) {
        gs__py_raise(task->state, code, "no memory to wait for task '%s'", task->task->name);
        cancel_with_raised(task);
    }
    /* Where the scope is done the task, which is in it, was asked to stop. */
    if (code != GS_OK && (wait_for_stop(task, false) < 0 || PyErr_Occurred()))
        return NULL;
    if (gs__task_was_canceled(task->task) && gs__ctx_is_done(scope))
        return gs__py_raise_cancelled(task->state, scope);
    return gs__py_task_result(task);
}

static PyObject *ctask_call(PyObject *ctask, PyObject *args, PyObject *kwargs)
{
    gs__state *state = ((gs__ctask *)ctask)->state;
    gs__py_drops_run();
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_Format(PyExc_TypeError, "task '%s' takes no keyword arguments",
                     ((gs__ctask *)ctask)->name);
        return NULL;
    }
    gs_ctx *scope = gs__py_scope(state);
    if (!scope)
        return NULL;
    PyObject *result = NULL, *task = NULL;
    if (gs__ctx_is_done(scope))
        gs__py_raise_cancelled(state, scope);
    else
        task = gs__py_ctask_go(state, ctask, ((PyTupleObject *)args)->ob_item,
                               PyTuple_GET_SIZE(args), scope, NULL);
    if (task)
        result = wait_for_call((gs__py_task *)task, scope);
    Py_XDECREF(task);
    gs__ctx_unref(scope);
    return result;
}

/* ---- look ---- */

static PyObject *ctask_repr(gs__ctask *self)
{
    return PyUnicode_FromFormat("<CTask '%s' at %p>", self->name, (void *)(uintptr_t)self->fn);
}

static PyObject *get_name(gs__ctask *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(self->name);
}

static PyObject *get_address(gs__ctask *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr((void *)(uintptr_t)self->fn);
}

static PyObject *get_signature(gs__ctask *self, void *Py_UNUSED(closure))
{
    if (self->signature)
        return gs__signature_inspect(self->signature);
    PyErr_Format(PyExc_AttributeError, "task '%s' has no signature", self->name);
    return NULL;
}

static PyObject *ctask_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    PyErr_Format(PyExc_TypeError,
                 "cannot pickle %R: an address is of this process only; make the CTask where it is "
                 "used",
                 self);
    return NULL;
}

/* ---- end ---- */

static int ctask_traverse(gs__ctask *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->source);
    Py_VISIT(self->dict);
    return 0;
}

static int ctask_clear(gs__ctask *self)
{
    Py_CLEAR(self->source);
    Py_CLEAR(self->dict);
    return 0;
}

static void ctask_dealloc(gs__ctask *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    ctask_clear(self);
    gs__signature_free(self->signature);
    PyMem_Free(self->signature_text);
    PyMem_Free(self->name);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

static PyMethodDef methods[] = {
    {"__reduce_ex__", ctask_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getters[] = {
    {"name", (getter)get_name, NULL, PyDoc_STR("What its tasks are called."), NULL},
    {"__name__", (getter)get_name, NULL, NULL, NULL},
    {"address", (getter)get_address, NULL, PyDoc_STR("The address of the C function."), NULL},
    {"__signature__", (getter)get_signature, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(gs__ctask, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(gs__ctask, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(
    ctask_doc,
    "CTask(source, *, name=None, stack_size=None, pinned=False, signature=None, doc=None)\n--\n\n"
    "A C function, int f(gs_call *), that can be started as a task.\n\n"
    "source is its address: an int, a ctypes or cffi function pointer, an object with an int\n"
    ".address (Numba's cfunc), a capsule 'pygostop.task', or another CTask, whose name and\n"
    "signature it takes on. It is kept alive, and a shared library that it lies in stays\n"
    "loaded. stack_size is in bytes; a pinned task resumes only on the thread that began it.\n"
    "signature, as 'limit: int, out: Chan[int]', has the arguments checked before the task\n"
    "starts, and is shown by help().\n\n"
    "go(task, *args) starts it. task(*args) starts it and waits for its result; Ctrl-C, a\n"
    "timeout or a cancelled scope stop it, and the call raises once the C code has unwound.");
static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)ctask_doc},
    {Py_tp_new, ctask_new},
    {Py_tp_call, ctask_call},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_tp_members, members},
    {Py_tp_repr, ctask_repr},
    {Py_tp_traverse, ctask_traverse},
    {Py_tp_clear, ctask_clear},
    {Py_tp_dealloc, ctask_dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pygostop.CTask",
    .basicsize = sizeof(gs__ctask),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int gs__py_ctask_exec(PyObject *module, gs__state *state)
{
    state->ctask_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->ctask_type ? PyModule_AddType(module, state->ctask_type) : -1;
}
