/* Where everything lies during an iteration. Positions count the instructions of all steps in order; an item occupies its
 * bytes during its intervals; items that overlap in time must not overlap in memory. Greedy by size, lowest gap first. */
#include "tensor/program_internal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 256 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

dipp_status dipp_plan_create(dipp_backend *backend, dipp_plan **out, dipp_error *error)
{
    dipp_plan *plan = dipp_allocate_zeroed(1, sizeof *plan);
    if (!plan)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a plan");
    plan->backend = backend;
    *out = plan;
    return DIPP_OK;
}

void dipp_plan_destroy(dipp_plan **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_plan *plan = *pointer;
    for (size_t p = 0; p < plan->program_count; p++) {
        dipp_plan_program *record = &plan->programs[p];
        dipp_release(record->value_items);
        dipp_release(record->value_buffers);
        dipp_release(record->constant_offsets);
        for (int s = 0; s < DIPP_MAX_SEGMENTS; s++)
            dipp_release(record->scratch_items[s]);
        if (record->constants)
            plan->backend->release(plan->backend, record->constants);
    }
    for (size_t b = 0; b < plan->buffer_count; b++)
        dipp_release(plan->buffers[b].name);
    if (plan->arena)
        plan->backend->release(plan->backend, plan->arena);
    dipp_release(plan->programs);
    dipp_release(plan->steps);
    dipp_release(plan->buffers);
    dipp_release(plan->items);
    dipp_release(plan->intervals);
    dipp_release(plan);
    *pointer = NULL;
}

dipp_plan_program *dipp_plan_find(const dipp_plan *plan, const dipp_program *program)
{
    for (size_t p = 0; p < plan->program_count; p++)
        if (plan->programs[p].program == program)
            return &plan->programs[p];
    return NULL;
}

static dipp_status no_memory(dipp_error *error)
{
    return dipp_fail(error, DIPP_E_MEMORY, "no memory for the plan's tables");
}

static dipp_status add_program(dipp_plan *plan, dipp_program *program, dipp_error *error)
{
    if (dipp_plan_find(plan, program))
        return DIPP_OK;
    size_t values = program->graph->value_count;
    dipp_plan_program record = {.program = program,
                                .value_items = dipp_allocate(values * sizeof(int32_t)),
                                .value_buffers = dipp_allocate(values * sizeof(int32_t)),
                                .constant_offsets = dipp_allocate_zeroed(values, sizeof(size_t))};
    bool good = record.value_items && record.value_buffers && record.constant_offsets;
    for (uint32_t s = 0; good && s < program->segments; s++)
        good = (record.scratch_items[s] = dipp_allocate((program->counts[s] + 1) * sizeof(int32_t))) != NULL;
    good = good && dipp_grow((void **)&plan->programs, &plan->program_capacity, plan->program_count + 1,
                             sizeof *plan->programs);
    if (!good) {
        dipp_release(record.value_items);
        dipp_release(record.value_buffers);
        dipp_release(record.constant_offsets);
        for (int s = 0; s < DIPP_MAX_SEGMENTS; s++)
            dipp_release(record.scratch_items[s]);
        return no_memory(error);
    }
    for (size_t v = 0; v < values; v++)
        record.value_items[v] = record.value_buffers[v] = -1;
    plan->programs[plan->program_count++] = record;
    return DIPP_OK;
}

dipp_status dipp_plan_step(dipp_plan *plan, dipp_program *program, uint32_t segment, dipp_error *error)
{
    if (segment >= program->segments)
        return dipp_fail(error, DIPP_E_INVALID, "program \"%s\" has no segment %u", program->graph->name, segment);
    dipp_status status = add_program(plan, program, error);
    if (status != DIPP_OK)
        return status;
    if (!dipp_grow((void **)&plan->steps, &plan->step_capacity, plan->step_count + 1, sizeof *plan->steps))
        return no_memory(error);
    uint32_t index = (uint32_t)(dipp_plan_find(plan, program) - plan->programs);
    plan->steps[plan->step_count++] =
        (dipp_plan_step_record){.program = index, .segment = segment, .base = plan->positions};
    plan->positions += (uint32_t)program->counts[segment] + 1; /* +1: an empty step still has a place in time */
    return DIPP_OK;
}

