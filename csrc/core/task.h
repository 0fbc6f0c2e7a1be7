/* task.h: tasks: spawn, run, end, join.
 *
 * What always holds:
 *  - The task's context shares its memory and its reference count: gs__ctx_ref(&task->ctx) keeps the
 *    task. The runtime holds one reference until the task has ended.
 *  - `lock` guards the change of state to ENDED and the waiters for it. What the task leaves (code,
 *    result, message) is written before and never changes after; read it once ended.
 *  - The memory of tasks is never given back to the allocator nor used for anything else, so that the
 *    monitor may set the signal of a task that has just ended. */
#ifndef GS__TASK_H
#define GS__TASK_H

#include "coro.h"
#include "ctx.h"
#include "progress.h"

struct gs__worker;
struct gs__group;

enum gs__task_state { GS__TASK_READY, GS__TASK_RUNNING, GS__TASK_PARKED, GS__TASK_ENDED };
enum {
    GS__SIGNAL_GIVE_WAY = 2u /* beside GS__SIGNAL_STOP in gs_call.signal */
};
enum { GS__INLINE_ARGS = 2, GS__SHORT_NAME = 24 };

/* A task's result, or what it left. */
typedef struct gs__result {
    uint8_t kind; /* 0 none, else GS_VALUE_INT, _FLOAT, _STR, _BYTES, _PTR */
    union {
        int64_t i;
        double f;
        gs_str s;  /* the task's */
        void *ptr; /* the bindings' */
    } as;
} gs__result;

/* What few tasks need, made when first needed: by the task, or by who watches its progress. Only the
 * task itself touches it, but progress. */
typedef struct gs__extra {
    struct gs__defer *defers;    /* last first */
    struct gs__on_cancel *hooks; /* of gs_on_cancel and gs_stop_fd */
    int last_hook;               /* the id given last */
    int stop_fd[2];              /* to read and to write, the same for an eventfd; -1: none */
    struct gs__held *held;       /* channels and contexts that the task made */
    gs__progress progress;
} gs__extra;

struct gs_task {
    /* First: a gs_call * is a gs_task *. No line of the cache is two tasks', which run on two cores. */
    _Alignas(GS__CACHE_LINE) gs_call call;
    gs__party party;
    gs_ctx ctx;
    gs__link link; /* on a queue of the scheduler */
    gs__coro coro;
    struct gs__worker *worker; /* that runs it, or ran it last */
    struct gs__worker *home;   /* the only one that may resume it; NULL: any of the group */
    struct gs__group *group;
    atomic_bool on_cpu;  /* between resumed and off its stack */
    atomic_uchar state;  /* enum gs__task_state; a snapshot but for ENDED */
    uint8_t flags;       /* GS__TASK_… */
    uint8_t started;     /* fn was called: it was not cancelled before */
    uint16_t shields;    /* open gs_shield_begin; the task writes it, under the lock */
    uint8_t stack_class; /* of the pool that its stack comes from */
    uint8_t owns_args;
    bool abandoned;         /* its stack was left before its function returned */
    atomic_uchar automatic; /* GS__AUTO_…: auto.h */
    atomic_bool to_leave;   /* counted among those that are to leave: auto.h */
    unsigned in_hooks;      /* hooks of gs_on_cancel that run on its stack; the task's own */
    gs__lock lock;
    atomic_int stop_flag; /* for gs_stop_flag */
    gs_fn *fn;
    const char *name; /* the task's own copy, or static */
    char short_name[GS__SHORT_NAME];
    atomic_ullong id; /* 0: the record is free, or being made */
    gs_value *args;
    int nargs;
    int code; /* what it returned */
    gs_value inline_args[GS__INLINE_ARGS];
    void (*release)(gs_task *); /* the bindings': releases what args stand for, on the ending thread */
    void *owner;                /* the bindings' */
    char *message;              /* of gs_fail, or misuse.c's; NULL */
    int misuse;                 /* the code that the message is about; 0: any; misuse.c says more */
    gs__result result;
    gs__list waiters; /* for its end: gs__waiter, or gs__task_hook with party NULL */
    gs__list strings; /* that it received and still owns: str.h; the task's own */
    struct gs__blocks
        *blocks;      /* memory that it is to free where it is left; NULL: none; the task's own */
    gs__list handles; /* gs_task.handle: children it may still join; the task's own */
    gs__link handle;  /* on its maker's handles; the maker's */
    gs_task *maker;   /* whose handle it is; NULL: none's; the maker's */
    _Atomic(gs__extra *) extra;       /* NULL: not needed so far */
    _Atomic(const void *) waiting_on; /* what it is parked on, for snapshots; NULL */
};

