#include "cli/stop.h"

#include <string.h>

volatile sig_atomic_t cli_stop = 0;

static void stop(int number)
{
    if (cli_stop < 100)
        cli_stop = cli_stop + 1;
}

void cli_catch_stop(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void cli_ignore_write_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}
