/* SPDX-License-Identifier: MIT
 *
 * lstmlog_export.c - lstmlog export: logs in the formats of others.
 *
 * CSV:     the metrics, a line for each step; or one series in long form, a line for each element, with its coordinates
 * NumPy:   DIR/GROUP/NAME.npy, as numpy.load reads it
 * LSTMVis: a project folder, which its server finds by the file lstm.yml:
 *     states in HDF5, a dataset [tokens, units] for each layer; word ids in HDF5, a dataset [tokens];
 *     a dictionary of lines "word id", where a word is without blanks (docs of LSTMVis: "Adding Your Own Data")
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include "h5checkpoint.h"
#include "utf8.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((size_t)4 << 20)

/* ---- files ------------------------------------------------------------------------------------------------------ */

static FILE *create(job *j, char path[PATH_MAX], const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", j->request->out, name) >= PATH_MAX) {
        complain(j, "%s: the path is too long", name);
        return NULL;
    }
    FILE *f = fopen(path, "w");
    if (!f)
        complain(j, "%s: %s", path, strerror(errno));
    return f;
}

/* Says what was written, or what went wrong. */
static int finish(job *j, FILE *f, const char *path, int result)
{
    errno = 0;
    bool failed = ferror(f) != 0;
    failed = fclose(f) != 0 || failed;
    if (!result && failed)
        return complain(j, "%s: %s", path, errno ? strerror(errno) : "cannot be written");
    if (!result)
        fprintf(j->out, "%s\n", path);
    return result;
}

