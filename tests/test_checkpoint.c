/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: what goes in comes out bit for bit; what is damaged is refused before libhdf5 sees it; a write that
 * fails leaves the old file. (Kills at every call: test_faults.c.)
 *
 *     test_checkpoint FILE    keeps there a checkpoint that check_log.py looks at
 */
#define _GNU_SOURCE
#include "h5checkpoint.h"
#include "support.h"
#include "tap.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static lstm_error err;

static bool says(const char *text)
{
    bool yes = strstr(err.message, text) != NULL;
    if (!yes)
        tap_note("message: %s", err.message);
    return yes;
}

/* A checkpoint that says which step it is of. */
static int write_step(const char *path, const char *previous, int64_t step, size_t n)
{
    h5checkpoint *cp = h5checkpoint_new(&err);
    float *data = malloc(n * sizeof *data);
    for (size_t k = 0; k < n; k++)
        data[k] = (float)step + (float)k;
    h5checkpoint_add_integer(cp, "step", step, &err);
    h5checkpoint_add(cp, "w", H5_F32, 1, &n, data, &err);
    int result = h5checkpoint_write(cp, path, previous, &err);
    h5checkpoint_free(cp);
    free(data);
    return result;
}

static int64_t read_step(const char *path)
{
    int64_t step = -1;
    h5checkpoint *cp = h5checkpoint_read(path, &err);
    if (cp)
        h5checkpoint_integer(cp, "step", &step, &err);
    h5checkpoint_free(cp);
    return step;
}

/* ---- what goes in comes out ------------------------------------------------------------------------------------- */

static const float f32[6] = {0.0f, -0.0f, 1.5f, INFINITY, 1e-42f, -3.25f};
static const int32_t i32[4] = {INT32_MIN, -1, 0, INT32_MAX};
static const int64_t i64[2] = {INT64_MIN, INT64_MAX};
static const uint64_t u64[3] = {0, 1, UINT64_MAX};
static const char text[] = "a\0b\xc3\xa9\n\0"; /* NULs inside and at the end */

static void test_round_trip_writes(const char *path)
{
    double f64[24];
    uint64_t nan_bits = UINT64_C(0x7ff8dead0000beef);
    for (int k = 0; k < 24; k++)
        f64[k] = k / 3.0;
    memcpy(&f64[7], &nan_bits, 8);
    h5checkpoint *cp = h5checkpoint_new(&err);
    tap_ok(cp != NULL, "an empty checkpoint");
    tap_ok(!h5checkpoint_add(cp, "embedding.weight", H5_F32, 2, (size_t[]){2, 3}, f32, &err), "add float32");
    tap_ok(!h5checkpoint_add(cp, "moment1/lstm.weight", H5_F64, 5, (size_t[]){2, 1, 3, 2, 2}, f64, &err),
           "add float64 of five dimensions, in a group");
    tap_ok(!h5checkpoint_add(cp, "ids", H5_I32, 1, (size_t[]){4}, i32, &err), "add int32");
    tap_ok(!h5checkpoint_add(cp, "cursor", H5_I64, 1, (size_t[]){2}, i64, &err), "add int64");
    tap_ok(!h5checkpoint_add(cp, "counters", H5_U64, 1, (size_t[]){3}, u64, &err), "add uint64");
    tap_ok(!h5checkpoint_add(cp, "vocabulary", H5_U8, 1, (size_t[]){sizeof text}, text, &err), "add bytes");
    tap_ok(!h5checkpoint_add(cp, "scalar", H5_F32, 0, NULL, &f32[2], &err), "add a scalar");
    tap_ok(!h5checkpoint_add(cp, "nothing", H5_F32, 2, (size_t[]){0, 3}, NULL, &err), "add an empty array");
    tap_ok(!h5checkpoint_add_text(cp, "config", text, sizeof text, &err), "add a text");
    tap_ok(!h5checkpoint_add_text(cp, "empty", "", 0, &err), "add an empty text");
    char *large = malloc(200000);
    memset(large, 'x', 200000);
    tap_ok(!h5checkpoint_add_text(cp, "large", large, 200000, &err), "add a text beyond 64 KiB");
    free(large);
    tap_ok(!h5checkpoint_add_integer(cp, "step", -7, &err), "add an integer");
    tap_ok(!h5checkpoint_add_number(cp, "best", -INFINITY, &err), "add a number");

    float strided[12];
    for (int k = 0; k < 12; k++)
        strided[k] = (float)k;
    lstm_tensor t;
    lstm_tensor_dense(&t, "state.h/l0", LSTM_F32, 2, (size_t[]){3, 2}, strided);
    t.axis[0].stride = 4; /* columns 0 and 1 of rows of 4 */
    tap_ok(!h5checkpoint_add_tensor(cp, NULL, &t, &err), "add a tensor with strides");
    tap_ok(!h5checkpoint_write(cp, path, NULL, &err), "write");
    h5checkpoint_free(cp);
}

