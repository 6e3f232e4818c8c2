/* SPDX-License-Identifier: MIT
 *
 * lstmlog.h - what the files of the program lstmlog share. Its commands print into memory, so that all of it can be
 * done again when a running lstmrun has changed the log in between.
 */
#ifndef LSTM_LSTMLOG_H
#define LSTM_LSTMLOG_H

#include "h5read.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* A command line. */
typedef struct request {
    const char *paths[256];
    int npaths;
    unsigned given; /* a bit for each option of lstmlog.c */
    bool json, follow, numpy, lstmvis, source, csv;
    const char *series;  /* --csv=SERIES; NULL: the metrics */
    const char *out;     /* -o DIR */
    const char *columns; /* --columns=A,B */
    long rows;           /* -n N */
    long row;            /* --row=N */
    long first_step, last_step; /* --steps=A:B; first_step < 0: not given */
} request;

/* What a command prints, and whether it must be done again. */
typedef struct job {
    const request *request;
    FILE *out, *err;
    bool changed; /* a log has got another commit while it was read */
} job;

/* ---- the commands: each returns the exit status ----------------------------------------------------------------- */

int list_runs(job *j);
int show(job *j);
int verify(job *j);
int recover(job *j);
int diff(job *j);
int tail(job *j);
int export(job *j);

/* ---- lstmlog_files.c: what they share --------------------------------------------------------------------------- */

/* Prints "lstmlog: ...", as one line whatever the names in it. */
void print_complaint(FILE *f, const char *format, va_list args, const char *after)
    __attribute__((format(printf, 2, 0)));
/* The same on job->err; returns 1, the exit status of a failure. */
int complain(job *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

void print_text(FILE *f, const char *text); /* within a line: control characters by their values */
int text_width(const char *text);           /* bytes that it then takes */
void print_padded(FILE *f, const char *text, int width); /* with spaces after it, up to so many bytes */

bool is_directory(const char *path);
bool exists(const char *path);
/* The file that is meant by a path: a directory's log, or the file itself. */
void file_of(const char *path, char out[PATH_MAX]);

/* Opens the log of a run's directory, or a file; NULL when that was not possible, which was said. */
h5read *open_path(job *j, const char *path);
h5read *open_log(job *j, const char *path); /* a log only */
/* Notes in the job when the log has changed meanwhile. */
void close_log(job *j, h5read *r);

/* All of a one-dimensional dataset (float64, or int64 for read_integers), *n elements of it. To be freed; NULL: there
 * is none, or it cannot be read, which is said in err. */
double *read_numbers(const h5read *r, const char *path, size_t *n, lstm_error *err);
int64_t *read_integers(const h5read *r, const char *path, size_t *n, lstm_error *err);

bool is_metric(const h5read_item *item);

/* Path of the dataset NAME beside the one at path: "activations/h", "step" -> "activations/step". */
void path_beside(const char *path, const char *name, char out[512]);

const char *bytes_text(uint64_t bytes, char text[32]); /* "1.5 MiB" */

/* ---- lstmlog_ls.c: how a run stands ----------------------------------------------------------------------------- */

typedef struct summary {
    const char *status; /* "running", "stopped", "done", "diverged", "replay" */
    int64_t step, best_step; /* -1: none */
    double loss, best;  /* NaN: none */
    time_t start;
} summary;
int summarize(const h5read *r, summary *s, lstm_error *err);

#endif
