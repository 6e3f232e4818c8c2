/* SPDX-License-Identifier: MIT
 *
 * The table is written twice: as one dataset of records with the attributes by which PyTables, and so pandas, knows a
 * table; and as a column each, which every other reader prefers. PyTables has no use for dimension scales.
 */
#define _GNU_SOURCE /* asprintf */
#include "h5results.h"

#include "fileio.h"
#include "h5dataset.h"
#include "h5file.h"
#include "h5image.h"
#include "h5scale.h"
#include "h5version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_NAME "lstmrun sweep"
#define FORMAT_VERSION 1
#define DEFLATE 1

/* ---- types ------------------------------------------------------------------------------------------------------ */

/* A new type for values of a column, to be closed; in_file: as it is stored, else as it is in memory. */
static hid_t column_type(const h5results_column *c, bool in_file)
{
    switch (c->kind) {
    case H5RESULTS_INTEGER: return H5Tcopy(in_file ? H5T_STD_I64LE : H5T_NATIVE_INT64);
    case H5RESULTS_NUMBER: return H5Tcopy(in_file ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE);
    case H5RESULTS_BOOLEAN: return H5Tcopy(in_file ? H5T_STD_U8LE : H5T_NATIVE_UINT8);
    default: return h5_fixed_text_type(c->width);
    }
}

static size_t row_size(const h5results *r)
{
    size_t size = 0;
    for (size_t k = 0; k < r->ncolumns; k++)
        size += r->columns[k].width;
    return size;
}

static hid_t row_type(const h5results *r, bool in_file)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, row_size(r));
    size_t at = 0;
    for (size_t k = 0; type >= 0 && k < r->ncolumns; k++) {
        hid_t member = column_type(&r->columns[k], in_file);
        bool bad = member < 0 || H5Tinsert(type, r->columns[k].name, at, member) < 0;
        h5_close(member);
        at += r->columns[k].width;
        if (bad) {
            H5Tclose(type);
            return -1;
        }
    }
    return type;
}

/* ---- the table as one dataset ----------------------------------------------------------------------------------- */

static int describe_table(hid_t table, const h5results *r)
{
    char name[32];
    if (h5_put_text(table, "CLASS", "TABLE") || h5_put_text(table, "VERSION", "2.7") ||
        h5_put_text(table, "TITLE", "trials of a sweep") || h5_put_integer(table, "NROWS", (int64_t)r->trials))
        return -1;
    for (size_t k = 0; k < r->ncolumns; k++) {
        snprintf(name, sizeof name, "FIELD_%zu_NAME", k);
        if (h5_put_text(table, name, r->columns[k].name))
            return -1;
    }
    return 0;
}

/* The records, to be freed. */
static unsigned char *make_rows(const h5results *r)
{
    size_t size = row_size(r), at = 0;
    unsigned char *rows = malloc(r->trials * size + 1);
    for (size_t k = 0; rows && k < r->ncolumns; k++) {
        const h5results_column *c = &r->columns[k];
        for (size_t i = 0; i < r->trials; i++)
            memcpy(rows + i * size + at, (const unsigned char *)c->values + i * c->width, c->width);
        at += c->width;
    }
    return rows;
}

static int write_table(hid_t file, const h5results *r)
{
    h5dataset table = H5DATASET_NONE;
    unsigned char *rows = make_rows(r);
    h5dataset_config config = {row_type(r, true), row_type(r, false), 0, NULL, NULL, DEFLATE};
    int result = -1;
    if (rows && config.file_type >= 0 && config.memory_type >= 0 &&
        h5dataset_create(&table, file, "table", &config) == 0)
        result = describe_table(table.id, r) || h5dataset_write(&table, 0, r->trials, NULL, rows);
    if (h5dataset_close(&table) || result)
        result = -1;
    h5_close(config.file_type);
    h5_close(config.memory_type);
    free(rows);
    return result;
}

/* ---- groups of datasets ----------------------------------------------------------------------------------------- */

/* A group that plotting programs understand, to be closed. axes: of its signal. */
static hid_t make_group(hid_t file, const char *name, int naxes, const char *const *axes)
{
    hid_t group = h5_make_group(file, name);
    if (group >= 0 && h5_put_text(group, "NX_class", "NXdata") == 0 && h5_put_texts(group, "axes", naxes, axes) == 0)
        return group;
    h5_close(group);
    return -1;
}

