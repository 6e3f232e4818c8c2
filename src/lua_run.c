/* SPDX-License-Identifier: MIT
 *
 * lua_run.c - a run's files for Lua: the log (h5log.h), metrics.csv (csvlog.h) and checkpoints (h5checkpoint.h).
 *
 * Wrong arguments raise; what the file system or a file's content refuses returns nil and a sentence.
 */
#include "lua_run.h"

#include "csvlog.h"
#include "h5checkpoint.h"
#include "h5log.h"
#include "lua_binding.h"
#include "lua_handle.h"

#include <lauxlib.h>

#include <string.h>

#define LOG_TYPE "lstm.log"
#define CSV_TYPE "lstm.csv"
#define CHECKPOINT_TYPE "lstm.checkpoint"
#define MAX_COLUMNS 256

/* ---- rows of numbers ------------------------------------------------------------------------------------------ */

typedef struct row {
    size_t n;
    const char *names[MAX_COLUMNS]; /* belong to the strings in the Lua table */
    double values[MAX_COLUMNS];
} row;

/* { name = number, ... } */
static void check_row(lua_State *L, int index, row *r)
{
    luaL_checktype(L, index, LUA_TTABLE);
    r->n = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TNUMBER)
            luaL_argerror(L, index, "names with numbers expected");
        if (r->n == MAX_COLUMNS)
            luaL_argerror(L, index, "too many columns");
        r->names[r->n] = lua_tostring(L, -2);
        r->values[r->n++] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
}

/* { "name", ... } */
static void check_names(lua_State *L, int index, row *r)
{
    luaL_checktype(L, index, LUA_TTABLE);
    r->n = lua_rawlen(L, index);
    luaL_argcheck(L, r->n <= MAX_COLUMNS, index, "too many columns");
    for (size_t k = 0; k < r->n; k++) {
        if (lua_rawgeti(L, index, (lua_Integer)k + 1) != LUA_TSTRING)
            luaL_argerror(L, index, "list of names expected");
        r->names[k] = lua_tostring(L, -1);
        lua_pop(L, 1); /* the table keeps the string */
    }
}

/* ---- the log -------------------------------------------------------------------------------------------------- */

h5log *lua_log_check(lua_State *L) { return lua_handle_check(L, LOG_TYPE); }

/* { deflate = 0 .. 9, commit_seconds = number, commit_records = integer, drop = boolean }, each optional, or nothing at
 * all */
static h5log_options check_log_options(lua_State *L, int index)
{
    h5log_options o;
    h5log_defaults(&o);
    if (lua_isnoneornil(L, index))
        return o;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "deflate");
    const lua_Integer level = luaL_optinteger(L, -1, o.deflate);
    luaL_argcheck(L, level >= 0 && level <= 9, index, "field 'deflate': 0 to 9 expected");
    o.deflate = (int)level;
    lua_getfield(L, index, "commit_seconds");
    o.commit_seconds = luaL_optnumber(L, -1, o.commit_seconds);
    luaL_argcheck(L, o.commit_seconds >= 0, index, "field 'commit_seconds': a number of at least 0 expected");
    lua_getfield(L, index, "commit_records");
    const lua_Integer records = luaL_optinteger(L, -1, (lua_Integer)o.commit_records);
    luaL_argcheck(L, records >= 0, index, "field 'commit_records': an integer of at least 0 expected");
    o.commit_records = (size_t)records;
    lua_getfield(L, index, "drop");
    o.drop = lua_toboolean(L, -1);
    lua_pop(L, 4);
    return o;
}

/* log.create(path [, options]), log.resume(path, step [, options]) -> log */
static int log_create(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    const h5log_options options = check_log_options(L, 2);
    lstm_error err;
    lua_handle *h = lua_handle_new(L, LOG_TYPE);
    return lua_handle_opened(L, h, h5log_create(path, &options, &err), &err);
}

static int log_resume(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_Integer step = luaL_checkinteger(L, 2);
    const h5log_options options = check_log_options(L, 3);
    lstm_error err;
    lua_handle *h = lua_handle_new(L, LOG_TYPE);
    return lua_handle_opened(L, h, h5log_resume(path, step, &options, &err), &err);
}

/* log:set(group, name, value): an attribute */
static int log_set(lua_State *L)
{
    h5log *log = lua_handle_check(L, LOG_TYPE);
    const char *group = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
    lstm_error err;
    if (lua_isinteger(L, 4))
        return lua_handle_done(L, h5log_set_integer(log, group, name, lua_tointeger(L, 4), &err), &err);
    if (lua_type(L, 4) == LUA_TNUMBER)
        return lua_handle_done(L, h5log_set_number(log, group, name, lua_tonumber(L, 4), &err), &err);
    const char *text = luaL_tolstring(L, 4, NULL); /* which may call a script's __tostring */
    return lua_handle_done(L, h5log_set_text(lua_handle_check(L, LOG_TYPE), group, name, text, &err), &err);
}

