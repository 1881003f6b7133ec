/* A reward that another program gives, in any language: pictures go to its standard input, scores come from its
 * standard output. The protocol is in docs/opaque-rewards.md; examples/ has one program in Python and one in shell.
 *
 * The program is started when it is first asked and killed when the reward is destroyed, or with this process. One that
 * ends, hangs or answers nonsense costs the run that asked it, and nothing else. */
#include "child.h"

#include <dipp/plugin.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pipe_reward {
    char **argv; /* NULL-terminated; the texts belong to the parameters */
    bool pictures;
    double timeout;
    child program;
} pipe_reward;

static const char *const sample_choices[] = {"pictures", "vectors", NULL};

static const dipp_parameter parameters[] = {
    {.key = "command",
     .type = DIPP_TYPE_STRING_LIST,
     .flags = DIPP_PARAMETER_REQUIRED,
     .help = "The program and its arguments, [python3, judge.py]; looked up on PATH, not given to a shell."},
    {.key = "script",
     .type = DIPP_TYPE_PATH,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help = "A file that becomes the last argument, and whose content tells runs apart."},
    {.key = "samples",
     .type = DIPP_TYPE_ENUM,
     .default_text = "pictures",
     .choices = sample_choices,
     .help = "What it scores: pictures as 8-bit RGB, or vectors as 32-bit floats."},
    {.key = "timeout",
     .type = DIPP_TYPE_FLOAT,
     .default_text = "60",
     .minimum = 0.001,
     .maximum = 86400,
     .unit = "seconds",
     .help = "Longest wait for an answer, the program's start included."},
};

static void destroy(void *self)
{
    pipe_reward *r = self;
    child_stop(&r->program);
    free(r->argv);
    free(r);
}

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    size_t count = 0;
    const char *const *command = dipp_parameters_strings(p, "command", &count);
    if (!count || !command[0][0])
        return dipp_fail(error, DIPP_E_INVALID, "command: expected a program and its arguments, found none");
    pipe_reward *r = calloc(1, sizeof *r);
    char **argv = calloc(count + 2, sizeof *argv);
    if (!r || !argv) {
        free(r);
        free(argv);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a pipe reward");
    }
    for (size_t i = 0; i < count; i++)
        argv[i] = (char *)command[i];
    if (dipp_parameters_has(p, "script"))
        argv[count] = (char *)dipp_parameters_string(p, "script");
    *r = (pipe_reward){.argv = argv,
                       .pictures = !strcmp(dipp_parameters_string(p, "samples"), "pictures"),
                       .timeout = dipp_parameters_float(p, "timeout")};
    *self = r;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    const pipe_reward *r = self;
    out->images = r->pictures;
    out->opaque = true;
    out->direction = 1;
    out->unit = "";
    return DIPP_OK;
}

/* ---- Request --------------------------------------------------------------------------------------------------- */

/* The header line without its end; NULL when a prompt is not UTF-8 or memory is short. Freed with free. */
static char *header_of(const pipe_reward *r, const dipp_shape *shape, const char *const *prompts, uint32_t count,
                       size_t bytes)
{
    json_t *texts = json_array();
    for (uint32_t i = 0; i < count; i++)
        if (json_array_append_new(texts, json_string(prompts[i]))) {
            json_decref(texts);
            return NULL;
        }
    json_t *header =
        r->pictures ? json_pack("{si ss si sI sI sI so}", "version", 1, "format", "rgb8", "count", (int)count, "width",
                                (json_int_t)shape->dims[2], "height", (json_int_t)shape->dims[1], "bytes",
                                (json_int_t)bytes, "prompts", texts)
                    : json_pack("{si ss si sI sI so}", "version", 1, "format", "f32", "count", (int)count, "dimension",
                                (json_int_t)shape->dims[0], "bytes", (json_int_t)bytes, "prompts", texts);
    char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

/* samples [count, 3, H, W] in [0, 1] -> [count, H, W, 3] of bytes. */
static void to_bytes(const float *samples, uint32_t count, size_t pixels, unsigned char *out)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            for (size_t k = 0; k < pixels; k++) {
                float v = samples[(i * 3 + c) * pixels + k];
                out[(i * pixels + k) * 3 + c] = (unsigned char)(v >= 1.0f ? 255 : v > 0.0f ? lrintf(v * 255.0f) : 0);
            }
}

