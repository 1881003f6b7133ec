/* The parts of the page, in their order. Each appends to report->out; those that ask the store return a status. */
#ifndef DIPP_REPORT_REPORT_PARTS_H
#define DIPP_REPORT_REPORT_PARTS_H

#include "report/report_compare.h"
#include "report/svg.h"

void dipp_report_verdict(dipp_report *report, const dipp_report_comparisons *comparisons);
dipp_status dipp_report_arms(dipp_report *report, dipp_error *error);
void dipp_report_leaderboard(dipp_report *report);
void dipp_report_baseline(dipp_report *report, const dipp_report_comparisons *comparisons);
dipp_status dipp_report_curves(dipp_report *report, dipp_error *error);
dipp_status dipp_report_monitor(dipp_report *report, dipp_error *error);
void dipp_report_wins(dipp_report *report, const dipp_report_comparisons *comparisons);
dipp_status dipp_report_fronts(dipp_report *report, dipp_error *error);
dipp_status dipp_report_reproduce(dipp_report *report, dipp_error *error);

/* Pictures are read once for the two parts that show them. */
typedef struct dipp_report_pictures dipp_report_pictures;
dipp_status dipp_report_pictures_load(dipp_report *report, dipp_report_pictures **pictures, dipp_error *error);
void dipp_report_pictures_destroy(dipp_report_pictures **pictures);
void dipp_report_picture_grid(dipp_report *report, dipp_report_pictures *pictures);
dipp_status dipp_report_worst(dipp_report *report, dipp_report_pictures *pictures, dipp_error *error);

/* One picture of an arm (its chosen seed) for a prompt of the set and a sample, with its scores, into a table cell;
 * false and nothing written where none was kept. */
bool dipp_report_picture(dipp_report *report, dipp_report_pictures *pictures, int arm, int64_t prompt_id,
                         int64_t sample);

#endif
