/* crc32.c: crc32(paths, results): the CRC-32 of each file whose path comes, as gs_tasks_head and the path.
 * It ends well when `paths` is closed and drained, or `results` is closed. It closes neither: several
 * share them.
 *
 * CRC-32 is the one of zlib, PNG and Ethernet: polynomial 0xedb88320, reflected. Sixteen bytes are taken
 * at a time by sixteen tables ("slicing", Kounavis and Berry, 2005), and longer pieces, where the processor
 * can multiply without carry, are folded to sixteen bytes before (Gopal and others, "Fast CRC Computation
 * for Generic Polynomials Using PCLMULQDQ", 2009). */
#define _GNU_SOURCE
#include "result.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { SLICES = 16, PIECE = 128 << 10 }; /* bytes read between two looks at the cancel */

/* ---- the sum ---- */

static uint32_t tables[SLICES][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        tables[0][i] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = tables[slice - 1][i];
            tables[slice][i] = crc >> 8 ^ tables[0][crc & 0xff];
        }
}

static uint32_t little_endian(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* What four bytes add that stand `behind` bytes before the end of those taken together. */
static uint32_t slice(uint32_t word, int behind)
{
    return tables[behind + 3][word & 0xff] ^ tables[behind + 2][word >> 8 & 0xff] ^
           tables[behind + 1][word >> 16 & 0xff] ^ tables[behind][word >> 24];
}

/* The register from one byte to the next: the sum is its complement. */
static uint32_t take(uint32_t reg, const unsigned char *p, size_t size)
{
    for (; size >= SLICES; p += SLICES, size -= SLICES)
        reg = slice(little_endian(p) ^ reg, 12) ^ slice(little_endian(p + 4), 8) ^
              slice(little_endian(p + 8), 4) ^ slice(little_endian(p + 12), 0);
    while (size--)
        reg = reg >> 8 ^ tables[0][(reg ^ *p++) & 0xff];
    return reg;
}

#ifdef __x86_64__
enum { LANES = 4, LANE = sizeof(__m128i), FOLDED = LANES * LANE };

/* What `x`, so many bytes further on that `by` belongs to, leaves of itself in the lane there. */
__attribute__((target("pclmul"))) static inline __m128i fold(__m128i x, __m128i by, __m128i lane)
{
    __m128i low = _mm_clmulepi64_si128(x, by, 0x00), high = _mm_clmulepi64_si128(x, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), lane);
}

/* As take, of a multiple of FOLDED bytes. */
__attribute__((target("pclmul"))) static uint32_t take_folded(uint32_t reg, const unsigned char *p,
                                                              size_t size)
{
    /* x to the power of 8 * bytes + 64, and of 8 * bytes, modulo the polynomial; all reflected. */
    const __m128i by_all = _mm_set_epi64x(0x1c6e41596, 0x154442bd4); /* FOLDED bytes */
    const __m128i by_one = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0); /* LANE bytes */
    const __m128i *from = (const __m128i *)(const void *)p, *end = from + size / LANE;
    __m128i lanes[LANES];
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i++)
        lanes[i] = _mm_loadu_si128(from++);
    lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128((int)reg));
    while (from < end)
#pragma GCC unroll 4
        for (int i = 0; i < LANES; i++)
            lanes[i] = fold(lanes[i], by_all, _mm_loadu_si128(from++));
#pragma GCC unroll 4
    for (int i = 1; i < LANES; i++)
        lanes[i] = fold(lanes[i - 1], by_one, lanes[i]);
    unsigned char left[LANE];
    _mm_storeu_si128((__m128i *)(void *)left, lanes[LANES - 1]);
    return take(0, left, LANE);
}

static uint32_t take_all(uint32_t reg, const unsigned char *p, size_t size)
{
    size_t folded = __builtin_cpu_supports("pclmul") ? size / FOLDED * FOLDED : 0;
    if (folded)
        reg = take_folded(reg, p, folded);
    return take(reg, p + folded, size - folded);
}
#else
static uint32_t take_all(uint32_t reg, const unsigned char *p, size_t size)
{
    return take(reg, p, size);
}
#endif

static uint32_t update(uint32_t crc, const unsigned char *p, size_t size)
{
    return ~take_all(~crc, p, size);
}

/* ---- the message ---- */

