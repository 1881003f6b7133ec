/* Guarded device memory for the operands of a case. Guards and poison are written as int32 -1, which every back-end
 * uploads as it is. */
#include "op_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t block_bytes(size_t bytes)
{
    return OP_GUARD + (bytes + OP_GUARD - 1) / OP_GUARD * OP_GUARD + OP_GUARD;
}

static void place_operand(dipp_backend *backend, op_placement *place, size_t bytes)
{
    uint32_t k = place->count++;
    place->bytes[k] = bytes;
    if (!bytes)
        return;
    place->blocks[k] = backend->allocate(backend, block_bytes(bytes));
    if (!place->blocks[k]) {
        fprintf(stderr, "op suite: back-end %s has no memory for %zu bytes\n", backend->name, block_bytes(bytes));
        exit(2);
    }
    place->args[k] = place->blocks[k] + OP_GUARD;
}

op_placement op_place(dipp_backend *backend, const op_case *c, const dipp_kernel *kernel)
{
    op_placement place = {0};
    for (uint32_t k = 0; k < c->view.input_count; k++)
        place_operand(backend, &place,
                      (size_t)op_elements(&c->view.inputs[k]) * backend->element_size[c->view.inputs[k].dtype]);
    for (uint32_t k = 0; k < c->view.output_count; k++)
        place_operand(backend, &place,
                      (size_t)op_elements(&c->view.outputs[k]) * backend->element_size[c->view.outputs[k].dtype]);
    place_operand(backend, &place, kernel->scratch_bytes);
    return place;
}

void op_place_load(dipp_backend *backend, const op_case *c, op_placement *place)
{
    for (uint32_t k = 0; k < place->count; k++) {
        if (!place->blocks[k])
            continue;
        size_t words = block_bytes(place->bytes[k]) / 4;
        int32_t *poison = malloc(words * 4);
        if (!poison)
            exit(2);
        memset(poison, 0xff, words * 4);
        backend->upload(backend, place->blocks[k], DIPP_INT32, poison, DIPP_HOST_I32, words);
        free(poison);
    }
    for (uint32_t k = 0; k < c->view.input_count; k++)
        if (c->inputs[k])
            backend->upload(backend, place->args[k], c->view.inputs[k].dtype, c->inputs[k], DIPP_HOST_F64,
                            (size_t)op_elements(&c->view.inputs[k]));
    for (uint32_t k = 0; k < c->view.output_count; k++)
        if (c->outputs[k])
            backend->upload(backend, place->args[c->view.input_count + k], c->view.outputs[k].dtype, c->outputs[k],
                            DIPP_HOST_F64, (size_t)op_elements(&c->view.outputs[k]));
}

void op_place_free(dipp_backend *backend, op_placement *place)
{
    for (uint32_t k = 0; k < place->count; k++)
        if (place->blocks[k])
            backend->release(backend, place->blocks[k]);
    *place = (op_placement){0};
}

void op_case_fit(const dipp_backend *backend, op_case *c)
{
    if (c->view.op == DIPP_OP_OPTIMIZER_STEP && backend->compute_is_wide && c->inputs[7]) {
        free(c->inputs[7]);
        c->inputs[7] = NULL;
        c->view.inputs[7] = (dipp_operand){0};
    }
}
