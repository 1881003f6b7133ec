/* Byte strings to numbers, for vocabularies: filled once, then only looked up. Inside libdipp. */
#ifndef DIPP_TEXT_NAME_TABLE_H
#define DIPP_TEXT_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dipp_name_table dipp_name_table;

/* For at most limit names. NULL when there is no memory. */
dipp_name_table *dipp_name_table_create(size_t limit);
void dipp_name_table_destroy(dipp_name_table **table);

/* Copies the name. false when it is there already, with *id its number, or when there is no memory or room, with *id
 * UINT32_MAX. [one thread at a time] */
bool dipp_name_table_add(dipp_name_table *table, const char *name, size_t bytes, uint32_t number, uint32_t *id);

/* false when the name is not there. [any thread] */
bool dipp_name_table_find(const dipp_name_table *table, const char *name, size_t bytes, uint32_t *number);

size_t dipp_name_table_longest(const dipp_name_table *table); /* bytes of the longest name */

#endif
