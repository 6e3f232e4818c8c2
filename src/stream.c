/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lstm_stream {
    lstm_corpus *corpus;
    lstm_stream_config config;
    size_t row;     /* S, tokens of each stream (contiguous, once) */
    size_t windows; /* W (shuffled) */
    size_t batches;
    size_t steps; /* of the longest batch: T, or all that a row has where that is less (once) */
    lstm_cursor cursor;
    int32_t *stretch; /* steps + 1 tokens of one row */
};

static const char *const order_name[] = { "stream", "shuffled", "once" };

const char *lstm_order_name(lstm_order order)
{
    return (unsigned)order < LSTM_ORDERS ? order_name[order] : NULL;
}

/* ---- shuffling --------------------------------------------------------------------------------------------- */

/* Random streams (lstm.h) 2^62 + epoch are the shuffling's own. */
static const uint64_t shuffle_stream = UINT64_C(1) << 62, most_epochs = UINT64_C(1) << 62;
enum { ROUNDS = 8 };

/* A permutation of [0, 4^bits): a Feistel network (Luby & Rackoff 1988), whose rounds are Philox. */
static uint64_t feistel(uint64_t seed, uint64_t epoch, int bits, uint64_t x)
{
    uint64_t mask = (UINT64_C(1) << bits) - 1, left = x >> bits, right = x & mask;

    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint32_t random[4];
        lstm_philox(seed, shuffle_stream + epoch, round << 32 | right, random);
        uint64_t next = left ^ (random[0] & mask);
        left = right;
        right = next;
    }
    return left << bits | right;
}

/* Place k of a permutation of [0, size), computed without the others. Walking on from a value that is too large until
 * one isn't keeps it a permutation (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"); 4 steps on
 * average at most. */
static uint64_t permuted(uint64_t seed, uint64_t epoch, uint64_t size, uint64_t k)
{
    int bits = 1;

    while (bits < 32 && UINT64_C(1) << 2 * bits < size)
        bits++;
    do
        k = feistel(seed, epoch, bits, k);
    while (k >= size);
    return k;
}

/* ---- checks ------------------------------------------------------------------------------------------------ */

/* a*b + c, or SIZE_MAX when that is too much. */
static size_t saturated(size_t a, size_t b, size_t c)
{
    return b > 0 && a > (SIZE_MAX - c) / b ? SIZE_MAX : a * b + c;
}

/* Tokens without which there is no batch. */
static size_t tokens_needed(const lstm_stream_config *config)
{
    size_t window = saturated(config->seq, 1, 1);

    switch (config->order) {
    case LSTM_ORDER_CONTIGUOUS:
        return saturated(config->batch, window, 0);
    case LSTM_ORDER_SHUFFLED:
        return saturated(config->batch - 1, config->stride, window);
    default:
        return saturated(config->batch, 2, 0);
    }
}

/* 2081 as "2,081". */
static void group_digits(size_t n, char text[32])
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%zu", n), used = 0;

    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

static int fail_short(const lstm_corpus *c, const lstm_stream_config *config, lstm_error *err)
{
    size_t size = lstm_corpus_part_size(c, config->part);
    bool whole = size == lstm_corpus_size(c), once = config->order == LSTM_ORDER_ONCE;
    char label[LSTM_LABEL_SIZE], has[32], needs[32], seq[32] = "";

    lstm_text_label(lstm_corpus_name(c), label);
    group_digits(size, has);
    group_digits(tokens_needed(config), needs);
    if (!once)
        snprintf(seq, sizeof seq, " seq=%zu", config->seq);
    return lstm_fail(err, "", "%s%s%s%s has %s symbol%s, too short for batch=%zu%s (needs at least %s); use a %s",
                     whole ? "" : "the ", whole ? "" : lstm_part_name(config->part), whole ? "" : " part of ", label,
                     has, size == 1 ? "" : "s", config->batch, seq, needs,
                     !once ? "smaller batch or seq" : config->batch > 1 ? "smaller batch" : "longer text");
}

static int check_config(const lstm_corpus *c, const lstm_stream_config *config, lstm_error *err)
{
    char label[LSTM_LABEL_SIZE];

    if (!lstm_part_name(config->part))
        return lstm_fail(err, "part", "no such part: %d", (int)config->part);
    if (!lstm_order_name(config->order))
        return lstm_fail(err, "order", "no such order: %d", (int)config->order);
    if (config->batch == 0)
        return lstm_fail(err, "batch", "positive integer expected, got 0");
    if (config->seq == 0)
        return lstm_fail(err, "seq", "positive integer expected, got 0");
    lstm_text_label(lstm_corpus_name(c), label);
    if (lstm_corpus_part_size(c, config->part) == 0)
        return lstm_fail(err, "", "%s has nothing in its %s part; give it a share (split=) or a text of its own", label,
                         lstm_part_name(config->part));
    if (lstm_corpus_part_size(c, config->part) < tokens_needed(config))
        return fail_short(c, config, err);
    return 0;
}

