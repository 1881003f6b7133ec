#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void dipp_svg_widen(dipp_svg_range *range, double value)
{
    if (!isfinite(value))
        return;
    range->low = value < range->low ? value : range->low;
    range->high = value > range->high ? value : range->high;
}

void dipp_svg_choose_ticks(double low, double high, int about, dipp_svg_ticks *ticks)
{
    if (!isfinite(low) || !isfinite(high) || low > high) {
        low = isfinite(low) ? low : isfinite(high) ? high : 0;
        high = low;
    }
    if (!(high - low > 1e-9 * fmax(fabs(low), fabs(high)))) { /* a flat line, or rounding noise around one */
        double half = low == 0 ? 0.5 : 0.1 * fabs(low);
        low -= half;
        high += half;
    }
    double rough = (high - low) / about;
    int exponent = (int)floor(log10(rough));
    double power = pow(10, exponent), fraction = rough / power;
    int round = fraction <= 1.0000001 ? 1 : fraction <= 2.0000001 ? 2 : fraction <= 5.0000001 ? 5 : 10;
    ticks->step = round * power;
    double first = floor(low / ticks->step + 1e-9), last = ceil(high / ticks->step - 1e-9);
    ticks->first = first * ticks->step;
    ticks->count = (int)(last - first) + 1;
    ticks->decimals = round == 10 ? -exponent - 1 : -exponent;
    ticks->decimals = ticks->decimals < 0 ? 0 : ticks->decimals;
}

static double last_tick(const dipp_svg_ticks *ticks)
{
    return ticks->first + (ticks->count - 1) * ticks->step;
}

static double place(const dipp_svg_ticks *ticks, double value, double from, double to)
{
    double share = (value - ticks->first) / (last_tick(ticks) - ticks->first);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return from + share * (to - from);
}

double dipp_svg_x(const dipp_svg_chart *chart, double value)
{
    return place(&chart->x, value, chart->left, chart->width - chart->right);
}

double dipp_svg_y(const dipp_svg_chart *chart, double value)
{
    return place(&chart->y, value, chart->height - chart->bottom, chart->top);
}

void dipp_svg_label(dipp_text *out, const char *class_name, double x, double y, const char *anchor, const char *text)
{
    dipp_text_printf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", class_name, x, y, anchor);
    dipp_html_text(out, text);
    dipp_text_append(out, "</text>");
}

static void tick_text(const dipp_svg_ticks *ticks, int i, char out[DIPP_HTML_NUMBER_BYTES])
{
    double value = ticks->first + i * ticks->step;
    if (fabs(value) < 0.5 * ticks->step * 1e-6)
        value = 0;
    if (fabs(value) >= 1e6 || ticks->decimals > 5) {
        dipp_html_number(value, 3, false, out);
        return;
    }
    char figures[32];
    snprintf(figures, sizeof figures, "%.*f", ticks->decimals, fabs(value));
    snprintf(out, DIPP_HTML_NUMBER_BYTES, "%s%s", value < 0 ? "\xe2\x88\x92" : "", figures);
}

void dipp_svg_x_axis(dipp_svg_chart *chart, double y, double top)
{
    char text[DIPP_HTML_NUMBER_BYTES];
    for (int i = 0; i < chart->x.count; i++) {
        double x = dipp_svg_x(chart, chart->x.first + i * chart->x.step);
        if (top < y)
            dipp_text_printf(chart->out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x,
                             top, y);
        dipp_text_printf(chart->out, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, y,
                         y + 4);
        tick_text(&chart->x, i, text);
        dipp_svg_label(chart->out, "tick", x, y + 16, "middle", text);
    }
    dipp_text_printf(chart->out, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", chart->left,
                     chart->width - chart->right, y, y);
}

static void draw_y_axis(dipp_svg_chart *chart)
{
    char text[DIPP_HTML_NUMBER_BYTES];
    for (int i = 0; i < chart->y.count; i++) {
        double y = dipp_svg_y(chart, chart->y.first + i * chart->y.step);
        dipp_text_printf(chart->out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                         chart->left, chart->width - chart->right, y, y);
        tick_text(&chart->y, i, text);
        dipp_svg_label(chart->out, "tick", chart->left - 6, y + 3.5, "end", text);
    }
}

void dipp_svg_open(dipp_svg_chart *chart, const char *title, const char *description)
{
    dipp_text_printf(chart->out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">",
                     chart->width, chart->height);
    dipp_html_element(chart->out, "title", NULL, title);
    dipp_html_element(chart->out, "desc", NULL, description);
}

