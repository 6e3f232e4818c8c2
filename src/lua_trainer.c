/* SPDX-License-Identifier: MIT
 *
 * lua_trainer.c - trainers in Lua: steps, and everything there is to see of them.
 */
#include <math.h>
#include <string.h>

#include "lua_binding.h"

const char *const lua_trainer_fields[] = { "batch",      "seq",      "optimizer", "lr",           "beta1",
                                           "beta2",      "eps",      "momentum",  "alpha",        "weight_decay",
                                           "bias_correction", "decay_biases", "clip_norm", "clip_value", "accumulate", "loss_at",
                                           "reduction",  "carry",    "threads",   NULL };
static const char *const optimizer_names[] = { "adamw", "adam", "sgd", "rmsprop", NULL };
static const char *const correction_names[] = { "power", "constant", NULL };
static const char *const loss_at_names[] = { "all", "last", NULL };
static const char *const reduction_names[] = { "mean", "sum", NULL };

/* ---- configuration ---------------------------------------------------------------------------------------------- */

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

/* Numbers that only some optimisers have; with another one they may say what they say by default. */
static void read_numbers_of_optimizer(const lua_args *a, lstm_trainer_config *c)
{
    enum { ADAMS = 1 << LSTM_ADAMW | 1 << LSTM_ADAM, SGD = 1 << LSTM_SGD, RMSPROP = 1 << LSTM_RMSPROP };
    const struct {
        const char *field;
        lua_range range;
        double *value;
        unsigned of;
        const char *names;
    } numbers[] = {
        { "beta1", LUA_RANGE_FRACTION, &c->beta1, ADAMS, "'adamw' or 'adam'" },
        { "beta2", LUA_RANGE_FRACTION, &c->beta2, ADAMS, "'adamw' or 'adam'" },
        { "eps", LUA_RANGE_NOT_NEGATIVE, &c->eps, ADAMS | RMSPROP, "'adamw', 'adam' or 'rmsprop'" },
        { "momentum", LUA_RANGE_FRACTION, &c->momentum, SGD | RMSPROP, "'sgd' or 'rmsprop'" },
        { "alpha", LUA_RANGE_FRACTION, &c->alpha, RMSPROP, "'rmsprop'" },
    };
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        const double value = lua_args_number(a, numbers[k].field, numbers[k].range, *numbers[k].value);
        if (value != *numbers[k].value && !(numbers[k].of >> c->optimizer & 1))
            lua_args_field_error(a, numbers[k].field, "only with optimizer = %s", numbers[k].names);
        *numbers[k].value = value;
    }
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
    read_numbers_of_optimizer(a, &c);
    c.weight_decay = lua_args_number(a, "weight_decay", LUA_RANGE_NOT_NEGATIVE,
                                     c.optimizer == LSTM_ADAMW ? c.weight_decay : 0);
    c.bias_correction =
        (lstm_correction)lua_args_choice(a, "bias_correction", correction_names, LSTM_CORRECTION_POWER);
    if (lua_args_has(a, "bias_correction") && c.optimizer > LSTM_ADAM)
        lua_args_field_error(a, "bias_correction", "only with optimizer = 'adamw' or 'adam'");
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

/* ---- making and closing ----------------------------------------------------------------------------------------- */

lua_trainer *lua_trainer_check(lua_State *L, int index, const char *function)
{
    return lua_owner_check(L, index, LUA_TRAINER, function);
}

/* What core.updates_of_others counts. */
static struct others {
    size_t made;  /* trainers, in this process */
    size_t known; /* of them were there when it was asked last */
    size_t run;   /* number of the run that keeps some of them */
    size_t updates;
} others;

static lua_trainer *push_closed(lua_State *L, int model)
{
    model = lua_absindex(L, model);
    lua_trainer *t = lua_newuserdatauv(L, sizeof *t, LUA_TRAINER_USER_VALUES);
    *t = (lua_trainer){ .owner.closed = "closed trainer", .model = lua_touserdata(L, model), .number = others.made++ };
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
    t->lr = config->lr;
    t->lr_scale = 1;
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
    if (!lua_group_share(L, &config))
        lua_args_field_error(&a, "batch", "at least %I expected, a row for each of the processes that share it, got %I",
                             (LUAI_UACINT)lua_group_size(L), (LUAI_UACINT)config.batch);
    lua_trainer_push(L, 1, &config, &a)->carry = carry;
    return 1;
}