dipp_status dipp_plan_buffer(dipp_plan *plan, const char *name, dipp_dtype dtype, dipp_shape shape, bool transient,
                             dipp_buffer *out, dipp_error *error)
{
    if (!dipp_grow((void **)&plan->buffers, &plan->buffer_capacity, plan->buffer_count + 1, sizeof *plan->buffers))
        return no_memory(error);
    char *copy = dipp_string_copy(name);
    if (!copy)
        return no_memory(error);
    plan->buffers[plan->buffer_count] =
        (dipp_plan_buffer_record){.name = copy, .dtype = dtype, .shape = shape, .transient = transient};
    *out = (dipp_buffer){(uint32_t)plan->buffer_count++};
    return DIPP_OK;
}

dipp_status dipp_plan_connect(dipp_plan *plan, dipp_program *program, const char *name, dipp_buffer buffer,
                              dipp_error *error)
{
    dipp_plan_program *record = dipp_plan_find(plan, program);
    if (!record)
        return dipp_fail(error, DIPP_E_INTERNAL, "connect \"%s\": program \"%s\" is not a step of the plan", name,
                         program->graph->name);
    uint32_t id = dipp_program_value(program, name);
    if (!id)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "program \"%s\" has no input or output \"%s\"", program->graph->name,
                         name);
    const dipp_value *value = &program->graph->values[id];
    const dipp_plan_buffer_record *target = &plan->buffers[buffer.id];
    if (value->dtype != target->dtype || !dipp_same_shape(&value->shape, &target->shape)) {
        char a[128], b[128];
        return dipp_fail(error, DIPP_E_INTERNAL, "\"%s\" of program \"%s\" is %s, the buffer \"%s\" is %s", name,
                         program->graph->name, dipp_shape_text(&value->shape, a, sizeof a), target->name,
                         dipp_shape_text(&target->shape, b, sizeof b));
    }
    record->value_buffers[id] = (int32_t)buffer.id;
    return DIPP_OK;
}

/* ---- Lifetimes ---- */

static bool add_item(dipp_plan *plan, size_t bytes, bool whole, int32_t *index)
{
    if (!dipp_grow((void **)&plan->items, &plan->item_capacity, plan->item_count + 1, sizeof *plan->items))
        return false;
    plan->items[plan->item_count] = (dipp_item){
        .bytes = aligned(bytes ? bytes : 1), .interval_start = (uint32_t)plan->interval_count, .whole = whole};
    *index = (int32_t)plan->item_count++;
    return true;
}

/* Intervals of an item are added right after the item, before the next one. */
static bool add_interval(dipp_plan *plan, int32_t item, uint32_t first, uint32_t last)
{
    if (!dipp_grow((void **)&plan->intervals, &plan->interval_capacity, plan->interval_count + 1,
                   sizeof *plan->intervals))
        return false;
    plan->intervals[plan->interval_count++] = (dipp_interval){first, last};
    plan->items[item].interval_count++;
    return true;
}

static size_t value_bytes(const dipp_plan *plan, const dipp_value *value)
{
    return (size_t)dipp_shape_elements(&value->shape) * plan->backend->element_size[value->dtype];
}

/* A computed value lives from its node to its last use, once for every step that runs its node; a use in a later segment
 * belongs to the latest step before it that computed the value. */
