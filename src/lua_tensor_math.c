/* SPDX-License-Identifier: MIT
 *
 * lua_tensor_math.c - what Lua computes with tensors: sums, arithmetic, comparisons, functions, products. Everything is
 * computed in doubles, in an order that follows from the shapes alone, and rounded to the type of the result.
 */
#include <math.h>
#include <string.h>

#include "lua_binding.h"

#define CHUNK 256 /* numbers handled at a time, as doubles on the stack */

static void shape_of(const lstm_tensor *t, size_t *shape)
{
    for (int d = 0; d < t->ndim; d++)
        shape[d] = t->axis[d].size;
}

/* Pushes a dense copy, in doubles, of the tensor at `index`. */
static const lstm_tensor *push_doubles(lua_State *L, int index, const char *function, int arg)
{
    size_t shape[LSTM_MAX_DIMS];
    const lstm_tensor *t = lua_tensor_check(L, index, function, arg);
    shape_of(t, shape);
    const lstm_tensor *copy = lua_tensor_push_new(L, "", LSTM_F64, t->ndim, shape);
    t = lua_tensor_check(L, index, function, arg); /* to make room may have closed its owner */
    lua_tensor_read(t, 0, lstm_tensor_size(t), copy->data);
    return copy;
}

/* Pushes the doubles on top of the stack, which are nobody else's, as a tensor of this type. */
static int push_as(lua_State *L, lstm_type type, const lstm_tensor *doubles)
{
    size_t shape[LSTM_MAX_DIMS];
    if (type == LSTM_F64)
        return 1;
    shape_of(doubles, shape);
    lua_tensor_write(lua_tensor_push_new(L, "", type, doubles->ndim, shape), 0, lstm_tensor_size(doubles),
                     doubles->data);
    return 1;
}

static size_t axis_at(lua_State *L, int index, const lstm_tensor *t, const char *function, int arg)
{
    return (size_t)lua_args_to_integer(L, index, function, arg, "axis", 1, t->ndim) - 1;
}

/* ---- sums and other numbers of many ----------------------------------------------------------------------------- */

/* Calls work(chunk, count, context) with all elements in order. */
static void each_chunk(const lstm_tensor *t, void (*work)(const double *, size_t, void *), void *context)
{
    double chunk[CHUNK];
    size_t size = lstm_tensor_size(t);
    for (size_t first = 0; first < size; first += CHUNK) {
        size_t count = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(t, first, count, chunk);
        work(chunk, count, context);
    }
}

/* Sums: Neumaier's (1974), so that a mean over millions of numbers is right to the last digits. */
typedef struct total {
    double sum, rest, shift, least, most;
    bool square, nan;
} total;

static void add_to(total *s, double x)
{
    double sum = s->sum + x;
    s->rest += fabs(s->sum) >= fabs(x) ? (s->sum - sum) + x : (x - sum) + s->sum;
    s->sum = sum;
}

static void add_chunk(const double *values, size_t count, void *context)
{
    total *s = context;
    for (size_t k = 0; k < count; k++) {
        double x = values[k] - s->shift;
        s->nan = s->nan || isnan(x);
        s->least = values[k] < s->least ? values[k] : s->least;
        s->most = values[k] > s->most ? values[k] : s->most;
        add_to(s, s->square ? x * x : x);
    }
}

static total total_of(const lstm_tensor *t, double shift, bool square)
{
    total s = { 0, 0, shift, INFINITY, -INFINITY, square, false };
    each_chunk(t, add_chunk, &s);
    if (isfinite(s.sum)) /* past an overflow the rest means nothing */
        s.sum += s.rest;
    if (s.nan)
        s.sum = s.least = s.most = NAN;
    return s;
}

static double sum_of(const lstm_tensor *t)
{
    return total_of(t, 0, false).sum;
}

static double mean_of(const lstm_tensor *t)
{
    return sum_of(t) / (double)lstm_tensor_size(t);
}

static double std_of(const lstm_tensor *t)
{
    return sqrt(total_of(t, mean_of(t), true).sum / (double)lstm_tensor_size(t));
}

static double norm_of(const lstm_tensor *t)
{
    return sqrt(total_of(t, 0, true).sum);
}

static double min_of(const lstm_tensor *t)
{
    return total_of(t, 0, false).least;
}

