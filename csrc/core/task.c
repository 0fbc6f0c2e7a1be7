/* task.c: see task.h. Lock order: a task's lock is taken with its context's lock held, never the other
 * way; it is a leaf but for the claims of parties. `records_lock` is a leaf. models/park.pml checks the stop. */
#define _GNU_SOURCE
#include "task.h"

#include "auto.h"
#include "blocks.h"
#include "debug.h"
#include "owned.h"
#include "sched.h"
#include "select.h"
#include "worker.h"

#include <string.h>

/* ---- records ----
 * In chunks that are never freed, handed out through a cache of each worker. */

enum { CHUNK = 64, CACHE_MOST = 1024, CACHE_BATCH = 64, ID_BATCH = 1024 };

typedef struct chunk {
    struct chunk *next;
    gs_task tasks[CHUNK];
} chunk;

struct gs__task_cache {
    gs__list free; /* by gs_task.link */
    int n_free;
    uint64_t next_id, last_id;
};

static gs__lock records_lock; /* guards what follows */
static chunk *chunks;
static gs__list records = {{&records.head, &records.head}};
static uint64_t last_id;
static atomic_long foreign_made; /* tasks made by foreign threads */

static struct gs__task_cache *cache_of(gs__worker *w)
{
    if (!w)
        return NULL;
    if (gs__unlikely(!w->tasks)) {
        struct gs__task_cache *cache = gs__calloc(sizeof *cache);
        if (!cache)
            return NULL;
        gs__list_init(&cache->free);
        w->tasks = cache;
    }
    return w->tasks;
}

/* With the lock held. */
static bool add_chunk(void)
{
    char *memory = gs__calloc(sizeof(chunk) + GS__CACHE_LINE - 1);
    if (!memory)
        return false;
    chunk *c =
        (chunk *)(((uintptr_t)memory + GS__CACHE_LINE - 1) / GS__CACHE_LINE * GS__CACHE_LINE);
    for (int i = CHUNK; i-- > 0;)
        gs__list_prepend(&records, &c->tasks[i].link);
    c->next = chunks;
    chunks = c;
    return true;
}

static gs_task *take_record(struct gs__task_cache *cache)
{
    if (cache && gs__likely(cache->n_free)) {
        cache->n_free--;
        return gs__container(gs__list_pop(&cache->free), gs_task, link);
    }
    gs_task *task = NULL;
    gs__acquire(&records_lock);
    if (!gs__list_empty(&records) || add_chunk())
        task = gs__container(gs__list_pop(&records), gs_task, link);
    for (int i = 0; task && cache && i < CACHE_BATCH && !gs__list_empty(&records); i++) {
        gs__list_append(&cache->free, gs__list_pop(&records));
        cache->n_free++;
    }
    gs__release(&records_lock);
    return task;
}

static void shrink_cache(struct gs__task_cache *cache, int to)
{
    gs__acquire(&records_lock);
    for (; cache->n_free > to; cache->n_free--)
        gs__list_prepend(&records, gs__list_pop(&cache->free));
    gs__release(&records_lock);
}

static void put_record(gs_task *task)
{
    struct gs__task_cache *cache = cache_of(gs__this_worker());
    if (!cache) {
        gs__acquire(&records_lock);
        gs__list_prepend(&records, &task->link);
        gs__release(&records_lock);
        return;
    }
    gs__list_prepend(&cache->free, &task->link);
    if (++cache->n_free > CACHE_MOST)
        shrink_cache(cache, CACHE_MOST - CACHE_BATCH);
}

static uint64_t take_id(struct gs__task_cache *cache)
{
    if (cache && cache->next_id < cache->last_id)
        return ++cache->next_id;
    gs__acquire(&records_lock);
    uint64_t id = last_id + 1;
    last_id += cache ? ID_BATCH : 1;
    if (cache) {
        cache->next_id = id;
        cache->last_id = last_id;
    }
    gs__release(&records_lock);
    return id;
}

void gs__task_cache_flush(gs__worker *w)
{
    if (!w->tasks)
        return;
    shrink_cache(w->tasks, 0);
    gs__free(w->tasks);
    w->tasks = NULL;
}

void gs__tasks_reset(void)
{
    gs__lock_init(&records_lock);
    chunks = NULL;
    gs__list_init(&records);
    atomic_store(&foreign_made, 0);
}

