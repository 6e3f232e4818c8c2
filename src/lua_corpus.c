/* SPDX-License-Identifier: MIT
 *
 * lua_corpus.c - texts in Lua: loading them, their parts, what is known of them.
 */
#include <string.h>
#include <sys/stat.h>

#include "lua_binding.h"

const char *const lua_part_names[] = { "train", "val", "test", NULL };

lstm_corpus *lua_corpus_check(lua_State *L, int index, const char *function)
{
    if (index != 1 && luaL_testudata(L, index, LUA_CORPUS) == NULL)
        lua_args_error(L, function, index - 1, "%s expected, got %s", LUA_CORPUS, lua_args_got(L, index));
    return ((lua_corpus *)lua_owner_check(L, index, LUA_CORPUS, function))->corpus;
}

/* Reads a path (or a text) from the field of the table. */
static void read_source(const lua_args *a, const char *field, bool is_path, lstm_source *source)
{
    size_t length;
    const char *value = lua_args_string(a, field, &length, NULL);
    if (value == NULL)
        return;
    if (is_path && strlen(value) != length)
        lua_args_field_error(a, field, "path without NUL expected");
    if (is_path)
        source->path = value;
    else
        *source = (lstm_source){ .bytes = value, .size = length };
}

/* path = "file" or { train = "file", val = "file" }; the same for text. Leaves the field on the stack, which keeps its
 * strings. */
static void read_sources(lua_State *L, const lua_args *a, lstm_corpus_config *c)
{
    bool is_path = lua_args_has(a, "path");
    const char *field = is_path ? "path" : "text";
    if (is_path == lua_args_has(a, "text"))
        lua_args_field_error(a, "path", "either 'path' or 'text' expected, got %s", is_path ? "both" : "neither");
    if (lua_getfield(L, a->table, field) == LUA_TTABLE) {
        lua_args parts = lua_args_open_field(a, -1, is_path ? "path." : "text.", lua_part_names, false);
        for (int k = 0; k < LSTM_PARTS; k++)
            read_source(&parts, lua_part_names[k], is_path, &c->source[k]);
        if (!lua_args_has(&parts, "train"))
            lua_args_field_error(&parts, "train", "string expected, got nil");
    } else {
        read_source(a, field, is_path, &c->source[LSTM_PART_TRAIN]);
    }
}

/* split = { 0.9, 0.1 } (train, val, test) or { train = 0.9, val = 0.1 } */
static void read_split(lua_State *L, const lua_args *a, lstm_corpus_config *c)
{
    double sum = 0;
    int top = lua_gettop(L);
    int type = lua_getfield(L, a->table, "split");
    if (type != LUA_TNIL && type != LUA_TTABLE)
        lua_args_field_error(a, "split", "fractions { train, val, test } expected, got %s", lua_args_got(L, -1));
    if (type == LUA_TTABLE) {
        lua_args parts = lua_args_open_field(a, top + 1, "split.", lua_part_names, true);
        if (lua_rawlen(L, top + 1) > LSTM_PARTS)
            lua_args_field_error(a, "split", "at most %d fractions expected, got %I", LSTM_PARTS,
                                 (LUAI_UACINT)lua_rawlen(L, top + 1));
        for (int k = 0; k < LSTM_PARTS; k++) {
            c->split[k] = lua_args_number(&parts, lua_part_names[k], LUA_RANGE_NOT_NEGATIVE, 0);
            if (lua_rawgeti(L, top + 1, k + 1) != LUA_TNIL)
                c->split[k] = lua_args_to_number(L, -1, a->function, a->arg, "field 'split'", LUA_RANGE_NOT_NEGATIVE);
            sum += c->split[k];
        }
    }
    if (sum > 1 + 1e-9)
        lua_args_field_error(a, "split", "fractions that add up to at most 1 expected, got %f", (LUAI_UACNUMBER)sum);
    lua_settop(L, top);
}

