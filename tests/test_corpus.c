/* SPDX-License-Identifier: MIT
 *
 * test_corpus.c - SHA-256, UTF-8, vocabularies, texts and the order of batches.
 */
#define _POSIX_C_SOURCE 200809L
#include "sha256.h"
#include "stream.h"
#include "tap.h"
#include "utf8.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static lstm_error err;

static void check_error(const char *field, const char *message, const char *what)
{
    bool same = strcmp(err.field, field) == 0 && strcmp(err.message, message) == 0;

    tap_ok(same, "%s", what);
    if (!same)
        tap_note("got (%s) \"%s\", expected (%s) \"%s\"", err.field, err.message, field, message);
    memset(&err, 0, sizeof err);
}

static uint32_t random_bits(void)
{
    static uint64_t counter;
    uint32_t out[4];

    lstm_philox(1, 2, counter++, out);
    return out[0];
}

static size_t random_below(size_t n)
{
    return random_bits() % n;
}

static void *take(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);

    if (!p)
        exit(EXIT_FAILURE);
    return p;
}

/* ---- SHA-256 ----------------------------------------------------------------------------------------------- */

static bool hash_is(const char *text, size_t size, const char *want)
{
    char hex[LSTM_SHA256_HEX_SIZE];

    lstm_sha256_hex(text, size, hex);
    return strcmp(hex, want) == 0;
}

