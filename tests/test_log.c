/* SPDX-License-Identifier: MIT
 *
 * The run log: what is logged can be read back with plain libhdf5; resume cuts and goes on; what cannot be logged is
 * refused in a sentence. (Kills and failing disks: test_faults.c. Other readers: check_log.py.)
 *
 *     test_log FILE            keeps there the log that check_log.py looks at
 *     test_log FILE SECONDS    logs into FILE for so long, for check_log.py to read meanwhile
 *     test_log FILE resume     says why that cannot be done while it is open here
 *
 * With LSTM_TORTURE set (make torture) also a million steps and a tensor of 2 GiB, which takes 5 GiB of memory and 3
 * of the disk below /tmp.
 */
#define _GNU_SOURCE
#include "h5log.h"
#include "support.h"
#include "tap.h"

#include <fcntl.h>
#include <hdf5.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static lstm_error err;
static const char *self; /* this program */

static bool says(const char *text)
{
    bool yes = strstr(err.message, text) != NULL;
    if (!yes)
        tap_note("message: %s", err.message);
    return yes;
}

static bool good(int result)
{
    if (result)
        tap_note("message: %s", err.message);
    return result == 0;
}

/* ---- reading back ----------------------------------------------------------------------------------------------- */

/* Reads a whole dataset as doubles into out (room for n of them); returns how many there are, -1 when unreadable. */
static long read_doubles(const char *path, const char *name, double *out, size_t n)
{
    long count = -1;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t data = file >= 0 ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
    hid_t space = data >= 0 ? H5Dget_space(data) : -1;
    if (space >= 0) {
        count = (long)H5Sget_simple_extent_npoints(space);
        if (count > (long)n || H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
            count = -1;
        H5Sclose(space);
    }
    if (data >= 0)
        H5Dclose(data);
    if (file >= 0)
        H5Fclose(file);
    return count;
}

static bool reads(const char *path, const char *name, size_t n, const double *want)
{
    static double got[1 << 16];
    long count = read_doubles(path, name, got, 1 << 16);
    bool same = count == (long)n;
    for (size_t k = 0; same && k < n; k++)
        same = got[k] == want[k] || (isnan(got[k]) && isnan(want[k]));
    if (!same) {
        tap_note("%s: %ld values, expected %zu", name, count, n);
        for (long k = 0; k < count && k < 20; k++)
            tap_note("  [%ld] %g", k, got[k]);
    }
    return same;
}
#define READS(path, name, ...) \
    reads(path, name, sizeof((double[])__VA_ARGS__) / sizeof(double), (double[])__VA_ARGS__)

static double attribute(const char *path, const char *object, const char *name)
{
    double value = NAN;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t a = file >= 0 ? H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT) : -1;
    if (a >= 0) {
        H5Aread(a, H5T_NATIVE_DOUBLE, &value);
        H5Aclose(a);
    }
    if (file >= 0)
        H5Fclose(file);
    return value;
}

/* Text k, in row-major order, of a dataset of texts of at most two dimensions; "(none)" where there is none. */
static const char *read_text(const char *path, const char *name, hsize_t k)
{
    static char text[110000];
    char *inside = NULL;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), data = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t type = H5Dget_type(data), space = H5Dget_space(data);
    hsize_t one = 1, shape[2] = {1, 1};
    hid_t memory = H5Screate_simple(1, &one, NULL);
    bool scalar = H5Sget_simple_extent_dims(space, shape, NULL) == 0;
    if (!scalar)
        H5Sselect_elements(space, H5S_SELECT_SET, 1, (hsize_t[]){k / shape[1], k % shape[1]});
    H5Dread(data, type, scalar ? H5S_ALL : memory, scalar ? H5S_ALL : space, H5P_DEFAULT, &inside);
    snprintf(text, sizeof text, "%s", inside ? inside : "(none)");
    H5free_memory(inside);
    H5Sclose(memory);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(data);
    H5Fclose(file);
    return text;
}

/* ---- short forms ------------------------------------------------------------------------------------------------ */

static int row1(h5log *log, int64_t step, const char *name, double value)
{
    return h5log_row(log, step, 1, &name, &value, &err);
}

static int close_and_free(h5log *log)
{
    return h5log_close(log, &err);
}

/* ---- what is logged is there ------------------------------------------------------------------------------------ */

