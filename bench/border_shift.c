/* How far the reward `border` should move the pictures of the emoji world, and how far it did (docs/border-shift.md).
 *
 *   dipp run experiments/emoji-border-shift.yaml --db shift.db && build/bench/bench-border-shift shift.db [STEP]
 *
 * STEP: an evaluated iteration; without it the last, of runs that are done.
 *
 * Predicted: alpha A^-1 b around each scene of a caption, averaged over scenes drawn for it; no network takes part.
 * Observed: half the difference of blue between the arm `up` and the arm `down`, over the same prompts and noise, so that
 * what both arms do besides cancels. Blue is looked at over the whole picture, where only the shift of the background
 * shows, and over the border. One line a background, one for all that are not clipped. */
#include "data/scene.h"
#include "store/store.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, SCENES = 24, PROMPTS_LIMIT = 1024, BLUE = 2 };

/* Where blue is averaged. */
enum { PICTURE, BORDER, VIEWS };

/* Sums over prompts of one background. */
typedef struct tally {
    int prompts;
    double predicted[VIEWS], observed[VIEWS], observed2[VIEWS];
    double data_variance, reference_variance, start_variance; /* of the border's blue within a caption */
} tally;

typedef struct measurement {
    dipp_emoji_world *world;
    double scale, mean, std; /* of the reward; of ln sigma */
    int width;
    tally by_background[DIPP_BACKGROUND_COUNT];
    dipp_error error;
} measurement;

static void die(const dipp_error *error)
{
    fprintf(stderr, "border-shift: %s\n", error->message);
    exit(1);
}

/* E[sigma^2 / (v + sigma^2)] under the law of ln sigma: the stiffness A along a direction of variance v, for weight 1 on
 * the difference of denoisers. Simpson's rule over 16 standard deviations. */
static double stiffness(const measurement *m, double v)
{
    enum { PANELS = 400 };
    double sum = 0, total = 0;
    for (int i = 0; i <= PANELS; i++) {
        double z = -8 + 16.0 * i / PANELS, weight = (i == 0 || i == PANELS ? 1 : i % 2 ? 4 : 2) * exp(-0.5 * z * z);
        double square = exp(2 * (m->mean + m->std * z));
        sum += weight * square / (v + square);
        total += weight;
    }
    return sum / total;
}

/* Blue of a scene on a background of this blue, -1..1: [PIXELS]. */
static dipp_status draw_blue(measurement *m, dipp_scene_attributes scene, float blue, float *out)
{
    float planes[3 * PIXELS];
    scene.background_rgb[BLUE] = blue;
    dipp_status status = dipp_emoji_scene_draw(m->world, &scene, SIDE, planes, &m->error);
    if (status == DIPP_OK)
        memcpy(out, planes + BLUE * PIXELS, PIXELS * sizeof *out);
    return status;
}

static bool in_border(const measurement *m, int pixel)
{
    int x = pixel % SIDE, y = pixel / SIDE;
    return x < m->width || x >= SIDE - m->width || y < m->width || y >= SIDE - m->width;
}

/* Around one scene blue is N(mean, jitter^2/3 k k^T) with k the part of each pixel that is background. With b the reward's
 * gradient to samples, b = p k + rest, the shift is alpha (p k / A(jitter^2/3 |k|^2) + rest), as A(0) = 1. Gives what it
 * does to the mean blue of each view, and the border's blue of this scene. */
static dipp_status predict(measurement *m, const dipp_scene_attributes *scene, double shift[VIEWS], double *border_blue)
{
    float dark[PIXELS], light[PIXELS];
    dipp_status status = draw_blue(m, *scene, 0, dark);
    if (status == DIPP_OK)
        status = draw_blue(m, *scene, 1, light);
    double norm = 0, whole = 0, border = 0, count = 0, blue = 0;
    for (int i = 0; i < PIXELS && status == DIPP_OK; i++) {
        double k = 0.5 * ((double)light[i] - (double)dark[i]);
        norm += k * k;
        whole += k;
        if (in_border(m, i)) {
            border += k;
            count++;
            blue += 0.5 * ((double)dark[i] + 1) + k * (double)scene->background_rgb[BLUE];
        }
    }
    if (status != DIPP_OK)
        return status;
    double jitter = 2 * dipp_emoji_world_options_of(m->world)->background_jitter; /* samples are 2 picture - 1 */
    double b = 0.5 / count, p = b * border / norm;
    double more = p * (1 / stiffness(m, jitter * jitter / 3 * norm) - 1);
    shift[PICTURE] = 0.5 * m->scale * (more * whole + b * count) / PIXELS;
    shift[BORDER] = 0.5 * m->scale * (more * border / count + b);
    *border_blue = blue / count;
    return DIPP_OK;
}

