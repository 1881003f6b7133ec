/* Reads a page or a picture as XML by expat and says what is in it. */
#ifndef DIPP_TESTS_REPORT_XML_CHECK_H
#define DIPP_TESTS_REPORT_XML_CHECK_H

#include "base/text.h"

#include <stdbool.h>

typedef struct xml_facts {
    char fault[256];    /* "" when the text is well-formed */
    dipp_text names;    /* texts of all <bdi>, a '\x1f' before and behind each */
    dipp_text text;     /* all text, without markup */
    dipp_text ids;      /* "#id " of all elements */
    dipp_text links;    /* href and src values, a blank behind each; of data: no more than its kind */
    dipp_text elements; /* "<name " of all elements */
    int scripts, handlers, doubled_ids;
    int name_depth; /* inside how many <bdi> the reader is */
} xml_facts;

/* The caller clears. */
void xml_read(const char *document, xml_facts *facts);
void xml_clear(xml_facts *facts);
int xml_count(const xml_facts *facts, const char *element);

#endif