static double max_of(const lstm_tensor *t)
{
    return total_of(t, 0, false).most;
}

/* Where the largest is, from 0; the first of several, the first NaN if there is one. */
static size_t place_of_max(const lstm_tensor *t)
{
    size_t best = 0, size = lstm_tensor_size(t);
    double most = lstm_tensor_at(t, 0);
    for (size_t k = 1; k < size && !isnan(most); k++) {
        double x = lstm_tensor_at(t, k);
        if (x > most || isnan(x)) {
            most = x;
            best = k;
        }
    }
    return best;
}

static double index_of_max(const lstm_tensor *t)
{
    return (double)place_of_max(t) + 1;
}

/* The tensor with the axes that are named from stack index 2 on behind the others; *kept: how many others there are. */
static lstm_tensor with_axes_last(lua_State *L, const lstm_tensor *t, const char *function, int *kept)
{
    bool named[LSTM_MAX_DIMS] = { false };
    for (int k = 2; k <= lua_gettop(L); k++) {
        size_t d = axis_at(L, k, t, function, k - 1);
        if (named[d])
            lua_args_error(L, function, k - 1, "another axis expected, got %d twice", (int)d + 1);
        named[d] = true;
    }
    lstm_tensor view = *t;
    int n = 0;
    for (int d = 0; d < t->ndim; d++)
        if (!named[d])
            view.axis[n++] = t->axis[d];
    *kept = n;
    for (int d = 0; d < t->ndim; d++)
        if (named[d])
            view.axis[n++] = t->axis[d];
    return view;
}

/* Pushes what `f` makes of the numbers along the axes named from stack index 2 on: a tensor of this type without them,
 * or a number. */
static int reduce_axes(lua_State *L, const char *function, double (*f)(const lstm_tensor *), lstm_type type)
{
    int kept;
    size_t shape[LSTM_MAX_DIMS];
    const lstm_tensor view = with_axes_last(L, lua_tensor_self(L, function), function, &kept);
    shape_of(&view, shape);
    const lstm_tensor *t = lua_tensor_push_new(L, "", LSTM_F64, view.ndim, shape);
    lua_owner_recheck(L, lua_tensor_owner(L, 1), function);
    lua_tensor_read(&view, 0, lstm_tensor_size(t), t->data);
    const lstm_tensor *result = lua_tensor_push_new(L, "", LSTM_F64, kept, shape);
    size_t size = lstm_tensor_size(result), n = lstm_tensor_size(t) / size;
    for (size_t k = 0; k < size; k++) {
        lstm_tensor line;
        lstm_tensor_dense(&line, "", LSTM_F64, 1, &n, (double *)t->data + k * n);
        ((double *)result->data)[k] = f(&line);
    }
    if (kept > 0)
        return push_as(L, type, result);
    lua_pushnumber(L, *(double *)result->data);
    return 1;
}

/* Arguments that are not there may be nil. */
static void drop_nils(lua_State *L)
{
    while (lua_gettop(L) > 1 && lua_isnil(L, -1))
        lua_pop(L, 1);
}

static int reduce(lua_State *L, const char *function, double (*f)(const lstm_tensor *))
{
    const lstm_tensor *t = lua_tensor_self(L, function);
    drop_nils(L);
    if (lua_gettop(L) > 1)
        return reduce_axes(L, function, f, t->type);
    lua_pushnumber(L, f(t));
    return 1;
}

static int tensor_sum(lua_State *L) { return reduce(L, "sum", sum_of); }
static int tensor_mean(lua_State *L) { return reduce(L, "mean", mean_of); }
static int tensor_std(lua_State *L) { return reduce(L, "std", std_of); }
static int tensor_norm(lua_State *L) { return reduce(L, "norm", norm_of); }
static int tensor_min(lua_State *L) { return reduce(L, "min", min_of); }
static int tensor_max(lua_State *L) { return reduce(L, "max", max_of); }

/* t:argmax(axis), or t:argmax() -> an index for each axis. */
static int tensor_argmax(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "argmax");
    drop_nils(L);
    if (lua_gettop(L) > 2)
        lua_args_error(L, "argmax", 2, "one axis or none expected, got %s, too", lua_args_got(L, 3));
    if (lua_gettop(L) > 1)
        return reduce_axes(L, "argmax", index_of_max, LSTM_F64); /* a float would round places from 2^24 on */
    size_t place = place_of_max(t), below = lstm_tensor_size(t);
    for (int d = 0; d < t->ndim; d++) {
        below /= t->axis[d].size;
        lua_pushinteger(L, (lua_Integer)(place / below % t->axis[d].size) + 1);
    }
    return t->ndim;
}

