/* SPDX-License-Identifier: MIT
 *
 * lua_batch.c - what one pass works on: from batch tables, texts and streams to arrays for the engine.
 *
 * The arrays lie in one userdata that the trainer keeps, so they stay until backward is done. Values are checked while
 * they are copied; until that has succeeded the trainer has no batch.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lua_binding.h"

typedef struct arrays {
    void *x, *y; /* model's type */
    int32_t *ids, *targets;
    double *mask;
} arrays;

/* Of the whole batch; and, with partners, of the trainer's rows. */
typedef struct room {
    arrays whole, own;
} room;

/* One field of a batch. */
typedef struct field {
    lua_State *L;
    const char *function, *name;
    int arg;
    size_t steps, batch, width; /* what it shall hold; width 1 for ids and masks */
} field;

/* ---- room ------------------------------------------------------------------------------------------------------- */

static size_t bytes_for(size_t positions, size_t width, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(positions, width, &bytes) || __builtin_mul_overflow(bytes, size, &bytes) ||
        bytes > PTRDIFF_MAX / 8)
        return PTRDIFF_MAX / 8; /* Lua will refuse that */
    return (bytes + 7) / 8 * 8;
}

/* Where the arrays of trainer t (stack index `self`) lie; makes room for the longest batch the first time. */
static room room_of(lua_State *L, int self, lua_trainer *t)
{
    lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    lstm_model_config m = *lstm_model_settings(t->model->model);
    size_t n = lstm_whole_batch(&c) * c.seq, real = lstm_type_size(m.type);
    size_t x = bytes_for(n, m.inputs, real), ids = bytes_for(n, 1, sizeof(int32_t));
    size_t y = m.loss == LSTM_LOSS_MSE ? bytes_for(n, m.outputs, real) : 0, mask = bytes_for(n, 1, sizeof(double));
    size_t all = x + y + 2 * ids + mask;
    if (t->arrays == NULL) {
        void *bytes = lua_newuserdatauv(L, c.partners.rows ? 2 * all : all, 0);
        lua_setiuservalue(L, self, LUA_TRAINER_ARRAYS);
        t->arrays = bytes;
        lua_owner_recheck(L, &t->owner, "step");
    }
    arrays a[2];
    for (size_t k = 0; k < 2; k++) { /* without partners the rows are its own already */
        char *at = (char *)t->arrays + (c.partners.rows ? k * all : 0), *tokens = at + x + y;
        a[k] = (arrays){ at, at + x, (int32_t *)tokens, (int32_t *)(tokens + ids), (double *)(void *)(tokens + 2 * ids) };
    }
    return (room){ a[0], a[1] };
}

/* The trainer's rows of an array of the whole batch, in `to`; NULL where there is none. */
static void *own_rows(const lua_trainer *t, const void *whole, void *to, size_t bytes)
{
    if (whole == NULL)
        return NULL;
    lua_group_keep_rows(lstm_trainer_settings(t->trainer), t->whole.steps, whole, to, bytes);
    return to;
}

