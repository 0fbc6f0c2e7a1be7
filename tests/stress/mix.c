/* mix.c: everything at once on the core: tasks, some of them pinned, some left at automatic checkpoints,
 * that spawn, steal, park, select, close, cancel, block, wait for descriptors and sleep, beside foreign
 * threads with contexts, hooks, timers and operations of their own. Each round makes a runtime, and
 * balances its books: what was given out has come back, once.
 *
 *   gostop-mix [--seconds S] [--seed N]
 *
 * Each round has the seed after that of the round before; where one fails, --seed repeats what its tasks
 * and threads set out to do, though not when each got its turn. */
#define _GNU_SOURCE
#include "mix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

market m;

void rows_begin(rows *r)
{
    rows_seed(r, m.seed * 100003 + atomic_fetch_add(&m.actors, 1));
}

/* ---- lanes ---- */

gs_chan *lane(rows *r)
{
    uint32_t i = any(r, LANES);
    gs__acquire(&m.lock);
    gs_chan *ch = m.lanes[i];
    gs__chan_ref(ch);
    gs__release(&m.lock);
    return ch;
}

/* What is still in a lane when it goes was sent and not received. */
static void value_rests(void *item)
{
    book_in(&m.values, *(int64_t *)item);
}

static void string_rests(void *item)
{
    book_in(&m.strings, (int64_t)((gs_str *)item)->size);
    gs__elem_of(GS_STR).drop(item);
}

void replace_lane(rows *r, int i)
{
    gs_chan *fresh = gs__chan_new((gs__elem){GS_INT64, value_rests}, any(r, 4));
    CHECK(fresh != NULL);
    gs__acquire(&m.lock);
    gs_chan *old = m.lanes[i];
    m.lanes[i] = fresh;
    gs__release(&m.lock);
    if (old != NULL) {
        gs__chan_close(old);
        gs__chan_unref(old);
    }
}

/* ---- trades ---- */

static void trade_many(rows *r, gs_chan *ch, bool out, gs_ctx *scope, int64_t deadline)
{
    int64_t batch[5];
    size_t done = 0;
    if (out) {
        for (int i = 0; i < 5; i++)
            batch[i] = any(r, 1000);
        if (any(r, 3))
            (void)gs__chan_send_many(ch, batch, 5, &done, scope, deadline);
        else
            (void)gs__chan_try_send_many(ch, batch, 5, &done);
        for (size_t i = 0; i < done; i++)
            book_out(&m.values, batch[i]);
    } else {
        int code = any(r, 3) ? gs__chan_recv_many(ch, batch, 5, &done, scope, deadline)
                             : gs__chan_try_recv_many(ch, batch, 5, &done);
        for (size_t i = 0; code == GS_OK && i < done; i++)
            book_in(&m.values, batch[i]);
    }
}

static void choose(rows *r, gs_chan *a, gs_chan *b, gs_ctx *scope, int64_t deadline)
{
    int64_t out = any(r, 1000), in = -1;
    gs__select_case cases[3];
    memset(cases, 0, sizeof cases);
    cases[0].kind = GS__CASE_SEND;
    cases[0].on.chan = a;
    cases[0].item = &out;
    cases[1].kind = GS__CASE_RECV;
    cases[1].on.chan = b;
    cases[1].item = &in;
    cases[2].kind = GS__CASE_CTX;
    cases[2].on.ctx = m.open;
    int i = gs__select(cases, 3, scope, any(r, 4) ? deadline : 0);
    if (i == 0 && cases[0].ok)
        book_out(&m.values, out);
    if (i == 1 && cases[1].ok)
        book_in(&m.values, in);
}

void trade(rows *r, gs_ctx *scope)
{
    gs_chan *a = lane(r), *b = lane(r);
    int64_t out = any(r, 1000), in = -1, deadline = gs__now() + GS_US(any(r, 300));
    switch (any(r, 8)) {
    case 0:
        if (gs__chan_send(a, &out, scope, deadline) == GS_OK)
            book_out(&m.values, out);
        break;
    case 1:
        if (gs__chan_recv(a, &in, scope, deadline) == GS_OK)
            book_in(&m.values, in);
        break;
    case 2:
        trade_many(r, a, true, scope, deadline);
        break;
    case 3:
        trade_many(r, a, false, scope, deadline);
        break;
    case 4:
        if (gs__chan_try_send(a, &out) == GS_OK)
            book_out(&m.values, out);
        break;
    case 5: /* taken and put back, as a cancelled await does */
        if (gs__chan_try_recv(b, &in) == GS_OK && gs__chan_unrecv(b, &in) != GS_OK)
            book_in(&m.values, in);
        break;
    default:
        choose(r, a, b, scope, deadline);
    }
    gs__chan_unref(a);
    gs__chan_unref(b);
}

/* ---- a round ---- */

static void balance(const book *b)
{
    if (b->n_out != b->n_in || b->out != b->in)
        test_failed(__FILE__, __LINE__,
                    "%s: %lld given out with a sum of %lld, %lld back with %lld", b->name, b->n_out,
                    b->out, b->n_in, b->in);
}

