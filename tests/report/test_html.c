/* Escaping, numbers and base64: exact outputs, and whatever bytes go in, XML comes out. */
#include "report/html.h"
#include "xml_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

static void gives(void (*write)(dipp_text *, const char *), const char *text, const char *expected)
{
    dipp_text out = {0};
    write(&out, text);
    assert_string_equal(out.data ? out.data : "", expected);
    dipp_text_discard(&out);
}

static void test_escapes(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"<script>", "&lt;script&gt;"},
        {"a & b &amp; \"c\" 'd'", "a &amp; b &amp;amp; &quot;c&quot; &#39;d&#39;"},
        {"]]>", "]]&gt;"},
        {"tab\tline\n", "tab\tline\n"},
        {"\x01\x1b\x7f\r", "\xe2\x90\x81\xe2\x90\x9b\xe2\x90\xa1\xe2\x90\x8d"},
        {"\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80"},
        {"\xff", "\xef\xbf\xbd"},                                 /* no UTF-8 */
        {"\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* '<' in too many bytes */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* cut short */
        {"a\xc2\x85z", "a\xef\xbf\xbdz"},                         /* C1 */
        {"\xe2\x80\xae"
         "abc",
         "\xef\xbf\xbd"
         "abc"},                              /* right-to-left override */
        {"\xef\xbf\xbe", "\xef\xbf\xbd"},     /* U+FFFE */
        {"\xf4\x8f\xbf\xbf", "\xef\xbf\xbd"}, /* U+10FFFF */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        gives(dipp_html_text, cases[i].text, cases[i].expected);
    gives(dipp_html_text, NULL, "");
    gives(dipp_html_name, "<x>", "<bdi>&lt;x&gt;</bdi>");
    dipp_text out = {0};
    dipp_html_element(&out, "td", "a \"b\"", "1 < 2");
    dipp_html_textf(&out, "<%s>%d", "&", 7);
    assert_string_equal(out.data, "<td class=\"a &quot;b&quot;\">1 &lt; 2</td>&lt;&amp;&gt;7");
    dipp_text_discard(&out);
}

/* Every pair of bytes, and long random strings, as element and attribute. */
static void test_anything_is_xml(void **state)
{
    uint32_t random = 1;
    for (int round = 0; round < 3000; round++) {
        char bytes[48];
        size_t length = 1 + round % 40;
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525u + 1013904223u;
            static const unsigned char edges[] = {'<',  '&',  '>',  '"',  '\'', 0xe2, 0x80,
                                                  0xae, 0xef, 0xbf, 0xbe, 0xc0, 0x1f, ']'};
            unsigned char byte = random >> 30 ? (unsigned char)(random >> 20) : edges[(random >> 16) % sizeof edges];
            bytes[i] = (char)(byte ? byte : 1);
        }
        bytes[length] = 0;
        dipp_text out = {0};
        dipp_text_append(&out, "<a");
        dipp_html_attribute(&out, "title", bytes);
        dipp_text_append(&out, ">");
        dipp_html_name(&out, bytes);
        dipp_text_append(&out, "</a>");
        xml_facts facts;
        xml_read(out.data, &facts);
        if (*facts.fault || xml_count(&facts, "bdi") != 1 || xml_count(&facts, "a") != 1)
            fail_msg("%s\n%s", facts.fault, out.data);
        xml_clear(&facts);
        dipp_text_discard(&out);
    }
}

static void test_base64(void **state) /* RFC 4648, section 10 */
{
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_text out = {0};
        dipp_html_base64(&out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(out.data ? out.data : "", cases[i][1]);
        dipp_text_discard(&out);
    }
    uint8_t all[3000];
    dipp_text out = {0};
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)(i * 7);
    dipp_html_base64(&out, all, sizeof all);
    assert_int_equal(out.length, 4000);
    dipp_text_discard(&out);
}

static void test_numbers(void **state)
{
    static const struct {
        double value;
        int digits;
        bool sign;
        const char *expected;
    } cases[] = {
        {0, 3, true, "0"},
        {-0.0, 3, false, "0"},
        {1, 3, true, "+1.00"},
        {-0.0123456, 3, false,
         "\xe2\x88\x92"
         "0.0123"},
        {0.99996, 4, false, "1.000"},
        {9.996, 3, false, "10.0"},
        {123456, 3, false, "123456"},
        {0.00012345, 2, false, "0.00012"},
        {0.000012345, 2, true, "+1.2e-05"},
        {1234567, 3, false, "1.23e+06"},
        {NAN, 3, true, "nan"},
        {-INFINITY, 3, true, "\xe2\x88\x92\xe2\x88\x9e"},
    };
    char out[DIPP_HTML_NUMBER_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(dipp_html_number(cases[i].value, cases[i].digits, cases[i].sign, out), cases[i].expected);
}

static void test_shorten(void **state)
{
    char out[16];
    assert_string_equal(dipp_html_shorten("abc", 3, out, sizeof out), "abc");
    assert_string_equal(dipp_html_shorten("abcd", 3, out, sizeof out), "ab\xe2\x80\xa6");
    assert_string_equal(dipp_html_shorten("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 3, out, sizeof out),
                        "\xc3\xa9\xc3\xa9\xe2\x80\xa6");
    assert_string_equal(dipp_html_shorten("0123456789abcdef", 99, out, sizeof out), "0123456789ab\xe2\x80\xa6");
    assert_string_equal(dipp_html_shorten("", 3, out, sizeof out), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes), cmocka_unit_test(test_anything_is_xml), cmocka_unit_test(test_base64),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_shorten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
