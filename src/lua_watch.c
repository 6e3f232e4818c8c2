/* SPDX-License-Identifier: MIT
 *
 * lua_watch.c - what of the network's inside goes to the log, for Lua: series of tensors, and the sums over tensors
 * that are too large to be made in Lua. Methods of the log of lua_run.c.
 *
 * Whatever allocates in Lua may run finalizers, and those may close anything: the log and tensors are fetched after the
 * last allocation, or again.
 */
#include "lua_run.h"

#include "h5log.h"
#include "lua_binding.h"
#include "lua_handle.h"

#include <lauxlib.h>
#include <lua.h>

#include <math.h>
#include <string.h>

#define MAX_PARTS ((size_t)1 << 20) /* tensors in one record: layers, or parameters */
#define MAX_NAMES 1024

/* ---- announcing ------------------------------------------------------------------------------------------------ */

/* The string on top of the stack, which is popped: a table keeps it. A number would be made a string that nobody keeps. */
static const char *pop_kept_text(lua_State *L, int arg)
{
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, arg, "texts expected");
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

static const char *text_field(lua_State *L, int index, const char *name)
{
    lua_pushstring(L, name);
    if (lua_rawget(L, index) != LUA_TNIL)
        return pop_kept_text(L, index);
    lua_pop(L, 1);
    return NULL;
}

static h5type check_type(lua_State *L, int index)
{
    static const char *const names[] = {"float", "double", "int32", "text", NULL};
    static const h5type types[] = {H5_F32, H5_F64, H5_I32, H5_TEXT};
    const char *name = text_field(L, index, "type");
    for (size_t k = 0; names[k]; k++)
        if (strcmp(name ? name : "double", names[k]) == 0)
            return types[k];
    luaL_argerror(L, index, "field 'type': 'float', 'double', 'int32' or 'text' expected");
    return H5_F64;
}

/* The coordinates on top of the stack, a list of texts or of numbers; what they point to stays on the stack. */
static void check_coordinates(lua_State *L, h5log_dim *dim)
{
    const int list = lua_gettop(L);
    luaL_argcheck(L, lua_rawlen(L, list) == dim->size, 2, "a coordinate for each index expected");
    const bool numbers = lua_rawgeti(L, list, 1) == LUA_TNUMBER;
    lua_pop(L, 1);
    double *values = numbers ? lua_newuserdatauv(L, dim->size * sizeof *values, 0) : NULL;
    const char **labels = numbers ? NULL : lua_newuserdatauv(L, dim->size * sizeof *labels, 0);
    for (size_t k = 0; k < dim->size; k++) {
        const int type = lua_rawgeti(L, list, (lua_Integer)k + 1);
        luaL_argcheck(L, type == (numbers ? LUA_TNUMBER : LUA_TSTRING), 2, "all numbers or all texts expected");
        if (numbers)
            values[k] = lua_tonumber(L, -1);
        else
            labels[k] = lua_tostring(L, -1);
        lua_pop(L, 1); /* the list keeps the string */
    }
    dim->values = values;
    dim->labels = labels;
}

/* { "unit", 128 }, or with coordinates: { "gate", 4, { "i", "f", "g", "o" } }, { "x", 2, { -0.5, 0.5 } }; on top of the
 * stack. What the coordinates point to ends up in a userdata below it. */
static void check_dim(lua_State *L, h5log_dim *dim)
{
    luaL_checktype(L, -1, LUA_TTABLE);
    const int table = lua_gettop(L);
    lua_rawgeti(L, table, 1);
    dim->name = pop_kept_text(L, 2);
    lua_rawgeti(L, table, 2);
    dim->size = (size_t)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    if (lua_rawgeti(L, table, 3) == LUA_TTABLE) {
        check_coordinates(L, dim);
        lua_rotate(L, table - 1, 1); /* keep the array below the table of dimensions, for as long as the call lasts */
    }
    lua_pop(L, 1);
}

/* log:announce { name = "group/series", type = "float"|"double"|"int32"|"text",
 * dims = { { name, size [, coordinates] }, ... }, keepbits = , deflate = (nil: as the log's), units = , title = } */
