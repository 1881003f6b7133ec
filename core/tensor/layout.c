#include "tensor/layout.h"

#include "base/arena.h"
#include "base/memory.h"
#include "tensor/graph.h"

#include <stdio.h>
#include <string.h>

struct dipp_layout {
    dipp_arena *arena;
    const char *name;
    dipp_layout_entry *entries;
    size_t count, capacity;
    uint32_t *buckets; /* open hash of names: index + 1, 0 empty */
    size_t bucket_count;
    dipp_layout_range ranges[DIPP_LAYOUT_RANGES];
    uint32_t range_count;
    int64_t elements, wide_elements, parameters;
    bool sealed;
};

dipp_status dipp_layout_create(const char *name, dipp_layout **out, dipp_error *error)
{
    dipp_layout *layout = dipp_allocate_zeroed(1, sizeof *layout);
    if (layout)
        layout->arena = dipp_arena_create(0);
    if (!layout || !layout->arena || !(layout->name = dipp_arena_string(layout->arena, name))) {
        dipp_layout_destroy(&layout);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the parameter layout \"%s\"", name);
    }
    *out = layout;
    return DIPP_OK;
}

void dipp_layout_destroy(dipp_layout **layout)
{
    if (!layout || !*layout)
        return;
    dipp_arena_destroy(&(*layout)->arena);
    dipp_release((*layout)->entries);
    dipp_release((*layout)->buckets);
    dipp_release(*layout);
    *layout = NULL;
}

static uint64_t hash_name(const char *name)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 1099511628211u;
    return hash;
}

static bool find_name(const dipp_layout *layout, const char *name, uint32_t *index)
{
    if (!layout->bucket_count)
        return false;
    for (size_t at = hash_name(name) & (layout->bucket_count - 1);; at = (at + 1) & (layout->bucket_count - 1)) {
        if (!layout->buckets[at])
            return false;
        if (!strcmp(layout->entries[layout->buckets[at] - 1].name, name)) {
            *index = layout->buckets[at] - 1;
            return true;
        }
    }
}

static bool grow_buckets(dipp_layout *layout)
{
    size_t wanted = layout->bucket_count ? layout->bucket_count * 2 : 64;
    uint32_t *buckets = dipp_allocate_zeroed(wanted, sizeof *buckets);
    if (!buckets)
        return false;
    for (size_t i = 0; i < layout->count; i++) {
        size_t at = hash_name(layout->entries[i].name) & (wanted - 1);
        while (buckets[at])
            at = (at + 1) & (wanted - 1);
        buckets[at] = (uint32_t)i + 1;
    }
    dipp_release(layout->buckets);
    layout->buckets = buckets;
    layout->bucket_count = wanted;
    return true;
}

static const char *const *copy_aliases(dipp_arena *arena, const char *const *aliases, const char *prefix)
{
    size_t count = 0;
    while (aliases[count])
        count++;
    const char **copy = dipp_arena_allocate_zeroed(arena, count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        char full[512];
        snprintf(full, sizeof full, "%s%s", prefix, aliases[i]);
        if (!(copy[i] = dipp_arena_string(arena, full)))
            return NULL;
    }
    return copy;
}

dipp_status dipp_layout_declare(dipp_layout *layout, const char *name, dipp_shape shape,
                                const dipp_param_options *options, const char *prefix, uint32_t *index,
                                dipp_error *error)
{
    static const dipp_param_options zeros = {0};
    if (!options)
        options = &zeros;
    if (find_name(layout, name, index)) {
        const dipp_layout_entry *known = &layout->entries[*index];
        if (known->shape.rank == shape.rank &&
            !memcmp(known->shape.dims, shape.dims, shape.rank * sizeof shape.dims[0]))
            return DIPP_OK;
        char had[128], wants[128];
        dipp_shape_text(&known->shape, had, sizeof had);
        dipp_shape_text(&shape, wants, sizeof wants);
        return dipp_fail(error, DIPP_E_INVALID, "parameter \"%s\" of %s was declared %s and is now declared %s", name,
                         layout->name, had, wants);
    }
    if (layout->sealed)
        return dipp_fail(error, DIPP_E_INVALID,
                         "parameter \"%s\" is declared after the parameters of %s were laid out: every recording must "
                         "declare the same parameters",
                         name, layout->name);
    dipp_layout_entry entry = {.shape = shape, .init = options->init, .value = options->value, .flags = options->flags};
    entry.elements = dipp_shape_elements(&shape);
    if (shape.rank < 2)
        entry.flags |= DIPP_PARAM_NO_DECAY;
    bool fits = dipp_grow((void **)&layout->entries, &layout->capacity, layout->count + 1, sizeof *layout->entries) &&
                ((layout->count + 1) * 2 < layout->bucket_count || grow_buckets(layout));
    if (fits)
        fits = (entry.name = dipp_arena_string(layout->arena, name)) != NULL;
    if (fits && options->aliases)
        fits = (entry.aliases = copy_aliases(layout->arena, options->aliases, prefix)) != NULL;
    if (fits && options->init == DIPP_INIT_DATA) {
        double *data = dipp_arena_allocate(layout->arena, (size_t)entry.elements * sizeof *data);
        if ((fits = data != NULL))
            memcpy(data, options->data, (size_t)entry.elements * sizeof *data);
        entry.data = data;
    }
    if (!fits)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to declare parameter \"%s\"", name);
    size_t at = hash_name(name) & (layout->bucket_count - 1);
    while (layout->buckets[at])
        at = (at + 1) & (layout->bucket_count - 1);
    layout->entries[layout->count] = entry;
    *index = (uint32_t)layout->count++;
    layout->buckets[at] = *index + 1;
    layout->parameters += entry.elements;
    return DIPP_OK;
}

