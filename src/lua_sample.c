/* SPDX-License-Identifier: MIT
 *
 * lua_sample.c - a model writes: model:sample{...}.
 *
 * Runs in a workspace of its own (one row, one time step), so that training is never disturbed. Random number k of a
 * seed picks symbol k: the same seed gives the same text, on any machine. The script's function `each`, and finalizers,
 * may close the model meanwhile.
 */
#include <string.h>

#include "lua_binding.h"

typedef struct sampler {
    lua_State *L;
    lua_trainer *worker; /* which the stack holds */
    const lstm_vocab *vocab; /* of what is written, which the stack holds; NULL: ids are written */
    int each;                /* stack index: the script's function, or nil */
    double temperature;
    size_t top_k, outputs;
    uint64_t seed;
    double *logits; /* [outputs], in a userdata on the stack */
    bool fed;
} sampler;

/* Feeds one symbol: the state moves on, the logits are those of what follows. */
static void feed(sampler *s, int32_t id)
{
    lstm_batch batch = { .steps = 1, .ids = &id, .same_weights = s->fed };
    lstm_tensor logits;
    lstm_error err;
    double loss;
    lua_let_interrupt(s->L);
    lua_owner_recheck(s->L, &s->worker->owner, "sample");
    lstm_trainer *trainer = s->worker->trainer;
    if (lstm_trainer_forward(trainer, &batch, false, &loss, &err) != 0 ||
        lstm_trainer_tensor(trainer, LSTM_LOGITS, 0, &logits, &err) != 0)
        lua_raise(s->L, "sample: %s", err.message);
    lua_tensor_read(&logits, 0, s->outputs, s->logits);
    lstm_trainer_carry(trainer);
    s->fed = true;
}

static int32_t choose(sampler *s, size_t k)
{
    lstm_error err;
    size_t choice = 0;
    double u = lstm_uniform(s->seed, LUA_RANDOM_SAMPLE, k);
    if (lstm_choose(s->logits, s->outputs, s->temperature, s->top_k, u, &choice, &err) != 0)
        lua_raise(s->L, "sample: %s", err.message);
    return (int32_t)choice;
}

/* each(symbol, k) for the k-th symbol written; whether to go on. */
static bool goes_on(const sampler *s, const int32_t *id, size_t k)
{
    lua_State *L = s->L;
    if (lua_isnil(L, s->each))
        return true;
    lua_pushvalue(L, s->each);
    if (s->vocab != NULL)
        lua_vocabulary_push_text(L, s->vocab, id, 1, "sample");
    else
        lua_pushinteger(L, *id);
    lua_pushinteger(L, (lua_Integer)k);
    lua_call(L, 2, 1);
    bool ends = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    lua_pop(L, 1);
    return !ends;
}

/* ids[0 .. primed) are given; from ids[primed] on at most `length` are written: how many. Without a prime, `start` is
 * fed. */
static size_t write_ids(sampler *s, int32_t *ids, size_t primed, size_t length, int32_t start)
{
    if (length == 0)
        return 0;
    if (primed == 0)
        feed(s, start);
    for (size_t k = 0; k < primed; k++)
        feed(s, ids[k]);
    for (size_t k = 0; k < length; k++) {
        int32_t *id = ids + primed + k;
        *id = choose(s, k);
        if (!goes_on(s, id, k + 1))
            return k + 1;
        if (k + 1 < length)
            feed(s, *id);
    }
    return length;
}

/* The id that stands for symbols of the prime that the vocabulary lacks; -1: they are an error. */
static int32_t read_unknown(lua_State *L, const lua_args *a, const lstm_vocab *vocab)
{
    size_t length;
    const char *symbol = lua_args_string(a, "unknown", &length, NULL);
    if (symbol == NULL || strcmp(symbol, "error") == 0)
        return -1;
    int32_t id = vocab == NULL ? -1 : lstm_vocab_find(vocab, symbol, length);
    if (id < 0) {
        lua_getfield(L, a->table, "unknown");
        lua_args_field_error(a, "unknown", "'error' or a symbol of the vocabulary expected, got %s",
                             lua_args_got(L, -1));
    }
    return id;
}

