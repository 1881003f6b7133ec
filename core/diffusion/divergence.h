/* The divergence part of DI++: from clean samples x0 to dL/dx0, with TA and reference under stop-gradient
 * (method: section 1.2-1.4). Each term is returned by itself so that it can be weighed and logged. */
#ifndef DIPP_DIFFUSION_DIVERGENCE_H
#define DIPP_DIFFUSION_DIVERGENCE_H

#include "diffusion/denoise.h"

typedef enum dipp_divergence_kind {
    DIPP_DIVERGENCE_IKL = 0, /* G = w alpha (s_ta - s_ref) */
    DIPP_DIVERGENCE_DMD,     /* G = (D_ta - D_ref) / mean|x0 - D_ref| / elements, per sample; w is not used */
    DIPP_DIVERGENCE_NONE
} dipp_divergence_kind;

/* In which prediction the IKL's difference is taken. The gradient is the same (method: section 1.3). */
typedef enum dipp_divergence_form {
    DIPP_FORM_SCORE = 0,
    DIPP_FORM_DATA,
    DIPP_FORM_EPS,
    DIPP_FORM_V,
    DIPP_FORM_FLOW
} dipp_divergence_form;

typedef struct dipp_divergence_spec {
    dipp_divergence_kind kind;
    dipp_divergence_form form;
    bool guided; /* cfg_omega may differ from 1: the reference is also evaluated at the null condition */
} dipp_divergence_spec;

typedef struct dipp_divergence_inputs {
    const dipp_network *ta, *reference;
    dipp_params ta_params, reference_params;
    dipp_condition condition, null_condition; /* null: of the same batch; used when guided */
    dipp_tensor x0, eps;                      /* [N, ...] wide */
    dipp_level level, ta_level;               /* the same alpha and sigma; t as each network wants it */
    dipp_tensor weight;                       /* [N]: w(t) of each sample, times what the batch mean asks for */
    dipp_tensor omega;                        /* scalar; used when guided */
} dipp_divergence_inputs;

typedef struct dipp_divergence_terms {
    dipp_tensor ikl;                /* dL/dx0 of the IKL to the unguided reference, [N, ...] wide */
    dipp_tensor cfg;                /* dL/dx0 of -(omega - 1) r_cfg; none when not guided */
    dipp_tensor squared_score;      /* [N]: ||s_ta - s_ref(.|c)||^2, for the IKL itself */
    dipp_tensor squared_score_null; /* [N]: ||s_ta - s_ref(.|null)||^2; none when not guided */
} dipp_divergence_terms;

bool dipp_divergence_by_name(const char *name, dipp_divergence_kind *out); /* ikl dmd none */
bool dipp_form_by_name(const char *name, dipp_divergence_form *out);       /* score data eps v flow */

dipp_divergence_terms dipp_record_divergence(dipp_graph *g, const dipp_divergence_spec *spec,
                                             const dipp_divergence_inputs *in);

#endif
