/* module.c: the extension module pygostop._core: its state, and what is started and ended with it.
 *
 * One interpreter only: the workers, the drops and the dispatcher are the process's. */
#include "drops.h"

gs__state *gs__py_state(PyObject *module)
{
    return PyModule_GetState(module);
}

gs__state *gs__py_state_of(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &gs__py_module);
    return module ? gs__py_state(module) : NULL;
}

/* ---- what ends before the interpreter does ---- */

static PyObject *stop_drops(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    gs__py_drops_stop();
    Py_RETURN_NONE;
}

static PyMethodDef stop_drops_method = {"_stop_drops", stop_drops, METH_NOARGS, NULL};

/* Registered when the module is made, so before all of pygostop's own: it runs after them. */
static int register_atexit(PyObject *module)
{
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *function = atexit ? PyCFunction_New(&stop_drops_method, module) : NULL;
    PyObject *done = function ? PyObject_CallMethod(atexit, "register", "O", function) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(atexit);
    if (!done)
        return -1;
    Py_DECREF(done);
    return 0;
}

/* ---- make, end ---- */

static int module_exec(PyObject *module)
{
    static int (*const parts[])(PyObject *, gs__state *) = {
        gs__py_errors_exec,     gs__py_ctx_exec,    gs__py_scope_exec,   gs__py_chan_exec,
        gs__py_select_exec,     gs__py_aio_exec,    gs__py_task_exec,    gs__py_go_exec,
        gs__py_ctask_exec,      gs__py_pytask_exec, gs__py_group_exec,   gs__py_semaphore_exec,
        gs__py_wait_group_exec, gs__py_clock_exec,  gs__py_runtime_exec, gs__py_signals_exec,
        gs__py_library_exec,
#ifdef GS_FAULTS
        gs__py_faults_exec,
#endif
    };
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "pygostop works in the main interpreter only");
        return -1;
    }
    gs__state *state = gs__py_state(module);
    if (gs__py_drops_start() < 0 || register_atexit(module) < 0)
        return -1;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(parts); i++)
        if (parts[i](module, state) < 0)
            return -1;
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    gs__state *state = gs__py_state(module);
    Py_VISIT(state->Error);
    Py_VISIT(state->ChannelClosed);
    Py_VISIT(state->WouldBlock);
    Py_VISIT(state->CompileError);
    Py_VISIT(state->TaskFailed);
    Py_VISIT(state->DeadlineExceeded);
    Py_VISIT(state->Cancelled);
    Py_VISIT(state->chan_type);
    Py_VISIT(state->send_chan_type);
    Py_VISIT(state->recv_chan_type);
    Py_VISIT(state->context_type);
    Py_VISIT(state->cancel_type);
    Py_VISIT(state->stop_type);
    Py_VISIT(state->scope_type);
    Py_VISIT(state->ticker_type);
    Py_VISIT(state->task_type);
    Py_VISIT(state->ctask_type);
    Py_VISIT(state->group_type);
    Py_VISIT(state->lock_type);
    Py_VISIT(state->async_type);
    Py_VISIT(state->completions_type);
    Py_VISIT(state->aio);
    Py_VISIT(state->selected_type);
    Py_VISIT(state->gettrace);
    Py_VISIT(state->getprofile);
    Py_VISIT(state->trace_hook);
    Py_VISIT(state->profile_hook);
    Py_VISIT(state->blocking);
    Py_VISIT(state->task_var);
    Py_VISIT(state->scope_var);
    return 0;
}

static int module_clear(PyObject *module)
{
    gs__state *state = gs__py_state(module);
    Py_CLEAR(state->Error);
    Py_CLEAR(state->ChannelClosed);
    Py_CLEAR(state->WouldBlock);
    Py_CLEAR(state->CompileError);
    Py_CLEAR(state->TaskFailed);
    Py_CLEAR(state->DeadlineExceeded);
    Py_CLEAR(state->Cancelled);
    Py_CLEAR(state->chan_type);
    Py_CLEAR(state->send_chan_type);
    Py_CLEAR(state->recv_chan_type);
    Py_CLEAR(state->context_type);
    Py_CLEAR(state->cancel_type);
    Py_CLEAR(state->stop_type);
    Py_CLEAR(state->scope_type);
    Py_CLEAR(state->ticker_type);
    Py_CLEAR(state->task_type);
    Py_CLEAR(state->ctask_type);
    Py_CLEAR(state->group_type);
    Py_CLEAR(state->lock_type);
    Py_CLEAR(state->async_type);
    Py_CLEAR(state->completions_type);
    Py_CLEAR(state->aio);
    Py_CLEAR(state->selected_type);
    Py_CLEAR(state->gettrace);
    Py_CLEAR(state->getprofile);
    Py_CLEAR(state->trace_hook);
    Py_CLEAR(state->profile_hook);
    Py_CLEAR(state->blocking);
    Py_CLEAR(state->task_var);
    Py_CLEAR(state->scope_var);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
    gs__py_task_free_spares(gs__py_state(module));
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

struct PyModuleDef gs__py_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pygostop._core",
    .m_doc = PyDoc_STR("The extension module of pygostop. Use the package, not this."),
    .m_size = sizeof(gs__state),
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&gs__py_module);
}
