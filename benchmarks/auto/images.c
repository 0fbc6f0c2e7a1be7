/* images.c: a real single-file library, Debian's libstb-dev, at work: what run.py measures with and
 * without automatic checkpoints. The library is as it is shipped; this file only feeds it.
 *
 * As a program (-DALONE) it does one kind of work, for callgrind:  images KIND TURNS */
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#include <stb/stb_image_write.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 256, HEIGHT = 256, CHANNELS = 3, TREE_DEPTH = 12 };
enum work { PNG_WRITE, PNG_READ, JPEG_WRITE, JPEG_READ, RESIZE, MALLOC, KINDS };

typedef struct file {
    unsigned char *data;
    int size, room;
} file;

static unsigned char picture[WIDTH * HEIGHT * CHANNELS];
static file png, jpeg;

static void append(void *to, void *data, int size)
{
    file *f = to;
    if (f->size + size > f->room) {
        f->room = (f->size + size) * 2;
        f->data = realloc(f->data, (size_t)f->room);
    }
    memcpy(f->data + f->size, data, (size_t)size);
    f->size += size;
}

/* Something between a photograph and a drawing. */
static void prepare(void)
{
    unsigned noise = 1;
    if (png.size)
        return;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < CHANNELS; c++) {
                noise = noise * 1103515245u + 12345u;
                picture[(y * WIDTH + x) * CHANNELS + c] =
                    (unsigned char)(x * (c + 1) / 2 + y + (x * y / 64) % 32 + (noise >> 28));
            }
    stbi_write_jpg_to_func(append, &jpeg, WIDTH, HEIGHT, CHANNELS, picture, 90);
    stbi_write_png_to_func(append, &png, WIDTH, HEIGHT, CHANNELS, picture, WIDTH * CHANNELS);
}

/* Blocks of a few bytes, kept for a while: nothing but the allocator. */
typedef struct tree {
    struct tree *left, *right;
} tree;

static tree *grow(int depth)
{
    tree *t = malloc(sizeof *t);
    t->left = depth ? grow(depth - 1) : NULL;
    t->right = depth ? grow(depth - 1) : NULL;
    return t;
}

static int fell(tree *t)
{
    int n = 1;
    if (!t)
        return 0;
    n += fell(t->left) + fell(t->right);
    free(t);
    return n;
}

static long work(enum work kind)
{
    static unsigned char half[WIDTH * HEIGHT * CHANNELS / 4];
    int width, height, channels;
    unsigned char *made = NULL;
    file out = {NULL, 0, 0};
    long size = 0;
    switch (kind) {
    case PNG_WRITE:
        stbi_write_png_to_func(append, &out, WIDTH, HEIGHT, CHANNELS, picture, WIDTH * CHANNELS);
        break;
    case PNG_READ:
        made = stbi_load_from_memory(png.data, png.size, &width, &height, &channels, 0);
        break;
    case JPEG_WRITE:
        stbi_write_jpg_to_func(append, &out, WIDTH, HEIGHT, CHANNELS, picture, 90);
        break;
    case JPEG_READ:
        made = stbi_load_from_memory(jpeg.data, jpeg.size, &width, &height, &channels, 0);
        break;
    case RESIZE:
        size =
            stbir_resize_uint8(picture, WIDTH, HEIGHT, 0, half, WIDTH / 2, HEIGHT / 2, 0, CHANNELS);
        break;
    default:
        size = fell(grow(TREE_DEPTH));
    }
    size += out.size + (made ? width * height * channels : 0);
    free(out.data);
    stbi_image_free(made);
    return size;
}

#ifdef ALONE
int main(int argc, char **argv)
{
    long size = 0;
    prepare();
    for (int turns = argc == 3 ? atoi(argv[2]) : 0; turns > 0; turns--)
        size += work((enum work)atoi(argv[1]));
    return size == 0;
}
#else
#include <pygostop.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* So many turns of one kind of work: nanoseconds for all. */
GS_TASK(measure)
{
    int64_t kind = gs_arg_int(call, 0), turns = gs_arg_int(call, 1);
    prepare();
    if (kind < 0 || kind >= KINDS)
        return gs_fail(call, 1, "there is no work of kind %d", (int)kind);
    int64_t begun = now();
    for (int64_t i = 0; i < turns; i++)
        if (work((enum work)kind) == 0)
            return gs_fail(call, 2, "work of kind %d failed", (int)kind);
    return gs_return_int(call, now() - begun);
}

/* Until it is stopped. */
GS_TASK(forever)
{
    size_t count;
    int *begun = gs_arg_array(call, 1, GS_INT32, &count);
    enum work kind = (enum work)gs_arg_int(call, 0);
    prepare();
    for (long size = 0;; size += work(kind))
        __atomic_store_n(begun, 1, __ATOMIC_RELEASE);
}

/* So many turns of a loop that does next to nothing: nanoseconds for all. */
GS_TASK(edges)
{
    int64_t begun = now(), turns = gs_arg_int(call, 0);
    for (int64_t i = 0; i < turns; i++)
        __asm__ volatile("" : : "r"(i));
    return gs_return_int(call, now() - begun);
}

/* Asks each of so many tasks to stop, 100 µs after it began: nanoseconds until each has ended, in
 * the array. */
static int spin(gs_call *call)
{
    volatile int *begun = gs_arg_ptr(call, 0);
    for (;;)
        *begun = 1;
}

GS_TASK(cancel_many)
{
    size_t count;
    int64_t *took = gs_arg_array(call, 0, GS_INT64, &count);
    for (size_t i = 0; i < count; i++) {
        volatile int *begun = calloc(1, sizeof *begun);
        gs_value arg = GS_ARG_PTR((void *)begun);
        gs_task *task = gs_go(call, spin, &arg, 1);
        while (!*begun)
            ;
        for (int64_t until = now() + 100000; now() < until;)
            ;
        int64_t asked = now();
        gs_task_cancel(call, task);
        GS_TRY(gs_join(call, task, NULL));
        took[i] = now() - asked;
        free((void *)begun);
    }
    return GS_OK;
}
#endif
