/* SPDX-License-Identifier: MIT
 *
 * lstmlog.c - the program that looks into logs and checkpoints: lists, shows, verifies, recovers, compares, follows
 * and (lstmlog_export.c) exports them.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include "fileio.h"
#include "h5log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define ATTEMPTS 5          /* to read a log that is being written */
#define MOST_FOLDERS 16     /* one in the other, below the one that is listed */
#define BLOCK ((size_t)4 << 20)

/* ---- small things ----------------------------------------------------------------------------------------------- */

int complain(job *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lstmlog: ", j->err);
    vfprintf(j->err, format, args);
    fputc('\n', j->err);
    va_end(args);
    return 1;
}

static void *read_column(const h5read *r, const char *path, h5type type, size_t *n, lstm_error *err)
{
    const h5read_item *item = h5read_find(r, path);
    *n = 0;
    if (!item || item->is_group || item->is_text || item->ndim != 1) {
        lstm_fail(err, "", "the log has no column /%s", path);
        return NULL;
    }
    void *values = item->shape[0] < SIZE_MAX / 16 ? malloc((size_t)item->shape[0] * 8 + 8) : NULL;
    if (!values) {
        lstm_fail(err, "", "out of memory for /%s", path);
        return NULL;
    }
    if (h5read_rows(r, item, 0, item->shape[0], type, values, err)) {
        free(values);
        return NULL;
    }
    *n = (size_t)item->shape[0];
    return values;
}

double *read_numbers(const h5read *r, const char *path, size_t *n, lstm_error *err)
{
    return read_column(r, path, H5_F64, n, err);
}

int64_t *read_integers(const h5read *r, const char *path, size_t *n, lstm_error *err)
{
    return read_column(r, path, H5_I64, n, err);
}

void path_beside(const char *path, const char *name, char out[512])
{
    int group = (int)(h5read_leaf(path) - path);
    snprintf(out, 512, "%.*s%s", group, path, name);
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* The file that is meant by a path: a directory's log, or the file itself. */
static void file_of(const char *path, char out[PATH_MAX])
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (is_directory(path))
        snprintf(out, PATH_MAX, "%.*s/log.h5", (int)length, path);
    else
        snprintf(out, PATH_MAX, "%s", path);
}

/* Opens the log of a run's directory, or a file. */
static h5read *open_path(job *j, const char *path)
{
    char file[PATH_MAX];
    lstm_error err = {0};
    file_of(path, file);
    if (is_directory(path) && !exists(file)) {
        complain(j, "%s holds no log.h5: a run's directory or a file expected", path);
        return NULL;
    }
    h5read *r = h5read_open(file, &err);
    if (!r)
        complain(j, "%s", err.message);
    return r;
}

static h5read *open_log(job *j, const char *path)
{
    h5read *r = open_path(j, path);
    if (r && h5read_kind_of(r) != H5READ_LOG) {
        complain(j, "%s is a checkpoint: a run's directory or log.h5 expected", path);
        h5read_close(r);
        return NULL;
    }
    return r;
}

static void close_log(job *j, h5read *r)
{
    if (h5read_close(r))
        j->changed = true;
}

static const char *bytes_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int k = 0;
    for (; value >= 1024 && k < 4; k++)
        value /= 1024;
    snprintf(text, 32, value < 10 && k ? "%.1f %s" : "%.0f %s", value, units[k]);
    return text;
}

static void print_json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ')
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void print_json_number(FILE *out, const char *name, double value)
{
    char text[40] = "null";
    if (isfinite(value))
        h5read_decimal(value, false, text);
    fprintf(out, ", \"%s\": %s", name, text);
}

/* ---- the state of a run ----------------------------------------------------------------------------------------- */

typedef struct summary {
    const char *status; /* "running", "stopped", "done", "diverged" */
    int64_t step, best_step; /* -1: none */
    double loss, best;  /* NaN: none */
    time_t start;
} summary;