static void test_metrics(void)
{
    const char *path = in_dir("metrics.h5");
    h5log *log = h5log_create(path, NULL, &err);
    tap_ok(log != NULL, "a new log");
    const char *announced[] = {"loss", "val_loss"}, *both[] = {"loss", "lr"};
    tap_ok(good(h5log_columns(log, 2, announced, &err)), "columns are announced");
    tap_ok(good(h5log_row(log, 1, 2, both, (double[]){4, 0.1}, &err)), "a row with a column that is new");
    tap_ok(good(row1(log, 2, "loss", NAN)), "a NaN");
    tap_ok(good(row1(log, 2, "loss", 3)) && good(row1(log, 2, "val_loss", 3.5)), "the same step again");
    tap_ok(good(h5log_flush(log, &err)), "flush");
    tap_ok(READS(path, "metrics/loss", {4, 3}), "a second program reads it while it is open");
    tap_ok(good(row1(log, 2, "grad_norm", -INFINITY)), "the same step after a flush, and a column that is new");
    tap_ok(good(h5log_row(log, 5, 0, NULL, NULL, &err)), "a row without values");
    tap_ok(row1(log, 4, "loss", 1) && says("step 4 after step 5"), "a step that decreases is refused");
    tap_ok(good(close_and_free(log)), "close");
    tap_ok(READS(path, "metrics/step", {1, 2, 5}), "steps");
    tap_ok(READS(path, "metrics/loss", {4, 3, NAN}), "the later value of a step counts");
    tap_ok(READS(path, "metrics/val_loss", {NAN, 3.5, NAN}), "two calls of a step share a row");
    tap_ok(READS(path, "metrics/lr", {0.1, NAN, NAN}), "missing values are NaN");
    tap_ok(READS(path, "metrics/grad_norm", {NAN, -INFINITY, NAN}), "rows before a column's first are NaN");
    tap_ok(attribute(path, "/", "commits") >= 3, "commits are counted in the file");
    tap_ok(access(in_dir("metrics.h5.journal"), F_OK) != 0, "no journal stays behind");
    tap_ok(!h5log_create(path, NULL, &err) && says("File exists"), "an existing file is not overwritten");
}

static void test_many_rows(void)
{
    const char *path = in_dir("rows.h5");
    static double want[5000], steps[5000];
    h5log *log = h5log_create(path, &(h5log_options){.deflate = 0, .commit_seconds = 0.01, .queue_bytes = 4096,
                                                     .commit_records = 700, .text_bytes = 100}, &err);
    bool fine = true;
    for (int k = 0; k < 5000; k++) {
        steps[k] = 3 * k;
        want[k] = k % 7 ? 1.0 / (k + 1) : NAN;
        fine = fine && !(k % 7 ? row1(log, 3 * k, "x", want[k]) : row1(log, 3 * k, "y", k));
    }
    h5log_stats stats;
    h5log_get_stats(log, &stats);
    tap_ok(fine && stats.rows == 5000 && stats.waits > 0 && stats.dropped == 0, "5000 rows through a small queue wait");
    tap_ok(good(close_and_free(log)), "close");
    tap_ok(reads(path, "metrics/step", 5000, steps) && reads(path, "metrics/x", 5000, want), "and all are there");
}

static void test_commit_records(void)
{
    const struct timespec pause = {0, 1000000};
    const h5log_options options = {.commit_seconds = 1e6, .commit_records = 10, .queue_bytes = 1 << 20,
                                   .text_bytes = 100};
    h5log *log = h5log_create(in_dir("commits.h5"), &options, &err);
    h5log_stats stats;
    h5log_get_stats(log, &stats);
    const uint64_t at_start = stats.commits;
    bool fine = true;
    for (int k = 1; k <= 37; k++)
        fine = fine && !row1(log, k, "loss", k);
    for (int k = 0; k < 20000 && stats.commits < at_start + 3; k++) {
        nanosleep(&pause, NULL);
        h5log_get_stats(log, &stats);
    }
    tap_ok(fine && stats.commits == at_start + 3 && stats.committed_step == 30, "a commit after every ten of 37 rows");
    tap_ok(good(close_and_free(log)), "close");
}

static void test_many_records(void)
{
    enum { N = 100000 };
    const char *path = in_dir("small.h5");
    static double got[N];
    h5log *log = h5log_create(path, NULL, &err);
    h5log_series s = {.name = "small/x", .type = H5_F64}, none = {.name = "none/x", .type = H5_F64, .ndim = 1,
                                                                  .dim = {{"unit", 3, NULL, NULL}}};
    bool fine = !h5log_announce(log, &s, &err) && !h5log_announce(log, &none, &err);
    for (int k = 0; k < N; k++)
        fine = fine && !h5log_array(log, "small/x", k, NULL, &(double){1.0 / (k + 1)}, &err);
    tap_ok(good(fine ? 0 : -1) && good(close_and_free(log)), "100,000 small records");
    bool same = read_doubles(path, "small/x", got, N) == N;
    for (int k = 0; k < N && same; k++)
        same = got[k] == 1.0 / (k + 1);
    tap_ok(same, "  all are there");
    tap_ok(read_doubles(path, "none/x", got, N) == 0 && read_doubles(path, "none/unit", got, N) == 3,
           "a series without records has its dimensions");
}

static void announce_f(h5log *log, const char *name, int keepbits)
{
    const char *gates[] = {"i", "f"};
    h5log_series s = {.name = name, .type = H5_F32, .ndim = 3, .keepbits = keepbits, .title = "forget gate",
                      .dim = {{"layer", 2, NULL, gates}, {"time", 3, (double[]){0, 0.5, 1}, NULL},
                              {"unit", 2, NULL, NULL}}};
    tap_ok(good(h5log_announce(log, &s, &err)), "series %s is announced", name);
}