enum {
    GS__TASK_PINNED = 1,      /* resumes only on the worker that started it */
    GS__TASK_STATIC_NAME = 2, /* name outlives the task: no copy */
    GS__TASK_ONE_WAY = 4,     /* a channel among its arguments is a half */
    GS__TASK_CANCELED = 8,    /* ended because it was asked to */
    GS__TASK_AUTOMATIC = 16   /* its stack may be left at automatic checkpoints: auto.h */
};

typedef struct gs__spawn {
    gs_fn *fn;
    const char *name;     /* copied unless GS__TASK_STATIC_NAME */
    gs_ctx *parent;       /* of the task's context */
    const gs_value *args; /* copied; strings too, unless release is set: then they are release's */
    int nargs;
    void (*release)(gs_task *);
    void *owner;
    size_t stack_size; /* in bytes; 0: the default */
    unsigned flags;
    struct gs__group *group;    /* NULL: the C workers */
    struct gs__task_hook *hook; /* with its fn: hung before the task is ready; NULL: none */
} gs__spawn;

/* One reference the caller's. NULL with *error GS_ENOMEM (memory, threads or mappings ran out) or
 * GS_EINVAL (a stack size that no pool has): nothing was started, release will not run. */
gs_task *gs__task_spawn(const gs__spawn *spawn, int *error);

/* The running task, or NULL on a foreign thread. */
gs_task *gs__task_current(void);

static inline void gs__task_unref(gs_task *task)
{
    gs__ctx_unref(&task->ctx);
}
static inline bool gs__task_ended(gs_task *task)
{
    return atomic_load_explicit(&task->state, memory_order_acquire) == GS__TASK_ENDED;
}
/* Whether it ended because it was asked to: by GS_ECANCELED, or before it began. Ended tasks only. */
bool gs__task_was_canceled(gs_task *task);
static inline bool gs__is_own_ctx(gs__party *party, gs_ctx *ctx)
{
    return party->kind == GS__PARTY_TASK && ctx == &gs__container(party, gs_task, party)->ctx;
}
/* call.signal, in order with the claim of the task's party. */
static inline uint32_t gs__task_signal(gs_task *task)
{
    return __atomic_load_n(&task->call.signal, __ATOMIC_SEQ_CST);
}

/* Waits for the end. GS_OK, or as gs__chan_recv. */
int gs__task_wait(gs_task *task, gs_ctx *scope, int64_t deadline);
/* Parks the calling task or blocks the calling thread. GS_OK when the time is over. */
int gs__sleep(int64_t deadline, gs_ctx *scope);
/* Lets others run, where the caller is a task; then a checkpoint of `scope`. */
int gs__yield(gs_ctx *scope);
/* Asks the task to stop: true where it had not ended. */
bool gs__task_cancel(gs_task *task, gs__cause *cause);

/* As gs__ctx_hook, for a task's end: fn runs on the thread that ended it, after its state says so. */
typedef struct gs__task_hook {
    gs__waiter waiter; /* with party NULL */
    void (*fn)(struct gs__task_hook *);
} gs__task_hook;
/* False where it has ended already: nothing was hung. */
bool gs__task_hook_add(gs_task *task, gs__task_hook *hook, void (*fn)(gs__task_hook *));
/* True where it will not run any more. */
bool gs__task_unhook(gs_task *task, gs__task_hook *hook);

bool gs__task_hang(gs_task *task, gs__waiter *waiter);
void gs__task_unhang(gs_task *task, gs__waiter *waiter);

/* As gs__progress_get, gs__progress_changed. */
unsigned gs__task_progress(gs_task *task, int64_t *done, int64_t *total);
gs_chan *gs__task_progress_changed(gs_task *task);

/* For ctx.c: with the context's lock held, the task is to see that it was asked to stop; it is
 * claimed for `wakes` where it is parked on its own context. */
void gs__task_signal_stop(gs_task *task, gs__wakes *wakes);
/* For ctx.c: the last reference is gone. */
void gs__task_free(gs_task *task);
/* For worker.c: runs the task to its end; ends one that never got to run, with a code. */
void gs__task_main(gs_task *task);
void gs__task_end_unstarted(gs_task *task, int code, const char *message);
/* For args.c and auto.c: ends the running task at once: its defers run, its stack is abandoned. */
_Noreturn void gs__task_abandon(gs_task *task, int code);
/* A worker's free records go back to all. */
void gs__task_cache_flush(struct gs__worker *worker);
void gs__tasks_reset(void);
/* For runtime.c: none is left, and the workers that counted have gone. */
void gs__live_reset(void);

/* gs_log's lines go here; NULL: stderr. Set by the bindings. Runs on the task's worker. */
extern void (*gs__log_line)(const char *task, const char *line);

/* The table that tasks call. */
extern const gs_api gs__api;
/* NULL when memory ran out. On any thread. */
gs__extra *gs__task_extra(gs_task *task);
/* The context that the task's blocking calls observe: its own, none under a shield. */
static inline gs_ctx *gs__task_scope(gs_task *task)
{
    return task->shields ? NULL : &task->ctx;
}

#endif