/* Over the workers of all groups. */
static long sum_over_workers(long (*of)(gs__worker *))
{
    long sum = 0;
    gs__group *group;
    for (int g = 0; (group = gs__group_at(g)); g++)
        for (int i = 0; i < GS__WORKERS_MOST; i++) {
            gs__worker *w = atomic_load(&group->workers[i]);
            sum += w ? of(w) : 0;
        }
    return sum;
}

static long made_on(gs__worker *w)
{
    return atomic_load(&w->made);
}

static long ended_on(gs__worker *w)
{
    return atomic_load(&w->ended);
}

/* Who ended is summed before who was made: so a task is never missed, whichever workers it was made
 * and ended on meanwhile. */
long gs__live_tasks(void)
{
    long ended = sum_over_workers(ended_on);
    return atomic_load(&foreign_made) + sum_over_workers(made_on) - ended;
}

static long forget(gs__worker *w)
{
    atomic_store(&w->made, 0);
    atomic_store(&w->ended, 0);
    return 0;
}

void gs__live_reset(void)
{
    atomic_store(&foreign_made, 0);
    sum_over_workers(forget);
}

static void step(atomic_long *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_release);
}

long gs__debug_tasks(gs_task **tasks, long n)
{
    long found = 0;
    gs__acquire(&records_lock);
    for (chunk *c = chunks; c; c = c->next)
        for (int i = 0; i < CHUNK; i++) {
            gs_task *task = &c->tasks[i];
            unsigned long long id = atomic_load(&task->id);
            if (!id || gs__task_ended(task))
                continue;
            if (found++ >= n)
                continue;
            if (!gs__ctx_tryref(&task->ctx)) {
                found--;
                continue;
            }
            tasks[found - 1] = task;
        }
    gs__release(&records_lock);
    return found;
}

/* ---- spawn ---- */

static bool holds_ref(const gs_value *v)
{
    return v->kind == GS_VALUE_CHAN || v->kind == GS_VALUE_SEND_CHAN ||
           v->kind == GS_VALUE_RECV_CHAN || v->kind == GS_VALUE_CTX;
}

static void release_args(gs_task *task)
{
    if (task->release) {
        task->release(task);
    } else {
        for (int i = 0; i < task->nargs; i++) {
            gs_value *v = &task->args[i];
            if (v->kind == GS_VALUE_CTX)
                gs__ctx_unref(v->as.ctx);
            else if (holds_ref(v))
                gs__chan_unref(v->as.chan);
            else if (v->kind == GS_VALUE_STR || v->kind == GS_VALUE_BYTES)
                gs__str_drop(&v->as.s);
        }
    }
    if (task->args != task->inline_args)
        gs__free(task->args);
    task->args = NULL;
    task->nargs = 0;
}

/* GS_ENOMEM: nothing is held. */
static int copy_args(gs_task *task, const gs__spawn *spawn)
{
    int n = spawn->nargs;
    task->release = NULL;
    task->nargs = 0;
    task->args = task->inline_args;
    if (n > GS__INLINE_ARGS && !(task->args = gs__alloc((size_t)n * sizeof *task->args)))
        return GS_ENOMEM;
    for (int i = 0; i < n; i++) {
        gs_value *v = &task->args[i];
        *v = spawn->args[i];
        if (v->kind == GS_VALUE_SEND_CHAN || v->kind == GS_VALUE_RECV_CHAN)
            task->flags |= GS__TASK_ONE_WAY;
        if (!spawn->release) {
            if (v->kind == GS_VALUE_CTX)
                gs__ctx_ref(v->as.ctx);
            else if (holds_ref(v))
                gs__chan_ref(v->as.chan);
            else if ((v->kind == GS_VALUE_STR || v->kind == GS_VALUE_BYTES) &&
                     gs__str_new(&v->as.s, spawn->args[i].as.s.data, spawn->args[i].as.s.size)) {
                release_args(task); /* those before, which nargs counts */
                return GS_ENOMEM;
            }
        }
        task->nargs = i + 1;
    }
    task->release = spawn->release;
    return GS_OK;
}

static int copy_name(gs_task *task, const gs__spawn *spawn)
{
    task->name = spawn->name ? spawn->name : "?";
    if (task->flags & GS__TASK_STATIC_NAME || !spawn->name)
        return GS_OK;
    size_t size = strlen(spawn->name) + 1;
    char *name = size <= sizeof task->short_name ? task->short_name : gs__alloc(size);
    if (!name)
        return GS_ENOMEM;
    task->name = memcpy(name, spawn->name, size);
    return GS_OK;
}

