/* Files of torch.save and torch.jit.save: what PyTorch wrote reads as PyTorch says, and what a hostile file may not do. */
#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "weights/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../shared_data.h"

#define FIXTURES DIPP_FIXTURE_FOLDER "/torch/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_equal(const char *file, const char *expected_file)
{
    dipp_error error = {0};
    dipp_weights *weights = NULL, *expected = NULL;
    if (dipp_weights_open(file, &weights, &error) || dipp_weights_open(expected_file, &expected, &error))
        fail_msg("%s", error.message);
    assert_int_equal(dipp_weights_count(weights), dipp_weights_count(expected));
    for (size_t i = 0; i < dipp_weights_count(expected); i++) {
        const dipp_weight_tensor *a = dipp_weights_at(weights, i), *b = dipp_weights_at(expected, i);
        assert_string_equal(a->name, b->name);
        assert_string_equal(a->file, file);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, sizeof a->shape);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->bytes, b->bytes);
        assert_memory_equal(a->data, b->data, (size_t)a->bytes);
    }
    dipp_weights_destroy(&weights);
    dipp_weights_destroy(&expected);
}

static void what_pytorch_wrote_is_read(void **state)
{
    (void)state;
    static const char *const wrappings[] = {"flat", "wrapped", "nested", "only", "average"};
    for (size_t i = 0; i < sizeof wrappings / sizeof *wrappings; i++) {
        char path[400];
        snprintf(path, sizeof path, FIXTURES "%s.pt", wrappings[i]);
        check_equal(path, FIXTURES "expected.safetensors");
    }
    check_equal(FIXTURES "numbers.pt", FIXTURES "numbers.safetensors");
    check_equal(FIXTURES "program.pt", FIXTURES "program.safetensors");
    check_equal(FIXTURES "clip.pt", FIXTURES "clip.safetensors");
    dipp_weights *weights = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_weights_open(FIXTURES "module.pt", &weights, &error), DIPP_OK);
    assert_int_equal(dipp_weights_count(weights), 7);
    assert_int_equal(dipp_weights_find(weights, "1.num_batches_tracked")->dtype, DIPP_WEIGHT_I64);
    dipp_weights_destroy(&weights);
}

static void what_is_not_weights_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        dipp_status status;
        const char *said;
    } cases[] = {{"complex", DIPP_E_UNSUPPORTED,
                  "tensor \"a\": expected one of the dtypes F64, F32, F16, BF16, I64, I32, "
                  "U8, found torch.ComplexFloatStorage"},
                 {"expanded", DIPP_E_UNSUPPORTED, "tensor \"a\": it is not contiguous"},
                 {"code", DIPP_E_FORMAT, "asks for the Python object \"posix.system\""},
                 {"legacy", DIPP_E_UNSUPPORTED, "before 1.6"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[400];
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        snprintf(path, sizeof path, FIXTURES "%s.pt", cases[i].file);
        dipp_status status = dipp_weights_open(path, &weights, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].said))
            fail_msg("%s: status %d, message: %s", cases[i].file, status, error.message);
        assert_ptr_equal(strstr(error.message, path), error.message);
        assert_null(weights);
    }
}

/* ---- Archives made here ---- */

typedef struct archive {
    uint8_t bytes[4096];
    size_t size, count;
    struct {
        const char *name;
        size_t offset, size;
    } entries[8];
} archive;

static void put(archive *a, uint64_t number, size_t width)
{
    for (size_t i = 0; i < width; i++)
        a->bytes[a->size++] = i < 8 ? (uint8_t)(number >> (8 * i)) : 0;
}

static void put_bytes(archive *a, const void *bytes, size_t size)
{
    assert_true(a->size + size < sizeof a->bytes);
    memcpy(a->bytes + a->size, bytes, size);
    a->size += size;
}