/* Header line and body in one block of *size bytes. */
static dipp_status build_request(const pipe_reward *r, const float *samples, const dipp_shape *shape,
                                 const char *const *prompts, uint32_t count, char **request, size_t *size,
                                 dipp_error *error)
{
    size_t elements = (size_t)dipp_shape_elements(shape), bytes = count * elements * (r->pictures ? 1 : sizeof(float));
    char *header = header_of(r, shape, prompts, count, bytes);
    if (!header)
        return dipp_fail(error, DIPP_E_INVALID, "pipe: a prompt is not UTF-8, or there is no memory for the request");
    size_t length = strlen(header);
    char *block = malloc(length + 1 + bytes);
    if (block) {
        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): a line, ended by the next one */
        memcpy(block, header, length);
        block[length] = '\n';
        if (r->pictures)
            to_bytes(samples, count, elements / 3, (unsigned char *)block + length + 1);
        else
            memcpy(block + length + 1, samples, bytes);
    }
    free(header);
    *request = block;
    *size = length + 1 + bytes;
    return block ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "pipe: no memory for a request of %zu bytes", bytes);
}

/* ---- Answer ---------------------------------------------------------------------------------------------------- */

static dipp_status read_scores(const json_t *answer, uint32_t count, double *scores, dipp_error *error)
{
    const char *complaint = json_string_value(json_object_get(answer, "error"));
    if (complaint)
        return dipp_fail(error, DIPP_E_PLUGIN, "the program says: %.400s", complaint);
    const json_t *list = json_object_get(answer, "scores");
    if (!json_is_array(list) || json_array_size(list) != count)
        return dipp_fail(error, DIPP_E_PLUGIN, "expected {\"scores\": [%u numbers]}, found %zu", count,
                         json_array_size(list));
    for (uint32_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value) && !json_is_null(value))
            return dipp_fail(error, DIPP_E_PLUGIN, "score %u of %u: expected a number, or null for none", i, count);
        scores[i] = json_is_null(value) ? NAN : json_number_value(value);
    }
    return DIPP_OK;
}

static dipp_status ask(pipe_reward *r, const char *request, size_t size, uint32_t count, double *scores,
                       dipp_error *error)
{
    dipp_status status = r->program.pid ? DIPP_OK : child_start(&r->program, r->argv, error);
    if (status == DIPP_OK)
        status = child_ask(&r->program, request, size, 65536 + 64 * (size_t)count, r->timeout, error);
    if (status != DIPP_OK)
        return status;
    json_error_t fault;
    json_t *answer = json_loads(r->program.line, 0, &fault);
    status = json_is_object(answer)
                 ? read_scores(answer, count, scores, error)
                 : dipp_fail(error, DIPP_E_PLUGIN, "expected one JSON object, found `%.80s`", r->program.line);
    json_decref(answer);
    if (status != DIPP_OK)
        child_stop(&r->program); /* it does not keep to the protocol: nothing it says next can be trusted */
    return status;
}

static dipp_status score(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                         uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error)
{
    pipe_reward *r = self;
    if (r->pictures ? shape->rank != 3 || shape->dims[0] != 3 : shape->rank != 1)
        return dipp_fail(error, DIPP_E_INVALID, "pipe: expected %s, found samples of rank %u",
                         r->pictures ? "pictures [N, 3, H, W]" : "vectors [N, d]", shape->rank);
    char *request = NULL;
    size_t size = 0;
    dipp_status status = build_request(r, samples, shape, prompts, count, &request, &size, error);
    if (status == DIPP_OK)
        status = ask(r, request, size, count, scores, error);
    free(request);
    return status == DIPP_OK ? DIPP_OK : dipp_error_context(error, "pipe `%s`", r->argv[0]);
}

static const dipp_reward reward = {
    .struct_size = sizeof reward,
    .create = create,
    .destroy = destroy,
    .info = info,
    .score = score,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "pipe",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Scores that another program gives over standard input and output: opaque",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
