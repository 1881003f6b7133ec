#include "evaluate/gold.h"

static const double drawing_weight = 2, drawing_distance = 0.1;

/* What can be named, side by side. */
typedef struct gold_part {
    double weight;
    int32_t named, seen;
} gold_part;

double dipp_gold_utility(const dipp_prompt_line *prompt, const dipp_verdict *verdict)
{
    const gold_part parts[] = {{5, prompt->glyph, verdict->fit.glyph},
                               {3, prompt->background, verdict->fit.background},
                               {1, prompt->place, verdict->fit.place},
                               {1, prompt->size_class, verdict->fit.size_class}};
    double far = verdict->distance / drawing_distance;
    double sum = drawing_weight / (1 + far * far), weight = drawing_weight;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].named != DIPP_NOT_NAMED) {
            sum += parts[i].named == parts[i].seen ? parts[i].weight : 0;
            weight += parts[i].weight;
        }
    return sum / weight;
}

static bool differ(int32_t a, int32_t b)
{
    return a != DIPP_NOT_NAMED && b != DIPP_NOT_NAMED && a != b;
}

bool dipp_prompts_contradict(const dipp_prompt_line *a, const dipp_prompt_line *b)
{
    return differ(a->glyph, b->glyph) || differ(a->background, b->background) || differ(a->place, b->place) ||
           differ(a->size_class, b->size_class);
}
