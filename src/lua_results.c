/* SPDX-License-Identifier: MIT
 *
 * lua_results.c - writes the results of a sweep (h5results.h) for lua/lstm/results.lua.
 */
#include "lua_run.h"

#include "h5results.h"

#include <lauxlib.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CURVES_TYPE "lstm.curves"
#define PLACES (4u << 20) /* of all trials' curves of one metric: 32 MiB; longer ones are thinned */
#define FEWEST_PLACES 64

/* ---- fields of a table ------------------------------------------------------------------------------------------ */

/* The buffers below are userdata, kept from the collector by being appended to the list at this index. */
enum { ARGUMENT = 2, KEEP = 3 };

static void *new_buffer(lua_State *L, size_t count, size_t size)
{
    if (count && size > SIZE_MAX / 2 / count)
        luaL_error(L, "not enough memory");
    void *buffer = lua_newuserdatauv(L, count * size + 1, 0);
    memset(buffer, 0, count * size + 1);
    lua_rawseti(L, KEEP, (lua_Integer)lua_rawlen(L, KEEP) + 1);
    return buffer;
}

/* The text in field `name` of the table on top; it belongs to the table. NULL: there is none. */
static const char *text_field(lua_State *L, const char *name)
{
    const char *text = lua_getfield(L, -1, name) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return text;
}

static const char *needed_text(lua_State *L, const char *name)
{
    const char *text = text_field(L, name);
    if (!text)
        luaL_error(L, "results: field '%s': string expected", name);
    return text;
}

/* Pushes the list in a field of the argument and returns its length. */
static size_t push_list(lua_State *L, const char *name)
{
    if (lua_getfield(L, ARGUMENT, name) != LUA_TTABLE)
        luaL_error(L, "results: field '%s': list expected", name);
    return (size_t)lua_rawlen(L, -1);
}

/* The texts of a list in a field of the argument, which must have n elements; what is no text is NULL. */
static const char *const *text_list(lua_State *L, const char *name, size_t n)
{
    if (push_list(L, name) != n)
        luaL_error(L, "results: field '%s': an element for each trial expected", name);
    const char **texts = new_buffer(L, n, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        texts[i] = lua_rawgeti(L, -1, (lua_Integer)i + 1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return texts;
}

/* ---- columns: { name = , kind = , title = , values = { ... } } -------------------------------------------------- */

/* Room for the longest text among the values on top. */
static size_t text_width(lua_State *L, size_t trials)
{
    size_t width = 1, length;
    for (size_t i = 0; i < trials; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        if (lua_type(L, -1) == LUA_TSTRING && lua_tolstring(L, -1, &length) && length > width)
            width = length;
        lua_pop(L, 1);
    }
    return width;
}

/* Stores the value on top. A text that is missing is empty, a number NaN. */
static void store_value(lua_State *L, const h5results_column *c, unsigned char *to)
{
    size_t length;
    double number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    int64_t integer = lua_tointeger(L, -1);
    if (c->kind == H5RESULTS_INTEGER)
        memcpy(to, &integer, sizeof integer);
    else if (c->kind == H5RESULTS_NUMBER)
        memcpy(to, &number, sizeof number);
    else if (c->kind == H5RESULTS_BOOLEAN)
        *to = (unsigned char)lua_toboolean(L, -1);
    else if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &length);
        memcpy(to, text, length);
    }
}

/* The column on top of the stack. */
static void read_column(lua_State *L, h5results_column *c, size_t trials)
{
    static const char *const kinds[] = {"integer", "number", "text", "boolean"};
    static const size_t widths[] = {sizeof(int64_t), sizeof(double), 0, 1};
    const char *kind = needed_text(L, "kind");
    c->name = needed_text(L, "name");
    c->title = text_field(L, "title");
    for (int k = 0; k < 4; k++)
        if (strcmp(kind, kinds[k]) == 0)
            c->kind = (h5results_kind)k;
    if (lua_getfield(L, -1, "values") != LUA_TTABLE)
        luaL_error(L, "results: column '%s' has no values", c->name);
    c->width = c->kind == H5RESULTS_TEXT ? text_width(L, trials) : widths[c->kind];
    unsigned char *values = new_buffer(L, trials, c->width);
    for (size_t i = 0; i < trials; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        store_value(L, c, values + i * c->width);
        lua_pop(L, 1);
    }
    c->values = values;
    lua_pop(L, 1);
}