/* log:json(text): the configuration */
static int log_json(lua_State *L)
{
    h5log *log = lua_handle_check(L, LOG_TYPE);
    lstm_error err;
    return lua_handle_done(L, h5log_set_json(log, luaL_checkstring(L, 2), &err), &err);
}

/* log:columns { "loss", ... } */
static int log_columns(lua_State *L)
{
    h5log *log = lua_handle_check(L, LOG_TYPE);
    row r;
    lstm_error err;
    check_names(L, 2, &r);
    return lua_handle_done(L, h5log_columns(log, r.n, r.names, &err), &err);
}

/* log:row(step, { loss = 1.5, ... }) */
static int log_row(lua_State *L)
{
    h5log *log = lua_handle_check(L, LOG_TYPE);
    lua_Integer step = luaL_checkinteger(L, 2);
    row r;
    lstm_error err;
    check_row(L, 3, &r);
    return lua_handle_done(L, h5log_row(log, step, r.n, r.names, r.values, &err), &err);
}

/* log:sample(step, text) */
static int log_sample(lua_State *L)
{
    h5log *log = lua_handle_check(L, LOG_TYPE);
    lua_Integer step = luaL_checkinteger(L, 2);
    size_t length;
    const char *text = luaL_checklstring(L, 3, &length);
    lstm_error err;
    return lua_handle_done(L, h5log_sample(log, step, text, length, &err), &err);
}

/* log:event(step, kind, text) */
static int log_event(lua_State *L)
{
    h5log *log = lua_handle_check(L, LOG_TYPE);
    lua_Integer step = luaL_checkinteger(L, 2);
    const char *kind = luaL_checkstring(L, 3), *text = luaL_checkstring(L, 4);
    lstm_error err;
    return lua_handle_done(L, h5log_event(log, step, kind, text, &err), &err);
}

static int log_flush(lua_State *L)
{
    lstm_error err;
    return lua_handle_done(L, h5log_flush(lua_handle_check(L, LOG_TYPE), &err), &err);
}

/* log:abandon(): after an error, go on without logging */
static int log_abandon(lua_State *L)
{
    h5log_abandon(lua_handle_check(L, LOG_TYPE));
    return 0;
}

/* log:stats() -> { commits = , rows = , records = , bytes = , dropped = , waits = , wait_seconds = ,
 * writer_seconds = , committed_step = } */
static int log_stats(lua_State *L)
{
    h5log_stats stats;
    h5log_get_stats(lua_handle_check(L, LOG_TYPE), &stats);
    const struct {
        const char *name;
        lua_Integer value;
    } fields[] = {
        {"commits", (lua_Integer)stats.commits}, {"rows", (lua_Integer)stats.rows},
        {"records", (lua_Integer)stats.records}, {"bytes", (lua_Integer)stats.bytes},
        {"dropped", (lua_Integer)stats.dropped}, {"waits", (lua_Integer)stats.waits},
        {"committed_step", stats.committed_step},
    };
    lua_newtable(L);
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
        lua_pushinteger(L, fields[k].value);
        lua_setfield(L, -2, fields[k].name);
    }
    lua_pushnumber(L, stats.wait_seconds);
    lua_setfield(L, -2, "wait_seconds");
    lua_pushnumber(L, stats.writer_seconds);
    lua_setfield(L, -2, "writer_seconds");
    return 1;
}

/* log:close(): the same as __gc and __close; may be called again */
static int log_close(lua_State *L)
{
    lua_handle *h = luaL_checkudata(L, 1, LOG_TYPE);
    h5log *log = h->object;
    lstm_error err;
    h->object = NULL;
    return lua_handle_done(L, log ? h5log_close(log, &err) : 0, &err);
}

/* ---- metrics.csv ---------------------------------------------------------------------------------------------- */

/* csv.create(path), csv.resume(path, step) -> csv */
static int csv_create(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lstm_error err;
    lua_handle *h = lua_handle_new(L, CSV_TYPE);
    return lua_handle_opened(L, h, csvlog_create(path, &err), &err);
}

static int csv_resume(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_Integer step = luaL_checkinteger(L, 2);
    lstm_error err;
    lua_handle *h = lua_handle_new(L, CSV_TYPE);
    return lua_handle_opened(L, h, csvlog_resume(path, step, &err), &err);
}

/* csv:columns { "loss", ... } */
static int csv_columns(lua_State *L)
{
    csvlog *csv = lua_handle_check(L, CSV_TYPE);
    row r;
    lstm_error err;
    check_names(L, 2, &r);
    return lua_handle_done(L, csvlog_columns(csv, r.n, r.names, &err), &err);
}