/* Rows of a dataset that are read at once. */
static uint64_t rows_at_once(const h5read_item *item, size_t bytes)
{
    uint64_t row = h5read_row_elements(item) * bytes;
    return row && row < BLOCK ? BLOCK / row : 1;
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

static void print_csv_text(FILE *f, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

/* Nothing for NaN, as in metrics.csv. */
static void print_csv_number(FILE *f, double value, bool single)
{
    char text[40];
    if (isnan(value))
        return;
    h5read_decimal(value, single, text);
    fputs(text, f);
}

/* A table: datasets of one dimension, which all grow with the first one's. */
typedef struct table {
    const h5read_item **columns;
    double **values;
    size_t n, rows;
} table;

static void free_table(table *t)
{
    for (size_t k = 0; t->values && k < t->n; k++)
        free(t->values[k]);
    free(t->values);
    free(t->columns);
}

static int read_table(const h5read *r, table *t, lstm_error *err)
{
    size_t rows;
    t->columns = calloc(h5read_count(r) + 1, sizeof *t->columns);
    t->values = calloc(h5read_count(r) + 1, sizeof *t->values);
    if (!t->columns || !t->values)
        return lstm_fail(err, "", "out of memory");
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (strncmp(item->path, "metrics/", 8) != 0 || item->is_group || item->is_text || item->ndim != 1)
            continue;
        t->columns[t->n] = item;
        t->values[t->n] = read_numbers(r, item->path, &rows, err);
        if (!t->values[t->n++])
            return -1;
        if (t->n > 1 && rows != t->rows)
            return lstm_fail(err, "", "/%.80s has %zu rows, other columns have %zu; see lstmlog verify", item->path,
                             rows, t->rows);
        t->rows = rows;
    }
    return t->n ? 0 : lstm_fail(err, "", "the log has no metrics");
}

static int print_metrics(job *j, const h5read *r, FILE *f)
{
    table t = {0};
    lstm_error err = {0};
    int result = read_table(r, &t, &err);
    for (size_t c = 0; !result && c < t.n; c++) {
        if (c)
            fputc(',', f);
        print_csv_text(f, h5read_leaf(t.columns[c]->path));
    }
    for (size_t k = 0; !result && k < t.rows; k++)
        for (size_t c = 0; c < t.n; c++) {
            fputc(c ? ',' : '\n', f);
            print_csv_number(f, t.values[c][k], false);
        }
    if (!result)
        fputc('\n', f);
    free_table(&t);
    return result ? complain(j, "%s: %s", h5read_path(r), err.message) : 0;
}

/* A dimension's coordinates as texts, or NULL: then they are 0, 1, 2, ... */
typedef struct axis {
    char **labels;
    uint64_t size;
} axis;

static void free_labels(axis *a)
{
    for (uint64_t k = 0; a->labels && k < a->size; k++)
        free(a->labels[k]);
    free(a->labels);
}

static void free_axes(axis *axes)
{
    for (int d = 0; d < H5READ_DIMS; d++)
        free_labels(&axes[d]);
}

/* Reads the texts or numbers of a dimension's scale. a->size must be its size. */
static int read_labels(const h5read *r, const h5read_item *scale, axis *a, lstm_error *err)
{
    size_t bytes = scale->is_text ? scale->width : 8;
    char *room = malloc((size_t)scale->shape[0] * bytes + 1), number[40];
    a->labels = calloc((size_t)scale->shape[0] + 1, sizeof *a->labels);
    int result = room && a->labels ? h5read_rows(r, scale, 0, scale->shape[0], H5_F64, room, err)
                                   : lstm_fail(err, "", "out of memory");
    for (uint64_t k = 0; !result && k < scale->shape[0]; k++) {
        if (!scale->is_text) {
            double value;
            memcpy(&value, room + k * 8, 8);
            h5read_decimal(value, false, number);
        }
        a->labels[k] = scale->is_text ? strndup(room + k * bytes, bytes) : strdup(number);
        if (!a->labels[k])
            result = lstm_fail(err, "", "out of memory");
    }
    free(room);
    return result;
}

static int read_axes(const h5read *r, const h5read_item *item, axis *axes, lstm_error *err)
{
    for (int d = 1; d < item->ndim; d++) {
        char path[512];
        path_beside(item->path, item->dim[d], path);
        const h5read_item *scale = item->dim[d][0] ? h5read_find(r, path) : NULL;
        axes[d].size = item->shape[d];
        if (scale && !scale->is_group && scale->ndim == 1 && scale->shape[0] == item->shape[d] && scale != item &&
            read_labels(r, scale, &axes[d], err))
            return -1;
    }
    return 0;
}

static void print_element(FILE *f, const h5read_item *item, const void *room, uint64_t k)
{
    if (item->is_text) {
        char *text = strndup((const char *)room + k * item->width, item->width);
        print_csv_text(f, text ? text : "");
        free(text);
    } else if (item->type == H5_F32 || item->type == H5_F64) {
        print_csv_number(f, ((const double *)room)[k], item->type == H5_F32);
    } else {
        fprintf(f, "%lld", (long long)((const int64_t *)room)[k]);
    }
}

/* The lines of one row (record) of a series: all of its elements. */
static void print_elements(FILE *f, const h5read_item *item, const axis *axes, int64_t record, const int64_t *steps,
                           const void *room, uint64_t offset)
{
    uint64_t n = h5read_row_elements(item);
    for (uint64_t k = 0; k < n; k++) {
        uint64_t rest = k, size = n;
        fprintf(f, "%lld", (long long)record);
        if (steps)
            fprintf(f, ",%lld", (long long)steps[record]);
        for (int d = 1; d < item->ndim; d++) {
            size /= item->shape[d];
            uint64_t at = rest / size;
            rest %= size;
            fputc(',', f);
            if (axes[d].labels)
                print_csv_text(f, axes[d].labels[at]);
            else
                fprintf(f, "%llu", (unsigned long long)at);
        }
        fputc(',', f);
        print_element(f, item, room, offset + k);
        fputc('\n', f);
    }
}

static void print_series_head(FILE *f, const h5read_item *item, bool has_steps)
{
    fputs(item->dim[0][0] && strcmp(item->dim[0], "step") != 0 ? item->dim[0] : "row", f);
    if (has_steps)
        fputs(",step", f);
    for (int d = 1; d < item->ndim; d++) {
        fputc(',', f);
        item->dim[d][0] ? print_csv_text(f, item->dim[d]) : (void)fprintf(f, "dim%d", d);
    }
    fputs(",value\n", f);
}

/* All of a series, in blocks of rows. */
static int print_rows(const h5read *r, const h5read_item *item, const axis *axes, const int64_t *steps, FILE *f,
                      lstm_error *err)
{
    bool real = item->type == H5_F32 || item->type == H5_F64;
    size_t bytes = item->is_text ? item->width : 8;
    uint64_t block = rows_at_once(item, bytes), row = h5read_row_elements(item);
    void *room = malloc((size_t)(block * row * bytes) + 8);
    int result = room ? 0 : lstm_fail(err, "", "out of memory for /%.100s", item->path);
    for (uint64_t k = 0; !result && k < item->shape[0]; k += block) {
        uint64_t n = block < item->shape[0] - k ? block : item->shape[0] - k;
        result = h5read_rows(r, item, k, n, real ? H5_F64 : H5_I64, room, err);
        for (uint64_t m = 0; !result && m < n; m++)
            print_elements(f, item, axes, (int64_t)(k + m), steps, room, m * row);
    }
    free(room);
    return result;
}

static int print_series(job *j, const h5read *r, const h5read_item *item, FILE *f)
{
    axis axes[H5READ_DIMS] = {0};
    char path[512];
    size_t n = 0;
    lstm_error err = {0};
    path_beside(item->path, "step", path);
    const h5read_item *step = h5read_find(r, path);
    int64_t *steps = step && step != item ? read_integers(r, path, &n, &err) : NULL;
    int result = 0;
    if (steps && n != item->shape[0]) { /* a coordinate: it does not grow with the records */
        free(steps);
        steps = NULL;
    }
    result = read_axes(r, item, axes, &err);
    if (!result) {
        print_series_head(f, item, steps != NULL);
        result = print_rows(r, item, axes, steps, f, &err);
    }
    free(steps);
    free_axes(axes);
    return result ? complain(j, "%s: %s", h5read_path(r), err.message) : 0;
}

static int export_csv(job *j, const h5read *r)
{
    const char *name = j->request->series ? j->request->series : "metrics";
    name += *name == '/';
    const h5read_item *item = h5read_find(r, name);
    char path[PATH_MAX], file[512];
    bool is_metrics = strcmp(name, "metrics") == 0;
    if (!is_metrics && (!item || item->is_group || item->ndim == 0))
        return complain(j, "%s has no series '%s'; lstmlog show lists them", h5read_path(r), name);
    if (!j->request->out)
        return is_metrics ? print_metrics(j, r, j->out) : print_series(j, r, item, j->out);
    snprintf(file, sizeof file, "%s.csv", name);
    for (char *c = file; *c; c++)
        if (*c == '/')
            *c = '-';
    FILE *f = create(j, path, file);
    if (!f)
        return 1;
    return finish(j, f, path, is_metrics ? print_metrics(j, r, f) : print_series(j, r, item, f));
}

/* ---- NumPy ------------------------------------------------------------------------------------------------------ */

/* The head of a .npy file, version 1.0: magic, length, a Python dictionary, blanks up to a multiple of 64 bytes. */
static void print_npy_head(FILE *f, const h5read_item *item)
{
    const char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    char text[512];
    int n;
    if (item->is_text)
        n = snprintf(text, sizeof text, "{'descr': '|S%zu', 'fortran_order': False, 'shape': (", item->width);
    else
        n = snprintf(text, sizeof text, "{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (",
                     item->width == 1 ? '|' : order,
                     item->type == H5_F32 || item->type == H5_F64   ? 'f'
                     : item->type == H5_I32 || item->type == H5_I64 ? 'i'
                                                                    : 'u',
                     item->width);
    for (int d = 0; d < item->ndim; d++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%llu,%s", (unsigned long long)item->shape[d],
                      d + 1 < item->ndim ? " " : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    int length = (10 + n + 1 + 63) / 64 * 64 - 10;
    fwrite("\x93NUMPY\x01\x00", 1, 8, f);
    fputc(length & 255, f);
    fputc(length >> 8, f);
    fprintf(f, "%-*s\n", length - 1, text);
}

static int print_npy(job *j, const h5read *r, const h5read_item *item, FILE *f)
{
    uint64_t block = rows_at_once(item, item->width), row = h5read_row_elements(item) * item->width;
    lstm_error err = {0};
    void *room = malloc((size_t)(block * row) + 1);
    int result = room ? 0 : lstm_fail(&err, "", "out of memory for /%.100s", item->path);
    print_npy_head(f, item);
    for (uint64_t k = 0; !result && k < item->shape[0]; k += block) {
        uint64_t n = block < item->shape[0] - k ? block : item->shape[0] - k;
        result = h5read_rows(r, item, k, n, item->type, room, &err);
        if (!result)
            fwrite(room, 1, (size_t)(n * row), f);
    }
    free(room);
    return result ? complain(j, "%s: %s", h5read_path(r), err.message) : 0;
}

static int export_numpy(job *j, const h5read *r)
{
    char path[PATH_MAX], name[600];
    int result = 0;
    for (size_t k = 0; k < h5read_count(r) && !result; k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (item->is_group) {
            int length = snprintf(path, sizeof path, "%s/%s", j->request->out, item->path);
            if (length >= PATH_MAX || (mkdir(path, 0777) != 0 && errno != EEXIST))
                return complain(j, "%s: %s", path, strerror(errno));
        } else if (item->ndim) {
            snprintf(name, sizeof name, "%s.npy", item->path);
            FILE *f = create(j, path, name);
            result = f ? finish(j, f, path, print_npy(j, r, item, f)) : 1;
        }
    }
    return result;
}

/* ---- LSTMVis ---------------------------------------------------------------------------------------------------- */

/* How LSTMVis is to show a state: type, whether it is squashed by tanh first, whether it is never negative. */
static const struct {
    const char *name, *type, *transform, *is_unsigned;
} states[] = {{"c", "state", "tanh", "false"}, {"h", "output", "none", "false"}, {"i", "gate_i", "none", "true"},
              {"f", "gate_f", "none", "true"}, {"g", "gate_g", "none", "false"}, {"o", "gate_o", "none", "true"}};
#define STATES (sizeof states / sizeof *states)

/* The records that are put one after another, and how many tokens each has. */
typedef struct passage {
    size_t first, n, tokens;
    uint64_t row;     /* of those that were logged */
    int64_t *lengths; /* n of them */
    int64_t first_step, last_step;
} passage;

/* The records of the steps asked for; else the longest sequence of consecutive steps, the last one of several. */
static int choose_records(job *j, const int64_t *steps, size_t n, passage *p)
{
    const request *q = j->request;
    for (size_t k = 0, start = 0; k < n; k++) {
        if (q->first_step >= 0) {
            if (steps[k] < q->first_step || steps[k] > q->last_step)
                continue;
            if (p->n == 0)
                p->first = k;
            p->n++;
        } else {
            if (k && steps[k] != steps[k - 1] + 1)
                start = k;
            if (k - start + 1 >= p->n) {
                p->first = start;
                p->n = k - start + 1;
            }
        }
    }
    if (p->n == 0)
        return complain(j, q->first_step >= 0 ? "no activations were logged at steps %ld to %ld"
                                              : "no activations were logged", q->first_step, q->last_step);
    p->first_step = steps[p->first];
    p->last_step = steps[p->first + p->n - 1];
    return 0;
}

static int measure_records(const h5read *r, const h5read_item *token, passage *p, lstm_error *err)
{
    size_t n = 0;
    bool measured = h5read_find(r, "activations/time_size") != NULL;
    int64_t *sizes = measured ? read_integers(r, "activations/time_size", &n, err) : NULL;
    p->lengths = malloc(p->n * sizeof *p->lengths);
    if ((measured && (!sizes || n < p->first + p->n)) || !p->lengths) {
        free(sizes);
        return lstm_fail(err, "", "/activations/time_size cannot be read");
    }
    for (size_t k = 0; k < p->n; k++) {
        int64_t length = sizes ? sizes[p->first + k] : (int64_t)token->shape[1];
        p->lengths[k] = length < 0 || length > (int64_t)token->shape[1] ? (int64_t)token->shape[1] : length;
        p->tokens += (size_t)p->lengths[k];
    }
    free(sizes);
    return 0;
}

/* The token ids of the passage, [tokens]. To be freed. */
static int32_t *read_ids(const h5read *r, const h5read_item *token, const passage *p, lstm_error *err)
{
    int32_t *ids = malloc(p->tokens * sizeof *ids + 1);
    size_t at = 0;
    for (size_t k = 0; ids && k < p->n; k++) {
        const uint64_t start[3] = {p->first + k, 0, p->row}, count[3] = {1, (uint64_t)p->lengths[k], 1};
        if (h5read_block(r, token, start, count, H5_I32, ids + at, err)) {
            free(ids);
            return NULL;
        }
        at += (size_t)p->lengths[k];
    }
    if (!ids)
        lstm_fail(err, "", "out of memory");
    return ids;
}

/* One layer of a state, [tokens, units] float32. To be freed. */
static float *read_state(const h5read *r, const h5read_item *item, uint64_t layer, const passage *p, lstm_error *err)
{
    size_t units = (size_t)item->shape[4], at = 0;
    float *values = units < SIZE_MAX / 8 / (p->tokens + 1) ? malloc(p->tokens * units * sizeof *values + 1) : NULL;
    for (size_t k = 0; values && k < p->n; k++) {
        const uint64_t start[5] = {p->first + k, layer, 0, p->row, 0};
        const uint64_t count[5] = {1, 1, (uint64_t)p->lengths[k], 1, units};
        if (h5read_block(r, item, start, count, H5_F32, values + at, err)) {
            free(values);
            return NULL;
        }
        at += (size_t)p->lengths[k] * units;
    }
    if (!values)
        lstm_fail(err, "", "out of memory");
    return values;
}

/* Writes named arrays to DIR/NAME. Any HDF5 reader opens our checkpoints. */
static int write_arrays(job *j, const h5checkpoint *cp, const char *name, lstm_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", j->request->out, name) >= PATH_MAX)
        return lstm_fail(err, "", "%s: the path is too long", name);
    if (h5checkpoint_write(cp, path, NULL, err))
        return -1;
    fprintf(j->out, "%s\n", path);
    return 0;
}

static int write_ids(job *j, const int32_t *ids, size_t n, lstm_error *err)
{
    h5checkpoint *cp = h5checkpoint_new(err);
    int result = cp && !h5checkpoint_add(cp, "word_ids", H5_I32, 1, &n, ids, err) ? write_arrays(j, cp, "words.h5", err)
                                                                                    : -1;
    h5checkpoint_free(cp);
    return result;
}

/* c.h5 with c_l0, c_l1, ... */
static int write_state(job *j, const h5read *r, const h5read_item *item, const passage *p, lstm_error *err)
{
    char name[96];
    size_t layers = (size_t)item->shape[1], shape[2] = {p->tokens, (size_t)item->shape[4]};
    h5checkpoint *cp = h5checkpoint_new(err);
    float **values = calloc(layers + 1, sizeof *values);
    int result = cp && values ? 0 : lstm_fail(err, "", "out of memory");
    for (size_t l = 0; l < layers && !result; l++) {
        snprintf(name, sizeof name, "%.63s_l%zu", h5read_leaf(item->path), l);
        values[l] = read_state(r, item, l, p, err);
        result = values[l] ? h5checkpoint_add(cp, name, H5_F32, 2, shape, values[l], err) : -1;
    }
    snprintf(name, sizeof name, "%.63s.h5", h5read_leaf(item->path));
    if (!result)
        result = write_arrays(j, cp, name, err);
    h5checkpoint_free(cp);
    for (size_t l = 0; values && l < layers; l++)
        free(values[l]);
    free(values);
    return result;
}

/* White space for Python's str.split, which the reader uses. */
static bool is_blank(uint32_t code)
{
    return code <= 32 || code == 0x7f || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
           code == 0x3000;
}

/* A symbol as a word without blanks: a space as U+2423, a newline as U+21B5, a tab as U+21E5; other blanks, and bytes
 * that are not UTF-8, by their values. */
static void print_word(FILE *f, const char *symbol, size_t size)
{
    for (size_t k = 0; k < size;) {
        uint32_t code;
        size_t n = lstm_utf8_decode(symbol + k, size - k, &code);
        if (n && code == ' ')
            fputs("\xe2\x90\xa3", f);
        else if (n && code == '\n')
            fputs("\xe2\x86\xb5", f);
        else if (n && code == '\t')
            fputs("\xe2\x87\xa5", f);
        else if (n && is_blank(code))
            fprintf(f, "<U+%04X>", (unsigned)code);
        else if (n)
            fwrite(symbol + k, 1, n, f);
        else
            fprintf(f, "<%02X>", (unsigned char)symbol[k]);
        k += n ? n : 1;
    }
}

/* What the ids of tokens mean. Those of a network that was given numbers rather than a text mean themselves: then there
 * are no labels. */
static int read_vocabulary(const h5read *r, axis *words, lstm_error *err)
{
    const h5read_item *symbols = h5read_find(r, "vocabulary/symbol");
    if (!symbols || !symbols->is_text || symbols->ndim != 1)
        return 0;
    words->size = symbols->shape[0];
    return read_labels(r, symbols, words, err);
}

/* All ids must be words. Without a vocabulary, sets how many words there are. */
static int check_ids(const int32_t *ids, size_t n, axis *words, lstm_error *err)
{
    for (size_t k = 0; k < n; k++) {
        if (ids[k] < 0 || (words->labels && (uint64_t)ids[k] >= words->size))
            return lstm_fail(err, "", "token %d is not in the log's vocabulary", ids[k]);
        if ((uint64_t)ids[k] >= words->size)
            words->size = (uint64_t)ids[k] + 1;
    }
    return 0;
}

static int write_words(job *j, const axis *words)
{
    char path[PATH_MAX];
    FILE *f = create(j, path, "words.dict");
    if (!f)
        return 1;
    for (size_t k = 0; k < words->size; k++) {
        if (words->labels)
            print_word(f, words->labels[k], strlen(words->labels[k]));
        else
            fprintf(f, "%zu", k);
        fprintf(f, " %zu\n", k);
    }
    return finish(j, f, path, 0);
}

/* A text in double quotes, as YAML has it. */
static void print_yaml_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < ' ')
            fprintf(f, "\\x%02x", *c);
        else
            fputc(*c, f);
    }
    fputc('"', f);
}