/* ---- the pieces of a step --------------------------------------------------------------------------------------- */

int lua_trainer_engine_error(lua_State *L, const char *function, const lstm_error *err)
{
    lua_args a = { L, function, 1, 0, "" };
    return lua_args_engine_error(&a, err);
}

static int push_stats(lua_State *L, const lua_trainer *t, const lstm_update_stats *stats)
{
    if (stats->updated && t->kept_by != others.run && t->number < others.known)
        others.updates++;
    lua_createtable(L, 0, 5);
    lua_field_number(L, "grad_norm", stats->grad_norm);
    lua_field_number(L, "clipped_norm", stats->clipped_norm);
    lua_field_number(L, "clipped_share", stats->clipped_share);
    lua_field_number(L, "update_ratio", stats->update_ratio);
    lua_field_boolean(L, "updated", stats->updated);
    return 1;
}

/* Takes the batch at stack index 2 for a method of the trainer at 1. */
static lua_trainer *take_batch(lua_State *L, const char *function, bool targets)
{
    lua_trainer *t = lua_trainer_check(L, 1, function);
    lua_settop(L, 2);
    if (!lua_batch_take(L, 1, t, 2, function, 1))
        lua_args_error(L, function, 1, "the stream is at its end");
    if (!t->drawn)
        lua_pushnil(L);
    lua_setiuservalue(L, 1, LUA_TRAINER_DRAWN);
    lua_owner_recheck(L, &t->owner, function);
    t->forwards++;
    if (targets && t->batch.target == NULL && t->batch.target_ids == NULL)
        lua_args_error(L, function, 1, "field '%s': table or tensor expected, got nil",
                       lstm_model_settings(t->model->model)->loss == LSTM_LOSS_MSE ? "y" : "targets");
    return t;
}

/* The trainer at 1 has gone backward. */
static void keep_source(lua_State *L)
{
    lua_getiuservalue(L, 1, LUA_TRAINER_DRAWN);
    lua_setiuservalue(L, 1, LUA_TRAINER_SOURCE);
}

static int trainer_step(lua_State *L)
{
    lua_trainer *t = take_batch(L, "step", true);
    lstm_step_stats stats;
    lstm_error err;
    if (lstm_trainer_step(t->trainer, &t->batch, &stats, &err) != 0)
        lua_trainer_engine_error(L, "step", &err);
    keep_source(L);
    if (lua_trainer_carries(t))
        lstm_trainer_carry(t->trainer);
    lua_pushnumber(L, stats.loss);
    push_stats(L, t, &stats.update);
    return 2;
}

static int trainer_forward(lua_State *L)
{
    static const char *const names[] = { "dropout", NULL };
    bool training = true;
    lua_trainer_check(L, 1, "forward");
    if (!lua_isnoneornil(L, 3)) {
        lua_args a = lua_args_open(L, 3, "forward", 2, names, false);
        training = lua_args_boolean(&a, "dropout", true);
    }
    lua_trainer *t = take_batch(L, "forward", false);
    double loss;
    lstm_error err;
    if (lstm_trainer_forward(t->trainer, &t->batch, training, &loss, &err) != 0)
        lua_trainer_engine_error(L, "forward", &err);
    t->ready = true;
    lua_pushnumber(L, loss);
    return 1;
}

/* fit:backward([{ logits =, h =, c = }]): of the batch's loss, or one of the script's own */
static int trainer_backward(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "backward");
    const bool own = !lua_isnoneornil(L, 2);
    lstm_upstream upstream;
    lstm_error err;
    if (!t->ready)
        lua_raise(L, "attempt to call 'backward' without a forward before it");
    if (own)
        upstream = lua_upstream_take(L, t, 2);
    t->ready = false;
    if (lstm_trainer_backward(t->trainer, own ? &upstream : NULL, &err) != 0)
        lua_trainer_engine_error(L, "backward", &err);
    keep_source(L);
    return 0;
}

static int trainer_update(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "update");
    lstm_update_stats stats;
    lstm_error err;
    if (lstm_trainer_update(t->trainer, &stats, &err) != 0)
        lua_trainer_engine_error(L, "update", &err);
    return push_stats(L, t, &stats);
}