static void test_records(void)
{
    const char *path = in_dir("records.h5");
    h5log *log = h5log_create(path, NULL, &err);
    announce_f(log, "activations/f", 0);
    announce_f(log, "activations/g", 0);
    announce_f(log, "gradients/deep/f", 7);
    float a[12], b[6], strided[2][24];
    for (int k = 0; k < 12; k++)
        a[k] = (float)k + 0.123f;
    tap_ok(good(h5log_array(log, "activations/f", 10, NULL, a, &err)), "a whole record");
    lstm_tensor part[2];
    for (int l = 0; l < 2; l++) {
        for (int k = 0; k < 24; k++)
            strided[l][k] = (float)(100 * l + k);
        lstm_tensor_dense(&part[l], "g", LSTM_F32, 2, (size_t[]){3, 2}, strided[l]);
        part[l].axis[0].stride = 8;
        part[l].axis[0].group_stride = part[l].axis[0].block_stride = 0;
    }
    tap_ok(good(h5log_tensors(log, "activations/g", 10, 2, part, &err)), "a record from a tensor per layer, same step");
    for (int k = 0; k < 6; k++)
        b[k] = (float)k;
    tap_ok(good(h5log_array(log, "activations/f", 20, (size_t[]){2, 1, 2}, b, &err)), "a record with a shorter time");
    tap_ok(good(h5log_array(log, "gradients/deep/f", 7, NULL, a, &err)), "a record of another group, another step");
    tap_ok(h5log_array(log, "activations/f", 30, (size_t[]){2, 4, 2}, a, &err) && says("more than the 3 announced"),
           "a longer one is refused");
    tap_ok(h5log_array(log, "activations/x", 30, NULL, a, &err) && says("'activations/x' was not announced"),
           "one that was not announced is refused");
    tap_ok(h5log_tensors(log, "activations/f", 30, 1, part, &err) == 0, "fewer layers are a smaller record");
    part[1].type = LSTM_F64;
    tap_ok(h5log_tensors(log, "activations/f", 30, 2, part, &err) && says("holds float32, this tensor is float64"),
           "a wrong type is refused");
    tap_ok(good(close_and_free(log)), "close");
    tap_ok(READS(path, "activations/step", {10, 20, 30}) && READS(path, "activations/record", {0, 1, 2}),
           "the group's steps");
    double want[36];
    for (int k = 0; k < 36; k++)
        want[k] = k < 12 ? (double)a[k] : NAN;
    want[12] = 0, want[13] = 1, want[18] = 2, want[19] = 3;
    for (int k = 0; k < 6; k++)
        want[24 + k] = k / 2 * 8 + k % 2;
    tap_ok(reads(path, "activations/f", 36, want), "values, and NaN where a record is smaller");
    for (int k = 0; k < 36; k++)
        want[k] = k < 12 ? (float)(100 * (k / 6) + k % 6 / 2 * 8 + k % 2) : NAN;
    tap_ok(reads(path, "activations/g", 36, want), "layers are stacked; records that were not logged are NaN");
    tap_ok(READS(path, "activations/time_size", {3, 1, 3}) && READS(path, "activations/layer_size", {2, 2, 1}),
           "actual sizes");
    tap_ok(READS(path, "activations/time", {0, 0.5, 1}) && READS(path, "activations/unit", {0, 1}), "coordinates");
    tap_ok(strcmp(read_text(path, "activations/layer", 1), "f") == 0, "labels");
    tap_ok(READS(path, "gradients/deep/step", {7}), "another group has its own steps");
    double rounded[12];
    read_doubles(path, "gradients/deep/f", rounded, 12);
    bool close = true;
    for (int k = 0; k < 12; k++) {
        float f = (float)rounded[k];
        uint32_t bits;
        memcpy(&bits, &f, 4);
        /* 7 bits kept: half a unit of the last one is 2^-8 relative */
        close = close && !(bits & 0xffff) && fabs(rounded[k] - (double)a[k]) <= fabs((double)a[k]) / 256;
    }
    tap_ok(close, "keepbits rounds to nearest");
}

/* Logs with more and more in them, looked at after each flush. */
static void test_many_names(void)
{
    const char *path = in_dir("many.h5");
    char name[64];
    const char *names = name;
    h5log *log = h5log_create(path, NULL, &err);
    int bad = 0;
    for (int n = 0; n < 60; n++) {
        double value = n, got[100];
        snprintf(name, sizeof name, "option%d", n);
        bad += h5log_set_integer(log, "config", name, n, &err) != 0;
        snprintf(name, sizeof name, "metric%d", n);
        bad += h5log_row(log, n, 1, &names, &value, &err) != 0;
        snprintf(name, sizeof name, "group%d/deep%d/series%d", n % 7, n % 3, n);
        h5log_series s = {.name = name, .type = H5_F64};
        bad += h5log_announce(log, &s, &err) || h5log_array(log, name, n, NULL, &value, &err) || h5log_flush(log, &err);
        for (int k = 0; k <= n; k++) {
            snprintf(name, sizeof name, "metrics/metric%d", k);
            bad += read_doubles(path, name, got, 100) != n + 1 || got[k] != k;
            snprintf(name, sizeof name, "group%d/deep%d/series%d", k % 7, k % 3, k);
            long rows = read_doubles(path, name, got, 100);
            bool found = false;
            for (long r = 0; r < rows; r++)
                found = found || got[r] == k;
            snprintf(name, sizeof name, "option%d", k);
            bad += !found || attribute(path, "config", name) != k;
        }
    }
    tap_ok(!bad && good(close_and_free(log)), "60 metrics, series and attributes, all there after each flush");
}