static void open_market(rows *r)
{
    memset(&m, 0, sizeof m);
    m.values.name = "values", m.strings.name = "strings", m.octets.name = "octets";
    m.defers.name = "defers", m.hooks.name = "hooks", m.timers.name = "timers";
    m.ends.name = "ends of tasks", m.tasks.name = "tasks", m.churns.name = "automatic tasks";
    gs__lock_init(&m.lock);
    CHECK((m.open = gs__ctx_with_cancel(gs__ctx_background())) != NULL);
    for (int i = 0; i < LANES; i++)
        replace_lane(r, i);
    for (int i = 0; i < TEXTS; i++)
        CHECK((m.texts[i] = gs__chan_new((gs__elem){GS_STR, string_rests}, any(r, 4))) != NULL);
    for (int i = 0; i < PIPES; i++)
        CHECK_EQ(pipe2(m.pipes[i], O_NONBLOCK | O_CLOEXEC), 0);
}

static void close_market(void)
{
    for (int i = 0; i < LANES; i++) {
        CHECK(gs__list_empty(&m.lanes[i]->receivers) && gs__list_empty(&m.lanes[i]->senders));
        gs__chan_close(m.lanes[i]);
        gs__chan_unref(m.lanes[i]); /* the rest is counted as it is dropped */
    }
    for (int i = 0; i < TEXTS; i++)
        gs__chan_unref(m.texts[i]);
    for (int i = 0; i < PIPES; i++) {
        unsigned char octet;
        while (read(m.pipes[i][0], &octet, 1) == 1)
            book_in(&m.octets, octet);
        close(m.pipes[i][0]);
        close(m.pipes[i][1]);
    }
    gs__ctx_unref(m.open);
    enter_churns();
    const book *books[] = {&m.values, &m.strings, &m.octets, &m.defers, &m.hooks,
                           &m.timers, &m.ends,    &m.tasks,  &m.churns};
    for (size_t i = 0; i < sizeof books / sizeof *books; i++)
        balance(books[i]);
}

/* Somebody is sent home and another one comes, all the time. */
static void run_market(rows *r, gs_task **traders, int64_t until)
{
    while (gs__now() < until) {
        int i = (int)any(r, TRADERS);
        test_msleep(1);
        gs__task_cancel(traders[i], NULL);
        test_join(traders[i]);
        traders[i] = go_trade(r, i);
    }
}

static void round_of(uint64_t seed, int64_t until)
{
    static void *(*const roles[])(void *) = {trade_on_thread, trade_on_thread, trade_on_thread,
                                             churn_on_thread, watch_on_thread};
    enum { THREADS = sizeof roles / sizeof *roles };
    gs_task *traders[TRADERS];
    pthread_t threads[THREADS];
    rows r;
    rows_seed(&r, seed);
    open_market(&r);
    m.seed = seed;
    for (int i = 0; i < TRADERS; i++)
        traders[i] = go_trade(&r, i);
    for (int i = 0; i < THREADS; i++)
        threads[i] = test_thread(roles[i], NULL);
    run_market(&r, traders, until);
    gs__ctx_cancel(m.open, GS__CTX_CANCELED, NULL);
    for (int i = 0; i < TRADERS; i++)
        test_join(traders[i]);
    for (int i = 0; i < THREADS; i++)
        test_thread_join(threads[i]);
    test_until_no_tasks();
    close_market();
    CHECK_EQ(gs__runtime_stop(gs__now() + GS_S(100)), 0);
}

/* ---- the program ---- */

static char failed_with[96];

/* By write(2), as it comes from a check, an assertion or a crash. */
static void tell_seed(int signum)
{
    if (write(STDERR_FILENO, failed_with, strlen(failed_with)) < 0)
        _exit(3);
    signal(signum, SIG_DFL);
    raise(signum);
}

static void count_line(const char *task, const char *line)
{
    (void)task, (void)line;
}

static double number(const char *option, const char *text)
{
    char *end;
    double n = strtod(text, &end);
    if (*text && !*end && n >= 0)
        return n;
    fprintf(stderr, "gostop-mix: %s is a number of 0 or more, not \"%s\"\n", option, text);
    exit(2);
}

int main(int argc, char **argv)
{
    double seconds = 60;
    uint64_t seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0)
            seconds = number(argv[i], argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            seed = (uint64_t)number(argv[i], argv[i + 1]);
        else {
            fprintf(stderr, "usage: gostop-mix [--seconds S] [--seed N]\n");
            return 2;
        }
    }
    signal(SIGABRT, tell_seed);
    gs__log_line = count_line;
    gs__core_init();
    CHECK_EQ(gs__configure(4, 0), GS_OK);
    int64_t end = gs__now() + (int64_t)(seconds * 1e9), rounds = 0, values = 0, tasks = 0;
    do {
        snprintf(failed_with, sizeof failed_with, "gostop-mix: failed with --seed %llu\n",
                 (unsigned long long)seed);
        int64_t until = gs__now() + GS_S(2);
        round_of(seed++, until < end ? until : end);
        rounds++;
        values += m.values.n_out;
        tasks += m.tasks.n_out;
    } while (gs__now() < end);
    CHECK(values > 0 && tasks > 0);
    printf("gostop-mix: %lld rounds, %lld values, %lld tasks of tasks, all accounted for\n",
           (long long)rounds, (long long)values, (long long)tasks);
    return 0;
}
