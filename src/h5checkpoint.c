/* SPDX-License-Identifier: MIT
 *
 * A checkpoint file:  HDF5 image | trailer of 64 bytes
 *     0  "LSTMCKPT"     16  length of the image    32  SHA-256 of the image and of the trailer's first 32 bytes
 *     8  version (1)    24  zero
 * Numbers are unsigned, 8 bytes, little-endian. HDF5 readers do not mind a file that is longer than it says.
 * In the image: tensors under their names, texts below /text, integers and numbers as attributes of the root.
 */
#define _GNU_SOURCE
#include "h5checkpoint.h"

#include "fileio.h"
#include "h5file.h"
#include "h5image.h"
#include "h5probe.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "LSTMCKPT"
#define VERSION 1
#define TRAILER 64
#define FORMAT_NAME "lstmrun checkpoint"
#define TEXT_GROUP "text/"

typedef struct tensor_entry {
    h5checkpoint_item item; /* item.name is ours */
    const void *data;       /* writing: the caller's dense array, or NULL when view says where the elements are */
    lstm_tensor view;
} tensor_entry;

typedef struct text_entry {
    char *name, *text;
    size_t length;
} text_entry;

typedef struct number_entry {
    char *name;
    bool is_integer;
    int64_t integer;
    double number;
} number_entry;

struct h5checkpoint {
    tensor_entry *tensors;
    text_entry *texts;
    number_entry *numbers;
    size_t ntensors, ntexts, nnumbers;
    char *path; /* reading: for messages */
    hid_t file; /* reading: open on image; else -1 */
    h5image image;
};

/* ---- the list of what is in it ---------------------------------------------------------------------------------- */

h5checkpoint *h5checkpoint_new(lstm_error *err)
{
    h5checkpoint *cp = calloc(1, sizeof *cp);
    if (!cp) {
        lstm_fail(err, "", "out of memory for a checkpoint");
        return NULL;
    }
    cp->file = -1;
    return cp;
}

static void free_lists(h5checkpoint *cp)
{
    for (size_t k = 0; k < cp->ntensors; k++)
        free((char *)cp->tensors[k].item.name);
    for (size_t k = 0; k < cp->ntexts; k++) {
        free(cp->texts[k].name);
        free(cp->texts[k].text);
    }
    for (size_t k = 0; k < cp->nnumbers; k++)
        free(cp->numbers[k].name);
    free(cp->tensors);
    free(cp->texts);
    free(cp->numbers);
}

void h5checkpoint_free(h5checkpoint *cp)
{
    if (!cp)
        return;
    if (cp->file >= 0) {
        h5_enter();
        H5Fclose(cp->file);
        h5_leave();
    }
    free_lists(cp);
    free(cp->image.bytes);
    free(cp->path);
    free(cp);
}

/* An array with room for one more entry, or NULL; it doubles at powers of two. */
static void *grown(void *array, size_t count, size_t size)
{
    if (count == 0)
        return realloc(array, size);
    return count & (count - 1) ? array : realloc(array, 2 * count * size);
}

static tensor_entry *find_tensor(const h5checkpoint *cp, const char *name)
{
    for (size_t k = 0; k < cp->ntensors; k++)
        if (strcmp(cp->tensors[k].item.name, name) == 0)
            return &cp->tensors[k];
    return NULL;
}

static text_entry *find_text(const h5checkpoint *cp, const char *name)
{
    for (size_t k = 0; k < cp->ntexts; k++)
        if (strcmp(cp->texts[k].name, name) == 0)
            return &cp->texts[k];
    return NULL;
}

static number_entry *find_number(const h5checkpoint *cp, const char *name)
{
    for (size_t k = 0; k < cp->nnumbers; k++)
        if (strcmp(cp->numbers[k].name, name) == 0)
            return &cp->numbers[k];
    return NULL;
}