/* The whole batch is there; the trainer is given its own rows of it. */
static void finish_batch(lua_trainer *t, const room *r, lstm_batch batch)
{
    const lstm_model_config *m = lstm_model_settings(t->model->model);
    const size_t real = lstm_type_size(m->type);
    t->batch = t->whole = batch;
    if (lstm_trainer_settings(t->trainer)->partners.rows == 0)
        return;
    t->batch.ids = own_rows(t, batch.ids, r->own.ids, sizeof *batch.ids);
    t->batch.x = own_rows(t, batch.x, r->own.x, m->inputs * real);
    t->batch.target_ids = own_rows(t, batch.target_ids, r->own.targets, sizeof *batch.target_ids);
    t->batch.target = own_rows(t, batch.target, r->own.y, m->outputs * real);
    t->batch.mask = own_rows(t, batch.mask, r->own.mask, sizeof *batch.mask);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* "field 'ids', element [3][2]": of flat index k */
static const char *push_place(const field *f, size_t k)
{
    char path[72];
    int length = snprintf(path, sizeof path, "[%zu][%zu]", k / f->width / f->batch + 1, k / f->width % f->batch + 1);
    if (f->width > 1)
        snprintf(path + length, sizeof path - (size_t)length, "[%zu]", k % f->width + 1);
    return lua_pushfstring(f->L, "field '%s', element %s", f->name, path);
}

static void refuse_element(const field *f, size_t k, const char *expected, double got)
{
    lua_pushnumber(f->L, got);
    if (got == floor(got) && fabs(got) < 0x1p53) /* 70, not 70.0 */
        lua_pushinteger(f->L, (lua_Integer)got);
    const char *shown = lua_args_got(f->L, -1);
    lua_args_error(f->L, f->function, f->arg, "%s: %s expected, got %s", push_place(f, k), expected, shown);
}

/* The sizes above 1 of all axes but time, in order. */
static int squeeze(const size_t *shape, int ndim, size_t *out)
{
    int n = 0;
    for (int d = 1; d < ndim; d++)
        if (shape[d] != 1)
            out[n++] = shape[d];
    return n;
}

/* Whether t is [T][B][width]; axes of size 1 behind the first may be left out. */
static bool fits(const field *f, const lstm_tensor *t)
{
    size_t got[LSTM_MAX_DIMS], want[3] = { f->steps, f->batch, f->width }, a[LSTM_MAX_DIMS], b[LSTM_MAX_DIMS];
    for (int d = 0; d < t->ndim; d++)
        got[d] = t->axis[d].size;
    int n = squeeze(got, t->ndim, a);
    return got[0] == f->steps && n == squeeze(want, 3, b) && memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Pushes the field of the batch table as a tensor of its shape; NULL (and nothing pushed) when it is nil. The first
 * field of a batch sets f->steps. With one_row it may have only the last time step. */
static const lstm_tensor *push_values(lua_State *L, int table, field *f, size_t seq, bool one_row)
{
    if (lua_getfield(L, table, f->name) == LUA_TNIL) {
        lua_pop(L, 1);
        return NULL;
    }
    const char *what = lua_pushfstring(L, "field '%s'", f->name);
    const lstm_tensor *t = NULL;
    if (lua_istable(L, -2))
        t = lua_tensor_push_nested(L, -2, LSTM_F64, f->function, f->arg, what);
    else if (lua_tensor_is(L, -2))
        t = lua_tensor_check(L, -2, f->function, f->arg);
    else
        lua_args_error(L, f->function, f->arg, "%s: table or tensor expected, got %s", what, lua_args_got(L, -2));
    if (t->ndim > 0 && f->steps == 0)
        f->steps = t->axis[0].size;
    if (f->steps > seq)
        lua_args_error(L, f->function, f->arg, "%s: at most %I time steps (seq) expected, got %I", what,
                       (LUAI_UACINT)seq, (LUAI_UACINT)f->steps);
    field last = *f;
    last.steps = 1;
    if (t->ndim == 0 || (!fits(f, t) && !(one_row && fits(&last, t)))) {
        const char *width = f->width > 1 ? lua_pushfstring(L, ",%I", (LUAI_UACINT)f->width) : "";
        lua_args_error(L, f->function, f->arg, "%s: shape [%I,%I%s] expected, got %s", what, (LUAI_UACINT)f->steps,
                       (LUAI_UACINT)f->batch, width, lua_tensor_push_shape(L, t));
    }
    return t;
}

/* Number of the first element of t in the array: 0, or that of the last time step when t has only that one. */
static size_t first_element(const field *f, const lstm_tensor *t)
{
    return f->steps * f->batch * f->width - lstm_tensor_size(t);
}

/* Of what has only the last time step, all others, too: a row's last position may be an earlier one. */
static void fill_time(const field *f, const lstm_tensor *t, void *values, size_t element)
{
    const size_t step = f->batch * f->width * element, offset = first_element(f, t) * element;
    for (size_t at = 0; at < offset; at += step)
        memcpy((char *)values + at, (char *)values + offset, step);
}

enum { CHUNK = 256 };

static void copy_ids(const field *f, const lstm_tensor *t, size_t below, int32_t *ids)
{
    double chunk[CHUNK];
    char expected[48];
    snprintf(expected, sizeof expected, "integer from 0 to %zu", below - 1);
    size_t size = lstm_tensor_size(t), offset = first_element(f, t);
    for (size_t first = 0; first < size; first += CHUNK) {
        size_t count = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(t, first, count, chunk);
        for (size_t k = 0; k < count; k++) {
            if (!(chunk[k] >= 0 && chunk[k] < (double)below && chunk[k] == floor(chunk[k])))
                refuse_element(f, first + k, expected, chunk[k]);
            ids[offset + first + k] = (int32_t)chunk[k];
        }
    }
    fill_time(f, t, ids, sizeof *ids);
}

static void check_mask(const field *f, const lstm_tensor *t, double *mask)
{
    size_t size = lstm_tensor_size(t);
    lua_tensor_read(t, 0, size, mask);
    for (size_t k = 0; k < size; k++)
        if (!(mask[k] >= 0 && isfinite(mask[k])))
            refuse_element(f, k, "finite non-negative number", mask[k]);
}

/* finite: each must be; a target need not, where a mask hides it. */
static void copy_reals(const field *f, const lstm_tensor *t, lstm_type type, void *values, bool finite)
{
    double chunk[CHUNK];
    lstm_tensor to;
    size_t all = f->steps * f->batch * f->width, size = lstm_tensor_size(t), offset = first_element(f, t);
    lstm_tensor_dense(&to, "", type, 1, &all, values);
    for (size_t first = 0; first < size; first += CHUNK) {
        size_t count = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(t, first, count, chunk);
        for (size_t k = 0; finite && k < count; k++)
            if (!isfinite(type == LSTM_F64 ? chunk[k] : (double)(float)chunk[k]))
                refuse_element(f, first + k, type == LSTM_F64 ? "finite number" : "finite number (as a float)", chunk[k]);
        lua_tensor_write(&to, offset + first, count, chunk);
    }
    fill_time(f, t, values, lstm_type_size(type));
}

/* ---- batch tables ----------------------------------------------------------------------------------------------- */

static void take_inputs(lua_State *L, int table, field *f, const lua_trainer *t, const arrays *to, lstm_batch *batch)
{
    lstm_model_config m = *lstm_model_settings(t->model->model);
    bool dense = m.input == LSTM_INPUT_DENSE;
    int top = lua_gettop(L);
    f->name = dense ? "x" : "ids";
    f->width = dense ? m.inputs : 1;
    const lstm_tensor *values = push_values(L, table, f, lstm_trainer_settings(t->trainer)->seq, false);
    if (values == NULL)
        lua_args_error(L, f->function, f->arg, "field '%s': table or tensor expected, got nil", f->name);
    if (dense)
        copy_reals(f, values, m.type, to->x, true);
    else
        copy_ids(f, values, m.vocab, to->ids);
    batch->steps = f->steps;
    batch->x = dense ? to->x : NULL;
    batch->ids = dense ? NULL : to->ids;
    lua_settop(L, top);
}

/* "y" or "targets". Classes may be called y, too; where both are there, models of either kind take their own. */
static const char *targets_name(const lua_args *a, bool linear)
{
    if (linear && lua_args_has(a, "targets") && !lua_args_has(a, "y"))
        lua_args_field_error(a, "targets", "the model has a linear output; what it should be is the field 'y'");
    return linear || (lua_args_has(a, "y") && !lua_args_has(a, "targets")) ? "y" : "targets";
}

static void take_targets(const lua_args *a, field *f, const lua_trainer *t, const arrays *to, lstm_batch *batch)
{
    lua_State *L = a->L;
    lua_owner_recheck(L, &t->owner, f->function);
    lstm_model_config m = *lstm_model_settings(t->model->model);
    lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    bool linear = m.loss == LSTM_LOSS_MSE, last = c.loss_at == LSTM_LOSS_AT_LAST;
    int top = lua_gettop(L);
    f->name = targets_name(a, linear);
    f->width = linear ? m.outputs : 1;
    const lstm_tensor *values = push_values(L, a->table, f, c.seq, last);
    if (values == NULL)
        return;
    if (linear)
        copy_reals(f, values, m.type, to->y, false);
    else
        copy_ids(f, values, m.outputs, to->targets);
    batch->target = linear ? to->y : NULL;
    batch->target_ids = linear ? NULL : to->targets;
    lua_settop(L, top);
}

static void take_mask(lua_State *L, int table, field *f, const arrays *to, lstm_batch *batch)
{
    int top = lua_gettop(L);
    f->name = "mask";
    f->width = 1;
    const lstm_tensor *values = push_values(L, table, f, f->steps, false);
    if (values == NULL)
        return;
    check_mask(f, values, to->mask);
    batch->mask = to->mask;
    lua_settop(L, top);
}

static void take_table(lua_State *L, int self, lua_trainer *t, int table, const char *function, int arg)
{
    static const char *const tokens[] = { "ids", "targets", "y", "mask", "reset", NULL };
    static const char *const dense[] = { "x", "y", "targets", "mask", "reset", NULL };
    bool vectors = lstm_model_settings(t->model->model)->input == LSTM_INPUT_DENSE;
    lua_args a = lua_args_open(L, table, function, arg, vectors ? dense : tokens, false);
    lua_owner_recheck(L, &t->owner, function);
    field f = { .L = L, .function = function, .arg = arg };
    f.batch = lstm_whole_batch(lstm_trainer_settings(t->trainer));
    room to = room_of(L, self, t);
    lstm_batch batch = { 0 };
    take_inputs(L, a.table, &f, t, &to.whole, &batch);
    take_targets(&a, &f, t, &to.whole, &batch);
    take_mask(L, a.table, &f, &to.whole, &batch);
    batch.reset = lua_args_boolean(&a, "reset", false);
    t->in_order = lua_args_has(&a, "reset");
    lua_owner_recheck(L, &t->owner, function);
    finish_batch(t, &to, batch);
}

/* ---- streams ---------------------------------------------------------------------------------------------------- */

/* A text's ids mean nothing to a model of another vocabulary. `trainer` is a stack index. */
static void check_vocabulary(lua_State *L, int self, const lua_trainer *t, const lstm_corpus *corpus,
                             const char *function, int arg)
{
    const lstm_model_config *m = lstm_model_settings(t->model->model);
    const lstm_vocab *vocab = lstm_corpus_vocab(corpus);
    size_t size = lstm_vocab_size(vocab);
    if (m->input == LSTM_INPUT_DENSE || m->loss == LSTM_LOSS_MSE)
        lua_args_error(L, function, arg,
                       "batch table expected (the model does not go from tokens to tokens), got a text");
    if (size > m->vocab || size > m->outputs)
        lua_args_error(L, function, arg, "text has %I symbols, the model only vocab=%I and classes=%I",
                       (LUAI_UACINT)size, (LUAI_UACINT)m->vocab, (LUAI_UACINT)m->outputs);
    lua_getiuservalue(L, self, LUA_TRAINER_MODEL);
    lua_getiuservalue(L, -1, LUA_MODEL_VOCAB);
    const lstm_vocab *own = lua_vocabulary_of(L, -1);
    lua_pop(L, 2);
    if (own != NULL && own != vocab && !lstm_vocab_equal(own, vocab))
        lua_args_error(L, function, arg,
                       "text has another vocabulary than the model: load it with vocab = model.vocab");
}

static bool take_stream(lua_State *L, int self, lua_trainer *t, lua_stream *s, const char *function, int arg)
{
    lua_owner_recheck(L, &t->owner, function); /* the stream may be new */
    room to = room_of(L, self, t);
    const lstm_trainer_config *c = lstm_trainer_settings(t->trainer);
    if (s->owner.closed != NULL)
        lua_raise(L, "attempt to call '%s' with a %s", function, s->owner.closed);
    const lstm_stream_config *sc = lstm_stream_settings(s->stream);
    if (sc->batch != lstm_whole_batch(c) || sc->seq > c->seq)
        lua_args_error(L, function, arg, "stream of batch=%I and seq up to %I expected, got batch=%I, seq=%I",
                       (LUAI_UACINT)lstm_whole_batch(c), (LUAI_UACINT)c->seq, (LUAI_UACINT)sc->batch,
                       (LUAI_UACINT)sc->seq);
    check_vocabulary(L, self, t, lstm_stream_corpus(s->stream), function, arg);
    lstm_batch batch = { .ids = to.whole.ids, .target_ids = to.whole.targets };
    if (!lstm_stream_next(s->stream, to.whole.ids, to.whole.targets, &batch.steps, &batch.reset))
        return false;
    t->in_order = true;
    finish_batch(t, &to, batch);
    return true;
}

/* Calls source:next() of an object of the script's. */
static bool take_object(lua_State *L, int self, lua_trainer *t, int source, const char *function, int arg)
{
    lua_getfield(L, source, "next");
    lua_pushvalue(L, source);
    lua_call(L, 1, 1);
    lua_trainer_check(L, self, function); /* it may have closed the trainer */
    bool more = !lua_isnil(L, -1);
    if (more)
        take_table(L, self, t, -1, function, arg);
    lua_pop(L, 1);
    return more;
}

static bool has_next(lua_State *L, int source)
{
    int top = lua_gettop(L);
    bool indexable = lua_istable(L, source) || luaL_getmetafield(L, source, "__index") != LUA_TNIL;
    bool has = indexable && lua_getfield(L, source, "next") == LUA_TFUNCTION;
    lua_settop(L, top);
    return has;
}

bool lua_batch_take(lua_State *L, int self, lua_trainer *t, int source, const char *function, int arg)
{
    t->ready = false;
    t->drawn = true;
    self = lua_absindex(L, self);
    source = lua_absindex(L, source);
    luaL_checkstack(L, 24, function);
    lua_stream *stream = luaL_testudata(L, source, LUA_STREAM);
    if (stream != NULL)
        return take_stream(L, self, t, stream, function, arg);
    if (luaL_testudata(L, source, LUA_CORPUS) != NULL) {
        stream = lua_trainer_push_stream(L, self, t, source, function, arg);
        bool more = take_stream(L, self, t, stream, function, arg);
        lua_pop(L, 1);
        return more;
    }
    if (has_next(L, source))
        return take_object(L, self, t, source, function, arg);
    if (!lua_istable(L, source) || luaL_getmetafield(L, source, "__name") != LUA_TNIL) /* a task, say: task:train {} */
        lua_args_error(L, function, arg, "batch table, text or stream expected, got %s", lua_args_got(L, source));
    lua_owner_recheck(L, &t->owner, function); /* source.next may be a function's answer */
    t->drawn = false;
    take_table(L, self, t, source, function, arg);
    return true;
}
