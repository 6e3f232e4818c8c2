/* SPDX-License-Identifier: MIT */
#include "h5curves.h"

#include "h5read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 64
#define METRICS "metrics"

/* What each log has of its own, or says of the machine: not compared between runs. */
static const char *const left_out[] = {"step", "tokens_per_second", "clipped_norm", "clipped_share",
                                       "update_ratio"};

/* The curves of one run: place p of a metric is for the steps p * every + 1 ... (p + 1) * every. */
typedef struct curve_set {
    uint64_t every;
    size_t places;
    size_t metrics;   /* it has these many of all metrics; the others are NaN */
    double **values;  /* [metrics], each NULL or [places] */
} curve_set;

struct h5curves {
    size_t runs, most; /* places a curve may have */
    curve_set *of;     /* [runs] */
    char (*names)[NAME_SIZE];
    size_t metrics;
    uint64_t last;  /* step that any run reached */
    uint64_t every; /* once settled */
    size_t size;
    int64_t *steps;
    size_t *place; /* [all places]: where it is on the axis, SIZE_MAX: nowhere */
    size_t all;
};

/* ---- memory ----------------------------------------------------------------------------------------------------- */

h5curves *h5curves_new(size_t runs, size_t places, lstm_error *err)
{
    h5curves *c = calloc(1, sizeof *c);
    if (c && (c->of = calloc(runs + 1, sizeof *c->of))) {
        c->runs = runs;
        c->most = places ? places : 1;
        c->every = 1;
        return c;
    }
    free(c);
    lstm_fail(err, "", "out of memory for the curves of %zu runs", runs);
    return NULL;
}

static void clear_set(curve_set *set)
{
    for (size_t k = 0; k < set->metrics; k++)
        free(set->values[k]);
    free(set->values);
    *set = (curve_set){0};
}

void h5curves_free(h5curves *c)
{
    if (!c)
        return;
    for (size_t r = 0; r < c->runs; r++)
        clear_set(&c->of[r]);
    free(c->of);
    free(c->names);
    free(c->steps);
    free(c->place);
    free(c);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* The index of a metric, which is added when it is new; SIZE_MAX: out of memory. */
static size_t metric_index(h5curves *c, const char *name)
{
    for (size_t k = 0; k < c->metrics; k++)
        if (strcmp(c->names[k], name) == 0)
            return k;
    char(*more)[NAME_SIZE] = realloc(c->names, (c->metrics + 1) * sizeof *more);
    if (!more)
        return SIZE_MAX;
    c->names = more;
    snprintf(more[c->metrics], NAME_SIZE, "%s", name);
    return c->metrics++;
}

static bool is_curve(const h5read_item *item, uint64_t rows)
{
    const char *name = h5read_leaf(item->path);
    for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++)
        if (strcmp(name, left_out[k]) == 0)
            return false;
    return !item->is_group && !item->is_text && item->ndim == 1 && item->shape[0] == rows;
}

/* Makes room for metric k in a set. */
static double *new_curve(curve_set *set, size_t k)
{
    if (k >= set->metrics) {
        double **more = realloc(set->values, (k + 1) * sizeof *more);
        if (!more)
            return NULL;
        for (size_t i = set->metrics; i <= k; i++)
            more[i] = NULL;
        set->values = more;
        set->metrics = k + 1;
    }
    double *values = malloc(set->places * sizeof *values + 1);
    for (size_t p = 0; values && p < set->places; p++)
        values[p] = NAN;
    free(set->values[k]);
    return set->values[k] = values;
}

/* Chooses how many steps share a place. */
static void choose_places(h5curves *c, curve_set *set, const int64_t *steps, uint64_t rows)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < rows; i++)
        if (steps[i] > 0 && (uint64_t)steps[i] > last)
            last = (uint64_t)steps[i];
    set->every = 1;
    while ((last + set->every - 1) / set->every > c->most)
        set->every *= 2;
    set->places = (size_t)((last + set->every - 1) / set->every);
    c->last = last > c->last ? last : c->last;
}

static bool has_value(const double *column, uint64_t rows)
{
    for (uint64_t i = 0; i < rows; i++)
        if (!isnan(column[i]))
            return true;
    return false;
}

/* column: room for the rows. */
static int read_curve(h5curves *c, curve_set *set, h5read *log, const h5read_item *item, const int64_t *steps,
                      double *column, lstm_error *err)
{
    uint64_t rows = item->shape[0];
    if (h5read_rows(log, item, 0, rows, H5_F64, column, err))
        return -1;
    if (!has_value(column, rows))
        return 0;
    size_t k = metric_index(c, h5read_leaf(item->path));
    double *values = k == SIZE_MAX ? NULL : new_curve(set, k);
    if (!values)
        return lstm_fail(err, "", "out of memory for the curves of %s", h5read_path(log));
    for (uint64_t i = 0; i < rows; i++)
        if (steps[i] > 0 && !isnan(column[i]))
            values[((uint64_t)steps[i] - 1) / set->every] = column[i];
    return 0;
}

