/* curl_get.c: a download as a C task that can be stopped, two ways, for curl_get.py. Link with curl.
 *
 * libcurl calls a progress function while it transfers, and at least once a second while nothing comes;
 * where that says no, the transfer ends with CURLE_ABORTED_BY_CALLBACK. Who does not want to wait for up to
 * a second uses its other interface, and has it sleep on one descriptor more: gs_stop_fd. */
#include <pygostop.h>

#include <curl/curl.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What has come so far. */
typedef struct body {
    gs_call *call;
    char *data;
    size_t size, room;
} body;

static void free_body(void *p)
{
    free(((body *)p)->data);
    free(p);
}

static size_t keep(char *data, size_t one, size_t n, void *p)
{
    body *b = (body *)p;
    (void)one; /* is 1 */
    if (b->size + n > b->room) {
        size_t room = 2 * (b->size + n);
        char *more = (char *)realloc(b->data, room);
        if (!more)
            return 0; /* CURLE_WRITE_ERROR */
        b->data = more;
        b->room = room;
    }
    memcpy(b->data + b->size, data, n);
    b->size += n;
    return n;
}

/* Called from within a transfer: says how far it is, and looks. The task may give way here, and go on on
 * another thread, which libcurl does not mind. */
static int progress(void *p, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t sent)
{
    body *b = (body *)p;
    (void)up, (void)sent;
    gs_progress(b->call, now, total);
    return gs_cancelled(b->call);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void clean_up_easy(void *easy)
{
    curl_easy_cleanup(easy);
}

/* The transfer of argument 0, ready to go; it and its body end with the task. NULL: no memory. */
static CURL *prepare(gs_call *call, body **b)
{
    const char *url = gs_arg_str(call, 0, NULL);
    pthread_once(&once, init);
    if (!(*b = (body *)calloc(1, sizeof **b)))
        return NULL;
    if (gs_defer(call, free_body, *b) != GS_OK) {
        free(*b);
        return NULL;
    }
    CURL *easy = curl_easy_init();
    if (easy && gs_defer(call, clean_up_easy, easy) != GS_OK) {
        curl_easy_cleanup(easy);
        return NULL;
    }
    if (!easy)
        return NULL;
    (*b)->call = call;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L); /* signals are not for workers */
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, *b);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, *b);
    return easy;
}

static int finish(gs_call *call, const body *b, CURLcode code)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return GS_ECANCELED;
    if (code != CURLE_OK)
        return gs_fail(call, code, "%s", curl_easy_strerror(code));
    return gs_return_bytes(call, b->data, b->size);
}

/* The body, as bytes. Stops when libcurl looks next, which may be a second from now. */
GS_TASK(get)
{
    body *b;
    CURL *easy = prepare(call, &b);
    if (!easy)
        return GS_ENOMEM;
    gs_block_begin(call); /* it sleeps in poll */
    CURLcode code = curl_easy_perform(easy);
    gs_block_end(call);
    return finish(call, b, code);
}

static void clean_up_multi(void *multi)
{
    curl_multi_cleanup((CURLM *)multi);
}

/* The same; stops at once. */
GS_TASK(get_at_once)
{
    body *b;
    CURL *easy = prepare(call, &b);
    CURLM *multi = easy ? curl_multi_init() : NULL;
    if (multi && gs_defer(call, clean_up_multi, multi) != GS_OK) {
        curl_multi_cleanup(multi);
        return GS_ENOMEM;
    }
    if (!multi || curl_multi_add_handle(multi, easy) != CURLM_OK)
        return GS_ENOMEM;
    int fd = gs_stop_fd(call);
    GS_TRY(fd);
    struct curl_waitfd stop = {fd, CURL_WAIT_POLLIN, 0};
    int running = 1, left, code = GS_OK;
    for (;;) {
        if (curl_multi_perform(multi, &running) != CURLM_OK || !running)
            break;
        gs_block_begin(call);
        curl_multi_poll(multi, &stop, 1, 1000, NULL);
        gs_block_end(call);
        if ((code = gs_checkpoint(call)) != GS_OK)
            break;
    }
    CURLMsg *said = curl_multi_info_read(multi, &left);
    CURLcode result = said && said->msg == CURLMSG_DONE ? said->data.result : CURLE_FAILED_INIT;
    curl_multi_remove_handle(multi, easy);
    return code != GS_OK ? code : finish(call, b, result);
}

GS_EXPORT(GS_SIG(get, "url: str"), GS_SIG(get_at_once, "url: str"));