static void test_round_trip_reads(const char *path)
{
    h5checkpoint *cp = h5checkpoint_read(path, &err);
    if (!tap_ok(cp != NULL, "read")) {
        tap_note("%s", err.message);
        return;
    }
    float f[6], s[6];
    double d[24];
    unsigned char bytes[64];
    uint64_t bits;
    size_t length;
    tap_ok(h5checkpoint_count(cp) == 9, "nine tensors");
    tap_ok(!h5checkpoint_get(cp, "embedding.weight", H5_F32, 2, (size_t[]){2, 3}, f, &err) &&
           !memcmp(f, f32, sizeof f), "float32, bit for bit");
    tap_ok(!h5checkpoint_get(cp, "moment1/lstm.weight", H5_F64, 5, (size_t[]){2, 1, 3, 2, 2}, d, &err) &&
           d[23] == 23 / 3.0, "float64");
    memcpy(&bits, &d[7], 8);
    tap_ok(bits == UINT64_C(0x7ff8dead0000beef), "a NaN keeps its payload");
    tap_ok(!h5checkpoint_get(cp, "ids", H5_I32, 1, (size_t[]){4}, bytes, &err) && !memcmp(bytes, i32, sizeof i32),
           "int32");
    tap_ok(!h5checkpoint_get(cp, "cursor", H5_I64, 1, (size_t[]){2}, bytes, &err) && !memcmp(bytes, i64, sizeof i64),
           "int64");
    tap_ok(!h5checkpoint_get(cp, "counters", H5_U64, 1, (size_t[]){3}, bytes, &err) &&
           !memcmp(bytes, u64, sizeof u64), "uint64");
    tap_ok(!h5checkpoint_get(cp, "vocabulary", H5_U8, 1, (size_t[]){sizeof text}, bytes, &err) &&
           !memcmp(bytes, text, sizeof text), "bytes");
    tap_ok(!h5checkpoint_get(cp, "scalar", H5_F32, 0, NULL, f, &err) && f[0] == 1.5f, "a scalar");
    tap_ok(!h5checkpoint_get(cp, "nothing", H5_F32, 2, (size_t[]){0, 3}, f, &err), "an empty array");
    const char *got = h5checkpoint_text(cp, "config", &length, &err);
    tap_ok(got && length == sizeof text && !memcmp(got, text, length), "a text with NULs inside and at the end");
    got = h5checkpoint_text(cp, "empty", &length, &err);
    tap_ok(got && length == 0 && !*got, "an empty text");
    got = h5checkpoint_text(cp, "large", &length, &err);
    tap_ok(got && length == 200000 && got[199999] == 'x', "a large text");
    int64_t step = 0;
    double best = 0;
    tap_ok(!h5checkpoint_integer(cp, "step", &step, &err) && step == -7, "an integer");
    tap_ok(!h5checkpoint_number(cp, "best", &best, &err) && best == -INFINITY, "a number");
    lstm_tensor t;
    lstm_tensor_dense(&t, "state.h/l0", LSTM_F32, 2, (size_t[]){3, 2}, s);
    tap_ok(!h5checkpoint_get_tensor(cp, NULL, &t, &err) && s[0] == 0 && s[1] == 1 && s[2] == 4 && s[5] == 9,
           "the tensor with strides");
    tap_ok(h5checkpoint_get(cp, "ids", H5_I32, 1, (size_t[]){5}, bytes, &err) &&
           says("is int32 [4], expected int32 [5]"), "a wrong shape is refused");
    tap_ok(h5checkpoint_get(cp, "ids", H5_F32, 1, (size_t[]){4}, bytes, &err) && says("expected float32 [4]"),
           "a wrong type is refused");
    tap_ok(h5checkpoint_find(cp, "idz", NULL, &err) && says("has no tensor 'idz'"), "a missing tensor is named");
    tap_ok(h5checkpoint_integer(cp, "best", &step, &err) && says("no integer 'best'"), "a number is no integer");
    h5checkpoint_free(cp);
}

