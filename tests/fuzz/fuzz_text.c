/* SPDX-License-Identifier: MIT
 *
 * Texts and vocabularies. The first byte says which: a text to cut into bytes, characters or words, which must come out
 * of its ids as it went in; or a vocabulary as a string of bytes, which is refused or restored to the very same bytes.
 */
#define _GNU_SOURCE
#include "corpus.h"
#include "fuzz.h"
#include "utf8.h"

/* The text of a corpus' tokens, which must be this one. */
static void compare(const lstm_corpus *c, const char *text, size_t size, lstm_error *err)
{
    const lstm_vocab *v = lstm_corpus_vocab(c);
    const size_t n = lstm_corpus_size(c);
    size_t bytes;
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    PROMISE(lstm_corpus_read(c, LSTM_PART_TRAIN, 0, n, ids, err) == 0);
    PROMISE(lstm_vocab_decoded_size(v, ids, n, &bytes, err) == 0 && bytes <= size);
    char *back = malloc(bytes + 1);
    lstm_vocab_decode(v, ids, n, back);
    const size_t mark = size - bytes; /* a byte order mark is skipped */
    PROMISE((mark == 0 || mark == 3) && memcmp(back, text + mark, bytes) == 0);
    free(back);
    free(ids);
}

static void check_vocabulary(const lstm_vocab *v, lstm_error *err)
{
    const size_t size = lstm_vocab_serialized_size(v);
    void *bytes = malloc(size);
    lstm_vocab_serialize(v, bytes);
    lstm_vocab *same = lstm_vocab_restore(bytes, size, err);
    PROMISE(same && lstm_vocab_equal(same, v));
    lstm_vocab_free(same);
    free(bytes);
}

static void try_text(lstm_tokens tokens, const char *text, size_t size)
{
    lstm_error err = {0};
    const lstm_corpus_config config = {.source[LSTM_PART_TRAIN] = {.bytes = text, .size = size}, .tokens = tokens};
    lstm_corpus *c = lstm_corpus_new(&config, &err);
    const bool valid = tokens == LSTM_TOKENS_BYTES || lstm_utf8_fault(text, size) == size;
    PROMISE(valid || !c);
    PROMISE(c || err.message[0]);
    if (c) {
        compare(c, text, size, &err);
        check_vocabulary(lstm_corpus_vocab(c), &err);
    }
    lstm_corpus_free(c);
}

static void try_vocabulary(const void *bytes, size_t size)
{
    lstm_error err = {0};
    lstm_vocab *v = lstm_vocab_restore(bytes, size, &err);
    PROMISE(v || err.message[0]);
    if (!v)
        return;
    PROMISE(lstm_vocab_serialized_size(v) == size);
    void *back = malloc(size);
    lstm_vocab_serialize(v, back);
    PROMISE(memcmp(back, bytes, size) == 0);
    free(back);
    lstm_vocab_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)bytes + 1;
    if (bytes[0] % 4 < LSTM_TOKENS_KINDS)
        try_text((lstm_tokens)(bytes[0] % 4), text, size - 1);
    else
        try_vocabulary(text, size - 1);
    return 0;
}
