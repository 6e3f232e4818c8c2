/* SPDX-License-Identifier: MIT
 *
 * lua_trainer.c - trainers in Lua: steps, and everything there is to see of them.
 */
#include <string.h>

#include "lua_binding.h"

const char *const lua_trainer_fields[] = { "batch",      "seq",      "optimizer", "lr",           "beta1",
                                           "beta2",      "eps",      "momentum",  "alpha",        "weight_decay",
                                           "decay_biases", "clip_norm", "clip_value", "accumulate", "loss_at",
                                           "reduction",  "carry",    "threads",   NULL };
static const char *const optimizer_names[] = { "adamw", "adam", "sgd", "rmsprop", NULL };
static const char *const loss_at_names[] = { "all", "last", NULL };
static const char *const reduction_names[] = { "mean", "sum", NULL };

/* ---- configuration ------------------------------------------------------------------------------------------------ */

static size_t needed_size(const lua_args *a, const char *field)
{
    if (!lua_args_has(a, field))
        lua_args_field_error(a, field, "positive integer expected, got nil");
    return (size_t)lua_args_integer(a, field, 1, LUA_ARGS_SIZE_MAX, 1);
}

static void read_clip(const lua_args *a, lstm_trainer_config *c)
{
    bool norm = lua_args_has(a, "clip_norm"), value = lua_args_has(a, "clip_value");
    if (norm && value)
        lua_args_field_error(a, "clip_norm", "either 'clip_norm' or 'clip_value' expected, got both");
    if (!norm && !value)
        return;
    c->clip = norm ? LSTM_CLIP_NORM : LSTM_CLIP_VALUE;
    c->clip_at = lua_args_number(a, norm ? "clip_norm" : "clip_value", LUA_RANGE_POSITIVE, 0);
}

lstm_trainer_config lua_trainer_read_config(lua_State *L, const lua_args *a)
{
    lstm_trainer_config c;
    (void)L;
    lstm_trainer_defaults(&c);
    c.batch = needed_size(a, "batch");
    c.seq = needed_size(a, "seq");
    c.optimizer = (lstm_optimizer)lua_args_choice(a, "optimizer", optimizer_names, LSTM_ADAMW);
    c.lr = lua_args_number(a, "lr", LUA_RANGE_NOT_NEGATIVE, c.lr);
    c.beta1 = lua_args_number(a, "beta1", LUA_RANGE_FRACTION, c.beta1);
    c.beta2 = lua_args_number(a, "beta2", LUA_RANGE_FRACTION, c.beta2);
    c.eps = lua_args_number(a, "eps", LUA_RANGE_NOT_NEGATIVE, c.eps);
    c.momentum = lua_args_number(a, "momentum", LUA_RANGE_FRACTION, c.momentum);
    c.alpha = lua_args_number(a, "alpha", LUA_RANGE_FRACTION, c.alpha);
    c.weight_decay = lua_args_number(a, "weight_decay", LUA_RANGE_NOT_NEGATIVE,
                                     c.optimizer == LSTM_ADAMW ? c.weight_decay : 0);
    c.decay_biases = lua_args_boolean(a, "decay_biases", true);
    read_clip(a, &c);
    c.accumulate = (size_t)lua_args_integer(a, "accumulate", 1, LUA_ARGS_SIZE_MAX, 1);
    c.loss_at = (lstm_loss_at)lua_args_choice(a, "loss_at", loss_at_names, LSTM_LOSS_AT_ALL);
    c.reduction = (lstm_reduction)lua_args_choice(a, "reduction", reduction_names, LSTM_MEAN);
    c.threads = (int)lua_args_integer(a, "threads", 0, 4096, 0);
    c.carry = false; /* the binding carries: only it knows where a batch comes from */
    return c;
}

static lua_carry read_carry(const lua_args *a)
{
    if (!lua_args_has(a, "carry"))
        return LUA_CARRY_AUTO;
    return lua_args_boolean(a, "carry", true) ? LUA_CARRY_ON : LUA_CARRY_OFF;
}

bool lua_trainer_carries(const lua_trainer *t)
{
    return t->carry == LUA_CARRY_ON || (t->carry == LUA_CARRY_AUTO && t->in_order);
}

/* ---- making and closing --------------------------------------------------------------------------------------------- */

lua_trainer *lua_trainer_check(lua_State *L, int index, const char *function)
{
    return lua_owner_check(L, index, LUA_TRAINER, function);
}

