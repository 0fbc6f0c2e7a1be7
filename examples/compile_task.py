"""C text becomes a function of Python: compiled when first run, cached, and stopped by a timeout."""

import pygostop as gs

collatz = gs.compile(
    r"""
    #include <pygostop.h>

    GS_TASK(steps)
    {
        int64_t n = gs_arg_int(call, 0), steps = 0;
        for (; n != 1; steps++) {
            GS_CHECKPOINT(call);
            n = n % 2 ? 3 * n + 1 : n / 2;
        }
        return gs_return_int(call, steps);
    }

    GS_TASK(longest)
    {
        int64_t limit = gs_arg_int(call, 0), best = 1, most = 0;
        for (int64_t i = 1; i < limit; i++) {
            int64_t n = i, steps = 0;
            for (; n != 1; steps++) {
                GS_CHECKPOINT(call);
                n = n % 2 ? 3 * n + 1 : n / 2;
            }
            if (steps > most)
                best = i, most = steps;
        }
        return gs_return_int(call, best);
    }

    GS_EXPORT(GS_SIG(steps, "n: int"), GS_SIG(longest, "limit: int"));
    """
)

print("steps from 27:", collatz.steps(27))
print("longest below 10,000:", collatz.longest(10_000))
try:
    with gs.timeout(0.2):
        collatz.longest(10**15)
except gs.DeadlineExceeded:
    print("below 10**15 it takes too long:", gs.all_tasks())
try:
    gs.compile("int x = y;\n", name="broken.c")
except gs.CompileError as error:
    print(str(error).splitlines()[0])
