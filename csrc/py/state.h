/* state.h: what the files of the bindings share: the module's state, and each file's functions for the
 * others. One type a file; a file's functions for others are named gs__py_<file>_….
 *
 * The GIL is held in every function here but where its comment says so. No lock of the core is ever
 * held while Python code can run, and nobody waits for the GIL while holding one. A blocking call of
 * the core is made with the GIL released, after the same call's `try` form has said GS_EAGAIN. */
#ifndef GS__PY_STATE_H
#define GS__PY_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ctx.h"
#include "sched.h"
#include "select.h"

typedef struct gs__state {
    /* pygostop._errors; made in Python, as they read best there */
    PyObject *Error, *ChannelClosed, *WouldBlock, *CompileError, *TaskFailed, *DeadlineExceeded,
        *Cancelled;
    PyTypeObject *chan_type, *send_chan_type, *recv_chan_type; /* chan.c */
    PyTypeObject *context_type;                                /* ctx.c */
    PyTypeObject *cancel_type;                                 /* ctx_make.c: Cancel */
    PyTypeObject *stop_type;                                   /* after_func.c: Stop */
    PyTypeObject *scope_type;                                  /* scope.c: Scope */
    PyTypeObject *ticker_type;                                 /* clock.c: Ticker */
    PyTypeObject *task_type;                                   /* task.c */
    struct gs__py_task *spare_tasks;                           /* task.c: memory of handles */
    int n_spare_tasks;
    PyTypeObject *ctask_type;                    /* ctask.c */
    PyTypeObject *group_type;                    /* group.c: Group */
    PyTypeObject *lock_type;                     /* semaphore.c: Lock */
    PyTypeObject *async_type, *completions_type; /* aio.c: AsyncOp, Completions */
    PyObject *aio;               /* aio.c: the module pygostop._aio; NULL before its first use */
    PyTypeObject *selected_type; /* select.c: Selected(index, value, ok) */
    PyObject *gettrace, *getprofile;     /* pytask.c: of threading; NULL before the first use */
    PyObject *trace_hook, *profile_hook; /* pytask.c: the names of what they give */
    uint64_t untraced;  /* pytask.c: threading's variables as of when both were None; 0: never */
    PyObject *blocking; /* pytask.c: pygostop._blocking.blocking; NULL before its first use */
    PyObject *
        task_var; /* pytask.c: the ContextVar with the Task on whose behalf a thread runs; or unset */
    PyObject *scope_var; /* scope.c: the ContextVar that holds the innermost Scope; unset: none */
} gs__state;

extern struct PyModuleDef gs__py_module;
/* Of the module; of one of its heap types (PyType_GetModuleByDef where a subclass may come). */
gs__state *gs__py_state(PyObject *module);
gs__state *gs__py_state_of(PyTypeObject *type);

/* Each file adds its types and functions to the module: 0 or -1 with an exception. */
int gs__py_errors_exec(PyObject *module, gs__state *state);
int gs__py_chan_exec(PyObject *module, gs__state *state);
int gs__py_select_exec(PyObject *module, gs__state *state);
int gs__py_aio_exec(PyObject *module, gs__state *state);
int gs__py_ctx_exec(PyObject *module, gs__state *state);
int gs__py_scope_exec(PyObject *module, gs__state *state);
int gs__py_clock_exec(PyObject *module, gs__state *state);
int gs__py_runtime_exec(PyObject *module, gs__state *state);
int gs__py_task_exec(PyObject *module, gs__state *state);
int gs__py_go_exec(PyObject *module, gs__state *state);
int gs__py_ctask_exec(PyObject *module, gs__state *state);
int gs__py_group_exec(PyObject *module, gs__state *state);
int gs__py_semaphore_exec(PyObject *module, gs__state *state);
int gs__py_wait_group_exec(PyObject *module, gs__state *state);
int gs__py_pytask_exec(PyObject *module, gs__state *state);
int gs__py_library_exec(PyObject *module, gs__state *state);
int gs__py_signals_exec(PyObject *module, gs__state *state);
int gs__py_faults_exec(PyObject *module, gs__state *state); /* with GS_FAULTS only */

/* ---- errors.c: codes of the core to exceptions, in this one place ---- */