static lua_trainer *push_closed(lua_State *L, int model)
{
    model = lua_absindex(L, model);
    lua_trainer *t = lua_newuserdatauv(L, sizeof *t, LUA_TRAINER_USER_VALUES);
    *t = (lua_trainer){ .owner.closed = "closed trainer", .model = lua_touserdata(L, model) };
    luaL_setmetatable(L, LUA_TRAINER);
    lua_pushvalue(L, model);
    lua_setiuservalue(L, -2, LUA_TRAINER_MODEL);
    return t;
}

static void link_to_model(lua_trainer *t)
{
    t->link = &t->model->trainers;
    t->next = *t->link;
    if (t->next != NULL)
        t->next->link = &t->next;
    *t->link = t;
}

lua_trainer *lua_trainer_push(lua_State *L, int model, const lstm_trainer_config *config, const lua_args *a)
{
    lstm_plan plan;
    lstm_error err;
    lua_model *m = lua_model_check(L, model, a->function);
    if (lstm_plan_for(lstm_model_settings(m->model), config, &plan, &err) != 0)
        lua_args_engine_error(a, &err);
    lua_memory_want(L, plan.trainer_bytes);
    lua_trainer *t = push_closed(L, model);
    lua_model_check(L, model, a->function); /* finalizers may have run */
    t->trainer = lstm_trainer_new(m->model, config, &err);
    if (t->trainer == NULL)
        lua_args_engine_error(a, &err);
    t->owner.closed = NULL;
    link_to_model(t);
    t->bytes = lstm_trainer_bytes(t->trainer);
    lua_memory_took(L, t->bytes);
    return t;
}

void lua_trainer_close(lua_State *L, lua_trainer *t, const char *why)
{
    if (t->owner.closed != NULL)
        return;
    lstm_trainer_free(t->trainer);
    t->trainer = NULL;
    t->owner.closed = why;
    t->ready = false;
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
    lua_memory_gave(L, t->bytes);
}

static int trainer_gc(lua_State *L)
{
    lua_trainer_close(L, lua_owner_self(L, 1, LUA_TRAINER, "close"), "closed trainer");
    return 0;
}

int lua_trainer_new(lua_State *L)
{
    lua_model_check(L, 1, "trainer");
    lua_settop(L, 2);
    lua_args a = lua_args_open(L, 2, "trainer", 1, lua_trainer_fields, false);
    lstm_trainer_config config = lua_trainer_read_config(L, &a);
    lua_carry carry = read_carry(&a);
    lua_trainer_push(L, 1, &config, &a)->carry = carry;
    return 1;
}

/* ---- the pieces of a step ------------------------------------------------------------------------------------------- */

static int engine_error(lua_State *L, const char *function, const lstm_error *err)
{
    lua_args a = { L, function, 1, 0, "" };
    return lua_args_engine_error(&a, err);
}

static int push_stats(lua_State *L, const lstm_update_stats *stats)
{
    lua_createtable(L, 0, 5);
    lua_pushnumber(L, stats->grad_norm);
    lua_setfield(L, -2, "grad_norm");
    lua_pushnumber(L, stats->clipped_norm);
    lua_setfield(L, -2, "clipped_norm");
    lua_pushnumber(L, stats->clipped_share);
    lua_setfield(L, -2, "clipped_share");
    lua_pushnumber(L, stats->update_ratio);
    lua_setfield(L, -2, "update_ratio");
    lua_pushboolean(L, stats->updated);
    lua_setfield(L, -2, "updated");
    return 1;
}

/* Takes the batch at stack index 2 for a method of the trainer at 1. */
static lua_trainer *take_batch(lua_State *L, const char *function, bool targets)
{
    lua_trainer *t = lua_trainer_check(L, 1, function);
    lua_settop(L, 2);
    if (!lua_batch_take(L, 1, t, 2, function, 1))
        lua_args_error(L, function, 1, "the stream is at its end");
    if (targets && t->batch.target == NULL && t->batch.target_ids == NULL)
        lua_args_error(L, function, 1, "field '%s': table or tensor expected, got nil",
                       lstm_model_settings(t->model->model)->loss == LSTM_LOSS_MSE ? "y" : "targets");
    return t;
}