static int read_curves(h5curves *c, curve_set *set, h5read *log, lstm_error *err)
{
    const h5read_item *step = h5read_find(log, METRICS "/step");
    if (!step || step->ndim != 1)
        return lstm_fail(err, "", "%s has no metrics", h5read_path(log));
    uint64_t rows = step->shape[0];
    int64_t *steps = rows < SIZE_MAX / 32 ? malloc((size_t)rows * 8 + 1) : NULL;
    double *column = steps ? malloc((size_t)rows * 8 + 1) : NULL;
    int result = column ? h5read_rows(log, step, 0, rows, H5_I64, steps, err)
                        : lstm_fail(err, "", "out of memory for the curves of %s", h5read_path(log));
    if (!result)
        choose_places(c, set, steps, rows);
    for (size_t i = 0; !result && i < h5read_count(log); i++)
        if (is_curve(h5read_item_at(log, i), rows))
            result = read_curve(c, set, log, h5read_item_at(log, i), steps, column, err);
    free(column);
    free(steps);
    return result;
}

int h5curves_read(h5curves *c, size_t run, const char *log, lstm_error *err)
{
    curve_set *set = &c->of[run];
    int result = -1;
    clear_set(set);
    h5read *reader = h5read_open_group(log, METRICS, err);
    if (reader && (result = read_curves(c, set, reader, err)))
        clear_set(set);
    h5read_close(reader);
    return result;
}

/* ---- the axis --------------------------------------------------------------------------------------------------- */

/* Calls found(c, data, run, place, value) for every value of metric k, earlier places first. */
static void for_values(const h5curves *c, size_t k, void (*found)(const h5curves *, void *, size_t, size_t, double),
                       void *data)
{
    for (size_t r = 0; r < c->runs; r++) {
        const curve_set *set = &c->of[r];
        const double *values = k < set->metrics ? set->values[k] : NULL;
        for (size_t p = 0; values && p < set->places; p++)
            if (!isnan(values[p]))
                found(c, data, r, (size_t)(p / (c->every / set->every)), values[p]);
    }
}

static void mark(const h5curves *c, void *data, size_t run, size_t place, double value)
{
    bool *used = data;
    (void)c;
    (void)run;
    (void)value;
    used[place] = true;
}

/* How many places a run has when all runs have places of `every` steps. */
static size_t places_of(const h5curves *c, const curve_set *set)
{
    size_t merged = set->every ? (size_t)(c->every / set->every) : 1;
    return (set->places + merged - 1) / merged;
}

/* The last step of a place; the last place may end early. */
static int64_t last_step(const h5curves *c, size_t place)
{
    uint64_t step = (uint64_t)(place + 1) * c->every;
    return (int64_t)(step < c->last ? step : c->last);
}

int h5curves_settle(h5curves *c, lstm_error *err)
{
    for (size_t r = 0; r < c->runs; r++)
        c->every = c->of[r].every > c->every ? c->of[r].every : c->every;
    for (size_t r = 0; r < c->runs; r++)
        c->all = places_of(c, &c->of[r]) > c->all ? places_of(c, &c->of[r]) : c->all;
    bool *used = calloc(c->all + 1, sizeof *used);
    c->place = calloc(c->all + 1, sizeof *c->place);
    c->steps = calloc(c->all + 1, sizeof *c->steps);
    if (!used || !c->place || !c->steps) {
        free(used);
        return lstm_fail(err, "", "out of memory for the curves of %zu runs", c->runs);
    }
    for (size_t k = 0; k < c->metrics; k++)
        for_values(c, k, mark, used);
    for (size_t p = 0; p < c->all; p++) {
        c->place[p] = used[p] ? c->size : SIZE_MAX;
        if (used[p])
            c->steps[c->size++] = last_step(c, p);
    }
    free(used);
    return 0;
}

size_t h5curves_count(const h5curves *c) { return c->metrics; }
const char *h5curves_name(const h5curves *c, size_t k) { return c->names[k]; }
size_t h5curves_size(const h5curves *c) { return c->size; }
const int64_t *h5curves_steps(const h5curves *c) { return c->steps; }
uint64_t h5curves_thinned(const h5curves *c) { return c->every; }

static void put(const h5curves *c, void *data, size_t run, size_t place, double value)
{
    double *matrix = data;
    matrix[run * c->size + c->place[place]] = value;
}

void h5curves_get(const h5curves *c, size_t k, double *matrix)
{
    for (size_t i = 0; i < c->runs * c->size; i++)
        matrix[i] = NAN;
    for_values(c, k, put, matrix);
}
