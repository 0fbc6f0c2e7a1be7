/* args.h: a task's arguments and its result: the functions of the table in api.c. */
#ifndef GS__ARGS_H
#define GS__ARGS_H

#include "task.h"

int gs__nargs(gs_call *call);
int gs__arg_kind(gs_call *call, int i);
int64_t gs__arg_int(gs_call *call, int i);
double gs__arg_float(gs_call *call, int i);
const char *gs__arg_str(gs_call *call, int i, size_t *size);
const void *gs__arg_bytes(gs_call *call, int i, size_t *size);
void *gs__arg_buffer(gs_call *call, int i, size_t *size);
void *gs__arg_array(gs_call *call, int i, gs_type item, size_t *count);
const gs_view *gs__arg_view(gs_call *call, int i);
gs_chan *gs__arg_chan(gs_call *call, int i, gs_type item);
gs_ctx *gs__arg_ctx(gs_call *call, int i);
void *gs__arg_ptr(gs_call *call, int i);

int gs__return_int(gs_call *call, int64_t n);
int gs__return_float(gs_call *call, double x);
int gs__return_str(gs_call *call, const char *s, size_t size);
int gs__return_bytes(gs_call *call, const void *data, size_t size);
int gs__vfail(gs_call *call, int code, const char *fmt, va_list args);

/* Whether the task's argument list gives it this half of the channel: 1 to receive, 2 to send. A
 * channel that is no argument is the task's in both halves. */
bool gs__may_use_half(gs_task *task, const gs_chan *ch, int half);
bool gs__utf8_valid(const void *data, size_t size);

#endif
