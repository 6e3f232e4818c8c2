/* SPDX-License-Identifier: MIT
 *
 * lstmlog_show.c - lstmlog show: what is in a log or a checkpoint.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int show_attributes(job *j, const h5read *r, const char *object, const char *title)
{
    h5read_entry *entries;
    size_t n;
    int width = 0;
    lstm_error err = {0};
    if (*object && !h5read_find(r, object))
        return 0;
    if (h5read_attributes(r, object, &entries, &n, &err))
        return complain(j, "%s", err.message);
    for (size_t k = 0; k < n; k++)
        width = text_width(entries[k].name) > width ? text_width(entries[k].name) : width;
    fprintf(j->out, "\n%s\n", title);
    for (size_t k = 0; k < n; k++) {
        fputs("  ", j->out);
        print_padded(j->out, entries[k].name, width);
        fputs("  ", j->out);
        print_text(j->out, entries[k].text);
        fputc('\n', j->out);
    }
    h5read_free_entries(entries, n);
    return 0;
}

/* The text with this number of a series of texts; empty when it cannot be read. To be freed; NULL: no memory. */
static char *text_at(const h5read *r, const char *path, uint64_t k)
{
    const h5read_item *item = h5read_find(r, path);
    char *text = calloc(item && item->is_text ? item->width + 1 : 1, 1);
    if (text && item && item->is_text && item->ndim == 1 && h5read_rows(r, item, k, 1, H5_U8, text, NULL))
        text[0] = 0;
    return text;
}

static void show_event(job *j, const h5read *r, size_t k, int64_t step, double seconds)
{
    const bool is_time = seconds >= 0 && seconds < 1e11; /* of a few thousand years; a damaged log may have any */
    const time_t at = is_time ? (time_t)seconds : 0;
    struct tm tm;
    char when[32];
    char *kind = text_at(r, "events/kind", k), *text = text_at(r, "events/text", k);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&at, &tm));
    const bool more = text && *text;
    fprintf(j->out, "  step %-8lld  %s  ", (long long)step, when);
    print_padded(j->out, kind ? kind : "", more ? 13 : 0);
    print_text(j->out, more ? text : "");
    fputc('\n', j->out);
    free(kind);
    free(text);
}

/* What happened to the run besides its steps. */
static void show_events(job *j, const h5read *r)
{
    size_t n = 0, timed = 0;
    lstm_error err;
    int64_t *steps = read_integers(r, "events/step", &n, &err);
    double *times = read_numbers(r, "events/time", &timed, &err);
    if (steps && times && n && timed == n)
        fputs("\nevents\n", j->out);
    for (size_t k = 0; steps && times && timed == n && k < n; k++)
        show_event(j, r, k, steps[k], times[k]);
    free(steps);
    free(times);
}

/* "float32 [record 4, layer 2, unit 32]" */
static void shape_text(const h5read_item *item, char text[600])
{
    int n = item->is_text ? snprintf(text, 600, "text %zu", item->width)
                          : snprintf(text, 600, "%s", h5type_name(item->type));
    for (int d = 0; d < item->ndim; d++)
        n += snprintf(text + n, 600 - (size_t)n, "%s%s%s%llu", d ? ", " : " [", item->dim[d],
                      item->dim[d][0] ? " " : "", (unsigned long long)item->shape[d]);
    if (item->ndim)
        snprintf(text + n, 600 - (size_t)n, "]");
}

static void show_dataset(job *j, const h5read *r, const h5read_item *item, int width)
{
    char shape[600], stored[32], raw[32];
    shape_text(item, shape);
    char *title = h5read_attribute(r, item->path, "long_name");
    fprintf(j->out, "  %-*s  %-52s %9s of %9s%s", width, h5read_leaf(item->path), shape,
            bytes_text(item->stored, stored), bytes_text(h5read_elements(item) * item->width, raw), title ? "  " : "");
    print_text(j->out, title ? title : "");
    fputc('\n', j->out);
    free(title);
}

static void show_group(job *j, const h5read *r, const h5read_item *group)
{
    char path[512];
    size_t n = 0;
    lstm_error err;
    snprintf(path, sizeof path, "%s/step", group->path);
    int64_t *steps = read_integers(r, path, &n, &err);
    fprintf(j->out, "\n%s", group->path);
    if (steps && n)
        fprintf(j->out, ": %zu %s%s, steps %lld to %lld", n, strcmp(group->path, "metrics") == 0 ? "row" : "record",
                n == 1 ? "" : "s", (long long)steps[0], (long long)steps[n - 1]);
    else if (steps)
        fputs(": empty", j->out);
    fputc('\n', j->out);
    free(steps);
}

static void show_contents(job *j, const h5read *r)
{
    int width = 0;
    const char *root = "";
    for (size_t k = 0; k < h5read_count(r); k++) {
        int length = (int)strlen(h5read_leaf(h5read_item_at(r, k)->path));
        width = length > width ? length : width;
    }
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (strcmp(item->path, "environment") == 0 || strncmp(item->path, "config", 6) == 0)
            continue;
        if (item->is_group) {
            show_group(j, r, item);
            root = NULL;
            continue;
        }
        if (root)
            fputs("\n/\n", j->out);
        root = NULL;
        show_dataset(j, r, item, width);
    }
}

int show(job *j)
{
    h5read *r = open_path(j, j->request->paths[0]);
    summary s;
    struct stat st = {0};
    char size[32];
    lstm_error err = {0};
    if (!r)
        return 1;
    bool is_log = h5read_kind_of(r) == H5READ_LOG;
    int result = is_log && summarize(r, &s, &err) ? complain(j, "%s: %s", h5read_path(r), err.message) : 0;
    stat(h5read_path(r), &st);
    print_text(j->out, result ? "" : h5read_path(r));
    if (!result && is_log)
        fprintf(j->out, ": log, %s, step %lld, %s\n", s.status, (long long)s.step,
                bytes_text((uint64_t)st.st_size, size));
    else if (!result)
        fprintf(j->out, ": checkpoint, checksum correct, %s\n", bytes_text((uint64_t)st.st_size, size));
    if (!result && is_log)
        result = show_attributes(j, r, "config", "config") | show_attributes(j, r, "environment", "environment");
    else if (!result)
        result = show_attributes(j, r, "", "attributes");
    if (!result && is_log)
        show_events(j, r);
    if (!result)
        show_contents(j, r);
    close_log(j, r);
    return result;
}
