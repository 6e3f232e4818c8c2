/* SPDX-License-Identifier: MIT
 *
 * lstmlog_diff.c - lstmlog diff: what two runs differ in.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *entry_text(const h5read_entry *entries, size_t n, const char *name)
{
    for (size_t k = 0; k < n; k++)
        if (strcmp(entries[k].name, name) == 0)
            return entries[k].text;
    return NULL;
}

/* What no two runs have in common. */
static bool is_own(const char *name)
{
    static const char *const own[] = {"command_line", "pid", "started", "resumed"};
    for (size_t k = 0; k < sizeof own / sizeof *own; k++)
        if (strcmp(name, own[k]) == 0)
            return true;
    return strncmp(name, "replay_", 7) == 0;
}

static void print_entry(job *j, const char *group, const char *name, const char *first, const char *second)
{
    fprintf(j->out, "%s ", group);
    print_text(j->out, name);
    fputs(": ", j->out);
    print_text(j->out, first);
    fputs(" | ", j->out);
    print_text(j->out, second);
    fputc('\n', j->out);
}

static bool has_option(const h5read *r, const char *name, const char *text)
{
    char *option = h5read_attribute(r, "config", name);
    const bool has = option && strcmp(option, text) == 0;
    free(option);
    return has;
}

/* Prints the entries of a group that differ; returns how many, or -1. */
static int diff_group(job *j, const h5read *a, const h5read *b, const char *group)
{
    h5read_entry *x = NULL, *y = NULL;
    size_t nx = 0, ny = 0;
    lstm_error err = {0};
    int differing = 0;
    if (h5read_attributes(a, group, &x, &nx, &err) || h5read_attributes(b, group, &y, &ny, &err)) {
        complain(j, "%s", err.message);
        differing = -1;
    }
    for (size_t k = 0; differing >= 0 && k < nx; k++) {
        const char *other = entry_text(y, ny, x[k].name);
        if (is_own(x[k].name) || (other && strcmp(x[k].text, other) == 0))
            continue;
        if (strcmp(group, "config") != 0 && other && has_option(a, x[k].name, x[k].text) &&
            has_option(b, x[k].name, other)) /* the seed: told as an option */
            continue;
        print_entry(j, group, x[k].name, x[k].text, other ? other : "-");
        differing++;
    }
    for (size_t k = 0; differing >= 0 && k < ny; k++)
        if (!is_own(y[k].name) && !entry_text(x, nx, y[k].name)) {
            print_entry(j, group, y[k].name, "-", y[k].text);
            differing++;
        }
    h5read_free_entries(x, nx);
    h5read_free_entries(y, ny);
    return differing;
}

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

/* Two logs' metrics: steps, and the earliest step at which a column differs. */
typedef struct comparison {
    const h5read *a, *b;
    int64_t *a_steps, *b_steps;
    size_t na, nb;
    int64_t step;   /* INT64_MAX: no difference yet */
    double x, y;
    char column[64];
    int columns;    /* that differ at this step */
} comparison;

static bool same_bits(double x, double y)
{
    return memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y));
}

static int diff_column(comparison *c, const char *path, lstm_error *err)
{
    size_t nx, ny;
    double *x = read_numbers(c->a, path, &nx, err), *y = x ? read_numbers(c->b, path, &ny, err) : NULL;
    int result = y && nx == c->na && ny == c->nb ? 0 : -1;
    if (y && result)
        lstm_fail(err, "", "/%s is not as long as /metrics/step; see lstmlog verify", path);
    for (size_t k = 0, m = 0; !result && k < nx && m < ny && c->a_steps[k] <= c->step;) {
        if (c->a_steps[k] < c->b_steps[m]) {
            k++;
        } else if (c->a_steps[k] > c->b_steps[m]) {
            m++;
        } else if (same_bits(x[k], y[m])) {
            k++;
            m++;
        } else {
            if (c->a_steps[k] < c->step) {
                c->columns = 0;
                c->step = c->a_steps[k];
                c->x = x[k];
                c->y = y[m];
                snprintf(c->column, sizeof c->column, "%s", h5read_leaf(path));
            }
            c->columns++;
            break;
        }
    }
    free(x);
    free(y);
    return result;
}

/* The columns that tell of time differ from run to run. */
static bool is_compared(const h5read_item *item)
{
    const char *name = h5read_leaf(item->path);
    return is_metric(item) && strcmp(name, "step") != 0 && strcmp(name, "seconds") != 0 &&
           strcmp(name, "tokens_per_second") != 0;
}

static int diff_columns(job *j, comparison *c, int *differing)
{
    lstm_error err = {0};
    for (size_t k = 0; k < h5read_count(c->a); k++) {
        const h5read_item *item = h5read_item_at(c->a, k);
        if (is_compared(item) && !h5read_find(c->b, item->path)) {
            fprintf(j->out, "metrics %s: only in the first\n", h5read_leaf(item->path));
            ++*differing;
        } else if (is_compared(item) && diff_column(c, item->path, &err)) {
            return complain(j, "%s", err.message);
        }
    }
    for (size_t k = 0; k < h5read_count(c->b); k++) {
        const h5read_item *item = h5read_item_at(c->b, k);
        if (is_compared(item) && !h5read_find(c->a, item->path)) {
            fprintf(j->out, "metrics %s: only in the second\n", h5read_leaf(item->path));
            ++*differing;
        }
    }
    return 0;
}

