/* debug.c: see debug.h. */
#include "debug.h"

#include <stdio.h>

const char *gs__task_state_name(gs_task *task)
{
    static const char *const names[] = {"ready", "running", "parked", "ended"};
    return names[atomic_load(&task->state)];
}

void gs__task_waiting_text(gs_task *task, char *text, size_t size)
{
    uintptr_t on = (uintptr_t)atomic_load(&task->waiting_on);
    unsigned long long number = on >> GS__ON_BITS;
    switch (on & ((1 << GS__ON_BITS) - 1)) {
    case GS__ON_SEND:
        snprintf(text, size, "send on chan %llu", number);
        break;
    case GS__ON_RECV:
        snprintf(text, size, "recv on chan %llu", number);
        break;
    case GS__ON_SELECT:
        if (number == 0)
            snprintf(text, size, "sleep");
        else
            snprintf(text, size, "select of %llu", number);
        break;
    case GS__ON_FD:
        snprintf(text, size, "descriptor %llu", number);
        break;
    default:
        text[0] = '\0';
    }
}

const char *gs__type_text(gs_type type, char *text)
{
    static const char *const kinds[] = {"?",   "bool",  "int",    "uint",  "float",
                                        "str", "bytes", "object", "record"};
    int kind = GS_TYPE_KIND(type);
    const char *name = kind <= GS_KIND_RECORD ? kinds[kind] : kinds[0];
    if (kind == GS_KIND_INT || kind == GS_KIND_UINT || kind == GS_KIND_FLOAT)
        snprintf(text, GS__TYPE_TEXT, "%s%zu", name, GS_TYPE_SIZE(type) * 8);
    else if (kind == GS_KIND_RECORD)
        snprintf(text, GS__TYPE_TEXT, "record of %zu bytes", GS_TYPE_SIZE(type));
    else
        snprintf(text, GS__TYPE_TEXT, "%s", name);
    return text;
}
