/* pygostop_auto.h: makes every edge of a C source a checkpoint, without a change to it.
 *
 * To be included before all else, with the compiler told to call out on every edge, and the linker
 * to send the library's allocations through here (pygostop._auto has the flags):
 *
 *     gcc -fsanitize-coverage=trace-pc -include pygostop_auto.h … -Wl,--wrap=malloc …
 *
 * A task of the library that is asked to stop is then left for good at its next edge: its defers
 * run, and what it allocated and has not freed is freed. What that is safe for:
 * docs/auto-checkpoints.md.
 *
 * It includes nothing, as the source may define what changes the system's headers, and its
 * functions are in every object, the linker taking one of each. None of them is itself a
 * checkpoint. */
#ifndef PYGOSTOP_AUTO_H
#define PYGOSTOP_AUTO_H
#pragma GCC system_header

/* What a library knows of the runtime, filled in when the first of its tasks begins. */
typedef struct gs_auto {
    const unsigned *pending; /* not 0: some task is to leave, so look; never NULL */
    void (*look)(void);      /* leaves, where it is this task */
    int (*own)(void *block); /* the running task's from here on; not 0, and errno, without memory */
    int (*disown)(void *block); /* nobody's from here on; 0 where it was nobody's before */
    unsigned none;              /* 0: what `pending` points at before */
} gs_auto;

#ifndef GS__AUTO_TYPE_ONLY /* as the runtime has it */
#define GS__AUTO 1

#ifdef __cplusplus
#error "pygostop_auto.h is for C: leaving a function for good runs no destructors"
#endif
#if defined(__clang__) ? __clang_major__ < 13 : !defined(__GNUC__) || __GNUC__ < 12
#error "automatic checkpoints need gcc 12 or clang 13, or a later one"
#endif

/* Before a function: none of its own edges is a checkpoint; those of the functions it calls are. */
#ifdef __clang__
#define GS_NO_CHECKPOINT __attribute__((no_sanitize("coverage"), noinline))
#define GS__AUTO_PLAIN __attribute__((no_sanitize("coverage")))
#else
#define GS_NO_CHECKPOINT __attribute__((no_sanitize_coverage, noinline))
#define GS__AUTO_PLAIN __attribute__((no_sanitize_coverage))
#endif
#define GS__AUTO_HERE __attribute__((weak, visibility("hidden"))) GS__AUTO_PLAIN
#define GS__AUTO_SIZE __SIZE_TYPE__

__attribute__((weak, visibility("hidden"))) gs_auto gs__auto_library;
gs_auto gs__auto_library = {&gs__auto_library.none, 0, 0, 0, 0};

/* ---- the checkpoint ---- */

GS__AUTO_HERE void __sanitizer_cov_trace_pc(void);
GS__AUTO_HERE void __sanitizer_cov_trace_pc(void)
{
    const unsigned *pending = __atomic_load_n(&gs__auto_library.pending, __ATOMIC_RELAXED);
    if (__builtin_expect(__atomic_load_n(pending, __ATOMIC_RELAXED) != 0, 0)) {
        void (*look)(void) = __atomic_load_n(&gs__auto_library.look, __ATOMIC_ACQUIRE);
        if (look)
            look();
    }
}

/* ---- the allocator ----
 * What one of these gives is the running task's until it is freed, by whichever of them; a task that
 * returns leaves what it has as it is. */

#define GS__AUTO_REAL(type, name, ...)                            \
    extern __attribute__((weak)) type __real_##name(__VA_ARGS__); \
    GS__AUTO_HERE type __wrap_##name(__VA_ARGS__);                \
    GS__AUTO_HERE type __wrap_##name(__VA_ARGS__)

extern void *__real_malloc(GS__AUTO_SIZE);
extern void __real_free(void *);

/* Gives the block, or NULL and errno where it could not be noted. */
static __inline__ GS__AUTO_PLAIN void *gs__auto_own(void *block)
{
    int (*own)(void *) = __atomic_load_n(&gs__auto_library.own, __ATOMIC_RELAXED);
    if (block && own && own(block) != 0) {
        __real_free(block);
        return 0;
    }
    return block;
}

static __inline__ GS__AUTO_PLAIN int gs__auto_disown(void *block)
{
    int (*disown)(void *) = __atomic_load_n(&gs__auto_library.disown, __ATOMIC_RELAXED);
    return block && disown ? disown(block) : 0;
}

GS__AUTO_HERE void *__wrap_malloc(GS__AUTO_SIZE size);
GS__AUTO_HERE void *__wrap_malloc(GS__AUTO_SIZE size)
{
    return gs__auto_own(__real_malloc(size));
}

GS__AUTO_HERE void __wrap_free(void *block);
GS__AUTO_HERE void __wrap_free(void *block)
{
    gs__auto_disown(block);
    __real_free(block);
}

GS__AUTO_REAL(void *, calloc, GS__AUTO_SIZE n, GS__AUTO_SIZE size)
{
    return gs__auto_own(__real_calloc(n, size));
}

/* A block that was nobody's stays so. One that cannot be noted again stays the caller's,
 * unnoted. */
