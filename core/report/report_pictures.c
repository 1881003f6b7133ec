/* The picture grid: prompts down, reference, before and arms across, the same noise in a row, scores under each
   picture. */
#include "report/report_parts.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "data/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 4 << 20, PAGE_BYTES_MAX = 48 << 20, OPEN_ROWS = 12, SCORES_SHOWN = 8 };

enum { COLUMN_REFERENCE = -2, COLUMN_BEFORE = -1 }; /* others: the arm */

typedef struct picture {
    int column;
    int64_t artifact_id, prompt_id, index, sample, noise;
    const char *path, *sha256, *text;
    struct {
        int measure;
        double value;
    } scores[SCORES_SHOWN];
    size_t score_count;
} picture;

struct dipp_report_pictures {
    dipp_report *report;
    char *root;   /* folder of the database */
    int64_t seed; /* of all columns */
    int *run_of;  /* [arms]: the run whose pictures stand for the arm, or NONE */
    picture *pictures;
    size_t count, capacity;
    size_t missing, changed, left_out; /* files that could not be shown, and why */
    size_t bytes;                      /* of pictures in the page so far */
};

/* ---- Reading ---- */

/* The seed that most arms completed; of several the smallest. */
static void choose_runs(dipp_report_pictures *all)
{
    const dipp_report *report = all->report;
    size_t most = 0;
    for (size_t i = 0; i < report->run_count; i++) {
        size_t have = 0;
        int64_t seed = report->runs[i].seed;
        for (size_t k = 0; k < report->run_count; k++)
            have += report->runs[k].completed && report->runs[k].seed == seed;
        if (report->runs[i].completed && (have > most || (have == most && seed < all->seed))) {
            most = have;
            all->seed = seed;
        }
    }
    for (size_t a = 0; a < report->arm_count; a++) {
        all->run_of[a] = DIPP_REPORT_NONE;
        for (size_t i = 0; i < report->run_count; i++)
            if (report->runs[i].arm == (int)a && report->runs[i].completed && report->runs[i].seed == all->seed)
                all->run_of[a] = (int)i;
    }
}

/* Pictures with their scores: the reference's and step 0's of every run (the first is shown), and the last step's. */
static const char pictures_sql[] =
    "WITH a AS MATERIALIZED (SELECT i.artifact_id, i.run_id, i.step, i.path, i.sha256, "
    "json_extract(i.meta_json,'$.subject') AS subject, max(i.step) OVER (PARTITION BY i.run_id) AS last FROM artifacts "
    "i "
    "JOIN runs r USING(run_id) WHERE i.kind='image' AND r.experiment_id=CAST(?1 AS INTEGER) AND r.status='completed') "
    "SELECT a.artifact_id, a.run_id, a.subject='reference', a.step=0, a.path, a.sha256, e.prompt_id, p.idx, e.sample, "
    "e.noise_seed, p.text, e.metric_id, e.scorer_id, p.prompt_set_id, e.value FROM a JOIN evaluations e ON "
    "e.artifact_id=a.artifact_id JOIN prompts p USING(prompt_id) WHERE a.subject='reference' OR a.step=0 OR "
    "a.step=a.last ORDER BY p.prompt_set_id, p.idx, e.sample, a.subject='reference' DESC, a.step=0 DESC, a.run_id, "
    "a.artifact_id, e.metric_id, e.scorer_id";

static picture *same_place(dipp_report_pictures *all, int column, int64_t prompt_id, int64_t sample)
{
    for (size_t i = all->count; i-- > 0;) {
        picture *p = &all->pictures[i];
        if (p->prompt_id != prompt_id || p->sample != sample)
            return NULL;
        if (p->column == column)
            return p;
    }
    return NULL;
}

