/* misuse.c: see misuse.h.
 *
 * What always holds: gs_task.misuse is the code that gs_task.message is about, or 0 where there
 * is no message or gs_fail set it. Only the task itself writes the two while it runs. */
#define _GNU_SOURCE
#include "misuse.h"

#include "args.h"
#include "debug.h"

#include <stdio.h>

int gs__misuse(gs_task *task, int code, const char *fmt, ...)
{
    if (task->message && !task->misuse)
        return code; /* gs_fail said already why the task fails */
    va_list args;
    va_start(args, fmt);
    gs__vfail(&task->call, code, fmt, args);
    va_end(args);
    task->misuse = code;
    return code;
}

int gs__misuse_of_chan(gs_task *task, const char *call, const gs_chan *ch, int half)
{
    if (!ch)
        return gs__misuse(task, GS_EINVAL, "%s: the channel is NULL", call);
    if (!gs__may_use_half(task, ch, half))
        return gs__misuse(task, GS_EINVAL, "%s: the task was given only the %s half of chan %llu",
                          call, half == 2 ? "receiving" : "sending", (unsigned long long)ch->id);
    return gs__misuse(task, GS_EINVAL, "%s: the item is NULL", call);
}

int gs__misuse_of_type(gs_task *task, const char *call, const gs_chan *ch, int kind)
{
    char type[GS__TYPE_TEXT];
    return gs__misuse(task, GS_EINVAL, "%s: chan %llu must be one of %s, not of %s", call,
                      (unsigned long long)ch->id, kind == GS_KIND_STR ? "str" : "bytes",
                      gs__type_text(ch->elem.type, type));
}

int gs__misuse_of_time(gs_task *task, const char *call, int64_t ns)
{
    return gs__misuse(task, GS_EINVAL, "%s: the time must be 0 or more, not %lld ns", call,
                      (long long)ns);
}

int gs__misuse_of_fd(gs_task *task, int fd)
{
    return gs__misuse(task, GS_EINVAL, "gs_wait_fd: %d is no open descriptor", fd);
}

int gs__misuse_of_case(gs_task *task, const gs_case *c, int i)
{
    char call[48];
    snprintf(call, sizeof call, "gs_select, case %d", i);
    switch (c->kind) {
    case GS_CASE_KIND_RECV:
        return gs__misuse_of_chan(task, call, c->chan, 1);
    case GS_CASE_KIND_SEND:
        return gs__misuse_of_chan(task, call, c->chan, 2);
    case GS_CASE_KIND_DONE:
        return gs__misuse(task, GS_EINVAL, "%s: the context is NULL", call);
    default:
        return gs__misuse(task, GS_EINVAL,
                          "%s: it must be made with GS_CASE_RECV, _SEND, _DONE or _NONE", call);
    }
}