static bool computed_intervals(dipp_plan *plan, uint32_t p, uint32_t id, int32_t item)
{
    const dipp_program *program = plan->programs[p].program;
    const dipp_value *value = &program->graph->values[id];
    uint32_t home = program->graph->nodes[value->node].segment;
    const uint32_t *last = &program->last_use[(size_t)id * program->segments];
    uint32_t defined = 0; /* instruction index of the defining node */
    while (program->instructions[home][defined].node != value->node)
        defined++;
    for (size_t s = 0; s < plan->step_count; s++) {
        if (plan->steps[s].program != p || plan->steps[s].segment != home)
            continue;
        uint32_t first = plan->steps[s].base + defined, end = first;
        if (last[home] && plan->steps[s].base + last[home] - 1 > end)
            end = plan->steps[s].base + last[home] - 1;
        for (size_t later = s + 1; later < plan->step_count; later++) {
            if (plan->steps[later].program != p)
                continue;
            if (plan->steps[later].segment == home)
                break;
            if (last[plan->steps[later].segment])
                end = plan->steps[later].base + last[plan->steps[later].segment] - 1;
        }
        if (!add_interval(plan, item, first, end))
            return false;
    }
    return true;
}

static bool place_values(dipp_plan *plan, uint32_t p)
{
    dipp_plan_program *record = &plan->programs[p];
    dipp_graph *g = record->program->graph;
    for (uint32_t id = 1; id < g->value_count; id++) {
        const dipp_value *value = &g->values[id];
        bool wants_memory = (value->kind == DIPP_VALUE_INPUT || value->kind == DIPP_VALUE_COMPUTED) &&
                            !value->view_of && record->value_buffers[id] < 0;
        bool touched = false;
        for (uint32_t s = 0; s < record->program->segments; s++)
            touched = touched || record->program->last_use[(size_t)id * record->program->segments + s];
        if (!wants_memory || (!touched && value->kind == DIPP_VALUE_COMPUTED))
            continue;
        bool whole = value->kind == DIPP_VALUE_INPUT || value->is_output;
        if (!add_item(plan, value_bytes(plan, value), whole, &record->value_items[id]))
            return false;
        if (!whole && !computed_intervals(plan, p, id, record->value_items[id]))
            return false;
    }
    return true;
}

static bool place_scratch(dipp_plan *plan, uint32_t p)
{
    dipp_plan_program *record = &plan->programs[p];
    for (uint32_t s = 0; s < record->program->segments; s++)
        for (size_t i = 0; i < record->program->counts[s]; i++) {
            size_t bytes = record->program->instructions[s][i].kernel.scratch_bytes;
            record->scratch_items[s][i] = -1;
            if (!bytes)
                continue;
            if (!add_item(plan, bytes, false, &record->scratch_items[s][i]))
                return false;
            for (size_t k = 0; k < plan->step_count; k++)
                if (plan->steps[k].program == p && plan->steps[k].segment == s &&
                    !add_interval(plan, record->scratch_items[s][i], plan->steps[k].base + (uint32_t)i,
                                  plan->steps[k].base + (uint32_t)i))
                    return false;
        }
    return true;
}

/* A transient buffer lives from the first to the last step that touches it. */
static bool place_buffers(dipp_plan *plan)
{
    for (size_t b = 0; b < plan->buffer_count; b++) {
        dipp_plan_buffer_record *buffer = &plan->buffers[b];
        uint32_t first = UINT32_MAX, last = 0;
        for (size_t k = 0; k < plan->step_count; k++) {
            const dipp_plan_step_record *step = &plan->steps[k];
            const dipp_plan_program *record = &plan->programs[step->program];
            const dipp_program *program = record->program;
            for (uint32_t id = 1; id < program->graph->value_count; id++) {
                if (record->value_buffers[id] != (int32_t)b ||
                    !program->last_use[(size_t)id * program->segments + step->segment])
                    continue;
                if (step->base < first)
                    first = step->base;
                last = step->base + (uint32_t)program->counts[step->segment];
            }
        }
        bool whole = !buffer->transient || first > last;
        int32_t item;
        size_t bytes = (size_t)dipp_shape_elements(&buffer->shape) * plan->backend->element_size[buffer->dtype];
        if (!add_item(plan, bytes, whole, &item) || (!whole && !add_interval(plan, item, first, last)))
            return false;
        buffer->item = (uint32_t)item;
    }
    return true;
}

/* ---- Placement ---- */

