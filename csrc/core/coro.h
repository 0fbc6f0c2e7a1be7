/* coro.h: a coroutine: a stack and the place on it where it goes on.
 *
 * A switch saves the callee-saved registers and the floating-point control words on the stack that it
 * leaves, and nothing else. The two machines' switches are in switch_x86_64.h and switch_aarch64.S,
 * the portable one in switch_ucontext.c. Sanitizers are told of each switch. */
#ifndef GS__CORO_H
#define GS__CORO_H

#include "base.h"
#include "stack.h"
#include "switch.h"

#ifdef GS__TSAN
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif
#ifdef GS__ASAN
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
#endif

typedef struct gs__coro {
    void *sp;        /* where it goes on, while it does not run */
    gs__stack stack; /* no stack: a thread's own */
#ifdef GS__TSAN
    void *fiber;
#endif
#ifdef GS__ASAN
    void *fake_stack;
    const void *bottom; /* of the stack it runs on, for a thread's own */
    size_t size;
#endif
#ifdef GS__VALGRIND
    unsigned valgrind; /* how Valgrind calls the stack */
#endif
} gs__coro;

/* The coroutine that is the calling thread itself. */
void gs__coro_init_thread(gs__coro *coro);
/* Lets a coroutine begin at entry(arg) on its stack, at its first switch, with the floating-point control
 * words that a program begins with, whoever makes it. entry never returns. `above` bytes, a multiple of
 * 16, below gs__stack_top are left to the caller. */
void gs__coro_init_below(gs__coro *coro, gs__stack stack, size_t above, void (*entry)(void *),
                         void *arg);
static inline void gs__coro_init(gs__coro *coro, gs__stack stack, void (*entry)(void *), void *arg)
{
    gs__coro_init_below(coro, stack, 0, entry, arg);
}
/* Gives its stack back to the caller, when it will never run again. */
gs__stack gs__coro_fini(gs__coro *coro);
/* Leaves `from` for `to`; goes on when somebody switches to `from`. `ending`: from will never run
 * again. */
static gs__always_inline void gs__coro_switch(gs__coro *from, gs__coro *to, bool ending)
{
    (void)ending;
#ifdef GS__TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
#ifdef GS__ASAN
    __sanitizer_start_switch_fiber(ending ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
    gs__switch(&from->sp, to->sp);
#ifdef GS__ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}
/* The first thing on a new coroutine's stack. */
void gs__coro_began(void);

#endif
