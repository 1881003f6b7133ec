#include "train/adapter_io.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <stdio.h>
#include <string.h>

static const char flat_prefix[] = "lora_unet_", metadata_key[] = "lora_adapter_metadata",
                  base_key[] = "dipp.base_sha256";

enum { NAME_BYTES = 512, CONFIG_BYTES = 1 << 20 };

/* ---- Reading ---- */

typedef enum part { PART_A = 0, PART_B, PART_ALPHA, PARTS } part;

typedef struct adapted_layer {
    char name[NAME_BYTES];
    const dipp_weight_tensor *parts[PARTS];
    double scale; /* alpha/rank */
    bool flat;    /* the name has '_' where it had dots, until it is looked for in a network */
} adapted_layer;

typedef struct adapter_file {
    dipp_weights *weights;
    adapted_layer *layers;
    size_t count, capacity;
    double alpha; /* of all layers that have none of their own; 0: their rank */
    dipp_text problems;
} adapter_file;

static void close_file(adapter_file *file)
{
    dipp_weights_destroy(&file->weights);
    dipp_release(file->layers);
    dipp_text_discard(&file->problems);
}

/* "unet.blocks.0.to_q.lora.down.weight" -> PART_A of "blocks.0.to_q", "lora_unet_blocks_0_to_q.lora_down.weight", which
 * kohya's scripts write, -> PART_A of "blocks_0_to_q", which is flat; false for other tensors. */
static bool part_of(const char *tensor, part *which, char layer[NAME_BYTES], bool *flat)
{
    static const struct {
        const char *end;
        part which;
    } ends[] = {{".lora_A.weight", PART_A},  {".lora_B.weight", PART_B},    {".lora.down.weight", PART_A},
                {".lora.up.weight", PART_B}, {".lora_down.weight", PART_A}, {".lora_up.weight", PART_B},
                {".alpha", PART_ALPHA}};
    static const char *const prefixes[] = {"base_model.model.", "unet.", "transformer."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(tensor, prefixes[i], strlen(prefixes[i])))
            tensor += strlen(prefixes[i]);
    *flat = !strncmp(tensor, flat_prefix, strlen(flat_prefix));
    if (*flat)
        tensor += strlen(flat_prefix);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t length = strlen(tensor), tail = strlen(ends[i].end);
        if (length <= tail || strcmp(tensor + length - tail, ends[i].end) || length - tail >= NAME_BYTES)
            continue;
        memcpy(layer, tensor, length - tail);
        layer[length - tail] = 0;
        *which = ends[i].which;
        return true;
    }
    return false;
}

static dipp_status add_tensor(adapter_file *file, const dipp_weight_tensor *tensor, dipp_error *error)
{
    char name[NAME_BYTES];
    part which;
    bool flat;
    size_t at = 0;
    if (!part_of(tensor->name, &which, name, &flat)) {
        dipp_text_printf(&file->problems, "\n  %s is no part of a low-rank adapter", tensor->name);
        return DIPP_OK;
    }
    while (at < file->count && (file->layers[at].flat != flat || strcmp(file->layers[at].name, name)))
        at++;
    if (at == file->count) {
        if (!dipp_grow((void **)&file->layers, &file->capacity, file->count + 1, sizeof *file->layers))
            return dipp_fail(error, DIPP_E_MEMORY, "no memory to read %s", tensor->file);
        file->layers[file->count++] = (adapted_layer){.flat = flat};
        memcpy(file->layers[at].name, name, sizeof name);
    }
    if (file->layers[at].parts[which])
        dipp_text_printf(&file->problems, "\n  %s is there under two names", tensor->name);
    file->layers[at].parts[which] = tensor;
    return DIPP_OK;
}

/* What follows "KEY": in JSON, whose keys may have a prefix ("unet.r"); NULL when there is none. */
static const char *json_value(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "%s\"", key);
    for (const char *at = strstr(json, quoted); at; at = strstr(at + 1, quoted)) {
        if (at == json || (at[-1] != '"' && at[-1] != '.'))
            continue;
        at += strlen(quoted);
        at += strspn(at, " \t\r\n");
        if (*at != ':')
            continue;
        at++;
        return at + strspn(at, " \t\r\n");
    }
    return NULL;
}