static void free_name(gs_task *task)
{
    if (!(task->flags & GS__TASK_STATIC_NAME) && task->name != task->short_name)
        gs__free((char *)task->name);
}

static void hang_hook(gs_task *task, gs__task_hook *hook)
{
    hook->waiter.party = NULL;
    gs__link_init(&hook->waiter.link);
    gs__list_append(&task->waiters, &hook->waiter.link);
}

static void init(gs_task *task, const gs__spawn *spawn, int class)
{
    task->call.api = &gs__api;
    __atomic_store_n(&task->call.signal, 0, __ATOMIC_RELAXED);
    gs__party_init(&task->party, GS__PARTY_TASK);
    task->coro.sp = NULL;
    task->coro.stack.bottom = NULL;
    task->worker = task->home = NULL;
    task->group = spawn->group ? spawn->group : &gs__c_group;
    atomic_store_explicit(&task->on_cpu, false, memory_order_relaxed);
    atomic_store_explicit(&task->state, GS__TASK_READY, memory_order_relaxed);
    task->flags = (uint8_t)(spawn->name ? spawn->flags : spawn->flags | GS__TASK_STATIC_NAME);
    task->started = 0;
    task->shields = 0;
    task->stack_class = (uint8_t) class;
    task->abandoned = false;
    unsigned char automatic = spawn->flags & GS__TASK_AUTOMATIC ? GS__AUTO_YES : GS__AUTO_NO;
    atomic_store_explicit(&task->automatic, automatic, memory_order_relaxed);
    atomic_store_explicit(&task->to_leave, false, memory_order_relaxed);
    task->in_hooks = 0;
    gs__lock_init(&task->lock);
    atomic_store_explicit(&task->stop_flag, 0, memory_order_relaxed);
    task->fn = spawn->fn;
    task->code = GS_OK;
    task->owner = spawn->owner;
    task->message = NULL;
    task->misuse = 0;
    task->result.kind = 0;
    gs__list_init(&task->waiters);
    if (spawn->hook)
        hang_hook(task, spawn->hook);
    gs__list_init(&task->strings);
    task->blocks = NULL;
    gs__list_init(&task->handles);
    gs__link_init(&task->handle);
    task->maker = NULL;
    atomic_store_explicit(&task->extra, NULL, memory_order_relaxed);
    atomic_store_explicit(&task->waiting_on, NULL, memory_order_relaxed);
}

gs_task *gs__task_spawn(const gs__spawn *spawn, int *error)
{
    int class = gs__stack_class(spawn->stack_size ? spawn->stack_size : gs__default_stack_size);
    *error = class < 0 ? GS_EINVAL : gs__runtime_start();
    if (*error != GS_OK)
        return NULL;
    *error = GS_ENOMEM;
    gs__worker *w = gs__this_worker();
    struct gs__task_cache *cache = cache_of(w);
    gs_task *task = take_record(cache);
    if (!task)
        return NULL;
    if (gs__stack_reserve(w ? &w->stacks : NULL, class) != GS_OK)
        goto no_stack;
    init(task, spawn, class);
    if (copy_name(task, spawn) != GS_OK)
        goto no_name;
    if (copy_args(task, spawn) != GS_OK)
        goto no_args;
    gs__ctx_init(&task->ctx, GS__CTX_TASK, spawn->parent);
    if (gs__ctx_is_done(&task->ctx)) {
        gs__wakes none;
        gs__wakes_init(&none);
        gs__task_signal_stop(task, &none);
    }
    if (w)
        step(&w->made);
    else
        atomic_fetch_add(&foreign_made, 1);
    atomic_store_explicit(&task->id, take_id(cache), memory_order_release);
    *error = GS_OK;
    gs__ready_fresh(task);
    return task;
no_args:
    free_name(task);
no_name:
    gs__stack_unreserve(w ? &w->stacks : NULL, class);
no_stack:
    put_record(task);
    return NULL;
}

/* ---- run and end ---- */

/* With the lock held: whether a party is among the waiters, and not hooks alone. */
static bool is_awaited(gs_task *task)
{
    for (gs__link *l = task->waiters.head.next; l != &task->waiters.head; l = l->next)
        if (gs__container(l, gs__waiter, link)->party)
            return true;
    return false;
}

