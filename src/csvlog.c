/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "csvlog.h"

#include "fileio.h"

#include <errno.h>
#include <float.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_BYTES (64 * 1024)
#define FLUSH_SECONDS 1.0
#define MOST_HEADER_BYTES (1024 * 1024)
#define CELL 40 /* bytes that a step or a number needs at most, with what separates it from the next */

typedef struct column {
    char *name;
    double value; /* of the current line, when present */
    bool present;
} column;

struct csvlog {
    char *path;
    int fd;
    column *columns; /* without "step"; NULL: not settled yet */
    size_t ncolumns;
    char *left_out;
    bool has_row;    /* there is a current line: */
    int64_t step;
    size_t line;     /* bytes of the last line that went to the buffer; 0: none did */
    char *buffer;    /* lines not written yet */
    size_t used, room;
    double flushed;  /* when, in seconds */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int out_of_memory(const csvlog *csv, lstm_error *err)
{
    return fileio_fail(err, "cannot write", csv->path, ENOMEM);
}

/* ---- the buffer ------------------------------------------------------------------------------------------------- */

/* False: out of memory. Room is made for a whole line: it is in the buffer, or nothing of it. */
static bool make_room(csvlog *csv, size_t n)
{
    if (n <= csv->room - csv->used)
        return true;
    size_t room = 2 * (csv->used + n) + 1024;
    char *buffer = realloc(csv->buffer, room);
    if (!buffer)
        return false;
    csv->buffer = buffer;
    csv->room = room;
    return true;
}

static void put(csvlog *csv, const char *text, size_t n)
{
    memcpy(csv->buffer + csv->used, text, n);
    csv->used += n;
}

/* A name that has commas, quotes or line ends goes between quotes, which are doubled inside (RFC 4180). */
static void put_name(csvlog *csv, const char *name)
{
    if (!strpbrk(name, ",\"\r\n")) {
        put(csv, name, strlen(name));
        return;
    }
    put(csv, "\"", 1);
    for (; *name; name++) {
        if (*name == '"')
            put(csv, name, 1);
        put(csv, name, 1);
    }
    put(csv, "\"", 1);
}

/* Puts a point for the locale's, which a program that loads the module may have chosen; returns the length. */
static size_t with_point(char *text)
{
    const char *locals = localeconv()->decimal_point;
    const size_t width = strlen(locals);
    char *at = width && strcmp(locals, ".") != 0 ? strstr(text, locals) : NULL;
    if (at) {
        *at = '.';
        memmove(at + 1, at + width, strlen(at + width) + 1);
    }
    return strlen(text);
}

/* The fewest digits that read back as the same number. %g drops zeros at the end, and a number that so few as 15 digits
 * tell from its neighbours is printed as these digits (C11 5.2.4.2.2, DBL_DIG): fewer need not be tried. */
static void put_number(csvlog *csv, double value)
{
    char text[CELL];
    int digits = DBL_DIG;
    if (isnan(value)) {
        put(csv, "nan", 3);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (++digits <= DBL_DECIMAL_DIG && strtod(text, NULL) != value);
    put(csv, text, with_point(text));
}

static int write_out(csvlog *csv, lstm_error *err)
{
    size_t done;
    csv->flushed = now();
    if (!csv->used)
        return 0;
    int error = fileio_write(csv->fd, csv->buffer, csv->used, &done);
    /* What is not written stays: when there is space again, no line is missing or written twice. */
    memmove(csv->buffer, csv->buffer + done, csv->used - done);
    csv->used -= done;
    return error ? fileio_fail(err, "cannot write", csv->path, error) : 0;
}

/* ---- columns ---------------------------------------------------------------------------------------------------- */

static void free_columns(csvlog *csv)
{
    for (size_t k = 0; k < csv->ncolumns; k++)
        free(csv->columns[k].name);
    free(csv->columns);
    csv->columns = NULL;
    csv->ncolumns = 0;
}

/* Takes n columns. False: out of memory; there may be some then. */
static bool set_columns(csvlog *csv, size_t n, const char *const *names)
{
    csv->columns = calloc(n + 1, sizeof *csv->columns);
    if (!csv->columns)
        return false;
    for (; csv->ncolumns < n; csv->ncolumns++)
        if (!(csv->columns[csv->ncolumns].name = strdup(names[csv->ncolumns])))
            return false;
    return true;
}

static bool put_header(csvlog *csv)
{
    size_t most = sizeof "step\n";
    for (size_t k = 0; k < csv->ncolumns; k++)
        most += 2 * strlen(csv->columns[k].name) + sizeof ",\"\"";
    if (!make_room(csv, most))
        return false;
    put(csv, "step", 4);
    for (size_t k = 0; k < csv->ncolumns; k++) {
        put(csv, ",", 1);
        put_name(csv, csv->columns[k].name);
    }
    put(csv, "\n", 1);
    return true;
}

int csvlog_columns(csvlog *csv, size_t n, const char *const *names, lstm_error *err)
{
    if (csv->columns || (set_columns(csv, n, names) && put_header(csv)))
        return 0;
    free_columns(csv);
    return out_of_memory(csv, err);
}

const char *csvlog_left_out(const csvlog *csv)
{
    return csv->left_out;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool put_row(csvlog *csv)
{
    char step[CELL];
    if (!make_room(csv, (csv->ncolumns + 1) * CELL))
        return false;
    const size_t start = csv->used;
    put(csv, step, (size_t)snprintf(step, sizeof step, "%lld", (long long)csv->step));
    for (size_t k = 0; k < csv->ncolumns; k++) {
        put(csv, ",", 1);
        if (csv->columns[k].present)
            put_number(csv, csv->columns[k].value);
    }
    put(csv, "\n", 1);
    csv->has_row = false;
    csv->line = csv->used - start;
    return true;
}

/* The last line becomes the current one again: a flush ended it, and there is more to say of its step. */
static int take_back(csvlog *csv, lstm_error *err)
{
    size_t written = 0; /* of the line; the rest is in the buffer still */
    if (csv->line > csv->used) {
        written = csv->line - csv->used;
        if (ftruncate(csv->fd, lseek(csv->fd, 0, SEEK_END) - (off_t)written) != 0)
            return fileio_fail(err, "cannot shorten", csv->path, errno);
    }
    csv->used -= csv->line - written;
    csv->has_row = true;
    return 0;
}

static void begin_row(csvlog *csv, int64_t step)
{
    for (size_t k = 0; k < csv->ncolumns; k++)
        csv->columns[k].present = false;
    csv->has_row = true;
    csv->step = step;
}

static int set_value(csvlog *csv, const char *name, double value)
{
    for (size_t k = 0; k < csv->ncolumns; k++)
        if (strcmp(csv->columns[k].name, name) == 0) {
            csv->columns[k].value = value;
            csv->columns[k].present = true;
            return 0;
        }
    if (!csv->left_out && !(csv->left_out = strdup(name)))
        return -1;
    return 0;
}

int csvlog_row(csvlog *csv, int64_t step, size_t n, const char *const *names, const double *values, lstm_error *err)
{
    const bool again = !csv->has_row && csv->line && csv->step == step;
    if (csvlog_columns(csv, n, names, err) || (again && take_back(csv, err)))
        return -1;
    if (csv->has_row && csv->step != step && !put_row(csv))
        return out_of_memory(csv, err);
    if (!csv->has_row)
        begin_row(csv, step);
    for (size_t k = 0; k < n; k++)
        if (set_value(csv, names[k], values[k]))
            return out_of_memory(csv, err);
    if (again) /* what was on the disk has to be there */
        return csvlog_flush(csv, err);
    return csv->used >= FLUSH_BYTES || now() - csv->flushed >= FLUSH_SECONDS ? write_out(csv, err) : 0;
}

int csvlog_flush(csvlog *csv, lstm_error *err)
{
    if (csv->has_row && !put_row(csv))
        return out_of_memory(csv, err);
    return write_out(csv, err);
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static void free_csv(csvlog *csv)
{
    free_columns(csv);
    if (csv->fd >= 0)
        close(csv->fd);
    free(csv->left_out);
    free(csv->buffer);
    free(csv->path);
    free(csv);
}

static csvlog *open_csv(const char *path, int flags, lstm_error *err)
{
    csvlog *csv = calloc(1, sizeof *csv);
    if (!csv || !(csv->path = strdup(path))) {
        free(csv);
        fileio_fail(err, "cannot open", path, ENOMEM);
        return NULL;
    }
    csv->flushed = now();
    csv->fd = open(path, O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC | flags, 0666);
    if (csv->fd < 0) {
        fileio_fail(err, flags & O_EXCL ? "cannot create" : "cannot open", path, errno);
        free_csv(csv);
        return NULL;
    }
    return csv;
}

csvlog *csvlog_create(const char *path, lstm_error *err)
{
    return open_csv(path, O_CREAT | O_EXCL, err);
}

/* Takes one field off a line: text may be in quotes. *line is left behind its comma, or NULL at the end. */
static char *next_field(char **line)
{
    char *start = *line, *out = start, *p = start;
    bool quoted = *p == '"';
    p += quoted;
    while (*p && (quoted || *p != ',')) {
        if (quoted && *p == '"') {
            if (p[1] != '"') {
                quoted = false;
                p++;
                continue;
            }
            p++;
        }
        *out++ = *p++;
    }
    *line = *p ? p + 1 : NULL;
    *out = 0;
    return start;
}

/* The header's columns become ours. 0, -1: out of memory, 1: not a header of ours. */
static int adopt_header(csvlog *csv, char *line)
{
    size_t room = 1, n = 0;
    for (const char *p = line; *p; p++)
        room += *p == ',';
    const char **names = calloc(room + 1, sizeof *names);
    if (!names)
        return -1;
    int result = strcmp(next_field(&line), "step") == 0 ? 0 : 1;
    while (line && !result)
        names[n++] = next_field(&line);
    if (!result && !set_columns(csv, n, names))
        result = -1;
    free(names);
    return result;
}

/* Whether this line is of a step after `step`, or of none. */
static bool is_later(const char *line, int64_t step)
{
    char *end;
    errno = 0;
    long long s = strtoll(line, &end, 10);
    return end == line || errno || (*end != ',' && *end != '\n' && *end != 0) || s > step;
}

/* Reads the file's header and finds the end of what is to stay: whole lines up to the step. 0, -1: error, with errno,
 * or 1: the file is not ours. */
static int scan(csvlog *csv, FILE *file, int64_t step, off_t *keep)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, file);
    int result = 0;
    *keep = 0;
    if (n > 0 && line[n - 1] == '\n' && n < MOST_HEADER_BYTES) {
        line[n - 1] = 0;
        if (n > 1 && line[n - 2] == '\r')
            line[n - 2] = 0;
        *keep = n;
        result = adopt_header(csv, line);
    } else if (n > 0 && strncmp(line, "step", n < 4 ? (size_t)n : 4) != 0) {
        result = 1; /* neither a header nor the beginning of one */
    }
    while (!result && *keep && (n = getline(&line, &room, file)) > 0 && line[n - 1] == '\n' && !is_later(line, step))
        *keep += n;
    if (!result && n < 0 && !feof(file)) /* it could not be read, or there is no memory for a line */
        result = -1;
    free(line);
    return result;
}

static int cut(csvlog *csv, int64_t step, lstm_error *err)
{
    char room[128];
    struct stat st;
    off_t keep = 0;
    int copy = dup(csv->fd);
    FILE *file = copy >= 0 && !fstat(copy, &st) && S_ISREG(st.st_mode) ? fdopen(copy, "r") : NULL;
    if (!file) {
        if (copy >= 0)
            close(copy);
        return fileio_fail(err, "cannot read", csv->path, copy < 0 ? errno : EINVAL);
    }
    int result = scan(csv, file, step, &keep), error = errno;
    fclose(file);
    if (result > 0)
        return lstm_fail(err, "", "%s does not begin with a line 'step,...': not a metrics file of lstmrun",
                         fileio_short_path(csv->path, room));
    if (result < 0)
        return fileio_fail(err, "cannot read", csv->path, error);
    return ftruncate(csv->fd, keep) != 0 ? fileio_fail(err, "cannot shorten", csv->path, errno) : 0;
}

csvlog *csvlog_resume(const char *path, int64_t step, lstm_error *err)
{
    csvlog *csv = open_csv(path, O_CREAT, err);
    if (csv && cut(csv, step, err)) {
        free_csv(csv);
        return NULL;
    }
    return csv;
}

int csvlog_close(csvlog *csv, lstm_error *err)
{
    if (!csv)
        return 0;
    int result = csvlog_flush(csv, err);
    int fd = csv->fd;
    csv->fd = -1;
    const int error = fileio_close(fd);
    if (error && !result)
        result = fileio_fail(err, "cannot write", csv->path, error);
    free_csv(csv);
    return result;
}