/* Checkpoints with more and more in them, since libhdf5 keeps few things and many in different ways. */
static bool round_trip(const char *path, size_t n)
{
    char name[64], text[300];
    float *data = malloc((n + 1) * 100 * sizeof *data), got[100 * 60];
    bool fine = true;
    for (size_t k = 0; k < 100 * n; k++)
        data[k] = (float)k;
    memset(text, 't', sizeof text);
    h5checkpoint *cp = h5checkpoint_new(&err);
    for (size_t k = 0; k < n; k++) {
        snprintf(name, sizeof name, k % 3 ? "group%zu/tensor.%zu" : "tensor%zu.%zu", k % 4, k);
        fine = fine && !h5checkpoint_add(cp, name, H5_F32, 1, (size_t[]){100 * k}, data, &err);
        fine = fine && !h5checkpoint_add_integer(cp, name, (int64_t)k, &err);
        fine = fine && (k % 5 || !h5checkpoint_add_text(cp, name, text, 5 * k % sizeof text, &err));
    }
    fine = fine && !h5checkpoint_write(cp, path, NULL, &err);
    h5checkpoint_free(cp);
    cp = fine ? h5checkpoint_read(path, &err) : NULL;
    fine = cp && h5checkpoint_count(cp) == n;
    for (size_t k = 0; k < n && fine; k++) {
        int64_t number = -1;
        snprintf(name, sizeof name, k % 3 ? "group%zu/tensor.%zu" : "tensor%zu.%zu", k % 4, k);
        fine = !h5checkpoint_get(cp, name, H5_F32, 1, (size_t[]){100 * k}, got, &err) &&
               !memcmp(got, data, 100 * k * sizeof *got) && !h5checkpoint_integer(cp, name, &number, &err) &&
               number == (int64_t)k;
    }
    if (!fine)
        tap_note("%zu tensors: %s", n, err.message);
    h5checkpoint_free(cp);
    free(data);
    return fine;
}

static void test_many(void)
{
    int bad = 0;
    for (size_t n = 0; n < 60; n++)
        bad += !round_trip(in_dir("many.h5"), n);
    tap_ok(bad == 0, "checkpoints of 0 to 59 tensors come out as they went in (%d did not)", bad);
}

