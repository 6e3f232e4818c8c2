/* SPDX-License-Identifier: MIT
 *
 * lua_model.c - models in Lua: configuration, initialisation, parameters.
 */
#include <math.h>
#include <string.h>

#include "lua_binding.h"

const char *const lua_model_fields[] = { "cell",   "vocab",  "embed",   "input",     "output", "classes",     "hidden",
                                         "layers", "dropout", "precision", "init", "forget_bias", "seed",
                                         "max_memory", NULL };
static const char *const cell_names[] = { "lstm", "rnn", NULL };
/* A precision is a type of parameters and a way to compute products. */
static const char *const precision_names[] = { "float", "double", "bf16x6", "bf16x3", "bf16", "auto", NULL };
static const struct {
    lstm_type type;
    lstm_products products;
} precisions[] = { { LSTM_F32, LSTM_PRODUCTS_REAL },   { LSTM_F64, LSTM_PRODUCTS_REAL },
                   { LSTM_F32, LSTM_PRODUCTS_BF16X6 }, { LSTM_F32, LSTM_PRODUCTS_BF16X3 },
                   { LSTM_F32, LSTM_PRODUCTS_BF16 },   { LSTM_F32, LSTM_PRODUCTS_AUTO } };

const char *lua_precision_name(lstm_type type, lstm_products products)
{
    size_t k = 0;
    while (precision_names[k + 1] != NULL && (precisions[k].type != type || precisions[k].products != products))
        k++;
    return precision_names[k];
}

/* ---- configuration ---------------------------------------------------------------------------------------------- */

static size_t size_field(const lua_args *a, const char *field, lua_Integer min, size_t absent)
{
    return (size_t)lua_args_integer(a, field, min, LUA_ARGS_SIZE_MAX, (lua_Integer)absent);
}

/* vocab: a number, a vocabulary or a text. */
static size_t vocab_field(lua_State *L, const lua_args *a)
{
    lua_getfield(L, a->table, "vocab");
    const lstm_vocab *vocab = lua_vocabulary_of(L, -1);
    if (vocab == NULL && lua_type(L, -1) != LUA_TNUMBER)
        lua_args_field_error(a, "vocab", "positive integer or vocabulary expected, got %s", lua_args_got(L, -1));
    lua_pop(L, 1);
    return vocab != NULL ? lstm_vocab_size(vocab) : size_field(a, "vocab", 1, 0);
}

static void read_input(lua_State *L, const lua_args *a, lstm_model_config *c)
{
    bool dense = lua_args_has(a, "input"), tokens = lua_args_has(a, "vocab");
    if (!dense && !tokens)
        lua_args_field_error(a, "vocab", "positive integer or vocabulary expected, got nil (or 'input', for vectors)");
    if (dense && tokens)
        lua_args_field_error(a, "input", "either 'vocab' (tokens) or 'input' (vectors) expected, got both");
    if (dense && lua_args_has(a, "embed"))
        lua_args_field_error(a, "embed", "only with 'vocab', got it with 'input'");
    if (dense) {
        c->input = LSTM_INPUT_DENSE;
        c->inputs = size_field(a, "input", 1, 0);
        return;
    }
    c->vocab = vocab_field(L, a);
    c->embed = size_field(a, "embed", 0, 0);
    c->input = c->embed > 0 ? LSTM_INPUT_EMBEDDING : LSTM_INPUT_ONEHOT;
}

static void read_output(const lua_args *a, lstm_model_config *c)
{
    bool linear = lua_args_has(a, "output");
    if (linear && lua_args_has(a, "classes"))
        lua_args_field_error(a, "output", "either 'output' (linear) or 'classes' (softmax) expected, got both");
    if (!linear && c->input == LSTM_INPUT_DENSE && !lua_args_has(a, "classes"))
        lua_args_field_error(a, "output", "positive integer expected, got nil (or 'classes', for a softmax)");
    c->loss = linear ? LSTM_LOSS_MSE : LSTM_LOSS_CROSS_ENTROPY;
    c->outputs = linear ? size_field(a, "output", 1, 0) : size_field(a, "classes", 1, c->vocab);
}

