/* capsule.c: an extension module of somebody else's, with a C task as a capsule. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pygostop.h>

GS_TASK(square)
{
    int64_t n = gs_arg_int(call, 0);
    return gs_return_int(call, n * n);
}

static const gs_def definition = {GS_VERSION, 0, square, "square", "n: int"};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "capsule"};

PyMODINIT_FUNC PyInit_capsule(void)
{
    PyObject *self = PyModule_Create(&module);
    PyObject *capsule = PyCapsule_New((void *)&definition, GS_CAPSULE_NAME, NULL);
    if (self == NULL || capsule == NULL || PyModule_AddObjectRef(self, "square", capsule) < 0)
        return NULL;
    Py_DECREF(capsule);
    return self;
}
