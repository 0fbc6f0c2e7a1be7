/* crew.c: the tasks of a Group: see crew.h. */
#include "crew.h"

#include "pyworker.h"
#include "tokens.h"

/* ---- without the GIL ---- */

static void member_free(gs__member *self)
{
    gs__cause_unref(self->cause);
    if (self->task_is_cause)
        gs__free(self);
    else
        gs__py_drop_in(&self->dropped, self->task, self);
}

void gs__crew_unref(gs__crew *self)
{
    if (atomic_fetch_sub(&self->refs, 1) != 1)
        return;
    for (gs__link *l; (l = gs__list_pop(&self->failures));)
        member_free(gs__container(l, gs__member, link));
    if (self->places)
        gs__chan_unref(self->places);
    gs__chan_unref(self->idle);
    gs__ctx_unref(self->ctx);
    gs__free(self);
}

void gs__crew_end_go(gs__crew *self, bool placed)
{
    const bool token = true;
    if (placed && self->places)
        gs__py_tokens_put(self->places);
    if (atomic_fetch_sub(&self->count, 1) == 1)
        gs__chan_try_send(self->idle, &token); /* full: a token that nobody took is as good */
    gs__crew_unref(self);
}

/* NULL when memory ran out. */
static gs__cause *cause_of(gs__member *self)
{
    gs__py_task *task = (gs__py_task *)self->task;
    gs__cause *cause;
    if (task->task->group == &gs__py_group && task->error) { /* its worker holds the GIL */
        cause = gs__cause_object(Py_NewRef(task->error), gs__py_drop_object);
        if (!cause)
            Py_DECREF(task->error);
    } else {
        cause = gs__cause_object(task, gs__py_drop_object);
        self->task_is_cause = cause != NULL;
    }
    return cause;
}

static void fail(gs__member *self)
{
    gs__crew *crew = self->crew;
    gs__cause *cause = self->cause = cause_of(self);
    if (cause)
        gs__cause_ref(cause); /* the member may be gone with the Group, after a second Ctrl-C */
    gs__acquire(&crew->lock);
    gs__list_append(&crew->failures, &self->link);
    gs__release(&crew->lock);
    gs__ctx_cancel(crew->ctx, GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
}

static void on_end(gs__task_hook *hook)
{
    gs__member *self = gs__container(hook, gs__member, hook);
    gs__crew *crew = self->crew;
    gs_task *task = ((gs__py_task *)self->task)->task;
    if (task->code != GS_OK && !gs__task_was_canceled(task))
        fail(self);
    else
        member_free(self);
    gs__crew_end_go(crew, true);
}

/* ---- make ---- */

gs__crew *gs__crew_new(gs_ctx *parent, size_t limit)
{
    gs__crew *self = gs__alloc(sizeof *self);
    if (!self)
        return NULL;
    atomic_init(&self->refs, 1);
    atomic_init(&self->count, 0);
    gs__lock_init(&self->lock);
    gs__list_init(&self->failures);
    self->ctx = gs__ctx_with_cancel(parent);
    self->idle = gs__chan_new(gs__elem_of(GS_BOOL), 1);
    self->places = limit ? gs__py_tokens_new(limit) : NULL;
    if (self->ctx && self->idle && (self->places || !limit))
        return self;
    if (self->ctx)
        gs__ctx_unref(self->ctx);
    if (self->idle)
        gs__chan_unref(self->idle);
    if (self->places)
        gs__chan_unref(self->places);
    gs__free(self);
    return NULL;
}

/* ---- with the GIL ---- */

void gs__crew_begin_go(gs__crew *self)
{
    atomic_fetch_add(&self->refs, 1);
    atomic_fetch_add(&self->count, 1);
}

void gs__crew_join(gs__crew *self, gs__member *member, PyObject *task)
{
    member->crew = self;
    member->task = Py_NewRef(task);
    member->cause = NULL;
    member->task_is_cause = false;
    gs__link_init(&member->link);
    if (!gs__task_hook_add(((gs__py_task *)task)->task, &member->hook, on_end))
        on_end(&member->hook);
}

PyObject *gs__crew_failures(gs__crew *self)
{
    gs__list *failures = &self->failures; /* nobody else has it any more */
    PyObject *list = PyList_New(0);
    for (gs__link *l = failures->head.next; list && l != &failures->head; l = l->next) {
        gs__member *member = gs__container(l, gs__member, link);
        PyObject *error = gs__py_task_error((gs__py_task *)member->task);
        if (!error || PyList_Append(list, error) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* The exception of a C task's failure takes the place of its Task in the cause. */
static void open_ring(gs__member *member)
{
    PyObject *error = member->task_is_cause ? gs__py_task_failure(member->task) : NULL;
    if (error) {
        member->cause->object = Py_NewRef(error);
        member->task_is_cause = false;
    }
    PyErr_Clear();
}

void gs__crew_leave(gs__crew *self)
{
    PyObject *type, *value, *traceback;
    gs__list failures;
    gs__list_init(&failures);
    gs__acquire(&self->lock); /* after a second Ctrl-C tasks may still fail */
    gs__list_splice(&failures, &self->failures);
    gs__release(&self->lock);
    PyErr_Fetch(&type, &value, &traceback);
    for (gs__link *l; (l = gs__list_pop(&failures));) {
        gs__member *member = gs__container(l, gs__member, link);
        open_ring(member);
        member_free(member);
    }
    gs__crew_unref(self);
    PyErr_Restore(type, value, traceback);
}
