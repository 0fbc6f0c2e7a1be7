/* test-ctx.c: contexts: the cancel tree. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

static gs_ctx *cancelable(gs_ctx *parent)
{
    gs_ctx *ctx = gs__ctx_with_cancel(parent);
    CHECK(ctx != NULL);
    return ctx;
}

static bool cancel(gs_ctx *ctx)
{
    return gs__ctx_cancel(ctx, GS__CTX_CANCELED, NULL);
}

static bool has_children(gs_ctx *ctx)
{
    gs__acquire(&ctx->lock);
    bool has = !gs__list_empty(&ctx->children);
    gs__release(&ctx->lock);
    return has;
}

TEST(ctx_cancel_takes_all_below_and_nothing_else)
{
    gs_ctx *root = cancelable(gs__ctx_background()), *child = cancelable(root);
    gs_ctx *grandchild = cancelable(child), *other = cancelable(root);
    CHECK_EQ(gs__ctx_error(grandchild), GS__CTX_ALIVE);
    CHECK(cancel(child));
    CHECK(!cancel(child));
    CHECK(!gs__ctx_is_done(root) && !gs__ctx_is_done(other));
    CHECK_EQ(gs__ctx_error(child), GS__CTX_CANCELED);
    CHECK_EQ(gs__ctx_error(grandchild), GS__CTX_CANCELED);
    CHECK(!cancel(grandchild));
    gs_ctx *late = cancelable(child);
    CHECK_EQ(gs__ctx_error(late), GS__CTX_CANCELED);
    CHECK(cancel(root));
    CHECK(gs__ctx_is_done(other));
    CHECK(!gs__ctx_is_done(gs__ctx_background()));
    gs__ctx_unref(late);
    gs__ctx_unref(other);
    gs__ctx_unref(grandchild);
    gs__ctx_unref(child);
    gs__ctx_unref(root);
    CHECK(!has_children(gs__ctx_background()));
}

TEST(ctx_cause_is_that_of_the_first_cancel)
{
    gs_ctx *root = cancelable(gs__ctx_background()), *child = cancelable(root);
    gs_ctx *grandchild = cancelable(child), *other = cancelable(root), *quiet = cancelable(root);
    gs__cause *first = gs__cause_text("the first"), *second = gs__cause_text("the second");
    CHECK(gs__ctx_cause(root) == NULL);
    CHECK(gs__ctx_cancel(child, GS__CTX_CANCELED, first));
    CHECK(cancel(quiet));
    CHECK(gs__ctx_cancel(root, GS__CTX_CANCELED, second));
    CHECK(!gs__ctx_cancel(child, GS__CTX_EXCEEDED, second));
    gs__cause_unref(first);
    gs__cause_unref(second);
    CHECK_STR(gs__ctx_cause(child)->text, "the first");
    CHECK_STR(gs__ctx_cause(grandchild)->text, "the first");
    CHECK_STR(gs__ctx_cause(root)->text, "the second");
    CHECK_STR(gs__ctx_cause(other)->text, "the second");
    CHECK(gs__ctx_cause(quiet) == NULL);
    CHECK_EQ(gs__ctx_error(child), GS__CTX_CANCELED);
    gs_ctx *late = cancelable(grandchild);
    CHECK_STR(gs__ctx_cause(late)->text, "the first");
    gs__ctx_unref(late);
    gs__ctx_unref(quiet);
    gs__ctx_unref(other);
    gs__ctx_unref(grandchild);
    gs__ctx_unref(child);
    gs__ctx_unref(root);
}

static atomic_int dropped;

static void count_drop(void *object)
{
    CHECK(object == &dropped);
    dropped++;
}

TEST(ctx_cause_and_value_are_dropped_once)
{
    gs_ctx *ctx = cancelable(gs__ctx_background());
    gs_ctx *valued = gs__ctx_with_value(ctx, &dropped, count_drop), *child = cancelable(valued);
    gs__cause *cause = gs__cause_object(&dropped, count_drop);
    CHECK(gs__ctx_value(valued) == &dropped);
    CHECK(gs__ctx_value(ctx) == NULL);
    gs__ctx_cancel(ctx, GS__CTX_CANCELED, cause);
    gs__cause_unref(cause);
    CHECK(gs__ctx_cause(child)->object == &dropped);
    gs__ctx_unref(ctx);
    gs__ctx_unref(valued);
    CHECK_EQ(dropped, 0);
    gs__ctx_unref(child);
    CHECK_EQ(dropped, 2);
    gs__cause_unref(NULL);
}

/* ---- time ---- */