static void test_engine_tensors(void)
{
    double f64[2] = {1.0 / 3, 2}, got[2];
    lstm_tensor t, wrong;
    h5checkpoint *cp = h5checkpoint_new(&err);
    lstm_tensor_dense(&wrong, "smaller", LSTM_F64, 1, (size_t[]){1}, f64);
    lstm_tensor_dense(&t, "t", LSTM_F64, 1, (size_t[]){2}, f64);
    tap_ok(!h5checkpoint_add_tensor(cp, "other", &t, &err) &&
           !h5checkpoint_add(cp, "b", H5_F32, 1, (size_t[]){1}, f32, &err) &&
           !h5checkpoint_add_tensor(cp, NULL, &wrong, &err), "a double tensor under another name");
    tap_ok(h5checkpoint_add_tensor(cp, "other", &t, &err) && says("already"), "but not twice");
    tap_ok(!h5checkpoint_write(cp, in_dir("double.h5"), NULL, &err), "is written");
    h5checkpoint_free(cp);
    cp = h5checkpoint_read(in_dir("double.h5"), &err);
    t.data = got;
    tap_ok(cp && !h5checkpoint_get_tensor(cp, "other", &t, &err) && !memcmp(got, f64, sizeof got), "and read");
    lstm_tensor_dense(&wrong, "other", LSTM_F64, 2, (size_t[]){1, 2}, got);
    tap_ok(cp && h5checkpoint_get_tensor(cp, NULL, &wrong, &err) && says("is float64 [2], expected float64 [1,2]"),
           "another number of dimensions is refused");
    h5checkpoint_free(cp);
}

/* What is wrong, in words, when something is asked for that is not there. */
static void test_missing(void)
{
    const size_t huge[5] = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    int64_t step;
    double number;
    h5checkpoint_item item;
    h5checkpoint *cp = h5checkpoint_new(&err);
    h5checkpoint_add_integer(cp, "step", 7, &err);
    h5checkpoint_add(cp, "w", H5_F32, 1, (size_t[]){1}, f32, &err);
    tap_ok(!h5checkpoint_text(cp, "config", NULL, &err) && says("the checkpoint has no text 'config'"),
           "a missing text");
    tap_ok(h5checkpoint_integer(cp, "stop", &step, &err) && says("no integer 'stop'"), "a missing integer");
    tap_ok(h5checkpoint_number(cp, "stop", &number, &err) && says("no number 'stop'"), "a missing number");
    tap_ok(!h5checkpoint_number(cp, "step", &number, &err) && number == 7, "an integer is a number");
    tap_ok(!h5checkpoint_item_at(cp, 0, &item) && strcmp(item.name, "w") == 0 && h5checkpoint_item_at(cp, 1, &item),
           "the tensors by number");
    tap_ok(!h5checkpoint_find(cp, "w", &item, &err) && item.shape[0] == 1 && !h5checkpoint_find(cp, "w", NULL, &err),
           "and by name");
    tap_ok(h5checkpoint_get(cp, "w", H5_F32, 1, (size_t[]){1}, &number, &err) && says("is being written, not read"),
           "no tensor of one that is being written");
    h5checkpoint_write(cp, in_dir("w.h5"), NULL, &err);
    h5checkpoint_free(cp);
    cp = h5checkpoint_read(in_dir("w.h5"), &err);
    tap_ok(cp && h5checkpoint_get(cp, "w", H5_F32, 5, huge, &number, &err) &&
           says("is float32 [1], expected float32 [1844"), "a shape that is too long to be shown is cut");
    tap_ok(cp && h5checkpoint_get(cp, "v", H5_F32, 1, huge, &number, &err) && says("no tensor 'v'"),
           "a missing tensor");
    h5checkpoint_free(cp);
    h5checkpoint_free(NULL);
}

static void test_too_large(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    h5checkpoint *cp = h5checkpoint_new(&err);
    for (int k = 0; k < 5; k++) /* nearly 4 EiB each; 16 are more than a number of bytes can say */
        h5checkpoint_add(cp, names[k], H5_U8, 2, (size_t[]){(size_t)1 << 31, ((size_t)1 << 31) - 1}, text, &err);
    tap_ok(h5checkpoint_count(cp) == 5 && h5checkpoint_write(cp, in_dir("huge.h5"), NULL, &err) &&
           says("out of memory"), "what cannot be in memory is not written");
    tap_ok(h5checkpoint_add_text(cp, "long", "", SIZE_MAX, &err) && says("out of memory for text 'long'"),
           "a text that cannot be in memory");
    h5checkpoint_free(cp);
}

