/* SPDX-License-Identifier: MIT
 *
 * lua_vocab.c - vocabularies in Lua: symbols and their ids, which are the engine's and the files' numbers, 0 .. V-1.
 */
#include <string.h>

#include "lua_binding.h"

/* A script cannot close one, but the collector has, when another object's finalizer uses it later. */
static const char closed_vocabulary[] = "vocabulary that was collected";

static lua_vocabulary *push_no_vocabulary(lua_State *L)
{
    lua_vocabulary *v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = (lua_vocabulary){ .owner.closed = closed_vocabulary };
    luaL_setmetatable(L, LUA_VOCABULARY);
    return v;
}

static void open_vocabulary(lua_vocabulary *v, lstm_vocab *vocab)
{
    v->vocab = vocab;
    v->owner.closed = NULL;
}

lstm_vocab *lua_vocabulary_of(lua_State *L, int index)
{
    lua_vocabulary *v = luaL_testudata(L, index, LUA_VOCABULARY);
    if (v != NULL)
        return v->vocab;
    lua_corpus *c = luaL_testudata(L, index, LUA_CORPUS);
    return c != NULL && c->owner.closed == NULL ? lstm_corpus_vocab(c->corpus) : NULL;
}

void lua_vocabulary_push(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    lua_vocabulary *v = push_no_vocabulary(L);
    lstm_vocab *vocab = lua_vocabulary_of(L, index);
    if (vocab != NULL) {
        open_vocabulary(v, lstm_vocab_ref(vocab));
        return;
    }
    lua_pushnil(L);
    lua_replace(L, -2);
}

static lstm_vocab *check_vocabulary(lua_State *L, const char *function)
{
    return ((lua_vocabulary *)lua_owner_check(L, 1, LUA_VOCABULARY, function))->vocab;
}

static int vocabulary_gc(lua_State *L)
{
    lua_vocabulary *v = lua_owner_self(L, 1, LUA_VOCABULARY, "gc");
    lstm_vocab_free(v->vocab);
    *v = (lua_vocabulary){ .owner.closed = closed_vocabulary };
    return 0;
}

static const char *string_argument(lua_State *L, int index, const char *function, size_t *length)
{
    if (lua_type(L, index) != LUA_TSTRING)
        lua_args_error(L, function, index - 1, "string expected, got %s", lua_args_got(L, index));
    return lua_tolstring(L, index, length);
}

/* The id of the symbol that stands for unknown ones, at a stack index; nil: none. */
static int32_t unknown_argument(lua_State *L, int index, const lstm_vocab *vocab, const char *function)
{
    size_t length;
    if (lua_isnoneornil(L, index))
        return -1;
    const char *symbol = string_argument(L, index, function, &length);
    int32_t id = lstm_vocab_find(vocab, symbol, length);
    if (id < 0)
        lua_args_error(L, function, index - 1, "symbol of the vocabulary expected, got %s", lua_args_got(L, index));
    return id;
}

/* vocab:encode(text [, unknown]) -> list of ids */
static int vocabulary_encode(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "encode");
    lstm_text text = { 0 };
    lstm_error err;
    int32_t ids[256];
    size_t count;
    text.bytes = string_argument(L, 2, "encode", &text.size);
    lstm_reader reader = { .vocab = vocab, .text = text, .unknown = unknown_argument(L, 3, vocab, "encode") };
    lua_newtable(L);
    for (lua_Integer n = 0;; n += (lua_Integer)count) {
        if (lstm_reader_next(&reader, ids, sizeof ids / sizeof *ids, &count, &err) != 0)
            lua_args_error(L, "encode", 1, "%s", err.message);
        if (count == 0)
            return 1;
        for (size_t k = 0; k < count; k++) {
            lua_pushinteger(L, ids[k]);
            lua_rawseti(L, -2, n + (lua_Integer)k + 1);
        }
    }
}

int32_t *lua_ids_push(lua_State *L, int index, size_t below, const char *function, int arg, const char *what,
                      size_t *count)
{
    index = lua_absindex(L, index);
    bool tensor = lua_tensor_is(L, index);
    const lstm_tensor *t = tensor ? lua_tensor_check(L, index, function, arg) : NULL;
    const lua_owner *owner = tensor ? lua_tensor_owner(L, index) : NULL;
    if (!lua_istable(L, index) && !tensor)
        lua_args_error(L, function, arg, "%s: list of ids expected, got %s", what, lua_args_got(L, index));
    *count = tensor ? lstm_tensor_size(t) : lua_rawlen(L, index);
    if (!tensor && lua_args_push_other_key(L, index, *count))
        lua_args_error(L, function, arg, "%s: elements [1] to [%I] expected, got [%s], too", what, (LUAI_UACINT)*count,
                       lua_args_got(L, -1));
    int32_t *ids = lua_newuserdatauv(L, *count * sizeof *ids + 1, 0);
    int top = lua_gettop(L);
    for (size_t k = 0; k < *count; k++) {
        lua_owner_recheck(L, owner, function); /* places are strings, whose making may have closed it */
        if (tensor)
            lua_pushnumber(L, lstm_tensor_at(t, k));
        else
            lua_rawgeti(L, index, (lua_Integer)k + 1);
        const char *place = lua_pushfstring(L, "%s, element [%I]", what, (LUAI_UACINT)k + 1);
        ids[k] = (int32_t)lua_args_to_integer(L, top + 1, function, arg, place, 0, (lua_Integer)below - 1);
        lua_settop(L, top);
    }
    return ids;
}