/* Whether two numbers that describe the metrics differ, which then are printed. */
static bool print_pair(const job *j, const char *what, int64_t a, int64_t b)
{
    if (a != b)
        fprintf(j->out, "metrics %s: %lld | %lld\n", what, (long long)a, (long long)b);
    return a != b;
}

static void print_comparison(job *j, const comparison *c, int *differing)
{
    char x[40], y[40];
    size_t common = c->na < c->nb ? c->na : c->nb;
    if (c->step < INT64_MAX) {
        h5read_decimal(c->x, false, x);
        h5read_decimal(c->y, false, y);
        fprintf(j->out, "metrics differ from step %lld: %s %s | %s", (long long)c->step, c->column, x, y);
        if (c->columns > 1)
            fprintf(j->out, ", and %d more column%s", c->columns - 1, c->columns > 2 ? "s" : "");
        fputc('\n', j->out);
        ++*differing;
    } else if (common) {
        fprintf(j->out, "metrics are the same, bit for bit, in the steps that both have\n");
    }
    *differing += print_pair(j, "last step", c->na ? c->a_steps[c->na - 1] : -1, c->nb ? c->b_steps[c->nb - 1] : -1) ||
                  print_pair(j, "first step", c->na ? c->a_steps[0] : -1, c->nb ? c->b_steps[0] : -1) ||
                  print_pair(j, "rows", (int64_t)c->na, (int64_t)c->nb);
}