static void test_refused_names(void)
{
    static const char *bad[] = {"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a\nb", " a", "\xff", "text/x",
                                "text"};
    char name[H5CHECKPOINT_NAME_SIZE + 1] = "";
    h5checkpoint *cp = h5checkpoint_new(&err);
    while (strlen(name) < H5CHECKPOINT_NAME_SIZE)
        strcat(name, strlen(name) % 2 ? "/" : "a");
    tap_ok(h5checkpoint_add_number(cp, name, 1, &err) && says("cannot be a name"), "a name too long is refused");
    tap_ok(h5checkpoint_add(cp, NULL, H5_F32, 1, (size_t[]){1}, f32, &err) &&
           h5checkpoint_add_text(cp, NULL, "", 0, &err) && h5checkpoint_add_number(cp, NULL, 1, &err), "as is none");
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        tap_ok(h5checkpoint_add(cp, bad[k], H5_F32, 1, (size_t[]){1}, f32, &err) && err.message[0],
               "name %zu is refused", k);
    tap_ok(!h5checkpoint_add(cp, "a", H5_F32, 1, (size_t[]){1}, f32, &err) &&
           h5checkpoint_add(cp, "a", H5_F32, 1, (size_t[]){1}, f32, &err) && says("has a 'a' already"),
           "a name taken is refused");
    tap_ok(!h5checkpoint_add_text(cp, "a", "", 0, &err) && h5checkpoint_add_text(cp, "a", "", 0, &err) &&
           !h5checkpoint_add_number(cp, "a", 1, &err) && h5checkpoint_add_integer(cp, "a", 1, &err),
           "texts and numbers have names of their own, once");
    tap_ok(h5checkpoint_add_number(cp, "format", 1, &err) && says("the file's own"), "the file has a format already");
    tap_ok(h5checkpoint_add(cp, "b", H5_TYPES, 1, (size_t[]){1}, f32, &err) &&
           h5checkpoint_add(cp, "b", H5_F32, -1, (size_t[]){1}, f32, &err), "no type and no dimensions are refused");
    tap_ok(h5checkpoint_add(cp, "b", H5_F32, 6, (size_t[]){1, 1, 1, 1, 1, 1}, f32, &err), "six dimensions are refused");
    tap_ok(h5checkpoint_add(cp, "c", H5_F64, 2, (size_t[]){SIZE_MAX / 2, 3}, f32, &err) && says("larger than memory"),
           "an overflow is refused");
    h5checkpoint_free(cp);
}

/* ---- damage ----------------------------------------------------------------------------------------------------- */

static int opened; /* files that libhdf5 was given, by us */

/* Comes before the library's own. */
hid_t H5Fopen(const char *name, unsigned flags, hid_t access)
{
    opened++;
    return ((__typeof__(&H5Fopen))dlsym(RTLD_NEXT, "H5Fopen"))(name, flags, access);
}

/* With a sentence that names the file, and before libhdf5 saw it. */
static bool refused(const char *path)
{
    int before = opened;
    h5checkpoint *cp = h5checkpoint_read(path, &err);
    h5checkpoint_free(cp);
    return !cp && opened == before && !strstr(err.message, "HDF5") && strstr(err.message, path + strlen(test_dir));
}

