#include "experiment/diagnostics.h"
#include "experiment/yaml_edit.h"
#include "base/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct fixture {
    dipp_arena *arena;
    dipp_diagnostics *diagnostics;
    const dipp_yaml_node *root;
    dipp_status status;
    dipp_error error;
};

static void parse_bytes(struct fixture *f, const char *text, size_t bytes)
{
    f->arena = dipp_arena_create(0);
    f->diagnostics = dipp_diagnostics_create();
    assert_non_null(f->arena);
    dipp_yaml_source *source = dipp_arena_allocate_zeroed(f->arena, 1, sizeof *source);
    *source = (dipp_yaml_source){.name = "t.yaml", .text = text, .bytes = bytes};
    f->root = NULL;
    f->status = dipp_yaml_parse(f->arena, source, NULL, f->diagnostics, &f->root, &f->error);
}

static void parse(struct fixture *f, const char *text)
{
    parse_bytes(f, text, strlen(text));
}

static void release(struct fixture *f)
{
    dipp_arena_destroy(&f->arena);
    dipp_diagnostics_destroy(&f->diagnostics);
}

/* The text must be refused with these words. */
static void refuse(const char *text, const char *words)
{
    struct fixture f;
    parse(&f, text);
    assert_true(dipp_diagnostics_errors(f.diagnostics) > 0);
    const char *said = dipp_diagnostics_text(f.diagnostics);
    if (!strstr(said, words))
        fail_msg("wanted `%s` in:\n%s", words, said);
    release(&f);
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        dipp_yaml_kind kind;
        double number;
    } table[] = {{"1e-5", DIPP_YAML_FLOAT, 1e-5},
                 {"1E5", DIPP_YAML_FLOAT, 1e5},
                 {".5", DIPP_YAML_FLOAT, 0.5},
                 {"5.", DIPP_YAML_FLOAT, 5},
                 {"-0.25", DIPP_YAML_FLOAT, -0.25},
                 {"+1.5e+3", DIPP_YAML_FLOAT, 1500},
                 {"0.1", DIPP_YAML_FLOAT, 0.1},
                 {"0", DIPP_YAML_INT, 0},
                 {"-17", DIPP_YAML_INT, -17},
                 {"+3", DIPP_YAML_INT, 3},
                 {"0x1F", DIPP_YAML_INT, 31},
                 {"0o17", DIPP_YAML_INT, 15},
                 {"9007199254740993", DIPP_YAML_INT, 9007199254740993.0},
                 {".inf", DIPP_YAML_FLOAT, INFINITY},
                 {"-.Inf", DIPP_YAML_FLOAT, -INFINITY},
                 {"true", DIPP_YAML_BOOL, 0},
                 {"FALSE", DIPP_YAML_BOOL, 0},
                 {"null", DIPP_YAML_NULL, 0},
                 {"~", DIPP_YAML_NULL, 0},
                 {"yes", DIPP_YAML_STRING, 0},
                 {"off", DIPP_YAML_STRING, 0},
                 {"NO", DIPP_YAML_STRING, 0},
                 {"1.5x", DIPP_YAML_STRING, 0},
                 {"1_000", DIPP_YAML_STRING, 0},
                 {"1e", DIPP_YAML_STRING, 0},
                 {"e5", DIPP_YAML_STRING, 0},
                 {".", DIPP_YAML_STRING, 0},
                 {"-", DIPP_YAML_STRING, 0},
                 {"0x", DIPP_YAML_STRING, 0},
                 {"0xg", DIPP_YAML_STRING, 0},
                 {"1.2.3", DIPP_YAML_STRING, 0},
                 {"inf", DIPP_YAML_STRING, 0},
                 {"nan", DIPP_YAML_STRING, 0},
                 {"12:30", DIPP_YAML_STRING, 0},
                 {"none", DIPP_YAML_STRING, 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        dipp_yaml_node node = {0};
        assert_null(dipp_yaml_type_plain(table[i].text, &node));
        if (node.kind != table[i].kind)
            fail_msg("`%s` is %s", table[i].text, dipp_yaml_kind_name(node.kind));
        if (node.kind == DIPP_YAML_FLOAT)
            assert_true(node.real == table[i].number);
        if (node.kind == DIPP_YAML_INT)
            assert_true((double)node.integer == table[i].number);
    }
    dipp_yaml_node node = {0};
    assert_null(dipp_yaml_type_plain(".nan", &node));
    assert_true(isnan(node.real));
    assert_null(dipp_yaml_type_plain("9223372036854775807", &node));
    assert_true(node.integer == INT64_MAX);
    static const char *const refused[] = {"010",  "-010", "00", "01.5", "9223372036854775808", "0x8000000000000000",
                                          "1e999"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!dipp_yaml_type_plain(refused[i], &node))
            fail_msg("`%s` was accepted", refused[i]);
}