/* csv:row(step, { loss = 1.5, ... }) */
static int csv_row(lua_State *L)
{
    csvlog *csv = lua_handle_check(L, CSV_TYPE);
    lua_Integer step = luaL_checkinteger(L, 2);
    row r;
    lstm_error err;
    check_row(L, 3, &r);
    return lua_handle_done(L, csvlog_row(csv, step, r.n, r.names, r.values, &err), &err);
}

/* csv:left_out() -> name of the first column there was no room for, or nil */
static int csv_left_out(lua_State *L)
{
    lua_pushstring(L, csvlog_left_out(lua_handle_check(L, CSV_TYPE)));
    return 1;
}

static int csv_flush(lua_State *L)
{
    lstm_error err;
    return lua_handle_done(L, csvlog_flush(lua_handle_check(L, CSV_TYPE), &err), &err);
}

static int csv_close(lua_State *L)
{
    lua_handle *h = luaL_checkudata(L, 1, CSV_TYPE);
    csvlog *csv = h->object;
    lstm_error err;
    h->object = NULL;
    return lua_handle_done(L, csv ? csvlog_close(csv, &err) : 0, &err);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------ */

/* Adds the tensors { { name, tensor }, ... } at the index. 0, or -1 with err. */
static int add_tensors(lua_State *L, int index, h5checkpoint *cp, lstm_error *err)
{
    if (lua_isnil(L, index))
        return 0;
    luaL_checktype(L, index, LUA_TTABLE);
    const lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    for (lua_Integer k = 1; k <= n; k++) {
        if (lua_rawgeti(L, index, k) != LUA_TTABLE || lua_rawgeti(L, -1, 1) != LUA_TSTRING)
            return luaL_argerror(L, index, "list of { name, tensor } expected");
        lua_rawgeti(L, -2, 2);
        const lstm_tensor *t = lua_tensor_check(L, -1, "write", 3);
        if (h5checkpoint_add_tensor(cp, lua_tostring(L, -2), t, err) != 0)
            return -1;
        lua_pop(L, 3);
    }
    return 0;
}

/* Adds texts, integers and numbers { name = value } at the index. 0, or -1 with err. */
static int add_values(lua_State *L, int index, h5checkpoint *cp, lstm_error *err)
{
    if (lua_isnil(L, index))
        return 0;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return luaL_argerror(L, index, "names with values expected");
        const char *name = lua_tostring(L, -2);
        size_t length;
        int result;
        if (lua_isinteger(L, -1))
            result = h5checkpoint_add_integer(cp, name, lua_tointeger(L, -1), err);
        else if (lua_type(L, -1) == LUA_TNUMBER)
            result = h5checkpoint_add_number(cp, name, lua_tonumber(L, -1), err);
        else {
            const char *text = luaL_checklstring(L, -1, &length);
            result = h5checkpoint_add_text(cp, name, text, length, err);
        }
        if (result != 0)
            return -1;
        lua_pop(L, 1);
    }
    return 0;
}

static int checkpoint_close(lua_State *L)
{
    lua_handle *h = luaL_checkudata(L, 1, CHECKPOINT_TYPE);
    h5checkpoint_free(h->object);
    h->object = NULL;
    return 0;
}

/* checkpoint.write(path, previous or nil, { { name, tensor }, ... }, { name = text or number, ... }) -> true */
static int checkpoint_write(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *previous = luaL_optstring(L, 2, NULL);
    lstm_error err;
    lua_settop(L, 4);
    lua_handle *h = lua_handle_new(L, CHECKPOINT_TYPE); /* collected when something below raises */
    h5checkpoint *cp = h->object = h5checkpoint_new(&err);
    int result = cp ? 0 : -1;
    if (result == 0)
        result = add_tensors(L, 3, cp, &err);
    if (result == 0)
        result = add_values(L, 4, cp, &err);
    if (result == 0)
        result = h5checkpoint_write(cp, path, previous, &err);
    h5checkpoint_free(cp);
    h->object = NULL;
    return lua_handle_done(L, result, &err);
}

/* checkpoint.read(path [, previous]) -> checkpoint, and when previous was used instead: the reason */
static int checkpoint_read(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *previous = luaL_optstring(L, 2, NULL);
    lstm_error err;
    bool used_previous = false;
    lua_handle *h = lua_handle_new(L, CHECKPOINT_TYPE);
    h->object =
        previous ? h5checkpoint_read_either(path, previous, &used_previous, &err) : h5checkpoint_read(path, &err);
    if (!h->object)
        return lua_handle_fail(L, &err);
    if (!used_previous)
        return 1;
    lua_pushstring(L, err.message);
    return 2;
}

