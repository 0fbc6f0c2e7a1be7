/* header.c: pygostop.h as C99, C11 and C++, without a warning; compiled, never run. Every kind of
 * declaration that it offers is used here. */
#include <pygostop.h>

typedef struct point {
    double x, y;
} point;

GS_TASK(one)
{
    gs_chan *in = gs_arg_chan(call, 0, GS_RECORD(point));
    gs_chan *out = gs_arg_chan(call, 1, GS_FLOAT64);
    gs_ctx *ctx = gs_ctx_with_timeout(call, gs_ctx_current(call), GS_MS(5));
    point p;
    double x = 0;
    for (;;) {
        GS_CHECKPOINT(call);
        gs_case cases[] = {GS_CASE_RECV(in, &p), GS_CASE_SEND(out, &x), GS_CASE_DONE(ctx),
                           GS_CASE_NONE};
        int i;
        GS_TRY(i = gs_select(call, cases, 4, GS_FOREVER));
        if (i == 2)
            return gs_fail(call, 7, "no more after %g", x);
        x += p.x;
    }
}

GS_TASK(two)
{
    gs_value args[] = {GS_ARG_INT(1),
                       GS_ARG_FLOAT(2),
                       GS_ARG_STR("3"),
                       GS_ARG_CHAN(gs_chan_new(call, GS_STR, 4)),
                       GS_ARG_CTX(gs_ctx_current(call)),
                       GS_ARG_PTR(NULL)};
    gs_task *task = gs_go(call, one, args, 6);
    int code = GS_OK;
    if (task == NULL)
        return GS_ENOMEM;
    GS_TRY(gs_join(call, task, &code));
    gs_log(call, "it gave %d", code);
    gs_progress(call, 1, 1);
    return gs_return_int(call, code);
}

GS_EXPORT(one, GS_SIG(two, "limit: int, out: Chan[int]"));