static void test_damage(const char *path)
{
    size_t size;
    unsigned char *bytes = slurp(path, &size);
    const char *hurt = in_dir("hurt.h5");
    spill(hurt, bytes, size);
    int fd = open(hurt, O_RDWR);
    size_t taken = 0;
    for (size_t k = 0; k < size; k++) {
        unsigned char flipped = bytes[k] ^ (unsigned char)(1 << k % 8);
        bool hurt_it = pwrite(fd, &flipped, 1, (off_t)k) == 1;
        taken += !hurt_it || !refused(hurt) || pwrite(fd, &bytes[k], 1, (off_t)k) != 1;
    }
    tap_ok(taken == 0, "a flipped bit in any of %zu bytes is refused before libhdf5 (%zu were not)", size, taken);
    taken = 0;
    for (size_t k = size; k-- > 0;)
        taken += ftruncate(fd, (off_t)k) != 0 || !refused(hurt);
    close(fd);
    tap_ok(taken == 0, "every shorter length is refused (%zu were not)", taken);
    bytes[size] = 0;
    spill(hurt, bytes, size + 1);
    tap_ok(refused(hurt), "a longer file is refused");
    spill(hurt, bytes, size);
    int before = opened;
    tap_ok(!refused(hurt) && opened > before, "the same file unhurt is taken");
    unlink(hurt);
    free(bytes);
}

/* ---- made by somebody else --------------------------------------------------------------------------------------- */

/* An HDF5 file with what this puts into it, as a checkpoint with the right checksum. */
static const char *craft(void (*fill)(hid_t file))
{
    size_t size;
    const char *path = in_dir("crafted.h5");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    fill(file);
    H5Fclose(file);
    unsigned char *image = slurp(path, &size), *bytes = calloc(1, size + 64);
    memcpy(bytes, image, size);
    memcpy(bytes + size, "LSTMCKPT\1", 9);
    for (int k = 0; k < 8; k++)
        bytes[size + 16 + (size_t)k] = (unsigned char)((uint64_t)size >> 8 * k);
    put_checksum(bytes, size + 64);
    spill(path, bytes, size + 64);
    free(image);
    free(bytes);
    return path;
}

/* Returns a new dataset; of ndim dimensions of this size, none of which is stored. */
static hid_t put_dataset(hid_t file, const char *name, hid_t type, int ndim, hsize_t each)
{
    hsize_t size[6] = {each, each, each, each, each, each}, chunk[6] = {1, 1, 1, 1, 1, 1};
    hid_t space = ndim ? H5Screate_simple(ndim, size, NULL) : H5Screate(H5S_SCALAR);
    hid_t link = H5Pcreate(H5P_LINK_CREATE), create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_create_intermediate_group(link, 1);
    if (ndim)
        H5Pset_chunk(create, ndim, chunk);
    hid_t dataset = H5Dcreate2(file, name, type, space, link, create, H5P_DEFAULT);
    H5Pclose(link);
    H5Pclose(create);
    H5Sclose(space);
    return dataset;
}

static void put_attribute(hid_t object, const char *name, hid_t type, hsize_t n, const void *values)
{
    hid_t space = n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, values);
    H5Aclose(attribute);
    H5Sclose(space);
}

/* A string below /text; attribute bytes: n integers, of which the first is this; -1: none. */
static void put_string(hid_t file, size_t length, int ndim, hsize_t n, int64_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, length);
    hid_t dataset = put_dataset(file, "text/t", type, ndim, 2);
    if (n)
        put_attribute(dataset, "bytes", H5T_NATIVE_INT64, n, (int64_t[]){bytes, 0});
    H5Dclose(dataset);
    H5Tclose(type);
}