static void read_precision(const lua_args *a, lstm_model_config *c)
{
    int k = lua_args_choice(a, "precision", precision_names, 0);
    c->type = precisions[k].type;
    c->products = precisions[k].products;
}

lstm_model_config lua_model_read_config(lua_State *L, const lua_args *a)
{
    lstm_model_config c = { .cell = (lstm_cell)lua_args_choice(a, "cell", cell_names, LSTM_CELL_LSTM) };
    read_precision(a, &c);
    if (!lua_args_has(a, "hidden"))
        lua_args_field_error(a, "hidden", "positive integer expected, got nil");
    c.hidden = size_field(a, "hidden", 1, 0);
    c.layers = size_field(a, "layers", 1, 1);
    read_input(L, a, &c);
    read_output(a, &c);
    c.dropout = lua_args_number(a, "dropout", LUA_RANGE_FRACTION, 0);
    c.seed = (uint64_t)lua_args_integer(a, "seed", 0, LUA_MAXINTEGER, 1);
    c.max_memory = (size_t)lua_args_integer(a, "max_memory", 0, LUA_MAXINTEGER, 0);
    return c;
}

/* ---- initialisation --------------------------------------------------------------------------------------------- */

static lstm_scheme scheme_named(lua_State *L, const lua_args *a, const char *field, int index)
{
    const char *names[LSTM_INIT_SCHEMES + 1] = { NULL };
    const char *wish = lua_tostring(L, index);
    for (int s = 0; s < LSTM_INIT_SCHEMES; s++) {
        names[s] = lstm_scheme_name((lstm_scheme)s);
        if (strcmp(names[s], wish) == 0)
            return (lstm_scheme)s;
    }
    const char *nearest = lua_args_nearest(wish, names);
    if (nearest != NULL)
        lua_args_field_error(a, field, "no scheme '%s', did you mean '%s'?", wish, nearest);
    return (lstm_scheme)lua_args_field_error(a, field, "no scheme '%s'", wish);
}

/* Anything but [1] and [2] in the table at a stack index: a mean and a deviation, say. */
static void refuse_surplus(lua_State *L, const lua_args *a, const char *field, int table)
{
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
        if (lua_isinteger(L, -2) && (lua_tointeger(L, -2) == 1 || lua_tointeger(L, -2) == 2))
            continue;
        lua_pop(L, 1);
        lua_args_field_error(a, field, "{ \"name\", argument } expected, got something at [%s], too", lua_args_got(L, -1));
    }
}

/* The number on top of the stack, which a scheme shall have. */
static double scheme_argument(lua_State *L, const lua_args *a, const char *field, lstm_scheme scheme)
{
    const char *name = lstm_scheme_name(scheme);
    bool is_width = scheme == LSTM_INIT_NORMAL || scheme == LSTM_INIT_UNIFORM;
    double arg = lua_tonumber(L, -1);
    if (scheme == LSTM_INIT_ZEROS)
        lua_args_field_error(a, field, "'%s' takes no argument, got %s", name, lua_args_got(L, -1));
    if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(arg))
        lua_args_field_error(a, field, "argument of '%s': finite number expected, got %s", name, lua_args_got(L, -1));
    if (is_width && arg < 0)
        lua_args_field_error(a, field, "argument of '%s': non-negative number expected, got %s", name,
                             lua_args_got(L, -1));
    if (!lstm_scheme_takes_argument(scheme) && arg == 0) /* for the engine: none is given */
        lua_args_field_error(a, field, "argument of '%s': a number other than 0 expected, got 0", name);
    return arg;
}