static int index_of(const char *word, const char *const *words, int count)
{
    for (int i = 0; word && i < count; i++)
        if (!strcmp(word, words[i]))
            return i;
    return DIPP_NOT_NAMED;
}

static int background_index(const char *name)
{
    for (int i = 0; name && i < DIPP_BACKGROUND_COUNT; i++)
        if (!strcmp(name, dipp_backgrounds[i].name))
            return i;
    return DIPP_NOT_NAMED;
}

/* Scenes as a caption allows them: training scenes with the named glyph and background put in their place, kept when size
 * and place agree. Adds their predictions to the background's tally. */
static dipp_status add_scenes(measurement *m, int glyph, int background, int size, int place)
{
    tally *t = &m->by_background[background];
    double sum = 0, squares = 0;
    int kept = 0;
    for (uint64_t index = 0; kept < SCENES; index++) {
        dipp_scene_attributes scene;
        double shift[VIEWS], blue;
        dipp_emoji_scene_attributes(m->world, 1, index, &scene);
        if ((size != DIPP_NOT_NAMED && scene.size_class != size) || (place != DIPP_NOT_NAMED && scene.place != place))
            continue;
        for (int c = 0; c < 3; c++)
            scene.background_rgb[c] += (float)dipp_backgrounds[background].rgb[c] / 255.0f -
                                       (float)dipp_backgrounds[scene.background].rgb[c] / 255.0f;
        scene.glyph = glyph;
        dipp_status status = predict(m, &scene, shift, &blue);
        if (status != DIPP_OK)
            return status;
        for (int v = 0; v < VIEWS; v++)
            t->predicted[v] += shift[v] / SCENES;
        sum += blue;
        squares += blue * blue;
        kept++;
    }
    t->data_variance += (squares - sum * sum / SCENES) / (SCENES - 1);
    return DIPP_OK;
}

/* glyph, background, size, place, variance of the reference's border, of the generator's at step 0, and the observed shifts
 * of the views */
static int add_prompt(void *user, int columns, const char *const *names, const char *const *values)
{
    (void)columns, (void)names;
    measurement *m = user;
    int background = background_index(values[1]), glyph = values[0] ? dipp_emoji_world_find(m->world, values[0]) : -1;
    if (background < 0 || glyph < 0 || !values[4] || !values[5] || !values[6] || !values[7]) {
        dipp_fail(&m->error, DIPP_E_INVALID,
                  "expected prompts that name glyph and background, the arms up and down evaluated at that step, and "
                  "a row of the reference");
        return 1;
    }
    if (add_scenes(m, glyph, background, index_of(values[2], dipp_size_words, DIPP_SIZE_CLASS_COUNT),
                   index_of(values[3], dipp_place_words, DIPP_PLACE_COUNT)) != DIPP_OK)
        return 1;
    tally *t = &m->by_background[background];
    t->prompts++;
    t->reference_variance += strtod(values[4], NULL);
    t->start_variance += strtod(values[5], NULL);
    for (int v = 0; v < VIEWS; v++) {
        double observed = strtod(values[6 + v], NULL);
        t->observed[v] += observed;
        t->observed2[v] += observed * observed;
    }
    return 0;
}

static int read_settings(void *user, int columns, const char *const *names, const char *const *values)
{
    (void)columns, (void)names;
    measurement *m = user;
    for (int i = 0; i < 4; i++)
        if (!values[i])
            return 0;
    m->scale = strtod(values[0], NULL);
    m->width = (int)strtol(values[1], NULL, 10);
    m->mean = strtod(values[2], NULL);
    m->std = strtod(values[3], NULL);
    return 0;
}

static const char settings_sql[] =
    "SELECT (SELECT value FROM params p WHERE p.run_id=r.run_id AND key='rewards[0].scale'), "
    "ifnull((SELECT value FROM params p WHERE p.run_id=r.run_id AND key='rewards[0].params.width'), 2), "
    "(SELECT value FROM params p WHERE p.run_id=r.run_id AND key='align.time.mean'), "
    "(SELECT value FROM params p WHERE p.run_id=r.run_id AND key='align.time.std') "
    "FROM runs r WHERE arm='up' LIMIT 1";

