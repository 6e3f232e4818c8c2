/* SPDX-License-Identifier: MIT
 *
 * failing_calls.c - see failing.h. The program's functions come before those of its libraries.
 */
#define _GNU_SOURCE
#include "failing.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLER __builtin_return_address(0)
#define NAME_OF(function) #function
/* The library's own function of this name. */
#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, NAME_OF(function)))

/* A call that fails is not made. */
#define MAY_FAIL(type, function, parameters, arguments) \
    type function parameters \
    { \
        return failing_now(NAME_OF(function), CALLER) ? (type)failing_result : REAL(function) arguments; \
    }

/* What is to be closed is closed even so. */
#define MAY_SEEM_TO_FAIL(type, function, parameters, arguments) \
    type function parameters \
    { \
        type result = REAL(function) arguments; \
        return failing_now(NAME_OF(function), CALLER) ? (type)failing_result : result; \
    }

/* ---- the system ------------------------------------------------------------------------------------------------- */

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return failing_now("open", CALLER) ? -1 : REAL(open)(path, flags, mode);
}

FILE *fdopen(int fd, const char *mode)
{
    return failing_now("fdopen", CALLER) ? NULL : REAL(fdopen)(fd, mode);
}

MAY_FAIL(int, fstat, (int fd, struct stat *st), (fd, st))
MAY_FAIL(ssize_t, read, (int fd, void *bytes, size_t n), (fd, bytes, n))
MAY_FAIL(ssize_t, pread, (int fd, void *bytes, size_t n, off_t offset), (fd, bytes, n, offset))
MAY_FAIL(ssize_t, write, (int fd, const void *bytes, size_t n), (fd, bytes, n))
MAY_FAIL(ssize_t, pwrite, (int fd, const void *bytes, size_t n, off_t offset), (fd, bytes, n, offset))
MAY_FAIL(int, ftruncate, (int fd, off_t length), (fd, length))
MAY_FAIL(int, fsync, (int fd), (fd))
MAY_FAIL(int, dup, (int fd), (fd))
MAY_FAIL(int, link, (const char *from, const char *to), (from, to))
MAY_FAIL(int, rename, (const char *from, const char *to), (from, to))
MAY_FAIL(int, unlink, (const char *path), (path))
MAY_FAIL(pid_t, fork, (void), ())
MAY_FAIL(pid_t, waitpid, (pid_t child, int *status, int options), (child, status, options))
MAY_SEEM_TO_FAIL(int, close, (int fd), (fd))

/* ---- libhdf5 ---------------------------------------------------------------------------------------------------- */

MAY_FAIL(hid_t, H5Fcreate, (const char *name, unsigned flags, hid_t create, hid_t access),
         (name, flags, create, access))
MAY_FAIL(hid_t, H5Fopen, (const char *name, unsigned flags, hid_t access), (name, flags, access))
MAY_SEEM_TO_FAIL(herr_t, H5Fclose, (hid_t file), (file))

MAY_FAIL(herr_t, H5Fflush, (hid_t file, H5F_scope_t scope), (file, scope))

MAY_FAIL(hid_t, H5Pcreate, (hid_t kind), (kind))
MAY_FAIL(herr_t, H5Pset_attr_creation_order, (hid_t list, unsigned flags), (list, flags))
MAY_FAIL(herr_t, H5Pset_char_encoding, (hid_t list, H5T_cset_t set), (list, set))
MAY_FAIL(herr_t, H5Pset_chunk, (hid_t list, int ndim, const hsize_t *size), (list, ndim, size))
MAY_FAIL(herr_t, H5Pset_chunk_cache, (hid_t list, size_t slots, size_t bytes, double w0), (list, slots, bytes, w0))
MAY_FAIL(herr_t, H5Pset_create_intermediate_group, (hid_t list, unsigned yes), (list, yes))
MAY_FAIL(herr_t, H5Pset_deflate, (hid_t list, unsigned level), (list, level))
MAY_FAIL(herr_t, H5Pset_driver, (hid_t list, hid_t driver, const void *info), (list, driver, info))
MAY_FAIL(herr_t, H5Pset_fapl_core, (hid_t list, size_t increment, hbool_t store), (list, increment, store))
MAY_FAIL(herr_t, H5Pset_fclose_degree, (hid_t list, H5F_close_degree_t degree), (list, degree))
MAY_FAIL(herr_t, H5Pset_file_image, (hid_t list, void *bytes, size_t size), (list, bytes, size))
MAY_FAIL(herr_t, H5Pset_file_image_callbacks, (hid_t list, H5FD_file_image_callbacks_t *callbacks), (list, callbacks))
MAY_FAIL(herr_t, H5Pset_fill_value, (hid_t list, hid_t type, const void *value), (list, type, value))
MAY_FAIL(herr_t, H5Pset_libver_bounds, (hid_t list, H5F_libver_t low, H5F_libver_t high), (list, low, high))
MAY_FAIL(herr_t, H5Pset_link_creation_order, (hid_t list, unsigned flags), (list, flags))
MAY_FAIL(herr_t, H5Pset_shuffle, (hid_t list), (list))
MAY_FAIL(int, H5Pget_chunk, (hid_t list, int most, hsize_t *size), (list, most, size))

MAY_FAIL(hid_t, H5Screate, (H5S_class_t kind), (kind))
MAY_FAIL(hid_t, H5Screate_simple, (int ndim, const hsize_t *size, const hsize_t *most), (ndim, size, most))
MAY_FAIL(hssize_t, H5Sget_select_npoints, (hid_t space), (space))
MAY_FAIL(herr_t, H5Sselect_hyperslab, (hid_t space, H5S_seloper_t how, const hsize_t *first, const hsize_t *stride,
                                       const hsize_t *n, const hsize_t *block), (space, how, first, stride, n, block))
