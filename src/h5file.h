/* SPDX-License-Identifier: MIT
 *
 * h5file.h - what our h5*.c files share: one lock around libhdf5, its errors as sentences, attributes, names.
 *
 * Internal: includes hdf5.h, so only h5*.c include it. Every function below but the first three is called between
 * h5_enter and h5_leave.
 */
#ifndef LSTM_H5FILE_H
#define LSTM_H5FILE_H

#include "h5type.h"
#include "lstm.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

/* Only one thread at a time is inside libhdf5, which is seldom built thread-safe. The library's own error printing is
 * off in between. Not recursive. */
void h5_enter(void);
void h5_leave(void);

/* A part of a name: 1 to 63 bytes of UTF-8, no '/', no control characters, no blank at either end, not "." or "..". */
bool h5_name_ok(const char *name, size_t length);

/* Sets "WHAT PATH: REASON", the reason being libhdf5's innermost one, and returns -1. */
int h5_fail(lstm_error *err, const char *what, const char *path);

hid_t h5_type_in_file(h5type type);   /* little-endian; not to be closed */
hid_t h5_type_in_memory(h5type type); /* the machine's own; not to be closed */
bool h5_type_of(hid_t type, h5type *out); /* false: none of ours */

/* UTF-8 of any length; in memory a char *. To be closed. (libnetcdf before 4.9.1 crashes over arrays of fixed-length
 * strings, its issue 2159; xarray and h5py make str of these, bytes of those.) */
hid_t h5_text_type(void);
hid_t h5_fixed_text_type(size_t length); /* fixed-length UTF-8, padded with NULs, at least 1 byte; to be closed */

/* Scalar attributes of an object; an existing one is replaced. -1 on failure. */
int h5_put_text(hid_t object, const char *name, const char *text);
int h5_put_texts(hid_t object, const char *name, int n, const char *const *texts); /* 1-D */
int h5_put_integer(hid_t object, const char *name, int64_t value);
int h5_put_number(hid_t object, const char *name, double value);

/* The group at this path below file, made with all above it when missing; creation order is kept. To be closed. */
hid_t h5_make_group(hid_t file, const char *path);

/* The file at path for reading, a log as of its last commit (h5txn.h); to be closed with all that is in it. -1, and err
 * (may be NULL) with the reason. */
hid_t h5_open_to_read(const char *path, lstm_error *err);

/* Closes what is >= 0, by its kind. For clearing up: an error of its own is not told, that of an earlier call stays. */
void h5_close(hid_t object);

#endif