/* Kind of the last event that says how the run stands: "stop", "diverged", "resume"; "" when there was none. */
static void last_turn(const h5read *r, char kind[64])
{
    const h5read_item *item = h5read_find(r, "events/kind");
    kind[0] = 0;
    for (uint64_t k = item && item->is_text && item->ndim == 1 && item->width < 64 ? item->shape[0] : 0; k-- > 0;) {
        char text[64] = "";
        if (h5read_rows(r, item, k, 1, H5_U8, text, NULL))
            return;
        if (strcmp(text, "stop") == 0 || strcmp(text, "diverged") == 0 || strcmp(text, "resume") == 0) {
            memcpy(kind, text, sizeof text);
            return;
        }
    }
}

static const char *status_of(const h5read *r, int64_t step)
{
    char turn[64];
    char *steps = h5read_attribute(r, "config", "steps");
    bool closed = h5read_journal_of(h5read_path(r)) == H5READ_CLOSED;
    last_turn(r, turn);
    /* Without an option "steps" a run that was closed and not stopped has come to its end. */
    bool done = steps ? step >= strtoll(steps, NULL, 10) : closed && strcmp(turn, "stop") != 0;
    free(steps);
    if (h5read_is_live(r))
        return "running";
    return strcmp(turn, "diverged") == 0 ? "diverged" : done ? "done" : "stopped";
}

/* When the log was made, as far as the file system knows. */
static time_t start_of(const char *path)
{
    struct stat st;
#ifdef STATX_BTIME
    struct statx more;
    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &more) == 0 && (more.stx_mask & STATX_BTIME))
        return (time_t)more.stx_btime.tv_sec;
#endif
    return stat(path, &st) == 0 ? st.st_mtime : 0;
}

static int summarize(const h5read *r, summary *s, lstm_error *err)
{
    size_t n, nloss, nval;
    *s = (summary){.step = -1, .best_step = -1, .loss = NAN, .best = NAN, .start = start_of(h5read_path(r))};
    int64_t *steps = read_integers(r, "metrics/step", &n, err);
    if (!steps)
        return -1;
    double *loss = read_numbers(r, "metrics/loss", &nloss, NULL);
    double *val = read_numbers(r, "metrics/val_loss", &nval, NULL);
    if (n)
        s->step = steps[n - 1];
    if (loss && nloss && nloss == n)
        s->loss = loss[n - 1];
    for (size_t k = 0; val && nval == n && k < n; k++)
        if (!isnan(val[k]) && !(s->best <= val[k])) {
            s->best = val[k];
            s->best_step = steps[k];
        }
    s->status = status_of(r, s->step);
    free(steps);
    free(loss);
    free(val);
    return 0;
}

/* ---- lstmlog ls ------------------------------------------------------------------------------------------------- */

typedef struct path_list {
    char **paths;
    size_t n;
} path_list;

static void add_path(path_list *list, const char *path)
{
    char **more = realloc(list->paths, (list->n + 1) * sizeof *more), *copy = strdup(path);
    if (more)
        list->paths = more;
    if (more && copy)
        more[list->n++] = copy;
    else
        free(copy);
}