/* Reads the value on top of the stack: "name", { "name", argument } or a function, for kind k. */
static void read_scheme(lua_State *L, const lua_args *a, const char *field, lstm_init *init, lstm_kind k)
{
    int top = lua_gettop(L);
    if (lua_isfunction(L, top))
        return; /* called when the model is there */
    if (lua_istable(L, top) && lua_rawgeti(L, top, 1) != LUA_TSTRING)
        lua_args_field_error(a, field, "{ \"name\", argument } expected, got %s first", lua_args_got(L, -1));
    if (lua_type(L, -1) != LUA_TSTRING)
        lua_args_field_error(a, field, "name of a scheme, { \"name\", argument } or function expected, got %s",
                             lua_args_got(L, -1));
    lstm_scheme scheme = scheme_named(L, a, field, -1);
    double arg = 0;
    if (lua_istable(L, top))
        refuse_surplus(L, a, field, top);
    if (lua_istable(L, top) && lua_rawgeti(L, top, 2) != LUA_TNIL)
        arg = scheme_argument(L, a, field, scheme);
    else if (lstm_scheme_takes_argument(scheme))
        lua_args_field_error(a, field, "'%s' needs an argument: { \"%s\", 0.1 }", lstm_scheme_name(scheme),
                             lstm_scheme_name(scheme));
    init->kind[k].scheme = scheme;
    init->kind[k].arg = arg;
    lua_settop(L, top);
}

static bool is_weight(lstm_kind k)
{
    return k == LSTM_KIND_INPUT || k == LSTM_KIND_RECURRENT || k == LSTM_KIND_HEAD;
}

/* init = { input = ..., recurrent = ..., ... } at the top of the stack */
static void read_kinds(lua_State *L, const lua_args *a, lstm_init *init)
{
    static const char *const paths[LSTM_KINDS] = { "init.embedding", "init.input", "init.recurrent",
                                                   "init.bias",      "init.head",  "init.head_bias" };
    const char *names[LSTM_KINDS + 1] = { NULL };
    for (int k = 0; k < LSTM_KINDS; k++)
        names[k] = lstm_kind_name((lstm_kind)k);
    lua_args_open_field(a, -1, "init.", names, false);
    for (int k = 0; k < LSTM_KINDS; k++) {
        if (lua_getfield(L, -1, names[k]) != LUA_TNIL)
            read_scheme(L, a, paths[k], init, (lstm_kind)k);
        lua_pop(L, 1);
    }
}

/* By default weights are uniform_hidden, biases zero, embeddings normal(1). One scheme for all is one for the weight
 * matrices. */
static lstm_init read_init(lua_State *L, const lua_args *a, lstm_cell cell)
{
    lstm_init init = { .forget_bias = cell == LSTM_CELL_LSTM ? 1 : 0 };
    for (int k = 0; k < LSTM_KINDS; k++)
        init.kind[k].scheme = is_weight((lstm_kind)k) ? LSTM_INIT_UNIFORM_HIDDEN : LSTM_INIT_ZEROS;
    init.kind[LSTM_KIND_EMBEDDING].scheme = LSTM_INIT_NORMAL;
    init.kind[LSTM_KIND_EMBEDDING].arg = 1;
    int type = lua_getfield(L, a->table, "init");
    bool kinds = type == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TNIL;
    if (type == LUA_TTABLE)
        lua_pop(L, 1);
    if (kinds)
        read_kinds(L, a, &init);
    for (int k = 0; k < LSTM_KINDS && !kinds && type != LUA_TNIL; k++)
        if (is_weight((lstm_kind)k))
            read_scheme(L, a, "init", &init, (lstm_kind)k);
    lua_pop(L, 1);
    init.forget_bias = lua_args_number(a, "forget_bias", LUA_RANGE_FINITE, init.forget_bias);
    if (cell == LSTM_CELL_RNN && init.forget_bias != 0)
        lua_args_field_error(a, "forget_bias", "0 expected (an rnn has no forget gate), got %f",
                             (LUAI_UACNUMBER)init.forget_bias);
    return init;
}