static void test_texts(void)
{
    const char *path = in_dir("texts.h5");
    h5log_options options;
    h5log_defaults(&options);
    options.text_bytes = 20;
    h5log *log = h5log_create(path, &options, &err);
    tap_ok(good(h5log_sample(log, 1, "ROMEO: I", 8, &err)), "a sample");
    tap_ok(good(h5log_sample(log, 1, "12345678901234567\xc3\xa9\xc3\xa9", 21, &err)), "one too long, same step");
    tap_ok(good(h5log_sample(log, 2, "a\xff\xc3z", 4, &err)), "one that is not UTF-8");
    tap_ok(good(h5log_sample(log, 3, "", 0, &err)) && good(h5log_sample(log, 3, "a\0b", 3, &err)),
           "an empty one, and one with a NUL in it");
    tap_ok(good(h5log_event(log, 2, "mark", "look here", &err)), "an event");
    tap_ok(good(h5log_set_text(log, "config", "name", "caf\xc3\xa9", &err)) &&
           good(h5log_set_text(log, "config", "name", "tea", &err)), "a text attribute, replaced");
    tap_ok(good(h5log_set_number(log, "config", "lr", 1e-3, &err)) &&
           good(h5log_set_integer(log, "environment", "threads", 2, &err)), "number attributes");
    char *huge = malloc(100001);
    memset(huge, 'x', 100000);
    huge[100000] = 0;
    tap_ok(good(h5log_set_text(log, "config", "huge", huge, &err)), "a text of 100,000 bytes is cut, not refused");
    tap_ok(good(h5log_event(log, 3, "long", huge, &err)), "an event may be as long");
    tap_ok(good(h5log_set_json(log, "{\"a\": 1}", &err)) && good(h5log_set_json(log, "{}", &err)), "JSON, replaced");
    tap_ok(h5log_set_text(log, "config", "a/b", "x", &err) && says("cannot be a name"), "a bad attribute name");
    tap_ok(good(close_and_free(log)), "close");
    tap_ok(READS(path, "samples/step", {1, 1, 2, 3, 3}) &&
           READS(path, "samples/bytes", {8, 21, 4, 0, 3}), "samples' steps");
    tap_ok(strcmp(read_text(path, "samples/text", 0), "ROMEO: I") == 0, "the sample");
    tap_ok(strcmp(read_text(path, "samples/text", 1), "12345678901234567\xc3\xa9") == 0, "cut at a character");
    tap_ok(strcmp(read_text(path, "samples/text", 2), "a\xef\xbf\xbd\xef\xbf\xbdz") == 0 &&
           strcmp(read_text(path, "samples/text", 4), "a\xef\xbf\xbd\x62") == 0, "U+FFFD for what is invalid");
    tap_ok(strcmp(read_text(path, "samples/text", 3), "") == 0, "nothing for nothing");
    tap_ok(strcmp(read_text(path, "events/text", 0), "look here") == 0 &&
           strcmp(read_text(path, "events/kind", 0), "mark") == 0, "the event");
    tap_ok(strcmp(read_text(path, "events/text", 1), huge) == 0, "the long one, whole");
    free(huge);
    tap_ok(strcmp(read_text(path, "config/json", 0), "{}") == 0 && attribute(path, "config", "lr") == 1e-3, "the rest");
}

static void test_text_series(void)
{
    const char *path = in_dir("series.h5");
    h5log *log = h5log_create(path, NULL, &err);
    h5log_series s = {.name = "inputs/text", .type = H5_TEXT, .ndim = 1, .dim = {{"batch", 2, NULL, NULL}}};
    tap_ok(good(h5log_announce(log, &s, &err)), "a series of texts");
    s = (h5log_series){.name = "inputs/x", .type = H5_F64};
    tap_ok(good(h5log_announce(log, &s, &err)) && good(h5log_array(log, "inputs/x", 1, NULL, &(double){7}, &err)),
           "and one of numbers beside it");
    tap_ok(good(h5log_texts(log, "inputs/text", 2, NULL, (const char *[]){"to be", "or\xff"}, &err)) &&
           good(h5log_texts(log, "inputs/text", 3, (size_t[]){1}, (const char *[]){""}, &err)), "records of it");
    tap_ok(h5log_array(log, "inputs/text", 4, NULL, path, &err) && says("holds texts"), "numbers are refused");
    tap_ok(h5log_texts(log, "inputs/x", 4, NULL, &path, &err) && says("does not hold texts"), "and texts among numbers");
    tap_ok(good(h5log_set_texts(log, "vocabulary", "symbol", 3, (const char *[]){"a", "\n", "\xc3\xa9"}, &err)) &&
           good(h5log_set_texts(log, "vocabulary", "symbol", 1, (const char *[]){"z"}, &err)), "a list, which stays");
    tap_ok(h5log_set_texts(log, "vocabulary", "bad", 1, (const char *[]){"\xff"}, &err) && says("not valid UTF-8"),
           "one that is no UTF-8 is refused");
    tap_ok(good(close_and_free(log)), "close");
    tap_ok(READS(path, "inputs/step", {1, 2, 3}) && READS(path, "inputs/batch_size", {2, 2, 1}), "steps and sizes");
    static const char *const want[] = {"(none)", "(none)", "to be", "or\xef\xbf\xbd", "", "(none)"};
    for (hsize_t k = 0; k < 6; k++)
        tap_ok(strcmp(read_text(path, "inputs/text", k), want[k]) == 0, "text %d", (int)k);
    tap_ok(strcmp(read_text(path, "vocabulary/symbol", 2), "\xc3\xa9") == 0, "the list");
    log = h5log_resume(path, 2, NULL, &err);
    s = (h5log_series){.name = "inputs/text", .type = H5_TEXT, .ndim = 1, .dim = {{"batch", 2, NULL, NULL}}};
    tap_ok(log && good(h5log_announce(log, &s, &err)) &&
           good(h5log_texts(log, "inputs/text", 5, NULL, (const char *[]){"more", ""}, &err)), "resumed");
    tap_ok(good(close_and_free(log)) && READS(path, "inputs/step", {1, 2, 5}) &&
           strcmp(read_text(path, "inputs/text", 4), "more") == 0, "and there are more");
}