static void free_paths(path_list *list)
{
    for (size_t k = 0; k < list->n; k++)
        free(list->paths[k]);
    free(list->paths);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Directories with a log.h5, in the order of their names. Symbolic links are not followed. */
static void find_runs(path_list *list, const char *folder, int depth)
{
    char path[PATH_MAX];
    struct dirent **entries;
    struct stat st;
    if (snprintf(path, sizeof path, "%s/log.h5", folder) >= (int)sizeof path)
        return;
    if (exists(path))
        add_path(list, folder);
    int n = depth < MOST_FOLDERS ? scandir(folder, &entries, visible, alphasort) : 0;
    for (int k = 0; k < n; k++) {
        const char *between = folder[strlen(folder) - 1] == '/' ? "" : "/";
        int length = snprintf(path, sizeof path, "%s%s%s", folder, between, entries[k]->d_name);
        if (length < (int)sizeof path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            find_runs(list, strncmp(path, "./", 2) == 0 ? path + 2 : path, depth + 1);
        free(entries[k]);
    }
    if (n > 0)
        free(entries);
}

static void number_or_dash(double value, char text[32])
{
    snprintf(text, 32, isnan(value) ? "-" : "%.4f", value);
}

static void print_run(FILE *out, const char *path, int width, const summary *s)
{
    char step[32] = "-", loss[32], best[32], start[32];
    struct tm tm;
    if (s->step >= 0)
        snprintf(step, sizeof step, "%lld", (long long)s->step);
    number_or_dash(s->loss, loss);
    number_or_dash(s->best, best);
    strftime(start, sizeof start, "%Y-%m-%d %H:%M", localtime_r(&s->start, &tm));
    fprintf(out, "%-*s  %-8s  %9s  %8s  %8s  %s\n", width, path, s->status, step, loss, best, start);
}

static void print_run_json(FILE *out, const char *path, const summary *s)
{
    char start[32];
    struct tm tm;
    strftime(start, sizeof start, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s->start, &tm));
    fputs("{\"path\": ", out);
    print_json_text(out, path);
    fprintf(out, ", \"status\": \"%s\"", s->status);
    print_json_number(out, "step", s->step < 0 ? NAN : (double)s->step);
    print_json_number(out, "loss", s->loss);
    print_json_number(out, "best_val_loss", s->best);
    print_json_number(out, "best_step", s->best_step < 0 ? NAN : (double)s->best_step);
    fprintf(out, ", \"start\": \"%s\"}\n", start);
}

static int list_run(job *j, const char *path, int width)
{
    summary s;
    lstm_error err = {0};
    h5read *r = open_log(j, path);
    if (!r)
        return 1;
    int result = summarize(r, &s, &err) ? complain(j, "%s: %s", path, err.message) : 0;
    if (!result && j->request->json)
        print_run_json(j->out, path, &s);
    else if (!result)
        print_run(j->out, path, width, &s);
    close_log(j, r);
    return result;
}

static int list_runs(job *j)
{
    path_list list = {0};
    int result = 0, width = 3;
    const char *folder = j->request->npaths ? j->request->paths[0] : is_directory("runs") ? "runs" : ".";
    if (!is_directory(folder))
        return complain(j, "%s: %s", folder, exists(folder) ? "not a folder" : strerror(errno));
    find_runs(&list, folder, 0);
    for (size_t k = 0; k < list.n; k++)
        width = (int)strlen(list.paths[k]) > width ? (int)strlen(list.paths[k]) : width;
    if (list.n && !j->request->json)
        fprintf(j->out, "%-*s  %-8s  %9s  %8s  %8s  %s\n", width, "run", "status", "step", "loss", "best val", "start");
    for (size_t k = 0; k < list.n; k++)
        result |= list_run(j, list.paths[k], width);
    if (!list.n)
        result = complain(j, "no runs below %s", folder);
    free_paths(&list);
    return result;
}

/* ---- lstmlog show ----------------------------------------------------------------------------------------------- */

/* A text as one line: control characters by their values. */
static void print_line(FILE *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        fprintf(out, *c < ' ' || *c == 127 ? "\\x%02x" : "%c", *c);
    fputc('\n', out);
}

static int show_attributes(job *j, const h5read *r, const char *object, const char *title)
{
    h5read_entry *entries;
    size_t n;
    int width = 0;
    lstm_error err = {0};
    if (*object && !h5read_find(r, object))
        return 0;
    if (h5read_attributes(r, object, &entries, &n, &err)) {
        h5read_free_entries(entries, n);
        return complain(j, "%s", err.message);
    }
    for (size_t k = 0; k < n; k++)
        width = (int)strlen(entries[k].name) > width ? (int)strlen(entries[k].name) : width;
    fprintf(j->out, "\n%s\n", title);
    for (size_t k = 0; k < n; k++) {
        fprintf(j->out, "  %-*s  ", width, entries[k].name);
        print_line(j->out, entries[k].text);
    }
    h5read_free_entries(entries, n);
    return 0;
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
    fprintf(j->out, "  %-*s  %-52s %9s of %9s%s%s\n", width, h5read_leaf(item->path), shape,
            bytes_text(item->stored, stored), bytes_text(h5read_elements(item) * item->width, raw), title ? "  " : "",
            title ? title : "");
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

static int show(job *j)
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
    if (!result && is_log)
        fprintf(j->out, "%s: log, %s, step %lld, %s\n", h5read_path(r), s.status, (long long)s.step,
                bytes_text((uint64_t)st.st_size, size));
    else if (!result)
        fprintf(j->out, "%s: checkpoint, checksum correct, %s\n", h5read_path(r),
                bytes_text((uint64_t)st.st_size, size));
    if (!result && is_log)
        result = show_attributes(j, r, "config", "config") | show_attributes(j, r, "environment", "environment");
    else if (!result)
        result = show_attributes(j, r, "", "attributes");
    if (!result)
        show_contents(j, r);
    close_log(j, r);
    return result;
}

/* ---- lstmlog verify --------------------------------------------------------------------------------------------- */

/* Reads all of a dataset, in pieces. */
static int verify_readable(job *j, const h5read *r, const h5read_item *item)
{
    uint64_t row = h5read_row_elements(item) * item->width, rows = item->ndim ? item->shape[0] : 1;
    uint64_t step = row && row < BLOCK ? BLOCK / row : 1;
    lstm_error err = {0};
    if (h5read_elements(item) == 0)
        return 0;
    void *room = malloc((size_t)(step * row));
    if (!room)
        return complain(j, "out of memory for /%s", item->path);
    int result = 0;
    for (uint64_t k = 0; k < rows && !result; k += step)
        result = h5read_rows(r, item, k, step < rows - k ? step : rows - k, item->type, room, &err);
    free(room);
    return result ? complain(j, "%s", err.message) : 0;
}

/* Whether the dataset grows with the records (or steps) of its group. */
static bool grows(const h5read_item *item)
{
    return !item->is_group && item->ndim && (strcmp(item->dim[0], "record") == 0 || strcmp(item->dim[0], "step") == 0);
}

/* The column of steps: never decreasing, and as long as everything in its group that grows. */
static int verify_steps(job *j, const h5read *r, const h5read_item *step)
{
    size_t n;
    lstm_error err = {0};
    int result = 0, group = (int)(h5read_leaf(step->path) - step->path);
    int64_t *steps = read_integers(r, step->path, &n, &err);
    if (!steps)
        return complain(j, "%s", err.message);
    for (size_t k = 1; k < n && !result; k++)
        if (steps[k] < steps[k - 1])
            result = complain(j, "%s: /%s goes back from %lld to %lld at row %zu", h5read_path(r), step->path,
                              (long long)steps[k - 1], (long long)steps[k], k);
    free(steps);
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        bool same_group = strncmp(item->path, step->path, (size_t)group) == 0 && !strchr(item->path + group, '/');
        if (same_group && grows(item) && item->shape[0] != n)
            result = complain(j, "%s: /%s has %llu rows, /%s has %zu", h5read_path(r), item->path,
                              (unsigned long long)item->shape[0], step->path, n);
    }
    return result;
}

