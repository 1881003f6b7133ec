/* Stands in for label_server.c where libmicrohttpd was not there when dipp was built. */
#include "cli/label_server.h"

dipp_status cli_label_serve(const cli_label_server_options *options, dipp_error *error)
{
    return dipp_fail(
        error, DIPP_E_UNSUPPORTED,
        "this dipp was built without its labelling page: install libmicrohttpd 0.9.75 or newer "
        "(libmicrohttpd-dev) and build again (meson setup --reconfigure -Dlabel_page=enabled). Votes can be "
        "written with --export all the same");
}