static lstm_corpus_config read_corpus(lua_State *L, const lua_args *a)
{
    static const char *const token_names[] = { "bytes", "chars", "words", NULL };
    lstm_corpus_config c = { 0 };
    read_sources(L, a, &c);
    read_split(L, a, &c);
    c.name = lua_args_string(a, "name", NULL, NULL);
    c.tokens = (lstm_tokens)lua_args_choice(a, "tokens", token_names, LSTM_TOKENS_BYTES);
    lua_getfield(L, a->table, "vocab");
    c.vocab = lua_vocabulary_of(L, -1);
    if (c.vocab == NULL && !lua_isnil(L, -1))
        lua_args_field_error(a, "vocab", "vocabulary expected, got %s", lua_args_got(L, -1));
    if (c.vocab != NULL && lua_args_has(a, "tokens") && c.tokens != lstm_vocab_tokens(c.vocab))
        lua_args_field_error(a, "tokens", "'%s', those of 'vocab', expected, got '%s'",
                             token_names[lstm_vocab_tokens(c.vocab)], token_names[c.tokens]);
    lua_pop(L, 1);
    c.unknown = lua_args_string(a, "unknown", &c.unknown_size, NULL);
    if (c.unknown != NULL && strcmp(c.unknown, "error") == 0)
        c.unknown = NULL;
    if (c.unknown != NULL && c.vocab == NULL)
        lua_args_field_error(a, "unknown", "only with 'vocab': a new vocabulary knows all its symbols");
    return c;
}

