#include "tensor/program_internal.h"

#include "base/clock.h"
#include "base/memory.h"

struct dipp_executable {
    dipp_plan *plan;
    const dipp_plan_program *record;
    const dipp_program *program;
    dipp_call *calls[DIPP_MAX_SEGMENTS];
    void *memory[DIPP_MAX_SEGMENTS]; /* what a back-end that remembers lists keeps of each */
    void **args;                     /* all argument lists, one block */
};

static void *parameter_memory(const dipp_executable *executable, const dipp_value *value, const dipp_binding *binding)
{
    const dipp_parameter_set *set = binding->set;
    dipp_block block = value->block;
    if (value->kind == DIPP_VALUE_GRADIENT)
        block = DIPP_BLOCK_GRADIENT;
    else if (value->kind == DIPP_VALUE_PARAMETER)
        block = value->dtype == DIPP_WIDE ? DIPP_BLOCK_MASTER : DIPP_BLOCK_COMPUTE;
    if (block == DIPP_BLOCK_EMA)
        return binding->ema ? binding->ema->blocks[DIPP_BLOCK_MASTER] : NULL;
    if (value->kind == DIPP_VALUE_BLOCK)
        return set->blocks[block];
    const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, value->entry);
    size_t size = executable->plan->backend->element_size[block == DIPP_BLOCK_COMPUTE ? DIPP_COMPUTE : DIPP_WIDE];
    return set->blocks[block] ? (char *)set->blocks[block] + (size_t)entry->offset * size : NULL;
}

static void *value_memory(const dipp_executable *executable, uint32_t id, const dipp_binding *bindings)
{
    const dipp_plan_program *record = executable->record;
    const dipp_graph *g = record->program->graph;
    if (!id)
        return NULL;
    id = dipp_storage_of(g, id);
    const dipp_value *value = &g->values[id];
    switch (value->kind) {
    case DIPP_VALUE_CONSTANT: return (char *)record->constants + record->constant_offsets[id];
    case DIPP_VALUE_PARAMETER:
    case DIPP_VALUE_GRADIENT:
    case DIPP_VALUE_BLOCK: /* a value with a name has storage of its own, so named() needs no bindings */
        return bindings ? parameter_memory(executable, value, &bindings[value->slot - 1]) : NULL;
    case DIPP_VALUE_INPUT:
    case DIPP_VALUE_COMPUTED: break;
    }
    int32_t item = record->value_items[id];
    if (record->value_buffers[id] >= 0)
        item = (int32_t)executable->plan->buffers[record->value_buffers[id]].item;
    return item < 0 ? NULL : executable->plan->arena + executable->plan->items[item].offset;
}

/* Whether the sets hold what the recording reads of them, in the form in which it reads it. */
static dipp_status check_formats(const dipp_program *program, const dipp_binding *bindings, dipp_error *error)
{
    const dipp_graph *g = program->graph;
    for (size_t id = 1; id < g->value_count; id++) {
        const dipp_value *value = &g->values[id];
        const dipp_parameter_set *set = value->slot ? bindings[value->slot - 1].set : NULL;
        if (!set || !program->read[id])
            continue;
        if (value->kind == DIPP_VALUE_PARAMETER && value->dtype == DIPP_WIDE &&
            !dipp_parameter_set_has_master(set, value->entry))
            return dipp_fail(error, DIPP_E_UNSUPPORTED,
                             "program \"%s\" reads %s of %s as wide, and that set keeps it in bf16; declare it with "
                             "DIPP_PARAM_WIDE",
                             g->name, dipp_layout_entry_at(set->layout, value->entry)->name, set->name);
        size_t words = value->kind == DIPP_VALUE_BLOCK ? dipp_parameter_set_words(set, value->block) : 0;
        if (value->kind == DIPP_VALUE_BLOCK && words != (value->dtype == DIPP_INT32 ? (size_t)value->shape.dims[0] : 0))
            return dipp_fail(error, DIPP_E_INTERNAL, "program \"%s\": %s keeps its moments in another format", g->name,
                             set->name);
    }
    return DIPP_OK;
}

