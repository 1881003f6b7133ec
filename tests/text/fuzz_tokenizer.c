/* Fuzz target of the readers of tokenizer files and of the encoder, in libFuzzer's form; test_tokenizer_files.c
 * replays a corpus through it. The first byte says whose rule; the file follows, and where a zero byte is in it, what
 * is behind that byte is a merges file. To hunt: clang -fsanitize=fuzzer,address,undefined with the sources of
 * core/base and core/text, -ljansson -lz -lutf8proc, and files of tests/fixtures/tokenizers with a letter before them
 * as the first corpus. */
#include <dipp/text.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const dipp_tokenizer *tokenizer, const char *text, size_t bytes)
{
    int32_t ids[9];
    size_t count = 0;
    dipp_error error = {0};
    if (bytes > 4096)
        bytes = 4096;
    if (dipp_tokenizer_encode(tokenizer, text, bytes, 9, ids, &count, &error)) {
        if (!error.message[0])
            abort();
        return;
    }
    for (size_t i = 0; i < 9; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= dipp_tokenizer_size(tokenizer))
            abort();
    if (count < 2 || count > 2 + 3 * bytes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_tokenizer *tokenizer = NULL;
    dipp_error error = {0};
    if (!size)
        return 0;
    dipp_tokenizer_rule rule = (dipp_tokenizer_rule)(data[0] & 3);
    const uint8_t *file = data + 1, *split = memchr(file, 0, size - 1);
    size_t bytes = split && file[0] != 0x1f ? (size_t)(split - file) : size - 1;
    const uint8_t *merges = bytes < size - 1 ? split + 1 : NULL;
    if (dipp_tokenizer_create_memory(rule, "input", file, bytes, merges, merges ? size - 2 - bytes : 0, &tokenizer,
                                     &error)) {
        if (tokenizer || !error.message[0])
            abort();
        return 0;
    }
    encode(tokenizer, (const char *)data, size);
    encode(tokenizer, "", 0);
    dipp_tokenizer_destroy(&tokenizer);
    return 0;
}