static const h5read_item *find_state(const h5read *r, size_t k)
{
    char path[64];
    snprintf(path, sizeof path, "activations/%s", states[k].name);
    const h5read_item *item = h5read_find(r, path);
    return item && !item->is_group && !item->is_text && item->ndim == 5 ? item : NULL;
}

static int write_yaml(job *j, const h5read *r, const passage *p)
{
    char path[PATH_MAX], text[160];
    char *experiment = h5read_attribute(r, "environment", "experiment");
    char *data = h5read_attribute(r, "environment", "data");
    FILE *f = create(j, path, "lstm.yml");
    const char *between = "";
    if (f) {
        fputs("name: ", f);
        print_yaml_text(f, experiment ? experiment : "lstmrun");
        snprintf(text, sizeof text, "%.60s, %zu tokens of steps %lld to %lld, row %llu",
                 data ? h5read_leaf(data) : "a text", p->tokens, (long long)p->first_step,
                 (long long)p->last_step, (unsigned long long)p->row);
        fputs("\ndescription: ", f);
        print_yaml_text(f, text);
        fputs("\nfiles:\n  words: words.h5\n  dictionary: words.dict\n", f);
        for (size_t k = 0; k < STATES; k++)
            if (find_state(r, k))
                fprintf(f, "  states_%s: %s.h5\n", states[k].name, states[k].name);
        fputs("word_sequence:\n  file: words\n  path: word_ids\n  dict_file: dictionary\n", f);
        fprintf(f, "states:\n  file: states_%s\n  types: [\n", find_state(r, 0) ? "c" : "h");
        for (size_t k = 0; k < STATES; k++)
            for (uint64_t l = 0; find_state(r, k) && l < find_state(r, k)->shape[1]; l++) {
                fprintf(f, "%s    {file: states_%s, type: %s, layer: %llu, path: %s_l%llu, ", between, states[k].name,
                        states[k].type, (unsigned long long)l + 1, states[k].name, (unsigned long long)l);
                fprintf(f, "transform: %s, unsigned: %s}", states[k].transform, states[k].is_unsigned);
                between = ",\n";
            }
        fputs("\n  ]\n", f);
    }
    free(experiment);
    free(data);
    return f ? finish(j, f, path, 0) : 1;
}