/* Its state says so; who waits for it is claimed, and woken; its hooks run. */
static void tell_end(gs_task *task)
{
    gs__wakes wakes;
    gs__list hooks;
    gs__wakes_init(&wakes);
    gs__list_init(&hooks);
    gs__acquire(&task->lock);
    if (is_awaited(task))
        atomic_store(&task->state, GS__TASK_ENDED); /* before the claims: see waiter.h */
    else
        atomic_store_explicit(&task->state, GS__TASK_ENDED, memory_order_release);
    for (gs__link *l; (l = gs__list_pop(&task->waiters));) {
        gs__waiter *waiter = gs__container(l, gs__waiter, link);
        if (!waiter->party)
            gs__list_append(&hooks, l);
        else if (gs__claim(waiter->party, waiter->outcome))
            gs__wakes_add(&wakes, waiter->party);
    }
    gs__release(&task->lock);
    gs__wake_all(&wakes);
    for (gs__link *l; (l = gs__list_pop(&hooks));) {
        gs__task_hook *hook = gs__container(l, gs__task_hook, waiter.link);
        hook->fn(hook);
    }
}

static void end(gs_task *task, int code)
{
    bool asked = gs__ctx_error(&task->ctx) != GS__CTX_ALIVE;
    gs__task_release_owned(task);
    release_args(task);
    task->code = code;
    if (asked && code == GS_ECANCELED)
        task->flags |= GS__TASK_CANCELED;
    step(&task->worker->ended);
    tell_end(task);
}

static void set_message(gs_task *task, const char *message)
{
    char *copy = gs__alloc(strlen(message) + 1);
    gs__free(task->message);
    task->message = copy ? strcpy(copy, message) : NULL;
}

/* What is left to do on the task's stack once fn has returned. */
static void finish(gs_task *task, int code)
{
    gs__auto_over(task);
    gs__task_run_defers(task);
    if (task->shields) {
        set_message(task,
                    "it returned with a shield open: each gs_shield_begin needs its gs_shield_end");
        code = GS_EINVAL;
        while (task->shields)
            gs__task_shield_end(task);
    } else if (task->misuse && task->misuse != code) {
        gs__free(task->message); /* it went on, and ends otherwise */
        task->message = NULL;
    }
    gs__blocks_release(task, task->abandoned);
    end(task, code);
}

void gs__task_abandon(gs_task *task, int code)
{
    if (atomic_load_explicit(&task->automatic, memory_order_relaxed) != GS__AUTO_OVER)
        task->abandoned = true;
    finish(task, code);
    gs__exit_task(task);
}

void gs__task_main(gs_task *task)
{
    task->started = 1;
    if (task->flags & GS__TASK_PINNED)
        task->home = task->worker;
    finish(task, task->fn(&task->call));
}

void gs__task_end_unstarted(gs_task *task, int code, const char *message)
{
    if (message)
        set_message(task, message);
    gs__auto_over(task);
    end(task, code);
}

bool gs__task_was_canceled(gs_task *task)
{
    return task->flags & GS__TASK_CANCELED;
}

static void free_extra(gs_task *task)
{
    gs__extra *extra = atomic_load_explicit(&task->extra, memory_order_acquire);
    if (!extra)
        return;
    gs__progress_fini(&extra->progress);
    gs__free(extra);
}

void gs__task_free(gs_task *task)
{
    atomic_store_explicit(&task->id, 0, memory_order_release);
    free_name(task);
    gs__free(task->message);
    if (task->result.kind == GS_VALUE_STR || task->result.kind == GS_VALUE_BYTES)
        gs__str_drop(&task->result.as.s);
    free_extra(task);
    put_record(task);
}

/* ---- cancel ---- */

void gs__task_signal_stop(gs_task *task, gs__wakes *wakes)
{
    gs__acquire(&task->lock);
    if (!task->shields) {
        __atomic_fetch_or(&task->call.signal, GS__SIGNAL_STOP, __ATOMIC_SEQ_CST);
        atomic_store(&task->stop_flag, 1);
        gs__auto_recount(task);
    }
    gs__release(&task->lock);
    unsigned own = GS__WAITING_OWN;
    if (atomic_load(&task->party.claim) == own &&
        atomic_compare_exchange_strong(&task->party.claim, &own, GS__CANCELED))
        gs__wakes_add(wakes, &task->party);
}