/* Parts between '/' must each be a good name. */
static bool path_name_ok(const char *name)
{
    if (strlen(name) >= H5CHECKPOINT_NAME_SIZE)
        return false;
    for (;;) {
        size_t n = strcspn(name, "/");
        if (!h5_name_ok(name, n))
            return false;
        if (!name[n])
            return true;
        name += n + 1;
    }
}

static int check_new_name(const char *name, bool taken, lstm_error *err)
{
    if (!name || !path_name_ok(name))
        return lstm_fail(err, "name", "'%.60s' cannot be a name in a checkpoint: parts between '/' are 1 to 63 bytes "
                         "of UTF-8 without control characters", name ? name : "");
    if (taken)
        return lstm_fail(err, "name", "the checkpoint has a '%s' already", name);
    return 0;
}

/* Number of elements; false: more than this. */
static bool count_elements(int ndim, const size_t *shape, size_t most, size_t *count)
{
    *count = 1;
    for (int d = 0; d < ndim; d++)
        if (shape[d] == 0) {
            *count = 0;
            return true;
        }
    for (int d = 0; d < ndim; d++) {
        if (shape[d] > most / *count)
            return false;
        *count *= shape[d];
    }
    return true;
}

static size_t item_bytes(const h5checkpoint_item *item)
{
    size_t n;
    count_elements(item->ndim, item->shape, SIZE_MAX, &n);
    return n * h5type_size(item->type);
}

/* Appends an entry; the name is copied. NULL: out of memory. */
static tensor_entry *append_tensor(h5checkpoint *cp, const char *name, h5type type, int ndim, const size_t *shape)
{
    tensor_entry *all = grown(cp->tensors, cp->ntensors, sizeof *all);
    if (!all)
        return NULL;
    cp->tensors = all;
    tensor_entry *e = &all[cp->ntensors];
    memset(e, 0, sizeof *e);
    if (!(e->item.name = strdup(name)))
        return NULL;
    e->item.type = type;
    e->item.ndim = ndim;
    for (int d = 0; d < ndim; d++)
        e->item.shape[d] = shape[d];
    cp->ntensors++;
    return e;
}

static tensor_entry *new_tensor(h5checkpoint *cp, const char *name, h5type type, int ndim, const size_t *shape,
                                lstm_error *err)
{
    size_t count;
    if (check_new_name(name, name && find_tensor(cp, name), err))
        return NULL;
    if (strncmp(name, TEXT_GROUP, strlen(TEXT_GROUP)) == 0 || strcmp(name, "text") == 0) {
        lstm_fail(err, "name", "tensor '%s': 'text' is where the texts are; choose another name", name);
        return NULL;
    }
    if (!h5type_size(type) || ndim < 0 || ndim > H5_MAX_DIMS) {
        lstm_fail(err, "", "tensor '%s': a type and 0 to %d dimensions expected, got %d", name, H5_MAX_DIMS, ndim);
        return NULL;
    }
    if (!count_elements(ndim, shape, SIZE_MAX / 4 / h5type_size(type), &count)) {
        lstm_fail(err, "shape", "tensor '%s' is larger than memory can be", name);
        return NULL;
    }
    tensor_entry *e = append_tensor(cp, name, type, ndim, shape);
    if (!e)
        lstm_fail(err, "", "out of memory for a checkpoint");
    return e;
}

int h5checkpoint_add(h5checkpoint *cp, const char *name, h5type type, int ndim, const size_t *shape, const void *data,
                     lstm_error *err)
{
    tensor_entry *e = new_tensor(cp, name, type, ndim, shape, err);
    if (!e)
        return -1;
    e->data = data ? data : ""; /* NULL is fine for no elements */
    return 0;
}

static h5type type_of_tensor(const lstm_tensor *t)
{
    return t->type == LSTM_F64 ? H5_F64 : H5_F32;
}

static void shape_of_tensor(const lstm_tensor *t, size_t shape[LSTM_MAX_DIMS])
{
    for (int d = 0; d < t->ndim; d++)
        shape[d] = t->axis[d].size;
}