static int trainer_step(lua_State *L)
{
    lua_trainer *t = take_batch(L, "step", true);
    lstm_step_stats stats;
    lstm_error err;
    if (lstm_trainer_step(t->trainer, &t->batch, &stats, &err) != 0)
        engine_error(L, "step", &err);
    if (lua_trainer_carries(t))
        lstm_trainer_carry(t->trainer);
    lua_pushnumber(L, stats.loss);
    push_stats(L, &stats.update);
    return 2;
}

static int trainer_forward(lua_State *L)
{
    lua_trainer *t = take_batch(L, "forward", false);
    double loss;
    lstm_error err;
    if (lstm_trainer_forward(t->trainer, &t->batch, true, &loss, &err) != 0)
        engine_error(L, "forward", &err);
    t->ready = true;
    lua_pushnumber(L, loss);
    return 1;
}

static int trainer_backward(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "backward");
    lstm_error err;
    if (!t->ready)
        lua_raise(L, "attempt to call 'backward' without a forward before it");
    t->ready = false;
    if (lstm_trainer_backward(t->trainer, &err) != 0)
        engine_error(L, "backward", &err);
    return 0;
}

static int trainer_update(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "update");
    lstm_update_stats stats;
    lstm_error err;
    if (lstm_trainer_update(t->trainer, &stats, &err) != 0)
        engine_error(L, "update", &err);
    return push_stats(L, &stats);
}

static int trainer_zero(lua_State *L)
{
    lstm_trainer_zero(lua_trainer_check(L, 1, "zero")->trainer);
    return 0;
}

static int trainer_carry(lua_State *L)
{
    lstm_trainer_carry(lua_trainer_check(L, 1, "carry")->trainer);
    return 0;
}

static int trainer_reset(lua_State *L)
{
    lstm_trainer_reset(lua_trainer_check(L, 1, "reset")->trainer);
    return 0;
}

/* ---- views ---------------------------------------------------------------------------------------------------------- */

/* Pushes the view, or raises what is wrong. */
static int push_what(lua_State *L, const lua_trainer *t, const char *function, lstm_what what, size_t index)
{
    lstm_tensor view;
    lstm_error err;
    if (lstm_trainer_tensor(t->trainer, what, index, &view, &err) != 0)
        return engine_error(L, function, &err);
    lua_tensor_push_view(L, 1, &view);
    return 1;
}

static size_t layer_argument(lua_State *L, const lua_trainer *t, int index, const char *function)
{
    lua_Integer layers = (lua_Integer)lstm_model_settings(t->model->model)->layers;
    if (lua_isnoneornil(L, index))
        return 0;
    return (size_t)lua_args_to_integer(L, index, function, index - 1, "layer", 0, layers - 1);
}

static const char *name_argument(lua_State *L, int index, const char *function)
{
    if (lua_type(L, index) != LUA_TSTRING)
        lua_args_error(L, function, index - 1, "name expected, got %s", lua_args_got(L, index));
    return lua_tostring(L, index);
}

typedef struct named_what {
    const char *name;
    lstm_what what;
} named_what;

/* Entry of the table (ended by a NULL name), or NULL. */
static const named_what *find_what(const named_what *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static int trainer_activation(lua_State *L)
{
    static const named_what table[] = { { "i", LSTM_I }, { "f", LSTM_F }, { "g", LSTM_G }, { "o", LSTM_O },
                                        { "c", LSTM_C }, { "h", LSTM_H }, { "logits", LSTM_LOGITS }, { NULL, 0 } };
    lua_trainer *t = lua_trainer_check(L, 1, "activation");
    const char *name = name_argument(L, 2, "activation");
    const named_what *found = find_what(table, name);
    if (found == NULL)
        lua_args_error(L, "activation", 1, "'i', 'f', 'g', 'o', 'c', 'h' or 'logits' expected, got '%s'", name);
    return push_what(L, t, "activation", found->what, layer_argument(L, t, 3, "activation"));
}

/* Number of the parameter named at a stack index. */
static size_t parameter_argument(lua_State *L, const lua_trainer *t, int index, const char *function)
{
    size_t k;
    const char *name = name_argument(L, index, function);
    if (lstm_model_find(t->model->model, name, &k) != 0)
        lua_args_error(L, function, index - 1, "no parameter '%s'", name);
    return k;
}

static int trainer_gradient(lua_State *L)
{
    static const named_what table[] = { { "di", LSTM_DI }, { "df", LSTM_DF }, { "dg", LSTM_DG }, { "do", LSTM_DO },
                                        { "dc", LSTM_DC }, { "dh", LSTM_DH }, { "input", LSTM_DX },
                                        { "state.h", LSTM_DSTATE_H }, { "state.c", LSTM_DSTATE_C }, { NULL, 0 } };
    lua_trainer *t = lua_trainer_check(L, 1, "gradient");
    const named_what *found = find_what(table, name_argument(L, 2, "gradient"));
    if (found != NULL)
        return push_what(L, t, "gradient", found->what, layer_argument(L, t, 3, "gradient"));
    return push_what(L, t, "gradient", LSTM_GRAD, parameter_argument(L, t, 2, "gradient"));
}

static int trainer_moment(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "moment");
    lua_Integer n = lua_args_to_integer(L, 2, "moment", 1, NULL, 1, 2);
    return push_what(L, t, "moment", n == 1 ? LSTM_MOMENT1 : LSTM_MOMENT2, parameter_argument(L, t, 3, "moment"));
}

