/* api.c: a fuzz target: bytes become calls of pygostop.h by several tasks, right ones and wrong ones.
 *
 * All tasks of an input read their calls from the same bytes, on one worker, so that an input says nearly
 * everything about what happens. What is checked, beside what the sanitizers see:
 *  - every result is one that pygostop.h allows there (api_chan.c, api_other.c);
 *  - the books: a number comes out once, of the channel that it was sent on, and never after its send said
 *    that nothing happened; what was sent on a channel of the harness came out or is in it at the end;
 *  - a cancelled context ends all its tasks, and every defer has run once by then.
 * An input that leaves all its tasks waiting is cancelled from outside after a moment.
 *
 * With FUZZ_BROKEN a try_send that sends says it did not: the books must notice. */
#include "api.h"

#include "sched.h"

#include <string.h>

gs_chan *fuzz_chans[ROOT_CHANS];
atomic_long fuzz_defers_due, fuzz_defers_run;

/* ---- the input ---- */

static const uint8_t *input;
static size_t input_size;
static atomic_size_t cursor;

bool fuzz_more(void)
{
    return atomic_load(&cursor) < input_size;
}

uint8_t fuzz_byte(void)
{
    size_t at = atomic_fetch_add(&cursor, 1);
    return at < input_size ? input[at] : 0;
}

unsigned fuzz_below(unsigned n)
{
    return fuzz_byte() % n;
}

uint64_t fuzz_word(void)
{
    uint64_t word = 0;
    for (unsigned n = fuzz_below(9); n > 0; n--)
        word = word << 8 | fuzz_byte();
    return word;
}

size_t fuzz_text(char *text)
{
    size_t size = fuzz_below(32);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)fuzz_byte();
    text[size] = '\0';
    return size;
}

/* ---- the books ---- */

enum { UNUSED, SENDING, SENT, NOT_SENT, RECEIVED };

static atomic_uchar books[FUZZ_NUMBERS];
static atomic_uint last_number;

static int64_t tag(const gs_chan *ch)
{
    return (int64_t)(ch->id & 0xffffff) << 32;
}

int64_t fuzz_number(const gs_chan *ch)
{
    unsigned n = atomic_fetch_add(&last_number, 1) + 1;
    PROMISE(n < FUZZ_NUMBERS);
    atomic_store(&books[n], SENDING);
    return tag(ch) | n;
}

void fuzz_sent(int64_t number, bool moved)
{
    atomic_uchar *book = &books[number & 0xffffffff];
    unsigned char was = SENDING;
    if (!atomic_compare_exchange_strong(book, &was, moved ? SENT : NOT_SENT))
        PROMISE(was == RECEIVED && moved);
}

void fuzz_received(const gs_chan *ch, int64_t number)
{
    PROMISE(number >> 32 == tag(ch) >> 32);
    PROMISE((number & 0xffffffff) <= atomic_load(&last_number));
    unsigned char was = atomic_exchange(&books[number & 0xffffffff], RECEIVED);
    PROMISE(was == SENDING || was == SENT);
}

/* ---- a task ---- */

static void take_arguments(actor *a)
{
    gs_call *call = a->call;
    for (int i = 1; i < gs_nargs(call); i++) {
        int kind = gs_arg_kind(call, i);
        if (kind == GS_VALUE_CTX && a->n_ctxs < CTXS)
            a->ctxs[a->n_ctxs++] = gs_arg_ctx(call, i);
        else if (kind >= GS_VALUE_CHAN && kind <= GS_VALUE_RECV_CHAN && a->n_chans < CHANS) {
            const gs_task *task = (const gs_task *)call;
            gs_type type = task->args[i].as.chan->elem.type;
            a->chans[a->n_chans++] = gs_arg_chan(call, i, type);
        }
    }
}

#ifdef FUZZ_BROKEN
static int broken_try_send(gs_call *call, gs_chan *ch, const void *item)
{
    int code = gs__api.try_send(call, ch, item);
    return code == GS_OK && ch->elem.type == GS_INT64 ? GS_EAGAIN : code;
}

static gs_api broken_api;
__attribute__((constructor)) static void make_broken(void)
{
    broken_api = gs__api;
    broken_api.try_send = broken_try_send;
}
#endif

int fuzz_task(gs_call *call)
{
#ifdef FUZZ_BROKEN
    call->api = &broken_api;
#endif
    actor a = {.call = call, .depth = (int)gs_arg_int(call, 0)};
    take_arguments(&a);
    while (fuzz_more()) {
        if (fuzz_below(2))
            fuzz_chan_call(&a);
        else
            fuzz_other_call(&a);
        if (gs_checkpoint(call) != GS_OK && fuzz_below(4) == 0)
            return GS_ECANCELED;
    }
    return a.depth;
}

