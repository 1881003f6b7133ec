/* Rewards whose weights come from one file hold them once. */
#include "train/models.h"

#include <string.h>

static bool same_file(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* Whether what is at home k comes from the files that i is to load. */
static bool of_one_source(const dipp_models *models, uint32_t k, uint32_t i)
{
    const dipp_weight_files *files = &models->rewards[i].files;
    bool same = same_file(models->rewards[k].files.file, files->file);
    for (uint32_t m = k; m < i && same; m++) { /* a home has the head of one of its rewards */
        const char *head = models->rewards[m].home == k ? models->rewards[m].files.head : NULL;
        same = !head || !files->head || same_file(head, files->head);
    }
    return same;
}

/* The first reward before i that loads i's files and whose layout can hold i's parameters too, or i itself. */
static uint32_t home_for(const dipp_models *models, uint32_t i)
{
    const dipp_reward_model *rewards = models->rewards;
    for (uint32_t k = 0; !rewards[i].info.opaque && k < i; k++)
        if (rewards[k].home == k && of_one_source(models, k, i) &&
            dipp_layouts_unite(rewards[k].layout, rewards[i].layout))
            return k;
    return i;
}

dipp_status dipp_share_reward_layouts(dipp_models *models, dipp_error *error)
{
    for (uint32_t i = 0; i < models->reward_count; i++) {
        dipp_reward_model *reward = &models->rewards[i];
        uint32_t home = home_for(models, i);
        if (home == i)
            continue;
        dipp_status status = dipp_layout_add(models->rewards[home].layout, reward->layout, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "reward %s", reward->plugin->name);
        dipp_layout_destroy(&reward->layout);
        reward->layout = models->rewards[home].layout;
        reward->home = home;
    }
    return DIPP_OK;
}

dipp_status dipp_create_reward_sets(dipp_models *models, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++) {
        dipp_reward_model *reward = &models->rewards[i];
        if (reward->home == i)
            status = dipp_parameter_set_create(reward->plugin->name, reward->layout, models->backend, false,
                                               &reward->set, error);
        else
            reward->set = models->rewards[reward->home].set;
    }
    return status;
}
