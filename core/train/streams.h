/* Which purpose draws from which Philox stream. A stream serves one kind of draw only (core/base/philox.h); arms never
 * enter the counter, so arms that share a seed share prompts, noise and times. */
#ifndef DIPP_TRAIN_STREAMS_H
#define DIPP_TRAIN_STREAMS_H

typedef enum dipp_stream {
    DIPP_STREAM_GENERATOR_INIT = 1,
    DIPP_STREAM_REFERENCE_INIT = 2,
    DIPP_STREAM_TEXT_INIT = 3,
    DIPP_STREAM_REWARD_INIT = 4,        /* + index of the reward */
    DIPP_STREAM_GENERATOR_OVERLAY = 12, /* initial values of adapters */
    DIPP_STREAM_TA_OVERLAY = 13,
    DIPP_STREAM_PROMPT = 16, /* which prompt a sample of an iteration gets */
    DIPP_STREAM_Z = 17,
    DIPP_STREAM_TIME = 18,
    DIPP_STREAM_EPS = 19,
    DIPP_STREAM_CFG_TIME = 20, /* of a CFG term with noise of its own */
    DIPP_STREAM_CFG_EPS = 21,
    DIPP_STREAM_TA_PROMPT = 24,
    DIPP_STREAM_TA_Z = 25,
    DIPP_STREAM_TA_TIME = 26,
    DIPP_STREAM_TA_EPS = 27,
    DIPP_STREAM_DATA = 32,    /* scenes of pretraining */
    DIPP_STREAM_DROPOUT = 33, /* which prompts are dropped */
    DIPP_STREAM_DATA_TIME = 34,
    DIPP_STREAM_DATA_EPS = 35,
    DIPP_STREAM_ROUND_GENERATOR = 36, /* random rounding of what an update stores */
    DIPP_STREAM_ROUND_TA = 37,
    DIPP_STREAM_ROUND_REFERENCE = 38,
    DIPP_STREAM_ROUND_TEXT = 39,
    DIPP_STREAM_PAIRS = 40, /* which pair of preferences, or which captioned picture, a reward learns from */
    DIPP_STREAM_ROUND_REWARD = 41,
    DIPP_STREAM_EVALUATE_Z = 48, /* noise of evaluation pictures: the same for every arm, step and seed */
    DIPP_STREAM_SMOOTHING = 56,  /* + index of the reward: noise on x0 around which an opaque reward is asked */
    DIPP_STREAM_MULTI_STEP = 64  /* + index of the step of a generator of several steps */
} dipp_stream;

#endif
