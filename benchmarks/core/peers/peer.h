/* peer.h: what the programs of other libraries share with corebench: rows that print lines of a key
 * and a number, one sample each.
 *
 * Usage: PROGRAM ROW SCALE SAMPLES. SCALE divides the number of repetitions. */
#ifndef PEER_H
#define PEER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct peer_row {
    const char *name;
    void (*run)(void);
} peer_row;

static long peer_scale;
static int peer_samples;

/* Where `ok` is false, ends the program: `what` was expected of this row. */
static void expect(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "expected %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    _Exit(1);
}

static long times(long n)
{
    return n / peer_scale > 0 ? n / peer_scale : 1;
}

static double clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void say(double value)
{
    printf("value %.6g\n", value);
}

/* body() gives its own time; once to warm up, then once a sample. */
static void timed(double (*body)(void))
{
    body();
    for (int i = 0; i < peer_samples; i++)
        say(body());
}

/* body(n) does n things; one of them is the sample. */
static void each(long n, void (*body)(long n))
{
    body(n);
    for (int i = 0; i < peer_samples; i++) {
        double start = clock_ns();
        body(n);
        say((clock_ns() - start) / (double)n);
    }
}

static long resident(void)
{
    long size, pages = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &size, &pages) != 2)
            pages = -1;
        fclose(file);
    }
    expect(pages >= 0, "/proc/self/statm, which tells the resident memory");
    return pages * sysconf(_SC_PAGESIZE);
}

static void (*peer_find(int argc, char **argv, const peer_row *rows))(void)
{
    if (argc != 4 || (peer_scale = atol(argv[2])) < 1 || (peer_samples = atoi(argv[3])) < 1) {
        fprintf(stderr, "usage: %s ROW SCALE SAMPLES\n", argv[0]);
        exit(2);
    }
    for (; rows->name; rows++)
        if (strcmp(rows->name, argv[1]) == 0)
            return rows->run;
    fprintf(stderr, "has no row %s\n", argv[1]);
    exit(2);
}

#endif