static void test_refusals(void)
{
    static const char *bad_metric[] = {"", "a/b", ".", "..", "step", "a\n", " a", "a ", "\xff"};
    static const char *bad_series[] = {"f", "/f", "a/", "a//f", "metrics/x", "config/a", "a/step", "a/record", "a/.."};
    h5log *log = h5log_create(in_dir("refusals.h5"), NULL, &err);
    for (size_t k = 0; k < sizeof bad_metric / sizeof *bad_metric; k++)
        tap_ok(row1(log, 1, bad_metric[k], 0) && err.message[0], "metric name %zu is refused", k);
    char name[65];
    memset(name, 'n', 64);
    name[64] = 0;
    tap_ok(row1(log, 1, name, 0), "a name of 64 bytes is refused");
    name[63] = 0;
    tap_ok(good(row1(log, 1, name, 0)) && good(row1(log, 1, "h\xc3\xa9 (%) #1", 0)),
           "one of 63, and odd ones, are taken");
    tap_ok(row1(log, 1, "a\n\x1b", 0) && says("'a\\n\\x1b' cannot be a name"), "control characters in it are shown");
    for (size_t k = 0; k < sizeof bad_series / sizeof *bad_series; k++)
        tap_ok(h5log_announce(log, &(h5log_series){.name = bad_series[k], .type = H5_F32}, &err), "series name %zu", k);
    h5log_series s = {.name = "a/x", .type = H5_F32, .ndim = 1, .dim = {{"unit", 4, NULL, NULL}}};
    tap_ok(good(h5log_announce(log, &s, &err)) && good(h5log_announce(log, &s, &err)), "announcing twice the same");
    s.dim[0].size = 5;
    tap_ok(h5log_announce(log, &s, &err) && says("another type or shape"), "announcing it differently");
    s.dim[0] = (h5log_dim){"cell", 4, NULL, NULL};
    tap_ok(h5log_announce(log, &s, &err) && says("another type or shape"), "with a dimension of another name");
    s.dim[0] = (h5log_dim){"unit", 5, NULL, NULL};
    s.name = "a/y";
    tap_ok(h5log_announce(log, &s, &err) && says("dimension 'unit' of group 'a' has size 4"),
           "a dimension of two sizes");
    const double halves[] = {0, 0.5}, thirds[] = {0, 0.3};
    const char *const ab[] = {"a", "b"}, *const ac[] = {"a", "c"};
    s.name = "b/x";
    s.ndim = 2;
    s.dim[0] = (h5log_dim){"place", 2, halves, NULL};
    s.dim[1] = (h5log_dim){"name", 2, NULL, ab};
    tap_ok(good(h5log_announce(log, &s, &err)), "dimensions with coordinates");
    s.name = "b/y";
    tap_ok(good(h5log_announce(log, &s, &err)), "the same for another series");
    s.name = "b/z";
    s.dim[0].values = thirds;
    tap_ok(h5log_announce(log, &s, &err) && says("'place' of group 'b' has other coordinates"), "other numbers");
    s.dim[0] = (h5log_dim){"place", 2, NULL, ab};
    tap_ok(h5log_announce(log, &s, &err) && says("'place' of group 'b' has other coordinates"), "texts for numbers");
    s.dim[0] = (h5log_dim){"name", 2, NULL, ac};
    s.ndim = 1;
    tap_ok(h5log_announce(log, &s, &err) && says("'name' of group 'b' has other coordinates"), "other texts");
    s.dim[0] = (h5log_dim){"y", 4, NULL, NULL};
    tap_ok(h5log_announce(log, &s, &err), "a dimension named as the series");
    s.dim[0] = (h5log_dim){"none", 0, NULL, NULL};
    tap_ok(h5log_announce(log, &s, &err) && says("impossible size"), "a dimension of size 0");
    s.dim[0] = (h5log_dim){"n", 3, NULL, NULL};
    s.type = H5_U8;
    tap_ok(h5log_announce(log, &s, &err) && says("expected"), "a type that cannot be logged");
    tap_ok(good(close_and_free(log)), "and the log goes on to its end");
    log = h5log_resume(in_dir("refusals.h5"), 1, NULL, &err);
    s = (h5log_series){.name = "a/x", .type = H5_F32, .ndim = 1, .dim = {{"cell", 4, NULL, NULL}}};
    tap_ok(h5log_announce(log, &s, &err) &&
               says("dimension 1 of series 'a/x' is 'unit' in the log, and 'cell' was announced"),
           "a dimension with another name than in a log that is gone on with");
    s.dim[0].name = "unit";
    tap_ok(good(h5log_announce(log, &s, &err)), "with the same name");
    tap_ok(good(close_and_free(log)), "and that one, too");
    tap_ok(!h5log_create(in_dir("no/dir.h5"), NULL, &err) && says("No such file"), "a directory that is missing");
    tap_ok(!h5log_create(in_dir("x.h5"), &(h5log_options){.deflate = 10}, &err) && says("0 to 9"), "a bad option");
}

