/* late.h: the warning for a Python task that keeps its worker's thread while others wait for it. */
#ifndef GS__PY_LATE_H
#define GS__PY_LATE_H

#include "state.h"

/* gs__hooks.on_late of the Python workers. */
bool gs__py_late(struct gs__worker *worker, unsigned runs);

enum { GS__PY_LATE_AFTER = 250000000 /* ns, unless configure() says otherwise */ };

#endif