static void quoted_scalars_are_strings(void **state)
{
    (void)state;
    struct fixture f;
    parse(&f, "a: \"1\"\nb: 'true'\nc: |\n  010\nd: \"010\"\n");
    assert_int_equal(f.status, DIPP_OK);
    assert_int_equal(dipp_diagnostics_errors(f.diagnostics), 0);
    for (size_t i = 0; i < f.root->count; i++)
        assert_int_equal(f.root->entries[i].value->kind, DIPP_YAML_STRING);
    assert_string_equal(dipp_yaml_find(f.root, "c")->value->text, "010\n");
    release(&f);
}

static void nodes_know_their_place(void **state)
{
    (void)state;
    struct fixture f;
    parse(&f, "a: 1\nb:\n  - caf\xc3\xa9: [2,  wider]\n");
    const dipp_yaml_node *item = dipp_yaml_at(f.root, "b[0].caf\xc3\xa9[1]");
    assert_non_null(item);
    assert_int_equal(item->mark.line, 3);
    assert_int_equal(item->mark.column, 16);
    assert_int_equal(item->mark.length, 5);
    assert_int_equal(f.root->entries[1].mark.line, 2);
    release(&f);
}

static void faults_are_found(void **state)
{
    (void)state;
    refuse("a: 1\nb: 2\na: 3\n", "t.yaml:3:1: duplicate key `a`, first on line 1");
    refuse("a: 010\n", "t.yaml:1:4: `010`: a leading zero");
    refuse("a: {<<: 3}\n", "merge keys are not accepted");
    refuse("a: !!str 3\n", "t.yaml:1:4: tags are not accepted");
    refuse("a: !mine 3\n", "tags are not accepted");
    refuse("%TAG !e! tag:x,2000:\n---\na: 1\n", "tags are not accepted");
    refuse("a: 1\n---\nb: 1\n", "t.yaml:2:1: a second document begins here");
    refuse("a: *b\n", "t.yaml:1:4: found undefined alias");
    refuse("a: &b [*b]\n", "contains an alias of itself");
    refuse("a: \"x\\0y\"\n", "NUL");
    refuse("[a]: 1\n", "a key must be a plain name");
    refuse("a: \xff\n", "invalid leading UTF-8 octet");
    refuse("x: 1\na: \x01\n", "t.yaml:2:4: control characters are not allowed");
    refuse("a:\n\tb: 1\n", "indent with spaces, not tabs");
    refuse("a: [1\n", "t.yaml:1:6: did not find expected ',' or ']'");
    refuse("a: 99999999999999999999\n", "does not fit 64 bits");
}

static void all_faults_of_a_file_are_told_at_once(void **state)
{
    (void)state;
    struct fixture f;
    parse(&f, "a: 010\nb: 1\nb: 2\nc: !t 1\n");
    assert_int_equal(f.status, DIPP_OK);
    assert_int_equal(dipp_diagnostics_errors(f.diagnostics), 3);
    release(&f);
}

static void an_empty_text_is_null(void **state)
{
    (void)state;
    struct fixture f;
    parse(&f, "# nothing\n");
    assert_int_equal(f.status, DIPP_OK);
    assert_int_equal(f.root->kind, DIPP_YAML_NULL);
    release(&f);
}

