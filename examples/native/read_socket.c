/* read_socket.c: three ways to wait for a socket in a C task that can be stopped, for read_socket.py.
 *
 * The best is to let the task wait: gs_wait_fd parks, and takes no thread. Code that has its own poll(2)
 * is given one descriptor more, gs_stop_fd. Code that sits in read(2) has its socket shut down from under
 * it, by gs_on_cancel. */
#include <pygostop.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Sends what came on to the channel; the end of the file closes that. */
static int pass_on(gs_call *call, gs_chan *out, const char *data, ssize_t size)
{
    if (size > 0)
        return gs_send_bytes(call, out, data, (size_t)size);
    if (size < 0)
        return gs_fail(call, errno, "%s", strerror(errno));
    return gs_close(call, out);
}

GS_TASK(read_parked)
{
    int fd = (int)gs_arg_int(call, 0);
    gs_chan *out = gs_arg_chan(call, 1, GS_BYTES);
    char data[4096];
    for (;;) {
        GS_TRY(gs_wait_fd(call, fd, POLLIN, GS_FOREVER));
        ssize_t size = recv(fd, data, sizeof data, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN)
            continue; /* another reader was quicker */
        GS_TRY(pass_on(call, out, data, size));
        if (size == 0)
            return GS_OK;
    }
}

/* As a library might: it knows nothing of pygostop but a descriptor that says when to stop. The size of
 * what came; -1 with EINTR when it was told to stop. */
static ssize_t poll_and_read(int fd, int stop_fd, char *data, size_t size)
{
    struct pollfd fds[2] = {{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return -1;
    if (!fds[0].revents) {
        errno = EINTR;
        return -1;
    }
    return recv(fd, data, size, 0);
}

GS_TASK(read_polled)
{
    int fd = (int)gs_arg_int(call, 0), stop_fd = gs_stop_fd(call);
    gs_chan *out = gs_arg_chan(call, 1, GS_BYTES);
    char data[4096];
    GS_TRY(stop_fd);
    for (;;) {
        gs_block_begin(call);
        ssize_t size = poll_and_read(fd, stop_fd, data, sizeof data);
        gs_block_end(call);
        GS_CHECKPOINT(call);
        GS_TRY(pass_on(call, out, data, size));
        if (size == 0)
            return GS_OK;
    }
}

/* On the thread that asks the task to stop. */
static void shut_down(void *fd)
{
    shutdown(*(int *)fd, SHUT_RDWR);
}

GS_TASK(read_shut_down)
{
    int fd = (int)gs_arg_int(call, 0);
    gs_chan *out = gs_arg_chan(call, 1, GS_BYTES);
    char data[4096];
    int hook = gs_on_cancel(call, shut_down, &fd), code = GS_OK;
    GS_TRY(hook);
    for (ssize_t size = 1; code == GS_OK && size != 0;) {
        gs_block_begin(call);
        size = recv(fd, data, sizeof data, 0);
        gs_block_end(call);
        code = gs_checkpoint(call);
        if (code == GS_OK)
            code = pass_on(call, out, data, size);
    }
    gs_off_cancel(call, hook); /* it points into this frame */
    return code;
}

GS_EXPORT(GS_SIG(read_parked, "fd: int, out: SendChan[bytes]"),
          GS_SIG(read_polled, "fd: int, out: SendChan[bytes]"),
          GS_SIG(read_shut_down, "fd: int, out: SendChan[bytes]"));