static void add_entry(archive *a, const char *name, const void *bytes, size_t size)
{
    a->entries[a->count].name = name;
    a->entries[a->count].offset = a->size;
    a->entries[a->count++].size = size;
    put(a, 0x04034b50, 4), put(a, 0, 22), put(a, strlen(name), 2), put(a, 0, 2); /* sizes left out, as torch does */
    put_bytes(a, name, strlen(name));
    put_bytes(a, bytes, size);
}

typedef struct twist {
    uint32_t method, disk, wrong_size, wrong_offset, wrong_count;
    bool large, large_lies;
} twist;

static void finish(archive *a, const twist *t)
{
    size_t start = a->size;
    for (size_t i = 0; i < a->count; i++) {
        size_t length = strlen(a->entries[i].name);
        uint64_t size = a->entries[i].size + t->wrong_size, offset = a->entries[i].offset + t->wrong_offset;
        put(a, 0x02014b50, 4), put(a, 0, 6), put(a, t->method, 2), put(a, 0, 8);
        put(a, t->large ? UINT32_MAX : size, 4), put(a, t->large ? UINT32_MAX : size, 4);
        put(a, length, 2), put(a, t->large ? 32 : 0, 2), put(a, 0, 10), put(a, t->large ? UINT32_MAX : offset, 4);
        put_bytes(a, a->entries[i].name, length);
        if (t->large) /* another field first */
            put(a, 0x5455, 2), put(a, 0, 2), put(a, 1, 2), put(a, t->large_lies ? 16 : 24, 2), put(a, size, 8),
                put(a, size, 8), put(a, offset, 8);
    }
    size_t length = a->size - start, count = a->count + t->wrong_count;
    if (t->large) {
        size_t end = a->size;
        put(a, 0x06064b50, 4), put(a, 44, 8), put(a, 0, 4), put(a, t->disk, 4), put(a, 0, 4), put(a, count, 8);
        put(a, count, 8), put(a, length, 8), put(a, start, 8);
        put(a, 0x07064b50, 4), put(a, 0, 4), put(a, end, 8), put(a, 1, 4);
    }
    put(a, 0x06054b50, 4), put(a, t->disk, 4), put(a, 0xffff & count, 2), put(a, 0xffff & count, 2);
    put(a, t->large ? UINT32_MAX : length, 4), put(a, t->large ? UINT32_MAX : start, 4), put(a, 3, 2);
    put_bytes(a, "end", 3);
}

/* An archive of this pickle and one storage "0" of 24 bytes. */
static void make_archive(archive *a, const void *pickle, size_t size, const twist *t)
{
    static const float numbers[6] = {1, 2, 3, 4, 5, 6};
    a->size = a->count = 0;
    add_entry(a, "x/data.pkl", pickle, size);
    add_entry(a, "x/data/0", numbers, sizeof numbers);
    finish(a, t);
}

#define STORAGE(type, key, count) "((X\7\0\0\0storagectorch\n" type "\nX\1\0\0\0" key "X\3\0\0\0cpuK" count "tQ"
#define TENSOR(storage, offset, shape, strides) \
    "ctorch._utils\n_rebuild_tensor_v2\n" storage offset shape strides "\x89NtR"
#define SIX                 STORAGE("FloatStorage", "0", "\6")
#define DICT(items)         "\x80\2}(" items "u."
#define NAMED(name, tensor) "X\1\0\0\0" name tensor
#define ONE                 TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85")
#define CLASS               "c__torch__.a\nB\n"
#define INNER               CLASS ")\x81}(X\1\0\0\0a" ONE "ub"
#define OBJECT(items)       CLASS ")\x81}(" items "ub"