static void until_done(gs_ctx *ctx)
{
    while (!gs__ctx_is_done(ctx))
        test_msleep(1);
}

TEST(ctx_deadline_ends_it_and_not_early)
{
    int64_t base = gs__now();
    gs_ctx *ctxs[50];
    for (int i = 0; i < 50; i++)
        ctxs[i] = gs__ctx_with_deadline(gs__ctx_background(), base + GS_MS(2 * i));
    for (int i = 0; i < 50; i++) {
        until_done(ctxs[i]);
        CHECK(gs__now() >= base + GS_MS(2 * i));
        CHECK_EQ(gs__ctx_error(ctxs[i]), GS__CTX_EXCEEDED);
        CHECK(!cancel(ctxs[i]));
        CHECK_EQ(gs__ctx_error(ctxs[i]), GS__CTX_EXCEEDED);
        gs__ctx_unref(ctxs[i]);
    }
}

TEST(ctx_deadline_is_the_closest_above)
{
    int64_t near = gs__now() + GS_S(500), far = near + GS_S(500);
    gs_ctx *outer = gs__ctx_with_deadline(gs__ctx_background(), near);
    gs_ctx *inner = gs__ctx_with_deadline(outer, far), *plain = cancelable(inner);
    CHECK_EQ(gs__ctx_deadline(gs__ctx_background()), GS_FOREVER);
    CHECK_EQ(gs__ctx_deadline(outer), near);
    CHECK_EQ(gs__ctx_deadline(inner), near);
    CHECK_EQ(gs__ctx_deadline(plain), near);
    gs_ctx *free_of_it = gs__ctx_without_cancel(plain);
    CHECK_EQ(gs__ctx_deadline(free_of_it), GS_FOREVER);
    gs__ctx_unref(free_of_it);
    gs__ctx_unref(plain);
    gs__ctx_unref(inner);
    gs__ctx_unref(outer);
    CHECK_EQ(gs__timers_next(), GS_FOREVER); /* an unreferenced context keeps no timer */
}

TEST(ctx_deadline_in_the_past_is_done_at_once)
{
    gs_ctx *ctx = gs__ctx_with_deadline(gs__ctx_background(), gs__now() - 1);
    CHECK_EQ(gs__ctx_error(ctx), GS__CTX_EXCEEDED);
    gs__ctx_unref(ctx);
    gs_ctx *never = gs__ctx_with_deadline(gs__ctx_background(), GS_FOREVER);
    CHECK_EQ(gs__ctx_error(never), GS__CTX_ALIVE);
    CHECK(cancel(never));
    gs__ctx_unref(never);
}

TEST(ctx_that_is_cancelled_gives_up_its_timer)
{
    gs_ctx *ctx = gs__ctx_with_deadline(gs__ctx_background(), gs__now() + GS_S(500));
    CHECK(gs__timers_next() != GS_FOREVER);
    CHECK(cancel(ctx));
    CHECK_EQ(gs__timers_next(), GS_FOREVER);
    CHECK_EQ(gs__ctx_error(ctx), GS__CTX_CANCELED);
    gs__ctx_unref(ctx);
}

/* ---- shapes of trees ---- */

/* A recursion over the chain would not fit on this thread's stack. */
static void *chain(void *arg)
{
    enum { DEPTH = 100000 };
    gs_ctx *top = cancelable(gs__ctx_background()), *at = top;
    (void)arg;
    gs__ctx_ref(top);
    for (int i = 0; i < DEPTH; i++) {
        gs_ctx *below = cancelable(at);
        gs__ctx_unref(at); /* the child holds it */
        at = below;
    }
    CHECK(!gs__ctx_is_done(at));
    CHECK(cancel(top));
    CHECK(gs__ctx_is_done(at));
    gs__ctx_unref(at); /* the whole chain goes */
    gs__ctx_unref(top);
    return NULL;
}