/* Sets the exception for `code` (GS_ECLOSED: ChannelClosed; GS_EAGAIN: WouldBlock; GS_ETIMEDOUT:
 * TimeoutError; GS_ENOMEM: MemoryError; GS_EINVAL: ValueError; GS_EDEADLK: Error; GS_ECANCELED needs
 * the scope: gs__py_raise_cancelled) with this message, and returns NULL. */
PyObject *gs__py_raise(gs__state *state, int code, const char *fmt, ...);
/* Sets the exception for a task that was not started, and returns NULL. GS_ECANCELED: the process is
 * leaving. */
PyObject *gs__py_raise_not_started(gs__state *state, int code, const char *name);
/* Sets Cancelled, its __cause__ the cause of the done context `scope`, and returns NULL. */
PyObject *gs__py_raise_cancelled(gs__state *state, gs_ctx *scope);
/* A new reference on what Context.err() gives: None, a Cancelled or a DeadlineExceeded. */
PyObject *gs__py_ctx_err(gs__state *state, gs_ctx *ctx);
/* A new reference on what Context.cause() gives: the exception given, Error(text) for a text from C,
 * else err(). */
PyObject *gs__py_ctx_cause(gs__state *state, gs_ctx *ctx);
/* A gs__cause for cancel(cause=…): None gives *cause NULL; an exception or a str (becomes
 * Error(str)); else TypeError and -1. */
int gs__py_cause_from(gs__state *state, PyObject *object, gs__cause **cause);
/* Whether a handle was made in this process, and not in the one that forked it. */
static inline bool gs__py_generation_is_current(unsigned generation)
{
    return generation == atomic_load_explicit(&gs__generation, memory_order_relaxed);
}
/* Handles of a parent process in a forked child: RuntimeError that says "fork", and -1. */
int gs__py_refuse_generation(PyObject *self);
static inline int gs__py_check_generation(unsigned generation, PyObject *self)
{
    return gs__likely(gs__py_generation_is_current(generation)) ? 0
                                                                : gs__py_refuse_generation(self);
}

/* ---- times.c: seconds ---- */

/* A timeout in seconds (None: for ever) to a deadline of the core; 0 gives 0. -1 with ValueError
 * (negative, NaN) or TypeError. `what` names the argument, as in "timeout". */
int gs__py_deadline(PyObject *timeout, const char *what, int64_t *deadline);
/* The same for seconds that are not optional, to nanoseconds. */
int gs__py_seconds(PyObject *seconds, const char *what, int64_t *ns);

/* ---- drops.c: what C threads drop and Python owns ---- */

/* Releases a reference from any thread, with or without the GIL: at once with it; else it is put on a
 * list and released by the next thread that enters the module, or by a pending call. NULL is fine. */
void gs__py_drop(PyObject *object);
/* The same with room for what the list needs, so that it cannot fail: in the object, or in `block`, memory of
 * gs__alloc that is freed with it; else NULL. */
typedef struct gs__py_dropped {
    struct gs__py_dropped *next;
    PyObject *object;
    void *block;
} gs__py_dropped;
void gs__py_drop_in(gs__py_dropped *room, PyObject *object, void *block);
/* The same as a drop callback of the core. */
void gs__py_drop_object(void *object);
/* An element's drop: `item` points at a PyObject *. */
void gs__py_drop_item(void *item);
extern _Atomic(gs__py_dropped *) gs__py_drops;
void gs__py_drops_release(void);
void gs__pyworker_give_way(gs_task *task); /* pyworker.c */
/* Releases what is on the list; before, a Python task that was asked to gives way. A few loads where there is
 * nothing. Entry points call it. Gives the task that calls; NULL elsewhere. */
static inline gs_task *gs__py_drops_run(void)
{
    gs_task *task = gs__task_current();
    if (task && gs__unlikely(gs__task_signal(task) & GS__SIGNAL_GIVE_WAY))
        gs__pyworker_give_way(task);
    if (gs__unlikely(atomic_load_explicit(&gs__py_drops, memory_order_relaxed) != NULL))
        gs__py_drops_release();
    return task;
}

/* ---- unscoped.c ---- */

/* function(arg), or function() where arg is NULL, in a scope of its own. */
PyObject *gs__py_call_unscoped(gs__state *state, PyObject *function, PyObject *arg);

/* ---- chan.c ---- */

