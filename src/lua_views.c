/* SPDX-License-Identifier: MIT
 *
 * lua_views.c - what there is to see of a trainer: activations, gradients, moments, states; what a continuation needs.
 */
#include <string.h>

#include "lua_binding.h"

/* Pushes the view, or raises what is wrong. */
static int push_what(lua_State *L, const lua_trainer *t, const char *function, lstm_what what, size_t index)
{
    lstm_tensor view;
    lstm_error err;
    if (lstm_trainer_tensor(t->trainer, what, index, &view, &err) != 0)
        return lua_trainer_engine_error(L, function, &err);
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

int lua_trainer_activation(lua_State *L)
{
    static const named_what table[] = { { "i", LSTM_I }, { "f", LSTM_F }, { "g", LSTM_G }, { "o", LSTM_O },
                                        { "c", LSTM_C }, { "h", LSTM_H }, { "logits", LSTM_LOGITS },
                                        { "loss", LSTM_LOSS }, { "h_start", LSTM_START_H },
                                        { "c_start", LSTM_START_C }, { NULL, 0 } };
    lua_trainer *t = lua_trainer_check(L, 1, "activation");
    const char *name = name_argument(L, 2, "activation");
    const named_what *found = find_what(table, name);
    if (found == NULL)
        lua_args_error(L, "activation", 1, "'i', 'f', 'g', 'o', 'c', 'h', 'h_start', 'c_start', 'logits' or 'loss' "
                       "expected, got '%s'", name);
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

int lua_trainer_gradient(lua_State *L)
{
    static const named_what table[] = { { "di", LSTM_DI }, { "df", LSTM_DF }, { "dg", LSTM_DG }, { "do", LSTM_DO },
                                        { "dc", LSTM_DC }, { "dh", LSTM_DH }, { "logits", LSTM_DLOGITS },
                                        { "input", LSTM_DX },
                                        { "state.h", LSTM_DSTATE_H }, { "state.c", LSTM_DSTATE_C }, { NULL, 0 } };
    lua_trainer *t = lua_trainer_check(L, 1, "gradient");
    const char *name = name_argument(L, 2, "gradient");
    const named_what *found = find_what(table, name);
    size_t k;
    if (found != NULL)
        return push_what(L, t, "gradient", found->what, layer_argument(L, t, 3, "gradient"));
    if (lstm_model_find(t->model->model, name, &k) != 0)
        lua_args_error(L, "gradient", 1, "no parameter '%s', nor one of 'di', 'df', 'dg', 'do', 'dc', 'dh', "
                       "'logits', 'input', 'state.h' and 'state.c'", name);
    return push_what(L, t, "gradient", LSTM_GRAD, k);
}

int lua_trainer_moment(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "moment");
    lua_Integer n = lua_args_to_integer(L, 2, "moment", 1, NULL, 1, 2);
    return push_what(L, t, "moment", n == 1 ? LSTM_MOMENT1 : LSTM_MOMENT2, parameter_argument(L, t, 3, "moment"));
}

/* ---- state ------------------------------------------------------------------------------------------------------ */

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
        lua_trainer_engine_error(L, function, &err);
    return view;
}

/* Pushes a copy, with the rows of all partners. */
static const lstm_tensor *push_state_copy(lua_State *L, const lua_trainer *t, const lstm_tensor *view)
{
    if (lstm_trainer_settings(t->trainer)->partners.rows == 0)
        return lua_tensor_push_copy(L, &t->owner, view);
    lua_group_push_whole(L, t, view, 0);
    return lua_tensor_check(L, -1, "state", 1);
}

int lua_trainer_state_view(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "state_view");
    const char *name = name_argument(L, 2, "state_view");
    const named_what *found = find_what(states, name);
    if (found == NULL)
        lua_args_error(L, "state_view", 1, "'h' or 'c' expected, got '%s'", name);
    return push_what(L, t, "state_view", found->what, layer_argument(L, t, 3, "state_view"));
}

int lua_trainer_state(lua_State *L)
{
    lua_trainer *t = lua_trainer_check(L, 1, "state");
    size_t layers = lstm_model_settings(t->model->model)->layers, kinds = state_kinds(t);
    lua_newtable(L);
    for (size_t k = 0; k < kinds; k++) {
        lua_newtable(L);
        for (size_t layer = 0; layer < layers; layer++) {
            lstm_tensor view = state_of(L, t, "state", states[k].what, layer);
            push_state_copy(L, t, &view);
            lua_rawseti(L, -2, (lua_Integer)layer);
        }
        lua_setfield(L, -2, states[k].name);
    }
    return 1;
}

/* Pushes a dense tensor of a state's shape, for the whole batch. */
static const lstm_tensor *push_state_room(lua_State *L, const lua_trainer *t, const lstm_tensor *view)
{
    const size_t shape[] = { lstm_whole_batch(lstm_trainer_settings(t->trainer)), view->axis[1].size };
    return lua_tensor_push_new(L, view->name, view->type, 2, shape);
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
    lua_geti(L, -1, (lua_Integer)layer); /* which may run the script's code, and that may close the trainer */
    int value = lua_gettop(L);
    lua_owner_recheck(L, &t->owner, "set_state");
    lstm_tensor whole = *push_state_room(L, t, &view);
    lua_tensor_assign(L, &t->owner, &whole, value, "set_state", 1, what);
    lua_owner_recheck(L, &t->owner, "set_state");
    if (!check) {
        const lstm_trainer_config *c = lstm_trainer_settings(t->trainer);
        lua_group_keep_rows(c, 1, whole.data, whole.data, view.axis[1].size * lstm_type_size(view.type));
        lstm_tensor_write(&view, 0, lstm_tensor_size(&view), whole.data);
    }
    lua_settop(L, top);
}

int lua_trainer_set_state(lua_State *L)
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

/* ---- what a continuation needs ---------------------------------------------------------------------------------- */

int lua_trainer_counters(lua_State *L)
{
    lstm_counters c = lstm_trainer_counters(lua_trainer_check(L, 1, "counters")->trainer);
    lua_createtable(L, 0, 3);
    lua_field_integer(L, "updates", (size_t)c.updates);
    lua_field_integer(L, "passes", (size_t)c.passes);
    lua_field_integer(L, "accumulated", (size_t)c.accumulated);
    return 1;
}

int lua_trainer_set_counters(lua_State *L)
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
    lua_owner_recheck(L, &t->owner, "set_counters");
    lstm_trainer_set_counters(t->trainer, c);
    return 0;
}

/* Pops a name and appends { name, view } to the list below it; a tensor this trainer has not got is left out. Of states
 * that are shared with other processes: a copy of the whole. */
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
    if ((what == LSTM_STATE_H || what == LSTM_STATE_C) && lstm_trainer_settings(t->trainer)->partners.rows)
        lua_group_push_whole(L, t, &view, 0);
    else
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

int lua_trainer_checkpoint_tensors(lua_State *L)
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