/* A scale of integers. */
static int make_scale(h5dataset *scale, hid_t group, const char *name, const char *title, size_t n,
                      const int64_t *values)
{
    return h5dataset_create_fixed(scale, group, name, H5T_STD_I64LE, H5T_NATIVE_INT64, n, values) ||
           h5scale_set(scale->id, name) || h5_put_text(scale->id, "long_name", title) ? -1 : 0;
}

/* 1, 2, 3, ...: the numbers by which lstmrun --trial knows the trials. */
static int make_trial_scale(h5dataset *scale, hid_t group, const h5results *r)
{
    int64_t *numbers = malloc((r->trials + 1) * sizeof *numbers);
    for (size_t i = 0; numbers && i < r->trials; i++)
        numbers[i] = (int64_t)i + 1;
    int result = numbers ? make_scale(scale, group, "trial", "number of the trial", r->trials, numbers) : -1;
    free(numbers);
    return result;
}

static int write_column(hid_t group, hid_t scale, const h5results *r, const h5results_column *c)
{
    h5dataset d = H5DATASET_NONE;
    hid_t in_file = column_type(c, true), in_memory = column_type(c, false);
    int result = -1;
    if (in_file >= 0 && in_memory >= 0 &&
        h5dataset_create_fixed(&d, group, c->name, in_file, in_memory, r->trials, c->values) == 0)
        result = h5scale_attach(d.id, 1, &scale) || (c->title && h5_put_text(d.id, "long_name", c->title));
    if (h5dataset_close(&d) || result)
        result = -1;
    h5_close(in_file);
    h5_close(in_memory);
    return result;
}

static int write_columns(hid_t file, const h5results *r)
{
    static const char *const axes[] = {"trial"};
    h5dataset trial = H5DATASET_NONE;
    hid_t group = make_group(file, "trials", 1, axes);
    int result = group < 0 || make_trial_scale(&trial, group, r) || h5_put_text(group, "signal", r->signal) ? -1 : 0;
    for (size_t k = 0; !result && k < r->ncolumns; k++)
        if (strcmp(r->columns[k].name, "trial") != 0) /* the scale has these */
            result = write_column(group, trial.id, r, &r->columns[k]);
    if (h5dataset_close(&trial) || result)
        result = -1;
    h5_close(group);
    return result;
}

/* ---- curves ----------------------------------------------------------------------------------------------------- */

static size_t matrix_bytes(const h5results *r)
{
    return r->trials * h5curves_size(r->curves) * sizeof(double);
}

static int write_curve(hid_t group, const hid_t scales[2], const h5results *r, size_t k, double *matrix)
{
    const double fill = NAN;
    size_t places = h5curves_size(r->curves);
    h5dataset d = H5DATASET_NONE;
    h5dataset_config config = {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, &places, &fill, DEFLATE};
    h5curves_get(r->curves, k, matrix);
    int result = h5dataset_create(&d, group, h5curves_name(r->curves, k), &config) ||
                 h5dataset_write(&d, 0, r->trials, NULL, matrix) || h5scale_attach(d.id, 2, scales);
    return h5dataset_close(&d) || result ? -1 : 0;
}

static const char *curve_signal(const h5results *r)
{
    for (size_t k = 0; k < h5curves_count(r->curves); k++)
        if (strcmp(h5curves_name(r->curves, k), r->curve_signal) == 0)
            return r->curve_signal;
    return h5curves_name(r->curves, 0);
}

