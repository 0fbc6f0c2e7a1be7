/* coro.h: a coroutine: a stack and the place on it where it goes on.
 *
 * A switch saves the callee-saved registers and the floating-point control words on the stack that it
 * leaves, and nothing else. The two machines' switches are in switch_x86_64.S and switch_aarch64.S,
 * the portable one in switch_ucontext.c. Sanitizers are told of each switch. */
#ifndef GS__CORO_H
#define GS__CORO_H

#include "base.h"
#include "stack.h"

typedef struct gs__coro {
    void *sp;         /* where it goes on, while it does not run */
    gs__stack stack;  /* no stack: a thread's own */
#ifdef GS__TSAN
    void *fiber;
#endif
#ifdef GS__ASAN
    void *fake_stack;
    const void *bottom; /* of the stack it runs on, for a thread's own */
    size_t size;
#endif
} gs__coro;

/* The coroutine that is the calling thread itself. */
void gs__coro_init_thread(gs__coro *coro);
/* Lets a coroutine begin at entry(arg) on its stack, at its first switch. entry never returns. */
void gs__coro_init(gs__coro *coro, gs__stack stack, void (*entry)(void *), void *arg);
/* Gives its stack back to the caller, when it will never run again. */
gs__stack gs__coro_fini(gs__coro *coro);
/* Leaves `from` for `to`; returns when somebody switches to `from`. `ending`: from will never run
 * again. */
void gs__coro_switch(gs__coro *from, gs__coro *to, bool ending);
/* The first thing on a new coroutine's stack. */
void gs__coro_began(void);

#endif