int h5checkpoint_add_tensor(h5checkpoint *cp, const char *name, const lstm_tensor *t, lstm_error *err)
{
    size_t shape[LSTM_MAX_DIMS];
    shape_of_tensor(t, shape);
    tensor_entry *e = new_tensor(cp, name ? name : t->name, type_of_tensor(t), t->ndim, shape, err);
    if (!e)
        return -1;
    e->view = *t;
    return 0;
}

/* Appends a text; false: out of memory. Takes neither name nor text. */
static bool append_text(h5checkpoint *cp, const char *name, const char *text, size_t length)
{
    text_entry *all = grown(cp->texts, cp->ntexts, sizeof *all);
    if (!all)
        return false;
    cp->texts = all;
    text_entry e = {strdup(name), length < SIZE_MAX ? malloc(length + 1) : NULL, length};
    if (!e.name || !e.text) {
        free(e.name);
        free(e.text);
        return false;
    }
    if (length)
        memcpy(e.text, text, length);
    e.text[length] = 0;
    all[cp->ntexts++] = e;
    return true;
}

int h5checkpoint_add_text(h5checkpoint *cp, const char *name, const char *text, size_t length, lstm_error *err)
{
    if (check_new_name(name, name && find_text(cp, name), err))
        return -1;
    if (!append_text(cp, name, text, length))
        return lstm_fail(err, "", "out of memory for text '%s' of a checkpoint", name);
    return 0;
}

static bool append_number(h5checkpoint *cp, const char *name, number_entry e)
{
    number_entry *all = grown(cp->numbers, cp->nnumbers, sizeof *all);
    if (!all)
        return false;
    cp->numbers = all;
    if (!(e.name = strdup(name)))
        return false;
    all[cp->nnumbers++] = e;
    return true;
}

static int add_number(h5checkpoint *cp, const char *name, number_entry e, lstm_error *err)
{
    if (check_new_name(name, name && find_number(cp, name), err))
        return -1;
    if (strcmp(name, "format") == 0)
        return lstm_fail(err, "name", "'format' is the file's own; choose another name");
    if (!append_number(cp, name, e))
        return lstm_fail(err, "", "out of memory for a checkpoint");
    return 0;
}

int h5checkpoint_add_integer(h5checkpoint *cp, const char *name, int64_t value, lstm_error *err)
{
    return add_number(cp, name, (number_entry){.is_integer = true, .integer = value}, err);
}

int h5checkpoint_add_number(h5checkpoint *cp, const char *name, double value, lstm_error *err)
{
    return add_number(cp, name, (number_entry){.number = value}, err);
}

/* ---- the image -------------------------------------------------------------------------------------------------- */

/* A dataset with intermediate groups made. */
static hid_t create_dataset(hid_t file, const char *name, hid_t type, hid_t space)
{
    hid_t dataset = -1, link = H5Pcreate(H5P_LINK_CREATE);
    if (link >= 0 && H5Pset_create_intermediate_group(link, 1) >= 0 &&
        H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0)
        dataset = H5Dcreate2(file, name, type, space, link, H5P_DEFAULT, H5P_DEFAULT);
    h5_close(link);
    return dataset;
}

static int write_dataset(hid_t file, const char *name, hid_t file_type, hid_t memory_type, int ndim,
                         const size_t *shape, const void *data)
{
    hsize_t size[H5_MAX_DIMS];
    for (int d = 0; d < ndim; d++)
        size[d] = shape[d];
    hid_t space = ndim ? H5Screate_simple(ndim, size, NULL) : H5Screate(H5S_SCALAR);
    hid_t dataset = space >= 0 ? create_dataset(file, name, file_type, space) : -1;
    int result = dataset >= 0 && H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0 ? 0 : -1;
    if (dataset >= 0 && H5Dclose(dataset) < 0)
        result = -1;
    h5_close(space);
    return result;
}

