/* HTTP for the labelling page, by libmicrohttpd: who may ask, how much, and how answers are headed. One thread: the store
 * and the session are used between two looks at *stop. */
#include "cli/label_server.h"

#include "base/memory.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

enum { BODY_BYTES = 4096, CONNECTIONS = 64, IDLE_SECONDS = 30, CONNECTION_BYTES = 32768, LOOK_MS = 100 };

typedef struct server {
    const cli_label_server_options *options;
    uint16_t port;
} server;

/* A POST's body as it comes in; the first call for a request has none yet. */
typedef struct request {
    char body[BODY_BYTES];
    size_t bytes;
} request;

/* ---- Who may ask ---- */

/* Looks at every byte, whatever the first difference: how long it takes tells nothing of the token. */
static bool same_secret(const char *given, const char *secret)
{
    unsigned char difference = 0;
    for (size_t i = 0; secret[i]; i++) {
        difference |= (unsigned char)(*given ^ secret[i]);
        given += *given != 0;
    }
    return difference == 0;
}

/* "127.0.0.1:PORT" or "localhost:PORT" behind prefix: another name that leads here is somebody else's page at work. */
static bool is_own_name(const server *state, const char *text, const char *prefix)
{
    char own[64], local[64];
    snprintf(own, sizeof own, "%s127.0.0.1:%u", prefix, state->port);
    snprintf(local, sizeof local, "%slocalhost:%u", prefix, state->port);
    return text && (!strcmp(text, own) || !strcasecmp(text, local));
}

/* NULL when the request may pass; *rest is what stands behind the token. */
static const char *fault_of(const server *state, struct MHD_Connection *connection, const char *url, const char **rest)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    const char *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
    size_t length = strlen(state->options->token);
    if (!is_own_name(state, host, "") || (origin && !is_own_name(state, origin, "http://")))
        return "this page answers to 127.0.0.1 and localhost alone\n";
    url += *url == '/';
    if (!same_secret(url, state->options->token) || (url[length] && url[length] != '/'))
        return "the address must be the whole one that dipp label printed\n";
    *rest = url + length;
    return NULL;
}

/* ---- Answers ---- */

static enum MHD_Result send_reply(const server *state, struct MHD_Connection *connection, dipp_label_reply *reply)
{
    struct MHD_Response *response = NULL;
    char policy[320];
    if (reply->body)
        response = MHD_create_response_from_buffer(reply->bytes, reply->body, MHD_RESPMEM_MUST_COPY);
    dipp_release(reply->body);
    if (!response)
        return MHD_NO;
    snprintf(
        policy, sizeof policy,
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        state->options->nonce, state->options->nonce);
    const struct {
        const char *name, *value;
    } headers[] = {{MHD_HTTP_HEADER_CONTENT_TYPE, reply->type},
                   {MHD_HTTP_HEADER_CACHE_CONTROL, reply->keep ? "private, max-age=3600" : "no-store"},
                   {"Content-Security-Policy", policy},
                   {"X-Content-Type-Options", "nosniff"},
                   {"Referrer-Policy", "no-referrer"},
                   {"Cross-Origin-Resource-Policy", "same-origin"},
                   {MHD_HTTP_HEADER_ALLOW, reply->allow}};
    enum MHD_Result sent = MHD_YES;
    for (size_t i = 0; i < sizeof headers / sizeof *headers && sent == MHD_YES; i++)
        if (headers[i].value)
            sent = MHD_add_response_header(response, headers[i].name, headers[i].value);
    if (sent == MHD_YES)
        sent = MHD_queue_response(connection, reply->code, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result send_text(const server *state, struct MHD_Connection *connection, unsigned code,
                                 const char *text)
{
    dipp_label_reply reply = {
        .code = code, .type = "text/plain; charset=utf-8", .body = dipp_string_copy(text), .bytes = strlen(text)};
    return send_reply(state, connection, &reply);
}

/* "/TOKEN" without its slash: addresses on the page are relative to "/TOKEN/". */
static enum MHD_Result send_slash(const server *state, struct MHD_Connection *connection)
{
    char location[CLI_LABEL_TOKEN_BYTES + 2];
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    snprintf(location, sizeof location, "/%s/", state->options->token);
    enum MHD_Result sent = MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, location);
    if (sent == MHD_YES)
        sent = MHD_queue_response(connection, MHD_HTTP_MOVED_PERMANENTLY, response);
    MHD_destroy_response(response);
    return sent;
}

/* Called when the headers are there, for each piece of a body, and when all of it is there. */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *bytes, void **kept)
{
    const server *state = user;
    const char *rest = NULL, *fault = fault_of(state, connection, url, &rest);
    request *own = *kept;
    if (!own) {
        const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
        if (fault)
            return send_text(state, connection, MHD_HTTP_FORBIDDEN, fault);
        if (length && strtoull(length, NULL, 10) > BODY_BYTES)
            return send_text(state, connection, MHD_HTTP_CONTENT_TOO_LARGE, "too long\n");
        *kept = dipp_allocate_zeroed(1, sizeof *own);
        return *kept ? MHD_YES : MHD_NO;
    }
    if (fault || *bytes > BODY_BYTES - own->bytes) /* in pieces without a length, too long after all: hang up */
        return MHD_NO;
    if (*bytes) {
        memcpy(own->body + own->bytes, data, *bytes);
        own->bytes += *bytes;
        *bytes = 0;
        return MHD_YES;
    }
    if (!*rest)
        return send_slash(state, connection);
    dipp_label_reply reply =
        dipp_label_session_answer(state->options->session, method, rest + 1, own->body, own->bytes);
    return send_reply(state, connection, &reply);
}