void lua_model_check_init(lua_State *L, const lua_args *a, lstm_cell cell)
{
    (void)read_init(L, a, cell);
}

/* Pushes the function that initialises kind k, or nil. `init` is the stack index of the field. */
static bool push_initialiser(lua_State *L, int init, lstm_kind k)
{
    if (lua_istable(L, init))
        lua_getfield(L, init, lstm_kind_name(k));
    else
        lua_pushvalue(L, init);
    return lua_isfunction(L, -1);
}

/* Calls the script's functions with name and view of each parameter they are for; what one returns is assigned. */
static void call_initialisers(lua_State *L, const lua_args *a, int self, const lua_model *m)
{
    lua_getfield(L, a->table, "init");
    int init = lua_gettop(L);
    size_t params = lstm_model_params(m->model);
    for (size_t k = 0; k < params; k++, lua_settop(L, init)) {
        if (!push_initialiser(L, init, lstm_model_param_kind(m->model, k)))
            continue;
        lstm_tensor view = lstm_model_param(m->model, k);
        lua_pushstring(L, view.name);
        lua_tensor_push_view(L, self, &view);
        lua_call(L, 2, 1);
        if (m->owner.closed != NULL)
            lua_raise(L, "init function for '%s' closed its model", view.name);
        if (!lua_isnil(L, -1))
            lua_tensor_assign(L, &m->owner, &view, -1, "model", 1, "field 'init': result for a parameter");
    }
    lua_pop(L, 1);
}

/* Pushes what model.config tells of init: the name or table given, with "function" for functions; nil: defaults. */
static void push_init_description(lua_State *L, const lua_args *a)
{
    lua_getfield(L, a->table, "init");
    if (lua_isfunction(L, -1)) {
        lua_pushliteral(L, "function");
        lua_replace(L, -2);
    }
    if (!lua_istable(L, -1))
        return;
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3) != 0;) {
        if (lua_isfunction(L, -1)) {
            lua_pushliteral(L, "function");
            lua_replace(L, -2);
        } else if (lua_istable(L, -1)) { /* { "name", argument } */
            lua_createtable(L, 2, 0);
            for (int k = 1; k <= 2; k++) {
                lua_rawgeti(L, -2, k);
                lua_rawseti(L, -2, k);
            }
            lua_replace(L, -2);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, -2);
}

/* ---- making and closing ----------------------------------------------------------------------------------------- */

lua_model *lua_model_check(lua_State *L, int index, const char *function)
{
    return lua_owner_check(L, index, LUA_MODEL, function);
}

/* Bytes the model will take; raises what is wrong with its configuration. */
static size_t plan_bytes(const lua_args *a, const lstm_model_config *c)
{
    lstm_trainer_config least;
    lstm_plan plan;
    lstm_error err;
    lstm_trainer_defaults(&least);
    least.batch = least.seq = 1;
    least.inference = true;
    if (lstm_plan_for(c, &least, &plan, &err) != 0)
        lua_args_engine_error(a, &err);
    return plan.model_bytes;
}

static lua_model *push_closed(lua_State *L)
{
    lua_model *m = lua_newuserdatauv(L, sizeof *m, LUA_MODEL_USER_VALUES);
    *m = (lua_model){ .owner.closed = "closed model" };
    luaL_setmetatable(L, LUA_MODEL);
    return m;
}

/* Keeps what belongs to the model on the Lua side: its vocabulary, the settings of its initialisation. */
static void keep_settings(lua_State *L, const lua_args *a, int self, const lstm_init *init)
{
    lua_getfield(L, a->table, "vocab");
    lua_vocabulary_push(L, -1);
    lua_setiuservalue(L, self, LUA_MODEL_VOCAB);
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    push_init_description(L, a);
    lua_setfield(L, -2, "init");
    lua_pushnumber(L, init->forget_bias);
    lua_setfield(L, -2, "forget_bias");
    lua_setiuservalue(L, self, LUA_MODEL_INIT);
    lua_newtable(L);
    lua_setiuservalue(L, self, LUA_MODEL_WORKERS);
}

