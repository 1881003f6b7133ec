/* The table of kernel families of the instruction set this file is compiled for. */
#include "backend/cpu/kernels/row.h"

#define DOOR(family) DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_##family)
#define TEXT_(x)     #x
#define TEXT(x)      TEXT_(x)

extern dipp_cpu_prepare DOOR(elementwise) DIPP_CPU_HIDDEN, DOOR(sum) DIPP_CPU_HIDDEN, DOOR(softmax) DIPP_CPU_HIDDEN,
    DOOR(norm) DIPP_CPU_HIDDEN, DOOR(attention) DIPP_CPU_HIDDEN, DOOR(optimizer) DIPP_CPU_HIDDEN,
    DOOR(lookup) DIPP_CPU_HIDDEN, DOOR(geglu) DIPP_CPU_HIDDEN, DOOR(group_norm) DIPP_CPU_HIDDEN;

const dipp_cpu_level DIPP_CPU_AT_LEVEL(dipp_cpu_level) = {
    .name = TEXT(DIPP_CPU_LEVEL),
    .elementwise = DOOR(elementwise),
    .sum = DOOR(sum),
    .softmax = DOOR(softmax),
    .norm = DOOR(norm),
    .attention = DOOR(attention),
    .optimizer = DOOR(optimizer),
    .lookup = DOOR(lookup),
    .geglu = DOOR(geglu),
    .group_norm = DOOR(group_norm),
};