static dipp_status read_settings(adapter_file *file, const char *json, const char *where, dipp_error *error)
{
    char number[64] = "";
    const char *alpha = json_value(json, "lora_alpha"), *pattern = json_value(json, "alpha_pattern");
    const char *rooted = json_value(json, "use_rslora"), *weighed = json_value(json, "use_dora");
    if (pattern && *pattern == '{' && pattern[1 + strspn(pattern + 1, " \t\r\n")] != '}')
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: layers have alphas of their own (alpha_pattern), which dipp does not read", where);
    if ((rooted && !strncmp(rooted, "true", 4)) || (weighed && !strncmp(weighed, "true", 4)))
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: rsLoRA and DoRA are not plain low-rank adapters", where);
    if (!alpha)
        return DIPP_OK;
    size_t length = strspn(alpha, "+-.0123456789eE");
    memcpy(number, alpha, length < sizeof number ? length : sizeof number - 1);
    if (!dipp_parse_double(number, &file->alpha) || !(file->alpha > 0))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: lora_alpha is no positive number", where);
    return DIPP_OK;
}

/* PEFT keeps rank and alpha in a file beside the weights. */
static dipp_status read_settings_beside(adapter_file *file, const char *path, dipp_error *error)
{
    char *folder = dipp_path_folder(path), *config = folder ? dipp_path_join(folder, "adapter_config.json") : NULL;
    char *json = NULL;
    dipp_status status = config ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory to read %s", path);
    if (status == DIPP_OK && dipp_path_exists(config)) {
        status = dipp_file_read(config, CONFIG_BYTES, &json, NULL, error);
        if (status == DIPP_OK)
            status = read_settings(file, json, config, error);
    }
    dipp_release(json);
    dipp_release(config);
    dipp_release(folder);
    return status;
}

/* A layer needs A [rank, in...] and B [out, rank...], and may have an alpha of its own. */
static dipp_status finish_layer(adapter_file *file, adapted_layer *layer, dipp_error *error)
{
    const dipp_weight_tensor *a = layer->parts[PART_A], *b = layer->parts[PART_B], *own = layer->parts[PART_ALPHA];
    bool fits = a && b && a->rank >= 2 && b->rank >= 2 && a->shape[0] == b->shape[1] && a->shape[0] > 0 &&
                b->count == b->shape[0] * b->shape[1] && (!own || own->count == 1);
    if (!fits) {
        dipp_text_printf(&file->problems, "\n  %s has no A [rank, in] and B [out, rank] that fit", layer->name);
        return DIPP_OK;
    }
    float alpha = (float)(file->alpha > 0 ? file->alpha : (double)a->shape[0]);
    dipp_status status = own ? dipp_weight_tensor_to_f32(own, &alpha, 1, error) : DIPP_OK;
    layer->scale = (double)alpha / (double)a->shape[0];
    return status;
}

static dipp_status report_problems(const adapter_file *file, const char *path, dipp_error *error)
{
    if (file->problems.failed)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to read %s", path);
    if (!file->problems.length)
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_FORMAT, "%s is not an adapter of this network:%.1500s", path, file->problems.data);
}

static dipp_status open_file(const char *path, adapter_file *file, dipp_error *error)
{
    *file = (adapter_file){.alpha = 0};
    dipp_status status = dipp_weights_open(path, &file->weights, error);
    const char *json = status == DIPP_OK ? dipp_weights_metadata(file->weights, metadata_key) : NULL;
    if (status == DIPP_OK)
        status = json ? read_settings(file, json, path, error) : read_settings_beside(file, path, error);
    for (size_t i = 0; status == DIPP_OK && i < dipp_weights_count(file->weights); i++)
        status = add_tensor(file, dipp_weights_at(file->weights, i), error);
    for (size_t i = 0; i < file->count && status == DIPP_OK; i++)
        status = finish_layer(file, &file->layers[i], error);
    return status == DIPP_OK ? report_problems(file, path, error) : status;
}

