/* spiece.model: the protobuf message ModelProto of sentencepiece_model.proto. */
#include "text/t5.h"

#include <string.h>

enum { PIECES_MOST = 1 << 20 };

/* Numbers of sentencepiece_model.proto. */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_BLANK_AS_SUFFIX = 24, TRAINER_BYTE_FALLBACK = 35 };
enum { NORMALIZER_CHARSMAP = 2, NORMALIZER_PREFIX = 3, NORMALIZER_DROP_BLANKS = 4, NORMALIZER_ESCAPE_BLANKS = 5 };
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum { UNIGRAM = 1 };

/* ---- Protobuf ---- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct message {
    const char *label;
    const uint8_t *at, *end;
} message;

typedef struct field {
    uint32_t number, wire;
    uint64_t value;       /* of a varint or 32 bits */
    const uint8_t *bytes; /* of the others: bytes[size] */
    size_t size;
} field;

static bool read_varint(message *m, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* The next field of a message that is not at its end. */
static dipp_status next_field(message *m, field *out, dipp_error *error)
{
    uint64_t tag, size = 0;
    *out = (field){0};
    bool good = read_varint(m, &tag) && tag >> 3 && tag >> 3 <= 0x1fffffff;
    out->number = good ? (uint32_t)(tag >> 3) : 0;
    out->wire = good ? tag & 7 : 0;
    if (good && out->wire == WIRE_VARINT) {
        good = read_varint(m, &out->value);
    } else if (good) {
        size = out->wire == WIRE_64 ? 8 : 4;
        good = out->wire == WIRE_BYTES ? read_varint(m, &size) : out->wire == WIRE_64 || out->wire == WIRE_32;
        good = good && size <= (size_t)(m->end - m->at);
    }
    if (!good)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: no SentencePiece model, cut short or damaged", m->label);
    out->bytes = m->at;
    out->size = (size_t)size;
    m->at += size;
    for (unsigned i = 0; i < 4 && out->wire == WIRE_32; i++)
        out->value |= (uint64_t)out->bytes[i] << 8 * i;
    return DIPP_OK;
}

static dipp_status check_wire(const message *m, const field *f, uint32_t wire, dipp_error *error)
{
    return f->wire == wire ? DIPP_OK
                           : dipp_fail(error, DIPP_E_FORMAT, "%s: no SentencePiece model: field %u has wire type %u",
                                       m->label, f->number, f->wire);
}

static message inside(const message *m, const field *f)
{
    return (message){m->label, f->bytes, f->bytes + f->size};
}

/* ---- The model ---- */

typedef struct model {
    uint32_t count; /* pieces */
    uint64_t model_type, blank_as_suffix, byte_fallback, prefix, drop_blanks, escape_blanks;
    const uint8_t *charsmap;
    size_t charsmap_bytes;
} model;

typedef struct piece {
    const char *text;
    size_t bytes;
    float score;
    uint64_t type;
} piece;

static dipp_status read_piece(message m, piece *out, dipp_error *error)
{
    *out = (piece){.text = "", .type = NORMAL};
    dipp_status status = DIPP_OK;
    field f;
    while (!status && m.at < m.end && !(status = next_field(&m, &f, error)))
        switch (f.number) {
        case PIECE_TEXT:
            status = check_wire(&m, &f, WIRE_BYTES, error);
            out->text = (const char *)f.bytes;
            out->bytes = f.size;
            break;
        case PIECE_SCORE: {
            uint32_t bits = (uint32_t)f.value;
            status = check_wire(&m, &f, WIRE_32, error);
            memcpy(&out->score, &bits, sizeof bits);
            break;
        }
        case PIECE_TYPE:
            status = check_wire(&m, &f, WIRE_VARINT, error);
            out->type = f.value;
            break;
        default: break;
        }
    return status;
}

static dipp_status read_settings(message m, model *out, bool trainer, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    field f;
    while (!status && m.at < m.end && !(status = next_field(&m, &f, error))) {
        uint64_t *flag = NULL;
        if (trainer)
            flag = f.number == TRAINER_MODEL_TYPE        ? &out->model_type
                   : f.number == TRAINER_BLANK_AS_SUFFIX ? &out->blank_as_suffix
                   : f.number == TRAINER_BYTE_FALLBACK   ? &out->byte_fallback
                                                         : NULL;
        else
            flag = f.number == NORMALIZER_PREFIX          ? &out->prefix
                   : f.number == NORMALIZER_DROP_BLANKS   ? &out->drop_blanks
                   : f.number == NORMALIZER_ESCAPE_BLANKS ? &out->escape_blanks
                                                          : NULL;
        if (flag) {
            status = check_wire(&m, &f, WIRE_VARINT, error);
            *flag = f.value;
        } else if (!trainer && f.number == NORMALIZER_CHARSMAP) {
            status = check_wire(&m, &f, WIRE_BYTES, error);
            out->charsmap = f.bytes;
            out->charsmap_bytes = f.size;
        }
    }
    return status;
}

/* All but the pieces, which are counted. */
static dipp_status read_model(message m, model *out, dipp_error *error)
{
    *out = (model){.model_type = UNIGRAM, .prefix = 1, .drop_blanks = 1, .escape_blanks = 1};
    dipp_status status = DIPP_OK;
    field f;
    while (!status && m.at < m.end && !(status = next_field(&m, &f, error))) {
        if (f.number < MODEL_PIECES || f.number > MODEL_NORMALIZER)
            continue;
        status = check_wire(&m, &f, WIRE_BYTES, error);
        if (!status && f.number == MODEL_PIECES)
            out->count++;
        else if (!status)
            status = read_settings(inside(&m, &f), out, f.number == MODEL_TRAINER, error);
    }
    return status;
}

static dipp_status check_model(const model *m, const char *label, dipp_error *error)
{
    static const char *const types[] = {"0", "unigram", "BPE", "words", "characters"};
    if (!m->count || m->count > PIECES_MOST)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: no SentencePiece model of 1 to %d pieces", label, (int)PIECES_MOST);
    if (m->model_type != UNIGRAM)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: trainer_spec.model_type: expected unigram, found %s", label,
                         m->model_type < sizeof types / sizeof *types ? types[m->model_type] : "another");
    if (m->byte_fallback)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: trainer_spec.byte_fallback: expected false", label);
    if (m->blank_as_suffix)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: trainer_spec.treat_whitespace_as_suffix: expected false",
                         label);
    if (!m->escape_blanks)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: normalizer_spec.escape_whitespaces: expected true", label);
    return DIPP_OK;
}

