/* SPDX-License-Identifier: MIT */
#include "h5dataset.h"

#include <string.h>

/* A chunk is what is read and compressed at once. Large records are cut into chunks of about CHUNK_BYTES. Of small
 * ones several share a chunk, but fewer bytes: the last chunk is compressed anew at every commit. */
#define CHUNK_BYTES (1024 * 1024)
#define SHARED_CHUNK_BYTES (256 * 1024)
#define PLAIN_CHUNK_BYTES (64 * 1024) /* not compressed: it takes its room from its first record on */
#define SHARED_CHUNK_ROWS 2048

static void choose_chunk(size_t element, const h5dataset_config *c, hsize_t chunk[1 + H5_MAX_DIMS])
{
    const int ndim = c->ndim;
    const size_t *shape = c->shape, shared = c->deflate ? SHARED_CHUNK_BYTES : PLAIN_CHUNK_BYTES;
    size_t bytes = element;
    for (int d = 0; d < ndim; d++) {
        chunk[1 + d] = shape[d] ? shape[d] : 1;
        bytes *= chunk[1 + d];
    }
    for (int d = 0; d < ndim && bytes > CHUNK_BYTES; d++) {
        size_t one = bytes / chunk[1 + d]; /* with one index of this dimension */
        const size_t size = (size_t)chunk[1 + d], most = one < CHUNK_BYTES ? CHUNK_BYTES / one : 1;
        const size_t pieces = (size + most - 1) / most;
        chunk[1 + d] = (size + pieces - 1) / pieces; /* of one size, since the last one takes as much room */
        bytes = one * chunk[1 + d];
    }
    chunk[0] = bytes < shared ? shared / bytes : 1;
    if (chunk[0] > SHARED_CHUNK_ROWS)
        chunk[0] = SHARED_CHUNK_ROWS;
}

static size_t chunk_bytes(size_t element, int ndim, const hsize_t *chunk)
{
    size_t bytes = element;
    for (int d = 0; d <= ndim; d++)
        bytes *= chunk[d];
    return bytes;
}