/* The tensor as numbers, to be released; NULL after an error. */
static float *numbers_of(const dipp_weight_tensor *tensor, dipp_error *error)
{
    float *numbers = dipp_allocate(tensor->count * sizeof *numbers + 1);
    if (!numbers)
        dipp_fail(error, DIPP_E_MEMORY, "no memory to read %s", tensor->name);
    else if (dipp_weight_tensor_to_f32(tensor, numbers, tensor->count, error) != DIPP_OK) {
        dipp_release(numbers);
        numbers = NULL;
    }
    return numbers;
}

/* Whether flat is name, of which length bytes count, with '_' for its dots. */
static bool is_flattened(const char *flat, const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (flat[i] != (name[i] == '.' ? '_' : name[i]))
            return false;
    return !flat[length];
}

/* Which '_' of a flat name is a dot only the network's own names tell: the layout has them before `end`. */
static void restore_dots(adapter_file *file, const dipp_layout *layout, const char *end)
{
    for (size_t k = 0; k < file->count; k++) {
        adapted_layer *layer = &file->layers[k];
        for (uint32_t i = 0; layer->flat && i < dipp_layout_count(layout); i++) {
            const char *name = dipp_layout_entry_at(layout, i)->name;
            size_t tail = strlen(end), length = strlen(name) - (strlen(name) < tail ? strlen(name) : tail);
            if (strcmp(name + length, end) != 0 || !is_flattened(layer->name, name, length))
                continue;
            memcpy(layer->name, name, length);
            layer->flat = false;
            for (size_t other = 0; other < file->count; other++)
                if (other != k && !file->layers[other].flat && !strcmp(file->layers[other].name, layer->name))
                    dipp_text_printf(&file->problems, "\n  %s is there under two names", layer->name);
        }
    }
}

/* ---- Into an overlay ---- */

/* NAME.lora_A.weight or NAME.lora_B.weight of the overlay from the file, times factor. */
static dipp_status read_part(adapter_file *file, const adapted_layer *layer, part which, const dipp_layout *layout,
                             double factor, double *block, dipp_error *error)
{
    char name[NAME_BYTES + 32], have[DIPP_SHAPE_TEXT_BYTES], want[128];
    uint32_t index;
    const dipp_weight_tensor *tensor = layer->parts[which];
    snprintf(name, sizeof name, "%s.lora_%c.weight", layer->name, which == PART_A ? 'A' : 'B');
    if (!dipp_layout_find(layout, name, &index)) {
        dipp_text_printf(&file->problems, "\n  %s: the settings do not adapt this layer", layer->name);
        return DIPP_OK;
    }
    const dipp_layout_entry *entry = dipp_layout_entry_at(layout, index);
    if (tensor->count != (uint64_t)entry->elements || tensor->shape[0] != (uint64_t)entry->shape.dims[0]) {
        dipp_text_printf(&file->problems, "\n  %s has shape %s, expected %s", tensor->name,
                         dipp_weight_shape_text(tensor->rank, tensor->shape, have),
                         dipp_shape_text(&entry->shape, want, sizeof want));
        return DIPP_OK;
    }
    float *numbers = numbers_of(tensor, error);
    for (uint64_t i = 0; numbers && i < tensor->count; i++)
        block[(uint64_t)entry->offset + i] = factor * numbers[i];
    dipp_release(numbers);
    return numbers ? DIPP_OK : error->code;
}

/* Every layer that the overlay adapts must be in the file. */
static void find_missing(adapter_file *file, const dipp_layout *layout)
{
    if ((uint64_t)dipp_layout_count(layout) == 2 * file->count)
        return;
    for (uint32_t i = 0; i < dipp_layout_count(layout); i++) {
        const char *name = dipp_layout_entry_at(layout, i)->name;
        bool found = false;
        for (size_t k = 0; k < file->count && !found; k++) {
            size_t length = strlen(file->layers[k].name);
            found = !strncmp(name, file->layers[k].name, length) && !strncmp(name + length, ".lora_", 6);
        }
        if (!found)
            dipp_text_printf(&file->problems, "\n  %s is missing", name);
    }
}

