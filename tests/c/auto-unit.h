/* auto-unit.h: what test-auto.c calls of the library that has automatic checkpoints. */
#ifndef GS_AUTO_UNIT_H
#define GS_AUTO_UNIT_H

#include <pygostop.h>

enum { UNIT_BLOCKS = 100 };

/* What a task shows of itself; each is given one. */
typedef struct unit_seen {
    int begun, done, hooked, defers;
    int release; /* set by the test */
    void (*arm)(void);
    volatile long turns;
    void *blocks[UNIT_BLOCKS];
} unit_seen;

GS__VISIBLE int unit_churn(gs_call *call);
GS__VISIBLE int unit_hold(gs_call *call);
GS__VISIBLE int unit_shield(gs_call *call);
GS__VISIBLE int unit_shield_late(gs_call *call);
GS__VISIBLE int unit_refused(gs_call *call);
GS__VISIBLE int unit_cancel_other(gs_call *call);
GS__VISIBLE int unit_unstarted(gs_call *call);
GS__VISIBLE int unit_bad_argument(gs_call *call);
GS__VISIBLE void unit_free(void *block);

#endif