/* What texts take at least while they are loaded: themselves, and a byte for each token. */
static size_t least_bytes(const lstm_corpus_config *config)
{
    size_t bytes = 0;
    struct stat st;
    for (int part = 0; part < LSTM_PARTS; part++) {
        const char *path = config->source[part].path;
        if (path != NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            bytes += 2 * (size_t)st.st_size;
    }
    return bytes;
}

static int corpus_new(lua_State *L)
{
    static const char *const names[] = { "path", "text", "tokens", "split", "vocab", "unknown", "name", NULL };
    lstm_error err;
    lua_settop(L, 1);
    lua_args a = lua_args_open(L, 1, "corpus", 1, names, false);
    lstm_corpus_config config = read_corpus(L, &a);
    lua_memory_want(L, least_bytes(&config));
    lua_corpus *c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = (lua_corpus){ .owner.closed = "closed text" };
    luaL_setmetatable(L, LUA_CORPUS);
    lua_getfield(L, 1, "vocab"); /* again: a finalizer may have closed the text it is of */
    config.vocab = lua_vocabulary_of(L, -1);
    lua_pop(L, 1);
    c->corpus = lstm_corpus_new(&config, &err);
    if (c->corpus == NULL && err.field[0] != '\0')
        lua_args_engine_error(&a, &err);
    if (c->corpus == NULL)
        return lua_failure(L, &err);
    c->owner.closed = NULL;
    c->bytes = lstm_corpus_bytes(c->corpus);
    lua_memory_took(L, c->bytes);
    lua_memory_want(L, 0); /* how much it is was not known before */
    return 1;
}

/* Streams hold references of their own and go on. */
static int corpus_gc(lua_State *L)
{
    lua_corpus *c = lua_owner_self(L, 1, LUA_CORPUS, "close");
    if (c->owner.closed != NULL)
        return 0;
    lstm_corpus_free(c->corpus);
    c->corpus = NULL;
    c->owner.closed = "closed text";
    lua_memory_gave(L, c->bytes);
    return 0;
}

/* text:ids(part, first, count) -> list of ids; first counts from 1 */
static int corpus_ids(lua_State *L)
{
    lstm_error err;
    lua_corpus_check(L, 1, "ids");
    lua_settop(L, 4);
    int part = luaL_checkoption(L, 2, "train", lua_part_names);
    lua_Integer first = lua_args_to_integer(L, 3, "ids", 2, "first", 1, LUA_MAXINTEGER);
    lua_Integer count = lua_args_to_integer(L, 4, "ids", 3, "count", 1, LUA_ARGS_SIZE_MAX);
    int32_t *ids = lua_newuserdatauv(L, (size_t)count * sizeof *ids, 0);
    lstm_corpus *corpus = lua_corpus_check(L, 1, "ids");
    if (lstm_corpus_read(corpus, (lstm_part)part, (size_t)first - 1, (size_t)count, ids, &err) != 0)
        lua_args_error(L, "ids", 2, "%s", err.message);
    lua_createtable(L, (int)count, 0);
    for (lua_Integer k = 0; k < count; k++) {
        lua_pushinteger(L, ids[k]);
        lua_rawseti(L, -2, k + 1);
    }
    return 1;
}

static int push_sizes(lua_State *L, const lstm_corpus *corpus)
{
    size_t sizes[LSTM_PARTS];
    for (int k = 0; k < LSTM_PARTS; k++)
        sizes[k] = lstm_corpus_part_size(corpus, (lstm_part)k);
    lua_createtable(L, 0, LSTM_PARTS);
    for (int k = 0; k < LSTM_PARTS; k++)
        lua_field_integer(L, lua_part_names[k], sizes[k]);
    return 1;
}

static int corpus_index(lua_State *L)
{
    static const char *const fields[] = { "vocab", "size", "sizes", "sha256", "path", "bytes", "name", NULL };
    lua_corpus *c = lua_owner_self(L, 1, LUA_CORPUS, "index");
    const char *key = lua_owner_key(L);
    int field = 0;
    if (strcmp(key, "closed") == 0) {
        lua_pushboolean(L, c->owner.closed != NULL);
        return 1;
    }
    while (fields[field] != NULL && strcmp(key, fields[field]) != 0)
        field++;
    if (fields[field] == NULL) {
        lua_owner_push_method(L, LUA_CORPUS, 2);
        return 1;
    }
    lstm_corpus *corpus = lua_corpus_check(L, 1, key);
    switch (field) {
    case 0:
        lua_vocabulary_push(L, 1);
        lua_corpus_check(L, 1, key); /* a finalizer may have closed it */
        return 1;
    case 1:
        lua_pushinteger(L, (lua_Integer)lstm_corpus_size(corpus));
        return 1;
    case 2:
        return push_sizes(L, corpus);
    case 3:
        lua_pushstring(L, lstm_corpus_sha256(corpus));
        return 1;
    case 4:
        lua_pushstring(L, lstm_corpus_path(corpus, LSTM_PART_TRAIN));
        return 1;
    case 5:
        lua_pushinteger(L, (lua_Integer)lstm_corpus_source_bytes(corpus));
        return 1;
    default:
        lua_pushstring(L, lstm_corpus_name(corpus));
        return 1;
    }
}

static int corpus_tostring(lua_State *L)
{
    lua_corpus *c = lua_owner_self(L, 1, LUA_CORPUS, "tostring");
    if (c->owner.closed != NULL)
        lua_pushliteral(L, LUA_CORPUS " (closed)");
    else
        lua_pushfstring(L, "%s (%s%s%I bytes, %I tokens, %I symbols)", LUA_CORPUS, lstm_corpus_name(c->corpus),
                        lstm_corpus_name(c->corpus)[0] == '\0' ? "" : ", ",
                        (LUAI_UACINT)lstm_corpus_source_bytes(c->corpus), (LUAI_UACINT)lstm_corpus_size(c->corpus),
                        (LUAI_UACINT)lstm_vocab_size(lstm_corpus_vocab(c->corpus)));
    return 1;
}

void lua_corpus_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", corpus_index }, { "__tostring", corpus_tostring },
        { "__gc", corpus_gc }, { "__close", corpus_gc }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "train", lua_corpus_train }, { "val", lua_corpus_val }, { "test", lua_corpus_test },
        { "stream", lua_corpus_stream },
        { "ids", corpus_ids }, { "close", corpus_gc }, { NULL, NULL },
    };
    lua_owner_register(L, LUA_CORPUS, metamethods, methods);
    lua_pushcfunction(L, corpus_new);
    lua_setfield(L, -2, "corpus");
}
