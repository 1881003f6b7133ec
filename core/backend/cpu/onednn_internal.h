/* oneDNN 2.6 by its C API (operation descriptors; 3.0 removed them). Everything that knows dnnl names includes this. */
#ifndef DIPP_BACKEND_CPU_ONEDNN_INTERNAL_H
#define DIPP_BACKEND_CPU_ONEDNN_INTERNAL_H

#include "backend/cpu/onednn.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_version.h>

#if DNNL_VERSION_MAJOR != 2
#error "core/backend/cpu/onednn*.c are written for oneDNN 2.x; build with -Dcpu_backend=disabled or install 2.6"
#endif

struct dipp_cpu_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dipp_cpu_matmul *matmuls;
    dipp_cpu_convolution *convolutions;
};

dipp_status dipp_cpu_onednn_fail(dipp_error *error, dnnl_status_t status, const char *what) DIPP_CPU_HIDDEN;
void dipp_cpu_convolutions_destroy(dipp_cpu_onednn *onednn) DIPP_CPU_HIDDEN;

static inline dnnl_data_type_t dipp_cpu_onednn_type(int32_t type)
{
    return type == DIPP_CPU_BF16 ? dnnl_bf16 : dnnl_f32;
}

#endif
