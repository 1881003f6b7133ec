/* Small charts as SVG: scales, axes with round ticks, lines, markers. Colours and fonts come from the page's style
 * sheet by class, so that both colour schemes use one drawing. Coordinates are printed with one decimal: same data,
 * same bytes. [one thread at a time] */
#ifndef DIPP_REPORT_SVG_H
#define DIPP_REPORT_SVG_H

#include "report/html.h"

typedef struct dipp_svg_ticks {
    double first, step;
    int count, decimals; /* first + i * step; decimals show them exactly */
} dipp_svg_ticks;

/* Round ticks (1, 2 or 5 times a power of ten) that cover [low, high] with about `about` steps; the ends are ticks,
 * too. An empty or infinite range becomes one around its finite end. */
void dipp_svg_choose_ticks(double low, double high, int about, dipp_svg_ticks *ticks);

/* The range of what is shown; starts empty from DIPP_SVG_EMPTY. */
typedef struct dipp_svg_range {
    double low, high;
} dipp_svg_range;
#define DIPP_SVG_EMPTY                     \
    (dipp_svg_range)                       \
    {                                      \
        .low = INFINITY, .high = -INFINITY \
    }
/* Values that are not finite change nothing. */
void dipp_svg_widen(dipp_svg_range *range, double value);

typedef struct dipp_svg_chart {
    dipp_text *out;
    double width, height;            /* in SVG units, which are pixels at full size */
    double left, right, top, bottom; /* margins around the plot */
    dipp_svg_ticks x, y;
} dipp_svg_chart;

/* Opens <svg> with title and description for screen readers, then axes with ticks and labels; x_label and y_label may
 * be NULL. Ranges are taken from x and y by dipp_svg_choose_ticks. */
void dipp_svg_begin(dipp_svg_chart *chart, dipp_text *out, double width, double height, dipp_svg_range x,
                    dipp_svg_range y, const char *title, const char *description, const char *x_label,
                    const char *y_label);
void dipp_svg_end(dipp_svg_chart *chart);

/* For charts that lay themselves out: <svg> with its texts alone, and a horizontal axis at y (SVG units) whose grid
 * lines reach up to top. */
void dipp_svg_open(dipp_svg_chart *chart, const char *title, const char *description);
void dipp_svg_x_axis(dipp_svg_chart *chart, double y, double top);

/* Data to SVG units, kept within the plot. */
double dipp_svg_x(const dipp_svg_chart *chart, double value);
double dipp_svg_y(const dipp_svg_chart *chart, double value);

typedef struct dipp_svg_point {
    double x, y;
} dipp_svg_point;

/* A line through points; one that is not finite breaks it. stepped: horizontal, then vertical. A lone point becomes a
   dot. */
void dipp_svg_line(dipp_svg_chart *chart, const char *class_name, const dipp_svg_point *points, size_t count,
                   bool stepped);

enum { DIPP_SVG_SHAPES = 6 };

/* One of DIPP_SVG_SHAPES markers (circle, square, triangle, diamond, triangle on its tip, hexagon) with a tooltip (or
   NULL). Not finite: nothing. */
void dipp_svg_marker(dipp_svg_chart *chart, const char *class_name, int shape, double size, dipp_svg_point at,
                     const char *tooltip);

/* A text at a place in SVG units; anchor is start, middle or end. */
void dipp_svg_label(dipp_text *out, const char *class_name, double x, double y, const char *anchor, const char *text);

#endif