static dipp_status check_bindings(const dipp_program *program, const dipp_binding *bindings, uint32_t count,
                                  dipp_error *error)
{
    const dipp_graph *g = program->graph;
    if (count != g->slot_count - 1)
        return dipp_fail(error, DIPP_E_INTERNAL, "program \"%s\" has %zu parameter slots and %u were bound", g->name,
                         g->slot_count - 1, count);
    for (uint32_t i = 0; i < count; i++) {
        const dipp_slot *slot = &g->slots[i + 1];
        if (!bindings[i].set) {
            if (dipp_layout_count(slot->layout))
                return dipp_fail(error, DIPP_E_INTERNAL, "program \"%s\": slot %s is not bound", g->name, slot->name);
            continue;
        }
        if (bindings[i].set->layout != slot->layout)
            return dipp_fail(error, DIPP_E_INTERNAL, "program \"%s\": slot %s is bound to %s of another layout",
                             g->name, slot->name, bindings[i].set->name);
        if (slot->trainable && !bindings[i].set->trainable)
            return dipp_fail(error, DIPP_E_INTERNAL, "program \"%s\": slot %s trains, %s cannot", g->name, slot->name,
                             bindings[i].set->name);
    }
    return check_formats(program, bindings, error);
}

static void resolve(dipp_executable *executable, const dipp_binding *bindings)
{
    const dipp_program *program = executable->program;
    void **at = executable->args;
    for (uint32_t s = 0; s < program->segments; s++)
        for (size_t i = 0; i < program->counts[s]; i++) {
            const dipp_instruction *instruction = &program->instructions[s][i];
            const dipp_node *node = &program->graph->nodes[instruction->node];
            executable->calls[s][i] = (dipp_call){instruction->kernel.run, instruction->kernel.state, at};
            for (uint32_t k = 0; k < node->input_count; k++)
                *at++ = value_memory(executable, node->inputs[k], bindings);
            for (uint32_t k = 0; k < node->output_count; k++)
                *at++ = program->read[node->outputs[k]] ? value_memory(executable, node->outputs[k], bindings) : NULL;
            int32_t scratch = executable->record->scratch_items[s][i];
            *at++ = scratch < 0 ? NULL : executable->plan->arena + executable->plan->items[scratch].offset;
        }
}

dipp_status dipp_executable_create(dipp_plan *plan, dipp_program *program, const dipp_binding *bindings,
                                   uint32_t binding_count, dipp_executable **out, dipp_error *error)
{
    dipp_status status = check_bindings(program, bindings, binding_count, error);
    if (status != DIPP_OK)
        return status;
    const dipp_plan_program *record = dipp_plan_find(plan, program);
    if (!record || !plan->arena)
        return dipp_fail(error, DIPP_E_INTERNAL, "program \"%s\": its plan has no memory yet", program->graph->name);
    dipp_executable *executable = dipp_allocate_zeroed(1, sizeof *executable);
    size_t arguments = 1;
    bool good = executable != NULL;
    for (uint32_t s = 0; good && s < program->segments; s++) {
        good = (executable->calls[s] = dipp_allocate_zeroed(program->counts[s] + 1, sizeof(dipp_call))) != NULL;
        for (size_t i = 0; i < program->counts[s]; i++) {
            const dipp_node *node = &program->graph->nodes[program->instructions[s][i].node];
            arguments += node->input_count + node->output_count + 1;
        }
    }
    good = good && (executable->args = dipp_allocate_zeroed(arguments, sizeof *executable->args));
    if (!good) {
        dipp_executable_destroy(&executable);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to bind the program \"%s\"", program->graph->name);
    }
    executable->plan = plan;
    executable->record = record;
    executable->program = program;
    resolve(executable, bindings);
    *out = executable;
    return DIPP_OK;
}