static int diff_metrics(job *j, const h5read *a, const h5read *b, int *differing)
{
    comparison c = {.a = a, .b = b, .step = INT64_MAX};
    lstm_error err = {0};
    int result;
    c.a_steps = read_integers(a, "metrics/step", &c.na, &err);
    c.b_steps = c.a_steps ? read_integers(b, "metrics/step", &c.nb, &err) : NULL;
    result = c.b_steps ? diff_columns(j, &c, differing) : complain(j, "%s", err.message);
    if (!result)
        print_comparison(j, &c, differing);
    free(c.a_steps);
    free(c.b_steps);
    return result;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* A group of series that both logs have. */
typedef struct series {
    const h5read *a, *b;
    const char *group;
    int64_t *a_steps, *b_steps;
    size_t na, nb;
    size_t common;    /* records of the same steps in the last datasets that were compared */
    size_t differing; /* datasets; the earliest difference is that of the named one */
    int64_t step;
    const char *name;
} series;

/* Two datasets of records, and room for one record of each. */
typedef struct pair {
    const h5read_item *x, *y;
    size_t size_x, size_y;
    char *room;
} pair;

static bool is_series(const h5read_item *item, const char *group)
{
    size_t length = strlen(group);
    const char *name = item->path + length + 1;
    return h5read_grows(item) && strncmp(item->path, group, length) == 0 && item->path[length] == '/' &&
           !strchr(name, '/') && strcmp(name, "record") != 0 && strcmp(name, "step") != 0;
}

static bool is_alike(const h5read_item *x, const h5read_item *y)
{
    return x->is_text == y->is_text && (x->is_text || x->type == y->type) && x->ndim == y->ndim &&
           memcmp(x->shape + 1, y->shape + 1, (size_t)(x->ndim - 1) * sizeof *x->shape) == 0;
}

/* Whether n texts are the same, whatever the room that each has. */
static bool same_texts(const char *u, size_t u_width, const char *v, size_t v_width, size_t n)
{
    for (size_t k = 0; k < n; k++, u += u_width, v += v_width) {
        size_t length = strnlen(u, u_width);
        if (strnlen(v, v_width) != length || memcmp(u, v, length) != 0)
            return false;
    }
    return true;
}

/* Whether record k of the first is record m of the second: 1, 0, or -1 and a sentence. */
static int same_record(const series *s, const pair *p, size_t k, size_t m, lstm_error *err)
{
    char *u = p->room, *v = p->room + p->size_x;
    if (h5read_rows(s->a, p->x, k, 1, p->x->type, u, err) || h5read_rows(s->b, p->y, m, 1, p->y->type, v, err))
        return -1;
    return p->x->is_text ? same_texts(u, p->x->width, v, p->y->width, (size_t)h5read_row_elements(p->x))
                         : memcmp(u, v, p->size_x) == 0;
}

/* Step of the first record that differs; INT64_MAX: none does; -1 and a sentence. */
static int64_t first_difference(series *s, const pair *p, lstm_error *err)
{
    s->common = 0;
    for (size_t k = 0, m = 0; k < s->na && m < s->nb;) {
        if (s->a_steps[k] != s->b_steps[m]) {
            *(s->a_steps[k] < s->b_steps[m] ? &k : &m) += 1;
            continue;
        }
        int same = same_record(s, p, k, m, err);
        if (same <= 0)
            return same < 0 ? -1 : s->a_steps[k];
        s->common++, k++, m++;
    }
    return INT64_MAX;
}

static void note_difference(series *s, const h5read_item *item, int64_t step)
{
    if (!s->differing++ || step < s->step) {
        s->step = step;
        s->name = h5read_leaf(item->path);
    }
}

/* Two datasets of the same name. */
static int diff_datasets(job *j, series *s, const h5read_item *x, const h5read_item *y, int *differing)
{
    lstm_error err = {0};
    pair p = {x, y, (size_t)h5read_row_elements(x) * x->width, (size_t)h5read_row_elements(y) * y->width, NULL};
    if (!is_alike(x, y)) {
        fprintf(j->out, "%s: of other types or shapes\n", x->path);
        ++*differing;
        return 0;
    }
    if (x->shape[0] != s->na || y->shape[0] != s->nb)
        return complain(j, "/%s is not as long as its steps; see lstmlog verify", x->path);
    p.room = malloc(p.size_x + p.size_y + 1);
    if (!p.room)
        return complain(j, "out of memory for /%s", x->path);
    int64_t step = first_difference(s, &p, &err);
    free(p.room);
    if (step < 0)
        return complain(j, "%s", err.message);
    if (step < INT64_MAX)
        note_difference(s, x, step);
    return 0;
}

static void print_series(job *j, const series *s, int *differing)
{
    if (s->differing) {
        fprintf(j->out, "%s differ from step %lld: %s", s->group, (long long)s->step, s->name);
        if (s->differing > 1)
            fprintf(j->out, ", and %zu more, there or later", s->differing - 1);
        fputc('\n', j->out);
        ++*differing;
    } else if (s->common) {
        fprintf(j->out, "%s are the same, bit for bit, in the %zu record%s that both have\n", s->group, s->common,
                s->common == 1 ? "" : "s");
    }
}

static int diff_all_series(job *j, series *s, int *differing)
{
    int result = 0;
    for (size_t k = 0; k < h5read_count(s->a) && !result; k++) {
        const h5read_item *x = h5read_item_at(s->a, k), *y = h5read_find(s->b, x->path);
        if (is_series(x, s->group) && y && h5read_grows(y)) {
            result = diff_datasets(j, s, x, y, differing);
        } else if (is_series(x, s->group)) {
            fprintf(j->out, "%s: only in the first\n", x->path);
            ++*differing;
        }
    }
    for (size_t k = 0; k < h5read_count(s->b) && !result; k++) {
        const h5read_item *y = h5read_item_at(s->b, k);
        if (is_series(y, s->group) && !h5read_find(s->a, y->path)) {
            fprintf(j->out, "%s: only in the second\n", y->path);
            ++*differing;
        }
    }
    if (!result)
        print_series(j, s, differing);
    return result;
}

static int diff_series(job *j, const h5read *a, const h5read *b, const char *group, int *differing)
{
    char path[512];
    lstm_error err = {0};
    series s = {.a = a, .b = b, .group = group};
    snprintf(path, sizeof path, "%s/step", group);
    s.a_steps = read_integers(a, path, &s.na, &err);
    s.b_steps = s.a_steps ? read_integers(b, path, &s.nb, &err) : NULL;
    int result = s.b_steps ? diff_all_series(j, &s, differing) : complain(j, "%s", err.message);
    free(s.a_steps);
    free(s.b_steps);
    return result;
}

/* Whether it is a group of records. The metrics were compared before; of events the time is always another. */
static bool has_records(const h5read *r, const h5read_item *item)
{
    char path[512];
    snprintf(path, sizeof path, "%s/record", item->path);
    return item->is_group && strcmp(item->path, "events") != 0 && h5read_find(r, path) != NULL;
}

static int diff_records(job *j, const h5read *a, const h5read *b, int *differing)
{
    int result = 0;
    for (size_t k = 0; k < h5read_count(a) && !result; k++) {
        const h5read_item *item = h5read_item_at(a, k);
        const h5read_item *other = has_records(a, item) ? h5read_find(b, item->path) : NULL;
        if (other && has_records(b, other)) {
            result = diff_series(j, a, b, item->path, differing);
        } else if (has_records(a, item)) {
            fprintf(j->out, "%s: only in the first\n", item->path);
            ++*differing;
        }
    }
    for (size_t k = 0; k < h5read_count(b) && !result; k++) {
        const h5read_item *item = h5read_item_at(b, k);
        if (has_records(b, item) && !h5read_find(a, item->path)) {
            fprintf(j->out, "%s: only in the second\n", item->path);
            ++*differing;
        }
    }
    return result;
}

int diff(job *j)
{
    h5read *a = open_log(j, j->request->paths[0]), *b = a ? open_log(j, j->request->paths[1]) : NULL;
    int result = 1, differing = 0;
    if (b) {
        int config = diff_group(j, a, b, "config"), environment = config < 0 ? -1 : diff_group(j, a, b, "environment");
        if (environment >= 0 && diff_metrics(j, a, b, &differing) == 0 && diff_records(j, a, b, &differing) == 0)
            result = config + differing > 0;
    }
    if (b)
        close_log(j, b);
    if (a)
        close_log(j, a);
    return result;
}