/* ---- functions of every element --------------------------------------------------------------------------------- */

static void all_abs(double *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = fabs(x[k]);
}

static void all_sqrt(double *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = sqrt(x[k]);
}

static void all_relu(double *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = x[k] < 0 ? 0 : x[k]; /* NaN stays */
}

static void all_negative(double *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = -x[k];
}

/* The engine's exp and log are for what networks meet: at the ends of the range libm knows what infinity is. */
static void all_exp(double *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (fabs(x[k]) < 708)
            lstm_apply(LSTM_EXP, x + k, 1);
        else
            x[k] = exp(x[k]);
}

static void all_log(double *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (isnormal(x[k]) && x[k] > 0)
            lstm_apply(LSTM_LOG, x + k, 1);
        else
            x[k] = log(x[k]);
}

static void all_sigmoid(double *x, size_t n) { lstm_apply(LSTM_SIGMOID, x, n); }
static void all_tanh(double *x, size_t n) { lstm_apply(LSTM_TANH, x, n); }

static int map(lua_State *L, const char *function, void (*f)(double *, size_t))
{
    lstm_type type = lua_tensor_self(L, function)->type;
    const lstm_tensor *t = push_doubles(L, 1, function, 0);
    f(t->data, lstm_tensor_size(t));
    return push_as(L, type, t);
}

static int tensor_abs(lua_State *L) { return map(L, "abs", all_abs); }
static int tensor_sqrt(lua_State *L) { return map(L, "sqrt", all_sqrt); }
static int tensor_exp(lua_State *L) { return map(L, "exp", all_exp); }
static int tensor_log(lua_State *L) { return map(L, "log", all_log); }
static int tensor_sigmoid(lua_State *L) { return map(L, "sigmoid", all_sigmoid); }
static int tensor_tanh(lua_State *L) { return map(L, "tanh", all_tanh); }
static int tensor_relu(lua_State *L) { return map(L, "relu", all_relu); }
static int tensor_unm(lua_State *L) { return map(L, "unm", all_negative); }

