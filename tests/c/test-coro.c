/* test-coro.c: switching stacks. */
#include "test.h"
#include "coro.h"

#include <fenv.h>
#include <string.h>

static gs__coro thread_coro;

static gs__stack take_stack(size_t size)
{
    gs__stack stack;
    int class = gs__stack_class(size);
    CHECK(class >= 0);
    CHECK_EQ(gs__stack_reserve(NULL, class), GS_OK);
    CHECK_EQ(gs__stack_get(NULL, class, &stack), GS_OK);
    return stack;
}

static void give_stack(size_t size, gs__stack stack)
{
    gs__stack_put(NULL, gs__stack_class(size), stack);
    gs__stack_unreserve(NULL, gs__stack_class(size));
}

/* More values at once than there are callee-saved registers, each kept over the switches between. */
static gs__noinline uint64_t mix(gs__coro *here, gs__coro *there, volatile uint64_t *seed,
                                 int rounds)
{
    uint64_t a = seed[0], b = a * 3 + 1, c = b * 5 + 2, d = c * 7 + 3, e = d * 11 + 4,
             f = e * 13 + 5;
    uint64_t g = f * 17 + 6, h = g * 19 + 7, i = h * 23 + 8, j = i * 29 + 9, k = j * 31 + 10;
    double x = (double)(a & 0xff), y = x * 0.5 + 1;
    for (int round = 0; round < rounds; round++) {
        if (there != NULL)
            gs__coro_switch(here, there, false);
        a += b ^ k;
        b += c ^ a;
        c += d ^ b;
        d += e ^ c;
        e += f ^ d;
        f += g ^ e;
        g += h ^ f;
        h += i ^ g;
        i += j ^ h;
        j += k ^ i;
        k += a ^ j;
        x = x * 0.5 + (double)(a & 0xff);
        y = y * 0.25 + x;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ (uint64_t)(x * 1000) ^ (uint64_t)(y * 1000);
}

typedef struct other {
    gs__coro coro;
    volatile uint64_t seed[1];
    int rounds;
    uint64_t result;
    int round_before, round_after;
    float third_before, third_after;
} other;

static void mix_there(void *arg)
{
    other *o = arg;
    gs__coro_began();
    o->result = mix(&o->coro, &thread_coro, o->seed, o->rounds);
    gs__coro_switch(&o->coro, &thread_coro, true);
}

TEST(switch_keeps_registers)
{
    enum { ROUNDS = 10000 };
    volatile uint64_t seed[1] = {42};
    other o = {.seed = {4711}, .rounds = ROUNDS};
    uint64_t here = mix(NULL, NULL, seed, ROUNDS), there = mix(NULL, NULL, o.seed, ROUNDS);
    gs__coro_init_thread(&thread_coro);
    gs__coro_init(&o.coro, take_stack(65536), mix_there, &o);
    CHECK(mix(&thread_coro, &o.coro, seed, ROUNDS) == here);
    gs__coro_switch(&thread_coro, &o.coro, false); /* its last */
    CHECK(o.result == there);
    give_stack(65536, gs__coro_fini(&o.coro));
}

static gs__noinline float third(void)
{
    volatile float one = 1, three = 3, quotient = one / three;
    return quotient;
}

static void round_down_there(void *arg)
{
    other *o = arg;
    gs__coro_began();
    o->round_before = fegetround();
    o->third_before = third();
    fesetround(FE_DOWNWARD);
    gs__coro_switch(&o->coro, &thread_coro, false);
    o->round_after = fegetround();
    o->third_after = third();
    gs__coro_switch(&o->coro, &thread_coro, true);
}

TEST(switch_keeps_floating_point_control)
{
    other o;
    memset(&o, 0, sizeof o);
    fesetround(FE_DOWNWARD);
    float low = third();
    fesetround(FE_UPWARD);
    float high = third();
    CHECK(low < high);
    gs__coro_init_thread(&thread_coro);
    gs__coro_init(&o.coro, take_stack(65536), round_down_there, &o);
    gs__coro_switch(&thread_coro, &o.coro, false);
    CHECK_EQ(fegetround(), FE_UPWARD);
    CHECK(third() == high);
    gs__coro_switch(&thread_coro, &o.coro, false);
    CHECK_EQ(fegetround(), FE_UPWARD);
    CHECK(third() == high);
    fesetround(FE_TONEAREST);
    CHECK_EQ(o.round_before, FE_TONEAREST); /* not its maker's */
    CHECK_EQ(o.round_after, FE_DOWNWARD);
    CHECK(o.third_after == low);
    give_stack(65536, gs__coro_fini(&o.coro));
}

typedef struct ring {
    gs__coro coro, *next;
    int *passes;
    int left;
} ring;

static void pass_on(void *arg)
{
    ring *r = arg;
    gs__coro_began();
    while (r->left-- > 0) {
        ++*r->passes;
        gs__coro_switch(&r->coro, r->next, false);
    }
    gs__coro_switch(&r->coro, &thread_coro, true);
}

TEST(switch_round_a_ring_of_a_thousand)
{
    enum { N = 1000, ROUNDS = 20 };
    static ring rings[N];
    int passes = 0;
    gs__coro_init_thread(&thread_coro);
    for (int i = 0; i < N; i++) {
        rings[i].next = i + 1 < N ? &rings[i + 1].coro : &thread_coro;
        rings[i].passes = &passes;
        rings[i].left = ROUNDS;
        gs__coro_init(&rings[i].coro, take_stack(16384), pass_on, &rings[i]);
    }
    for (int round = 0; round < ROUNDS; round++)
        gs__coro_switch(&thread_coro, &rings[0].coro, false);
    CHECK_EQ(passes, N * ROUNDS);
    for (int i = 0; i < N; i++) {
        gs__coro_switch(&thread_coro, &rings[i].coro, false); /* its last */
        give_stack(16384, gs__coro_fini(&rings[i].coro));
    }
}
