/* walk.c: walk(root, paths, errors=None): the path of every regular file under a directory, depth first;
 * symbolic links are not followed. A directory that cannot be read is passed over and told: on `errors`,
 * as "errno path" in the form of crc32's results, or by gs_log without it. `paths` is closed at the end,
 * however it ends, so that a pipeline behind it ends too.
 *
 * The directories on the way down are on a stack of their own memory, each open and with the length of
 * its path; what remains of it at the end a defer gives back. */
#define _GNU_SOURCE
#include "tasks.h"

#include "result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct level {
    DIR *dir;
    size_t length; /* of the directory's path, with the slash */
} level;

typedef struct walk_state {
    gs_call *call;
    gs_chan *paths;
    gs_chan *errors; /* or NULL */
    level *levels;
    size_t depth, room;
    char *path;      /* of what is looked at */
    size_t path_room;
} walk_state;

static void end_walk(void *arg)
{
    walk_state *w = (walk_state *)arg;
    while (w->depth)
        closedir(w->levels[--w->depth].dir);
    free(w->levels);
    free(w->path);
    gs_close(w->call, w->paths);
}

static int no_memory(walk_state *w)
{
    return gs_fail(w->call, GS_ENOMEM, "no memory for the path of a directory %zu levels deep", w->depth);
}

/* Puts a name behind the first `length` bytes of the path. */
static int set_path(walk_state *w, size_t length, const char *name, size_t size)
{
    if (length + size + 2 > w->path_room) {
        size_t room = (length + size + 2) * 2;
        char *path = (char *)realloc(w->path, room);
        if (!path)
            return no_memory(w);
        w->path = path;
        w->path_room = room;
    }
    memcpy(w->path + length, name, size);
    w->path[length + size] = '\0';
    return GS_OK;
}

static int tell(walk_state *w, int error)
{
    if (w->errors)
        return gs_tasks_send_result(w->call, w->errors, 0, error, 0, w->path);
    gs_log(w->call, "cannot read %s: %s", w->path, strerror(error));
    return GS_OK;
}

/* Opens the directory at `path`, which `at` and `name` find. */
static int enter(walk_state *w, int at, const char *name, size_t length)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        /* One that has gone since, or is another thing now, is no directory to report. */
        return at != AT_FDCWD && (error == ENOENT || error == ENOTDIR || error == ELOOP)
                   ? GS_OK
                   : tell(w, error);
    }
    if (w->depth == w->room) {
        size_t room = w->room ? w->room * 2 : 16;
        level *levels = (level *)realloc(w->levels, room * sizeof *levels);
        if (!levels) {
            closedir(dir);
            return no_memory(w);
        }
        w->levels = levels;
        w->room = room;
    }
    w->levels[w->depth].dir = dir;
    w->levels[w->depth++].length = length;
    return GS_OK;
}

/* The type of an entry, a DT_…, where the directory does not tell it. */
static unsigned char look_up_type(int at, const char *name)
{
    struct stat s;
    if (fstatat(at, name, &s, AT_SYMLINK_NOFOLLOW) != 0)
        return DT_UNKNOWN;
    return S_ISREG(s.st_mode) ? DT_REG : S_ISDIR(s.st_mode) ? DT_DIR : DT_UNKNOWN;
}

static int visit(walk_state *w, const level *in, const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t size = strlen(name), length = in->length;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return GS_OK;
    int at = dirfd(in->dir);
    unsigned char type = entry->d_type == DT_UNKNOWN ? look_up_type(at, name) : entry->d_type;
    if (type != DT_REG && type != DT_DIR)
        return GS_OK;
    GS_TRY(set_path(w, length, name, size));
    if (type == DT_REG)
        return gs_send_bytes(w->call, w->paths, w->path, length + size);
    size_t depth = w->depth;
    GS_TRY(enter(w, at, name, length + size + 1));
    if (w->depth > depth)
        memcpy(w->path + length + size, "/", 2);
    return GS_OK;
}

static int walk_all(walk_state *w)
{
    while (w->depth) {
        GS_CHECKPOINT(w->call);
        level in = w->levels[w->depth - 1];
        errno = 0;
        struct dirent *entry = readdir(in.dir);
        if (entry) {
            GS_TRY(visit(w, &in, entry));
            continue;
        }
        int error = errno;
        closedir(in.dir);
        w->depth--;
        if (error) {
            w->path[in.length - 1] = '\0';
            GS_TRY(tell(w, error));
        }
    }
    return GS_OK;
}

/* The path of a directory as the beginning of what is in it: with one slash. */
static int begin(walk_state *w, const char *root, size_t size)
{
    while (size > 1 && root[size - 1] == '/')
        size--;
    GS_TRY(set_path(w, 0, root, size));
    bool slash = size == 1 && root[0] == '/';
    GS_TRY(enter(w, AT_FDCWD, w->path, slash ? size : size + 1));
    if (w->depth && !slash)
        memcpy(w->path + size, "/", 2);
    return w->depth ? GS_OK : gs_fail(w->call, 1, "cannot read the directory %s", w->path);
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
    if (size == 0 || memchr(root, '\0', size)) {
        gs_close(call, w.paths);
        return gs_fail(call, GS_EINVAL, "argument 0 must be the path of a directory");
    }
    GS_TRY(gs_defer(call, end_walk, &w));
    int code = begin(&w, root, size);
    if (code == GS_OK)
        code = walk_all(&w);
    return code == GS_ECLOSED ? GS_OK : code;
}
