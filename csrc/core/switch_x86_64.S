/* switch_x86_64.S: void gs__switch(void **save, void *to)
 *
 * Saves what the System V ABI leaves to the callee, and the floating-point control words, on the stack
 * it leaves; then the same in reverse on the other. It leaves by pop and jmp: a ret would be predicted
 * to return where this stack was entered, and miss each time. The control words are loaded only where
 * they differ in what the ABI leaves to the callee, as loading them stalls for longer than all the
 * rest takes: of mxcsr not the status flags, which any inexact operation sets. */
        .text
        .globl  gs__switch
        .hidden gs__switch
        .type   gs__switch, @function
        .p2align 4
gs__switch:
        .cfi_startproc
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        subq    $8, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        xorl    (%rsp), %eax
        xorw    4(%rsp), %cx
        andl    $0xffc0, %eax
        orl     %ecx, %eax
        jnz     2f
1:      addq    $8, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        popq    %rcx
        jmp     *%rcx
2:      ldmxcsr (%rsp)
        fldcw   4(%rsp)
        jmp     1b
        .cfi_endproc
        .size   gs__switch, .-gs__switch

/* Where a new stack begins: entry in r12, its argument in r13. A debugger's walk ends here. */
        .globl  gs__switch_begin
        .hidden gs__switch_begin
        .type   gs__switch_begin, @function
        .p2align 4
gs__switch_begin:
        .cfi_startproc
        .cfi_undefined rip
        xorl    %ebp, %ebp
        movq    %r13, %rdi
        call    *%r12
        ud2
        .cfi_endproc
        .size   gs__switch_begin, .-gs__switch_begin

        .section .note.GNU-stack,"",@progbits
