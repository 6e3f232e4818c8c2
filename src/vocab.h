/* SPDX-License-Identifier: MIT
 *
 * vocab.h - vocabularies: which symbols a text is made of, and their numbers (ids).
 *
 * A vocabulary never changes once it is made. It is shared by counting references (text, model and checkpoint hold the
 * same one); the count isn't atomic: keep a vocabulary within one thread. Ids are 0 .. size-1, in the order of the
 * symbols' bytes, which for bytes is their value and for characters their code point.
 *
 * Functions that can fail take an lstm_error and return NULL or -1. In its field stands the argument at fault; "" means
 * that the text (or the memory of the machine) is at fault, and the message is then complete in itself.
 */
#ifndef LSTM_VOCAB_H
#define LSTM_VOCAB_H

#include "lstm.h"

/* How text is cut into tokens.
 * bytes: every byte is one; any text is valid.
 * chars: every Unicode character (code point) is one; the text must be UTF-8.
 * words: a maximal run of letters, digits and apostrophes (' and U+2019) is one, every other character (space, newline,
 *   punctuation) is one of its own; the text must be UTF-8. Letters are A-Z, a-z and all characters from U+0080 on
 *   that are not punctuation or signs: see is_word_character() in vocab.c.
 * In each way, the tokens put one after another give the text again. */
typedef enum lstm_tokens { LSTM_TOKENS_BYTES, LSTM_TOKENS_CHARS, LSTM_TOKENS_WORDS, LSTM_TOKENS_KINDS } lstm_tokens;

const char *lstm_tokens_name(lstm_tokens tokens); /* "bytes", "chars", "words"; NULL past the end */

/* Text of the caller's, only read. It may contain NUL. */
typedef struct lstm_text {
    const char *name;  /* for messages, as in: text 'NAME'; NULL: the text */
    const char *bytes;
    size_t size;       /* bytes */
    size_t start;      /* tokens begin here (0, or behind a byte order mark); messages count from bytes[0] */
} lstm_text;

/* How messages call a text: "text 'NAME'", or "the text" when name is NULL or empty. A long name shows its end. */
#define LSTM_LABEL_SIZE 96
void lstm_text_label(const char *name, char label[LSTM_LABEL_SIZE]);

typedef struct lstm_vocab lstm_vocab;

/* The vocabulary of the symbols of `count` texts together. Fails when they are all empty, when one is not valid UTF-8
 * (chars, words; the message names byte and line), or without memory. The caller owns the one reference. */
lstm_vocab *lstm_vocab_build(lstm_tokens tokens, const lstm_text *texts, size_t count, lstm_error *err);
lstm_vocab *lstm_vocab_ref(lstm_vocab *v);  /* one reference more; returns v */
void lstm_vocab_free(lstm_vocab *v);        /* one fewer; the last frees it. Accepts NULL */

size_t lstm_vocab_size(const lstm_vocab *v); /* V: number of symbols, 1 .. INT32_MAX */
size_t lstm_vocab_bytes(const lstm_vocab *v); /* memory held */
lstm_tokens lstm_vocab_tokens(const lstm_vocab *v);
bool lstm_vocab_equal(const lstm_vocab *a, const lstm_vocab *b); /* same tokens, same symbols */

/* The symbol's bytes, *size of them, or NULL when id is out of range. They belong to v; no NUL follows them, and they
 * may contain one. */
const char *lstm_vocab_symbol(const lstm_vocab *v, int32_t id, size_t *size);
/* The id of a symbol; -1 when v lacks it. */
int32_t lstm_vocab_find(const lstm_vocab *v, const char *symbol, size_t size);

/* Number of tokens of the text. Fails when it is not valid UTF-8 (chars, words). */
int lstm_vocab_count(lstm_tokens tokens, const lstm_text *text, size_t *count, lstm_error *err);

/* Text to ids. `ids` has room for one id per byte (text->size - text->start; there are never more tokens than bytes)
 * or for what lstm_vocab_count says; *count is set to the number written. A symbol v lacks becomes `unknown`, an id of
 * v; with unknown = -1 it is an error that names symbol, byte and line. Fails on text that is not valid UTF-8, too.
 * After an error the contents of ids mean nothing. */
int lstm_vocab_encode(const lstm_vocab *v, const lstm_text *text, int32_t unknown, int32_t *ids, size_t *count,
                      lstm_error *err);

/* The same piece by piece: each call writes up to `room` ids and goes on where the last one stopped; *count = 0 means
 * that the text is at its end. Set up with reader.offset = text.start. */
typedef struct lstm_reader {
    const lstm_vocab *vocab;
    lstm_text text;
    int32_t unknown; /* as above */
    size_t offset;   /* of the next token */
} lstm_reader;
int lstm_reader_next(lstm_reader *r, int32_t *ids, size_t room, size_t *count, lstm_error *err);

/* Ids to text, in two steps: how many bytes, then the bytes (no NUL is added). The first fails when an id is out of
 * range (field "ids"), naming it and its place counted from 1; the second expects ids that passed the first. */
int lstm_vocab_decoded_size(const lstm_vocab *v, const int32_t *ids, size_t count, size_t *size, lstm_error *err);
void lstm_vocab_decode(const lstm_vocab *v, const int32_t *ids, size_t count, char *text);

/* A vocabulary as a string of bytes, the same on every machine, and back. `bytes` has room for the size. What isn't a
 * whole and consistent vocabulary is refused by restore, whose caller owns the one reference. */
size_t lstm_vocab_serialized_size(const lstm_vocab *v);
void lstm_vocab_serialize(const lstm_vocab *v, void *bytes);
lstm_vocab *lstm_vocab_restore(const void *bytes, size_t size, lstm_error *err);

#endif