static int write_tensor(hid_t file, const tensor_entry *e)
{
    const h5checkpoint_item *item = &e->item;
    void *copy = NULL;
    if (!e->data) {
        if (!(copy = malloc(item_bytes(item) + 1)))
            return -1;
        lstm_tensor_read(&e->view, 0, lstm_tensor_size(&e->view), copy);
    }
    int result = write_dataset(file, item->name, h5_type_in_file(item->type), h5_type_in_memory(item->type),
                               item->ndim, item->shape, copy ? copy : e->data);
    free(copy);
    return result;
}

static int write_text(hid_t file, const text_entry *e)
{
    char name[sizeof TEXT_GROUP + H5CHECKPOINT_NAME_SIZE];
    snprintf(name, sizeof name, TEXT_GROUP "%s", e->name);
    /* Bytes as 1-D uint8 would be exact, too, but a string is what readers print. NULs at the end are counted. */
    hid_t type = h5_fixed_text_type(e->length);
    int result = type < 0 ? -1 : write_dataset(file, name, type, type, 0, NULL, e->text);
    h5_close(type);
    if (result)
        return -1;
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    result = dataset < 0 ? -1 : h5_put_integer(dataset, "bytes", (int64_t)e->length);
    h5_close(dataset);
    return result;
}

static int write_number(hid_t root, const number_entry *e)
{
    return e->is_integer ? h5_put_integer(root, e->name, e->integer) : h5_put_number(root, e->name, e->number);
}

