/* crc32.c: crc32(paths, results): the CRC-32 of each file whose path comes, as gs_tasks_head and the path.
 * It ends well when `paths` is closed and drained, or `results` is closed.
 *
 * CRC-32 is the one of zlib, PNG and Ethernet: polynomial 0xedb88320, reflected. Eight bytes are taken at
 * a time by eight tables ("slicing by 8", Kounavis and Berry, 2005). */
#define _GNU_SOURCE
#include "result.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLICES = 8, PIECE = 64 << 10 }; /* bytes read between two looks at the cancel */

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

static uint32_t update(uint32_t crc, const unsigned char *p, size_t size)
{
    crc = ~crc;
    for (; size >= SLICES; p += SLICES, size -= SLICES) {
        uint32_t low = little_endian(p) ^ crc, high = little_endian(p + 4);
        crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
              tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
              tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
    }
    while (size--)
        crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xff];
    return ~crc;
}

int gs_tasks_send_result(gs_call *call, gs_chan *to, uint32_t crc, int error, int64_t size,
                         const char *path)
{
    gs_tasks_head head = {error ? 0 : crc, error, size};
    size_t length = strlen(path);
    char *message = (char *)malloc(sizeof head + length);
    if (!message)
        return gs_fail(call, GS_ENOMEM, "no memory for the result of %s", path);
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, path, length);
    int code = gs_send_bytes(call, to, message, sizeof head + length);
    free(message);
    return code;
}

/* What the defer gives back. */
typedef struct reader {
    int fd;                /* -1: none */
    unsigned char *piece;
} reader;

static void end_reader(void *arg)
{
    reader *r = (reader *)arg;
    if (r->fd >= 0)
        close(r->fd);
    free(r->piece);
}

/* A regular file, open to read: a FIFO that has taken its place is refused, not waited for. */
static int open_file(reader *r, const char *path)
{
    struct stat s;
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (r->fd < 0 || fstat(r->fd, &s) != 0)
        return errno;
    return S_ISREG(s.st_mode) ? 0 : S_ISDIR(s.st_mode) ? EISDIR : EINVAL;
}

/* One blocking system call: other tasks run meanwhile. errno of this thread is read before it may
 * change. */
static ssize_t read_piece(gs_call *call, reader *r, int *error)
{
    ssize_t n;
    gs_block_begin(call);
    do
        n = read(r->fd, r->piece, PIECE);
    while (n < 0 && errno == EINTR);
    *error = n < 0 ? errno : 0;
    gs_block_end(call);
    return n;
}

static int digest(gs_call *call, reader *r, const char *path, gs_chan *results)
{
    uint32_t crc = 0;
    int64_t size = 0;
    int code = GS_OK;
    gs_block_begin(call);
    int error = open_file(r, path);
    gs_block_end(call);
    while (!error && code == GS_OK) {
        ssize_t n = read_piece(call, r, &error);
        if (n <= 0)
            break;
        crc = update(crc, r->piece, (size_t)n);
        size += n;
        code = gs_checkpoint(call);
    }
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    return code == GS_OK ? gs_tasks_send_result(call, results, crc, error, size, path) : code;
}

GS_TASKS_DEFINE(crc32)
{
    gs_chan *paths = gs_arg_chan(call, 0, GS_BYTES), *results = gs_arg_chan(call, 1, GS_BYTES);
    reader r = {-1, NULL};
    int code;
    pthread_once(&tables_once, make_tables);
    GS_TRY(gs_defer(call, end_reader, &r));
    r.piece = (unsigned char *)malloc(PIECE);
    if (!r.piece)
        return gs_fail(call, GS_ENOMEM, "no memory to read files");
    do {
        gs_str path;
        code = gs_recv(call, paths, &path);
        if (code == GS_OK) {
            code = digest(call, &r, path.data, results);
            gs_str_free(call, &path);
        }
    } while (code == GS_OK);
    return code == GS_ECLOSED ? GS_OK : code;
}