/* matrix: room for the curves of a metric. */
static int write_curves(hid_t file, const h5results *r, double *matrix)
{
    static const char *const axes[] = {"trial", "step"};
    h5dataset trial = H5DATASET_NONE, step = H5DATASET_NONE;
    hid_t group = make_group(file, "curves", 2, axes);
    int result = group < 0 || make_trial_scale(&trial, group, r) ||
                 make_scale(&step, group, "step", "training step", h5curves_size(r->curves),
                            h5curves_steps(r->curves)) ||
                 h5_put_text(group, "signal", curve_signal(r)) ||
                 h5_put_integer(group, "steps_per_place", (int64_t)h5curves_thinned(r->curves)) ? -1 : 0;
    for (size_t k = 0; !result && k < h5curves_count(r->curves); k++)
        result = write_curve(group, (hid_t[]){trial.id, step.id}, r, k, matrix);
    const int closed = h5dataset_close(&trial), too = h5dataset_close(&step);
    h5_close(group);
    result = closed || too || result ? -1 : 0;
    return result;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static int write_links(hid_t file, const h5results *r)
{
    hid_t group = h5_make_group(file, "logs");
    int result = group < 0 ? -1 : 0;
    for (size_t i = 0; !result && i < r->trials; i++)
        if (r->logs[i] && H5Lcreate_external(r->logs[i], "/", group, r->ids[i], H5P_DEFAULT, H5P_DEFAULT) < 0)
            result = -1;
    h5_close(group);
    return result;
}

static int write_root(hid_t file, const h5results *r, const char *version, bool curves)
{
    if (h5_put_text(file, "NX_class", "NXroot") || h5_put_text(file, "default", curves ? "curves" : "trials") ||
        h5_put_text(file, "creator", "lstmrun " LSTM_VERSION) || h5_put_text(file, "HDF5_Version", version) ||
        h5_put_text(file, "format", FORMAT_NAME) || h5_put_integer(file, "format_version", FORMAT_VERSION))
        return -1;
    for (size_t k = 0; k < r->nattributes; k++)
        if (h5_put_text(file, r->attributes[k].name, r->attributes[k].text))
            return -1;
    return 0;
}

static int fill(h5image *im, const h5results *r, const char *version, double *matrix)
{
    bool curves = h5curves_count(r->curves) && h5curves_size(r->curves);
    hid_t file = h5image_create(im);
    if (file < 0)
        return -1;
    int result = write_root(file, r, version, curves) || write_table(file, r) || write_columns(file, r) ||
                 (curves && write_curves(file, r, matrix)) || write_links(file, r);
    return h5image_finish(im, file) || result ? -1 : 0;
}

/* An upper estimate of the file, so that libhdf5 does not run out of memory: it would crash. */
static size_t estimate(const h5results *r)
{
    const size_t of_a_dataset = 4096, of_a_link = 1024;
    size_t datasets = r->ncolumns + h5curves_count(r->curves) + 4;
    size_t numbers = 2 * r->trials * row_size(r) + h5curves_count(r->curves) * matrix_bytes(r);
    return (4u << 20) + numbers + numbers / 64 + datasets * of_a_dataset + r->trials * of_a_link;
}

static int check_columns(const h5results *r, lstm_error *err)
{
    for (size_t k = 0; k < r->ncolumns; k++) {
        const char *name = r->columns[k].name;
        if (!h5_name_ok(name, strlen(name)))
            return lstm_fail(err, "", "'%.60s' cannot be a column: 1 to 63 bytes of UTF-8 without '/' or control "
                             "characters expected", name);
        for (size_t i = 0; i < k; i++)
            if (strcmp(r->columns[i].name, name) == 0)
                return lstm_fail(err, "", "there are two columns '%.60s'", name);
    }
    return 0;
}

/* Several processes may work on one sweep, and finish at the same time: each has a temporary file of its own. */
static int store(const h5image *im, const char *path)
{
    char temporary[PATH_MAX];
    int fd, error = fileio_open_beside(path, temporary, &fd);
    return error ? error : h5image_store(im, NULL, 0, fd, temporary, path, NULL);
}

int h5results_write(const h5results *r, const char *path, lstm_error *err)
{
    char room[128];
    h5image im = {.room = estimate(r)};
    if (check_columns(r, err))
        return -1;
    double *matrix = malloc(matrix_bytes(r) + 1);
    im.bytes = calloc(1, im.room);
    int result = matrix && im.bytes ? 0 : lstm_fail(err, "", "cannot write %s: out of memory (%zu bytes)",
                                                    fileio_short_path(path, room), im.room + matrix_bytes(r));
    if (!result) {
        const char *version = h5_version(); /* which enters, too */
        h5_enter();
        if ((result = fill(&im, r, version, matrix)))
            h5_fail(err, "cannot write", path);
        h5_leave();
    }
    if (!result) {
        int error = store(&im, path);
        result = error ? fileio_fail(err, "cannot write", path, error) : 0;
    }
    free(im.bytes);
    free(matrix);
    return result;
}
