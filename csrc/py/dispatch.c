/* dispatch.c: one thread that runs Python on behalf of threads that hold no GIL, and may not wait
 * for it: callbacks of contexts and tasks, and the lines of gs_log.
 *
 * The thread starts when first needed. What always holds:
 *  - `mutex` guards all below. It is a leaf: nobody waits for the GIL, or runs Python, while
 *    holding it, and it is held for a few instructions, or for the start of the thread.
 *  - Jobs run in the order in which they came. Each calls Python in a scope of its own.
 *  - Once gs__py_dispatch_stop has returned, the thread has ended, or sits in a job that did not
 *    end within the time given, which is said on stderr; no new one starts.
 *  - In a forked child there is no thread and no job: those were the parent's. */
#define _GNU_SOURCE
#include "dispatch.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

enum thread_state { NONE, RUNS, LEAVES, GONE };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static enum thread_state state; /* GONE stays: no thread is to start any more */
static pthread_t thread;
static gs__py_job *first, **end = &first;
static gs__parker *parker; /* that the thread sleeps on; woken for each job */
static gs__parker *leaver; /* that the one who stops it sleeps on; NULL */

/* ---- the thread ---- */

/* The jobs so far, or NULL: then the thread is to end if `*leave`. */
static gs__py_job *take_all(bool *leave)
{
    pthread_mutex_lock(&mutex);
    gs__py_job *jobs = first;
    first = NULL;
    end = &first;
    *leave = state == LEAVES;
    pthread_mutex_unlock(&mutex);
    return jobs;
}

static void *run(void *Py_UNUSED(arg))
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyThreadState *saved = PyEval_SaveThread();
    for (bool leave = false; !leave;) {
        gs__parker_wait(parker, GS_FOREVER, false);
        gs__py_job *jobs;
        while ((jobs = take_all(&leave))) {
            PyEval_RestoreThread(saved);
            while (jobs) {
                gs__py_job *job = jobs;
                jobs = job->next;
                job->run(job);
            }
            saved = PyEval_SaveThread();
        }
    }
    PyEval_RestoreThread(saved);
    PyGILState_Release(gil);
    pthread_mutex_lock(&mutex);
    state = GONE;
    gs__parker_wake(leaver);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* With the mutex held. Signals are left to the threads that Python knows. */
static int start_thread(void)
{
    sigset_t all, before;
    if (state != NONE)
        return state == RUNS ? GS_OK : GS_ENOMEM;
    if (!parker && !(parker = gs__parker_get()))
        return GS_ENOMEM;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return GS_ENOMEM;
    state = RUNS;
    return GS_OK;
}

int gs__py_dispatch_start(void)
{
    pthread_mutex_lock(&mutex);
    int code = start_thread();
    pthread_mutex_unlock(&mutex);
    return code;
}

/* ---- jobs ---- */

int gs__py_dispatch_job(gs__py_job *job)
{
    pthread_mutex_lock(&mutex);
    int code = start_thread();
    if (code == GS_OK) {
        job->next = NULL;
        *end = job;
        end = &job->next;
    }
    gs__parker *sleeper = parker;
    pthread_mutex_unlock(&mutex);
    if (code == GS_OK)
        gs__parker_wake(sleeper);
    return code;
}

/* ---- gs_log ---- */

typedef struct line {
    gs__py_job job;
    char *text; /* in the same memory, behind the task's name */
    char task[];
} line;

static void run_line(gs__py_job *job)
{
    line *one = gs__container(job, line, job);
    PyObject *logging = PyImport_ImportModule("logging");
    PyObject *logger =
        logging ? PyObject_CallMethod(logging, "getLogger", "s", "pygostop.task") : NULL;
    PyObject *task =
        PyUnicode_DecodeUTF8(one->task, (Py_ssize_t)strlen(one->task), "backslashreplace");
    PyObject *text =
        PyUnicode_DecodeUTF8(one->text, (Py_ssize_t)strlen(one->text), "backslashreplace");
    PyObject *done = logger && task && text
                         ? PyObject_CallMethod(logger, "info", "sOO", "%s: %s", task, text)
                         : NULL;
    if (!done)
        PyErr_WriteUnraisable(logger);
    Py_XDECREF(done);
    Py_XDECREF(text);
    Py_XDECREF(task);
    Py_XDECREF(logger);
    Py_XDECREF(logging);
    gs__free(one);
}

/* On a worker, on the task's own stack. */
static void log_line(const char *task, const char *text)
{
    size_t n_task = strlen(task) + 1, n_text = strlen(text) + 1;
    line *one = gs__alloc(sizeof *one + n_task + n_text);
    if (one) {
        one->job.run = run_line;
        one->text = one->task + n_task;
        memcpy(one->task, task, n_task);
        memcpy(one->text, text, n_text);
        if (gs__py_dispatch_job(&one->job) == GS_OK)
            return;
        gs__free(one);
    }
    fprintf(stderr, "%s: %s\n", task, text); /* as without Python, rather than lose it */
}

/* ---- begin, stop, fork ---- */

static void after_fork(void)
{
    pthread_mutex_init(&mutex, NULL);
    state = NONE;
    first = NULL;
    end = &first;
    parker = leaver = NULL;
}

int gs__py_dispatch_init(void)
{
    static bool known;
    if (!known && pthread_atfork(NULL, NULL, after_fork) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    known = true;
    gs__log_line = log_line;
    return 0;
}

/* A job that never ends is left alone: the interpreter stops its thread when that next asks for the
 * GIL. */
enum { LEAVE_NS = 1000000000 };

void gs__py_dispatch_stop(void)
{
    gs__parker *mine = gs__parker_get();
    bool joined = false;
    pthread_mutex_lock(&mutex);
    bool runs = state == RUNS && mine;
    if (runs) {
        leaver = mine;
        state = LEAVES;
        gs__parker_wake(parker);
    } else {
        state = GONE;
    }
    pthread_mutex_unlock(&mutex);
    if (!runs)
        return;
    Py_BEGIN_ALLOW_THREADS joined = gs__parker_wait(mine, gs__deadline(LEAVE_NS), false) == GS_OK;
    if (joined) {
        pthread_join(thread, NULL);
        gs__parker_put(mine);
    }
    Py_END_ALLOW_THREADS if (!joined)
        PySys_WriteStderr("pygostop: a callback of a context or a task did not end within 1 s\n");
}