MAY_FAIL(int, H5Sget_simple_extent_ndims, (hid_t space), (space))
MAY_FAIL(int, H5Sget_simple_extent_dims, (hid_t space, hsize_t *size, hsize_t *most), (space, size, most))
MAY_FAIL(hssize_t, H5Sget_simple_extent_npoints, (hid_t space), (space))

MAY_FAIL(hid_t, H5Tcopy, (hid_t type), (type))
MAY_FAIL(hid_t, H5Tcreate, (H5T_class_t kind, size_t size), (kind, size))
MAY_FAIL(hid_t, H5Tvlen_create, (hid_t base), (base))
MAY_FAIL(herr_t, H5Tinsert, (hid_t type, const char *name, size_t at, hid_t member), (type, name, at, member))
MAY_FAIL(herr_t, H5Tset_size, (hid_t type, size_t size), (type, size))
MAY_FAIL(herr_t, H5Tset_strpad, (hid_t type, H5T_str_t padding), (type, padding))
MAY_FAIL(herr_t, H5Tset_cset, (hid_t type, H5T_cset_t set), (type, set))

MAY_FAIL(hid_t, H5Dcreate2, (hid_t at, const char *name, hid_t type, hid_t space, hid_t link, hid_t create,
                             hid_t access), (at, name, type, space, link, create, access))
MAY_FAIL(hid_t, H5Dopen2, (hid_t at, const char *name, hid_t access), (at, name, access))
MAY_FAIL(hid_t, H5Dget_create_plist, (hid_t dataset), (dataset))
MAY_FAIL(herr_t, H5Dset_extent, (hid_t dataset, const hsize_t *size), (dataset, size))
MAY_FAIL(hid_t, H5Dget_space, (hid_t dataset), (dataset))
MAY_FAIL(hid_t, H5Dget_type, (hid_t dataset), (dataset))
MAY_FAIL(herr_t, H5Dread, (hid_t dataset, hid_t type, hid_t in_memory, hid_t in_file, hid_t how, void *data),
         (dataset, type, in_memory, in_file, how, data))
MAY_FAIL(herr_t, H5Dwrite, (hid_t dataset, hid_t type, hid_t in_memory, hid_t in_file, hid_t how, const void *data),
         (dataset, type, in_memory, in_file, how, data))
MAY_SEEM_TO_FAIL(herr_t, H5Dclose, (hid_t dataset), (dataset))

MAY_FAIL(htri_t, H5Aexists, (hid_t object, const char *name), (object, name))
MAY_FAIL(herr_t, H5Adelete, (hid_t object, const char *name), (object, name))
MAY_FAIL(hid_t, H5Acreate2, (hid_t object, const char *name, hid_t type, hid_t space, hid_t create, hid_t access),
         (object, name, type, space, create, access))
MAY_FAIL(hid_t, H5Aopen, (hid_t object, const char *name, hid_t access), (object, name, access))
MAY_FAIL(hid_t, H5Aget_space, (hid_t attribute), (attribute))
MAY_FAIL(hid_t, H5Aget_type, (hid_t attribute), (attribute))
MAY_FAIL(herr_t, H5Aread, (hid_t attribute, hid_t type, void *value), (attribute, type, value))
MAY_FAIL(herr_t, H5Awrite, (hid_t attribute, hid_t type, const void *value), (attribute, type, value))
MAY_SEEM_TO_FAIL(herr_t, H5Aclose, (hid_t attribute), (attribute))
MAY_FAIL(herr_t, H5Aiterate2, (hid_t object, H5_index_t index, H5_iter_order_t order, hsize_t *at, H5A_operator2_t f,
                               void *data), (object, index, order, at, f, data))

MAY_FAIL(herr_t, H5Rcreate, (void *to, hid_t at, const char *name, H5R_type_t kind, hid_t space),
         (to, at, name, kind, space))
MAY_FAIL(hid_t, H5Rdereference2, (hid_t object, hid_t access, H5R_type_t kind, const void *from),
         (object, access, kind, from))

MAY_FAIL(hid_t, H5Gcreate2, (hid_t at, const char *name, hid_t link, hid_t create, hid_t access),
         (at, name, link, create, access))
MAY_FAIL(hid_t, H5Gopen2, (hid_t at, const char *name, hid_t access), (at, name, access))
MAY_FAIL(hid_t, H5Oopen, (hid_t at, const char *name, hid_t access), (at, name, access))
MAY_FAIL(herr_t, H5Lvisit, (hid_t group, H5_index_t index, H5_iter_order_t order, H5L_iterate_t f, void *data),
         (group, index, order, f, data))
MAY_FAIL(htri_t, H5Lexists, (hid_t at, const char *name, hid_t access), (at, name, access))
MAY_FAIL(herr_t, H5Ldelete, (hid_t at, const char *name, hid_t access), (at, name, access))
MAY_FAIL(herr_t, H5Literate, (hid_t group, H5_index_t index, H5_iter_order_t order, hsize_t *at, H5L_iterate_t f,
                              void *data), (group, index, order, at, f, data))
MAY_FAIL(herr_t, H5Lcreate_external, (const char *file, const char *object, hid_t at, const char *name, hid_t link,
                                      hid_t access), (file, object, at, name, link, access))