void dipp_executable_destroy(dipp_executable **executable)
{
    if (!executable || !*executable)
        return;
    for (int s = 0; s < DIPP_MAX_SEGMENTS; s++) {
        if ((*executable)->memory[s])
            (*executable)->plan->backend->forget((*executable)->plan->backend, (*executable)->memory[s]);
        dipp_release((*executable)->calls[s]);
    }
    dipp_release((*executable)->args);
    dipp_release(*executable);
    *executable = NULL;
}

void dipp_execute(dipp_executable *executable, uint32_t segment)
{
    dipp_backend *backend = executable->plan->backend;
    const dipp_call *calls = executable->calls[segment];
    size_t count = executable->program->counts[segment];
    if (backend->begin)
        backend->begin(backend);
    if (backend->replay)
        backend->replay(backend, &executable->memory[segment], calls, count);
    else
        for (size_t i = 0; i < count; i++)
            calls[i].run(calls[i].state, calls[i].args);
    if (backend->end)
        backend->end(backend);
}

void dipp_execute_timed(dipp_executable *executable, uint32_t segment, dipp_ledger *ledger)
{
    dipp_backend *backend = executable->plan->backend;
    const dipp_program *program = executable->program;
    if (backend->begin)
        backend->begin(backend);
    for (size_t i = 0; i < program->counts[segment]; i++) {
        const dipp_instruction *instruction = &program->instructions[segment][i];
        dipp_op op = program->graph->nodes[instruction->node].op;
        uint64_t start = dipp_clock_monotonic_ns();
        executable->calls[segment][i].run(executable->calls[segment][i].state, executable->calls[segment][i].args);
        backend->synchronize(backend);
        ledger->seconds[op] += (double)(dipp_clock_monotonic_ns() - start) * 1e-9;
        ledger->flops[op] += instruction->flops;
        ledger->calls[op]++;
    }
    if (backend->end)
        backend->end(backend);
}

void dipp_execute_maybe_timed(dipp_executable *executable, uint32_t segment, dipp_ledger *ledger)
{
    if (ledger)
        dipp_execute_timed(executable, segment, ledger);
    else
        dipp_execute(executable, segment);
}

static dipp_status named(dipp_executable *executable, const char *name, size_t count, void **memory, dipp_dtype *dtype,
                         dipp_error *error)
{
    dipp_shape shape;
    dipp_status status = dipp_program_find(executable->program, name, dtype, &shape, error);
    if (status != DIPP_OK)
        return status;
    if ((size_t)dipp_shape_elements(&shape) != count)
        return dipp_fail(error, DIPP_E_INTERNAL, "\"%s\" of program \"%s\" has %lld elements, not %zu", name,
                         dipp_program_name(executable->program), (long long)dipp_shape_elements(&shape), count);
    *memory = value_memory(executable, dipp_program_value(executable->program, name), NULL);
    return DIPP_OK;
}

/* What an asynchronous back-end has to say for itself. */
static dipp_status backend_status(const dipp_executable *executable, dipp_error *error)
{
    dipp_backend *backend = executable->plan->backend;
    return backend->status ? backend->status(backend, error) : DIPP_OK;
}

dipp_status dipp_executable_write(dipp_executable *executable, const char *name, const void *host, dipp_host_type type,
                                  size_t count, dipp_error *error)
{
    void *memory = NULL;
    dipp_dtype dtype = DIPP_WIDE;
    dipp_status status = named(executable, name, count, &memory, &dtype, error);
    if (status != DIPP_OK)
        return status;
    executable->plan->backend->upload(executable->plan->backend, memory, dtype, host, type, count);
    return backend_status(executable, error);
}

dipp_status dipp_executable_read(dipp_executable *executable, const char *name, void *host, dipp_host_type type,
                                 size_t count, dipp_error *error)
{
    void *memory = NULL;
    dipp_dtype dtype = DIPP_WIDE;
    dipp_status status = named(executable, name, count, &memory, &dtype, error);
    if (status != DIPP_OK)
        return status;
    executable->plan->backend->download(executable->plan->backend, host, type, memory, dtype, count);
    return backend_status(executable, error);
}
