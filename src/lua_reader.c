/* SPDX-License-Identifier: MIT
 *
 * lua_reader.c - looks into a run's log from Lua (h5read.h), as of its last commit. What is not there, or is of another
 * kind, is nil and a sentence.
 */
#include "lua_run.h"

#include "h5array.h"
#include "h5log.h"
#include "h5read.h"
#include "lua_binding.h"
#include "lua_handle.h"

#include <stdlib.h>
#include <string.h>

#define READER_TYPE "lstm.reader"
#define MOST_ROWS ((uint64_t)1 << 32)

/* log.read(path) -> reader */
static int reader_open(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lstm_error err = {0};
    lua_handle *h = lua_handle_new(L, READER_TYPE);
    return lua_handle_opened(L, h, h5read_open(path, &err), &err);
}

static int reader_close(lua_State *L)
{
    lua_handle *h = luaL_checkudata(L, 1, READER_TYPE);
    h5read_close(h->object);
    h->object = NULL;
    return 0;
}

/* The dataset that argument 2 names, with one dimension or none and texts or numbers in it; NULL and an error. */
static const h5read_item *find(lua_State *L, const h5read *r, bool is_text, lstm_error *err)
{
    const char *path = luaL_checkstring(L, 2);
    const h5read_item *item = h5read_find(r, path);
    if (item && !item->is_group && item->is_text == is_text && item->ndim <= 1 && h5read_elements(item) < MOST_ROWS)
        return item;
    lstm_fail(err, "", "%s has no %s '%s'", h5read_path(r), is_text ? "texts" : "numbers", path);
    return NULL;
}

/* All of a dataset, as a userdata on top of the stack; NULL and an error. */
static void *push_all(lua_State *L, const h5read *r, const h5read_item *item, h5type type, size_t width,
                      lstm_error *err)
{
    const uint64_t n = h5read_elements(item), none = 0;
    void *all = lua_newuserdatauv(L, (size_t)n * width + 1, 0);
    const int result = item->ndim == 0 ? h5read_rows(r, item, 0, 1, type, all, err)
                       : n             ? h5read_block(r, item, &none, &n, type, all, err)
                                       : 0;
    return result == 0 ? all : NULL;
}

/* reader:numbers("metrics/loss") -> list of floats; of a whole type, of integers */
static int reader_numbers(lua_State *L)
{
    const h5read *r = lua_handle_check(L, READER_TYPE);
    lstm_error err = {0};
    const h5read_item *item = find(L, r, false, &err);
    if (!item)
        return lua_handle_fail(L, &err);
    const bool whole = item->type != H5_F32 && item->type != H5_F64;
    const void *all = push_all(L, r, item, whole ? H5_I64 : H5_F64, 8, &err);
    if (!all)
        return lua_handle_fail(L, &err);
    const uint64_t n = h5read_elements(item);
    lua_newtable(L);
    for (uint64_t k = 0; k < n; k++) {
        if (whole)
            lua_pushinteger(L, ((const int64_t *)all)[k]);
        else
            lua_pushnumber(L, ((const double *)all)[k]);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

/* reader:texts("events/text") -> list of texts */
static int reader_texts(lua_State *L)
{
    const h5read *r = lua_handle_check(L, READER_TYPE);
    lstm_error err = {0};
    const h5read_item *item = find(L, r, true, &err);
    const char *all = item ? push_all(L, r, item, H5_U8, item->width, &err) : NULL;
    if (!all)
        return lua_handle_fail(L, &err);
    const uint64_t n = h5read_elements(item);
    lua_newtable(L);
    for (uint64_t k = 0; k < n; k++) {
        lua_pushlstring(L, all + k * item->width, strnlen(all + k * item->width, item->width));
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

/* reader:names("metrics") -> names of the datasets of a group, in the order of creation */
static int reader_names(lua_State *L)
{
    const h5read *r = lua_handle_check(L, READER_TYPE);
    size_t length;
    const char *group = luaL_checklstring(L, 2, &length);
    lua_newtable(L);
    lua_Integer n = 0;
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (item->is_group || strncmp(item->path, group, length) != 0 || item->path[length] != '/' ||
            strchr(item->path + length + 1, '/'))
            continue;
        lua_pushstring(L, item->path + length + 1);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* reader:attributes("environment") -> { name = text, ... }; numbers have as many digits as they need */
static int reader_attributes(lua_State *L)
{
    const h5read *r = lua_handle_check(L, READER_TYPE);
    const char *object = luaL_checkstring(L, 2);
    h5read_entry *entries = NULL;
    size_t n = 0;
    lstm_error err = {0};
    if (*object && !h5read_find(r, object)) {
        lstm_fail(&err, "", "%s has no '%s'", h5read_path(r), object);
        return lua_handle_fail(L, &err);
    }
    if (h5read_attributes(r, object, &entries, &n, &err) != 0) {
        h5read_free_entries(entries, n);
        return lua_handle_fail(L, &err);
    }
    lua_createtable(L, 0, (int)n);
    for (size_t k = 0; k < n; k++) {
        lua_pushstring(L, entries[k].text); /* out of memory here loses the entries */
        lua_setfield(L, -2, entries[k].name);
    }
    h5read_free_entries(entries, n);
    return 1;
}

/* log.array(path, name [, first [, last]]) -> tensor of the dataset, or of these indices of its first dimension */
static int log_array(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    h5array array;
    lstm_error err = {0};
    if (h5array_look(path, name, &array, &err) != 0)
        return lua_handle_fail(L, &err);
    const lua_Integer most = (lua_Integer)array.shape[0];
    const lua_Integer first = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, most);
    if (first < 1 || last < first || last > most) {
        lstm_fail(&err, "", "%.200s: '%.100s' has indices 1 to %lld, got %lld to %lld", path, name, (long long)most,
                  (long long)first, (long long)last);
        return lua_handle_fail(L, &err);
    }
    size_t shape[H5_MAX_DIMS];
    memcpy(shape, array.shape, sizeof shape);
    shape[0] = (size_t)(last - first + 1);
    const lstm_tensor *t = lua_tensor_push_new(L, NULL, array.type, array.ndim, shape);
    if (h5array_read(path, name, &array, (size_t)first - 1, shape[0], t->data, &err) != 0)
        return lua_handle_fail(L, &err);
    return 1;
}

/* log.recover(path) -> what was done, in words (h5log_recover) */
static int log_recover(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *what = "";
    lstm_error err = {0};
    if (h5log_recover(path, &what, &err) != 0)
        return lua_handle_fail(L, &err);
    lua_pushstring(L, what);
    return 1;
}

/* log.state(path) -> "closed", "live", "left" or "pending" (h5read_journal) */
static int log_state(lua_State *L)
{
    static const char *const names[] = {"closed", "live", "left", "pending"};
    lua_pushstring(L, names[h5read_journal_of(luaL_checkstring(L, 1))]);
    return 1;
}

void lua_reader_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"numbers", reader_numbers},       {"texts", reader_texts}, {"names", reader_names},
        {"attributes", reader_attributes}, {"close", reader_close}, {NULL, NULL},
    };
    static const luaL_Reg functions[] = {
        {"read", reader_open}, {"array", log_array}, {"recover", log_recover}, {"state", log_state}, {NULL, NULL}};
    lua_handle_define(L, READER_TYPE, methods, reader_close);
    luaL_setfuncs(L, functions, 0);
}
