/* drops.h: the life of the list of drops; what the other files use of it is in state.h. */
#ifndef GS__PY_DROPS_H
#define GS__PY_DROPS_H

#include "state.h"

/* When the module is made: 0, or -1 with an exception. */
int gs__py_drops_start(void);
/* Before the interpreter ends: afterwards no thread without the GIL calls into it from here. */
void gs__py_drops_stop(void);

#endif
