/* The tiny UNet of tests/fixtures/make_lora_fixture.py, frozen, with adapters as the trained slot of a replay. */
#ifndef DIPP_TEST_NN_LORA_NETWORK_H
#define DIPP_TEST_NN_LORA_NETWORK_H

#include "replay.h"

enum { LORA_N = 2, LORA_TEXT = 5, LORA_X = LORA_N * 3 * 8 * 6 };

/* Targets as lists: all layers of the network, and two kinds of them. */
dipp_lora_options lora_every_layer(uint32_t rank, double alpha);
dipp_lora_options lora_few_layers(uint32_t rank, double alpha);

/* Records the network with inputs x, t, caption, mask and output y, and with the gradients of sum(y probe) to x
 * ("gradient.x") and to A and B. lora NULL: the network alone, as the trained slot. Prepared for replay. */
void lora_network(replay *r, const dipp_lora_options *lora, const char *backend, const char *precision);
/* Writes the fixture's inputs and runs. */
void lora_run(replay *r);

#endif
