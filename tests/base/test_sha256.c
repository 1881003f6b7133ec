#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* The examples that NIST publishes with FIPS 180-4. */
static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void published_examples(void **state)
{
    (void)state;
    char out[65];
    dipp_sha256_hex("abc", 3, out);
    assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    dipp_sha256_hex(NULL, 0, out);
    assert_string_equal(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    dipp_sha256_hex(two_blocks, strlen(two_blocks), out);
    assert_string_equal(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void pieces_of_any_size_give_one_digest(void **state)
{
    (void)state;
    static char a[200];
    memset(a, 'a', sizeof a);
    for (size_t piece = 1; piece < sizeof a; piece += 7) {
        dipp_sha256 hash;
        dipp_sha256_init(&hash);
        for (size_t left = 1000000; left;) {
            size_t now = left < piece ? left : piece;
            dipp_sha256_update(&hash, a, now);
            left -= now;
        }
        char out[65];
        dipp_sha256_final_hex(&hash, out);
        assert_string_equal(out, million_a);
    }
}

static void instruction_sets_agree(void **state)
{
    (void)state;
    static uint8_t data[64 * 33 + 1];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 3);
    const dipp_sha256_path *portable = &dipp_sha256_paths[dipp_sha256_path_count - 1];
    assert_true(portable->supported());
    for (size_t p = 0; p < dipp_sha256_path_count; p++) {
        if (!dipp_sha256_paths[p].supported()) {
            print_message("this CPU lacks %s; not compared\n", dipp_sha256_paths[p].name);
            continue;
        }
        for (size_t blocks = 0; blocks <= 33; blocks++) {
            uint32_t expected[8] = {1, 2, 3, 4, 0xfffffff5, 6, 7, 0x80000000}, found[8];
            memcpy(found, expected, sizeof found);
            portable->compress(expected, data + 1, blocks);
            dipp_sha256_paths[p].compress(found, data + 1, blocks);
            assert_memory_equal(found, expected, sizeof found);
        }
    }
}

static void a_file_is_hashed_and_a_missing_one_named(void **state)
{
    (void)state;
    char path[] = "/tmp/dipp-sha256-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    static char a[1000000];
    memset(a, 'a', sizeof a);
    assert_int_equal(write(descriptor, a, sizeof a), sizeof a);
    close(descriptor);
    char out[65];
    dipp_error error;
    assert_int_equal(dipp_sha256_file(path, out, &error), DIPP_OK);
    assert_string_equal(out, million_a);
    unlink(path);
    assert_int_equal(dipp_sha256_file(path, out, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(dipp_sha256_file("/tmp", out, &error), DIPP_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),
        cmocka_unit_test(pieces_of_any_size_give_one_digest),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(a_file_is_hashed_and_a_missing_one_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
