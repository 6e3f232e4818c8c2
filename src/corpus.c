/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "corpus.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lstm_corpus {
    size_t references;
    char *name;
    char *path[LSTM_PARTS];
    char sha256[LSTM_SHA256_HEX_SIZE];
    size_t source_bytes;
    lstm_vocab *vocab;
    size_t size;              /* tokens */
    size_t width;             /* bytes per token: 1, 2 or 4, the least that holds every id */
    unsigned char *tokens;    /* [size] of width bytes */
    size_t first[LSTM_PARTS]; /* of each part */
    size_t count[LSTM_PARTS];
};

static const char *const part_name[] = { "train", "val", "test" };

const char *lstm_part_name(lstm_part part)
{
    return (unsigned)part < LSTM_PARTS ? part_name[part] : NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------- */

static int fail_memory(const lstm_text *text, lstm_error *err)
{
    char label[LSTM_LABEL_SIZE];

    lstm_text_label(text->name, label);
    return lstm_fail(err, "", "%s: not enough memory (%zu bytes of text)", label, text->size);
}

/* The end of a long path, so that the message has room for what is wrong with it. */
static const char *shown(const char *path)
{
    const size_t most = 160;
    size_t size = strlen(path);

    if (size == 0)
        return "the empty path"; /* of an option that says data= */
    return size > most ? path + size - most : path;
}

static const char *kind_of_file(mode_t mode)
{
    return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a pipe" : "a device"; /* a socket does not open */
}

/* Fills buffer[0..size-1], or less when the file ends; -1 and errno when it cannot be read. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, buffer + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Reads the open file into text->bytes (malloc'd). One byte more than it should have shows whether it grew. */
static int read_open_file(int fd, const char *path, lstm_text *text, lstm_error *err)
{
    struct stat st;
    char *bytes;
    ssize_t n;

    if (fstat(fd, &st) != 0)
        return lstm_fail(err, "", "%s: %s", shown(path), strerror(errno));
    if (!S_ISREG(st.st_mode))
        return lstm_fail(err, "", "%s: is %s, not a file that can be read whole", shown(path),
                         kind_of_file(st.st_mode));
    if ((uintmax_t)st.st_size >= SIZE_MAX / 8)
        return lstm_fail(err, "", "%s: too large for this machine (%jd bytes)", shown(path),
                         (intmax_t)st.st_size);
    text->size = (size_t)st.st_size;
    bytes = malloc(text->size + 1);
    if (!bytes)
        return fail_memory(text, err);
    text->bytes = bytes;
    n = read_all(fd, bytes, text->size + 1);
    if (n < 0)
        return lstm_fail(err, "", "%s: %s", shown(path), strerror(errno));
    if ((size_t)n != text->size)
        return lstm_fail(err, "", "%s: changed while it was read (%zu bytes, then %s); try again", shown(path),
                         text->size, (size_t)n < text->size ? "fewer" : "more");
    return 0;
}

static int read_file(const char *path, lstm_text *text, lstm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a pipe without a writer doesn't block */
    int rc;

    if (fd < 0)
        return lstm_fail(err, "", "%s: %s", shown(path), strerror(errno));
    rc = read_open_file(fd, path, text, err);
    close(fd); /* only read from: nothing is lost when this fails */
    return rc;
}

/* ---- sources ----------------------------------------------------------------------------------------------- */

static bool is_given(const lstm_source *source)
{
    return source->path || source->bytes;
}

/* Texts of all sources, those of files in memory of our own. */
typedef struct texts {
    lstm_text part[LSTM_PARTS];
    char *owned[LSTM_PARTS];
} texts;

static void free_texts(texts *t)
{
    for (int p = 0; p < LSTM_PARTS; p++)
        free(t->owned[p]);
}

static int load_text(texts *t, int p, const lstm_corpus_config *config, lstm_error *err)
{
    const lstm_source *source = &config->source[p];
    lstm_text *text = &t->part[p];
    int rc = 0;

    text->name = source->path ? source->path : config->name;
    if (source->path) {
        rc = read_file(source->path, text, err);
        t->owned[p] = (char *)text->bytes;
    } else {
        text->bytes = source->bytes;
        text->size = source->size;
    }
    return rc;
}

static int load_texts(texts *t, const lstm_corpus_config *config, lstm_error *err)
{
    for (int p = 0; p < LSTM_PARTS; p++)
        if (is_given(&config->source[p]) && load_text(t, p, config, err))
            return -1;
    return 0;
}

/* Behind the byte order mark, which is no character of the text. */
static void skip_marks(texts *t, lstm_tokens tokens)
{
    for (int p = 0; p < LSTM_PARTS; p++)
        if (tokens != LSTM_TOKENS_BYTES && t->part[p].size >= 3 && memcmp(t->part[p].bytes, "\xef\xbb\xbf", 3) == 0)
            t->part[p].start = 3;
}

static int check_texts(const texts *t, const lstm_corpus_config *config, lstm_error *err)
{
    char label[LSTM_LABEL_SIZE];

    for (int p = 0; p < LSTM_PARTS; p++)
        if (is_given(&config->source[p]) && t->part[p].size == t->part[p].start) {
            lstm_text_label(t->part[p].name, label);
            return lstm_fail(err, "", "%s is empty%s", label, t->part[p].start ? " but for a byte order mark" : "");
        }
    return 0;
}

static void hash_texts(lstm_corpus *c, const texts *t)
{
    lstm_sha256 s;
    uint8_t digest[LSTM_SHA256_SIZE];

    lstm_sha256_init(&s);
    for (int p = 0; p < LSTM_PARTS; p++) {
        lstm_sha256_update(&s, t->part[p].bytes, t->part[p].size);
        c->source_bytes += t->part[p].size;
    }
    lstm_sha256_final(&s, digest);
    lstm_sha256_digits(digest, c->sha256);
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

static void store_tokens(lstm_corpus *c, size_t first, const int32_t *ids, size_t count)
{
    if (c->width == 1) {
        uint8_t *to = c->tokens + first;
        for (size_t i = 0; i < count; i++)
            to[i] = (uint8_t)ids[i];
    } else if (c->width == 2) {
        uint16_t *to = (uint16_t *)(void *)c->tokens + first;
        for (size_t i = 0; i < count; i++)
            to[i] = (uint16_t)ids[i];
    } else {
        memcpy(c->tokens + first * sizeof *ids, ids, count * sizeof *ids);
    }
}

static void load_tokens(const lstm_corpus *c, size_t first, int32_t *ids, size_t count)
{
    if (c->width == 1) {
        const uint8_t *from = c->tokens + first;
        for (size_t i = 0; i < count; i++)
            ids[i] = from[i];
    } else if (c->width == 2) {
        const uint16_t *from = (const uint16_t *)(const void *)c->tokens + first;
        for (size_t i = 0; i < count; i++)
            ids[i] = from[i];
    } else {
        memcpy(ids, c->tokens + first * sizeof *ids, count * sizeof *ids);
    }
}

/* Counts tokens text by text; count[p] and first[p] as if every text was a part. */
static int count_tokens(lstm_corpus *c, const texts *t, lstm_error *err)
{
    for (int p = 0; p < LSTM_PARTS; p++) {
        c->first[p] = c->size;
        if (lstm_vocab_count(lstm_vocab_tokens(c->vocab), &t->part[p], &c->count[p], err))
            return -1;
        c->size += c->count[p];
    }
    return 0;
}

static int encode_text(lstm_corpus *c, const lstm_text *text, size_t at, int32_t unknown, lstm_error *err)
{
    lstm_reader reader = { c->vocab, *text, unknown, text->start };
    int32_t ids[4096];
    size_t n;

    do {
        if (lstm_reader_next(&reader, ids, sizeof ids / sizeof *ids, &n, err))
            return -1;
        store_tokens(c, at, ids, n);
        at += n;
    } while (n > 0);
    return 0;
}

static int encode_texts(lstm_corpus *c, const texts *t, int32_t unknown, lstm_error *err)
{
    size_t vocab = lstm_vocab_size(c->vocab);

    c->width = vocab <= UINT8_MAX + 1 ? 1 : vocab <= UINT16_MAX + 1 ? 2 : 4;
    c->tokens = calloc(c->size, c->width);
    if (!c->tokens)
        return fail_memory(&t->part[LSTM_PART_TRAIN], err);
    for (int p = 0; p < LSTM_PARTS; p++)
        if (encode_text(c, &t->part[p], c->first[p], unknown, err))
            return -1;
    return 0;
}

/* ---- parts ------------------------------------------------------------------------------------------------- */

/* Rounding of a sum such as 0.7 + 0.2 + 0.1 must not matter. */
static const double split_slack = 1e-9;

static double split_sum(const double split[LSTM_PARTS])
{
    return split[0] + split[1] + split[2];
}

static void divide(lstm_corpus *c, const double split[LSTM_PARTS])
{
    size_t at = 0, last = 0;

    if (split_sum(split) == 0)
        return; /* all in the first, as counted */
    for (int p = 0; p < LSTM_PARTS; p++) {
        c->first[p] = at;
        c->count[p] = (size_t)fmin((double)c->size * split[p], (double)(c->size - at));
        at += c->count[p];
        if (split[p] > 0)
            last = (size_t)p;
    }
    if (split_sum(split) < 1 - split_slack)
        return;
    c->count[last] += c->size - at;
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static int check_split(const lstm_corpus_config *config, lstm_error *err)
{
    for (int p = 0; p < LSTM_PARTS; p++)
        if (!(config->split[p] >= 0 && config->split[p] <= 1))
            return lstm_fail(err, "split", "fractions from 0 to 1 expected, got %g for %s", config->split[p],
                             part_name[p]);
    if (split_sum(config->split) > 1 + split_slack)
        return lstm_fail(err, "split", "fractions that add up to at most 1 expected, got %g", split_sum(config->split));
    if (split_sum(config->split) > 0 && (is_given(&config->source[1]) || is_given(&config->source[2])))
        return lstm_fail(err, "split", "either fractions of one text or a text for each part expected, got both");
    return 0;
}

static int check_config(const lstm_corpus_config *config, lstm_error *err)
{
    if (!is_given(&config->source[LSTM_PART_TRAIN]))
        return lstm_fail(err, "path", "a file or a text to train on expected, got neither");
    for (int p = 0; p < LSTM_PARTS; p++)
        if (config->source[p].path && config->source[p].bytes)
            return lstm_fail(err, "path", "either a file or a text expected, got both (%s)", part_name[p]);
    if (!config->vocab && !lstm_tokens_name(config->tokens))
        return lstm_fail(err, "tokens", "no such kind of tokens: %d", (int)config->tokens);
    return check_split(config, err);
}

static int find_unknown(const lstm_corpus *c, const lstm_corpus_config *config, int32_t *unknown, lstm_error *err)
{
    *unknown = -1;
    if (!config->unknown)
        return 0;
    if (config->unknown_size > 0)
        *unknown = lstm_vocab_find(c->vocab, config->unknown, config->unknown_size);
    if (*unknown < 0)
        return lstm_fail(err, "unknown", "one symbol of the vocabulary expected, got '%.*s'",
                         config->unknown_size < 40 ? (int)config->unknown_size : 40, config->unknown);
    return 0;
}

static char *copy_string(const char *s)
{
    size_t size = s ? strlen(s) + 1 : 1;
    char *copy = malloc(size);

    return copy ? memcpy(copy, s ? s : "", size) : NULL;
}

static int copy_names(lstm_corpus *c, const lstm_corpus_config *config, lstm_error *err)
{
    const char *path = config->source[LSTM_PART_TRAIN].path;
    bool bad;

    c->name = copy_string(config->name ? config->name : path);
    bad = !c->name;
    for (int p = 0; p < LSTM_PARTS; p++) {
        path = config->source[p].path;
        c->path[p] = path ? copy_string(path) : NULL;
        bad = bad || (path && !c->path[p]);
    }
    return bad ? lstm_fail(err, "", "not enough memory for a text") : 0;
}

static int fill(lstm_corpus *c, texts *t, const lstm_corpus_config *config, lstm_error *err)
{
    int32_t unknown;

    if (copy_names(c, config, err) || load_texts(t, config, err))
        return -1;
    skip_marks(t, config->vocab ? lstm_vocab_tokens(config->vocab) : config->tokens);
    if (check_texts(t, config, err))
        return -1;
    hash_texts(c, t);
    c->vocab = config->vocab ? lstm_vocab_ref(config->vocab)
                             : lstm_vocab_build(config->tokens, t->part, LSTM_PARTS, err);
    if (!c->vocab || find_unknown(c, config, &unknown, err) || count_tokens(c, t, err)
        || encode_texts(c, t, unknown, err))
        return -1;
    divide(c, config->split);
    return 0;
}

lstm_corpus *lstm_corpus_new(const lstm_corpus_config *config, lstm_error *err)
{
    lstm_corpus *c;
    texts t = { 0 };
    int rc;

    if (check_config(config, err))
        return NULL;
    c = calloc(1, sizeof *c);
    if (!c) {
        lstm_fail(err, "", "not enough memory for a text");
        return NULL;
    }
    c->references = 1;
    rc = fill(c, &t, config, err);
    free_texts(&t);
    if (rc == 0)
        return c;
    lstm_corpus_free(c);
    return NULL;
}

lstm_corpus *lstm_corpus_ref(lstm_corpus *c)
{
    c->references++;
    return c;
}

void lstm_corpus_free(lstm_corpus *c)
{
    if (!c || --c->references > 0)
        return;
    lstm_vocab_free(c->vocab);
    free(c->name);
    for (int p = 0; p < LSTM_PARTS; p++)
        free(c->path[p]);
    free(c->tokens);
    free(c);
}

const char *lstm_corpus_name(const lstm_corpus *c)
{
    return c->name;
}

const char *lstm_corpus_path(const lstm_corpus *c, lstm_part part)
{
    return (unsigned)part < LSTM_PARTS ? c->path[part] : NULL;
}

const char *lstm_corpus_sha256(const lstm_corpus *c)
{
    return c->sha256;
}

size_t lstm_corpus_source_bytes(const lstm_corpus *c)
{
    return c->source_bytes;
}

size_t lstm_corpus_bytes(const lstm_corpus *c)
{
    return sizeof *c + c->size * c->width;
}

lstm_vocab *lstm_corpus_vocab(const lstm_corpus *c)
{
    return c->vocab;
}

size_t lstm_corpus_size(const lstm_corpus *c)
{
    return c->size;
}

size_t lstm_corpus_part_size(const lstm_corpus *c, lstm_part part)
{
    return (unsigned)part < LSTM_PARTS ? c->count[part] : 0;
}

int lstm_corpus_read(const lstm_corpus *c, lstm_part part, size_t first, size_t count, int32_t *ids, lstm_error *err)
{
    size_t size = lstm_corpus_part_size(c, part);

    if (first > size || count > size - first)
        return lstm_fail(err, "first", "a part of %zu tokens does not have %zu from there on", size, count);
    load_tokens(c, c->first[part] + first, ids, count);
    return 0;
}
