/* switch_aarch64.S: void gs__switch(void **save, void *to)
 *
 * Saves what the AAPCS64 leaves to the callee, x19 to x30 and d8 to d15, and the floating-point control
 * register, on the stack it leaves; then the same in reverse on the other. It leaves by ret,
 * so that the processor's record of calls stays in step: what follows are the rets of callers, and those
 * of the two stacks are mostly the same. fpcr is written only where it differs, as that stalls. */
        .text
        .globl  gs__switch
        .hidden gs__switch
        .type   gs__switch, %function
        .p2align 4
gs__switch:
        .cfi_startproc
        sub     sp, sp, #176
        stp     x19, x20, [sp]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x11, sp
        str     x11, [x0]
        mov     sp, x1
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10
1:      ldp     x19, x20, [sp]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #176
        ret
        .cfi_endproc
        .size   gs__switch, .-gs__switch

/* Where a new stack begins: entry in x19, its argument in x20. A debugger's walk ends here. */
        .globl  gs__switch_begin
        .hidden gs__switch_begin
        .type   gs__switch_begin, %function
        .p2align 4
gs__switch_begin:
        .cfi_startproc
        .cfi_undefined x30
        mov     x29, #0
        mov     x0, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   gs__switch_begin, .-gs__switch_begin

        .section .note.GNU-stack,"",%progbits
