/* SPDX-License-Identifier: MIT
 *
 * lua_tensor.c - tensors in Lua: views of what a model or trainer holds, and free-standing dense ones. What is computed
 * with them is in lua_tensor_math.c.
 *
 * The numbers of a free-standing tensor lie in its own userdata, so the collector counts them. A view has its owner,
 * or the tensor it is a part of, as user value 1. Indices count from 1 here, from 0 inside.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lua_binding.h"

typedef struct tensor {
    lstm_tensor view;
    const lua_owner *owner; /* asked before every use; NULL: the numbers live as long as this does */
} tensor;

#define CHUNK 1024 /* numbers handled at a time, as doubles on the stack */

static const char *const type_names[] = { "float", "double", NULL };

/* ---- reading and writing ---------------------------------------------------------------------------------------- */

/* Offset of the first element of a row (all axes but the last). */
static size_t row_offset(const lstm_tensor *t, size_t row)
{
    size_t offset = 0;
    for (int d = t->ndim - 2; d >= 0; d--) {
        offset += lstm_axis_offset(&t->axis[d], row % t->axis[d].size);
        row /= t->axis[d].size;
    }
    return offset;
}

static double element(const lstm_tensor *t, size_t offset)
{
    return t->type == LSTM_F32 ? (double)((const float *)t->data)[offset] : ((const double *)t->data)[offset];
}

static void set_element(const lstm_tensor *t, size_t offset, double value)
{
    if (t->type == LSTM_F32)
        ((float *)t->data)[offset] = (float)value;
    else
        ((double *)t->data)[offset] = value;
}

static size_t row_length(const lstm_tensor *t)
{
    return t->ndim == 0 ? 1 : t->axis[t->ndim - 1].size;
}

static size_t inner_offset(const lstm_tensor *t, size_t index)
{
    return t->ndim == 0 ? 0 : lstm_axis_offset(&t->axis[t->ndim - 1], index);
}

void lua_tensor_read(const lstm_tensor *t, size_t first, size_t count, double *values)
{
    float chunk[CHUNK];
    if (t->type == LSTM_F64) {
        lstm_tensor_read(t, first, count, values);
        return;
    }
    for (size_t k = 0; k < count; k += CHUNK) {
        const size_t n = count - k < CHUNK ? count - k : CHUNK;
        lstm_tensor_read(t, first + k, n, chunk);
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            values[k + i] = (double)chunk[i];
    }
}

void lua_tensor_write(const lstm_tensor *t, size_t first, size_t count, const double *values)
{
    float chunk[CHUNK];
    if (t->type == LSTM_F64) {
        lstm_tensor_write(t, first, count, values);
        return;
    }
    for (size_t k = 0; k < count; k += CHUNK) {
        const size_t n = count - k < CHUNK ? count - k : CHUNK;
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            chunk[i] = (float)values[k + i];
        lstm_tensor_write(t, first + k, n, chunk);
    }
}

static void copy_elements(const lstm_tensor *to, const lstm_tensor *from)
{
    double chunk[CHUNK];
    size_t size = lstm_tensor_size(from);
    for (size_t first = 0; first < size; first += CHUNK) {
        size_t count = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(from, first, count, chunk);
        lua_tensor_write(to, first, count, chunk);
    }
}

