/* SPDX-License-Identifier: MIT
 *
 * h5scale.h - names and coordinates for the dimensions of a dataset, by the HDF5 Dimension Scale Specification. Done
 * here, with attributes, rather than by libhdf5_hl, which not every installation has.
 *
 * Internal, between h5_enter and h5_leave. Functions return 0 or -1; the reason is in libhdf5's error stack.
 */
#ifndef LSTM_H5SCALE_H
#define LSTM_H5SCALE_H

#include <hdf5.h>

/* Makes the dataset the scale of a dimension of this name. */
int h5scale_set(hid_t dataset, const char *dimension);
/* Says which scales the dimensions of a dataset have: n of them, one for each dimension; once for a dataset. */
int h5scale_attach(hid_t dataset, int n, const hid_t *scales);
/* The names of a dataset's n dimensions. Those that cannot be told stay what they are, or become "". */
#define H5SCALE_NAME 64
void h5scale_names(hid_t dataset, int n, char (*name)[H5SCALE_NAME]);

#endif