/* cp:text(name) */
static int checkpoint_text(lua_State *L)
{
    h5checkpoint *cp = lua_handle_check(L, CHECKPOINT_TYPE);
    lstm_error err;
    size_t length;
    const char *text = h5checkpoint_text(cp, luaL_checkstring(L, 2), &length, &err);
    if (!text)
        return lua_handle_fail(L, &err);
    lua_pushlstring(L, text, length);
    return 1;
}

/* cp:integer(name) */
static int checkpoint_integer(lua_State *L)
{
    h5checkpoint *cp = lua_handle_check(L, CHECKPOINT_TYPE);
    lstm_error err;
    int64_t value;
    if (h5checkpoint_integer(cp, luaL_checkstring(L, 2), &value, &err) != 0)
        return lua_handle_fail(L, &err);
    lua_pushinteger(L, value);
    return 1;
}

/* cp:shape(name) -> { sizes }, or nil and a sentence */
static int checkpoint_shape(lua_State *L)
{
    h5checkpoint *cp = lua_handle_check(L, CHECKPOINT_TYPE);
    lstm_error err;
    h5checkpoint_item item;
    if (h5checkpoint_find(cp, luaL_checkstring(L, 2), &item, &err) != 0)
        return lua_handle_fail(L, &err);
    lua_createtable(L, item.ndim, 0);
    for (int k = 0; k < item.ndim; k++) {
        lua_pushinteger(L, (lua_Integer)item.shape[k]);
        lua_rawseti(L, -2, k + 1);
    }
    return 1;
}

/* cp:load(name, tensor): copies the stored values into a tensor of the same shape and type */
static int checkpoint_load(lua_State *L)
{
    h5checkpoint *cp = lua_handle_check(L, CHECKPOINT_TYPE);
    const char *name = luaL_checkstring(L, 2);
    const lstm_tensor *t = lua_tensor_check(L, 3, "load", 2);
    lstm_error err;
    return lua_handle_done(L, h5checkpoint_get_tensor(cp, name, t, &err), &err);
}

/* cp:names() -> list of the tensors' names */
static int checkpoint_names(lua_State *L)
{
    h5checkpoint *cp = lua_handle_check(L, CHECKPOINT_TYPE);
    h5checkpoint_item item;
    lua_newtable(L);
    for (size_t k = 0; h5checkpoint_item_at(cp, k, &item) == 0; k++) {
        lua_pushstring(L, item.name);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

/* ---- registration ----------------------------------------------------------------------------------------------- */

static void add_table(lua_State *L, const char *name, const luaL_Reg *functions)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    lua_setfield(L, -2, name);
}

void lua_run_register(lua_State *L)
{
    static const luaL_Reg log_methods[] = {
        {"set", log_set},       {"json", log_json},   {"columns", log_columns}, {"row", log_row},
        {"sample", log_sample}, {"event", log_event}, {"flush", log_flush},     {"abandon", log_abandon},
        {"stats", log_stats},   {"close", log_close}, {NULL, NULL},
    };
    static const luaL_Reg csv_methods[] = {
        {"columns", csv_columns}, {"row", csv_row},     {"left_out", csv_left_out},
        {"flush", csv_flush},     {"close", csv_close}, {NULL, NULL},
    };
    static const luaL_Reg checkpoint_methods[] = {
        {"text", checkpoint_text}, {"integer", checkpoint_integer}, {"shape", checkpoint_shape},
        {"load", checkpoint_load}, {"names", checkpoint_names},     {"close", checkpoint_close},
        {NULL, NULL},
    };
    static const luaL_Reg log_functions[] = {{"create", log_create}, {"resume", log_resume}, {NULL, NULL}};
    static const luaL_Reg csv_functions[] = {{"create", csv_create}, {"resume", csv_resume}, {NULL, NULL}};
    static const luaL_Reg checkpoint_functions[] = {
        {"write", checkpoint_write}, {"read", checkpoint_read}, {NULL, NULL}};
    lua_handle_define(L, LOG_TYPE, log_methods, log_close);
    luaL_getmetatable(L, LOG_TYPE);
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, lua_watch_methods, 0);
    lua_pop(L, 2);
    lua_handle_define(L, CSV_TYPE, csv_methods, csv_close);
    lua_handle_define(L, CHECKPOINT_TYPE, checkpoint_methods, checkpoint_close);
    add_table(L, "log", log_functions);
    lua_getfield(L, -1, "log");
    lua_reader_register(L);
    lua_pop(L, 1);
    lua_lock_register(L);
    add_table(L, "csv", csv_functions);
    add_table(L, "checkpoint", checkpoint_functions);
    lua_results_push(L);
    lua_setfield(L, -2, "results");
    lua_sys_push(L);
    lua_setfield(L, -2, "sys");
    lua_process_push(L);
    lua_setfield(L, -2, "process");
}