static int write_project(job *j, const h5read *r, const h5read_item *token, axis *words, const passage *p)
{
    lstm_error err = {0};
    int32_t *ids = read_ids(r, token, p, &err);
    int result = ids ? check_ids(ids, p->tokens, words, &err) : -1;
    if (!result)
        result = write_ids(j, ids, p->tokens, &err);
    for (size_t k = 0; !result && k < STATES; k++) {
        const h5read_item *item = find_state(r, k);
        if (item && (item->shape[0] < p->first + p->n || item->shape[2] != token->shape[1] || item->shape[3] <= p->row))
            result = lstm_fail(&err, "", "/%s and /activations/token differ in shape", item->path);
        else if (item)
            result = write_state(j, r, item, p, &err);
    }
    free(ids);
    if (result)
        return complain(j, "%s", err.message);
    return write_words(j, words) || write_yaml(j, r, p);
}

static int export_lstmvis(job *j, const h5read *r)
{
    lstm_error err = {0};
    size_t n;
    passage p = {.row = (uint64_t)j->request->row};
    const h5read_item *token = h5read_find(r, "activations/token");
    if (!token || token->ndim != 3 || token->is_text || !(find_state(r, 0) || find_state(r, 1)))
        return complain(j, "%s has no activations of a network that reads tokens; log them by activations.every=1",
                        h5read_path(r));
    if (p.row >= token->shape[2])
        return complain(j, "--row=%ld: %llu rows of the batch were logged, the first is 0", j->request->row,
                        (unsigned long long)token->shape[2]);
    int64_t *steps = read_integers(r, "activations/step", &n, &err);
    int result = steps ? choose_records(j, steps, n < token->shape[0] ? n : (size_t)token->shape[0], &p)
                       : complain(j, "%s", err.message);
    free(steps);
    if (!result && measure_records(r, token, &p, &err))
        result = complain(j, "%s", err.message);
    axis words = {0};
    if (!result && read_vocabulary(r, &words, &err))
        result = complain(j, "/vocabulary/symbol: %s", err.message);
    if (!result)
        result = write_project(j, r, token, &words, &p);
    free_labels(&words);
    free(p.lengths);
    return result;
}

