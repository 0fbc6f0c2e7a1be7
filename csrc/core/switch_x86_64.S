/* switch_x86_64.S: where a new stack begins; the switch itself is in switch_x86_64.h. On the stack lie
 * entry, its argument, and 0 for the address that it would return to: a debugger's walk ends there. */
        .text
        .globl  gs__switch_begin
        .hidden gs__switch_begin
        .type   gs__switch_begin, @function
        .p2align 4
gs__switch_begin:
        .cfi_startproc
        .cfi_undefined rip
        popq    %rax
        popq    %rdi
        jmp     *%rax
        .cfi_endproc
        .size   gs__switch_begin, .-gs__switch_begin

        .section .note.GNU-stack,"",@progbits