static int read_picture(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_report_pictures *all = user;
    dipp_report *report = all->report;
    int run = dipp_report_find_run(report, dipp_report_integer(values[1]));
    int64_t artifact_id = dipp_report_integer(values[0]), prompt_id = dipp_report_integer(values[6]);
    int64_t sample = dipp_report_integer(values[8]);
    bool reference = dipp_report_integer(values[2]) == 1, before = dipp_report_integer(values[3]) == 1;
    int column = reference ? COLUMN_REFERENCE : before ? COLUMN_BEFORE : report->runs[run].arm;
    if (report->runs[run].seed != all->seed || (column >= 0 && all->run_of[column] != run))
        return 0;
    picture *at = same_place(all, column, prompt_id, sample);
    if (at && at->artifact_id != artifact_id)
        return 0; /* another arm's copy of the same picture */
    if (!at) {
        if (!dipp_grow((void **)&all->pictures, &all->capacity, all->count + 1, sizeof *all->pictures)) {
            report->status = dipp_fail(&report->error, DIPP_E_MEMORY, "no memory for the report's pictures");
            return 1;
        }
        at = &all->pictures[all->count++];
        *at = (picture){.column = column,
                        .artifact_id = artifact_id,
                        .prompt_id = prompt_id,
                        .index = dipp_report_integer(values[7]),
                        .sample = sample,
                        .noise = dipp_report_integer(values[9]),
                        .path = dipp_arena_string(report->arena, values[4]),
                        .sha256 = dipp_arena_string(report->arena, values[5]),
                        .text = dipp_arena_string(report->arena, values[10])};
        if (!at->path || !at->sha256 || !at->text) {
            report->status = dipp_fail(&report->error, DIPP_E_MEMORY, "no memory for the report's pictures");
            return 1;
        }
    }
    int measure = dipp_report_find_measure(report, dipp_report_integer(values[11]), dipp_report_integer(values[12]),
                                           dipp_report_integer(values[13]), NULL);
    if (measure >= 0 && at->score_count < SCORES_SHOWN) {
        at->scores[at->score_count].measure = measure;
        at->scores[at->score_count++].value = dipp_report_real(values[14]);
    }
    return 0;
}

dipp_status dipp_report_pictures_load(dipp_report *report, dipp_report_pictures **out, dipp_error *error)
{
    dipp_report_pictures *all = dipp_allocate_zeroed(1, sizeof *all);
    *out = all;
    if (all) {
        all->report = report;
        all->root = dipp_path_folder(dipp_store_path(report->store));
        all->run_of = dipp_allocate_zeroed(report->arm_count + 1, sizeof *all->run_of);
    }
    if (!all || !all->root || !all->run_of)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the report's pictures");
    choose_runs(all);
    return dipp_report_query(report, pictures_sql, read_picture, all, error);
}

void dipp_report_pictures_destroy(dipp_report_pictures **pictures)
{
    if (!*pictures)
        return;
    dipp_release((*pictures)->root);
    dipp_release((*pictures)->run_of);
    dipp_release((*pictures)->pictures);
    dipp_release(*pictures);
    *pictures = NULL;
}

/* ---- One picture ---- */

/* The file as it was recorded: NULL, or why it cannot be shown. */
static const char *read_file(dipp_report_pictures *all, const picture *shown, char **bytes, size_t *size,
                             dipp_image *image)
{
    dipp_error error;
    char digest[DIPP_SHA256_HEX_BYTES];
    char *path = dipp_path_join(all->root, shown->path);
    dipp_status status = path ? dipp_file_read(path, FILE_BYTES_MAX, bytes, size, &error) : DIPP_E_MEMORY;
    dipp_release(path);
    if (status != DIPP_OK) {
        all->report->out.failed |= status == DIPP_E_MEMORY;
        all->missing++;
        return "file is gone";
    }
    dipp_sha256_hex(*bytes, *size, digest);
    status = strcmp(digest, shown->sha256) ? DIPP_E_FORMAT : dipp_image_read_png_memory(*bytes, *size, image, &error);
    if (status != DIPP_OK) {
        all->report->out.failed |= status == DIPP_E_MEMORY;
        all->changed++;
        return "file was changed";
    }
    if (all->bytes + *size > PAGE_BYTES_MAX) {
        all->left_out++;
        return "left out: page too large";
    }
    all->bytes += *size;
    return NULL;
}

static void write_scores(dipp_report *report, const picture *shown)
{
    dipp_text *out = &report->out;
    dipp_text_append(out, "<span class=\"scores\">");
    for (size_t i = 0; i < shown->score_count; i++) {
        int measure = shown->scores[i].measure;
        double value = shown->scores[i].value;
        bool judged = value == 0 || value == 1;
        dipp_text_printf(out, "<span class=\"score%s\">", judged ? value == 1 ? " yes" : " no" : "");
        dipp_html_name(out, report->measures[measure].label);
        dipp_text_append(out, " ");
        if (judged)
            dipp_text_append(out, value == 1 ? "✓" : "✗");
        else
            dipp_report_number(report, value, 3, false);
        dipp_text_append(out, "</span>");
    }
    dipp_text_append(out, "</span>");
}

