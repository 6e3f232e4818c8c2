/* SPDX-License-Identifier: MIT
 *
 * lua_group.c - trainers whose batches are shared by the processes of a group (group.h): who has which rows, and how
 * what each has of a tensor is seen as one.
 */
#include <string.h>

#include "group.h"
#include "lua_binding.h"
#include "sha256.h"

static const char group_key = 0; /* its address is the key in the registry */

static const lstm_group *group_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &group_key);
    const lstm_group *group = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return group;
}

/* core.join(group): from now on batches are shared. group: a light userdata, of lstm.mpi. */
static int join(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    const lstm_group *group = lua_touserdata(L, 1);
    if (strcmp(group->version, LSTM_VERSION) != 0)
        return luaL_error(L, "the module lstm.mpi is of version %s, this is %s", group->version, LSTM_VERSION);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &group_key);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* As even as can be, the first ranks having one more. */
static size_t rows_of(const lstm_group *group, size_t whole, size_t rank)
{
    return whole / group->size + (rank < whole % group->size ? 1 : 0);
}

static size_t first_row(const lstm_group *group, size_t whole, size_t rank)
{
    const size_t left = whole % group->size;
    return whole / group->size * rank + (rank < left ? rank : left);
}

bool lua_group_share(lua_State *L, lstm_trainer_config *c)
{
    const lstm_group *group = group_of(L);
    const size_t whole = c->batch;
    if (group == NULL || group->size == 1)
        return true;
    if (whole < group->size)
        return false;
    c->batch = rows_of(group, whole, group->rank);
    c->partners = (lstm_partners){ .rows = whole,
                                   .first = first_row(group, whole, group->rank),
                                   .sum = group->sum,
                                   .context = group->context };
    return true;
}

size_t lua_group_size(lua_State *L)
{
    const lstm_group *group = group_of(L);
    return group == NULL ? 1 : group->size;
}

void lua_group_keep_rows(const lstm_trainer_config *c, size_t steps, const void *from, void *to, size_t bytes)
{
    const size_t whole = lstm_whole_batch(c);
    for (size_t t = 0; t < steps; t++) /* to may be from: what is written lies never behind what is still to be read */
        memmove((char *)to + t * c->batch * bytes, (const char *)from + (t * whole + c->partners.first) * bytes,
                c->batch * bytes);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* The axis of the trainer's own rows, or -1. */
static int batch_axis(const lstm_tensor *t, size_t rows)
{
    for (int d = 0; d < t->ndim; d++)
        if (t->dim[d] != NULL && strcmp(t->dim[d], "batch") == 0 && t->axis[d].size == rows)
            return d;
    return -1;
}

/* A dense array [outer][rows][bytes] of every rank, one after the other, becomes [outer][whole][bytes]. */
static void interleave(const lstm_group *group, size_t outer, size_t whole, size_t bytes, const char *from, char *to)
{
    for (size_t r = 0; r < group->size; r++) {
        const size_t rows = rows_of(group, whole, r), first = first_row(group, whole, r);
        for (size_t k = 0; k < outer; k++, from += rows * bytes)
            memcpy(to + (k * whole + first) * bytes, from, rows * bytes);
    }
}

void lua_group_push_whole(lua_State *L, const lua_trainer *t, const lstm_tensor *own, int axis)
{
    const lstm_group *group = group_of(L);
    const lstm_trainer_config c = *lstm_trainer_settings(t->trainer);
    const lstm_tensor view = *own;
    size_t shape[LSTM_MAX_DIMS], outer = 1, inner = lstm_type_size(view.type);
    for (int d = 0; d < view.ndim; d++) {
        shape[d] = d == axis ? c.partners.rows : view.axis[d].size;
        if (d != axis)
            *(d < axis ? &outer : &inner) *= shape[d];
    }
    const lstm_tensor *whole = lua_tensor_push_new(L, view.name, view.type, view.ndim, shape);
    size_t *bytes = lua_newuserdatauv(L, group->size * sizeof *bytes, 0);
    char *mine = lua_newuserdatauv(L, outer * c.batch * inner, 0);
    char *all = lua_newuserdatauv(L, outer * c.partners.rows * inner, 0);
    lua_owner_recheck(L, &t->owner, "whole");
    for (size_t r = 0; r < group->size; r++)
        bytes[r] = outer * rows_of(group, c.partners.rows, r) * inner;
    lstm_tensor_read(&view, 0, lstm_tensor_size(&view), mine);
    group->gather(group->context, mine, bytes, all);
    interleave(group, outer, c.partners.rows, inner, all, whole->data);
    lua_pop(L, 3);
}

/* fit:whole(tensor) -> a copy of an activation, gradient or state with the rows of all processes; the tensor itself
 * when there is but one, or it has no rows. Every process must call it. */
int lua_trainer_whole(lua_State *L)
{
    const lua_trainer *t = lua_trainer_check(L, 1, "whole");
    const lstm_tensor *own = lua_tensor_check(L, 2, "whole", 1);
    const lstm_trainer_config *c = lstm_trainer_settings(t->trainer);
    const int axis = c->partners.rows ? batch_axis(own, c->batch) : -1;
    lua_settop(L, 2);
    if (axis >= 0)
        lua_group_push_whole(L, t, own, axis);
    return 1;
}

/* fit:fingerprint() -> digest of the parameters' values */
int lua_trainer_fingerprint(lua_State *L)
{
    enum { COUNT = 512 };
    const lua_trainer *t = lua_trainer_check(L, 1, "fingerprint");
    double values[COUNT];
    uint8_t digest[LSTM_SHA256_SIZE];
    char hex[LSTM_SHA256_HEX_SIZE];
    lstm_sha256 s;
    lstm_sha256_init(&s);
    for (size_t k = 0; k < lstm_model_params(t->model->model); k++) {
        const lstm_tensor p = lstm_model_param(t->model->model, k);
        const size_t size = lstm_tensor_size(&p);
        for (size_t at = 0; at < size; at += COUNT) {
            const size_t count = size - at < COUNT ? size - at : COUNT;
            lstm_tensor_read(&p, at, count, values);
            lstm_sha256_update(&s, values, count * lstm_type_size(p.type));
        }
    }
    lstm_sha256_final(&s, digest);
    lstm_sha256_digits(digest, hex);
    lua_pushstring(L, hex);
    return 1;
}

void lua_group_register(lua_State *L)
{
    lua_pushcfunction(L, join);
    lua_setfield(L, -2, "join");
}