static int log_announce(lua_State *L)
{
    h5log_series series = {0};
    lstm_error err;
    lua_log_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    series.name = text_field(L, 2, "name");
    series.type = check_type(L, 2);
    series.units = text_field(L, 2, "units");
    series.title = text_field(L, 2, "title");
    lua_getfield(L, 2, "keepbits");
    series.keepbits = (int)luaL_optinteger(L, -1, 0);
    if (lua_getfield(L, 2, "deflate") != LUA_TNIL) {
        series.deflate = (int)luaL_checkinteger(L, -1);
        series.deflate = series.deflate ? series.deflate : H5LOG_PLAIN;
    }
    lua_getfield(L, 2, "dims");
    luaL_argcheck(L, series.name != NULL, 2, "field 'name' expected");
    luaL_argcheck(L, lua_istable(L, -1) && lua_rawlen(L, -1) <= H5_MAX_DIMS, 2, "field 'dims': at most 5 expected");
    series.ndim = (int)lua_rawlen(L, -1);
    for (int d = 0; d < series.ndim; d++) {
        lua_rawgeti(L, -1, d + 1);
        check_dim(L, &series.dim[d]);
        lua_pop(L, 1);
    }
    return lua_handle_done(L, h5log_announce(lua_log_check(L), &series, &err), &err);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* How many there are at `index`: a tensor, or a list of tensors. */
static size_t count_parts(lua_State *L, int index)
{
    if (lua_tensor_is(L, index))
        return 1;
    luaL_checktype(L, index, LUA_TTABLE);
    const size_t n = lua_rawlen(L, index);
    luaL_argcheck(L, n >= 1 && n <= MAX_PARTS, index, "a tensor, or a list of some, expected");
    return n;
}

/* These n, copied as views; their values stay in the arguments. Allocates nothing. */
static void check_parts(lua_State *L, int index, const char *function, size_t n, lstm_tensor *parts)
{
    if (lua_tensor_is(L, index)) {
        parts[0] = *lua_tensor_check(L, index, function, index - 1);
        return;
    }
    for (size_t k = 0; k < n; k++) {
        lua_rawgeti(L, index, (lua_Integer)k + 1);
        parts[k] = *lua_tensor_check(L, -1, function, index - 1);
        lua_pop(L, 1);
    }
}

/* Room for n of them: a userdata left on the stack. */
static lstm_tensor *new_parts(lua_State *L, size_t n)
{
    return lua_newuserdatauv(L, n * sizeof(lstm_tensor), 0);
}

/* log:tensors(series, step, tensor or list of tensors) */
static int log_tensors(lua_State *L)
{
    lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const size_t n = count_parts(L, 4);
    lstm_tensor *parts = new_parts(L, n);
    lstm_error err;
    check_parts(L, 4, "tensors", n, parts);
    return lua_handle_done(L, h5log_tensors(lua_log_check(L), series, step, n, parts, &err), &err);
}

/* A record of two dimensions, of double, float or int32. */
static int log_plane(lua_State *L, lua_Integer step, size_t rows, size_t columns, const void *data)
{
    const size_t shape[H5_MAX_DIMS] = {rows, columns};
    lstm_error err;
    return lua_handle_done(L, h5log_array(lua_log_check(L), lua_tostring(L, 2), step, shape, data, &err), &err);
}

/* log:numbers(series, step, { number, ... }): a record of doubles, of one dimension */
static int log_numbers(lua_State *L)
{
    lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    lstm_error err;
    luaL_checktype(L, 4, LUA_TTABLE);
    const size_t n = lua_rawlen(L, 4);
    double *values = lua_newuserdatauv(L, (n ? n : 1) * sizeof *values, 0);
    for (size_t k = 0; k < n; k++) {
        lua_rawgeti(L, 4, (lua_Integer)k + 1);
        values[k] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    const size_t shape[H5_MAX_DIMS] = {n};
    return lua_handle_done(L, h5log_array(lua_log_check(L), series, step, shape, values, &err), &err);
}

/* The trainer at index 4, which has taken a batch, and the number of rows at 5. */
static const lua_trainer *check_batch(lua_State *L, const char *function, size_t *rows)
{
    const lua_trainer *t = lua_trainer_check(L, 4, function);
    const lua_Integer n = luaL_checkinteger(L, 5);
    luaL_argcheck(L, t->arrays != NULL, 4, "a trainer that has taken a batch expected");
    luaL_argcheck(L, n >= 1 && (size_t)n <= lstm_whole_batch(lstm_trainer_settings(t->trainer)), 5,
                  "rows of the batch expected");
    *rows = (size_t)n;
    return t;
}

/* The weights of the whole last batch's positions, [T][B]: a userdata left on the stack. */
static const double *push_weights(lua_State *L, const lua_trainer *t, const lstm_trainer_config *c)
{
    const size_t B = lstm_whole_batch(c);
    double *weights = lua_newuserdatauv(L, t->whole.steps * B * sizeof *weights, 0);
    lstm_batch_weights(&t->whole, B, c->loss_at, weights);
    return weights;
}

/* log:ids(series, step, trainer, rows): the tokens of the trainer's last batch, int32 [T, rows]; -1 past its end */
static int log_ids(lua_State *L)
{
    lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    size_t rows;
    const lua_trainer *t = check_batch(L, "ids", &rows);
    const lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    const size_t batch = lstm_whole_batch(&c);
    luaL_argcheck(L, t->whole.ids != NULL, 4, "a batch of tokens expected");
    int32_t *ids = lua_newuserdatauv(L, c.seq * rows * sizeof *ids, 0);
    for (size_t k = 0; k < c.seq * rows; k++)
        ids[k] = k / rows < t->whole.steps ? t->whole.ids[k / rows * batch + k % rows] : -1;
    return log_plane(L, step, c.seq, rows, ids);
}

/* log:classes(series, step, trainer, rows): the targets of the trainer's last batch, int32 [T, rows]; -1 where nothing
 * counts */
static int log_classes(lua_State *L)
{
    lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    size_t rows;
    const lua_trainer *t = check_batch(L, "classes", &rows);
    const lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    luaL_argcheck(L, t->whole.target_ids != NULL, 4, "a batch with classes as targets expected");
    const double *weights = push_weights(L, t, &c);
    int32_t *classes = lua_newuserdatauv(L, c.seq * rows * sizeof *classes, 0);
    for (size_t k = 0; k < c.seq * rows; k++) {
        const size_t at = k / rows * lstm_whole_batch(&c) + k % rows;
        const bool there = k / rows < t->whole.steps && weights[at] > 0;
        classes[k] = there ? t->whole.target_ids[at] : -1;
    }
    return log_plane(L, step, c.seq, rows, classes);
}

/* log:vectors(series, step, trainer, rows): what the linear output should have been: [T, rows, O]; NaN where nothing
 * counts */
static int log_vectors(lua_State *L)
{
    lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    size_t rows;
    const lua_trainer *t = check_batch(L, "vectors", &rows);
    const lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    const lstm_model_config m = *lstm_model_settings(t->model->model);
    const size_t O = m.outputs, size = O * lstm_type_size(m.type);
    luaL_argcheck(L, t->whole.target != NULL, 4, "a batch with vectors as targets expected");
    const double *weights = push_weights(L, t, &c);
    char *values = lua_newuserdatauv(L, c.seq * rows * size, 0);
    const size_t shape[H5_MAX_DIMS] = {t->whole.steps, rows, O};
    lstm_tensor y;
    lstm_error err;
    lstm_tensor_dense(&y, "", m.type, 3, shape, values);
    for (size_t k = 0; k < shape[0] * rows; k++) {
        const size_t at = k / rows * lstm_whole_batch(&c) + k % rows;
        memcpy(values + k * size, (const char *)t->whole.target + at * size, size);
        for (size_t o = 0; o < O && !(weights[at] > 0); o++)
            lstm_tensor_set(&y, k * O + o, (double)NAN);
    }
    return lua_handle_done(L, h5log_array(lua_log_check(L), series, step, shape, values, &err), &err);
}

/* log:mask(series, step, trainer, rows): the mask of the trainer's last batch, double [T, rows] */
static int log_mask(lua_State *L)
{
    lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    size_t rows;
    const lua_trainer *t = check_batch(L, "mask", &rows);
    const lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    luaL_argcheck(L, t->whole.mask != NULL, 4, "a batch with a mask expected");
    double *mask = lua_newuserdatauv(L, c.seq * rows * sizeof *mask, 0);
    for (size_t k = 0; k < t->whole.steps * rows; k++)
        mask[k] = t->whole.mask[k / rows * lstm_whole_batch(&c) + k % rows];
    return log_plane(L, step, t->whole.steps, rows, mask);
}

/* log:dense(series, step, trainer, rows): the reals of the trainer's last batch: [T, rows, I] */
static int log_dense(lua_State *L)
{
    h5log *log = lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    size_t rows;
    const lua_trainer *t = check_batch(L, "dense", &rows);
    const lstm_model_config *m = lstm_model_settings(t->model->model);
    luaL_argcheck(L, t->whole.x != NULL, 4, "a batch of dense input expected");
    const size_t shape[] = {t->whole.steps, lstm_whole_batch(lstm_trainer_settings(t->trainer)), m->inputs};
    lstm_tensor x;
    lstm_error err;
    lstm_tensor_dense(&x, "x", m->type, 3, shape, (void *)(uintptr_t)t->whole.x); /* which is only read */
    x.axis[1].size = rows;
    return lua_handle_done(L, h5log_tensors(log, series, step, 1, &x, &err), &err);
}

/* The text of one row of the batch, in a userdata on top of the stack; NULs, which would end it, are no UTF-8. */
static const char *push_row_text(lua_State *L, const lua_trainer *t, size_t B, const lstm_vocab *vocab, size_t row)
{
    const size_t T = t->whole.steps;
    int32_t *ids = lua_newuserdatauv(L, T * sizeof *ids + 1, 0);
    for (size_t k = 0; k < T; k++)
        ids[k] = t->whole.ids[k * B + row];
    lua_vocabulary_push_text(L, vocab, ids, T, "text");
    size_t size;
    const char *bytes = lua_tolstring(L, -1, &size);
    char *text = lua_newuserdatauv(L, size + 1, 0);
    for (size_t k = 0; k < size; k++)
        text[k] = (char)(bytes[k] ? bytes[k] : '\xff'); /* which is U+FFFD in the log */
    text[size] = 0;
    return text;
}

/* log:text(series, step, trainer, rows, vocabulary): the text of each row of the trainer's last batch: [rows] */
static int log_text(lua_State *L)
{
    lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    size_t rows;
    const lua_trainer *t = check_batch(L, "text", &rows);
    luaL_argcheck(L, t->whole.ids != NULL, 4, "a batch of tokens expected");
    const size_t batch = lstm_whole_batch(lstm_trainer_settings(t->trainer));
    lua_vocabulary_push(L, 6);
    const lstm_vocab *vocab = lua_vocabulary_of(L, -1);
    luaL_argcheck(L, vocab != NULL, 6, "vocabulary expected");
    const char **texts = lua_newuserdatauv(L, rows * sizeof *texts, 0);
    luaL_checkstack(L, (int)(3 * rows), "too many rows");
    for (size_t row = 0; row < rows; row++)
        texts[row] = push_row_text(L, t, batch, vocab, row);
    lstm_error err;
    return lua_handle_done(L, h5log_texts(lua_log_check(L), series, step, NULL, texts, &err), &err);
}

/* x := softmax(x), n numbers */
static void softmax(double *x, size_t n)
{
    double most = x[0], sum = 0;
    for (size_t k = 1; k < n; k++)
        most = x[k] > most ? x[k] : most;
    for (size_t k = 0; k < n; k++)
        sum += x[k] = exp(x[k] - most);
    for (size_t k = 0; k < n; k++)
        x[k] /= sum;
}

/* log:probabilities(series, step, logits [T, rows, O]): softmax over the last axis, to a series of the same type */
static int log_probabilities(lua_State *L)
{
    lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const lstm_tensor *logits = lua_tensor_check(L, 4, "probabilities", 3);
    luaL_argcheck(L, logits->ndim == 3, 4, "a tensor of three axes expected");
    const size_t size = lstm_tensor_size(logits), O = logits->axis[2].size;
    double *row = lua_newuserdatauv(L, O * sizeof *row, 0);
    void *all = lua_newuserdatauv(L, size * lstm_type_size(logits->type), 0);
    lstm_tensor out;
    size_t shape[H5_MAX_DIMS] = {0};
    for (int d = 0; d < 3; d++)
        shape[d] = logits->axis[d].size;
    lstm_tensor_dense(&out, "", logits->type, 3, shape, all);
    lua_tensor_check(L, 4, "probabilities", 3);
    for (size_t first = 0; first < size; first += O) {
        lua_tensor_read(logits, first, O, row);
        softmax(row, O);
        lua_tensor_write(&out, first, O, row);
    }
    lstm_error err;
    return lua_handle_done(L, h5log_array(lua_log_check(L), series, step, shape, all, &err), &err);
}

/* log:texts(group, name, { text, ... }): a list of texts of the whole log, as the symbols of a vocabulary */
static int log_texts(lua_State *L)
{
    lua_log_check(L);
    const char *group = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    const size_t n = lua_rawlen(L, 4);
    const char **texts = lua_newuserdatauv(L, (n + 1) * sizeof *texts, 0);
    for (size_t k = 0; k < n; k++) {
        lua_rawgeti(L, 4, (lua_Integer)k + 1);
        texts[k] = pop_kept_text(L, 4);
    }
    lstm_error err;
    return lua_handle_done(L, h5log_set_texts(lua_log_check(L), group, name, n, texts, &err), &err);
}

/* ---- sums over tensors ------------------------------------------------------------------------------------------- */

enum { CHUNK = 2048 };

/* Elements [first, first+n) of the view, n <= CHUNK, as doubles. */
typedef void (*add_values)(void *state, size_t first, size_t n, const double *values);

/* Calls `add` with all elements of the view, in order. */
static void each_chunk(const lstm_tensor *t, add_values add, void *state)
{
    double values[CHUNK];
    const size_t size = lstm_tensor_size(t);
    for (size_t first = 0; first < size; first += CHUNK) {
        const size_t n = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(t, first, n, values);
        add(state, first, n, values);
    }
}

/* Sum of the squares of elements [first, first+count): eight sums at once, so that one addition need not wait for the
 * other, in double, where squares of small numbers are not yet zero. */
static double range_squares(const lstm_tensor *t, size_t first, size_t count)
{
    typedef double lanes __attribute__((vector_size(8 * sizeof(double))));
    enum { LANES = sizeof(lanes) / sizeof(double) };
    double values[CHUNK];
    lanes s = {0}, v;
    for (size_t k = 0; k < count; k += CHUNK) {
        const size_t n = count - k < CHUNK ? count - k : CHUNK, whole = n / LANES * LANES;
        lua_tensor_read(t, first + k, n, values);
        for (size_t i = 0; i < whole; i += LANES) {
            memcpy(&v, values + i, sizeof v);
            s += v * v;
        }
        for (size_t i = whole; i < n; i++)
            s[0] += values[i] * values[i];
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* The same tensor with the axis last along which it lies in memory: quicker to go through. */
static lstm_tensor along_memory(const lstm_tensor *t)
{
    lstm_tensor out = *t;
    const int last = t->ndim - 1;
    for (int d = 0; d < last; d++)
        if (t->axis[d].stride == 1 && t->axis[last].stride != 1) {
            out.axis[d] = t->axis[last];
            out.axis[last] = t->axis[d];
            break;
        }
    return out;
}

/* Sums of the squares of part `k` of `parts` equal ranges of the tensor; the last ones may be shorter, or empty. */
static double part_squares(const lstm_tensor *t, size_t parts, size_t k)
{
    const size_t size = lstm_tensor_size(t), each = (size + parts - 1) / parts, first = k * each;
    return first < size ? range_squares(t, first, size - first < each ? size - first : each) : 0;
}

/* out[i][k]: part_squares of tensor i, all of which are cut into as many parts. Each part is summed by one thread, so
 * that their number changes nothing. */
static void squares_of_parts(const lstm_tensor *t, size_t tensors, size_t parts, double *out)
{
    size_t size = 0;
    for (size_t i = 0; i < tensors; i++)
        size += lstm_tensor_size(&t[i]);
    const int threads = size < 1 << 16 ? 1 : lstm_threads();
    (void)threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (size_t k = 0; k < tensors * parts; k++)
        out[k] = part_squares(&t[k / parts], parts, k % parts);
}

typedef struct tails {
    double *below, *above; /* counts, by index of the last axis */
    size_t inner;          /* its size */
    double low, high;
    const bool *real; /* by index of the other axes; what is not is left out */
} tails;

static void add_tails(void *state, size_t first, size_t n, const double *values)
{
    const tails *s = state;
    for (size_t k = 0, part; k < n; k += part) {
        const size_t u = (first + k) % s->inner;
        part = s->inner - u < n - k ? s->inner - u : n - k;
        if (!s->real[(first + k) / s->inner])
            continue;
        for (size_t i = 0; i < part; i++) {
            s->below[u + i] += values[k + i] < s->low ? 1.0 : 0.0;
            s->above[u + i] += values[k + i] > s->high ? 1.0 : 0.0;
        }
    }
}

typedef struct histogram {
    double *out, low, scale;
    size_t bins;
} histogram;

static void add_bins(void *state, size_t first, size_t n, const double *values)
{
    const histogram *s = state;
    (void)first;
    for (size_t k = 0; k < n; k++) {
        const double at = (values[k] - s->low) * s->scale;
        if (at >= 0 && at <= (double)s->bins) /* NaN is in no bin */
            s->out[at < (double)s->bins ? (size_t)at : s->bins - 1]++;
    }
}

/* Room for a record of doubles, all `value`: a userdata left on the stack. */
static double *new_record(lua_State *L, size_t n, double value)
{
    double *out = lua_newuserdatauv(L, n * sizeof *out, 0);
    for (size_t k = 0; k < n; k++)
        out[k] = value;
    return out;
}

/* log:norms(series, step, list of [T, ...] tensors, most): L2 norm at every time step: [tensors, most]; NaN past T */
static int log_norms(lua_State *L)
{
    lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const size_t most = (size_t)luaL_checkinteger(L, 5), n = count_parts(L, 4);
    luaL_argcheck(L, most >= 1 && most <= INT32_MAX, 5, "a number of time steps expected");
    lstm_tensor *parts = new_parts(L, n);
    double *out = new_record(L, n * most, (double)NAN), *squares = new_record(L, n * most, 0);
    check_parts(L, 4, "norms", n, parts);
    const size_t T = parts[0].axis[0].size;
    for (size_t i = 0; i < n; i++)
        luaL_argcheck(L, parts[i].ndim >= 1 && parts[i].axis[0].size == T && T >= 1 && T <= most, 4,
                      "tensors with the same time axis expected");
    squares_of_parts(parts, n, T, squares);
    for (size_t k = 0; k < n * T; k++)
        out[k / T * most + k % T] = sqrt(squares[k]);
    return log_plane(L, step, n, most, out);
}

/* log:total_norms(series, step, list of tensors): L2 norm of each: [parts] */
static int log_total_norms(lua_State *L)
{
    enum { PARTS = 16 };
    lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const size_t n = count_parts(L, 4);
    lstm_tensor *parts = new_parts(L, n);
    double *out = new_record(L, n, 0), *squares = new_record(L, n * PARTS, 0);
    check_parts(L, 4, "total_norms", n, parts);
    for (size_t i = 0; i < n; i++)
        parts[i] = along_memory(&parts[i]);
    squares_of_parts(parts, n, PARTS, squares);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < PARTS; k++)
            out[i] += squares[i * PARTS + k];
        out[i] = sqrt(out[i]);
    }
    const size_t shape[H5_MAX_DIMS] = {n};
    lstm_error err;
    return lua_handle_done(L, h5log_array(lua_log_check(L), series, step, shape, out, &err), &err);
}

/* Of the positions of a batch of B rows, [T][B]: which are no padding, and how many. Padding is what comes after the last
 * position of its row that has a weight: with loss_at "last" those before have none, but lead to it. */
static size_t find_real(const lstm_batch *b, size_t B, bool *real)
{
    size_t count = 0;
    for (size_t k = b->steps * B; k-- > 0;) {
        real[k] = b->mask == NULL || b->mask[k] > 0 || (k + B < b->steps * B && real[k + B]);
        count += real[k];
    }
    return count;
}

/* log:tails(above, step, list of [T, B, units] tensors, below, low, high, trainer): shares of values above `high` and
 * below `low`, by unit, to the series `above` and `below`; without the padding of the trainer's last batch */
static int log_tails(lua_State *L)
{
    lua_log_check(L);
    const char *series[] = {luaL_checkstring(L, 5), luaL_checkstring(L, 2)};
    const lua_Integer step = luaL_checkinteger(L, 3);
    const double low = luaL_checknumber(L, 6), high = luaL_checknumber(L, 7);
    const size_t n = count_parts(L, 4);
    lstm_tensor *parts = new_parts(L, n);
    check_parts(L, 4, "tails", n, parts);
    const size_t units = parts[0].axis[parts[0].ndim - 1].size, size = lstm_tensor_size(&parts[0]);
    double *out = new_record(L, 2 * n * units, 0);
    bool *real = lua_newuserdatauv(L, size / units, 0);
    check_parts(L, 4, "tails", n, parts);
    const lua_trainer *t = lua_trainer_check(L, 8, "tails");
    const size_t B = lstm_whole_batch(lstm_trainer_settings(t->trainer));
    luaL_argcheck(L, t->whole.steps * B * units == size, 4, "gates of the trainer's last batch expected");
    const size_t count = find_real(&t->whole, B, real);
    for (size_t i = 0; i < n; i++) {
        double *below = out + i * units, *above = below + n * units;
        luaL_argcheck(L, lstm_tensor_size(&parts[i]) == size && parts[i].axis[parts[i].ndim - 1].size == units, 4,
                      "tensors of one shape expected");
        each_chunk(&parts[i], add_tails, &(tails){below, above, units, low, high, real});
        for (size_t u = 0; u < units; u++) {
            below[u] /= (double)count;
            above[u] /= (double)count;
        }
    }
    const size_t shape[H5_MAX_DIMS] = {n, units};
    lstm_error err;
    int result = 0;
    for (size_t k = 0; k < 2 && !result; k++)
        result = h5log_array(lua_log_check(L), series[k], step, shape, out + k * n * units, &err);
    return lua_handle_done(L, result, &err);
}

/* log:histograms(series, step, list of tensors, bins, lows, highs): counts in `bins` equal bins from low to high */
static int log_histograms(lua_State *L)
{
    lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3), bins = luaL_checkinteger(L, 5);
    const size_t n = count_parts(L, 4);
    luaL_argcheck(L, bins >= 1 && bins <= MAX_NAMES, 5, "1 to 1024 bins expected");
    luaL_checktype(L, 6, LUA_TTABLE);
    luaL_checktype(L, 7, LUA_TTABLE);
    lstm_tensor *parts = new_parts(L, n);
    double *out = new_record(L, n * (size_t)bins, 0);
    check_parts(L, 4, "histograms", n, parts);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 6, (lua_Integer)i + 1);
        lua_rawgeti(L, 7, (lua_Integer)i + 1);
        const double low = luaL_checknumber(L, -2), high = luaL_checknumber(L, -1);
        lua_pop(L, 2);
        each_chunk(&parts[i], add_bins,
                   &(histogram){.out = out + i * (size_t)bins,
                                .low = low,
                                .scale = high > low ? (double)bins / (high - low) : 0,
                                .bins = (size_t)bins});
    }
    return log_plane(L, step, n, (size_t)bins, out);
}

const luaL_Reg lua_watch_methods[] = {
    {"announce", log_announce},
    {"tensors", log_tensors},
    {"numbers", log_numbers},
    {"ids", log_ids},
    {"classes", log_classes},
    {"vectors", log_vectors},
    {"mask", log_mask},
    {"dense", log_dense},
    {"text", log_text},
    {"texts", log_texts},
    {"probabilities", log_probabilities},
    {"norms", log_norms},
    {"total_norms", log_total_norms},
    {"tails", log_tails},
    {"histograms", log_histograms},
    {NULL, NULL},
};