/* ---- state ------------------------------------------------------------------------------------------------------------ */

static const named_what states[] = { { "h", LSTM_STATE_H }, { "c", LSTM_STATE_C }, { NULL, 0 } };

static size_t state_kinds(const lua_trainer *t)
{
    return lstm_model_settings(t->model->model)->cell == LSTM_CELL_LSTM ? 2 : 1;
}

static lstm_tensor state_of(lua_State *L, const lua_trainer *t, const char *function, lstm_what what, size_t layer)
{
    lstm_tensor view;
    lstm_error err;
    lua_owner_recheck(L, &t->owner, function);
    if (lstm_trainer_tensor(t->trainer, what, layer, &view, &err) != 0)
        engine_error(L, function, &err);
    return view;
}

static int trainer_state_view(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "state_view");
    const char *name = name_argument(L, 2, "state_view");
    const named_what *found = find_what(states, name);
    if (found == NULL)
        lua_args_error(L, "state_view", 1, "'h' or 'c' expected, got '%s'", name);
    return push_what(L, t, "state_view", found->what, layer_argument(L, t, 3, "state_view"));
}

static int trainer_state(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "state");
    size_t layers = lstm_model_settings(t->model->model)->layers, kinds = state_kinds(t);
    lua_newtable(L);
    for (size_t k = 0; k < kinds; k++) {
        lua_newtable(L);
        for (size_t layer = 0; layer < layers; layer++) {
            lstm_tensor view = state_of(L, t, "state", states[k].what, layer);
            lua_tensor_push_copy(L, &t->owner, &view);
            lua_rawseti(L, -2, (lua_Integer)layer);
        }
        lua_setfield(L, -2, states[k].name);
    }
    return 1;
}

/* Assigns state.h[layer] or state.c[layer] from the table at 2; with `check`, to a copy. */
static void set_state(lua_State *L, const lua_trainer *t, const lua_args *a, size_t kind, size_t layer, bool check)
{
    int top = lua_gettop(L);
    const char *what = lua_pushfstring(L, "field '%s', layer %I", states[kind].name, (LUAI_UACINT)layer);
    lstm_tensor view = state_of(L, t, "set_state", states[kind].what, layer);
    if (lua_getfield(L, a->table, states[kind].name) != LUA_TTABLE)
        lua_args_field_error(a, states[kind].name, "table of tensors, by layer from 0, expected, got %s",
                             lua_args_got(L, -1));
    lua_geti(L, -1, (lua_Integer)layer);
    int value = lua_gettop(L);
    if (check)
        view = *lua_tensor_push_copy(L, &t->owner, &view);
    lua_tensor_assign(L, &t->owner, &view, value, "set_state", 1, what);
    lua_settop(L, top);
}

static int trainer_set_state(lua_State *L)
{
    static const char *const names[] = { "h", "c", NULL };
    lua_trainer *t = lua_trainer_check(L, 1, "set_state");
    size_t layers = lstm_model_settings(t->model->model)->layers, kinds = state_kinds(t);
    lua_args a = lua_args_open(L, 2, "set_state", 1, names, false);
    for (int check = 1; check >= 0; check--) /* nothing changes unless all of it is right */
        for (size_t k = 0; k < kinds; k++)
            for (size_t layer = 0; layer < layers; layer++)
                set_state(L, t, &a, k, layer, check);
    return 0;
}

