/* SPDX-License-Identifier: MIT
 *
 * lua_stream.c - streams in Lua: batches of a text's part, in an order that can be interrupted and continued.
 */
#include <string.h>

#include "lua_binding.h"

static lua_stream *push_no_stream(lua_State *L, int corpus)
{
    lua_stream *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (lua_stream){ .owner.closed = "closed stream" };
    luaL_setmetatable(L, LUA_STREAM);
    lua_pushvalue(L, corpus);
    lua_setiuservalue(L, -2, 1);
    return s;
}

static lua_stream *open_stream(lua_State *L, lua_stream *s, lstm_corpus *text, const lstm_stream_config *config,
                               const char *function, int arg)
{
    lstm_error err;
    s->stream = lstm_stream_new(text, config, &err);
    if (s->stream == NULL && err.field[0] != '\0')
        lua_args_error(L, function, arg, "field '%s': %s", err.field, err.message);
    if (s->stream == NULL)
        lua_raise(L, "%s", err.message);
    s->owner.closed = NULL;
    return s;
}

lua_stream *lua_stream_push(lua_State *L, int corpus, const lstm_stream_config *config, const char *function, int arg)
{
    corpus = lua_absindex(L, corpus);
    lua_stream *s = push_no_stream(L, corpus);
    return open_stream(L, s, lua_corpus_check(L, corpus, function), config, function, arg);
}

lua_stream *lua_stream_push_like(lua_State *L, int stream, const char *function, int arg)
{
    lua_stream *model = lua_touserdata(L, stream);
    lua_getiuservalue(L, stream, 1);
    lua_stream *s = push_no_stream(L, lua_gettop(L));
    lua_replace(L, -2);
    if (model->owner.closed != NULL)
        lua_raise(L, "attempt to call '%s' with a %s", function, model->owner.closed);
    lstm_stream_config config = *lstm_stream_settings(model->stream);
    return open_stream(L, s, lstm_stream_corpus(model->stream), &config, function, arg);
}

static lua_stream *check_stream(lua_State *L, const char *function)
{
    return lua_owner_check(L, 1, LUA_STREAM, function);
}

static int stream_gc(lua_State *L)
{
    lua_stream *s = lua_owner_self(L, 1, LUA_STREAM, "close");
    lstm_stream_free(s->stream);
    s->stream = NULL;
    s->owner.closed = "closed stream";
    return 0;
}

/* part < 0: the table names it. */
static int new_stream(lua_State *L, const char *function, int part)
{
    static const char *const names[] = { "batch", "seq", "order", "stride", "seed", "part", NULL };
    static const char *const order_names[] = { "stream", "shuffled", "once", NULL };
    lua_corpus_check(L, 1, function);
    lua_settop(L, 2);
    lua_args a = lua_args_open(L, 2, function, 1, names, false);
    if (part >= 0 && lua_args_has(&a, "part"))
        lua_args_field_error(&a, "part", "only for 'stream'");
    lstm_stream_config c = { .part = (lstm_part)(part >= 0 ? part : lua_args_choice(&a, "part", lua_part_names, 0)) };
    c.order = (lstm_order)lua_args_choice(&a, "order", order_names,
                                          c.part == LSTM_PART_TRAIN ? LSTM_ORDER_CONTIGUOUS : LSTM_ORDER_ONCE);
    for (int k = 0; k < 2; k++)
        if (!lua_args_has(&a, names[k]))
            lua_args_field_error(&a, names[k], "positive integer expected, got nil");
    c.batch = (size_t)lua_args_integer(&a, "batch", 1, LUA_ARGS_SIZE_MAX, 1);
    c.seq = (size_t)lua_args_integer(&a, "seq", 1, LUA_ARGS_SIZE_MAX, 1);
    if (c.order != LSTM_ORDER_SHUFFLED && (lua_args_has(&a, "stride") || lua_args_has(&a, "seed")))
        lua_args_field_error(&a, lua_args_has(&a, "stride") ? "stride" : "seed", "only with order = 'shuffled'");
    c.stride = (size_t)lua_args_integer(&a, "stride", 1, LUA_ARGS_SIZE_MAX, 0);
    c.seed = (uint64_t)lua_args_integer(&a, "seed", 0, LUA_MAXINTEGER, 1);
    lua_stream_push(L, 1, &c, function, 1);
    return 1;
}

int lua_corpus_stream(lua_State *L)
{
    return new_stream(L, "stream", -1);
}

int lua_corpus_train(lua_State *L)
{
    return new_stream(L, "train", LSTM_PART_TRAIN);
}

int lua_corpus_val(lua_State *L)
{
    return new_stream(L, "val", LSTM_PART_VAL);
}

int lua_corpus_test(lua_State *L)
{
    return new_stream(L, "test", LSTM_PART_TEST);
}

