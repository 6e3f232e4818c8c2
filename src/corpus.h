/* SPDX-License-Identifier: MIT
 *
 * corpus.h - a text to learn from: tokens, a vocabulary, parts to train on, to validate and to test with.
 *
 * A corpus is made at once from files or memory, never changes, and keeps nothing of them but its tokens. It is shared
 * by counting references (each stream holds one; see stream.h). Errors are as in vocab.h: with a field, an argument is
 * wrong; without, a file or text is, and the message says all: "notes.txt: No such file or directory",
 * "text 'notes.txt' is empty".
 */
#ifndef LSTM_CORPUS_H
#define LSTM_CORPUS_H

#include "vocab.h"

typedef enum lstm_part { LSTM_PART_TRAIN, LSTM_PART_VAL, LSTM_PART_TEST, LSTM_PARTS } lstm_part;

const char *lstm_part_name(lstm_part part); /* "train", "val", "test"; NULL past the end */

/* Where text comes from: a file (path not NULL), memory (bytes not NULL), or none. A file is read whole, once; it must
 * be a regular file. Strings belong to the caller and aren't needed after lstm_corpus_new. */
typedef struct lstm_source {
    const char *path;
    const char *bytes;
    size_t size; /* of bytes */
} lstm_source;

/* All zero is a valid start. Set source[LSTM_PART_TRAIN] alone to have one text, which `split` divides; set others,
 * too, to give each part a text of its own. */
typedef struct lstm_corpus_config {
    const char *name;               /* for messages; NULL: the path, or for text in memory nothing */
    lstm_source source[LSTM_PARTS];
    double split[LSTM_PARTS];       /* one text only: fractions of its tokens, sum <= 1; all 0: everything to train */
    lstm_tokens tokens;             /* of the new vocabulary */
    lstm_vocab *vocab;              /* or use this one (and its kind of tokens): the corpus takes a reference */
    const char *unknown;            /* with vocab: the symbol that stands for all it lacks; NULL: they are an error */
    size_t unknown_size;            /* bytes of it */
} lstm_corpus_config;

typedef struct lstm_corpus lstm_corpus;

/* Parts of one text of n tokens lie one after another, each floor(n*fraction) tokens long; when the fractions add up
 * to 1, the last part (with a fraction > 0) also has what rounding leaves over. A new vocabulary is that of all the
 * text, whatever the part.
 * A byte order mark at the beginning of a text is skipped for chars and words, and kept for bytes. Nothing else is
 * changed: CR LF stays two symbols, NUL is a symbol.
 * Needs, while loading, the size of the largest text plus 1 to 4 bytes per token. */
lstm_corpus *lstm_corpus_new(const lstm_corpus_config *config, lstm_error *err);
lstm_corpus *lstm_corpus_ref(lstm_corpus *c); /* one reference more; returns c */
void lstm_corpus_free(lstm_corpus *c);        /* one fewer; the last frees it. Accepts NULL */

const char *lstm_corpus_name(const lstm_corpus *c);   /* config's name, or path; "" when there was neither */
const char *lstm_corpus_path(const lstm_corpus *c, lstm_part part); /* NULL when that source wasn't a file */
/* 64 hexadecimal digits: SHA-256 of the raw bytes; of several texts, of their bytes in the order of the parts (as
 * `cat train val test | sha256sum` prints). */
const char *lstm_corpus_sha256(const lstm_corpus *c);
size_t lstm_corpus_source_bytes(const lstm_corpus *c); /* raw bytes read, all texts together */
size_t lstm_corpus_bytes(const lstm_corpus *c);        /* memory held, without the vocabulary */
lstm_vocab *lstm_corpus_vocab(const lstm_corpus *c);   /* the corpus's own reference: use lstm_vocab_ref to keep it */

size_t lstm_corpus_size(const lstm_corpus *c);                       /* tokens of all parts, and of none */
size_t lstm_corpus_part_size(const lstm_corpus *c, lstm_part part);  /* tokens of one; 0 when there is no such part */
/* Copies tokens [first, first+count) of the part; -1 when they aren't all there. */
int lstm_corpus_read(const lstm_corpus *c, lstm_part part, size_t first, size_t count, int32_t *ids, lstm_error *err);

#endif
