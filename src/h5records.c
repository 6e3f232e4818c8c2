/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5records.h"

#include "h5scale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What else grows with the records: "<dimension>_size", the actual sizes of records that are smaller than announced
 * (the announced size fills the rest), and whatever was there when the group was opened. */
typedef struct column {
    struct column *next;
    char *name;
    h5dataset data;
} column;

struct h5records {
    char *path;
    hid_t group;
    int deflate;
    h5dataset record, step;
    hsize_t rows; /* with those in new_steps, which the file does not have yet */
    int64_t last_step;
    int64_t *new_steps;
    size_t nnew, room;
    h5series *series;
    column *columns;
};

static void no_message(lstm_error *err)
{
    if (err)
        err->field[0] = err->message[0] = 0;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int make_integers(h5dataset *d, hid_t group, const char *name, int64_t fill, int deflate)
{
    h5dataset_config c = {H5T_STD_I64LE, H5T_NATIVE_INT64, 0, NULL, &fill, deflate};
    return h5dataset_create(d, group, name, &c);
}

static int make_columns(h5records *g)
{
    const char *axes[] = {"record"};
    if (make_integers(&g->record, g->group, "record", -1, g->deflate) || h5scale_set(g->record.id, "record") ||
        make_integers(&g->step, g->group, "step", -1, g->deflate) || h5scale_attach(g->step.id, 1, &g->record.id))
        return -1;
    if (h5_put_text(g->step.id, "long_name", "training step") || h5_put_text(g->group, "NX_class", "NXdata"))
        return -1;
    return h5_put_texts(g->group, "axes", 1, axes);
}

static column *new_column(h5records *g, const char *name)
{
    column *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->data = (h5dataset)H5DATASET_NONE;
    if (!(c->name = strdup(name))) {
        free(c);
        return NULL;
    }
    c->next = g->columns;
    return g->columns = c;
}

/* Whether this link of a group leads to a dataset that grows; -1: it cannot be read. */
static htri_t grows(hid_t group, const char *name)
{
    hsize_t size[H5S_MAX_RANK], most[H5S_MAX_RANK];
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    bool is_dataset = object >= 0 && H5Iget_type(object) == H5I_DATASET;
    hid_t space = is_dataset ? H5Dget_space(object) : -1;
    int ndim = space >= 0 ? H5Sget_simple_extent_dims(space, size, most) : -1;
    h5_close(space);
    h5_close(object);
    if (object < 0 || (is_dataset && ndim < 0))
        return -1;
    return ndim >= 1 && most[0] == H5S_UNLIMITED;
}

static herr_t open_column(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    h5records *g = data;
    (void)info;
    htri_t growing = grows(group, name);
    if (growing <= 0 || strcmp(name, "record") == 0 || strcmp(name, "step") == 0)
        return growing < 0 ? -1 : 0;
    column *c = new_column(g, name);
    return c ? h5dataset_open(&c->data, group, name) : -1;
}

static int open_columns(h5records *g)
{
    if (h5dataset_open(&g->record, g->group, "record") || h5dataset_open(&g->step, g->group, "step"))
        return -1;
    g->rows = g->step.rows;
    if (g->rows && h5dataset_read(&g->step, g->rows - 1, 1, &g->last_step))
        return -1;
    return H5Literate(g->group, H5_INDEX_NAME, H5_ITER_INC, NULL, open_column, g) < 0 ? -1 : 0;
}

h5records *h5records_open(hid_t file, const char *path, int deflate)
{
    h5records *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->deflate = deflate;
    g->last_step = INT64_MIN;
    g->record = g->step = (h5dataset)H5DATASET_NONE;
    g->path = strdup(path);
    g->group = h5_make_group(file, path);
    htri_t there = g->path && g->group >= 0 ? H5Lexists(g->group, "step", H5P_DEFAULT) : -1;
    if (there < 0 || (there ? open_columns(g) : make_columns(g))) {
        h5records_close(g);
        return NULL;
    }
    return g;
}

static int free_series(h5series *s)
{
    int result = h5dataset_close(&s->data);
    for (int d = 0; d < s->ndim; d++)
        free(s->dim[d]);
    free(s->name);
    free(s);
    return result;
}

static int free_column(column *c)
{
    int result = h5dataset_close(&c->data);
    free(c->name);
    free(c);
    return result;
}

int h5records_close(h5records *g)
{
    if (!g)
        return 0;
    int result = 0;
    for (h5series *s = g->series, *next; s; s = next) {
        next = s->next;
        result |= free_series(s);
    }
    for (column *c = g->columns, *next; c; c = next) {
        next = c->next;
        result |= free_column(c);
    }
    result |= h5dataset_close(&g->record);
    result |= h5dataset_close(&g->step);
    h5_close(g->group);
    free(g->new_steps);
    free(g->path);
    free(g);
    return result;
}

const char *h5records_path(const h5records *g)
{
    return g->path;
}

int64_t h5records_last_step(const h5records *g)
{
    return g->last_step;
}

/* ---- dimensions ------------------------------------------------------------------------------------------------- */

static int write_indexes(h5dataset *d, hid_t group, const h5log_dim *dim)
{
    int32_t *index = malloc(dim->size * sizeof *index + 1);
    for (size_t k = 0; index && k < dim->size; k++)
        index[k] = (int32_t)k;
    int result = !index || h5dataset_create_fixed(d, group, dim->name, H5T_STD_I32LE, H5T_NATIVE_INT32, dim->size,
                                                  index);
    free(index);
    return result ? -1 : 0;
}

static int write_labels(h5dataset *d, hid_t group, const h5log_dim *dim)
{
    hid_t type = h5_text_type();
    int result = type < 0 || h5dataset_create_fixed(d, group, dim->name, type, type, dim->size, dim->labels);
    h5_close(type);
    return result ? -1 : 0;
}

/* 1: the scale's coordinates are these, 0: they are others, -1: failed. */
static int has_values(const h5dataset *d, const double *values)
{
    if (H5Tget_class(d->memory_type) != H5T_FLOAT)
        return 0;
    double *there = malloc(d->rows * sizeof *there + 1);
    int result = there && !h5dataset_read(d, 0, d->rows, there) ? 0 : -1;
    if (!result)
        result = !memcmp(there, values, d->rows * sizeof *there);
    free(there);
    return result;
}

static int has_labels(const h5dataset *d, const char *const *labels)
{
    if (H5Tget_class(d->memory_type) != H5T_STRING)
        return 0;
    char **there = calloc(d->rows + 1, sizeof *there);
    hid_t space = there ? H5Dget_space(d->id) : -1;
    int result = -1;
    if (space >= 0 && H5Dread(d->id, d->memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, there) >= 0) {
        result = 1;
        for (hsize_t k = 0; k < d->rows; k++)
            result = result && !strcmp(there[k] ? there[k] : "", labels[k]);
        H5Dvlen_reclaim(d->memory_type, space, H5P_DEFAULT, there);
    }
    h5_close(space);
    free(there);
    return result;
}

/* A series that says none takes those that are there. */
static int has_coordinates(const h5dataset *d, const h5log_dim *dim)
{
    if (dim->labels)
        return has_labels(d, dim->labels);
    return dim->values ? has_values(d, dim->values) : 1;
}

/* Opens the scale of a dimension, which other series of the group may share, or makes it. To be closed. */
static int open_dimension(h5records *g, const h5log_dim *dim, h5dataset *d, lstm_error *err)
{
    htri_t there = H5Lexists(g->group, dim->name, H5P_DEFAULT);
    if (there < 0)
        return -1;
    if (!there) {
        int result;
        if (dim->labels)
            result = write_labels(d, g->group, dim);
        else if (dim->values)
            result = h5dataset_create_fixed(d, g->group, dim->name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, dim->size,
                                            dim->values);
        else
            result = write_indexes(d, g->group, dim);
        return result || h5scale_set(d->id, dim->name) ? -1 : 0;
    }
    if (h5dataset_open(d, g->group, dim->name))
        return -1;
    if (d->rows != dim->size) {
        lstm_fail(err, "dim", "dimension '%s' of group '%s' has size %llu already, not %zu: use another name or group",
                  dim->name, g->path, (unsigned long long)d->rows, dim->size);
        h5dataset_close(d);
        return -1;
    }
    const int same = has_coordinates(d, dim);
    if (same != 1)
        h5dataset_close(d);
    if (same == 0)
        lstm_fail(err, "dim", "dimension '%s' of group '%s' has other coordinates already: use another name or group",
                  dim->name, g->path);
    return same == 1 ? 0 : -1;
}

/* ---- series ----------------------------------------------------------------------------------------------------- */

static h5series *new_series(h5records *g, const char *name, h5type type, int keepbits)
{
    h5series *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->group = g;
    s->type = type;
    s->keepbits = keepbits;
    s->data = (h5dataset)H5DATASET_NONE;
    if (!(s->name = strdup(name))) {
        free(s);
        return NULL;
    }
    return s;
}

/* NeXus: what to plot, and against what. The first series of a group is what is plotted unasked. */
static int describe_plot(h5records *g, const h5log_series *c, hid_t dataset)
{
    const char *axes[1 + H5_MAX_DIMS] = {"record"};
    for (int d = 0; d < c->ndim; d++)
        axes[1 + d] = c->dim[d].name;
    if (c->units && h5_put_text(dataset, "units", c->units))
        return -1;
    if (c->title && h5_put_text(dataset, "long_name", c->title))
        return -1;
    if (h5_put_text(dataset, "coordinates", "step")) /* the CF conventions' name for it; xarray follows */
        return -1;
    if (c->type == H5_TEXT || H5Aexists(g->group, "signal") > 0)
        return 0;
    const char *leaf = strrchr(c->name, '/');
    return h5_put_text(g->group, "signal", leaf ? leaf + 1 : c->name) ||
           h5_put_texts(g->group, "axes", 1 + c->ndim, axes) ? -1 : 0;
}

static int attach_dimensions(h5records *g, h5series *s, const h5log_series *c, lstm_error *err)
{
    h5dataset dimension[H5_MAX_DIMS];
    hid_t scales[1 + H5_MAX_DIMS] = {g->record.id};
    int result = 0, n = 0;
    for (; n < c->ndim && !result; n++) {
        dimension[n] = (h5dataset)H5DATASET_NONE;
        result = open_dimension(g, &c->dim[n], &dimension[n], err);
        scales[1 + n] = dimension[n].id;
    }
    if (!result)
        result = h5scale_attach(s->data.id, 1 + n, scales);
    while (n-- > 0)
        h5dataset_close(&dimension[n]);
    return result;
}

static int make_dataset(h5records *g, h5series *s, const h5log_series *c, lstm_error *err)
{
    static const int64_t minus_one = -1;
    static const int32_t minus_one_32 = -1;
    const float nan_32 = NAN;
    const double nan_64 = NAN;
    const void *fill[H5_TYPES] = {[H5_F32] = &nan_32, [H5_F64] = &nan_64, [H5_I32] = &minus_one_32,
                                  [H5_I64] = &minus_one};
    hid_t text = c->type == H5_TEXT ? h5_text_type() : -1;
    h5dataset_config dc = {c->type == H5_TEXT ? text : h5_type_in_file(c->type),
                           c->type == H5_TEXT ? text : h5_type_in_memory(c->type), c->ndim, s->shape, fill[c->type],
                           c->deflate ? c->deflate : g->deflate};
    if (c->deflate == H5LOG_PLAIN)
        dc.deflate = 0;
    int result = dc.file_type < 0 || h5dataset_create(&s->data, g->group, s->name, &dc) ||
                 attach_dimensions(g, s, c, err) || describe_plot(g, c, s->data.id);
    h5_close(text);
    return result ? -1 : 0;
}

/* The record is the first of a dataset's dimensions. */
static int same_names(const h5records *g, const h5series *s, lstm_error *err)
{
    char name[1 + H5_MAX_DIMS][H5SCALE_NAME] = {{0}};
    h5scale_names(s->data.id, 1 + s->ndim, name);
    for (int d = 0; d < s->ndim; d++)
        if (*name[1 + d] && strcmp(name[1 + d], s->dim[d]))
            return lstm_fail(err, "dim",
                             "dimension %d of series '%s/%s' is '%s' in the log, and '%s' was announced: keep its name, or "
                             "give the series another one",
                             d + 1, g->path, s->name, name[1 + d], s->dim[d]);
    return 0;
}

static int open_dataset(h5records *g, h5series *s, lstm_error *err)
{
    if (h5dataset_open(&s->data, g->group, s->name))
        return -1;
    bool same = s->data.ndim == s->ndim && (s->type == H5_TEXT ? H5Tget_class(s->data.memory_type) == H5T_STRING
                                            : H5Tequal(s->data.memory_type, h5_type_in_memory(s->type)) > 0);
    for (int d = 0; same && d < s->ndim; d++)
        same = s->data.shape[d] == s->shape[d];
    if (!same)
        return lstm_fail(err, "dim", "series '%s/%s' of the log has another type or shape than was announced", g->path,
                         s->name);
    return same_names(g, s, err);
}

/* All dimensions that are there already must have the right size, before anything is made. */
static int check_dimensions(h5records *g, const h5log_series *c, lstm_error *err)
{
    for (int d = 0; d < c->ndim; d++) {
        h5dataset scale = H5DATASET_NONE;
        if (H5Lexists(g->group, c->dim[d].name, H5P_DEFAULT) == 0)
            continue;
        int result = open_dimension(g, &c->dim[d], &scale, err);
        h5dataset_close(&scale);
        if (result)
            return -1;
    }
    return 0;
}

static int fill_series(h5records *g, h5series *s, const h5log_series *c, lstm_error *err)
{
    for (int d = 0; d < c->ndim; d++) {
        s->shape[d] = c->dim[d].size;
        if (!(s->dim[d] = strdup(c->dim[d].name)))
            return lstm_fail(err, "", "out of memory");
        s->ndim++;
    }
    htri_t there = H5Lexists(g->group, s->name, H5P_DEFAULT);
    if (there < 0 || check_dimensions(g, c, err))
        return -1;
    return there ? open_dataset(g, s, err) : make_dataset(g, s, c, err);
}

h5series *h5records_announce(h5records *g, const h5log_series *c, lstm_error *err)
{
    const char *leaf = strrchr(c->name, '/');
    no_message(err);
    h5series *s = new_series(g, leaf ? leaf + 1 : c->name, c->type, c->keepbits);
    if (!s || fill_series(g, s, c, err)) {
        if (s)
            free_series(s);
        return NULL;
    }
    s->next = g->series;
    return g->series = s;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

int h5records_row(h5records *g, int64_t step, bool merge, hsize_t *row)
{
    if (!(merge && g->rows && g->last_step == step)) {
        if (g->nnew == g->room) {
            size_t room = g->room ? 2 * g->room : 64;
            int64_t *steps = realloc(g->new_steps, room * sizeof *steps);
            if (!steps)
                return -1;
            g->new_steps = steps;
            g->room = room;
        }
        g->new_steps[g->nnew++] = step;
        g->last_step = step;
        g->rows++;
    }
    *row = g->rows - 1;
    return 0;
}

/* The column of actual sizes of this dimension, made when it is needed first. NULL: failed. */
static column *find_size(h5records *g, const char *dim, size_t announced)
{
    char name[80];
    snprintf(name, sizeof name, "%s_size", dim);
    for (column *c = g->columns; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            return c;
    column *c = new_column(g, name);
    if (!c || make_integers(&c->data, g->group, name, (int64_t)announced, g->deflate) ||
        h5scale_attach(c->data.id, 1, &g->record.id))
        return NULL;
    return c;
}

/* A text where there is room for so many bytes, as in the first logs: cut at a character. */
static int write_fixed_text(h5series *s, hsize_t row, const char *text)
{
    size_t room = H5Tget_size(s->data.memory_type), length = strlen(text);
    char *padded = calloc(1, room + 1);
    if (!padded)
        return -1;
    memcpy(padded, text, length < room ? length : room);
    for (size_t k = room; length > room && k > 0 && (text[k] & 0xc0) == 0x80; k--)
        padded[k - 1] = 0;
    int result = h5dataset_write(&s->data, row, 1, NULL, padded);
    free(padded);
    return result;
}

int h5records_write(h5series *s, hsize_t row, const size_t *shape, const void *data)
{
    for (int d = 0; shape && d < s->ndim; d++) {
        if (shape[d] == s->shape[d])
            continue;
        int64_t actual = (int64_t)shape[d];
        column *size = find_size(s->group, s->dim[d], s->shape[d]);
        if (!size || h5dataset_write(&size->data, row, 1, NULL, &actual))
            return -1;
    }
    if (s->type == H5_TEXT && s->ndim == 0 && H5Tis_variable_str(s->data.memory_type) == 0)
        return write_fixed_text(s, row, *(const char *const *)data);
    return h5dataset_write(&s->data, row, 1, shape, data);
}

/* Writes numbers and steps of the new records. */
static int write_new_steps(h5records *g)
{
    hsize_t first = g->rows - g->nnew;
    int64_t *numbers = malloc(g->nnew * sizeof *numbers + 1);
    for (size_t k = 0; numbers && k < g->nnew; k++)
        numbers[k] = (int64_t)(first + k);
    int result = !numbers || h5dataset_write(&g->record, first, g->nnew, NULL, numbers) ||
                 h5dataset_write(&g->step, first, g->nnew, NULL, g->new_steps);
    free(numbers);
    g->nnew = 0;
    return result ? -1 : 0;
}

int h5records_settle(h5records *g)
{
    if (g->nnew && write_new_steps(g))
        return -1;
    for (h5series *s = g->series; s; s = s->next)
        if (h5dataset_set_rows(&s->data, g->rows))
            return -1;
    for (column *c = g->columns; c; c = c->next)
        if (h5dataset_set_rows(&c->data, g->rows))
            return -1;
    return 0;
}

/* ---- cutting ---------------------------------------------------------------------------------------------------- */

/* Number of leading records of which the step is at most this one; steps never decrease. */
static int count_until(const h5dataset *steps, int64_t step, hsize_t *count)
{
    hsize_t low = 0, high = steps->rows;
    while (low < high) {
        hsize_t middle = low + (high - low) / 2;
        int64_t there;
        if (h5dataset_read(steps, middle, 1, &there))
            return -1;
        if (there <= step)
            low = middle + 1;
        else
            high = middle;
    }
    *count = low;
    return 0;
}

static herr_t cut_dataset(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    const hsize_t *rows = data;
    h5dataset d = H5DATASET_NONE;
    (void)info;
    htri_t growing = grows(group, name);
    if (growing <= 0)
        return growing < 0 ? -1 : 0;
    if (h5dataset_open(&d, group, name))
        return -1;
    int result = d.rows > *rows ? h5dataset_set_rows(&d, *rows) : 0;
    return h5dataset_close(&d) || result ? -1 : 0;
}

static int cut_group(hid_t group, int64_t step)
{
    h5dataset steps;
    hsize_t rows;
    if (h5dataset_open(&steps, group, "step"))
        return -1;
    int result = count_until(&steps, step, &rows);
    h5dataset_close(&steps);
    return result || H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, cut_dataset, &rows) < 0 ? -1 : 0;
}

static herr_t cut_link(hid_t file, const char *name, const H5L_info_t *info, void *data)
{
    const int64_t *step = data;
    (void)info;
    hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    int result = object < 0 ? -1 : 0;
    if (object >= 0 && H5Iget_type(object) == H5I_GROUP && H5Lexists(object, "step", H5P_DEFAULT) > 0)
        result = cut_group(object, *step);
    h5_close(object);
    return result;
}

int h5records_cut_all(hid_t file, int64_t step)
{
    return H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, cut_link, &step) < 0 ? -1 : 0;
}
