/* walk.c: walk(root, paths, errors=None): the path of every regular file under a directory, depth first;
 * symbolic links are not followed. A directory that cannot be read is passed over and told: on `errors`,
 * in the form of crc32's results, or by gs_log without it.
 *
 * The files of a directory are sent as it is read, then its subdirectories are entered one by one. What
 * always holds:
 *  - `levels` are the directories from the root to the one looked at; `names` holds what is still to be
 *    entered of each, those of the deepest last, and `path` the path of the deepest.
 *  - Only the OPEN_MOST deepest have a descriptor, so that the depth is limited by memory alone. The
 *    others are opened again as ".." of the one below, and are then the same directory as before. */
#define _GNU_SOURCE
#include "result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MOST = 32 };

typedef struct level {
    int fd; /* -1: closed, for there are deeper ones; or it could not be opened again */
    dev_t dev;
    ino_t ino;
    size_t length; /* of its path, with the slash */
    size_t names;  /* where its own begin in walk_state.names */
} level;

typedef struct text {
    char *data;
    size_t size, room;
} text;

typedef struct walk_state {
    gs_call *call;
    gs_chan *paths;
    gs_chan *errors; /* NULL: there is none */
    level *levels;
    size_t depth, room;
    text names; /* each ends in NUL */
    text path;
} walk_state;

/* ---- memory ---- */

static int no_memory(walk_state *w)
{
    return gs_fail(w->call, GS_ENOMEM, "no memory for a directory %zu levels deep", w->depth);
}

/* Puts `size` bytes and a NUL behind the first `at`; `size` is then without the NUL. */
static int put(walk_state *w, text *t, size_t at, const char *data, size_t size)
{
    if (at + size + 1 > t->room) {
        size_t room = (at + size + 1) * 2;
        char *more = (char *)realloc(t->data, room);
        if (!more)
            return no_memory(w);
        t->data = more;
        t->room = room;
    }
    memcpy(t->data + at, data, size);
    t->size = at + size;
    t->data[t->size] = '\0';
    return GS_OK;
}

static int push(walk_state *w, level one)
{
    if (w->depth == w->room) {
        size_t room = w->room ? w->room * 2 : OPEN_MOST;
        level *more = (level *)realloc(w->levels, room * sizeof *more);
        if (!more)
            return no_memory(w);
        w->levels = more;
        w->room = room;
    }
    w->levels[w->depth++] = one;
    if (w->depth > OPEN_MOST) {
        level *high = &w->levels[w->depth - 1 - OPEN_MOST];
        if (high->fd >= 0)
            close(high->fd);
        high->fd = -1;
    }
    return GS_OK;
}

/* ---- the file system ---- */

/* The directory's descriptor and what it is: 0 or an errno. Links are followed for the root only. */
static GS_TASKS_NOINLINE int open_directory(int at, const char *name, level *one)
{
    struct stat s;
    int follow = at == AT_FDCWD ? 0 : O_NOFOLLOW, error;
    one->fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | follow);
    if (one->fd >= 0 && fstat(one->fd, &s) == 0) {
        one->dev = s.st_dev;
        one->ino = s.st_ino;
        return 0;
    }
    error = errno;
    if (one->fd >= 0)
        close(one->fd);
    one->fd = -1;
    return error;
}

/* A stream of its own on an open directory: NULL with an errno. */
static GS_TASKS_NOINLINE DIR *stream_of(int fd, int *error)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    *error = dir ? 0 : errno;
    if (!dir && own >= 0)
        close(own);
    return dir;
}

/* NULL at the end, or with an errno. */
static GS_TASKS_NOINLINE struct dirent *next_entry(DIR *dir, int *error)
{
    errno = 0;
    struct dirent *entry = readdir(dir);
    *error = entry ? 0 : errno;
    return entry;
}