static int verify_contents(job *j, const h5read *r)
{
    int result = 0;
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (item->is_group)
            continue;
        if (verify_readable(j, r, item))
            result = 1;
        else if (strcmp(h5read_leaf(item->path), "step") == 0 && !item->is_text && item->ndim == 1)
            result |= verify_steps(j, r, item);
        else if (item->ndim && !item->dim[0][0])
            result = complain(j, "%s: /%s has no named dimension", h5read_path(r), item->path);
    }
    return result;
}

static int verify_log(job *j, const h5read *r)
{
    static const char *const expected[] = {"metrics/step", "samples/step", "events/step"};
    const char *note = "";
    int result = verify_contents(j, r);
    char *version = h5read_attribute(r, "", "format_version");
    if (!version || strcmp(version, "1") != 0)
        result = complain(j, "%s has format_version %s, this program knows 1", h5read_path(r),
                          version ? version : "none");
    free(version);
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++)
        if (!h5read_find(r, expected[k]))
            result = complain(j, "%s lacks /%s", h5read_path(r), expected[k]);
    switch (h5read_journal_of(h5read_path(r))) {
    case H5READ_CLOSED: break;
    case H5READ_LIVE: note = ", being written"; break;
    case H5READ_LEFT: note = ", not closed: its writer was killed"; break;
    case H5READ_PENDING:
        result = complain(j, "%s: an unfinished commit waits in its journal; complete it by: lstmlog recover %s",
                          h5read_path(r), h5read_path(r));
    }
    if (!result)
        fprintf(j->out, "%s: sound log, %zu datasets and groups%s\n", h5read_path(r), h5read_count(r), note);
    return result;
}