/* Each of these keeps libyaml busy for minutes when it is let through, so a hang here is the failure. */
static void hostile_texts_are_refused_early(void **state)
{
    (void)state;
    static const char *const pieces[] = {"[", "{a: ", "- ", "? ", "[a, ", "&a [", "{? "};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t length = strlen(pieces[i]), count = 1000000 / length;
        char *text = malloc(count * length);
        for (size_t j = 0; j < count; j++)
            memcpy(text + j * length, pieces[i], length);
        struct fixture f;
        parse_bytes(&f, text, count * length);
        assert_int_equal(f.status, DIPP_E_FORMAT);
        assert_non_null(strstr(f.error.message, "nested deeper than 64 levels"));
        release(&f);
        free(text);
    }
    size_t bytes = 10u << 20;
    char *large = malloc(bytes);
    memset(large, '#', bytes);
    struct fixture f;
    parse_bytes(&f, large, bytes);
    assert_int_equal(f.status, DIPP_E_FORMAT);
    assert_non_null(strstr(f.error.message, "10485760 bytes; an experiment may have at most 1048576"));
    release(&f);
    char *anchors = malloc(1 << 20), *end = anchors;
    for (int i = 0; i < 60000; i++)
        end += sprintf(end, "- &a%d 1\n", i);
    parse_bytes(&f, anchors, (size_t)(end - anchors));
    assert_non_null(strstr(f.error.message, "more than 1000 anchors"));
    release(&f);
    end = anchors;
    for (int i = 0; i < 50000; i++)
        end += sprintf(end, "%%TAG !a%d! b\n", i);
    parse_bytes(&f, anchors, (size_t)(end - anchors));
    assert_non_null(strstr(f.error.message, "tags are not accepted"));
    release(&f);
    free(anchors);
    memset(large, ' ', 1 << 20);
    for (size_t i = 0; i + 1 < 1 << 20; i += 2)
        large[i] = ',';
    large[0] = '[';
    parse_bytes(&f, large, 1 << 20);
    assert_int_equal(f.status, DIPP_E_FORMAT);
    release(&f);
    free(large);
}

static void alias_bombs_are_refused(void **state)
{
    (void)state;
    refuse("a: &a [1,1,1,1,1,1,1,1,1,1]\n"
           "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
           "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
           "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
           "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
           "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
           "the aliases expand to too many values");
    char text[8192], *end = text;
    end += sprintf(end, "- &a0 [1]\n");
    for (int i = 1; i < 200; i++)
        end += sprintf(end, "- &a%d [*a%d]\n", i, i - 1);
    refuse(text, "the aliases expand to a too deep tree");
    struct fixture f;
    parse(&f, "a: &x {k: [1, 2]}\nb: *x\n");
    assert_int_equal(f.status, DIPP_OK);
    assert_true(dipp_yaml_at(f.root, "b.k[1]")->integer == 2);
    release(&f);
}

static void a_large_file_is_not_read(void **state)
{
    (void)state;
    char path[] = "/tmp/dipp-yaml-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    FILE *stream = fdopen(file, "w");
    for (int i = 0; i < 10 << 10; i++)
        fprintf(stream, "%01023d\n", 0);
    fclose(stream);
    dipp_arena *arena = dipp_arena_create(0);
    dipp_yaml_source *source = NULL;
    dipp_error error;
    assert_int_equal(dipp_yaml_read_file(arena, path, NULL, &source, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "1048576"));
    remove(path);
    assert_int_equal(dipp_yaml_read_file(arena, path, NULL, &source, &error), DIPP_E_NOT_FOUND);
    assert_int_not_equal(dipp_yaml_read_file(arena, "/tmp", NULL, &source, &error), DIPP_OK);
    dipp_arena_destroy(&arena);
}

