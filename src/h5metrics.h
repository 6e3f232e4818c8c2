/* SPDX-License-Identifier: MIT
 *
 * h5metrics.h - the group /metrics: a table of float64 columns with a row for each step, kept in memory until a commit.
 *
 * Internal to the log, called between h5_enter and h5_leave. Functions return 0 or -1; the reason is in libhdf5's
 * error stack.
 */
#ifndef LSTM_H5METRICS_H
#define LSTM_H5METRICS_H

#include "h5dataset.h"

typedef struct h5metrics h5metrics;

/* A column. It is made with its name only, by any thread, and becomes a dataset when it is first needed. */
typedef struct h5column {
    struct h5column *next; /* in the table */
    char name[64];
    h5dataset data;  /* not open: not in the table yet */
    double *pending; /* values of the table's pending rows, NaN where there is none */
    bool touched;    /* some pending value is new */
} h5column;

typedef struct h5cell {
    h5column *column;
    double value;
} h5cell;

h5column *h5column_new(const char *name); /* NULL: out of memory */
void h5column_free(h5column *column);     /* when the table is closed */

h5metrics *h5metrics_open(hid_t file, int deflate); /* makes the group when missing */
int h5metrics_close(h5metrics *m); /* frees in any case, but neither columns nor pending rows are written */
void h5metrics_discard(h5metrics *m); /* closes it and frees its columns, too */
/* The table's columns: those in the file when it was opened, then those added. They belong to whoever holds the log. */
h5column *h5metrics_columns(const h5metrics *m);
int64_t h5metrics_last_step(const h5metrics *m); /* INT64_MIN: no rows */

/* Makes the column's dataset, or opens it when the file has it. Nothing happens when it is open already. */
int h5metrics_add(h5metrics *m, h5column *column);
/* Adds to the last row when that has this step, else makes a new one. */
int h5metrics_row(h5metrics *m, int64_t step, const h5cell *cells, size_t n);
int h5metrics_settle(h5metrics *m); /* writes the pending rows. Before a commit. */

#endif
