/* SPDX-License-Identifier: MIT
 *
 * h5results.h - the results of a sweep in one file, sweep.h5: a table of its trials, their learning curves, links to
 * their logs. The layout is described in docs/sweeps.md.
 */
#ifndef LSTM_H5RESULTS_H
#define LSTM_H5RESULTS_H

#include "h5curves.h"
#include "lstm.h"

#include <stddef.h>
#include <stdint.h>

typedef enum h5results_kind { H5RESULTS_INTEGER, H5RESULTS_NUMBER, H5RESULTS_TEXT, H5RESULTS_BOOLEAN } h5results_kind;

/* A column of the table; it has a value for each trial. */
typedef struct h5results_column {
    const char *name; /* 1 to 63 bytes of UTF-8 without '/' or control characters; each once */
    h5results_kind kind;
    size_t width;       /* bytes of a value: 8 of an int64_t or double, 1 of a boolean, any of a text, NULs behind it */
    const void *values; /* [trials] of width bytes */
    const char *title;  /* what it is, or NULL */
} h5results_column;

typedef struct h5results_attribute {
    const char *name, *text;
} h5results_attribute;

typedef struct h5results {
    size_t trials;
    size_t nattributes;
    const h5results_attribute *attributes; /* of the root: what the sweep is */
    size_t ncolumns;
    const h5results_column *columns;
    const char *signal;       /* the column to plot unasked */
    const h5curves *curves;   /* of all trials, settled */
    const char *curve_signal; /* the metric to plot unasked, if it is there */
    const char *const *ids;   /* [trials]: names for the links */
    const char *const *logs;  /* [trials]: what they lead to, relative to the file's directory; NULL: no link */
} h5results;

/* Writes the file, by way of a temporary one, so that the path holds the old or the new one, whole. Returns 0, or -1
 * and a sentence. */
int h5results_write(const h5results *results, const char *path, lstm_error *err);

#endif