TEST(ctx_chain_of_a_hundred_thousand)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    CHECK_EQ(pthread_create(&thread, &attr, chain, NULL), 0);
    test_thread_join(thread);
    CHECK(!has_children(gs__ctx_background()));
}

TEST(ctx_with_ten_thousand_children)
{
    enum { WIDTH = 10000 };
    static gs_ctx *children[WIDTH];
    gs_ctx *top = cancelable(gs__ctx_background());
    for (int i = 0; i < WIDTH; i++)
        children[i] = i % 2 ? cancelable(top) : gs__ctx_with_deadline(top, gs__now() + GS_S(500));
    for (int i = 0; i < WIDTH; i += 10)
        CHECK(cancel(children[i]));
    CHECK(cancel(top));
    for (int i = 0; i < WIDTH; i++) {
        CHECK_EQ(gs__ctx_error(children[i]), GS__CTX_CANCELED);
        gs__ctx_unref(children[i]);
    }
    CHECK(!has_children(top));
    gs__ctx_unref(top);
    CHECK_EQ(gs__timers_next(), GS_FOREVER);
}

TEST(ctx_child_that_is_over_unlinks_itself)
{
    gs_ctx *top = cancelable(gs__ctx_background());
    for (int i = 0; i < 10000; i++) {
        gs_ctx *child = i % 2 ? cancelable(top) : gs__ctx_with_deadline(top, gs__now() + GS_S(500));
        CHECK(has_children(top));
        if (i % 3 == 0) {
            cancel(child);
            CHECK(!has_children(top));
        }
        gs__ctx_unref(child);
        CHECK(!has_children(top));
    }
    gs__ctx_unref(top);
}

TEST(ctx_merge_is_done_when_any_parent_is)
{
    for (int which = 0; which < 3; which++) {
        gs_ctx *parents[3];
        gs__cause *cause = gs__cause_text("this one");
        for (int i = 0; i < 3; i++)
            parents[i] = cancelable(gs__ctx_background());
        gs_ctx *merged = gs__ctx_merge(parents, 3), *below = cancelable(merged);
        CHECK(!gs__ctx_is_done(merged));
        CHECK(gs__ctx_cancel(parents[which], GS__CTX_EXCEEDED, cause));
        CHECK_EQ(gs__ctx_error(merged), GS__CTX_EXCEEDED);
        CHECK_EQ(gs__ctx_error(below), GS__CTX_EXCEEDED);
        CHECK_STR(gs__ctx_cause(below)->text, "this one");
        gs_ctx *late = gs__ctx_merge(parents, 3);
        CHECK_EQ(gs__ctx_error(late), GS__CTX_EXCEEDED);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(gs__ctx_is_done(parents[i]), i == which);
        gs__cause_unref(cause);
        gs__ctx_unref(late);
        gs__ctx_unref(below);
        gs__ctx_unref(merged);
        for (int i = 0; i < 3; i++)
            gs__ctx_unref(parents[i]);
    }
    gs_ctx *parents[2] = {cancelable(gs__ctx_background()), cancelable(gs__ctx_background())};
    gs_ctx *merged = gs__ctx_merge(parents, 2);
    CHECK(cancel(merged));
    CHECK(!gs__ctx_is_done(parents[0]) && !gs__ctx_is_done(parents[1]));
    gs__ctx_unref(merged);
    merged = gs__ctx_merge(parents, 2); /* let go while its parents live */
    gs__ctx_unref(merged);
    cancel(parents[1]);
    gs__ctx_unref(parents[0]);
    gs__ctx_unref(parents[1]);
}

TEST(ctx_without_cancel_keeps_the_way_to_the_values)
{
    gs_ctx *top = cancelable(gs__ctx_background());
    gs_ctx *valued = gs__ctx_with_value(top, &dropped, NULL),
           *detached = gs__ctx_without_cancel(valued);
    gs_ctx *below = cancelable(detached);
    CHECK(cancel(top));
    CHECK(gs__ctx_is_done(valued));
    CHECK(!gs__ctx_is_done(detached) && !gs__ctx_is_done(below));
    gs_ctx *at = below;
    while (at != NULL && at->kind != GS__CTX_VALUE)
        at = at->parent;
    CHECK(at == valued);
    CHECK(cancel(below));
    CHECK(!gs__ctx_is_done(detached));
    gs_ctx *late = gs__ctx_without_cancel(valued);
    CHECK(!gs__ctx_is_done(late));
    gs__ctx_unref(late);
    gs__ctx_unref(below);
    gs__ctx_unref(detached);
    gs__ctx_unref(valued);
    gs__ctx_unref(top);
}