void lua_vocabulary_push_text(lua_State *L, const lstm_vocab *vocab, const int32_t *ids, size_t count,
                              const char *function)
{
    lstm_error err;
    luaL_Buffer text;
    size_t size;
    if (lstm_vocab_decoded_size(vocab, ids, count, &size, &err) != 0)
        lua_args_error(L, function, 1, "%s", err.message);
    lstm_vocab_decode(vocab, ids, count, luaL_buffinitsize(L, &text, size));
    luaL_pushresultsize(&text, size);
}

/* vocab:decode(list or tensor of ids) -> text */
static int vocabulary_decode(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "decode");
    size_t count;
    int32_t *ids = lua_ids_push(L, 2, lstm_vocab_size(vocab), "decode", 1, "ids", &count);
    lua_vocabulary_push_text(L, vocab, ids, count, "decode");
    return 1;
}

static int vocabulary_symbol(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "symbol");
    size_t size;
    lua_Integer most = (lua_Integer)lstm_vocab_size(vocab) - 1;
    int32_t id = (int32_t)lua_args_to_integer(L, 2, "symbol", 1, "id", 0, most);
    const char *symbol = lstm_vocab_symbol(vocab, id, &size);
    lua_pushlstring(L, symbol, size);
    return 1;
}

/* vocab:find(symbol) -> id or nil */
static int vocabulary_find(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "find");
    size_t length;
    const char *symbol = string_argument(L, 2, "find", &length);
    int32_t id = lstm_vocab_find(vocab, symbol, length);
    if (id < 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, id);
    return 1;
}

static int vocabulary_serialize(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "serialize");
    luaL_Buffer bytes;
    size_t size = lstm_vocab_serialized_size(vocab);
    lstm_vocab_serialize(vocab, luaL_buffinitsize(L, &bytes, size));
    luaL_pushresultsize(&bytes, size);
    return 1;
}

static int vocabulary_equal(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "eq");
    lua_vocabulary *other = luaL_testudata(L, 2, LUA_VOCABULARY);
    lua_pushboolean(L, other != NULL && other->vocab != NULL && lstm_vocab_equal(vocab, other->vocab));
    return 1;
}

static int vocabulary_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lstm_vocab_size(check_vocabulary(L, "len")));
    return 1;
}

static int vocabulary_index(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "index");
    if (strcmp(lua_owner_key(L), "tokens") == 0)
        lua_pushstring(L, lstm_tokens_name(lstm_vocab_tokens(vocab)));
    else
        lua_owner_push_method(L, LUA_VOCABULARY, 2);
    return 1;
}

static int vocabulary_tostring(lua_State *L)
{
    lua_vocabulary *v = lua_owner_self(L, 1, LUA_VOCABULARY, "tostring");
    if (v->owner.closed != NULL)
        lua_pushliteral(L, LUA_VOCABULARY " (closed)");
    else
        lua_pushfstring(L, "%s (%I %s)", LUA_VOCABULARY, (LUAI_UACINT)lstm_vocab_size(v->vocab),
                        lstm_tokens_name(lstm_vocab_tokens(v->vocab)));
    return 1;
}

/* lstm.vocabulary(bytes of vocab:serialize()) -> vocabulary; nil, message when they are damaged */
static int vocabulary_restore(lua_State *L)
{
    size_t size;
    lstm_error err;
    if (lua_type(L, 1) != LUA_TSTRING)
        lua_args_error(L, "vocabulary", 1, "string expected, got %s", lua_args_got(L, 1));
    const char *bytes = lua_tolstring(L, 1, &size);
    lua_vocabulary *v = push_no_vocabulary(L);
    lstm_vocab *vocab = lstm_vocab_restore(bytes, size, &err);
    if (vocab == NULL)
        return lua_failure(L, &err);
    open_vocabulary(v, vocab);
    return 1;
}

void lua_vocabulary_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", vocabulary_index }, { "__len", vocabulary_len }, { "__eq", vocabulary_equal },
        { "__tostring", vocabulary_tostring }, { "__gc", vocabulary_gc }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "encode", vocabulary_encode }, { "decode", vocabulary_decode }, { "symbol", vocabulary_symbol },
        { "find", vocabulary_find }, { "serialize", vocabulary_serialize }, { NULL, NULL },
    };
    lua_owner_register(L, LUA_VOCABULARY, metamethods, methods);
    lua_pushcfunction(L, vocabulary_restore);
    lua_setfield(L, -2, "vocabulary");
}
