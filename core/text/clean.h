/* What the published tokenizers do to a text before they cut it into words. Inside libdipp. Page: docs/tokenizers.md. */
#ifndef DIPP_TEXT_CLEAN_H
#define DIPP_TEXT_CLEAN_H

#include "text/code_points.h"

/* OpenAI's and open_clip's: what ftfy changes character by character, HTML unescaped twice, white space collapsed and
 * cut at the ends, lower case. In place, as all here. */
void dipp_clean_open_clip(dipp_codes *text);

/* Hugging Face's CLIPTokenizerFast: NFC, each run of white space one space, lower case. */
void dipp_clean_hugging_face(dipp_codes *text);

/* BERT's, uncased: control characters dropped, white space to spaces, spaces around ideographs, lower case, accents
 * dropped. */
void dipp_clean_bert(dipp_codes *text);

#endif