bool gs__task_cancel(gs_task *task, gs__cause *cause)
{
    if (gs__task_ended(task))
        return false;
    gs__ctx_cancel(&task->ctx, GS__CTX_CANCELED, cause);
    return true;
}

/* ---- waiting ---- */

bool gs__task_hang(gs_task *task, gs__waiter *waiter)
{
    gs__acquire(&task->lock);
    bool alive = !gs__task_ended(task);
    if (alive)
        gs__list_append(&task->waiters, &waiter->link);
    gs__release(&task->lock);
    return alive;
}

void gs__task_unhang(gs_task *task, gs__waiter *waiter)
{
    gs__acquire(&task->lock);
    if (gs__linked(&waiter->link))
        gs__list_remove(&waiter->link);
    gs__release(&task->lock);
}

bool gs__task_hook_add(gs_task *task, gs__task_hook *hook, void (*fn)(gs__task_hook *))
{
    hook->fn = fn;
    hook->waiter.party = NULL;
    gs__link_init(&hook->waiter.link);
    return gs__task_hang(task, &hook->waiter);
}

bool gs__task_unhook(gs_task *task, gs__task_hook *hook)
{
    gs__acquire(&task->lock);
    bool hung = !gs__task_ended(task) && gs__linked(&hook->waiter.link);
    if (hung)
        gs__list_remove(&hook->waiter.link);
    gs__release(&task->lock);
    return hung;
}

/* A wait for one task and nothing that needs a timer or another context: most joins. Its lock is held
 * until the one who waits has left its stack, so the end cannot fall between. */
typedef struct joining {
    gs__wait wait;
    gs_task *task;
} joining;

static void unlock_joined(gs__wait *wait)
{
    gs__release(&gs__container(wait, joining, wait)->task->lock);
}

static int join(gs_task *task, gs__party *self, bool own, int64_t deadline)
{
    joining j = {.task = task};
    j.wait.unlock = unlock_joined;
    j.wait.deadline = deadline;
    j.wait.own = own;
    j.wait.on = gs__on_select(1);
    self->waiter.party = self;
    self->waiter.outcome = GS__CASE;
    gs__acquire(&task->lock);
    if (gs__task_ended(task)) {
        gs__release(&task->lock);
        return GS_OK;
    }
    gs__list_append(&task->waiters, &self->waiter.link);
    unsigned outcome = gs__wait_for_claim(self, &j.wait);
    if (outcome == GS__CASE)
        return GS_OK;
    gs__task_unhang(task, &self->waiter);
    return gs__cutoff_code(outcome);
}

int gs__task_wait(gs_task *task, gs_ctx *scope, int64_t deadline)
{
    if (gs__task_ended(task))
        return GS_OK;
    gs__party *self = gs__self();
    if (!self)
        return GS_ENOMEM;
    bool own = scope && gs__is_own_ctx(self, scope);
    if (deadline && !gs__cutoff_needed(self, scope, own, deadline))
        return join(task, self, own, deadline);
    gs__select_case ended = {.kind = GS__CASE_TASK, .on.task = task};
    int code = gs__select(&ended, 1, scope, deadline);
    return code == 0 ? GS_OK : code == GS_EAGAIN ? GS_ETIMEDOUT : code;
}

int gs__sleep(int64_t deadline, gs_ctx *scope)
{
    if (deadline != GS_FOREVER && deadline <= gs__now())
        return gs__yield(scope);
    int code = gs__select(NULL, 0, scope, deadline);
    return code == GS_ETIMEDOUT ? GS_OK : code;
}

int gs__yield(gs_ctx *scope)
{
    gs_task *task = gs__task_current();
    if (task)
        gs__yield_task(task);
    return scope && gs__ctx_is_done(scope) ? GS_ECANCELED : GS_OK;
}

/* ---- what it says ---- */

unsigned gs__task_progress(gs_task *task, int64_t *done, int64_t *total)
{
    gs__extra *extra = atomic_load_explicit(&task->extra, memory_order_acquire);
    return extra ? gs__progress_get(&extra->progress, done, total) : 0;
}

gs_chan *gs__task_progress_changed(gs_task *task)
{
    gs__extra *extra = gs__task_extra(task);
    return extra ? gs__progress_changed(&extra->progress) : NULL;
}
