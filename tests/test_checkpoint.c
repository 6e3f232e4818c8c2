/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: what goes in comes out bit for bit; what is damaged is refused before libhdf5 sees it; a write that
 * fails leaves the old file. (Kills at every call: test_faults.c.)
 *
 *     test_checkpoint FILE    keeps there a checkpoint that check_log.py looks at
 */
#define _GNU_SOURCE
#include "h5checkpoint.h"
#include "tap.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_checkpoint_XXXXXX";
static lstm_error err;

static const char *in_dir(const char *name)
{
    static char path[32][256];
    static int turn;
    char *p = path[turn++ % 32];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static bool says(const char *text)
{
    bool yes = strstr(err.message, text) != NULL;
    if (!yes)
        tap_note("message: %s", err.message);
    return yes;
}

static unsigned char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*size + 1);
    if (fread(bytes, 1, *size, f) != *size)
        *size = 0;
    fclose(f);
    return bytes;
}

static void spill(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f) != 0)
        abort();
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

static void test_refused_names(void)
{
    static const char *bad[] = {"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a\nb", " a", "\xff", "text/x",
                                "text"};
    h5checkpoint *cp = h5checkpoint_new(&err);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        tap_ok(h5checkpoint_add(cp, bad[k], H5_F32, 1, (size_t[]){1}, f32, &err) && err.message[0],
               "name %zu is refused", k);
    tap_ok(!h5checkpoint_add(cp, "a", H5_F32, 1, (size_t[]){1}, f32, &err) &&
           h5checkpoint_add(cp, "a", H5_F32, 1, (size_t[]){1}, f32, &err) && says("has a 'a' already"),
           "a name taken is refused");
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
    return !cp && opened == before && !strstr(err.message, "HDF5") && strstr(err.message, path + strlen(dir));
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
    if (!mkdtemp(dir))
        return 1;
    const char *path = argc > 1 ? argv[1] : in_dir("checkpoint.h5");
    test_round_trip_writes(path);
    test_round_trip_reads(path);
    test_many();
    test_refused_names();
    write_step(in_dir("small.h5"), NULL, 5, 3);
    test_damage(in_dir("small.h5"));
    test_not_files();
    test_generations();
    test_failing_writes();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? 1 : tap_done();
}