/* ---- the script ------------------------------------------------------------------------------------------------- */

static int export_file(job *j, const h5read *r, const h5read_item *item)
{
    char path[PATH_MAX];
    lstm_error err = {0};
    char *text = malloc(item->width + 1);
    int result = text ? h5read_rows(r, item, 0, 1, item->type, text, &err) : lstm_fail(&err, "", "out of memory");
    FILE *f = result ? NULL : create(j, path, h5read_leaf(item->path));
    if (f)
        fwrite(text, 1, strnlen(text, item->width), f);
    free(text);
    if (result)
        return complain(j, "%s", err.message);
    return f ? finish(j, f, path, 0) : 1;
}

static int export_source(job *j, const h5read *r)
{
    int result = 0, files = 0;
    for (size_t k = 0; k < h5read_count(r) && !result; k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (strncmp(item->path, "source/", 7) == 0 && item->is_text && item->ndim == 1 && item->shape[0] == 1) {
            result = export_file(j, r, item);
            files++;
        }
    }
    return files ? result : complain(j, "%s does not have its script", h5read_path(r));
}

static int export_run(job *j, const h5read *r)
{
    const request *q = j->request;
    return q->csv ? export_csv(j, r) : q->numpy ? export_numpy(j, r) : q->source ? export_source(j, r)
                                                                                 : export_lstmvis(j, r);
}

int export(job *j)
{
    h5read *r = open_log(j, j->request->paths[0]);
    int result = r ? export_run(j, r) : 1;
    if (r)
        close_log(j, r);
    return result;
}
