/* A module built against another vtable, for test_module. */
#include "backend/module.h"

static dipp_status create(const dipp_backend_options *options, dipp_backend **out, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_INTERNAL, "must never be called");
}

extern const dipp_backend_module dipp_backend_module_entry;
const dipp_backend_module dipp_backend_module_entry = {DIPP_BACKEND_MODULE_ABI, DIPP_OP_COUNT - 1,
                                                       sizeof(dipp_backend),    sizeof(dipp_node_view),
                                                       sizeof(dipp_attributes), create};