static int model_new(lua_State *L)
{
    lstm_error err;
    lua_settop(L, 1);
    lua_args a = lua_args_open(L, 1, "model", 1, lua_model_fields, false);
    lstm_model_config config = lua_model_read_config(L, &a);
    lstm_init init = read_init(L, &a, config.cell);
    lua_memory_want(L, plan_bytes(&a, &config));
    lua_model *m = push_closed(L);
    keep_settings(L, &a, 2, &init);
    m->model = lstm_model_new(&config, &err);
    if (m->model == NULL)
        lua_args_engine_error(&a, &err);
    m->owner.closed = NULL;
    m->bytes = lstm_model_bytes(m->model);
    lua_memory_took(L, m->bytes);
    if (lstm_model_init(m->model, &init, &err) != 0)
        lua_args_engine_error(&a, &err);
    call_initialisers(L, &a, 2, m);
    lua_settop(L, 2);
    return 1;
}

static int model_gc(lua_State *L)
{
    lua_model *m = lua_owner_self(L, 1, LUA_MODEL, "close");
    if (m->owner.closed != NULL)
        return 0;
    while (m->trainers != NULL)
        lua_trainer_close(L, m->trainers, "trainer whose model was closed");
    lstm_model_free(m->model);
    m->model = NULL;
    m->owner.closed = "closed model";
    lua_memory_gave(L, m->bytes);
    return 0;
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

static int refuse_parameter(lua_State *L, const lua_model *m, const char *name)
{
    size_t params = lstm_model_params(m->model);
    const char **names = lua_newuserdatauv(L, (params + 1) * sizeof *names, 0);
    lstm_tensor *views = lua_newuserdatauv(L, params * sizeof *views, 0);
    lua_owner_recheck(L, &m->owner, "parameter");
    for (size_t k = 0; k < params; k++) {
        views[k] = lstm_model_param(m->model, k);
        names[k] = views[k].name;
    }
    names[params] = NULL;
    const char *nearest = lua_args_nearest(name, names);
    if (nearest != NULL)
        return lua_args_error(L, "parameter", 1, "no parameter '%s', did you mean '%s'?", name, nearest);
    return lua_args_error(L, "parameter", 1, "no parameter '%s'; the first is '%s'", name, names[0]);
}

static int model_parameter(lua_State *L)
{
    lua_model *m = lua_model_check(L, 1, "parameter");
    size_t k;
    if (lua_type(L, 2) != LUA_TSTRING)
        lua_args_error(L, "parameter", 1, "name expected, got %s", lua_args_got(L, 2));
    if (lstm_model_find(m->model, lua_tostring(L, 2), &k) != 0)
        return refuse_parameter(L, m, lua_tostring(L, 2));
    lstm_tensor view = lstm_model_param(m->model, k);
    lua_tensor_push_view(L, 1, &view);
    return 1;
}

/* Iterator with upvalues: model, number of the next parameter. */
static int next_parameter(lua_State *L)
{
    lua_model *m = lua_model_check(L, lua_upvalueindex(1), "parameters");
    lua_Integer k = lua_tointeger(L, lua_upvalueindex(2));
    if ((size_t)k >= lstm_model_params(m->model))
        return 0;
    lua_pushinteger(L, k + 1);
    lua_replace(L, lua_upvalueindex(2));
    lstm_tensor view = lstm_model_param(m->model, (size_t)k);
    lua_pushstring(L, view.name);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_tensor_push_view(L, -1, &view);
    lua_replace(L, -2);
    return 2;
}

static int model_parameters(lua_State *L)
{
    lua_model_check(L, 1, "parameters");
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_parameter, 2);
    return 1;
}

