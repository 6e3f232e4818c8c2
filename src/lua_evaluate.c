/* SPDX-License-Identifier: MIT
 *
 * lua_evaluate.c - mean losses without training: model:evaluate and fit:evaluate.
 *
 * Runs in a workspace of its own, with dropout off, from zero state, on a stream of its own: neither the training state
 * nor the place in the caller's stream changes.
 */
#include "lua_binding.h"

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static bool is_like(const lua_trainer *t, const lstm_trainer_config *like)
{
    const lstm_trainer_config *c = lstm_trainer_settings(t->trainer);
    return lstm_whole_batch(c) == like->batch && c->seq == like->seq && c->loss_at == like->loss_at &&
           c->threads == like->threads;
}

/* A model keeps two: one for sampling, and the one it was last evaluated with. */
static lua_Integer slot_of(const lstm_trainer_config *like)
{
    return lstm_whole_batch(like) == 1 && like->seq == 1 ? 1 : 2;
}

static lua_trainer *push_worker(lua_State *L, int model, const lstm_trainer_config *like, const char *function)
{
    lua_args a = { L, function, 1, 0, "" };
    lstm_trainer_config config;
    lstm_trainer_defaults(&config);
    config.batch = like->batch;
    config.seq = like->seq;
    config.threads = like->threads;
    config.inference = true;
    config.loss_at = like->loss_at;
    config.reduction = LSTM_SUM;
    config.carry = false;
    lua_group_share(L, &config); /* or each process does all of it, when there are fewer rows */
    return lua_trainer_push(L, model, &config, &a);
}

lua_trainer *lua_worker_take(lua_State *L, int model, const lstm_trainer_config *like, const char *function)
{
    model = lua_absindex(L, model);
    lua_getiuservalue(L, model, LUA_MODEL_WORKERS);
    lua_rawgeti(L, -1, slot_of(like));
    lua_pushnil(L);
    lua_rawseti(L, -3, slot_of(like));
    lua_remove(L, -2);
    lua_trainer *worker = luaL_testudata(L, -1, LUA_TRAINER);
    if (worker == NULL || worker->owner.closed != NULL || !is_like(worker, like)) {
        if (worker != NULL)
            lua_trainer_close(L, worker, "closed trainer");
        lua_pop(L, 1);
        worker = push_worker(L, model, like, function);
    }
    lstm_trainer_reset(worker->trainer);
    return worker;
}

void lua_worker_give_back(lua_State *L, int model)
{
    lua_trainer *worker = lua_touserdata(L, -1);
    lua_getiuservalue(L, model, LUA_MODEL_WORKERS);
    lua_insert(L, -2);
    if (worker->owner.closed == NULL)
        lua_rawseti(L, -2, slot_of(lstm_trainer_settings(worker->trainer)));
    else
        lua_pop(L, 1);
    lua_pop(L, 1);
}

/* ---- evaluation ------------------------------------------------------------------------------------------------- */

typedef struct evaluation {
    lua_State *L;
    const char *function;
    int worker;           /* stack index */
    lua_trainer *trainer; /* that worker */
    lua_Integer most;     /* batches; those that the caller wants */
    double loss, weight;  /* sums over positions */
} evaluation;

/* Adds the next batch of the source at a stack index; false at its end. */
static bool add_batch(evaluation *e, int source)
{
    lua_trainer *t = e->trainer;
    lstm_error err;
    double loss;
    lua_let_interrupt(e->L);
    if (!lua_batch_take(e->L, e->worker, t, source, e->function, 1))
        return false;
    if (t->batch.target == NULL && t->batch.target_ids == NULL)
        lua_args_error(e->L, e->function, 1, "batch with targets expected");
    if (lstm_trainer_forward(t->trainer, &t->batch, false, &loss, &err) != 0)
        lua_raise(e->L, "%s: %s", e->function, err.message);
    if (lua_trainer_carries(t))
        lstm_trainer_carry(t->trainer);
    e->loss += loss;
    e->weight += lstm_trainer_weight(t->trainer);
    return true;
}