static const struct pickle_case {
    const char *what, *pickle;
    size_t size;
    dipp_status status;
    const char *said;
} pickles[] = {
#define CASE(what, pickle, status, said)               \
    {                                                  \
        what, pickle, sizeof(pickle) - 1, status, said \
    }
    CASE("a matrix", DICT(NAMED("a", TENSOR(SIX, "K\0", "K\2K\3\x86", "K\3K\1\x86"))), DIPP_OK, ""),
    CASE("transposed", DICT(NAMED("a", TENSOR(SIX, "K\0", "K\3K\2\x86", "K\1K\3\x86"))), DIPP_OK, ""),
    CASE("seven tuples deep",
         DICT(NAMED("a", TENSOR(SIX, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\6t", "(K\1K\1K\1K\1K\1K\1K\1K\1t"))), DIPP_OK, ""),
    CASE("nine dimensions",
         DICT(NAMED("a", TENSOR(SIX, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
         DIPP_E_UNSUPPORTED, "at most 8 dimensions, found 9"),
    CASE("list beside it", DICT("X\1\0\0\0b]K\5a" NAMED("a", TENSOR(SIX, "K\0", "K\6\x85", "K\1\x85"))), DIPP_OK, ""),
    CASE("beyond the storage", DICT(NAMED("a", TENSOR(SIX, "K\1", "K\6\x85", "K\1\x85"))), DIPP_E_FORMAT,
         "takes the numbers from 1 to 7 of a storage of 6"),
    CASE("stride beyond", DICT(NAMED("a", TENSOR(SIX, "K\0", "K\2\x85", "K\6\x85"))), DIPP_E_FORMAT,
         "takes the numbers from 0 to 7"),
    CASE("offset beyond", DICT(NAMED("a", TENSOR(SIX, "K\7", "K\0\x85", "K\1\x85"))), DIPP_E_FORMAT,
         "takes the numbers from 7 to 7"),
    CASE("negative offset", DICT(NAMED("a", TENSOR(SIX, "J\xff\xff\xff\xff", "K\1\x85", "K\1\x85"))), DIPP_E_FORMAT,
         "a tensor is not made of"),
    CASE("overflow", DICT(NAMED("a", TENSOR(SIX, "K\0", "\x8a\x08\0\0\0\0\0\0\0\x40K\4\x86", "K\4K\1\x86"))),
         DIPP_E_FORMAT, "overflow"),
    CASE("stride overflow", DICT(NAMED("a", TENSOR(SIX, "K\0", "K\5K\1\x86", "\x8a\x08\0\0\0\0\0\0\0\x40K\1\x86"))),
         DIPP_E_FORMAT, "overflow"),
    CASE("too much by stride 0", DICT(NAMED("a", TENSOR(SIX, "K\0", "M\xff\xff\x85", "K\0\x85"))), DIPP_E_UNSUPPORTED,
         "take more bytes together than the file"),
    CASE("shape and strides differ", DICT(NAMED("a", TENSOR(SIX, "K\0", "K\1\x85", ")"))), DIPP_E_FORMAT,
         "a tensor is not made of"),
    CASE("missing storage", DICT(NAMED("a", TENSOR(STORAGE("FloatStorage", "1", "\6"), "K\0", "K\1\x85", "K\1\x85"))),
         DIPP_E_FORMAT, "tensor \"a\": its numbers are missing"),
    CASE("storage of another size",
         DICT(NAMED("a", TENSOR(STORAGE("DoubleStorage", "0", "\6"), "K\0", "K\1\x85", "K\1\x85"))), DIPP_E_FORMAT,
         "expected 6 numbers of 8 bytes, found 24 bytes"),
    CASE("short integers", DICT(NAMED("a", TENSOR(STORAGE("ShortStorage", "0", "\6"), "K\0", "K\1\x85", "K\1\x85"))),
         DIPP_E_UNSUPPORTED, "found torch.ShortStorage"),
    CASE(
        "name twice",
        DICT(NAMED("a", TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85")) NAMED("a", TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85"))),
        DIPP_E_FORMAT, "tensor \"a\": it is there twice"),
    CASE("name no UTF-8", DICT(NAMED("\xff", TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85"))), DIPP_E_FORMAT, "not UTF-8"),
    CASE("name with zero", DICT(NAMED("\0", TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85"))), DIPP_E_FORMAT, "zero byte"),
    CASE("name a number", DICT("K\1" TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85")), DIPP_E_FORMAT, "a key that is no text"),
    CASE("parameter",
         DICT(NAMED("a", "ctorch._utils\n_rebuild_parameter\n" TENSOR(SIX, "K\0", "K\1\x85", "K\1\x85") "\x88N\x87R")),
         DIPP_OK, ""),
    CASE("parameter of a number", DICT(NAMED("a", "ctorch._utils\n_rebuild_parameter\nK\1\x88N\x87R")), DIPP_E_FORMAT,
         "a parameter is not made of a tensor"),
    CASE("no tensors", DICT("X\1\0\0\0aK\1X\2\0\0\0\xc3\xa9K\1"), DIPP_E_FORMAT,
         "found a dict with the keys: \"a\", \"??\""),
    CASE("empty dict", "\x80\2}.", DIPP_E_FORMAT, "(none)"),
    CASE("only a list", "\x80\2].", DIPP_E_FORMAT, "found another Python value"),
    CASE("wraps itself", "\x80\2}q\0X\5\0\0\0modelh\0s.", DIPP_E_FORMAT, "found a dict with the keys: \"model\""),
    CASE("list in itself", "\x80\2}X\1\0\0\0a]q\0h\0as.", DIPP_E_FORMAT, "found a dict with the keys: \"a\""),
    CASE("no protocol", "}.", DIPP_E_FORMAT, "expected a pickle of protocol 2 to 5"),
    CASE("protocol 1", "\x80\1}.", DIPP_E_FORMAT, "expected a pickle of protocol 2 to 5"),
    CASE("empty", "", DIPP_E_FORMAT, "expected a pickle"),
    CASE("no end", "\x80\2}", DIPP_E_FORMAT, "it has no end"),
    CASE("two values", "\x80\2}}.", DIPP_E_FORMAT, "does not end with one value"),
    CASE("mark at the end", "\x80\2(.", DIPP_E_FORMAT, "does not end with one value"),
    CASE("pickled code", "\x80\2cos\nsystem\nX\2\0\0\0ls\x85R.", DIPP_E_FORMAT, "the Python object \"os.system\""),
    CASE("by stack", "\x80\4\x8c\10builtins\x8c\4eval\x93.", DIPP_E_FORMAT, "the Python object \"builtins.eval\""),
    CASE("control bytes in the name", "\x80\2c\33[31m\n\xff\n.", DIPP_E_FORMAT, "\"?[31m.?\""),
    CASE("name without end", "\x80\2cos", DIPP_E_FORMAT, "ends inside an opcode"),
    CASE("new object", "\x80\2ccollections\nOrderedDict\n)\x81.", DIPP_E_FORMAT, "an object is not made of"),
    CASE("a program", "\x80\2" OBJECT(NAMED("a", ONE)) ".", DIPP_OK, ""),
    CASE("a program by call", "\x80\2" CLASS ")R}(" NAMED("a", ONE) "ub.", DIPP_OK, ""),
    CASE("a program by stack", "\x80\4\x8c\x9__torch__\x8c\1A\x93)\x81}(" NAMED("a", ONE) "ub.", DIPP_OK, ""),
    CASE("a program's own values",
         "\x80\2" OBJECT(NAMED("a", INNER) NAMED("b", "ctorch.jit._pickle\nbuild_intlist\n]K\1a\x85R")
                             NAMED("c", "ctorch.jit._pickle\nrestore_type_tag\nK\1X\0\0\0\0\x86R")) ".",
         DIPP_OK, ""),
    CASE("a class of the like", "\x80\2c__torch__x\nA\n)\x81.", DIPP_E_FORMAT, "the Python object \"__torch__x.A\""),
    CASE("a class below another", "\x80\2cos.__torch__\nA\n)\x81.", DIPP_E_FORMAT, "object \"os.__torch__.A\""),
    CASE("only a class", "\x80\2" CLASS ".", DIPP_E_FORMAT, "found another Python value"),
    CASE("a class as a storage",
         "\x80\2(X\7\0\0\0storage" CLASS "X\1\0\0\0"
         "0X\3\0\0\0cpuK\6tQ.",
         DIPP_E_FORMAT, "a persistent id is not"),
    CASE("an object of arguments", "\x80\2" CLASS "K\1\x85\x81.", DIPP_E_FORMAT, "an object is not made of"),
    CASE("an object of no class", "\x80\2K\1)\x81.", DIPP_E_FORMAT, "a call is not a known name and a tuple"),
    CASE("an object of nothing", "\x80\2)\x81.", DIPP_E_FORMAT, "takes more values than there are"),
    CASE("attributes of another kind", "\x80\2" CLASS ")\x81]b.", DIPP_E_FORMAT,
         "the attributes of an object are no dict"),
    CASE("attributes twice", "\x80\2" OBJECT(NAMED("a", ONE)) "}b.", DIPP_E_FORMAT, "or given twice"),
    CASE("items of an object", "\x80\2" CLASS ")\x81(" NAMED("a", ONE) "u.", DIPP_E_FORMAT, "set in what is no dict"),
    CASE("no attributes", "\x80\2" CLASS ")\x81.", DIPP_E_FORMAT, "a program with tensors, found none"),
    CASE("a program in itself", "\x80\2" CLASS ")\x81q\0}(" NAMED("a", "h\0") "ub.", DIPP_E_FORMAT,
         "more than 64 deep"),
    CASE("an attribute a number", "\x80\2" OBJECT("K\1" ONE) ".", DIPP_E_FORMAT, "a key that is no text"),
    CASE("an attribute no UTF-8", "\x80\2" OBJECT(NAMED("\xff", INNER)) ".", DIPP_E_FORMAT, "not UTF-8"),
    CASE("two paths of a name", "\x80\2" OBJECT("X\3\0\0\0a.a" ONE NAMED("a", INNER)) ".", DIPP_E_FORMAT,
         "tensor \"a.a\": it is there twice"),
    CASE("a list of a number", "\x80\2ctorch.jit._pickle\nbuild_intlist\nK\1\x85R.", DIPP_E_FORMAT,
         "a program's list is not made of a list"),
    CASE("a value of nothing", "\x80\2ctorch.jit._pickle\nrestore_type_tag\n)R.", DIPP_E_FORMAT, "is made of nothing"),
    CASE("a device", DICT(NAMED("a", ONE) NAMED("b", "ctorch\ndevice\nX\4\0\0\0cudaK\0\x86R")), DIPP_OK, ""),
    CASE("an extension", "\x80\2\x82\1.", DIPP_E_FORMAT, "opcode 0x82"),
    CASE("text beyond the end", "\x80\2X\xff\xff\xff\xff", DIPP_E_FORMAT, "ends inside an opcode"),
    CASE("long text beyond the end", "\x80\2\x8d\xff\xff\xff\xff\xff\xff\xff\xff", DIPP_E_FORMAT,
         "ends inside an opcode"),
    CASE("frame beyond the end", "\x80\4\x95\xff\0\0\0\0\0\0\0}.", DIPP_E_FORMAT, "a frame is longer"),
    CASE("huge memo", "\x80\2}r\xff\xff\xff\x7f.", DIPP_E_FORMAT, "remembered beyond all bounds"),
    CASE("unknown memo", "\x80\2h\7.", DIPP_E_FORMAT, "recalled that was not remembered"),
    CASE("memo of nothing", "\x80\2q\0.", DIPP_E_FORMAT, "no value to remember"),
    CASE("memo of a mark", "\x80\2(q\0.", DIPP_E_FORMAT, "no value to remember"),
    CASE("tuple of nothing", "\x80\2\x85.", DIPP_E_FORMAT, "a tuple takes more values"),
    CASE("tuple over a mark", "\x80\2K\1(K\1\x86.", DIPP_E_FORMAT, "a tuple takes more values"),
    CASE("no mark", "\x80\2}u.", DIPP_E_FORMAT, "a mark is missing"),
    CASE("odd items", "\x80\2}(K\1u.", DIPP_E_FORMAT, "items are set in what is no dict"),
    CASE("items of a number", "\x80\2K\1(K\1K\1u.", DIPP_E_FORMAT, "items are set in what is no dict"),
    CASE("appending to a dict", "\x80\2}K\1a.", DIPP_E_FORMAT, "what is no list"),
    CASE("storing in nothing", "\x80\2s.", DIPP_E_FORMAT, "an item is missing"),
    CASE("storing marks", "\x80\2}((s.", DIPP_E_FORMAT, "a mark is among the items"),
    CASE("calling a number", "\x80\2K\1)R.", DIPP_E_FORMAT, "a call is not a known name and a tuple"),
    CASE("calling a storage", "\x80\2ctorch\nIntStorage\n)R.", DIPP_E_FORMAT, "a name is called that makes nothing"),
    CASE("calling a callback", "\x80\2cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n)R.",
         DIPP_E_FORMAT, "a name is called that makes nothing"),
    CASE("a callback as an object", "\x80\2cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n)\x81.",
         DIPP_E_FORMAT, "an object is not made of"),
    CASE("a dict of arguments", "\x80\2ccollections\nOrderedDict\n]\x85R.", DIPP_E_FORMAT, "has arguments"),
    CASE("a size of texts", "\x80\2ctorch\nSize\nX\0\0\0\0\x85R.", DIPP_E_FORMAT, "torch.Size is not made of"),
    CASE("a strange id", "\x80\2K\1Q.", DIPP_E_FORMAT, "a persistent id is not"),
    CASE("state of a list", "\x80\2]}b.", DIPP_E_FORMAT, "attributes are given"),
    CASE("pop of nothing", "\x80\2b.", DIPP_E_FORMAT, "takes more values than there are"),
};
enum { PICKLES = sizeof pickles / sizeof *pickles };

static void every_pickle_is_judged_and_named(void **state)
{
    (void)state;
    static archive a;
    for (size_t i = 0; i < PICKLES; i++) {
        make_archive(&a, pickles[i].pickle, pickles[i].size, &(twist){0});
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        dipp_status status = dipp_weights_open_memory(a.bytes, a.size, "dir/x.pt", &weights, &error);
        if (status != pickles[i].status || !strstr(error.message, pickles[i].said) ||
            (status && strncmp(error.message, "dir/x.pt: ", 10)))
            fail_msg("%s: status %d, message: %s", pickles[i].what, status, error.message);
        assert_true(!status == !!weights);
        dipp_weights_destroy(&weights);
        LLVMFuzzerTestOneInput(a.bytes, a.size);
    }
    make_archive(&a, pickles[1].pickle, pickles[1].size, &(twist){0});
    dipp_weights *weights = NULL;
    const uint64_t shape[2] = {3, 2};
    const float expected[6] = {1, 4, 2, 5, 3, 6};
    float out[6];
    assert_int_equal(dipp_weights_open_memory(a.bytes, a.size, "x", &weights, NULL), DIPP_OK);
    assert_int_equal(dipp_weights_load_f32(weights, "a", 2, shape, out, NULL), DIPP_OK);
    assert_memory_equal(out, expected, sizeof out);
    dipp_weights_destroy(&weights);
}

/* Objects that have the next one twice: each level doubles the paths, and few bytes would name 2^levels tensors. */
static void what_objects_share_is_bounded(void **state)
{
    (void)state;
    static const char before[] = CLASS ")\x81}(" NAMED("a", ""), inmost[] = OBJECT(NAMED("t", ONE));
    for (uint8_t levels = 0; levels <= 40; levels += 4) {
        static archive a;
        uint8_t pickle[3000] = "\x80\2";
        size_t size = 2;
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        for (uint8_t i = 0; i < levels; i++, size += sizeof before - 1)
            memcpy(pickle + size, before, sizeof before - 1);
        memcpy(pickle + size, inmost, sizeof inmost - 1);
        size += sizeof inmost - 1;
        for (uint8_t i = 0; i < levels; i++) {
            const uint8_t after[] = {'q', i, 'X', 1, 0, 0, 0, 'b', 'h', i, 'u', 'b'};
            memcpy(pickle + size, after, sizeof after);
            size += sizeof after;
        }
        pickle[size++] = '.';
        make_archive(&a, pickle, size, &(twist){0});
        dipp_status status = dipp_weights_open_memory(a.bytes, a.size, "x.pt", &weights, &error);
        assert_int_equal(status, levels <= 8 ? DIPP_OK : DIPP_E_FORMAT);
        if (status)
            assert_non_null(strstr(error.message, "contain one another more often"));
        else
            assert_int_equal(dipp_weights_count(weights), 1 << levels);
        dipp_weights_destroy(&weights);
    }
}

static void every_archive_is_judged_and_named(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        twist twist;
        dipp_status status;
        const char *said;
    } cases[] = {
        {"plain", {0}, DIPP_OK, ""},
        {"ZIP64", {.large = true}, DIPP_OK, ""},
        {"ZIP64 cut", {.large = true, .large_lies = true}, DIPP_E_FORMAT, "the ZIP64 sizes of \"x/data.pkl\""},
        {"compressed", {.method = 8}, DIPP_E_UNSUPPORTED, "\"x/data.pkl\" is compressed"},
        {"disks", {.disk = 1}, DIPP_E_UNSUPPORTED, "several disks"},
        {"disks of ZIP64", {.disk = 1, .large = true}, DIPP_E_UNSUPPORTED, "several disks"},
        {"size", {.wrong_size = 4000}, DIPP_E_FORMAT, "does not lie before the ZIP directory"},
        {"place", {.wrong_offset = 1}, DIPP_E_FORMAT, "has no local header at 1"},
        {"far place", {.wrong_offset = 40000}, DIPP_E_FORMAT, "has no local header"},
        {"one entry more", {.wrong_count = 1, .large = true}, DIPP_E_FORMAT, "the ZIP directory is damaged"},
        {"many entries more", {.wrong_count = 900}, DIPP_E_FORMAT, "does not fit before its end record"},
    };
    static archive a;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_archive(&a, pickles[0].pickle, pickles[0].size, &cases[i].twist);
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        dipp_status status = dipp_weights_open_memory(a.bytes, a.size, "x.pt", &weights, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].said))
            fail_msg("%s: status %d, message: %s", cases[i].what, status, error.message);
        dipp_weights_destroy(&weights);
    }
    const char *said[2] = {"is twice in the ZIP archive", "without data.pkl"};
    for (size_t i = 0; i < 2; i++) {
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        a.size = a.count = 0;
        add_entry(&a, i ? "data.pkl" : "x/data.pkl", pickles[0].pickle, pickles[0].size);
        add_entry(&a, i ? "x/y/data.pkl" : "x/data.pkl", pickles[0].pickle, pickles[0].size);
        finish(&a, &(twist){0});
        assert_int_equal(dipp_weights_open_memory(a.bytes, a.size, "x.pt", &weights, &error), DIPP_E_FORMAT);
        assert_non_null(strstr(error.message, said[i]));
    }
}

static void damage(const char *file)
{
    char *bytes = NULL;
    size_t size = 0, opened = 0;
    assert_int_equal(dipp_file_read(file, 1 << 20, &bytes, &size, NULL), DIPP_OK);
    for (size_t kept = 0; kept < size; kept += kept < 3000 ? 7 : 1) {
        uint8_t *part = malloc(kept ? kept : 1); /* exactly sized, so that a sanitizer sees one byte too many */
        dipp_weights *weights = NULL;
        assert_non_null(part);
        memcpy(part, bytes, kept);
        assert_int_not_equal(dipp_weights_open_memory(part, kept, "x", &weights, NULL), DIPP_OK);
        free(part);
    }
    for (uint32_t round = 0; round < 6000;
         round++) { /* up to four bytes changed, mostly in the pickle and the directory */
        uint8_t *copy = malloc(size);
        dipp_weights *weights = NULL;
        assert_non_null(copy);
        memcpy(copy, bytes, size);
        for (uint32_t change = 0; change <= round % 4; change++) {
            double place = dipp_philox_uniform_double(2, 0, round, 0, 2 * change);
            size_t at = round % 3 ? (size_t)(place * 1400) : size - 1 - (size_t)(place * 1500);
            copy[at] = (uint8_t)(dipp_philox_uniform_double(2, 0, round, 0, 2 * change + 1) * 256);
        }
        LLVMFuzzerTestOneInput(copy, size);
        opened += !dipp_weights_open_memory(copy, size, "x", &weights, NULL);
        dipp_weights_destroy(&weights);
        free(copy);
    }
    assert_in_range(opened, 100, 5900);
    dipp_release(bytes);
}

static void damaged_files_are_survived(void **state)
{
    (void)state;
    damage(FIXTURES "wrapped.pt");
    damage(FIXTURES "program.pt");
}

static void fail_allocations(const char *file)
{
    char *bytes = NULL;
    size_t size = 0;
    uint64_t nth = 1;
    assert_int_equal(dipp_file_read(file, 1 << 20, &bytes, &size, NULL), DIPP_OK);
    for (;; nth++) {
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_open_memory(bytes, size, "x", &weights, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        assert_true(!weights == failed);
        dipp_weights_destroy(&weights);
        if (!failed)
            break;
    }
    assert_true(nth > 6);
    dipp_release(bytes);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    fail_allocations(FIXTURES "flat.pt");
    fail_allocations(FIXTURES "program.pt");
    fail_allocations(FIXTURES "clip.pt");
}

/* The published heads of the aesthetic predictors: streamed archives with storages that were on a GPU. */
static void published_heads_are_read(void **state)
{
    (void)state;
    char path[SHARED_PATH_BYTES];
    static const struct {
        const char *file;
        size_t tensors;
        uint64_t numbers, width;
        const char *first;
    } heads[] = {{"sac+logos+ava1-l14-linearMSE.pth", 10, 927969, 768, "layers.0.weight"},
                 {"sa_0_4_vit_l_14_linear.pth", 2, 769, 768, "weight"},
                 {"sa_0_4_vit_b_32_linear.pth", 2, 513, 512, "weight"},
                 {"sa_0_4_vit_b_16_linear.pth", 2, 513, 512, "weight"}};
    for (size_t i = 0; i < 4; i++) {
        char name[100];
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        snprintf(name, sizeof name, "aesthetic/%s", heads[i].file);
        shared_data_or_skip(name, path);
        if (dipp_weights_open(path, &weights, &error))
            fail_msg("%s", error.message);
        assert_int_equal(dipp_weights_count(weights), heads[i].tensors);
        uint64_t numbers = 0;
        for (size_t t = 0; t < heads[i].tensors; t++) {
            const dipp_weight_tensor *tensor = dipp_weights_at(weights, t);
            numbers += tensor->count;
            assert_int_equal(tensor->dtype, DIPP_WEIGHT_F32);
            assert_int_equal((uintptr_t)tensor->data % 64, 0); /* in place */
        }
        assert_int_equal(numbers, heads[i].numbers);
        assert_int_equal(dipp_weights_find(weights, heads[i].first)->shape[1], heads[i].width);
        dipp_weights_destroy(&weights);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_pytorch_wrote_is_read),        cmocka_unit_test(what_is_not_weights_is_named),
        cmocka_unit_test(every_pickle_is_judged_and_named),  cmocka_unit_test(what_objects_share_is_bounded),
        cmocka_unit_test(every_archive_is_judged_and_named), cmocka_unit_test(damaged_files_are_survived),
        cmocka_unit_test(any_allocation_may_fail),           cmocka_unit_test(published_heads_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
