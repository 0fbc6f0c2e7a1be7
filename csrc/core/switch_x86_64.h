/* switch_x86_64.h: the switch, in line: no call leads to it and no ret from it.
 *
 * The processor predicts each ret by the call that it believes to match. A switch that is called and
 * leaves by a jump leaves one call too many behind, and every ret on the way out of the runtime then
 * misses; one that leaves by ret misses wherever it was called from another place. In line, the calls
 * and rets of a task match those of the one that it leaves for, which mostly took the same way.
 *
 * The compiler saves what it needs of the registers; rbp, which it may not be told of, the control
 * words and the address to go on at are on the stack. The control words are loaded only where they
 * differ in what the ABI leaves to the callee, as loading them stalls for longer than all the rest
 * takes: of mxcsr not the status flags, which any inexact operation sets. */
#ifndef GS__SWITCH_X86_64_H
#define GS__SWITCH_X86_64_H

#ifdef __AVX512F__
#define GS__SWITCH_AVX512                                                                         \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
        "k7"
#else
#define GS__SWITCH_AVX512
#endif

static gs__always_inline void gs__switch(void **save, void *to)
{
    __asm__ volatile("leaq    -128(%%rsp), %%rsp\n\t" /* the red zone, which the compiler may be using */
                     "leaq    1f(%%rip), %%rax\n\t"
                     "pushq   %%rbp\n\t"
                     "pushq   %%rax\n\t"
                     "subq    $8, %%rsp\n\t"
                     "stmxcsr (%%rsp)\n\t"
                     "fnstcw  4(%%rsp)\n\t"
                     "movl    (%%rsp), %%eax\n\t"
                     "movzwl  4(%%rsp), %%ecx\n\t"
                     "movq    %%rsp, (%%rdi)\n\t"
                     "movq    %%rsi, %%rsp\n\t"
                     "xorl    (%%rsp), %%eax\n\t"
                     "xorw    4(%%rsp), %%cx\n\t"
                     "andl    $0xffc0, %%eax\n\t"
                     "orl     %%ecx, %%eax\n\t"
                     "jz      2f\n\t"
                     "ldmxcsr (%%rsp)\n\t"
                     "fldcw   4(%%rsp)\n"
                     "2:\n\t"
                     "addq    $8, %%rsp\n\t"
                     "popq    %%rax\n\t"
                     "popq    %%rbp\n\t"
                     "jmp     *%%rax\n"
                     "1:\n\t"
                     "leaq    128(%%rsp), %%rsp"
                     : "+D"(save), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0",
                       "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "st", "st(1)", "st(2)",
                       "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "memory",
                       "cc" GS__SWITCH_AVX512);
}

#endif
