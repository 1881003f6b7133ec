/* How well a picture compresses: minus the size in kilobytes (1000 bytes) of its JPEG, as Black et al. 2023 (DDPO)
 * use it. An encoder has no derivative, so the reward is opaque and dipp estimates its gradient. Pictures are
 * rounded to 8 bits; the encoder is libjpeg-turbo with its defaults (baseline, integer DCT, 4:2:0), whose sizes are
 * the same everywhere. */
#include <dipp/plugin.h>

#include <stdio.h> /* before jpeglib.h, which needs FILE */

#include <jpeglib.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct compressibility {
    int quality;
} compressibility;

static const dipp_parameter parameters[] = {
    {.key = "quality",
     .type = DIPP_TYPE_INT,
     .default_text = "95",
     .minimum = 1,
     .maximum = 100,
     .help = "Quality of the JPEG, as libjpeg counts it."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    compressibility *r = malloc(sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a compressibility reward");
    r->quality = (int)dipp_parameters_int(p, "quality");
    *self = r;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->images = true;
    out->opaque = true;
    out->direction = 1;
    out->unit = "kB";
    return DIPP_OK;
}

/* libjpeg ends the process on an error unless its handler does not return; this one goes back to encode. */
typedef struct handler {
    struct jpeg_error_mgr base; /* first: libjpeg gives a pointer to it */
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
} handler;

static void leave(j_common_ptr codec)
{
    handler *h = (handler *)codec->err;
    codec->err->format_message(codec, h->message);
    longjmp(h->back, 1);
}

static void keep_quiet(j_common_ptr codec, int level)
{
    (void)codec;
    (void)level;
}

/* rgb [height, width, 3] -> bytes of its JPEG. */
static dipp_status encode(const unsigned char *rgb, int width, int height, int quality, unsigned long *bytes,
                          dipp_error *error)
{
    struct jpeg_compress_struct codec;
    handler h;
    unsigned char *volatile out = NULL; /* volatile: changed between setjmp and longjmp */
    unsigned char *buffer = NULL;
    codec.err = jpeg_std_error(&h.base);
    h.base.error_exit = leave;
    h.base.emit_message = keep_quiet;
    if (setjmp(h.back)) {
        jpeg_destroy_compress(&codec);
        free(out);
        return dipp_fail(error, DIPP_E_INTERNAL, "a picture of %d x %d does not encode: %s", width, height, h.message);
    }
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &buffer, bytes);
    codec.image_width = (JDIMENSION)width;
    codec.image_height = (JDIMENSION)height;
    codec.input_components = 3;
    codec.in_color_space = JCS_RGB;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, quality, TRUE);
    jpeg_start_compress(&codec, TRUE);
    while (codec.next_scanline < codec.image_height) {
        JSAMPROW row = (JSAMPROW)(rgb + (size_t)codec.next_scanline * (size_t)width * 3);
        jpeg_write_scanlines(&codec, &row, 1);
        out = buffer;
    }
    jpeg_finish_compress(&codec);
    jpeg_destroy_compress(&codec);
    free(buffer);
    return DIPP_OK;
}

/* A picture [3, height, width] in [0, 1] -> rgb [height, width, 3]; false when it holds a number that is none. */
static bool to_bytes(const float *picture, size_t pixels, unsigned char *rgb)
{
    bool finite = true;
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < pixels; i++) {
            float value = picture[c * pixels + i];
            finite = finite && isfinite(value);
            rgb[i * 3 + c] = (unsigned char)(value >= 1.0f ? 255 : value > 0.0f ? lrintf(value * 255.0f) : 0);
        }
    return finite;
}

static dipp_status score(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                         uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error)
{
    const compressibility *r = self;
    if (shape->rank != 3 || shape->dims[0] != 3 || shape->dims[1] > JPEG_MAX_DIMENSION ||
        shape->dims[2] > JPEG_MAX_DIMENSION)
        return dipp_fail(error, DIPP_E_INVALID, "compressibility: expected pictures [N, 3, H, W] of at most %ld a side",
                         JPEG_MAX_DIMENSION);
    size_t pixels = (size_t)(shape->dims[1] * shape->dims[2]);
    unsigned char *rgb = malloc(3 * pixels);
    if (!rgb)
        return dipp_fail(error, DIPP_E_MEMORY, "compressibility: no memory for a picture of %zu pixels", pixels);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        unsigned long bytes = 0;
        bool finite = to_bytes(samples + i * 3 * pixels, pixels, rgb);
        status = encode(rgb, (int)shape->dims[2], (int)shape->dims[1], r->quality, &bytes, error);
        scores[i] = finite ? -(double)bytes / 1000.0 : NAN;
    }
    free(rgb);
    return status;
}

static const dipp_reward reward = {
    .struct_size = sizeof reward,
    .create = create,
    .destroy = free,
    .info = info,
    .score = score,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "compressibility",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Minus the kilobytes of a picture's JPEG: opaque, its gradient is estimated",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