/* ---- making ------------------------------------------------------------------------------------------------ */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* After check_config, no quotient here is 0 and nothing overflows. */
static void plan(lstm_stream *s)
{
    size_t n = lstm_corpus_part_size(s->corpus, s->config.part), T = s->config.seq, B = s->config.batch;

    s->steps = T;
    switch (s->config.order) {
    case LSTM_ORDER_CONTIGUOUS:
        s->row = n / B;
        s->batches = (s->row - 1) / T;
        break;
    case LSTM_ORDER_SHUFFLED:
        s->windows = (n - T - 1) / s->config.stride + 1;
        s->batches = s->windows / B;
        break;
    default:
        s->row = n / B;
        s->batches = (s->row - 2) / T + 1;
        s->steps = least(T, s->row - 1);
        break;
    }
}

lstm_stream *lstm_stream_new(lstm_corpus *c, const lstm_stream_config *config, lstm_error *err)
{
    lstm_stream_config full = *config;
    lstm_stream *s;

    if (full.stride == 0)
        full.stride = full.seq;
    if (check_config(c, &full, err))
        return NULL;
    s = calloc(1, sizeof *s);
    if (s) {
        s->corpus = c;
        s->config = full;
        plan(s);
        s->stretch = calloc(s->steps + 1, sizeof *s->stretch);
    }
    if (!s || !s->stretch) {
        free(s);
        lstm_fail(err, "", "not enough memory for a stream of seq=%zu", full.seq);
        return NULL;
    }
    lstm_corpus_ref(c);
    return s;
}

void lstm_stream_free(lstm_stream *s)
{
    if (!s)
        return;
    lstm_corpus_free(s->corpus);
    free(s->stretch);
    free(s);
}

const lstm_stream_config *lstm_stream_settings(const lstm_stream *s)
{
    return &s->config;
}

lstm_corpus *lstm_stream_corpus(const lstm_stream *s)
{
    return s->corpus;
}

size_t lstm_stream_batches(const lstm_stream *s)
{
    return s->batches;
}

size_t lstm_stream_steps(const lstm_stream *s)
{
    return s->steps;
}

/* ---- batches ----------------------------------------------------------------------------------------------- */

/* Where row b of the batch at the cursor begins in the part. */
static size_t beginning(const lstm_stream *s, size_t b)
{
    size_t position = (size_t)s->cursor.position, B = s->config.batch;

    if (s->config.order != LSTM_ORDER_SHUFFLED)
        return b * s->row + position * s->config.seq;
    return (size_t)permuted(s->config.seed, s->cursor.epoch, s->windows, position * B + b) * s->config.stride;
}

/* Column b of the time-major batch: `steps` tokens and the one behind each. */
static void fill_row(lstm_stream *s, size_t b, size_t steps, int32_t *ids, int32_t *targets)
{
    size_t B = s->config.batch;

    lstm_corpus_read(s->corpus, s->config.part, beginning(s, b), steps + 1, s->stretch, NULL);
    for (size_t t = 0; t < steps; t++) {
        ids[t * B + b] = s->stretch[t];
        targets[t * B + b] = s->stretch[t + 1];
    }
}

bool lstm_stream_next(lstm_stream *s, int32_t *ids, int32_t *targets, size_t *steps, bool *reset)
{
    bool shuffled = s->config.order == LSTM_ORDER_SHUFFLED;

    if (s->cursor.position == s->batches) {
        s->cursor = (lstm_cursor) { s->cursor.epoch + 1, 0 };
        if (s->config.order == LSTM_ORDER_ONCE)
            return false;
    }
    *reset = shuffled || s->cursor.position == 0;
    *steps = s->steps;
    if (!shuffled)
        *steps = least(*steps, s->row - 1 - (size_t)s->cursor.position * s->config.seq);
    for (size_t b = 0; b < s->config.batch; b++)
        fill_row(s, b, *steps, ids, targets);
    s->cursor.position++;
    return true;
}

/* ---- cursor ------------------------------------------------------------------------------------------------ */

lstm_cursor lstm_stream_cursor(const lstm_stream *s)
{
    return s->cursor;
}

int lstm_stream_seek(lstm_stream *s, lstm_cursor cursor, lstm_error *err)
{
    if (cursor.epoch >= most_epochs)
        return lstm_fail(err, "epoch", "less than 2^62 expected, got %llu", (unsigned long long)cursor.epoch);
    if (cursor.position > s->batches)
        return lstm_fail(err, "position", "at most %zu expected (batches of an epoch), got %llu", s->batches,
                         (unsigned long long)cursor.position);
    s->cursor = cursor;
    return 0;
}