static hid_t creation_properties(const h5dataset_config *c, const hsize_t *chunk)
{
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    if (plist < 0)
        return -1;
    bool bad = H5Pset_chunk(plist, 1 + c->ndim, chunk) < 0 ||
               H5Pset_attr_creation_order(plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0;
    if (!bad && c->fill)
        bad = H5Pset_fill_value(plist, c->memory_type, c->fill) < 0;
    if (!bad && c->deflate)
        bad = H5Pset_shuffle(plist) < 0 || H5Pset_deflate(plist, (unsigned)c->deflate) < 0;
    if (bad) {
        H5Pclose(plist);
        return -1;
    }
    return plist;
}

/* A chunk must fit the cache: otherwise every record would compress its chunk again. */
static hid_t access_properties(size_t bytes_of_chunk)
{
    hid_t plist = H5Pcreate(H5P_DATASET_ACCESS);
    if (plist >= 0 && H5Pset_chunk_cache(plist, 101, 2 * bytes_of_chunk + 4096, 1.0) >= 0)
        return plist;
    h5_close(plist);
    return -1;
}

static hid_t create(hid_t group, const char *name, const h5dataset_config *c)
{
    hsize_t size[1 + H5_MAX_DIMS] = {0}, most[1 + H5_MAX_DIMS] = {H5S_UNLIMITED}, chunk[1 + H5_MAX_DIMS];
    size_t element = H5Tget_size(c->file_type);
    for (int d = 0; d < c->ndim; d++)
        size[1 + d] = most[1 + d] = c->shape[d];
    choose_chunk(element, c, chunk);
    hid_t space = H5Screate_simple(1 + c->ndim, size, most);
    hid_t link = H5Pcreate(H5P_LINK_CREATE);
    hid_t creation = creation_properties(c, chunk);
    hid_t access = access_properties(chunk_bytes(element, c->ndim, chunk));
    hid_t id = -1;
    if (space >= 0 && link >= 0 && creation >= 0 && access >= 0 && H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0)
        id = H5Dcreate2(group, name, c->file_type, space, link, creation, access);
    h5_close(access);
    h5_close(creation);
    h5_close(link);
    h5_close(space);
    return id;
}

int h5dataset_create(h5dataset *d, hid_t group, const char *name, const h5dataset_config *c)
{
    *d = (h5dataset)H5DATASET_NONE;
    d->ndim = c->ndim;
    for (int k = 0; k < c->ndim; k++)
        d->shape[k] = c->shape[k];
    if ((d->memory_type = H5Tcopy(c->memory_type)) < 0)
        return -1;
    if ((d->id = create(group, name, c)) < 0) {
        h5dataset_close(d);
        return -1;
    }
    return 0;
}

int h5dataset_create_fixed(h5dataset *d, hid_t group, const char *name, hid_t file_type, hid_t memory_type, hsize_t n,
                           const void *data)
{
    *d = (h5dataset)H5DATASET_NONE;
    d->rows = n;
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t link = H5Pcreate(H5P_LINK_CREATE);
    if (space >= 0 && link >= 0 && H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0)
        d->id = H5Dcreate2(group, name, file_type, space, link, H5P_DEFAULT, H5P_DEFAULT);
    h5_close(link);
    h5_close(space);
    if (d->id >= 0 && (d->memory_type = H5Tcopy(memory_type)) >= 0 &&
        H5Dwrite(d->id, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0)
        return 0;
    h5dataset_close(d);
    return -1;
}

/* Size of this dataset's chunks, 1 MiB when it has none. */
static size_t stored_chunk_bytes(hid_t id, hid_t type)
{
    hsize_t chunk[H5S_MAX_RANK];
    size_t bytes = CHUNK_BYTES;
    hid_t plist = H5Dget_create_plist(id);
    int n = plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED ? H5Pget_chunk(plist, H5S_MAX_RANK, chunk) : -1;
    if (n > 0 && n <= 1 + H5_MAX_DIMS)
        bytes = chunk_bytes(H5Tget_size(type), n - 1, chunk);
    h5_close(plist);
    return bytes;
}

/* Opens once to look at the chunks, then with a cache that suits them. */
static hid_t open_cached(hid_t group, const char *name, hid_t *memory_type)
{
    *memory_type = -1;
    hid_t plain = H5Dopen2(group, name, H5P_DEFAULT);
    if (plain < 0)
        return -1;
    hid_t type = H5Dget_type(plain), id = -1;
    hid_t access = type >= 0 ? access_properties(stored_chunk_bytes(plain, type)) : -1;
    H5Dclose(plain);
    if (access >= 0 && (id = H5Dopen2(group, name, access)) >= 0)
        *memory_type = H5Tget_native_type(type, H5T_DIR_ASCEND);
    h5_close(access);
    h5_close(type);
    return id;
}

int h5dataset_open(h5dataset *d, hid_t group, const char *name)
{
    hsize_t size[H5S_MAX_RANK];
    *d = (h5dataset)H5DATASET_NONE;
    d->id = open_cached(group, name, &d->memory_type);
    hid_t space = d->id >= 0 && d->memory_type >= 0 ? H5Dget_space(d->id) : -1;
    int ndim = space >= 0 ? H5Sget_simple_extent_dims(space, size, NULL) : -1;
    h5_close(space);
    if (ndim < 1 || ndim > 1 + H5_MAX_DIMS) {
        h5dataset_close(d);
        return -1;
    }
    d->ndim = ndim - 1;
    d->rows = size[0];
    memcpy(d->shape, size + 1, (size_t)d->ndim * sizeof *size);
    return 0;
}

int h5dataset_close(h5dataset *d)
{
    int result = d->id >= 0 && H5Dclose(d->id) < 0 ? -1 : 0;
    h5_close(d->memory_type);
    d->id = d->memory_type = -1;
    return result;
}

int h5dataset_set_rows(h5dataset *d, hsize_t rows)
{
    hsize_t size[1 + H5_MAX_DIMS] = {rows};
    memcpy(size + 1, d->shape, (size_t)d->ndim * sizeof *size);
    if (rows == d->rows)
        return 0;
    if (H5Dset_extent(d->id, size) < 0)
        return -1;
    d->rows = rows;
    return 0;
}

/* The part of the file and of memory that a transfer is about; both to be closed. */
static int select_rows(const h5dataset *d, hsize_t first, hsize_t n, const size_t *shape, hid_t *file, hid_t *memory)
{
    hsize_t start[1 + H5_MAX_DIMS] = {first}, count[1 + H5_MAX_DIMS] = {n};
    for (int k = 0; k < d->ndim; k++)
        count[1 + k] = shape ? shape[k] : d->shape[k];
    *file = H5Dget_space(d->id);
    *memory = H5Screate_simple(1 + d->ndim, count, NULL);
    if (*file < 0 || *memory < 0)
        return -1;
    return H5Sselect_hyperslab(*file, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ? -1 : 0;
}

int h5dataset_write(h5dataset *d, hsize_t first, hsize_t n, const size_t *shape, const void *data)
{
    hid_t file, memory;
    if (first + n > d->rows && h5dataset_set_rows(d, first + n))
        return -1;
    int result = select_rows(d, first, n, shape, &file, &memory);
    if (!result && H5Dwrite(d->id, d->memory_type, memory, file, H5P_DEFAULT, data) < 0)
        result = -1;
    h5_close(file);
    h5_close(memory);
    return result;
}

int h5dataset_read(const h5dataset *d, hsize_t first, hsize_t n, void *data)
{
    hid_t file, memory;
    int result = select_rows(d, first, n, NULL, &file, &memory);
    if (!result && H5Dread(d->id, d->memory_type, memory, file, H5P_DEFAULT, data) < 0)
        result = -1;
    h5_close(file);
    h5_close(memory);
    return result;
}