/* ---- resume ----------------------------------------------------------------------------------------------------- */

/* Logs steps [from, to) with everything a run logs. */
static void run_steps(h5log *log, int from, int to)
{
    h5log_series s = {.name = "act/h", .type = H5_F64, .ndim = 1, .dim = {{"unit", 3, NULL, NULL}}};
    h5log_announce(log, &s, &err);
    for (int k = from; k < to; k++) {
        const char *names[] = {"loss", k % 2 ? "odd" : "even"};
        h5log_row(log, k, 2, names, (double[]){1.0 / (k + 1), k}, &err);
        h5log_array(log, "act/h", k, NULL, (double[]){k, k + 0.25, k + 0.5}, &err);
        if (k % 5 == 0)
            h5log_sample(log, k, "text", 4, &err);
    }
}

static void test_resume(void)
{
    static const char *data[] = {"metrics/step", "metrics/loss", "metrics/odd", "metrics/even", "act/h", "act/step",
                                 "act/record", "samples/step"};
    static double want[4000];
    const char *through = in_dir("through.h5"), *resumed = in_dir("resumed.h5");
    h5log *log = h5log_create(through, NULL, &err);
    run_steps(log, 0, 100);
    close_and_free(log);
    log = h5log_create(resumed, NULL, &err);
    run_steps(log, 0, 77);
    close_and_free(log);
    log = h5log_resume(resumed, 39, NULL, &err);
    tap_ok(log != NULL, "resume after step 39 of 77");
    run_steps(log, 40, 60);
    tap_ok(good(close_and_free(log)), "close");
    log = h5log_resume(resumed, 59, NULL, &err);
    tap_ok(log && good(row1(log, 59, "loss", 7)), "resume again: the last row can still be added to");
    row1(log, 59, "loss", 1.0 / 60);
    run_steps(log, 60, 100);
    tap_ok(good(close_and_free(log)), "close");
    for (size_t k = 0; k < sizeof data / sizeof *data; k++) {
        long n = read_doubles(through, data[k], want, 4000);
        tap_ok(n > 0 && reads(resumed, data[k], (size_t)n, want), "%s is as if never interrupted", data[k]);
    }
    tap_ok(strcmp(read_text(resumed, "events/kind", 1), "resume") == 0 && READS(resumed, "events/step", {39, 59}),
           "two events say so");
    log = h5log_resume(resumed, 10, NULL, &err);
    h5log_series s = {.name = "act/h", .type = H5_F64, .ndim = 1, .dim = {{"unit", 4, NULL, NULL}}};
    tap_ok(log && h5log_announce(log, &s, &err) && says("has size 3 already"), "another shape than before is refused");
    tap_ok(good(close_and_free(log)), "close");
}