static bool together(const dipp_plan *plan, const dipp_item *a, const dipp_item *b)
{
    if (a->whole || b->whole)
        return true;
    for (uint32_t i = 0; i < a->interval_count; i++)
        for (uint32_t k = 0; k < b->interval_count; k++) {
            const dipp_interval *x = &plan->intervals[a->interval_start + i];
            const dipp_interval *y = &plan->intervals[b->interval_start + k];
            if (x->first <= y->last && y->first <= x->last)
                return true;
        }
    return false;
}

typedef struct place {
    dipp_item *item;
    uint32_t index;
} place;

static int larger_first(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->item->whole != y->item->whole)
        return x->item->whole ? -1 : 1;
    if (x->item->bytes != y->item->bytes)
        return x->item->bytes > y->item->bytes ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int lower_first(const void *a, const void *b)
{
    const dipp_item *const *x = a, *const *y = b;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

static bool assign_offsets(dipp_plan *plan)
{
    place *order = dipp_allocate((plan->item_count + 1) * sizeof *order);
    dipp_item **near = dipp_allocate((plan->item_count + 1) * sizeof(dipp_item *));
    bool good = order && near;
    for (size_t i = 0; good && i < plan->item_count; i++)
        order[i] = (place){&plan->items[i], (uint32_t)i};
    if (good)
        qsort(order, plan->item_count, sizeof *order, larger_first);
    plan->arena_bytes = 0;
    for (size_t i = 0; good && i < plan->item_count; i++) {
        dipp_item *item = order[i].item;
        size_t count = 0, offset = 0;
        for (size_t k = 0; k < i; k++)
            if (together(plan, item, order[k].item))
                near[count++] = order[k].item;
        qsort(near, count, sizeof *near, lower_first);
        for (size_t k = 0; k < count && near[k]->offset < offset + item->bytes; k++)
            if (near[k]->offset + near[k]->bytes > offset)
                offset = near[k]->offset + near[k]->bytes;
        item->offset = offset;
        if (offset + item->bytes > plan->arena_bytes)
            plan->arena_bytes = offset + item->bytes;
    }
    dipp_release(order);
    dipp_release(near);
    return good;
}

static void constant_layout(dipp_plan *plan)
{
    for (size_t p = 0; p < plan->program_count; p++) {
        dipp_plan_program *record = &plan->programs[p];
        const dipp_graph *g = record->program->graph;
        for (size_t id = 1; id < g->value_count; id++)
            if (g->values[id].kind == DIPP_VALUE_CONSTANT) {
                record->constant_offsets[id] = record->constant_bytes;
                record->constant_bytes += aligned(value_bytes(plan, &g->values[id]));
            }
    }
}

static bool fill_report(dipp_plan *plan, dipp_plan_report *report)
{
    *report = (dipp_plan_report){.arena_bytes = plan->arena_bytes, .values = plan->item_count};
    for (size_t p = 0; p < plan->program_count; p++)
        report->constant_bytes += plan->programs[p].constant_bytes;
    size_t always = 0;
    int64_t *change = dipp_allocate_zeroed((size_t)plan->positions + 2, sizeof *change);
    if (!change)
        return false;
    for (size_t i = 0; i < plan->item_count; i++) {
        const dipp_item *item = &plan->items[i];
        report->temporaries_sum += item->bytes;
        if (item->whole)
            always += item->bytes;
        for (uint32_t k = 0; k < item->interval_count; k++) {
            change[plan->intervals[item->interval_start + k].first] += (int64_t)item->bytes;
            change[plan->intervals[item->interval_start + k].last + 1] -= (int64_t)item->bytes;
        }
    }
    int64_t alive = (int64_t)always;
    for (size_t s = 0; s < plan->step_count; s++) {
        const dipp_plan_step_record *step = &plan->steps[s];
        const dipp_program *program = plan->programs[step->program].program;
        for (size_t i = 0; i <= program->counts[step->segment]; i++) {
            alive += change[step->base + i];
            if ((size_t)alive > report->peak_bytes && i < program->counts[step->segment]) {
                const dipp_instruction *instruction = &program->instructions[step->segment][i];
                report->peak_bytes = (size_t)alive;
                report->peak_program = program->graph->name;
                report->peak_op = dipp_op_infos[program->graph->nodes[instruction->node].op].name;
                report->peak_step = s;
            }
        }
    }
    dipp_release(change);
    return true;
}

dipp_status dipp_plan_solve(dipp_plan *plan, size_t limit, dipp_plan_report *report, dipp_error *error)
{
    if (plan->solved)
        return dipp_fail(error, DIPP_E_INTERNAL, "the plan is solved already");
    bool good = true;
    for (uint32_t p = 0; good && p < plan->program_count; p++)
        good = place_values(plan, p) && place_scratch(plan, p);
    dipp_plan_report own;
    if (!report)
        report = &own;
    good = good && place_buffers(plan) && assign_offsets(plan);
    if (good)
        constant_layout(plan);
    if (!good || !fill_report(plan, report))
        return no_memory(error);
    plan->solved = true;
    if (limit && plan->arena_bytes > limit)
        return dipp_fail(error, DIPP_E_MEMORY,
                         "the iteration needs %.1f MiB for temporaries and %.1f MiB are allowed; the peak is at %s of "
                         "\"%s\". A smaller micro-batch needs proportionally less",
                         (double)plan->arena_bytes / 1048576.0, (double)limit / 1048576.0,
                         report->peak_op ? report->peak_op : "?", report->peak_program ? report->peak_program : "?");
    return DIPP_OK;
}

size_t dipp_plan_bytes(const dipp_plan_report *report)
{
    return (report->arena_bytes ? report->arena_bytes : ALIGNMENT) + report->constant_bytes;
}

dipp_status dipp_plan_allocate(dipp_plan *plan, dipp_error *error)
{
    dipp_backend *backend = plan->backend;
    plan->arena = backend->allocate(backend, plan->arena_bytes ? plan->arena_bytes : ALIGNMENT);
    if (!plan->arena)
        return dipp_backend_no_memory(backend, plan->arena_bytes, "the iteration's temporaries", error);
    for (size_t p = 0; p < plan->program_count; p++) {
        dipp_plan_program *record = &plan->programs[p];
        if (!record->constant_bytes)
            continue;
        if (!(record->constants = backend->allocate(backend, record->constant_bytes)))
            return dipp_backend_no_memory(backend, record->constant_bytes, "constants", error);
        const dipp_graph *g = record->program->graph;
        for (size_t id = 1; id < g->value_count; id++)
            if (g->values[id].kind == DIPP_VALUE_CONSTANT)
                backend->upload(backend, (char *)record->constants + record->constant_offsets[id], DIPP_WIDE,
                                g->values[id].data, DIPP_HOST_F64, (size_t)dipp_shape_elements(&g->values[id].shape));
    }
    return DIPP_OK;
}

static void *buffer_memory(const dipp_plan *plan, dipp_buffer buffer)
{
    return plan->arena + plan->items[plan->buffers[buffer.id].item].offset;
}

void dipp_buffer_write(dipp_plan *plan, dipp_buffer buffer, const void *host, dipp_host_type type, size_t count)
{
    plan->backend->upload(plan->backend, buffer_memory(plan, buffer), plan->buffers[buffer.id].dtype, host, type,
                          count);
}

void dipp_buffer_read(dipp_plan *plan, dipp_buffer buffer, void *host, dipp_host_type type, size_t count)
{
    plan->backend->download(plan->backend, host, type, buffer_memory(plan, buffer), plan->buffers[buffer.id].dtype,
                            count);
}

void dipp_buffer_clear(dipp_plan *plan, dipp_buffer buffer)
{
    const dipp_plan_buffer_record *record = &plan->buffers[buffer.id];
    plan->backend->zero(plan->backend, buffer_memory(plan, buffer),
                        (size_t)dipp_shape_elements(&record->shape) * plan->backend->element_size[record->dtype]);
}