/* Pushes room for the ids of the prime and `length` more; *primed is the number of those of the prime. */
static int32_t *push_prime(lua_State *L, const lua_args *a, const lstm_vocab *vocab, size_t below, size_t length,
                           size_t *primed)
{
    lstm_error err;
    int32_t unknown = read_unknown(L, a, vocab);
    int type = lua_getfield(L, a->table, "prime");
    lstm_text text = { .name = "prime" };
    const int32_t *given = NULL;
    *primed = 0;
    if (type == LUA_TSTRING && vocab == NULL)
        lua_args_field_error(a, "prime", "list of ids expected (the model has no vocabulary), got %s",
                             lua_args_got(L, -1));
    if (type == LUA_TSTRING)
        text.bytes = lua_tolstring(L, -1, &text.size);
    else if (type == LUA_TTABLE || lua_tensor_is(L, -1))
        given = lua_ids_push(L, -1, below, a->function, a->arg, "field 'prime'", primed);
    else if (type != LUA_TNIL)
        lua_args_field_error(a, "prime", "string or list of ids expected, got %s", lua_args_got(L, -1));
    int32_t *ids = lua_newuserdatauv(L, (text.size + *primed + length) * sizeof *ids + 1, 0);
    if (given != NULL)
        memcpy(ids, given, *primed * sizeof *ids);
    if (text.size > 0 && lstm_vocab_encode(vocab, &text, unknown, ids, primed, &err) != 0)
        lua_args_field_error(a, "prime", "%s", err.message);
    return ids;
}

/* What comes before the first symbol when nothing is given: a new line, if there is such a symbol. */
static int32_t start_symbol(const lstm_vocab *vocab)
{
    int32_t id = vocab == NULL ? 0 : lstm_vocab_find(vocab, "\n", 1);
    return id < 0 ? 0 : id;
}

static void push_list(lua_State *L, const int32_t *ids, size_t count)
{
    lua_newtable(L);
    for (size_t k = 0; k < count; k++) {
        lua_pushinteger(L, ids[k]);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
}

static void check_tokens(lua_State *L, const lstm_model_config *c)
{
    if (c->input == LSTM_INPUT_DENSE || c->loss != LSTM_LOSS_CROSS_ENTROPY || c->outputs != c->vocab)
        lua_raise(L, "attempt to call 'sample' on a model that does not go from tokens to tokens");
}

int lua_sample(lua_State *L)
{
    static const char *const names[] = { "prime", "length", "temperature", "top_k", "greedy", "seed", "unknown", "each",
                                        NULL };
    lua_model *m = lua_model_check(L, 1, "sample");
    lstm_model_config c = *lstm_model_settings(m->model);
    lua_settop(L, 2);
    check_tokens(L, &c);
    lua_args a = lua_args_open(L, 2, "sample", 1, names, false);
    size_t length = (size_t)lua_args_integer(&a, "length", 0, LUA_ARGS_SIZE_MAX, 200), primed;
    sampler s = { .L = L, .outputs = c.outputs };
    s.temperature = lua_args_number(&a, "temperature", LUA_RANGE_NOT_NEGATIVE, 1);
    s.top_k = (size_t)lua_args_integer(&a, "top_k", 0, LUA_ARGS_SIZE_MAX, 0);
    s.seed = (uint64_t)lua_args_integer(&a, "seed", 0, LUA_MAXINTEGER, 1);
    if (lua_args_boolean(&a, "greedy", false))
        s.temperature = 0;
    lua_getiuservalue(L, 1, LUA_MODEL_VOCAB);
    const lstm_vocab *vocab = lua_vocabulary_of(L, -1);
    int32_t *ids = push_prime(L, &a, vocab, c.vocab, length, &primed);
    s.logits = lua_newuserdatauv(L, s.outputs * sizeof *s.logits, 0);
    if (lua_getfield(L, a.table, "each") != LUA_TNIL && !lua_isfunction(L, -1))
        lua_args_field_error(&a, "each", "function expected, got %s", lua_args_got(L, -1));
    s.each = lua_gettop(L);
    lua_getfield(L, a.table, "prime");
    s.vocab = lua_istable(L, -1) || lua_tensor_is(L, -1) ? NULL : vocab;
    s.worker = lua_worker_take(L, 1, &(lstm_trainer_config){ .batch = 1, .seq = 1 }, "sample");
    length = write_ids(&s, ids, primed, length, start_symbol(vocab));
    lua_worker_give_back(L, 1);
    if (s.vocab == NULL)
        push_list(L, ids, primed + length);
    else
        lua_vocabulary_push_text(L, s.vocab, ids, primed + length, "sample");
    return 1;
}