static void fill(const lstm_tensor *t, double value)
{
    double chunk[CHUNK];
    for (size_t k = 0; k < CHUNK; k++)
        chunk[k] = value;
    size_t size = lstm_tensor_size(t);
    for (size_t first = 0; first < size; first += CHUNK)
        lua_tensor_write(t, first, size - first < CHUNK ? size - first : CHUNK, chunk);
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static tensor *push_tensor(lua_State *L, size_t data_bytes)
{
    tensor *t = lua_newuserdatauv(L, sizeof *t + data_bytes, 1);
    memset(t, 0, sizeof *t + data_bytes);
    luaL_setmetatable(L, LUA_TENSOR);
    return t;
}

void lua_tensor_push_view(lua_State *L, int owner, const lstm_tensor *view)
{
    owner = lua_absindex(L, owner);
    tensor *t = push_tensor(L, 0);
    t->view = *view;
    t->owner = lua_touserdata(L, owner);
    lua_pushvalue(L, owner);
    lua_setiuservalue(L, -2, 1);
}

/* Pushes a view of a part of the tensor at stack index `whole`. */
static void push_part(lua_State *L, int whole, const lstm_tensor *view)
{
    whole = lua_absindex(L, whole);
    tensor *t = push_tensor(L, 0);
    t->view = *view;
    t->owner = ((tensor *)lua_touserdata(L, whole))->owner;
    if (lua_getiuservalue(L, whole, 1) == LUA_TNIL) { /* the whole holds the numbers itself */
        lua_pop(L, 1);
        lua_pushvalue(L, whole);
    }
    lua_setiuservalue(L, -2, 1);
}

/* Bytes of memory this machine has; what it can't tell is no limit. */
static size_t machine_bytes(void)
{
#ifdef _SC_PHYS_PAGES
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0 && pages < PTRDIFF_MAX / page)
        return (size_t)pages * (size_t)page;
#endif
    return PTRDIFF_MAX / 2;
}

/* Bytes of a dense tensor, or 0 when they don't fit into memory. */
static size_t dense_bytes(lstm_type type, int ndim, const size_t *shape)
{
    size_t bytes = lstm_type_size(type);
    for (int d = 0; d < ndim; d++)
        if (__builtin_mul_overflow(bytes, shape[d], &bytes))
            return 0;
    return bytes <= machine_bytes() ? bytes : 0;
}

const lstm_tensor *lua_tensor_push_new(lua_State *L, const char *name, lstm_type type, int ndim, const size_t *shape)
{
    size_t bytes = dense_bytes(type, ndim, shape);
    if (bytes == 0)
        lua_raise(L, "a tensor of this shape does not fit into memory");
    tensor *t = push_tensor(L, bytes);
    lstm_tensor_dense(&t->view, name, type, ndim, shape, t + 1);
    return &t->view;
}

static void shape_of(const lstm_tensor *t, size_t *shape)
{
    for (int d = 0; d < t->ndim; d++)
        shape[d] = t->axis[d].size;
}

const lstm_tensor *lua_tensor_push_copy(lua_State *L, const lua_owner *owner, const lstm_tensor *view)
{
    size_t shape[LSTM_MAX_DIMS];
    shape_of(view, shape);
    const lstm_tensor *copy = lua_tensor_push_new(L, view->name, view->type, view->ndim, shape);
    lua_owner_recheck(L, owner, "copy");
    copy_elements(copy, view);
    return copy;
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static bool is_closed(const tensor *t)
{
    return t->owner != NULL && t->owner->closed != NULL;
}

static const lstm_tensor *check_open(lua_State *L, const tensor *t)
{
    if (is_closed(t))
        lua_raise(L, "attempt to use tensor '%s' of a %s", t->view.name, t->owner->closed);
    return &t->view;
}

bool lua_tensor_is(lua_State *L, int index)
{
    return luaL_testudata(L, index, LUA_TENSOR) != NULL;
}

const lstm_tensor *lua_tensor_check(lua_State *L, int index, const char *function, int arg)
{
    const tensor *t = luaL_testudata(L, index, LUA_TENSOR);
    if (t == NULL)
        lua_args_error(L, function, arg, "%s expected, got %s", LUA_TENSOR, lua_args_got(L, index));
    return check_open(L, t);
}

const lua_owner *lua_tensor_owner(lua_State *L, int index)
{
    return ((const tensor *)lua_touserdata(L, index))->owner;
}

const lstm_tensor *lua_tensor_self(lua_State *L, const char *function)
{
    return check_open(L, lua_owner_self(L, 1, LUA_TENSOR, function));
}

/* The index at a stack position, from 0, checked against axis d. */
static size_t index_at(lua_State *L, const lstm_tensor *t, int index, int d, const char *function, int arg)
{
    if (d >= t->ndim)
        lua_args_error(L, function, arg, "too many indices for a tensor of %d axes", t->ndim);
    char what[24];
    snprintf(what, sizeof what, "axis %d", d + 1);
    return (size_t)lua_args_to_integer(L, index, function, arg, what, 1, (lua_Integer)t->axis[d].size) - 1;
}

/* "[2,3]" */
static const char *push_shape(lua_State *L, int ndim, const size_t *shape)
{
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    luaL_addchar(&text, '[');
    for (int d = 0; d < ndim; d++) {
        char number[24];
        snprintf(number, sizeof number, "%s%zu", d > 0 ? "," : "", shape[d]);
        luaL_addstring(&text, number);
    }
    luaL_addchar(&text, ']');
    luaL_pushresult(&text);
    return lua_tostring(L, -1);
}

const char *lua_tensor_push_shape(lua_State *L, const lstm_tensor *t)
{
    size_t shape[LSTM_MAX_DIMS];
    shape_of(t, shape);
    return push_shape(L, t->ndim, shape);
}

static bool same_shape(const lstm_tensor *a, const lstm_tensor *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->axis[d].size != b->axis[d].size)
            return false;
    return true;
}