static void finish_request(void *user, struct MHD_Connection *connection, void **kept,
                           enum MHD_RequestTerminationCode why)
{
    dipp_release(*kept);
    *kept = NULL;
}

/* ---- Serving ---- */

static struct MHD_Daemon *start(server *state, dipp_error *error)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(state->options->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    errno = 0;
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_NO_FLAG, state->options->port, NULL, NULL, handle, state, MHD_OPTION_SOCK_ADDR, &address,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                         MHD_OPTION_NOTIFY_COMPLETED, finish_request, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *port = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!port) {
        dipp_fail(error, DIPP_E_IO, "cannot listen on 127.0.0.1, port %u: %s", state->options->port,
                  errno ? strerror(errno) : "the server does not start");
        if (daemon)
            MHD_stop_daemon(daemon);
        return NULL;
    }
    state->port = port->port;
    return daemon;
}

/* Waits for something to do, a moment at most; signals end the wait. */
static dipp_status turn(struct MHD_Daemon *daemon, dipp_error *error)
{
    fd_set reading, writing, odd;
    MHD_socket highest = -1;
    MHD_UNSIGNED_LONG_LONG wait_ms = LOOK_MS;
    FD_ZERO(&reading);
    FD_ZERO(&writing);
    FD_ZERO(&odd);
    if (MHD_get_fdset(daemon, &reading, &writing, &odd, &highest) != MHD_YES)
        return dipp_fail(error, DIPP_E_IO, "the server has too many connections");
    if (MHD_get_timeout(daemon, &wait_ms) != MHD_YES || wait_ms > LOOK_MS)
        wait_ms = LOOK_MS;
    struct timeval wait = {.tv_usec = (suseconds_t)wait_ms * 1000};
    if (select(highest + 1, &reading, &writing, &odd, &wait) < 0) {
        if (errno != EINTR)
            return dipp_fail(error, DIPP_E_IO, "the server cannot wait: %s", strerror(errno));
        return DIPP_OK;
    }
    return MHD_run_from_select(daemon, &reading, &writing, &odd) == MHD_YES
               ? DIPP_OK
               : dipp_fail(error, DIPP_E_IO, "the server has stopped");
}

dipp_status cli_label_serve(const cli_label_server_options *options, dipp_error *error)
{
    server state = {.options = options};
    char url[96];
    dipp_status status = DIPP_OK;
    struct MHD_Daemon *daemon = start(&state, error);
    if (!daemon)
        return DIPP_E_IO;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/%s/", state.port, options->token);
    options->ready(options->user, url);
    while (status == DIPP_OK && !*options->stop)
        status = turn(daemon, error);
    MHD_stop_daemon(daemon);
    return status;
}