static void test_resume_of_others(void)
{
    const char *path = in_dir("fresh.h5");
    h5log *log = h5log_resume(path, 0, NULL, &err);
    tap_ok(log && good(close_and_free(log)), "a missing log is created");
    log = h5log_resume(path, -1, NULL, &err);
    h5log *second = h5log_resume(path, -1, NULL, &err);
    tap_ok(log && !second, "a log that this process writes is not opened twice");
    char command[512], line[300] = "";
    snprintf(command, sizeof command, "'%s' '%s' resume", self, path);
    FILE *other_process = popen(command, "r");
    tap_ok(other_process && fgets(line, sizeof line, other_process) &&
           strstr(line, "is being written by another process"), "nor by two processes");
    pclose(other_process);
    close_and_free(log);
    int fd = open(in_dir("zeros.h5"), O_WRONLY | O_CREAT, 0666);
    tap_ok(!ftruncate(fd, 3000) && !close(fd) && (log = h5log_resume(in_dir("zeros.h5"), 5, NULL, &err)),
           "one that was killed before its first commit is begun anew");
    close_and_free(log);
    FILE *f = fopen(in_dir("text.h5"), "w");
    fputs("my only copy of a poem\n", f);
    fclose(f);
    struct stat st;
    tap_ok(!h5log_resume(in_dir("text.h5"), 5, NULL, &err) && says("text.h5: HDF5: file signature not found") &&
           !stat(in_dir("text.h5"), &st) && st.st_size == 23, "a file that is no log stays as it is");
    hid_t other = H5Fcreate(in_dir("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(other);
    tap_ok(!h5log_resume(in_dir("other.h5"), 5, NULL, &err) && says("is neither a log nor a checkpoint of lstmrun"),
           "nor is another HDF5 file");
    const char *what = NULL;
    tap_ok(good(h5log_recover(path, &what, &err)) && what && strcmp(what, "sound, nothing to do") == 0,
           "recover: sound");
    tap_ok(h5log_recover(in_dir("none.h5"), &what, &err) && says("No such file"), "recover: no file");
}

/* Puts fixed-length texts in the place of samples/text, as in the first logs. */
static void make_old_text(const char *path, const char text[8])
{
    hsize_t one = 1, most = H5S_UNLIMITED;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate_simple(1, &one, &most);
    hid_t type = H5Tcopy(H5T_C_S1), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Tset_size(type, 8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Pset_chunk(plist, 1, &one);
    H5Ldelete(file, "samples/text", H5P_DEFAULT);
    hid_t data = H5Dcreate2(file, "samples/text", type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text);
    H5Dclose(data);
    H5Pclose(plist);
    H5Tclose(type);
    H5Sclose(space);
    H5Fclose(file);
}

static void test_resume_of_old(void)
{
    const char *path = in_dir("old.h5");
    char texts[2][8] = {{0}};
    h5log *log = h5log_create(path, NULL, &err);
    h5log_sample(log, 1, "first", 5, &err);
    close_and_free(log);
    make_old_text(path, "first\0\0");
    log = h5log_resume(path, 1, NULL, &err);
    tap_ok(log && good(h5log_sample(log, 2, "seconds\xc3\xa9", 9, &err)) && good(close_and_free(log)),
           "a log with fixed-length texts is gone on with");
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), data = H5Dopen2(file, "samples/text", H5P_DEFAULT);
    hid_t type = H5Dget_type(data);
    H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts);
    tap_ok(memcmp(texts, "first\0\0\0seconds", 16) == 0, "its texts are cut at a character");
    H5Tclose(type);
    H5Dclose(data);
    H5Fclose(file);
}

/* ---- trouble ---------------------------------------------------------------------------------------------------- */

static void test_full_disk(void)
{
    const char *path = in_dir("full.h5");
    struct rlimit old, small;
    h5log_options options;
    h5log_defaults(&options);
    options.deflate = 0;
    options.commit_seconds = 0;
    h5log *log = h5log_create(path, &options, &err);
    run_steps(log, 0, 10);
    tap_ok(good(h5log_flush(log, &err)), "ten steps are safe");
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    struct stat st;
    stat(path, &st);
    small.rlim_cur = (rlim_t)st.st_size;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    static double noise[20000];
    h5log_series s = {.name = "big/x", .type = H5_F64, .ndim = 1, .dim = {{"n", 20000, NULL, NULL}}};
    h5log_announce(log, &s, NULL);
    int result = h5log_array(log, "big/x", 10, NULL, noise, &err);
    result = result ? result : h5log_flush(log, &err);
    tap_ok(result && says("cannot write") && says("full.h5: File too large"), "no space: a sentence");
    tap_ok(row1(log, 11, "loss", 0) && says("File too large"), "and again, until told to go on");
    h5log_abandon(log);
    tap_ok(good(row1(log, 3, "loss", 0)) && good(h5log_flush(log, &err)), "abandoned: nothing happens any more");
    tap_ok(good(close_and_free(log)), "close");
    setrlimit(RLIMIT_FSIZE, &old);
    static double got[100];
    tap_ok(read_doubles(path, "metrics/step", got, 100) == 10 && got[9] == 9, "the last commit is there");
}

static void *wait_and_log(void *data)
{
    h5log *log = data;
    for (int k = 0; k < 500; k++)
        if (h5log_event(log, 1, "thread", "x", NULL))
            return (void *)1;
    return NULL;
}

static void test_threads_and_drop(void)
{
    const char *path = in_dir("threads.h5");
    h5log *log = h5log_create(path, NULL, &err);
    pthread_t t[3];
    void *bad = NULL, *one;
    for (int k = 0; k < 3; k++)
        pthread_create(&t[k], NULL, wait_and_log, log);
    for (int k = 0; k < 3; k++) {
        pthread_join(t[k], &one);
        bad = one ? one : bad;
    }
    tap_ok(!bad && good(close_and_free(log)), "three threads log at once");
    static double got[2000];
    tap_ok(read_doubles(path, "events/step", got, 2000) == 1500, "and nothing is lost");

    h5log_options options;
    h5log_defaults(&options);
    options.queue_bytes = 100000;
    options.drop = true;
    options.deflate = 9;
    log = h5log_create(in_dir("drop.h5"), &options, &err);
    static float big[100000];
    h5log_series s = {.name = "a/x", .type = H5_F32, .ndim = 1, .dim = {{"n", 100000, NULL, NULL}}};
    h5log_announce(log, &s, &err);
    for (int k = 0; k < 100; k++)
        h5log_array(log, "a/x", k, NULL, big, &err);
    h5log_flush(log, &err);
    h5log_stats stats;
    h5log_get_stats(log, &stats);
    tap_ok(stats.dropped > 0 && stats.waits == 0 && stats.dropped + stats.records == 100,
           "drop: %d of 100 were dropped, none waited", (int)stats.dropped);
    tap_ok(stats.committed_step >= 0 && stats.commits >= 2, "stats tell the last step that is safe");
    close_and_free(log);
}

/* ---- what is too large for every day ---------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

/* Opens the file and reads one element of a dataset, the last one. */
static double last_element(const char *path, const char *name)
{
    double value = NAN;
    hsize_t n[H5S_MAX_RANK], one[H5S_MAX_RANK];
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), data = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(data), memory = H5Screate(H5S_SCALAR);
    const int ndim = H5Sget_simple_extent_dims(space, n, NULL);
    for (int d = 0; d < ndim; d++) {
        n[d]--;
        one[d] = 1;
    }
    H5Sselect_hyperslab(space, H5S_SELECT_SET, n, NULL, one, NULL);
    H5Dread(data, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, &value);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(data);
    H5Fclose(file);
    return value;
}

