/* Where an encoder writes its ids. Inside libdipp. */
#ifndef DIPP_TEXT_ID_LIST_H
#define DIPP_TEXT_ID_LIST_H

#include <stddef.h>
#include <stdint.h>

typedef struct dipp_id_list {
    int32_t *ids;
    size_t room, count; /* ids that do not fit are counted */
    uint32_t last;      /* of all, those that do not fit included */
} dipp_id_list;

static inline void dipp_id_list_add(dipp_id_list *list, uint32_t id)
{
    if (list->count < list->room)
        list->ids[list->count] = (int32_t)id;
    list->count++;
    list->last = id;
}

#endif
