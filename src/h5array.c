/* SPDX-License-Identifier: MIT */
#include "h5array.h"

#include "fileio.h"
#include "h5file.h"
#include "h5probe.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is asked for; data NULL: only what the dataset is. */
typedef struct request {
    const char *path, *name;
    h5array array;
    size_t first, count;
    void *data;
} request;

/* ---- names, for who asked for one that is not there -------------------------------------------------------------- */

#define LISTED 120 /* bytes of names in a message */

static herr_t add_name(hid_t object, const char *name, const H5O_info_t *info, void *data)
{
    char *list = data;
    const size_t used = strlen(list);
    (void)object;
    if (info->type == H5O_TYPE_DATASET && used + strlen(name) + 3 < LISTED)
        snprintf(list + used, LISTED - used, "%s%s", used ? ", " : "", name);
    return 0;
}

static int fail_missing(const request *q, hid_t file, lstm_error *err)
{
    char room[128], list[LISTED] = "";
    const bool known = H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, add_name, list) >= 0 && *list;
    return lstm_fail(err, "", "%s has no numbers '%.100s'%s%s", fileio_short_path(q->path, room), q->name,
                     known ? "; it has: " : "", known ? list : "");
}

/* ---- the dataset: between h5_enter and h5_leave ------------------------------------------------------------------- */

static int take_shape(request *q, hid_t space, lstm_error *err)
{
    char room[128];
    hsize_t shape[H5S_MAX_RANK] = {1};
    const int ndim = H5Sget_simple_extent_ndims(space);
    if (ndim < 0 || H5Sget_simple_extent_dims(space, shape, NULL) < 0)
        return h5_fail(err, "cannot read", q->path);
    if (ndim > H5_MAX_DIMS)
        return lstm_fail(err, "", "%s: '%.100s' has %d dimensions, tensors have at most %d",
                         fileio_short_path(q->path, room), q->name, ndim, H5_MAX_DIMS);
    q->array.ndim = ndim ? ndim : 1;
    hsize_t all = sizeof(double);
    for (int d = 0; d < q->array.ndim; d++) {
        if (shape[d] == 0 || H5Sget_simple_extent_type(space) == H5S_NULL)
            return lstm_fail(err, "", "%s: '%.100s' is empty", fileio_short_path(q->path, room), q->name);
        if (shape[d] > PTRDIFF_MAX / all)
            return lstm_fail(err, "", "%s: '%.100s' has more numbers than memory can hold",
                             fileio_short_path(q->path, room), q->name);
        all *= shape[d];
        q->array.shape[d] = (size_t)shape[d];
    }
    return 0;
}

static int take_type(request *q, hid_t type, lstm_error *err)
{
    char room[128];
    const H5T_class_t class = H5Tget_class(type);
    if (class != H5T_FLOAT && class != H5T_INTEGER && class != H5T_ENUM) /* an enum is what h5py makes of booleans */
        return lstm_fail(err, "", "%s: '%.100s' holds no numbers", fileio_short_path(q->path, room), q->name);
    q->array.type = class == H5T_FLOAT && H5Tget_size(type) <= sizeof(float) ? LSTM_F32 : LSTM_F64;
    return 0;
}

static int copy_out(const request *q, hid_t dataset, hid_t space, lstm_error *err)
{
    const hid_t type = q->array.type == LSTM_F32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    hsize_t start[H5_MAX_DIMS] = {q->first}, count[H5_MAX_DIMS] = {q->count};
    for (int d = 1; d < q->array.ndim; d++)
        count[d] = q->array.shape[d];
    const bool scalar = H5Sget_simple_extent_ndims(space) == 0;
    hid_t in_memory = scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(q->array.ndim, count, NULL);
    int result = -1;
    if (in_memory >= 0 &&
        (scalar || H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0) &&
        H5Dread(dataset, type, in_memory, scalar ? H5S_ALL : space, H5P_DEFAULT, q->data) >= 0)
        result = 0;
    else
        h5_fail(err, "cannot read", q->path);
    h5_close(in_memory);
    return result;
}

static bool same_array(const h5array *a, const h5array *b)
{
    return a->type == b->type && a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

static int read_dataset(request *q, hid_t dataset, lstm_error *err)
{
    char room[128];
    const h5array expected = q->array;
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    int result = space < 0 || type < 0 ? h5_fail(err, "cannot read", q->path) : 0;
    if (!result)
        result = take_shape(q, space, err) || take_type(q, type, err) ? -1 : 0;
    if (!result && q->data && !same_array(&q->array, &expected))
        result = lstm_fail(err, "", "%s has changed while it was read", fileio_short_path(q->path, room));
    if (!result && q->data)
        result = copy_out(q, dataset, space, err);
    h5_close(type);
    h5_close(space);
    return result;
}

static int answer(request *q, lstm_error *err)
{
    hid_t file = h5_open_to_read(q->path, err);
    if (file < 0)
        return -1;
    hid_t dataset = H5Dopen2(file, q->name, H5P_DEFAULT);
    int result = dataset < 0 ? fail_missing(q, file, err) : read_dataset(q, dataset, err);
    h5_close(dataset);
    h5_close(file);
    return result;
}

/* In the child, whose memory is its own. */
static int try_answer(void *data, lstm_error *err)
{
    return answer(data, err);
}

static int answer_carefully(request *q, lstm_error *err)
{
    struct stat st;
    const int fd = fileio_open_to_read(q->path, &st, err); /* libhdf5 would not tell why not */
    if (fd < 0)
        return -1;
    close(fd);
    h5_enter();
    const int result = h5probe_file(try_answer, q, q->path, err) ? -1 : answer(q, err);
    h5_leave();
    return result;
}

int h5array_look(const char *path, const char *name, h5array *out, lstm_error *err)
{
    request q = {.path = path, .name = name};
    if (answer_carefully(&q, err))
        return -1;
    *out = q.array;
    return 0;
}

int h5array_read(const char *path, const char *name, const h5array *expected, size_t first, size_t count, void *data,
                 lstm_error *err)
{
    request q = {.path = path, .name = name, .array = *expected, .first = first, .count = count, .data = data};
    return answer_carefully(&q, err);
}