/* Adds a field with ids[T][B] as a tensor to the table on top of the stack. */
static void set_ids(lua_State *L, const char *field, const int32_t *ids, size_t steps, size_t batch)
{
    double row[64];
    size_t shape[2] = { steps, batch }, size = steps * batch;
    const lstm_tensor *t = lua_tensor_push_new(L, field, LSTM_F64, 2, shape);
    for (size_t first = 0; first < size; first += 64) {
        size_t count = size - first < 64 ? size - first : 64;
        for (size_t k = 0; k < count; k++)
            row[k] = ids[first + k];
        lua_tensor_write(t, first, count, row);
    }
    lua_setfield(L, -2, field);
}

/* stream:next() -> batch table, or nil at the end of a pass (order 'once') */
static int stream_next(lua_State *L)
{
    lua_stream *s = check_stream(L, "next");
    lstm_stream_config c = *lstm_stream_settings(s->stream);
    size_t n = c.batch * lstm_stream_steps(s->stream), steps; /* seq may be far more than the text has */
    bool reset;
    int32_t *ids = lua_newuserdatauv(L, 2 * n * sizeof *ids, 0), *targets = ids + n;
    lua_createtable(L, 0, 3);
    check_stream(L, "next");
    if (!lstm_stream_next(s->stream, ids, targets, &steps, &reset)) {
        lua_pushnil(L);
        return 1;
    }
    set_ids(L, "ids", ids, steps, c.batch);
    set_ids(L, "targets", targets, steps, c.batch);
    lua_pushboolean(L, reset);
    lua_setfield(L, -2, "reset");
    return 1;
}

static int stream_cursor(lua_State *L)
{
    lstm_cursor cursor = lstm_stream_cursor(check_stream(L, "cursor")->stream);
    lua_createtable(L, 0, 2);
    lua_field_integer(L, "epoch", (size_t)cursor.epoch);
    lua_field_integer(L, "position", (size_t)cursor.position);
    return 1;
}

static int stream_seek(lua_State *L)
{
    static const char *const names[] = { "epoch", "position", NULL };
    lua_stream *s = check_stream(L, "seek");
    lstm_error err;
    lua_args a = lua_args_open(L, 2, "seek", 1, names, false);
    lstm_cursor cursor = { .epoch = (uint64_t)lua_args_integer(&a, "epoch", 0, LUA_MAXINTEGER, 0),
                           .position = (uint64_t)lua_args_integer(&a, "position", 0, LUA_MAXINTEGER, 0) };
    lua_owner_recheck(L, &s->owner, "seek");
    if (lstm_stream_seek(s->stream, cursor, &err) != 0)
        lua_args_engine_error(&a, &err);
    return 0;
}

static int stream_rewind(lua_State *L)
{
    lua_stream *s = check_stream(L, "rewind");
    lstm_error err;
    if (lstm_stream_seek(s->stream, (lstm_cursor){ 0, 0 }, &err) != 0)
        lua_raise(L, "rewind: %s", err.message);
    return 0;
}

static int stream_index(lua_State *L)
{
    static const char *const fields[] = { "batches", "batch", "seq", "part", "order", "text", NULL };
    lua_stream *s = lua_owner_self(L, 1, LUA_STREAM, "index");
    const char *key = lua_owner_key(L);
    int field = 0;
    if (strcmp(key, "closed") == 0) {
        lua_pushboolean(L, s->owner.closed != NULL);
        return 1;
    }
    while (fields[field] != NULL && strcmp(key, fields[field]) != 0)
        field++;
    if (fields[field] == NULL) {
        lua_owner_push_method(L, LUA_STREAM, 2);
        return 1;
    }
    const lstm_stream_config *c = lstm_stream_settings(check_stream(L, key)->stream);
    if (field == 5)
        lua_getiuservalue(L, 1, 1);
    else if (field >= 3)
        lua_pushstring(L, field == 3 ? lstm_part_name(c->part) : lstm_order_name(c->order));
    else
        lua_pushinteger(L, (lua_Integer)(field == 0 ? lstm_stream_batches(s->stream) : field == 1 ? c->batch : c->seq));
    return 1;
}

static int stream_tostring(lua_State *L)
{
    lua_stream *s = lua_owner_self(L, 1, LUA_STREAM, "tostring");
    if (s->owner.closed != NULL) {
        lua_pushliteral(L, LUA_STREAM " (closed)");
        return 1;
    }
    const lstm_stream_config *c = lstm_stream_settings(s->stream);
    lua_pushfstring(L, "%s (%s, %s, batch %I, seq %I, %I batches)", LUA_STREAM, lstm_part_name(c->part),
                    lstm_order_name(c->order), (LUAI_UACINT)c->batch, (LUAI_UACINT)c->seq,
                    (LUAI_UACINT)lstm_stream_batches(s->stream));
    return 1;
}

void lua_stream_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", stream_index }, { "__tostring", stream_tostring },
        { "__gc", stream_gc }, { "__close", stream_gc }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "next", stream_next }, { "cursor", stream_cursor }, { "seek", stream_seek }, { "rewind", stream_rewind },
        { "close", stream_gc }, { NULL, NULL },
    };
    lua_owner_register(L, LUA_STREAM, metamethods, methods);
}
