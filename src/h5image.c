/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5image.h"

#include "fileio.h"
#include "h5file.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- libhdf5's view of it --------------------------------------------------------------------------------------- */

/* libhdf5 asks these for the memory of the image. It always gets ours: nothing is copied, and freeing is left to us. */

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *data)
{
    h5image *im = data;
    (void)size; /* of the image, as h5image_open told it */
    (void)op;
    return im->bytes;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *data)
{
    (void)from; /* the same memory */
    (void)size;
    (void)op;
    (void)data;
    return to;
}

static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t op, void *data)
{
    h5image *im = data;
    (void)old;
    (void)op;
    if (size > im->room) {
        unsigned char *bytes = realloc(im->bytes, size + size / 4);
        if (!bytes)
            return NULL;
        im->bytes = bytes;
        im->room = size + size / 4;
    }
    return im->bytes;
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *data)
{
    (void)bytes;
    (void)op;
    (void)data;
    return 0;
}

static void *same_image(void *data)
{
    return data;
}

static herr_t keep_image(void *data)
{
    (void)data;
    return 0;
}

/* Access properties for a file in this memory. */
static hid_t image_access(h5image *im)
{
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             same_image,   keep_image,   im};
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (fapl >= 0 && H5Pset_fapl_core(fapl, 64 * 1024, 0) >= 0 &&
        H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
        H5Pset_file_image_callbacks(fapl, &callbacks) >= 0)
        return fapl;
    h5_close(fapl);
    return -1;
}

/* libhdf5 takes two open files of one name for the same file, in memory, too: each image has a name of its own. */
static const char *image_name(void)
{
    static char name[48];
    static unsigned long number;
    snprintf(name, sizeof name, "image in memory %lu", ++number);
    return name;
}

/* Where the file ends, as its superblock says (version 2, which V18 asks for); 0: it cannot be. Only when the file is
 * closed has libhdf5 written all it wants to write. */
static size_t end_of_image(const h5image *im)
{
    uint64_t end = 0;
    if (im->room >= 48 && im->bytes[8] == 2)
        memcpy(&end, im->bytes + 28, sizeof end);
    end = le64toh(end);
    return end <= im->room - 48 ? (size_t)end : 0;
}

hid_t h5image_create(h5image *im)
{
    hid_t fapl = image_access(im);
    hid_t file = fapl >= 0 ? H5Fcreate(image_name(), H5F_ACC_TRUNC, H5P_DEFAULT, fapl) : -1;
    h5_close(fapl);
    return file;
}

int h5image_finish(h5image *im, hid_t file)
{
    if (H5Fclose(file) < 0)
        return -1;
    im->size = end_of_image(im);
    return im->size ? 0 : -1;
}

hid_t h5image_open(h5image *im)
{
    hid_t fapl = image_access(im), file = -1;
    if (fapl >= 0 && H5Pset_file_image(fapl, im->bytes, im->size) >= 0)
        file = H5Fopen(image_name(), H5F_ACC_RDONLY, fapl);
    h5_close(fapl);
    return file;
}

/* ---- on the disk ------------------------------------------------------------------------------------------------ */

/* These contents into the new file, which is closed; they are on the disk when it returns 0. */
static int fill(int fd, const h5image *im, const void *trailer, size_t trailer_size)
{
    int error = fileio_write(fd, im->bytes, im->size, NULL);
    if (!error)
        error = fileio_write(fd, trailer, trailer_size, NULL);
    if (!error)
        error = fileio_sync(fd);
    const int closed = fileio_close(fd);
    return error ? error : closed;
}

/* Gives the file at path the second name *kept, to become `previous` when the new one is in place. *kept is NULL when
 * there is nothing to keep, or when this file system has no hard links and the file is at previous already: then for a
 * moment there is `previous` only, which readers fall back to. */
static int keep_old(const char *path, const char *previous, char **kept)
{
    if (asprintf(kept, "%s.tmp", previous) < 0) {
        *kept = NULL;
        return ENOMEM;
    }
    unlink(*kept);
    if (link(path, *kept) == 0)
        return 0;
    int error = errno;
    free(*kept);
    *kept = NULL;
    if (error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK)
        error = rename(path, previous) != 0 ? errno : 0;
    return error == ENOENT ? 0 : error;
}

/* path -> previous, temporary -> path, such that path and previous are never both without a whole checkpoint. What has
 * failed leaves no temporary file; when that has got its name, the name it had may be another process's. */
static int put_in_place(const char *temporary, const char *path, const char *previous)
{
    char *kept = NULL;
    int error = previous ? keep_old(path, previous, &kept) : 0;
    if (!error && rename(temporary, path) != 0)
        error = errno;
    if (error)
        unlink(temporary);
    else
        error = fileio_sync_directory(path);
    if (!error && kept)
        error = rename(kept, previous) != 0 ? errno : fileio_sync_directory(path);
    if (kept && error)
        unlink(kept);
    free(kept);
    return error;
}

int h5image_store(const h5image *im, const void *trailer, size_t trailer_size, int fd, const char *temporary,
                  const char *path, const char *previous)
{
    int error = fill(fd, im, trailer, trailer_size);
    if (!error)
        return put_in_place(temporary, path, previous);
    unlink(temporary);
    return error;
}
