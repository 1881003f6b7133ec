/* A module that is what it says, for test_module: the null back-end behind a door of its own. */
#include "backend/module.h"

DIPP_BACKEND_MODULE(dipp_null_backend_create);
