/* SPDX-License-Identifier: MIT
 *
 * lua_corpus.c - texts, their vocabularies and their streams of batches in Lua.
 *
 * Ids are the engine's and the files' numbers, 0 .. V-1.
 */
#include <string.h>

#include "lua_binding.h"
#include "sha256.h"

typedef struct lua_corpus {
    lua_owner owner;
    lstm_corpus *corpus;
    size_t bytes;
} lua_corpus;

static void set_integer(lua_State *L, const char *field, size_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, field);
}

/* nil, message: what the machine or a file is to blame for. */
static int failure(lua_State *L, const lstm_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    return 2;
}

static const char *key_of(lua_State *L)
{
    return lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
}

/* ---- vocabularies ------------------------------------------------------------------------------------------------- */

static lua_vocabulary *push_no_vocabulary(lua_State *L)
{
    lua_vocabulary *v = lua_newuserdatauv(L, sizeof *v, 0);
    v->vocab = NULL;
    luaL_setmetatable(L, LUA_VOCABULARY);
    return v;
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
        v->vocab = lstm_vocab_ref(vocab);
        return;
    }
    lua_pushnil(L);
    lua_replace(L, -2);
}

static lstm_vocab *check_vocabulary(lua_State *L, const char *function)
{
    return ((lua_vocabulary *)lua_owner_self(L, 1, LUA_VOCABULARY, function))->vocab;
}