/* ---- the done channel ---- */

TEST(ctx_done_channel_closes_with_it)
{
    gs_ctx *ctx = cancelable(gs__ctx_background());
    gs_chan *done = gs__ctx_done_chan(ctx), *again = gs__ctx_done_chan(ctx);
    bool item;
    CHECK(done != NULL && done == again);
    gs__chan_unref(again);
    CHECK_EQ(gs__chan_try_recv(done, &item), GS_EAGAIN);
    CHECK(cancel(ctx));
    CHECK_EQ(gs__chan_try_recv(done, &item), GS_ECLOSED);
    gs__ctx_unref(ctx);
    CHECK_EQ(gs__chan_try_recv(done, &item), GS_ECLOSED); /* outlives it */
    gs__chan_unref(done);

    ctx = cancelable(gs__ctx_background());
    cancel(ctx);
    done = gs__ctx_done_chan(ctx);
    CHECK(gs__chan_closed(done));
    gs__chan_unref(done);
    gs__ctx_unref(ctx);
}

static gs_ctx *watched;
static gs_chan *watched_done;
static atomic_int watching, broken;

static void *watch(void *arg)
{
    watching++;
    while (!gs__ctx_is_done(watched))
        ;
    broken += !gs__chan_closed(watched_done);
    return arg;
}

TEST(ctx_that_is_done_has_its_channel_closed_already)
{
    for (int round = 0; round < 300 / TEST_SLOW; round++) {
        pthread_t thread;
        watched = cancelable(gs__ctx_background());
        watched_done = gs__ctx_done_chan(watched);
        watching = 0;
        thread = test_thread(watch, NULL);
        test_until(&watching, 1);
        cancel(watched);
        test_thread_join(thread);
        CHECK_EQ(broken, 0);
        gs__chan_unref(watched_done);
        gs__ctx_unref(watched);
    }
}

/* ---- hooks ---- */

typedef struct counted_hook {
    gs__ctx_hook hook;
    gs_ctx *ctx;
    atomic_int begun, ended, saw_alive;
    int pause;
} counted_hook;

static void count_hook(gs__ctx_hook *hook)
{
    counted_hook *h = gs__container(hook, counted_hook, hook);
    h->begun++;
    h->saw_alive += !gs__ctx_is_done(h->ctx);
    if (h->pause)
        test_msleep(h->pause);
    h->ended++;
}

TEST(ctx_hooks_run_once_unless_taken_off)
{
    gs_ctx *ctx = cancelable(gs__ctx_background()), *child = cancelable(ctx);
    counted_hook hooks[10];
    memset(hooks, 0, sizeof hooks);
    for (int i = 0; i < 10; i++) {
        hooks[i].ctx = i % 2 ? ctx : child;
        CHECK(gs__ctx_hook_add(hooks[i].ctx, &hooks[i].hook, count_hook));
    }
    for (int i = 0; i < 4; i++)
        CHECK(gs__ctx_unhook(hooks[i].ctx, &hooks[i].hook));
    CHECK(cancel(ctx));
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(hooks[i].ended, i < 4 ? 0 : 1);
        CHECK_EQ(hooks[i].saw_alive, 0);
        if (i >= 4)
            CHECK(!gs__ctx_unhook(hooks[i].ctx, &hooks[i].hook));
    }
    counted_hook late;
    memset(&late, 0, sizeof late);
    CHECK(!gs__ctx_hook_add(ctx, &late.hook, count_hook));
    CHECK_EQ(late.begun, 0);
    gs__ctx_unref(child);
    gs__ctx_unref(ctx);
}

static void *cancel_thread(void *arg)
{
    cancel(arg);
    return NULL;
}