/* x multiplied n times by itself. */
static double whole_power(double x, uint64_t n)
{
    double result = 1;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

/* By multiplication where the exponent is whole, else by exp and log: libm's pow need not be the same everywhere. */
static void all_to_power(double *x, size_t n, double exponent)
{
    const bool whole = exponent == floor(exponent) && fabs(exponent) < 0x1p53;
    if (!whole)
        all_log(x, n);
    for (size_t k = 0; k < n; k++)
        x[k] = whole ? whole_power(x[k], (uint64_t)fabs(exponent)) : x[k] * exponent;
    for (size_t k = 0; k < n && whole && exponent < 0; k++)
        x[k] = 1 / x[k];
    if (!whole)
        all_exp(x, n);
}

/* t ^ number */
static int tensor_pow(lua_State *L)
{
    lstm_type type = lua_tensor_check(L, 1, "pow", 1)->type;
    double exponent = lua_args_to_number(L, 2, "pow", 2, NULL, LUA_RANGE_FINITE);
    const lstm_tensor *t = push_doubles(L, 1, "pow", 1);
    all_to_power(t->data, lstm_tensor_size(t), exponent);
    return push_as(L, type, t);
}

/* ---- arithmetic of two, and comparisons ------------------------------------------------------------------------- */

/* The number or tensor at `index`, one of the two; argument `arg` of `function`. *number: where a number is kept. */
static lstm_tensor operand(lua_State *L, int index, const char *function, int arg, double *number)
{
    lstm_tensor t;
    if (lua_type(L, index) == LUA_TNUMBER) {
        *number = lua_tonumber(L, index);
        lstm_tensor_dense(&t, "", LSTM_F64, 0, NULL, number);
        return t;
    }
    if (!lua_tensor_is(L, index))
        lua_args_error(L, function, arg, "number or tensor expected, got %s", lua_args_got(L, index));
    return *lua_tensor_check(L, index, function, arg);
}

/* Size of an axis counted from the last; axes that a tensor does not have are 1. */
static size_t size_from_last(const lstm_tensor *t, int d)
{
    return d < t->ndim ? t->axis[t->ndim - 1 - d].size : 1;
}

/* The shape that both can be stretched to. */
static int common_shape(lua_State *L, const char *function, const lstm_tensor *a, const lstm_tensor *b, size_t *shape)
{
    int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    for (int d = 0; d < ndim; d++) {
        size_t m = size_from_last(a, d), n = size_from_last(b, d);
        if (m != n && m != 1 && n != 1) {
            const char *first = lua_tensor_push_shape(L, a);
            lua_raise(L, "attempt to '%s' tensors of shapes %s and %s: from the last axis on, sizes must be equal or 1",
                      function, first, lua_tensor_push_shape(L, b));
        }
        shape[ndim - 1 - d] = m > n ? m : n;
    }
    return ndim;
}

/* The same numbers seen with a larger shape: along axes of size 1, or which were not there, they are repeated. */
static lstm_tensor stretched(const lstm_tensor *t, int ndim, const size_t *shape)
{
    lstm_tensor wide;
    lstm_tensor_dense(&wide, "", t->type, ndim, shape, t->data);
    for (int d = 0; d < ndim; d++) {
        int own = d - (ndim - t->ndim);
        if (own >= 0 && t->axis[own].size == shape[d])
            wide.axis[d] = t->axis[own];
        else
            wide.axis[d].stride = 0;
    }
    return wide;
}

/* A number takes the tensor's type; of two tensors' types the wider one is the result's. */
static lstm_type common_type(lua_State *L, const lstm_tensor *a, const lstm_tensor *b)
{
    bool wide_a = lua_tensor_is(L, 1) && a->type == LSTM_F64, wide_b = lua_tensor_is(L, 2) && b->type == LSTM_F64;
    return wide_a || wide_b ? LSTM_F64 : LSTM_F32;
}

/* first_arg: which argument the one at 1 is: 1 of an operator, 0 of a method, where it is self. */
static int combine(lua_State *L, const char *function, int first_arg, void (*f)(double *a, const double *b, size_t n))
{
    double number_a, number_b, x[CHUNK], y[CHUNK];
    size_t shape[LSTM_MAX_DIMS];
    lstm_tensor a = operand(L, 1, function, first_arg, &number_a);
    lstm_tensor b = operand(L, 2, function, first_arg + 1, &number_b);
    int ndim = common_shape(L, function, &a, &b, shape);
    const lstm_tensor *result = lua_tensor_push_new(L, "", common_type(L, &a, &b), ndim, shape);
    operand(L, 1, function, first_arg, &number_a); /* again: to make room may have closed an owner */
    operand(L, 2, function, first_arg + 1, &number_b);
    a = stretched(&a, ndim, shape);
    b = stretched(&b, ndim, shape);
    size_t size = lstm_tensor_size(result);
    for (size_t first = 0; first < size; first += CHUNK) {
        size_t count = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(&a, first, count, x);
        lua_tensor_read(&b, first, count, y);
        f(x, y, count);
        lua_tensor_write(result, first, count, x);
    }
    return 1;
}

static void add(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] += b[k];
}

static void subtract(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] -= b[k];
}

static void multiply(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] *= b[k];
}

static void divide(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] /= b[k];
}

static int tensor_add(lua_State *L) { return combine(L, "add", 1, add); }
static int tensor_sub(lua_State *L) { return combine(L, "sub", 1, subtract); }
static int tensor_mul(lua_State *L) { return combine(L, "mul", 1, multiply); }
static int tensor_div(lua_State *L) { return combine(L, "div", 1, divide); }

static void less(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] = a[k] < b[k];
}

static void less_or_equal(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] = a[k] <= b[k];
}

static void greater(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] = a[k] > b[k];
}

static void greater_or_equal(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] = a[k] >= b[k];
}

static void equal(double *a, const double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        a[k] = a[k] == b[k];
}

/* 1 where it is so, 0 elsewhere. (Lua's own < and == make true or false of whatever they are given.) */
static int compare(lua_State *L, const char *function, void (*f)(double *a, const double *b, size_t n))
{
    lua_tensor_self(L, function);
    lua_settop(L, 2);
    return combine(L, function, 0, f);
}