/* updates_of_others(): updates since the last call, by trainers that were there then, but for those of keep_trainers. */
static int updates_of_others(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)others.updates);
    others.known = others.made;
    others.updates = 0;
    return 1;
}

/* keep_trainers(fit, ...): a run begins, whose checkpoints have these */
static int keep_trainers(lua_State *L)
{
    others.run++;
    for (int k = 1; k <= lua_gettop(L); k++)
        lua_trainer_check(L, k, "keep_trainers")->kept_by = others.run;
    return updates_of_others(L);
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
        lua_field_number(L, lstm_phase_name((lstm_phase)p), seconds[p]);
    }
    return 1;
}

/* ---- the text's stream ------------------------------------------------------------------------------------------ */

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
    lstm_stream_config sc = { .part = LSTM_PART_TRAIN, .order = LSTM_ORDER_CONTIGUOUS, .batch = lstm_whole_batch(&c),
                              .seq = c.seq };
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

/* ---- fields ----------------------------------------------------------------------------------------------------- */

/* A table that model:trainer would take for a trainer of the same kind. */
static int push_config(lua_State *L, const lua_trainer *t)
{
    lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    double lr = t->lr;
    lua_carry carry = t->carry;
    lua_createtable(L, 0, 19);
    lua_field_integer(L, "batch", lstm_whole_batch(&c));
    lua_field_integer(L, "seq", c.seq);
    lua_field_string(L, "optimizer", optimizer_names[c.optimizer]);
    lua_field_number(L, "lr", lr);
    lua_field_number(L, "beta1", c.beta1);
    lua_field_number(L, "beta2", c.beta2);
    lua_field_number(L, "eps", c.eps);
    lua_field_number(L, "momentum", c.momentum);
    lua_field_number(L, "alpha", c.alpha);
    lua_field_number(L, "weight_decay", c.weight_decay);
    if (c.bias_correction != LSTM_CORRECTION_POWER)
        lua_field_string(L, "bias_correction", correction_names[c.bias_correction]);
    lua_field_boolean(L, "decay_biases", c.decay_biases);
    if (c.clip != LSTM_CLIP_NONE)
        lua_field_number(L, c.clip == LSTM_CLIP_NORM ? "clip_norm" : "clip_value", c.clip_at);
    lua_field_integer(L, "accumulate", c.accumulate);
    lua_field_string(L, "loss_at", loss_at_names[c.loss_at]);
    lua_field_string(L, "reduction", reduction_names[c.reduction]);
    lua_field_integer(L, "threads", (size_t)c.threads);
    if (carry != LUA_CARRY_AUTO)
        lua_field_boolean(L, "carry", carry == LUA_CARRY_ON);
    return 1;
}

static int push_lr(lua_State *L, const lua_trainer *t)
{
    lua_pushnumber(L, t->lr);
    return 1;
}

static int push_precision(lua_State *L, const lua_trainer *t)
{
    lua_pushstring(L, lua_precision_name(lstm_model_settings(t->model->model)->type,
                                         lstm_trainer_products(t->trainer)));
    return 1;
}

static int push_lr_scale(lua_State *L, const lua_trainer *t)
{
    lua_pushnumber(L, t->lr_scale);
    return 1;
}

static int push_updates(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_counters(t->trainer).updates);
    return 1;
}

static int push_batch(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_whole_batch(lstm_trainer_settings(t->trainer)));
    return 1;
}

static int push_rows(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_settings(t->trainer)->batch);
    return 1;
}

static int push_seq(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_settings(t->trainer)->seq);
    return 1;
}

static int push_forwards(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)t->forwards);
    return 1;
}

static int push_summed(lua_State *L, const lua_trainer *t)
{
    lua_pushinteger(L, (lua_Integer)lstm_trainer_summed(t->trainer));
    return 1;
}

static int push_has_targets(lua_State *L, const lua_trainer *t)
{
    lua_pushboolean(L, t->batch.target_ids != NULL || t->batch.target != NULL);
    return 1;
}

