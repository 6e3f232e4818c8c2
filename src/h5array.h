/* SPDX-License-Identifier: MIT
 *
 * h5array.h - one array of numbers out of any HDF5 file: data that other programs made, and logs and checkpoints of ours.
 *
 * A child reads it first (h5probe.h): libhdf5 may crash over a damaged file. A log that is being written is read as of
 * its last commit. Functions return 0, or -1 and a sentence with the path in err.
 */
#ifndef LSTM_H5ARRAY_H
#define LSTM_H5ARRAY_H

#include "h5type.h"
#include "lstm.h"

#include <stddef.h>

typedef struct h5array {
    lstm_type type; /* the one that holds its floats: of 4 bytes or fewer LSTM_F32; of whole numbers LSTM_F64 */
    int ndim;       /* 1 to H5_MAX_DIMS: a scalar is an array of one */
    size_t shape[H5_MAX_DIMS]; /* none is 0 */
} h5array;

/* What the dataset at this path in the file ("x", "train/x") is. */
int h5array_look(const char *path, const char *name, h5array *out, lstm_error *err);

/* Indices first .. first+count-1 of the first dimension, all of the others, dense and row-major, in the type and of the
 * shape that h5array_look told: fails when the file is another one by now. */
int h5array_read(const char *path, const char *name, const h5array *expected, size_t first, size_t count, void *data,
                 lstm_error *err);

#endif