/* ---- nested tables ---------------------------------------------------------------------------------------------- */

/* Where one is in a nested table, for errors. */
typedef struct nested {
    lua_State *L;
    const char *function;
    int arg;
    const char *what; /* "field 'x'", or NULL */
    bool checked;     /* what is in the outermost table beside its elements */
    int ndim;
    size_t shape[LSTM_MAX_DIMS], index[LSTM_MAX_DIMS];
} nested;

/* "element [2][3]" or "field 'x', element [2][3]" */
static const char *push_place(const nested *n, int depth)
{
    char path[LSTM_MAX_DIMS * 24] = "";
    for (int d = 0; d <= depth; d++)
        snprintf(path + strlen(path), sizeof path - strlen(path), "[%zu]", n->index[d] + 1);
    if (n->what == NULL)
        return lua_pushfstring(n->L, "element %s", path);
    return lua_pushfstring(n->L, "%s, element %s", n->what, path);
}

static void refuse_element(const nested *n, int depth, const char *expected, const char *got)
{
    lua_args_error(n->L, n->function, n->arg, "%s: %s expected, got %s", push_place(n, depth), expected, got);
}

/* "field 'x', element [2]: ", of the table whose elements have depth `depth` */
static const char *push_table_place(const nested *n, int depth)
{
    if (depth > 0)
        return lua_pushfstring(n->L, "%s: ", push_place(n, depth - 1));
    return n->what == NULL ? "" : lua_pushfstring(n->L, "%s: ", n->what);
}

/* Refuses what the table on top of the stack has beside its elements. */
static void refuse_others(const nested *n, int depth)
{
    if (!lua_args_push_other_key(n->L, -1, n->shape[depth]))
        return;
    const char *got = lua_args_got(n->L, -1);
    lua_args_error(n->L, n->function, n->arg, "%selements [1] to [%I] expected, got [%s], too",
                   push_table_place(n, depth), (LUAI_UACINT)n->shape[depth], got);
}

/* The shape is that of the first elements. */
static void find_shape(nested *n, int table)
{
    lua_State *L = n->L;
    int top = lua_gettop(L);
    for (lua_pushvalue(L, table); lua_istable(L, -1); lua_rawgeti(L, -1, 1)) {
        if (n->ndim == LSTM_MAX_DIMS)
            lua_args_error(L, n->function, n->arg, "tables nested at most %d deep expected", LSTM_MAX_DIMS);
        size_t length = lua_rawlen(L, -1);
        if (length == 0)
            lua_args_error(L, n->function, n->arg, "numbers or nested tables of numbers expected, got an empty table");
        n->shape[n->ndim++] = length;
    }
    lua_settop(L, top);
}