void dipp_svg_begin(dipp_svg_chart *chart, dipp_text *out, double width, double height, dipp_svg_range x,
                    dipp_svg_range y, const char *title, const char *description, const char *x_label,
                    const char *y_label)
{
    *chart = (dipp_svg_chart){.out = out,
                              .width = width,
                              .height = height,
                              .left = 50,
                              .right = 16,
                              .top = y_label ? 26 : 10,
                              .bottom = x_label ? 36 : 22};
    dipp_svg_choose_ticks(x.low, x.high, 5, &chart->x);
    dipp_svg_choose_ticks(y.low, y.high, 4, &chart->y);
    dipp_svg_open(chart, title, description);
    draw_y_axis(chart);
    dipp_svg_x_axis(chart, height - chart->bottom, height - chart->bottom);
    if (x_label)
        dipp_svg_label(out, "name", (chart->left + width - chart->right) / 2, height - 4, "middle", x_label);
    if (y_label)
        dipp_svg_label(out, "name", 2, 12, "start", y_label);
}

void dipp_svg_end(dipp_svg_chart *chart)
{
    dipp_text_append(chart->out, "</svg>\n");
}

/* Points of one stretch without a gap, from `at`; returns how many. */
static size_t stretch(const dipp_svg_point *points, size_t count, size_t at)
{
    size_t length = 0;
    while (at + length < count && isfinite(points[at + length].x) && isfinite(points[at + length].y))
        length++;
    return length;
}

void dipp_svg_line(dipp_svg_chart *chart, const char *class_name, const dipp_svg_point *points, size_t count,
                   bool stepped)
{
    for (size_t at = 0; at < count;) {
        size_t length = stretch(points, count, at);
        if (length == 1)
            dipp_svg_marker(chart, class_name, 0, 2, points[at], NULL);
        for (size_t i = at; i < at + length && length > 1; i++) {
            double x = dipp_svg_x(chart, points[i].x), y = dipp_svg_y(chart, points[i].y);
            if (i == at)
                dipp_text_printf(chart->out, "<path class=\"%s\" d=\"M%.1f %.1f", class_name, x, y);
            else if (stepped)
                dipp_text_printf(chart->out, "H%.1fV%.1f", x, y);
            else
                dipp_text_printf(chart->out, "L%.1f %.1f", x, y);
        }
        if (length > 1)
            dipp_text_append(chart->out, "\"/>");
        at += length + 1;
    }
}

void dipp_svg_marker(dipp_svg_chart *chart, const char *class_name, int shape, double size, dipp_svg_point at,
                     const char *tooltip)
{
    if (!isfinite(at.x) || !isfinite(at.y))
        return;
    double x = dipp_svg_x(chart, at.x), y = dipp_svg_y(chart, at.y), s = size;
    dipp_text_printf(chart->out, "<path class=\"mark %s\" d=\"", class_name);
    switch ((shape < 0 ? 0 : shape) % DIPP_SVG_SHAPES) {
    case 0:
        dipp_text_printf(chart->out, "M%.1f %.1fa%.1f %.1f 0 1 0 %.1f 0a%.1f %.1f 0 1 0 %.1f 0z", x - s, y, s, s, 2 * s,
                         s, s, -2 * s);
        break;
    case 1: dipp_text_printf(chart->out, "M%.1f %.1fh%.1fv%.1fh%.1fz", x - s, y - s, 2 * s, 2 * s, -2 * s); break;
    case 2:
        dipp_text_printf(chart->out, "M%.1f %.1fl%.1f %.1fh%.1fz", x, y - 1.2 * s, 1.2 * s, 2.2 * s, -2.4 * s);
        break;
    case 3:
        dipp_text_printf(chart->out, "M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz", x, y - 1.3 * s, 1.3 * s, 1.3 * s,
                         -1.3 * s, 1.3 * s, -1.3 * s, -1.3 * s);
        break;
    case 4:
        dipp_text_printf(chart->out, "M%.1f %.1fh%.1fl%.1f %.1fz", x - 1.2 * s, y - s, 2.4 * s, -1.2 * s, 2.2 * s);
        break;
    default:
        dipp_text_printf(chart->out, "M%.1f %.1fl%.1f %.1fv%.1fl%.1f %.1fl%.1f %.1fv%.1fz", x, y - 1.2 * s, 1.1 * s,
                         0.6 * s, 1.2 * s, -1.1 * s, 0.6 * s, -1.1 * s, -0.6 * s, -1.2 * s);
        break;
    }
    dipp_text_append(chart->out, "\">");
    if (tooltip)
        dipp_html_element(chart->out, "title", NULL, tooltip);
    dipp_text_append(chart->out, "</path>");
}