/* Pushes what object:method(argument) returns; nil when it has no such method. argument 0: none. */
static void call_if_there(lua_State *L, int object, const char *method, int argument)
{
    if (lua_getfield(L, object, method) != LUA_TFUNCTION)
        return;
    lua_pushvalue(L, object);
    if (argument != 0)
        lua_pushvalue(L, argument);
    lua_call(L, argument != 0 ? 2 : 1, 1);
}

/* A stream that says it has no end would be read for ever. */
static void refuse_endless(const evaluation *e, int stream)
{
    lua_getfield(e->L, stream, "endless");
    if (lua_toboolean(e->L, -1) && e->most == LUA_MAXINTEGER)
        lua_args_error(e->L, e->function, 1, "a stream with an end expected (this one trains for ever; 'batches' gives "
                       "it one)");
    lua_pop(e->L, 1);
}

/* A pass over a stream from its beginning: ours, or an object of the script's with next and, unless it ends by itself,
 * batches. Where it has cursor and seek, it stands afterwards where it stood. */
static void add_stream(evaluation *e, int stream)
{
    lua_State *L = e->L;
    lua_Integer batches = e->most;
    refuse_endless(e, stream);
    call_if_there(L, stream, "cursor", 0);
    int cursor = lua_gettop(L);
    call_if_there(L, stream, "rewind", 0);
    if (lua_getfield(L, stream, "batches") != LUA_TNIL) {
        lua_Integer all = lua_args_to_integer(L, -1, e->function, 1, "field 'batches'", 1, LUA_MAXINTEGER);
        batches = all < batches ? all : batches;
    }
    for (lua_Integer k = 0; k < batches && add_batch(e, stream); k++)
        continue;
    if (!lua_isnil(L, cursor))
        call_if_there(L, stream, "seek", cursor);
    lua_settop(L, cursor - 1);
}

static void add_list(evaluation *e, int list)
{
    size_t count = lua_rawlen(e->L, list);
    for (size_t k = 1; k <= count && (lua_Integer)k <= e->most; k++) {
        lua_rawgeti(e->L, list, (lua_Integer)k);
        add_batch(e, lua_gettop(e->L));
        lua_pop(e->L, 1);
    }
}

static void add_source(evaluation *e, int source)
{
    lua_State *L = e->L;
    bool list = lua_istable(L, source) && lua_rawgeti(L, source, 1) != LUA_TNIL;
    lua_settop(L, e->worker);
    if (list)
        add_list(e, source);
    else if (luaL_testudata(L, source, LUA_STREAM) != NULL)
        add_stream(e, source);
    else if (lua_istable(L, source) && lua_getfield(L, source, "next") == LUA_TNIL)
        add_batch(e, source);
    else
        add_stream(e, source);
}

typedef struct shape {
    size_t batch, seq;
} shape;

/* Shape of the batches: of the options, else of the stream, else of the trainer (fit; zeros when there is none). */
static shape read_shape(lua_State *L, const lua_args *a, int source, const lstm_trainer_config *fit)
{
    lua_stream *stream = luaL_testudata(L, source, LUA_STREAM);
    shape s = { fit->batch, fit->seq };
    if (luaL_testudata(L, source, LUA_CORPUS) != NULL)
        s = (shape){ 1, fit->seq > 0 ? fit->seq : 64 };
    if (stream != NULL && stream->owner.closed == NULL) {
        const lstm_stream_config *c = lstm_stream_settings(stream->stream);
        s = (shape){ c->batch, c->seq };
    }
    s.batch = (size_t)lua_args_integer(a, "batch", 1, LUA_ARGS_SIZE_MAX, (lua_Integer)s.batch);
    s.seq = (size_t)lua_args_integer(a, "seq", 1, LUA_ARGS_SIZE_MAX, (lua_Integer)s.seq);
    if (s.batch == 0 || s.seq == 0)
        lua_args_field_error(a, s.batch == 0 ? "batch" : "seq", "positive integer expected, got nil");
    return s;
}

