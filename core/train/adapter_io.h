/* Adapter files: the A and B of adapted layers as safetensors, under the names of PEFT and diffusers.
 *
 * Written: COMPONENT.LAYER.lora_A.weight and .lora_B.weight, COMPONENT being unet or transformer, and the rank and alpha in the
 * metadata entry "lora_adapter_metadata", as diffusers writes them. Read: the same with the prefix base_model.model., unet.,
 * transformer. or none, and lora.down/lora.up for lora_A/lora_B; and kohya's lora_unet_LAYER.lora_down/lora_up, where LAYER has '_' for
 * its dots. alpha comes from that metadata, from tensors LAYER.alpha, or from
 * PEFT's adapter_config.json beside the file; where none says it, it is the rank. Page: docs/lora.md. */
#ifndef DIPP_TRAIN_ADAPTER_IO_H
#define DIPP_TRAIN_ADAPTER_IO_H

#include "base/sha256.h"
#include "tensor/parameter_set.h"

/* Writes the overlay of a network of the layout base, as f32, with the metadata pairs (key, value, ..., NULL) besides.
 * [one thread at a time], as the others. DIPP_E_IO, DIPP_E_MEMORY. */
dipp_status dipp_adapter_write(const char *path, const dipp_parameter_set *overlay, const dipp_lora_options *lora,
                               const dipp_layout *base, const char *const *metadata, dipp_error *error);

/* Reads a file into an overlay. Its layers must be the overlay's, its ranks lora->rank; where its alpha is another, B
 * is scaled so that what is added stays the same. DIPP_E_FORMAT lists what does not fit. */
dipp_status dipp_adapter_read(const char *path, dipp_parameter_set *overlay, const dipp_lora_options *lora,
                              dipp_error *error);

/* Adds (alpha/rank) B A of every layer in the file to the network's own weights; ranks may be any. */
dipp_status dipp_adapter_merge(const char *path, dipp_parameter_set *set, dipp_error *error);

/* Writes the adapter in the file `from` as kohya's scripts name it, for programs that know no other names: A, B (bf16, or
 * f32) and alpha of each layer. DIPP_E_UNSUPPORTED for a transformer's adapter, which has no names of theirs. */
dipp_status dipp_adapter_write_flat(const char *from, const char *to, bool bf16, dipp_error *error);

/* The hash of the file that holds the frozen weights an adapter was trained over; "" where it does not say. */
dipp_status dipp_adapter_base(const char *path, char sha256[DIPP_SHA256_HEX_BYTES], dipp_error *error);

#endif
