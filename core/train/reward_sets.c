/* Instances of rewards. Those whose weights come from one file hold them once: one layout, the union of theirs, one
 * set. */
#include "train/claims.h"
#include "train/models.h"

#include <string.h>

dipp_status dipp_reward_open(dipp_reward_model *reward, dipp_model_choice choice, const dipp_host *host,
                             dipp_error *error)
{
    *reward = (dipp_reward_model){.plugin = choice.plugin, .vtable = choice.plugin->vtable, .home = reward};
    dipp_status status = reward->vtable->create(choice.parameters, host, &reward->self, error);
    if (status != DIPP_OK)
        reward->self = NULL; /* whatever it left there was never made */
    reward->info.struct_size = sizeof reward->info;
    if (status == DIPP_OK)
        status = reward->vtable->info(reward->self, &reward->info, error);
    return status == DIPP_OK ? dipp_check_reward_info(reward->vtable, &reward->info, error) : status;
}

static bool same_file(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

const char *dipp_reward_head_at(dipp_reward_model *const *rewards, uint32_t count, const dipp_reward_model *home)
{
    const char *head = NULL;
    for (uint32_t i = 0; i < count && !head; i++)
        head = rewards[i]->home == home ? rewards[i]->files.head : NULL;
    return head;
}

/* Whether reward i can have its parameters at home, a reward before it. */
static bool fits(dipp_reward_model *const *rewards, uint32_t i, const dipp_reward_model *home)
{
    const dipp_reward_model *reward = rewards[i];
    const char *head = dipp_reward_head_at(rewards, i, home); /* a home has the head of one of its rewards */
    if (!same_file(home->files.file, reward->files.file) ||
        (head && reward->files.head && !same_file(head, reward->files.head)))
        return false;
    return dipp_layout_sealed(home->layout) ? dipp_layout_holds(home->layout, reward->layout)
                                            : dipp_layouts_unite(home->layout, reward->layout);
}

dipp_status dipp_reward_settle(dipp_reward_model *const *rewards, uint32_t i, dipp_error *error)
{
    dipp_reward_model *reward = rewards[i], *home = NULL;
    for (uint32_t k = 0; !reward->info.opaque && k < i && !home; k++)
        if (rewards[k]->home == rewards[k] && fits(rewards, i, rewards[k]))
            home = rewards[k];
    if (!home)
        return DIPP_OK;
    if (!dipp_layout_sealed(home->layout)) {
        dipp_status status = dipp_layout_add(home->layout, reward->layout, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "reward %s", reward->plugin->name);
    }
    dipp_layout_destroy(&reward->layout);
    reward->layout = home->layout;
    reward->home = home;
    return DIPP_OK;
}

dipp_status dipp_reward_create_set(dipp_reward_model *reward, dipp_backend *backend, dipp_error *error)
{
    if (reward->home == reward)
        return dipp_parameter_set_create(reward->plugin->name, reward->layout, backend, false, &reward->set, error);
    reward->set = reward->home->set;
    return DIPP_OK;
}

void dipp_reward_clear(dipp_reward_model *reward)
{
    if (reward->home == reward) {
        dipp_parameter_set_destroy(&reward->set);
        dipp_layout_destroy(&reward->layout);
    }
    if (reward->self)
        reward->vtable->destroy(reward->self);
    *reward = (dipp_reward_model){.home = NULL};
}