/* Writes the numbers of the table on top of the stack, which has depth `depth`; *flat counts them. */
static void fill_nested(nested *n, const lstm_tensor *t, int depth, size_t *flat)
{
    lua_State *L = n->L;
    bool numbers = depth == n->ndim - 1;
    if (depth > 0 || !n->checked)
        refuse_others(n, depth);
    for (n->index[depth] = 0; n->index[depth] < n->shape[depth]; n->index[depth]++, lua_pop(L, 1)) {
        int type = lua_rawgeti(L, -1, (lua_Integer)n->index[depth] + 1);
        if (type != (numbers ? LUA_TNUMBER : LUA_TTABLE))
            refuse_element(n, depth, numbers ? "number" : "table", lua_args_got(L, -1));
        if (numbers) {
            double value = lua_tonumber(L, -1);
            lua_tensor_write(t, (*flat)++, 1, &value);
            continue;
        }
        size_t length = lua_rawlen(L, -1);
        if (length != n->shape[depth + 1])
            refuse_element(n, depth, lua_pushfstring(L, "%I elements (as in the first)",
                                                     (LUAI_UACINT)n->shape[depth + 1]),
                           lua_pushfstring(L, "%I", (LUAI_UACINT)length));
        fill_nested(n, t, depth + 1, flat);
    }
}

static const lstm_tensor *push_nested(nested *n, int table, lstm_type type)
{
    lua_State *L = n->L;
    size_t flat = 0;
    table = lua_absindex(L, table);
    luaL_checkstack(L, 2 * LSTM_MAX_DIMS + 12, n->function);
    find_shape(n, table);
    const lstm_tensor *t = lua_tensor_push_new(L, "", type, n->ndim, n->shape);
    lua_pushvalue(L, table);
    fill_nested(n, t, 0, &flat);
    lua_pop(L, 1);
    return t;
}

const lstm_tensor *lua_tensor_push_nested(lua_State *L, int table, lstm_type type, const char *function, int arg,
                                          const char *what)
{
    nested n = { .L = L, .function = function, .arg = arg, .what = what };
    return push_nested(&n, table, type);
}

void lua_tensor_assign(lua_State *L, const lua_owner *owner, const lstm_tensor *t, int index, const char *function,
                       int arg, const char *what)
{
    int top = lua_gettop(L);
    if (lua_type(L, index) == LUA_TNUMBER) {
        fill(t, lua_tonumber(L, index));
        return;
    }
    const lstm_tensor *from = NULL;
    if (lua_istable(L, index)) {
        from = lua_tensor_push_nested(L, index, LSTM_F64, function, arg, what);
    } else if (lua_tensor_is(L, index)) {
        const lstm_tensor *given = lua_tensor_check(L, index, function, arg);
        from = lua_tensor_push_copy(L, lua_tensor_owner(L, index), given); /* the two may overlap */
    } else {
        lua_args_error(L, function, arg, "%s%snumber, table or tensor expected, got %s", what == NULL ? "" : what,
                       what == NULL ? "" : ": ", lua_args_got(L, index));
    }
    if (!same_shape(t, from)) {
        const char *expected = lua_tensor_push_shape(L, t);
        lua_args_error(L, function, arg, "%s%sshape %s expected, got %s", what == NULL ? "" : what,
                       what == NULL ? "" : ": ", expected, lua_tensor_push_shape(L, from));
    }
    lua_owner_recheck(L, owner, function);
    copy_elements(t, from);
    lua_settop(L, top);
}

/* ---- indexing --------------------------------------------------------------------------------------------------- */

/* The view of element `index` (from 0) of the first axis. */
static lstm_tensor inner_view(const lstm_tensor *t, size_t index)
{
    lstm_tensor inner = *t;
    inner.data = (char *)t->data + lstm_axis_offset(&t->axis[0], index) * lstm_type_size(t->type);
    inner.ndim = t->ndim - 1;
    for (int d = 0; d < inner.ndim; d++) {
        inner.axis[d] = t->axis[d + 1];
        inner.dim[d] = t->dim[d + 1];
    }
    return inner;
}

/* Pushes a number for a scalar, else a view. */
static void push_value(lua_State *L, int whole, const lstm_tensor *view)
{
    if (view->ndim == 0)
        lua_pushnumber(L, element(view, 0));
    else
        push_part(L, whole, view);
}