/* ---- what a continuation needs ---------------------------------------------------------------------------------------- */

static int trainer_counters(lua_State *L)
{
    lstm_counters c = lstm_trainer_counters(lua_trainer_check(L, 1, "counters")->trainer);
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)c.updates);
    lua_setfield(L, -2, "updates");
    lua_pushinteger(L, (lua_Integer)c.passes);
    lua_setfield(L, -2, "passes");
    lua_pushinteger(L, (lua_Integer)c.accumulated);
    lua_setfield(L, -2, "accumulated");
    return 1;
}

static int trainer_set_counters(lua_State *L)
{
    static const char *const names[] = { "updates", "passes", "accumulated", NULL };
    lua_trainer *t = lua_trainer_check(L, 1, "set_counters");
    lua_args a = lua_args_open(L, 2, "set_counters", 1, names, false);
    for (size_t k = 0; names[k] != NULL; k++)
        if (!lua_args_has(&a, names[k]))
            lua_args_field_error(&a, names[k], "non-negative integer expected, got nil");
    lstm_counters c = { .updates = (uint64_t)lua_args_integer(&a, "updates", 0, LUA_MAXINTEGER, 0),
                        .passes = (uint64_t)lua_args_integer(&a, "passes", 0, LUA_MAXINTEGER, 0),
                        .accumulated = (uint64_t)lua_args_integer(&a, "accumulated", 0, LUA_MAXINTEGER, 0) };
    lstm_trainer_set_counters(t->trainer, c);
    return 0;
}

/* Pops a name and appends { name, view } to the list below it; a tensor this trainer has not got is left out. */
static void append(lua_State *L, const lua_trainer *t, lstm_what what, size_t index)
{
    lstm_tensor view;
    lstm_error err;
    lua_owner_recheck(L, &t->owner, "checkpoint_tensors");
    if (lstm_trainer_tensor(t->trainer, what, index, &view, &err) != 0) {
        lua_pop(L, 1);
        return;
    }
    lua_createtable(L, 2, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lua_tensor_push_view(L, 1, &view);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void append_parameters(lua_State *L, int model, const lua_model *m, size_t params)
{
    for (size_t k = 0; k < params; k++) {
        lua_owner_recheck(L, &m->owner, "checkpoint_tensors");
        lstm_tensor view = lstm_model_param(m->model, k);
        lua_createtable(L, 2, 0);
        lua_pushstring(L, view.name);
        lua_rawseti(L, -2, 1);
        lua_tensor_push_view(L, model, &view);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
}

static int trainer_checkpoint_tensors(lua_State *L)
{
    static const named_what per_parameter[] = { { "moment1/", LSTM_MOMENT1 }, { "moment2/", LSTM_MOMENT2 },
                                                { "gradient/", LSTM_GRAD }, { NULL, 0 } };
    static const named_what per_layer[] = { { "state.h/l", LSTM_STATE_H }, { "state.c/l", LSTM_STATE_C }, { NULL, 0 } };
    lua_trainer *t = lua_trainer_check(L, 1, "checkpoint_tensors");
    size_t params = lstm_model_params(t->model->model), layers = lstm_model_settings(t->model->model)->layers;
    bool accumulating = lstm_trainer_counters(t->trainer).accumulated > 0;
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, LUA_TRAINER_MODEL);
    lua_newtable(L);
    append_parameters(L, 2, t->model, params);
    for (const named_what *w = per_parameter; w->name != NULL; w++)
        for (size_t k = 0; k < params && (w->what != LSTM_GRAD || accumulating); k++) {
            lua_owner_recheck(L, &t->owner, "checkpoint_tensors");
            lstm_tensor parameter = lstm_model_param(t->model->model, k);
            lua_pushfstring(L, "%s%s", w->name, parameter.name);
            append(L, t, w->what, k);
        }
    for (const named_what *w = per_layer; w->name != NULL; w++)
        for (size_t layer = 0; layer < layers; layer++) {
            lua_pushfstring(L, "%s%I", w->name, (LUAI_UACINT)layer);
            append(L, t, w->what, layer);
        }
    return 1;
}

/* fit:profile(true or false) begins or ends measuring; fit:profile() -> seconds by phase since it began */
static int trainer_profile(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "profile");
    double seconds[LSTM_PHASES];
    if (!lua_isnoneornil(L, 2) && !lua_isboolean(L, 2))
        lua_args_error(L, "profile", 1, "true or false expected, got %s", lua_args_got(L, 2));
    for (int p = 0; p < LSTM_PHASES; p++)
        seconds[p] = lstm_trainer_phase_seconds(t->trainer, (lstm_phase)p);
    if (lua_isboolean(L, 2))
        lstm_trainer_profile(t->trainer, lua_toboolean(L, 2));
    lua_createtable(L, 0, LSTM_PHASES);
    for (int p = 0; p < LSTM_PHASES; p++) {
        lua_pushnumber(L, seconds[p]);
        lua_setfield(L, -2, lstm_phase_name((lstm_phase)p));
    }
    return 1;
}

/* ---- the text's stream --------------------------------------------------------------------------------------------------- */

lua_stream *lua_trainer_push_stream(lua_State *L, int self, lua_trainer *t, int text, const char *function, int arg)
{
    lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    lua_getiuservalue(L, self, LUA_TRAINER_TEXT);
    bool same = lua_rawequal(L, -1, text);
    lua_pop(L, 1);
    lua_getiuservalue(L, self, LUA_TRAINER_STREAM);
    lua_stream *stream = same ? luaL_testudata(L, -1, LUA_STREAM) : NULL;
    if (stream != NULL && stream->owner.closed == NULL)
        return stream;
    lua_pop(L, 1);
    lstm_stream_config sc = { .part = LSTM_PART_TRAIN, .order = LSTM_ORDER_CONTIGUOUS, .batch = c.batch, .seq = c.seq };
    stream = lua_stream_push(L, text, &sc, function, arg);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, self, LUA_TRAINER_STREAM);
    lua_pushvalue(L, text);
    lua_setiuservalue(L, self, LUA_TRAINER_TEXT);
    return stream;
}

