/* SPDX-License-Identifier: MIT
 *
 * lstmlog_files.c - what the commands share: opening files, reading columns, complaints.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void print_complaint(FILE *f, const char *format, va_list args, const char *after)
{
    char text[2 * PATH_MAX];
    vsnprintf(text, sizeof text, format, args);
    lstm_show_controls(text, sizeof text);
    fprintf(f, "lstmlog: %s%s\n", text, after);
}

int complain(job *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_complaint(j->err, format, args, "");
    va_end(args);
    return 1;
}

static bool is_control(unsigned char c)
{
    return c < ' ' || c == 127;
}

void print_text(FILE *f, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        fprintf(f, is_control(*c) ? "\\x%02x" : "%c", *c);
}

int text_width(const char *text)
{
    int width = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        width += is_control(*c) ? 4 : 1;
    return width;
}

void print_padded(FILE *f, const char *text, int width)
{
    print_text(f, text);
    for (int k = text_width(text); k < width; k++)
        fputc(' ', f);
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

bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* The file that is meant by a path: a directory's log, or the file itself. */
void file_of(const char *path, char out[PATH_MAX])
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
h5read *open_path(job *j, const char *path)
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

h5read *open_log(job *j, const char *path)
{
    h5read *r = open_path(j, path);
    if (r && h5read_kind_of(r) != H5READ_LOG) {
        complain(j, "%s is a checkpoint: a run's directory or log.h5 expected", path);
        h5read_close(r);
        return NULL;
    }
    return r;
}

void close_log(job *j, h5read *r)
{
    if (h5read_close(r))
        j->changed = true;
}

const char *bytes_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int k = 0;
    for (; value >= 1024 && k < 4; k++)
        value /= 1024;
    snprintf(text, 32, value < 10 && k ? "%.1f %s" : "%.0f %s", value, units[k]);
    return text;
}

bool is_metric(const h5read_item *item)
{
    return strncmp(item->path, "metrics/", 8) == 0 && !item->is_group && !item->is_text && item->ndim == 1;
}