static int push_shape_table(lua_State *L, const lstm_tensor *t)
{
    lua_createtable(L, t->ndim, 0);
    for (int d = 0; d < t->ndim; d++) {
        lua_pushinteger(L, (lua_Integer)t->axis[d].size);
        lua_rawseti(L, -2, d + 1);
    }
    return 1;
}

static int tensor_field(lua_State *L)
{
    const lstm_tensor *t = &((tensor *)lua_owner_self(L, 1, LUA_TENSOR, "index"))->view;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "shape") == 0)
        return push_shape_table(L, t);
    if (strcmp(key, "type") == 0 || strcmp(key, "name") == 0) {
        lua_pushstring(L, key[0] == 't' ? type_names[t->type] : t->name);
        return 1;
    }
    static const char *const fields[] = { "shape", "type", "name", NULL };
    lua_owner_push_known_method(L, LUA_TENSOR, 2, fields);
    return 1;
}

/* t[i]. One past the end is nil, so that ipairs comes to an end; anything else outside is an error. */
static int tensor_index(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TNUMBER)
        return tensor_field(L);
    const lstm_tensor *t = lua_tensor_self(L, "index");
    if (t->ndim > 0 && lua_isinteger(L, 2) && lua_tointeger(L, 2) == (lua_Integer)t->axis[0].size + 1) {
        lua_pushnil(L);
        return 1;
    }
    lstm_tensor inner = inner_view(t, index_at(L, t, 2, 0, "index", 1));
    push_value(L, 1, &inner);
    return 1;
}

static int tensor_newindex(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "newindex");
    if (lua_type(L, 2) == LUA_TSTRING)
        lua_raise(L, "attempt to set field '%s' of a tensor", lua_tostring(L, 2));
    lstm_tensor inner = inner_view(t, index_at(L, t, 2, 0, "newindex", 1));
    lua_tensor_assign(L, lua_tensor_owner(L, 1), &inner, 3, "newindex", 2, NULL);
    return 0;
}

/* The view reached by the indices at first .. first+count-1 on the stack. */
static lstm_tensor view_at(lua_State *L, const lstm_tensor *t, int first, int count, const char *function)
{
    lstm_tensor view = *t;
    for (int k = 0; k < count; k++) {
        if (view.ndim == 0)
            lua_args_error(L, function, first - 1 + k, "too many indices for a tensor of %d axes", t->ndim);
        char what[24];
        snprintf(what, sizeof what, "axis %d", k + 1);
        lua_Integer i = lua_args_to_integer(L, first + k, function, first - 1 + k, what, 1,
                                            (lua_Integer)view.axis[0].size);
        view = inner_view(&view, (size_t)i - 1);
    }
    return view;
}

static int tensor_get(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "get");
    lstm_tensor view = view_at(L, t, 2, lua_gettop(L) - 1, "get");
    push_value(L, 1, &view);
    return 1;
}

static int tensor_set(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "set");
    lstm_tensor view = view_at(L, t, 3, lua_gettop(L) - 2, "set");
    lua_tensor_assign(L, lua_tensor_owner(L, 1), &view, 2, "set", 1, NULL);
    return 0;
}

static int tensor_len(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "len");
    lua_pushinteger(L, t->ndim == 0 ? 1 : (lua_Integer)t->axis[0].size);
    return 1;
}

static int tensor_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lstm_tensor_size(lua_tensor_self(L, "size")));
    return 1;
}

/* Moves an axis to [first, first+count); false when packed memory cannot express that. */
static bool slice_axis(lstm_tensor *t, int d, size_t first, size_t count)
{
    lstm_axis *a = &t->axis[d];
    size_t r = first % a->group, last = first + count - 1;
    if (r != 0 && first / a->group != last / a->group)
        return false;
    if (r % a->block != 0 && r / a->block != (r + count - 1) / a->block)
        return false;
    t->data = (char *)t->data + lstm_axis_offset(a, first) * lstm_type_size(t->type);
    a->size = count;
    if (r % a->block != 0)
        a->block = count;
    if (r != 0)
        a->group = count;
    return true;
}

