/* result.h: what crc32 says of a file, and walk of a directory: one message of bytes, a head and the
 * path behind it. pygostop/tasks.py reads it. */
#ifndef GS_TASKS_RESULT_H
#define GS_TASKS_RESULT_H

#include "tasks.h"

/* In the machine's byte order. */
typedef struct gs_tasks_head {
    uint32_t crc;  /* CRC-32 as zlib's; 0 where there was an error */
    int32_t error; /* errno; 0: none */
    int64_t size;  /* in bytes, as read */
} gs_tasks_head;

int gs_tasks_send_result(gs_call *call, gs_chan *to, gs_tasks_head head, const char *path,
                         size_t size);

#endif
