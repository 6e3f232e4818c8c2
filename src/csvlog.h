/* SPDX-License-Identifier: MIT
 *
 * csvlog.h - metrics.csv: the metrics once more as plain text, for tail -f and spreadsheets.
 *
 * A header line "step,loss,...", then a line for each step. Calls with the same step share a line; it is written
 * when the next step begins, and at flush and close. What is said of the same step after a flush changes its line. The
 * columns are those announced, or else those of the first row; one that comes later is left out (it is in log.h5).
 * Missing values are empty, others have as many digits as are needed to read the same number back.
 */
#ifndef LSTM_CSVLOG_H
#define LSTM_CSVLOG_H

#include "lstm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct csvlog csvlog;

/* A new file; fails when something is at path already. */
csvlog *csvlog_create(const char *path, lstm_error *err);
/* Goes on with a file: lines after `step` and an unfinished last line are removed. A missing file is created. */
csvlog *csvlog_resume(const char *path, int64_t step, lstm_error *err);
/* Columns after "step"; ignored when the file has its header already. */
int csvlog_columns(csvlog *csv, size_t n, const char *const *names, lstm_error *err);
int csvlog_row(csvlog *csv, int64_t step, size_t n, const char *const *names, const double *values, lstm_error *err);
/* Name of the first column that was left out, or NULL. */
const char *csvlog_left_out(const csvlog *csv);
int csvlog_flush(csvlog *csv, lstm_error *err); /* writes; also happens by itself about once a second */
int csvlog_close(csvlog *csv, lstm_error *err); /* flushes, and frees in any case; NULL is fine */

#endif
