/* tokens.c: see tokens.h. */
#include "tokens.h"

#include "block.h"

bool gs__py_tokens_put(gs_chan *tokens)
{
    const bool token = true;
    return gs__chan_try_send(tokens, &token) == GS_OK;
}

gs_chan *gs__py_tokens_new(size_t n)
{
    gs_chan *tokens = gs__chan_new(gs__elem_of(GS_BOOL), n);
    for (size_t i = 0; tokens && i < n; i++)
        gs__py_tokens_put(tokens);
    return tokens;
}

static int take(gs_chan *tokens, gs_ctx *scope, int64_t deadline)
{
    bool token;
    if (gs__ctx_is_done(scope))
        return GS_ECANCELED;
    int code = gs__chan_try_recv(tokens, &token);
    if (code != GS_EAGAIN)
        return code;
    if (deadline == 0)
        return GS_ETIMEDOUT;
    if (gs__py_may_block() < 0)
        return GS__PY_RAISED;
    do {
        PyThreadState *saved = gs__py_block_begin();
        code = gs__chan_recv(tokens, &token, scope, deadline);
        gs__py_block_end(saved);
    } while (gs__py_interrupted(&code));
    return code;
}

int gs__py_tokens_take(gs__state *state, gs_chan *tokens, const char *call, PyObject *self,
                       int64_t deadline)
{
    gs_ctx *scope = gs__py_scope(state);
    if (!scope)
        return -1;
    int code = take(tokens, scope, deadline);
    if (code == GS_ECANCELED)
        gs__py_raise_cancelled(state, scope);
    else if (code == GS_ETIMEDOUT)
        gs__py_raise(state, code, "%s: the time ran out on %R", call, self);
    else if (code != GS_OK && code != GS__PY_RAISED)
        gs__py_raise(state, code, "%s: %R: %s", call, self, gs__code_text(code));
    gs__ctx_unref(scope);
    return code == GS_OK ? 0 : -1;
}