/* ---- one input ---- */

enum { ROOTS = 3 };

static void ignore_line(const char *task, const char *line)
{
    (void)task;
    (void)line;
}

static void make_chans(void)
{
    static const gs_type types[ROOT_CHANS] = {
        GS_INT64, GS_INT64, GS_INT64, GS_STR, GS_BYTES, GS_INT8, GS_TYPE(GS_KIND_RECORD, 24)};
    for (int i = 0; i < ROOT_CHANS; i++) {
        fuzz_chans[i] = gs__chan_new(gs__elem_of(types[i]), (size_t)i % 3);
        PROMISE(fuzz_chans[i]);
    }
}

static gs_task *start(gs_ctx *ctx, int index)
{
    gs_value args[2 + ROOT_CHANS] = {GS_ARG_INT(0), GS_ARG_CTX(ctx)};
    int n = 2;
    for (int i = 0; i < ROOT_CHANS; i++, n++) {
        args[n] = GS_ARG_CHAN(fuzz_chans[i]);
        if (index == 2) /* one has halves only, as Python's views are */
            args[n].kind = i % 2 ? GS_VALUE_SEND_CHAN : GS_VALUE_RECV_CHAN;
        gs__chan_ref(fuzz_chans[i]);
    }
    int error = 0;
    gs__ctx_ref(ctx);
    gs_task *task =
        gs__task_spawn(&(gs__spawn){.fn = fuzz_task,
                                    .name = "root",
                                    .parent = ctx,
                                    .args = args,
                                    .nargs = n,
                                    .flags = GS__TASK_STATIC_NAME |
                                             (index == 2 ? (unsigned)GS__TASK_ONE_WAY : 0)},
                       &error);
    PROMISE(task);
    for (int i = 2; i < n; i++)
        gs__chan_unref(args[i].as.chan); /* the task has its own */
    gs__ctx_unref(ctx);
    return task;
}

/* Foreign threads are woken by signals too. */
static int wait_for(gs_task *task, int64_t deadline)
{
    int code;
    do
        code = gs__task_wait(task, NULL, deadline);
    while (code == GS__EINTR);
    return code;
}

static void drain(gs_chan *ch)
{
    char item[ITEM];
    int64_t number;
    while (gs__chan_try_recv(ch, item) == GS_OK) {
        memcpy(&number, item, sizeof number);
        if (ch->elem.type == GS_INT64)
            fuzz_received(ch, number);
        else if (ch->elem.drop)
            ch->elem.drop(item);
    }
    PROMISE(gs__chan_len(ch) == 0);
}

static void check_books(void)
{
    for (unsigned n = 1; n <= atomic_load(&last_number); n++)
        PROMISE(atomic_load(&books[n]) != SENDING);
    memset(books, 0, sizeof books[0] * (atomic_load(&last_number) + 1));
    atomic_store(&last_number, 0);
    PROMISE(atomic_load(&fuzz_defers_due) == atomic_load(&fuzz_defers_run));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    if (!begun) {
        gs__core_init();
        gs__log_line = ignore_line;
        PROMISE(gs__configure(1, 0) == GS_OK && gs__runtime_start() == GS_OK);
        begun = true;
    }
    if (size > 4096)
        return -1;
    input = data;
    input_size = size;
    atomic_store(&cursor, 0);
    make_chans();
    gs_ctx *ctx = gs__ctx_with_cancel(gs__ctx_background());
    PROMISE(ctx);
    gs_task *tasks[ROOTS];
    int n = 1 + (int)fuzz_below(ROOTS);
    for (int i = 0; i < n; i++)
        tasks[i] = start(ctx, i);
    int64_t soon = gs__deadline(GS_MS(1));
    for (int i = 0; i < n; i++)
        wait_for(tasks[i], soon);
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL);
    for (int i = 0; i < n; i++) {
        PROMISE(wait_for(tasks[i], gs__deadline(GS_S(30))) == GS_OK);
        gs__task_unref(tasks[i]);
    }
    int64_t late = gs__deadline(GS_S(30));
    for (unsigned round = 0; gs__live_tasks() > 0;
         gs__backoff(&round)) /* those that were detached */
        PROMISE(gs__now() < late);
    gs__ctx_unref(ctx);
    for (int i = 0; i < ROOT_CHANS; i++)
        drain(fuzz_chans[i]);
    check_books();
    for (int i = 0; i < ROOT_CHANS; i++)
        gs__chan_unref(fuzz_chans[i]);
    return 0;
}