dipp_status dipp_layout_mark_frozen(dipp_layout *layout, uint32_t index, dipp_error *error)
{
    if (layout->sealed)
        return dipp_fail(error, DIPP_E_INVALID, "the parameters of %s are laid out already and cannot be frozen",
                         layout->name);
    layout->entries[index].flags |= DIPP_PARAM_FROZEN;
    return DIPP_OK;
}

/* Which of the six groups of a block an entry belongs to: wide, then compute; of each with decay, without, frozen. */
static int group_of(const dipp_layout_entry *entry)
{
    int kind = entry->flags & DIPP_PARAM_WIDE ? 0 : 3;
    if (entry->flags & DIPP_PARAM_FROZEN)
        return kind + 2;
    return kind + (entry->flags & DIPP_PARAM_NO_DECAY ? 1 : 0);
}

void dipp_layout_seal(dipp_layout *layout)
{
    if (layout->sealed)
        return;
    int64_t offset = 0;
    for (int group = 0; group < 6; group++) {
        int64_t start = offset;
        for (size_t i = 0; i < layout->count; i++) {
            if (group_of(&layout->entries[i]) != group)
                continue;
            layout->entries[i].offset = offset;
            offset += (layout->entries[i].elements + DIPP_LAYOUT_ALIGNMENT - 1) / DIPP_LAYOUT_ALIGNMENT *
                      DIPP_LAYOUT_ALIGNMENT;
        }
        if (group % 3 < 2 && offset > start)
            layout->ranges[layout->range_count++] =
                (dipp_layout_range){start, offset - start, group < 3, group % 3 == 0};
        if (group < 3)
            layout->wide_elements = offset;
    }
    layout->elements = offset;
    layout->sealed = true;
}

bool dipp_layout_sealed(const dipp_layout *layout)
{
    return layout->sealed;
}

const char *dipp_layout_name(const dipp_layout *layout)
{
    return layout->name;
}

uint32_t dipp_layout_count(const dipp_layout *layout)
{
    return (uint32_t)layout->count;
}

const dipp_layout_entry *dipp_layout_entry_at(const dipp_layout *layout, uint32_t index)
{
    return &layout->entries[index];
}

bool dipp_layout_find(const dipp_layout *layout, const char *name, uint32_t *index)
{
    if (find_name(layout, name, index))
        return true;
    for (size_t i = 0; i < layout->count; i++)
        for (const char *const *alias = layout->entries[i].aliases; alias && *alias; alias++)
            if (!strcmp(*alias, name)) {
                *index = (uint32_t)i;
                return true;
            }
    return false;
}

bool dipp_layouts_agree(const dipp_layout *a, const dipp_layout *b)
{
    for (size_t i = 0; i < a->count; i++) {
        uint32_t other;
        if (!dipp_layout_find(b, a->entries[i].name, &other) ||
            !dipp_same_shape(&a->entries[i].shape, &b->entries[other].shape))
            return false;
    }
    return true;
}

bool dipp_layouts_unite(const dipp_layout *a, const dipp_layout *b)
{
    for (size_t i = 0; i < a->count; i++) {
        uint32_t other;
        if (find_name(b, a->entries[i].name, &other) &&
            (!dipp_same_shape(&a->entries[i].shape, &b->entries[other].shape) ||
             (a->entries[i].flags ^ b->entries[other].flags) & DIPP_PARAM_WIDE))
            return false;
    }
    return true;
}

bool dipp_layout_holds(const dipp_layout *layout, const dipp_layout *other)
{
    uint32_t index;
    for (size_t i = 0; i < other->count; i++)
        if (!find_name(layout, other->entries[i].name, &index))
            return false;
    return dipp_layouts_unite(layout, other);
}

dipp_status dipp_layout_add(dipp_layout *layout, const dipp_layout *other, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < other->count && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = &other->entries[i];
        dipp_param_options options = {.struct_size = sizeof options,
                                      .init = entry->init,
                                      .value = entry->value,
                                      .data = entry->data,
                                      .flags = entry->flags,
                                      .aliases = entry->aliases};
        uint32_t index;
        status = dipp_layout_declare(layout, entry->name, entry->shape, &options, "", &index, error);
    }
    return status;
}

int64_t dipp_layout_elements(const dipp_layout *layout)
{
    return layout->elements;
}

int64_t dipp_layout_wide_elements(const dipp_layout *layout)
{
    return layout->wide_elements;
}

int64_t dipp_layout_parameters(const dipp_layout *layout)
{
    return layout->parameters;
}

uint32_t dipp_layout_ranges(const dipp_layout *layout, dipp_layout_range out[DIPP_LAYOUT_RANGES])
{
    memcpy(out, layout->ranges, layout->range_count * sizeof *out);
    return layout->range_count;
}