static int trainer_stream(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "stream");
    lua_corpus_check(L, 2, "stream");
    lua_trainer_push_stream(L, 1, t, 2, "stream", 1);
    return 1;
}

static int trainer_stream_cursor(lua_State *L)
{
    lua_trainer_check(L, 1, "stream_cursor");
    if (lua_getiuservalue(L, 1, LUA_TRAINER_STREAM) == LUA_TNIL)
        return 1;
    lua_getfield(L, -1, "cursor");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    return 1;
}

/* ---- fields ------------------------------------------------------------------------------------------------------------ */

static void set_number(lua_State *L, const char *field, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

static void set_integer(lua_State *L, const char *field, size_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, field);
}

static void set_string(lua_State *L, const char *field, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, field);
}

/* A table that model:trainer would take for a trainer of the same kind. */
static int push_config(lua_State *L, const lua_trainer *t)
{
    lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    double lr = lstm_trainer_lr(t->trainer);
    lua_carry carry = t->carry;
    lua_createtable(L, 0, 18);
    set_integer(L, "batch", c.batch);
    set_integer(L, "seq", c.seq);
    set_string(L, "optimizer", optimizer_names[c.optimizer]);
    set_number(L, "lr", lr);
    set_number(L, "beta1", c.beta1);
    set_number(L, "beta2", c.beta2);
    set_number(L, "eps", c.eps);
    set_number(L, "momentum", c.momentum);
    set_number(L, "alpha", c.alpha);
    set_number(L, "weight_decay", c.weight_decay);
    lua_pushboolean(L, c.decay_biases);
    lua_setfield(L, -2, "decay_biases");
    if (c.clip != LSTM_CLIP_NONE)
        set_number(L, c.clip == LSTM_CLIP_NORM ? "clip_norm" : "clip_value", c.clip_at);
    set_integer(L, "accumulate", c.accumulate);
    set_string(L, "loss_at", loss_at_names[c.loss_at]);
    set_string(L, "reduction", reduction_names[c.reduction]);
    set_integer(L, "threads", (size_t)c.threads);
    if (carry != LUA_CARRY_AUTO) {
        lua_pushboolean(L, carry == LUA_CARRY_ON);
        lua_setfield(L, -2, "carry");
    }
    return 1;
}

static int push_lr(lua_State *L, const lua_trainer *t)
{
    lua_pushnumber(L, lstm_trainer_lr(t->trainer));
    return 1;
}

static int push_updates(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_counters(t->trainer).updates);
    return 1;
}

static int push_batch(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_settings(t->trainer)->batch);
    return 1;
}