/* The gs_chan inside a Chan, SendChan or RecvChan, borrowed, or NULL: without an exception for another
 * object, with RuntimeError for a channel of a parent process. `*halves` gets 1 for receiving, 2 for
 * sending, 3 for both. */
gs_chan *gs__py_chan_get(gs__state *state, PyObject *object, int *halves);
/* A RecvChan on a channel of the core's own (a context's done channel), of GS_BOOL. Takes over the caller's
 * reference, also where it fails. */
PyObject *gs__py_chan_wrap_done(gs__state *state, gs_chan *ch);
/* A RecvChan of `item` on a channel that `holder`, which it keeps, has a reference on. */
PyObject *gs__py_chan_wrap_held(gs__state *state, gs_chan *ch, PyTypeObject *item, PyObject *holder);

/* ---- aio.c ---- */

/* Calls a function of pygostop._aio: a new reference on the coroutine. `value` may be NULL. */
PyObject *gs__py_aio_call(gs__state *state, const char *function, PyObject *chan, PyObject *value);

/* ---- ctx.c ---- */

/* The context of a Context object, borrowed, or NULL: without an exception for another object, with
 * RuntimeError for a context of a parent process. */
gs_ctx *gs__py_ctx_get(gs__state *state, PyObject *object);
/* A Context object for `ctx`, the same one as long as it lives; takes no reference from the caller. */
PyObject *gs__py_ctx_wrap(gs__state *state, gs_ctx *ctx);
/* The context in force, a new reference of the core's; NULL with an exception. Never NULL otherwise:
 * without a scope it is the root. */
gs_ctx *gs__py_scope(gs__state *state);
/* The same, borrowed: good until Python code runs or the GIL is given up. A reference costs as much as
 * all else that a call does which need not wait. */
gs_ctx *gs__py_scope_peek(gs__state *state);
/* The same, for a caller that knows which task it is. */
gs_ctx *gs__py_scope_peek_in(gs__state *state, gs_task *task);

/* ---- scope.c ---- */

/* Puts the context of a task that begins in force, in place of what its maker had, borrowed until
 * gs__py_scope_task_leaves. A new reference on the Scope; NULL with an exception. */
PyObject *gs__py_scope_begin(gs__state *state, gs_ctx *ctx);
/* The task ends. Whether that Scope is known to none but `refs` references, and is a blank one now, for
 * another task to begin with. Else it keeps the context. */
bool gs__py_scope_task_leaves(PyObject *scope, Py_ssize_t refs);
void gs__py_scope_task_begins(PyObject *scope, gs_ctx *ctx);

/* The Scope put in force for the block of something that has one, and taken off again: see scope.c. A new
 * reference; NULL with an exception. */
PyObject *gs__py_scope_push(gs__state *state, PyObject *context);
/* 0, or -1 with RuntimeError where it is not the innermost, and `raised` is no KeyboardInterrupt. */
int gs__py_scope_pop(gs__state *state, PyObject *scope, PyObject *raised, PyObject *what);
/* The context in force around it, borrowed, and in it. */
gs_ctx *gs__py_scope_outside(PyObject *scope);
gs_ctx *gs__py_scope_inside(PyObject *scope);

/* ---- task.c ---- */

/* The gs_task of a Task object, borrowed, or NULL: as of gs__py_ctx_get. */
gs_task *gs__py_task_get(gs__state *state, PyObject *object);
/* The failure of an ended task that failed, borrowed; it does not count as fetched. NULL with an
 * exception. */
PyObject *gs__py_task_failure(PyObject *task);

/* The module's end. */
void gs__py_task_free_spares(gs__state *state);

/* ---- go.c ---- */

/* go(args[0], *args[1:], name=…, thread=…) as `call`, below `parent` (NULL: the scope in force): a Task, or
 * NULL. `name` and `thread` are as given, NULL where they were not. */
PyObject *gs__py_go(gs__state *state, const char *call, PyObject *const *args, Py_ssize_t nargs,
                    gs_ctx *parent, PyObject *name, PyObject *thread);

/* ---- ctask.c ---- */

/* Starts `ctask(*args)`: a Task, or NULL. `parent` as of gs__py_go; name NULL: the CTask's. */
PyObject *gs__py_ctask_go(gs__state *state, PyObject *ctask, PyObject *const *args,
                          Py_ssize_t nargs, gs_ctx *parent, const char *name);

#endif