GS__AUTO_REAL(void *, realloc, void *block, GS__AUTO_SIZE size)
{
    int owned = gs__auto_disown(block);
    void *moved = __real_realloc(block, size);
    int (*own)(void *) = __atomic_load_n(&gs__auto_library.own, __ATOMIC_RELAXED);
    if (!block)
        return gs__auto_own(moved);
    if (owned && moved)
        own(moved);
    else if (owned && size)
        own(block);
    return moved;
}

GS__AUTO_REAL(void *, reallocarray, void *block, GS__AUTO_SIZE n, GS__AUTO_SIZE size)
{
    GS__AUTO_SIZE all;
    if (__builtin_mul_overflow(n, size, &all))
        return __real_reallocarray(block, n, size); /* refuses it */
    return __wrap_realloc(block, all);
}

GS__AUTO_REAL(int, posix_memalign, void **block, GS__AUTO_SIZE alignment, GS__AUTO_SIZE size)
{
    void *made = 0;
    int error = __real_posix_memalign(&made, alignment, size);
    if (error == 0 && !(made = gs__auto_own(made)))
        error = 12; /* ENOMEM */
    if (error == 0)
        *block = made;
    return error;
}

GS__AUTO_REAL(void *, aligned_alloc, GS__AUTO_SIZE alignment, GS__AUTO_SIZE size)
{
    return gs__auto_own(__real_aligned_alloc(alignment, size));
}

GS__AUTO_REAL(void *, memalign, GS__AUTO_SIZE alignment, GS__AUTO_SIZE size)
{
    return gs__auto_own(__real_memalign(alignment, size));
}

GS__AUTO_REAL(void *, valloc, GS__AUTO_SIZE size)
{
    return gs__auto_own(__real_valloc(size));
}

GS__AUTO_REAL(char *, strdup, const char *s)
{
    return gs__auto_own(__real_strdup(s));
}

GS__AUTO_REAL(char *, strndup, const char *s, GS__AUTO_SIZE n)
{
    return gs__auto_own(__real_strndup(s, n));
}

GS__AUTO_REAL(__WCHAR_TYPE__ *, wcsdup, const __WCHAR_TYPE__ *s)
{
    return gs__auto_own(__real_wcsdup(s));
}

GS__AUTO_REAL(char *, realpath, const char *path, char *resolved)
{
    char *made = __real_realpath(path, resolved);
    return resolved ? made : gs__auto_own(made);
}

GS__AUTO_REAL(char *, getcwd, char *buffer, GS__AUTO_SIZE size)
{
    char *made = __real_getcwd(buffer, size);
    return buffer ? made : gs__auto_own(made);
}

/* What was printed, or -1 where the string could not be noted. */
static __inline__ GS__AUTO_PLAIN int gs__auto_printed(char **s, int printed)
{
    return printed >= 0 && !(*s = gs__auto_own(*s)) ? -1 : printed;
}

GS__AUTO_REAL(int, vasprintf, char **s, const char *format, __builtin_va_list args)
{
    return gs__auto_printed(s, __real_vasprintf(s, format, args));
}

GS__AUTO_HERE int __wrap_asprintf(char **s, const char *format, ...);
GS__AUTO_HERE int __wrap_asprintf(char **s, const char *format, ...)
{
    __builtin_va_list args;
    __builtin_va_start(args, format);
    int printed = __wrap_vasprintf(s, format, args);
    __builtin_va_end(args);
    return printed;
}

/* What glibc's headers make of the two with _FORTIFY_SOURCE. */
GS__AUTO_REAL(int, __vasprintf_chk, char **s, int flag, const char *format, __builtin_va_list args)
{
    return gs__auto_printed(s, __real___vasprintf_chk(s, flag, format, args));
}

GS__AUTO_HERE int __wrap___asprintf_chk(char **s, int flag, const char *format, ...);
GS__AUTO_HERE int __wrap___asprintf_chk(char **s, int flag, const char *format, ...)
{
    __builtin_va_list args;
    __builtin_va_start(args, format);
    int printed = __wrap___vasprintf_chk(s, flag, format, args);
    __builtin_va_end(args);
    return printed;
}

/* They make the line's block larger themselves; one that was nobody's stays so. */
GS__AUTO_REAL(long, getdelim, char **line, GS__AUTO_SIZE *size, int delimiter, void *stream)
{
    int owned = !*line || gs__auto_disown(*line);
    long n = __real_getdelim(line, size, delimiter, stream);
    int (*own)(void *) = __atomic_load_n(&gs__auto_library.own, __ATOMIC_RELAXED);
    if (owned && *line && own)
        own(*line);
    return n;
}

GS__AUTO_HERE long __wrap_getline(char **line, GS__AUTO_SIZE *size, void *stream);
GS__AUTO_HERE long __wrap_getline(char **line, GS__AUTO_SIZE *size, void *stream)
{
    return __wrap_getdelim(line, size, '\n', stream);
}

/* What glibc's headers make of getline where they are optimised. */
GS__AUTO_HERE long __wrap___getdelim(char **line, GS__AUTO_SIZE *size, int delimiter, void *stream);
GS__AUTO_HERE long __wrap___getdelim(char **line, GS__AUTO_SIZE *size, int delimiter, void *stream)
{
    return __wrap_getdelim(line, size, delimiter, stream);
}

#endif
#endif