static int verify_file(job *j, const char *path)
{
    h5read *r = open_path(j, path);
    if (!r)
        return 1;
    int result = 0;
    if (h5read_kind_of(r) == H5READ_LOG)
        result = verify_log(j, r);
    else
        fprintf(j->out, "%s: sound checkpoint, %zu datasets and groups\n", path, h5read_count(r));
    close_log(j, r);
    return result;
}

static int verify(job *j)
{
    static const char *const checkpoints[] = {"checkpoint-latest.h5", "checkpoint-previous.h5", "checkpoint-best.h5"};
    char path[PATH_MAX];
    int result = 0;
    for (int k = 0; k < j->request->npaths; k++) {
        result |= verify_file(j, j->request->paths[k]);
        for (size_t c = 0; is_directory(j->request->paths[k]) && c < 3; c++) {
            int length = snprintf(path, sizeof path, "%s/%s", j->request->paths[k], checkpoints[c]);
            if (length < (int)sizeof path && exists(path))
                result |= verify_file(j, path);
        }
    }
    return result;
}

/* ---- lstmlog recover -------------------------------------------------------------------------------------------- */

static int recover(job *j)
{
    char path[PATH_MAX];
    const char *what = "";
    lstm_error err = {0};
    file_of(j->request->paths[0], path);
    h5read_journal journal = h5read_journal_of(path);
    if (journal == H5READ_CLOSED || journal == H5READ_LEFT) { /* then it must open; what is not ours is not touched */
        h5read *r = open_log(j, j->request->paths[0]);
        h5read_close(r);
        if (!r)
            return 1;
    }
    if (h5log_recover(path, &what, &err))
        return complain(j, "%s", err.message);
    fprintf(j->out, "%s: %s\n", path, what);
    return 0;
}

/* ---- lstmlog diff ----------------------------------------------------------------------------------------------- */

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
        fprintf(j->out, "%s %s: %s | %s\n", group, x[k].name, x[k].text, other ? other : "-");
        differing++;
    }
    for (size_t k = 0; differing >= 0 && k < ny; k++)
        if (!is_own(y[k].name) && !entry_text(x, nx, y[k].name)) {
            fprintf(j->out, "%s %s: - | %s\n", group, y[k].name, y[k].text);
            differing++;
        }
    h5read_free_entries(x, nx);
    h5read_free_entries(y, ny);
    return differing;
}

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

static bool is_metric(const h5read_item *item)
{
    return strncmp(item->path, "metrics/", 8) == 0 && !item->is_group && !item->is_text && item->ndim == 1;
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
    if (c->na != c->nb || (c->na && c->a_steps[c->na - 1] != c->b_steps[c->nb - 1])) {
        fprintf(j->out, "metrics last step: %lld | %lld\n", c->na ? (long long)c->a_steps[c->na - 1] : -1LL,
                c->nb ? (long long)c->b_steps[c->nb - 1] : -1LL);
        ++*differing;
    }
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

static int diff(job *j)
{
    h5read *a = open_log(j, j->request->paths[0]), *b = a ? open_log(j, j->request->paths[1]) : NULL;
    int result = 1, differing = 0;
    if (b) {
        int config = diff_group(j, a, b, "config"), environment = config < 0 ? -1 : diff_group(j, a, b, "environment");
        if (environment >= 0 && diff_metrics(j, a, b, &differing) == 0)
            result = config + differing > 0;
    }
    if (b)
        close_log(j, b);
    if (a)
        close_log(j, a);
    return result;
}

/* ---- lstmlog tail: prints as it goes ---------------------------------------------------------------------------- */

static bool is_chosen(const char *columns, const char *name)
{
    size_t length = strlen(name);
    for (const char *c = columns; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL)
        if (strncmp(c, name, length) == 0 && (c[length] == ',' || !c[length]))
            return true;
    return !columns || strcmp(name, "step") == 0;
}

static int column_width(const char *name)
{
    return strlen(name) < 10 ? 10 : (int)strlen(name);
}

static void print_head(job *j, const h5read *r, FILE *out)
{
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const char *name = h5read_leaf(item->path);
        if (is_metric(item) && is_chosen(j->request->columns, name))
            fprintf(out, "%*s ", column_width(name), name);
    }
    fputc('\n', out);
}