/* Replaces a text or stream at a stack index by a stream of our own over the same tokens, from their beginning. */
static void use_own_stream(lua_State *L, const lua_args *a, int source, shape s)
{
    bool text = luaL_testudata(L, source, LUA_CORPUS) != NULL;
    lstm_stream_config c = { .order = LSTM_ORDER_ONCE, .batch = s.batch, .seq = s.seq };
    if (lua_args_has(a, "part") && !text)
        lua_args_field_error(a, "part", "only with a text");
    c.part = (lstm_part)lua_args_choice(a, "part", lua_part_names, LSTM_PART_VAL);
    if (text)
        lua_stream_push(L, source, &c, a->function, 1);
    else if (luaL_testudata(L, source, LUA_STREAM) != NULL)
        lua_stream_push_like(L, source, a->function, 1);
    else
        return;
    lua_replace(L, source);
}

/* Self is at 1, source at 2, options at 3, the model at stack index `model`. fit, carry: of the trainer, or zeros: its
 * shape, its loss and whether it carries states are the defaults. */
static int evaluate(lua_State *L, int model, const lstm_trainer_config *fit, lua_carry carry)
{
    static const char *const names[] = { "batch", "seq", "part", "carry", "loss_at", "batches", NULL };
    static const char *const loss_at_names[] = { "all", "last", NULL };
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    lua_args a = lua_args_open(L, 3, "evaluate", 2, names, false);
    if (!lua_istable(L, 2) && !lua_isuserdata(L, 2))
        lua_args_error(L, "evaluate", 1, "batch table, text or stream expected, got %s", lua_args_got(L, 2));
    shape s = read_shape(L, &a, 2, fit);
    lstm_loss_at loss_at = (lstm_loss_at)lua_args_choice(&a, "loss_at", loss_at_names, (int)fit->loss_at);
    lstm_model_config m = *lstm_model_settings(lua_model_check(L, model, "evaluate")->model);
    use_own_stream(L, &a, 2, s);
    evaluation e = { .L = L, .function = "evaluate" };
    e.most = lua_args_integer(&a, "batches", 1, LUA_MAXINTEGER, LUA_MAXINTEGER);
    const lstm_trainer_config like = { .batch = s.batch, .seq = s.seq, .loss_at = loss_at, .threads = fit->threads };
    e.trainer = lua_worker_take(L, model, &like, "evaluate");
    e.worker = lua_gettop(L);
    e.trainer->carry = carry;
    if (lua_args_has(&a, "carry"))
        e.trainer->carry = lua_args_boolean(&a, "carry", true) ? LUA_CARRY_ON : LUA_CARRY_OFF;
    add_source(&e, 2);
    lua_settop(L, e.worker);
    lua_worker_give_back(L, model);
    if (!(e.weight > 0))
        lua_args_error(L, "evaluate", 1, "at least one batch expected, got none");
    lua_pushnumber(L, e.loss / (e.weight * (m.loss == LSTM_LOSS_MSE ? (double)m.outputs : 1)));
    lua_pushnumber(L, e.weight);
    return 2;
}

int lua_model_evaluate(lua_State *L)
{
    const lstm_trainer_config none = { 0 };
    lua_model_check(L, 1, "evaluate");
    lua_settop(L, 3);
    return evaluate(L, 1, &none, LUA_CARRY_AUTO);
}

int lua_trainer_evaluate(lua_State *L)
{
    const lua_trainer *t = lua_trainer_check(L, 1, "evaluate");
    const lua_carry carry = t->carry;
    lstm_trainer_config fit = *lstm_trainer_settings(t->trainer);
    fit.batch = lstm_whole_batch(&fit);
    lua_settop(L, 3);
    lua_getiuservalue(L, 1, LUA_TRAINER_MODEL);
    return evaluate(L, 4, &fit, carry);
}
