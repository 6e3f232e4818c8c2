/* SPDX-License-Identifier: MIT
 *
 * h5type.h - element types of what we keep in HDF5 files, for callers that do not include hdf5.h.
 */
#ifndef LSTM_H5TYPE_H
#define LSTM_H5TYPE_H

#include <stddef.h>

#define H5_MAX_DIMS 5 /* of a tensor; the record dimension of a log series comes on top */

/* H5_TEXT: UTF-8 of any length, in memory a char * that ends with NUL; series of the log only. */
typedef enum h5type { H5_F32, H5_F64, H5_I32, H5_I64, H5_U64, H5_U8, H5_TEXT, H5_TYPES } h5type;

size_t h5type_size(h5type type);      /* bytes of one element; 0 for no such type */
const char *h5type_name(h5type type); /* "float32", "float64", "int32", "int64", "uint64", "uint8"; "?" for no type */

#endif
