/* dispatch.h: the dispatcher's intrusive form: for what has been promised and must not fail later for
 * want of memory. The plain form is in state.h. */
#ifndef GS__PY_DISPATCH_H
#define GS__PY_DISPATCH_H

#include "state.h"

typedef struct gs__py_job {
    struct gs__py_job *next;
    void (*run)(struct gs__py_job *); /* with the GIL; the memory is its own by then */
} gs__py_job;

/* When the module is made: 0, or -1 with an exception. */
int gs__py_dispatch_init(void);
/* Has the thread there: GS_OK, or GS_ENOMEM where threads ran out or the process leaves. */
int gs__py_dispatch_start(void);
/* As gs__py_dispatch. Fails only where gs__py_dispatch_start would now. */
int gs__py_dispatch_job(gs__py_job *job);

#endif
