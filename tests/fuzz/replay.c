/* replay.c: stands in for libFuzzer where there is none: runs a target on the files, and on all files of the
 * directories, that it is given. Status 1 where there were none, 3 where the target found something. */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(1 << 16);
    if (!file || !data) {
        perror(path);
        exit(2);
    }
    size_t size = fread(data, 1, 1 << 16, file);
    fclose(file);
    uint8_t *exact = realloc(data, size ? size : 1); /* so that a sanitizer knows its end */
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int replay(const char *path)
{
    struct stat found;
    if (stat(path, &found) == 0 && !S_ISDIR(found.st_mode))
        return replay_file(path);
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort), replayed = 0;
    if (n < 0) {
        perror(path);
        exit(2);
    }
    for (int i = 0; i < n; i++) {
        char *inside;
        if (names[i]->d_name[0] != '.' && asprintf(&inside, "%s/%s", path, names[i]->d_name) > 0) {
            replayed += replay_file(inside);
            free(inside);
        }
        free(names[i]);
    }
    free(names);
    return replayed;
}

/* A status is what CTest can expect of a broken variant; a signal it takes for a crash. */
static void on_abort(int signal)
{
    (void)signal;
    _exit(3);
}

int main(int argc, char **argv)
{
    int replayed = 0;
    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++)
        replayed += replay(argv[i]);
    printf("replayed %d inputs\n", replayed);
    return replayed == 0;
}