int gs_tasks_send_result(gs_call *call, gs_chan *to, gs_tasks_head head, const char *path,
                         size_t size)
{
    char *message = (char *)malloc(sizeof head + size);
    if (!message)
        return gs_fail(call, GS_ENOMEM, "no memory for the result of a file");
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, path, size);
    int code = gs_send_bytes(call, to, message, sizeof head + size);
    free(message);
    return code;
}

/* ---- files ---- */

/* As open(2), but of a path of any length: what is too long for one call is gone down piece by piece. */
static int open_path(const char *path)
{
    char piece[PATH_MAX];
    int at = AT_FDCWD, fd;
    size_t left = strlen(path);
    while (left >= PATH_MAX) {
        size_t size = PATH_MAX - 1;
        while (size && path[size] != '/')
            size--;
        memcpy(piece, path, size);
        piece[size] = '\0';
        fd = size ? openat(at, piece, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (!size)
            errno = ENAMETOOLONG;
        if (at != AT_FDCWD)
            close(at);
        if (fd < 0)
            return -1;
        at = fd;
        while (path[size] == '/')
            size++;
        path += size;
        left -= size;
    }
    fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (at != AT_FDCWD)
        close(at);
    return fd;
}

/* A regular file, open to read: 0 or an errno. Others are refused: a FIFO would be waited for. */
static GS_TASKS_NOINLINE int open_file(const char *path, int *fd)
{
    struct stat s;
    *fd = open_path(path);
    if (*fd < 0)
        return errno;
    int error = fstat(*fd, &s) != 0  ? errno
                : S_ISREG(s.st_mode) ? 0
                : S_ISDIR(s.st_mode) ? EISDIR
                                     : EINVAL;
    if (error)
        close(*fd);
    return error;
}

/* What the kernel has in memory, which takes less time than to have others run meanwhile; -1: nothing. */
static GS_TASKS_NOINLINE ssize_t read_cached(int fd, unsigned char *piece)
{
#ifdef RWF_NOWAIT
    struct iovec whole = {piece, PIECE};
    return preadv2(fd, &whole, 1, -1, RWF_NOWAIT);
#else
    (void)fd, (void)piece;
    return -1;
#endif
}

static GS_TASKS_NOINLINE ssize_t read_piece(int fd, unsigned char *piece, int *error)
{
    ssize_t n;
    do
        n = read(fd, piece, PIECE);
    while (n < 0 && errno == EINTR);
    *error = n < 0 ? errno : 0;
    return n;
}

/* The system calls may block: other tasks run meanwhile. */
static int read_all(gs_call *call, int fd, unsigned char *piece, gs_tasks_head *head)
{
    for (;;) {
        int error = 0;
        ssize_t n = read_cached(fd, piece);
        if (n < 0) {
            gs_block_begin(call);
            n = read_piece(fd, piece, &error);
            gs_block_end(call);
        }
        head->error = error;
        if (n <= 0)
            return GS_OK;
        head->crc = update(head->crc, piece, (size_t)n);
        head->size += n;
        GS_CHECKPOINT(call);
    }
}

static int digest(gs_call *call, const gs_str *path, unsigned char *piece, gs_chan *results)
{
    gs_tasks_head head = {0, EINVAL, 0};
    int fd, code = GS_OK;
    if (!memchr(path->data, '\0', path->size)) {
        gs_block_begin(call);
        head.error = open_file(path->data, &fd);
        gs_block_end(call);
    }
    if (!head.error) {
        code = read_all(call, fd, piece, &head);
        close(fd);
    }
    if (head.error)
        head.crc = 0;
    return code == GS_OK ? gs_tasks_send_result(call, results, head, path->data, path->size) : code;
}

GS_TASKS_DEFINE(crc32)
{
    gs_chan *paths = gs_arg_chan(call, 0, GS_BYTES), *results = gs_arg_chan(call, 1, GS_BYTES);
    unsigned char *piece = (unsigned char *)malloc(PIECE);
    if (!piece)
        return gs_fail(call, GS_ENOMEM, "no memory to read files");
    pthread_once(&tables_once, make_tables);
    gs_str path;
    int code;
    while ((code = gs_recv(call, paths, &path)) == GS_OK) {
        code = digest(call, &path, piece, results);
        gs_str_free(call, &path);
        if (code != GS_OK)
            break;
    }
    free(piece);
    return code == GS_ECLOSED ? GS_OK : code;
}