static int vocabulary_gc(lua_State *L)
{
    lua_vocabulary *v = lua_owner_self(L, 1, LUA_VOCABULARY, "gc");
    lstm_vocab_free(v->vocab);
    v->vocab = NULL;
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
    if (!lua_istable(L, index) && !tensor)
        lua_args_error(L, function, arg, "%s: list of ids expected, got %s", what, lua_args_got(L, index));
    *count = tensor ? lstm_tensor_size(t) : lua_rawlen(L, index);
    int32_t *ids = lua_newuserdatauv(L, *count * sizeof *ids + 1, 0);
    int top = lua_gettop(L);
    for (size_t k = 0; k < *count; k++) {
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
    const char *symbol = lstm_vocab_symbol(vocab, (int32_t)lua_args_to_integer(L, 2, "symbol", 1, "id", 0, most), &size);
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
    lua_pushboolean(L, other != NULL && lstm_vocab_equal(vocab, other->vocab));
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
    if (strcmp(key_of(L), "tokens") == 0)
        lua_pushstring(L, lstm_tokens_name(lstm_vocab_tokens(vocab)));
    else
        lua_owner_push_method(L, LUA_VOCABULARY, 2);
    return 1;
}

static int vocabulary_tostring(lua_State *L)
{
    lstm_vocab *vocab = check_vocabulary(L, "tostring");
    lua_pushfstring(L, "%s (%I %s)", LUA_VOCABULARY, (LUAI_UACINT)lstm_vocab_size(vocab),
                    lstm_tokens_name(lstm_vocab_tokens(vocab)));
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
    v->vocab = lstm_vocab_restore(bytes, size, &err);
    return v->vocab != NULL ? 1 : failure(L, &err);
}

/* ---- texts ------------------------------------------------------------------------------------------------------------ */

static const char *const part_names[] = { "train", "val", "test", NULL };

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

/* path = "file" or { train = "file", val = "file" }; the same for text. */
static void read_sources(lua_State *L, const lua_args *a, lstm_corpus_config *c)
{
    bool is_path = lua_args_has(a, "path");
    const char *field = is_path ? "path" : "text";
    if (is_path == lua_args_has(a, "text"))
        lua_args_field_error(a, "path", "either 'path' or 'text' expected, got %s", is_path ? "both" : "neither");
    if (lua_getfield(L, a->table, field) == LUA_TTABLE) {
        lua_args parts = lua_args_open_field(a, -1, is_path ? "path." : "text.", part_names, false);
        for (int k = 0; k < LSTM_PARTS; k++)
            read_source(&parts, part_names[k], is_path, &c->source[k]);
        if (!lua_args_has(&parts, "train"))
            lua_args_field_error(&parts, "train", "string expected, got nil");
    } else {
        read_source(a, field, is_path, &c->source[LSTM_PART_TRAIN]);
    }
    lua_pop(L, 1);
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
        lua_args parts = lua_args_open_field(a, top + 1, "split.", part_names, true);
        if (lua_rawlen(L, top + 1) > LSTM_PARTS)
            lua_args_field_error(a, "split", "at most %d fractions expected, got %I", LSTM_PARTS,
                                 (LUAI_UACINT)lua_rawlen(L, top + 1));
        for (int k = 0; k < LSTM_PARTS; k++) {
            c->split[k] = lua_args_number(&parts, part_names[k], LUA_RANGE_NOT_NEGATIVE, 0);
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

static int corpus_new(lua_State *L)
{
    static const char *const names[] = { "path", "text", "tokens", "split", "vocab", "unknown", "name", NULL };
    lstm_error err;
    lua_settop(L, 1);
    lua_args a = lua_args_open(L, 1, "corpus", 1, names, false);
    lstm_corpus_config config = read_corpus(L, &a);
    lua_memory_want(L, 0);
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
        return failure(L, &err);
    c->owner.closed = NULL;
    c->bytes = lstm_corpus_bytes(c->corpus);
    lua_memory_took(L, c->bytes);
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
    int part = luaL_checkoption(L, 2, "train", part_names);
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
        set_integer(L, part_names[k], sizes[k]);
    return 1;
}

static int corpus_index(lua_State *L)
{
    static const char *const fields[] = { "vocab", "size", "sizes", "sha256", "path", "bytes", "name", NULL };
    lua_corpus *c = lua_owner_self(L, 1, LUA_CORPUS, "index");
    const char *key = key_of(L);
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

/* ---- streams -------------------------------------------------------------------------------------------------------- */

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
    lstm_stream_config c = { .part = (lstm_part)(part >= 0 ? part : lua_args_choice(&a, "part", part_names, 0)) };
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

static int corpus_stream(lua_State *L)
{
    return new_stream(L, "stream", -1);
}

static int corpus_train(lua_State *L)
{
    return new_stream(L, "train", LSTM_PART_TRAIN);
}

static int corpus_val(lua_State *L)
{
    return new_stream(L, "val", LSTM_PART_VAL);
}

static int corpus_test(lua_State *L)
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
    size_t n = c.batch * c.seq, steps;
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
    set_integer(L, "epoch", (size_t)cursor.epoch);
    set_integer(L, "position", (size_t)cursor.position);
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
    const char *key = key_of(L);
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

static int sha256_of(lua_State *L)
{
    char digits[LSTM_SHA256_HEX_SIZE];
    size_t size;
    if (lua_type(L, 1) != LUA_TSTRING)
        lua_args_error(L, "sha256", 1, "string expected, got %s", lua_args_got(L, 1));
    const char *bytes = lua_tolstring(L, 1, &size);
    lstm_sha256_hex(bytes, size, digits);
    lua_pushstring(L, digits);
    return 1;
}

static void register_vocabulary(lua_State *L)
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
}

static void register_text(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", corpus_index }, { "__tostring", corpus_tostring },
        { "__gc", corpus_gc }, { "__close", corpus_gc }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "train", corpus_train }, { "val", corpus_val }, { "test", corpus_test }, { "stream", corpus_stream },
        { "ids", corpus_ids }, { "close", corpus_gc }, { NULL, NULL },
    };
    lua_owner_register(L, LUA_CORPUS, metamethods, methods);
}

static void register_stream(lua_State *L)
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

void lua_corpus_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "corpus", corpus_new }, { "vocabulary", vocabulary_restore }, { "sha256", sha256_of }, { NULL, NULL },
    };
    register_vocabulary(L);
    register_text(L);
    register_stream(L);
    luaL_setfuncs(L, functions, 0);
}