static void two_integers(hid_t file) { put_attribute(file, "step", H5T_NATIVE_INT, 2, (int[]){1, 2}); }
static void two_numbers(hid_t file) { put_attribute(file, "best", H5T_NATIVE_DOUBLE, 2, (double[]){1, 2}); }
static void no_length(hid_t file) { put_string(file, 4, 0, 0, 0); }
static void two_lengths(hid_t file) { put_string(file, 4, 0, 2, 4); }
static void negative_length(hid_t file) { put_string(file, 4, 0, 1, -1); }
static void longer_than_it_is(hid_t file) { put_string(file, 4, 0, 1, 5); }
static void longer_than_the_file(hid_t file) { put_string(file, 1 << 30, 0, 1, 5); }
static void two_strings(hid_t file) { put_string(file, 4, 1, 1, 4); }
static void any_length(hid_t file) { put_string(file, H5T_VARIABLE, 0, 1, 4); }
static void six_dimensions(hid_t file) { H5Dclose(put_dataset(file, "w", H5T_IEEE_F32LE, 6, 1)); }
static void short_numbers(hid_t file) { H5Dclose(put_dataset(file, "w", H5T_STD_I16LE, 1, 1)); }
static void more_than_the_file(hid_t file) { H5Dclose(put_dataset(file, "w", H5T_IEEE_F32LE, 1, 1 << 30)); }
static void more_than_memory(hid_t file) { H5Dclose(put_dataset(file, "w", H5T_IEEE_F32LE, 4, (hsize_t)1 << 31)); }
static void no_object(hid_t file) { H5Lcreate_soft("/nowhere", file, "w", H5P_DEFAULT, H5P_DEFAULT); }

static void text_of_numbers(hid_t file)
{
    hid_t dataset = put_dataset(file, "text/t", H5T_STD_U8LE, 0, 0);
    put_attribute(dataset, "bytes", H5T_NATIVE_INT, 1, (int[]){1});
    H5Dclose(dataset);
}