/* 20 metrics whose values have 52 random bits each. */
static void test_long_run(void)
{
    enum { STEPS = 1000000, COLUMNS = 20 };
    const char *path = in_dir("long.h5"), *names[COLUMNS];
    char room[COLUMNS][16];
    double row[COLUMNS];
    uint64_t random = 1;
    struct stat st = {0};
    struct timespec start;
    bool fine = true;
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(room[c], sizeof room[c], "metric%d", c);
        names[c] = room[c];
    }
    h5log *log = h5log_create(path, NULL, &err);
    for (int k = 1; k <= STEPS && fine; k++) {
        for (int c = 0; c < COLUMNS; c++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            row[c] = 1 + 0x1p-53 * (double)(random >> 11);
        }
        fine = !h5log_row(log, k, COLUMNS, names, row, &err);
    }
    tap_ok(good(fine ? 0 : -1) && good(close_and_free(log)), "1,000,000 steps of 20 metrics");
    stat(path, &st);
    tap_ok(st.st_size > 0 && st.st_size < 200000000, "  in %.0f MB, less than 200", 1e-6 * (double)st.st_size);
    clock_gettime(CLOCK_MONOTONIC, &start);
    const double last = last_element(path, "metrics/metric19");
    tap_ok(last == row[COLUMNS - 1], "  opened, and the last value read, in %.1f ms", 1e3 * seconds_since(&start));
    unlink(path);
}

static void test_large_tensor(void)
{
    enum { ROWS = 1 << 15, COLUMNS = 1 << 14 };
    const char *path = in_dir("large.h5");
    const size_t n = (size_t)ROWS * COLUMNS;
    float *values = malloc(n * sizeof *values);
    h5log_series s = {.name = "large/x", .type = H5_F32, .ndim = 2, .deflate = H5LOG_PLAIN,
                      .dim = {{"row", ROWS, NULL, NULL}, {"column", COLUMNS, NULL, NULL}}};
    for (size_t k = 0; values && k < n; k++)
        values[k] = (float)(k % 1000);
    h5log *log = h5log_create(path, NULL, &err);
    tap_ok(values && good(h5log_announce(log, &s, &err)) && good(h5log_array(log, "large/x", 1, NULL, values, &err)),
           "a tensor of 2 GiB");
    tap_ok(good(close_and_free(log)) && last_element(path, "large/x") == (double)((n - 1) % 1000), "  is there");
    unlink(path);
    free(values);
}

/* A log that grows for so long, with a commit every 0.2 s. */
static int grow(const char *path, double duration)
{
    h5log_options options;
    h5log_defaults(&options);
    options.commit_seconds = 0.2;
    struct timespec start, pause = {0, 1000000};
    h5log *log = h5log_create(path, &options, &err);
    if (!log)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int step = 0, result = 0;
    do {
        run_steps(log, step, step + 1);
        step++;
        nanosleep(&pause, NULL);
    } while (seconds_since(&start) < duration);
    result = h5log_close(log, &err);
    printf("%d\n", step);
    return result != 0;
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 3 && strcmp(argv[2], "resume") == 0)
        return !h5log_resume(argv[1], 0, NULL, &err) && puts(err.message) < 0;
    if (argc == 3)
        return grow(argv[1], atof(argv[2]));
    make_test_dir("test_log", false);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    test_metrics();
    test_many_rows();
    test_commit_records();
    test_many_records();
    test_records();
    test_many_names();
    test_texts();
    test_text_series();
    test_refusals();
    test_resume();
    test_resume_of_others();
    test_resume_of_old();
    test_full_disk();
    test_threads_and_drop();
    if (getenv("LSTM_TORTURE")) {
        test_long_run();
        test_large_tensor();
    }
    char command[600];
    if (argc > 1) {
        snprintf(command, sizeof command, "cat %s/records.h5 > '%s'", test_dir, argv[1]);
        if (system(command))
            return 1;
    }
    remove_test_dir();
    return tap_done();
}