/* </s> and <pad> are control pieces, <unk> the unknown one: by their names, as T5Tokenizer finds them. */
static dipp_status find_special(dipp_t5 *t5, const piece *p, uint32_t id, bool found[DIPP_T5_WORDS], const char *label,
                                dipp_error *error)
{
    for (size_t i = 0; i < DIPP_T5_WORDS; i++)
        if (p->bytes == strlen(dipp_t5_words[i]) && !memcmp(p->text, dipp_t5_words[i], p->bytes) && !found[i] &&
            p->type == (i == DIPP_T5_UNKNOWN ? UNKNOWN : CONTROL)) {
            t5->words[i] = id;
            found[i] = true;
            return DIPP_OK;
        }
    static const char *const types[] = {"another type",      "type normal", "type unknown", "type control",
                                        "type user defined", "type unused", "type byte"};
    return dipp_fail(error, DIPP_E_UNSUPPORTED,
                     "%s: piece %u is \"%.*s\" of %s; expected normal pieces, </s> and <pad> as control pieces and "
                     "<unk> as the unknown one, each once",
                     label, id, (int)(p->bytes < 40 ? p->bytes : 40), p->text,
                     p->type < sizeof types / sizeof *types ? types[p->type] : types[0]);
}

/* Two passes, since <unk> may come behind pieces: the special ones, then the normal ones. */
static dipp_status read_pieces(dipp_t5 *t5, message m, bool special, bool found[DIPP_T5_WORDS], dipp_error *error)
{
    dipp_status status = DIPP_OK;
    field f;
    for (uint32_t id = 0; !status && m.at < m.end && !(status = next_field(&m, &f, error));) {
        piece p;
        if (f.number != MODEL_PIECES)
            continue;
        status = read_piece(inside(&m, &f), &p, error);
        if (!status && special && p.type != NORMAL)
            status = find_special(t5, &p, id, found, m.label, error);
        if (!status && !special && p.type == NORMAL)
            status = dipp_unigram_add(t5->pieces, m.label, p.text, p.bytes, id, p.score, error);
        id++;
    }
    return status;
}

dipp_status dipp_t5_read_spiece(dipp_t5 *t5, const char *label, const void *bytes, size_t size, dipp_error *error)
{
    message m = {label, bytes, (const uint8_t *)bytes + size};
    model settings;
    bool found[DIPP_T5_WORDS] = {0};
    dipp_status status = read_model(m, &settings, error);
    if (!status)
        status = check_model(&settings, label, error);
    if (!status)
        status = read_pieces(t5, m, true, found, error);
    for (size_t i = 0; i < DIPP_T5_WORDS && !status; i++)
        if (!found[i])
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: the vocabulary lacks %s", label, dipp_t5_words[i]);
    if (!status && !(t5->pieces = dipp_unigram_create(settings.count, t5->words[DIPP_T5_UNKNOWN], true)))
        status = dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the tokenizer", label);
    if (!status)
        status = read_pieces(t5, m, false, found, error);
    if (!status)
        status = dipp_unigram_finish(t5->pieces, label, error);
    if (!status && settings.charsmap_bytes)
        status = dipp_charsmap_create(label, settings.charsmap, settings.charsmap_bytes, &t5->charsmap, error);
    t5->prefix = settings.prefix ? DIPP_T5_PREFIX_ALWAYS : DIPP_T5_PREFIX_NEVER;
    t5->drop_blanks = settings.drop_blanks != 0;
    t5->extra_first = settings.count + DIPP_T5_EXTRA_IDS - 1;
    t5->extra_strips = (dipp_t5_strips){true, true};
    return status;
}
