/* SPDX-License-Identifier: MIT
 *
 * h5log.c - the log as callers see it: checks and copies what is logged, and puts it into the queue.
 */
#define _GNU_SOURCE
#include "h5log_parts.h"

#include "h5file.h"
#include "h5scale.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_COLUMNS 4096
#define ATTRIBUTE_BYTES 60000 /* more is no attribute any more */

/* ---- small things ----------------------------------------------------------------------------------------------- */

static int check_name(const char *what, const char *name, lstm_error *err)
{
    if (name && h5_name_ok(name, strlen(name)))
        return 0;
    return lstm_fail(err, what, "'%.70s' cannot be a name in the log: 1 to 63 bytes of UTF-8 without '/', control "
                     "characters or blanks at the ends expected", name ? name : "");
}

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Valid UTF-8 of at most limit bytes: what is not valid becomes U+FFFD, as does NUL, which would end the text; what is
 * too much is left out. To be freed; ends with NUL. */
static char *clean_text(const char *text, size_t length, size_t limit, size_t *clean_length)
{
    char *clean = malloc(limit + 4);
    size_t n = 0, k = 0;
    while (clean && k < length) {
        uint32_t code;
        size_t size = lstm_utf8_decode(text + k, length - k, &code);
        bool valid = size && code;
        const char *from = valid ? text + k : REPLACEMENT;
        size_t bytes = valid ? size : strlen(REPLACEMENT);
        if (n + bytes > limit)
            break;
        memcpy(clean + n, from, bytes);
        n += bytes;
        k += size ? size : 1;
    }
    if (clean)
        clean[n] = 0;
    *clean_length = n;
    return clean;
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

/* mutex is held. */
int h5log_state(const h5log *log, lstm_error *err)
{
    if (!log->failed || log->abandoned)
        return 0;
    if (err)
        *err = log->error;
    return -1;
}

/* mutex is held. A message larger than the whole queue waits until that is empty. */
static bool has_room(const h5log *log, const message *m)
{
    return log->queued == 0 || log->queued + sizeof *m + m->size <= log->options.queue_bytes;
}

/* mutex is held, and released while waiting. */
static void wait_for_room(h5log *log, const message *m)
{
    double start = h5log_seconds(CLOCK_MONOTONIC);
    log->stats.waits++;
    h5log_hurry(log);
    while (!has_room(log, m) && !log->failed)
        pthread_cond_wait(&log->taken, &log->mutex);
    log->stats.wait_seconds += h5log_seconds(CLOCK_MONOTONIC) - start;
}

/* mutex is held, and released while waiting. Steps within what `last` belongs to may not decrease. Takes m. */
static int enqueue(h5log *log, message *m, int64_t *last, lstm_error *err)
{
    int result = h5log_state(log, err);
    bool drop = log->abandoned || result;
    if (!drop && m->step < *last) {
        result = lstm_fail(err, "step", "step %lld after step %lld: steps of the log may not decrease",
                           (long long)m->step, (long long)*last);
        drop = true;
    }
    if (!drop && !has_room(log, m)) {
        if (log->options.drop && m->kind != EVENT) {
            h5log_hurry(log);
            log->stats.dropped++;
            drop = true;
        } else {
            wait_for_room(log, m);
            drop = (result = h5log_state(log, err)) != 0;
        }
    }
    if (drop) {
        free(m);
        return result;
    }
    *last = m->step;
    log->stats.rows += m->kind == ROW;
    log->stats.records += m->kind != ROW;
    log->stats.bytes += m->size;
    h5log_enqueue(log, m);
    return 0;
}

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

/* mutex is held. */
static h5column *find_column(h5log *log, const char *name, lstm_error *err)
{
    for (size_t k = 0; k < log->ncolumns; k++)
        if (strcmp(log->columns[k]->name, name) == 0)
            return log->columns[k];
    if (check_name("metric", name, err))
        return NULL;
    if (strcmp(name, "step") == 0) {
        lstm_fail(err, "metric", "'step' is the table's own column; give the value another name");
        return NULL;
    }
    if (log->ncolumns == MOST_COLUMNS) {
        lstm_fail(err, "metric", "'%s' would be metric number %d: too many; log it as a tensor", name,
                  MOST_COLUMNS + 1);
        return NULL;
    }
    h5column **all = realloc(log->columns, (log->ncolumns + 1) * sizeof *all);
    if (all)
        log->columns = all;
    h5column *column = all ? h5column_new(name) : NULL;
    if (!column) {
        lstm_fail(err, "", "out of memory for metric '%s'", name);
        return NULL;
    }
    return log->columns[log->ncolumns++] = column;
}

int h5log_columns(h5log *log, size_t n, const char *const *names, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    int result = h5log_state(log, err);
    bool skip = result || log->abandoned;
    for (size_t k = 0; k < n && !skip; k++) {
        h5column *c = find_column(log, names[k], err);
        if (!c) {
            result = -1;
            break;
        }
        h5_enter();
        if (h5metrics_add(log->metrics, c))
            result = h5log_write_fault(log, err);
        h5_leave();
        skip = result != 0;
    }
    h5log_note_change(log);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

int h5log_row(h5log *log, int64_t step, size_t n, const char *const *names, const double *values, lstm_error *err)
{
    message *m = n < SIZE_MAX / sizeof(h5cell) ? h5log_new_message(ROW, step, n * sizeof(h5cell), err) : NULL;
    if (!m)
        return -1;
    h5cell *cells = (h5cell *)(void *)m->data;
    int result = 0;
    pthread_mutex_lock(&log->mutex);
    for (size_t k = 0; k < n && !result; k++) {
        cells[k] = (h5cell){find_column(log, names[k], err), values[k]};
        result = cells[k].column ? 0 : -1;
    }
    if (result)
        free(m);
    else
        result = enqueue(log, m, &log->last_row_step, err);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* ---- series ----------------------------------------------------------------------------------------------------- */

static bool reserved(const char *leaf)
{
    return strcmp(leaf, "step") == 0 || strcmp(leaf, "record") == 0;
}

/* "group/dataset", where the group may be a path: checks it and finds the slash. */
static int check_series_name(const char *name, const char **slash, lstm_error *err)
{
    *slash = name ? strrchr(name, '/') : NULL;
    bool good = *slash && strlen(name) < H5RECORDS_PATH_SIZE && h5_name_ok(*slash + 1, strlen(*slash + 1)) &&
                !reserved(*slash + 1);
    for (const char *part = name; good && part <= *slash; part += strcspn(part, "/") + 1)
        good = h5_name_ok(part, strcspn(part, "/"));
    static const char *const taken[] = {"metrics", "samples", "events", "config", "environment", "vocabulary"};
    for (size_t k = 0; good && k < sizeof taken / sizeof *taken; k++)
        good = strcspn(name, "/") != strlen(taken[k]) || strncmp(name, taken[k], strlen(taken[k])) != 0;
    return good ? 0 : lstm_fail(err, "name", "'%.100s' cannot name a series: 'group/name' expected, neither in a group "
                                "of the log's own (metrics, samples, ...) nor named step or record", name ? name : "");
}

static int check_dims(const h5log_series *c, const char *leaf, lstm_error *err)
{
    size_t bytes = h5type_size(c->type);
    for (int d = 0; d < c->ndim; d++) {
        const h5log_dim *dim = &c->dim[d];
        if (check_name("dim", dim->name, err))
            return -1;
        if (reserved(dim->name) || strcmp(dim->name, leaf) == 0)
            return lstm_fail(err, "dim", "series '%s': a dimension cannot be named '%s'", c->name, dim->name);
        if (dim->size == 0 || dim->size > INT32_MAX || bytes > (SIZE_MAX >> 1) / dim->size)
            return lstm_fail(err, "dim", "series '%s': dimension '%s' has an impossible size, %zu", c->name, dim->name,
                             dim->size);
        for (int e = 0; e < d; e++)
            if (strcmp(c->dim[e].name, dim->name) == 0)
                return lstm_fail(err, "dim", "series '%s' has two dimensions named '%s'", c->name, dim->name);
        bytes *= dim->size;
    }
    return 0;
}

static int check_series(const h5log_series *c, const char **slash, lstm_error *err)
{
    if (check_series_name(c->name, slash, err))
        return -1;
    if (c->type != H5_F32 && c->type != H5_F64 && c->type != H5_I32 && c->type != H5_I64 && c->type != H5_TEXT)
        return lstm_fail(err, "type", "series '%s': float32, float64, int32, int64 or text expected", c->name);
    if (c->ndim < 0 || c->ndim > H5_MAX_DIMS)
        return lstm_fail(err, "dim", "series '%s': 0 to %d dimensions expected, got %d", c->name, H5_MAX_DIMS, c->ndim);
    if (c->deflate < H5LOG_PLAIN || c->deflate > 9)
        return lstm_fail(err, "deflate", "series '%s': H5LOG_PLAIN or 0 to 9 expected, got %d", c->name, c->deflate);
    if (c->keepbits < 0 || c->keepbits > 22 || (c->keepbits && c->type != H5_F32))
        return lstm_fail(err, "keepbits", "series '%s': 1 to 22 expected, for float32 only, got %d", c->name,
                         c->keepbits);
    return check_dims(c, *slash + 1, err);
}

/* mutex is held. */
static log_series *find_series(const h5log *log, const char *name)
{
    for (log_series *s = log->series; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static int same_as_before(const h5series *s, const h5log_series *c, lstm_error *err)
{
    bool same = s->type == c->type && s->ndim == c->ndim;
    for (int d = 0; same && d < s->ndim; d++)
        same = s->shape[d] == c->dim[d].size && strcmp(s->dim[d], c->dim[d].name) == 0;
    return same ? 0 : lstm_fail(err, "dim", "series '%s' was announced with another type or shape", c->name);
}

/* Between h5_enter and h5_leave. */
static h5series *make_series(h5log *log, const h5log_series *c, const char *slash, log_group **group, lstm_error *err)
{
    char path[H5RECORDS_PATH_SIZE];
    snprintf(path, sizeof path, "%.*s", (int)(slash - c->name), c->name);
    lstm_error why = {0};
    *group = h5log_open_group(log, path);
    h5series *s = *group ? h5records_announce((*group)->records, c, &why) : NULL;
    if (!s && why.message[0] && err)
        *err = why;
    else if (!s)
        h5log_write_fault(log, err);
    return s;
}

/* mutex is held. */
static int add_series(h5log *log, const h5log_series *c, const char *slash, lstm_error *err)
{
    log_series *entry = calloc(1, sizeof *entry);
    if (!entry || !(entry->name = strdup(c->name))) {
        free(entry);
        return lstm_fail(err, "", "out of memory for series '%s'", c->name);
    }
    h5_enter();
    entry->series = make_series(log, c, slash, &entry->group, err);
    h5_leave();
    if (!entry->series) {
        free(entry->name);
        free(entry);
        return -1;
    }
    entry->next = log->series;
    log->series = entry;
    h5log_note_change(log);
    return 0;
}

int h5log_announce(h5log *log, const h5log_series *c, lstm_error *err)
{
    const char *slash;
    if (check_series(c, &slash, err))
        return -1;
    pthread_mutex_lock(&log->mutex);
    int result = h5log_state(log, err);
    if (!result && !log->abandoned) {
        log_series *known = find_series(log, c->name);
        result = known ? same_as_before(known->series, c, err) : add_series(log, c, slash, err);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* Looks a series up and checks a record's shape (NULL: as announced). *bytes: of the record. */
static log_series *check_record(h5log *log, const char *name, const size_t *shape, size_t *bytes, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    log_series *s = find_series(log, name);
    pthread_mutex_unlock(&log->mutex);
    if (!s) {
        lstm_fail(err, "series", "'%s' was not announced", name);
        return NULL;
    }
    *bytes = h5type_size(s->series->type);
    for (int d = 0; d < s->series->ndim; d++) {
        size_t n = shape ? shape[d] : s->series->shape[d];
        if (n > s->series->shape[d]) {
            lstm_fail(err, "shape", "series '%s': size %zu in dimension '%s' is more than the %zu announced", name, n,
                      s->series->dim[d], s->series->shape[d]);
            return NULL;
        }
        *bytes *= n;
    }
    return s;
}

static message *new_record(const log_series *s, int64_t step, const size_t *shape, size_t bytes, lstm_error *err)
{
    message *m = h5log_new_message(RECORD, step, bytes, err);
    if (!m)
        return NULL;
    m->series = s->series;
    m->whole = true;
    for (int d = 0; shape && d < s->series->ndim; d++) {
        m->shape[d] = shape[d];
        m->whole = m->whole && shape[d] == s->series->shape[d];
    }
    return m;
}

static int enqueue_record(h5log *log, const log_series *s, message *m, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    int result = enqueue(log, m, &s->group->last_step, err);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* After h5log_abandon nothing was announced, perhaps. */
static bool is_abandoned(h5log *log)
{
    pthread_mutex_lock(&log->mutex);
    bool yes = log->abandoned;
    pthread_mutex_unlock(&log->mutex);
    return yes;
}

int h5log_array(h5log *log, const char *series, int64_t step, const size_t *shape, const void *data, lstm_error *err)
{
    size_t bytes;
    if (is_abandoned(log))
        return 0;
    log_series *s = check_record(log, series, shape, &bytes, err);
    if (s && s->series->type == H5_TEXT)
        return lstm_fail(err, "series", "'%s' holds texts", series);
    message *m = s ? new_record(s, step, shape, bytes, err) : NULL;
    if (!m)
        return -1;
    memcpy(m->data, data, bytes);
    return enqueue_record(log, s, m, err);
}

/* The texts one after another, each with its NUL, as valid UTF-8. NULL: out of memory. */
static message *new_texts(h5log *log, const log_series *s, int64_t step, const size_t *shape, size_t n,
                          const char *const *texts, lstm_error *err)
{
    size_t size = 0, used;
    for (size_t k = 0; k < n; k++)
        size += 3 * strlen(texts[k]) + 1; /* U+FFFD takes three bytes */
    message *m = new_record(s, step, shape, size, err);
    for (size_t k = 0, at = 0; m && k < n; k++, at += used + 1, m->size = at) {
        char *clean = clean_text(texts[k], strlen(texts[k]), log->options.text_bytes, &used);
        if (!clean) {
            free(m);
            lstm_fail(err, "", "out of memory for texts");
            return NULL;
        }
        memcpy(m->data + at, clean, used + 1);
        free(clean);
    }
    return m;
}

int h5log_texts(h5log *log, const char *series, int64_t step, const size_t *shape, const char *const *texts,
                lstm_error *err)
{
    size_t bytes;
    if (is_abandoned(log))
        return 0;
    log_series *s = check_record(log, series, shape, &bytes, err);
    if (s && s->series->type != H5_TEXT)
        return lstm_fail(err, "series", "'%s' does not hold texts", series);
    message *m = s ? new_texts(log, s, step, shape, bytes / h5type_size(H5_TEXT), texts, err) : NULL;
    return m ? enqueue_record(log, s, m, err) : -1;
}

/* The record's shape from its parts, which must be of one shape. */
static int shape_of_parts(const h5series *s, const char *name, size_t n, const lstm_tensor *parts, size_t *shape,
                          lstm_error *err)
{
    bool stacked = n > 0 && parts[0].ndim == s->ndim - 1;
    if (n == 0 || (!stacked && !(n == 1 && parts[0].ndim == s->ndim)))
        return lstm_fail(err, "parts", "series '%s' has %d dimensions: one tensor of as many, or several of one less "
                         "expected, got %zu of %d", name, s->ndim, n, n ? parts[0].ndim : 0);
    if (stacked)
        shape[0] = n;
    for (size_t k = 0; k < n; k++) {
        h5type type = parts[k].type == LSTM_F64 ? H5_F64 : H5_F32;
        if (type != s->type)
            return lstm_fail(err, "parts", "series '%s' holds %s, this tensor is %s", name, h5type_name(s->type),
                             h5type_name(type));
        for (int d = 0; d < parts[k].ndim; d++) {
            size_t size = parts[k].axis[d].size;
            if (k && (parts[k].ndim != parts[0].ndim || size != parts[0].axis[d].size))
                return lstm_fail(err, "parts", "series '%s': the tensors differ in shape", name);
            shape[stacked + d] = size;
        }
    }
    return 0;
}

int h5log_tensors(h5log *log, const char *series, int64_t step, size_t n, const lstm_tensor *parts, lstm_error *err)
{
    size_t bytes, shape[H5_MAX_DIMS] = {0};
    if (is_abandoned(log))
        return 0;
    log_series *s = check_record(log, series, shape, &bytes, err);
    if (!s || shape_of_parts(s->series, series, n, parts, shape, err) || !check_record(log, series, shape, &bytes, err))
        return -1;
    message *m = new_record(s, step, shape, bytes, err);
    if (!m)
        return -1;
    for (size_t k = 0; k < n; k++)
        lstm_tensor_read(&parts[k], 0, lstm_tensor_size(&parts[k]), m->data + k * (bytes / n));
    return enqueue_record(log, s, m, err);
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

int h5log_sample(h5log *log, int64_t step, const char *text, size_t length, lstm_error *err)
{
    size_t n;
    char *clean = clean_text(text, length, log->options.text_bytes, &n);
    message *m = clean ? h5log_new_message(SAMPLE, step, n + 1, err) : NULL;
    int result = -1;
    if (m) {
        memcpy(m->data, clean, n + 1);
        m->shape[0] = length;
        pthread_mutex_lock(&log->mutex);
        result = enqueue(log, m, &log->last_sample_step, err);
        pthread_mutex_unlock(&log->mutex);
    } else if (!clean) {
        lstm_fail(err, "", "out of memory for a text sample");
    }
    free(clean);
    return result;
}

/* kind and text with the NUL that ends them */
static int enqueue_event(h5log *log, int64_t step, const char *kind, const char *text, lstm_error *err)
{
    size_t nkind = strlen(kind) + 1, ntext = strlen(text) + 1;
    message *m = h5log_new_message(EVENT, step, nkind + ntext, err);
    if (!m)
        return -1;
    m->time = h5log_seconds(CLOCK_REALTIME);
    memcpy(m->data, kind, nkind);
    memcpy(m->data + nkind, text, ntext);
    pthread_mutex_lock(&log->mutex);
    int result = enqueue(log, m, &log->last_event_step, err);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

int h5log_event(h5log *log, int64_t step, const char *kind, const char *text, lstm_error *err)
{
    size_t nkind = strlen(kind), ntext = strlen(text), most = strlen(REPLACEMENT); /* bytes for each of theirs */
    char *clean_kind = clean_text(kind, nkind, most * nkind, &nkind);
    char *clean = clean_text(text, ntext, most * ntext, &ntext);
    int result = clean_kind && clean ? enqueue_event(log, step, clean_kind, clean, err)
                                     : lstm_fail(err, "", "out of memory for an event");
    free(clean_kind);
    free(clean);
    return result;
}

/* ---- said once -------------------------------------------------------------------------------------------------- */

/* Writes `what` to the file; called between h5_enter and h5_leave. */
typedef int put_function(hid_t file, const void *what);

static int put_once(h5log *log, put_function *put, const void *what, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    int result = h5log_state(log, err);
    if (!result && !log->abandoned) {
        h5_enter();
        if (put(log->file, what))
            result = h5log_write_fault(log, err);
        h5_leave();
        h5log_note_change(log);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

typedef struct value {
    const char *group, *name;
    const char *text; /* or NULL, and then a number */
    bool is_integer;
    int64_t integer;
    double number;
} value;

static int put_value(hid_t file, const void *what)
{
    const value *v = what;
    hid_t object = h5_make_group(file, v->group);
    int result = object < 0     ? -1
                 : v->text       ? h5_put_text(object, v->name, v->text)
                 : v->is_integer ? h5_put_integer(object, v->name, v->integer)
                                 : h5_put_number(object, v->name, v->number);
    h5_close(object);
    return result;
}

static int set_value(h5log *log, const value *v, lstm_error *err)
{
    if (check_name("group", v->group, err) || check_name("name", v->name, err))
        return -1;
    return put_once(log, put_value, v, err);
}

int h5log_set_text(h5log *log, const char *group, const char *name, const char *text, lstm_error *err)
{
    size_t n;
    char *clean = clean_text(text, strlen(text), ATTRIBUTE_BYTES, &n);
    if (!clean)
        return lstm_fail(err, "", "out of memory for '%s'", name);
    int result = set_value(log, &(value){.group = group, .name = name, .text = clean}, err);
    free(clean);
    return result;
}

int h5log_set_integer(h5log *log, const char *group, const char *name, int64_t integer, lstm_error *err)
{
    return set_value(log, &(value){.group = group, .name = name, .is_integer = true, .integer = integer}, err);
}

int h5log_set_number(h5log *log, const char *group, const char *name, double number, lstm_error *err)
{
    return set_value(log, &(value){.group = group, .name = name, .number = number}, err);
}

/* A string dataset, since an attribute's size is limited. */
static int put_json(hid_t file, const void *json)
{
    hid_t group = h5_make_group(file, "config"), type = h5_text_type(), space = H5Screate(H5S_SCALAR);
    htri_t there = group >= 0 ? H5Lexists(group, "json", H5P_DEFAULT) : -1;
    hid_t dataset = -1;
    if (there >= 0 && type >= 0 && space >= 0 && (!there || H5Ldelete(group, "json", H5P_DEFAULT) >= 0))
        dataset = H5Dcreate2(group, "json", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int result = dataset < 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &json) < 0;
    h5_close(dataset);
    h5_close(space);
    h5_close(type);
    h5_close(group);
    return result ? -1 : 0;
}

typedef struct text_list {
    const char *group, *name;
    size_t n;
    const char *const *texts;
} text_list;

static int put_texts(hid_t file, const void *what)
{
    const text_list *list = what;
    h5dataset d = H5DATASET_NONE;
    hid_t group = h5_make_group(file, list->group), type = h5_text_type();
    htri_t there = group >= 0 ? H5Lexists(group, list->name, H5P_DEFAULT) : -1;
    int result = there < 0 || type < 0;
    if (!result && !there)
        result = h5dataset_create_fixed(&d, group, list->name, type, type, list->n, list->texts) ||
                 h5scale_set(d.id, list->name);
    h5dataset_close(&d);
    h5_close(type);
    h5_close(group);
    return result ? -1 : 0;
}

int h5log_set_texts(h5log *log, const char *group, const char *name, size_t n, const char *const *texts,
                    lstm_error *err)
{
    if (check_name("group", group, err) || check_name("name", name, err))
        return -1;
    for (size_t k = 0; k < n; k++)
        if (lstm_utf8_fault(texts[k], strlen(texts[k])) != strlen(texts[k]))
            return lstm_fail(err, "texts", "text %zu of '%s' is not valid UTF-8", k, name);
    return put_once(log, put_texts, &(text_list){group, name, n, texts}, err);
}

int h5log_set_json(h5log *log, const char *json, lstm_error *err)
{
    if (lstm_utf8_fault(json, strlen(json)) != strlen(json))
        return lstm_fail(err, "json", "the configuration is not valid UTF-8");
    return put_once(log, put_json, json, err);
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

int h5log_flush(h5log *log, lstm_error *err)
{
    message *m = h5log_new_message(FLUSH, 0, 0, err);
    if (!m)
        return -1;
    pthread_mutex_lock(&log->mutex);
    int result = h5log_state(log, err);
    if (result || log->abandoned) {
        free(m);
    } else {
        uint64_t mine = ++log->flushes_wanted;
        h5log_enqueue(log, m);
        while (log->flushes_done < mine)
            pthread_cond_wait(&log->taken, &log->mutex);
        result = h5log_state(log, err);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

void h5log_abandon(h5log *log)
{
    pthread_mutex_lock(&log->mutex);
    log->abandoned = true;
    pthread_cond_broadcast(&log->taken);
    pthread_mutex_unlock(&log->mutex);
}

void h5log_get_stats(h5log *log, h5log_stats *stats)
{
    pthread_mutex_lock(&log->mutex);
    *stats = log->stats;
    pthread_mutex_unlock(&log->mutex);
    clockid_t clock;
    stats->writer_seconds = pthread_getcpuclockid(log->thread, &clock) ? 0 : h5log_seconds(clock);
}
