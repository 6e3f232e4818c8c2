/* SPDX-License-Identifier: MIT
 *
 * lua_mpi.c - the module lstm.mpi, for lua/lstm/ranks.lua: the processes of an MPI job.
 *
 * Loaded only where there are such: MPI takes its time to begin, and most runs have no use for it.
 */
#include <lauxlib.h>
#include <lua.h>

#include "group.h"

#include <string.h>

#define MOST_VALUES 8

/* library() -> which MPI it is */
static int library(lua_State *L)
{
    lua_pushstring(L, lstm_mpi_library());
    return 1;
}

/* start() -> group (for core.join), its rank, its size. Once only. */
static int start(lua_State *L)
{
    const lstm_group *group = lstm_mpi_start();
    if (group == NULL)
        return luaL_error(L, "not enough memory");
    lua_pushlightuserdata(L, (void *)group);
    lua_pushinteger(L, (lua_Integer)group->rank);
    lua_pushinteger(L, (lua_Integer)group->size);
    return 3;
}

/* gather(group, string) -> list of every rank's string, in order of rank */
static int gather(lua_State *L)
{
    const lstm_group *group = lua_touserdata(L, 1);
    size_t length, all = 0;
    const char *own = luaL_checklstring(L, 2, &length);
    size_t *sizes = lua_newuserdatauv(L, 2 * group->size * sizeof *sizes, 0), *ones = sizes + group->size;
    for (size_t r = 0; r < group->size; r++)
        ones[r] = sizeof *sizes;
    group->gather(group->context, &length, ones, sizes);
    for (size_t r = 0; r < group->size; r++)
        all += sizes[r];
    char *at = lua_newuserdatauv(L, all + 1, 0);
    group->gather(group->context, own, sizes, at);
    lua_createtable(L, (int)group->size, 0);
    for (size_t r = 0; r < group->size; at += sizes[r++]) {
        lua_pushlstring(L, at, sizes[r]);
        lua_rawseti(L, -2, (lua_Integer)r + 1);
    }
    return 1;
}

/* max(n, ...) -> the largest over all ranks of each */
static int max(lua_State *L)
{
    int64_t values[MOST_VALUES];
    const int n = lua_gettop(L);
    luaL_argcheck(L, n <= MOST_VALUES, n, "too many");
    for (int k = 0; k < n; k++)
        values[k] = luaL_checkinteger(L, k + 1);
    lstm_mpi_max(values, (size_t)n);
    for (int k = 0; k < n; k++)
        lua_pushinteger(L, values[k]);
    return n;
}

/* threads() -> this rank's fair share of the machine */
static int threads(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lstm_mpi_threads());
    return 1;
}

/* leave(seconds, has_failed) -> the first rank that failed, or the number of ranks when none did; nil when not all ranks
 * came to their end in that time (< 0: it waits for them) */
static int leave(lua_State *L)
{
    int failed;
    if (!lstm_mpi_leave(luaL_checknumber(L, 1), lua_toboolean(L, 2), &failed))
        return 0;
    lua_pushinteger(L, failed);
    return 1;
}

/* abort(status): ends all ranks */
static int abort_all(lua_State *L)
{
    lstm_mpi_abort((int)luaL_checkinteger(L, 1));
    return 0;
}

int luaopen_lstm_mpi(lua_State *L);

int luaopen_lstm_mpi(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"library", library}, {"start", start}, {"gather", gather},    {"max", max},
        {"threads", threads}, {"leave", leave}, {"abort", abort_all}, {NULL, NULL},
    };
    luaL_checkversion(L);
    luaL_newlib(L, functions);
    return 1;
}