static void read_columns(lua_State *L, h5results *r)
{
    r->ncolumns = push_list(L, "columns");
    h5results_column *columns = new_buffer(L, r->ncolumns, sizeof *columns);
    for (size_t k = 0; k < r->ncolumns; k++) {
        if (lua_rawgeti(L, -1, (lua_Integer)k + 1) != LUA_TTABLE)
            luaL_error(L, "results: field 'columns': list of tables expected");
        read_column(L, &columns[k], r->trials);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    r->columns = columns;
}

/* { { name, text }, ... } */
static void read_attributes(lua_State *L, h5results *r)
{
    r->nattributes = push_list(L, "attributes");
    h5results_attribute *attributes = new_buffer(L, r->nattributes, sizeof *attributes);
    for (size_t k = 0; k < r->nattributes; k++) {
        if (lua_rawgeti(L, -1, (lua_Integer)k + 1) != LUA_TTABLE || lua_rawgeti(L, -1, 1) != LUA_TSTRING ||
            lua_rawgeti(L, -2, 2) != LUA_TSTRING)
            luaL_error(L, "results: field 'attributes': list of { name, text } expected");
        attributes[k] = (h5results_attribute){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
    r->attributes = attributes;
}

/* ---- curves ----------------------------------------------------------------------------------------------------- */

static int curves_gc(lua_State *L)
{
    h5curves **c = luaL_checkudata(L, 1, CURVES_TYPE);
    h5curves_free(*c);
    *c = NULL;
    return 0;
}

static size_t places_for(size_t trials, lua_Integer asked)
{
    if (asked > 0)
        return (size_t)asked;
    size_t places = PLACES / (trials ? trials : 1);
    return places < FEWEST_PLACES ? FEWEST_PLACES : places;
}

/* Reads the logs at these paths and pushes the curves, then a list of { trial, reason } of the logs that can't be read.
 * On failure -1. */
static int read_curves(lua_State *L, h5results *r, const char *const *paths, lstm_error *err)
{
    lua_getfield(L, ARGUMENT, "places");
    h5curves **c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = NULL;
    luaL_setmetatable(L, CURVES_TYPE);
    lua_newtable(L);
    if (!(*c = h5curves_new(r->trials, places_for(r->trials, lua_tointeger(L, -3)), err)))
        return -1;
    for (size_t i = 0; i < r->trials; i++) {
        if (!paths[i] || h5curves_read(*c, i, paths[i], err) == 0)
            continue;
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, (lua_Integer)i + 1);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, err->message);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    r->curves = *c;
    return h5curves_settle(*c, err);
}

/* results.write(path, { trials = n, attributes = { { name, text }, ... }, columns = { ... }, signal = name,
 * curve_signal = name, ids = { ... }, logs = { path relative to the file or false, ... },
 * paths = { where they are, or false, ... }, places = most places of a curve or nil })
 * -> { steps = places of a curve, steps_per_place = , unreadable = { { trial, reason }, ... } }; or nil, a sentence */
static int results_write(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lstm_error err = {0};
    h5results r = {0};
    luaL_checktype(L, ARGUMENT, LUA_TTABLE);
    lua_settop(L, ARGUMENT);
    lua_newtable(L); /* KEEP */
    lua_getfield(L, ARGUMENT, "trials");
    r.trials = (size_t)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    read_attributes(L, &r);
    read_columns(L, &r);
    r.ids = text_list(L, "ids", r.trials);
    r.logs = text_list(L, "logs", r.trials);
    const char *const *paths = text_list(L, "paths", r.trials);
    lua_pushvalue(L, ARGUMENT);
    r.signal = needed_text(L, "signal");
    r.curve_signal = needed_text(L, "curve_signal");
    if (read_curves(L, &r, paths, &err) != 0 || h5results_write(&r, path, &err) != 0) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_createtable(L, 0, 3);
    lua_insert(L, -2);
    lua_setfield(L, -2, "unreadable");
    lua_pushinteger(L, (lua_Integer)h5curves_size(r.curves));
    lua_setfield(L, -2, "steps");
    lua_pushinteger(L, (lua_Integer)h5curves_thinned(r.curves));
    lua_setfield(L, -2, "steps_per_place");
    return 1;
}

void lua_results_push(lua_State *L)
{
    static const luaL_Reg functions[] = {{"write", results_write}, {NULL, NULL}};
    luaL_newmetatable(L, CURVES_TYPE);
    lua_pushcfunction(L, curves_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
