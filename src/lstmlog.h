/* SPDX-License-Identifier: MIT
 *
 * lstmlog.h - what the files of the program lstmlog share. Its commands print into memory, so that all of it can be
 * done again when a running lstmrun has changed the log in between.
 */
#ifndef LSTM_LSTMLOG_H
#define LSTM_LSTMLOG_H

#include "h5read.h"

#include <stdbool.h>
#include <stdio.h>

/* A command line. */
typedef struct request {
    const char *paths[256];
    int npaths;
    bool json, follow, numpy, lstmvis, csv;
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

/* Prints "lstmlog: ..." on job->err; returns 1, the exit status of a failure. */
int complain(job *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* All of a one-dimensional dataset (float64, or int64 for read_integers), *n elements of it. To be freed; NULL: there
 * is none, or it cannot be read, which is said in err. */
double *read_numbers(const h5read *r, const char *path, size_t *n, lstm_error *err);
int64_t *read_integers(const h5read *r, const char *path, size_t *n, lstm_error *err);

/* Path of the dataset NAME beside the one at path: "activations/h", "step" -> "activations/step". */
void path_beside(const char *path, const char *name, char out[512]);

/* lstmlog export: 0, or 1 when it failed and said so. */
int export_run(job *j, const h5read *r);

#endif
