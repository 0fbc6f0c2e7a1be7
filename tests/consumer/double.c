/* double.c: doubles what comes on one channel, onto another. */
#include <pygostop.h>

GS_TASK(twice)
{
    gs_chan *in = gs_arg_chan(call, 0, GS_INT64), *out = gs_arg_chan(call, 1, GS_INT64);
    int64_t n;
    int code;
    while ((code = gs_recv(call, in, &n)) == GS_OK) {
        n *= 2;
        GS_TRY(gs_send(call, out, &n));
    }
    if (code != GS_ECLOSED)
        return code;
    return gs_close(call, out);
}

GS_EXPORT(GS_SIG(twice, "input: Chan[int], output: Chan[int]"));