static int push_has_mask(lua_State *L, const lua_trainer *t)
{
    lua_pushboolean(L, t->batch.mask != NULL);
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
    } fields[] = { { "lr", push_lr }, { "lr_scale", push_lr_scale }, { "updates", push_updates },
                   { "batch", push_batch }, { "rows", push_rows }, { "seq", push_seq }, { "bytes", push_bytes },
                   { "config", push_config }, { "precision", push_precision }, { "forwards", push_forwards },
                   { "has_targets", push_has_targets }, { "has_mask", push_has_mask },
                   { "summed", push_summed }, { NULL, NULL } };
    static const char *const names[] = { "lr", "lr_scale", "updates", "batch", "rows", "seq", "bytes", "config",
                                         "precision", "forwards", "has_targets", "has_mask", "summed", "closed", "model",
                                         "source", NULL };
    lua_trainer *t = lua_owner_self(L, 1, LUA_TRAINER, "index");
    const char *key = lua_owner_key(L);
    for (size_t k = 0; fields[k].name != NULL; k++)
        if (strcmp(key, fields[k].name) == 0)
            return fields[k].push(L, lua_trainer_check(L, 1, key));
    if (strcmp(key, "closed") == 0)
        lua_pushboolean(L, t->owner.closed != NULL);
    else if (strcmp(key, "model") == 0)
        lua_getiuservalue(L, 1, LUA_TRAINER_MODEL);
    else if (strcmp(key, "source") == 0)
        lua_getiuservalue(L, 1, LUA_TRAINER_SOURCE);
    else
        lua_owner_push_known_method(L, LUA_TRAINER, 2, names);
    return 1;
}

static int trainer_newindex(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "newindex");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    double lr = t->lr, lr_scale = t->lr_scale;
    double *field = strcmp(key, "lr") == 0 ? &lr : strcmp(key, "lr_scale") == 0 ? &lr_scale : NULL;
    if (field == NULL)
        return lua_raise(L, "attempt to set field %s of a trainer (only 'lr' and 'lr_scale' can be set)",
                         lua_args_got(L, 2));
    *field = lua_args_to_number(L, 3, key, 1, NULL, LUA_RANGE_NOT_NEGATIVE);
    if (!isfinite(lr * lr_scale))
        lua_args_error(L, key, 1, "finite product of 'lr' and 'lr_scale' expected, got %f * %f", lr, lr_scale);
    t->lr = lr;
    t->lr_scale = lr_scale;
    lstm_trainer_set_lr(t->trainer, lr * lr_scale);
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
                    (LUAI_UACINT)lstm_whole_batch(c), (LUAI_UACINT)c->seq,
                    (LUAI_UACINT)lstm_trainer_counters(t->trainer).updates);
    return 1;
}

static bool is_trainer_field(const char *field)
{
    for (const char *const *name = lua_trainer_fields; *name != NULL; name++)
        if (strcmp(*name, field) == 0)
            return true;
    return false;
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
    lua_model_check_init(L, &model, mc.cell);
    lstm_trainer_config tc = lua_trainer_read_config(L, &trainer);
    if (lstm_plan_for(&mc, &tc, &p, &err) != 0)
        lua_args_engine_error(is_trainer_field(err.field) ? &trainer : &model, &err);
    lua_createtable(L, 0, 5);
    lua_field_string(L, "precision", lua_precision_name(mc.type, p.products));
    lua_field_integer(L, "parameters", p.parameters);
    lua_field_integer(L, "model_bytes", p.model_bytes);
    lua_field_integer(L, "trainer_bytes", p.trainer_bytes);
    lua_field_number(L, "flops_per_step", p.flops_per_step);
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
        { "evaluate", lua_trainer_evaluate }, { "activation", lua_trainer_activation },
        { "gradient", lua_trainer_gradient },
        { "moment", lua_trainer_moment }, { "state", lua_trainer_state }, { "set_state", lua_trainer_set_state },
        { "state_view", lua_trainer_state_view }, { "counters", lua_trainer_counters },
        { "set_counters", lua_trainer_set_counters }, { "profile", trainer_profile },
        { "checkpoint_tensors", lua_trainer_checkpoint_tensors },
        { "whole", lua_trainer_whole }, { "fingerprint", lua_trainer_fingerprint },
        { "stream", trainer_stream }, { "stream_cursor", trainer_stream_cursor }, { "close", trainer_gc },
        { NULL, NULL },
    };
    lua_owner_register(L, LUA_TRAINER, metamethods, methods);
    lua_pushcfunction(L, plan);
    lua_setfield(L, -2, "plan");
    lua_pushcfunction(L, keep_trainers);
    lua_setfield(L, -2, "keep_trainers");
    lua_pushcfunction(L, updates_of_others);
    lua_setfield(L, -2, "updates_of_others");
}