dipp_status dipp_adapter_read(const char *path, dipp_parameter_set *overlay, const dipp_lora_options *lora,
                              dipp_error *error)
{
    adapter_file file;
    dipp_error own = {0};
    double *block = NULL, scale = lora->alpha / lora->rank;
    dipp_status status = open_file(path, &file, &own);
    restore_dots(&file, overlay->layout, ".lora_A.weight");
    if (status == DIPP_OK &&
        !(block = dipp_allocate_zeroed((size_t)dipp_layout_elements(overlay->layout) + 1, sizeof *block)))
        status = dipp_fail(&own, DIPP_E_MEMORY, "no memory to load %s", overlay->name);
    for (size_t i = 0; i < file.count && status == DIPP_OK; i++) {
        const adapted_layer *layer = &file.layers[i];
        status = read_part(&file, layer, PART_A, overlay->layout, 1.0, block, &own);
        if (status == DIPP_OK)
            status = read_part(&file, layer, PART_B, overlay->layout, layer->scale / scale, block, &own);
    }
    if (status == DIPP_OK) {
        find_missing(&file, overlay->layout);
        status = report_problems(&file, path, &own);
    }
    if (status == DIPP_OK) {
        dipp_parameter_set_write(overlay, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
        status = dipp_parameter_set_refresh(overlay, &own);
    }
    dipp_release(block);
    close_file(&file);
    if (status != DIPP_OK && error)
        *error = own;
    return status;
}

/* ---- Into the network's own weights ---- */

/* weight [out, in...] += scale B [out, rank] A [rank, in...]. */
static dipp_status merge_layer(adapter_file *file, const adapted_layer *layer, const dipp_layout *layout, double *block,
                               dipp_error *error)
{
    const dipp_weight_tensor *a = layer->parts[PART_A], *b = layer->parts[PART_B];
    char name[NAME_BYTES + 32];
    uint32_t index;
    snprintf(name, sizeof name, "%s.weight", layer->name);
    if (!dipp_layout_find(layout, name, &index)) {
        dipp_text_printf(&file->problems, "\n  %s: there is no such layer", layer->name);
        return DIPP_OK;
    }
    const dipp_layout_entry *entry = dipp_layout_entry_at(layout, index);
    uint64_t rank = a->shape[0], out = b->shape[0], in = a->count / rank;
    if (entry->shape.rank < 2 || out != (uint64_t)entry->shape.dims[0] || out * in != (uint64_t)entry->elements) {
        char want[128];
        dipp_text_printf(&file->problems, "\n  %s: A and B do not make %s", layer->name,
                         dipp_shape_text(&entry->shape, want, sizeof want));
        return DIPP_OK;
    }
    float *down = numbers_of(a, error), *up = down ? numbers_of(b, error) : NULL;
    for (uint64_t o = 0; up && o < out; o++)
        for (uint64_t r = 0; r < rank; r++) {
            double factor = layer->scale * up[o * rank + r];
            double *row = block + entry->offset + o * in;
            for (uint64_t i = 0; i < in; i++)
                row[i] += factor * down[r * in + i];
        }
    dipp_release(down);
    dipp_release(up);
    return up ? DIPP_OK : error->code;
}

dipp_status dipp_adapter_merge(const char *path, dipp_parameter_set *set, dipp_error *error)
{
    adapter_file file;
    dipp_error own = {0};
    double *block = NULL;
    dipp_status status = open_file(path, &file, &own);
    restore_dots(&file, set->layout, ".weight");
    if (status == DIPP_OK && !(block = dipp_allocate((size_t)dipp_layout_elements(set->layout) * sizeof *block + 1)))
        status = dipp_fail(&own, DIPP_E_MEMORY, "no memory to merge %s", path);
    if (status == DIPP_OK)
        dipp_parameter_set_read(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    for (size_t i = 0; i < file.count && status == DIPP_OK; i++)
        status = merge_layer(&file, &file.layers[i], set->layout, block, &own);
    if (status == DIPP_OK)
        status = report_problems(&file, path, &own);
    if (status == DIPP_OK) {
        dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
        status = dipp_parameter_set_refresh(set, &own);
    }
    dipp_release(block);
    close_file(&file);
    if (status != DIPP_OK && error)
        *error = own;
    return status;
}

dipp_status dipp_adapter_base(const char *path, char sha256[DIPP_SHA256_HEX_BYTES], dipp_error *error)
{
    dipp_weights *weights = NULL;
    dipp_status status = dipp_weights_open(path, &weights, error);
    const char *base = status == DIPP_OK ? dipp_weights_metadata(weights, base_key) : NULL;
    snprintf(sha256, DIPP_SHA256_HEX_BYTES, "%s", base ? base : "");
    dipp_weights_destroy(&weights);
    return status;
}

/* ---- Writing ---- */

/* diffusers keeps the adapters of a pipeline in one file and tells its networks apart by these words. */
static const char *component_of(const dipp_layout *base)
{
    static const char *const unets[] = {"down_blocks.", "mid_block.", "up_blocks."};
    for (uint32_t i = 0; i < dipp_layout_count(base); i++)
        for (size_t k = 0; k < sizeof unets / sizeof *unets; k++)
            if (!strncmp(dipp_layout_entry_at(base, i)->name, unets[k], strlen(unets[k])))
                return "unet";
    return "transformer";
}

/* PEFT's settings of the component, as diffusers stores them; layers are named in full. */
static char *settings_of(const dipp_layout *layout, const dipp_lora_options *lora, const char *component)
{
    static const char end[] = ".lora_A.weight";
    dipp_text json = {0};
    dipp_text_printf(&json, "{\"%s.alpha_pattern\": {}, \"%s.lora_alpha\": ", component, component);
    dipp_text_append_double(&json, lora->alpha);
    dipp_text_printf(&json, ", \"%s.r\": %u, \"%s.rank_pattern\": {}, \"%s.target_modules\": [", component, lora->rank,
                     component, component);
    bool first = true;
    for (uint32_t i = 0; i < dipp_layout_count(layout); i++) {
        const char *name = dipp_layout_entry_at(layout, i)->name;
        size_t length = strlen(name), tail = sizeof end - 1;
        if (length <= tail || strcmp(name + length - tail, end))
            continue;
        dipp_text_printf(&json, "%s\"%.*s\"", first ? "" : ", ", (int)(length - tail), name);
        first = false;
    }
    dipp_text_append(&json, "]}");
    return dipp_text_finish(&json);
}

dipp_status dipp_adapter_write(const char *path, const dipp_parameter_set *overlay, const dipp_lora_options *lora,
                               const dipp_layout *base, const char *const *metadata, dipp_error *error)
{
    const char *component = component_of(base);
    dipp_weights_writer *writer = NULL;
    float *block = dipp_allocate((size_t)dipp_layout_elements(overlay->layout) * sizeof *block + 1);
    char *settings = settings_of(overlay->layout, lora, component);
    dipp_status status = block && settings ? dipp_weights_writer_create(path, &writer, error)
                                           : dipp_fail(error, DIPP_E_MEMORY, "no memory to write %s", path);
    if (status == DIPP_OK)
        status = dipp_weights_writer_metadata(writer, metadata_key, settings, error);
    for (; status == DIPP_OK && metadata && *metadata; metadata += 2)
        status = dipp_weights_writer_metadata(writer, metadata[0], metadata[1], error);
    if (status == DIPP_OK)
        dipp_parameter_set_read(overlay, DIPP_BLOCK_MASTER, block, DIPP_HOST_F32);
    for (uint32_t i = 0; i < dipp_layout_count(overlay->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(overlay->layout, i);
        char name[NAME_BYTES + 32];
        uint64_t shape[DIPP_MAX_RANK];
        snprintf(name, sizeof name, "%s.%s", component, entry->name);
        for (uint32_t k = 0; k < entry->shape.rank; k++)
            shape[k] = (uint64_t)entry->shape.dims[k];
        status = dipp_weights_writer_add_f32(writer, name, DIPP_WEIGHT_F32, entry->shape.rank, shape,
                                             block + entry->offset, error);
    }
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, error);
    dipp_weights_writer_destroy(&writer);
    dipp_release(block);
    dipp_release(settings);
    return status;
}

/* ---- For programs that know kohya's names alone ---- */

/* A tensor of the file under another name, as f32 or bf16; *numbers live until the commit. */
static dipp_status add_flat(dipp_weights_writer *writer, const adapted_layer *layer, const char *end,
                            const dipp_weight_tensor *tensor, bool bf16, float **numbers, dipp_error *error)
{
    char name[NAME_BYTES + 64];
    snprintf(name, sizeof name, "%s%s%s", flat_prefix, layer->name, end);
    for (char *at = name + strlen(flat_prefix); *at && at < name + strlen(flat_prefix) + strlen(layer->name); at++)
        if (*at == '.')
            *at = '_';
    if (!(*numbers = numbers_of(tensor, error)))
        return error->code;
    return dipp_weights_writer_add_f32(writer, name, bf16 ? DIPP_WEIGHT_BF16 : DIPP_WEIGHT_F32, tensor->rank,
                                       tensor->shape, *numbers, error);
}

/* A, B and alpha of a layer; numbers[3]. */
static dipp_status add_flat_layer(dipp_weights_writer *writer, const adapted_layer *layer, bool bf16, float **numbers,
                                  dipp_error *error)
{
    const float value = (float)(layer->scale * (double)layer->parts[PART_A]->shape[0]);
    const dipp_weight_tensor alpha = {
        .name = "alpha", .dtype = DIPP_WEIGHT_F32, .count = 1, .bytes = sizeof value, .data = &value};
    dipp_status status =
        add_flat(writer, layer, ".lora_down.weight", layer->parts[PART_A], bf16, &numbers[PART_A], error);
    if (status == DIPP_OK)
        status = add_flat(writer, layer, ".lora_up.weight", layer->parts[PART_B], bf16, &numbers[PART_B], error);
    return status == DIPP_OK ? add_flat(writer, layer, ".alpha", &alpha, false, &numbers[PART_ALPHA], error) : status;
}

dipp_status dipp_adapter_write_flat(const char *from, const char *to, bool bf16, dipp_error *error)
{
    adapter_file file;
    dipp_error own = {0};
    dipp_weights_writer *writer = NULL;
    dipp_status status = open_file(from, &file, &own);
    float **numbers = dipp_allocate_zeroed(PARTS * file.count + 1, sizeof *numbers);
    if (status == DIPP_OK && !file.count)
        status = dipp_fail(&own, DIPP_E_FORMAT, "%s: no adapter is in it", from);
    if (status == DIPP_OK && !strncmp(dipp_weights_at(file.weights, 0)->name, "transformer.", 12))
        status = dipp_fail(&own, DIPP_E_UNSUPPORTED, "%s: kohya's names are those of Stable Diffusion's UNet", from);
    if (status == DIPP_OK)
        status = numbers ? dipp_weights_writer_create(to, &writer, &own)
                         : dipp_fail(&own, DIPP_E_MEMORY, "no memory to write %s", to);
    if (status == DIPP_OK && dipp_weights_metadata(file.weights, base_key))
        status = dipp_weights_writer_metadata(writer, base_key, dipp_weights_metadata(file.weights, base_key), &own);
    for (size_t i = 0; i < file.count && status == DIPP_OK; i++)
        status = add_flat_layer(writer, &file.layers[i], bf16, numbers + PARTS * i, &own);
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, &own);
    dipp_weights_writer_destroy(&writer);
    for (size_t i = 0; numbers && i < PARTS * file.count; i++)
        dipp_release(numbers[i]);
    dipp_release(numbers);
    close_file(&file);
    if (status != DIPP_OK && error)
        *error = own;
    return status;
}
