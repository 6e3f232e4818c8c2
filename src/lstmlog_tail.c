/* SPDX-License-Identifier: MIT
 *
 * lstmlog_tail.c - lstmlog tail: the last rows of the metrics, and those that follow.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool is_chosen(const char *columns, const char *name)
{
    size_t length = strlen(name);
    for (const char *c = columns; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL)
        if (strncmp(c, name, length) == 0 && (c[length] == ',' || !c[length]))
            return true;
    return !columns || strcmp(name, "step") == 0;
}

/* Six digits take up to eleven characters: 0.000200417, 1.23457e-05. */
static int column_width(const char *name)
{
    return strlen(name) < 11 ? 11 : (int)strlen(name);
}

/* Columns of the terminal that is written to; INT_MAX where it is none, or where the user has said which metrics. */
static int line_width(const job *j)
{
    struct winsize size = {0};
    if (j->request->columns || ioctl(fileno(j->out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return INT_MAX;
    return size.ws_col;
}

/* Whether the item is a metric that is to be printed, and fits into what is left of the line. */
static bool is_shown(const job *j, const h5read_item *item, int *left)
{
    if (!is_metric(item) || !is_chosen(j->request->columns, h5read_leaf(item->path)))
        return false;
    *left -= column_width(h5read_leaf(item->path)) + 1;
    return *left >= 0;
}

/* Whether the log has a metric of this name, which is `length` bytes long. */
static bool has_metric(const h5read *r, const char *name, size_t length)
{
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const char *leaf = h5read_leaf(item->path);
        if (is_metric(item) && strlen(leaf) == length && memcmp(leaf, name, length) == 0)
            return true;
    }
    return false;
}

/* The first of the columns asked for that the log does not have, with its length; NULL when there is none. */
static const char *missing_column(const h5read *r, const char *columns, size_t *length)
{
    for (const char *c = columns; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL) {
        *length = strcspn(c, ",");
        if (*length > 0 && !has_metric(r, c, *length))
            return c;
    }
    return NULL;
}

/* What has been printed so far. */
typedef struct printed {
    int64_t step;   /* of the last row, INT64_MIN: there was none */
    size_t columns; /* that the log had */
} printed;

static size_t count_columns(const h5read *r)
{
    size_t n = 0;
    for (size_t k = 0; k < h5read_count(r); k++)
        n += is_metric(h5read_item_at(r, k));
    return n;
}

static void print_head(job *j, const h5read *r, FILE *out)
{
    int left = line_width(j);
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const char *name = h5read_leaf(item->path);
        if (is_shown(j, item, &left))
            fprintf(out, "%*s ", column_width(name), name);
    }
    fputc('\n', out);
}

static int print_row(job *j, const h5read *r, uint64_t row, FILE *out, lstm_error *err)
{
    int left = line_width(j);
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const char *name = h5read_leaf(item->path);
        double value;
        if (!is_shown(j, item, &left) || row >= item->shape[0])
            continue;
        if (h5read_rows(r, item, row, 1, H5_F64, &value, err))
            return -1;
        if (isnan(value))
            fprintf(out, "%*s ", column_width(name), "-");
        else
            fprintf(out, strcmp(name, "step") == 0 ? "%*.0f " : "%*.6g ", column_width(name), value);
    }
    fputc('\n', out);
    return 0;
}

/* Prints the rows that are new, `most` of them at most; above them the head, if it is the first or has changed. */
static int print_rows(job *j, const h5read *r, size_t most, printed *p, FILE *out, lstm_error *err)
{
    size_t n, first;
    int64_t *steps = read_integers(r, "metrics/step", &n, err);
    if (!steps)
        return -1;
    for (first = n; first > 0 && n - first < most && steps[first - 1] > p->step;)
        first--;
    if (n > 0 && count_columns(r) != p->columns)
        print_head(j, r, out);
    int result = 0;
    for (size_t k = first; k < n && !result; k++)
        result = print_row(j, r, k, out, err);
    if (n > 0) /* a run that was rolled back has fewer rows than before */
        *p = (printed){steps[n - 1], count_columns(r)};
    free(steps);
    return result;
}

/* Looks once. What was read while the log changed is not printed: the next look will see it. *live: the run goes on. */
static int look(job *j, printed *so_far, bool *live)
{
    char *text = NULL;
    size_t size = 0;
    printed now = *so_far;
    lstm_error err = {0};
    h5read *r = open_log(j, j->request->paths[0]);
    if (!r)
        return 1;
    *live = h5read_is_live(r);
    size_t length = 0;
    const bool is_all = !j->request->follow || !*live; /* otherwise a column may come yet */
    const char *missing = is_all && count_columns(r) > 0 ? missing_column(r, j->request->columns, &length) : NULL;
    if (missing) {
        j->changed = h5read_close(r) && *live;
        if (j->changed) /* look again */
            return 0;
        return complain(j, "%s has no metric '%.*s'; lstmlog show lists them", j->request->paths[0], (int)length,
                        missing);
    }
    FILE *out = open_memstream(&text, &size);
    const size_t most = now.step == INT64_MIN ? (size_t)j->request->rows : SIZE_MAX;
    int result = out ? print_rows(j, r, most, &now, out, &err) : lstm_fail(&err, "", "out of memory");
    if (out && fclose(out) != 0)
        result = lstm_fail(&err, "", "out of memory");
    bool changed = h5read_close(r);
    if (!result && !changed) {
        *so_far = now;
        fwrite(text, 1, size, j->out);
        fflush(j->out);
    } else if (result && !*live) {
        result = complain(j, "%s", err.message);
    } else {
        j->changed = true;
        result = 0;
    }
    free(text);
    return result;
}

int tail(job *j)
{
    const struct timespec pause = {0, 500 * 1000 * 1000};
    printed so_far = {INT64_MIN, 0};
    bool live = true;
    for (;;) {
        j->changed = false;
        if (look(j, &so_far, &live))
            return 1;
        if (ferror(j->out))
            return complain(j, "cannot write standard output: %s", strerror(errno));
        if (!live || (!j->request->follow && !j->changed))
            return so_far.step > INT64_MIN ? 0 : complain(j, "%s has no metrics%s", j->request->paths[0],
                                                         live ? " yet" : "");
        nanosleep(&pause, NULL);
    }
}