static int push_seq(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_settings(t->trainer)->seq);
    return 1;
}

static int push_bytes(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)t->bytes);
    return 1;
}

static int trainer_index(lua_State *L)
{
    static const struct {
        const char *name;
        int (*push)(lua_State *L, const lua_trainer *t);
    } fields[] = { { "lr", push_lr }, { "updates", push_updates }, { "batch", push_batch }, { "seq", push_seq },
                   { "bytes", push_bytes }, { "config", push_config }, { NULL, NULL } };
    lua_trainer *t = lua_owner_self(L, 1, LUA_TRAINER, "index");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (size_t k = 0; fields[k].name != NULL; k++)
        if (strcmp(key, fields[k].name) == 0)
            return fields[k].push(L, lua_trainer_check(L, 1, key));
    if (strcmp(key, "closed") == 0)
        lua_pushboolean(L, t->owner.closed != NULL);
    else if (strcmp(key, "model") == 0)
        lua_getiuservalue(L, 1, LUA_TRAINER_MODEL);
    else
        lua_owner_push_method(L, LUA_TRAINER, 2);
    return 1;
}

static int trainer_newindex(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "newindex");
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "lr") != 0)
        lua_raise(L, "attempt to set field %s of a trainer (only 'lr' can be set)", lua_args_got(L, 2));
    lstm_trainer_set_lr(t->trainer, lua_args_to_number(L, 3, "lr", 1, NULL, LUA_RANGE_NOT_NEGATIVE));
    return 0;
}

static int trainer_tostring(lua_State *L)
{
    lua_trainer *t = lua_owner_self(L, 1, LUA_TRAINER, "tostring");
    if (t->owner.closed != NULL) {
        lua_pushliteral(L, LUA_TRAINER " (closed)");
        return 1;
    }
    const lstm_trainer_config *c = lstm_trainer_settings(t->trainer);
    lua_pushfstring(L, "%s (%s, batch %I, seq %I, %I updates)", LUA_TRAINER, optimizer_names[c->optimizer],
                    (LUAI_UACINT)c->batch, (LUAI_UACINT)c->seq,
                    (LUAI_UACINT)lstm_trainer_counters(t->trainer).updates);
    return 1;
}

/* lstm.plan(model, trainer): what they would take, before anything is taken. */
static int plan(lua_State *L)
{
    lstm_plan p;
    lstm_error err;
    lua_settop(L, 2);
    lua_args model = lua_args_open(L, 1, "plan", 1, lua_model_fields, false);
    lua_args trainer = lua_args_open(L, 2, "plan", 2, lua_trainer_fields, false);
    lstm_model_config mc = lua_model_read_config(L, &model);
    lstm_trainer_config tc = lua_trainer_read_config(L, &trainer);
    if (lstm_plan_for(&mc, &tc, &p, &err) != 0)
        lua_args_engine_error(&model, &err);
    lua_createtable(L, 0, 4);
    set_integer(L, "parameters", p.parameters);
    set_integer(L, "model_bytes", p.model_bytes);
    set_integer(L, "trainer_bytes", p.trainer_bytes);
    set_number(L, "flops_per_step", p.flops_per_step);
    return 1;
}

void lua_trainer_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", trainer_index }, { "__newindex", trainer_newindex }, { "__tostring", trainer_tostring },
        { "__gc", trainer_gc }, { "__close", trainer_gc }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "step", trainer_step }, { "forward", trainer_forward }, { "backward", trainer_backward },
        { "update", trainer_update }, { "zero", trainer_zero }, { "carry", trainer_carry }, { "reset", trainer_reset },
        { "evaluate", lua_trainer_evaluate }, { "activation", trainer_activation }, { "gradient", trainer_gradient },
        { "moment", trainer_moment }, { "state", trainer_state }, { "set_state", trainer_set_state },
        { "state_view", trainer_state_view }, { "counters", trainer_counters },
        { "set_counters", trainer_set_counters }, { "profile", trainer_profile },
        { "checkpoint_tensors", trainer_checkpoint_tensors },
        { "stream", trainer_stream }, { "stream_cursor", trainer_stream_cursor }, { "close", trainer_gc },
        { NULL, NULL },
    };
    lua_owner_register(L, LUA_TRAINER, metamethods, methods);
    lua_pushcfunction(L, plan);
    lua_setfield(L, -2, "plan");
}