static int tensor_slice(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "slice");
    int d = (int)lua_args_to_integer(L, 2, "slice", 1, "axis", 1, t->ndim) - 1;
    size_t first = index_at(L, t, 3, d, "slice", 2), last = index_at(L, t, 4, d, "slice", 3);
    if (last < first)
        lua_args_error(L, "slice", 3, "last index %I is before the first, %I", (LUAI_UACINT)last + 1,
                       (LUAI_UACINT)first + 1);
    lstm_tensor view = *t;
    if (!slice_axis(&view, d, first, last - first + 1))
        lua_args_error(L, "slice", 2,
                       "axis %d is packed in blocks of %I: a slice of a view begins at a block; "
                       "slice a :copy() instead", d + 1, (LUAI_UACINT)t->axis[d].block);
    push_part(L, 1, &view);
    return 1;
}

static bool is_dense(const lstm_tensor *t)
{
    size_t stride = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        const lstm_axis *a = &t->axis[d];
        if (a->size > 1 && (a->block < a->size || a->group < a->size || a->stride != stride))
            return false;
        stride *= a->size;
    }
    return true;
}

/* Reads positive sizes from the array part of the table at `table`. */
static int read_shape(lua_State *L, int table, const char *function, int arg, size_t *shape)
{
    size_t ndim = lua_rawlen(L, table);
    if (ndim < 1 || ndim > LSTM_MAX_DIMS)
        lua_args_error(L, function, arg, "1 to %d sizes expected, got %I", LSTM_MAX_DIMS, (LUAI_UACINT)ndim);
    for (size_t d = 0; d < ndim; d++) {
        char what[32];
        snprintf(what, sizeof what, "size %zu", d + 1);
        lua_rawgeti(L, table, (lua_Integer)d + 1);
        shape[d] = (size_t)lua_args_to_integer(L, -1, function, arg, what, 1, LUA_ARGS_SIZE_MAX);
        lua_pop(L, 1);
    }
    return (int)ndim;
}

static int tensor_reshape(lua_State *L)
{
    static const char *const names[] = { NULL };
    const lstm_tensor *t = lua_tensor_self(L, "reshape");
    size_t shape[LSTM_MAX_DIMS];
    lua_args_open(L, 2, "reshape", 1, names, true);
    int ndim = read_shape(L, 2, "reshape", 1, shape);
    if (!is_dense(t))
        lua_raise(L, "reshape: tensor '%s' is a view of packed memory; reshape a :copy() instead", t->name);
    if (dense_bytes(t->type, ndim, shape) != lstm_tensor_size(t) * lstm_type_size(t->type))
        lua_args_error(L, "reshape", 1, "%I elements expected, as before, got shape %s",
                       (LUAI_UACINT)lstm_tensor_size(t), push_shape(L, ndim, shape));
    lstm_tensor view;
    lstm_tensor_dense(&view, t->name, t->type, ndim, shape, t->data);
    push_part(L, 1, &view);
    return 1;
}

/* ---- whole tensors ---------------------------------------------------------------------------------------------- */

static int tensor_copy(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "copy");
    lua_tensor_push_copy(L, lua_tensor_owner(L, 1), t);
    return 1;
}

static int tensor_assign(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "assign");
    lua_tensor_assign(L, lua_tensor_owner(L, 1), t, 2, "assign", 1, NULL);
    lua_settop(L, 1);
    return 1;
}

