/* tasks_module.c: the extension module pygostop._tasks: each task of csrc/tasks, which know no Python, as a
 * capsule. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../tasks/tasks.h"

#define DEF(f, signature) {GS_VERSION, 0, gs_tasks_##f, #f, signature}

/* repeat and walk take more than one kind of an argument, which a signature cannot say. */
static const gs_def defs[] = {
    DEF(repeat, NULL),
    DEF(count, "ch: SendChan[int], start: int, stop: int, step: int = None"),
    DEF(primes, "ch: SendChan[int], limit: int"),
    DEF(walk, NULL),
    DEF(crc32, "paths: RecvChan[bytes], results: SendChan[bytes]"),
    DEF(spin, "seconds: float"),
    DEF(hog, "seconds: float"),
};

static int module_exec(PyObject *module)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(defs); i++) {
        PyObject *capsule = PyCapsule_New((void *)&defs[i], GS_CAPSULE_NAME, NULL);
        int code = capsule ? PyModule_AddObjectRef(module, defs[i].name, capsule) : -1;
        Py_XDECREF(capsule);
        if (code < 0)
            return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pygostop._tasks",
    .m_doc = PyDoc_STR("The C tasks that ship, as capsules. Use pygostop.tasks."),
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__tasks(void)
{
    return PyModuleDef_Init(&definition);
}