static void json_is_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *json;
    } table[] = {
        {"{b: 1, a: 2}", "{\"a\":2,\"b\":1}"},
        {"{ab: 1, a: 2, B: 3}", "{\"B\":3,\"a\":2,\"ab\":1}"},
        {"[1e-5, 0.1, 3.0, -0.0, 1e22, 0.30000000000000004, 1.7976931348623157e308, 5e-324]",
         "[1e-05,0.1,3,0,1e+22,0.30000000000000004,1.7976931348623157e+308,5e-324]"},
        {"[null, true, \"a\\\"\\\\\\n\\x1b\", caf\xc3\xa9, []]",
         "[null,true,\"a\\\"\\\\\\u000a\\u001b\",\"caf\xc3\xa9\",[]]"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fixture f;
        parse(&f, table[i].yaml);
        assert_int_equal(f.status, DIPP_OK);
        dipp_text json = {0};
        dipp_yaml_write_json(&json, f.root, false);
        assert_string_equal(json.data, table[i].json);
        struct fixture again;
        parse(&again, json.data);
        dipp_text second = {0};
        dipp_yaml_write_json(&second, again.root, false);
        assert_string_equal(second.data, json.data);
        dipp_text_discard(&json);
        dipp_text_discard(&second);
        release(&f);
        release(&again);
    }
}

static void edits_leave_the_old_tree_alone(void **state)
{
    (void)state;
    struct fixture f, g;
    parse(&f, "a: {b: [{c: 1}, {c: 2}], d: 3}\ne: 4\n");
    parse(&g, "7");
    const dipp_yaml_node *out = NULL;
    dipp_error error;
    assert_int_equal(dipp_yaml_set(f.arena, f.root, "a.b[1].c", NULL, g.root, &out, &error), DIPP_OK);
    assert_true(dipp_yaml_at(out, "a.b[1].c")->integer == 7);
    assert_true(dipp_yaml_at(f.root, "a.b[1].c")->integer == 2);
    assert_int_equal(dipp_yaml_set(f.arena, out, "x.y", NULL, g.root, &out, &error), DIPP_OK);
    assert_true(dipp_yaml_at(out, "x.y")->integer == 7);
    assert_int_equal(dipp_yaml_set(f.arena, out, "a.d", NULL, NULL, &out, &error), DIPP_OK);
    assert_null(dipp_yaml_at(out, "a.d"));
    assert_int_equal(dipp_yaml_set(f.arena, out, "a.b[2].c", NULL, g.root, &out, &error), DIPP_E_INVALID);
    static const char *const malformed[] = {"",    ".",    "a.",  ".a",    "a..b",      "a[",
                                            "a[]", "a[x]", "a[1", "a[1]b", "a[9999999]"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(dipp_yaml_set(f.arena, out, malformed[i], NULL, g.root, &out, &error), DIPP_E_INVALID);
    release(&f);
    release(&g);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *text = "a: &x [1, {b: c}]\nd: *x\nd: 010\n";
    for (uint64_t nth = 1;; nth++) {
        dipp_arena *arena = dipp_arena_create(0);
        dipp_diagnostics *diagnostics = dipp_diagnostics_create();
        dipp_yaml_source source = {.name = "t.yaml", .text = text, .bytes = strlen(text)};
        const dipp_yaml_node *root = NULL;
        dipp_memory_fail_nth(nth, true);
        dipp_status status = dipp_yaml_parse(arena, &source, NULL, diagnostics, &root, NULL);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_true(status == DIPP_OK || status == DIPP_E_MEMORY);
        assert_true(!failed || status == DIPP_E_MEMORY || dipp_diagnostics_errors(diagnostics));
        dipp_diagnostics_destroy(&diagnostics);
        dipp_arena_destroy(&arena);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_follow_the_core_schema),
        cmocka_unit_test(quoted_scalars_are_strings),
        cmocka_unit_test(nodes_know_their_place),
        cmocka_unit_test(faults_are_found),
        cmocka_unit_test(all_faults_of_a_file_are_told_at_once),
        cmocka_unit_test(an_empty_text_is_null),
        cmocka_unit_test(hostile_texts_are_refused_early),
        cmocka_unit_test(alias_bombs_are_refused),
        cmocka_unit_test(a_large_file_is_not_read),
        cmocka_unit_test(json_is_canonical),
        cmocka_unit_test(edits_leave_the_old_tree_alone),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