TEST(ctx_unhook_waits_for_a_hook_that_runs)
{
    counted_hook h;
    memset(&h, 0, sizeof h);
    h.ctx = cancelable(gs__ctx_background());
    h.pause = 50;
    CHECK(gs__ctx_hook_add(h.ctx, &h.hook, count_hook));
    pthread_t thread = test_thread(cancel_thread, h.ctx);
    test_until(&h.begun, 1);
    CHECK(!gs__ctx_unhook(h.ctx, &h.hook));
    CHECK_EQ(h.ended, 1);
    test_thread_join(thread);
    gs__ctx_unref(h.ctx);
}

static void unhook_self(gs__ctx_hook *hook)
{
    counted_hook *h = gs__container(hook, counted_hook, hook);
    CHECK(!gs__ctx_unhook(h->ctx, hook)); /* returns, as it is itself that runs */
    h->ended++;
}

TEST(ctx_hook_may_take_itself_off)
{
    counted_hook h;
    memset(&h, 0, sizeof h);
    h.ctx = cancelable(gs__ctx_background());
    CHECK(gs__ctx_hook_add(h.ctx, &h.hook, unhook_self));
    CHECK(cancel(h.ctx));
    CHECK_EQ(h.ended, 1);
    gs__ctx_unref(h.ctx);
}

/* ---- many at once ---- */

static atomic_int winners;

static void *try_to_cancel(void *arg)
{
    watching++;
    while (watching < 4)
        ;
    winners += cancel(arg);
    CHECK(gs__ctx_is_done(arg));
    return NULL;
}

TEST(ctx_is_cancelled_by_one_of_many)
{
    for (int round = 0; round < 200 / TEST_SLOW; round++) {
        pthread_t threads[4];
        gs_ctx *ctx = cancelable(gs__ctx_background());
        watching = winners = 0;
        for (int i = 0; i < 4; i++)
            threads[i] = test_thread(try_to_cancel, ctx);
        for (int i = 0; i < 4; i++)
            test_thread_join(threads[i]);
        CHECK_EQ(winners, 1);
        gs__ctx_unref(ctx);
    }
}

static gs_ctx *forest;
static atomic_bool enough;

static void *grow_and_fell(void *arg)
{
    while (!enough) {
        gs_ctx *chain[20];
        chain[0] = cancelable(forest);
        for (int i = 1; i < 20; i++)
            chain[i] =
                i % 5 ? cancelable(chain[test_random((uint32_t)i)])
                      : gs__ctx_with_deadline(chain[i - 1], gs__now() + GS_US(test_random(500)));
        int first = (int)test_random(20);
        cancel(chain[first]);
        CHECK(gs__ctx_is_done(chain[first]));
        for (int i = 0; i < 20; i++)
            gs__ctx_unref(chain[(i * 7) % 20]);
    }
    return arg;
}

TEST(ctx_trees_grow_and_fall_on_many_threads)
{
    pthread_t threads[4];
    forest = cancelable(gs__ctx_background());
    for (int i = 0; i < 4; i++)
        threads[i] = test_thread(grow_and_fell, NULL);
    for (int i = 0; i < 10; i++) {
        test_msleep(30);
        if (i == 7)
            cancel(forest); /* from now on everything is born done */
    }
    enough = true;
    for (int i = 0; i < 4; i++)
        test_thread_join(threads[i]);
    CHECK(!has_children(forest));
    gs__ctx_unref(forest);
}

static int until_stopped(gs_call *call)
{
    (void)gs_arg_ptr(call, 0);
    return gs_sleep(call, GS_FOREVER);
}

TEST(ctx_cancel_stops_ten_thousand_tasks)
{
    enum { N = TEST_MANY };
    static gs_task *tasks[N];
    gs_ctx *ctx = cancelable(gs__ctx_background());
    for (int i = 0; i < N; i++)
        tasks[i] = test_go_in(ctx, until_stopped, NULL);
    for (int i = 0; i < N; i++)
        test_until_parked(tasks[i]);
    CHECK(cancel(ctx));
    for (int i = 0; i < N; i++) {
        test_wait(tasks[i]);
        CHECK(gs__task_was_canceled(tasks[i]));
        gs__task_unref(tasks[i]);
    }
    CHECK(!has_children(ctx));
    gs__ctx_unref(ctx);
}
