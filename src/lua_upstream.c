/* SPDX-License-Identifier: MIT
 *
 * lua_upstream.c - from the gradients of a script's own loss, fit:backward { logits =, h =, c = }, to arrays for the
 * engine.
 */
#include "lua_binding.h"

/* A reading of such a table. Arrays are dense copies, kept alive by the table at stack index `kept`. */
typedef struct reading {
    lua_State *L;
    const lua_trainer *t;
    const lua_args *a;
    int kept;
} reading;

/* Of the value on top of the stack, which is popped, an array [steps][own rows][width] of the model's type. */
static const void *take_array(const reading *r, const char *what, size_t width)
{
    lua_State *L = r->L;
    const int value = lua_gettop(L);
    lua_owner_recheck(L, &r->t->owner, "backward");
    const size_t shape[] = { r->t->batch.steps, lstm_trainer_settings(r->t->trainer)->batch, width };
    const lstm_tensor *dense =
        lua_tensor_push_new(L, NULL, lstm_model_settings(r->t->model->model)->type, 3, shape);
    lua_tensor_assign(L, NULL, dense, value, "backward", 1, what);
    const void *data = dense->data;
    lua_rawseti(L, r->kept, (lua_Integer)lua_rawlen(L, r->kept) + 1);
    lua_settop(L, value - 1);
    return data;
}

/* The keys of the table on top of the stack must be layers. */
static void check_layers(const reading *r, const char *field, size_t layers)
{
    lua_State *L = r->L;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_Integer layer = -1;
        if (lua_isinteger(L, -2))
            layer = lua_tointeger(L, -2);
        if (layer < 0 || layer >= (lua_Integer)layers)
            lua_args_field_error(r->a, field, "layers are 0 to %I here, got %s", (LUAI_UACINT)(layers - 1),
                                 lua_args_got(L, -2));
    }
}

/* [layers] arrays of field "h" or "c"; NULL where the field is nil. */
static const void *const *take_layers(const reading *r, const char *field)
{
    lua_State *L = r->L;
    const int top = lua_gettop(L);
    lua_owner_recheck(L, &r->t->owner, "backward");
    const lstm_model_config m = *lstm_model_settings(r->t->model->model);
    const int type = lua_getfield(L, r->a->table, field);
    if (type == LUA_TNIL) {
        lua_settop(L, top);
        return NULL;
    }
    if (type != LUA_TTABLE)
        lua_args_field_error(r->a, field, "table of tensors, by layer from 0, expected, got %s", lua_args_got(L, -1));
    check_layers(r, field, m.layers);
    const void **arrays = lua_newuserdatauv(L, m.layers * sizeof *arrays, 0);
    lua_rawseti(L, r->kept, (lua_Integer)lua_rawlen(L, r->kept) + 1);
    for (size_t l = 0; l < m.layers; l++) {
        const char *what = lua_pushfstring(L, "field '%s', layer %I", field, (LUAI_UACINT)l);
        arrays[l] = lua_geti(L, top + 1, (lua_Integer)l) == LUA_TNIL ? NULL : take_array(r, what, m.hidden);
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
    return arrays;
}

lstm_upstream lua_upstream_take(lua_State *L, lua_trainer *t, int table)
{
    static const char *const names[] = { "logits", "h", "c", NULL };
    const size_t forwards = t->forwards;
    lua_args a = lua_args_open(L, table, "backward", 1, names, false);
    lua_newtable(L);
    const reading r = { L, t, &a, lua_gettop(L) };
    lstm_upstream upstream = { 0 };
    lua_owner_recheck(L, &t->owner, "backward");
    const lstm_model_config m = *lstm_model_settings(t->model->model);
    if (lua_args_has(&a, "c") && m.cell == LSTM_CELL_RNN)
        lua_args_field_error(&a, "c", "an rnn has none");
    if (lua_getfield(L, a.table, "logits") != LUA_TNIL)
        upstream.logits = take_array(&r, "field 'logits'", m.outputs);
    lua_settop(L, r.kept);
    upstream.h = take_layers(&r, "h");
    upstream.c = take_layers(&r, "c");
    lua_owner_recheck(L, &t->owner, "backward"); /* finalizers may have run, and used it otherwise */
    if (t->forwards != forwards || !t->ready)
        lua_raise(L, "backward: the trainer was used while its arguments were read");
    return upstream;
}
