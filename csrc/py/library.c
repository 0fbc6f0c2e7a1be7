/* library.c: shared libraries of tasks: opened, checked, never closed.
 *
 * What always holds: a library that was opened here stays mapped until the process ends. Nobody can
 * say when its code is not needed any more: a task may have started others and detached them, a
 * thread may have the destructor of a thread-local of it ahead, another library a callback. So
 * nothing counts who uses it, and a task's capsule may point into it. */
#define _GNU_SOURCE
#include "state.h"

#include <dlfcn.h>
#ifndef __APPLE__
#include <link.h>
#endif

#define EXPORTS "gs_library_exports"

/* Its constructors may want the GIL, and take their time. */
static void *open_file(gs__state *state, PyObject *path)
{
    const char *why = NULL;
    PyThreadState *saved = PyEval_SaveThread();
    void *handle = dlopen(PyBytes_AS_STRING(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        why = dlerror();
    PyEval_RestoreThread(saved);
    if (handle)
        return handle;
    PyObject *words = PyUnicode_DecodeFSDefault(why ? why : "no reason was given");
    if (words)
        PyErr_Format(state->Error, "cannot be loaded: %U", words);
    Py_XDECREF(words);
    return NULL;
}

/* Whether the address lies in the library itself, not in one that it needs or that came before.
 * Where names belong to one library from the start, as on macOS, it does. */
static bool is_inside(void *handle, const void *address)
{
#ifndef __APPLE__
    struct link_map *map;
    Dl_info found;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0)
        return dladdr(address, &found) && found.dli_fname &&
               strcmp(found.dli_fname, map->l_name) == 0;
#endif
    return true;
}

static const gs_library *find_exports(gs__state *state, void *handle)
{
    const gs_library *exports = dlsym(handle, EXPORTS);
    if (!exports || !is_inside(handle, exports)) {
        PyErr_SetString(state->Error,
                        "has no GS_EXPORT: list its tasks in one source file, as in "
                        "GS_EXPORT(first, second); and keep the symbol " EXPORTS " visible");
        return NULL;
    }
    if (exports->version == 0 || exports->version > GS_VERSION) {
        PyErr_Format(state->Error,
                     "was built against version %u of pygostop.h, and this pygostop has version "
                     "%d: update pygostop, or build the library against this one's header",
                     (unsigned)exports->version, GS_VERSION);
        return NULL;
    }
    return exports;
}

/* The linker takes the first definition of a name in the process. Where that is another library's,
 * such as the C library's `sleep`, the task is not what its author wrote. */
static int check_task(gs__state *state, void *handle, const gs_def *def)
{
    if (!def->name || !def->fn) {
        PyErr_SetString(state->Error,
                        "has a task without a name or a function: GS_EXPORT makes the list");
        return -1;
    }
    const void *fn = (const void *)(uintptr_t)def->fn;
    if (is_inside(handle, fn))
        return 0;
    const void *own = dlsym(handle, def->name);
    if (!own || !is_inside(handle, own))
        return 0; /* it lists the task of a library that it needs */
    PyErr_Format(state->Error,
                 "has a task '%s', and the process had another function of that name before, "
                 "which took its place: rename the task, or link with -Wl,-Bsymbolic",
                 def->name);
    return -1;
}

static PyObject *describe_tasks(gs__state *state, void *handle, const gs_library *exports)
{
    PyObject *tasks = PyList_New(0);
    for (uint32_t i = 0; tasks && i < exports->count; i++) {
        const gs_def *def = &exports->tasks[i];
        PyObject *capsule = NULL, *task = NULL;
        if (check_task(state, handle, def) == 0)
            capsule = PyCapsule_New((void *)def, GS_CAPSULE_NAME, NULL);
        if (capsule)
            task = Py_BuildValue("(sO)", def->name, capsule);
        if (!task || PyList_Append(tasks, task) < 0)
            Py_CLEAR(tasks);
        Py_XDECREF(task);
        Py_XDECREF(capsule);
    }
    return tasks;
}

PyDoc_STRVAR(open_library_doc,
             "_open_library(path, /)\n--\n\n"
             "Load the shared library at path, bytes, for good: its tasks, as pairs of a name\n"
             "and a capsule. Error where it cannot be loaded or tells of no tasks, in words that\n"
             "are to follow the name of the file.");
static PyObject *open_library(PyObject *module, PyObject *path)
{
    gs__state *state = gs__py_state(module);
    if (!PyBytes_Check(path)) {
        PyErr_Format(PyExc_TypeError, "_open_library() takes bytes, not %.100s",
                     Py_TYPE(path)->tp_name);
        return NULL;
    }
    void *handle = open_file(state, path);
    const gs_library *exports = handle ? find_exports(state, handle) : NULL;
    return exports ? describe_tasks(state, handle, exports) : NULL;
}

static PyMethodDef functions[] = {
    {"_open_library", open_library, METH_O, open_library_doc},
    {NULL, NULL, 0, NULL},
};

int gs__py_library_exec(PyObject *module, gs__state *Py_UNUSED(state))
{
    return PyModule_AddFunctions(module, functions);
}