static int write_contents(const h5checkpoint *cp, hid_t file)
{
    if (h5_put_text(file, "format", FORMAT_NAME))
        return -1;
    for (size_t k = 0; k < cp->nnumbers; k++)
        if (write_number(file, &cp->numbers[k]))
            return -1;
    for (size_t k = 0; k < cp->ntexts; k++)
        if (write_text(file, &cp->texts[k]))
            return -1;
    for (size_t k = 0; k < cp->ntensors; k++)
        if (write_tensor(file, &cp->tensors[k]))
            return -1;
    return 0;
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

/* Writes everything into the image by way of libhdf5 and sets its size. */
static int fill_image(const h5checkpoint *cp, h5image *im)
{
    hid_t file = h5image_create(im);
    if (file < 0)
        return -1;
    int result = write_contents(cp, file);
    return h5image_finish(im, file) || result ? -1 : 0;
}

/* Whether this is one element: reading writes as many as there are. Closes the space, which may be invalid. */
static bool is_scalar(hid_t space)
{
    bool yes = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    h5_close(space);
    return yes;
}

static int read_scalar(hid_t attribute, hid_t type, void *value)
{
    return is_scalar(H5Aget_space(attribute)) && H5Aread(attribute, type, value) >= 0 ? 0 : -1;
}

/* Reads a fixed-length string of which attribute "bytes" says how long it is. */
static int list_text(h5checkpoint *cp, const char *name, hid_t dataset, hid_t type)
{
    int64_t length = -1;
    size_t size = H5Tget_size(type);
    hid_t attribute = H5Aopen(dataset, "bytes", H5P_DEFAULT);
    int result = attribute < 0 || read_scalar(attribute, H5T_NATIVE_INT64, &length);
    h5_close(attribute);
    if (result || length < 0 || (uint64_t)length > size || size > cp->image.size ||
        H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || !is_scalar(H5Dget_space(dataset)))
        return -1;
    char *text = malloc(size);
    result = !text || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0 ||
             !append_text(cp, name, text, (size_t)length);
    free(text);
    return result ? -1 : 0;
}

static int list_tensor(h5checkpoint *cp, const char *name, hid_t dataset, hid_t type)
{
    h5type ours;
    hsize_t size[H5S_MAX_RANK];
    size_t shape[H5_MAX_DIMS], count;
    hid_t space = H5Dget_space(dataset);
    int ndim = space >= 0 ? H5Sget_simple_extent_dims(space, size, NULL) : -1;
    h5_close(space);
    if (ndim < 0 || ndim > H5_MAX_DIMS || !h5_type_of(type, &ours))
        return -1;
    for (int d = 0; d < ndim; d++)
        shape[d] = (size_t)size[d];
    if (!count_elements(ndim, shape, cp->image.size / h5type_size(ours), &count))
        return -1;
    return append_tensor(cp, name, ours, ndim, shape) ? 0 : -1;
}

static int list_dataset(h5checkpoint *cp, const char *name, hid_t dataset)
{
    bool is_text = strncmp(name, TEXT_GROUP, strlen(TEXT_GROUP)) == 0;
    hid_t type = H5Dget_type(dataset);
    int result = -1;
    if (type >= 0)
        result = is_text ? list_text(cp, name + strlen(TEXT_GROUP), dataset, type)
                         : list_tensor(cp, name, dataset, type);
    h5_close(type);
    return result;
}

static herr_t list_link(hid_t file, const char *name, const H5L_info_t *info, void *data)
{
    (void)info;
    hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    int result = object < 0 ? -1 : 0;
    if (object >= 0 && H5Iget_type(object) == H5I_DATASET)
        result = list_dataset(data, name, object);
    h5_close(object);
    return result;
}

static herr_t list_attribute(hid_t root, const char *name, const H5A_info_t *info, void *data)
{
    h5checkpoint *cp = data;
    number_entry e = {0};
    (void)info;
    hid_t attribute = H5Aopen(root, name, H5P_DEFAULT);
    hid_t type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    int result = class == H5T_NO_CLASS ? -1 : 0;
    e.is_integer = class == H5T_INTEGER;
    if (class == H5T_INTEGER)
        result = read_scalar(attribute, H5T_NATIVE_INT64, &e.integer) || !append_number(cp, name, e) ? -1 : 0;
    else if (class == H5T_FLOAT)
        result = read_scalar(attribute, H5T_NATIVE_DOUBLE, &e.number) || !append_number(cp, name, e) ? -1 : 0;
    h5_close(type);
    h5_close(attribute);
    return result;
}

static int open_image(h5checkpoint *cp)
{
    if ((cp->file = h5image_open(&cp->image)) < 0)
        return -1;
    if (H5Lvisit(cp->file, H5_INDEX_NAME, H5_ITER_INC, list_link, cp) < 0)
        return -1;
    return H5Aiterate2(cp->file, H5_INDEX_NAME, H5_ITER_INC, NULL, list_attribute, cp) < 0 ? -1 : 0;
}

/* a + b, or the largest number: more than there can be memory. */
static size_t sum_of(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* An upper estimate of the image, so that libhdf5 does not run out of memory: it would crash. */
static size_t estimate(const h5checkpoint *cp)
{
    const size_t overhead = 4096; /* of a dataset with its share of groups; measured: below 1 KiB */
    size_t total = 256 * 1024 + TRAILER + (cp->ntensors + cp->ntexts) * overhead + cp->nnumbers * 512;
    for (size_t k = 0; k < cp->ntensors; k++)
        total = sum_of(total, item_bytes(&cp->tensors[k].item));
    for (size_t k = 0; k < cp->ntexts; k++)
        total = sum_of(total, cp->texts[k].length);
    return total;
}

/* Makes sure that a dense copy of the largest view can be had, too. */
static bool memory_for_copies(const h5checkpoint *cp)
{
    size_t largest = 0;
    for (size_t k = 0; k < cp->ntensors; k++)
        if (!cp->tensors[k].data && item_bytes(&cp->tensors[k].item) > largest)
            largest = item_bytes(&cp->tensors[k].item);
    void *probe = malloc(largest + (1 << 20));
    free(probe);
    return probe != NULL;
}

/* Whether the image can be read: what a checkpoint is replaced by must be one. */
static bool reads_back(const h5checkpoint *cp, const h5image *im)
{
    h5checkpoint copy = {.image = *im, .file = -1};
    bool good = open_image(&copy) == 0 && copy.ntensors == cp->ntensors && copy.ntexts == cp->ntexts &&
                copy.nnumbers == cp->nnumbers;
    h5_close(copy.file);
    free_lists(&copy);
    return good;
}

/* The image, ready for the disk; im->bytes is to be freed in any case. */
static int build(const h5checkpoint *cp, h5image *im, const char *path, lstm_error *err)
{
    char room[128];
    im->room = estimate(cp);
    im->bytes = calloc(1, im->room);
    if (!im->bytes || !memory_for_copies(cp))
        return lstm_fail(err, "", "cannot write %s: out of memory (%zu bytes)", fileio_short_path(path, room),
                         im->room);
    h5_enter();
    int result = fill_image(cp, im);
    if (!result && !reads_back(cp, im))
        result = -1;
    if (result)
        h5_fail(err, "cannot write", path);
    h5_leave();
    return result;
}

/* ---- the trailer ------------------------------------------------------------------------------------------------ */

static void put_u64(unsigned char *p, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

static void digest_of(const unsigned char *bytes, size_t size, const unsigned char *trailer,
                      uint8_t digest[LSTM_SHA256_SIZE])
{
    lstm_sha256 s;
    lstm_sha256_init(&s);
    lstm_sha256_update(&s, bytes, size);
    lstm_sha256_update(&s, trailer, 32);
    lstm_sha256_final(&s, digest);
}

static void make_trailer(const h5image *im, unsigned char trailer[TRAILER])
{
    memset(trailer, 0, TRAILER);
    memcpy(trailer, MAGIC, 8);
    put_u64(trailer + 8, VERSION);
    put_u64(trailer + 16, im->size);
    digest_of(im->bytes, im->size, trailer, trailer + 32);
}

/* What is wrong with the trailer of a file of this size, or NULL. */
static const char *trailer_fault(const unsigned char *trailer, uint64_t file_size)
{
    if (memcmp(trailer, MAGIC, 8) != 0)
        return "is no checkpoint, or was cut off";
    if (get_u64(trailer + 8) != VERSION || get_u64(trailer + 24) != 0)
        return "has an unknown version";
    if (get_u64(trailer + 16) != file_size - TRAILER)
        return "is damaged (wrong length)";
    return NULL;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* A new file, open for writing; one that a killed process has left there is removed. -1 and errno: there is none. */
static int open_new(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return -1;
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

static int store(const h5image *im, const char *path, const char *previous)
{
    unsigned char trailer[TRAILER];
    char *temporary;
    if (asprintf(&temporary, "%s.tmp", path) < 0)
        return ENOMEM;
    make_trailer(im, trailer);
    const int fd = open_new(temporary);
    const int error = fd < 0 ? errno : h5image_store(im, trailer, TRAILER, fd, temporary, path, previous);
    free(temporary);
    return error;
}

int h5checkpoint_write(const h5checkpoint *cp, const char *path, const char *previous, lstm_error *err)
{
    h5image im = {0};
    int result = build(cp, &im, path, err);
    if (!result) {
        int error = store(&im, path, previous);
        if (error)
            result = fileio_fail(err, "cannot write", path, error);
    }
    free(im.bytes);
    return result;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static int damaged(lstm_error *err, const char *path, const char *fault)
{
    char room[128];
    return lstm_fail(err, "", "%s %s", fileio_short_path(path, room), fault);
}

/* Reads and verifies the file open at fd; libhdf5 has no part in it. */
static int load_open(int fd, const char *path, h5image *im, lstm_error *err)
{
    struct stat st;
    unsigned char trailer[TRAILER];
    uint8_t digest[LSTM_SHA256_SIZE];
    size_t got;
    int error;
    if (fstat(fd, &st) != 0)
        return fileio_fail(err, "cannot read", path, errno);
    if (!S_ISREG(st.st_mode))
        return damaged(err, path, "is not a file");
    if (st.st_size <= TRAILER)
        return damaged(err, path, st.st_size ? "is no checkpoint, or was cut off" : "is empty");
    uint64_t size = (uint64_t)st.st_size - TRAILER;
    if ((error = fileio_pread(fd, trailer, TRAILER, size, &got)))
        return fileio_fail(err, "cannot read", path, error);
    const char *fault = got == TRAILER ? trailer_fault(trailer, (uint64_t)st.st_size) : "shrinks while it is read";
    if (fault)
        return damaged(err, path, fault);
    im->bytes = size <= SIZE_MAX ? malloc((size_t)size) : NULL;
    if (!im->bytes)
        return fileio_fail(err, "cannot read", path, ENOMEM);
    im->size = im->room = (size_t)size;
    if ((error = fileio_pread(fd, im->bytes, im->size, 0, &got)))
        return fileio_fail(err, "cannot read", path, error);
    digest_of(im->bytes, got, trailer, digest);
    if (got != im->size || memcmp(digest, trailer + 32, sizeof digest) != 0)
        return damaged(err, path, "is damaged (checksum differs)");
    return 0;
}

static int load(const char *path, h5image *im, lstm_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO shall not make us wait */
    if (fd < 0)
        return fileio_fail(err, "cannot read", path, errno);
    int result = load_open(fd, path, im, err);
    close(fd);
    return result;
}

static int read_item(hid_t file, const h5checkpoint_item *item, void *data)
{
    hid_t dataset = H5Dopen2(file, item->name, H5P_DEFAULT);
    int result = dataset < 0 || H5Dread(dataset, h5_type_in_memory(item->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0;
    h5_close(dataset);
    return result ? -1 : 0;
}

/* Goes through all that will ever be done. */
static int try_all(void *data, lstm_error *err)
{
    h5checkpoint *cp = data;
    if (open_image(cp))
        return h5_fail(err, "cannot read", cp->path);
    int result = 0;
    for (size_t k = 0; k < cp->ntensors && !result; k++) {
        void *room = malloc(item_bytes(&cp->tensors[k].item) + 1);
        result = room ? read_item(cp->file, &cp->tensors[k].item, room) : -1;
        free(room);
    }
    h5_close(cp->file);
    return result ? damaged(err, cp->path, "is damaged (not all of it can be read)") : 0;
}

/* The checksum tells accidents; whoever made the file wrong on purpose can have put it right. */
static int open_carefully(h5checkpoint *cp, lstm_error *err)
{
    const double seconds = 10 + (double)(cp->image.size >> 26);
    switch (h5probe(try_all, cp, seconds, err)) {
    case H5PROBE_FAILED: return -1;
    case H5PROBE_DIED: return damaged(err, cp->path, "is no checkpoint that lstmrun wrote: libhdf5 could not cope with it");
    default: return open_image(cp) ? h5_fail(err, "cannot read", cp->path) : 0;
    }
}

h5checkpoint *h5checkpoint_read(const char *path, lstm_error *err)
{
    h5checkpoint *cp = h5checkpoint_new(err);
    if (!cp)
        return NULL;
    int result = -1;
    if (!(cp->path = strdup(path)))
        fileio_fail(err, "cannot read", path, ENOMEM);
    else if ((result = load(path, &cp->image, err)) == 0) {
        h5_enter();
        result = open_carefully(cp, err);
        h5_leave();
    }
    if (result) {
        h5checkpoint_free(cp);
        return NULL;
    }
    return cp;
}

h5checkpoint *h5checkpoint_read_either(const char *path, const char *previous, bool *used_previous, lstm_error *err)
{
    if (used_previous)
        *used_previous = false;
    h5checkpoint *cp = h5checkpoint_read(path, err);
    if (!cp && (cp = h5checkpoint_read(previous, NULL)) && used_previous)
        *used_previous = true;
    return cp;
}

/* ---- getting things out ----------------------------------------------------------------------------------------- */

size_t h5checkpoint_count(const h5checkpoint *cp)
{
    return cp->ntensors;
}

int h5checkpoint_item_at(const h5checkpoint *cp, size_t k, h5checkpoint_item *item)
{
    if (k >= cp->ntensors)
        return -1;
    *item = cp->tensors[k].item;
    return 0;
}

static int missing(const h5checkpoint *cp, const char *kind, const char *name, lstm_error *err)
{
    char room[128];
    const char *path = cp->path ? fileio_short_path(cp->path, room) : "the checkpoint";
    return lstm_fail(err, "", "%s has no %s '%s'", path, kind, name);
}

int h5checkpoint_find(const h5checkpoint *cp, const char *name, h5checkpoint_item *item, lstm_error *err)
{
    const tensor_entry *e = find_tensor(cp, name);
    if (!e)
        return missing(cp, "tensor", name, err);
    if (item)
        *item = e->item;
    return 0;
}

/* "float32 [3,4]" */
static void describe(h5type type, int ndim, const size_t *shape, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "%s [", h5type_name(type));
    for (int d = 0; d < ndim && n < room; d++)
        n += (size_t)snprintf(out + n, room - n, "%s%zu", d ? "," : "", shape[d]);
    if (n < room)
        snprintf(out + n, room - n, "]");
}

static int check_item(const h5checkpoint *cp, const h5checkpoint_item *item, h5type type, int ndim,
                      const size_t *shape, lstm_error *err)
{
    bool same = item->type == type && item->ndim == ndim;
    for (int d = 0; same && d < ndim; d++)
        same = item->shape[d] == shape[d];
    if (same)
        return 0;
    char want[80], got[80], room[128];
    describe(type, ndim, shape, want, sizeof want);
    describe(item->type, item->ndim, item->shape, got, sizeof got);
    return lstm_fail(err, "", "%s: tensor '%s' is %s, expected %s", fileio_short_path(cp->path, room), item->name, got,
                     want);
}

/* Reads a whole dataset of the open file. */
static int read_dataset(const h5checkpoint *cp, const h5checkpoint_item *item, void *data, lstm_error *err)
{
    h5_enter();
    int result = read_item(cp->file, item, data) ? h5_fail(err, "cannot read", cp->path) : 0;
    h5_leave();
    return result;
}

int h5checkpoint_get(const h5checkpoint *cp, const char *name, h5type type, int ndim, const size_t *shape, void *data,
                     lstm_error *err)
{
    h5checkpoint_item item;
    if (cp->file < 0)
        return lstm_fail(err, "", "this checkpoint is being written, not read");
    if (h5checkpoint_find(cp, name, &item, err) || check_item(cp, &item, type, ndim, shape, err))
        return -1;
    return read_dataset(cp, &item, data, err);
}

int h5checkpoint_get_tensor(const h5checkpoint *cp, const char *name, const lstm_tensor *t, lstm_error *err)
{
    size_t shape[LSTM_MAX_DIMS], count = lstm_tensor_size(t);
    shape_of_tensor(t, shape);
    void *dense = malloc(count * lstm_type_size(t->type) + 1);
    if (!dense)
        return lstm_fail(err, "", "out of memory for tensor '%s'", t->name);
    int result = h5checkpoint_get(cp, name ? name : t->name, type_of_tensor(t), t->ndim, shape, dense, err);
    if (!result)
        lstm_tensor_write(t, 0, count, dense);
    free(dense);
    return result;
}

const char *h5checkpoint_text(const h5checkpoint *cp, const char *name, size_t *length, lstm_error *err)
{
    const text_entry *e = find_text(cp, name);
    if (!e) {
        missing(cp, "text", name, err);
        return NULL;
    }
    if (length)
        *length = e->length;
    return e->text;
}

int h5checkpoint_integer(const h5checkpoint *cp, const char *name, int64_t *value, lstm_error *err)
{
    const number_entry *e = find_number(cp, name);
    if (!e || !e->is_integer)
        return missing(cp, "integer", name, err);
    *value = e->integer;
    return 0;
}

int h5checkpoint_number(const h5checkpoint *cp, const char *name, double *value, lstm_error *err)
{
    const number_entry *e = find_number(cp, name);
    if (!e)
        return missing(cp, "number", name, err);
    *value = e->is_integer ? (double)e->integer : e->number;
    return 0;
}
