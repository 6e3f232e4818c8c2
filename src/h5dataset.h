/* SPDX-License-Identifier: MIT
 *
 * h5dataset.h - datasets [record, ...] that grow along their first dimension.
 *
 * Internal to the log; to be called between h5_enter and h5_leave. Functions return 0 or -1; the reason is in
 * libhdf5's error stack (h5_fail).
 */
#ifndef LSTM_H5DATASET_H
#define LSTM_H5DATASET_H

#include "h5file.h"

typedef struct h5dataset {
    hid_t id, memory_type; /* id < 0: not open */
    int ndim;              /* without the record dimension */
    hsize_t rows;          /* records there are now */
    hsize_t shape[H5_MAX_DIMS];
} h5dataset;
#define H5DATASET_NONE {.id = -1, .memory_type = -1}

typedef struct h5dataset_config {
    hid_t file_type, memory_type;
    int ndim; /* without the record dimension */
    const size_t *shape;
    const void *fill; /* one element in memory_type: what was not written reads as this */
    int deflate;      /* level of compression, 0: none */
} h5dataset_config;

int h5dataset_create(h5dataset *d, hid_t group, const char *name, const h5dataset_config *config); /* no records */
/* One that does not grow: n elements, written at once. */
int h5dataset_create_fixed(h5dataset *d, hid_t group, const char *name, hid_t file_type, hid_t memory_type, hsize_t n,
                           const void *data);
int h5dataset_open(h5dataset *d, hid_t group, const char *name);
int h5dataset_close(h5dataset *d); /* not open: nothing happens */

int h5dataset_set_rows(h5dataset *d, hsize_t rows); /* more are filled, fewer are cut */
/* Records [first, first+n), which are made when missing. shape NULL: whole records; else each has these sizes, from
 * index 0. */
int h5dataset_write(h5dataset *d, hsize_t first, hsize_t n, const size_t *shape, const void *data);
int h5dataset_read(const h5dataset *d, hsize_t first, hsize_t n, void *data);

#endif
