/* SPDX-License-Identifier: MIT
 *
 * h5curves.h - the learning curves of many runs, read from the metrics of their logs and brought to one axis of steps.
 *
 * Where runs are long and many, curves are thinned: K steps (a power of two, the same for all) become one place, which
 * holds the last value that was logged in them. A place at which no run logged anything is left out.
 */
#ifndef LSTM_H5CURVES_H
#define LSTM_H5CURVES_H

#include "lstm.h"

#include <stddef.h>
#include <stdint.h>

typedef struct h5curves h5curves;

/* For so many runs; a curve shall have no more than `places` of them. To be freed; NULL: out of memory. */
h5curves *h5curves_new(size_t runs, size_t places, lstm_error *err);
void h5curves_free(h5curves *c); /* NULL is fine */

/* Reads the metrics of a run's log. -1, and a sentence: it can't be read; the run's curves stay empty. */
int h5curves_read(h5curves *c, size_t run, const char *log, lstm_error *err);
/* All runs are read: finds the axis. -1: out of memory. */
int h5curves_settle(h5curves *c, lstm_error *err);

size_t h5curves_count(const h5curves *c);                /* metrics */
const char *h5curves_name(const h5curves *c, size_t k);  /* of a metric; they are in the order of their appearance */
size_t h5curves_size(const h5curves *c);                 /* places on the axis */
const int64_t *h5curves_steps(const h5curves *c);        /* the axis: the last step of each place */
uint64_t h5curves_thinned(const h5curves *c);            /* K; 1: every step has its place */
/* Metric k of all runs: [run][place], NaN where there is no value. */
void h5curves_get(const h5curves *c, size_t k, double *matrix);

#endif