static void push_nested_table(lua_State *L, const lua_owner *owner, const lstm_tensor *t)
{
    if (t->ndim == 0) {
        lua_pushnumber(L, element(t, 0));
        return;
    }
    lua_createtable(L, t->axis[0].size > INT32_MAX ? 0 : (int)t->axis[0].size, 0);
    lua_owner_recheck(L, owner, "totable");
    for (size_t i = 0; i < t->axis[0].size; i++) {
        lstm_tensor inner = inner_view(t, i);
        push_nested_table(L, owner, &inner);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static int tensor_totable(lua_State *L)
{
    const lstm_tensor *t = lua_tensor_self(L, "totable");
    push_nested_table(L, lua_tensor_owner(L, 1), t);
    return 1;
}

static int tensor_equal(lua_State *L)
{
    const lstm_tensor *a = lua_tensor_self(L, "equal"), *b = lua_tensor_check(L, 2, "equal", 1);
    bool equal = a->type == b->type && same_shape(a, b);
    double chunk_a[CHUNK], chunk_b[CHUNK];
    size_t size = lstm_tensor_size(a);
    for (size_t first = 0; equal && first < size; first += CHUNK) {
        size_t count = size - first < CHUNK ? size - first : CHUNK;
        lua_tensor_read(a, first, count, chunk_a);
        lua_tensor_read(b, first, count, chunk_b);
        equal = memcmp(chunk_a, chunk_b, count * sizeof *chunk_a) == 0;
    }
    lua_pushboolean(L, equal);
    return 1;
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

enum {
    SHOWN = 8, EDGE = 3, /* up to SHOWN rows or numbers are shown whole, more by EDGE at each end */
    LINE = LSTM_MAX_DIMS * 24 + (SHOWN + 1) * 24, /* bytes of a row with its label */
};

/* Whether, having shown k of count, it is time to jump over the middle. */
static bool gap_at(size_t k, size_t count)
{
    return count > SHOWN && k == EDGE;
}

/* Both write to a line from `used` on, and return how many bytes it has then. */
static size_t put_row(char line[LINE], size_t used, const lstm_tensor *t, size_t row)
{
    size_t length = row_length(t), offset = row_offset(t, row);
    for (size_t k = 0; k < length; k++) {
        if (gap_at(k, length)) {
            used += (size_t)snprintf(line + used, LINE - used, " ...");
            k = length - EDGE;
        }
        used += (size_t)snprintf(line + used, LINE - used, " %10.6g", element(t, offset + inner_offset(t, k)));
    }
    return used;
}

/* "[2][1]": the place of a row in all axes but the last. */
static size_t put_label(char line[LINE], size_t used, const lstm_tensor *t, size_t row)
{
    size_t below = lstm_tensor_size(t) / row_length(t);
    for (int d = 0; d < t->ndim - 1; d++) {
        below /= t->axis[d].size;
        used += (size_t)snprintf(line + used, LINE - used, "[%zu]", row / below % t->axis[d].size + 1);
    }
    return used;
}

/* Text that grows may close the owner of what is shown: each row is read in one go, and asks first. */
static void add_rows(luaL_Buffer *text, const tensor *box)
{
    char line[LINE] = "\n";
    const lstm_tensor *t = &box->view;
    size_t rows = lstm_tensor_size(t) / row_length(t);
    for (size_t row = 0; row < rows; row++) {
        if (gap_at(row, rows)) {
            luaL_addstring(text, "\n...");
            row = rows - EDGE;
        }
        if (is_closed(box))
            return;
        luaL_addlstring(text, line, put_row(line, put_label(line, 1, t, row), t, row));
    }
}

static int tensor_tostring(lua_State *L)
{
    const tensor *box = lua_owner_self(L, 1, LUA_TENSOR, "tostring");
    const lstm_tensor *t = &box->view;
    luaL_Buffer text;
    const char *shape = lua_tensor_push_shape(L, t);
    luaL_buffinit(L, &text);
    lua_pushfstring(L, "%s %s %s%s%s", LUA_TENSOR, type_names[t->type], shape, t->name[0] == '\0' ? "" : " ", t->name);
    luaL_addvalue(&text);
    add_rows(&text, box);
    if (is_closed(box)) {
        lua_pushfstring(L, " (of a %s)", box->owner->closed);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    return 1;
}

/* ---- constructors ----------------------------------------------------------------------------------------------- */

static int new_from_table(lua_State *L)
{
    static const char *const names[] = { "type", NULL };
    lua_settop(L, 2); /* lstm.tensor itself, and the table */
    if (lua_tensor_is(L, 2)) {
        const lstm_tensor *t = lua_tensor_check(L, 2, "tensor", 1);
        lua_tensor_push_copy(L, lua_tensor_owner(L, 2), t);
        return 1;
    }
    lua_args a = lua_args_open(L, 2, "tensor", 1, names, true);
    nested n = { .L = L, .function = "tensor", .arg = 1, .checked = true };
    push_nested(&n, 2, (lstm_type)lua_args_choice(&a, "type", type_names, LSTM_F64));
    return 1;
}

/* Pushes the tensor that the table at 1 asks for. */
static const lstm_tensor *push_shaped(lua_State *L, lua_args *a, const char *function, const char *const *names)
{
    size_t shape[LSTM_MAX_DIMS];
    lua_settop(L, 1);
    *a = lua_args_open(L, 1, function, 1, names, true);
    int ndim = read_shape(L, 1, function, 1, shape);
    lstm_type type = (lstm_type)lua_args_choice(a, "type", type_names, LSTM_F64);
    if (dense_bytes(type, ndim, shape) == 0)
        lua_args_error(L, function, 1, "shape %s does not fit into memory", push_shape(L, ndim, shape));
    return lua_tensor_push_new(L, "", type, ndim, shape);
}

static int new_zeros(lua_State *L)
{
    static const char *const names[] = { "type", NULL };
    lua_args a;
    push_shaped(L, &a, "zeros", names);
    return 1;
}

static int new_full(lua_State *L)
{
    static const char *const names[] = { "type", "value", NULL };
    lua_args a;
    const lstm_tensor *t = push_shaped(L, &a, "full", names);
    if (!lua_args_has(&a, "value"))
        lua_args_field_error(&a, "value", "number expected, got nil");
    fill(t, lua_args_number(&a, "value", LUA_RANGE_FINITE, 0));
    return 1;
}

static int new_normal(lua_State *L)
{
    static const char *const names[] = { "type", "mean", "std", "seed", NULL };
    lua_args a;
    const lstm_tensor *t = push_shaped(L, &a, "normal", names);
    double mean = lua_args_number(&a, "mean", LUA_RANGE_FINITE, 0);
    double std = lua_args_number(&a, "std", LUA_RANGE_NOT_NEGATIVE, 1);
    uint64_t seed = (uint64_t)lua_args_integer(&a, "seed", 0, LUA_MAXINTEGER, 1);
    size_t size = lstm_tensor_size(t);
    for (size_t k = 0; k < size; k++)
        set_element(t, k, mean + std * lstm_normal(seed, LUA_RANDOM_TENSOR, k));
    return 1;
}

static int new_uniform(lua_State *L)
{
    static const char *const names[] = { "type", "low", "high", "seed", NULL };
    lua_args a;
    const lstm_tensor *t = push_shaped(L, &a, "uniform", names);
    double low = lua_args_number(&a, "low", LUA_RANGE_FINITE, 0);
    double high = lua_args_number(&a, "high", LUA_RANGE_FINITE, 1);
    if (high < low)
        lua_args_field_error(&a, "high", "at least low=%f expected, got %f", low, high);
    uint64_t seed = (uint64_t)lua_args_integer(&a, "seed", 0, LUA_MAXINTEGER, 1);
    size_t size = lstm_tensor_size(t);
    for (size_t k = 0; k < size; k++)
        set_element(t, k, low + (high - low) * lstm_uniform(seed, LUA_RANDOM_TENSOR, k));
    return 1;
}

void lua_tensor_register(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        { "__index", tensor_index }, { "__newindex", tensor_newindex }, { "__len", tensor_len },
        { "__tostring", tensor_tostring }, { NULL, NULL },
    };
    static const luaL_Reg methods[] = {
        { "get", tensor_get }, { "set", tensor_set }, { "size", tensor_size }, { "slice", tensor_slice },
        { "reshape", tensor_reshape }, { "copy", tensor_copy }, { "assign", tensor_assign },
        { "totable", tensor_totable }, { "equal", tensor_equal }, { NULL, NULL },
    };
    static const luaL_Reg constructors[] = {
        { "zeros", new_zeros }, { "full", new_full }, { "normal", new_normal }, { "uniform", new_uniform },
        { NULL, NULL },
    };
    lua_owner_register(L, LUA_TENSOR, metamethods, methods);
    lua_tensor_math_register(L);
    luaL_newlib(L, constructors);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, new_from_table);
    lua_setfield(L, -2, "__call");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "tensor");
}
