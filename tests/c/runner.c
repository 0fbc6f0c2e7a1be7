/* runner.c: runs one test by name, or all, each in a process of its own with a time limit.
 *
 *   gostop-tests             all
 *   gostop-tests NAME ...    these; part of a name is enough where it is one of a kind
 *   gostop-tests --list      their names
 *   gostop-tests --here NAME without a process of its own, for a debugger */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct test {
    const char *name;
    void (*fn)(void);
    int seconds;
} tests[] = {
#define TEST_ENTRY(name, seconds) {#name, test_##name, seconds},
#include "test-list.h"
#undef TEST_ENTRY
};

enum { COUNT = sizeof tests / sizeof tests[0] };

static double seconds_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) + (double)(now.tv_nsec - from->tv_nsec) * 1e-9;
}

/* True where it passed. What it wrote is shown only if it did not. */
static bool run(const struct test *test)
{
    struct timespec begun;
    int limit = test->seconds * TEST_SLOW, status = 0;
    bool late = false;
    FILE *output = tmpfile();
    if (output == NULL) {
        perror("gostop-tests: tmpfile");
        exit(2);
    }
    clock_gettime(CLOCK_MONOTONIC, &begun);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("gostop-tests: fork");
        exit(2);
    }
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(output), STDERR_FILENO);
        setpgid(0, 0);
        test->fn();
        exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (seconds_since(&begun) > limit) {
            late = true;
            kill(-child, SIGKILL);
            waitpid(child, &status, 0);
            break;
        }
        usleep(500);
    }
    kill(-child, SIGKILL); /* what it forked and left */

    bool passed = !late && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%-4s %-52s %6.2f s", passed ? "ok" : "FAIL", test->name, seconds_since(&begun));
    if (late)
        printf("  not ended after %d s", limit);
    else if (WIFSIGNALED(status))
        printf("  %s", strsignal(WTERMSIG(status)));
    else if (!passed)
        printf("  exit status %d", WEXITSTATUS(status));
    putchar('\n');
    if (!passed) {
        char line[512];
        rewind(output);
        while (fgets(line, sizeof line, output) != NULL)
            printf("     | %s%s", line, strchr(line, '\n') ? "" : "\n");
    }
    fclose(output);
    fflush(stdout);
    return passed;
}

static const struct test *find(const char *name)
{
    const struct test *found = NULL;
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(tests[i].name, name) == 0)
            return &tests[i];
        if (strstr(tests[i].name, name) != NULL) {
            if (found != NULL) {
                fprintf(stderr, "gostop-tests: \"%s\" is part of %s and of %s\n", name, found->name,
                        tests[i].name);
                exit(2);
            }
            found = &tests[i];
        }
    }
    if (found == NULL) {
        fprintf(stderr, "gostop-tests: no test is named \"%s\"; --list names them\n", name);
        exit(2);
    }
    return found;
}

int main(int argc, char **argv)
{
    int failed = 0, n = argc > 1 ? argc - 1 : COUNT;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (int i = 0; i < COUNT; i++)
            puts(tests[i].name);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--here") == 0) {
        find(argv[2])->fn();
        return 0;
    }
    for (int i = 0; i < n; i++)
        failed += !run(argc > 1 ? find(argv[i + 1]) : &tests[i]);
    printf("%d passed, %d failed\n", n - failed, failed);
    return failed > 0;
}
