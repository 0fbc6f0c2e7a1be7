/* dispatch.h: running Python on behalf of threads that hold no GIL. What is to run brings its own
 * memory: what has been promised must not fail later for want of it. */
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
/* Has the job run with the GIL on the dispatcher's thread, soon, in the order of the calls. From any
 * thread, GIL or not. Fails only where gs__py_dispatch_start would now. */
int gs__py_dispatch_job(gs__py_job *job);
void gs__py_dispatch_stop(void); /* at exit: runs what is queued, then ends the thread */

#endif