static int print_row(job *j, const h5read *r, uint64_t row, FILE *out, lstm_error *err)
{
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const char *name = h5read_leaf(item->path);
        double value;
        if (!is_metric(item) || !is_chosen(j->request->columns, name) || row >= item->shape[0])
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

/* Prints the rows after step *last (INT64_MIN: the head and at most `most` rows); *last becomes the last one's. */
static int print_rows(job *j, const h5read *r, size_t most, int64_t *last, FILE *out, lstm_error *err)
{
    size_t n, first;
    int64_t *steps = read_integers(r, "metrics/step", &n, err);
    if (!steps)
        return -1;
    for (first = n; first > 0 && n - first < most && steps[first - 1] > *last;)
        first--;
    if (*last == INT64_MIN && n)
        print_head(j, r, out);
    int result = 0;
    for (size_t k = first; k < n && !result; k++)
        result = print_row(j, r, k, out, err);
    if (first < n)
        *last = steps[n - 1];
    free(steps);
    return result;
}

/* Looks once. What was read while the log changed is not printed: the next look will see it. *live: the run goes on. */
static int look(job *j, int64_t *last, bool *live)
{
    char *text = NULL;
    size_t size = 0;
    int64_t newest = *last;
    lstm_error err = {0};
    h5read *r = open_log(j, j->request->paths[0]);
    if (!r)
        return 1;
    *live = h5read_is_live(r);
    FILE *out = open_memstream(&text, &size);
    int result = out ? print_rows(j, r, *last == INT64_MIN ? (size_t)j->request->rows : SIZE_MAX, &newest, out, &err)
                     : lstm_fail(&err, "", "out of memory");
    if (out && fclose(out) != 0)
        result = lstm_fail(&err, "", "out of memory");
    bool changed = h5read_close(r);
    if (!result && !changed) {
        *last = newest;
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

static int tail(job *j)
{
    const struct timespec pause = {0, 500 * 1000 * 1000};
    int64_t last = INT64_MIN;
    bool live = true;
    for (;;) {
        j->changed = false;
        if (look(j, &last, &live))
            return 1;
        if (ferror(j->out))
            return complain(j, "cannot write standard output: %s", strerror(errno));
        if (!live || (!j->request->follow && !j->changed))
            return 0;
        nanosleep(&pause, NULL);
    }
}

/* ---- lstmlog export --------------------------------------------------------------------------------------------- */

static int export(job *j)
{
    h5read *r = open_log(j, j->request->paths[0]);
    int result = r ? export_run(j, r) : 1;
    if (r)
        close_log(j, r);
    return result;
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

typedef struct command {
    const char *name;
    int (*run)(job *j);
    int least, most;     /* paths */
    const char *options; /* a letter each: see read_option */
    const char *usage, *help;
    bool direct;         /* prints as it goes */
} command;

static const command commands[] = {
    {"ls", list_runs, 0, 1, "j", "ls [--json] [FOLDER]", "the runs below a folder (default: runs)", false},
    {"show", show, 1, 1, "", "show RUN|FILE", "what is in a log or a checkpoint", false},
    {"verify", verify, 1, 256, "", "verify RUN|FILE...", "check checksums, structure and journals", false},
    {"recover", recover, 1, 1, "", "recover RUN|FILE", "bring the log of a killed run to its last commit", false},
    {"export", export, 1, 1, "cmvors", "export RUN --csv[=GROUP/SERIES] [-o DIR]",
     "the metrics, or one series, as CSV (default: to standard output)", false},
    {"export", export, 1, 1, "cmvors", "export RUN --numpy -o DIR", "every series as a .npy file", false},
    {"export", export, 1, 1, "cmvors", "export RUN --lstmvis -o DIR [--row=N] [--steps=A:B]",
     "activations as a project of LSTMVis", false},
    {"diff", diff, 2, 2, "", "diff RUN RUN", "what differs in configuration, and from which step in metrics", false},
    {"tail", tail, 1, 1, "fnk", "tail [-f] [-n N] [--columns=A,B] RUN", "the last rows of the metrics", true},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int print_help(void)
{
    puts("Usage: lstmlog COMMAND ...\n\nLooks into the logs and checkpoints that lstmrun writes.\n");
    for (size_t k = 0; k < COMMANDS; k++)
        printf("  %s\n      %s\n", commands[k].usage, commands[k].help);
    puts("\nRUN is a run's directory or its log.h5; FILE may be a checkpoint, too. diff exits with 1 when there is a\n"
         "difference. Exit status otherwise: 0 done, 1 error or not sound, 2 usage.");
    return fflush(stdout) == 0 ? 0 : 1;
}

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lstmlog: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see lstmlog --help\n", stderr);
    va_end(args);
    return 2;
}

/* The value of an option "--name=VALUE", or of "-n VALUE" in the next word; NULL: it is another option. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);
    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static bool read_count(const char *text, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return *text && !*end && errno == 0 && *value >= 0;
}

static bool read_range(const char *text, long *first, long *last)
{
    char *end;
    errno = 0;
    *first = strtol(text, &end, 10);
    if (end == text || *end != ':' || *first < 0)
        return false;
    return read_count(end + 1, last) && errno == 0 && *last >= *first;
}

/* One option; *used: how many words it took. 0, or the exit status of wrong usage. */
static int read_option(const command *c, request *q, const char *word, const char *next, int *used)
{
    static const struct {
        char letter;
        const char *name;
    } known[] = {{'j', "--json"}, {'f', "-f"}, {'m', "--numpy"}, {'v', "--lstmvis"}, {'c', "--csv"}, {'n', "-n"},
                 {'o', "-o"}, {'r', "--row"}, {'s', "--steps"}, {'k', "--columns"}};
    char letter = 0;
    const char *value = NULL;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strcmp(word, known[k].name) == 0 || (known[k].name[1] == '-' && (value = value_of(word, known[k].name)))) {
            letter = known[k].letter;
            break;
        }
    if (!letter || !strchr(c->options, letter))
        return usage("%s has no option '%s'", c->name, word);
    *used = 1;
    if (letter == 'n' || letter == 'o') {
        if (!next)
            return usage("option %s needs a value", word);
        value = next;
        *used = 2;
    }
    if (!value && strchr("rsk", letter))
        return usage("option %s needs a value: %s=...", word, word);
    if (value && strchr("jfmv", letter))
        return usage("option '%s' takes no value", word);
    switch (letter) {
    case 'j': q->json = true; break;
    case 'f': q->follow = true; break;
    case 'm': q->numpy = true; break;
    case 'v': q->lstmvis = true; break;
    case 'c': q->csv = true; q->series = value; break;
    case 'o': q->out = value; break;
    case 'k': q->columns = value; break;
    case 'n': return read_count(value, &q->rows) ? 0 : usage("-n: a number of rows expected, got '%s'", value);
    case 'r': return read_count(value, &q->row) ? 0 : usage("--row: a row of the batch expected, got '%s'", value);
    default:
        return read_range(value, &q->first_step, &q->last_step) ? 0
                                                                : usage("--steps: A:B expected, got '%s'", value);
    }
    return 0;
}

static int read_request(const command *c, request *q, int argc, char **argv)
{
    bool options_end = false;
    *q = (request){.rows = 10, .first_step = -1};
    for (int k = 0, used = 1; k < argc; k += used) {
        used = 1;
        if (!options_end && strcmp(argv[k], "--") == 0) {
            options_end = true;
        } else if (!options_end && argv[k][0] == '-' && argv[k][1]) {
            int wrong = read_option(c, q, argv[k], k + 1 < argc ? argv[k + 1] : NULL, &used);
            if (wrong)
                return wrong;
        } else if (q->npaths == c->most) {
            return usage("%s: too many paths: '%s'", c->name, argv[k]);
        } else {
            q->paths[q->npaths++] = argv[k];
        }
    }
    if (q->npaths < c->least)
        return usage("usage: lstmlog %s", c->usage);
    if (c->run != export)
        return 0;
    if (q->csv + q->numpy + q->lstmvis != 1)
        return usage("export: one of --csv, --numpy and --lstmvis expected");
    return q->out || q->csv ? 0 : usage("export: -o DIR expected");
}

/* What is there already is not overwritten. */
static int make_out(const char *path)
{
    if (mkdir(path, 0777) != 0) {
        int n = 0, error = errno;
        DIR *d = error == EEXIST ? opendir(path) : NULL;
        if (d)
            while (readdir(d))
                n++;
        if (d)
            closedir(d);
        if (!d || n > 2) {
            fprintf(stderr, "lstmlog: %s: %s\n", path,
                    d ? "exists and is not empty; choose another folder" : strerror(error));
            return 1;
        }
    }
    return 0;
}

/* ---- running a command ------------------------------------------------------------------------------------------ */

static int print_all(FILE *out, const char *text, size_t size)
{
    if (fwrite(text, 1, size, out) == size && fflush(out) == 0)
        return 0;
    if (out == stdout)
        fprintf(stderr, "lstmlog: cannot write standard output: %s\n", strerror(errno));
    return 1;
}

/* Once, into memory; printed when nothing has changed meanwhile, or when this was the last attempt. */
static int attempt(const command *c, const request *q, bool last, bool *again)
{
    char *out = NULL, *err = NULL;
    size_t nout = 0, nerr = 0;
    job j = {q, open_memstream(&out, &nout), open_memstream(&err, &nerr), false};
    int result = 1;
    if (j.out && j.err) {
        result = c->run(&j);
        if (j.changed && last)
            result = complain(&j, "the log is being written, and changed in each of %d attempts to read it; try again",
                              ATTEMPTS);
    }
    bool whole = j.out && j.err && fclose(j.out) == 0;
    whole = j.err && fclose(j.err) == 0 && whole;
    *again = whole && j.changed && !last;
    if (!whole) {
        fputs("lstmlog: out of memory\n", stderr);
        result = 1;
    } else if (!*again) {
        result |= print_all(stdout, out, nout);
        print_all(stderr, err, nerr);
    }
    free(out);
    free(err);
    return result;
}

static int run_command(const command *c, const request *q)
{
    job direct = {q, stdout, stderr, false};
    bool again = true;
    int result = 1;
    if (c->direct)
        return c->run(&direct);
    for (int k = 1; again; k++)
        result = attempt(c, q, k == ATTEMPTS, &again);
    return result;
}

/* Runs the command in a process of its own; its status, or -1 when there can be none. */
static int run_apart(const command *c, const request *q)
{
    int status;
    const struct rlimit no_core = {0, 0};
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
#ifdef __linux__
        prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
        setrlimit(RLIMIT_CORE, &no_core);
        int result = run_command(c, q);
        fflush(NULL);
        _exit(result);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static bool is_crash(int status)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGABRT;
}

/* libhdf5 was not made for damaged files, nor for those that change while it reads, and may crash over one: so it works
 * in a process of its own. What a crash leaves is a sentence, when trying again does not help. */
static int run_guarded(const command *c, const request *q)
{
    int status = run_apart(c, q);
    for (int k = 1; k < ATTEMPTS && status != -1 && is_crash(status) && !c->direct; k++)
        status = run_apart(c, q);
    if (status == -1) {
        fprintf(stderr, "lstmlog: cannot start a process: %s\n", strerror(errno));
        return 1;
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (!is_crash(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        return 1;
    }
    fprintf(stderr, "lstmlog: %s is damaged (or changed while it was read): libhdf5 could not cope with it\n",
            q->npaths ? q->paths[0] : "a log");
    return 1;
}

int main(int argc, char **argv)
{
    static request q;
    if (argc < 2)
        return usage("a command expected");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0)
        return printf("lstmlog %s\n", LSTM_VERSION) < 0 || fflush(stdout) != 0;
    for (size_t k = 0; k < COMMANDS; k++)
        if (strcmp(argv[1], commands[k].name) == 0) {
            for (int i = 2; i < argc; i++)
                if (strcmp(argv[i], "--help") == 0)
                    return print_help();
            int wrong = read_request(&commands[k], &q, argc - 2, argv + 2);
            if (wrong)
                return wrong;
            return q.out && make_out(q.out) ? 1 : run_guarded(&commands[k], &q);
        }
    return usage("no command '%s'", argv[1]);
}
