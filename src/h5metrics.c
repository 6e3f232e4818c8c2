/* SPDX-License-Identifier: MIT */
#include "h5metrics.h"

#include "h5scale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING 1024 /* rows */

struct h5metrics {
    hid_t group;
    int deflate;
    h5dataset step;
    h5column *columns, **end;
    /* Pending row k is row first + k of the table. The last row stays when the others are written, since the next
     * call may add to it. */
    hsize_t first;
    size_t n;
    int64_t steps[PENDING];
    bool changed;
};

h5column *h5column_new(const char *name)
{
    h5column *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->data = (h5dataset)H5DATASET_NONE;
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

void h5column_free(h5column *c)
{
    free(c->pending);
    free(c);
}

static int make_table(h5metrics *m)
{
    const char *axes[] = {"step"};
    int64_t fill = -1;
    h5dataset_config c = {H5T_STD_I64LE, H5T_NATIVE_INT64, 0, NULL, &fill, m->deflate};
    return h5dataset_create(&m->step, m->group, "step", &c) || h5scale_set(m->step.id, "step") ||
           h5_put_text(m->step.id, "long_name", "training step") || h5_put_text(m->group, "NX_class", "NXdata") ||
           h5_put_texts(m->group, "axes", 1, axes) ? -1 : 0;
}

static herr_t open_column(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    (void)group;
    (void)info;
    if (strcmp(name, "step") == 0)
        return 0;
    h5column *c = h5column_new(name);
    if (c && h5metrics_add(data, c) == 0)
        return 0;
    if (c) {
        h5dataset_close(&c->data);
        h5column_free(c);
    }
    return -1;
}

/* The last row becomes the first pending one. */
static int open_table(h5metrics *m)
{
    if (h5dataset_open(&m->step, m->group, "step"))
        return -1;
    if (m->step.rows) {
        m->first = m->step.rows - 1;
        m->n = 1;
        if (h5dataset_read(&m->step, m->first, 1, m->steps))
            return -1;
    }
    return H5Literate(m->group, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, open_column, m) < 0 ? -1 : 0;
}

void h5metrics_discard(h5metrics *m)
{
    h5column *c = m->columns;
    h5metrics_close(m);
    while (c) {
        h5column *next = c->next;
        h5column_free(c);
        c = next;
    }
}

h5metrics *h5metrics_open(hid_t file, int deflate)
{
    h5metrics *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->deflate = deflate;
    m->end = &m->columns;
    m->step = (h5dataset)H5DATASET_NONE;
    m->group = h5_make_group(file, "metrics");
    htri_t there = m->group >= 0 ? H5Lexists(m->group, "step", H5P_DEFAULT) : -1;
    if (there >= 0 && (there ? open_table(m) : make_table(m)) == 0)
        return m;
    h5metrics_discard(m);
    return NULL;
}

int h5metrics_close(h5metrics *m)
{
    if (!m)
        return 0;
    int result = h5dataset_close(&m->step);
    for (h5column *c = m->columns; c; c = c->next)
        result |= h5dataset_close(&c->data);
    h5_close(m->group);
    free(m);
    return result;
}

h5column *h5metrics_columns(const h5metrics *m)
{
    return m->columns;
}

int64_t h5metrics_last_step(const h5metrics *m)
{
    return m->n ? m->steps[m->n - 1] : INT64_MIN;
}

/* NeXus: what is plotted unasked is the loss, with the validation loss beside it; else the first column. */
static int describe_plot(h5metrics *m, const char *name)
{
    static const char *const beside[] = {"val_loss"};
    bool first = H5Aexists(m->group, "signal") == 0;
    if ((first || strcmp(name, "loss") == 0) && h5_put_text(m->group, "signal", name))
        return -1;
    return !first && strcmp(name, beside[0]) == 0 ? h5_put_texts(m->group, "auxiliary_signals", 1, beside) : 0;
}

static int make_column(h5metrics *m, h5column *c)
{
    double fill = NAN;
    h5dataset_config config = {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, NULL, &fill, m->deflate};
    return h5dataset_create(&c->data, m->group, c->name, &config) || h5scale_attach(c->data.id, 1, &m->step.id) ||
           describe_plot(m, c->name) ? -1 : 0;
}

/* Opens or makes the column's dataset, and fills in the rows that wait. */
static int begin_column(h5metrics *m, h5column *c)
{
    htri_t there = H5Lexists(m->group, c->name, H5P_DEFAULT);
    if (there < 0 || (there ? h5dataset_open(&c->data, m->group, c->name) : make_column(m, c)))
        return -1;
    if (!(c->pending = malloc(PENDING * sizeof *c->pending)))
        return -1;
    for (size_t k = 0; k < m->n; k++)
        c->pending[k] = NAN;
    /* A row that is in the file already and may be added to. */
    return m->n && m->first < c->data.rows ? h5dataset_read(&c->data, m->first, 1, c->pending) : 0;
}

int h5metrics_add(h5metrics *m, h5column *c)
{
    if (c->data.id >= 0)
        return 0;
    if (begin_column(m, c)) { /* it is none of the table's: nothing may find it open */
        h5dataset_close(&c->data);
        free(c->pending);
        c->pending = NULL;
        return -1;
    }
    *m->end = c;
    m->end = &c->next;
    return 0;
}

static int new_row(h5metrics *m, int64_t step)
{
    if (m->n == PENDING && h5metrics_settle(m))
        return -1;
    m->steps[m->n] = step;
    for (h5column *c = m->columns; c; c = c->next)
        c->pending[m->n] = NAN;
    m->n++;
    return 0;
}

int h5metrics_row(h5metrics *m, int64_t step, const h5cell *cells, size_t n)
{
    if (h5metrics_last_step(m) != step && new_row(m, step))
        return -1;
    m->changed = true;
    for (size_t k = 0; k < n; k++) {
        h5column *c = cells[k].column;
        if (h5metrics_add(m, c))
            return -1;
        c->pending[m->n - 1] = cells[k].value;
        c->touched = true;
    }
    return 0;
}

static int write_column(h5metrics *m, h5column *c)
{
    int result = c->touched ? h5dataset_write(&c->data, m->first, m->n, NULL, c->pending)
                            : h5dataset_set_rows(&c->data, m->first + m->n);
    c->touched = false;
    c->pending[0] = c->pending[m->n - 1];
    return result;
}

int h5metrics_settle(h5metrics *m)
{
    if (!m->changed || m->n == 0)
        return 0;
    if (h5dataset_write(&m->step, m->first, m->n, NULL, m->steps))
        return -1;
    for (h5column *c = m->columns; c; c = c->next)
        if (write_column(m, c))
            return -1;
    m->steps[0] = m->steps[m->n - 1];
    m->first += m->n - 1;
    m->n = 1;
    m->changed = false;
    return 0;
}

