/* SPDX-License-Identifier: MIT
 *
 * h5image.h - HDF5 files that are made in memory and put on the disk whole: checkpoints, results of sweeps.
 *
 * libhdf5 never writes to the disk: it loses data on a full one. The finished image is written to a temporary file
 * beside the target, synced and renamed: whatever happens, the path holds either the old file or the new one, whole.
 *
 * Internal. The three in the middle are called between h5_enter and h5_leave; -1: the reason is in libhdf5's error
 * stack.
 */
#ifndef LSTM_H5IMAGE_H
#define LSTM_H5IMAGE_H

#include <hdf5.h>
#include <stddef.h>

/* The bytes of an HDF5 file. libhdf5's core driver works on them in place. Whoever made the image frees bytes. */
typedef struct h5image {
    unsigned char *bytes;
    size_t size, room; /* of the file, once it is finished; of the memory */
} h5image;

/* A new file in bytes, which have room for it already: libhdf5 would crash when there is no memory for more. */
hid_t h5image_create(h5image *im);
int h5image_finish(h5image *im, hid_t file); /* closes the file, in any case, and sets size */
hid_t h5image_open(h5image *im);             /* for reading */

/* Puts the image and trailer_size bytes behind it at path, by way of the new file `temporary` in the same directory, which
 * is open at fd, is closed in any case, and nobody else uses. What was there becomes `previous` (NULL: is gone), such that
 * path and previous are never both without a whole file. 0 or an errno value. */
int h5image_store(const h5image *im, const void *trailer, size_t trailer_size, int fd, const char *temporary,
                  const char *path, const char *previous);

#endif
