/* python.c: libFuzzer around an interpreter: runs the target that FUZZ_TARGET names, a module of tests/fuzz in
 * Python, on each input. An exception that the target lets through ends the process.
 *
 * The extension is built with coverage of its own; the lines of the package's Python count as coverage too,
 * through libFuzzer's extra counters. With FUZZ_BROKEN in the environment the target breaks what it is to
 * check. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <frameobject.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COUNTERS = 1 << 14 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

static PyObject *one;

static void give_up(const char *what)
{
    if (PyErr_Occurred())
        PyErr_Print();
    fprintf(stderr, "%s\n", what);
    abort();
}

/* Counts each line of the package. The same line has the same counter in each run. */
static int count_line(PyObject *unused, PyFrameObject *frame, int what, PyObject *arg)
{
    (void)unused;
    (void)arg;
    if (what != PyTrace_LINE)
        return 0;
    PyCodeObject *code = PyFrame_GetCode(frame);
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    const char *name = file ? strstr(file, "/pygostop/") : NULL;
    if (name) {
        uint32_t hash = (uint32_t)PyFrame_GetLineNumber(frame) * 2654435761u;
        for (; *name; name++)
            hash = (hash ^ (unsigned char)*name) * 16777619u;
        counters[hash % COUNTERS]++;
    }
    PyErr_Clear();
    Py_DECREF(code);
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const char *target = getenv("FUZZ_TARGET");
    /* Neither the signals, which are libFuzzer's, nor a package that is installed: PYTHONPATH leads. */
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.site_import = 0;
    if (PyStatus_Exception(Py_InitializeFromConfig(&config)))
        give_up("the interpreter did not start");
    PyConfig_Clear(&config);
    char name[64];
    snprintf(name, sizeof name, "fuzz.%s", target ? target : "");
    PyObject *module = PyImport_ImportModule(name);
    if (module && getenv("FUZZ_BROKEN")) {
        PyObject *context = PyObject_CallMethod(module, "broken", NULL);
        PyObject *entered = context ? PyObject_CallMethod(context, "__enter__", NULL) : NULL;
        if (!entered)
            give_up("the target cannot be broken");
    }
    one = module ? PyObject_GetAttrString(module, "one") : NULL;
    if (!one)
        give_up("FUZZ_TARGET must name a module of tests/fuzz");
    PyEval_SetTrace(count_line, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *result = PyObject_CallFunction(one, "y#", (const char *)data, (Py_ssize_t)size);
    if (!result)
        give_up("the target found something");
    Py_DECREF(result);
    return 0;
}
