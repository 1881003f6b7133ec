#include "instance.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

void instance_load(const char *file, const dipp_plugin **reference, const dipp_plugin **generator)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    dipp_plugin_entry entry;
    *(void **)&entry = dlsym(library, DIPP_PLUGIN_ENTRY_NAME);
    assert_non_null(entry);
    uint32_t count = 0;
    const dipp_plugin *const *list = entry(&count);
    assert_int_equal(count, 2);
    *reference = list[0];
    *generator = list[1];
}

static uint32_t put(const char *assignment, const char **out, uint32_t count, uint32_t most)
{
    size_t key = strcspn(assignment, "=") + 1;
    for (uint32_t i = 0; i < count; ++i) {
        if (strncmp(out[i], assignment, key) == 0) {
            out[i] = assignment;
            return count;
        }
    }
    assert_true(count < most);
    out[count] = assignment;
    return count + 1;
}

uint32_t instance_join(const char *const first[8], const char *const second[8], const char **out, uint32_t most)
{
    uint32_t count = 0;
    for (int i = 0; i < 8 && first[i]; ++i)
        count = put(first[i], out, count, most);
    for (int i = 0; i < 8 && second[i]; ++i)
        count = put(second[i], out, count, most);
    return count;
}

dipp_status instance_create(const dipp_plugin *plugin, const char *const *assignments, uint32_t count, instance *out,
                            dipp_error *error)
{
    memset(out, 0, sizeof *out);
    if (dipp_parameters_create_from_text(plugin->parameters, plugin->parameter_count, assignments, count,
                                         &out->parameters, error) != DIPP_OK)
        fail_msg("%s", error->message);
    dipp_host host = {.struct_size = sizeof host};
    if (plugin->kind == DIPP_PLUGIN_REFERENCE)
        return ((const dipp_reference *)plugin->vtable)->create(out->parameters, &host, &out->self, error);
    if (plugin->kind == DIPP_PLUGIN_REWARD)
        return ((const dipp_reward *)plugin->vtable)->create(out->parameters, &host, &out->self, error);
    return ((const dipp_generator *)plugin->vtable)->create(out->parameters, &host, &out->self, error);
}

void instance_destroy(const dipp_plugin *plugin, instance *i)
{
    if (i->self && plugin->kind == DIPP_PLUGIN_REFERENCE)
        ((const dipp_reference *)plugin->vtable)->destroy(i->self);
    else if (i->self && plugin->kind == DIPP_PLUGIN_REWARD)
        ((const dipp_reward *)plugin->vtable)->destroy(i->self);
    else if (i->self)
        ((const dipp_generator *)plugin->vtable)->destroy(i->self);
    dipp_parameters_destroy(&i->parameters);
}
