/* SPDX-License-Identifier: MIT
 *
 * h5records.h - a group of datasets [record, ...] that share their records: one `record` dimension, one `step` column.
 *
 * Internal to the log, called between h5_enter and h5_leave. Functions return 0 or -1; when err has an empty message
 * the reason is in libhdf5's error stack.
 */
#ifndef LSTM_H5RECORDS_H
#define LSTM_H5RECORDS_H

#include "h5dataset.h"
#include "h5log.h"

#define H5RECORDS_PATH_SIZE 160

typedef struct h5records h5records;

/* One dataset of a group. The fields down to keepbits never change. */
typedef struct h5series {
    struct h5series *next; /* in the group */
    h5records *group;
    char *name;            /* without the group */
    h5type type;
    int ndim;
    size_t shape[H5_MAX_DIMS];
    char *dim[H5_MAX_DIMS];
    int keepbits;
    h5dataset data;
} h5series;

/* Opens the group, or makes it. The log's groups form a list. */
h5records *h5records_open(hid_t file, const char *path, int deflate);
int h5records_close(h5records *g);          /* frees in any case; NULL is fine */
const char *h5records_path(const h5records *g);
int64_t h5records_last_step(const h5records *g); /* INT64_MIN: no records */

/* Makes a dataset, or opens an existing one that must agree. */
h5series *h5records_announce(h5records *g, const h5log_series *config, lstm_error *err);

/* The row of the record for this step: the last one when that has this step and merge is set, else a new one. */
int h5records_row(h5records *g, int64_t step, bool merge, hsize_t *row);
/* data: dense, of this shape (NULL: the announced one), which is not larger than announced; texts: char *. */
int h5records_write(h5series *s, hsize_t row, const size_t *shape, const void *data);

/* Gives all datasets of the group the same number of records. Before a commit. */
int h5records_settle(h5records *g);
/* Cuts the records after step off every group of records in the file that was not opened yet. */
int h5records_cut_all(hid_t file, int64_t step);

#endif
