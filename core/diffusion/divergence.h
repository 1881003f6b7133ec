/* The divergence part of DI++: from clean samples x0 to dL/dx0 (method: sections 1.2-1.4 and 3). Each term is returned by
 * itself so that it can be weighed and logged. Parameters of TA and reference get no gradient in any of them; the score
 * distances and SiD differentiate both networks to their inputs, the IKL does not. */
#ifndef DIPP_DIFFUSION_DIVERGENCE_H
#define DIPP_DIFFUSION_DIVERGENCE_H

#include "diffusion/denoise.h"

/* With f = alpha/sigma^2, so that s_ta - s_ref = f (D_ta - D_ref), and delta = D_ref - D_ta: */
typedef enum dipp_divergence_kind {
    DIPP_DIVERGENCE_IKL = 0,  /* dL/dx0 = w alpha (s_ta - s_ref) */
    DIPP_DIVERGENCE_SCORE_L2, /* of E w ||s_theta - s_ref||^2 at a frozen law of x_t: L = 2 w f^2 delta.(D_ta - x0) */
    DIPP_DIVERGENCE_SCORE_HUBER, /* of E w (sqrt(||u||^2 + c^2) - c), u = s_theta - s_ref or D_theta - D_ref:
                                    L = w g^2 delta.(D_ta - x0)/sqrt(g^2 ||delta||^2 + c^2), g = f or 1 */
    DIPP_DIVERGENCE_SID,         /* L = w f^2 delta.((D_ref - x0) - alpha_sid delta) */
    DIPP_DIVERGENCE_NONE
} dipp_divergence_kind;

/* A weight of each sample in place of w(t) and whatever turns denoisers into scores. */
typedef enum dipp_normalise {
    DIPP_NORMALISE_NONE = 0,
    DIPP_NORMALISE_DMD, /* 1/((mean|x0 - D_ref| + 1e-6) elements): DMD2's 0.5 mean (x0 - sg(x0 - G))^2 */
    DIPP_NORMALISE_SID  /* 1/max(mean|x0 - D_ref|, 1e-5) */
} dipp_normalise;

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
    dipp_normalise normalise;
    dipp_divergence_form form; /* IKL */
    double alpha;              /* SID */
    double huber;              /* SCORE_HUBER: c, above 0 */
    bool huber_in_data;        /* SCORE_HUBER: u is the difference of denoisers */
    bool inside;               /* distances and SID: the guided reference stands in the distance */
    bool guided;               /* cfg_omega may differ from 1: the reference is also evaluated at the null condition */
    bool cfg_apart;            /* the CFG term has noise and a level of its own; not with inside */
} dipp_divergence_spec;

typedef struct dipp_divergence_inputs {
    const dipp_network *ta, *reference;
    dipp_params ta_params, reference_params;
    dipp_condition condition, null_condition; /* null: of the same batch; used when guided */
    dipp_tensor x0, eps;                      /* [N, ...] wide */
    dipp_level level, ta_level;               /* the same alpha and sigma; t as each network wants it */
    dipp_tensor weight;                       /* [N]: w(t) of each sample, times what the batch mean asks for */
    dipp_tensor omega;                        /* scalar; used when guided */
    dipp_tensor cfg_weight;                   /* [N]: as weight, of the CFG term; used when guided and not inside */
    dipp_tensor cfg_eps;                      /* [N, ...] wide; used when cfg_apart */
    dipp_level cfg_level;                     /* used when cfg_apart */
} dipp_divergence_inputs;

typedef struct dipp_divergence_terms {
    dipp_tensor divergence;    /* dL/dx0 of the divergence to the unguided reference, [N, ...] wide */
    dipp_tensor cfg;           /* dL/dx0 of -(omega - 1) r_cfg, or, inside, what guidance adds; none when not guided */
    dipp_tensor squared_score; /* [N]: ||s_ta - s_ref(.|c)||^2, for the IKL itself */
    dipp_tensor squared_score_null; /* [N]: ||s_ta - s_ref(.|null)||^2; none when not guided */
} dipp_divergence_terms;

/* ikl score_l2 score_huber sid none; and dmd, which is the IKL normalised as in DMD. */
bool dipp_divergence_by_name(const char *name, dipp_divergence_kind *kind, dipp_normalise *normalise);
bool dipp_normalise_by_name(const char *name, dipp_normalise *out);  /* none dmd sid */
bool dipp_form_by_name(const char *name, dipp_divergence_form *out); /* score data eps v flow */

/* DIPP_E_INVALID where parts of a specification contradict each other, saying what to do. */
dipp_status dipp_divergence_check(const dipp_divergence_spec *spec, dipp_error *error);

dipp_divergence_terms dipp_record_divergence(dipp_graph *g, const dipp_divergence_spec *spec,
                                             const dipp_divergence_inputs *in);

#endif
