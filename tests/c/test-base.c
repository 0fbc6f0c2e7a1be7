/* test-base.c: lists, codes, the lock, clocks, and parking one thread. */
#include "test.h"
#include "park.h"

#include <string.h>

typedef struct node {
    int value;
    gs__link link;
} node;

static void check_order(gs__list *list, const int *values, int n)
{
    gs__link *link = list->head.next;
    for (int i = 0; i < n; i++, link = link->next)
        CHECK_EQ(gs__container(link, node, link)->value, values[i]);
    CHECK(link == &list->head);
    for (int i = n - 1; i >= 0; i--) {
        link = link->prev;
        CHECK_EQ(gs__container(link, node, link)->value, values[i]);
    }
}

TEST(list_keeps_order)
{
    gs__list list, other;
    node nodes[6];
    gs__list_init(&list);
    gs__list_init(&other);
    CHECK(gs__list_empty(&list));
    CHECK(gs__list_first(&list) == NULL && gs__list_last(&list) == NULL);
    CHECK(gs__list_pop(&list) == NULL);
    for (int i = 0; i < 6; i++) {
        nodes[i].value = i;
        gs__link_init(&nodes[i].link);
        CHECK(!gs__linked(&nodes[i].link));
    }
    gs__list_append(&list, &nodes[1].link);
    gs__list_append(&list, &nodes[2].link);
    gs__list_prepend(&list, &nodes[0].link);
    check_order(&list, (int[]){0, 1, 2}, 3);
    CHECK(gs__linked(&nodes[1].link));
    gs__list_remove(&nodes[1].link);
    CHECK(!gs__linked(&nodes[1].link));
    check_order(&list, (int[]){0, 2}, 2);
    gs__list_insert(&nodes[2].link, &nodes[1].link);
    check_order(&list, (int[]){0, 1, 2}, 3);

    gs__list_splice(&list, &other);
    check_order(&list, (int[]){0, 1, 2}, 3);
    for (int i = 3; i < 6; i++)
        gs__list_append(&other, &nodes[i].link);
    gs__list_splice(&list, &other);
    CHECK(gs__list_empty(&other));
    check_order(&list, (int[]){0, 1, 2, 3, 4, 5}, 6);
    CHECK(gs__list_pop(&list) == &nodes[0].link);
    CHECK(gs__list_last(&list) == &nodes[5].link);
    check_order(&list, (int[]){1, 2, 3, 4, 5}, 5);
}

TEST(codes_have_names_and_words)
{
    CHECK_STR(gs__code_name(GS_ECLOSED), "GS_ECLOSED");
    CHECK_STR(gs__code_text(GS_ECLOSED), "the channel is closed");
    CHECK_STR(gs__code_name(GS_OK), "GS_OK");
    CHECK_STR(gs__code_name(-12345), "unknown");
    CHECK_STR(gs__code_text(17), "unknown");
}

TEST(deadlines_do_not_overflow)
{
    CHECK_EQ(gs__deadline(GS_FOREVER), GS_FOREVER);
    CHECK_EQ(gs__deadline(GS_FOREVER - 1), GS_FOREVER);
    int64_t now = gs__now(), later = gs__deadline(GS_S(1));
    CHECK(later >= now + GS_S(1) && later < now + GS_S(1000));
    CHECK(gs__ticks_per_us() > 0);
}

static gs__lock lock;
static long guarded;

static void *count_under_lock(void *arg)
{
    for (int i = 0; i < 100000 / TEST_SLOW; i++) {
        gs__acquire(&lock);
        guarded++;
        gs__release(&lock);
    }
    return arg;
}

TEST(lock_excludes)
{
    pthread_t threads[4];
    gs__lock_init(&lock);
    for (int i = 0; i < 4; i++)
        threads[i] = test_thread(count_under_lock, NULL);
    for (int i = 0; i < 4; i++)
        test_thread_join(threads[i]);
    CHECK_EQ(guarded, 4L * (100000 / TEST_SLOW));
    CHECK(gs__trylock(&lock));
    CHECK(!gs__trylock(&lock));
    gs__release(&lock);
}

typedef struct relay {
    gs__parker *here, *there;
    int rounds;
} relay;

static void *pass_on(void *arg)
{
    relay *r = arg;
    for (int i = 0; i < r->rounds; i++) {
        CHECK_EQ(gs__parker_wait(r->here, GS_FOREVER, false), GS_OK);
        gs__parker_wake(r->there);
    }
    return NULL;
}

TEST(parker_keeps_a_token_and_loses_none)
{
    gs__parker *a = gs__parker_get(), *b = gs__parker_get();
    CHECK(a != NULL && b != NULL && a != b);
    gs__parker_wake(a); /* before the wait */
    gs__parker_wake(a); /* holds one at most */
    CHECK_EQ(gs__parker_wait(a, GS_FOREVER, false), GS_OK);

    int64_t begun = gs__now();
    CHECK_EQ(gs__parker_wait(a, begun + GS_MS(30), false), GS_ETIMEDOUT);
    CHECK(gs__now() >= begun + GS_MS(30));

    relay r = {a, b, 20000 / TEST_SLOW};
    pthread_t thread = test_thread(pass_on, &r);
    for (int i = 0; i < r.rounds; i++) {
        gs__parker_wake(a);
        CHECK_EQ(gs__parker_wait(b, GS_FOREVER, false), GS_OK);
    }
    test_thread_join(thread);
    gs__parker_put(a);
    gs__parker_put(b);
}