/* ---- fields ----------------------------------------------------------------------------------------------------- */

/* A table that lstm.model would take for a model of the same shape. */
static int push_config(lua_State *L, const lua_model *m)
{
    lstm_model_config c = *lstm_model_settings(m->model);
    lua_createtable(L, 0, 14);
    lua_field_string(L, "cell", cell_names[c.cell]);
    lua_field_string(L, "precision", lua_precision_name(c.type, c.products));
    lua_field_integer(L, "hidden", c.hidden);
    lua_field_integer(L, "layers", c.layers);
    lua_field_integer(L, "seed", (size_t)c.seed);
    lua_field_integer(L, "max_memory", c.max_memory);
    lua_field_number(L, "dropout", c.dropout);
    if (c.input == LSTM_INPUT_DENSE) {
        lua_field_integer(L, "input", c.inputs);
    } else {
        lua_field_integer(L, "vocab", c.vocab);
        lua_field_integer(L, "embed", c.embed);
    }
    lua_field_integer(L, c.loss == LSTM_LOSS_MSE ? "output" : "classes", c.outputs);
    lua_getiuservalue(L, 1, LUA_MODEL_INIT);
    lua_getfield(L, -1, "init");
    lua_setfield(L, -3, "init");
    lua_getfield(L, -1, "forget_bias");
    lua_setfield(L, -3, "forget_bias");
    lua_pop(L, 1);
    return 1;
}

static int model_index(lua_State *L)
{
    lua_model *m = lua_owner_self(L, 1, LUA_MODEL, "index");
    const char *key = lua_owner_key(L);
    if (strcmp(key, "closed") == 0) {
        lua_pushboolean(L, m->owner.closed != NULL);
        return 1;
    }
    if (strcmp(key, "vocab") == 0) {
        lua_getiuservalue(L, 1, LUA_MODEL_VOCAB);
        return 1;
    }
    bool size = strcmp(key, "size") == 0, bytes = strcmp(key, "bytes") == 0, config = strcmp(key, "config") == 0;
    if (!size && !bytes && !config) {
        static const char *const fields[] = { "closed", "vocab", "size", "bytes", "config", NULL };
        lua_owner_push_known_method(L, LUA_MODEL, 2, fields);
        return 1;
    }
    lua_model_check(L, 1, key);
    if (config)
        return push_config(L, m);
    lua_pushinteger(L, (lua_Integer)(size ? lstm_model_size(m->model) : lstm_model_bytes(m->model)));
    return 1;
}

static int model_tostring(lua_State *L)
{
    lua_model *m = lua_owner_self(L, 1, LUA_MODEL, "tostring");
    if (m->owner.closed != NULL) {
        lua_pushliteral(L, LUA_MODEL " (closed)");
        return 1;
    }
    const lstm_model_config *c = lstm_model_settings(m->model);
    size_t in = c->input == LSTM_INPUT_DENSE ? c->inputs : c->vocab;
    lua_pushfstring(L, "%s (%s %I -> %Ix%I -> %I, %I parameters, %s)", LUA_MODEL, cell_names[c->cell],
                    (LUAI_UACINT)in, (LUAI_UACINT)c->layers, (LUAI_UACINT)c->hidden, (LUAI_UACINT)c->outputs,
                    (LUAI_UACINT)lstm_model_size(m->model), lua_precision_name(c->type, c->products));
    return 1;
}

void lua_model_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", model_index }, { "__tostring", model_tostring },
        { "__gc", model_gc }, { "__close", model_gc }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "parameter", model_parameter }, { "parameters", model_parameters }, { "trainer", lua_trainer_new },
        { "sample", lua_sample }, { "evaluate", lua_model_evaluate }, { "close", model_gc }, { NULL, NULL },
    };
    lua_owner_register(L, LUA_MODEL, metamethods, methods);
    lua_pushcfunction(L, model_new);
    lua_setfield(L, -2, "model");
}