/* The type of an entry, a DT_…. Not every file system tells it. */
static unsigned char type_of(DIR *dir, const struct dirent *entry)
{
    struct stat s;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (fstatat(dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
        return DT_UNKNOWN;
    return S_ISREG(s.st_mode) ? DT_REG : S_ISDIR(s.st_mode) ? DT_DIR : DT_UNKNOWN;
}

/* ---- one directory ---- */

/* The directory is at the first `length` bytes of the path. */
static int tell(walk_state *w, int error, size_t length)
{
    if (w->errors)
        return gs_tasks_send_result(w->call, w->errors, (gs_tasks_head){0, error, 0}, w->path.data,
                                    length);
    gs_log(w->call, "cannot read %.*s: %s", (int)length, w->path.data, strerror(error));
    return GS_OK;
}

static int tell_deepest(walk_state *w, int error)
{
    size_t length = w->levels[w->depth - 1].length;
    return tell(w, error, length > 1 ? length - 1 : length); /* without the slash behind */
}

/* Sends a file, keeps a subdirectory's name. */
static int look_at(walk_state *w, DIR *dir, const struct dirent *entry)
{
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return GS_OK;
    switch (type_of(dir, entry)) {
    case DT_REG:
        GS_TRY(put(w, &w->path, w->levels[w->depth - 1].length, name, strlen(name)));
        return gs_send_bytes(w->call, w->paths, w->path.data, w->path.size);
    case DT_DIR:
        GS_TRY(put(w, &w->names, w->names.size, name, strlen(name)));
        w->names.size++; /* the NUL stays */
        return GS_OK;
    default:
        return GS_OK;
    }
}

static int read_deepest(walk_state *w)
{
    int error, code = GS_OK;
    DIR *dir = stream_of(w->levels[w->depth - 1].fd, &error);
    if (dir) {
        struct dirent *entry;
        while (code == GS_OK && (entry = next_entry(dir, &error))) {
            code = gs_checkpoint(w->call);
            if (code == GS_OK)
                code = look_at(w, dir, entry);
        }
        closedir(dir);
    }
    return code == GS_OK && error ? tell_deepest(w, error) : code;
}

/* ---- from one to the next ---- */

/* Goes into the last of the deepest's names. One that has gone since, or is another thing now, is no
 * directory to tell of. */
static int enter_next(walk_state *w)
{
    const level *in = &w->levels[w->depth - 1];
    size_t begin = w->names.size - 1;
    while (begin > in->names && w->names.data[begin - 1])
        begin--;
    const char *name = w->names.data + begin;
    level one;
    GS_TRY(put(w, &w->path, in->length, name, strlen(name)));
    int error = open_directory(in->fd, name, &one);
    w->names.size = begin;
    if (error)
        return error == ENOENT || error == ENOTDIR || error == ELOOP ? GS_OK
                                                                     : tell(w, error, w->path.size);
    one.names = begin;
    one.length = w->path.size + 1;
    int code = put(w, &w->path, w->path.size, "/", 1);
    if (code == GS_OK)
        code = push(w, one);
    if (code != GS_OK) {
        close(one.fd);
        return code;
    }
    return read_deepest(w);
}

/* Goes up, where a directory that was moved meanwhile is not found again: then what remains of it is
 * passed over and told. */
static int leave(walk_state *w)
{
    level below = w->levels[--w->depth];
    int error = 0;
    if (w->depth && w->levels[w->depth - 1].fd < 0) {
        level *up = &w->levels[w->depth - 1], again = {-1, 0, 0, 0, 0};
        error = below.fd < 0 ? ENOENT : open_directory(below.fd, "..", &again);
        if (!error && (again.dev != up->dev || again.ino != up->ino)) {
            close(again.fd);
            error = ENOENT;
        }
        if (!error)
            up->fd = again.fd;
    }
    if (below.fd >= 0)
        close(below.fd);
    if (!error || w->names.size == w->levels[w->depth - 1].names)
        return GS_OK;
    w->names.size = w->levels[w->depth - 1].names;
    return tell_deepest(w, error);
}

static int begin(walk_state *w, const char *root, size_t size)
{
    level one;
    if (size == 0 || memchr(root, '\0', size))
        return gs_fail(w->call, GS_EINVAL,
                       "argument 0 must be the path of a directory, not empty and "
                       "without a NUL");
    while (size > 1 && root[size - 1] == '/')
        size--;
    GS_TRY(put(w, &w->path, 0, root, size));
    int error = open_directory(AT_FDCWD, w->path.data, &one);
    if (error)
        return gs_fail(w->call, error, "cannot read the directory %s: %s", w->path.data,
                       strerror(error));
    if (w->path.data[size - 1] != '/')
        GS_TRY(put(w, &w->path, size, "/", 1));
    one.length = w->path.size;
    one.names = 0;
    int code = push(w, one);
    if (code == GS_OK)
        return read_deepest(w);
    close(one.fd);
    return code;
}

static int walk_all(walk_state *w, const char *root, size_t size)
{
    int code = begin(w, root, size);
    while (code == GS_OK && w->depth) {
        code = gs_checkpoint(w->call);
        if (code == GS_OK)
            code = w->names.size > w->levels[w->depth - 1].names ? enter_next(w) : leave(w);
    }
    return code;
}

GS_TASKS_DEFINE(walk)
{
    walk_state w;
    size_t size;
    const char *root;
    memset(&w, 0, sizeof w);
    w.call = call;
    if (gs_arg_kind(call, 0) == GS_VALUE_STR)
        root = gs_arg_str(call, 0, &size);
    else
        root = (const char *)gs_arg_bytes(call, 0, &size);
    w.paths = gs_arg_chan(call, 1, GS_BYTES);
    w.errors = gs_nargs(call) > 2 ? gs_arg_chan(call, 2, GS_BYTES) : NULL;
    int code = walk_all(&w, root, size);
    while (w.depth)
        if (w.levels[--w.depth].fd >= 0)
            close(w.levels[w.depth].fd);
    free(w.levels);
    free(w.names.data);
    free(w.path.data);
    gs_close(call, w.paths);
    return code == GS_ECLOSED ? GS_OK : code;
}
