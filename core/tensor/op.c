#include "tensor/op.h"

const dipp_op_info dipp_op_infos[DIPP_OP_COUNT] = {
#define DIPP_OP_INFO(upper, text, outputs) [DIPP_OP_##upper] = {text, outputs},
    DIPP_OP_TABLE(DIPP_OP_INFO)
#undef DIPP_OP_INFO
};
