/* coro.c: coroutines on the machine's switch, with the sanitizers kept informed. */
#define _GNU_SOURCE
#include "coro.h"

#include <pthread.h>
#include <string.h>

#ifdef GS__VALGRIND
#include <valgrind/memcheck.h>
#endif

#ifdef GS__TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
#endif
#ifdef GS__ASAN
void __asan_unpoison_memory_region(void const volatile *address, size_t size);
#endif

#ifndef GS__SWITCH_UCONTEXT
extern void gs__switch_begin(void);

void *gs__switch_prepare(char *top, char *bottom, void (*entry)(void *), void *arg)
{
    (void)bottom;
#if defined(__x86_64__)
    /* As gs__switch leaves it: control words, the ABI's, as to ask for those in force takes longer than all
     * the rest; the address to go on at; rbp, which is 0 where a walk of frames ends; then what
     * gs__switch_begin takes. */
    enum { MXCSR = 0x1f80, FPU = 0x37f };
    void **sp = (void **)top - 6;
    sp[0] = (void *)(uintptr_t)(MXCSR | (uint64_t)FPU << 32);
    sp[1] = (void *)(uintptr_t)gs__switch_begin;
    sp[2] = NULL;
    sp[3] = (void *)(uintptr_t)entry;
    sp[4] = arg;
    sp[5] = NULL;
#elif defined(__aarch64__)
    void **sp = (void **)top - 22;
    memset(sp, 0, 22 * sizeof *sp);
    sp[0] = (void *)(uintptr_t)entry;
    sp[1] = arg;
    sp[11] = (void *)(uintptr_t)gs__switch_begin;
#else
#error "no switch for this machine: build with GS_SWITCH=ucontext"
#endif
    return sp;
}
#endif

void gs__coro_init_thread(gs__coro *coro)
{
    memset(coro, 0, sizeof *coro);
#ifdef GS__TSAN
    coro->fiber = __tsan_get_current_fiber();
#endif
#ifdef GS__ASAN
    pthread_attr_t attr;
    void *bottom = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &bottom, &size);
        pthread_attr_destroy(&attr);
    }
    coro->bottom = bottom;
    coro->size = size;
#endif
}

void gs__coro_init_below(gs__coro *coro, gs__stack stack, size_t above, void (*entry)(void *),
                         void *arg)
{
    char *usable = stack.bottom + gs__stack_guard_size(stack.size);
    coro->stack.bottom = stack.bottom;
    coro->stack.size = stack.size;
    coro->sp = gs__switch_prepare(gs__stack_top(&coro->stack) - above, usable, entry, arg);
#ifdef GS__TSAN
    coro->fiber = __tsan_create_fiber(0);
#endif
#ifdef GS__ASAN
    coro->fake_stack = NULL;
    coro->bottom = usable;
    coro->size = (size_t)(stack.bottom + stack.size - usable);
#endif
#ifdef GS__VALGRIND
    coro->valgrind = VALGRIND_STACK_REGISTER(usable, stack.bottom + stack.size - 1);
#endif
}

gs__stack gs__coro_fini(gs__coro *coro)
{
    gs__stack stack = coro->stack;
#ifdef GS__TSAN
    __tsan_destroy_fiber(coro->fiber);
    coro->fiber = NULL;
#endif
#ifdef GS__ASAN
    /* A stack that was abandoned leaves its frames' red zones behind. */
    __asan_unpoison_memory_region(coro->bottom, coro->size);
#endif
#ifdef GS__VALGRIND
    /* So does what lay below the stack pointer; the next task may begin further down. */
    size_t guard = gs__stack_guard_size(stack.size);
    VALGRIND_STACK_DEREGISTER(coro->valgrind);
    VALGRIND_MAKE_MEM_UNDEFINED(stack.bottom + guard, stack.size - guard);
#endif
    coro->stack.bottom = NULL;
    coro->sp = NULL;
    return stack;
}

void gs__coro_began(void)
{
#ifdef GS__ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}
