/* batches.c: the C tasks of batches.py. */
#include <pygostop.h>

enum { BATCH = 16384 };

/* Sends `count` doubles, a batch at a time. */
GS_TASK(produce)
{
    static const double zeros[BATCH];
    gs_chan *out = gs_arg_chan(call, 0, GS_FLOAT64);
    int64_t left = gs_arg_int(call, 1);
    while (left > 0) {
        int64_t sent = gs_send_many(call, out, zeros, (size_t)(left < BATCH ? left : BATCH));
        GS_TRY(sent);
        left -= sent;
    }
    return gs_close(call, out);
}

/* Receives until the channel is closed and drained; how many there were. */
GS_TASK(consume)
{
    static double room[BATCH];
    gs_chan *in = gs_arg_chan(call, 0, GS_FLOAT64);
    int64_t received, all = 0;
    while ((received = gs_recv_many(call, in, room, BATCH)) > 0)
        all += received;
    return received == GS_ECLOSED ? gs_return_int(call, all) : (int)received;
}

/* Looks at the first and the last byte of a buffer. */
GS_TASK(touch)
{
    size_t size;
    const unsigned char *data = (const unsigned char *)gs_arg_bytes(call, 0, &size);
    return gs_return_int(call, size ? data[0] + data[size - 1] : 0);
}

GS_EXPORT(produce, consume, touch);