static void other_things(hid_t file)
{
    hid_t type = H5Tcopy(H5T_NATIVE_INT), text_type = H5Tcopy(H5T_C_S1);
    put_attribute(file, "step", H5T_NATIVE_INT, 1, (int[]){3});
    put_attribute(file, "made_by", text_type, 1, "x");
    H5Tcommit2(file, "a type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(file, "a group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Dclose(put_dataset(file, "nothing", H5T_IEEE_F32LE, 2, 0));
    H5Tclose(type);
    H5Tclose(text_type);
}

static void test_crafted(void)
{
    static const struct {
        void (*fill)(hid_t file);
        const char *what;
    } cases[] = {
        {two_integers, "an integer that is two"}, {two_numbers, "a number that is two"},
        {no_length, "a text without length"},
        {two_lengths, "a text with two lengths"}, {negative_length, "a text of less than nothing"},
        {longer_than_it_is, "a text longer than its string"}, {longer_than_the_file, "a text longer than the file"},
        {two_strings, "a text that is two"}, {any_length, "a text of any length"},
        {text_of_numbers, "a text of numbers"},
        {six_dimensions, "a tensor of six dimensions"}, {short_numbers, "a tensor of short numbers"},
        {more_than_the_file, "a tensor larger than the file"}, {more_than_memory, "a tensor larger than memory"},
        {no_object, "a name of nothing"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const char *path = craft(cases[k].fill);
        h5checkpoint *cp = h5checkpoint_read(path, &err);
        tap_ok(!cp && says(path), "%s is refused", cases[k].what);
        h5checkpoint_free(cp);
    }
    tap_ok(read_step(craft(other_things)) == 3, "what is none of a checkpoint's things is left alone");
}

static void test_not_files(void)
{
    tap_ok(refused(in_dir("missing.h5")) && says("No such file"), "a missing file");
    mkdir(in_dir("folder.h5"), 0777);
    tap_ok(refused(in_dir("folder.h5")) && says("is not a file"), "a directory");
    mkfifo(in_dir("fifo.h5"), 0666);
    tap_ok(refused(in_dir("fifo.h5")) && says("is not a file"), "a FIFO neither hangs nor passes");
    spill(in_dir("empty.h5"), "", 0);
    tap_ok(refused(in_dir("empty.h5")) && says("is empty"), "an empty file");
    /* A length that would take all memory: refused by the file's actual size. */
    unsigned char huge[128] = {0};
    memcpy(huge + 64, "LSTMCKPT\1", 9);
    memset(huge + 64 + 16, 0x7f, 8);
    spill(in_dir("huge.h5"), huge, sizeof huge);
    tap_ok(refused(in_dir("huge.h5")) && says("wrong length"), "an absurd length");
}

/* ---- replacing -------------------------------------------------------------------------------------------------- */

static void test_generations(void)
{
    const char *latest = in_dir("latest.h5"), *previous = in_dir("previous.h5");
    bool used = true;
    int64_t step;
    tap_ok(!write_step(latest, previous, 1, 100) && read_step(latest) == 1 && access(previous, F_OK) != 0,
           "the first one has no previous");
    spill(in_dir("latest.h5.tmp"), "half a checkpoint", 17); /* as a kill leaves it */
    tap_ok(!write_step(latest, previous, 2, 100) && read_step(latest) == 2 && read_step(previous) == 1,
           "the second one keeps the first");
    tap_ok(!write_step(latest, previous, 3, 100) && read_step(latest) == 3 && read_step(previous) == 2,
           "the third one keeps the second");
    h5checkpoint *cp = h5checkpoint_read_either(latest, previous, &used, &err);
    tap_ok(cp && !used, "of two good ones the latest is read");
    h5checkpoint_free(cp);
    size_t size;
    unsigned char *bytes = slurp(latest, &size);
    bytes[size / 2] ^= 1;
    spill(latest, bytes, size);
    free(bytes);
    cp = h5checkpoint_read_either(latest, previous, &used, &err);
    tap_ok(cp && used && says("latest.h5 is damaged (checksum differs)") &&
           !h5checkpoint_integer(cp, "step", &step, &err) && step == 2, "a damaged latest: the previous one is read");
    h5checkpoint_free(cp);
    cp = h5checkpoint_read_either(latest, previous, NULL, &err);
    tap_ok(cp && !h5checkpoint_integer(cp, "step", &step, &err) && step == 2, "whoever wants to know");
    h5checkpoint_free(cp);
    spill(previous, "x", 1);
    tap_ok(!h5checkpoint_read_either(latest, previous, &used, &err) && says("latest.h5 is damaged"),
           "both damaged: the error is the latest's");
    tap_ok(access(in_dir("latest.h5.tmp"), F_OK) && access(in_dir("previous.h5.tmp"), F_OK),
           "no temporary file stays behind");
}

static void test_failing_writes(void)
{
    const char *path = in_dir("keep.h5");
    tap_ok(write_step(in_dir("no/such/dir.h5"), NULL, 1, 10) && says("cannot write") && says("No such file"),
           "a missing directory is a sentence");
    tap_ok(!write_step(path, NULL, 1, 10), "a good one");
    struct rlimit old, small = {4096, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int result = write_step(path, NULL, 2, 10000);
    setrlimit(RLIMIT_FSIZE, &old);
    tap_ok(result && says("File too large"), "a file that may not grow is a sentence");
    tap_ok(read_step(path) == 1 && access(in_dir("keep.h5.tmp"), F_OK), "and the old one is still there, alone");
    char deep[512] = "";
    while (strlen(deep) < 400)
        strcat(deep, "very-long-name/");
    tap_ok(write_step(deep, NULL, 1, 10) && says("No such file"), "a long path does not hide the reason");
}

int main(int argc, char **argv)
{
    make_test_dir("test_checkpoint", false);
    const char *path = argc > 1 ? argv[1] : in_dir("checkpoint.h5");
    test_round_trip_writes(path);
    test_round_trip_reads(path);
    test_many();
    test_engine_tensors();
    test_missing();
    test_too_large();
    test_refused_names();
    write_step(in_dir("small.h5"), NULL, 5, 3);
    test_damage(in_dir("small.h5"));
    test_not_files();
    test_crafted();
    test_generations();
    test_failing_writes();
    remove_test_dir();
    return tap_done();
}