static int tensor_lt(lua_State *L) { return compare(L, "lt", less); }
static int tensor_le(lua_State *L) { return compare(L, "le", less_or_equal); }
static int tensor_gt(lua_State *L) { return compare(L, "gt", greater); }
static int tensor_ge(lua_State *L) { return compare(L, "ge", greater_or_equal); }
static int tensor_eq(lua_State *L) { return compare(L, "eq", equal); }

/* ---- products --------------------------------------------------------------------------------------------------- */

/* c[m][n] += sum over k, in increasing order, of a[m][k] b[k][n]; c holds zeros. */
static void product(double *c, const double *a, const double *b, size_t M, size_t K, size_t N)
{
    for (size_t m = 0; m < M; m++)
        for (size_t k = 0; k < K; k++)
            for (size_t n = 0; n < N; n++)
                c[m * N + n] += a[m * K + k] * b[k * N + n];
}

/* t:matmul(u): [..., K] x [K, N] = [..., N]; [..., K] x [K] = [...], a number when t has one axis. */
static int tensor_matmul(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "matmul"), *u = lua_tensor_check(L, 2, "matmul", 1);
    size_t shape[LSTM_MAX_DIMS], K = t->axis[t->ndim - 1].size, N = u->ndim == 2 ? u->axis[1].size : 1;
    if (u->ndim > 2 || u->axis[0].size != K)
        lua_args_error(L, "matmul", 1, "a matrix of %I rows, or a vector of as many numbers, expected, got shape %s",
                       (LUAI_UACINT)K, lua_tensor_push_shape(L, u));
    lstm_type type = t->type == LSTM_F64 || u->type == LSTM_F64 ? LSTM_F64 : LSTM_F32;
    int ndim = t->ndim - 1;
    shape_of(t, shape);
    if (u->ndim == 2)
        shape[ndim++] = N;
    const lstm_tensor *a = push_doubles(L, 1, "matmul", 0), *b = push_doubles(L, 2, "matmul", 1);
    const lstm_tensor *c = lua_tensor_push_new(L, "", LSTM_F64, ndim, shape);
    product(c->data, a->data, b->data, lstm_tensor_size(a) / K, K, N);
    if (ndim > 0)
        return push_as(L, type, c);
    lua_pushnumber(L, *(double *)c->data);
    return 1;
}

/* t:transpose([axis, axis]): a copy with two axes exchanged, those of a matrix when none are named. */
static int tensor_transpose(lua_State *L)
{
    lstm_tensor view = *lua_tensor_self(L, "transpose");
    size_t from = 0, to = 1;
    if (!lua_isnoneornil(L, 2)) {
        from = axis_at(L, 2, &view, "transpose", 1);
        to = axis_at(L, 3, &view, "transpose", 2);
    } else if (view.ndim != 2) {
        lua_args_error(L, "transpose", 1, "two axes expected, for a tensor of %d", view.ndim);
    }
    lstm_axis axis = view.axis[from];
    view.axis[from] = view.axis[to];
    view.axis[to] = axis;
    lua_tensor_push_copy(L, lua_tensor_owner(L, 1), &view);
    return 1;
}

void lua_tensor_math_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__add", tensor_add }, { "__sub", tensor_sub }, { "__mul", tensor_mul }, { "__div", tensor_div },
        { "__unm", tensor_unm }, { "__pow", tensor_pow }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "sum", tensor_sum }, { "mean", tensor_mean }, { "std", tensor_std }, { "norm", tensor_norm },
        { "min", tensor_min }, { "max", tensor_max }, { "argmax", tensor_argmax }, { "abs", tensor_abs },
        { "sqrt", tensor_sqrt }, { "exp", tensor_exp }, { "log", tensor_log }, { "sigmoid", tensor_sigmoid },
        { "tanh", tensor_tanh }, { "relu", tensor_relu }, { "lt", tensor_lt }, { "le", tensor_le },
        { "gt", tensor_gt }, { "ge", tensor_ge }, { "eq", tensor_eq }, { "matmul", tensor_matmul },
        { "transpose", tensor_transpose }, { NULL, NULL },
    };
    luaL_getmetatable(L, LUA_TENSOR);
    luaL_setfuncs(L, metamethods, 0);
    lua_getfield(L, -1, "methods");
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 2);
}
