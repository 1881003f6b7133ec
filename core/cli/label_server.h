/* The labelling page on the loopback interface, until it is told to stop. */
#ifndef DIPP_CLI_LABEL_SERVER_H
#define DIPP_CLI_LABEL_SERVER_H

#include "label/label_session.h"

#include <signal.h>
#include <stdint.h>

enum { CLI_LABEL_TOKEN_BYTES = 33 }; /* 32 hexadecimal digits */

typedef struct cli_label_server_options { /* everything borrowed */
    dipp_label_session *session;
    uint16_t port;     /* 0: any that is free */
    const char *token; /* the first part of every address; who does not know it gets nothing */
    const char *nonce; /* of the page's script */
    const volatile sig_atomic_t *stop;
    void (*ready)(void *user, const char *url); /* when it listens */
    void *user;
} cli_label_server_options;

/* Serves until *stop. Listens on 127.0.0.1 alone; a request whose Host is another name, whose Origin is another site or
 * whose address does not begin with the token is answered 403.
 * Errors: IO (the port is taken), UNSUPPORTED (built without libmicrohttpd: the text says what to install), MEMORY. */
dipp_status cli_label_serve(const cli_label_server_options *options, dipp_error *error);

#endif
