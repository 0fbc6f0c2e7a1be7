/* primes.c: a C task in a file of its own, for ctypes_task.py and cffi_task.py; for gs.load too. */
#include <pygostop.h>

GS_TASK(primes)
{
    int64_t limit = gs_arg_int(call, 0);
    gs_chan *out = gs_arg_chan(call, 1, GS_INT64);
    for (int64_t n = 2; n <= limit; n++) {
        int64_t divisor = 2;
        while (divisor * divisor <= n && n % divisor) {
            GS_CHECKPOINT(call);
            divisor++;
        }
        if (divisor * divisor > n)
            GS_TRY(gs_send(call, out, &n));
    }
    return gs_close(call, out);
}

GS_EXPORT(GS_SIG(primes, "limit: int, out: SendChan[int]"));