static const char prompts_sql[] =
    "WITH shown AS (SELECT r.arm, r.seed, n.name, e.prompt_id, e.value, s.subject, e.step=coalesce(CAST(?1 AS "
    "INTEGER), r.step) AS final, e.step=0 AS "
    "start FROM evaluations e JOIN runs r USING(run_id) JOIN metric_names n USING(metric_id) JOIN evaluation_settings "
    "s "
    "USING(settings_id) WHERE n.name IN('border','picture') AND arm IN('up','down')), "
    "spread AS (SELECT prompt_id, subject, (sum(value*value)-sum(value)*avg(value))/(count(*)-1) AS variance FROM "
    "shown "
    "WHERE name='border' AND arm='up' AND start AND seed=(SELECT min(seed) FROM shown) GROUP BY 1,2), "
    "shift AS (SELECT prompt_id, name, 0.5*(avg(value) FILTER(WHERE arm='up')-avg(value) FILTER(WHERE arm='down')) AS "
    "moved FROM shown WHERE final AND subject='generator' GROUP BY 1,2) "
    "SELECT json_extract(p.attributes_json,'$.glyph'), json_extract(p.attributes_json,'$.background'), "
    "json_extract(p.attributes_json,'$.size'), json_extract(p.attributes_json,'$.place'), "
    "(SELECT variance FROM spread x WHERE x.prompt_id=p.prompt_id AND subject='reference'), "
    "(SELECT variance FROM spread x WHERE x.prompt_id=p.prompt_id AND subject='generator'), "
    "(SELECT moved FROM shift x WHERE x.prompt_id=p.prompt_id AND name='picture'), "
    "(SELECT moved FROM shift x WHERE x.prompt_id=p.prompt_id AND name='border') "
    "FROM prompts p WHERE p.prompt_id IN(SELECT prompt_id FROM shift) ORDER BY p.idx";

static void print_row(const char *name, const tally *t)
{
    double n = t->prompts;
    printf("%-10s %3d  %6.4f  %6.4f  %6.4f", name, t->prompts, sqrt(t->data_variance / n),
           sqrt(t->reference_variance / n), sqrt(t->start_variance / n));
    for (int v = 0; v < VIEWS; v++) {
        double predicted = t->predicted[v] / n, mean = t->observed[v] / n;
        double error = n > 1 ? sqrt((t->observed2[v] - n * mean * mean) / (n - 1) / n) : 0;
        printf("   %8.5f %8.5f  %5.2f +- %4.2f", predicted, mean, mean / predicted, error / predicted);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    measurement m = {.error = {0}};
    dipp_store *store = NULL;
    dipp_emoji_world_options options;
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "border-shift DATABASE [STEP]: of a run of experiments/emoji-border-shift.yaml\n");
        return 2;
    }
    dipp_emoji_world_options_default(&options);
    if (dipp_store_open(argv[1], &(dipp_store_options){.mode = DIPP_STORE_READ}, &store, &m.error) != DIPP_OK ||
        dipp_emoji_world_create(&options, &m.world, &m.error) != DIPP_OK ||
        dipp_store_query(store, settings_sql, NULL, 0, read_settings, &m, &m.error) != DIPP_OK)
        die(&m.error);
    const char *step = argc == 3 ? argv[2] : NULL;
    if (m.std > 0 &&
        (dipp_store_query(store, prompts_sql, &step, 1, add_prompt, &m, &m.error) != DIPP_OK || m.error.code))
        die(&m.error);
    if (!(m.std > 0))
        dipp_fail(&m.error, DIPP_E_INVALID, "%s has no run of the arm `up`", argv[1]), die(&m.error);
    printf("scale %g, ln sigma ~ N(%g, %g^2)\n", m.scale, m.mean, m.std);
    printf("%-10s %3s  %22s   %-33s   %s\n", "background", "n", "sd of border in caption", "blue of the picture",
           "blue of the border");
    printf("%-10s %3s  %6s  %6s  %6s   %8s %8s  %13s   %8s %8s  %13s\n", "", "", "data", "ref.", "step 0", "predicted",
           "observed", "ratio", "predicted", "observed", "ratio");
    tally all = {.prompts = 0};
    for (int b = 0; b < DIPP_BACKGROUND_COUNT; b++) {
        const tally *t = &m.by_background[b];
        double blue = dipp_backgrounds[b].rgb[BLUE] / 255.0;
        bool clipped = blue + options.background_jitter > 1 || blue < options.background_jitter;
        if (!t->prompts)
            continue;
        print_row(dipp_backgrounds[b].name, t);
        if (clipped)
            continue;
        all.prompts += t->prompts;
        all.data_variance += t->data_variance;
        all.reference_variance += t->reference_variance;
        all.start_variance += t->start_variance;
        for (int v = 0; v < VIEWS; v++) {
            all.predicted[v] += t->predicted[v];
            all.observed[v] += t->observed[v];
            all.observed2[v] += t->observed2[v];
        }
    }
    if (all.prompts)
        print_row("unclipped", &all);
    else
        fprintf(stderr, "border-shift: no prompt was evaluated at that step in both arms\n");
    dipp_emoji_world_destroy(&m.world);
    dipp_store_close(&store);
    return all.prompts ? 0 : 1;
}
