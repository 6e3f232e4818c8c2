/* SPDX-License-Identifier: MIT
 *
 * h5checkpoint.h - checkpoints: named tensors, texts and numbers in one file that is either whole or refused.
 *
 * A checkpoint file is an HDF5 file that any reader opens, followed by a trailer of 64 bytes with our magic, a
 * version, the length and the SHA-256 of everything before. Reading verifies all of that before libhdf5 sees a byte.
 * Writing goes to a temporary file beside the target, which is synced and then renamed: whatever happens, the path
 * holds either the old checkpoint or the new one, whole. Neither reading nor writing ever gives libhdf5 a file.
 *
 * The same object is used both ways: filled by h5checkpoint_new and the add functions, or by h5checkpoint_read.
 * Names of tensors and texts may contain '/', which makes groups; a part of a name is 1 to 63 bytes of UTF-8, but not
 * "." or "..".
 * All functions that take an lstm_error return -1 or NULL on failure, with a sentence that names the path, or the
 * tensor, and the reason. They may be called from one thread at a time per checkpoint.
 */
#ifndef LSTM_H5CHECKPOINT_H
#define LSTM_H5CHECKPOINT_H

#include "h5type.h"
#include "lstm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H5CHECKPOINT_NAME_SIZE 160 /* of a tensor's or text's name with its NUL */

typedef struct h5checkpoint h5checkpoint;

/* ---- writing ---------------------------------------------------------------------------------------------------- */

h5checkpoint *h5checkpoint_new(lstm_error *err); /* empty */
void h5checkpoint_free(h5checkpoint *cp);        /* NULL is fine */

/* A dense row-major array of ndim (0: a scalar .. H5_MAX_DIMS) dimensions; a size may be 0. data is not copied: it
 * must stay until h5checkpoint_write has returned. */
int h5checkpoint_add(h5checkpoint *cp, const char *name, h5type type, int ndim, const size_t *shape, const void *data,
                     lstm_error *err);
/* The same for a tensor of the engine, dense or not; its data must stay, too. name NULL: the tensor's own. */
int h5checkpoint_add_tensor(h5checkpoint *cp, const char *name, const lstm_tensor *t, lstm_error *err);
/* Any bytes (UTF-8 by custom, NULs allowed) of any length; copied. */
int h5checkpoint_add_text(h5checkpoint *cp, const char *name, const char *text, size_t length, lstm_error *err);
int h5checkpoint_add_integer(h5checkpoint *cp, const char *name, int64_t value, lstm_error *err);
int h5checkpoint_add_number(h5checkpoint *cp, const char *name, double value, lstm_error *err);

/* Replaces the file at path. When previous is not NULL, what was at path is kept there (replacing what was at
 * previous, but only once the new file is in place). On failure path holds what it held, or the new file. */
int h5checkpoint_write(const h5checkpoint *cp, const char *path, const char *previous, lstm_error *err);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

h5checkpoint *h5checkpoint_read(const char *path, lstm_error *err);
/* Reads path, or when that is missing or damaged previous. *used_previous says which (may be NULL); then *err holds
 * the reason why path was not used. NULL when neither can be read: the error is the one of path. */
h5checkpoint *h5checkpoint_read_either(const char *path, const char *previous, bool *used_previous, lstm_error *err);

typedef struct h5checkpoint_item {
    const char *name; /* the checkpoint's */
    h5type type;
    int ndim;
    size_t shape[H5_MAX_DIMS];
} h5checkpoint_item;

size_t h5checkpoint_count(const h5checkpoint *cp); /* number of tensors */
int h5checkpoint_item_at(const h5checkpoint *cp, size_t k, h5checkpoint_item *item); /* -1 when k >= count */
/* -1 and an error ("path: has no tensor 'name'") when there is none. item may be NULL. */
int h5checkpoint_find(const h5checkpoint *cp, const char *name, h5checkpoint_item *item, lstm_error *err);

/* Copies a tensor out, dense and row-major; type and shape must be the stored ones. */
int h5checkpoint_get(const h5checkpoint *cp, const char *name, h5type type, int ndim, const size_t *shape, void *data,
                     lstm_error *err);
/* Copies into a tensor of the engine; shape and type must be the stored ones. name NULL: the tensor's own. */
int h5checkpoint_get_tensor(const h5checkpoint *cp, const char *name, const lstm_tensor *t, lstm_error *err);
/* The text belongs to the checkpoint and ends with a NUL that *length (may be NULL) does not count. */
const char *h5checkpoint_text(const h5checkpoint *cp, const char *name, size_t *length, lstm_error *err);
int h5checkpoint_integer(const h5checkpoint *cp, const char *name, int64_t *value, lstm_error *err);
int h5checkpoint_number(const h5checkpoint *cp, const char *name, double *value, lstm_error *err);

#endif
