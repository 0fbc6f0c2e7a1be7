/* switch_ucontext.c: the switch where there is none in assembler. What is noted of a stack is the
 * address of its ucontext_t, which lies on that stack itself. */
#define _GNU_SOURCE
#include "switch.h"

#include "base.h"

#include <fenv.h>
#include <ucontext.h>

typedef struct start {
    ucontext_t context;
    void (*entry)(void *);
    void *arg;
} start;

/* makecontext passes ints only. */
static void begin(unsigned high, unsigned low)
{
    start *s = (start *)(((uintptr_t)high << 16 << 16) | (uintptr_t)low);
    fesetenv(FE_DFL_ENV);
    s->entry(s->arg);
}

void gs__switch(void **save, void *to)
{
    ucontext_t here;
    *save = &here;
    gs__assert(swapcontext(&here, to) == 0);
}

void *gs__switch_prepare(char *top, char *bottom, void (*entry)(void *), void *arg)
{
    start *s = (start *)(((uintptr_t)top - sizeof *s) & ~(uintptr_t)63);
    gs__assert(getcontext(&s->context) == 0);
    s->entry = entry;
    s->arg = arg;
    s->context.uc_link = NULL;
    s->context.uc_stack.ss_sp = bottom;
    s->context.uc_stack.ss_size = (size_t)((char *)s - bottom);
    uintptr_t address = (uintptr_t)s;
    makecontext(&s->context, (void (*)(void))begin, 2, (unsigned)(address >> 16 >> 16),
                (unsigned)address);
    return s;
}
