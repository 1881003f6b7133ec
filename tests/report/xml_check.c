#include "xml_check.h"

#include <expat.h>
#include <stdio.h>
#include <string.h>

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    xml_facts *facts = user;
    dipp_text_printf(&facts->elements, "<%s ", name);
    facts->scripts += !strcmp(name, "script");
    facts->name_depth += !strcmp(name, "bdi");
    for (; *attributes; attributes += 2) {
        const char *key = attributes[0], *value = attributes[1];
        facts->handlers += !strncmp(key, "on", 2);
        if (!strcmp(key, "href") || !strcmp(key, "src"))
            dipp_text_printf(&facts->links, "%.*s ", (int)(strncmp(value, "data:", 5) ? 200u : strcspn(value, ";,")),
                             value);
        if (!strcmp(key, "id")) {
            char mark[128];
            snprintf(mark, sizeof mark, "#%s ", value);
            facts->doubled_ids += facts->ids.data && strstr(facts->ids.data, mark);
            dipp_text_append(&facts->ids, mark);
        }
    }
}

static void on_end(void *user, const XML_Char *name)
{
    xml_facts *facts = user;
    if (strcmp(name, "bdi"))
        return;
    facts->name_depth--;
    dipp_text_append(&facts->names, "\x1f");
}

static void on_text(void *user, const XML_Char *text, int length)
{
    xml_facts *facts = user;
    dipp_text_append_n(&facts->text, text, (size_t)length);
    if (facts->name_depth)
        dipp_text_append_n(&facts->names, text, (size_t)length);
}

void xml_read(const char *document, xml_facts *facts)
{
    *facts = (xml_facts){.scripts = 0};
    dipp_text_append(&facts->names, "\x1f");
    XML_Parser parser = XML_ParserCreate("UTF-8");
    XML_SetUserData(parser, facts);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    if (XML_Parse(parser, document, (int)strlen(document), 1) != XML_STATUS_OK)
        snprintf(facts->fault, sizeof facts->fault, "line %lu: %s", XML_GetCurrentLineNumber(parser),
                 XML_ErrorString(XML_GetErrorCode(parser)));
    XML_ParserFree(parser);
}

void xml_clear(xml_facts *facts)
{
    dipp_text_discard(&facts->names);
    dipp_text_discard(&facts->text);
    dipp_text_discard(&facts->ids);
    dipp_text_discard(&facts->links);
    dipp_text_discard(&facts->elements);
}

int xml_count(const xml_facts *facts, const char *element)
{
    char mark[64];
    int count = 0;
    snprintf(mark, sizeof mark, "<%s ", element);
    for (const char *at = facts->elements.data; at && (at = strstr(at, mark)); at++)
        count++;
    return count;
}