static void write_picture(dipp_report_pictures *all, const picture *shown, const char *column)
{
    dipp_report *report = all->report;
    dipp_text *out = &report->out;
    dipp_image image = {0};
    char *bytes = NULL;
    size_t size = 0;
    const char *fault = read_file(all, shown, &bytes, &size, &image);
    dipp_text_append(out, "<td class=\"picture\">");
    if (fault) {
        dipp_html_element(out, "span", "gone", fault);
    } else {
        dipp_text alt = {0};
        dipp_text_printf(&alt, "%s: %s", column, shown->text);
        dipp_text_printf(out, "<img%s src=\"data:image/png;base64,", image.width < 96 ? " class=\"coarse\"" : "");
        dipp_html_base64(out, bytes, size);
        dipp_text_printf(out, "\" width=\"%d\" height=\"%d\"", image.width, image.height);
        dipp_html_attribute(out, "alt", alt.data);
        dipp_text_append(out, "/>");
        out->failed |= alt.failed;
        dipp_text_discard(&alt);
    }
    write_scores(report, shown);
    dipp_text_append(out, "</td>");
    dipp_image_clear(&image);
    dipp_release(bytes);
}

static const char *column_name(const dipp_report *report, int column)
{
    return column == COLUMN_REFERENCE ? "reference"
           : column == COLUMN_BEFORE  ? "before alignment"
                                      : report->arms[column].label;
}

static const picture *find_picture(const dipp_report_pictures *all, int column, int64_t prompt_id, int64_t sample)
{
    for (size_t i = 0; i < all->count; i++) {
        const picture *p = &all->pictures[i];
        if (p->column == column && p->prompt_id == prompt_id && p->sample == sample)
            return p;
    }
    return NULL;
}

bool dipp_report_picture(dipp_report *report, dipp_report_pictures *pictures, int arm, int64_t prompt_id,
                         int64_t sample)
{
    const picture *found = find_picture(pictures, arm, prompt_id, sample);
    if (found)
        write_picture(pictures, found, column_name(report, arm));
    return found != NULL;
}

/* ---- The grid ---- */

static bool has_column(const dipp_report_pictures *all, int column)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->pictures[i].column == column)
            return true;
    return false;
}

static void write_head(dipp_report_pictures *all)
{
    dipp_report *report = all->report;
    dipp_text *out = &report->out;
    dipp_text_append(out, "<div class=\"wide\"><table class=\"pictures\"><thead><tr><th>prompt</th>");
    for (int column = COLUMN_REFERENCE; column < (int)report->arm_count; column++) {
        if (!has_column(all, column))
            continue;
        dipp_text_append(out, "<th>");
        if (column >= 0)
            dipp_report_arm_name(report, column);
        else
            dipp_html_text(out, column_name(report, column));
        dipp_text_append(out, "</th>");
    }
    dipp_text_append(out, "</tr></thead><tbody>\n");
}

static void write_row(dipp_report_pictures *all, const picture *first)
{
    dipp_report *report = all->report;
    dipp_text *out = &report->out;
    dipp_text_append(out, "<tr><th scope=\"row\" class=\"prompt\">");
    dipp_html_name(out, first->text);
    dipp_text_printf(out, "<small>sample %lld</small></th>", (long long)first->sample);
    for (int column = COLUMN_REFERENCE; column < (int)report->arm_count; column++) {
        if (!has_column(all, column))
            continue;
        const picture *shown = find_picture(all, column, first->prompt_id, first->sample);
        if (shown && shown->noise == first->noise)
            write_picture(all, shown, column_name(report, column));
        else
            dipp_html_element(out, "td", "picture faint", shown ? "other noise" : "not kept");
    }
    dipp_text_append(out, "</tr>\n");
}

void dipp_report_picture_grid(dipp_report *report, dipp_report_pictures *all)
{
    dipp_text *out = &report->out;
    dipp_text note = {0};
    size_t rows = 0;
    if (!all->count)
        return;
    dipp_text_printf(
        &note,
        "Columns from least to most aligned; a row has one prompt and one noise. Seed %lld. The prompts are the "
        "first of the evaluation set, chosen by nobody. ✓ ✗: what a judge says of this picture.",
        (long long)all->seed);
    dipp_report_heading(report, "pictures", "Pictures", note.data);
    out->failed |= note.failed;
    dipp_text_discard(&note);
    write_head(all);
    const picture *last = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const picture *p = &all->pictures[i];
        if (last && last->prompt_id == p->prompt_id && last->sample == p->sample)
            continue;
        last = p;
        if (rows++ == OPEN_ROWS) {
            dipp_text_append(out, "</tbody></table></div><details><summary>More prompts</summary>\n");
            write_head(all);
        }
        write_row(all, p);
    }
    dipp_text_append(out, "</tbody></table></div>\n");
    if (rows > OPEN_ROWS)
        dipp_text_append(out, "</details>\n");
    if (all->missing || all->changed || all->left_out) {
        dipp_text_append(out, "<p class=\"note warn\">");
        dipp_html_textf(
            out, "Not shown: %zu files that are gone, %zu that are not what was recorded, %zu for the page's size.",
            all->missing, all->changed, all->left_out);
        dipp_text_append(out, "</p>\n");
    }
    dipp_text_append(out, "</section>\n");
}
