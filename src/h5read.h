/* SPDX-License-Identifier: MIT
 *
 * h5read.h - looks into a log or a checkpoint of ours without changing anything: what lstmlog is made of.
 *
 * A log is read as of its last commit, also when that is still in the journal; nothing is locked, so a run may write
 * the log meanwhile: whether it did is what h5read_close says. A checkpoint is verified first.
 *
 * Paths of objects are as in "activations/h", "" being the root. Functions return 0, or -1 and a sentence in err.
 */
#ifndef LSTM_H5READ_H
#define LSTM_H5READ_H

#include "h5type.h"
#include "lstm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H5READ_DIMS (H5_MAX_DIMS + 1) /* a series has the record dimension on top */

typedef struct h5read h5read;

typedef enum h5read_kind { H5READ_LOG, H5READ_CHECKPOINT } h5read_kind;

typedef enum h5read_journal {
    H5READ_CLOSED, /* there is none: whoever wrote the log has closed it */
    H5READ_LIVE,   /* somebody is writing the log */
    H5READ_LEFT,   /* its writer was killed, between two commits */
    H5READ_PENDING /* its writer was killed in a commit, which h5log_recover completes */
} h5read_journal;
h5read_journal h5read_journal_of(const char *path);

/* Fails on what is neither a log nor a checkpoint, on a log of another version, and on what is damaged: also on a
 * dataset that claims more rows than it can have, so that whoever reads all of one comes to an end. A child lists it
 * first, and reads all attributes, texts and plain columns (h5probe.h): libhdf5 may crash over a damaged file, or never
 * come back. */
h5read *h5read_open(const char *path, lstm_error *err);
/* The same, but only what is below one group is listed, which is quicker. group must live as long as the reader. */
h5read *h5read_open_group(const char *path, const char *group, lstm_error *err);
/* Whether another commit was made since opening (also when that cannot be told any more): then what was read may be of
 * two states. NULL is fine. */
bool h5read_close(h5read *r);

const char *h5read_path(const h5read *r);
h5read_kind h5read_kind_of(const h5read *r);
bool h5read_is_live(const h5read *r); /* was being written when it was opened */

/* ---- what is in it ---------------------------------------------------------------------------------------------- */

typedef struct h5read_item {
    char *path;
    bool is_group, is_text; /* neither: numbers */
    h5type type;            /* numbers: of an element */
    size_t width;           /* bytes of an element; of a text, those of the longest, at least 1 */
    int ndim;
    uint64_t shape[H5READ_DIMS];
    char dim[H5READ_DIMS][64]; /* names of the dimensions; "": none */
    uint64_t stored;           /* bytes in the file */
} h5read_item;

/* Groups come before what is in them; otherwise the order is that of creation. */
size_t h5read_count(const h5read *r);
const h5read_item *h5read_item_at(const h5read *r, size_t k);
const h5read_item *h5read_find(const h5read *r, const char *path); /* NULL: there is none */
uint64_t h5read_elements(const h5read_item *item);
uint64_t h5read_row_elements(const h5read_item *item); /* of one index of the first dimension */
bool h5read_grows(const h5read_item *item);            /* with the records, or steps, of its group */
const char *h5read_leaf(const char *path);             /* what follows the last '/' */

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* The block of a dataset that begins at start[] and has count[] elements in each dimension, dense and row-major.
 * Numbers are converted to type; texts (type is ignored) are item->width bytes each, padded with NULs, whether the
 * file keeps them in fixed room or not. */
int h5read_block(const h5read *r, const h5read_item *item, const uint64_t *start, const uint64_t *count, h5type type,
                 void *out, lstm_error *err);
/* The same for rows first .. first+n-1: all of the other dimensions. A scalar has one row. */
int h5read_rows(const h5read *r, const h5read_item *item, uint64_t first, uint64_t n, h5type type, void *out,
                lstm_error *err);

/* An attribute, as text: numbers have as many digits as they need. To be freed; NULL: there is none. */
char *h5read_attribute(const h5read *r, const char *object, const char *name);

typedef struct h5read_entry {
    char *name, *text;
} h5read_entry;
/* All attributes of an object whose values are texts or numbers, in the order of creation; none after a failure. */
int h5read_attributes(const h5read *r, const char *object, h5read_entry **entries, size_t *n, lstm_error *err);
void h5read_free_entries(h5read_entry *entries, size_t n);

/* The shortest decimal number that reads back as the same float64 (or float32, when single). */
void h5read_decimal(double value, bool single, char text[40]);

#endif
