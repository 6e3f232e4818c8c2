/* SPDX-License-Identifier: MIT
 *
 * lua_watch.c - what of the network's inside goes to the log, for Lua: series of tensors, and the sums over tensors
 * that are too large to be made in Lua. Methods of the log of lua_run.c.
 */
#include "lua_run.h"

#include "h5log.h"
#include "lua_binding.h"
#include "lua_handle.h"

#include <lauxlib.h>
#include <lua.h>

#include <math.h>
#include <string.h>

#define MAX_PARTS 256 /* tensors in one record: layers, or parameters */
#define MAX_NAMES 1024

/* ---- announcing ------------------------------------------------------------------------------------------------ */

static h5type check_type(lua_State *L, int index)
{
    static const char *const names[] = {"float", "double", "int32", NULL};
    static const h5type types[] = {H5_F32, H5_F64, H5_I32};
    lua_getfield(L, index, "type");
    const h5type type = types[luaL_checkoption(L, -1, "double", names)];
    lua_pop(L, 1);
    return type;
}

static const char *text_field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    const char *text = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1); /* the table keeps the string */
    return text;
}

/* The coordinates on top of the stack, a list of texts or of numbers; what they point to stays on the stack. */
static void check_coordinates(lua_State *L, h5log_dim *dim)
{
    const int list = lua_gettop(L);
    luaL_argcheck(L, luaL_len(L, list) == (lua_Integer)dim->size, 2, "a coordinate for each index expected");
    const bool numbers = lua_geti(L, list, 1) == LUA_TNUMBER;
    lua_pop(L, 1);
    double *values = numbers ? lua_newuserdatauv(L, dim->size * sizeof *values, 0) : NULL;
    const char **labels = numbers ? NULL : lua_newuserdatauv(L, dim->size * sizeof *labels, 0);
    for (size_t k = 0; k < dim->size; k++) {
        const int type = lua_geti(L, list, (lua_Integer)k + 1);
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
    lua_geti(L, table, 1);
    lua_geti(L, table, 2);
    dim->name = luaL_checkstring(L, -2);
    dim->size = (size_t)luaL_checkinteger(L, -1);
    lua_pop(L, 2);
    if (lua_geti(L, table, 3) == LUA_TTABLE) {
        check_coordinates(L, dim);
        lua_rotate(L, table - 1, 1); /* keep the array below the table of dimensions, for as long as the call lasts */
    }
    lua_pop(L, 1);
}

/* log:announce { name = "group/series", type = "float"|"double"|"int32", dims = { { name, size [, coordinates] }, ...
 * }, keepbits = , units = , title = } */
static int log_announce(lua_State *L)
{
    h5log *log = lua_log_check(L);
    h5log_series series = {0};
    lstm_error err;
    luaL_checktype(L, 2, LUA_TTABLE);
    series.name = text_field(L, 2, "name");
    series.type = check_type(L, 2);
    series.units = text_field(L, 2, "units");
    series.title = text_field(L, 2, "title");
    lua_getfield(L, 2, "keepbits");
    series.keepbits = (int)luaL_optinteger(L, -1, 0);
    lua_getfield(L, 2, "dims");
    luaL_argcheck(L, series.name != NULL, 2, "field 'name' expected");
    luaL_argcheck(L, lua_istable(L, -1) && luaL_len(L, -1) <= H5_MAX_DIMS, 2, "field 'dims': at most 5 expected");
    series.ndim = (int)luaL_len(L, -1);
    for (int d = 0; d < series.ndim; d++) {
        lua_geti(L, -1, d + 1);
        check_dim(L, &series.dim[d]);
        lua_pop(L, 1);
    }
    return lua_handle_done(L, h5log_announce(log, &series, &err), &err);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* The tensor, or the list of tensors, at `index`, copied as views; their values stay in the arguments. */
static size_t check_parts(lua_State *L, int index, const char *function, lstm_tensor *parts)
{
    if (lua_tensor_is(L, index)) {
        parts[0] = *lua_tensor_check(L, index, function, index - 1);
        return 1;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    const lua_Integer n = luaL_len(L, index);
    luaL_argcheck(L, n >= 1 && n <= MAX_PARTS, index, "1 to 256 tensors expected");
    for (lua_Integer k = 0; k < n; k++) {
        lua_geti(L, index, k + 1);
        parts[k] = *lua_tensor_check(L, -1, function, index - 1);
        lua_pop(L, 1);
    }
    return (size_t)n;
}

/* log:tensors(series, step, tensor or list of tensors) */
static int log_tensors(lua_State *L)
{
    h5log *log = lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    lstm_tensor *parts = lua_newuserdatauv(L, MAX_PARTS * sizeof *parts, 0);
    lstm_error err;
    const size_t n = check_parts(L, 4, "tensors", parts);
    return lua_handle_done(L, h5log_tensors(log, series, step, n, parts, &err), &err);
}

/* A record of two dimensions, of double or int32. */
static int log_plane(lua_State *L, h5log *log, lua_Integer step, size_t rows, size_t columns, const void *data)
{
    const size_t shape[H5_MAX_DIMS] = {rows, columns};
    lstm_error err;
    return lua_handle_done(L, h5log_array(log, lua_tostring(L, 2), step, shape, data, &err), &err);
}

/* log:numbers(series, step, { number, ... }): a record of doubles, of one dimension */
static int log_numbers(lua_State *L)
{
    h5log *log = lua_log_check(L);
    const char *series = luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    lstm_error err;
    luaL_checktype(L, 4, LUA_TTABLE);
    const size_t n = (size_t)luaL_len(L, 4);
    double *values = lua_newuserdatauv(L, (n ? n : 1) * sizeof *values, 0);
    for (size_t k = 0; k < n; k++) {
        lua_geti(L, 4, (lua_Integer)k + 1);
        values[k] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    const size_t shape[H5_MAX_DIMS] = {n};
    return lua_handle_done(L, h5log_array(log, series, step, shape, values, &err), &err);
}

/* log:ids(series, step, trainer, rows): the tokens of the trainer's last batch, int32 [T, rows]; -1 past its end */
static int log_ids(lua_State *L)
{
    h5log *log = lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const lua_trainer *t = lua_trainer_check(L, 4, "ids");
    const lstm_trainer_config *c = lstm_trainer_settings(t->trainer);
    const size_t rows = (size_t)luaL_checkinteger(L, 5);
    luaL_argcheck(L, t->arrays != NULL && t->ids != NULL, 4, "a trainer that has taken a batch of tokens expected");
    const size_t batch = lstm_whole_batch(c);
    luaL_argcheck(L, rows >= 1 && rows <= batch, 5, "rows of the batch expected");
    int32_t *ids = lua_newuserdatauv(L, c->seq * rows * sizeof *ids, 0);
    for (size_t k = 0; k < c->seq * rows; k++)
        ids[k] = k / rows < t->batch.steps ? t->ids[k / rows * batch + k % rows] : -1;
    return log_plane(L, log, step, c->seq, rows, ids);
}

/* ---- sums over tensors ------------------------------------------------------------------------------------------- */

enum { CHUNK = 1024 };

/* Calls `add` with every element of the view, in order. */
static void each_element(const lstm_tensor *t, void (*add)(void *state, size_t index, double value), void *state)
{
    double values[CHUNK];
    const size_t n = lstm_tensor_size(t);
    for (size_t first = 0; first < n; first += CHUNK) {
        const size_t count = n - first < CHUNK ? n - first : CHUNK;
        lua_tensor_read(t, first, count, values);
        for (size_t k = 0; k < count; k++)
            add(state, first + k, values[k]);
    }
}

typedef struct sums {
    double *out;
    size_t inner; /* elements of one index of the first axis, or of the last */
    double bound, low, scale;
    size_t bins;
} sums;

static void add_square(void *state, size_t index, double value)
{
    sums *s = state;
    s->out[index / s->inner] += value * value;
}

static void add_below(void *state, size_t index, double value)
{
    sums *s = state;
    s->out[index % s->inner] += value < s->bound;
}

static void add_above(void *state, size_t index, double value)
{
    sums *s = state;
    s->out[index % s->inner] += value > s->bound;
}

static void add_bin(void *state, size_t index, double value)
{
    sums *s = state;
    const double at = (value - s->low) * s->scale;
    (void)index;
    if (at >= 0 && at <= (double)s->bins) /* NaN is in no bin */
        s->out[at < (double)s->bins ? (size_t)at : s->bins - 1]++;
}

/* Room for a record of doubles, all `value`: a userdata left on the stack. */
static double *new_record(lua_State *L, size_t n, double value)
{
    double *out = lua_newuserdatauv(L, n * sizeof *out, 0);
    for (size_t k = 0; k < n; k++)
        out[k] = value;
    return out;
}

/* log:norms(series, step, list of [T, ...] tensors, most): L2 norm at every time step: [parts, most]; NaN past T */
static int log_norms(lua_State *L)
{
    h5log *log = lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const size_t most = (size_t)luaL_checkinteger(L, 5);
    luaL_argcheck(L, most >= 1 && most <= INT32_MAX, 5, "a number of time steps expected");
    lstm_tensor *parts = lua_newuserdatauv(L, MAX_PARTS * sizeof *parts, 0);
    const size_t n = check_parts(L, 4, "norms", parts);
    double *out = new_record(L, n * most, (double)NAN);
    for (size_t i = 0; i < n; i++) {
        const size_t T = parts[i].axis[0].size;
        luaL_argcheck(L, parts[i].ndim >= 1 && T >= 1 && T <= most, 4, "tensors with a time axis expected");
        memset(out + i * most, 0, T * sizeof *out);
        each_element(&parts[i], add_square, &(sums){.out = out + i * most, .inner = lstm_tensor_size(&parts[i]) / T});
        for (size_t t = 0; t < T; t++)
            out[i * most + t] = sqrt(out[i * most + t]);
    }
    return log_plane(L, log, step, n, most, out);
}

/* log:share(series, step, list of [..., units] tensors, "below"|"above", bound): share of values, by unit */
static int log_share(lua_State *L)
{
    static const char *const sides[] = {"below", "above", NULL};
    h5log *log = lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3);
    const bool below = luaL_checkoption(L, 5, NULL, sides) == 0;
    const double bound = luaL_checknumber(L, 6);
    lstm_tensor *parts = lua_newuserdatauv(L, MAX_PARTS * sizeof *parts, 0);
    const size_t n = check_parts(L, 4, "share", parts), units = parts[0].axis[parts[0].ndim - 1].size;
    double *out = new_record(L, n * units, 0);
    for (size_t i = 0; i < n; i++) {
        const size_t size = lstm_tensor_size(&parts[i]);
        luaL_argcheck(L, parts[i].axis[parts[i].ndim - 1].size == units && size >= units, 4,
                      "tensors of the same number of units expected");
        each_element(&parts[i], below ? add_below : add_above,
                     &(sums){.out = out + i * units, .inner = units, .bound = bound});
        for (size_t u = 0; u < units; u++)
            out[i * units + u] /= (double)(size / units);
    }
    return log_plane(L, log, step, n, units, out);
}

/* log:histograms(series, step, list of tensors, bins, lows, highs): counts in `bins` equal bins from low to high */
static int log_histograms(lua_State *L)
{
    h5log *log = lua_log_check(L);
    luaL_checkstring(L, 2);
    const lua_Integer step = luaL_checkinteger(L, 3), bins = luaL_checkinteger(L, 5);
    lstm_tensor *parts = lua_newuserdatauv(L, MAX_PARTS * sizeof *parts, 0);
    luaL_argcheck(L, bins >= 1 && bins <= MAX_NAMES, 5, "1 to 1024 bins expected");
    luaL_checktype(L, 6, LUA_TTABLE);
    luaL_checktype(L, 7, LUA_TTABLE);
    const size_t n = check_parts(L, 4, "histograms", parts);
    double *out = new_record(L, n * (size_t)bins, 0);
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, 6, (lua_Integer)i + 1);
        lua_geti(L, 7, (lua_Integer)i + 1);
        const double low = luaL_checknumber(L, -2), high = luaL_checknumber(L, -1);
        lua_pop(L, 2);
        each_element(&parts[i], add_bin,
                     &(sums){.out = out + i * (size_t)bins,
                             .low = low,
                             .scale = high > low ? (double)bins / (high - low) : 0,
                             .bins = (size_t)bins});
    }
    return log_plane(L, log, step, n, (size_t)bins, out);
}

const luaL_Reg lua_watch_methods[] = {
    {"announce", log_announce}, {"tensors", log_tensors}, {"numbers", log_numbers},       {"ids", log_ids},
    {"norms", log_norms},       {"share", log_share},     {"histograms", log_histograms}, {NULL, NULL},
};