/* Examples of FIPS 180-4's validation, and the text's hash that every tool prints. */
static void test_sha256_vectors(void)
{
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *million = take(1000000);

    tap_ok(hash_is(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "sha256 of nothing");
    tap_ok(hash_is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "sha256 of abc");
    tap_ok(hash_is(two, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
           "sha256 of two blocks");
    memset(million, 'a', 1000000);
    tap_ok(hash_is(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
           "sha256 of a million times a");
    free(million);
}

static void test_sha256_pieces(void)
{
    uint8_t data[400], digest[LSTM_SHA256_SIZE];
    char whole[LSTM_SHA256_HEX_SIZE], pieces[LSTM_SHA256_HEX_SIZE];
    bool same = true;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof data; size++) {
        lstm_sha256 s;
        lstm_sha256_init(&s);
        for (size_t at = 0, n; at < size; at += n) {
            n = random_below(size - at < 130 ? size - at + 1 : 131);
            lstm_sha256_update(&s, data + at, n);
        }
        lstm_sha256_final(&s, digest);
        lstm_sha256_digits(digest, pieces);
        lstm_sha256_hex(data, size, whole);
        same = same && strcmp(whole, pieces) == 0;
    }
    tap_ok(same, "sha256 in pieces equals the whole, 0 to 400 bytes");
}

/* ---- UTF-8 ------------------------------------------------------------------------------------------------- */

static bool within(uint8_t byte, int low, int high)
{
    return byte >= low && byte <= high;
}

/* Unicode 15, table 3-7, row by row: another way to say what utf8.c computes. */
static size_t well_formed(const uint8_t *p)
{
    bool tail2 = within(p[2], 0x80, 0xbf), tail3 = tail2 && within(p[3], 0x80, 0xbf);

    if (p[0] <= 0x7f)
        return 1;
    if (within(p[0], 0xc2, 0xdf))
        return within(p[1], 0x80, 0xbf) ? 2 : 0;
    if (within(p[0], 0xe0, 0xef))
        return within(p[1], p[0] == 0xe0 ? 0xa0 : 0x80, p[0] == 0xed ? 0x9f : 0xbf) && tail2 ? 3 : 0;
    if (within(p[0], 0xf0, 0xf4))
        return within(p[1], p[0] == 0xf0 ? 0x90 : 0x80, p[0] == 0xf4 ? 0x8f : 0xbf) && tail3 ? 4 : 0;
    return 0;
}

static void test_utf8_sequences(void)
{
    static const uint8_t edge[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
    size_t wrong = 0, characters = 0;
    uint32_t code;

    for (uint32_t first = 0; first < 0x1000000; first++) { /* all of three bytes, and a fourth */
        uint8_t p[4] = { (uint8_t)(first >> 16), (uint8_t)(first >> 8), (uint8_t)first, edge[first % sizeof edge] };
        wrong += lstm_utf8_decode((char *)p, 4, &code) != well_formed(p);
    }
    for (uint32_t first = 0; first < 0x1000000; first++) { /* all of four bytes from F0 to F7, edges as the last */
        uint8_t p[4] = { (uint8_t)(0xf0 | first >> 21), (uint8_t)(first >> 13), (uint8_t)(first >> 5), 0x80 };
        p[3] = (uint8_t)(first % 32 < sizeof edge ? edge[first % 32] : first % 32 + 0x80);
        wrong += lstm_utf8_decode((char *)p, 4, &code) != well_formed(p);
    }
    tap_ok(wrong == 0, "utf8: 33,554,432 sequences are taken or refused as in the Unicode standard");
    for (uint32_t b0 = 0; b0 < 256; b0++)
        for (size_t size = 0; size < 4; size++) {
            uint8_t p[4] = { (uint8_t)b0, 0x90, 0x90, 0x90 };
            size_t n = well_formed(p);
            characters += lstm_utf8_decode((char *)p, size, &code) != (n <= size ? n : 0);
        }
    tap_ok(characters == 0, "utf8: nothing is read behind the end");
}

static size_t put_utf8(uint32_t c, char *p)
{
    if (c < 0x80)
        return p[0] = (char)c, 1;
    if (c < 0x800)
        return p[0] = (char)(0xc0 | c >> 6), p[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return p[0] = (char)(0xe0 | c >> 12), p[1] = (char)(0x80 | (c >> 6 & 63)), p[2] = (char)(0x80 | (c & 63)), 3;
    p[0] = (char)(0xf0 | c >> 18), p[1] = (char)(0x80 | (c >> 12 & 63));
    p[2] = (char)(0x80 | (c >> 6 & 63)), p[3] = (char)(0x80 | (c & 63));
    return 4;
}

static void test_utf8_code_points(void)
{
    size_t wrong = 0;

    for (uint32_t c = 0; c < 0x120000; c++) {
        char p[4];
        uint32_t code = 0;
        size_t n = put_utf8(c, p), got = lstm_utf8_decode(p, n, &code);
        bool scalar = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
        wrong += scalar ? got != n || code != c : got != 0;
    }
    tap_ok(wrong == 0, "utf8: every code point to U+10FFFF but the surrogates, and none above");
    tap_ok(lstm_utf8_fault("a\xc3\xa9z", 4) == 4, "utf8: no fault in good text");
    tap_ok(lstm_utf8_fault("a\xc3\xa9\xe9z", 5) == 3, "utf8: a fault is where its sequence begins");
    tap_ok(lstm_utf8_fault("ab\xe2\x82", 4) == 2, "utf8: a truncated character is a fault");
    tap_ok(lstm_utf8_fault("", 0) == 0, "utf8: nothing is valid");
}

/* ---- vocabularies ------------------------------------------------------------------------------------------ */

static lstm_vocab *vocab_of(lstm_tokens tokens, const char *text, size_t size)
{
    return lstm_vocab_build(tokens, &(lstm_text) { "t", text, size, 0 }, 1, &err);
}

static lstm_vocab *vocab_of_string(lstm_tokens tokens, const char *text)
{
    return vocab_of(tokens, text, strlen(text));
}

/* The symbols in order, joined by '|'. */
static const char *symbols(const lstm_vocab *v)
{
    static char text[512];
    size_t used = 0, n;

    for (size_t id = 0; id < lstm_vocab_size(v); id++) {
        const char *symbol = lstm_vocab_symbol(v, (int32_t)id, &n);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", id ? "|" : "", (int)n, symbol);
    }
    return text;
}

static bool round_trip(const lstm_vocab *v, const char *text, size_t size)
{
    int32_t *ids = take(size * sizeof *ids);
    size_t count, again, length;
    bool same = lstm_vocab_encode(v, &(lstm_text) { "t", text, size, 0 }, -1, ids, &count, &err) == 0
        && lstm_vocab_count(lstm_vocab_tokens(v), &(lstm_text) { "t", text, size, 0 }, &again, &err) == 0
        && again == count && lstm_vocab_decoded_size(v, ids, count, &length, &err) == 0 && length == size;
    char *decoded = take(size);

    if (same)
        lstm_vocab_decode(v, ids, count, decoded);
    same = same && memcmp(decoded, text, size) == 0;
    free(decoded);
    free(ids);
    return same;
}

static void test_vocab_kinds(void)
{
    const char *text = "Don't go, na\xc3\xafve Z\xc3\xbcrich!\r\n  It\xe2\x80\x99s \xe2\x80\x9cx1\xe2\x80\x9d\n";
    lstm_vocab *v;

    v = vocab_of(LSTM_TOKENS_BYTES, "b\0a\xff\nb", 6);
    tap_ok(lstm_vocab_size(v) == 5 && lstm_vocab_find(v, "", 1) == 0 && lstm_vocab_find(v, "\n", 1) == 1
           && lstm_vocab_find(v, "a", 1) == 2 && lstm_vocab_find(v, "b", 1) == 3 && lstm_vocab_find(v, "\xff", 1) == 4,
           "bytes: in increasing value, NUL and 0xFF included");
    tap_ok(lstm_vocab_find(v, "c", 1) == -1 && lstm_vocab_find(v, "ab", 2) == -1 && lstm_vocab_find(v, "", 0) == -1,
           "bytes: other symbols are not found");
    tap_ok(round_trip(v, "\0\0ab\xff\n", 6), "bytes: decode(encode(text)) = text");
    lstm_vocab_free(v);

    v = vocab_of_string(LSTM_TOKENS_CHARS, "z\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9" "a\xef\xbf\xbd\n");
    tap_string(symbols(v), "\n|a|z|\xc3\xa9|\xe2\x82\xac|\xef\xbf\xbd|\xf0\x9f\x98\x80",
               "chars: in order of code points");
    tap_ok(round_trip(v, "\xf0\x9f\x98\x80z\xe2\x82\xac\n\xc3\xa9", 11), "chars: decode(encode(text)) = text");
    lstm_vocab_free(v);

    v = vocab_of_string(LSTM_TOKENS_WORDS, text);
    tap_string(symbols(v),
               "\n|\r| |!|,|Don't|It\xe2\x80\x99s|Z\xc3\xbcrich|go|na\xc3\xafve|x1|\xe2\x80\x9c|\xe2\x80\x9d",
               "words: runs of letters, digits and apostrophes; every other character of its own; sorted by bytes");
    tap_ok(round_trip(v, text, strlen(text)), "words: decode(encode(text)) = text");
    lstm_vocab_free(v);
}

/* First and last of each range that vocab.c takes for signs, with their neighbours. */
static void test_word_characters(void)
{
    static const struct {
        uint32_t c;
        bool in_word;
    } cases[] = {
        { '@', 0 },    { 'A', 1 },    { 'Z', 1 },    { '[', 0 },     { '`', 0 },     { 'a', 1 },     { 'z', 1 },
        { '{', 0 },    { '/', 0 },    { '0', 1 },    { '9', 1 },     { ':', 0 },     { '\'', 1 },    { 0x7f, 0 },
        { 0x80, 0 },   { 0xa9, 0 },   { 0xaa, 1 },   { 0xab, 0 },    { 0xb5, 1 },    { 0xba, 1 },    { 0xbf, 0 },
        { 0xc0, 1 },   { 0xd6, 1 },   { 0xd7, 0 },   { 0xd8, 1 },    { 0xf7, 0 },    { 0x1fff, 1 },  { 0x2000, 0 },
        { 0x2018, 0 }, { 0x2019, 1 }, { 0x201a, 0 }, { 0x206f, 0 },  { 0x2070, 1 },  { 0x209f, 1 },  { 0x20a0, 0 },
        { 0x20cf, 0 }, { 0x20d0, 1 }, { 0x218f, 1 }, { 0x2190, 0 },  { 0x2bff, 0 },  { 0x2c00, 1 },  { 0x3004, 0 },
        { 0x3005, 1 }, { 0x3008, 0 }, { 0x3020, 0 }, { 0x3021, 1 },  { 0x4e00, 1 },  { 0xfeff, 0 },  { 0xff00, 1 },
        { 0xff0f, 0 }, { 0xff10, 1 }, { 0xff1a, 0 }, { 0xff20, 0 },  { 0xff21, 1 },  { 0xfffd, 0 },  { 0x10000, 1 },
        { 0x1f000, 0 }, { 0x1faff, 0 }, { 0x1fb00, 1 }, { 0x10ffff, 1 },
    };
    char text[8] = "a";
    size_t count;

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        size_t n = put_utf8(cases[k].c, text + 1);
        lstm_vocab_count(LSTM_TOKENS_WORDS, &(lstm_text) { "t", text, 1 + n, 0 }, &count, &err);
        tap_ok(count == (cases[k].in_word ? 1 : 2), "words: U+%04X is %s", (unsigned)cases[k].c,
               cases[k].in_word ? "part of a word" : "a token of its own");
    }
}

static void test_vocab_large(void)
{
    enum { WORDS = 50000 };
    char *text = take(WORDS * 8);
    size_t size = 0, sorted = 0, found = 0, n, m;
    lstm_vocab *v;

    for (int i = 0; i < WORDS; i++)
        size += (size_t)sprintf(text + size, "w%d ", i * 7919 % WORDS);
    v = vocab_of(LSTM_TOKENS_WORDS, text, size);
    for (int32_t id = 0; id < WORDS + 1; id++) {
        const char *a = lstm_vocab_symbol(v, id, &n), *b = lstm_vocab_symbol(v, id + 1, &m);
        char first[16] = "", second[16] = "";
        memcpy(first, a, n);
        if (b)
            memcpy(second, b, m);
        sorted += !b || strcmp(first, second) < 0;
        found += lstm_vocab_find(v, a, n) == id;
    }
    tap_ok(lstm_vocab_size(v) == WORDS + 1 && sorted == WORDS + 1 && found == WORDS + 1,
           "words: 50,000 of them, sorted, each found");
    tap_ok(round_trip(v, text, size), "words: a long text comes back");
    lstm_vocab_free(v);
    free(text);
}

static void test_vocab_shared(void)
{
    lstm_text pieces[2] = { { "a", "ab", 2, 0 }, { "b", "bc", 2, 0 } };
    lstm_vocab *v = lstm_vocab_build(LSTM_TOKENS_BYTES, pieces, 2, &err), *same = vocab_of_string(0, "cab");
    lstm_vocab *chars = vocab_of_string(LSTM_TOKENS_CHARS, "abc"), *other = vocab_of_string(0, "abd");
    size_t n;

    tap_string(symbols(v), "a|b|c", "a vocabulary of several texts");
    tap_ok(lstm_vocab_equal(v, same) && lstm_vocab_equal(v, v), "the same symbols are equal");
    tap_ok(!lstm_vocab_equal(v, chars) && !lstm_vocab_equal(v, other), "other tokens or symbols are not");
    lstm_vocab *two = vocab_of_string(LSTM_TOKENS_WORDS, "abc,"), *lengths = vocab_of_string(LSTM_TOKENS_WORDS, ",ab");
    tap_ok(!lstm_vocab_equal(two, lengths) && !lstm_vocab_equal(v, two), "nor are symbols of other lengths");
    lstm_vocab *fewer = vocab_of_string(0, "ab");
    tap_ok(!lstm_vocab_equal(v, fewer), "nor is a part of them");
    lstm_vocab_free(two);
    lstm_vocab_free(lengths);
    lstm_vocab_free(fewer);
    tap_ok(!lstm_vocab_symbol(v, 3, &n) && !lstm_vocab_symbol(v, -1, &n), "no symbol out of range");
    lstm_vocab_free(lstm_vocab_ref(v));
    tap_ok(lstm_vocab_size(v) == 3, "a vocabulary lives as long as a reference");
    lstm_vocab_free(v);
    lstm_vocab_free(same);
    lstm_vocab_free(chars);
    lstm_vocab_free(other);
    lstm_vocab_free(NULL);
}

/* How a symbol that is missing is named. */
static void check_shown(const lstm_vocab *v, const char *symbol, const char *shown)
{
    char want[64];
    int32_t id;
    size_t count;

    snprintf(want, sizeof want, "the text has '%s' at byte offset 0", shown);
    tap_ok(lstm_vocab_encode(v, &(lstm_text) { NULL, symbol, strlen(symbol), 0 }, -1, &id, &count, &err) == -1
           && strncmp(err.message, want, strlen(want)) == 0, "a symbol is shown as %s", shown);
}

static void test_vocab_errors(void)
{
    lstm_vocab *v = vocab_of_string(LSTM_TOKENS_CHARS, "ab\n?"), *w = vocab_of_string(LSTM_TOKENS_WORDS, "to be");
    int32_t ids[64], bad[3] = { 0, 4, -1 };
    size_t count, size;
    lstm_text text = { "prime", "ab\nb\xc3\xa9", 6, 0 };

    tap_ok(lstm_vocab_encode(v, &text, -1, ids, &count, &err) == -1, "an unknown symbol is an error");
    check_error("", "text 'prime' has '\xc3\xa9' at byte offset 4, line 2, which is not in the vocabulary; "
                "give a symbol to use instead (unknown=)", "which names symbol, offset and line");
    tap_ok(lstm_vocab_encode(v, &text, lstm_vocab_find(v, "?", 1), ids, &count, &err) == 0 && count == 5 && ids[4] == 1,
           "or it is replaced");
    text = (lstm_text) { NULL, "a\x01", 2, 0 };
    lstm_vocab_encode(v, &text, -1, ids, &count, &err);
    check_error("", "the text has '\\x01' at byte offset 1, line 1, which is not in the vocabulary; "
                "give a symbol to use instead (unknown=)", "control characters are shown escaped");
    check_shown(v, "\x7f", "\\x7F");
    check_shown(v, "\xc2\x85", "\\xC2\\x85"); /* a control character, too */
    lstm_vocab *letters = vocab_of_string(LSTM_TOKENS_BYTES, "ab");
    check_shown(letters, "\xff", "\\xFF");
    check_shown(letters, "\n", "\\n");
    lstm_vocab_free(letters);
    text = (lstm_text) { "p", "to antidisestablishmentarianism-and-so-on", 41, 0 };
    lstm_vocab_encode(w, &text, -1, ids, &count, &err);
    check_error("", "text 'p' has 'antidisestablishmentarianism' at byte offset 3, line 1, which is not in the "
                "vocabulary; give a symbol to use instead (unknown=)", "an unknown word is named");
    text = (lstm_text) { "p", "to supercalifragilisticexpialidociousness", 41, 0 };
    lstm_vocab_encode(w, &text, -1, ids, &count, &err);
    check_error("", "text 'p' has 'supercalifragilisticexpialidociou...' at byte offset 3, line 1, which is not in "
                "the vocabulary; give a symbol to use instead (unknown=)", "and cut when it is long");
    text = (lstm_text) { "p", "ab\nb\xe9z", 6, 0 };
    tap_ok(lstm_vocab_encode(v, &text, 0, ids, &count, &err) == -1, "invalid UTF-8 is an error in spite of unknown");
    check_error("", "text 'p' is not valid UTF-8 at byte offset 4, line 2 (0xE9); tokens=\"bytes\" takes any text",
                "which names offset, line and byte");
    tap_ok(lstm_vocab_decoded_size(v, bad, 3, &size, &err) == -1, "ids out of range are an error");
    check_error("ids", "id 4 at place 2 is not in the vocabulary (0 to 3)", "which names id and place");
    tap_ok(!vocab_of_string(LSTM_TOKENS_BYTES, ""), "no vocabulary of an empty text");
    check_error("", "a vocabulary cannot be made of an empty text", "says so");
    tap_ok(!vocab_of_string(LSTM_TOKENS_WORDS, "a \xff"), "no words of what is not UTF-8");
    check_error("", "text 't' is not valid UTF-8 at byte offset 2, line 1 (0xFF); tokens=\"bytes\" takes any text",
                "says so");
    tap_ok(!vocab_of_string((lstm_tokens)7, "a") && strcmp(err.field, "tokens") == 0, "no other kinds of tokens");
    lstm_vocab_free(v);
    lstm_vocab_free(w);
}

static void test_label(void)
{
    char label[LSTM_LABEL_SIZE], name[300];

    memset(name, 'x', sizeof name);
    strcpy(name + 290, "/end.txt");
    lstm_text_label(name, label);
    tap_ok(strlen(label) == LSTM_LABEL_SIZE - 1 && strstr(label, "x/end.txt'") && strstr(label, "text '...x"),
           "of a long name the end is shown");
    memset(name, 'x', sizeof name);
    name[299] = '\0';
    for (size_t at = 200; at + 1 < 299; at += 2)
        memcpy(name + at, "\xc3\xa9", 2);
    for (int shift = 0; shift < 2; shift++) {
        lstm_text_label(name + shift, label);
        tap_ok(lstm_utf8_fault(label, strlen(label)) == strlen(label), "and no half of a character");
        name[298 - shift] = '\0';
    }
    lstm_text_label("", label);
    tap_string(label, "the text", "a text without a name");
}

/* ---- serialised vocabularies -------------------------------------------------------------------------------- */

static void *serialized(const lstm_vocab *v, size_t *size)
{
    void *bytes = take(*size = lstm_vocab_serialized_size(v));

    lstm_vocab_serialize(v, bytes);
    return bytes;
}

/* A string is refused, or it is exactly what the vocabulary made from it says. */
static bool restores_or_refuses(const char *bytes, size_t size)
{
    lstm_vocab *v = lstm_vocab_restore(bytes, size, &err);
    size_t again = 0, n;
    void *same;
    bool good;

    if (!v)
        return strstr(err.message, "vocabulary") != NULL;
    same = serialized(v, &again);
    good = again == size && memcmp(same, bytes, size) == 0;
    for (size_t id = 0; id < lstm_vocab_size(v); id++) {
        const char *symbol = lstm_vocab_symbol(v, (int32_t)id, &n);
        good = good && lstm_vocab_find(v, symbol, n) == (int32_t)id;
    }
    free(same);
    lstm_vocab_free(v);
    return good;
}

static bool survives_mutations(const char *bytes, size_t size, int times)
{
    char *copy = take(size + 8);
    bool good = true;

    for (int k = 0; k < times; k++) {
        size_t length = random_below(4) ? size : random_below(size + 8);
        memcpy(copy, bytes, size);
        memset(copy + size, 'z', 8);
        for (size_t changes = random_below(4); changes > 0 && length > 0; changes--) {
            size_t span = random_below(2) && length > 24 ? 24 : length; /* every other change near the header */
            copy[random_below(span)] = (char)random_bits();
        }
        char *exact = take(length); /* so that a sanitizer sees every byte read behind the end */
        memcpy(exact, copy, length);
        good = good && restores_or_refuses(exact, length);
        free(exact);
    }
    free(copy);
    return good;
}

static void test_serialized(void)
{
    const char *text = "To be, or not to be: caf\xc3\xa9 \xe2\x82\xac 5\n";

    for (lstm_tokens k = 0; k < LSTM_TOKENS_KINDS; k++) {
        lstm_vocab *v = vocab_of_string(k, text), *back;
        size_t size, refused = 0;
        char *bytes = serialized(v, &size);
        back = lstm_vocab_restore(bytes, size, &err);
        tap_ok(back && lstm_vocab_equal(v, back), "%s: serialised and restored", lstm_tokens_name(k));
        for (size_t shorter = 0; shorter < size; shorter++)
            refused += lstm_vocab_restore(bytes, shorter, &err) == NULL;
        tap_ok(refused == size, "%s: refused when truncated anywhere", lstm_tokens_name(k));
        tap_ok(survives_mutations(bytes, size, 5000), "%s: 5,000 mutations refused or restored exactly",
               lstm_tokens_name(k));
        free(bytes);
        lstm_vocab_free(v);
        lstm_vocab_free(back);
    }
}

static void test_serialized_errors(void)
{
    /* bytes "ab": header of 16 bytes, lengths at 16 and 20, symbols at 24 */
    char bytes[27] = "lstmvoc1\0\0\0\0\2\0\0\0\1\0\0\0\1\0\0\0ab";

    tap_ok(restores_or_refuses(bytes, 26), "a vocabulary by hand");
    lstm_vocab_restore(bytes, 27, &err);
    check_error("", "damaged vocabulary: 1 bytes too many", "bytes too many are refused");
    bytes[25] = 'a';
    lstm_vocab_restore(bytes, 26, &err);
    check_error("", "damaged vocabulary: symbol 1 is out of order", "a symbol that occurs twice is refused");
    bytes[16] = 2;
    lstm_vocab_restore(bytes, 26, &err);
    check_error("", "damaged vocabulary: symbol 0 is not one of bytes", "a byte of two bytes is refused");
    memset(bytes + 12, 0xff, 4);
    lstm_vocab_restore(bytes, 26, &err);
    check_error("", "damaged vocabulary: impossible header", "four billion symbols are refused before memory is taken");
    bytes[0] = 'x';
    lstm_vocab_restore(bytes, 26, &err);
    check_error("", "not a vocabulary (or one of a newer version)", "other bytes are refused");
}

/* ---- texts ------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/test_corpus.XXXXXX";

static const char *path_of(const char *name)
{
    static char path[sizeof folder + 300];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *write_text(const char *name, const char *bytes, size_t size)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f) != 0)
        exit(EXIT_FAILURE);
    return path;
}

static lstm_corpus *corpus_of(lstm_tokens tokens, const char *text, size_t size)
{
    lstm_corpus_config config = { .name = "t", .tokens = tokens, .source = { { NULL, text, size } } };

    return lstm_corpus_new(&config, &err);
}

static lstm_corpus *corpus_of_file(lstm_tokens tokens, const char *path)
{
    lstm_corpus_config config = { .tokens = tokens, .source = { { path, NULL, 0 } } };

    return lstm_corpus_new(&config, &err);
}

/* A text of n symbols, all different, whose ids are their places: what a batch holds shows where it was. */
static lstm_corpus *corpus_of_places(size_t n, const double split[LSTM_PARTS])
{
    lstm_corpus_config config = { .name = "notes.txt", .tokens = LSTM_TOKENS_CHARS };
    char *text = take(4 * n);
    size_t size = 0;
    lstm_corpus *c;

    for (size_t i = 0; i < n; i++)
        size += put_utf8((uint32_t)(0x10000 + i), text + size);
    config.source[0] = (lstm_source) { NULL, text, size };
    if (split)
        memcpy(config.split, split, sizeof config.split);
    c = lstm_corpus_new(&config, &err);
    free(text);
    return c;
}

static void test_corpus_file(void)
{
    const char *path = write_text("plain.txt", "ab\r\nba\0z", 8);
    lstm_corpus *c = corpus_of_file(LSTM_TOKENS_BYTES, path);
    static const int32_t want[8] = { 3, 4, 2, 1, 4, 3, 0, 5 };
    int32_t ids[8];

    tap_ok(c && lstm_corpus_size(c) == 8 && lstm_corpus_part_size(c, LSTM_PART_TRAIN) == 8, "a file of bytes");
    tap_ok(lstm_corpus_read(c, LSTM_PART_TRAIN, 0, 8, ids, &err) == 0 && memcmp(ids, want, sizeof want) == 0,
           "CR LF and NUL are kept");
    tap_string(lstm_corpus_name(c), path, "its name is the path");
    tap_string(lstm_corpus_path(c, LSTM_PART_TRAIN), path, "its path is known");
    tap_ok(!lstm_corpus_path(c, LSTM_PART_VAL) && !lstm_corpus_path(c, 9) && lstm_corpus_part_size(c, 9) == 0,
           "other parts have none");
    tap_string(lstm_corpus_sha256(c), "b8cfae0aa158797702ef2be52f68c04b679ce2753eeb60e29a101f92ccfb5d1b",
               "its hash is that of the file");
    tap_ok(lstm_corpus_source_bytes(c) == 8 && lstm_corpus_part_size(c, LSTM_PART_VAL) == 0, "its size, and no more");
    tap_ok(lstm_corpus_read(c, LSTM_PART_TRAIN, 1, 8, ids, &err) == -1
           && lstm_corpus_read(c, LSTM_PART_TRAIN, SIZE_MAX, 2, ids, &err) == -1
           && lstm_corpus_read(c, LSTM_PART_TRAIN, 1, SIZE_MAX, ids, &err) == -1
           && lstm_corpus_read(c, LSTM_PART_VAL, 0, 1, ids, &err) == -1, "reading past the end is an error");
    lstm_corpus_free(lstm_corpus_ref(c));
    lstm_corpus_free(c);
    lstm_corpus_free(NULL);
}

static bool parts_are(const double split[LSTM_PARTS], size_t n, size_t train, size_t val, size_t test)
{
    lstm_corpus *c = corpus_of_places(n, split);
    size_t want[LSTM_PARTS] = { train, val, test }, at = 0;
    bool good = c != NULL;

    for (int p = 0; good && p < LSTM_PARTS; p++) {
        int32_t first = (int32_t)at;
        good = lstm_corpus_part_size(c, (lstm_part)p) == want[p]
            && (want[p] == 0 || lstm_corpus_read(c, (lstm_part)p, 0, 1, &first, &err) == 0) && first == (int32_t)at;
        at += want[p];
    }
    lstm_corpus_free(c);
    return good;
}

static void test_split(void)
{
    tap_ok(parts_are((double[]) { 0, 0, 0 }, 11, 11, 0, 0), "no split: everything to train on");
    tap_ok(parts_are((double[]) { 0.9, 0.1, 0 }, 15, 13, 2, 0), "0.9, 0.1: floor, the rest to validate");
    tap_ok(parts_are((double[]) { 0.9, 0.1, 0 }, 1, 0, 1, 0), "0.9, 0.1 of one symbol");
    tap_ok(parts_are((double[]) { 0.7, 0.2, 0.1 }, 1009, 706, 201, 102), "0.7, 0.2, 0.1: the last takes the rest");
    tap_ok(parts_are((double[]) { 0.8, 0.1, 0 }, 1009, 807, 100, 0), "0.8, 0.1: a tenth is unused");
    tap_ok(parts_are((double[]) { 0.5, 0, 0.5 }, 9, 4, 0, 5), "0.5, 0, 0.5: nothing to validate");
}

static void test_parts(void)
{
    char train[400], val[400];
    lstm_corpus_config config = { 0 };
    lstm_corpus *c;
    int32_t ids[2];

    strcpy(train, write_text("train.txt", "abc", 3));
    strcpy(val, write_text("val.txt", "ad", 2));
    config.source[0].path = train;
    config.source[1].path = val;
    config.source[2] = (lstm_source) { NULL, "e", 1 };
    c = lstm_corpus_new(&config, &err);
    tap_ok(c && lstm_corpus_part_size(c, 0) == 3 && lstm_corpus_part_size(c, 1) == 2
           && lstm_corpus_part_size(c, 2) == 1 && lstm_corpus_size(c) == 6, "a text for each part");
    tap_string(symbols(lstm_corpus_vocab(c)), "a|b|c|d|e", "the vocabulary is that of all");
    tap_ok(lstm_corpus_read(c, 1, 0, 2, ids, &err) == 0 && ids[0] == 0 && ids[1] == 3, "their symbols");
    tap_string(lstm_corpus_sha256(c), "55e0106cf20e370c99db09cfdfbfc460c50fa366090f674ca0cf3bd381dc8bed",
               "their hash is that of all bytes");
    tap_ok(lstm_corpus_source_bytes(c) == 6, "their sizes add up");
    lstm_corpus_free(c);
}

static void test_reuse(void)
{
    lstm_vocab *v = vocab_of_string(LSTM_TOKENS_CHARS, "abc?");
    lstm_corpus_config config = { .name = "new", .source = { { NULL, "ab\nx", 4 } }, .vocab = v };
    lstm_corpus *c;
    int32_t ids[4];

    tap_ok(!lstm_corpus_new(&config, &err), "a vocabulary that lacks a symbol");
    check_error("", "text 'new' has '\\n' at byte offset 2, line 1, which is not in the vocabulary; "
                "give a symbol to use instead (unknown=)", "says which");
    config.unknown = "?";
    config.unknown_size = 1;
    c = lstm_corpus_new(&config, &err);
    tap_ok(c && lstm_corpus_vocab(c) == v && lstm_corpus_read(c, 0, 0, 4, ids, &err) == 0 && ids[1] == 2 && ids[2] == 0
           && ids[3] == 0, "with a replacement it is read");
    config.unknown = "!";
    tap_ok(!lstm_corpus_new(&config, &err), "a replacement the vocabulary lacks");
    check_error("unknown", "one symbol of the vocabulary expected, got '!'", "is an error");
    config.unknown_size = 0;
    tap_ok(!lstm_corpus_new(&config, &err), "no replacement");
    check_error("unknown", "one symbol of the vocabulary expected, got ''", "is an error");
    config.unknown = "a replacement that is too long to be shown as a whole";
    config.unknown_size = strlen(config.unknown);
    tap_ok(!lstm_corpus_new(&config, &err), "a replacement that is no symbol");
    check_error("unknown", "one symbol of the vocabulary expected, got 'a replacement that is too long to be sho'",
                "is cut");
    config.source[0] = (lstm_source) { NULL, "ab\xff", 3 };
    config.unknown = NULL;
    tap_ok(!lstm_corpus_new(&config, &err) && strstr(err.message, "is not valid UTF-8"), "no UTF-8 is an error first");
    lstm_vocab_free(v);
    tap_ok(lstm_vocab_size(lstm_corpus_vocab(c)) == 4, "a corpus keeps its vocabulary");
    lstm_corpus_free(c);
}

static void test_marks(void)
{
    lstm_corpus *c = corpus_of(LSTM_TOKENS_BYTES, "\xef\xbb\xbf" "a", 4);

    tap_ok(lstm_corpus_size(c) == 4, "bytes keep a byte order mark");
    lstm_corpus_free(c);
    c = corpus_of(LSTM_TOKENS_CHARS, "\xef\xbb\xbf" "a\xef\xbb\xbf", 7);
    tap_ok(lstm_corpus_size(c) == 2 && lstm_corpus_source_bytes(c) == 7, "chars skip one, at the beginning only");
    lstm_corpus_free(c);
    tap_ok(!corpus_of(LSTM_TOKENS_CHARS, "\xef\xbb\xbf\xff", 4), "offsets count from the beginning of the file");
    check_error("", "text 't' is not valid UTF-8 at byte offset 3, line 1 (0xFF); tokens=\"bytes\" takes any text",
                "mark included");
    tap_ok(!corpus_of(LSTM_TOKENS_WORDS, "\xef\xbb\xbf", 3), "nothing but a mark");
    check_error("", "text 't' is empty but for a byte order mark", "is empty");
}

static void check_file_error(const char *path, const char *reason, const char *what)
{
    char want[sizeof err.message];
    lstm_corpus *c = corpus_of_file(LSTM_TOKENS_BYTES, path);

    snprintf(want, sizeof want, "%.*s: %s", 200, path, reason);
    if (c)
        tap_ok(false, "%s", what);
    else
        check_error("", want, what);
    lstm_corpus_free(c);
}

static void check_odd_file(const char *path, const char *part, const char *what)
{
    if (access(path, R_OK) != 0) {
        tap_skip("%s: no %s here", what, path);
        return;
    }
    tap_ok(!corpus_of_file(LSTM_TOKENS_BYTES, path) && strstr(err.message, part), "%s", what);
}

/* Where a file may have that size without taking room: in memory. */
static void check_huge_file(void)
{
    char path[] = "/dev/shm/test_corpus.XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0 || ftruncate(fd, INT64_MAX / 2) != 0)
        tap_skip("no file of 4 EiB here");
    else
        tap_ok(!corpus_of_file(LSTM_TOKENS_BYTES, path) && strstr(err.message, "too large for this machine"),
               "a file of 4 EiB");
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
}

static void test_files(void)
{
    char want[sizeof err.message], path[400];

    check_file_error(path_of("absent.txt"), "No such file or directory", "a file that is not there");
    lstm_corpus_free(corpus_of_file(LSTM_TOKENS_BYTES, ""));
    check_error("", "the empty path: No such file or directory", "no path");
    check_file_error(folder, "is a directory, not a file that can be read whole", "a directory");
    strcpy(path, path_of("pipe"));
    if (mkfifo(path, 0600) != 0)
        exit(EXIT_FAILURE);
    check_file_error(path, "is a pipe, not a file that can be read whole", "a pipe nobody writes to");
    check_file_error("/dev/zero", "is a device, not a file that can be read whole", "a device without end");
    strcpy(path, write_text("secret.txt", "x", 1));
    chmod(path, 0);
    if (access(path, R_OK) == 0)
        tap_skip("root may read every file");
    else
        check_file_error(path, "Permission denied", "a file that may not be read");
    strcpy(path, write_text("empty.txt", "", 0));
    tap_ok(!corpus_of_file(LSTM_TOKENS_BYTES, path), "an empty file");
    snprintf(want, sizeof want, "text '%.200s' is empty", path);
    check_error("", want, "is said to be empty");
    tap_ok(!corpus_of(LSTM_TOKENS_BYTES, "", 0), "an empty text");
    check_error("", "text 't' is empty", "too");
    memset(path, 'x', 399);
    path[399] = '\0';
    tap_ok(!corpus_of_file(LSTM_TOKENS_BYTES, path) && strstr(err.message, "x: File name too long"),
           "a path that is too long leaves room for the reason");
    check_huge_file();
    /* Files of Linux that have less or more in them than their size says, as if they changed meanwhile. */
    check_odd_file("/sys/kernel/mm/transparent_hugepage/enabled", "then fewer); try again", "a file that shrinks");
    check_odd_file("/proc/self/status", "changed while it was read (0 bytes, then more)", "a file that grows");
}

static void test_config_errors(void)
{
    lstm_corpus_config config = { 0 };

    tap_ok(!lstm_corpus_new(&config, &err), "no source");
    check_error("path", "a file or a text to train on expected, got neither", "is an error");
    config.source[0] = (lstm_source) { "x", "abc", 3 };
    lstm_corpus_new(&config, &err);
    check_error("path", "either a file or a text expected, got both (train)", "a file and a text");
    config.source[0].path = NULL;
    config.split[1] = -0.1;
    lstm_corpus_new(&config, &err);
    check_error("split", "fractions from 0 to 1 expected, got -0.1 for val", "a negative fraction");
    config.split[1] = 1.5;
    tap_ok(!lstm_corpus_new(&config, &err) && strstr(err.message, "got 1.5 for val"), "a fraction above 1");
    config.split[1] = NAN;
    tap_ok(!lstm_corpus_new(&config, &err) && strcmp(err.field, "split") == 0, "no number as a fraction");
    config.split[0] = 0.9;
    config.split[1] = 0.2;
    lstm_corpus_new(&config, &err);
    check_error("split", "fractions that add up to at most 1 expected, got 1.1", "fractions above 1 together");
    config.split[1] = 0.1;
    config.source[1] = (lstm_source) { NULL, "abc", 3 };
    lstm_corpus_new(&config, &err);
    check_error("split", "either fractions of one text or a text for each part expected, got both",
                "both ways to split");
    config.source[1] = (lstm_source) { 0 };
    config.source[2] = (lstm_source) { NULL, "abc", 3 };
    tap_ok(!lstm_corpus_new(&config, &err) && strstr(err.message, "got both"), "even if it is only the text to test");
    config.split[0] = config.split[1] = 0;
    config.source[2].path = "x";
    tap_ok(!lstm_corpus_new(&config, &err) && strstr(err.message, "got both (test)"), "a file and a text to test");
    config = (lstm_corpus_config) { .source = { { NULL, "abc", 3 } }, .tokens = 9 };
    lstm_corpus_new(&config, &err);
    check_error("tokens", "no such kind of tokens: 9", "no such tokens");
}

/* 256 and 65,536 symbols are the most that ids of one and two bytes hold. */
static void test_widths(void)
{
    static const size_t symbols_of[] = { 255, 256, 257, 65535, 65536, 65537 };

    for (size_t k = 0; k < sizeof symbols_of / sizeof *symbols_of; k++) {
        size_t n = symbols_of[k], wrong = 0;
        lstm_corpus *c = corpus_of_places(n, NULL);
        int32_t *ids = take(n * sizeof *ids);
        lstm_corpus_read(c, LSTM_PART_TRAIN, 0, n, ids, &err);
        for (size_t i = 0; i < n; i++)
            wrong += ids[i] != (int32_t)i;
        tap_ok(wrong == 0, "%zu symbols are kept apart", n);
        free(ids);
        lstm_corpus_free(c);
    }
}

/* ---- batches ----------------------------------------------------------------------------------------------- */

typedef struct batch {
    int32_t *ids, *targets;
    size_t steps;
    bool reset;
} batch;

static batch new_batch(size_t B, size_t T)
{
    return (batch) { take(B * T * sizeof(int32_t)), take(B * T * sizeof(int32_t)), 0, false };
}

static void free_batch(batch *b)
{
    free(b->ids);
    free(b->targets);
}

static bool next(lstm_stream *s, batch *b)
{
    return lstm_stream_next(s, b->ids, b->targets, &b->steps, &b->reset);
}

/* make_oracle.py's training order, in its own terms: train is cut into B streams of S = n // B, `stream` is their
 * transpose [S][B], and batch k is stream[k*T : (k+1)*T] with targets stream[k*T+1 : (k+1)*T+1]. */
static bool is_oracle_batch(const batch *got, const int32_t *train, size_t n, size_t B, size_t T, size_t k)
{
    size_t S = n / B;

    for (size_t t = 0; t < T; t++)
        for (size_t b = 0; b < B; b++)
            if (got->ids[t * B + b] != train[b * S + k * T + t]
                || got->targets[t * B + b] != train[b * S + k * T + t + 1])
                return false;
    return got->steps == T && got->reset == (k == 0);
}

static void test_oracle_order(void)
{
    enum { BYTES = 5000, B = 7, T = 13 };
    uint8_t raw[BYTES];
    int32_t rank[256], train[BYTES];
    size_t n = (size_t)(BYTES * 0.9), S = n / B, batches = 0;
    lstm_corpus_config config = { .source = { { NULL, (char *)raw, BYTES } }, .split = { 0.9, 0.1, 0 } };
    batch got = new_batch(B, T);
    bool same = true;

    for (size_t i = 0; i < BYTES; i++)
        raw[i] = (uint8_t)(40 + random_below(6) * random_below(6));
    for (int byte = 0, V = 0; byte < 256; byte++)
        rank[byte] = memchr(raw, byte, BYTES) ? V++ : -1;
    for (size_t i = 0; i < n; i++)
        train[i] = rank[raw[i]];
    lstm_corpus *c = lstm_corpus_new(&config, &err);
    lstm_stream *s = lstm_stream_new(c, &(lstm_stream_config) { .batch = B, .seq = T }, &err);
    lstm_corpus_free(c);
    for (size_t k = 0; (k + 1) * T + 1 <= S; k++, batches++)
        same = same && next(s, &got) && is_oracle_batch(&got, train, n, B, T, k);
    tap_ok(same && batches == lstm_stream_batches(s), "contiguous: %zu batches as in make_oracle.py", batches);
    same = true;
    for (size_t k = 0; k < batches; k++)
        same = same && next(s, &got) && is_oracle_batch(&got, train, n, B, T, k);
    tap_ok(same, "contiguous: the second epoch is the first again, reset at its beginning");
    lstm_stream_free(s);
    free_batch(&got);
}

/* Every small geometry: the batches are there exactly when every target is inside its stream. */
static void test_contiguous_edges(void)
{
    size_t wrong = 0, refused = 0;

    for (size_t n = 1; n <= 40; n++) {
        lstm_corpus *c = corpus_of_places(n, NULL);
        for (size_t B = 1; B <= 5; B++)
            for (size_t T = 1; T <= 12; T++) {
                size_t S = n / B, batches = 0;
                lstm_stream *s = lstm_stream_new(c, &(lstm_stream_config) { .batch = B, .seq = T }, &err);
                while ((batches + 1) * T < S)
                    batches++;
                wrong += s ? lstm_stream_batches(s) != batches : batches != 0;
                refused += !s && strstr(err.message, "too short") != NULL;
                lstm_stream_free(s);
            }
        lstm_corpus_free(c);
    }
    tap_ok(wrong == 0 && refused > 0, "contiguous: full batches, or too short, for 2,400 geometries");
}

/* make_oracle.py's validation: for k in range(0, len - 1, T), x = v[k:k+T], y = v[k+1:k+T+1], x cut to y. */
static void test_once(void)
{
    size_t wrong = 0;

    for (size_t n = 2; n <= 60; n++) {
        lstm_corpus *c = corpus_of_places(n, NULL);
        for (size_t T = 1; T <= 70; T += 3) {
            lstm_stream_config config = { .order = LSTM_ORDER_ONCE, .batch = 1, .seq = T };
            lstm_stream *s = lstm_stream_new(c, &config, &err);
            batch got = new_batch(1, T);
            for (int pass = 0; pass < 2; pass++) {
                for (size_t k = 0; k < n - 1; k += T) {
                    size_t length = n - 1 - k < T ? n - 1 - k : T;
                    wrong += !next(s, &got) || got.steps != length || got.reset != (k == 0);
                    for (size_t t = 0; t < length; t++)
                        wrong += got.ids[t] != (int32_t)(k + t) || got.targets[t] != (int32_t)(k + t + 1);
                }
                wrong += next(s, &got); /* the end */
            }
            free_batch(&got);
            lstm_stream_free(s);
        }
        lstm_corpus_free(c);
    }
    tap_ok(wrong == 0, "once: every symbol but the first is a target once, as in make_oracle.py");
}

static void test_once_streams(void)
{
    lstm_corpus *c = corpus_of_places(32, NULL);
    lstm_stream_config config = { .order = LSTM_ORDER_ONCE, .batch = 3, .seq = 4 };
    lstm_stream *s = lstm_stream_new(c, &config, &err);
    batch got = new_batch(3, 4);
    size_t steps[3] = { 0 }, k = 0;

    for (; next(s, &got); k++) /* S = 10, 9 targets: 4, 4, 1 */
        steps[k] = got.steps;
    tap_ok(k == 3 && steps[0] == 4 && steps[1] == 4 && steps[2] == 1, "once: several streams, a shorter last batch");
    tap_ok(got.ids[0] == 8 && got.ids[1] == 18 && got.ids[2] == 28 && got.targets[2] == 29, "once: its symbols");
    free_batch(&got);
    lstm_stream_free(s);
    lstm_corpus_free(c);
}

/* Draws an epoch of windows; seen[w] counts window w. False when a batch isn't as it should be. */
static bool draw_epoch(lstm_stream *s, int *seen, int32_t *order)
{
    const lstm_stream_config *g = lstm_stream_settings(s);
    batch got = new_batch(g->batch, g->seq);
    bool good = true;

    for (size_t k = 0; k < lstm_stream_batches(s); k++) {
        good = good && next(s, &got) && got.reset && got.steps == g->seq;
        for (size_t b = 0; good && b < g->batch; b++) {
            int32_t first = got.ids[b];
            good = first % (int32_t)g->stride == 0;
            seen[first / (int32_t)g->stride]++;
            order[k * g->batch + b] = first;
            for (size_t t = 0; t < g->seq; t++)
                good = good && got.ids[t * g->batch + b] == first + (int32_t)t
                    && got.targets[t * g->batch + b] == first + (int32_t)t + 1;
        }
    }
    free_batch(&got);
    return good;
}

static void test_shuffled_geometry(size_t n, size_t B, size_t T, size_t stride)
{
    lstm_corpus *c = corpus_of_places(n, NULL);
    lstm_stream_config config = { .order = LSTM_ORDER_SHUFFLED, .batch = B, .seq = T, .stride = stride, .seed = n };
    lstm_stream *s = lstm_stream_new(c, &config, &err);
    size_t step = stride ? stride : T, windows = 0, drawn = 0;
    int *seen = calloc(n, sizeof *seen);
    int32_t *order = calloc(n, sizeof *order);
    bool good;

    while (windows * step + T < n)
        windows++;
    good = s && lstm_stream_batches(s) == windows / B && draw_epoch(s, seen, order);
    for (size_t w = 0; w < n; w++) {
        good = good && seen[w] <= (w < windows);
        drawn += (size_t)seen[w];
    }
    tap_ok(good && drawn == windows / B * B, "shuffled: n=%zu B=%zu T=%zu stride=%zu: %zu of %zu windows, each once", n,
           B, T, stride, drawn, windows);
    free(seen);
    free(order);
    lstm_stream_free(s);
    lstm_corpus_free(c);
}

static void test_shuffled_windows(void)
{
    test_shuffled_geometry(3001, 1, 10, 0);
    test_shuffled_geometry(3001, 4, 10, 0);
    test_shuffled_geometry(3001, 7, 10, 3);
    test_shuffled_geometry(3000, 32, 5, 1);
    test_shuffled_geometry(500, 2, 3, 50);
    test_shuffled_geometry(12, 1, 11, 0);
    test_shuffled_geometry(2, 1, 1, 1);
    test_shuffled_geometry(30, 5, 5, 5);
}

static lstm_stream *shuffled(lstm_corpus *c, uint64_t seed)
{
    lstm_stream_config config = { .order = LSTM_ORDER_SHUFFLED, .batch = 2, .seq = 5, .seed = seed };

    return lstm_stream_new(c, &config, &err);
}

static void test_shuffled_orders(void)
{
    lstm_corpus *c = corpus_of_places(1001, NULL);
    lstm_stream *s = shuffled(c, 1), *again = shuffled(c, 1), *other = shuffled(c, 2);
    int seen[1001] = { 0 };
    int32_t first[200], second[200], same[200], seeded[200];

    draw_epoch(s, seen, first);
    draw_epoch(s, seen, second);
    lstm_stream_seek(again, (lstm_cursor) { 1, 0 }, &err);
    draw_epoch(again, seen, same);
    draw_epoch(other, seen, seeded);
    tap_ok(memcmp(first, second, sizeof first) != 0, "shuffled: epochs differ");
    tap_ok(memcmp(second, same, sizeof same) == 0, "shuffled: an epoch is a function of seed and number");
    tap_ok(memcmp(first, seeded, sizeof first) != 0, "shuffled: seeds differ");
    lstm_stream_free(s);
    lstm_stream_free(again);
    lstm_stream_free(other);
    lstm_corpus_free(c);
}

/* Over 6,000 epochs each of the 6 orders of 3 windows should come about 1,000 times; 5 degrees of freedom: chi-square
 * is above 25.7 once in 10,000 such tests, and this one always draws the same numbers. */
static void test_shuffled_fairness(void)
{
    lstm_corpus *c = corpus_of_places(4, NULL);
    lstm_stream_config config = { .order = LSTM_ORDER_SHUFFLED, .batch = 1, .seq = 1, .seed = 7 };
    lstm_stream *s = lstm_stream_new(c, &config, &err);
    int count[9] = { 0 }, seen[4] = { 0 };
    int32_t order[3];
    double chi2 = 0;

    for (int epoch = 0; epoch < 6000; epoch++) {
        draw_epoch(s, seen, order);
        count[order[0] * 3 + order[1]]++;
    }
    for (int k = 0; k < 9; k++)
        chi2 += k % 4 == 0 ? 1e9 * count[k] : (count[k] - 1000) * (count[k] - 1000) / 1000.0;
    tap_ok(chi2 < 25.7, "shuffled: every order of three windows is as likely (chi-square %.1f)", chi2);
    lstm_stream_free(s);
    lstm_corpus_free(c);
}

/* Stops after each number of batches, goes on in a new stream, and must see the same as without the stop. */
static void test_cursor(lstm_order order)
{
    enum { B = 3, T = 4, TOTAL = 40 };
    lstm_corpus *c = corpus_of_places(150, NULL);
    lstm_stream_config config = { .order = order, .batch = B, .seq = T, .seed = 5 };
    lstm_stream *whole = lstm_stream_new(c, &config, &err);
    lstm_cursor at[TOTAL + 1];
    batch want[TOTAL], got = new_batch(B, T);
    bool there[TOTAL], same = true;

    for (int k = 0; k < TOTAL; k++) {
        want[k] = new_batch(B, T);
        at[k] = lstm_stream_cursor(whole);
        there[k] = next(whole, &want[k]);
    }
    for (int stop = 0; stop < TOTAL; stop++) {
        lstm_stream *s = lstm_stream_new(c, &config, &err);
        same = same && lstm_stream_seek(s, at[stop], &err) == 0;
        for (int k = stop; k < TOTAL; k++) {
            bool is = next(s, &got);
            same = same && is == there[k];
            if (is && there[k])
                same = same && got.steps == want[k].steps && got.reset == want[k].reset
                    && memcmp(got.ids, want[k].ids, got.steps * B * sizeof *got.ids) == 0
                    && memcmp(got.targets, want[k].targets, got.steps * B * sizeof *got.ids) == 0;
        }
        lstm_stream_free(s);
    }
    tap_ok(same && at[TOTAL - 1].epoch > 1, "%s: continued from any of 40 cursors, over epochs, nothing differs",
           lstm_order_name(order));
    for (int k = 0; k < TOTAL; k++)
        free_batch(&want[k]);
    free_batch(&got);
    lstm_stream_free(whole);
    lstm_corpus_free(c);
}

static void test_seek_errors(void)
{
    lstm_corpus *c = corpus_of_places(150, NULL);
    lstm_stream *s = lstm_stream_new(c, &(lstm_stream_config) { .batch = 3, .seq = 4 }, &err);
    lstm_cursor cursor;

    lstm_stream_seek(s, (lstm_cursor) { 3, 7 }, &err);
    tap_ok(lstm_stream_seek(s, (lstm_cursor) { 0, 13 }, &err) == -1, "a position behind the end");
    check_error("position", "at most 12 expected (batches of an epoch), got 13", "is an error");
    tap_ok(lstm_stream_seek(s, (lstm_cursor) { UINT64_MAX, 0 }, &err) == -1 && strcmp(err.field, "epoch") == 0,
           "an epoch out of range is an error");
    cursor = lstm_stream_cursor(s);
    tap_ok(cursor.epoch == 3 && cursor.position == 7, "after which the cursor is where it was");
    tap_ok(lstm_stream_seek(s, (lstm_cursor) { 3, 12 }, &err) == 0, "the end of an epoch is a place");
    lstm_stream_free(s);
    lstm_corpus_free(c);
}

static void check_stream_error(lstm_corpus *c, lstm_stream_config config, const char *field, const char *message)
{
    lstm_stream *s = lstm_stream_new(c, &config, &err);

    check_error(field, message, message);
    tap_ok(!s, "and no stream");
    lstm_stream_free(s);
}

static void test_stream_errors(void)
{
    lstm_corpus *c = corpus_of_places(40, NULL);

    check_stream_error(c, (lstm_stream_config) { .batch = 32, .seq = 64 }, "",
                       "text 'notes.txt' has 40 symbols, too short for batch=32 seq=64 (needs at least 2,080); "
                       "use a smaller batch or seq");
    check_stream_error(c, (lstm_stream_config) { .batch = 2, .seq = 20, .order = LSTM_ORDER_SHUFFLED }, "",
                       "text 'notes.txt' has 40 symbols, too short for batch=2 seq=20 (needs at least 41); "
                       "use a smaller batch or seq");
    check_stream_error(c, (lstm_stream_config) { .batch = 21, .seq = 2, .order = LSTM_ORDER_ONCE }, "",
                       "text 'notes.txt' has 40 symbols, too short for batch=21 (needs at least 42); "
                       "use a smaller batch");
    check_stream_error(c, (lstm_stream_config) { .batch = SIZE_MAX, .seq = SIZE_MAX }, "",
                       "text 'notes.txt' has 40 symbols, too short for batch=18446744073709551615 "
                       "seq=18446744073709551615 (needs at least 18,446,744,073,709,551,615); "
                       "use a smaller batch or seq");
    check_stream_error(c, (lstm_stream_config) { .batch = 1, .seq = 1, .part = LSTM_PART_VAL }, "",
                       "text 'notes.txt' has nothing in its val part; give it a share (split=) or a text of its own");
    check_stream_error(c, (lstm_stream_config) { .batch = 0, .seq = 1 }, "batch", "positive integer expected, got 0");
    check_stream_error(c, (lstm_stream_config) { .batch = 1, .seq = 0 }, "seq", "positive integer expected, got 0");
    check_stream_error(c, (lstm_stream_config) { .batch = 1, .seq = 1, .part = 5 }, "part", "no such part: 5");
    check_stream_error(c, (lstm_stream_config) { .batch = 1, .seq = 1, .order = 5 }, "order", "no such order: 5");
    lstm_corpus_free(c);

    c = corpus_of_places(40, (double[]) { 0.9, 0.1, 0 });
    check_stream_error(c, (lstm_stream_config) { .part = LSTM_PART_VAL, .batch = 8, .seq = 2 }, "",
                       "the val part of text 'notes.txt' has 4 symbols, too short for batch=8 seq=2 "
                       "(needs at least 24); use a smaller batch or seq");
    lstm_corpus_free(c);

    c = corpus_of_places(1, NULL);
    check_stream_error(c, (lstm_stream_config) { .order = LSTM_ORDER_ONCE, .batch = 1, .seq = 9 }, "",
                       "text 'notes.txt' has 1 symbol, too short for batch=1 (needs at least 2); use a longer text");
    lstm_corpus_free(c);
}

static void test_large_seq(void)
{
    lstm_corpus *c = corpus_of_places(40, NULL);
    lstm_stream_config config = { .order = LSTM_ORDER_ONCE, .batch = 1, .seq = SIZE_MAX };
    lstm_stream *s = lstm_stream_new(c, &config, &err);
    batch got = new_batch(1, 39);

    tap_ok(s && lstm_stream_batches(s) == 1 && next(s, &got) && got.steps == 39,
           "once: the whole part in one batch, however large seq is");
    tap_ok(lstm_stream_corpus(s) == c, "a stream knows its corpus");
    free_batch(&got);
    lstm_stream_free(s);
    lstm_stream_free(NULL);
    lstm_corpus_free(c);
}

static void test_names(void)
{
    tap_string(lstm_part_name(LSTM_PART_TEST), "test", "the name of a part");
    tap_string(lstm_order_name(LSTM_ORDER_CONTIGUOUS), "stream", "the name of an order");
    tap_string(lstm_tokens_name(LSTM_TOKENS_WORDS), "words", "the name of a kind of tokens");
    tap_ok(!lstm_part_name(LSTM_PARTS) && !lstm_order_name(LSTM_ORDERS) && !lstm_tokens_name(LSTM_TOKENS_KINDS),
           "NULL past the end");
}

static void remove_files(void)
{
    static const char *const name[] = { "plain.txt", "train.txt", "val.txt", "pipe", "secret.txt", "empty.txt" };

    for (size_t k = 0; k < sizeof name / sizeof *name; k++)
        unlink(path_of(name[k]));
    rmdir(folder);
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    test_sha256_vectors();
    test_sha256_pieces();
    test_utf8_sequences();
    test_utf8_code_points();
    test_vocab_kinds();
    test_word_characters();
    test_vocab_large();
    test_vocab_shared();
    test_vocab_errors();
    test_label();
    test_serialized();
    test_serialized_errors();
    test_corpus_file();
    test_split();
    test_parts();
    test_reuse();
    test_marks();
    test_files();
    test_config_errors();
    test_widths();
    test_oracle_order();
    test_contiguous_edges();
    test_once();
    test_once_streams();
    test_shuffled_windows();
    test_shuffled_orders();
    test_shuffled_fairness();
    for (lstm_order order = 0; order < LSTM_ORDERS; order++)
        test_cursor(order);
    test_seek_errors();
    test_stream_errors();
    test_large_seq();
    test_names();
    remove_files();
    return tap_done();
}
