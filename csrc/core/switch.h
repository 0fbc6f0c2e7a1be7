/* switch.h: what each machine provides: switch_x86_64.[hS], switch_aarch64.S, switch_ucontext.c. */
#ifndef GS__SWITCH_H
#define GS__SWITCH_H

/* Leaves this stack, noting in *save where it goes on, for the one noted as `to`. */
#if defined(__x86_64__) && !defined(GS__SWITCH_UCONTEXT)
#include "switch_x86_64.h"
#else
void gs__switch(void **save, void *to);
#endif
/* Prepares the stack below `top`, which is aligned to 16, so that the first switch to it calls
 * entry(arg); gives where it goes on. */
void *gs__switch_prepare(char *top, char *bottom, void (*entry)(void *), void *arg);

#endif
