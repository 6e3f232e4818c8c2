/* SPDX-License-Identifier: MIT
 *
 * h5log.h - the run log, log.h5: metrics, tensors, text samples and events of a run, step by step.
 *
 * The layout is described in docs/files.md. Calls that log copy what they are given into a bounded queue and return;
 * one thread writes it. Every commit_seconds, and at h5log_flush, the file moves from one whole state to the next
 * (h5txn.h): whatever kills the process or fills the disk, the last commit is there.
 *
 * Steps may not decrease within a series. Several calls with the same step add to the same row (metrics) or record
 * (series of one group); a value given twice for one step: the later one counts. Samples and events are never merged.
 *
 * Names of columns, series, dimensions and attributes are 1 to 63 bytes of UTF-8 without '/' or control characters.
 * Functions return 0, or -1 with a sentence in err. When the writing thread fails, the next call reports it with path
 * and reason, and so does every later one until h5log_abandon says to go on without logging. May be called from
 * several threads.
 */
#ifndef LSTM_H5LOG_H
#define LSTM_H5LOG_H

#include "h5type.h"
#include "lstm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H5LOG_VERSION 1 /* of the layout, in the file's attribute "format_version": other ones are not opened */

typedef struct h5log h5log;

typedef struct h5log_options {
    int deflate;           /* compression level 0 (none) to 9; default 1 */
    double commit_seconds; /* default 2 */
    size_t commit_records; /* commit after so many rows and records, too; default 0: by time only */
    size_t queue_bytes;    /* what may wait for the writing thread; default 64 MiB */
    bool drop;             /* queue full: drop the record and count it, instead of waiting; default false */
    size_t text_bytes;     /* the longest text sample, default 65535: longer ones are cut at a character */
} h5log_options;
void h5log_defaults(h5log_options *options);

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

/* A new log; fails when something is at path already. options NULL: the defaults. */
h5log *h5log_create(const char *path, const h5log_options *options, lstm_error *err);
/* Goes on with the log of an interrupted run: an unfinished commit is mended, everything after `step` is removed, an
 * event "resume" is added. A missing file, or one that was killed before its first commit, is created. Attributes may
 * be set and columns and series announced again; those that exist must agree. */
h5log *h5log_resume(const char *path, int64_t step, const h5log_options *options, lstm_error *err);
/* Writes and commits what is queued, ends the thread, frees the log in any case. -1: something could not be written. */
int h5log_close(h5log *log, lstm_error *err);

/* ---- what is said once ------------------------------------------------------------------------------------------ */

/* Scalar attributes of a group, "config" or "environment" (or any other one), set at once; an existing one is
 * replaced. Text is UTF-8. */
int h5log_set_text(h5log *log, const char *group, const char *name, const char *text, lstm_error *err);
int h5log_set_integer(h5log *log, const char *group, const char *name, int64_t value, lstm_error *err);
int h5log_set_number(h5log *log, const char *group, const char *name, double value, lstm_error *err);
/* The whole configuration as JSON: dataset /config/json. */
int h5log_set_json(h5log *log, const char *json, lstm_error *err);

/* A list of texts that belongs to the whole log: dataset GROUP/NAME. One that is there already stays as it is. */
int h5log_set_texts(h5log *log, const char *group, const char *name, size_t n, const char *const *texts,
                    lstm_error *err);

/* Columns of /metrics in the order they shall have in the file; further ones may appear in any row. */
int h5log_columns(h5log *log, size_t n, const char *const *names, lstm_error *err);

/* One dimension of a series. Coordinates are values, or labels, or neither (0, 1, 2, ...). */
typedef struct h5log_dim {
    const char *name; /* "layer", "time", "batch", "unit", ... */
    size_t size;
    const double *values;      /* size of them, or NULL */
    const char *const *labels; /* size of them, or NULL */
} h5log_dim;

#define H5LOG_PLAIN (-1)

typedef struct h5log_series {
    const char *name; /* "group/dataset", as "activations/f" */
    h5type type;      /* H5_F32, H5_F64, H5_I32, H5_I64 or H5_TEXT */
    int ndim;         /* 0 .. H5_MAX_DIMS, without the record dimension, which is added in front */
    h5log_dim dim[H5_MAX_DIMS];
    int keepbits;     /* float32: keep so many bits of the mantissa, 1 .. 22; 0: all */
    int deflate;      /* compression level 1 .. 9; 0: as in h5log_options; H5LOG_PLAIN: none */
    const char *units, *title; /* attributes "units" and "long_name"; may be NULL */
} h5log_series;
/* Dimensions of one name must agree within a group: they share coordinates. */
int h5log_announce(h5log *log, const h5log_series *series, lstm_error *err);

/* ---- what is logged --------------------------------------------------------------------------------------------- */

/* A row of /metrics. A column not named in a row holds NaN there. */
int h5log_row(h5log *log, int64_t step, size_t n, const char *const *names, const double *values, lstm_error *err);

/* A record of an announced series, from tensors of the engine: one tensor with the series' dimensions, or as many as
 * the first dimension says, each with the remaining ones (layers, say). A tensor's type must be the series' type. A
 * tensor may be smaller than announced: the rest of its record is NaN (or -1, for integers), and the actual size is
 * in the group's column "<dimension>_size". */
int h5log_tensors(h5log *log, const char *series, int64_t step, size_t n, const lstm_tensor *parts, lstm_error *err);
/* The same from a dense row-major array of the series' type; shape NULL: as announced. */
int h5log_array(h5log *log, const char *series, int64_t step, const size_t *shape, const void *data, lstm_error *err);
/* The same for a series of texts. Invalid UTF-8 is replaced by U+FFFD. */
int h5log_texts(h5log *log, const char *series, int64_t step, const size_t *shape, const char *const *texts,
                lstm_error *err);

/* /samples and /events. Invalid UTF-8 is replaced by U+FFFD. */
int h5log_sample(h5log *log, int64_t step, const char *text, size_t length, lstm_error *err);
int h5log_event(h5log *log, int64_t step, const char *kind, const char *text, lstm_error *err);

/* ---- the rest --------------------------------------------------------------------------------------------------- */

/* Returns when everything logged so far is committed: on the disk, and safe. */
int h5log_flush(h5log *log, lstm_error *err);

/* After an error: all further calls do nothing and succeed; h5log_close, too. */
void h5log_abandon(h5log *log);

typedef struct h5log_stats {
    uint64_t commits;        /* in the file's attribute "commits", too */
    uint64_t rows, records;  /* queued: rows of metrics; records, samples and events */
    uint64_t bytes;          /* copied into the queue */
    uint64_t dropped;        /* records lost to a full queue (drop) */
    uint64_t waits;          /* calls that found the queue full ... */
    double wait_seconds;     /* ... and how long they waited together */
    double writer_seconds;   /* processor time of the thread that writes */
    int64_t committed_step;  /* the last step that is committed; -1: none */
} h5log_stats;
void h5log_get_stats(h5log *log, h5log_stats *stats);

/* What `lstmlog recover` does: brings a log that nobody writes to its last commit. *what (may be NULL) gets a line:
 * "sound, nothing to do", "an unfinished commit was completed" or "an uncommitted tail was cut". */
int h5log_recover(const char *path, const char **what, lstm_error *err);

#endif
